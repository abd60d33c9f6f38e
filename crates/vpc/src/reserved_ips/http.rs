//! Requests on reserved addresses.

use avouch_gate::{Error, Response, Result};

use super::logic::{self, Draft};
use super::{RESERVED_IP, ReservedIp};
use crate::call::Call;
use crate::errors::{in_parameter, in_use, no_such, not_found};
use crate::fields::Fields;
use crate::interfaces::Interface;
use crate::names;
use crate::objects::{Object, children, http as common, sql};
use crate::paging::{self, Keep, Wanted};
use crate::subnets::Subnet;

const PARAMETER: &str = "reserved_ip";

pub async fn list(call: Call) -> Result<Response> {
    let (subnet, _) = call.permitted::<Subnet>("is.subnet.subnet.read").await?;
    let mut keep: Vec<Keep<ReservedIp>> = Vec::new();
    if let Some(target) = call.request.query("target.id").map_err(in_parameter)? {
        keep.push(Box::new(move |_, _, o| Ok(o.body.holder.as_deref() == Some(target.as_str()))));
    }
    let wanted = Wanted { plural: "reserved_ips", action: "", parent: Some(&subnet.id) };
    paging::list(&call, wanted, keep).await
}

pub async fn get(call: Call) -> Result<Response> {
    let (subnet, _) = call.permitted::<Subnet>("is.subnet.subnet.read").await?;
    children::get::<ReservedIp>(&call, &subnet.id, PARAMETER).await
}

pub async fn create(call: Call) -> Result<Response> {
    let mut fields = Fields::of(&call.request)?;
    let name = names::read(&mut fields)?;
    let address = fields.address("address")?;
    let auto_delete = fields.flag("auto_delete")?;
    let target = fields.identity("target")?;
    fields.done()?;
    if auto_delete == Some(true) && target.is_none() {
        return Err(Error::invalid("auto_delete", "Only an address that is bound can go with its target."));
    }
    let (subnet, permit) = call.permitted::<Subnet>("is.subnet.subnet.operate").await?;
    let target = match target {
        None => None,
        Some(identity) => {
            let action = "is.virtual-network-interface.virtual-network-interface.update";
            let interface: Object<Interface> = call.usable(&identity, action).await?;
            if interface.body.subnet != subnet.id {
                return Err(no_such(identity.field, "virtual network interface of the subnet"));
            }
            Some(interface.id)
        }
    };
    let zone = call.view.region.zone(&subnet.body.zone).cloned();
    let draft = Draft {
        id: call.id(zone.as_ref()),
        name: name.unwrap_or_else(|| call.drawn_name()),
        address,
        auto_delete: auto_delete.unwrap_or(false),
        created_at: call.ctx.now(),
        field: "address".into(),
    };
    let view = call.view.clone();
    let made = call
        .ctx
        .write(permit, move |tx, event| {
            event.status = 201;
            event.request(RESERVED_IP.word, draft.id.as_str());
            let subnet: Object<Subnet> =
                sql::get(tx, &view.account, &subnet.id)?.ok_or_else(|| not_found("subnet"))?;
            let mut ip = logic::reserve(tx, &view, &subnet, &draft)?;
            if let Some(target) = &target {
                sql::still::<Interface>(tx, &view.account, target)?;
                logic::bind(tx, &view, &mut ip, target)?;
            }
            Ok(ip)
        })
        .await?;
    call.show(201, made).await
}

pub async fn update(call: Call) -> Result<Response> {
    let mut fields = Fields::patch(&call.request)?;
    let name = names::read(&mut fields)?;
    let auto_delete = fields.flag("auto_delete")?;
    fields.done()?;
    let (subnet, permit) = call.permitted::<Subnet>("is.subnet.subnet.operate").await?;
    let ip: Object<ReservedIp> = children::load(&call, &subnet.id, PARAMETER).await?;
    let changed = common::written(&call, permit, ip.id, move |_, _, o: &mut Object<ReservedIp>| {
        if o.body.provider {
            return Err(in_use("The address is the provider's."));
        }
        names::set(&mut o.name, name.as_ref());
        if auto_delete == Some(true) && o.body.holder.is_none() {
            return Err(Error::invalid(
                "auto_delete",
                "Only an address that is bound can go with its target.",
            ));
        }
        o.body.auto_delete = auto_delete.unwrap_or(o.body.auto_delete);
        Ok(())
    })
    .await?;
    call.show(200, changed).await
}

pub async fn delete(call: Call) -> Result<Response> {
    let (subnet, permit) = call.permitted::<Subnet>("is.subnet.subnet.operate").await?;
    let ip: Object<ReservedIp> = children::load(&call, &subnet.id, PARAMETER).await?;
    children::delete(&call, permit, ip, |_, _, o| {
        if o.body.provider || o.body.holder.is_some() {
            return Err(in_use("The reserved IP is used."));
        }
        Ok(())
    })
    .await
}
