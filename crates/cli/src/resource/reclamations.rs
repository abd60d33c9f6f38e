//! `resource reclamation…`: deleted instances that can still be restored.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use crate::api::{Api, Call, segment};
use crate::failure::Result;
use crate::input::confirm;
use crate::output::cell;
use crate::select::{self, Several};
use crate::session::Session;

/// Commands on reclamations.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List deleted instances that can be restored
    Reclamations {
        /// Only of this instance
        #[arg(long, value_name = "GUID|CRN")]
        resource_instance_id: Option<String>,
    },
    /// Show a reclamation
    Reclamation {
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Bring a deleted instance back
    ReclamationRestore {
        #[arg(value_name = "ID")]
        id: String,
        /// Kept for scripts
        #[arg(long)]
        comment: Option<String>,
    },
    /// Delete an instance for good
    ReclamationDelete {
        #[arg(value_name = "ID")]
        id: String,
        /// Kept for scripts
        #[arg(long)]
        comment: Option<String>,
    },
}

/// Runs a command on reclamations.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::Reclamations { resource_instance_id } => {
            let api = s.api().await?;
            s.out.progress("Listing reclamations");
            let all = all(&api, resource_instance_id.as_deref()).await?;
            s.out.list(&all, "No reclamations found.", &["ID", "Entity CRN", "State", "Target Time"], |r| {
                ["id", "entity_crn", "state", "target_time"].map(|k| cell(r, k)).to_vec()
            })
        }
        Command::Reclamation { id } => {
            let api = s.api().await?;
            s.out.progress(format!("Getting reclamation {id}"));
            let found = select::named(&all(&api, None).await?, "id", &id, false);
            details(s, &select::one(&api, "reclamation", &id, found, Several::Fail)?)
        }
        Command::ReclamationRestore { id, comment } => act(s, &id, "restore", comment).await,
        Command::ReclamationDelete { id, comment } => {
            confirm(s.force, &format!("Really delete for good what reclamation '{id}' keeps?"))?;
            act(s, &id, "reclaim", comment).await
        }
    }
}

async fn all(api: &Api, instance: Option<&str>) -> Result<Vec<Value>> {
    let call = Call::get("/v1/reclamations").query("account_id", api.account()?);
    api.list(call.query_opt("resource_instance_id", instance), "resources").await
}

async fn act(s: &mut Session, id: &str, action: &str, comment: Option<String>) -> Result<()> {
    let api = s.api().await?;
    s.out
        .progress(format!("{} reclamation {id}", if action == "restore" { "Restoring" } else { "Deleting" }));
    let mut body = Map::new();
    if let Some(comment) = comment {
        body.insert("comment".into(), json!(comment));
    }
    let path = format!("/v1/reclamations/{}/actions/{action}", segment(id));
    let done = api.send(Call::post(path).json(body.into())).await?.body;
    details(s, &done)
}

fn details(s: &Session, r: &Value) -> Result<()> {
    let rows = [
        ("ID", cell(r, "id")),
        ("Entity CRN", cell(r, "entity_crn")),
        ("Resource instance", cell(r, "resource_instance_id")),
        ("Resource group", cell(r, "resource_group_id")),
        ("State", cell(r, "state")),
        ("Target time", cell(r, "target_time")),
        ("Created by", cell(r, "created_by")),
    ];
    s.out.object(r, &rows)
}
