//! Requests on what is bound to an interface: floating addresses and secondary addresses.

use avouch_gate::{Error, Permit, Response, Result};
use avouch_store::Tx;
use serde_json::{Value, json};

use super::{INTERFACE, Interface, addresses, logic};
use crate::call::Call;
use crate::errors::{in_use, not_found};
use crate::floating_ips::{self, FloatingIp};
use crate::instances::Instance;
use crate::objects::{Body as _, Object, children, sql};
use crate::paging;
use crate::reserved_ips::{self, ReservedIp, logic as ips};
use crate::subnets::{SUBNET, Subnet};

const READ: &str = "is.virtual-network-interface.virtual-network-interface.read";
const UPDATE: &str = "is.virtual-network-interface.virtual-network-interface.update";
const INSTANCE_READ: &str = "is.instance.instance.read";
const INSTANCE_UPDATE: &str = "is.instance.instance.update";

/// A page of references, newest first.
fn page<T>(
    call: &Call,
    plural: &str,
    mut all: Vec<Object<T>>,
    shown: impl Fn(&Object<T>) -> Value,
) -> Result<Response> {
    let window = paging::window(call)?;
    let key = |o: &Object<T>| (o.created_at.millis(), o.id.clone());
    all.sort_by_key(|o| std::cmp::Reverse(key(o)));
    let total = all.len();
    let (page, next) = paging::cut(all, &window, key);
    let items = page.iter().map(shown).collect();
    Response::json(200, &paging::page(call, plural, (items, total), &window, next))
}

async fn floating_of(call: &Call, interface: &str) -> Result<Vec<Object<FloatingIp>>> {
    let (view, id) = (call.view.clone(), interface.to_owned());
    call.ctx.read(move |tx| logic::floating(tx, &view, &id)).await
}

/// The interface that the path names, by itself or as one of an instance, which decides then; and the permit.
async fn named(call: &Call, own: &str, of_instance: &str) -> Result<(Object<Interface>, Permit)> {
    let Ok(nic) = call.param("nic") else { return call.permitted::<Interface>(own).await };
    children::tell(call, "nic", nic);
    let (instance, permit) = call.permitted::<Instance>(of_instance).await?;
    let nic = instance.body.nics.iter().find(|n| n.id == nic);
    let id = nic.ok_or_else(|| not_found("network interface"))?.interface.clone();
    let account = call.view.account.clone();
    Ok((call.ctx.read(move |tx| sql::need(tx, &account, &id)).await?, permit))
}

/// A floating address, as it is shown here.
async fn shown(call: &Call, status: u16, ip: Object<FloatingIp>) -> Result<Response> {
    if call.param("nic").is_ok() {
        let view = call.view.clone();
        let whole = call.ctx.read(move |tx| FloatingIp::render(&ip, tx, &view)).await?;
        return Response::json(status, &whole);
    }
    Response::json(status, &floating_ips::reference(&ip, &call.view))
}

pub async fn list_floating(call: Call) -> Result<Response> {
    let (interface, _) = named(&call, READ, INSTANCE_READ).await?;
    let all = floating_of(&call, &interface.id).await?;
    if call.param("nic").is_ok() {
        let view = call.view.clone();
        let render = move |tx: &mut Tx<'_>| all.iter().map(|o| FloatingIp::render(o, tx, &view)).collect();
        let all: Vec<Value> = call.ctx.read(render).await?;
        return Response::json(200, &json!({"floating_ips": all}));
    }
    page(&call, "floating_ips", all, |o| floating_ips::reference(o, &call.view))
}

/// The floating address that the path names.
async fn floating(call: &Call) -> Result<Object<FloatingIp>> {
    children::tell(call, "floating-ip", call.param("floating_ip")?);
    call.load("floating_ip").await
}

pub async fn get_floating(call: Call) -> Result<Response> {
    let (interface, _) = named(&call, READ, INSTANCE_READ).await?;
    let ip = floating(&call).await?;
    if ip.body.target.as_deref() != Some(interface.id.as_str()) {
        return Err(not_found("floating IP"));
    }
    shown(&call, 200, ip).await
}

pub async fn put_floating(call: Call) -> Result<Response> {
    let (interface, permit) = named(&call, UPDATE, INSTANCE_UPDATE).await?;
    let ip = floating(&call).await?;
    let action = "is.floating-ip.floating-ip.operate";
    call.authorize(action, &floating_ips::FLOATING_IP, &call.view.target(&ip)).await?;
    let view = call.view.clone();
    let bound = call
        .ctx
        .write(permit, move |tx, event| {
            event.status = 201;
            let mut ip: Object<FloatingIp> =
                sql::get(tx, &view.account, &ip.id)?.ok_or_else(|| not_found("floating IP"))?;
            let interface: Object<Interface> =
                sql::get(tx, &view.account, &interface.id)?.ok_or_else(|| not_found(INTERFACE.display))?;
            // What is bound already is replaced.
            for mut other in logic::floating(tx, &view, &interface.id)? {
                if other.id != ip.id && interface.body.enable_infrastructure_nat {
                    floating_ips::detach(tx, &view, &mut other)?;
                    sql::update(tx, &view.account, &mut other)?;
                }
            }
            floating_ips::detach(tx, &view, &mut ip)?;
            floating_ips::attach(tx, &view, (&mut ip, &interface), "floating_ip")?;
            sql::update(tx, &view.account, &mut ip)?;
            Ok(ip)
        })
        .await?;
    shown(&call, 201, bound).await
}

pub async fn delete_floating(call: Call) -> Result<Response> {
    let (interface, permit) = named(&call, UPDATE, INSTANCE_UPDATE).await?;
    let ip = floating(&call).await?;
    let action = "is.floating-ip.floating-ip.operate";
    call.authorize(action, &floating_ips::FLOATING_IP, &call.view.target(&ip)).await?;
    let view = call.view.clone();
    call.ctx
        .write(permit, move |tx, event| {
            event.status = 204;
            let found: Option<Object<FloatingIp>> = sql::get(tx, &view.account, &ip.id)?;
            let mut ip = found
                .filter(|ip| ip.body.target.as_deref() == Some(interface.id.as_str()))
                .ok_or_else(|| not_found("floating IP"))?;
            floating_ips::detach(tx, &view, &mut ip)?;
            sql::update(tx, &view.account, &mut ip)
        })
        .await?;
    Ok(Response::empty(204))
}

async fn ips_of(call: &Call, interface: Object<Interface>) -> Result<Vec<Object<ReservedIp>>> {
    let view = call.view.clone();
    call.ctx.read(move |tx| addresses(tx, &view, &interface)).await
}

pub async fn list_ips(call: Call) -> Result<Response> {
    let (interface, _) = call.permitted::<Interface>(READ).await?;
    let all = ips_of(&call, interface).await?;
    page(&call, "ips", all, |o| reserved_ips::reference(o, &call.view))
}

pub async fn get_ip(call: Call) -> Result<Response> {
    let (interface, _) = call.permitted::<Interface>(READ).await?;
    let id = call.param("ip")?.to_owned();
    children::tell(&call, "ip", &id);
    let found = ips_of(&call, interface).await?.into_iter().find(|ip| ip.id == id);
    Response::json(200, &reserved_ips::reference(&found.ok_or_else(|| not_found("reserved IP"))?, &call.view))
}

/// The address that the path names, in a subnet whose addresses the caller may use.
async fn ip_to_bind(call: &Call, interface: &Object<Interface>) -> Result<String> {
    let id = call.param("ip")?.to_owned();
    children::tell(call, "ip", &id);
    let (view, subnet, wanted) = (call.view.clone(), interface.body.subnet.clone(), id.clone());
    let (subnet, ip) = call
        .ctx
        .read(move |tx| {
            let subnet: Object<Subnet> = sql::shown(tx, &view.account, &subnet)?;
            let ip: Option<Object<ReservedIp>> = sql::get(tx, &view.account, &wanted)?;
            Ok((subnet, ip))
        })
        .await?;
    if ip.is_none_or(|ip| ip.parent != subnet.id) {
        return Err(not_found("reserved IP"));
    }
    call.authorize("is.subnet.subnet.operate", &SUBNET, &call.view.target(&subnet)).await?;
    Ok(id)
}

pub async fn put_ip(call: Call) -> Result<Response> {
    let (interface, permit) = call.permitted::<Interface>(UPDATE).await?;
    let id = ip_to_bind(&call, &interface).await?;
    let view = call.view.clone();
    let ip = call
        .ctx
        .write(permit, move |tx, event| {
            event.status = 201;
            let mut ip: Object<ReservedIp> =
                sql::get(tx, &view.account, &id)?.ok_or_else(|| not_found("reserved IP"))?;
            sql::still::<Interface>(tx, &view.account, &interface.id)?;
            if ip.body.holder.as_deref() != Some(interface.id.as_str()) {
                ips::bind(tx, &view, &mut ip, &interface.id)?;
            }
            Ok(ip)
        })
        .await?;
    Response::json(201, &reserved_ips::reference(&ip, &call.view))
}

pub async fn delete_ip(call: Call) -> Result<Response> {
    let (interface, permit) = call.permitted::<Interface>(UPDATE).await?;
    let id = ip_to_bind(&call, &interface).await?;
    let view = call.view.clone();
    call.ctx
        .write(permit, move |tx, event| {
            event.status = 204;
            if id == interface.body.primary_ip {
                return Err(in_use("The primary address goes with its interface only."));
            }
            let found: Option<Object<ReservedIp>> = sql::get(tx, &view.account, &id)?;
            let missing = || -> Error { not_found("reserved IP") };
            let mut ip = found
                .filter(|ip| ip.body.holder.as_deref() == Some(interface.id.as_str()))
                .ok_or_else(missing)?;
            ips::release(tx, &view, &mut ip)
        })
        .await?;
    Ok(Response::empty(204))
}
