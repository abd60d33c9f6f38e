//! A registered cluster, a profile that trusts one of its service accounts, and the exchange of a token.

use avouch_crypto::base64url;
use avouch_testkit::{Client, TestApp, TestIssuer, TestResponse};
use serde_json::{Value, json};

pub const CR_TOKEN: &str = "urn:ibm:params:oauth:grant-type:cr-token";
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

pub struct World {
    pub t: TestApp,
    pub admin: Client,
    pub issuer: TestIssuer,
    pub cluster: Value,
    pub profile: Value,
}

impl World {
    /// A cluster `c1` whose service account `team-a/reader` is linked to the profile `builder`.
    pub async fn new() -> Self {
        Self::with(json!({})).await
    }

    /// The same with further members of the registration.
    pub async fn with(more: Value) -> Self {
        Self::on(TestApp::new().await, more).await
    }

    /// The same on a server of one's own.
    pub async fn on(t: TestApp, more: Value) -> Self {
        let admin = t.admin().await;
        let issuer = TestIssuer::new(ISSUER);
        let r = register(&admin, "c1", &issuer, more).await;
        assert_eq!(r.status, 201, "{}", r.body);
        let cluster = r.body;
        let profile = profile(&t, &admin, "builder").await;
        link(&admin, &profile, &cluster, "team-a", "reader").await;
        Self { t, admin, issuer, cluster, profile }
    }

    pub fn id(&self) -> &str {
        text(&self.cluster, "id")
    }

    pub fn path(&self) -> String {
        format!("/avouch/v1/clusters/{}", self.id())
    }

    pub fn now(&self) -> i64 {
        self.t.now().secs()
    }

    /// A token of the linked service account.
    pub fn token(&self) -> String {
        self.issuer.token("team-a", "reader", "reader-0", self.now())
    }

    /// A token whose claims `change` has altered.
    pub fn forged(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = self.issuer.claims("team-a", "reader", "reader-0", self.now());
        change(&mut claims);
        self.issuer.sign(&claims)
    }

    pub async fn exchange(&self, token: &str) -> TestResponse {
        exchange(&self.t, token, &[("profile_id", text(&self.profile, "id"))]).await
    }

    /// The error code of an exchange, or `ok`.
    pub async fn code(&self, token: &str) -> String {
        code(&self.exchange(token).await)
    }
}

pub fn code(r: &TestResponse) -> String {
    match r.status {
        200 => "ok".to_owned(),
        _ => r.body["errorCode"].as_str().unwrap_or("no code").to_owned(),
    }
}

pub fn text<'a>(v: &'a Value, name: &str) -> &'a str {
    v[name].as_str().unwrap_or_else(|| panic!("no {name} in {v}"))
}

pub async fn register(admin: &Client, name: &str, issuer: &TestIssuer, more: Value) -> TestResponse {
    let mut body = json!({"name": name, "cr_type": "IKS_SA", "issuer": issuer.issuer, "jwks": issuer.jwks()});
    for (k, v) in more.as_object().unwrap() {
        body[k] = v.clone();
    }
    admin.post("/avouch/v1/clusters", body).await
}

pub async fn profile(t: &TestApp, admin: &Client, name: &str) -> Value {
    let r = admin.post("/v1/profiles", json!({"name": name, "account_id": t.account()})).await;
    assert_eq!(r.status, 201, "{}", r.body);
    r.body
}

pub async fn link(admin: &Client, profile: &Value, cluster: &Value, namespace: &str, name: &str) -> Value {
    let path = format!("/v1/profiles/{}/links", text(profile, "id"));
    let link = json!({"crn": cluster["crn"], "namespace": namespace, "name": name});
    let r = admin.post(&path, json!({"cr_type": "IKS_SA", "link": link})).await;
    assert_eq!(r.status, 201, "{}", r.body);
    r.body
}

pub async fn rule(admin: &Client, profile: &Value, cr_type: &str, conditions: Value) -> TestResponse {
    let path = format!("/v1/profiles/{}/rules", text(profile, "id"));
    admin.post(&path, json!({"type": "Profile-CR", "cr_type": cr_type, "conditions": conditions})).await
}

pub async fn exchange(t: &TestApp, token: &str, more: &[(&str, &str)]) -> TestResponse {
    let mut fields = vec![("grant_type", CR_TOKEN), ("cr_token", token)];
    fields.extend_from_slice(more);
    t.anon().form("/identity/token", &fields).await
}

/// The claims of a token, unverified.
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64url::decode(payload).unwrap()).unwrap()
}
