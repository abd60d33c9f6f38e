//! `secrets-manager secret-group…`.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{Instance, Place, details};
use crate::api::{Call, segment};
use crate::failure::{Result, usage};
use crate::input::confirm;
use crate::output::cell;
use crate::session::Session;

/// Commands on secret groups.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a secret group
    SecretGroupCreate {
        /// Name
        #[arg(long, alias = "secret-group-name")]
        name: String,
        /// Text about it
        #[arg(long, alias = "secret-group-description")]
        description: Option<String>,
    },
    /// List secret groups
    SecretGroups,
    /// Show a secret group
    SecretGroup(One),
    /// Change a secret group
    SecretGroupUpdate {
        #[command(flatten)]
        one: One,
        /// Name
        #[arg(long, alias = "secret-group-name")]
        name: Option<String>,
        /// Text about it
        #[arg(long, alias = "secret-group-description")]
        description: Option<String>,
    },
    /// Delete an empty secret group
    SecretGroupDelete(One),
}

#[derive(Debug, Args)]
pub struct One {
    /// Id of the group
    // COMPAT: the published synopsis has one name and the published text the other.
    #[arg(long, visible_alias = "secret-group-id")]
    id: String,
}

impl One {
    fn tail(&self) -> String {
        format!("secret_groups/{}", segment(&self.id))
    }
}

/// Runs a command on secret groups.
pub async fn run(s: &mut Session, place: &Place, command: Command) -> Result<()> {
    match command {
        Command::SecretGroupCreate { name, description } => {
            let i = Instance::open(s, place).await?;
            s.out.progress(format!("Creating secret group {name}"));
            let mut body = Map::new();
            body.insert("name".into(), json!(name));
            if let Some(description) = description {
                body.insert("description".into(), json!(description));
            }
            let made = i.post("secret_groups", body.into()).await?;
            details(s, &made)
        }
        Command::SecretGroups => {
            let i = Instance::open(s, place).await?;
            s.out.progress("Listing secret groups");
            let all = i.api.list(Call::get(i.path("secret_groups")), "secret_groups").await?;
            s.out.list(
                &all,
                "No secret groups found.",
                &["ID", "Name", "Description", "Created At"],
                |g: &Value| ["id", "name", "description", "created_at"].map(|k| cell(g, k)).to_vec(),
            )
        }
        Command::SecretGroup(one) => {
            let i = Instance::open(s, place).await?;
            s.out.progress(format!("Getting secret group {}", one.id));
            let group = i.get(&one.tail()).await?;
            details(s, &group)
        }
        Command::SecretGroupUpdate { one, name, description } => {
            let mut body = Map::new();
            for (key, value) in [("name", name), ("description", description)] {
                if let Some(value) = value {
                    body.insert(key.into(), json!(value));
                }
            }
            if body.is_empty() {
                return Err(usage("Nothing to change: give --name or --description."));
            }
            let i = Instance::open(s, place).await?;
            s.out.progress(format!("Updating secret group {}", one.id));
            let changed = i.patch(&one.tail(), body.into()).await?;
            details(s, &changed)
        }
        Command::SecretGroupDelete(one) => {
            confirm(s.force, &format!("Really delete secret group '{}'?", one.id))?;
            let i = Instance::open(s, place).await?;
            s.out.progress(format!("Deleting secret group {}", one.id));
            i.delete(&one.tail()).await?;
            s.out.ok();
            Ok(())
        }
    }
}
