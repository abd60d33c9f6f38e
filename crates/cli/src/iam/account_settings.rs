//! `iam account-settings…`: how identities of the account may be made and how long tokens live.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::put;
use crate::api::{Call, segment};
use crate::failure::{Result, usage};
use crate::output::cell;
use crate::session::Session;

/// Commands on account settings.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the settings of the account
    AccountSettings,
    /// Change settings of the account
    AccountSettingsUpdate(Box<Update>),
}

#[derive(Debug, Args)]
pub struct Update {
    /// RESTRICTED, NOT_RESTRICTED or NOT_SET
    #[arg(long, value_name = "VALUE")]
    restrict_create_service_id: Option<String>,
    /// RESTRICTED, NOT_RESTRICTED or NOT_SET
    #[arg(long, value_name = "VALUE")]
    restrict_create_platform_apikey: Option<String>,
    /// Addresses, ranges and networks that tokens may be asked from
    #[arg(long, value_name = "LIST", value_parser = clap::builder::NonEmptyStringValueParser::new(), conflicts_with = "unset_allowed_ip_addresses")]
    allowed_ip_addresses: Option<String>,
    /// Tokens may be asked from anywhere
    #[arg(long)]
    unset_allowed_ip_addresses: bool,
    /// NONE, TOTP, TOTP4ALL, LEVEL1, LEVEL2 or LEVEL3
    #[arg(long, value_name = "VALUE")]
    mfa: Option<String>,
    /// Longest life of a session
    #[arg(long, value_name = "SECONDS|NOT_SET")]
    session_expiration_in_seconds: Option<String>,
    /// How long a session may be idle
    #[arg(long, value_name = "SECONDS|NOT_SET")]
    session_invalidation_in_seconds: Option<String>,
    /// How many sessions an identity may have at a time
    #[arg(long, value_name = "N|NOT_SET")]
    max_sessions_per_identity: Option<String>,
    /// Life of access tokens
    #[arg(long, value_name = "SECONDS|NOT_SET")]
    access_token_expiration_in_seconds: Option<String>,
    /// Life of refresh tokens
    #[arg(long, value_name = "SECONDS|NOT_SET")]
    refresh_token_expiration_in_seconds: Option<String>,
}

impl Update {
    fn body(self) -> Map<String, Value> {
        let mut body = Map::new();
        put(&mut body, "restrict_create_service_id", self.restrict_create_service_id);
        put(&mut body, "restrict_create_platform_apikey", self.restrict_create_platform_apikey);
        put(&mut body, "allowed_ip_addresses", self.allowed_ip_addresses);
        if self.unset_allowed_ip_addresses {
            body.insert("allowed_ip_addresses".into(), json!(""));
        }
        put(&mut body, "mfa", self.mfa);
        put(&mut body, "session_expiration_in_seconds", self.session_expiration_in_seconds);
        put(&mut body, "session_invalidation_in_seconds", self.session_invalidation_in_seconds);
        put(&mut body, "max_sessions_per_identity", self.max_sessions_per_identity);
        put(&mut body, "system_access_token_expiration_in_seconds", self.access_token_expiration_in_seconds);
        put(
            &mut body,
            "system_refresh_token_expiration_in_seconds",
            self.refresh_token_expiration_in_seconds,
        );
        body
    }
}

/// Runs a command on account settings.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    let body = match command {
        Command::AccountSettings => None,
        Command::AccountSettingsUpdate(args) => {
            let body = args.body();
            if body.is_empty() {
                return Err(usage("Nothing to change."));
            }
            Some(body)
        }
    };
    let api = s.api().await?;
    let path = format!("/v1/accounts/{}/settings/identity", segment(api.account()?));
    s.out.progress(if body.is_some() { "Updating account settings" } else { "Retrieving account settings" });
    let mut now = api.send(Call::get(path.as_str())).await?;
    if let Some(body) = body {
        now = api.send(Call::put(path).if_match(&now.etag).json(body.into())).await?;
    }
    details(s, &now.body)
}

fn details(s: &Session, v: &Value) -> Result<()> {
    let rows = [
        ("Account", cell(v, "account_id")),
        ("Create service IDs", cell(v, "restrict_create_service_id")),
        ("Create platform API keys", cell(v, "restrict_create_platform_apikey")),
        ("User list visibility", cell(v, "restrict_user_list_visibility")),
        ("Allowed IP addresses", cell(v, "allowed_ip_addresses")),
        ("MFA", cell(v, "mfa")),
        ("Session expiration in seconds", cell(v, "session_expiration_in_seconds")),
        ("Session invalidation in seconds", cell(v, "session_invalidation_in_seconds")),
        ("Max sessions per identity", cell(v, "max_sessions_per_identity")),
        ("Access token expiration in seconds", cell(v, "system_access_token_expiration_in_seconds")),
        ("Refresh token expiration in seconds", cell(v, "system_refresh_token_expiration_in_seconds")),
        ("Version", cell(v, "entity_tag")),
    ];
    s.out.object(v, &rows)
}
