//! Requests on reclamations.

use avouch_gate::{Ctx, Error, Kind, Request, Response, Result};
use serde_json::json;

use super::{logic, render, sql};
use crate::instances;
use crate::resource_groups::account_of;

pub async fn list(ctx: Ctx, request: Request) -> Result<Response> {
    let account = account_of(&ctx, request.query("account_id")?)?;
    let instance = request.query("resource_instance_id")?;
    let group = request.query("resource_group_id")?;
    let permits = ctx.filter(&account).await?;
    let rows = ctx
        .read(move |tx| {
            let mut rows = Vec::new();
            for r in sql::open(tx, &account)? {
                if let Some(i) = instances::sql::get(tx, &r.guid)? {
                    rows.push((r, i));
                }
            }
            Ok(rows)
        })
        .await?;
    let mut shown = Vec::new();
    for (r, i) in rows {
        let crn = i.crn()?.to_string();
        let asked = instance.as_ref().is_none_or(|w| *w == r.guid || *w == crn)
            && group.as_ref().is_none_or(|w| *w == r.resource_group);
        if asked && permits.permits("resource-controller.instance.retrieve", &i.attrs()) {
            shown.push(render(&r, &crn));
        }
    }
    Response::json(200, &json!({"resources": shown}))
}

pub async fn act(ctx: Ctx, request: Request) -> Result<Response> {
    let id = request.param("id")?.to_owned();
    let restore = match request.param("action")? {
        "restore" => true,
        "reclaim" => false,
        _ => return Err(Error::invalid("action", "The action must be 'restore' or 'reclaim'.")),
    };
    let (account, wanted) = (ctx.caller()?.account().clone(), id.clone());
    let unknown = || Error::not_found("Reclamation", &id);
    let found = ctx
        .read(move |tx| {
            let Some(r) = sql::get(tx, &account, &wanted)? else { return Ok(None) };
            Ok(instances::sql::get(tx, &r.guid)?.map(|i| (r, i)))
        })
        .await?;
    let (r, instance) = found.ok_or_else(unknown)?;
    let verb = if restore { "restore" } else { "delete" };
    ctx.detail(|d| {
        d.action(format!("{}.instance.{verb}", instance.service));
    });
    let action =
        if restore { "resource-controller.instance.create" } else { "resource-controller.instance.delete" };
    let permit = ctx.authorize(action, &instance.target()?).await.map_err(|e| match e.kind() {
        Kind::NotFound => unknown(),
        _ => e,
    })?;
    let (app, now, by) = (ctx.app().clone(), ctx.now(), ctx.caller()?.iam_id().to_string());
    let crn = instance.crn()?.to_string();
    let mut shown = r.clone();
    ctx.write(permit, move |tx, event| {
        event.request("reclamation_id", r.id.as_str());
        if restore {
            logic::restore(tx, &r, &by, now)?;
        } else {
            logic::reclaim(&app, tx, &r, &by, now)?;
        }
        Ok(())
    })
    .await?;
    shown.state = if restore { "RESTORING" } else { "RECLAIMING" }.into();
    shown.updated_at = now;
    Response::json(200, &render(&shown, &crn))
}
