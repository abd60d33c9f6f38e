//! Requests on virtual network interfaces.

use avouch_gate::{Response, Result};
use serde_json::Value;

use super::logic::{self, GUARDED};
use super::{INTERFACE, Interface, MODES};
use crate::call::Call;
use crate::errors::not_found;
use crate::fields::Fields;
use crate::names;
use crate::objects::{Body, Object, http as common, sql};
use crate::paging::{self, Wanted};

pub async fn list(call: Call) -> Result<Response> {
    let keep = paging::by_group::<Interface>(&call)?;
    let wanted = Wanted {
        plural: "virtual_network_interfaces",
        action: "is.virtual-network-interface.virtual-network-interface.read",
        parent: None,
    };
    paging::list(&call, wanted, keep).await
}

pub async fn get(call: Call) -> Result<Response> {
    common::get::<Interface>(call, "is.virtual-network-interface.virtual-network-interface.read").await
}

pub async fn create(call: Call) -> Result<Response> {
    let mut fields = Fields::of(&call.request)?;
    let group = call.group(&mut fields).await?;
    let permit = call
        .may_create(
            "is.virtual-network-interface.virtual-network-interface.create",
            &INTERFACE,
            &group.id,
            "",
        )
        .await?;
    let draft = logic::read(&call, fields, &group.id).await?;
    let view = call.view.clone();
    let made = call
        .ctx
        .write(permit, move |tx, event| {
            event.status = 201;
            let made = draft.write(tx, &view)?;
            event.target(made.crn(&view), &made.name);
            Ok(made)
        })
        .await?;
    call.show(201, made).await
}

pub async fn update(call: Call) -> Result<Response> {
    let mut fields = Fields::patch(&call.request)?;
    let name = names::read(&mut fields)?;
    let spoofing = fields.flag("allow_ip_spoofing")?;
    let nat = fields.flag("enable_infrastructure_nat")?;
    let auto_delete = fields.flag("auto_delete")?;
    let mode = fields.word("protocol_state_filtering_mode", &MODES)?;
    fields.done()?;
    let action = "is.virtual-network-interface.virtual-network-interface.update";
    let (object, permit) = call.permitted::<Interface>(action).await?;
    for (used, (_, action)) in [spoofing.is_some(), nat.is_some(), mode.is_some()].into_iter().zip(GUARDED) {
        if used {
            call.authorize(action, &INTERFACE, &call.view.target(&object)).await?;
        }
    }
    let changed = common::written(&call, permit, object.id, move |_, _, o: &mut Object<Interface>| {
        names::set(&mut o.name, name.as_ref());
        o.body.allow_ip_spoofing = spoofing.unwrap_or(o.body.allow_ip_spoofing);
        o.body.enable_infrastructure_nat = nat.unwrap_or(o.body.enable_infrastructure_nat);
        o.body.auto_delete = auto_delete.unwrap_or(o.body.auto_delete);
        if let Some(mode) = mode {
            o.body.protocol_state_filtering_mode = mode.into();
        }
        Ok(())
    })
    .await?;
    call.show(200, changed).await
}

pub async fn delete(call: Call) -> Result<Response> {
    let action = "is.virtual-network-interface.virtual-network-interface.delete";
    let (object, permit) = call.permitted::<Interface>(action).await?;
    let (view, wanted) = (call.view.clone(), call.if_match()?);
    let mut gone: Value = call
        .ctx
        .write(permit, move |tx, _| {
            let object: Object<Interface> =
                sql::get(tx, &view.account, &object.id)?.ok_or_else(|| not_found(INTERFACE.display))?;
            object.matches(wanted.as_deref())?;
            let shown = Interface::render(&object, tx, &view)?;
            logic::remove(tx, &view, &object)?;
            Ok(shown)
        })
        .await?;
    if let Some(state) = gone.get_mut("lifecycle_state") {
        *state = "deleting".into();
    }
    Response::json(200, &gone)
}
