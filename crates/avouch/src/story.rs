//! The story that `demo` plays and `dev` leaves running: a cluster, a profile, a link, a policy, a secret, two pods.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use avouch_crypto::base64url;
use avouch_crypto::jws::{Alg, SigningKey, compact};
use avouch_crypto::rng::{self, SystemRandom};
use avouch_server::Bootstrap;
use reqwest::Method;
use serde_json::{Value, json};

use crate::isolated::{self, Helper};

/// Whether the steps are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// Each step is printed.
    Aloud,
    /// Nothing is printed.
    Quiet,
}

/// What the story made.
pub struct World {
    pub profile_name: String,
    pub profile_id: String,
    cluster_crn: String,
    pub instance: String,
    pub secret_id: String,
    pub admin: String,
    issuer: String,
    key: SigningKey,
    kid: String,
}

const NAMESPACE: &str = "shop";
const SERVICE_ACCOUNT: &str = "checkout";
const OTHER_ACCOUNT: &str = "newsletter";
pub const PAYLOAD: &str = "postgres://shop:correct-horse@db.internal/orders";

impl World {
    /// Further lines for the environment of `dev`: a pod's token file and what it may read.
    pub fn env(&self, url: &str, token_file: &Path) -> String {
        format!(
            "CR_TOKEN_FILENAME={}\nIAM_PROFILE_NAME={}\nIAM_PROFILE_ID={}\nSECRETS_MANAGER_INSTANCE={}\n\
             SECRETS_MANAGER_URL={url}/secrets-manager/{}\nSECRET_ID={}\n",
            token_file.display(),
            self.profile_name,
            self.profile_id,
            self.instance,
            self.instance,
            self.secret_id
        )
    }

    /// Puts a fresh token of the trusted pod where the kubelet would, in one step.
    pub fn project(&self, token_file: &Path) -> anyhow::Result<()> {
        let fresh = token_file.with_extension("new");
        std::fs::write(&fresh, self.token(SERVICE_ACCOUNT)?)?;
        Ok(std::fs::rename(fresh, token_file)?)
    }

    /// What an API server of the cluster would project into a pod.
    fn token(&self, service_account: &str) -> anyhow::Result<String> {
        let now = now()?;
        let uid = || rng::uuid_v4(&SystemRandom).to_string();
        let claims = json!({
            "iss": self.issuer, "aud": ["iam"], "iat": now, "nbf": now, "exp": now + 3600, "jti": uid(),
            "sub": format!("system:serviceaccount:{NAMESPACE}:{service_account}"),
            "kubernetes.io": {
                "namespace": NAMESPACE,
                "serviceaccount": {"name": service_account, "uid": uid()},
                "pod": {"name": format!("{service_account}-7f9c4"), "uid": uid()},
            },
        });
        Ok(compact(&self.key, &self.kid, &claims))
    }
}

#[allow(clippy::disallowed_methods)] // the pod's clock, not the server's
fn now() -> anyhow::Result<i64> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(i64::try_from(since.as_secs())?)
}

/// A small HTTP client of the public API.
pub struct Api {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

pub struct Answer {
    pub status: u16,
    pub transaction: String,
    pub body: Value,
}

impl Api {
    #[allow(clippy::disallowed_methods)] // no proxy, and the provider of our choice
    pub fn new(base: &str) -> anyhow::Result<Self> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().user_agent("avouch-demo").build()?;
        Ok(Self { http, base: base.to_owned(), token: None })
    }

    pub fn with(&self, token: &str) -> Self {
        Self { http: self.http.clone(), base: self.base.clone(), token: Some(token.to_owned()) }
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        answer(request).await
    }

    pub async fn post(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        let a = self.send(Method::POST, path, Some(&body)).await?;
        ensure!(a.status == 201 || a.status == 200, "POST {path}: {} {}", a.status, a.body);
        Ok(a.body)
    }

    async fn exchange(&self, form: &[(&str, &str)]) -> anyhow::Result<Answer> {
        answer(self.http.post(format!("{}/identity/token", self.base)).form(form)).await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> anyhow::Result<Answer> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let transaction =
        response.headers().get("transaction-id").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let text = response.text().await?;
    Ok(Answer { status, transaction, body: serde_json::from_str(&text).unwrap_or(Value::Null) })
}

pub fn text<'v>(value: &'v Value, pointer: &str) -> anyhow::Result<&'v str> {
    value.pointer(pointer).and_then(Value::as_str).with_context(|| format!("the answer has no {pointer}"))
}

/// Registers, creates, links, permits: what a platform engineer does once.
pub async fn build(made: &Bootstrap, voice: Voice) -> anyhow::Result<World> {
    let tell = |step: &str, what: String| {
        if voice == Voice::Aloud {
            println!("\n== {step}\n{what}");
        }
    };
    let api = Api::new(&made.url)?;
    let login = api
        .exchange(&[
            ("grant_type", "urn:ibm:params:oauth:grant-type:apikey"),
            ("apikey", made.api_key.expose()),
        ])
        .await?;
    ensure!(login.status == 200, "the owner cannot log in: {}", login.body);
    let token = text(&login.body, "/access_token")?.to_owned();
    let admin = api.with(&token);
    let account = made.account.as_str();

    let key = SigningKey::generate(Alg::RS256).map_err(|_| anyhow::anyhow!("no key for the cluster"))?;
    let kid = rng::hex(&SystemRandom, 8);
    let issuer = "https://kubernetes.default.svc.cluster.local".to_owned();
    let cluster = admin
        .post(
            "/avouch/v1/clusters",
            json!({
                "name": "demo-cluster", "cr_type": "IKS_SA", "issuer": issuer,
                "jwks": {"keys": [key.jwk(&kid)]},
            }),
        )
        .await?;
    let cluster_crn = text(&cluster, "/crn")?.to_owned();
    tell("The platform engineer registers a cluster by its public keys", format!("   {cluster_crn}"));

    let profile_name = "checkout-service".to_owned();
    let profile = admin
        .post(
            "/v1/profiles",
            json!({"name": profile_name, "account_id": account, "description": "Reads what the checkout needs"}),
        )
        .await?;
    let profile_id = text(&profile, "/id")?.to_owned();
    admin
        .post(
            &format!("/v1/profiles/{profile_id}/links"),
            json!({
                "name": "checkout pods", "cr_type": "IKS_SA",
                "link": {"crn": cluster_crn, "namespace": NAMESPACE, "name": SERVICE_ACCOUNT},
            }),
        )
        .await?;
    tell(
        "… creates a trusted profile and links one service account to it",
        format!(
            "   {profile_name} ({profile_id})\n   trusts pods of {NAMESPACE}/{SERVICE_ACCOUNT} in demo-cluster"
        ),
    );

    let instance = admin
        .post(
            "/v2/resource_instances",
            json!({
                "name": "demo-secrets", "target": made.region, "resource_group": made.resource_group,
                "resource_plan_id": "7713c3a8-3be8-4a9a-81bb-ee822fcaac3d",
            }),
        )
        .await?;
    let instance = text(&instance, "/guid")?.to_owned();
    let secret = admin
        .post(
            &format!("/secrets-manager/{instance}/api/v2/secrets"),
            json!({"secret_type": "arbitrary", "name": "orders-db", "payload": PAYLOAD}),
        )
        .await?;
    let secret_id = text(&secret, "/id")?.to_owned();
    let policy = admin
        .post(
            "/v2/policies",
            json!({
                "type": "access",
                "subject": {"attributes": [
                    {"key": "iam_id", "operator": "stringEquals", "value": format!("iam-{profile_id}")}]},
                "control": {"grant": {"roles": [
                    {"role_id": "crn:v1:bluemix:public:secrets-manager::::serviceRole:SecretsReader"}]}},
                "resource": {"attributes": [
                    {"key": "accountId", "operator": "stringEquals", "value": account},
                    {"key": "serviceName", "operator": "stringEquals", "value": "secrets-manager"},
                    {"key": "serviceInstance", "operator": "stringEquals", "value": instance}]},
            }),
        )
        .await?;
    tell(
        "… stores a secret and lets the profile read it",
        format!(
            "   secret orders-db ({secret_id})\n   policy {}: SecretsReader on this instance",
            text(&policy, "/id")?
        ),
    );
    Ok(World { profile_name, profile_id, cluster_crn, instance, secret_id, admin: token, issuer, key, kid })
}

/// The pods come: one is trusted, one is not, and one wants too much. Fails unless each fares as promised.
pub async fn play(made: &Bootstrap, world: &World, helper: Option<&Helper>) -> anyhow::Result<()> {
    let api = Api::new(&made.url)?;
    let admin = api.with(&world.admin);
    let grant = "urn:ibm:params:oauth:grant-type:cr-token";

    println!(
        "\n== A pod of {NAMESPACE}/{SERVICE_ACCOUNT} has nothing but its projected service-account token"
    );
    let cr_token = world.token(SERVICE_ACCOUNT)?;
    let issued = api
        .exchange(&[("grant_type", grant), ("cr_token", &cr_token), ("profile_name", &world.profile_name)])
        .await?;
    ensure!(issued.status == 200, "the trusted pod was refused: {}", issued.body);
    let access = text(&issued.body, "/access_token")?;
    let claims = claims(access)?;
    ensure!(
        text(&claims, "/iam_id")? == format!("iam-{}", world.profile_id),
        "the token is of another profile"
    );
    ensure!(
        text(&claims, "/authn/iam_id")? == format!("crn-{}", world.cluster_crn),
        "the token names another cluster"
    );
    println!("   it gets an IAM token for an hour, as the profile:");
    for (name, pointer) in [("iam_id", "/iam_id"), ("authn.name", "/authn/name"), ("authn.sub", "/authn/sub")]
    {
        println!("     {name:<11} {}", text(&claims, pointer)?);
    }
    let lifetime = claims["exp"].as_i64().unwrap_or(0) - claims["iat"].as_i64().unwrap_or(0);
    println!("     {:<11} {lifetime} s", "lifetime");

    println!("\n== With it, the pod reads the secret");
    let path = format!("/secrets-manager/{}/api/v2/secrets/{}", world.instance, world.secret_id);
    let pod = api.with(access);
    let read = pod.send(Method::GET, &path, None).await?;
    ensure!(
        read.status == 200 && read.body["payload"] == PAYLOAD,
        "the secret was not read: {}",
        read.status
    );
    println!("   GET {path}\n   200, {} characters of payload", PAYLOAD.len());

    println!("\n== It may not change it: reading is all the policy allows");
    let refused =
        pod.send(Method::POST, &format!("{path}/versions"), Some(&json!({"payload": "overwritten"}))).await?;
    ensure!(refused.status == 403, "the pod could write: {}", refused.status);
    println!("   POST {path}/versions\n   403 {}", text(&refused.body, "/errors/0/message")?);
    why(&admin, &refused.transaction, "access").await?;

    println!("\n== A pod of {NAMESPACE}/{OTHER_ACCOUNT} in the same cluster tries the same");
    let cr_token = world.token(OTHER_ACCOUNT)?;
    let refused = api
        .exchange(&[("grant_type", grant), ("cr_token", &cr_token), ("profile_name", &world.profile_name)])
        .await?;
    ensure!(refused.status == 400, "the stranger got a token");
    ensure!(
        text(&refused.body, "/errorCode")? == "BXNIM0398E",
        "refused for another reason: {}",
        refused.body
    );
    println!("   400 {} {}", text(&refused.body, "/errorCode")?, text(&refused.body, "/errorMessage")?);
    why(&admin, &refused.transaction, "trust").await?;

    if let Some(helper) = helper {
        isolated::play(made, world, helper).await?;
    }

    println!("\n== Every step is in the audit trail");
    let events = admin.send(Method::GET, "/avouch/v1/audit/events?limit=200", None).await?;
    let rows = events.body["events"].as_array().context("no audit trail")?;
    let wanted = [
        ("iam-identity.computeresource-token.login", "success"),
        ("iam-identity.computeresource-token.login", "failure"),
        ("secrets-manager.secret.read", "success"),
        ("secrets-manager.secret-version.create", "failure"),
    ];
    let of_instances = [
        ("is.metadata.computeresource-token.request", "success"),
        ("is.metadata.computeresource-token.request", "failure"),
    ];
    let wanted = wanted.into_iter().chain(of_instances.into_iter().filter(|_| helper.is_some()));
    for (action, outcome) in wanted {
        let row = rows
            .iter()
            .find(|e| e["action"] == action && e["outcome"] == outcome)
            .with_context(|| format!("no event {action} {outcome}"))?;
        println!(
            "   {:<8} {:<42} {:<8} by {}",
            text(row, "/outcome")?,
            action,
            text(row, "/severity")?,
            by(row)
        );
    }
    ensure!(!events.body.to_string().contains(PAYLOAD), "the trail holds the payload");
    println!("   and the payload is in none of {} rows", rows.len());
    Ok(())
}

fn by(event: &Value) -> String {
    let name = event["initiator"]["name"].as_str().unwrap_or_default();
    match event["initiator"]["authnName"].as_str() {
        Some(behind) => format!("{name} ({behind})"),
        None => name.to_owned(),
    }
}

/// Asks the server why a request was refused, and prints the tree.
pub async fn why(admin: &Api, transaction: &str, stage: &str) -> anyhow::Result<()> {
    let explained = admin.post("/avouch/v1/explain", json!({"transaction_id": transaction})).await?;
    ensure!(text(&explained, "/stage")? == stage, "explained another stage: {explained}");
    println!("   why? {}", text(&explained, "/summary")?);
    tree(&explained["tree"], 2);
    Ok(())
}

fn tree(node: &Value, depth: usize) {
    if depth > 6 {
        return;
    }
    let result = if node["result"] == true { "+" } else { "-" };
    let mut line = format!("{}{result} {}", " ".repeat(depth * 2), node["kind"].as_str().unwrap_or_default());
    if let Some(name) = node["name"].as_str().or_else(|| node["id"].as_str()) {
        line.push_str(&format!(" '{name}'"));
    }
    if let (Some(claim), false) = (node["claim"].as_str(), node["wanted"].is_null()) {
        let show = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
        line.push_str(&format!(": {claim} wanted {}, found {}", show(&node["wanted"]), show(&node["found"])));
    }
    println!("{line}");
    for child in node["children"].as_array().into_iter().flatten() {
        tree(child, depth + 1);
    }
}

fn claims(token: &str) -> anyhow::Result<Value> {
    let Some(part) = token.split('.').nth(1) else { bail!("the token has no claims") };
    let bytes = base64url::decode(part).map_err(|_| anyhow::anyhow!("the token is not base64url"))?;
    Ok(serde_json::from_slice(&bytes)?)
}
