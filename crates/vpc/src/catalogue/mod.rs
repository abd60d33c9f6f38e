//! What everybody finds here: regions and zones, operating systems, profiles of instances and volumes.

pub mod data;
pub mod http;
pub mod render;

use avouch_gate::Endpoint;

use crate::call::get;

/// Endpoints of the catalogue.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/v1/regions", "list_regions", http::regions),
        get("/v1/regions/{name}", "get_region", http::region),
        get("/v1/regions/{name}/zones", "list_region_zones", http::zones),
        get("/v1/regions/{name}/zones/{zone}", "get_region_zone", http::zone),
        get("/v1/operating_systems", "list_operating_systems", http::operating_systems),
        get("/v1/operating_systems/{name}", "get_operating_system", http::operating_system),
        get("/v1/instance/profiles", "list_instance_profiles", http::instance_profiles),
        get("/v1/instance/profiles/{name}", "get_instance_profile", http::instance_profile),
        get("/v1/volume/profiles", "list_volume_profiles", http::volume_profiles),
        get("/v1/volume/profiles/{name}", "get_volume_profile", http::volume_profile),
    ]
}
