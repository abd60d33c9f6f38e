//! Metadata services of many instances, each with a router of its own as in the server, without a helper.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use avouch_gate::http::Router;
use avouch_server::Assembled;
use avouch_vpc::instances::{Status, life};
use avouch_vpc::metadata::{Who, service};
use avouch_wire::ids::AccountId;
use serde_json::{Value, json};

use crate::load::{Call, Load, call};
use crate::meter::Outcome;
use crate::world::World;

/// So many that none of them asks more often than it may.
const MANY: u64 = 256;
const ASKED: &str = "?version=2025-08-26&generation=2";

async fn made(world: &World, path: &str, body: &Value) -> Result<String> {
    let request = Call::post(format!("{path}{ASKED}"), body).bearer(&world.admin);
    let (status, answer) = call(&world.running.server, &request).await?;
    ensure!(status == 201, "{path}: {status} {}", String::from_utf8_lossy(&answer));
    let answer: Value = serde_json::from_slice(&answer)?;
    Ok(answer["id"].as_str().context("an object without id")?.to_owned())
}

/// The services, and an identity token for each.
pub struct Machines {
    services: Vec<Assembled>,
    tokens: Vec<Arc<str>>,
}

impl Machines {
    pub async fn new(world: &World) -> Result<Self> {
        let app = &world.running.server.app;
        let account = AccountId::parse(&world.account).map_err(|_| anyhow::anyhow!("no account"))?;
        let vpc = made(world, "/v1/vpcs", &json!({"name": "shop"})).await?;
        let zone = json!({"name": "us-south-1"});
        let subnet =
            json!({"name": "front", "vpc": {"id": vpc}, "zone": zone, "total_ipv4_address_count": 1024});
        let subnet = made(world, "/v1/subnets", &subnet).await?;
        let (mut services, mut tokens) = (Vec::new(), Vec::new());
        for n in 0..MANY {
            let instance = json!({"name": format!("i{n}"), "zone": zone, "profile": {"name": "bx2-2x8"},
                "image": {"id": "r006-b9ebf1d8-a674-42e8-898e-0fcb08994f66"},
                "primary_network_interface": {"subnet": {"id": subnet}}, "metadata_service": {"enabled": true}});
            let id = made(world, "/v1/instances", &instance).await?;
            let node = app.config.node.clone();
            let running = life::change(app, (&account, &id), move |o| {
                o.status = Status::Running;
                o.node.clone_from(&node);
                true
            });
            running.await.map_err(|e| anyhow::anyhow!("{}", e.message()))?;
            let mut who = Who::new(account.clone(), id);
            who.hosts.push("127.0.0.1".into());
            let router = Router::new(vec![service(&Arc::new(who))]).map_err(|e| anyhow::anyhow!("{e}"))?;
            let service = Assembled { app: app.clone(), router: Arc::new(router) };
            let (status, answer) = call(&service, &identity()).await?;
            ensure!(status == 200, "{status} {}", String::from_utf8_lossy(&answer));
            let answer: Value = serde_json::from_slice(&answer)?;
            tokens.push(answer["access_token"].as_str().context("no token")?.into());
            services.push(service);
        }
        Ok(Self { services, tokens })
    }

    /// Identity tokens, by all of them in turn.
    pub async fn tokens(&self, load: Load) -> Result<Outcome> {
        load.inside_each(&self.services, |_| identity()).await
    }

    /// Documents of the instance.
    pub async fn documents(&self, load: Load) -> Result<Outcome> {
        let tokens = self.tokens.clone();
        let next = move |n: u64| {
            let at = usize::try_from(n).unwrap_or(0) % tokens.len();
            let request = Call::get("/metadata/v1/instance?version=2025-08-26");
            match tokens.get(at) {
                Some(token) => request.bearer(token),
                None => request,
            }
        };
        load.inside_each(&self.services, next).await
    }
}

fn identity() -> Call {
    let path = "/identity/v1/token?version=2025-08-26".to_owned();
    Call { method: "PUT", path, token: None, body: None, flavor: Some("ibm") }
}
