//! Requests on instances.

use avouch_gate::{Error, Kind as ErrorKind, Response, Result};
use serde_json::json;

use super::life::{self, Wake};
use super::prototype;
use super::{INSTANCE, Instance, Status, render};
use crate::call::Call;
use crate::catalogue::data::Catalogue;
use crate::errors::{in_parameter, no_such, not_found};
use crate::fields::Fields;
use crate::names;
use crate::objects::{Object, http as common, sql};
use crate::paging::{self, Wanted};

const READ: &str = "is.instance.instance.read";

pub async fn list(call: Call) -> Result<Response> {
    let mut keep = paging::by_group::<Instance>(&call)?;
    keep.extend(paging::by_vpc(&call)?);
    let asked = |name| call.request.query(name).map_err(in_parameter);
    if let Some(name) = asked("name")? {
        keep.push(Box::new(move |_, _, o| Ok(o.name == name)));
    }
    if let Some(group) = asked("placement_group.id")? {
        keep.push(Box::new(move |_, _, o| Ok(o.body.placement_group.as_ref() == Some(&group))));
    }
    if let Some(class) = asked("availability.class")? {
        keep.push(Box::new(move |_, _, _| Ok(class == "standard")));
    }
    paging::list(&call, Wanted { plural: "instances", action: READ, parent: None }, keep).await
}

pub async fn get(call: Call) -> Result<Response> {
    common::get::<Instance>(call, READ).await
}

pub async fn create(call: Call) -> Result<Response> {
    let (permit, draft) = Box::pin(prototype::read(&call)).await?;
    let view = call.view.clone();
    let made = call.ctx.write(permit, move |tx, event| draft.write(tx, &view, event)).await?;
    wake(&call)?;
    call.show(201, made).await
}

/// Whoever runs instances need not wait for his next look.
fn wake(call: &Call) -> Result<()> {
    call.ctx.app().state::<Wake>()?.0.notify_one();
    Ok(())
}

pub async fn update(call: Call) -> Result<Response> {
    let mut fields = Fields::patch(&call.request)?;
    let name = names::read(&mut fields)?;
    let profile = match fields.named("profile")? {
        None => None,
        Some(named) => {
            let found = Catalogue::builtin().instance_profile(named.name());
            Some(found.ok_or_else(|| no_such(named.field, "instance profile"))?.name.clone())
        }
    };
    let service = prototype::asked_metadata(&mut fields)?;
    fields.done()?;
    let action = "is.instance.instance.update";
    let (object, permit) = call.permitted::<Instance>(action).await?;
    let changed = common::written(&call, permit, object.id, move |_, _, o: &mut Object<Instance>| {
        if o.body.status == Status::Deleting {
            return Err(not_found("instance"));
        }
        names::set(&mut o.name, name.as_ref());
        if let Some(profile) = &profile {
            if o.body.status != Status::Stopped {
                return Err(wrong_state("The profile can be changed of a stopped instance only."));
            }
            o.body.profile.clone_from(profile);
        }
        service.apply(&mut o.body.metadata_service);
        Ok(())
    })
    .await?;
    wake(&call)?;
    call.show(200, changed).await
}

pub async fn delete(call: Call) -> Result<Response> {
    let (object, permit) = call.permitted::<Instance>("is.instance.instance.delete").await?;
    let (view, wanted) = (call.view.clone(), call.if_match()?);
    let (by, now) = (call.ctx.caller()?.iam_id().to_string(), call.ctx.now());
    call.ctx
        .write(permit, move |tx, event| {
            event.status = 204;
            let mut o: Object<Instance> =
                sql::get(tx, &view.account, &object.id)?.ok_or_else(|| not_found(INSTANCE.display))?;
            o.matches(wanted.as_deref())?;
            // From here on nobody is it any more, whatever of it still runs.
            event.also = life::unlink(tx, &view, &o, &by, now)?;
            event.response("links_removed", event.also.len());
            if o.body.node.is_empty() {
                return life::remove(tx, &view, &o);
            }
            o.body.status = Status::Deleting;
            sql::update(tx, &view.account, &mut o)
        })
        .await?;
    wake(&call)?;
    Ok(Response::empty(204))
}

pub async fn initialization(call: Call) -> Result<Response> {
    let (object, _) = call.permitted::<Instance>(READ).await?;
    Response::json(200, &render::initialization(&object, &call.view))
}

fn wrong_state(text: &'static str) -> Error {
    Error::new(ErrorKind::Conflict, text)
}

pub async fn act(call: Call) -> Result<Response> {
    let mut fields = Fields::of(&call.request)?;
    let kind = fields.word("type", &["start", "stop", "reboot"])?;
    let kind = fields.must("type", kind)?;
    let force = fields.flag("force")?;
    fields.done()?;
    let (object, permit) = call.permitted::<Instance>("is.instance.instance.operate").await?;
    let id = format!("{}-{}", call.view.region.prefix, call.ctx.uuid());
    let href = format!("{}/actions/{id}", object.href(&call.view));
    call.ctx.detail(|d| {
        d.status = 201;
        d.action(match kind {
            "start" => "is.instance.instance.start",
            "stop" => "is.instance.instance.stop",
            _ => "is.instance.action.create",
        });
        d.request("type", kind);
        d.request("action_id", id.as_str());
    });
    common::written(&call, permit, object.id, move |_, _, o: &mut Object<Instance>| {
        let next = match (kind, o.body.status) {
            ("start", Status::Stopped | Status::Failed) => Status::Starting,
            ("stop", Status::Running) => Status::Stopping,
            ("stop", Status::Starting | Status::Restarting) if force == Some(true) => Status::Stopping,
            ("reboot", Status::Running) => Status::Restarting,
            ("start", _) => return Err(wrong_state("Only a stopped or failed instance can be started.")),
            ("stop", _) => return Err(wrong_state("Only a running instance can be stopped.")),
            _ => return Err(wrong_state("Only a running instance can be rebooted.")),
        };
        if next == Status::Starting {
            o.body.life += 1;
            o.body.status_reasons.clear();
        }
        o.body.status = next;
        o.body.force = force == Some(true);
        Ok(())
    })
    .await?;
    wake(&call)?;
    let mut shown = json!({
        "created_at": call.ctx.now().rfc3339_millis(),
        "href": href,
        "id": id,
        "status": "pending",
        "type": kind,
    });
    if let (Some(force), Some(shown)) = (force, shown.as_object_mut()) {
        shown.insert("force".into(), json!(force));
    }
    Response::json(201, &shown)
}
