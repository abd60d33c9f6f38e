//! The VPC service: regions, keys, networks and what is attached to them, as records with their rules.
//!
//! Every object belongs to one account, and what another object uses cannot be deleted. Nothing here reaches out to a
//! network: the records say what is wanted, and who runs instances reads them.

pub mod address_prefixes;
pub mod call;
pub mod catalogue;
pub mod errors;
pub mod fields;
pub mod floating_ips;
pub mod images;
pub mod instances;
pub mod interfaces;
pub mod keys;
pub mod metadata;
pub mod names;
pub mod network_acls;
pub mod objects;
pub mod paging;
pub mod place;
pub mod placement_groups;
pub mod reserved_ips;
pub mod routing_tables;
pub mod security_groups;
pub mod subnets;
pub mod traffic;
pub mod volumes;
pub mod vpcs;

use avouch_gate::links::GroupMembers;
use avouch_gate::{Result, Service};
use avouch_store::Tx;
use avouch_wire::ids::AccountId;

/// The objects of the service, where resource groups are asked about.
#[derive(Debug, Clone, Copy, Default)]
pub struct Vpc;

impl GroupMembers for Vpc {
    fn any_in_group(&self, tx: &mut Tx<'_>, account: &AccountId, group: &str) -> Result<bool> {
        objects::sql::any_in_group(tx, account, group)
    }
}

/// The service.
pub fn service() -> Service {
    let endpoints = [
        catalogue::endpoints(),
        images::endpoints(),
        keys::endpoints(),
        placement_groups::endpoints(),
        vpcs::endpoints(),
        address_prefixes::endpoints(),
        routing_tables::endpoints(),
        subnets::endpoints(),
        reserved_ips::endpoints(),
        security_groups::endpoints(),
        network_acls::endpoints(),
        interfaces::endpoints(),
        floating_ips::endpoints(),
        volumes::endpoints(),
        instances::endpoints(),
    ];
    Service {
        name: "is",
        display: "VPC Infrastructure Services",
        endpoints: endpoints.into_iter().flatten().collect(),
        render: errors::render,
    }
}
