//! Placement groups: how instances are spread over hosts.

pub mod http;

use avouch_gate::{Endpoint, Result};
use avouch_store::Tx;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::call::{self, View};
use crate::objects::{Body, Kind, Object};

/// The kind.
pub const PLACEMENT_GROUP: Kind = Kind {
    word: "placement-group",
    path: "placement_groups",
    below: "",
    attribute: "placementGroupId",
    display: "placement group",
    resource_type: "placement_group",
    crn: true,
};

/// Strategies, as published.
pub const STRATEGIES: [&str; 2] = ["host_spread", "power_spread"];

/// What a placement group knows of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementGroup {
    /// One of [`STRATEGIES`].
    pub strategy: String,
}

impl Body for PlacementGroup {
    const KIND: &'static Kind = &PLACEMENT_GROUP;

    fn render(o: &Object<Self>, tx: &mut Tx<'_>, view: &View) -> Result<Value> {
        Ok(json!({
            "created_at": o.created_at.rfc3339_millis(),
            "crn": o.crn(view),
            "href": o.href(view),
            "id": o.id,
            "lifecycle_state": "stable",
            "name": o.name,
            "resource_group": view.group(tx, &o.group)?,
            "resource_type": "placement_group",
            "strategy": o.body.strategy,
        }))
    }
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const TARGET: &str = "is.placement-group/placement-group";
    vec![
        call::get("/v1/placement_groups", "list_placement_groups", http::list)
            .actions(&["is.placement-group.placement-group.read"])
            .events(TARGET, &["is.placement-group.placement-group.read"]),
        call::post("/v1/placement_groups", "create_placement_group", http::create)
            .actions(&["is.placement-group.placement-group.create"])
            .events(TARGET, &["is.placement-group.placement-group.create"]),
        call::get("/v1/placement_groups/{id}", "get_placement_group", http::get)
            .actions(&["is.placement-group.placement-group.read"])
            .events(TARGET, &["is.placement-group.placement-group.read"]),
        call::patch("/v1/placement_groups/{id}", "update_placement_group", http::update)
            .actions(&["is.placement-group.placement-group.update"])
            .events(TARGET, &["is.placement-group.placement-group.update"]),
        call::delete("/v1/placement_groups/{id}", "delete_placement_group", http::delete)
            .actions(&["is.placement-group.placement-group.delete"])
            .events(TARGET, &["is.placement-group.placement-group.delete"]),
    ]
}
