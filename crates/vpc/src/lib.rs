//! The VPC service: regions, keys, networks and what is attached to them, as records with their rules.
//!
//! Every object belongs to one account, and what another object uses cannot be deleted. Nothing here reaches out to a
//! network: the records say what is wanted, and who runs instances reads them.

pub mod call;
pub mod catalogue;
pub mod errors;
pub mod fields;
pub mod keys;
pub mod names;
pub mod objects;
pub mod paging;
pub mod place;

use avouch_gate::Service;

/// The service.
pub fn service() -> Service {
    let endpoints = [catalogue::endpoints(), keys::endpoints()];
    Service {
        name: "is",
        display: "VPC Infrastructure Services",
        endpoints: endpoints.into_iter().flatten().collect(),
        render: errors::render,
    }
}
