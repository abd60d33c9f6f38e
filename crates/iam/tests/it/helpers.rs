//! What several files of identity tests need.

use avouch_iam::api_keys;
use avouch_testkit::{Client, TestApp, TestResponse};
use avouch_wire::ids::{AccountId, ApiKeyId, IamId};
use serde_json::{Value, json};
use uuid::Uuid;

/// A text member of the answer.
pub fn text(r: &TestResponse, name: &str) -> String {
    r.body[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", r.body)).to_owned()
}

/// Message code of an error.
pub fn code(r: &TestResponse) -> &str {
    r.body["errors"][0]["message_code"].as_str().unwrap_or_default()
}

/// A new profile; its id.
pub async fn profile(t: &TestApp, admin: &Client, name: &str) -> String {
    let r = admin.post("/v1/profiles", json!({"name": name, "account_id": t.account()})).await;
    assert_eq!(r.status, 201, "{}", r.body);
    text(&r, "id")
}

/// A new service ID; the whole answer.
pub async fn service_id(t: &TestApp, admin: &Client, name: &str) -> TestResponse {
    let r = admin.post("/v1/serviceids", json!({"account_id": t.account(), "name": name})).await;
    assert_eq!(r.status, 201, "{}", r.body);
    r
}

/// A user of the account without any policy, with his IAM id.
pub async fn user(t: &TestApp, name: &str) -> (Client, String) {
    let admin = t.admin().await;
    let r = admin.post("/avouch/v1/users", json!({"email": format!("{name}@avouch.test")})).await;
    assert_eq!(r.status, 201, "{}", r.body);
    let iam_id = text(&r, "iam_id");
    let value = format!("{name}-{}", "k".repeat(40));
    let (account, owner) = (AccountId::parse(t.account()).unwrap(), IamId::parse(&iam_id).unwrap());
    let (digest, id) = (avouch_crypto::digest::sha256(value.as_bytes()), ApiKeyId::from_uuid(Uuid::new_v4()));
    let (digest, now) = (avouch_crypto::digest::hex(&digest), t.now());
    t.app()
        .store
        .write(move |tx| {
            api_keys::create_for_owner(tx, (&account, &owner), ("first", ""), (&id, &digest, "1-0"), now)
        })
        .await
        .unwrap();
    let token = t.token(&value).await;
    (t.bearer(&token), iam_id)
}

/// Grants a platform role on IAM identity, narrowed by further attributes.
pub async fn grant(t: &TestApp, iam_id: &str, role: &str, more: &[(&str, &str)]) {
    let admin = t.admin().await;
    let attribute = |key: &str, value: &str| json!({"key": key, "operator": "stringEquals", "value": value});
    let mut attributes = vec![attribute("accountId", t.account()), attribute("serviceName", "iam-identity")];
    attributes.extend(more.iter().map(|(k, v)| attribute(k, v)));
    t.grant(&admin, iam_id, &format!("crn:v1:bluemix:public:iam::::role:{role}"), Value::Array(attributes))
        .await;
}

/// Newest event of this action.
pub async fn event(t: &TestApp, action: &str) -> Value {
    let found = t.events(&[("action", action)]).await;
    found.first().unwrap_or_else(|| panic!("no event {action}")).clone()
}
