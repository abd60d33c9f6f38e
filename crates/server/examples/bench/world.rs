//! A server in this process with what the cases need: a cluster with pods, a profile linked to one of them, a secret
//! that the profile may read.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use avouch_crypto::jws::{Alg, SigningKey, compact};
use avouch_crypto::rng::{self, SystemRandom};
use avouch_gate::clock::{Clock, SystemClock};
use avouch_gate::config::Config;
use avouch_server::run::{self, Running};
use avouch_server::{Assembled, Bootstrap};
use serde_json::{Value, json};

use crate::load::{Call, call};

const APIKEY: &str = "urn:ibm:params:oauth:grant-type:apikey";
const CR_TOKEN: &str = "urn:ibm:params:oauth:grant-type:cr-token";
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
const SECRETS_READER: &str = "crn:v1:bluemix:public:secrets-manager::::serviceRole:SecretsReader";
const PODS: usize = 64;

/// Settings of a measured server: those of a deployment, without quotas on what the cases create.
pub fn config(token_alg: &str) -> Config {
    let mut config =
        Config { listen: "127.0.0.1:0".into(), token_alg: token_alg.into(), ..Config::default() };
    config.limits.profiles = 0;
    config.limits.instances = 0;
    config.limits.policies = 0;
    config.limits.policies_per_subject = 0;
    config
}

/// The form that logs in with an API key.
pub fn login(api_key: &str) -> Call {
    Call::form("/identity/token", &[("grant_type", APIKEY), ("apikey", api_key)])
}

/// A server and its objects.
pub struct World {
    pub running: Running,
    pub account: String,
    pub api_key: String,
    pub admin: Arc<str>,
    /// Token of the profile, got by a pod.
    pub pod: Arc<str>,
    pub secret: String,
    profile: String,
    cr_tokens: Vec<String>,
}

impl World {
    /// A server on an empty folder, and its objects.
    pub async fn new(data: PathBuf, config: Config) -> Result<Self> {
        let running = run::start(config, data, std::future::pending()).await?;
        let made = running.bootstrap.as_ref().context("the folder was not empty")?;
        let (account, api_key) = (made.account.to_string(), made.api_key.expose().clone());
        let admin = token(&running.server, &login(&api_key)).await?;
        let api = Api { server: &running.server, token: &admin, account: &account };
        let key = SigningKey::generate(Alg::RS256).map_err(|_| anyhow::anyhow!("no key for the cluster"))?;
        let profile = api.profile(&key).await?;
        let secret = api.secret(made, &profile).await?;
        let cr_tokens: Vec<String> = (0..PODS).map(|n| cr_token(&key, n)).collect();
        let first = cr_tokens.first().context("no pods")?;
        let pod = token(&running.server, &exchange(first, &profile)).await?;
        Ok(Self { account, api_key, admin, pod, secret, profile, cr_tokens, running })
    }

    /// The exchange of the n-th pod.
    pub fn exchanges(&self) -> impl Fn(u64) -> Call + Send + Sync + 'static {
        let calls: Vec<Call> = self.cr_tokens.iter().map(|t| exchange(t, &self.profile)).collect();
        move |n| {
            let at = usize::try_from(n).unwrap_or(0) % calls.len();
            calls.get(at).cloned().unwrap_or_else(|| Call::get("/"))
        }
    }

    /// The creation of the n-th further profile.
    pub fn profiles(&self) -> impl Fn(u64) -> Call + Send + Sync + 'static {
        let (account, admin) = (self.account.clone(), self.admin.clone());
        move |n| profile(&account, n).bearer(&admin)
    }
}

/// The creation of the n-th of many profiles.
pub fn profile(account: &str, n: u64) -> Call {
    let body = json!({"name": format!("profile-{n}"), "account_id": account, "description": "one of many"});
    Call::post("/v1/profiles", &body)
}

/// The creation of a policy for the n-th of many subjects, each on an object of its own.
pub fn policy(account: &str, n: u64) -> Call {
    let equals = |key: &str, value: &str| json!({"key": key, "operator": "stringEquals", "value": value});
    let body = json!({
        "type": "access",
        "subject": {"attributes": [equals("iam_id", &format!("iam-Profile-00000000-0000-4000-8000-{n:012}"))]},
        "control": {"grant": {"roles": [{"role_id": SECRETS_READER}]}},
        "resource": {"attributes": [
            equals("accountId", account),
            equals("serviceName", "secrets-manager"),
            equals("serviceInstance", &format!("00000000-0000-4000-9000-{n:012}")),
        ]},
    });
    Call::post("/v2/policies", &body)
}

fn exchange(cr_token: &str, profile: &str) -> Call {
    Call::form(
        "/identity/token",
        &[("grant_type", CR_TOKEN), ("cr_token", cr_token), ("profile_id", profile)],
    )
}

async fn token(server: &Assembled, request: &Call) -> Result<Arc<str>> {
    let (status, body) = call(server, request).await?;
    access_token(status, &body)
}

/// The token of an answer.
pub fn access_token(status: u16, body: &[u8]) -> Result<Arc<str>> {
    ensure!(status == 200, "no token: {status} {}", String::from_utf8_lossy(body));
    let answer: Value = serde_json::from_slice(body)?;
    Ok(text(&answer, "access_token")?.into())
}

fn text<'v>(value: &'v Value, name: &str) -> Result<&'v str> {
    value.get(name).and_then(Value::as_str).with_context(|| format!("the answer has no {name}"))
}

/// What an API server would project into the n-th pod.
fn cr_token(key: &SigningKey, n: usize) -> String {
    let now = SystemClock::default().now().secs();
    let uid = || rng::uuid_v4(&SystemRandom).to_string();
    let claims = json!({
        "iss": ISSUER, "aud": ["iam"], "iat": now, "nbf": now, "exp": now + 3600, "jti": uid(),
        "sub": "system:serviceaccount:shop:checkout",
        "kubernetes.io": {
            "namespace": "shop",
            "serviceaccount": {"name": "checkout", "uid": uid()},
            "pod": {"name": format!("checkout-{n}"), "uid": uid()},
        },
    });
    compact(key, "bench", &claims)
}

/// The owner at work.
struct Api<'w> {
    server: &'w Assembled,
    token: &'w Arc<str>,
    account: &'w str,
}

impl Api<'_> {
    async fn create(&self, path: &str, body: Value) -> Result<Value> {
        let (status, answer) = call(self.server, &Call::post(path, &body).bearer(self.token)).await?;
        ensure!((200..300).contains(&status), "POST {path}: {status} {}", String::from_utf8_lossy(&answer));
        Ok(serde_json::from_slice(&answer)?)
    }

    /// A profile that trusts the pods of a cluster with this key.
    async fn profile(&self, key: &SigningKey) -> Result<String> {
        let cluster = json!({
            "name": "bench", "cr_type": "IKS_SA", "issuer": ISSUER, "jwks": {"keys": [key.jwk("bench")]},
        });
        let cluster = self.create("/avouch/v1/clusters", cluster).await?;
        let profile =
            self.create("/v1/profiles", json!({"name": "checkout", "account_id": self.account})).await?;
        let profile = text(&profile, "id")?.to_owned();
        let link = json!({
            "name": "pods", "cr_type": "IKS_SA",
            "link": {"crn": text(&cluster, "crn")?, "namespace": "shop", "name": "checkout"},
        });
        self.create(&format!("/v1/profiles/{profile}/links"), link).await?;
        Ok(profile)
    }

    /// A secret that the profile may read; returns its path.
    async fn secret(&self, made: &Bootstrap, profile: &str) -> Result<String> {
        let instance = json!({
            "name": "bench", "target": made.region, "resource_group": made.resource_group,
            "resource_plan_id": "7713c3a8-3be8-4a9a-81bb-ee822fcaac3d",
        });
        let instance = self.create("/v2/resource_instances", instance).await?;
        let instance = text(&instance, "guid")?;
        let secrets = format!("/secrets-manager/{instance}/api/v2/secrets");
        let secret = json!({"secret_type": "arbitrary", "name": "orders-db", "payload": "correct horse battery staple"});
        let secret = self.create(&secrets, secret).await?;
        let equals = |key: &str, value: &str| json!({"key": key, "operator": "stringEquals", "value": value});
        let policy = json!({
            "type": "access",
            "subject": {"attributes": [equals("iam_id", &format!("iam-{profile}"))]},
            "control": {"grant": {"roles": [{"role_id": SECRETS_READER}]}},
            "resource": {"attributes": [
                equals("accountId", self.account),
                equals("serviceName", "secrets-manager"),
                equals("serviceInstance", instance),
            ]},
        });
        self.create("/v2/policies", policy).await?;
        Ok(format!("{secrets}/{}", text(&secret, "id")?))
    }
}
