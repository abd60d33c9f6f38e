//! Requests on secret groups.

use avouch_gate::{Ctx, Error, Kind, Permit, Request, Response, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Group, render, sql};
use crate::access::{DEFAULT_GROUP, Scope, scope};
use crate::json::patched;
use crate::names;

#[derive(Deserialize)]
struct Create {
    name: Option<String>,
    description: Option<String>,
}

#[derive(Deserialize)]
struct Patch {
    #[serde(default, deserialize_with = "patched")]
    name: Option<Option<String>>,
    #[serde(default, deserialize_with = "patched")]
    description: Option<Option<String>>,
}

fn not_found() -> Error {
    Error::new(Kind::NotFound, "The secret group was not found.")
}

/// Loads a group and decides.
async fn load(ctx: &Ctx, scope: &Scope, id: &str, action: &str) -> Result<(Group, Permit)> {
    let (instance, wanted) = (scope.id().to_owned(), id.to_owned());
    let group = if id == DEFAULT_GROUP {
        Group::default_of(scope)
    } else {
        ctx.read(move |tx| sql::get(tx, &instance, &wanted)).await?.ok_or_else(not_found)?
    };
    let target = scope.target(Some(&group.id)).named(&group.name);
    match ctx.authorize(action, &target).await {
        Ok(permit) => Ok((group, permit)),
        Err(e) if matches!(e.kind(), Kind::Forbidden | Kind::NotFound) => {
            if scope.permits("secrets-manager.secret-group.read", &group.id) {
                Err(Error::forbidden().reason("access"))
            } else {
                Err(not_found())
            }
        }
        Err(e) => Err(e),
    }
}

pub async fn create(ctx: Ctx, request: Request) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    let body: Create = request.json()?;
    let name = names::name(body.name.as_deref(), 2, 64)?.to_owned();
    names::description(body.description.as_deref())?;
    let permit = ctx
        .authorize("secrets-manager.secret-group.create", &scope.target(None).named(name.as_str()))
        .await?;
    if name == DEFAULT_GROUP {
        return Err(Error::conflict("A secret group of that name already exists."));
    }
    let group = Group {
        id: ctx.uuid().to_string(),
        name,
        description: body.description,
        created_at: ctx.now(),
        created_by: ctx.caller()?.iam_id().to_string(),
        updated_at: ctx.now(),
    };
    let limit = usize::try_from(ctx.app().config.limits.secret_groups).unwrap_or(0);
    let (instance, shown) = (scope.id().to_owned(), render(&group));
    ctx.write(permit, move |tx, event| {
        event.status = 201;
        event.request("secret_group_id", group.id.as_str()).request("name", group.name.as_str());
        if limit > 0 && sql::list(tx, &instance)?.len() >= limit {
            return Err(Error::new(Kind::Limit, "The maximum number of secret groups is reached."));
        }
        sql::put(tx, &instance, &group)
    })
    .await?;
    Response::json(201, &shown)
}

pub async fn list(ctx: Ctx, request: Request) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    ctx.note(&scope.target(None).named("*"));
    let instance = scope.id().to_owned();
    let mut groups = vec![Group::default_of(&scope)];
    groups.extend(ctx.read(move |tx| sql::list(tx, &instance)).await?);
    let shown: Vec<Value> = groups
        .iter()
        .filter(|g| scope.permits("secrets-manager.secret-groups.list", &g.id))
        .map(render)
        .collect();
    Response::json(200, &json!({"total_count": shown.len(), "secret_groups": shown}))
}

pub async fn get(ctx: Ctx, request: Request) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    let (group, _) = load(&ctx, &scope, request.param("id")?, "secrets-manager.secret-group.read").await?;
    Response::json(200, &render(&group))
}

/// A merge patch: absent members stay, `null` clears the description.
pub async fn update(ctx: Ctx, request: Request) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    let body: Patch = request.json()?;
    if let Some(name) = &body.name {
        names::name(name.as_deref(), 2, 64)?;
    }
    names::description(body.description.as_ref().and_then(Option::as_deref))?;
    let (found, permit) =
        load(&ctx, &scope, request.param("id")?, "secrets-manager.secret-group.update").await?;
    if found.id == DEFAULT_GROUP {
        return Err(Error::new(Kind::Invalid, "The default secret group cannot be changed."));
    }
    let (instance, now) = (scope.id().to_owned(), ctx.now());
    let group = ctx
        .write(permit, move |tx, event| {
            let mut group = sql::get(tx, &instance, &found.id)?.ok_or_else(not_found)?;
            event.request("secret_group_id", group.id.as_str());
            if let Some(Some(name)) = &body.name {
                if name == DEFAULT_GROUP {
                    return Err(Error::conflict("A secret group of that name already exists."));
                }
                group.name.clone_from(name);
            }
            if let Some(description) = &body.description {
                group.description.clone_from(description);
            }
            group.updated_at = now;
            sql::put(tx, &instance, &group)?;
            Ok(group)
        })
        .await?;
    Response::json(200, &render(&group))
}

pub async fn delete(ctx: Ctx, request: Request) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    let (group, permit) =
        load(&ctx, &scope, request.param("id")?, "secrets-manager.secret-group.delete").await?;
    let instance = scope.id().to_owned();
    ctx.write(permit, move |tx, event| {
        event.status = 204;
        event.request("secret_group_id", group.id.as_str());
        if group.id == DEFAULT_GROUP {
            return Err(Error::new(Kind::Invalid, "The default secret group cannot be deleted."));
        }
        if crate::secrets::sql::any_in_group(tx, &instance, &group.id)? {
            return Err(Error::conflict("The secret group is not empty."));
        }
        sql::delete(tx, &instance, &group.id)
    })
    .await?;
    Ok(Response::empty(204))
}
