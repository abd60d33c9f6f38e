//! An in-process server for tests: the real router and a real store, a clock that tests move, clients by privilege.
//!
//! The engine is chosen by the environment (`AVOUCH_TEST_ENGINE`), so the whole suite runs on SQLite and PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod client;
mod issuer;

use std::net::IpAddr;
use std::sync::Arc;

use avouch_crypto::rng::SystemRandom;
use avouch_gate::App;
use avouch_gate::clock::ManualClock;
use avouch_gate::config::Config;
use avouch_gate::http::Router;
use avouch_server::{Assembled, Options};
use avouch_store::testing::{Home, engine, home};
use avouch_wire::ids::AccountId;
use avouch_wire::time::Timestamp;
use serde_json::{Value, json};

pub use client::{Client, TestResponse};
pub use issuer::TestIssuer;

/// A server of one test.
pub struct TestApp {
    server: Assembled,
    clock: Arc<ManualClock>,
    account: String,
    owner: String,
    api_key: String,
    resource_group: String,
    data: tempfile::TempDir,
    _store: Home,
}

impl TestApp {
    /// A server with default settings.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A server with settings changed by `f`.
    pub async fn with(f: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { public_url: "http://avouch.test".into(), ..Config::default() };
        config.fetch.allow = vec!["127.0.0.0/8".into()];
        f(&mut config);
        let clock = Arc::new(ManualClock::new(Timestamp::parse_rfc3339("2026-03-02T10:00:00Z").unwrap()));
        let data = tempfile::tempdir().unwrap();
        let (store_config, store_dir) = home(engine()).unwrap();
        let options = Options {
            config,
            data: data.path().to_owned(),
            store: Some(store_config),
            clock: clock.clone(),
            rng: Arc::new(SystemRandom),
        };
        let (options, store, keyring) = tokio::task::spawn_blocking(move || {
            let (store, keyring) = avouch_server::assemble::open_store(&options).unwrap();
            (options, store, keyring)
        })
        .await
        .unwrap();
        let server = avouch_server::assemble(options, store, keyring).await.unwrap();
        let made = avouch_server::bootstrap::ensure(&server.app, None).await.unwrap().unwrap();
        Self {
            server,
            clock,
            account: made.account.to_string(),
            owner: made.iam_id.to_string(),
            api_key: made.api_key.expose().clone(),
            resource_group: made.resource_group,
            data,
            _store: store_dir,
        }
    }

    /// Shared state, for tests that look behind the scenes.
    pub fn app(&self) -> &Arc<App> {
        &self.server.app
    }

    /// The server, to serve it on a socket.
    pub fn server(&self) -> &Assembled {
        &self.server
    }

    /// Folder of the server.
    pub fn data(&self) -> &std::path::Path {
        self.data.path()
    }

    /// Account id.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// IAM id of the account's owner.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The owner's API key.
    pub fn api_key(&self) -> &str {
        &self.api_key
    }

    /// Id of the default resource group.
    pub fn resource_group(&self) -> &str {
        &self.resource_group
    }

    /// Moves the clock.
    pub fn advance_secs(&self, seconds: i64) {
        self.clock.advance_secs(seconds);
    }

    /// Sets the wall clock forward or back, while no time passes.
    pub fn jump_secs(&self, seconds: i64) {
        self.clock.jump_secs(seconds);
    }

    /// The clock.
    pub fn now(&self) -> Timestamp {
        avouch_gate::clock::Clock::now(self.clock.as_ref())
    }

    /// One round of the background jobs.
    pub async fn tick(&self) {
        avouch_server::background::tick(&self.server.app).await;
    }

    /// A client without any token.
    pub fn anon(&self) -> Client {
        Client::new(self.server.clone(), None)
    }

    /// A client that sends this token.
    pub fn bearer(&self, token: &str) -> Client {
        Client::new(self.server.clone(), Some(token.to_owned()))
    }

    /// A client inside an instance: what it asks arrives on the listener of that instance.
    pub fn inside(&self, id: &str) -> Client {
        let who = Arc::new(avouch_vpc::metadata::Who::new(
            AccountId::parse(self.account()).unwrap(),
            id.to_owned(),
        ));
        let router = Router::new(vec![avouch_vpc::metadata::service(&who)]).unwrap();
        let server = Assembled { app: self.app().clone(), router: Arc::new(router) };
        Client::new(server, None).at("169.254.169.254")
    }

    /// A client from another address.
    pub fn anon_from(&self, address: IpAddr) -> Client {
        Client::new(self.server.clone(), None).from(address)
    }

    /// The token of an API key.
    pub async fn token(&self, api_key: &str) -> String {
        let r = self
            .anon()
            .form(
                "/identity/token",
                &[("grant_type", "urn:ibm:params:oauth:grant-type:apikey"), ("apikey", api_key)],
            )
            .await;
        assert_eq!(r.status, 200, "{}", r.body);
        r.body["access_token"].as_str().unwrap().to_owned()
    }

    /// The owner of the account.
    pub async fn admin(&self) -> Client {
        let token = self.token(&self.api_key).await;
        self.bearer(&token)
    }

    /// A new service ID with this role (display name) on all services, account management and, where the role is a
    /// platform role, resource groups.
    pub async fn with_role(&self, role: &str) -> Client {
        let (client, iam_id) = self.service_id(role).await;
        let admin = self.admin().await;
        for service_type in ["service", "platform_service"] {
            self.grant(
                &admin,
                &iam_id,
                &format!("crn:v1:bluemix:public:iam::::role:{role}"),
                json!([
                    {"key": "accountId", "operator": "stringEquals", "value": self.account},
                    {"key": "serviceType", "operator": "stringEquals", "value": service_type}
                ]),
            )
            .await;
        }
        client
    }

    /// A client of a new service ID without any right, with its IAM id.
    pub async fn service_id(&self, name: &str) -> (Client, String) {
        let admin = self.admin().await;
        let r = admin
            .post(
                "/v1/serviceids",
                json!({"account_id": self.account, "name": name, "apikey": {"name": "test"}}),
            )
            .await;
        assert_eq!(r.status, 201, "{}", r.body);
        let key = r.body["apikey"]["apikey"].as_str().unwrap().to_owned();
        let token = self.token(&key).await;
        (self.bearer(&token), r.body["iam_id"].as_str().unwrap().to_owned())
    }

    /// Grants a role (CRN) on a target (v2 attributes) to an IAM id; returns the policy id.
    pub async fn grant(&self, admin: &Client, iam_id: &str, role: &str, attributes: Value) -> String {
        let r = admin
            .post(
                "/v2/policies",
                json!({
                    "type": "access",
                    "subject": {"attributes": [{"key": "iam_id", "operator": "stringEquals", "value": iam_id}]},
                    "control": {"grant": {"roles": [{"role_id": role}]}},
                    "resource": {"attributes": attributes},
                }),
            )
            .await;
        assert_eq!(r.status, 201, "{}", r.body);
        r.body["id"].as_str().unwrap().to_owned()
    }

    /// Administrator of everything, but not the owner.
    pub async fn administrator(&self) -> Client {
        self.with_role("Administrator").await
    }

    /// Editor of everything.
    pub async fn editor(&self) -> Client {
        self.with_role("Editor").await
    }

    /// Operator of everything.
    pub async fn operator(&self) -> Client {
        self.with_role("Operator").await
    }

    /// Viewer of everything.
    pub async fn viewer(&self) -> Client {
        self.with_role("Viewer").await
    }

    /// A service ID of the account without any policy.
    pub async fn nobody(&self) -> Client {
        self.service_id("nobody").await.0
    }

    /// The owner of another account on the same server.
    pub async fn outsider(&self) -> Client {
        let app = &self.server.app;
        let made = avouch_server::Bootstrap::draw(app).unwrap();
        avouch_server::bootstrap::create_account(app, ("Other", false), "other@avouch.test", &made)
            .await
            .unwrap();
        let token = self.token(made.api_key.expose()).await;
        self.bearer(&token)
    }

    /// A Secrets Manager instance; returns its GUID.
    pub async fn secrets_instance(&self) -> String {
        let r = self
            .admin()
            .await
            .post(
                "/v2/resource_instances",
                json!({
                    "name": "secrets", "target": "us-south", "resource_group": self.resource_group,
                    "resource_plan_id": "7713c3a8-3be8-4a9a-81bb-ee822fcaac3d",
                }),
            )
            .await;
        assert_eq!(r.status, 201, "{}", r.body);
        r.body["guid"].as_str().unwrap().to_owned()
    }

    /// Events of the account that match all given `(field, value)` query pairs, newest first.
    pub async fn events(&self, query: &[(&str, &str)]) -> Vec<Value> {
        let pairs: Vec<String> = query.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let r =
            self.admin().await.get(&format!("/avouch/v1/audit/events?limit=200&{}", pairs.join("&"))).await;
        assert_eq!(r.status, 200, "{}", r.body);
        r.body["events"].as_array().unwrap().clone()
    }
}

/// The address of a new, empty PostgreSQL database, gone when the second value is dropped; none where the environment
/// names no server.
pub fn postgres_database() -> Option<(String, avouch_store::testing::Home)> {
    avouch_store::testing::postgres_url()?;
    let (config, home) = avouch_store::testing::home(avouch_store::Engine::Postgres).unwrap();
    match config.target {
        avouch_store::Target::Postgres(url) => Some((url, home)),
        avouch_store::Target::Sqlite(_) => None,
    }
}
