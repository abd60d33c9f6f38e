//! `secrets-manager` (`sm`): secrets, groups, versions, locks of one instance. Which instance: `--service-url`, then
//! `--instance-id`, then `SECRETS_MANAGER_URL`, then the setting, then the only instance of the account.

mod config;

pub use config::forget_service_url;
mod groups;
mod locks;
mod prototype;
mod secrets;
mod versions;

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::api::{Api, Call, segment};
use crate::args::Force;
use crate::failure::{Result, failed};
use crate::output::cell;
use crate::resource::instances;
use crate::select;
use crate::session::{Session, env};

/// `secrets-manager` with its options.
#[derive(Debug, Args)]
pub struct Family {
    #[command(flatten)]
    force: Force,
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

/// Which instance is meant.
#[derive(Debug, Args)]
pub struct Place {
    /// Instance: GUID, CRN or name
    #[arg(long, global = true, value_name = "GUID|CRN|NAME")]
    instance_id: Option<String>,
    /// Kept for scripts: a deployment has one region
    #[arg(long, global = true, value_name = "REGION")]
    region: Option<String>,
    /// Address of the instance; also SECRETS_MANAGER_URL
    #[arg(long, global = true, value_name = "URL")]
    service_url: Option<String>,
    /// Kept for scripts; see IBMCLOUD_TRACE
    #[arg(short, long, global = true)]
    verbose: bool,
}

/// Commands of `secrets-manager`.
#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Groups(groups::Command),
    #[command(flatten)]
    Secrets(secrets::Command),
    #[command(flatten)]
    Versions(versions::Command),
    #[command(flatten)]
    Locks(locks::Command),
    /// Settings of this command family
    Config {
        #[command(subcommand)]
        command: config::Command,
    },
}

/// Runs a command of `secrets-manager`.
pub async fn run(s: &mut Session, family: Family) -> Result<()> {
    s.force = family.force.force;
    match family.command {
        Command::Groups(c) => groups::run(s, &family.place, c).await,
        Command::Secrets(c) => secrets::run(s, &family.place, c).await,
        Command::Versions(c) => versions::run(s, &family.place, c).await,
        Command::Locks(c) => locks::run(s, &family.place, c).await,
        Command::Config { command } => config::run(s, command),
    }
}

/// An instance that calls go to.
struct Instance {
    api: Api,
    base: String,
}

impl Instance {
    /// Finds the instance that is meant.
    async fn open(s: &mut Session, place: &Place) -> Result<Instance> {
        let api = s.api().await?;
        let base = match (&place.service_url, &place.instance_id) {
            (Some(url), _) => url.clone(),
            (None, Some(instance)) => of_instance(&api, instance).await?,
            (None, None) => match env("SECRETS_MANAGER_URL").or(config::service_url(s)?) {
                Some(url) => url,
                None => only(&api).await?,
            },
        };
        Ok(Instance { api, base: service_base(&base)? })
    }

    fn path(&self, tail: &str) -> String {
        format!("{}/api/v2/{tail}", self.base)
    }

    async fn get(&self, tail: &str) -> Result<Value> {
        Ok(self.api.send(Call::get(self.path(tail))).await?.body)
    }

    async fn post(&self, tail: &str, body: Value) -> Result<Value> {
        Ok(self.api.send(Call::post(self.path(tail)).json(body)).await?.body)
    }

    async fn patch(&self, tail: &str, body: Value) -> Result<Value> {
        Ok(self.api.send(Call::patch(self.path(tail)).merge(body)).await?.body)
    }

    async fn delete(&self, tail: &str) -> Result<Value> {
        Ok(self.api.send(Call::delete(self.path(tail))).await?.body)
    }
}

/// COMPAT: people copy the address with the path of the interface or without it.
fn service_base(url: &str) -> Result<String> {
    let url = url.trim_end_matches('/');
    let url = url.strip_suffix("/api/v2").or_else(|| url.strip_suffix("/api")).unwrap_or(url);
    crate::core::settings::address(url)
}

async fn of_instance(api: &Api, wanted: &str) -> Result<String> {
    let guid = if select::uuid(wanted) {
        wanted.to_owned()
    } else {
        cell(&instances::of_service(api, wanted, "secrets-manager").await?, "guid")
    };
    Ok(format!("{}/secrets-manager/{}", api.endpoint(), segment(&guid)))
}

async fn only(api: &Api) -> Result<String> {
    let all = instances::all_of_service(api, "secrets-manager").await?;
    match all.as_slice() {
        [one] => Ok(format!("{}/secrets-manager/{}", api.endpoint(), segment(&cell(one, "guid")))),
        [] => {
            Err(failed("There is no Secrets Manager instance. Use 'resource service-instance-create' first."))
        }
        several => {
            let names: Vec<String> =
                several.iter().map(|i| format!("{}  {}", cell(i, "guid"), cell(i, "name"))).collect();
            Err(failed(format!(
                "There are several Secrets Manager instances. Use --instance-id, --service-url or SECRETS_MANAGER_URL.\n{}",
                names.join("\n")
            )))
        }
    }
}

/// COMPAT: `retrieved_at` of what was never read, as the published interface has it.
const NEVER: &str = "1970-01-01T00:00:00Z";

/// Rows of an object as it came, for people.
fn rows_of(value: &Value) -> Vec<(&str, String)> {
    let fields = value.as_object().into_iter().flatten();
    let told = fields.filter(|(name, value)| *name != "retrieved_at" || **value != NEVER);
    told.map(|(k, v)| (k.as_str(), crate::output::show(v))).collect()
}

/// Shows an object whose fields depend on its type.
fn details(s: &Session, value: &Value) -> Result<()> {
    s.out.object(value, &rows_of(value))
}

/// Fields that hold what a secret is there for.
const PAYLOAD: &[&str] =
    &["payload", "password", "data", "api_key", "private_key", "credentials", "credentials_content"];

/// Shows what was made. People who have just handed a payload over need not see it on their screen; programs get all.
fn made(s: &Session, value: &Value) -> Result<()> {
    let rows: Vec<(&str, String)> = rows_of(value)
        .into_iter()
        .map(|(k, v)| if PAYLOAD.contains(&k) { (k, "(not shown here)".to_owned()) } else { (k, v) })
        .collect();
    s.out.object(value, &rows)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn addresses_with_and_without_the_path_are_the_same() {
        for url in [
            "http://h/secrets-manager/g",
            "http://h/secrets-manager/g/",
            "http://h/secrets-manager/g/api/v2/",
        ] {
            assert_eq!(service_base(url).unwrap(), "http://h/secrets-manager/g");
        }
        assert_eq!(service_base("g.us-south.example.com").unwrap(), "https://g.us-south.example.com");
    }
}
