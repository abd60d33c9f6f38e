//! Taking addresses of a subnet, binding them to what uses them, and giving them back. Who makes an interface calls these
//! in its own transaction.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use avouch_gate::{Error, Kind, Result};
use avouch_store::Tx;
use avouch_wire::time::Timestamp;

use super::{RESERVED_IP, ReservedIp};
use crate::call::{Call, View};
use crate::errors::{in_use, no_such};
use crate::fields::{Fields, Identity};
use crate::interfaces::INTERFACE;
use crate::names;
use crate::objects::{Object, sql};
use crate::place::Zone;
use crate::subnets::{Subnet, rules};

/// A new reserved address, before it is known which one it will be.
#[derive(Debug, Clone)]
pub struct Draft {
    pub id: String,
    pub name: String,
    /// The address itself; none: the first free one.
    pub address: Option<Ipv4Addr>,
    pub auto_delete: bool,
    pub created_at: Timestamp,
    /// Full name of the member that holds the address, for errors.
    pub field: String,
}

/// Which address an interface gets: one that is reserved already, or a new one.
#[derive(Debug, Clone)]
pub enum Choice {
    Reserved(Identity),
    New(Draft),
}

/// Reads a choice from a body: `{id}`, `{href}`, or `{address?, auto_delete?, name?}`; nothing means any new one.
///
/// # Errors
/// `Invalid`.
pub fn choice(call: &Call, fields: Option<Fields>, zone: &Zone) -> Result<Choice> {
    let Some(mut fields) = fields else {
        return Ok(Choice::New(Draft {
            id: call.id(Some(zone)),
            name: call.drawn_name(),
            address: None,
            auto_delete: true,
            created_at: call.ctx.now(),
            field: "primary_ip".into(),
        }));
    };
    if fields.has("id") || fields.has("href") {
        return Ok(Choice::Reserved(fields.into_identity()?));
    }
    let draft = Draft {
        id: call.id(Some(zone)),
        name: names::read(&mut fields)?.unwrap_or_else(|| call.drawn_name()),
        address: fields.address("address")?,
        auto_delete: fields.flag("auto_delete")?.unwrap_or(true),
        created_at: call.ctx.now(),
        field: fields.name("address"),
    };
    fields.done()?;
    Ok(Choice::New(draft))
}

/// Reserves an address of the subnet.
///
/// # Errors
/// `Invalid` for an address that is not the subnet's or is taken, `Conflict` when none is free.
pub fn reserve(
    tx: &mut Tx<'_>,
    view: &View,
    subnet: &Object<Subnet>,
    draft: &Draft,
) -> Result<Object<ReservedIp>> {
    let network = subnet.body.network()?;
    let taken = || {
        let text = format!("The property '{}' is an address that is taken already.", draft.field);
        Error::new(Kind::Unprocessable, text).field(draft.field.clone())
    };
    let address = match draft.address {
        Some(address) if !network.contains(&address) => {
            let text = format!("The property '{}' must be an address of the subnet.", draft.field);
            return Err(Error::invalid(draft.field.clone(), text));
        }
        Some(address) => address,
        None => {
            let taken = sql::taken(tx, &view.account, &subnet.id)?;
            let taken: HashSet<Ipv4Addr> = taken.iter().filter_map(|a| a.parse().ok()).collect();
            rules::first_address(&network, &taken).ok_or_else(|| in_use("The subnet has no free address."))?
        }
    };
    let address = address.to_string();
    if !sql::take(tx, &view.account, (&subnet.id, &address), &draft.id)? {
        return Err(taken());
    }
    let ip = Object {
        id: draft.id.clone(),
        name: draft.name.clone(),
        scope: subnet.id.clone(),
        parent: subnet.id.clone(),
        group: String::new(),
        revision: 1,
        created_at: draft.created_at,
        body: ReservedIp { address, auto_delete: draft.auto_delete, provider: false, holder: None },
    };
    sql::insert(tx, &view.account, &ip)?;
    Ok(ip)
}

/// The address that was chosen, reserved now if it was not yet.
///
/// # Errors
/// Those of [`reserve`]; `Invalid` for an address that is not the subnet's or is bound already.
pub fn chosen(
    tx: &mut Tx<'_>,
    view: &View,
    subnet: &Object<Subnet>,
    choice: &Choice,
) -> Result<Object<ReservedIp>> {
    match choice {
        Choice::New(draft) => reserve(tx, view, subnet, draft),
        Choice::Reserved(identity) => {
            let ip: Object<ReservedIp> = view.find(tx, identity)?;
            if ip.parent != subnet.id {
                return Err(no_such(identity.field.clone(), "reserved IP"));
            }
            Ok(ip)
        }
    }
}

/// Binds an address to an interface.
///
/// # Errors
/// `Conflict` when it is the provider's or bound already.
pub fn bind(tx: &mut Tx<'_>, view: &View, ip: &mut Object<ReservedIp>, interface: &str) -> Result<()> {
    if ip.body.provider || ip.body.holder.is_some() {
        return Err(in_use("The reserved IP is used already."));
    }
    ip.body.holder = Some(interface.to_owned());
    sql::update(tx, &view.account, ip)?;
    sql::use_it(tx, &view.account, (&INTERFACE, interface), (&RESERVED_IP, &ip.id))
}

/// Takes an address from its interface; it goes when it was made to go with it.
///
/// # Errors
/// Those of the store.
pub fn release(tx: &mut Tx<'_>, view: &View, ip: &mut Object<ReservedIp>) -> Result<()> {
    let Some(interface) = ip.body.holder.take() else { return Ok(()) };
    sql::leave_it(tx, &view.account, (&INTERFACE, &interface), (&RESERVED_IP, &ip.id))?;
    if ip.body.auto_delete {
        sql::remove(tx, &view.account, &RESERVED_IP, &ip.id)
    } else {
        sql::update(tx, &view.account, ip)
    }
}
