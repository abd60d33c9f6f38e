//! Published shapes of the catalogue's entries.

use serde_json::{Value, json};

use super::data::{InstanceProfile, OperatingSystem, VolumeProfile};
use crate::call::View;

/// An operating system.
pub fn operating_system(view: &View, o: &OperatingSystem) -> Value {
    json!({
        "allow_user_image_creation": true,
        "architecture": o.architecture,
        "dedicated_host_only": false,
        "display_name": o.display_name,
        "family": o.family,
        "href": format!("{}/operating_systems/{}", view.base, o.name),
        "name": o.name,
        "user_data_format": "cloud_init",
        "vendor": o.vendor,
        "version": o.version,
    })
}

fn fixed(value: i64) -> Value {
    json!({"type": "fixed", "value": value})
}

fn one_of(value: &Value) -> Value {
    json!({"type": "enum", "default": value, "values": [value]})
}

fn range([min, max]: [i64; 2]) -> Value {
    json!({"type": "range", "default": min, "min": min, "max": max, "step": 1})
}

/// An instance profile.
pub fn instance_profile(view: &View, p: &InstanceProfile) -> Value {
    json!({
        "availability_class": one_of(&json!("standard")),
        "bandwidth": fixed(p.bandwidth),
        "cluster_network_attachment_count": {"type": "enum", "values": [0], "default": 0},
        "confidential_compute_modes": one_of(&json!("disabled")),
        "disks": [],
        "family": p.family,
        "href": format!("{}/instance/profiles/{}", view.base, p.name),
        "memory": fixed(p.memory),
        "name": p.name,
        "network_attachment_count": {"type": "range", "min": 1, "max": p.interfaces},
        "network_bandwidth_mode": {"type": "fixed", "value": "pooled"},
        "network_interface_count": {"type": "range", "min": 1, "max": p.interfaces},
        "os_architecture": one_of(&json!("amd64")),
        "port_speed": fixed(16_000),
        "reservation_terms": {"type": "enum", "values": []},
        "resource_type": "instance_profile",
        "secure_boot_modes": one_of(&json!(false)),
        "status": "current",
        "supported_cluster_network_profiles": [],
        "threads_per_core": one_of(&json!(2)),
        "total_volume_bandwidth": {"type": "range", "default": p.bandwidth / 4, "min": 500, "max": p.bandwidth - 500, "step": 1},
        "vcpu_architecture": {"type": "fixed", "value": "amd64"},
        "vcpu_burst_limit": fixed(100),
        "vcpu_count": fixed(p.vcpu),
        "vcpu_manufacturer": {"type": "fixed", "value": "intel"},
        "vcpu_percentage": one_of(&json!(100)),
        "volume_bandwidth_qos_modes": one_of(&json!("weighted")),
        "zones": view.region.zones.iter().map(|z| view.zone(&z.name)).collect::<Vec<_>>(),
    })
}

/// A volume profile.
pub fn volume_profile(view: &View, p: &VolumeProfile) -> Value {
    let iops = if p.iops_per_gb == 0 {
        range(p.iops)
    } else {
        json!({"type": "dependent_range", "min": p.iops[0], "max": p.iops[1], "step": 1})
    };
    json!({
        "adjustable_capacity_states": {"type": "enum", "values": ["attached"]},
        "adjustable_iops_states": {"type": "enum", "values": if p.iops_per_gb == 0 { vec!["attached", "unattached"] } else { vec![] }},
        "bandwidth": range(p.bandwidth),
        "boot_capacity": range([p.capacity[0].max(10), 250]),
        "capacity": range(p.capacity),
        "family": p.family,
        "href": format!("{}/volume/profiles/{}", view.base, p.name),
        "iops": iops,
        "name": p.name,
        "storage_generation": fixed(p.generation),
    })
}

/// A profile as other objects show it.
pub fn profile_reference(view: &View, service: &str, name: &str) -> Value {
    json!({"href": format!("{}/{service}/profiles/{name}", view.base), "name": name})
}
