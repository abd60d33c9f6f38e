//! What the tests of access management need beside the test server.

use std::ops::Deref;

use avouch_gate::config::Config;
use serde_json::{Value, json};

/// A server of one test, with the words of access management.
pub struct TestApp(avouch_testkit::TestApp);

impl Deref for TestApp {
    type Target = avouch_testkit::TestApp;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl TestApp {
    pub async fn new() -> Self {
        Self(avouch_testkit::TestApp::new().await)
    }

    pub async fn with(f: impl FnOnce(&mut Config)) -> Self {
        Self(avouch_testkit::TestApp::with(f).await)
    }

    pub async fn admin(&self) -> Client {
        Client(self.0.admin().await)
    }

    pub fn anon(&self) -> Client {
        Client(self.0.anon())
    }

    pub async fn nobody(&self) -> Client {
        Client(self.0.nobody().await)
    }

    pub async fn with_role(&self, role: &str) -> Client {
        Client(self.0.with_role(role).await)
    }

    /// The owner of another account on the same server.
    pub async fn outsider(&self) -> Client {
        Client(self.0.outsider().await)
    }

    /// A new identity without any right, with its IAM id.
    pub async fn identity(&self) -> (Client, String) {
        let (client, iam_id) = self.0.service_id("test").await;
        (Client(client), iam_id)
    }

    /// Grants a role on a target of the account; returns the policy id.
    pub async fn grant(&self, iam_id: &str, role: &str, target: Value) -> String {
        let r = self.admin().await.post("/v2/policies", self.v2(iam_id, role, target)).await;
        assert_eq!(r.status, 201, "{}", r.body);
        r.body["id"].as_str().unwrap().to_owned()
    }

    /// A policy of the second schema on a target of the account.
    pub fn v2(&self, iam_id: &str, role: &str, target: Value) -> Value {
        let mut attributes = vec![eq("accountId", self.account())];
        attributes.extend(target.as_array().unwrap().iter().cloned());
        json!({
            "type": "access",
            "subject": {"attributes": [eq("iam_id", iam_id)]},
            "control": {"grant": {"roles": [{"role_id": role}]}},
            "resource": {"attributes": attributes},
        })
    }

    /// Replaces the stored document of a policy, as a damaged store or a later version would.
    pub async fn tamper(&self, id: &str, document: &str) {
        let (account, id, document) = (self.account().to_owned(), id.to_owned(), document.to_owned());
        let done: Result<(), avouch_store::Error> = self
            .app()
            .store
            .write(move |tx| {
                tx.execute(
                    "update policies set document = $2 where id = $1",
                    &avouch_store::params![id.as_str(), document.as_str()],
                )?;
                tx.changed(&account, "policy", &id).map(|_| ())
            })
            .await;
        done.unwrap();
    }

    /// Audit bodies of the account with this action, oldest first.
    pub async fn events(&self, action: &str) -> Vec<Value> {
        self.app().audit.flush().await.unwrap();
        let (account, action) = (self.account().to_owned(), action.to_owned());
        let rows: Result<_, avouch_store::Error> = self
            .app()
            .store
            .read(move |tx| {
                tx.query(
                    "select body from audit_events where account_id = $1 and action = $2 order by time, id",
                    &avouch_store::params![account.as_str(), action.as_str()],
                )
            })
            .await;
        rows.unwrap().iter().map(|r| serde_json::from_str(&r.get::<String>(0).unwrap()).unwrap()).collect()
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

/// A client that knows what its token says.
#[derive(Clone)]
pub struct Client(avouch_testkit::Client);

impl Deref for Client {
    type Target = avouch_testkit::Client;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Client {
    pub fn with_header(&self, name: &str, value: &str) -> Self {
        Self(self.0.with_header(name, value))
    }

    /// The middle part of its token.
    pub fn token_body(&self) -> String {
        self.token().split('.').nth(1).unwrap().to_owned()
    }

    fn claim(&self) -> Value {
        serde_json::from_slice(&avouch_crypto::base64url::decode(self.token_body()).unwrap()).unwrap()
    }

    pub fn account(&self) -> String {
        self.claim()["account"]["bss"].as_str().unwrap().to_owned()
    }

    pub fn iam_id(&self) -> String {
        self.claim()["iam_id"].as_str().unwrap().to_owned()
    }
}

/// The machine code of an error.
pub fn code(r: &avouch_testkit::TestResponse) -> &str {
    r.body["errors"][0]["code"].as_str().unwrap_or_default()
}
