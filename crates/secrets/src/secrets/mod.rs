//! Secrets: a name, metadata, and versions that hold the payload.

pub mod create;
pub mod http;
pub mod list;
pub mod sql;

use avouch_gate::{Ctx, Effect, Endpoint, Error, Permit, Result};
use avouch_store::Tx;
use avouch_wire::text;
use avouch_wire::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::access::Scope;
use crate::at;
use crate::errors::no_secret;
use crate::passwords::Policy;
use crate::rotation::Rotation;

/// Readable.
pub const ACTIVE: i64 = 1;
/// Expired; the payload is gone.
pub const DESTROYED: i64 = 5;

/// Types that this server keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretType {
    /// Any text.
    Arbitrary,
    /// A user name and a password.
    UsernamePassword,
    /// A JSON object.
    Kv,
}

impl SecretType {
    /// The published word.
    pub fn as_str(self) -> &'static str {
        match self {
            SecretType::Arbitrary => "arbitrary",
            SecretType::UsernamePassword => "username_password",
            SecretType::Kv => "kv",
        }
    }

    /// The type of that word.
    ///
    /// # Errors
    /// `Invalid`: unknown, or published and not supported here.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "arbitrary" => Ok(SecretType::Arbitrary),
            "username_password" => Ok(SecretType::UsernamePassword),
            "kv" => Ok(SecretType::Kv),
            "iam_credentials"
            | "service_credentials"
            | "imported_cert"
            | "public_cert"
            | "private_cert"
            | "custom_credentials" => Err(Error::invalid(
                "secret_type",
                format!("Secrets of type '{text}' are not supported by this server."),
            )),
            _ => Err(Error::invalid("secret_type", "The property 'secret_type' is not a known type.")),
        }
    }
}

/// Parts of a secret that are shown and never searched by the store.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Body {
    /// Description.
    #[serde(default)]
    pub description: Option<String>,
    /// Labels.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Free metadata.
    #[serde(default)]
    pub custom_metadata: Map<String, Value>,
    /// Rotation policy, as it is shown.
    #[serde(default)]
    pub rotation: Option<Value>,
    /// Policy of generated passwords.
    #[serde(default)]
    pub password_policy: Option<Policy>,
}

/// A secret without its payload.
#[derive(Debug, Clone, PartialEq)]
pub struct Secret {
    /// UUID.
    pub id: String,
    /// Type.
    pub kind: SecretType,
    /// Name, unique per type in the instance.
    pub name: String,
    /// Group id.
    pub group: String,
    /// [`ACTIVE`] or [`DESTROYED`].
    pub state: i64,
    /// The rest.
    pub body: Body,
    /// Versions ever made.
    pub versions_total: i64,
    /// When the payload is erased.
    pub expires_at: Option<Timestamp>,
    /// When it is rotated next.
    pub next_rotation_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Secret {
    /// The rotation policy; a damaged one never rotates.
    pub fn rotation(&self) -> Rotation {
        self.body.rotation.as_ref().and_then(|r| Rotation::parse(r).ok()).unwrap_or(Rotation::Off)
    }

    /// Whether its time is over. Locks hold it back.
    pub fn expired(&self, now: Timestamp, locks: i64) -> bool {
        self.state == DESTROYED || (locks == 0 && self.expires_at.is_some_and(|at| now >= at))
    }
}

/// A secret with what is counted about it.
#[derive(Debug, Clone)]
pub struct Counted {
    /// The secret.
    pub secret: Secret,
    /// Locks of both versions.
    pub locks: i64,
    /// Last read of any version; a secret that was read once stays `downloaded`.
    pub read_at: Option<Timestamp>,
}

/// Metadata in the published shape.
pub fn render(scope: &Scope, c: &Counted, now: Timestamp) -> Map<String, Value> {
    let s = &c.secret;
    let destroyed = s.expired(now, c.locks);
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| {
        out.insert(name.to_owned(), value);
    };
    put("id", json!(s.id));
    put("secret_type", json!(s.kind.as_str()));
    put("name", json!(s.name));
    if let Some(description) = &s.body.description {
        put("description", json!(description));
    }
    put("secret_group_id", json!(s.group));
    put("crn", json!(scope.secret_crn(&s.id)));
    put("labels", json!(s.body.labels));
    put("state", json!(if destroyed { DESTROYED } else { s.state }));
    put("state_description", json!(if destroyed { "destroyed" } else { "active" }));
    put("created_at", json!(s.created_at.rfc3339_secs()));
    put("created_by", json!(s.created_by));
    put("updated_at", json!(s.updated_at.rfc3339_secs()));
    put("versions_total", json!(s.versions_total));
    put("locks_total", json!(c.locks));
    put("downloaded", json!(c.read_at.is_some()));
    put("retrieved_at", json!(c.read_at.unwrap_or(Timestamp::from_millis(0)).rfc3339_secs()));
    put("custom_metadata", Value::Object(s.body.custom_metadata.clone()));
    if let Some(at) = s.expires_at {
        put("expiration_date", json!(at.rfc3339_secs()));
    }
    if s.kind == SecretType::UsernamePassword {
        put("rotation", s.rotation().render());
        put("password_generation_policy", json!(s.body.password_policy.unwrap_or_default()));
        if let Some(at) = s.next_rotation_at.filter(|_| !destroyed) {
            put("next_rotation_date", json!(at.rfc3339_secs()));
        }
    }
    out
}

/// The secret with its counts.
///
/// # Errors
/// Those of the store.
pub fn counted(tx: &mut Tx<'_>, instance: &str, id: &str) -> Result<Option<Counted>> {
    let Some(secret) = sql::get(tx, instance, id)? else { return Ok(None) };
    Ok(Some(count(tx, instance, secret)?))
}

/// Adds the counts.
///
/// # Errors
/// Those of the store.
pub fn count(tx: &mut Tx<'_>, instance: &str, secret: Secret) -> Result<Counted> {
    let locks = crate::locks::sql::count(tx, instance, &secret.id)?;
    let read_at = crate::versions::sql::last_read(tx, instance, &secret.id)?;
    Ok(Counted { secret, locks, read_at })
}

/// Loads a secret and decides.
///
/// # Errors
/// `NotFound`, `Forbidden`.
pub async fn load(ctx: &Ctx, scope: &Scope, id: &str, action: &str) -> Result<(Counted, Permit)> {
    let wanted = id.to_ascii_lowercase();
    if !text::uuid(&wanted) {
        return Err(no_secret());
    }
    let instance = scope.id().to_owned();
    let found = ctx.read(move |tx| counted(tx, &instance, &wanted)).await?.ok_or_else(no_secret)?;
    let permit = permit(ctx, scope, &found.secret, action).await?;
    Ok((found, permit))
}

/// Decides on a secret.
///
/// # Errors
/// `NotFound`, `Forbidden`.
pub async fn permit(ctx: &Ctx, scope: &Scope, secret: &Secret, action: &str) -> Result<Permit> {
    let target = scope.secret_target(&secret.group, &secret.id, &secret.name);
    ctx.detail(|d| {
        d.request("secret_type", secret.kind.as_str()).request("secret_group_id", secret.group.as_str());
    });
    scope.authorize(ctx, action, &target, &secret.group).await
}

/// What binds a sealed payload to its version.
pub fn aad(instance: &str, secret: &str, version: &str) -> Vec<u8> {
    format!("{instance}|{secret}|{version}").into_bytes()
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const TARGET: &str = "secrets-manager/secret";
    const BODY: usize = 4 << 20;
    vec![
        Endpoint::post(at!("/secrets"), "create_secret", create::create)
            .actions(&["secrets-manager.secret.create"])
            .events(TARGET, &["secrets-manager.secret.create"])
            .body_limit(BODY),
        Endpoint::get(at!("/secrets"), "list_secrets", list::list)
            .actions(&["secrets-manager.secrets.list"])
            .events(TARGET, &["secrets-manager.secrets.list"]),
        Endpoint::get(at!("/secrets/{id}"), "get_secret", http::get)
            .actions(&["secrets-manager.secret.read"])
            .events(TARGET, &["secrets-manager.secret.read"])
            .effect(Effect::Disclose),
        Endpoint::delete(at!("/secrets/{id}"), "delete_secret", http::delete)
            .actions(&["secrets-manager.secret.delete"])
            .events(TARGET, &["secrets-manager.secret.delete"]),
        Endpoint::get(at!("/secrets/{id}/metadata"), "get_secret_metadata", http::metadata)
            .actions(&["secrets-manager.secret-metadata.read"])
            .events(TARGET, &["secrets-manager.secret-metadata.read"]),
        Endpoint::patch(at!("/secrets/{id}/metadata"), "update_secret_metadata", http::update)
            .actions(&["secrets-manager.secret-metadata.update"])
            .events(TARGET, &["secrets-manager.secret-metadata.update"]),
        Endpoint::post(at!("/secrets/{id}/actions"), "create_secret_action", http::action)
            .actions(&["secrets-manager.secret-action.create"])
            .events(TARGET, &["secrets-manager.secret-action.create"]),
        Endpoint::get(
            at!("/secret_groups/{group_name}/secret_types/{secret_type}/secrets/{name}"),
            "get_secret_by_name_type",
            http::by_name,
        )
        .actions(&["secrets-manager.secret.read"])
        .events(TARGET, &["secrets-manager.secret.read"])
        .effect(Effect::Disclose),
    ]
}
