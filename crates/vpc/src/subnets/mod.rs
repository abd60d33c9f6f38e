//! Subnets: the addresses of one zone of a VPC.

pub mod http;
pub mod rules;

use avouch_gate::{Endpoint, Error, Kind as ErrorKind, Result};
use avouch_store::Tx;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::call::{self, View};
use crate::network_acls::NetworkAcl;
use crate::objects::{Body, Kind, Object, sql};
use crate::routing_tables::RoutingTable;
use crate::vpcs::Vpc;

/// The kind.
pub const SUBNET: Kind = Kind {
    word: "subnet",
    path: "subnets",
    below: "",
    attribute: "subnetId",
    display: "subnet",
    resource_type: "subnet",
    crn: true,
};

/// What a subnet knows of itself; its parent is the VPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    pub zone: String,
    pub cidr: String,
    pub network_acl: String,
    pub routing_table: String,
}

impl Subnet {
    /// The network.
    ///
    /// # Errors
    /// `Internal`: only networks are stored.
    pub fn network(&self) -> Result<Ipv4Net> {
        self.cidr.parse().map_err(Error::internal)
    }
}

/// How many addresses a network has.
pub fn size(network: &Ipv4Net) -> i64 {
    1_i64 << (32 - network.prefix_len())
}

/// Refuses networks that no cloud of one's own may have: too large, too small, or with a meaning of their own.
///
/// # Errors
/// `Invalid`.
pub fn may_be_network(field: &'static str, network: Ipv4Net) -> Result<()> {
    let first = network.network();
    let special = first.is_loopback()
        || first.is_link_local()
        || first.is_multicast()
        || first.octets().first().is_none_or(|n| *n == 0 || *n >= 240);
    if (9..=29).contains(&network.prefix_len()) && !special {
        return Ok(());
    }
    let text =
        format!("The property '{field}' must be a network from /9 to /29 that addresses can be given from.");
    Err(Error::new(ErrorKind::Invalid, text).field(field))
}

impl Body for Subnet {
    const KIND: &'static Kind = &SUBNET;

    fn zone(&self) -> Option<&str> {
        Some(&self.zone)
    }

    fn render(o: &Object<Self>, tx: &mut Tx<'_>, view: &View) -> Result<Value> {
        let vpc: Object<Vpc> = sql::need(tx, &view.account, &o.parent)?;
        let acl: Object<NetworkAcl> = sql::need(tx, &view.account, &o.body.network_acl)?;
        let table: Object<RoutingTable> = sql::need(tx, &view.account, &o.body.routing_table)?;
        let total = size(&o.body.network()?);
        let taken = i64::try_from(sql::taken(tx, &view.account, &o.id)?.len()).unwrap_or(i64::MAX);
        Ok(json!({
            "available_ipv4_address_count": (total - taken).max(0),
            "created_at": o.created_at.rfc3339_millis(),
            "crn": o.crn(view),
            "href": o.href(view),
            "id": o.id,
            "ip_version": "ipv4",
            "ipv4_cidr_block": o.body.cidr,
            "name": o.name,
            "network_acl": acl.reference(view),
            "resource_group": view.group(tx, &o.group)?,
            "resource_type": "subnet",
            "routing_table": table.reference(view),
            "status": "available",
            "total_ipv4_address_count": total,
            "vpc": vpc.reference(view),
            "zone": view.zone(&o.body.zone),
        }))
    }
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const TARGET: &str = "is.subnet/subnet";
    vec![
        call::get("/v1/subnets", "list_subnets", http::list)
            .actions(&["is.subnet.subnet.read"])
            .events(TARGET, &["is.subnet.subnet.read"]),
        call::post("/v1/subnets", "create_subnet", http::create)
            .actions(&[
                "is.subnet.subnet.create",
                "is.vpc.vpc.operate",
                "is.network-acl.network-acl.operate",
                "is.vpc.routing-table.operate",
            ])
            .events(TARGET, &["is.subnet.subnet.create"]),
        call::get("/v1/subnets/{id}", "get_subnet", http::get)
            .actions(&["is.subnet.subnet.read"])
            .events(TARGET, &["is.subnet.subnet.read"]),
        call::patch("/v1/subnets/{id}", "update_subnet", http::update)
            .actions(&[
                "is.subnet.subnet.update",
                "is.network-acl.network-acl.operate",
                "is.vpc.routing-table.operate",
            ])
            .events(TARGET, &["is.subnet.subnet.update"]),
        call::delete("/v1/subnets/{id}", "delete_subnet", http::delete)
            .actions(&["is.subnet.subnet.delete"])
            .events(TARGET, &["is.subnet.subnet.delete"]),
        call::get("/v1/subnets/{id}/network_acl", "get_subnet_network_acl", http::network_acl)
            .actions(&["is.subnet.subnet.read"])
            .events(TARGET, &["is.subnet.subnet.read"]),
        call::put("/v1/subnets/{id}/network_acl", "replace_subnet_network_acl", http::put_network_acl)
            .actions(&["is.subnet.subnet.update", "is.network-acl.network-acl.operate"])
            .events(TARGET, &["is.subnet.subnet.update"]),
        call::get("/v1/subnets/{id}/routing_table", "get_subnet_routing_table", http::routing_table)
            .actions(&["is.subnet.subnet.read"])
            .events(TARGET, &["is.subnet.subnet.read"]),
        call::put("/v1/subnets/{id}/routing_table", "replace_subnet_routing_table", http::put_routing_table)
            .actions(&["is.subnet.subnet.update", "is.vpc.routing-table.operate"])
            .events(TARGET, &["is.subnet.subnet.update"]),
    ]
}
