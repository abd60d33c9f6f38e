//! Reserved addresses of a subnet. They are decided by the subnet, and each address is there once.

pub mod http;
pub mod logic;

use avouch_gate::{Endpoint, Result};
use avouch_store::Tx;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::call::{self, View};
use crate::interfaces::Interface;
use crate::objects::{Body, Kind, Object, sql};

/// The kind.
pub const RESERVED_IP: Kind = Kind {
    word: "reserved-ip",
    path: "reserved_ips",
    below: "subnets",
    attribute: "",
    display: "reserved IP",
    resource_type: "subnet_reserved_ip",
    crn: false,
};

/// What a reserved address knows of itself; its parent is the subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservedIp {
    pub address: String,
    /// Whether it goes with what it is bound to.
    pub auto_delete: bool,
    /// Kept by the provider.
    pub provider: bool,
    /// The virtual network interface that it is bound to.
    pub holder: Option<String>,
}

/// A reserved address as interfaces show it.
pub fn reference(o: &Object<ReservedIp>, view: &View) -> Value {
    let mut out = o.reference(view);
    if let Some(out) = out.as_object_mut() {
        out.insert("address".into(), json!(o.body.address));
    }
    out
}

impl Body for ReservedIp {
    const KIND: &'static Kind = &RESERVED_IP;

    fn render(o: &Object<Self>, tx: &mut Tx<'_>, view: &View) -> Result<Value> {
        let mut out = json!({
            "address": o.body.address,
            "auto_delete": o.body.auto_delete,
            "created_at": o.created_at.rfc3339_millis(),
            "href": o.href(view),
            "id": o.id,
            "lifecycle_state": "stable",
            "name": o.name,
            "owner": if o.body.provider { "provider" } else { "user" },
            "resource_type": "subnet_reserved_ip",
        });
        if let (Some(holder), Some(out)) = (&o.body.holder, out.as_object_mut()) {
            let holder: Object<Interface> = sql::need(tx, &view.account, holder)?;
            out.insert("target".into(), holder.reference(view));
        }
        Ok(out)
    }
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const TARGET: &str = "is.subnet/reserved-ip";
    const ALL: &str = "/v1/subnets/{id}/reserved_ips";
    const ONE: &str = "/v1/subnets/{id}/reserved_ips/{reserved_ip}";
    vec![
        call::get(ALL, "list_subnet_reserved_ips", http::list)
            .actions(&["is.subnet.subnet.read"])
            .events(TARGET, &["is.subnet.reserved-ip.read"]),
        call::post(ALL, "create_subnet_reserved_ip", http::create)
            .actions(&[
                "is.subnet.subnet.operate",
                "is.virtual-network-interface.virtual-network-interface.update",
            ])
            .events(TARGET, &["is.subnet.reserved-ip.create"]),
        call::get(ONE, "get_subnet_reserved_ip", http::get)
            .actions(&["is.subnet.subnet.read"])
            .events(TARGET, &["is.subnet.reserved-ip.read"]),
        call::patch(ONE, "update_subnet_reserved_ip", http::update)
            .actions(&["is.subnet.subnet.operate"])
            .events(TARGET, &["is.subnet.reserved-ip.update"]),
        call::delete(ONE, "delete_subnet_reserved_ip", http::delete)
            .actions(&["is.subnet.subnet.operate"])
            .events(TARGET, &["is.subnet.reserved-ip.delete"]),
    ]
}
