//! Groups of service IDs. A default group exists implicitly and has no record.

pub mod http;
pub mod sql;

use avouch_gate::{Endpoint, Target};
use avouch_policy::access::ResourceAttrs;
use avouch_wire::ids::AccountId;
use avouch_wire::time::Timestamp;
use serde_json::{Value, json};

use crate::paging::put;

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// `ServiceIdGroup-<uuid>`.
    pub id: String,
    /// Account.
    pub account: AccountId,
    /// Name, unique in the account.
    pub name: String,
    /// Description.
    pub description: Option<String>,
    /// Revision.
    pub etag: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// When it was last changed.
    pub modified_at: Timestamp,
}

/// CRN of a group.
pub fn crn(g: &Group) -> String {
    format!("crn:v1:bluemix:public:iam-identity::a/{}::serviceid-group:{}", g.account, g.id)
}

/// The published shape.
pub fn render(g: &Group) -> Value {
    let mut out = json!({
        "id": g.id,
        "entity_tag": g.etag,
        "account_id": g.account.as_str(),
        "crn": crn(g),
        "name": g.name,
        "created_at": g.created_at.iam(),
        "created_by": g.created_by,
        "modified_at": g.modified_at.iam(),
    });
    put(&mut out, "description", g.description.clone());
    out
}

/// Decision and audit target.
pub fn target(account: &AccountId, group: Option<&Group>) -> Target {
    let attrs = ResourceAttrs::service(account, "iam-identity");
    match group {
        Some(g) => Target::global("iam-identity", account, attrs.resource("serviceid-group", &g.id), crn(g))
            .named(&g.name),
        None => Target::global("iam-identity", account, attrs.resource_type("serviceid-group"), ""),
    }
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const TARGET: &str = "iam-identity/serviceid-group";
    vec![
        Endpoint::get("/v1/serviceid_groups", "list_service_id_group", http::list)
            .actions(&["iam-identity.serviceid-group.list"]),
        Endpoint::post("/v1/serviceid_groups", "create_service_id_group", http::create)
            .actions(&["iam-identity.serviceid-group.create"])
            .events(TARGET, &["iam-identity.serviceid-group.create"]),
        Endpoint::get("/v1/serviceid_groups/{id}", "get_service_id_group", http::get)
            .actions(&["iam-identity.serviceid-group.get"]),
        Endpoint::put("/v1/serviceid_groups/{id}", "update_service_id_group", http::update)
            .actions(&["iam-identity.serviceid-group.update"])
            .events(TARGET, &["iam-identity.serviceid-group.update"]),
        Endpoint::delete("/v1/serviceid_groups/{id}", "delete_service_id_group", http::delete)
            .actions(&["iam-identity.serviceid-group.delete"])
            .events(TARGET, &["iam-identity.serviceid-group.delete"]),
    ]
}
