//! Requests on groups of service IDs.

use avouch_crypto::rng;
use avouch_gate::{Ctx, Error, Kind, Permit, Request, Response, Result, etag};
use avouch_wire::identity::ServiceIdGroupBody;
use serde_json::json;

use super::{Group, crn, render, sql, target};
use crate::profiles::http::{account_of, check_name, check_text, path_id};
use crate::told;

fn not_found(id: &str) -> Error {
    let shown: String = id.chars().filter(|c| !c.is_control()).take(128).collect();
    Error::new(Kind::NotFound, "Unable to find Object.")
        .details(format!("Object Type: 'ServiceIdGroup' with ID '{shown}' not found."))
}

async fn load(ctx: &Ctx, id: &str, action: &str) -> Result<(Group, Permit)> {
    let (wanted, named) = path_id(id, "serviceid-group").ok_or_else(|| not_found(id))?;
    let account = ctx.caller()?.account().clone();
    if named.is_some_and(|n| n != account) {
        return Err(not_found(id));
    }
    let group = ctx.read(move |tx| sql::get(tx, &account, &wanted)).await?.ok_or_else(|| not_found(id))?;
    let permit = ctx.authorize(action, &target(&group.account, Some(&group))).await?;
    Ok((group, permit))
}

pub async fn list(ctx: Ctx, request: Request) -> Result<Response> {
    let account = account_of(&ctx, request.query("account_id")?)?;
    ctx.authorize("iam-identity.serviceid-group.list", &target(&account, None)).await?;
    let groups = ctx.read(move |tx| sql::list(tx, &account)).await?;
    Response::json(200, &json!({"serviceid_groups": groups.iter().map(render).collect::<Vec<_>>()}))
}

pub async fn create(ctx: Ctx, request: Request) -> Result<Response> {
    let body: ServiceIdGroupBody = request.json()?;
    let name = check_name(body.name.as_deref(), 300)?.to_owned();
    check_text("description", body.description.as_deref().unwrap_or_default(), 1000)?;
    let account = account_of(&ctx, Some(body.account_id.ok_or_else(|| Error::missing("account_id"))?))?;
    let permit =
        ctx.authorize("iam-identity.serviceid-group.create", &target(&account, None).named(&name)).await?;
    let group = Group {
        id: format!("ServiceIdGroup-{}", ctx.uuid()),
        account,
        name,
        description: body.description.filter(|d| !d.is_empty()),
        etag: etag::tag(1, ctx.app().rng.as_ref()),
        created_at: ctx.now(),
        created_by: ctx.caller()?.iam_id().to_string(),
        modified_at: ctx.now(),
    };
    let made = group.clone();
    ctx.write(permit, move |tx, event| {
        event.status = 201;
        event.target(crn(&group), &group.name);
        sql::put(tx, &group)
    })
    .await?;
    Ok(Response::json(201, &render(&made))?.etag(&made.etag))
}

pub async fn get(ctx: Ctx, request: Request) -> Result<Response> {
    let (group, _) = load(&ctx, request.param("id")?, "iam-identity.serviceid-group.get").await?;
    Ok(Response::json(200, &render(&group))?.etag(&group.etag))
}

pub async fn update(ctx: Ctx, request: Request) -> Result<Response> {
    let body: ServiceIdGroupBody = request.json()?;
    let name = check_name(body.name.as_deref(), 300)?.to_owned();
    check_text("description", body.description.as_deref().unwrap_or_default(), 1000)?;
    let wanted = request.if_match()?;
    let (found, permit) = load(&ctx, request.param("id")?, "iam-identity.serviceid-group.update").await?;
    let (salt, now) = (rng::hex(ctx.app().rng.as_ref(), 16), ctx.now());
    let group = ctx
        .write(permit, move |tx, event| {
            let mut g = sql::get(tx, &found.account, &found.id)?.ok_or_else(|| not_found(&found.id))?;
            etag::check(&wanted, &g.etag)?;
            let old = render(&g);
            told::rename(event, &g.name, &name);
            g.name.clone_from(&name);
            if let Some(description) = &body.description {
                g.description = Some(description.clone()).filter(|d| !d.is_empty());
            }
            g.etag = crate::next_tag(&g.etag, &salt);
            g.modified_at = now;
            told::change(event, &old, &render(&g));
            event.target(crn(&g), &g.name);
            sql::put(tx, &g)?;
            Ok(g)
        })
        .await?;
    Ok(Response::json(200, &render(&group))?.etag(&group.etag))
}

pub async fn delete(ctx: Ctx, request: Request) -> Result<Response> {
    let (group, permit) = load(&ctx, request.param("id")?, "iam-identity.serviceid-group.delete").await?;
    ctx.write(permit, move |tx, event| {
        event.status = 204;
        if crate::service_ids::sql::any_in_group(tx, &group.account, &group.id)? {
            return Err(Error::conflict("The group is not empty."));
        }
        sql::delete(tx, &group)
    })
    .await?;
    Ok(Response::empty(204))
}
