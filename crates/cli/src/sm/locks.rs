//! `secrets-manager …lock…`: what keeps a secret or a version from being deleted or replaced.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::secrets::One as Secret;
use super::versions::One as Version;
use super::{Instance, Place};
use crate::api::Call;
use crate::failure::{Result, usage};
use crate::input::{confirm, json as json_value};
use crate::output::cell;
use crate::session::Session;

/// Commands on locks.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the locks of all secrets
    SecretsLocks(All),
    /// List the locks of a secret
    SecretLocks {
        #[command(flatten)]
        secret: Secret,
        #[command(flatten)]
        filter: Filter,
    },
    /// Lock the current version of a secret
    SecretLocksBulkCreate {
        #[command(flatten)]
        secret: Secret,
        #[command(flatten)]
        new: New,
    },
    /// Unlock the current version of a secret
    SecretLocksBulkDelete {
        #[command(flatten)]
        secret: Secret,
        #[command(flatten)]
        names: Names,
    },
    /// List the locks of a version
    SecretVersionLocks {
        #[command(flatten)]
        version: Version,
        #[command(flatten)]
        filter: Filter,
    },
    /// Lock a version
    SecretVersionLocksBulkCreate {
        #[command(flatten)]
        version: Version,
        #[command(flatten)]
        new: New,
    },
    /// Unlock a version
    SecretVersionLocksBulkDelete {
        #[command(flatten)]
        version: Version,
        #[command(flatten)]
        names: Names,
    },
}

#[derive(Debug, Args)]
pub struct All {
    /// Text in the name of a lock
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Ids of groups
    #[arg(long, value_name = "IDS")]
    groups: Option<String>,
}

#[derive(Debug, Args)]
pub struct Filter {
    /// Field, '-' in front for descending
    #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
    sort: Option<String>,
    /// Text in the name of a lock
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Mode {
    RemovePrevious,
    RemovePreviousAndDelete,
}

#[derive(Debug, Args)]
pub struct New {
    /// Locks: [{"name": …, "description": …, "attributes": {…}}]
    #[arg(long, value_name = "JSON|@FILE")]
    locks: String,
    /// What happens to locks of the same name on the previous version
    #[arg(long, value_enum)]
    mode: Option<Mode>,
}

impl New {
    fn locks(&self) -> Result<Value> {
        let locks = json_value("--locks", &self.locks)?;
        match locks {
            Value::Array(_) => Ok(json!({"locks": locks})),
            Value::Object(_) if locks["locks"].is_array() => Ok(locks),
            _ => Err(usage("--locks: wanted a list of locks.")),
        }
    }

    fn mode(&self) -> Option<&'static str> {
        self.mode.map(|mode| match mode {
            Mode::RemovePrevious => "remove_previous",
            Mode::RemovePreviousAndDelete => "remove_previous_and_delete",
        })
    }
}

#[derive(Debug, Args)]
pub struct Names {
    /// Names of locks; without it, all locks
    #[arg(long, value_delimiter = ',', value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: Option<Vec<String>>,
}

/// Runs a command on locks.
pub async fn run(s: &mut Session, place: &Place, command: Command) -> Result<()> {
    match command {
        Command::SecretsLocks(args) => {
            let i = Instance::open(s, place).await?;
            s.out.progress("Listing locks");
            let call = Call::get(i.path("secrets_locks"))
                .query_opt("search", args.search)
                .query_opt("groups", args.groups)
                .query("limit", "1000");
            let all = i.api.list(call, "secrets_locks").await?;
            s.out.list(
                &all,
                "No locks found.",
                &["Secret ID", "Secret Name", "Type", "Group", "Locks"],
                |l| {
                    let mut row = ["secret_id", "secret_name", "secret_type", "secret_group_id"]
                        .map(|k| cell(l, k))
                        .to_vec();
                    row.push(versions(l));
                    row
                },
            )
        }
        Command::SecretLocks { secret, filter } => list(s, place, &secret.tail(), filter).await,
        Command::SecretVersionLocks { version, filter } => list(s, place, &version.tail(), filter).await,
        Command::SecretLocksBulkCreate { secret, new } => create(s, place, &secret.tail(), &new).await,
        Command::SecretVersionLocksBulkCreate { version, new } => {
            create(s, place, &version.tail(), &new).await
        }
        Command::SecretLocksBulkDelete { secret, names } => delete(s, place, &secret.tail(), &names).await,
        Command::SecretVersionLocksBulkDelete { version, names } => {
            delete(s, place, &version.tail(), &names).await
        }
    }
}

fn versions(locks: &Value) -> String {
    let one = |v: &Value| {
        format!(
            "{}: {}",
            [cell(v, "version_alias"), cell(v, "version_id")]
                .into_iter()
                .find(|t| !t.is_empty())
                .unwrap_or_default(),
            cell(v, "locks")
        )
    };
    let locked = |v: &&Value| v["locks"].as_array().is_some_and(|l| !l.is_empty());
    let all: Vec<String> =
        locks["versions"].as_array().into_iter().flatten().filter(locked).map(one).collect();
    if all.is_empty() { "none".into() } else { all.join("; ") }
}

fn show(s: &Session, locks: &Value) -> Result<()> {
    let rows = [
        ("Secret ID", cell(locks, "secret_id")),
        ("Secret name", cell(locks, "secret_name")),
        ("Type", cell(locks, "secret_type")),
        ("Group", cell(locks, "secret_group_id")),
        ("Locks", versions(locks)),
    ];
    s.out.object(locks, &rows)
}

async fn list(s: &mut Session, place: &Place, tail: &str, filter: Filter) -> Result<()> {
    let i = Instance::open(s, place).await?;
    s.out.progress("Listing locks");
    let call = Call::get(i.path(&format!("{tail}/locks")))
        .query_opt("sort", filter.sort)
        .query_opt("search", filter.search)
        .query("limit", "1000");
    let all = i.api.list(call, "locks").await?;
    s.out.list(
        &all,
        "No locks found.",
        &["Name", "Version", "Description", "Attributes", "Created At"],
        |l| {
            ["name", "secret_version_alias", "description", "attributes", "created_at"]
                .map(|k| cell(l, k))
                .to_vec()
        },
    )
}

async fn create(s: &mut Session, place: &Place, tail: &str, new: &New) -> Result<()> {
    let body = new.locks()?;
    let i = Instance::open(s, place).await?;
    s.out.progress("Creating locks");
    let call = Call::post(i.path(&format!("{tail}/locks_bulk"))).query_opt("mode", new.mode()).json(body);
    let locks = i.api.send(call).await?.body;
    show(s, &locks)
}

async fn delete(s: &mut Session, place: &Place, tail: &str, names: &Names) -> Result<()> {
    let what = match &names.name {
        None => "all locks".to_owned(),
        Some(names) => format!("lock '{}'", names.join("', '")),
    };
    confirm(s.force, &format!("Really delete {what}?"))?;
    let i = Instance::open(s, place).await?;
    s.out.progress("Deleting locks");
    let call = Call::delete(i.path(&format!("{tail}/locks_bulk")))
        .query_opt("name", names.name.as_ref().map(|n| n.join(",")));
    let locks = i.api.send(call).await?.body;
    show(s, &locks)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn locks_are_a_list_or_the_whole_body() {
        let new = |locks: &str| New { locks: locks.into(), mode: None }.locks();
        assert_eq!(new(r#"[{"name":"a"}]"#).unwrap(), json!({"locks": [{"name": "a"}]}));
        assert_eq!(new(r#"{"locks":[]}"#).unwrap(), json!({"locks": []}));
        assert!(new(r#""a""#).is_err());
    }

    #[test]
    fn locks_are_shown_by_version_and_versions_without_any_are_left_out() {
        let free = json!({"version_id": "V", "locks": []});
        let v = json!({"versions": [{"version_alias": "current", "locks": ["a", "b"]}, free,
            {"version_id": "W", "locks": ["c"]}]});
        assert_eq!(versions(&v), "current: a, b; W: c");
        assert_eq!(versions(&json!({"versions": [free]})), "none");
    }
}
