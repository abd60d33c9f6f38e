//! `iam issuer …`: OIDC issuers other than clusters, such as CI systems. Also the options by which clusters and issuers
//! say where their keys come from.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::api::{Api, Call, segment};
use crate::failure::{Result, usage};
use crate::input::{confirm, file, json as json_value, raw};
use crate::output::cell;
use crate::select::{self, Several};
use crate::session::Session;

/// Where public keys come from, and what tokens must look like.
#[derive(Debug, Default, Args)]
pub struct Keys {
    /// The keys themselves: a JWK set as @file or inline
    #[arg(long, value_name = "@FILE|JSON", conflicts_with_all = ["jwks_url", "discovery_url"])]
    pub jwks: Option<String>,
    /// Address of the JWK set
    #[arg(long, value_name = "URL", conflicts_with = "discovery_url")]
    pub jwks_url: Option<String>,
    /// Address of the issuer's discovery document, with or without its well-known path
    #[arg(long, value_name = "URL")]
    pub discovery_url: Option<String>,
    /// Certificates that the address is checked against: PEM as @file
    #[arg(long, value_name = "@FILE|PEM", allow_hyphen_values = true)]
    pub ca: Option<String>,
    /// Audience that tokens must have
    #[arg(long = "audience", value_name = "AUDIENCE", value_delimiter = ',')]
    pub audiences: Vec<String>,
    /// Longest life of a token, 60 to 3600
    #[arg(long, value_name = "SECONDS")]
    pub max_token_ttl: Option<u64>,
    /// Algorithms that tokens may be signed with
    #[arg(long, value_name = "ALG", value_delimiter = ',')]
    pub allowed_algs: Vec<String>,
}

impl Keys {
    /// Number of key sources given.
    pub fn sources(&self) -> usize {
        [&self.jwks, &self.jwks_url, &self.discovery_url].iter().filter(|k| k.is_some()).count()
    }

    /// Puts what was given into a body.
    pub fn put(&self, body: &mut Map<String, Value>) -> Result<()> {
        if let Some(jwks) = &self.jwks {
            body.insert("jwks".into(), json_value("--jwks", jwks)?);
        }
        for (name, value) in [("jwks_url", &self.jwks_url), ("discovery_url", &self.discovery_url)] {
            if let Some(value) = value {
                body.insert(name.into(), json!(value));
            }
        }
        if let Some(ca) = &self.ca {
            let pem = if ca.starts_with('@') || ca.contains("-----BEGIN") { raw(ca)? } else { file(ca)? };
            body.insert("ca_pem".into(), json!(pem));
        }
        if !self.audiences.is_empty() {
            body.insert("audiences".into(), json!(self.audiences));
        }
        if let Some(seconds) = self.max_token_ttl {
            body.insert("max_token_ttl".into(), json!(seconds));
        }
        if !self.allowed_algs.is_empty() {
            body.insert("allowed_algs".into(), json!(self.allowed_algs));
        }
        Ok(())
    }
}

/// Commands on issuers.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Register an issuer
    Register {
        /// Name
        #[arg(long)]
        name: String,
        /// Issuer as it stands in tokens
        #[arg(long, value_name = "URL")]
        issuer: String,
        #[command(flatten)]
        keys: Keys,
    },
    /// List issuers
    #[command(visible_alias = "list")]
    Ls,
    /// Show an issuer
    Get(One),
    /// Change an issuer
    Update {
        #[command(flatten)]
        one: One,
        /// Issuer as it stands in tokens; all keys are forgotten
        #[arg(long, value_name = "URL")]
        issuer: Option<String>,
        #[command(flatten)]
        keys: Keys,
    },
    /// Read the issuer's keys again
    Refresh(One),
    /// Remove an issuer
    Rm(One),
}

#[derive(Debug, Args)]
pub struct One {
    #[arg(value_name = "NAME|ID")]
    record: String,
}

const BASE: &str = "/avouch/v1/issuers";

/// Runs a command on issuers.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::Register { name, issuer, keys } => {
            if keys.sources() != 1 {
                return Err(usage("Give exactly one of --jwks, --jwks-url and --discovery-url."));
            }
            if keys.audiences.is_empty() {
                return Err(usage("Missing required option --audience."));
            }
            let mut body = Map::new();
            body.insert("name".into(), json!(name));
            body.insert("issuer".into(), json!(issuer));
            keys.put(&mut body)?;
            let api = s.api().await?;
            s.out.progress(format!("Registering issuer {name}"));
            let made = api.send(Call::post(BASE).json(body.into())).await?.body;
            details(s, &made)
        }
        Command::Ls => {
            let api = s.api().await?;
            s.out.progress("Listing issuers");
            let all = issuers(&api).await?;
            s.out.list(&all, "No issuers found.", &["Name", "ID", "Issuer", "Audiences"], |i| {
                ["name", "id", "issuer", "audiences"].map(|k| cell(i, k)).to_vec()
            })
        }
        Command::Get(one) => {
            let api = s.api().await?;
            s.out.progress(format!("Getting issuer {}", one.record));
            let found = find(&api, &one.record).await?;
            let issuer = api.send(Call::get(path(&found))).await?.body;
            details(s, &issuer)
        }
        Command::Update { one, issuer, keys } => {
            let mut body = Map::new();
            super::put(&mut body, "issuer", issuer);
            keys.put(&mut body)?;
            if body.is_empty() {
                return Err(usage("Nothing to change."));
            }
            let api = s.api().await?;
            s.out.progress(format!("Updating issuer {}", one.record));
            let found = find(&api, &one.record).await?;
            let now = api.send(Call::get(path(&found))).await?;
            let changed =
                api.send(Call::patch(path(&found)).if_match(&now.etag).json(body.into())).await?.body;
            details(s, &changed)
        }
        Command::Refresh(one) => {
            let api = s.api().await?;
            s.out.progress(format!("Reading the keys of issuer {}", one.record));
            let found = find(&api, &one.record).await?;
            let done = api.send(Call::post(format!("{}/refresh", path(&found)))).await?.body;
            refreshed(s, &done, &format!("'iam issuer update {} --jwks @FILE'", cell(&found, "name")));
            Ok(())
        }
        Command::Rm(one) => {
            confirm(s.force, &format!("Really delete issuer '{}'?", one.record))?;
            let api = s.api().await?;
            s.out.progress(format!("Deleting issuer {}", one.record));
            let found = find(&api, &one.record).await?;
            api.send(Call::delete(path(&found))).await?;
            s.out.ok();
            Ok(())
        }
    }
}

fn path(issuer: &Value) -> String {
    format!("{BASE}/{}", segment(&cell(issuer, "id")))
}

async fn issuers(api: &Api) -> Result<Vec<Value>> {
    api.list(Call::get(BASE), "issuers").await
}

async fn find(api: &Api, wanted: &str) -> Result<Value> {
    let all = issuers(api).await?;
    let mut found = select::named(&all, "id", select::id_of_crn(wanted), false);
    if found.is_empty() {
        found = select::named(&all, "name", wanted, false);
    }
    select::one(api, "issuer", wanted, found, Several::Fail)
}

fn details(s: &Session, issuer: &Value) -> Result<()> {
    warn(s, issuer);
    let rows = [
        ("Name", cell(issuer, "name")),
        ("ID", cell(issuer, "id")),
        ("CRN", cell(issuer, "crn")),
        ("Issuer", cell(issuer, "issuer")),
        ("Audiences", cell(issuer, "audiences")),
        ("Keys", key_lines(issuer)),
        ("Last refresh", cell(issuer, "last_refresh")),
        ("Last error", cell(issuer, "last_error")),
        ("Next refresh", cell(issuer, "next_refresh")),
    ];
    s.out.object(issuer, &rows)
}

/// Says what the server found odd about a registration.
pub fn warn(s: &Session, record: &Value) {
    for warning in record["warnings"].as_array().into_iter().flatten() {
        s.out.note(format!("WARNING: {}", crate::output::show(warning)));
    }
}

/// Says how a refresh ended. Where keys were handed over nothing was read, and `instead` says how to bring new ones.
pub fn refreshed(s: &Session, done: &Value, instead: &str) {
    warn(s, done);
    if fetched(&done["registration"]) {
        s.out.ok();
    } else {
        s.out.note(format!("The keys are still those that were handed over. For new ones use {instead}."));
    }
}

/// True when some keys of a registration are read from an address.
fn fetched(registration: &Value) -> bool {
    let more = registration["additional_issuers"].as_array().into_iter().flatten();
    std::iter::once(registration)
        .chain(more)
        .any(|source| !source["jwks_url"].is_null() || !source["discovery_url"].is_null())
}

/// `KID (ALG, STATE)` lines.
pub fn key_lines(record: &Value) -> String {
    let line = |k: &Value| format!("{} ({}, {})", cell(k, "kid"), cell(k, "alg"), cell(k, "state"));
    record["keys"].as_array().into_iter().flatten().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_with_one_address_is_fetched_and_one_of_keys_alone_is_not() {
        assert!(!fetched(&json!({"issuer": "https://a", "keys": []})));
        assert!(!fetched(&json!({"issuer": "https://a", "additional_issuers": [{"issuer": "https://b"}]})));
        assert!(fetched(&json!({"jwks_url": "https://a/jwks"})));
        assert!(fetched(&json!({"additional_issuers": [{"discovery_url": "https://b"}]})));
    }
}
