//! API keys of users and service IDs. The value is shown once and kept as a hash; only a service ID's key may be stored,
//! sealed, when its owner asks for it.

pub mod http;
pub mod purge;
pub mod sql;

use avouch_crypto::digest;
use avouch_crypto::rng;
use avouch_crypto::secret::{SecretBytes, SecretString};
use avouch_gate::{Ctx, Effect, Endpoint, Error, Result, Target, etag};
use avouch_policy::access::ResourceAttrs;
use avouch_store::Tx;
use avouch_wire::crn::Crn;
use avouch_wire::ids::{AccountId, ApiKeyId, IamId, IamKind};
use avouch_wire::time::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::paging::put;
use crate::profiles::http::{check_name, check_text};

/// Bytes of a generated value: 256 bits and more.
const VALUE_BYTES: usize = 33;
/// Shortest value that a caller may bring.
const VALUE_MIN: usize = 32;
/// Longest one.
const VALUE_MAX: usize = 1024;

/// An API key, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Id.
    pub id: ApiKeyId,
    /// Account.
    pub account: AccountId,
    /// Owner.
    pub iam_id: IamId,
    /// Name; need not be unique.
    pub name: String,
    /// Description.
    pub description: Option<String>,
    /// SHA-256 of the value, hex.
    pub digest: String,
    /// The sealed value, when it is stored.
    pub stored: Option<Vec<u8>>,
    /// Changes are refused.
    pub locked: bool,
    /// It does not authenticate.
    pub disabled: bool,
    /// Logins with it may have sessions.
    pub support_sessions: bool,
    /// `none`, `disable` or `delete`.
    pub action_when_leaked: String,
    /// End of its life.
    pub expires_at: Option<Timestamp>,
    /// Revision.
    pub etag: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// When it was last changed.
    pub modified_at: Timestamp,
}

impl ApiKey {
    /// CRN.
    pub fn crn(&self) -> String {
        Crn::api_key(&self.account, &self.iam_id, &self.id).map(|c| c.to_string()).unwrap_or_default()
    }

    /// `user-apikey` or `serviceid-apikey`, as audit actions name them.
    pub fn kind(&self) -> &'static str {
        if self.iam_id.kind() == IamKind::User { "user-apikey" } else { "serviceid-apikey" }
    }

    /// Decision and audit target.
    pub fn target(&self) -> Target {
        let attrs =
            ResourceAttrs::service(&self.account, "iam-identity").resource("apikey", self.id.as_str());
        Target::global("iam-identity", &self.account, attrs, self.crn())
            .named(&self.name)
            .of_type(format!("iam-identity/{}", self.kind()))
    }

    /// What binds a stored value to its key.
    pub fn aad(&self) -> String {
        format!("apikey|{}|{}", self.account, self.id)
    }
}

/// A key that a request asks for.
#[derive(Deserialize)]
pub struct NewKey {
    /// Name.
    pub name: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Value that the caller brings.
    pub apikey: Option<SecretString>,
    /// Keep the value, sealed.
    pub store_value: Option<bool>,
    /// For user keys.
    pub support_sessions: Option<bool>,
    /// `none`, `disable`, `delete`.
    pub action_when_leaked: Option<String>,
    /// End of its life.
    pub expires_at: Option<String>,
}

/// A key ready to be written, with the value that is shown once.
pub struct Prepared {
    /// The key.
    pub key: ApiKey,
    /// Its value.
    pub value: SecretString,
}

/// The hash under which a value is looked up. Values carry 256 bits of randomness or were chosen by their owner with at
/// least 32 characters, so a plain hash suffices and a look-up costs the same for known and unknown ones.
pub fn digest_of(value: &SecretString) -> String {
    digest::hex(&digest::sha256(value.expose().as_bytes()))
}

/// Checks a request for a key and draws what it needs.
///
/// # Errors
/// `Invalid` naming the field.
pub fn prepare(ctx: &Ctx, account: &AccountId, owner: &IamId, new: NewKey, locked: bool) -> Result<Prepared> {
    let name = check_name(new.name.as_deref(), 300)?.to_owned();
    check_text("description", new.description.as_deref().unwrap_or_default(), 1000)?;
    let value = match new.apikey {
        None => rng::token_urlsafe(ctx.app().rng.as_ref(), VALUE_BYTES),
        Some(value) => {
            let text = value.expose();
            if text.chars().count() < VALUE_MIN
                || text.len() > VALUE_MAX
                || text.chars().any(char::is_control)
            {
                return Err(Error::invalid(
                    "apikey",
                    "The property 'apikey' must have 32 to 1024 characters.",
                ));
            }
            value
        }
    };
    let store = new.store_value.unwrap_or(false);
    if store && owner.kind() == IamKind::User {
        return Err(Error::invalid(
            "store_value",
            "The property 'store_value' is for keys of service IDs only.",
        ));
    }
    let mut key = ApiKey {
        id: ApiKeyId::from_uuid(ctx.uuid()),
        account: account.clone(),
        iam_id: owner.clone(),
        name,
        description: new.description.filter(|d| !d.is_empty()),
        digest: digest_of(&value),
        stored: None,
        locked,
        disabled: false,
        support_sessions: new.support_sessions.unwrap_or(false),
        action_when_leaked: leak_action(new.action_when_leaked.as_deref())?.unwrap_or("disable").to_owned(),
        expires_at: expiry(new.expires_at.as_deref())?.flatten(),
        etag: etag::tag(1, ctx.app().rng.as_ref()),
        created_at: ctx.now(),
        created_by: ctx.caller()?.iam_id().to_string(),
        modified_at: ctx.now(),
    };
    if store {
        key.stored = Some(ctx.app().keyring.seal(key.aad().as_bytes(), value.expose().as_bytes()));
    }
    Ok(Prepared { key, value })
}

/// Checks `action_when_leaked`.
///
/// # Errors
/// `Invalid` for another word.
pub fn leak_action(text: Option<&str>) -> Result<Option<&'static str>> {
    match text {
        None => Ok(None),
        Some("none") => Ok(Some("none")),
        Some("disable") => Ok(Some("disable")),
        Some("delete") => Ok(Some("delete")),
        Some(_) => Err(Error::invalid(
            "action_when_leaked",
            "The property 'action_when_leaked' must be none, disable or delete.",
        )),
    }
}

/// Checks `expires_at`; `Some(None)`: an empty text, which clears it.
///
/// # Errors
/// `Invalid` for what is no time.
pub fn expiry(text: Option<&str>) -> Result<Option<Option<Timestamp>>> {
    match text {
        None => Ok(None),
        Some("") => Ok(Some(None)),
        Some(text) => Timestamp::parse_iam(text)
            .map(|t| Some(Some(t)))
            .map_err(|_| Error::invalid("expires_at", "The property 'expires_at' is not a time.")),
    }
}

/// The published shape. COMPAT: the SDK model marks `apikey` required, so it is an empty text where there is no value.
pub fn render(k: &ApiKey, value: Option<&SecretBytes>) -> Value {
    let mut out = json!({
        "id": k.id.as_str(),
        "entity_tag": k.etag,
        "crn": k.crn(),
        "locked": k.locked,
        "disabled": k.disabled,
        "created_at": k.created_at.iam(),
        "created_by": k.created_by,
        "modified_at": k.modified_at.iam(),
        "name": k.name,
        "support_sessions": k.support_sessions,
        "action_when_leaked": k.action_when_leaked,
        "iam_id": k.iam_id.as_str(),
        "account_id": k.account.as_str(),
        "apikey": "",
    });
    put(&mut out, "description", k.description.clone());
    put(&mut out, "expires_at", k.expires_at.map(Timestamp::iam));
    if let Some(text) = value.and_then(|v| std::str::from_utf8(v.expose()).ok()) {
        put(&mut out, "apikey", Some(text));
    }
    out
}

/// The key with this digest, if there is one; the login checks the rest.
///
/// # Errors
/// Those of the store.
pub fn find_by_value(tx: &mut Tx<'_>, digest: &str) -> Result<Option<ApiKey>> {
    sql::by_digest(tx, digest)
}

/// A key of an account's owner, made by the server itself: account and owner, name and description, id, digest and tag.
///
/// # Errors
/// Those of the store.
pub fn create_for_owner(
    tx: &mut Tx<'_>,
    of: (&AccountId, &IamId),
    (name, description): (&str, &str),
    (id, digest, tag): (&ApiKeyId, &str, &str),
    now: Timestamp,
) -> Result<()> {
    let key = ApiKey {
        id: id.clone(),
        account: of.0.clone(),
        iam_id: of.1.clone(),
        name: name.into(),
        description: Some(description.into()),
        digest: digest.to_owned(),
        stored: None,
        locked: false,
        disabled: false,
        support_sessions: false,
        action_when_leaked: "disable".into(),
        expires_at: None,
        etag: tag.to_owned(),
        created_at: now,
        created_by: of.1.as_str().to_owned(),
        modified_at: now,
    };
    sql::insert(tx, &key)
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const TARGET: &str = "iam-identity/apikey";
    const GET: &[&str] = &["iam-identity.apikey.get"];
    const UPDATE: &[&str] = &["iam-identity.apikey.update"];
    const UPDATED: &[&str] = &["iam-identity.user-apikey.update", "iam-identity.serviceid-apikey.update"];
    vec![
        Endpoint::get("/v1/apikeys", "list_api_keys", http::list).actions(&["iam-identity.apikey.list"]),
        Endpoint::post("/v1/apikeys", "create_api_key", http::create)
            .actions(&[
                "iam-identity.apikey.create",
                "iam-identity.user-apikey.create",
                "user-management.user.create",
            ])
            .events(TARGET, &["iam-identity.user-apikey.create", "iam-identity.serviceid-apikey.create"]),
        Endpoint::get("/v1/apikeys/details", "get_api_keys_details", http::details).actions(GET),
        Endpoint::get("/v1/apikeys/{id}", "get_api_key", http::get)
            .actions(GET)
            .events(TARGET, &["iam-identity.user-apikey.read", "iam-identity.serviceid-apikey.read"])
            .effect(Effect::Disclose),
        Endpoint::put("/v1/apikeys/{id}", "update_api_key", http::update)
            .actions(UPDATE)
            .events(TARGET, UPDATED),
        Endpoint::delete("/v1/apikeys/{id}", "delete_api_key", http::delete)
            .actions(&["iam-identity.apikey.delete"])
            .events(TARGET, &["iam-identity.user-apikey.delete", "iam-identity.serviceid-apikey.delete"]),
        Endpoint::post("/v1/apikeys/{id}/lock", "lock_api_key", http::lock)
            .protective(true)
            .actions(UPDATE)
            .events(TARGET, UPDATED),
        Endpoint::delete("/v1/apikeys/{id}/lock", "unlock_api_key", http::unlock)
            .protective(false)
            .actions(UPDATE)
            .events(TARGET, UPDATED),
        Endpoint::post("/v1/apikeys/{id}/disable", "disable_api_key", http::disable)
            .protective(true)
            .actions(UPDATE)
            .events(TARGET, UPDATED),
        Endpoint::delete("/v1/apikeys/{id}/disable", "enable_api_key", http::enable)
            .protective(false)
            .actions(UPDATE)
            .events(TARGET, UPDATED),
    ]
}
