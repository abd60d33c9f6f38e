//! The token service: every grant through the real router.

mod api_keys;
mod assume;
mod forms;
mod keys;
mod refresh;
mod revocations;

use avouch_crypto::base64url;
use avouch_testkit::{Client, TestApp, TestResponse};
use serde_json::{Value, json};

pub const APIKEY: &str = "urn:ibm:params:oauth:grant-type:apikey";
pub const ASSUME: &str = "urn:ibm:params:oauth:grant-type:assume";
pub const CR_TOKEN: &str = "urn:ibm:params:oauth:grant-type:cr-token";
pub const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// `POST /identity/token`.
pub async fn ask(client: &Client, fields: &[(&str, &str)]) -> TestResponse {
    client.form("/identity/token", fields).await
}

/// A client that names the public client of the command line.
pub fn bx(t: &TestApp) -> Client {
    t.anon().with_header("authorization", "Basic Yng6Yng=")
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

/// The claims of a token, unverified.
pub fn claims(token: &str) -> Value {
    serde_json::from_slice(&base64url::decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// Claims of the access token in an answer.
pub fn issued(r: &TestResponse) -> Value {
    assert_eq!(r.status, 200, "{}", r.body);
    claims(text(&r.body, "access_token"))
}

/// A service ID with a key: its record, and the key's value.
pub async fn service_id(t: &TestApp, name: &str) -> (Value, String) {
    let body = json!({"account_id": t.account(), "name": name, "apikey": {"name": "k"}});
    let r = t.admin().await.post("/v1/serviceids", body).await;
    assert_eq!(r.status, 201, "{}", r.body);
    let key = text(&r.body["apikey"], "apikey").to_owned();
    (r.body, key)
}

pub async fn profile(t: &TestApp, name: &str) -> Value {
    let r = t.admin().await.post("/v1/profiles", json!({"name": name, "account_id": t.account()})).await;
    assert_eq!(r.status, 201, "{}", r.body);
    r.body
}

/// Changes account settings.
pub async fn settings(t: &TestApp, body: Value) {
    let path = format!("/v1/accounts/{}/settings/identity", t.account());
    let r = t.admin().await.with_header("if-match", "*").put(&path, body).await;
    assert_eq!(r.status, 200, "{}", r.body);
}
