//! Secrets Manager: groups, secrets with versions, locks, expiry and rotation.
//!
//! Payloads exist in clear only between the key ring and the answer. Decisions are made per secret group; a caller who
//! may not see a group cannot tell its secrets from unknown ones.

pub mod access;
pub mod errors;
pub mod groups;
pub mod jobs;
pub mod json;
pub mod locks;
pub mod names;
pub mod paging;
pub mod passwords;
pub mod rotation;
pub mod secrets;
pub mod unsupported;
pub mod versions;

use std::sync::Arc;

use avouch_gate::links::{InstanceHooks, InstanceInfo};
use avouch_gate::{App, Result, Service};
use avouch_store::{Tx, params};
use avouch_wire::time::Timestamp;

/// Every path of the service on the shared origin starts with this; the instance is part of the path.
#[macro_export]
#[doc(hidden)]
macro_rules! at {
    ($path:literal) => {
        concat!("/secrets-manager/{instance}/api/v2", $path)
    };
}

/// The service.
pub fn service() -> Service {
    let endpoints = [
        groups::endpoints(),
        secrets::endpoints(),
        versions::endpoints(),
        locks::endpoints(),
        unsupported::endpoints(),
    ];
    Service {
        name: "secrets-manager",
        display: "Secrets Manager",
        endpoints: endpoints.into_iter().flatten().collect(),
        render: errors::render,
    }
}

/// One round of the background work: what has expired is erased, what is due is rotated.
///
/// # Errors
/// Those of the store.
pub async fn tick(app: &Arc<App>) -> Result<()> {
    let expired = jobs::expire(app).await;
    jobs::rotate(app).await.and(expired)
}

/// Reactions to instances that come and go.
#[derive(Debug, Clone, Copy)]
pub struct Hooks;

impl InstanceHooks for Hooks {
    fn service(&self) -> &'static str {
        "secrets-manager"
    }

    fn created(&self, _tx: &mut Tx<'_>, _instance: &InstanceInfo, _now: Timestamp) -> Result<()> {
        // The default group exists without a record.
        Ok(())
    }

    fn removed(&self, tx: &mut Tx<'_>, instance: &InstanceInfo) -> Result<()> {
        for table in ["sm_locks", "sm_reads", "sm_versions", "sm_secrets", "sm_groups"] {
            tx.execute(&format!("delete from {table} where instance = $1"), &params![&instance.guid])?;
        }
        Ok(())
    }
}
