//! Floating addresses: reachable from outside, drawn from one network of the deployment, bound to an interface or not.

pub mod http;

use avouch_gate::{Endpoint, Error, Kind as ErrorKind, Result};
use avouch_store::Tx;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::call::{self, View};
use crate::errors::in_use;
use crate::interfaces::{INTERFACE, Interface, logic};
use crate::objects::{Body, Kind, Object, sql};

/// The kind.
pub const FLOATING_IP: Kind = Kind {
    word: "floating-ip",
    path: "floating_ips",
    below: "",
    attribute: "floatingIpId",
    display: "floating IP",
    resource_type: "",
    crn: true,
};

/// What a floating address knows of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FloatingIp {
    pub address: String,
    pub zone: String,
    /// The interface that it is bound to.
    pub target: Option<String>,
}

impl Body for FloatingIp {
    const KIND: &'static Kind = &FLOATING_IP;

    fn zone(&self) -> Option<&str> {
        Some(&self.zone)
    }

    fn render(o: &Object<Self>, tx: &mut Tx<'_>, view: &View) -> Result<Value> {
        let mut out = json!({
            "address": o.body.address,
            "created_at": o.created_at.rfc3339_millis(),
            "crn": o.crn(view),
            "href": o.href(view),
            "id": o.id,
            "name": o.name,
            "resource_group": view.group(tx, &o.group)?,
            "status": "available",
            "zone": view.zone(&o.body.zone),
        });
        if let (Some(target), Some(out)) = (&o.body.target, out.as_object_mut()) {
            let target: Object<Interface> = sql::need(tx, &view.account, target)?;
            out.insert("target".into(), target.reference(view));
        }
        Ok(out)
    }
}

/// A floating address as interfaces show it.
pub fn reference(o: &Object<FloatingIp>, view: &View) -> Value {
    let mut out = o.reference(view);
    if let Some(out) = out.as_object_mut() {
        out.insert("address".into(), json!(o.body.address));
    }
    out
}

/// Binds an address to an interface of its zone; the caller writes the object.
///
/// # Errors
/// `Unprocessable` in another zone, `Conflict` when the interface has one already.
pub fn attach(
    tx: &mut Tx<'_>,
    view: &View,
    (ip, interface): (&mut Object<FloatingIp>, &Object<Interface>),
    field: &'static str,
) -> Result<()> {
    if interface.body.zone != ip.body.zone {
        let text = "The floating IP and its target must be in the same zone.";
        return Err(Error::new(ErrorKind::Unprocessable, text).field(field));
    }
    let others = logic::floating(tx, view, &interface.id)?;
    if interface.body.enable_infrastructure_nat && others.iter().any(|o| o.id != ip.id) {
        return Err(in_use("The interface has a floating IP already."));
    }
    ip.body.target = Some(interface.id.clone());
    sql::use_it(tx, &view.account, (&FLOATING_IP, &ip.id), (&INTERFACE, &interface.id))
}

/// Takes an address from its interface; the caller writes the object.
///
/// # Errors
/// Those of the store.
pub fn detach(tx: &mut Tx<'_>, view: &View, ip: &mut Object<FloatingIp>) -> Result<()> {
    let Some(interface) = ip.body.target.take() else { return Ok(()) };
    sql::leave_it(tx, &view.account, (&FLOATING_IP, &ip.id), (&INTERFACE, &interface))
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const TARGET: &str = "is.floating-ip/floating-ip";
    const READ: &[&str] = &["is.floating-ip.floating-ip.read"];
    vec![
        call::get("/v1/floating_ips", "list_floating_ips", http::list).actions(READ).events(TARGET, READ),
        call::post("/v1/floating_ips", "create_floating_ip", http::create)
            .actions(&[
                "is.floating-ip.floating-ip.create",
                "is.virtual-network-interface.virtual-network-interface.update",
            ])
            .events(TARGET, &["is.floating-ip.floating-ip.create"]),
        call::get("/v1/floating_ips/{id}", "get_floating_ip", http::get).actions(READ).events(TARGET, READ),
        call::patch("/v1/floating_ips/{id}", "update_floating_ip", http::update)
            .actions(&[
                "is.floating-ip.floating-ip.update",
                "is.virtual-network-interface.virtual-network-interface.update",
            ])
            .events(TARGET, &["is.floating-ip.floating-ip.update"]),
        call::delete("/v1/floating_ips/{id}", "delete_floating_ip", http::delete)
            .actions(&["is.floating-ip.floating-ip.delete"])
            .events(TARGET, &["is.floating-ip.floating-ip.delete"]),
    ]
}
