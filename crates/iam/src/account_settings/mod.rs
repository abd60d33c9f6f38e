//! Account settings: who may create service IDs and API keys, lifetimes of tokens, allowed addresses.

pub mod http;

use avouch_gate::{Ctx, Endpoint, Error, Result};
use avouch_store::{Tx, params};
use avouch_wire::ids::AccountId;
use serde_json::{Map, Value, json};

/// What an account may restrict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// Service IDs.
    ServiceId,
    /// API keys of users.
    UserApiKey,
}

/// Settings of an account: the published members, and their revision.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Members as they are shown.
    pub body: Map<String, Value>,
    /// Revision.
    pub etag: String,
}

/// Members with their defaults, in the published order.
pub fn defaults() -> Map<String, Value> {
    let object = json!({
        "restrict_create_service_id": "NOT_SET",
        "restrict_create_platform_apikey": "NOT_SET",
        "restrict_user_list_visibility": "NOT_RESTRICTED",
        "allowed_ip_addresses": "",
        "mfa": "NONE",
        "user_mfa": [],
        "session_expiration_in_seconds": "NOT_SET",
        "session_invalidation_in_seconds": "NOT_SET",
        "max_sessions_per_identity": "NOT_SET",
        "system_access_token_expiration_in_seconds": "NOT_SET",
        "system_refresh_token_expiration_in_seconds": "NOT_SET",
        "restrict_user_domains": [],
    });
    object.as_object().cloned().unwrap_or_default()
}

/// The settings of an account. The only SQL of `account_settings` is here and in [`store`].
///
/// # Errors
/// Those of the store.
pub fn load(tx: &mut Tx<'_>, account: &AccountId) -> Result<Settings> {
    let row = tx.query_opt(
        "select body, etag from account_settings where account_id = $1",
        &params![account.as_str()],
    )?;
    let mut body = defaults();
    let Some(row) = row else { return Ok(Settings { body, etag: format!("1-{account}") }) };
    let stored: Map<String, Value> = serde_json::from_str(&row.get::<String>(0)?).map_err(Error::internal)?;
    body.extend(stored);
    Ok(Settings { body, etag: row.get(1)? })
}

/// Writes the settings.
///
/// # Errors
/// Those of the store.
pub fn store(tx: &mut Tx<'_>, account: &AccountId, settings: &Settings, now: i64) -> Result<()> {
    tx.execute(
        "insert into account_settings (account_id, body, etag, modified_at) values ($1, $2, $3, $4) \
         on conflict (account_id) do update set body = $2, etag = $3, modified_at = $4",
        &params![account.as_str(), Value::Object(settings.body.clone()).to_string(), &settings.etag, now],
    )?;
    tx.changed(account.as_str(), "settings", "")?;
    Ok(())
}

/// Whether the account restricts the creation to whoever has the action.
///
/// # Errors
/// Those of the store.
pub async fn restricted(ctx: &Ctx, account: &AccountId, what: Creation) -> Result<bool> {
    let field = match what {
        Creation::ServiceId => "restrict_create_service_id",
        Creation::UserApiKey => "restrict_create_platform_apikey",
    };
    let account = account.clone();
    let settings = ctx.read(move |tx| load(tx, &account)).await?;
    Ok(settings.body.get(field).and_then(Value::as_str) == Some("RESTRICTED"))
}

/// A setting that is a number of seconds; `None`: not set.
pub fn seconds(settings: &Settings, field: &str) -> Option<i64> {
    settings.body.get(field).and_then(Value::as_str).and_then(|v| v.parse().ok())
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const GET: &[&str] = &["iam-identity.account.get"];
    vec![
        Endpoint::get("/v1/accounts/{account_id}/settings/identity", "get_account_settings", http::get)
            .actions(GET),
        Endpoint::put("/v1/accounts/{account_id}/settings/identity", "update_account_settings", http::update)
            .actions(&["iam-identity.account.update"])
            .events("iam-identity/account-settings", &["iam-identity.accountsettings.update"]),
        Endpoint::get(
            "/v1/accounts/{account_id}/effective_settings/identity",
            "get_effective_account_settings",
            http::effective,
        )
        .actions(GET),
    ]
}
