//! Servers as processes that can be killed, and a client that says what was answered.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_avouch");
const APIKEY: &str = "urn:ibm:params:oauth:grant-type:apikey";
const CR_TOKEN: &str = "urn:ibm:params:oauth:grant-type:cr-token";
/// Tokens name it as their issuer, so those of one process are good at the next.
pub const PUBLIC: &str = "http://avouch.test";

/// How a server is started.
#[derive(Clone)]
pub struct Setup {
    pub data: PathBuf,
    pub env: Vec<(&'static str, String)>,
    /// Program and arguments that run the server, if it is not run by itself.
    pub around: Vec<String>,
}

impl Setup {
    pub fn new(data: &Path) -> Setup {
        Setup { data: data.to_owned(), env: Vec::new(), around: Vec::new() }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Setup {
        self.env.push((name, value.into()));
        self
    }

    /// Starts a process and does not wait for it.
    pub fn spawn(&self) -> Starting {
        let mut words: VecDeque<&OsStr> = self.around.iter().map(OsStr::new).collect();
        words.extend([
            OsStr::new(PROGRAM),
            OsStr::new("server"),
            OsStr::new("--data"),
            self.data.as_os_str(),
        ]);
        words.extend([OsStr::new("--listen"), OsStr::new("127.0.0.1:0")]);
        let mut command = Command::new(words.pop_front().unwrap());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AVOUCH_")) {
            command.env_remove(name);
        }
        let child = command
            .args(words)
            .env("AVOUCH_PUBLIC_URL", PUBLIC)
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Starting(child)
    }

    #[track_caller]
    pub fn start(&self) -> Server {
        self.spawn().ready().unwrap_or_else(|said| panic!("the server did not start: {said}"))
    }

    /// What a server says that does not start.
    #[track_caller]
    pub fn refused(&self) -> String {
        match self.spawn().ready() {
            Ok(_) => panic!("the server started"),
            Err(said) => said,
        }
    }
}

pub struct Starting(Child);

impl Starting {
    /// Waits until it listens, or has ended: then what it said.
    pub fn ready(self) -> Result<Server, String> {
        self.ready_and(|lines| {
            std::thread::spawn(move || lines.for_each(drop));
        })
    }

    /// As [`Starting::ready`], but what it says from then on is taken by nobody.
    pub fn ready_unheard(self) -> Result<Server, String> {
        self.ready_and(drop)
    }

    fn ready_and(mut self, then: impl FnOnce(Lines<BufReader<ChildStderr>>)) -> Result<Server, String> {
        let mut said = String::new();
        let mut lines = BufReader::new(self.0.stderr.take().unwrap()).lines();
        for line in lines.by_ref().map_while(Result::ok) {
            if let Some(address) = line.strip_prefix("Avouch listens on ") {
                let url = format!("http://{address}");
                then(lines);
                return Ok(Server { child: self.0, url });
            }
            said.push_str(&line);
            said.push('\n');
        }
        let ended = self.0.wait().unwrap();
        assert!(!ended.success(), "a server that does not serve ended well: {said}");
        Err(said)
    }
}

pub struct Server {
    child: Child,
    pub url: String,
}

impl Server {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// As SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn terminate(&self) {
        assert!(Command::new("kill").args(["-TERM", &self.pid().to_string()]).status().unwrap().success());
    }

    pub fn ended(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    pub fn client(&self) -> Client {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
        Client { http, base: self.url.clone(), token: None }
    }

    /// Whoever holds the API key.
    pub async fn login(&self, key: &str) -> Client {
        let client = self.client();
        let answer = client.exchange_key(key).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        client.with(answer.body["access_token"].as_str().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub transaction: String,
    pub etag: String,
    pub body: Value,
}

impl Answer {
    #[track_caller]
    pub fn text(&self, pointer: &str) -> String {
        let found = self.body.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("{}: no {pointer} in {}", self.status, self.body)).to_owned()
    }

    #[track_caller]
    pub fn ok(self) -> Answer {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.body);
        self
    }
}

#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Client {
    pub fn with(&self, token: &str) -> Client {
        Client { token: Some(token.to_owned()), ..self.clone() }
    }

    /// Its token.
    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    /// The same caller at another server.
    pub fn at(&self, server: &Server) -> Client {
        Client { base: server.url.clone(), ..self.clone() }
    }

    /// `None` when no whole answer came.
    pub async fn send(&self, method: Method, path: &str, body: Option<Value>, etag: &str) -> Option<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if !etag.is_empty() {
            request = request.header("if-match", etag);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer(request).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None, "").await.unwrap()
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None, "").await.unwrap()
    }

    pub async fn try_post(&self, path: &str, body: Value) -> Option<Answer> {
        self.send(Method::POST, path, Some(body), "").await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.try_post(path, body).await.unwrap()
    }

    async fn exchange(&self, form: &[(&str, &str)]) -> Option<Answer> {
        answer(self.http.post(format!("{}/identity/token", self.base)).form(form)).await
    }

    pub async fn exchange_key(&self, key: &str) -> Option<Answer> {
        self.exchange(&[("grant_type", APIKEY), ("apikey", key)]).await
    }

    pub async fn exchange_pod(&self, token: &str, profile: &str) -> Option<Answer> {
        self.exchange(&[("grant_type", CR_TOKEN), ("cr_token", token), ("profile_id", profile)]).await
    }

    /// A figure of the server, by its whole name.
    pub async fn figure(&self, name: &str) -> u64 {
        let asked = self.http.get(format!("{}/metrics", self.base)).send().await.unwrap();
        let text = asked.text().await.unwrap();
        let found = text.lines().find_map(|l| l.strip_prefix(name)?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    /// Events of one request.
    pub async fn events_of(&self, transaction: &str) -> Vec<Value> {
        let page = self.get(&format!("/avouch/v1/audit/events?correlation_id={transaction}")).await.ok();
        page.body["events"].as_array().unwrap().clone()
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Option<Answer> {
    let response = request.send().await.inspect_err(|e| eprintln!("no answer: {e:?}")).ok()?;
    let header = |name: &str| {
        let value = response.headers().get(name).and_then(|v| v.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let (status, transaction, etag) = (response.status().as_u16(), header("transaction-id"), header("etag"));
    let text = response.text().await.ok()?;
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Some(Answer { status, transaction, etag, body })
}

/// A value of bootstrap.env.
pub fn bootstrap(data: &Path, name: &str) -> String {
    let env = std::fs::read_to_string(data.join("bootstrap.env")).unwrap();
    let prefix = format!("{name}=");
    env.lines().find_map(|l| l.strip_prefix(&prefix)).unwrap().to_owned()
}

/// What each test works on: an account with an instance, a secret, and a profile that a cluster's pods assume.
#[derive(Clone)]
pub struct World {
    pub account: String,
    pub key: String,
    pub instance: String,
    pub secret: String,
    pub profile: String,
    pub pod: String,
}

pub const PAYLOAD: &str = "correct horse";

impl World {
    pub async fn build(server: &Server, data: &Path) -> World {
        let (account, key) = (bootstrap(data, "ACCOUNT_ID"), bootstrap(data, "IAM_APIKEY"));
        let admin = server.login(&key).await;
        let cluster = Cluster::new();
        let body =
            json!({"name": "c", "cr_type": "IKS_SA", "issuer": Cluster::ISSUER, "jwks": cluster.jwks()});
        let crn = admin.post("/avouch/v1/clusters", body).await.ok().text("/crn");
        let profile = admin.post("/v1/profiles", json!({"name": "pods", "account_id": account})).await.ok();
        let profile = profile.text("/id");
        let link =
            json!({"name": "l", "cr_type": "IKS_SA", "link": {"crn": crn, "namespace": "n", "name": "a"}});
        admin.post(&format!("/v1/profiles/{profile}/links"), link).await.ok();
        let group = bootstrap(data, "RESOURCE_GROUP_ID");
        let body = json!({"name": "i", "target": "us-south", "resource_group": group,
            "resource_plan_id": "7713c3a8-3be8-4a9a-81bb-ee822fcaac3d"});
        let instance = admin.post("/v2/resource_instances", body).await.ok().text("/guid");
        let world =
            World { account, key, instance, secret: String::new(), profile, pod: cluster.token("n", "a") };
        let secret = admin.post(&world.secrets(), secret("first")).await.ok().text("/id");
        World { secret, ..world }
    }

    pub fn secrets(&self) -> String {
        format!("/secrets-manager/{}/api/v2/secrets", self.instance)
    }

    /// Lets the profile read secrets.
    pub fn policy(&self, subject: &str) -> Value {
        let equals = |key: &str, value: &str| json!({"key": key, "operator": "stringEquals", "value": value});
        json!({
            "type": "access",
            "subject": {"attributes": [equals("iam_id", subject)]},
            "control": {"grant": {"roles": [
                {"role_id": "crn:v1:bluemix:public:secrets-manager::::serviceRole:SecretsReader"}]}},
            "resource": {"attributes": [equals("accountId", &self.account),
                equals("serviceName", "secrets-manager"), equals("serviceInstance", &self.instance)]},
        })
    }
}

pub fn secret(name: &str) -> Value {
    json!({"secret_type": "arbitrary", "name": name, "payload": PAYLOAD})
}

/// A cluster that is registered by its keys.
struct Cluster(avouch_crypto::jws::SigningKey);

impl Cluster {
    const ISSUER: &'static str = "https://kubernetes.default.svc.cluster.local";

    fn new() -> Cluster {
        Cluster(avouch_crypto::jws::SigningKey::generate(avouch_crypto::jws::Alg::ES256).unwrap())
    }

    fn jwks(&self) -> Value {
        json!({"keys": [self.0.jwk("k1")]})
    }

    #[allow(clippy::disallowed_methods)] // the pod's clock
    fn token(&self, namespace: &str, name: &str) -> String {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let now = since.as_secs();
        let claims = json!({
            "iss": Self::ISSUER, "aud": ["iam"], "iat": now, "nbf": now, "exp": now + 3600, "jti": "pod",
            "sub": format!("system:serviceaccount:{namespace}:{name}"),
            "kubernetes.io": {"namespace": namespace,
                "serviceaccount": {"name": name, "uid": "8a2a5ad0-9f4d-4b6a-9f37-000000000001"},
                "pod": {"name": "p", "uid": "8a2a5ad0-9f4d-4b6a-9f37-000000000002"}},
        });
        avouch_crypto::jws::compact(&self.0, "k1", &claims)
    }
}
