//! `secrets-manager secret-version…`. A version is named by its id, or by `current` or `previous`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::prototype::NewVersion;
use super::{Instance, Place, details, secrets};
use crate::api::{Call, segment};
use crate::failure::Result;
use crate::input::{confirm, json as json_value};
use crate::output::cell;
use crate::session::Session;

/// Commands on versions.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Give a secret a new value
    SecretVersionCreate {
        #[command(flatten)]
        secret: Secret,
        #[command(flatten)]
        new: Box<NewVersion>,
    },
    /// List the versions of a secret, without payloads
    SecretVersions(Secret),
    /// Show a version with its payload
    SecretVersion(One),
    /// Show a version without its payload
    SecretVersionMetadata(One),
    /// Change a version's metadata
    SecretVersionMetadataUpdate {
        #[command(flatten)]
        one: One,
        /// An object of one's own, kept with the version
        #[arg(long, alias = "secret-version-custom-metadata", value_name = "JSON|@FILE")]
        version_custom_metadata: String,
    },
    /// Erase the payload of a version
    SecretVersionDataDelete(One),
    /// Do something with a version
    SecretVersionActionCreate {
        #[command(flatten)]
        one: One,
        /// What to do
        #[arg(long, value_name = "TYPE")]
        secret_version_action_type: Option<String>,
        /// What to do, as JSON
        #[arg(long, value_name = "JSON|@FILE", conflicts_with = "secret_version_action_type")]
        secret_version_action_prototype: Option<String>,
    },
}

#[derive(Debug, Args)]
pub struct Secret {
    /// Id of the secret
    #[arg(long)]
    pub secret_id: String,
}

#[derive(Debug, Args)]
pub struct One {
    /// Id of the secret
    #[arg(long)]
    pub secret_id: String,
    /// Id of the version, current or previous
    #[arg(long)]
    pub id: String,
}

impl One {
    /// Path of the version below the interface.
    pub fn tail(&self) -> String {
        format!("secrets/{}/versions/{}", segment(&self.secret_id), segment(&self.id))
    }
}

/// Runs a command on versions.
pub async fn run(s: &mut Session, place: &Place, command: Command) -> Result<()> {
    match command {
        Command::SecretVersionCreate { secret, new } => {
            let body = new.body()?;
            let i = Instance::open(s, place).await?;
            s.out.progress(format!("Creating a version of secret {}", secret.secret_id));
            let made = i.post(&format!("secrets/{}/versions", segment(&secret.secret_id)), body).await?;
            super::made(s, &made)
        }
        Command::SecretVersions(secret) => {
            let i = Instance::open(s, place).await?;
            s.out.progress(format!("Listing versions of secret {}", secret.secret_id));
            let path = i.path(&format!("secrets/{}/versions", segment(&secret.secret_id)));
            let all = i.api.list(Call::get(path), "versions").await?;
            s.out.list(
                &all,
                "No versions found.",
                &["ID", "Alias", "Payload", "Created At", "Created By"],
                |v: &Value| {
                    ["id", "alias", "payload_available", "created_at", "created_by"]
                        .map(|k| cell(v, k))
                        .to_vec()
                },
            )
        }
        Command::SecretVersion(one) => {
            let i = Instance::open(s, place).await?;
            s.out.progress(format!("Getting version {} of secret {}", one.id, one.secret_id));
            let version = i.get(&one.tail()).await?;
            details(s, &version)
        }
        Command::SecretVersionMetadata(one) => {
            let i = Instance::open(s, place).await?;
            s.out.progress(format!("Getting metadata of version {} of secret {}", one.id, one.secret_id));
            let metadata = i.get(&format!("{}/metadata", one.tail())).await?;
            details(s, &metadata)
        }
        Command::SecretVersionMetadataUpdate { one, version_custom_metadata } => {
            let metadata = json_value("--version-custom-metadata", &version_custom_metadata)?;
            let i = Instance::open(s, place).await?;
            s.out.progress(format!("Updating metadata of version {} of secret {}", one.id, one.secret_id));
            let body = json!({"version_custom_metadata": metadata});
            let changed = i.patch(&format!("{}/metadata", one.tail()), body).await?;
            details(s, &changed)
        }
        Command::SecretVersionDataDelete(one) => {
            confirm(
                s.force,
                &format!("Really erase the data of version '{}' of secret '{}'?", one.id, one.secret_id),
            )?;
            let i = Instance::open(s, place).await?;
            s.out.progress(format!("Erasing the data of version {} of secret {}", one.id, one.secret_id));
            i.delete(&format!("{}/secret_data", one.tail())).await?;
            s.out.ok();
            Ok(())
        }
        Command::SecretVersionActionCreate {
            one,
            secret_version_action_type,
            secret_version_action_prototype,
        } => {
            let option = "--secret-version-action-prototype";
            let body = secrets::action(secret_version_action_type, secret_version_action_prototype, option)?;
            let i = Instance::open(s, place).await?;
            s.out.progress(format!("Starting an action on version {} of secret {}", one.id, one.secret_id));
            let done = i.post(&format!("{}/actions", one.tail()), body).await?;
            details(s, &done)
        }
    }
}
