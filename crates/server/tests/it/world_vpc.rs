//! The part of the world that belongs to the VPC service.

use std::collections::HashMap;

use avouch_testkit::Client;
use serde_json::{Value, json};

/// What every call must say.
pub const ASKED: &str = "?version=2026-01-01&generation=2";

/// Collections below `/v1`, and what one of them is called here.
const COLLECTIONS: [(&str, &str); 15] = [
    ("vpcs", "vpc"),
    ("subnets", "subnet"),
    ("keys", "key"),
    ("images", "image"),
    ("placement_groups", "placement_group"),
    ("security_groups", "security_group"),
    ("network_acls", "network_acl"),
    ("virtual_network_interfaces", "interface"),
    ("floating_ips", "floating_ip"),
    ("volumes", "volume"),
    ("instances", "server"),
    ("regions", ""),
    ("operating_systems", ""),
    ("instance", ""),
    ("volume", ""),
];

/// Objects that a path names below another one, by the name of the parameter.
const CHILDREN: [(&str, &str); 11] = [
    ("address_prefix", "address_prefix"),
    ("routing_table", "routing_table"),
    ("route", "route"),
    ("reserved_ip", "reserved_ip"),
    ("security_group_rule", "security_group_rule"),
    ("security_group_target", "interface"),
    ("network_acl_rule", "network_acl_rule"),
    ("floating_ip", "floating_ip"),
    ("ip", "interface_ip"),
    ("nic", "nic"),
    ("volume", "volume_attachment"),
];

fn collection(template: &str) -> Option<&'static str> {
    let ours = template.strip_prefix("/avouch").filter(|t| t.starts_with("/v1/instances/"));
    let first = ours.unwrap_or(template).strip_prefix("/v1/")?.split('/').next()?;
    COLLECTIONS.iter().find(|(path, _)| *path == first).map(|(_, object)| *object)
}

/// Whether a path belongs to the VPC service.
pub fn is_vpc(template: &str) -> bool {
    collection(template).is_some()
}

/// Which object a parameter of a path names.
pub fn object(template: &str, parameter: &str) -> Option<&'static str> {
    let of_path = collection(template)?;
    if parameter == "id" {
        return Some(of_path);
    }
    CHILDREN.iter().find(|(name, _)| *name == parameter).map(|(_, object)| *object)
}

/// A public key that differs by its number.
pub fn public_key(n: u8) -> String {
    // 32 bytes of a key whose last three stand in the last four characters.
    let last = char::from(b'A' + n % 26);
    format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIgUt7UGm1B1E87a6GfWkkdT3J1f4fMDJ8FEmTBiw{last}fN test")
}

/// One of everything.
pub async fn build(admin: &Client, ids: &mut HashMap<&'static str, String>) {
    let make = async |path: &str, body: Value| {
        let r = admin.post(&format!("/v1{path}{ASKED}"), body).await;
        assert_eq!(r.status, 201, "{path}: {}", r.text);
        r.body
    };
    let id = |v: &Value| v["id"].as_str().unwrap().to_owned();
    let zone = json!({"name": "us-south-1"});
    let vpc = id(&make("/vpcs", json!({"name": "net"})).await);
    let in_vpc = json!({"id": vpc});
    let prefix = json!({"cidr": "10.10.0.0/16", "zone": zone});
    ids.insert("address_prefix", id(&make(&format!("/vpcs/{vpc}/address_prefixes"), prefix).await));
    let table = id(&make(&format!("/vpcs/{vpc}/routing_tables"), json!({"name": "table"})).await);
    let route = json!({"destination": "192.168.0.0/24", "zone": zone, "next_hop": {"address": "10.240.0.9"}});
    let route = make(&format!("/vpcs/{vpc}/routing_tables/{table}/routes"), route).await;
    ids.insert("route", id(&route));
    let subnet =
        |name: &str| json!({"name": name, "vpc": in_vpc, "zone": zone, "total_ipv4_address_count": 256});
    let empty = id(&make("/subnets", subnet("empty")).await);
    let reserved = id(&make(&format!("/subnets/{empty}/reserved_ips"), json!({"name": "kept"})).await);
    let used = id(&make("/subnets", subnet("used")).await);
    let secondary = id(&make(&format!("/subnets/{used}/reserved_ips"), json!({"name": "second"})).await);
    let interface = json!({"name": "eth0", "subnet": {"id": used}});
    ids.insert("interface", id(&make("/virtual_network_interfaces", interface).await));
    let group = id(&make("/security_groups", json!({"name": "group", "vpc": in_vpc})).await);
    let rule = json!({"direction": "inbound", "protocol": "tcp", "port_min": 22, "port_max": 22});
    let rule = make(&format!("/security_groups/{group}/rules"), rule).await;
    ids.insert("security_group_rule", id(&rule));
    let acl = id(&make("/network_acls", json!({"name": "acl", "vpc": in_vpc})).await);
    let rule = json!({"action": "allow", "direction": "inbound", "protocol": "any",
        "source": "0.0.0.0/0", "destination": "0.0.0.0/0"});
    ids.insert("network_acl_rule", id(&make(&format!("/network_acls/{acl}/rules"), rule).await));
    let floating = make("/floating_ips", json!({"name": "outside", "zone": zone})).await;
    ids.insert("floating_ip", id(&floating));
    let volume =
        json!({"name": "disk", "profile": {"name": "general-purpose"}, "zone": zone, "capacity": 10});
    ids.insert("volume", id(&make("/volumes", volume).await));
    ids.insert("key", id(&make("/keys", json!({"name": "key", "public_key": public_key(0)})).await));
    let image = json!({"name": "own", "file": {"href": "rootfs:/srv/images/own"},
        "operating_system": {"name": "debian-12-amd64"}});
    ids.insert("image", id(&make("/images", image).await));
    let group_of_hosts = make("/placement_groups", json!({"name": "apart", "strategy": "host_spread"})).await;
    ids.insert("placement_group", id(&group_of_hosts));
    let server = make("/instances", server("server", &used)).await;
    ids.insert("nic", id(&server["network_attachments"][0]));
    ids.insert("volume_attachment", id(&server["volume_attachments"][0]));
    ids.insert("server", id(&server));
    ids.insert("vpc", vpc);
    ids.insert("routing_table", table);
    ids.insert("subnet", empty);
    ids.insert("used_subnet", used);
    ids.insert("reserved_ip", reserved);
    ids.insert("interface_ip", secondary);
    ids.insert("security_group", group);
    ids.insert("network_acl", acl);
}

fn server(name: &str, subnet: &str) -> Value {
    json!({"name": name, "zone": {"name": "us-south-1"}, "image": {"id": "r006-b9ebf1d8-a674-42e8-898e-0fcb08994f66"},
        "primary_network_attachment": {"virtual_network_interface": {"subnet": {"id": subnet}}}})
}

/// A body that is valid enough to reach the decision.
pub fn body(get: &dyn Fn(&str) -> String, operation: &str) -> Option<Value> {
    let named = |object: &str| json!({"id": get(object)});
    let zone = json!({"name": "us-south-2"});
    Some(match operation {
        "create_instance" => server("more", &get("used_subnet")),
        "run_in_instance" => json!({"argv": ["true"]}),
        "create_instance_action" => json!({"type": "start"}),
        "create_vpc" => json!({"name": "more"}),
        "create_vpc_address_prefix" => json!({"cidr": "10.20.0.0/16", "zone": zone}),
        "create_vpc_routing_table" => json!({"name": "more"}),
        "create_vpc_routing_table_route" => {
            json!({"destination": "192.168.1.0/24", "zone": zone, "next_hop": {"address": "10.240.0.9"}})
        }
        "create_subnet" => {
            json!({"name": "more", "vpc": named("vpc"), "zone": zone, "total_ipv4_address_count": 256})
        }
        "create_subnet_reserved_ip" => json!({"name": "more"}),
        "replace_subnet_network_acl" => named("network_acl"),
        "replace_subnet_routing_table" => named("routing_table"),
        "create_security_group" => json!({"name": "more", "vpc": named("vpc")}),
        "create_security_group_rule" => json!({"direction": "outbound", "protocol": "any"}),
        "create_network_acl" => json!({"name": "more", "vpc": named("vpc")}),
        "create_network_acl_rule" => json!({"action": "deny", "direction": "inbound", "protocol": "any",
            "source": "10.0.0.0/8", "destination": "0.0.0.0/0"}),
        "create_virtual_network_interface" => json!({"name": "eth1", "subnet": named("used_subnet")}),
        "create_floating_ip" => json!({"name": "more", "zone": zone}),
        "create_volume" => {
            json!({"name": "more", "profile": {"name": "general-purpose"}, "zone": zone, "capacity": 20})
        }
        "create_key" => json!({"name": "more", "public_key": public_key(1)}),
        "create_image" => json!({"name": "more", "file": {"href": "rootfs:/srv/images/more"},
            "operating_system": {"name": "debian-12-amd64"}}),
        "create_placement_group" => json!({"name": "more", "strategy": "power_spread"}),
        "update_vpc"
        | "update_vpc_address_prefix"
        | "update_vpc_routing_table"
        | "update_vpc_routing_table_route"
        | "update_subnet"
        | "update_subnet_reserved_ip"
        | "update_security_group"
        | "update_security_group_rule"
        | "update_network_acl"
        | "update_network_acl_rule"
        | "update_virtual_network_interface"
        | "update_floating_ip"
        | "update_volume"
        | "update_instance"
        | "update_key"
        | "update_image"
        | "update_placement_group" => {
            json!({"name": "renamed"})
        }
        _ => return None,
    })
}

/// What must be there before a call: method, path and body; or another object for the call to be about.
pub enum Before {
    Call(&'static str, String),
    /// A new object of the collection, which the path is about then.
    New(&'static str, Value),
}

/// What must be there before a call.
pub fn before(get: &dyn Fn(&str) -> String, operation: &str) -> Option<Before> {
    let interface = format!("/v1/virtual_network_interfaces/{}", get("interface"));
    Some(match operation {
        "get_security_group_target" | "delete_security_group_target_binding" => {
            let path = format!("/v1/security_groups/{}/targets/{}", get("security_group"), get("interface"));
            Before::Call("PUT", path)
        }
        "get_network_interface_floating_ip" | "remove_network_interface_floating_ip" => {
            Before::Call("PUT", format!("{interface}/floating_ips/{}", get("floating_ip")))
        }
        "get_instance_network_interface_floating_ip" | "remove_instance_network_interface_floating_ip" => {
            let nic = format!("/v1/instances/{}/network_interfaces/{}", get("server"), get("nic"));
            Before::Call("PUT", format!("{nic}/floating_ips/{}", get("floating_ip")))
        }
        "get_virtual_network_interface_ip" | "remove_virtual_network_interface_ip" => {
            Before::Call("PUT", format!("{interface}/ips/{}", get("interface_ip")))
        }
        // That of the world holds subnets.
        "delete_vpc" => Before::New("/v1/vpcs", json!({"name": "brief"})),
        _ => return None,
    })
}
