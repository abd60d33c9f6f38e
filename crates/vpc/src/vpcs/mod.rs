//! Virtual private clouds. One comes with a security group, a network ACL, a routing table and address prefixes.

pub mod http;

use avouch_gate::{Endpoint, Result};
use avouch_store::Tx;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::call::{self, View};
use crate::network_acls::NetworkAcl;
use crate::objects::{Body, Kind, Object, sql};
use crate::routing_tables::RoutingTable;
use crate::security_groups::SecurityGroup;

/// The kind.
pub const VPC: Kind = Kind {
    word: "vpc",
    path: "vpcs",
    below: "",
    attribute: "vpcId",
    display: "VPC",
    resource_type: "vpc",
    crn: true,
};

/// What a VPC knows of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vpc {
    /// Security group of interfaces that name none.
    pub default_security_group: String,
    /// Network ACL of subnets that name none.
    pub default_network_acl: String,
    /// Routing table of subnets that name none.
    pub default_routing_table: String,
}

impl Body for Vpc {
    const KIND: &'static Kind = &VPC;

    fn render(o: &Object<Self>, tx: &mut Tx<'_>, view: &View) -> Result<Value> {
        let acl: Object<NetworkAcl> = sql::need(tx, &view.account, &o.body.default_network_acl)?;
        let table: Object<RoutingTable> = sql::need(tx, &view.account, &o.body.default_routing_table)?;
        let security: Object<SecurityGroup> = sql::need(tx, &view.account, &o.body.default_security_group)?;
        Ok(json!({
            "classic_access": false,
            "created_at": o.created_at.rfc3339_millis(),
            "crn": o.crn(view),
            "cse_source_ips": [],
            "default_network_acl": acl.reference(view),
            "default_routing_table": table.reference(view),
            "default_security_group": security.reference(view),
            "dns": {
                "enable_hub": false,
                "resolution_binding_count": 0,
                "resolver": {"configuration": "default", "servers": [], "type": "system"},
            },
            "health_reasons": [],
            "health_state": "ok",
            "href": o.href(view),
            "id": o.id,
            "name": o.name,
            "public_address_ranges": [],
            "resource_group": view.group(tx, &o.group)?,
            "resource_type": "vpc",
            "status": "available",
        }))
    }
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const TARGET: &str = "is.vpc/vpc";
    vec![
        call::get("/v1/vpcs", "list_vpcs", http::list)
            .actions(&["is.vpc.vpc.read"])
            .events(TARGET, &["is.vpc.vpc.read"]),
        call::post("/v1/vpcs", "create_vpc", http::create)
            .actions(&["is.vpc.vpc.create"])
            .events(TARGET, &["is.vpc.vpc.create"]),
        call::get("/v1/vpcs/{id}", "get_vpc", http::get)
            .actions(&["is.vpc.vpc.read"])
            .events(TARGET, &["is.vpc.vpc.read"]),
        call::patch("/v1/vpcs/{id}", "update_vpc", http::update)
            .actions(&["is.vpc.vpc.update"])
            .events(TARGET, &["is.vpc.vpc.update"]),
        call::delete("/v1/vpcs/{id}", "delete_vpc", http::delete)
            .actions(&["is.vpc.vpc.delete"])
            .events(TARGET, &["is.vpc.vpc.delete"]),
        call::get(
            "/v1/vpcs/{id}/default_security_group",
            "get_vpc_default_security_group",
            http::security_group,
        )
        .actions(&["is.vpc.vpc.read"])
        .events(TARGET, &["is.vpc.vpc.read"]),
        call::get("/v1/vpcs/{id}/default_network_acl", "get_vpc_default_network_acl", http::network_acl)
            .actions(&["is.vpc.vpc.read"])
            .events(TARGET, &["is.vpc.vpc.read"]),
        call::get(
            "/v1/vpcs/{id}/default_routing_table",
            "get_vpc_default_routing_table",
            http::routing_table,
        )
        .actions(&["is.vpc.vpc.read"])
        .events(TARGET, &["is.vpc.vpc.read"]),
    ]
}
