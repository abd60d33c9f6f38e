//! `is key…`: public keys for signing on to instances.

use clap::{Subcommand, ValueEnum};
use serde_json::{Map, json};

use super::{Group, Kind, Names, Rename};
use crate::failure::Result;
use crate::input::word;
use crate::session::Session;

pub const KEY: Kind = Kind {
    one: "key",
    several: "keys",
    path: "keys",
    columns: &[
        ("Type", "type"),
        ("Length", "length"),
        ("FingerPrint", "fingerprint"),
        ("Resource group", "resource_group.name"),
        ("Created", "created_at"),
    ],
    rows: &[
        ("Type", "type"),
        ("Length", "length"),
        ("FingerPrint", "fingerprint"),
        ("Key", "public_key"),
        ("Resource group", "resource_group.name"),
        ("Created", "created_at"),
    ],
};

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Type {
    Rsa,
    Ed25519,
}

/// Commands on keys.
#[derive(Debug, Subcommand)]
#[allow(private_interfaces, reason = "arguments shared by the commands of this family only")]
pub enum Command {
    /// List keys
    Keys,
    /// Show a key
    Key {
        #[arg(value_name = "NAME|ID")]
        key: String,
    },
    /// Import a public key
    KeyCreate {
        name: String,
        /// The public key as OpenSSH writes it, or @file
        #[arg(value_name = "KEY|@FILE")]
        key: String,
        /// Kind of the key
        #[arg(long, value_enum)]
        key_type: Option<Type>,
        #[command(flatten)]
        group: Group,
    },
    /// Rename a key
    KeyUpdate(Rename),
    /// Delete keys; instances that were made with them keep them
    KeyDelete(Names),
}

/// Runs a command on keys.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::Keys => super::list(s, &KEY, &[]).await,
        Command::Key { key } => super::show(s, &KEY, &key).await,
        Command::KeyCreate { name, key, key_type, group } => {
            let text = word(&key)?;
            let api = s.api().await?;
            s.out.progress(format!("Creating key {name}"));
            let kind = key_type.map(|t| match t {
                Type::Rsa => "rsa",
                Type::Ed25519 => "ed25519",
            });
            // The text says what it is.
            let kind = kind.unwrap_or(if text.starts_with("ssh-ed25519") { "ed25519" } else { "rsa" });
            let mut body = Map::new();
            body.insert("name".into(), json!(name));
            body.insert("public_key".into(), json!(text));
            body.insert("type".into(), json!(kind));
            group.put(s, &api, &mut body).await?;
            super::create(s, &api, &KEY, body).await
        }
        Command::KeyUpdate(args) => super::rename(s, &KEY, args).await,
        Command::KeyDelete(names) => super::delete(s, &KEY, &names).await,
    }
}
