//! `iam service-id…`: identities of programs that hold API keys.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::put;
use crate::api::{Api, Call, segment};
use crate::failure::{Result, usage};
use crate::input::confirm;
use crate::output::cell;
use crate::select::{self, Several};
use crate::session::Session;

/// Commands on service IDs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List service IDs
    ServiceIds(List),
    /// Show a service ID
    ServiceId {
        #[arg(value_name = "NAME|ID")]
        service_id: String,
        /// Print the id only
        #[arg(long)]
        uuid: bool,
    },
    /// Create a service ID
    ServiceIdCreate {
        name: String,
        /// Text about it
        #[arg(short, long)]
        description: Option<String>,
        /// Lock it at once
        #[arg(long)]
        lock: bool,
    },
    /// Change a service ID; an empty text clears
    ServiceIdUpdate(Update),
    /// Delete a service ID with its API keys
    ServiceIdDelete(One),
    /// Keep a service ID from being changed
    ServiceIdLock(One),
    /// Let a service ID be changed again
    ServiceIdUnlock(One),
}

#[derive(Debug, Args)]
pub struct One {
    #[arg(value_name = "NAME|ID")]
    service_id: String,
}

#[derive(Debug, Args)]
pub struct List {
    /// Print ids only
    #[arg(long)]
    uuid: bool,
    /// Name contains
    #[arg(short, long, value_name = "TEXT")]
    name: Option<String>,
    /// Description contains
    #[arg(short, long, value_name = "TEXT")]
    description: Option<String>,
}

#[derive(Debug, Args)]
pub struct Update {
    #[arg(value_name = "NAME|ID")]
    service_id: String,
    /// New name
    #[arg(short, long)]
    name: Option<String>,
    /// Text about it
    #[arg(short, long)]
    description: Option<String>,
}

/// Runs a command on service IDs.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::ServiceIds(args) => list(s, args).await,
        Command::ServiceId { service_id, uuid } => {
            let api = s.api().await?;
            s.out.progress(format!("Getting service ID {service_id}"));
            let found = find(&api, &service_id, Several::unless(s.force)).await?;
            if uuid && s.out.table() {
                return s.out.line(&cell(&found, "id"));
            }
            details(s, &found)
        }
        Command::ServiceIdCreate { name, description, lock } => {
            let api = s.api().await?;
            s.out.progress(format!("Creating service ID {name}"));
            let mut body = Map::new();
            body.insert("account_id".into(), json!(api.account()?));
            body.insert("name".into(), json!(name));
            put(&mut body, "description", description);
            let mut call = Call::post("/v1/serviceids").json(body.into());
            if lock {
                call = call.header("entity-lock", "true");
            }
            let made = api.send(call).await?.body;
            details(s, &made)
        }
        Command::ServiceIdUpdate(args) => {
            if args.name.is_none() && args.description.is_none() {
                return Err(usage("Nothing to change: give --name or --description."));
            }
            let api = s.api().await?;
            s.out.progress(format!("Updating service ID {}", args.service_id));
            let found = find(&api, &args.service_id, Several::unless(s.force)).await?;
            let mut body = Map::new();
            put(&mut body, "name", args.name);
            put(&mut body, "description", args.description);
            let call = Call::put(path(&found)).if_match(&cell(&found, "entity_tag")).json(body.into());
            let changed = api.send(call).await?.body;
            details(s, &changed)
        }
        Command::ServiceIdDelete(one) => {
            confirm(s.force, &format!("Really delete service ID '{}'?", one.service_id))?;
            change(s, "Deleting", &one, Call::delete).await
        }
        Command::ServiceIdLock(one) => {
            confirm(s.force, &format!("Really lock service ID '{}'?", one.service_id))?;
            change(s, "Locking", &one, |path| Call::post(format!("{path}/lock"))).await
        }
        Command::ServiceIdUnlock(one) => {
            confirm(s.force, &format!("Really unlock service ID '{}'?", one.service_id))?;
            change(s, "Unlocking", &one, |path| Call::delete(format!("{path}/lock"))).await
        }
    }
}

async fn change(s: &mut Session, verb: &str, one: &One, call: impl FnOnce(String) -> Call) -> Result<()> {
    let api = s.api().await?;
    s.out.progress(format!("{verb} service ID {}", one.service_id));
    let found = find(&api, &one.service_id, Several::unless(s.force)).await?;
    api.send(call(path(&found))).await?;
    s.out.ok();
    Ok(())
}

/// A service ID by id, IAM id, CRN or name.
pub async fn find(api: &Api, wanted: &str, several: Several) -> Result<Value> {
    let id = select::id_of_crn(wanted);
    let id = id.strip_prefix("iam-").unwrap_or(id);
    if select::prefixed(id, "ServiceId-") {
        let found = api.send(Call::get(format!("/v1/serviceids/{}", segment(id)))).await;
        return match found {
            Err(e) if e.status() == Some(404) => Err(select::not_found(api, "service ID", wanted)),
            other => Ok(other?.body),
        };
    }
    let all = api.list(service_ids(api)?.query("name", wanted), "serviceids").await?;
    select::one(api, "service ID", wanted, select::named(&all, "name", wanted, false), several)
}

fn path(service_id: &Value) -> String {
    format!("/v1/serviceids/{}", segment(&cell(service_id, "id")))
}

fn service_ids(api: &Api) -> Result<Call> {
    Ok(Call::get("/v1/serviceids").query("account_id", api.account()?).query("pagesize", "100"))
}

async fn list(s: &mut Session, args: List) -> Result<()> {
    let api = s.api().await?;
    s.out.progress("Listing service IDs");
    let holds = |v: &Value, key: &str, part: &Option<String>| {
        part.as_ref().is_none_or(|p| v[key].as_str().unwrap_or_default().contains(p.as_str()))
    };
    let all: Vec<Value> = api
        .list(service_ids(&api)?, "serviceids")
        .await?
        .into_iter()
        .filter(|v| holds(v, "name", &args.name) && holds(v, "description", &args.description))
        .collect();
    if args.uuid && s.out.table() {
        return all.iter().try_for_each(|v| s.out.line(&cell(v, "id")));
    }
    s.out.list(
        &all,
        "No service IDs found.",
        &["ID", "Name", "Created At", "Last Updated", "Description", "Locked"],
        |v| ["id", "name", "created_at", "modified_at", "description", "locked"].map(|k| cell(v, k)).to_vec(),
    )
}

fn details(s: &Session, v: &Value) -> Result<()> {
    let rows = [
        ("ID", cell(v, "id")),
        ("Name", cell(v, "name")),
        ("IAM ID", cell(v, "iam_id")),
        ("CRN", cell(v, "crn")),
        ("Description", cell(v, "description")),
        ("Version", cell(v, "entity_tag")),
        ("Locked", cell(v, "locked")),
        ("Created", cell(v, "created_at")),
        ("Last updated", cell(v, "modified_at")),
    ];
    s.out.object(v, &rows)
}
