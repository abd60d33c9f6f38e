//! Making and removing interfaces. Who makes an interface together with something else calls these in its own transaction.

use avouch_gate::{Error, Result};
use avouch_store::Tx;

use super::{INTERFACE, Interface, addresses};
use crate::call::{Call, View};
use crate::errors::{in_use, no_such};
use crate::fields::{Fields, Identity};
use crate::floating_ips::{self, FLOATING_IP, FloatingIp};
use crate::objects::{self, Object, sql, within};
use crate::reserved_ips::logic::{self as ips, Choice};
use crate::security_groups::{SECURITY_GROUP, SecurityGroup};
use crate::subnets::{SUBNET, Subnet};
use crate::vpcs::Vpc;

/// Changing what is set by these members takes a right of its own.
pub const GUARDED: [(&str, &str); 3] = [
    ("allow_ip_spoofing", "is.virtual-network-interface.virtual-network-interface.manage-ip-spoofing"),
    (
        "enable_infrastructure_nat",
        "is.virtual-network-interface.virtual-network-interface.manage-infrastructure-nat",
    ),
    (
        "protocol_state_filtering_mode",
        "is.virtual-network-interface.virtual-network-interface.manage-protocol-state-filtering-mode",
    ),
];

/// A new interface, with all that it needs looked up and allowed.
#[derive(Debug, Clone)]
pub struct Draft {
    object: Object<Interface>,
    primary: Choice,
    secondary: Vec<Choice>,
    /// Empty: the default group of the VPC.
    groups: Vec<String>,
}

/// Reads a new interface, but for the resource group, and looks up what it names.
///
/// # Errors
/// `Invalid`, `Forbidden`.
pub async fn read(call: &Call, mut fields: Fields, group: &str) -> Result<Draft> {
    let subnet = fields.identity("subnet")?;
    let subnet = fields.must("subnet", subnet)?;
    let name = call.name(&mut fields)?;
    let spoofing = fields.flag("allow_ip_spoofing")?.unwrap_or(false);
    let auto_delete = fields.flag("auto_delete")?.unwrap_or(false);
    let nat = fields.flag("enable_infrastructure_nat")?.unwrap_or(true);
    let mode = fields.word("protocol_state_filtering_mode", &super::MODES)?.unwrap_or("auto");
    let primary = fields.object("primary_ip")?;
    let others = fields.objects("ips")?.unwrap_or_default();
    let named: Vec<Identity> = fields
        .objects("security_groups")?
        .unwrap_or_default()
        .into_iter()
        .map(Fields::into_identity)
        .collect::<Result<_>>()?;
    fields.done()?;
    for (used, (_, action)) in [spoofing, !nat, mode != "auto"].into_iter().zip(GUARDED) {
        if used {
            call.may_create(action, &INTERFACE, group, &name).await?;
        }
    }
    let subnet: Object<Subnet> = call.usable(&subnet, "is.subnet.subnet.operate").await?;
    let zone = call.view.region.zone(&subnet.body.zone).cloned();
    let zone = zone.ok_or_else(|| Error::internal("a subnet without zone"))?;
    let mut groups = Vec::new();
    for identity in named {
        let found: Object<SecurityGroup> =
            call.usable(&identity, "is.security-group.security-group.operate").await?;
        if found.parent != subnet.parent {
            return Err(no_such(identity.field, "security group"));
        }
        groups.push(found.id);
    }
    let mut mac = [0_u8; 5];
    call.ctx.app().rng.fill(&mut mac);
    let body = Interface {
        subnet: subnet.id,
        zone: zone.name.clone(),
        primary_ip: String::new(),
        // Locally administered, for one receiver.
        mac_address: mac.iter().fold("02".to_owned(), |text, b| format!("{text}:{b:02x}")),
        allow_ip_spoofing: spoofing,
        auto_delete,
        enable_infrastructure_nat: nat,
        protocol_state_filtering_mode: mode.into(),
    };
    let primary = ips::choice(call, primary, &zone)?;
    let secondary =
        others.into_iter().map(|o| ips::choice(call, Some(o), &zone)).collect::<Result<Vec<_>>>()?;
    let object = objects::new(call, (call.id(Some(&zone)), name), group, body).below(&subnet.parent);
    Ok(Draft { object, primary, secondary, groups })
}

impl Draft {
    /// Name of the interface to be.
    pub fn name(&self) -> &str {
        &self.object.name
    }

    /// Id of its VPC, and name of its zone.
    pub fn place(&self) -> (&str, &str) {
        (&self.object.parent, &self.object.body.zone)
    }

    /// The same, going with what it is attached to.
    #[must_use]
    pub fn auto_delete(mut self) -> Self {
        self.object.body.auto_delete = true;
        self
    }

    /// Writes the interface and binds its addresses.
    ///
    /// # Errors
    /// `Invalid`, `Conflict`, `Limit`.
    pub fn write(&self, tx: &mut Tx<'_>, view: &View) -> Result<Object<Interface>> {
        let mut object = self.object.clone();
        let have = sql::count(tx, &view.account, &INTERFACE, None)?;
        within(view.app.config.limits.network_interfaces, have, "virtual network interfaces")?;
        let vpc: Object<Vpc> = sql::still(tx, &view.account, &object.parent)?;
        let subnet: Object<Subnet> = sql::still(tx, &view.account, &object.body.subnet)?;
        let mut primary = ips::chosen(tx, view, &subnet, &self.primary)?;
        object.body.primary_ip.clone_from(&primary.id);
        sql::insert(tx, &view.account, &object)?;
        ips::bind(tx, view, &mut primary, &object.id)?;
        for choice in &self.secondary {
            let mut ip = ips::chosen(tx, view, &subnet, choice)?;
            ips::bind(tx, view, &mut ip, &object.id)?;
        }
        let user = (&INTERFACE, object.id.as_str());
        sql::use_it(tx, &view.account, user, (&SUBNET, &subnet.id))?;
        let default = [vpc.body.default_security_group];
        for group in if self.groups.is_empty() { default.as_slice() } else { &self.groups } {
            sql::still::<SecurityGroup>(tx, &view.account, group)?;
            sql::use_it(tx, &view.account, user, (&SECURITY_GROUP, group))?;
        }
        Ok(object)
    }
}

/// The floating addresses of an interface.
///
/// # Errors
/// Those of the store.
pub fn floating(tx: &mut Tx<'_>, view: &View, interface: &str) -> Result<Vec<Object<FloatingIp>>> {
    let mut out = Vec::new();
    for (kind, id) in sql::users(tx, &view.account, (&INTERFACE, interface))? {
        if kind == FLOATING_IP.word {
            out.push(sql::need(tx, &view.account, &id)?);
        }
    }
    Ok(out)
}

/// Removes an interface: its addresses are given back, its floating addresses stay without it.
///
/// # Errors
/// `Conflict` when something is attached to it.
pub fn remove(tx: &mut Tx<'_>, view: &View, object: &Object<Interface>) -> Result<()> {
    let users = sql::users(tx, &view.account, (&INTERFACE, &object.id))?;
    if users.iter().any(|(kind, _)| kind != FLOATING_IP.word) {
        return Err(in_use("The virtual network interface is attached."));
    }
    for mut ip in floating(tx, view, &object.id)? {
        floating_ips::detach(tx, view, &mut ip)?;
        sql::update(tx, &view.account, &mut ip)?;
    }
    for mut ip in addresses(tx, view, object)? {
        ips::release(tx, view, &mut ip)?;
    }
    sql::remove(tx, &view.account, &INTERFACE, &object.id)
}
