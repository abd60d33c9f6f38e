//! Reclamations: a deleted instance on some plans can be restored for a week.

pub mod http;
pub mod logic;
pub mod sql;

use avouch_gate::Endpoint;
use avouch_wire::ids::AccountId;
use avouch_wire::time::Timestamp;
use serde_json::{Value, json};

use crate::instances::Instance;

/// An open or ended reclamation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reclamation {
    /// UUID.
    pub id: String,
    /// Account.
    pub account: AccountId,
    /// GUID of the instance.
    pub guid: String,
    /// Its resource group.
    pub resource_group: String,
    /// `SCHEDULED`, `RESTORING`, `RECLAIMING`.
    pub state: String,
    /// When the instance is removed for good.
    pub target_time: Timestamp,
    /// When it was scheduled.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// Last change.
    pub updated_at: Timestamp,
    /// By whom.
    pub updated_by: String,
}

/// A fresh reclamation of an instance that was deleted.
pub fn scheduled(id: &str, instance: &Instance, by: &str, due: Timestamp, now: Timestamp) -> Reclamation {
    Reclamation {
        id: id.to_owned(),
        account: instance.account.clone(),
        guid: instance.guid.clone(),
        resource_group: instance.resource_group.clone(),
        state: "SCHEDULED".into(),
        target_time: due,
        created_at: now,
        created_by: by.to_owned(),
        updated_at: now,
        updated_by: by.to_owned(),
    }
}

/// The published shape; `crn` is the instance's.
pub fn render(r: &Reclamation, crn: &str) -> Value {
    json!({
        "id": r.id,
        "entity_id": r.guid,
        "entity_type_id": "resource-instance",
        "entity_crn": crn,
        "resource_instance_id": r.guid,
        "resource_group_id": r.resource_group,
        "account_id": r.account.as_str(),
        "policy_id": "00000000-0000-4000-8000-00000000c001",
        "state": r.state,
        "target_time": r.target_time.rfc3339_millis(),
        "custom_properties": {},
        "created_at": r.created_at.rfc3339_millis(),
        "created_by": r.created_by,
        "updated_at": r.updated_at.rfc3339_millis(),
        "updated_by": r.updated_by,
    })
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/v1/reclamations", "list_reclamations", http::list)
            .actions(&["resource-controller.instance.retrieve"]),
        Endpoint::post("/v1/reclamations/{id}/actions/{action}", "run_reclamation_action", http::act)
            .actions(&["resource-controller.instance.create", "resource-controller.instance.delete"])
            .events("<service>/instance", &["<service>.instance.restore", "<service>.instance.delete"]),
    ]
}
