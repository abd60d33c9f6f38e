//! Requests on resource groups.

use avouch_crypto::rng;
use avouch_gate::{Ctx, Error, Kind, Request, Response, Result};
use avouch_wire::ids::AccountId;
use avouch_wire::text;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{QUOTAS, ResourceGroup, account_of, crn, render, sql, target};

#[derive(Deserialize)]
struct Create {
    name: String,
    account_id: Option<String>,
}

#[derive(Deserialize)]
struct Update {
    name: Option<String>,
    state: Option<String>,
}

fn not_found(id: &str) -> Error {
    Error::not_found("Resource group", id)
}

fn check_name(name: &str) -> Result<()> {
    if text::name(name, 40) {
        Ok(())
    } else {
        Err(Error::invalid("name", "The property 'name' must have 1 to 40 characters."))
    }
}

/// Reads the group and hides other accounts' groups as unknown.
async fn load(ctx: &Ctx, id: &str) -> Result<ResourceGroup> {
    let (account, wanted) = (ctx.caller()?.account().clone(), id.to_owned());
    ctx.read(move |tx| sql::get(tx, &account, &wanted)).await?.ok_or_else(|| not_found(id))
}

pub async fn list(ctx: Ctx, request: Request) -> Result<Response> {
    let account = account_of(&ctx, request.query("account_id")?)?;
    let name = request.query("name")?;
    let default = request.query_bool("default")?;
    let filter = ctx.filter(&account).await?;
    let asked = account.clone();
    let groups = ctx.read(move |tx| sql::list(tx, &asked)).await?;
    let visible: Vec<Value> = groups
        .iter()
        .filter(|g| name.as_ref().is_none_or(|n| *n == g.name) && default.is_none_or(|d| d == g.default))
        .filter(|g| {
            filter.permits("resource-controller.group.retrieve", &target(&account, Some(&g.id)).attrs)
        })
        .map(render)
        .collect();
    Response::json(200, &json!({"resources": visible}))
}

pub async fn create(ctx: Ctx, request: Request) -> Result<Response> {
    let body: Create = request.json()?;
    check_name(&body.name)?;
    let account: AccountId = account_of(&ctx, body.account_id)?;
    let now = ctx.now();
    let id = rng::hex(ctx.app().rng.as_ref(), 16);
    let permit =
        ctx.authorize("resource-controller.group.create", &target(&account, None).named(&body.name)).await?;
    let group = ResourceGroup {
        account: account.clone(),
        id: id.clone(),
        name: body.name,
        state: "ACTIVE".into(),
        default: false,
        created_at: now,
        updated_at: now,
    };
    let made = crn(&account, &id);
    let shown = made.clone();
    ctx.write(permit, move |tx, event| {
        event.target(&made, &group.name);
        event.status = 201;
        sql::insert(tx, &group)
    })
    .await?;
    Response::json(201, &json!({"id": id, "crn": shown}))
}

pub async fn get(ctx: Ctx, request: Request) -> Result<Response> {
    let id = request.param("id")?;
    let group = load(&ctx, id).await?;
    ctx.authorize("resource-controller.group.retrieve", &target(&group.account, Some(&group.id))).await?;
    Response::json(200, &render(&group))
}

pub async fn update(ctx: Ctx, request: Request) -> Result<Response> {
    let body: Update = request.json()?;
    if let Some(name) = &body.name {
        check_name(name)?;
    }
    if body.state.as_deref().is_some_and(|s| s != "ACTIVE" && s != "SUSPENDED") {
        return Err(Error::invalid("state", "The property 'state' must be ACTIVE or SUSPENDED."));
    }
    let group = load(&ctx, request.param("id")?).await?;
    let permit = ctx
        .authorize(
            "resource-controller.group.update",
            &target(&group.account, Some(&group.id)).named(&group.name),
        )
        .await?;
    let now = ctx.now();
    let group = ctx
        .write(permit, move |tx, event| {
            let mut group = sql::get(tx, &group.account, &group.id)?.ok_or_else(|| not_found(&group.id))?;
            if let Some(name) = &body.name {
                if *name != group.name {
                    event.request("prev_name", group.name.as_str());
                }
                group.name.clone_from(name);
            }
            if let Some(state) = &body.state {
                group.state.clone_from(state);
            }
            group.updated_at = now;
            event.target(crn(&group.account, &group.id), &group.name);
            sql::update(tx, &group)?;
            Ok(group)
        })
        .await?;
    Response::json(200, &render(&group))
}

pub async fn delete(ctx: Ctx, request: Request) -> Result<Response> {
    let group = load(&ctx, request.param("id")?).await?;
    let permit = ctx
        .authorize(
            "resource-controller.group.delete",
            &target(&group.account, Some(&group.id)).named(&group.name),
        )
        .await?;
    let app = ctx.app().clone();
    ctx.write(permit, move |tx, event| {
        event.status = 204;
        if group.default {
            return Err(Error::new(Kind::Invalid, "The default resource group cannot be deleted."));
        }
        let mut used = crate::instances::sql::any_in_group(tx, &group.account, &group.id)?;
        for service in &app.links.members {
            used |= service.any_in_group(tx, &group.account, &group.id)?;
        }
        if used {
            return Err(Error::new(Kind::Invalid, "The resource group is not empty."));
        }
        sql::delete(tx, &group.account, &group.id)
    })
    .await?;
    Ok(Response::empty(204))
}

fn quota_record(id: &str, name: &str) -> Value {
    json!({
        "id": id, "name": name, "type": "Public", "number_of_apps": 0, "number_of_service_instances": 0,
        "default_number_of_instances_per_lite_plan": 0, "instances_per_app": 0, "instance_memory": "0",
        "total_app_memory": "0", "vsi_limit": 0, "resource_quotas": [],
        "created_at": "2026-01-01T00:00:00.000Z", "updated_at": "2026-01-01T00:00:00.000Z",
    })
}

pub async fn quotas(_ctx: Ctx, _request: Request) -> Result<Response> {
    let all: Vec<Value> = QUOTAS.iter().map(|(id, name)| quota_record(id, name)).collect();
    Response::json(200, &json!({"resources": all}))
}

pub async fn quota(_ctx: Ctx, request: Request) -> Result<Response> {
    let id = request.param("id")?;
    let found =
        QUOTAS.iter().find(|(q, _)| *q == id).ok_or_else(|| Error::not_found("Quota definition", id))?;
    Response::json(200, &quota_record(found.0, found.1))
}
