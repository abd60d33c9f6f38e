//! Virtual network interfaces: a primary address of a subnet, perhaps more, and the security groups of their traffic.

pub mod children;
pub mod http;
pub mod logic;

use avouch_gate::{Endpoint, Result};
use avouch_store::Tx;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::call::{self, View};
use crate::instances::{INSTANCE, Instance};
use crate::objects::{Body, Kind, Object, sql};
use crate::reserved_ips::{self, RESERVED_IP, ReservedIp};
use crate::security_groups::{SECURITY_GROUP, SecurityGroup};
use crate::subnets::Subnet;
use crate::vpcs::Vpc;

/// The kind.
pub const INTERFACE: Kind = Kind {
    word: "virtual-network-interface",
    path: "virtual_network_interfaces",
    below: "",
    attribute: "virtualNetworkInterfaceId",
    display: "virtual network interface",
    resource_type: "virtual_network_interface",
    crn: true,
};

/// Modes of the filter of protocol states.
pub const MODES: [&str; 3] = ["auto", "disabled", "enabled"];

/// What an interface knows of itself; its parent is the VPC. Its security groups are what it uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    pub subnet: String,
    pub zone: String,
    /// Id of the primary reserved address; all others that are bound to the interface are secondary.
    pub primary_ip: String,
    pub mac_address: String,
    pub allow_ip_spoofing: bool,
    /// Whether it goes with what it is attached to.
    pub auto_delete: bool,
    pub enable_infrastructure_nat: bool,
    /// One of [`MODES`].
    pub protocol_state_filtering_mode: String,
}

/// The addresses of an interface, the primary one first.
///
/// # Errors
/// Those of the store.
pub fn addresses(tx: &mut Tx<'_>, view: &View, o: &Object<Interface>) -> Result<Vec<Object<ReservedIp>>> {
    let mut out = Vec::new();
    for id in sql::used(tx, &view.account, (&INTERFACE, &o.id), &RESERVED_IP)? {
        out.push(sql::need::<ReservedIp>(tx, &view.account, &id)?);
    }
    out.sort_by_key(|ip| (ip.id != o.body.primary_ip, ip.created_at.millis(), ip.id.clone()));
    Ok(out)
}

impl Body for Interface {
    const KIND: &'static Kind = &INTERFACE;

    fn zone(&self) -> Option<&str> {
        Some(&self.zone)
    }

    fn render(o: &Object<Self>, tx: &mut Tx<'_>, view: &View) -> Result<Value> {
        let vpc: Object<Vpc> = sql::need(tx, &view.account, &o.parent)?;
        let subnet: Object<Subnet> = sql::need(tx, &view.account, &o.body.subnet)?;
        let ips: Vec<Value> =
            addresses(tx, view, o)?.iter().map(|ip| reserved_ips::reference(ip, view)).collect();
        let mut groups = Vec::new();
        for id in sql::used(tx, &view.account, (&INTERFACE, &o.id), &SECURITY_GROUP)? {
            groups.push(sql::need::<SecurityGroup>(tx, &view.account, &id)?.reference(view));
        }
        let mut out = json!({
            "allow_ip_spoofing": o.body.allow_ip_spoofing,
            "auto_delete": o.body.auto_delete,
            "created_at": o.created_at.rfc3339_millis(),
            "crn": o.crn(view),
            "enable_infrastructure_nat": o.body.enable_infrastructure_nat,
            "href": o.href(view),
            "id": o.id,
            "primary_ip": ips.first(),
            "ips": ips,
            "lifecycle_state": "stable",
            "mac_address": o.body.mac_address,
            "name": o.name,
            "protocol_state_filtering_mode": o.body.protocol_state_filtering_mode,
            "resource_group": view.group(tx, &o.group)?,
            "resource_type": "virtual_network_interface",
            "security_groups": groups,
            "subnet": subnet.reference(view),
            "vpc": vpc.reference(view),
            "zone": view.zone(&o.body.zone),
        });
        if let (Some(target), Some(out)) = (target(o, tx, view)?, out.as_object_mut()) {
            out.insert("target".into(), target);
        }
        Ok(out)
    }
}

/// What the interface is attached to, as it shows it.
fn target(o: &Object<Interface>, tx: &mut Tx<'_>, view: &View) -> Result<Option<Value>> {
    for (kind, id) in sql::users(tx, &view.account, (&INTERFACE, &o.id))? {
        if kind != INSTANCE.word {
            continue;
        }
        let instance: Object<Instance> = sql::need(tx, &view.account, &id)?;
        let Some(nic) = instance.body.nics.iter().find(|nic| nic.interface == o.id) else { continue };
        let (part, kind) = match instance.body.by_attachments {
            true => ("network_attachments", "instance_network_attachment"),
            false => ("network_interfaces", "network_interface"),
        };
        let href = format!("{}/{part}/{}", instance.href(view), nic.id);
        return Ok(Some(json!({"href": href, "id": nic.id, "name": nic.name, "resource_type": kind})));
    }
    Ok(None)
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const TARGET: &str = "is.virtual-network-interface/virtual-network-interface";
    const READ: &[&str] = &["is.virtual-network-interface.virtual-network-interface.read"];
    const UPDATE: &[&str] = &["is.virtual-network-interface.virtual-network-interface.update"];
    const ALL: &str = "/v1/virtual_network_interfaces";
    const ONE: &str = "/v1/virtual_network_interfaces/{id}";
    const FLOATING: &str = "/v1/virtual_network_interfaces/{id}/floating_ips";
    const ONE_FLOATING: &str = "/v1/virtual_network_interfaces/{id}/floating_ips/{floating_ip}";
    const IPS: &str = "/v1/virtual_network_interfaces/{id}/ips";
    const ONE_IP: &str = "/v1/virtual_network_interfaces/{id}/ips/{ip}";
    const FLOAT: &[&str] = &[
        "is.virtual-network-interface.virtual-network-interface.update",
        "is.floating-ip.floating-ip.operate",
    ];
    const BIND: &[&str] =
        &["is.virtual-network-interface.virtual-network-interface.update", "is.subnet.subnet.operate"];
    vec![
        call::get(ALL, "list_virtual_network_interfaces", http::list).actions(READ).events(TARGET, READ),
        call::post(ALL, "create_virtual_network_interface", http::create)
            .actions(&[
                "is.virtual-network-interface.virtual-network-interface.create",
                "is.subnet.subnet.operate",
                "is.security-group.security-group.operate",
                "is.virtual-network-interface.virtual-network-interface.manage-ip-spoofing",
                "is.virtual-network-interface.virtual-network-interface.manage-infrastructure-nat",
                "is.virtual-network-interface.virtual-network-interface.manage-protocol-state-filtering-mode",
            ])
            .events(TARGET, &["is.virtual-network-interface.virtual-network-interface.create"]),
        call::get(ONE, "get_virtual_network_interface", http::get).actions(READ).events(TARGET, READ),
        call::patch(ONE, "update_virtual_network_interface", http::update)
            .actions(&[
                "is.virtual-network-interface.virtual-network-interface.update",
                "is.virtual-network-interface.virtual-network-interface.manage-ip-spoofing",
                "is.virtual-network-interface.virtual-network-interface.manage-infrastructure-nat",
                "is.virtual-network-interface.virtual-network-interface.manage-protocol-state-filtering-mode",
            ])
            .events(TARGET, UPDATE),
        call::delete(ONE, "delete_virtual_network_interfaces", http::delete)
            .actions(&["is.virtual-network-interface.virtual-network-interface.delete"])
            .events(TARGET, &["is.virtual-network-interface.virtual-network-interface.delete"]),
        call::get(FLOATING, "list_network_interface_floating_ips", children::list_floating)
            .actions(READ)
            .events(TARGET, READ),
        call::get(ONE_FLOATING, "get_network_interface_floating_ip", children::get_floating)
            .actions(READ)
            .events(TARGET, READ),
        call::put(ONE_FLOATING, "add_network_interface_floating_ip", children::put_floating)
            .actions(FLOAT)
            .events(TARGET, UPDATE),
        call::delete(ONE_FLOATING, "remove_network_interface_floating_ip", children::delete_floating)
            .actions(FLOAT)
            .events(TARGET, UPDATE),
        call::get(IPS, "list_virtual_network_interface_ips", children::list_ips)
            .actions(READ)
            .events(TARGET, READ),
        call::get(ONE_IP, "get_virtual_network_interface_ip", children::get_ip)
            .actions(READ)
            .events(TARGET, READ),
        call::put(ONE_IP, "add_virtual_network_interface_ip", children::put_ip)
            .actions(BIND)
            .events(TARGET, UPDATE),
        call::delete(ONE_IP, "remove_virtual_network_interface_ip", children::delete_ip)
            .actions(BIND)
            .events(TARGET, UPDATE),
    ]
}
