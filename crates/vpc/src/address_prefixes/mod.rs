//! Address prefixes: which addresses the subnets of a VPC may have in which zone.

pub mod http;

use avouch_gate::{Endpoint, Error, Result};
use avouch_store::Tx;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::call::{self, View};
use crate::objects::{Body, Kind, Object, sql};
use crate::subnets::Subnet;

/// The kind. It is decided by its VPC.
pub const ADDRESS_PREFIX: Kind = Kind {
    word: "address-prefix",
    path: "address_prefixes",
    below: "vpcs",
    attribute: "",
    display: "address prefix",
    resource_type: "",
    crn: false,
};

/// The prefixes that a VPC comes with, one for each zone.
pub const DEFAULTS: [&str; 3] = ["10.240.0.0/18", "10.240.64.0/18", "10.240.128.0/18"];

/// What an address prefix knows of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressPrefix {
    /// Network.
    pub cidr: String,
    /// Zone.
    pub zone: String,
    /// Whether subnets of the zone that only say how large they are get their addresses here.
    pub default: bool,
}

impl AddressPrefix {
    /// The network.
    ///
    /// # Errors
    /// `Internal`: only networks are stored.
    pub fn network(&self) -> Result<Ipv4Net> {
        self.cidr.parse().map_err(Error::internal)
    }
}

impl Body for AddressPrefix {
    const KIND: &'static Kind = &ADDRESS_PREFIX;

    fn zone(&self) -> Option<&str> {
        Some(&self.zone)
    }

    fn render(o: &Object<Self>, tx: &mut Tx<'_>, view: &View) -> Result<Value> {
        Ok(json!({
            "cidr": o.body.cidr,
            "created_at": o.created_at.rfc3339_millis(),
            "has_subnets": has_subnets(tx, view, o)?,
            "href": o.href(view),
            "id": o.id,
            "is_default": o.body.default,
            "name": o.name,
            "zone": view.zone(&o.body.zone),
        }))
    }
}

/// Whether a subnet has addresses of the prefix.
///
/// # Errors
/// Those of the store.
pub fn has_subnets(tx: &mut Tx<'_>, view: &View, prefix: &Object<AddressPrefix>) -> Result<bool> {
    let network = prefix.body.network()?;
    for subnet in sql::children::<Subnet>(tx, &view.account, &prefix.parent)? {
        if network.contains(&subnet.body.network()?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const TARGET: &str = "is.vpc/address-prefix";
    vec![
        call::get("/v1/vpcs/{id}/address_prefixes", "list_vpc_address_prefixes", http::list)
            .actions(&["is.vpc.vpc.read"])
            .events(TARGET, &["is.vpc.address-prefix.read"]),
        call::post("/v1/vpcs/{id}/address_prefixes", "create_vpc_address_prefix", http::create)
            .actions(&["is.vpc.vpc.update"])
            .events(TARGET, &["is.vpc.address-prefix.create"]),
        call::get("/v1/vpcs/{id}/address_prefixes/{address_prefix}", "get_vpc_address_prefix", http::get)
            .actions(&["is.vpc.vpc.read"])
            .events(TARGET, &["is.vpc.address-prefix.read"]),
        call::patch(
            "/v1/vpcs/{id}/address_prefixes/{address_prefix}",
            "update_vpc_address_prefix",
            http::update,
        )
        .actions(&["is.vpc.vpc.update"])
        .events(TARGET, &["is.vpc.address-prefix.update"]),
        call::delete(
            "/v1/vpcs/{id}/address_prefixes/{address_prefix}",
            "delete_vpc_address_prefix",
            http::delete,
        )
        .actions(&["is.vpc.vpc.update"])
        .events(TARGET, &["is.vpc.address-prefix.delete"]),
    ]
}
