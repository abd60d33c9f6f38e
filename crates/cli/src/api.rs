//! The HTTP client of every command: one base address, one bearer token, no redirects (a token must not follow
//! them), three tries where waiting may help, all pages of a list.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Method, Url};
use serde_json::Value;

use crate::failure::{ApiError, Failure, Result, failed, usage};
use crate::output::{cell, say};
use crate::trace::{self, Trace};

const TRIES: u32 = 3;
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const SILENT_WAIT: Duration = Duration::from_secs(2);
const PAGES: usize = 100_000;
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Environment variables that move one service to another address, and the paths they move.
const OVERRIDES: &[(&str, &[&str])] = &[
    ("RESOURCE_CONTROLLER_ENDPOINT", &["/v2/resource_instances", "/v1/reclamations"]),
    ("RESOURCE_MANAGER_ENDPOINT", &["/v2/resource_groups"]),
    ("USER_MANAGEMENT_ENDPOINT", &["/v2/accounts"]),
    ("CONTAINERS_ENDPOINT", &["/v1/clusters"]),
    ("AVOUCH_ENDPOINT", &["/avouch/"]),
    ("IAM_ENDPOINT", &["/"]),
];

/// How the server is reached.
#[derive(Debug, Clone)]
pub struct Reach {
    /// Base address, without a trailing slash.
    pub endpoint: String,
    /// Certificates are not checked.
    pub skip_tls: bool,
    /// Limit of one request.
    pub timeout: Duration,
    /// Where traces go.
    pub trace: Trace,
}

/// What a session's token says about its owner. Read without verification: the server decides, this is for display.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    /// Subject of policies.
    pub iam_id: String,
    /// Account of the session.
    pub account: String,
    /// Name for people.
    pub user: String,
    /// Epoch seconds.
    pub expires: i64,
    /// A trusted profile acts.
    pub profile: bool,
    /// What stands behind the subject, if that is somebody else.
    pub behind: String,
}

impl Claims {
    /// Reads a compact token; anything unreadable is empty.
    pub fn read(token: &str) -> Claims {
        let claims = token
            .split('.')
            .nth(1)
            .and_then(|part| URL_SAFE_NO_PAD.decode(part).ok())
            .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
            .unwrap_or_default();
        let user =
            ["email", "name", "sub", "iam_id"].iter().map(|k| cell(&claims, k)).find(|v| !v.is_empty());
        Claims {
            iam_id: cell(&claims, "iam_id"),
            account: cell(&claims, "account.bss"),
            user: user.unwrap_or_default(),
            expires: claims["exp"].as_i64().unwrap_or(0),
            profile: claims["sub_type"] == "Profile",
            behind: Some(cell(&claims, "authn.iam_id"))
                .filter(|b| *b != cell(&claims, "iam_id"))
                .unwrap_or_default(),
        }
    }
}

/// A request to be made.
#[derive(Debug, Clone)]
pub struct Call {
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(&'static str, String)>,
    body: Body,
}

#[derive(Debug, Clone)]
enum Body {
    None,
    Json(Value),
    Merge(Value),
}

impl Call {
    fn new(method: Method, path: impl Into<String>) -> Call {
        Call { method, path: path.into(), query: Vec::new(), headers: Vec::new(), body: Body::None }
    }

    /// GET.
    pub fn get(path: impl Into<String>) -> Call {
        Call::new(Method::GET, path)
    }

    /// POST without a body.
    pub fn post(path: impl Into<String>) -> Call {
        Call::new(Method::POST, path)
    }

    /// PUT without a body.
    pub fn put(path: impl Into<String>) -> Call {
        Call::new(Method::PUT, path)
    }

    /// PATCH without a body.
    pub fn patch(path: impl Into<String>) -> Call {
        Call::new(Method::PATCH, path)
    }

    /// DELETE.
    pub fn delete(path: impl Into<String>) -> Call {
        Call::new(Method::DELETE, path)
    }

    /// A query parameter. An empty value is sent as it is: without it the call could mean more than was asked for.
    pub fn query(mut self, name: &str, value: impl Into<String>) -> Call {
        self.query.push((name.into(), value.into()));
        self
    }

    /// A query parameter that may be absent.
    pub fn query_opt(self, name: &str, value: Option<impl Into<String>>) -> Call {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// A header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Call {
        self.headers.push((name, value.into()));
        self
    }

    /// The version that is changed.
    pub fn if_match(self, etag: &str) -> Call {
        self.header("if-match", etag)
    }

    /// A JSON body.
    pub fn json(mut self, body: Value) -> Call {
        self.body = Body::Json(body);
        self
    }

    /// A JSON merge patch.
    pub fn merge(mut self, body: Value) -> Call {
        self.body = Body::Merge(body);
        self
    }
}

/// An answer of 2xx.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// The body; null if there is none.
    pub body: Value,
    /// Header `ETag`, else the body's `entity_tag`.
    pub etag: String,
}

/// The client.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    /// For other addresses than the server's own: certificates are checked in any case.
    elsewhere: reqwest::Client,
    reach: Reach,
    token: Option<String>,
    /// Owner of the token.
    pub claims: Claims,
    last_transaction: Arc<Mutex<String>>,
}

impl Api {
    /// A client without a token.
    pub fn new(reach: Reach) -> Result<Api> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = |skip_tls| {
            let mut builder = reqwest::Client::builder()
                .user_agent(concat!("avouch-cli/", env!("CARGO_PKG_VERSION")))
                .timeout(reach.timeout)
                .connect_timeout(reach.timeout.min(Duration::from_secs(10)))
                .redirect(reqwest::redirect::Policy::none());
            if direct(&reach.endpoint) {
                builder = builder.no_proxy();
            }
            if skip_tls {
                builder = builder.tls_danger_accept_invalid_certs(true);
            }
            builder.build().map_err(|e| failed(format!("No HTTP client: {}.", chain(&e))))
        };
        let http = client(reach.skip_tls)?;
        let elsewhere = if reach.skip_tls { client(false)? } else { http.clone() };
        let last_transaction = Arc::default();
        Ok(Api { http, elsewhere, reach, token: None, claims: Claims::default(), last_transaction })
    }

    fn client(&self, url: &Url) -> &reqwest::Client {
        let own = Url::parse(&self.reach.endpoint).is_ok_and(|own| own.origin() == url.origin());
        if own { &self.http } else { &self.elsewhere }
    }

    /// The same client with a session's token (with or without `Bearer`).
    pub fn with_token(&self, token: &str) -> Api {
        let token = token.strip_prefix("Bearer ").unwrap_or(token);
        Api { token: Some(token.to_owned()), claims: Claims::read(token), ..self.clone() }
    }

    /// Base address.
    pub fn endpoint(&self) -> &str {
        &self.reach.endpoint
    }

    /// Account of the session.
    pub fn account(&self) -> Result<&str> {
        match self.claims.account.as_str() {
            "" => Err(failed("No account targeted. Use 'target -c ACCOUNT'.")),
            account => Ok(account),
        }
    }

    /// Id of the last request, to be told when something was not found.
    pub fn last_transaction(&self) -> String {
        self.last_transaction.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends and reads; an answer outside 2xx is a failure.
    pub async fn send(&self, call: Call) -> Result<Reply> {
        let url = self.url(&call.path, &call.query)?;
        let idempotent = call.method != Method::POST && call.method != Method::PATCH;
        let prepare = || {
            let mut request = self
                .client(&url)
                .request(call.method.clone(), url.clone())
                .header("accept", "application/json");
            if let Some(token) = &self.token {
                request = request.bearer_auth(token);
            }
            for (name, value) in &call.headers {
                request = request.header(*name, value);
            }
            match &call.body {
                Body::None => request,
                Body::Json(value) => request.json(value),
                Body::Merge(value) => {
                    request.header("content-type", "application/merge-patch+json").body(value.to_string())
                }
            }
        };
        let shown = if self.reach.trace.off() {
            String::new()
        } else {
            match &call.body {
                Body::None => String::new(),
                Body::Json(value) | Body::Merge(value) => trace::body(&call.path, value),
            }
        };
        self.attempt(prepare, &shown, idempotent).await
    }

    /// Sends a form to the token endpoint as the published command line's client.
    pub async fn token(&self, fields: &[(&str, String)]) -> Result<Value> {
        self.form("/identity/token", fields).await
    }

    /// Sends a form to a path of the token service.
    pub async fn form(&self, path: &str, fields: &[(&str, String)]) -> Result<Value> {
        let url = self.url(path, &[])?;
        let prepare = || {
            self.client(&url)
                .post(url.clone())
                .header("accept", "application/json")
                // COMPAT: the published command line logs in as this public client; sessions depend on it.
                .basic_auth("bx", Some("bx"))
                .form(fields)
        };
        Ok(self.attempt(prepare, &trace::form(fields), false).await?.body)
    }

    async fn attempt(
        &self,
        prepare: impl Fn() -> reqwest::RequestBuilder,
        shown: &str,
        idempotent: bool,
    ) -> Result<Reply> {
        let mut tried = 0;
        loop {
            tried += 1;
            let request = prepare()
                .build()
                .map_err(|e| failed(format!("The request cannot be built: {}.", chain(&e))))?;
            let path = request.url().path().to_owned();
            let title = format!("REQUEST {} {}", request.method(), request.url());
            self.reach.trace.write(&title, &pairs(request.headers()), shown);
            let client = self.client(request.url());
            let response = client.execute(request).await.map_err(|e| self.unreachable(&e))?;
            let status = response.status().as_u16();
            let headers = response.headers().clone();
            let text = response.bytes().await.map_err(|e| self.unreachable(&e))?;
            let body: Value = serde_json::from_slice(&text).unwrap_or_default();
            self.reach.trace.write(
                &format!("RESPONSE {status}"),
                &pairs(&headers),
                &trace::body(&path, &body),
            );
            let header =
                |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
            let transaction = header("transaction-id");
            self.last_transaction.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&transaction);
            if (200..300).contains(&status) {
                if body.is_null() && !text.is_empty() {
                    return Err(failed(format!(
                        "{} does not answer like an API: not JSON.",
                        self.reach.endpoint
                    )));
                }
                let etag = Some(header("etag"))
                    .filter(|e| !e.is_empty())
                    .unwrap_or_else(|| cell(&body, "entity_tag"));
                return Ok(Reply { body, etag });
            }
            // 429 and 503 were not acted on; the other failures may have been, so only what can be repeated is.
            let again = matches!(status, 429 | 503) || (idempotent && matches!(status, 500 | 502 | 504));
            if !again || tried >= TRIES {
                return Err(Failure::Api(Box::new(ApiError::read(status, &transaction, &body))));
            }
            let wait = delay(&headers, tried);
            if wait > SILENT_WAIT {
                say(&format!("The server answered {status}; trying again in {} s.\n", wait.as_secs()));
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// All pages of a list: every published way of pointing to the next page is followed by its cursor only, so that
    /// no answer can send the token to another address.
    pub async fn list(&self, call: Call, key: &str) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut call = call;
        for _ in 0..PAGES {
            let reply = self.send(call.clone()).await?;
            let page = if key.is_empty() { &reply.body } else { &reply.body[key] };
            let Some(page) = page.as_array() else {
                return Err(failed(format!("{} answered without a list.", self.reach.endpoint)));
            };
            items.extend(page.iter().cloned());
            let Some((name, value)) = cursor(&reply.body) else { return Ok(items) };
            let same = call.query.iter().any(|(n, v)| *n == name && *v == value);
            if same {
                return Err(failed("The list does not end: a page points at itself."));
            }
            call.query.retain(|(n, _)| *n != name);
            call.query.push((name, value));
        }
        Err(failed("The list does not end."))
    }

    fn url(&self, path: &str, query: &[(String, String)]) -> Result<Url> {
        let text = if path.starts_with("http://") || path.starts_with("https://") {
            path.to_owned()
        } else {
            let moved = OVERRIDES
                .iter()
                .filter(|(_, prefixes)| prefixes.iter().any(|p| path.starts_with(p)))
                .find_map(|(name, _)| std::env::var(name).ok().filter(|v| !v.is_empty()));
            format!("{}{path}", moved.as_deref().unwrap_or(&self.reach.endpoint).trim_end_matches('/'))
        };
        // An address means something else with them: the collection, or another object.
        let named = text.split_once("://").map_or(text.as_str(), |(_, rest)| rest);
        if named.split('/').skip(1).any(|part| matches!(part, "" | "." | "..")) {
            return Err(usage("An id or name is empty, '.' or '..'."));
        }
        let mut url = Url::parse(&text).map_err(|_| failed(format!("'{text}' is not an address.")))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let address = error.url().map_or(self.reach.endpoint.as_str(), Url::as_str);
        let address = Url::parse(address).map(|u| u.origin().ascii_serialization()).unwrap_or_default();
        if error.is_timeout() {
            return failed(format!("{address} did not answer within {} s.", self.reach.timeout.as_secs()));
        }
        let cause = chain(error);
        // What a server that speaks plain HTTP looks like to TLS.
        if address.starts_with("https:") && cause.contains("InvalidContentType") {
            let plain = address.replacen("https:", "http:", 1);
            return failed(format!(
                "Cannot reach {address}: nobody speaks TLS there. If the server is without TLS, write {plain}."
            ));
        }
        failed(format!("Cannot reach {address}: {cause}.{}", advice(&cause)))
    }
}

/// What to do about a certificate that is not trusted.
fn advice(cause: &str) -> &'static str {
    if cause.contains("UnknownIssuer") {
        "\nNobody known to this machine vouches for the server's certificate. If it is your own, name the file (PEM) that it \
         is checked against in the variable SSL_CERT_FILE; to try things out, --skip-ssl-validation checks nothing."
    } else {
        ""
    }
}

/// One segment of a path.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

/// True when the address is on this machine.
pub fn loopback(address: &str) -> bool {
    let Ok(url) = Url::parse(address) else { return false };
    match url.host_str().map(|h| h.trim_matches(['[', ']'])) {
        Some("localhost") => true,
        Some(host) => host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}

/// True when no proxy could reach the address: what it means depends on the machine.
fn direct(address: &str) -> bool {
    let host = Url::parse(address).ok().and_then(|url| url.host_str().map(str::to_owned));
    let ip = host.and_then(|host| host.parse::<std::net::Ipv4Addr>().ok());
    loopback(address) || ip.is_some_and(|ip| ip.is_link_local())
}

fn cursor(body: &Value) -> Option<(String, String)> {
    if let Some(start) = body["next"]["start"].as_str() {
        return Some(("start".into(), start.into()));
    }
    let link =
        [&body["next"]["href"], &body["next"], &body["next_url"]].into_iter().find_map(Value::as_str)?;
    let Some((_, query)) = link.split_once('?') else {
        // Our own lists give the bare cursor.
        return (!link.is_empty() && !link.contains('/')).then(|| ("cursor".into(), link.into()));
    };
    let known = ["pagetoken", "start", "_start", "cursor", "offset"];
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    known.iter().find_map(|k| pairs.iter().find(|(n, v)| n == k && !v.is_empty()).cloned())
}

fn delay(headers: &HeaderMap, tried: u32) -> Duration {
    let asked = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(|v| v.trim().parse().ok());
    asked.map(Duration::from_secs).unwrap_or(Duration::from_millis(250 << tried)).min(LONGEST_WAIT)
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    headers.iter().map(|(n, v)| (n.to_string(), v.to_str().unwrap_or_default().to_owned())).collect()
}

/// The innermost cause: the outer texts only repeat the address.
fn chain(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
#[path = "api_tests.rs"]
mod tests;
