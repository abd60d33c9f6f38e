//! `ks cluster ls|get|rm|keys|master refresh|diagnose|config`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::kubeconfig;
use crate::api::{Api, Call, segment};
use crate::failure::{Result, failed, usage};
use crate::iam;
use crate::input::{confirm, word};
use crate::output::{cell, details as details_of, print};
use crate::select::{self, Several};
use crate::session::Session;

/// Commands on registered clusters.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List clusters
    #[command(visible_alias = "list")]
    Ls {
        /// Only clusters of this provider
        #[arg(long)]
        provider: Option<String>,
        /// Only clusters in this region
        #[arg(long)]
        location: Option<String>,
    },
    /// Show a cluster
    Get {
        #[command(flatten)]
        one: One,
        /// Kept for scripts
        #[arg(long)]
        show_resources: bool,
    },
    /// Remove a cluster; its service accounts are trusted no longer
    Rm(One),
    /// List a cluster's keys, or revoke one
    Keys {
        #[command(flatten)]
        one: One,
        /// Refuse this key from now on
        #[arg(long, value_name = "KID")]
        revoke: Option<String>,
    },
    /// What runs the cluster
    Master {
        #[command(subcommand)]
        command: Master,
    },
    /// Test a service account token step by step; issues nothing
    Diagnose {
        #[command(flatten)]
        one: One,
        /// Token or @file
        #[arg(long, value_name = "TOKEN|@FILE")]
        cr_token: String,
        /// Trusted profile that the token should become
        #[arg(long, value_name = "NAME|ID")]
        profile: Option<String>,
    },
    /// Write an entry for the cluster into the kubeconfig, without credentials
    Config(Config),
}

/// Commands of `ks cluster master`.
#[derive(Debug, Subcommand)]
pub enum Master {
    /// Read the issuer's keys again
    Refresh {
        /// Name or id; may be left out if there is only one cluster
        #[arg(short, long, value_name = "NAME|ID")]
        cluster: Option<String>,
    },
}

#[derive(Debug, Args)]
pub struct One {
    /// Name or id
    #[arg(short, long, value_name = "NAME|ID")]
    pub cluster: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Network {
    Calico,
}

#[derive(Debug, Args)]
pub struct Config {
    #[command(flatten)]
    one: One,
    /// Kept for scripts; the administrator's credentials are not known here
    #[arg(long)]
    admin: bool,
    /// Kept for scripts
    #[arg(long, num_args = 0..=1, default_missing_value = "calico", value_enum)]
    network: Option<Network>,
    /// Kept for scripts
    #[arg(long)]
    endpoint: Option<String>,
    /// Print the entry instead of writing it
    #[arg(long)]
    yaml: bool,
}

/// Runs a command on registered clusters.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::Ls { provider, location } => ls(s, provider.as_deref(), location.as_deref()).await,
        Command::Get { one, .. } => {
            let api = s.api().await?;
            s.out.progress(format!("Getting cluster {}", one.cluster));
            let cluster = published(&api, &one.cluster).await?;
            let record = api.send(Call::get(record_path(&cluster))).await.map(|r| r.body).unwrap_or_default();
            details(s, &cluster, &record)
        }
        Command::Rm(one) => {
            confirm(s.force, &format!("Really delete cluster '{}'?", one.cluster))?;
            let api = s.api().await?;
            s.out.progress(format!("Deleting cluster {}", one.cluster));
            let cluster = published(&api, &one.cluster).await?;
            api.send(Call::delete(record_path(&cluster))).await?;
            s.out.ok();
            Ok(())
        }
        Command::Keys { one, revoke: None } => {
            let api = s.api().await?;
            s.out.progress(format!("Listing keys of cluster {}", one.cluster));
            let cluster = published(&api, &one.cluster).await?;
            let record = api.send(Call::get(record_path(&cluster))).await?.body;
            let keys = record["keys"].as_array().cloned().unwrap_or_default();
            s.out.list(
                &keys,
                "No keys found.",
                &["Key ID", "Algorithm", "State", "First seen", "Last seen"],
                |k| ["kid", "alg", "state", "first_seen", "last_seen"].map(|f| cell(k, f)).to_vec(),
            )
        }
        Command::Keys { one, revoke: Some(kid) } => {
            confirm(s.force, &format!("Really revoke key '{kid}' of cluster '{}'?", one.cluster))?;
            let api = s.api().await?;
            s.out.progress(format!("Revoking key {kid} of cluster {}", one.cluster));
            let cluster = published(&api, &one.cluster).await?;
            api.send(Call::post(format!("{}/keys/{}/revoke", record_path(&cluster), segment(&kid)))).await?;
            s.out.ok();
            Ok(())
        }
        Command::Master { command: Master::Refresh { cluster } } => refresh(s, cluster).await,
        Command::Diagnose { one, cr_token, profile } => {
            diagnose(s, &one, &cr_token, profile.as_deref()).await
        }
        Command::Config(args) => config(s, args).await,
    }
}

/// A cluster in the published form, by name, id or CRN.
pub async fn published(api: &Api, wanted: &str) -> Result<Value> {
    let wanted_id = match avouch_wire::Crn::parse(wanted) {
        Ok(crn) => crn.instance().to_owned(),
        Err(_) => wanted.to_owned(),
    };
    let found = api.send(Call::get(format!("/v1/clusters/{}", segment(&wanted_id)))).await;
    match found {
        Err(e) if e.status() == Some(404) => Err(select::not_found(api, "cluster", wanted)),
        other => Ok(other?.body),
    }
}

/// Path of a cluster's registration.
pub fn record_path(cluster: &Value) -> String {
    format!("/avouch/v1/clusters/{}", segment(&cell(cluster, "id")))
}

async fn clusters(api: &Api) -> Result<Vec<Value>> {
    api.list(Call::get("/v1/clusters"), "").await
}

async fn ls(s: &mut Session, provider: Option<&str>, location: Option<&str>) -> Result<()> {
    let api = s.api().await?;
    s.out.progress("Listing clusters");
    let mut all = clusters(&api).await?;
    all.retain(|c| {
        provider.is_none_or(|p| c["provider"] == p)
            && location.is_none_or(|l| c["location"] == l || c["region"] == l || c["dataCenter"] == l)
    });
    let columns = [
        "Name",
        "ID",
        "State",
        "Created",
        "Workers",
        "Location",
        "Version",
        "Resource Group Name",
        "Provider",
    ];
    s.out.list(&all, "No clusters found.", &columns, |c| {
        let keys = [
            "name",
            "id",
            "state",
            "createdDate",
            "workerCount",
            "location",
            "masterKubeVersion",
            "resourceGroupName",
            "provider",
        ];
        keys.map(|k| cell(c, k)).to_vec()
    })
}

fn details(s: &Session, cluster: &Value, record: &Value) -> Result<()> {
    let mut whole = cluster.clone();
    if let (Some(fields), Some(more)) = (whole.as_object_mut(), record.as_object()) {
        for (key, value) in more {
            fields.entry(key.as_str()).or_insert_with(|| value.clone());
        }
    }
    let rows = [
        ("Name", cell(&whole, "name")),
        ("ID", cell(&whole, "id")),
        ("State", cell(&whole, "state")),
        ("CRN", cell(&whole, "crn")),
        ("Created", cell(&whole, "createdDate")),
        ("Location", cell(&whole, "location")),
        ("Version", cell(&whole, "masterKubeVersion")),
        ("Master URL", cell(&whole, "serverURL")),
        ("Resource Group Name", cell(&whole, "resourceGroupName")),
        ("Type", cell(&whole, "cr_type")),
        ("Issuer", cell(&whole, "issuer")),
        ("Audiences", cell(&whole, "audiences")),
        ("Keys", iam::key_lines(record)),
        ("Last refresh", cell(&whole, "last_refresh")),
        ("Last error", cell(&whole, "last_error")),
        ("Next refresh", cell(&whole, "next_refresh")),
    ];
    s.out.object(&whole, &rows)
}

async fn refresh(s: &mut Session, cluster: Option<String>) -> Result<()> {
    let api = s.api().await?;
    let cluster = match cluster {
        Some(cluster) => published(&api, &cluster).await?,
        // COMPAT: a published walk-through leaves the cluster out.
        None => select::one(&api, "cluster", "(any)", clusters(&api).await?, Several::unless(s.force))?,
    };
    s.out.progress(format!("Refreshing the keys of cluster {}", cell(&cluster, "name")));
    let done = api.send(Call::post(format!("{}/refresh", record_path(&cluster)))).await?.body;
    let name = cell(&cluster, "name");
    iam::refreshed(
        s,
        &done,
        &format!("'ks cluster update -c {name}' with --kubeconfig FILE or --jwks @FILE"),
    );
    Ok(())
}

async fn diagnose(s: &mut Session, one: &One, token: &str, profile: Option<&str>) -> Result<()> {
    let token = word(token)?;
    let api = s.api().await?;
    s.out.progress(format!("Testing a token of cluster {}", one.cluster));
    let cluster = published(&api, &one.cluster).await?;
    let mut body = Map::new();
    body.insert("cr_token".into(), json!(token));
    if let Some(profile) = profile {
        body.insert(
            "profile_id".into(),
            iam::find_profile(&api, profile, Several::unless(s.force)).await?["id"].clone(),
        );
    }
    let answer =
        api.send(Call::post(format!("{}/diagnose", record_path(&cluster))).json(body.into())).await?.body;
    let passed = answer["result"] == true;
    if s.out.table() {
        if passed {
            s.out.ok();
        }
        let result = if passed { "passed" } else { "FAILED" };
        let rows = [("Result", result.to_owned()), ("Summary", cell(&answer, "summary"))];
        let trust = iam::reasons(&answer["trust"]);
        print(&[details_of(&rows), "\n".into(), iam::reasons(&answer["checks"]), trust].concat())?;
    } else {
        s.out.data(&answer)?;
    }
    // A script asks whether the token would be accepted: the exit code says so.
    if passed { Ok(()) } else { Err(failed("The token did not pass.")) }
}

async fn config(s: &mut Session, args: Config) -> Result<()> {
    if s.claims().profile {
        return Err(failed("A session of a compute resource cannot write a kubeconfig."));
    }
    if args.admin {
        return Err(usage(
            "--admin: the administrator's credentials of a registered cluster are not known here.",
        ));
    }
    let api = s.api().await?;
    s.out.progress(format!("Writing the kubeconfig entry of cluster {}", args.one.cluster));
    let cluster = published(&api, &args.one.cluster).await?;
    let server = cell(&cluster, "serverURL");
    if server.is_empty() {
        return Err(failed(format!(
            "No address of the API server is on record for cluster '{}': it is kept for clusters with \
             online_check=token_review only. Use the kubeconfig that the cluster was registered with.",
            args.one.cluster
        )));
    }
    let record = api.send(Call::get(record_path(&cluster))).await.map(|r| r.body).unwrap_or_default();
    let entry = kubeconfig::Entry {
        name: format!("{}/{}", cell(&cluster, "name"), cell(&cluster, "id")),
        server,
        ca_pem: cell(&record, "ca_pem"),
    };
    if args.yaml || !s.out.table() {
        return print(&kubeconfig::merged("", &entry)?);
    }
    let path = kubeconfig::default_path()?;
    write_merged(&path, &entry)?;
    s.out.ok();
    s.out.note(format!(
        "Added context {} to {}. It has no user: add your own credentials.",
        entry.name,
        path.display()
    ));
    Ok(())
}

fn write_merged(path: &PathBuf, entry: &kubeconfig::Entry) -> Result<()> {
    let before = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(failed(format!("Cannot read {}: {e}.", path.display()))),
    };
    let text = kubeconfig::merged(&before, entry)?;
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(|e| failed(format!("Cannot make {}: {e}.", dir.display())))?;
    }
    crate::state::private_file(path, text.as_bytes())
        .map_err(|e| failed(format!("Cannot write {}: {e}.", path.display())))
}
