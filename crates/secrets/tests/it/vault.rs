//! What several files of these tests need.

use avouch_store::{Row, Value as Cell};
use avouch_testkit::{Client, TestApp, TestResponse};
use serde_json::{Value, json};

/// An id that nothing has.
pub const ABSENT: &str = "00000000-0000-4000-8000-00000000dead";
/// The documented text about locks.
pub const LOCKED: &str = "The requested action can't be completed because the secret version is locked.";

/// A server with one instance.
pub struct Vault {
    pub t: TestApp,
    pub guid: String,
}

/// A client of that instance: paths start behind `/api/v2`.
#[derive(Clone)]
pub struct Caller {
    pub client: Client,
    pub base: String,
}

impl Vault {
    pub async fn new() -> Self {
        let t = TestApp::new().await;
        let guid = t.secrets_instance().await;
        Self { t, guid }
    }

    pub fn caller(&self, client: Client) -> Caller {
        Caller { client, base: format!("/secrets-manager/{}/api/v2", self.guid) }
    }

    /// The owner of the account.
    pub async fn admin(&self) -> Caller {
        self.caller(self.t.admin().await)
    }

    /// A new service ID with a service role on the instance or on one group of it.
    pub async fn with_role(&self, role: &str, group: Option<&str>) -> Caller {
        let (client, iam_id) = self.t.service_id(role).await;
        self.grant(&iam_id, role, group).await;
        self.caller(client)
    }

    /// Grants a service role on the instance or on one group of it.
    pub async fn grant(&self, iam_id: &str, role: &str, group: Option<&str>) {
        let eq = |key: &str, value: &str| json!({"key": key, "operator": "stringEquals", "value": value});
        let mut attributes = vec![
            eq("accountId", self.t.account()),
            eq("serviceName", "secrets-manager"),
            eq("serviceInstance", &self.guid),
        ];
        if let Some(group) = group {
            attributes.push(eq("resourceType", "secret-group"));
            attributes.push(eq("resource", group));
        }
        let owner = if role.starts_with("Secret") { "secrets-manager" } else { "iam" };
        let role = format!("crn:v1:bluemix:public:{owner}::::serviceRole:{role}");
        self.t.grant(&self.t.admin().await, iam_id, &role, Value::Array(attributes)).await;
    }

    /// Rows of the store, each as its first column.
    pub async fn numbers(&self, sql: &'static str, text: &str) -> Vec<i64> {
        let text = text.to_owned();
        self.t
            .app()
            .store
            .read::<_, avouch_store::Error, _>(move |tx| {
                tx.query(sql, &[Cell::Text(text.clone())])?.iter().map(|row: &Row| row.get(0)).collect()
            })
            .await
            .unwrap()
    }

    /// Moves the clock and lets the background work run.
    pub async fn after(&self, seconds: i64) {
        self.t.advance_secs(seconds);
        self.t.tick().await;
    }

    /// A time from now on, as clients write it.
    pub fn at(&self, seconds: i64) -> String {
        self.t.now().plus_secs(seconds).rfc3339_secs()
    }
}

impl Caller {
    pub async fn get(&self, path: &str) -> TestResponse {
        self.client.get(&format!("{}{path}", self.base)).await
    }

    pub async fn delete(&self, path: &str) -> TestResponse {
        self.client.delete(&format!("{}{path}", self.base)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> TestResponse {
        self.client.post(&format!("{}{path}", self.base), body).await
    }

    pub async fn put(&self, path: &str, body: Value) -> TestResponse {
        self.client.put(&format!("{}{path}", self.base), body).await
    }

    /// As SDKs send it.
    pub async fn patch(&self, path: &str, body: Value) -> TestResponse {
        let body = body.to_string().into_bytes();
        self.client.send("PATCH", &format!("{}{path}", self.base), "application/merge-patch+json", body).await
    }

    /// Any method.
    pub async fn call(&self, method: &str, path: &str, body: Value) -> TestResponse {
        self.client.json(method, &format!("{}{path}", self.base), body).await
    }

    /// A new secret; the answer.
    pub async fn secret(&self, prototype: Value) -> Value {
        let r = self.post("/secrets", prototype).await;
        assert_eq!(r.status, 201, "{}", r.text);
        r.body
    }

    /// A new secret of the type `arbitrary`; its path.
    pub async fn text(&self, name: &str) -> String {
        let made = self
            .secret(json!({"secret_type": "arbitrary", "name": name, "payload": format!("{name}-1")}))
            .await;
        path(&made)
    }

    /// A new group; its id.
    pub async fn group(&self, name: &str) -> String {
        let r = self.post("/secret_groups", json!({"name": name})).await;
        assert_eq!(r.status, 201, "{}", r.text);
        r.body["id"].as_str().unwrap().to_owned()
    }

    /// A new version with this text; its id.
    pub async fn rotate(&self, secret: &str, payload: &str) -> String {
        let r = self.post(&format!("{secret}/versions"), json!({"payload": payload})).await;
        assert_eq!(r.status, 201, "{}", r.text);
        r.body["id"].as_str().unwrap().to_owned()
    }

    /// Locks the current version.
    pub async fn lock(&self, secret: &str, name: &str) {
        let r = self.post(&format!("{secret}/locks_bulk"), json!({"locks": [{"name": name}]})).await;
        assert_eq!(r.status, 201, "{}", r.text);
    }
}

/// Path of a secret.
pub fn path(secret: &Value) -> String {
    format!("/secrets/{}", secret["id"].as_str().unwrap())
}

/// Message of the first error.
pub fn message(r: &TestResponse) -> &str {
    r.body["errors"][0]["message"].as_str().unwrap_or_else(|| panic!("no error in {}", r.text))
}

/// IAM id in the caller's token.
pub fn iam_id(client: &Client) -> String {
    let body = client.token().split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&avouch_crypto::base64url::decode(body).unwrap()).unwrap();
    claims["iam_id"].as_str().unwrap().to_owned()
}

/// One member of every element.
pub fn column<'a>(list: &'a Value, name: &str) -> Vec<&'a str> {
    list.as_array().unwrap().iter().map(|v| v[name].as_str().unwrap_or_default()).collect()
}
