//! Requests on floating addresses.

use std::net::Ipv4Addr;

use avouch_gate::{Error, Response, Result};
use avouch_store::Tx;
use ipnet::Ipv4Net;

use super::{FLOATING_IP, FloatingIp, attach, detach};
use crate::call::{Call, View};
use crate::errors::in_parameter;
use crate::fields::{Change, Fields, Identity};
use crate::interfaces::Interface;
use crate::names;
use crate::objects::{self, Object, children, http as common, sql, within};
use crate::paging::{self, Wanted};

/// How many addresses are tried at random before the network is searched from its start.
const TRIES: usize = 8;

const TARGET_ACTION: &str = "is.virtual-network-interface.virtual-network-interface.update";

pub async fn list(call: Call) -> Result<Response> {
    let mut keep = paging::by_group::<FloatingIp>(&call)?;
    let asked = |name| call.request.query(name).map_err(in_parameter);
    if let Some(target) = asked("target.id")? {
        keep.push(Box::new(move |_, _, o| Ok(o.body.target.as_deref() == Some(target.as_str()))));
    }
    for (parameter, by_name) in [("target.crn", false), ("target.name", true)] {
        let Some(wanted) = asked(parameter)? else { continue };
        keep.push(Box::new(move |tx, view, o| {
            let Some(target) = &o.body.target else { return Ok(false) };
            let target: Object<Interface> = sql::need(tx, &view.account, target)?;
            Ok(if by_name { target.name == wanted } else { target.crn(view) == wanted })
        }));
    }
    if let Some(kind) = asked("target.resource_type")? {
        keep.push(Box::new(
            move |_, _, o| Ok(o.body.target.is_some() && kind == "virtual_network_interface"),
        ));
    }
    let wanted = Wanted { plural: "floating_ips", action: "is.floating-ip.floating-ip.read", parent: None };
    paging::list(&call, wanted, keep).await
}

pub async fn get(call: Call) -> Result<Response> {
    common::get::<FloatingIp>(call, "is.floating-ip.floating-ip.read").await
}

/// The network that addresses are drawn from, and a few of them.
fn drawn(call: &Call) -> Result<(Ipv4Net, Vec<Ipv4Addr>)> {
    let network: Ipv4Net = call
        .ctx
        .app()
        .config
        .vpc
        .floating_addresses
        .parse()
        .map_err(|_| Error::unavailable("The setting 'vpc.floating_addresses' is not a network."))?;
    let first = u32::from(network.network());
    let size = u64::from(u32::from(network.broadcast()) - first) + 1;
    let mut out = Vec::with_capacity(TRIES);
    for _ in 0..TRIES {
        let mut bytes = [0_u8; 8];
        call.ctx.app().rng.fill(&mut bytes);
        let at = u32::try_from(u64::from_be_bytes(bytes) % size).unwrap_or(0);
        out.push(Ipv4Addr::from(first + at));
    }
    Ok((network, out))
}

/// Takes one of the drawn addresses, or the first free one of the network.
fn take(tx: &mut Tx<'_>, view: &View, id: &str, (network, drawn): (Ipv4Net, &[Ipv4Addr])) -> Result<String> {
    let ends = [network.network(), network.broadcast()];
    let host = |address: &Ipv4Addr| !ends.contains(address);
    for address in drawn.iter().copied().filter(host).chain(network.hosts().filter(host)) {
        let text = address.to_string();
        if sql::take_floating(tx, &view.account, &text, id)? {
            return Ok(text);
        }
    }
    Err(Error::conflict("No floating address is free."))
}

pub async fn create(call: Call) -> Result<Response> {
    let mut fields = Fields::of(&call.request)?;
    let name = call.name(&mut fields)?;
    let zone = call.zone(&mut fields)?.map(|z| z.name);
    let target = fields.identity("target")?;
    let group = call.group(&mut fields).await?;
    fields.done()?;
    if zone.is_none() && target.is_none() {
        return Err(Error::missing("zone"));
    }
    if zone.is_some() && target.is_some() {
        return Err(Error::invalid("zone", "The zone is that of the target."));
    }
    let permit = call.may_create("is.floating-ip.floating-ip.create", &FLOATING_IP, &group.id, &name).await?;
    let target: Option<Object<Interface>> = match &target {
        Some(target) => Some(call.usable(target, TARGET_ACTION).await?),
        None => None,
    };
    if let Some(target) = &target {
        children::tell(&call, "target", &target.id);
    }
    let zone = zone.or_else(|| target.as_ref().map(|t| t.body.zone.clone())).unwrap_or_default();
    let addresses = drawn(&call)?;
    let body = FloatingIp { address: String::new(), zone, target: None };
    let object = objects::new(&call, (call.id(None), name), &group.id, body);
    common::create(&call, permit, object, move |tx, view, o| {
        let all = sql::all::<FloatingIp>(tx, &view.account)?;
        let have = all.iter().filter(|other| other.body.zone == o.body.zone).count();
        within(view.app.config.limits.floating_ips_per_zone, have, "floating IPs of the zone")?;
        o.body.address = take(tx, view, &o.id, (addresses.0, &addresses.1))?;
        if let Some(target) = &target {
            let target = sql::still::<Interface>(tx, &view.account, &target.id)?;
            attach(tx, view, (o, &target), "target")?;
        }
        Ok(())
    })
    .await
}

pub async fn update(call: Call) -> Result<Response> {
    let mut fields = Fields::patch(&call.request)?;
    let name = names::read(&mut fields)?;
    let target: Change<Identity> = fields.change("target", Fields::identity)?;
    fields.done()?;
    let (object, permit) = call.permitted::<FloatingIp>("is.floating-ip.floating-ip.update").await?;
    let target = match target {
        Change::Keep => Change::Keep,
        Change::Remove => Change::Remove,
        Change::Set(target) => Change::Set(call.usable::<Interface>(&target, TARGET_ACTION).await?.id),
    };
    if let Change::Set(target) = &target {
        children::tell(&call, "target", target);
    }
    let changed = common::written(&call, permit, object.id, move |tx, view, o: &mut Object<FloatingIp>| {
        names::set(&mut o.name, name.as_ref());
        match &target {
            Change::Keep => {}
            Change::Remove => detach(tx, view, o)?,
            Change::Set(target) => {
                detach(tx, view, o)?;
                let target = sql::still::<Interface>(tx, &view.account, target)?;
                attach(tx, view, (o, &target), "target")?;
            }
        }
        Ok(())
    })
    .await?;
    call.show(200, changed).await
}

pub async fn delete(call: Call) -> Result<Response> {
    common::delete::<FloatingIp, _>(call, "is.floating-ip.floating-ip.delete", |tx, view, o| {
        sql::give_floating(tx, &view.account, &o.id)
    })
    .await
}
