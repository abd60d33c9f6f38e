//! Clients of the VPC service: every call says version and generation.

use avouch_testkit::{Client, TestApp, TestResponse};
use serde_json::Value;

/// What every call must say.
pub const ASKED: &str = "version=2026-01-01&generation=2";

/// A client that says it.
#[derive(Clone)]
pub struct Vpc(pub Client);

/// The path with what every call must say.
pub fn at(path: &str) -> String {
    let mark = if path.contains('?') { '&' } else { '?' };
    format!("/v1{path}{mark}{ASKED}")
}

impl Vpc {
    pub async fn admin(t: &TestApp) -> Self {
        Self(t.admin().await)
    }

    pub async fn get(&self, path: &str) -> TestResponse {
        self.0.get(&at(path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> TestResponse {
        self.0.post(&at(path), body).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> TestResponse {
        let body = body.to_string().into_bytes();
        self.0.send("PATCH", &at(path), "application/merge-patch+json", body).await
    }

    pub async fn put(&self, path: &str, body: Value) -> TestResponse {
        self.0.put(&at(path), body).await
    }

    pub async fn delete(&self, path: &str) -> TestResponse {
        self.0.delete(&at(path)).await
    }

    /// Makes something that must succeed.
    pub async fn made(&self, path: &str, body: Value) -> Value {
        let r = self.post(path, body).await;
        assert_eq!(r.status, 201, "{path}: {}", r.text);
        r.body
    }
}

/// A text member.
pub fn text<'v>(v: &'v Value, name: &str) -> &'v str {
    v[name].as_str().unwrap_or_else(|| panic!("no {name} in {v}"))
}

/// Status, code and field of the first error.
pub fn refused(r: &TestResponse) -> (u16, String, String) {
    let e = &r.body["errors"][0];
    let word = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    (r.status, word(&e["code"]), word(&e["target"]["name"]))
}

/// The same, for comparing.
pub fn as_refused(status: u16, code: &str, field: &str) -> (u16, String, String) {
    (status, code.into(), field.into())
}

/// A public key that differs by its number.
pub fn public_key(n: u8) -> String {
    let mut blob = Vec::new();
    for part in [b"ssh-ed25519".as_slice(), &[n; 32]] {
        blob.extend_from_slice(&u32::try_from(part.len()).unwrap().to_be_bytes());
        blob.extend_from_slice(part);
    }
    let mut text = String::new();
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for three in blob.chunks(3) {
        let bits = three.iter().fold(0_u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - three.len()));
        for at in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at > three.len() { '=' } else { char::from(digit) });
        }
    }
    format!("ssh-ed25519 {text} test{n}")
}

/// What an answer with a list holds, by one member of each.
pub fn column(r: &TestResponse, array: &str, member: &str) -> Vec<String> {
    let items = r.body[array].as_array().unwrap_or_else(|| panic!("no {array} in {}", r.text));
    items.iter().map(|i| text(i, member).to_owned()).collect()
}

impl Vpc {
    /// A VPC with its default prefixes.
    pub async fn net(&self, name: &str) -> Value {
        self.made("/vpcs", serde_json::json!({"name": name})).await
    }

    /// A subnet of a VPC in the first zone, of so many addresses.
    pub async fn subnet(&self, vpc: &Value, name: &str, size: u32) -> Value {
        let body = serde_json::json!({"name": name, "vpc": {"id": vpc["id"]},
            "zone": {"name": "us-south-1"}, "total_ipv4_address_count": size});
        self.made("/subnets", body).await
    }

    /// An interface of a subnet.
    pub async fn interface(&self, subnet: &Value, name: &str) -> Value {
        let body = serde_json::json!({"name": name, "subnet": {"id": subnet["id"]}});
        self.made("/virtual_network_interfaces", body).await
    }
}

/// Path of an object.
pub fn one(collection: &str, object: &Value) -> String {
    format!("/{collection}/{}", text(object, "id"))
}
