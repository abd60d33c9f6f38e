//! Versions: each rotation makes one. Payloads are kept for the current and the previous version only.

pub mod http;
pub mod payload;
pub mod sql;

use std::sync::Arc;

use avouch_gate::audit::writer::Rider;
use avouch_gate::{App, Ctx, Effect, Endpoint, Error, Permit, Result};
use avouch_store::Tx;
use avouch_wire::time::Timestamp;
use serde_json::{Map, Value, json};

use crate::access::Scope;
use crate::at;
use crate::secrets::{Secret, aad};

pub use payload::{Given, Payload};

/// Versions whose metadata is kept.
pub const KEPT: i64 = 50;

/// A version of a secret.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// UUID.
    pub id: String,
    /// Secret.
    pub secret: String,
    /// 1, 2, 3, …
    pub n: i64,
    /// `current`, `previous` or empty.
    pub alias: String,
    /// The sealed payload, while it is kept.
    pub sealed: Option<Vec<u8>>,
    /// Free metadata.
    pub metadata: Map<String, Value>,
    /// Made by the server when it was due.
    pub auto_rotated: bool,
    /// End of the payload.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
}

impl Version {
    /// The version with its payload sealed.
    ///
    /// # Errors
    /// `Internal` when the payload cannot be written as JSON.
    pub fn sealed(mut self, app: &Arc<App>, instance: &str, payload: &Payload) -> Result<Self> {
        let plain = payload.bytes()?;
        self.sealed = Some(app.keyring.seal(&aad(instance, &self.secret, &self.id), plain.expose()));
        Ok(self)
    }

    /// The payload in clear; `None` when it is no longer kept.
    ///
    /// # Errors
    /// `Internal` when it cannot be opened: another key ring, or a damaged row.
    pub fn open(&self, app: &Arc<App>, instance: &str) -> Result<Option<Payload>> {
        let Some(sealed) = &self.sealed else { return Ok(None) };
        let plain =
            app.keyring.open(&aad(instance, &self.secret, &self.id), sealed).map_err(Error::internal)?;
        Payload::read(&plain).map(Some)
    }
}

/// Metadata of a version in the published shape.
pub fn render(v: &Version, secret: &Secret, available: bool, read: bool) -> Map<String, Value> {
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| {
        out.insert(name.to_owned(), value);
    };
    put("id", json!(v.id));
    if !v.alias.is_empty() {
        put("alias", json!(v.alias));
    }
    put("secret_id", json!(v.secret));
    put("secret_name", json!(secret.name));
    put("secret_type", json!(secret.kind.as_str()));
    put("secret_group_id", json!(secret.group));
    put("payload_available", json!(available));
    put("downloaded", json!(read));
    put("auto_rotated", json!(v.auto_rotated));
    put("created_at", json!(v.created_at.rfc3339_secs()));
    put("created_by", json!(v.created_by));
    put("version_custom_metadata", Value::Object(v.metadata.clone()));
    if let Some(at) = v.expires_at.filter(|_| secret.kind != crate::secrets::SecretType::Kv) {
        put("expiration_date", json!(at.rfc3339_secs()));
    }
    out
}

/// Makes the event of a read durable, with the mark of the read in the same commit when a payload leaves.
///
/// # Errors
/// `Unavailable`: nothing may leave.
pub async fn told(ctx: &Ctx, scope: &Scope, permit: &Permit, version: &Version, leaves: bool) -> Result<()> {
    let (instance, secret, id) = (scope.id().to_owned(), version.secret.clone(), version.id.clone());
    let (node, at) = (ctx.app().config.node.clone(), ctx.now());
    let mark = leaves.then(|| {
        Rider::new(format!("read/{instance}/{secret}/{id}"), move |tx, _| {
            sql::mark_read(tx, (&instance, &secret, &id), &node, at)
        })
    });
    let told = version.id.clone();
    ctx.disclose(
        permit,
        |event| {
            event.request("version_id", told);
        },
        Vec::from_iter(mark),
    )
    .await
}

/// Shifts the aliases for a new current version: the current one becomes the previous one, the previous one loses its
/// payload, and metadata beyond the newest fifty is dropped.
///
/// # Errors
/// `Locked` when the previous version is locked: somebody still depends on it.
pub fn rotate(tx: &mut Tx<'_>, instance: &str, new: &Version) -> Result<()> {
    if let Some(mut previous) = sql::by_alias(tx, instance, &new.secret, "previous")? {
        if crate::locks::sql::any(tx, instance, &new.secret, &previous.id)? {
            return Err(crate::errors::locked());
        }
        previous.alias = String::new();
        previous.sealed = None;
        sql::put(tx, instance, &previous)?;
    }
    if let Some(mut current) = sql::by_alias(tx, instance, &new.secret, "current")? {
        current.alias = "previous".into();
        sql::put(tx, instance, &current)?;
    }
    sql::put(tx, instance, new)?;
    sql::drop_before(tx, instance, &new.secret, new.n - KEPT + 1)
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const TARGET: &str = "secrets-manager/secret-version";
    vec![
        Endpoint::post(at!("/secrets/{id}/versions"), "create_secret_version", http::create)
            .actions(&["secrets-manager.secret-version.create"])
            .events(TARGET, &["secrets-manager.secret-version.create"])
            .body_limit(4 << 20),
        Endpoint::get(at!("/secrets/{id}/versions"), "list_secret_versions", http::list)
            .actions(&["secrets-manager.secret-versions.list"])
            .events(TARGET, &["secrets-manager.secret-versions.list"]),
        Endpoint::get(at!("/secrets/{id}/versions/{version}"), "get_secret_version", http::get)
            .actions(&["secrets-manager.secret-version.read"])
            .events(TARGET, &["secrets-manager.secret-version.read"])
            .effect(Effect::Disclose),
        Endpoint::delete(
            at!("/secrets/{id}/versions/{version}/secret_data"),
            "delete_secret_version_data",
            http::delete_data,
        )
        .actions(&["secrets-manager.secret-version-data.delete"])
        .events(TARGET, &["secrets-manager.secret-version-data.delete"]),
        Endpoint::get(
            at!("/secrets/{id}/versions/{version}/metadata"),
            "get_secret_version_metadata",
            http::metadata,
        )
        .actions(&["secrets-manager.secret-version-metadata.read"])
        .events(TARGET, &["secrets-manager.secret-version-metadata.read"]),
        Endpoint::patch(
            at!("/secrets/{id}/versions/{version}/metadata"),
            "update_secret_version_metadata",
            http::update_metadata,
        )
        .actions(&["secrets-manager.secret-version-metadata.update"])
        .events(TARGET, &["secrets-manager.secret-version-metadata.update"]),
        Endpoint::post(
            at!("/secrets/{id}/versions/{version}/actions"),
            "create_secret_version_action",
            http::action,
        )
        .actions(&["secrets-manager.secret-version-action.create"])
        .events(TARGET, &["secrets-manager.secret-version-action.create"]),
    ]
}
