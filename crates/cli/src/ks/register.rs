//! `ks cluster register|update`. With a kubeconfig the cluster's issuer and keys are read here, with the rights of whoever
//! runs this, and handed over: the server needs no way to the cluster. Refuses to read them over a connection whose
//! certificate is not checked, because whoever could answer in the cluster's place would be trusted from then on.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::clusters::{One, published, record_path};
use super::kubeconfig;
use crate::api::{Call, segment};
use crate::failure::{Result, usage};
use crate::iam::{self, Keys};
use crate::output::cell;
use crate::resource::groups;
use crate::session::Session;

/// Commands that register.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Register a cluster
    Register(Box<Register>),
    /// Change a registered cluster, or hand over its new keys
    Update(Box<Update>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "SCREAMING_SNAKE_CASE")]
enum CrType {
    /// Kubernetes
    IksSa,
    /// OpenShift
    RoksSa,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BoundObject {
    None,
    Pod,
    Any,
}

#[derive(Debug, Args)]
pub struct Common {
    /// Read issuer and keys from this cluster, with the credentials in this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["jwks", "jwks_url", "discovery_url"])]
    kubeconfig: Option<String>,
    /// Context of the kubeconfig
    #[arg(long, value_name = "CONTEXT", requires = "kubeconfig")]
    context: Option<String>,
    /// Stay, and hand the keys over again when they change
    #[arg(long, requires = "kubeconfig")]
    watch: bool,
    /// Seconds between two looks with --watch
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    watch_interval: u64,
    /// Issuer as it stands in tokens
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    #[command(flatten)]
    keys: Keys,
    /// What a token must be bound to
    #[arg(long, value_enum)]
    require_bound_object: Option<BoundObject>,
    /// Register also if the keys cannot be fetched now
    #[arg(long)]
    allow_unreachable: bool,
}

#[derive(Debug, Args)]
pub struct Register {
    /// Name of the cluster, unique in the account
    #[arg(long)]
    name: String,
    /// What kind of cluster it is
    #[arg(long, value_enum, ignore_case = true, default_value = "IKS_SA")]
    cr_type: CrType,
    /// Region in the cluster's CRN; that of the server if it is left out
    #[arg(long)]
    region: Option<String>,
    /// Resource group: name or id
    #[arg(short = 'g', long, value_name = "GROUP")]
    resource_group: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub struct Update {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    common: Common,
}

/// Runs a command that registers.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::Register(args) => register(s, *args).await,
        Command::Update(args) => update(s, *args).await,
    }
}

impl Common {
    /// Issuer and key source as the options, or the cluster itself, say.
    async fn body(&self) -> Result<Map<String, Value>> {
        let mut body = Map::new();
        if let Some(file) = &self.kubeconfig {
            let published = kubeconfig::read(file, self.context.as_deref())?.published_keys().await?;
            body.insert("issuer".into(), json!(self.issuer.clone().unwrap_or(published.issuer)));
            body.insert("jwks".into(), published.jwks);
        } else if let Some(issuer) = &self.issuer {
            body.insert("issuer".into(), json!(issuer));
        }
        self.keys.put(&mut body)?;
        if let Some(bound) = self.require_bound_object {
            let word = match bound {
                BoundObject::None => "none",
                BoundObject::Pod => "pod",
                BoundObject::Any => "any",
            };
            body.insert("require_bound_object".into(), json!(word));
        }
        if self.allow_unreachable {
            body.insert("allow_unreachable".into(), json!(true));
        }
        Ok(body)
    }
}

async fn register(s: &mut Session, args: Register) -> Result<()> {
    let sources = args.common.keys.sources() + usize::from(args.common.kubeconfig.is_some());
    if sources != 1 {
        return Err(usage("Give exactly one of --kubeconfig, --jwks, --jwks-url and --discovery-url."));
    }
    if args.common.kubeconfig.is_none() && args.common.issuer.is_none() {
        return Err(usage("Missing required option --issuer."));
    }
    let api = s.api().await?;
    s.out.progress(format!("Registering cluster {}", args.name));
    let mut body = args.common.body().await?;
    body.insert("name".into(), json!(args.name));
    body.insert("cr_type".into(), json!(if args.cr_type == CrType::IksSa { "IKS_SA" } else { "ROKS_SA" }));
    if let Some(region) = args.region {
        body.insert("region".into(), json!(region));
    }
    if let Some(group) = &args.resource_group {
        body.insert("resource_group".into(), json!(cell(&groups::find(&api, group).await?, "id")));
    }
    let keys = body.get("jwks").cloned().unwrap_or_default();
    let made = api.send(Call::post("/avouch/v1/clusters").json(body.into())).await?.body;
    details(s, &made)?;
    if args.common.watch { watch(s, &args.common, &made, keys).await } else { Ok(()) }
}

async fn update(s: &mut Session, args: Update) -> Result<()> {
    let body = args.common.body().await?;
    if body.is_empty() {
        return Err(usage("Nothing to change."));
    }
    let api = s.api().await?;
    s.out.progress(format!("Updating cluster {}", args.one.cluster));
    let cluster = published(&api, &args.one.cluster).await?;
    let keys = body.get("jwks").cloned().unwrap_or_default();
    let changed = change(s, &cluster, body).await?;
    details(s, &changed)?;
    if args.common.watch { watch(s, &args.common, &changed, keys).await } else { Ok(()) }
}

async fn change(s: &mut Session, cluster: &Value, body: Map<String, Value>) -> Result<Value> {
    let api = s.api().await?;
    let path = record_path(cluster);
    let now = api.send(Call::get(path.as_str())).await?;
    Ok(api.send(Call::patch(path).if_match(&now.etag).json(body.into())).await?.body)
}

/// Until it is interrupted. A cluster that does not answer is told and asked again.
async fn watch(s: &mut Session, common: &Common, cluster: &Value, keys: Value) -> Result<()> {
    let mut known = keys;
    s.out.note(format!(
        "Watching the keys of cluster {}. Interrupt to stop.",
        segment(&cell(cluster, "name"))
    ));
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(()),
            () = tokio::time::sleep(Duration::from_secs(common.watch_interval)) => {}
        }
        match common.body().await {
            Ok(body) if body.get("jwks") == Some(&known) => {}
            Ok(body) => {
                let keys = body.get("jwks").cloned().unwrap_or_default();
                match change(s, cluster, body).await {
                    Ok(_) => {
                        known = keys;
                        s.out.note("The keys have changed and were handed over.");
                    }
                    Err(e) => {
                        s.out.note(format!("The keys have changed but were not accepted: {}", e.text()))
                    }
                }
            }
            Err(e) => s.out.note(format!("The cluster cannot be read: {}", e.text())),
        }
    }
}

fn details(s: &Session, cluster: &Value) -> Result<()> {
    iam::warn(s, cluster);
    if !cluster["keys"].as_array().into_iter().flatten().any(|key| key["state"] == "active") {
        s.out.note("WARNING: no key of this cluster is active, so no token of it is accepted.");
    }
    let rows = [
        ("Name", cell(cluster, "name")),
        ("ID", cell(cluster, "id")),
        ("CRN", cell(cluster, "crn")),
        ("Type", cell(cluster, "cr_type")),
        ("Issuer", cell(cluster, "issuer")),
        ("Audiences", cell(cluster, "audiences")),
        ("Keys", iam::key_lines(cluster)),
    ];
    s.out.object(cluster, &rows)
}
