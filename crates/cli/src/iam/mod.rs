//! `iam`: one file per resource. What is shown and asked here is the published grammar; who may do it is the server's
//! decision.

mod access_group_members;
mod access_groups;
mod account_settings;
mod api_keys;
mod authorizations;
mod compat;
mod identities;
mod issuers;
mod links;
mod overview;
mod policies;
mod policy_flags;
mod profiles;
mod revocation;
mod roles;
mod rules;
mod service_ids;
mod tokens;
mod why;

pub use issuers::{Keys, key_lines, refreshed, warn};
pub use profiles::find as find_profile;
pub use why::tree as reasons;

use clap::Subcommand;
use serde_json::{Map, Value};

use crate::failure::Result;
use crate::session::Session;

/// Commands of `iam`.
#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(flatten)]
    Profiles(profiles::Command),
    #[command(flatten)]
    Links(links::Command),
    #[command(flatten)]
    Rules(rules::Command),
    #[command(flatten)]
    Identities(identities::Command),
    #[command(flatten)]
    ServiceIds(service_ids::Command),
    #[command(flatten)]
    ApiKeys(api_keys::Command),
    #[command(flatten)]
    AccessGroups(access_groups::Command),
    #[command(flatten)]
    Members(access_group_members::Command),
    #[command(flatten)]
    Policies(policies::Command),
    #[command(flatten)]
    Authorizations(authorizations::Command),
    #[command(flatten)]
    Roles(roles::Command),
    #[command(flatten)]
    Overview(overview::Command),
    #[command(flatten)]
    Settings(account_settings::Command),
    #[command(flatten)]
    Tokens(tokens::Command),
    #[command(flatten)]
    Revocation(revocation::Command),
    #[command(flatten)]
    Compat(compat::Command),
    /// Why something was, or would be, allowed or refused
    Why(why::Args),
    /// OIDC issuers, such as CI systems
    Issuer {
        #[command(subcommand)]
        command: issuers::Command,
    },
}

/// Runs a command of `iam`.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::Profiles(c) => profiles::run(s, c).await,
        Command::Links(c) => links::run(s, c).await,
        Command::Rules(c) => rules::run(s, c).await,
        Command::Identities(c) => identities::run(s, c).await,
        Command::ServiceIds(c) => service_ids::run(s, c).await,
        Command::ApiKeys(c) => api_keys::run(s, c).await,
        Command::AccessGroups(c) => access_groups::run(s, c).await,
        Command::Members(c) => access_group_members::run(s, c).await,
        Command::Policies(c) => policies::run(s, c).await,
        Command::Authorizations(c) => authorizations::run(s, c).await,
        Command::Roles(c) => roles::run(s, c).await,
        Command::Overview(c) => overview::run(s, c).await,
        Command::Settings(c) => account_settings::run(s, c).await,
        Command::Tokens(c) => tokens::run(s, &c).await,
        Command::Revocation(c) => revocation::run(s, c).await,
        Command::Compat(c) => compat::run(s, c).await,
        Command::Why(c) => why::run(s, c).await,
        Command::Issuer { command } => issuers::run(s, command).await,
    }
}

/// Puts a text into a body if it was given.
fn put(body: &mut Map<String, Value>, name: &str, value: Option<impl Into<String>>) {
    if let Some(value) = value {
        body.insert(name.into(), Value::String(value.into()));
    }
}
