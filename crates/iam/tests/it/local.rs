//! A server of access management alone: the real router, decision and store, tokens minted here.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use avouch_crypto::envelope::KeyRing;
use avouch_crypto::jws::{Alg, SigningKey, compact};
use avouch_crypto::rng::SystemRandom;
use avouch_gate::app::{Links, Parts};
use avouch_gate::authn::{TokenKey, TokenKeys};
use avouch_gate::clock::{Clock, ManualClock};
use avouch_gate::config::Config;
use avouch_gate::http::Router;
use avouch_gate::links::{
    Evidence, EvidenceVerifier, IdentitySource, IdentityState, InstanceInfo, InstanceSource, Person,
    RefusedEvidence, ResourceGroupInfo, ResourceGroupSource,
};
use avouch_gate::{App, Ctx, Error, Result};
use avouch_iam::access_source::Access;
use avouch_store::{Store, Tx, testing};
use avouch_wire::ids::{AccountId, IamId};
use avouch_wire::time::Timestamp;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use uuid::Uuid;

struct Fixed;

impl IdentitySource for Fixed {
    fn state(&self, _tx: &mut Tx<'_>, _account: &AccountId, iam_id: &IamId) -> Result<IdentityState> {
        Ok(IdentityState { alive: !iam_id.as_str().contains("dead"), revoked_before: None })
    }

    fn person(&self, _tx: &mut Tx<'_>, _account: &AccountId, iam_id: &IamId) -> Result<Option<Person>> {
        let known = iam_id.as_str() == "IBMid-KNOWN";
        Ok(known.then(|| Person {
            email: "known@avouch.test".into(),
            given_name: "Known".into(),
            family_name: "User".into(),
        }))
    }
}

impl ResourceGroupSource for Fixed {
    fn resource_group(
        &self,
        _: &mut Tx<'_>,
        _: &AccountId,
        _: Option<&str>,
    ) -> Result<Option<ResourceGroupInfo>> {
        Ok(None)
    }
}

impl InstanceSource for Fixed {
    fn instance(&self, _tx: &mut Tx<'_>, _guid: &str) -> Result<Option<InstanceInfo>> {
        Ok(None)
    }
}

#[async_trait]
impl avouch_gate::links::TrustExplainer for Fixed {
    async fn explain_trust(
        &self,
        _: &Ctx,
        _: &AccountId,
        _: &avouch_policy::rules::ComputeIdentity,
        _: &str,
    ) -> Result<Option<avouch_policy::reason::Reason>> {
        Ok(None)
    }
}

#[async_trait]
impl EvidenceVerifier for Fixed {
    async fn verify(&self, _: &Ctx, _: &str) -> std::result::Result<Evidence, RefusedEvidence> {
        Err(Error::forbidden().into())
    }

    async fn inspect(
        &self,
        _: &Ctx,
        _: &str,
        _: Timestamp,
    ) -> Result<(avouch_policy::reason::Reason, Option<Evidence>)> {
        Err(Error::forbidden())
    }
}

/// A server of one test.
pub struct TestApp {
    app: Arc<App>,
    router: Arc<Router>,
    key: Arc<SigningKey>,
    clock: Arc<ManualClock>,
    account: String,
    owner: String,
    _home: testing::Home,
}

impl TestApp {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(f: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { public_url: "http://avouch.test".into(), ..Config::default() };
        f(&mut config);
        let (store_config, home) = testing::home(testing::engine()).unwrap();
        let store = tokio::task::spawn_blocking(move || Store::open(&store_config).unwrap()).await.unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::parse_rfc3339("2026-03-02T10:00:00Z").unwrap()));
        let rng = Arc::new(SystemRandom);
        let app = App::new(Parts {
            config,
            store,
            clock: clock.clone(),
            rng: rng.clone(),
            keyring: Arc::new(KeyRing::ephemeral(rng)),
            links: Links {
                access: Arc::new(Access),
                identities: Arc::new(Fixed),
                groups: Arc::new(Fixed),
                instances: Arc::new(Fixed),
                hooks: Vec::new(),
                policies: Arc::new(Access),
                evidence: Arc::new(Fixed),
                trust: Arc::new(Fixed),
            },
            states: Vec::new(),
        });
        let key = SigningKey::generate(Alg::ES256).unwrap();
        let mut keys = HashMap::new();
        keys.insert("k1".to_owned(), TokenKey { key: key.verifying_key().unwrap(), retired_at: None });
        app.authn.set_keys(TokenKeys { keys });
        let services =
            vec![avouch_iam::policy_service(), avouch_iam::groups_service(), avouch_iam::identity_service()];
        let router = Arc::new(Router::new(services).unwrap());
        let mut t = Self {
            app,
            router,
            key: Arc::new(key),
            clock,
            account: String::new(),
            owner: String::new(),
            _home: home,
        };
        (t.account, t.owner) = t.new_account(3).await;
        t
    }

    async fn new_account(&self, policies: usize) -> (String, String) {
        let account = Uuid::new_v4().simple().to_string();
        let owner = format!("IBMid-{}", &Uuid::new_v4().simple().to_string()[..10].to_uppercase());
        let ids: Vec<Uuid> = (0..policies).map(|_| Uuid::new_v4()).collect();
        let (a, o, now) =
            (AccountId::parse(&account).unwrap(), IamId::parse(&owner).unwrap(), self.clock.now());
        self.app
            .store
            .write(move |tx| avouch_iam::policies::create_owner(tx, &a, &o, &ids, &[], now))
            .await
            .unwrap();
        (account, owner)
    }

    pub fn account(&self) -> &str {
        &self.account
    }

    pub fn owner(&self) -> &str {
        &self.owner
    }

    pub fn advance_secs(&self, seconds: i64) {
        self.clock.advance_secs(seconds);
    }

    pub async fn tick(&self) {
        avouch_iam::access_source::tick(&self.app).await.unwrap();
    }

    pub fn anon(&self) -> Client {
        self.client(None)
    }

    fn client(&self, token: Option<String>) -> Client {
        Client { app: self.app.clone(), router: self.router.clone(), token, headers: Vec::new() }
    }

    /// A client of this identity in an account.
    pub fn client_of(&self, account: &str, iam_id: &str) -> Client {
        let now = self.clock.now().secs();
        let claims = json!({
            "iam_id": iam_id, "id": iam_id, "realmid": "iam", "jti": Uuid::new_v4().to_string(),
            "identifier": iam_id, "sub": iam_id, "authn": {"sub": iam_id, "iam_id": iam_id},
            "account": {"valid": true, "bss": account}, "iat": now, "exp": now + 100 * 86_400,
            "iss": "http://avouch.test/identity", "grant_type": "urn:ibm:params:oauth:grant-type:apikey",
            "scope": "ibm openid", "client_id": "default", "acr": 1, "amr": ["pwd"],
        });
        self.client(Some(compact(&self.key, "k1", &claims)))
    }

    pub async fn admin(&self) -> Client {
        self.client_of(&self.account, &self.owner)
    }

    /// A new identity without any right.
    pub fn identity(&self) -> (Client, String) {
        let iam_id = format!("iam-ServiceId-{}", Uuid::new_v4());
        (self.client_of(&self.account, &iam_id), iam_id)
    }

    pub async fn nobody(&self) -> Client {
        self.identity().0
    }

    /// A new identity with a platform role on everything.
    pub async fn with_role(&self, role: &str) -> Client {
        let (client, iam_id) = self.identity();
        for kind in ["service", "platform_service"] {
            self.grant(&iam_id, &platform(role), json!([eq("serviceType", kind)])).await;
        }
        client
    }

    /// Grants a role on a target of the account; returns the policy id.
    pub async fn grant(&self, iam_id: &str, role: &str, target: Value) -> String {
        let r = self.admin().await.post("/v2/policies", self.v2(iam_id, role, target)).await;
        assert_eq!(r.status, 201, "{}", r.body);
        r.body["id"].as_str().unwrap().to_owned()
    }

    /// A policy of the second schema on a target of the account.
    pub fn v2(&self, iam_id: &str, role: &str, target: Value) -> Value {
        let mut attributes = vec![eq("accountId", &self.account)];
        attributes.extend(target.as_array().unwrap().iter().cloned());
        json!({
            "type": "access",
            "subject": {"attributes": [eq("iam_id", iam_id)]},
            "control": {"grant": {"roles": [{"role_id": role}]}},
            "resource": {"attributes": attributes},
        })
    }

    /// The owner of another account on the same server.
    pub async fn outsider(&self) -> Client {
        let (account, owner) = self.new_account(2).await;
        self.client_of(&account, &owner)
    }

    /// Another account and its owner.
    pub async fn other_account(&self) -> (String, String) {
        self.new_account(2).await
    }

    /// Replaces the stored document of a policy, as a damaged store or a later version would.
    pub async fn tamper(&self, id: &str, document: &str) {
        let (account, id, document) = (self.account.clone(), id.to_owned(), document.to_owned());
        self.app
            .store
            .write(move |tx| {
                tx.execute(
                    "update policies set document = $2 where id = $1",
                    &avouch_store::params![id.as_str(), document.as_str()],
                )?;
                tx.changed(&account, "policy", &id).map(|_| ())
            })
            .await
            .map_err(|e: avouch_store::Error| e.to_string())
            .unwrap();
    }

    /// Audit bodies of the account with this action, oldest first.
    pub async fn events(&self, action: &str) -> Vec<Value> {
        self.app.audit.flush().await.unwrap();
        let (account, action) = (self.account.clone(), action.to_owned());
        let rows = self
            .app
            .store
            .read(move |tx| {
                tx.query(
                    "select body from audit_events where account_id = $1 and action = $2 order by time, id",
                    &avouch_store::params![account.as_str(), action.as_str()],
                )
            })
            .await
            .map_err(|e: avouch_store::Error| e.to_string())
            .unwrap();
        rows.iter().map(|r| serde_json::from_str(&r.get::<String>(0).unwrap()).unwrap()).collect()
    }
}

pub fn platform(role: &str) -> String {
    format!("crn:v1:bluemix:public:iam::::role:{role}")
}

pub fn service_role(role: &str) -> String {
    format!("crn:v1:bluemix:public:iam::::serviceRole:{role}")
}

pub fn eq(key: &str, value: &str) -> Value {
    json!({"key": key, "operator": "stringEquals", "value": value})
}

/// A client with or without a token.
#[derive(Clone)]
pub struct Client {
    app: Arc<App>,
    router: Arc<Router>,
    token: Option<String>,
    headers: Vec<(String, String)>,
}

#[derive(Debug)]
pub struct TestResponse {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Value,
}

impl TestResponse {
    pub fn etag(&self) -> String {
        self.headers.get("etag").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
    }

    pub fn code(&self) -> &str {
        self.body["errors"][0]["code"].as_str().unwrap_or_default()
    }
}

impl Client {
    pub fn with_header(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        other.headers.push((name.to_owned(), value.to_owned()));
        other
    }

    pub fn token_body(&self) -> String {
        self.token.as_deref().unwrap().split('.').nth(1).unwrap().to_owned()
    }

    pub async fn get(&self, path: &str) -> TestResponse {
        self.send("GET", path, Value::Null).await
    }

    pub async fn delete(&self, path: &str) -> TestResponse {
        self.send("DELETE", path, Value::Null).await
    }

    pub async fn post(&self, path: &str, body: Value) -> TestResponse {
        self.send("POST", path, body).await
    }

    pub async fn put(&self, path: &str, body: Value) -> TestResponse {
        self.send("PUT", path, body).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> TestResponse {
        self.send("PATCH", path, body).await
    }

    pub async fn send(&self, method: &str, path: &str, body: Value) -> TestResponse {
        let mut request = http::Request::builder().method(method).uri(path).header("host", "avouch.test");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let bytes = if body.is_null() {
            Vec::new()
        } else {
            request = request.header("content-type", "application/json");
            body.to_string().into_bytes()
        };
        let request = request.body(Full::new(Bytes::from(bytes))).unwrap();
        let response =
            avouch_gate::http::serve(&self.app, &self.router, request, [127, 0, 0, 1].into()).await;
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        TestResponse {
            status: head.status.as_u16(),
            headers: head.headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        }
    }
}
