//! `secrets-manager secret…`. Lists show metadata; `secret` and `secret-by-name` show the payload, because that is what
//! they are asked for.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::prototype::{Change, New};
use super::{Instance, Place, details};
use crate::api::{Call, segment};
use crate::failure::{Result, usage};
use crate::input::{confirm, json as json_value};
use crate::output::cell;
use crate::session::Session;

/// Commands on secrets.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a secret
    SecretCreate(Box<New>),
    /// List secrets, without payloads
    Secrets(List),
    /// Show a secret with its payload
    Secret(One),
    /// Show a secret with its payload, by names
    SecretByName {
        /// Type: arbitrary, username_password or kv
        #[arg(long)]
        secret_type: String,
        /// Name
        #[arg(long, alias = "secret-name")]
        name: String,
        /// Name of its group
        #[arg(long)]
        secret_group_name: String,
    },
    /// Show a secret without its payload
    SecretMetadata(One),
    /// Change a secret's metadata
    SecretMetadataUpdate {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        change: Box<Change>,
    },
    /// Delete a secret
    SecretDelete {
        #[command(flatten)]
        one: One,
        /// Also if what it stands for cannot be cleaned up
        #[arg(long)]
        force_delete: bool,
    },
    /// Do something with a secret
    SecretActionCreate {
        #[command(flatten)]
        one: One,
        /// What to do
        #[arg(long, value_name = "TYPE")]
        secret_action_type: Option<String>,
        /// What to do, as JSON
        #[arg(long, value_name = "JSON|@FILE", conflicts_with = "secret_action_type")]
        secret_action_prototype: Option<String>,
    },
}

#[derive(Debug, Args)]
pub struct One {
    /// Id of the secret
    #[arg(long, visible_alias = "secret-id")]
    pub id: String,
}

impl One {
    /// Path of the secret below the interface.
    pub fn tail(&self) -> String {
        format!("secrets/{}", segment(&self.id))
    }
}

#[derive(Debug, Args)]
pub struct List {
    /// Leave out the first so many
    #[arg(long, value_name = "N")]
    offset: Option<u64>,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Field, '-' in front for descending
    #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
    sort: Option<String>,
    /// Text in id, name, description, labels or type
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Ids of groups
    #[arg(long, value_name = "IDS")]
    groups: Option<String>,
    /// Only these types, separated by commas
    #[arg(long, value_name = "TYPES")]
    secret_types: Option<String>,
    /// Only with all these labels, separated by commas
    #[arg(long, value_name = "LABELS")]
    match_all_labels: Option<String>,
}

/// Runs a command on secrets.
pub async fn run(s: &mut Session, place: &Place, command: Command) -> Result<()> {
    match command {
        Command::SecretCreate(new) => {
            let body = new.body()?;
            let i = Instance::open(s, place).await?;
            s.out.progress(format!("Creating secret {}", cell(&body, "name")));
            let made = i.post("secrets", body).await?;
            super::made(s, &made)
        }
        Command::Secrets(args) => list(s, place, args).await,
        Command::Secret(one) => {
            let i = Instance::open(s, place).await?;
            s.out.progress(format!("Getting secret {}", one.id));
            let secret = i.get(&one.tail()).await?;
            details(s, &secret)
        }
        Command::SecretByName { secret_type, name, secret_group_name } => {
            let i = Instance::open(s, place).await?;
            s.out.progress(format!("Getting secret {name}"));
            let tail = format!(
                "secret_groups/{}/secret_types/{}/secrets/{}",
                segment(&secret_group_name),
                segment(&secret_type),
                segment(&name)
            );
            let secret = i.get(&tail).await?;
            details(s, &secret)
        }
        Command::SecretMetadata(one) => {
            let i = Instance::open(s, place).await?;
            s.out.progress(format!("Getting metadata of secret {}", one.id));
            let metadata = i.get(&format!("{}/metadata", one.tail())).await?;
            details(s, &metadata)
        }
        Command::SecretMetadataUpdate { one, change } => {
            let body = change.body()?;
            let i = Instance::open(s, place).await?;
            s.out.progress(format!("Updating metadata of secret {}", one.id));
            let changed = i.patch(&format!("{}/metadata", one.tail()), body).await?;
            details(s, &changed)
        }
        Command::SecretDelete { one, force_delete } => {
            confirm(s.force, &format!("Really delete secret '{}'?", one.id))?;
            let i = Instance::open(s, place).await?;
            s.out.progress(format!("Deleting secret {}", one.id));
            let mut call = Call::delete(i.path(&one.tail()));
            if force_delete {
                call = call.query("force_delete", "true");
            }
            i.api.send(call).await?;
            s.out.ok();
            Ok(())
        }
        Command::SecretActionCreate { one, secret_action_type, secret_action_prototype } => {
            let body = action(secret_action_type, secret_action_prototype, "--secret-action-prototype")?;
            let i = Instance::open(s, place).await?;
            s.out.progress(format!("Starting an action on secret {}", one.id));
            let done = i.post(&format!("{}/actions", one.tail()), body).await?;
            details(s, &done)
        }
    }
}

/// Body of an action.
pub fn action(kind: Option<String>, prototype: Option<String>, option: &str) -> Result<Value> {
    match (kind, prototype) {
        (Some(kind), _) => Ok(json!({"action_type": kind})),
        (None, Some(prototype)) => json_value(option, &prototype),
        (None, None) => Err(usage(format!("Give the type of the action or {option}."))),
    }
}

async fn list(s: &mut Session, place: &Place, args: List) -> Result<()> {
    let i = Instance::open(s, place).await?;
    s.out.progress("Listing secrets");
    let call = Call::get(i.path("secrets"))
        .query_opt("sort", args.sort)
        .query_opt("search", args.search)
        .query_opt("groups", args.groups)
        .query_opt("secret_types", args.secret_types)
        .query_opt("match_all_labels", args.match_all_labels);
    let all = if args.offset.is_some() || args.limit.is_some() {
        let call = call
            .query_opt("offset", args.offset.map(|n| n.to_string()))
            .query_opt("limit", args.limit.map(|n| n.to_string()));
        i.api.send(call).await?.body["secrets"].as_array().cloned().unwrap_or_default()
    } else {
        i.api.list(call.query("limit", "1000"), "secrets").await?
    };
    s.out.list(
        &all,
        "No secrets found.",
        &["ID", "Name", "Type", "Group", "State", "Versions", "Locks", "Updated At"],
        |v| {
            let keys = [
                "id",
                "name",
                "secret_type",
                "secret_group_id",
                "state_description",
                "versions_total",
                "locks_total",
                "updated_at",
            ];
            keys.map(|k| cell(v, k)).to_vec()
        },
    )
}
