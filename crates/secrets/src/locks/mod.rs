//! Locks: whoever depends on a version keeps it from being deleted, erased or rotated away.

pub mod http;
pub mod sql;

use avouch_gate::Endpoint;
use avouch_wire::time::Timestamp;
use serde_json::{Map, Value, json};

use crate::at;
use crate::secrets::Secret;
use crate::versions::Version;

/// Locks of a secret at most.
pub const MOST: usize = 1000;

/// A lock.
#[derive(Debug, Clone, PartialEq)]
pub struct Lock {
    /// Version.
    pub version: String,
    /// Name, unique on the version.
    pub name: String,
    /// Description.
    pub description: Option<String>,
    /// Free attributes.
    pub attributes: Map<String, Value>,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// One lock in the published shape.
pub fn render(lock: &Lock, secret: &Secret, alias: &str) -> Value {
    json!({
        "name": lock.name,
        "description": lock.description.clone().unwrap_or_default(),
        "attributes": lock.attributes,
        "created_at": lock.created_at.rfc3339_secs(),
        "created_by": lock.created_by,
        "updated_at": lock.updated_at.rfc3339_secs(),
        "secret_id": secret.id,
        "secret_group_id": secret.group,
        "secret_version_id": lock.version,
        "secret_version_alias": alias,
    })
}

/// All locks of a secret in the published shape.
pub fn summary(secret: &Secret, versions: &[Version], locks: &[Lock], now: Timestamp) -> Value {
    let gone = secret.expired(now, i64::try_from(locks.len()).unwrap_or(i64::MAX));
    let shown: Vec<Value> = versions
        .iter()
        .filter(|v| !v.alias.is_empty())
        .map(|v| {
            let names: Vec<&str> =
                locks.iter().filter(|l| l.version == v.id).map(|l| l.name.as_str()).collect();
            json!({
                "version_id": v.id, "version_alias": v.alias, "locks": names,
                "payload_available": v.sealed.is_some() && !gone,
            })
        })
        .collect();
    json!({
        "secret_id": secret.id,
        "secret_group_id": secret.group,
        "secret_type": secret.kind.as_str(),
        "secret_name": secret.name,
        "versions": shown,
    })
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const TARGET: &str = "secrets-manager/secret-locks";
    vec![
        Endpoint::get(at!("/secrets_locks"), "list_secrets_locks", http::list_all)
            .actions(&["secrets-manager.secrets-locks.list"])
            .events(TARGET, &["secrets-manager.secrets-locks.list"]),
        Endpoint::get(at!("/secrets/{id}/locks"), "list_secret_locks", http::list)
            .actions(&["secrets-manager.secret-locks.list"])
            .events(TARGET, &["secrets-manager.secret-locks.list"]),
        Endpoint::post(at!("/secrets/{id}/locks_bulk"), "create_secret_locks_bulk", http::create)
            .protective(true)
            .actions(&["secrets-manager.secret-locks.create"])
            .events(TARGET, &["secrets-manager.secret-locks.create"]),
        Endpoint::delete(at!("/secrets/{id}/locks_bulk"), "delete_secret_locks_bulk", http::delete)
            .protective(false)
            .actions(&["secrets-manager.secret-locks.delete"])
            .events(TARGET, &["secrets-manager.secret-locks.delete"]),
        Endpoint::get(
            at!("/secrets/{id}/versions/{version}/locks"),
            "list_secret_version_locks",
            http::list_version,
        )
        .actions(&["secrets-manager.secret-version-locks.list"])
        .events(TARGET, &["secrets-manager.secret-version-locks.list"]),
        Endpoint::post(
            at!("/secrets/{id}/versions/{version}/locks_bulk"),
            "create_secret_version_locks_bulk",
            http::create_version,
        )
        .protective(true)
        .actions(&["secrets-manager.secret-version-locks.create"])
        .events(TARGET, &["secrets-manager.secret-version-locks.create"]),
        Endpoint::delete(
            at!("/secrets/{id}/versions/{version}/locks_bulk"),
            "delete_secret_version_locks_bulk",
            http::delete_version,
        )
        .protective(false)
        .actions(&["secrets-manager.secret-version-locks.delete"])
        .events(TARGET, &["secrets-manager.secret-version-locks.delete"]),
    ]
}
