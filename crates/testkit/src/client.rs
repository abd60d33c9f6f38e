//! Requests through the real router, without a socket.

use std::net::IpAddr;

use avouch_server::Assembled;
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, Full};
use serde_json::Value;

/// A client with or without a token.
#[derive(Clone)]
pub struct Client {
    server: Assembled,
    token: Option<String>,
    host: String,
    headers: Vec<(String, String)>,
    address: IpAddr,
}

/// An answer.
#[derive(Debug)]
pub struct TestResponse {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// JSON body; `Null` when it is empty or not JSON.
    pub body: Value,
    /// Raw body.
    pub text: String,
}

impl TestResponse {
    /// A header as text; empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// The entity tag.
    pub fn etag(&self) -> String {
        self.header("etag").to_owned()
    }
}

impl Client {
    pub(crate) fn new(server: Assembled, token: Option<String>) -> Self {
        Self {
            server,
            token,
            host: "avouch.test".into(),
            headers: Vec::new(),
            address: [127, 0, 0, 1].into(),
        }
    }

    /// The same client asking for another host.
    #[must_use]
    pub fn at(mut self, host: &str) -> Self {
        self.host = host.into();
        self
    }

    /// The same client from another address.
    #[must_use]
    pub fn from(mut self, address: IpAddr) -> Self {
        self.address = address;
        self
    }

    /// The token it sends.
    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    /// The same client with one more header.
    #[must_use]
    pub fn with_header(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        other.headers.push((name.to_owned(), value.to_owned()));
        other
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> TestResponse {
        self.send("GET", path, "", Vec::new()).await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> TestResponse {
        self.send("DELETE", path, "", Vec::new()).await
    }

    /// `POST` of JSON; `Value::Null` sends no body.
    pub async fn post(&self, path: &str, body: Value) -> TestResponse {
        self.json("POST", path, body).await
    }

    /// `PUT` of JSON.
    pub async fn put(&self, path: &str, body: Value) -> TestResponse {
        self.json("PUT", path, body).await
    }

    /// `PATCH` of JSON.
    pub async fn patch(&self, path: &str, body: Value) -> TestResponse {
        self.json("PATCH", path, body).await
    }

    /// Any method with a JSON body; `Value::Null` sends none.
    pub async fn json(&self, method: &str, path: &str, body: Value) -> TestResponse {
        if body.is_null() {
            return self.send(method, path, "", Vec::new()).await;
        }
        self.send(method, path, "application/json", body.to_string().into_bytes()).await
    }

    /// `POST` of a form.
    pub async fn form(&self, path: &str, fields: &[(&str, &str)]) -> TestResponse {
        let mut text = String::new();
        for (name, value) in fields {
            if !text.is_empty() {
                text.push('&');
            }
            text.push_str(name);
            text.push('=');
            for b in value.bytes() {
                if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) {
                    text.push(char::from(b));
                } else {
                    text.push_str(&format!("%{b:02X}"));
                }
            }
        }
        self.send("POST", path, "application/x-www-form-urlencoded", text.into_bytes()).await
    }

    /// Any request.
    pub async fn send(&self, method: &str, path: &str, content_type: &str, body: Vec<u8>) -> TestResponse {
        let mut request = http::Request::builder().method(method).uri(path).header("host", &self.host);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if !content_type.is_empty() {
            request = request.header("content-type", content_type);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let response =
            avouch_gate::http::serve(&self.server.app, &self.server.router, request, self.address).await;
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        TestResponse {
            status: head.status.as_u16(),
            headers: head.headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            text: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }
}
