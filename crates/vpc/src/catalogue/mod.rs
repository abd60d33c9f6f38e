//! What everybody finds here: regions and zones.

pub mod http;

use avouch_gate::Endpoint;

use crate::call::get;

/// Endpoints of the catalogue.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/v1/regions", "list_regions", http::regions),
        get("/v1/regions/{name}", "get_region", http::region),
        get("/v1/regions/{name}/zones", "list_region_zones", http::zones),
        get("/v1/regions/{name}/zones/{zone}", "get_region_zone", http::zone),
    ]
}
