//! Published shapes of instances and of what belongs to them.

use avouch_gate::Result;
use avouch_store::Tx;
use serde_json::{Value, json};

use super::{Instance, Nic, VolumeAttachment};
use crate::call::View;
use crate::catalogue::data::Catalogue;
use crate::catalogue::render::profile_reference;
use crate::floating_ips;
use crate::images::{self, Image};
use crate::interfaces::{Interface, logic};
use crate::objects::{Object, sql};
use crate::placement_groups::PlacementGroup;
use crate::reserved_ips::{self, ReservedIp};
use crate::security_groups::{SECURITY_GROUP, SecurityGroup};
use crate::subnets::Subnet;
use crate::volumes::Volume;
use crate::vpcs::Vpc;

/// Mbps of an interface.
const PORT_SPEED: i64 = 1000;

/// What is shown of an interface, together.
struct Shown {
    interface: Object<Interface>,
    subnet: Value,
    primary_ip: Value,
    address: String,
}

fn look(tx: &mut Tx<'_>, view: &View, nic: &Nic) -> Result<Shown> {
    let interface: Object<Interface> = sql::need(tx, &view.account, &nic.interface)?;
    let subnet: Object<Subnet> = sql::need(tx, &view.account, &interface.body.subnet)?;
    let ip: Object<ReservedIp> = sql::need(tx, &view.account, &interface.body.primary_ip)?;
    Ok(Shown {
        subnet: subnet.reference(view),
        primary_ip: reserved_ips::reference(&ip, view),
        address: ip.body.address.clone(),
        interface,
    })
}

fn kind(o: &Object<Instance>, nic: &Nic) -> &'static str {
    if o.body.nics.first() == Some(nic) { "primary" } else { "secondary" }
}

fn href(o: &Object<Instance>, view: &View, part: &str, id: &str) -> String {
    format!("{}/{part}/{id}", o.href(view))
}

/// A network interface as an instance refers to it.
fn interface_reference(o: &Object<Instance>, nic: &Nic, shown: &Shown, view: &View) -> Value {
    json!({
        "href": href(o, view, "network_interfaces", &nic.id),
        "id": nic.id,
        "name": nic.name,
        "primary_ip": shown.primary_ip,
        "primary_ipv4_address": shown.address,
        "resource_type": "network_interface",
        "subnet": shown.subnet,
    })
}

/// A network interface.
///
/// # Errors
/// Those of the store.
pub fn interface(o: &Object<Instance>, nic: &Nic, tx: &mut Tx<'_>, view: &View) -> Result<Value> {
    let shown = look(tx, view, nic)?;
    let floating = logic::floating(tx, view, &nic.interface)?;
    let mut groups = Vec::new();
    for id in sql::used(tx, &view.account, (&crate::interfaces::INTERFACE, &nic.interface), &SECURITY_GROUP)?
    {
        groups.push(sql::need::<SecurityGroup>(tx, &view.account, &id)?.reference(view));
    }
    let mut out = interface_reference(o, nic, &shown, view);
    if let Some(out) = out.as_object_mut() {
        for (name, value) in [
            ("allow_ip_spoofing", json!(shown.interface.body.allow_ip_spoofing)),
            ("created_at", json!(shown.interface.created_at.rfc3339_millis())),
            ("floating_ips", floating.iter().map(|ip| floating_ips::reference(ip, view)).collect()),
            ("mac_address", json!(shown.interface.body.mac_address)),
            ("port_speed", json!(PORT_SPEED)),
            ("security_groups", groups.into()),
            ("status", json!("available")),
            ("type", json!(kind(o, nic))),
        ] {
            out.insert(name.into(), value);
        }
    }
    Ok(out)
}

/// A network attachment.
///
/// # Errors
/// Those of the store.
pub fn attachment(o: &Object<Instance>, nic: &Nic, tx: &mut Tx<'_>, view: &View) -> Result<Value> {
    let shown = look(tx, view, nic)?;
    Ok(json!({
        "created_at": o.created_at.rfc3339_millis(),
        "href": href(o, view, "network_attachments", &nic.id),
        "id": nic.id,
        "lifecycle_state": "stable",
        "name": nic.name,
        "port_speed": PORT_SPEED,
        "primary_ip": shown.primary_ip,
        "resource_type": "instance_network_attachment",
        "subnet": shown.subnet,
        "type": kind(o, nic),
        "virtual_network_interface": shown.interface.reference(view),
    }))
}

/// A volume attachment.
///
/// # Errors
/// Those of the store.
pub fn volume(o: &Object<Instance>, a: &VolumeAttachment, tx: &mut Tx<'_>, view: &View) -> Result<Value> {
    let volume: Object<Volume> = sql::need(tx, &view.account, &a.volume)?;
    let speed = Catalogue::builtin().volume_profile(&volume.body.profile).map(|p| p.bandwidth[0]);
    Ok(json!({
        "bandwidth": volume.body.bandwidth.or(speed),
        "created_at": o.created_at.rfc3339_millis(),
        "delete_volume_on_instance_delete": a.delete_with_instance,
        "device": {"id": device(a)},
        "href": href(o, view, "volume_attachments", &a.id),
        "id": a.id,
        "name": a.name,
        "status": "attached",
        "type": if o.body.volumes.first() == Some(a) { "boot" } else { "data" },
        "volume": volume.reference(view),
    }))
}

fn device(a: &VolumeAttachment) -> &str {
    // As the disk's serial number would show it: the first 20 characters.
    a.id.get(..20).unwrap_or(&a.id)
}

/// The image as an instance refers to it; nothing when it is gone.
///
/// # Errors
/// Those of the store.
pub fn image(id: &str, tx: &mut Tx<'_>, view: &View) -> Result<Value> {
    let whole = match Catalogue::builtin().image(id) {
        Some(public) => images::render_public(view, public),
        None => match sql::get::<Image>(tx, &view.account, id)? {
            Some(own) => own.reference(view),
            None => return Ok(Value::Null),
        },
    };
    Ok(["crn", "href", "id", "name", "resource_type"]
        .into_iter()
        .map(|name| (name.to_owned(), whole.get(name).cloned().unwrap_or_default()))
        .collect::<serde_json::Map<_, _>>()
        .into())
}

/// An instance.
///
/// # Errors
/// Those of the store.
pub fn instance(o: &Object<Instance>, tx: &mut Tx<'_>, view: &View) -> Result<Value> {
    let body = &o.body;
    let vpc: Object<Vpc> = sql::need(tx, &view.account, &o.parent)?;
    let profile = Catalogue::builtin().instance_profile(&body.profile);
    let (vcpu, memory, bandwidth) = profile.map_or((0, 0, 0), |p| (p.vcpu, p.memory, p.bandwidth));
    let mut interfaces = Vec::new();
    let mut attachments = Vec::new();
    for nic in &body.nics {
        let shown = look(tx, view, nic)?;
        interfaces.push(interface_reference(o, nic, &shown, view));
        if body.by_attachments {
            attachments.push(attachment(o, nic, tx, view)?);
        }
    }
    let mut volumes = Vec::new();
    for a in &body.volumes {
        volumes.push(volume(o, a, tx, view)?);
    }
    let mut of_profile = profile_reference(view, "instance", &body.profile);
    if let Some(of_profile) = of_profile.as_object_mut() {
        of_profile.insert("resource_type".into(), json!("instance_profile"));
    }
    // A quarter of the bandwidth is the volumes', as by default.
    let of_volumes = bandwidth / 4;
    let mut out = json!({
        "availability": {"class": "standard"},
        "availability_policy": {"host_failure": "restart", "preemption": "stop"},
        "bandwidth": bandwidth,
        "boot_volume_attachment": volumes.first(),
        "cluster_network_attachments": [],
        "confidential_compute_mode": "disabled",
        "created_at": o.created_at.rfc3339_millis(),
        "crn": o.crn(view),
        "disks": [],
        "enable_secure_boot": false,
        "health_reasons": [],
        "health_state": if body.status == super::Status::Failed { "faulted" } else { "ok" },
        "href": o.href(view),
        "id": o.id,
        "image": image(&body.image, tx, view)?,
        "lifecycle_reasons": [],
        "lifecycle_state": if body.status == super::Status::Deleting { "deleting" } else { "stable" },
        "memory": memory,
        "metadata_service": body.metadata_service,
        "name": o.name,
        "network_attachments": attachments,
        "network_interfaces": interfaces,
        "primary_network_interface": interfaces.first(),
        "profile": of_profile,
        "reservation_affinity": {"policy": "automatic", "pool": []},
        "resource_group": view.group(tx, &o.group)?,
        "resource_type": "instance",
        "software_attachments": [],
        "startable": body.status != super::Status::Deleting,
        "status": body.status.as_str(),
        "status_reasons": body.status_reasons,
        "threads_per_core": 2,
        "total_network_bandwidth": bandwidth - of_volumes,
        "total_volume_bandwidth": of_volumes,
        "vcpu": {"architecture": "amd64", "count": vcpu, "manufacturer": "", "percentage": 100},
        "volume_attachments": volumes,
        "volume_bandwidth_qos_mode": "weighted",
        "vpc": vpc.reference(view),
        "zone": view.zone(&body.zone),
    });
    if let Some(out) = out.as_object_mut() {
        if body.by_attachments {
            out.insert("primary_network_attachment".into(), json!(attachments.first()));
        }
        if body.status == super::Status::Running {
            out.insert("numa_count".into(), json!(1));
        }
        if let Some(id) = &body.placement_group
            && let Some(group) = sql::get::<PlacementGroup>(tx, &view.account, id)?
        {
            out.insert("placement_target".into(), group.reference(view));
        }
        if out.get("image").is_some_and(Value::is_null) {
            out.remove("image");
        }
    }
    Ok(out)
}

/// What an instance was made with, but for its user data.
pub fn initialization(o: &Object<Instance>, view: &View) -> Value {
    let key = |k: &super::KeyThen| {
        json!({"crn": k.crn, "fingerprint": k.fingerprint, "href": format!("{}/keys/{}", view.base, k.id),
            "id": k.id, "name": k.name})
    };
    let mut out = json!({"keys": o.body.keys.iter().map(key).collect::<Vec<_>>()});
    if let (Some(profile), Some(out)) = (&o.body.default_trusted_profile, out.as_object_mut()) {
        let target = json!({"crn": profile.crn, "id": profile.id, "resource_type": "trusted_profile"});
        out.insert(
            "default_trusted_profile".into(),
            json!({"auto_link": profile.auto_link, "target": target}),
        );
    }
    out
}
