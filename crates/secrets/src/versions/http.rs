//! Requests on versions.

use avouch_gate::{Ctx, Error, Kind, Permit, Request, Response, Result};
use avouch_store::Tx;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Given, Version, render, rotate, sql, told};
use crate::access::{Scope, scope};
use crate::errors::no_secret;
use crate::json::{disclosed, patched};
use crate::names;
use crate::secrets::{self, Counted, counted};

#[derive(Deserialize)]
struct Prototype {
    custom_metadata: Option<Map<String, Value>>,
    version_custom_metadata: Option<Map<String, Value>>,
    restore_from_version: Option<Value>,
    #[serde(flatten)]
    payload: Given,
}

fn destroyed() -> Error {
    Error::new(Kind::Invalid, "The secret is destroyed; it cannot be rotated.")
}

fn no_version() -> Error {
    Error::new(Kind::NotFound, "The secret version was not found.")
}

/// A version by UUID or by `current` and `previous`.
///
/// # Errors
/// `NotFound`.
pub fn find(tx: &mut Tx<'_>, instance: &str, secret: &str, text: &str) -> Result<Version> {
    let found = match text {
        "current" | "previous" => sql::by_alias(tx, instance, secret, text)?,
        id => sql::get(tx, instance, secret, &id.to_ascii_lowercase())?,
    };
    found.ok_or_else(no_version)
}

async fn load(
    ctx: &Ctx,
    scope: &Scope,
    request: &Request,
    action: &str,
) -> Result<(Counted, Version, bool, Permit)> {
    let (found, permit) = secrets::load(ctx, scope, request.param("id")?, action).await?;
    let (instance, id, text) =
        (scope.id().to_owned(), found.secret.id.clone(), request.param("version")?.to_owned());
    let (version, read) = ctx
        .read(move |tx| {
            let version = find(tx, &instance, &id, &text)?;
            let read = sql::read_ids(tx, &instance, &id)?.contains(&version.id);
            Ok((version, read))
        })
        .await?;
    ctx.detail(|d| {
        d.request("version_id", version.id.as_str());
    });
    Ok((found, version, read, permit))
}

pub async fn create(ctx: Ctx, request: Request) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    let body: Prototype = request.json()?;
    names::metadata("custom_metadata", body.custom_metadata.as_ref())?;
    names::metadata("version_custom_metadata", body.version_custom_metadata.as_ref())?;
    let (found, permit) =
        secrets::load(&ctx, &scope, request.param("id")?, "secrets-manager.secret-version.create").await?;
    if body.restore_from_version.is_some() {
        return Err(Error::invalid(
            "restore_from_version",
            "Versions of secrets of this type cannot be restored.",
        ));
    }
    let now = ctx.now();
    if found.secret.expired(now, found.locks) {
        return Err(destroyed());
    }
    let (instance, id) = (scope.id().to_owned(), found.secret.id.clone());
    let current = ctx.read(move |tx| find(tx, &instance, &id, "current")).await?;
    let old = current
        .open(ctx.app(), scope.id())?
        .ok_or_else(|| Error::new(Kind::Invalid, "The current version has no payload any more."))?;
    let policy = found.secret.body.password_policy.unwrap_or_default();
    let payload = old.following(&ctx, body.payload, policy)?;
    let version = Version {
        id: ctx.uuid().to_string(),
        secret: found.secret.id.clone(),
        n: 0,
        alias: "current".into(),
        sealed: None,
        metadata: body.version_custom_metadata.unwrap_or_default(),
        auto_rotated: false,
        expires_at: found.secret.expires_at,
        created_at: now,
        created_by: ctx.caller()?.iam_id().to_string(),
    }
    .sealed(ctx.app(), scope.id(), &payload)?;
    let instance = scope.id().to_owned();
    let (secret, version) = ctx
        .write(permit, move |tx, event| {
            event.status = 201;
            event.request("version_id", version.id.as_str());
            let mut c = counted(tx, &instance, &version.secret)?.ok_or_else(no_secret)?;
            event.locked = c.locks > 0;
            // Its time may have come since it was looked at.
            if c.secret.expired(now, c.locks) {
                return Err(destroyed());
            }
            let mut version = version.clone();
            version.n = c.secret.versions_total + 1;
            version.expires_at = c.secret.expires_at;
            rotate(tx, &instance, &version)?;
            c.secret.versions_total += 1;
            c.secret.updated_at = now;
            c.secret.next_rotation_at = c.secret.rotation().next(now);
            if let Some(metadata) = &body.custom_metadata {
                c.secret.body.custom_metadata.clone_from(metadata);
            }
            secrets::sql::put(tx, &instance, &c.secret)?;
            Ok((c.secret, version))
        })
        .await?;
    let mut shown = render(&version, &secret, true, false);
    payload.show(&mut shown);
    disclosed(201, shown)
}

pub async fn list(ctx: Ctx, request: Request) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    let (found, _) =
        secrets::load(&ctx, &scope, request.param("id")?, "secrets-manager.secret-versions.list").await?;
    let (instance, id) = (scope.id().to_owned(), found.secret.id.clone());
    let (versions, read) =
        ctx.read(move |tx| Ok((sql::list(tx, &instance, &id)?, sql::read_ids(tx, &instance, &id)?))).await?;
    let dead = found.secret.expired(ctx.now(), found.locks);
    let shown: Vec<Value> = versions
        .iter()
        .map(|v| Value::Object(render(v, &found.secret, v.sealed.is_some() && !dead, read.contains(&v.id))))
        .collect();
    Response::json(200, &json!({"versions": shown, "total_count": shown.len()}))
}

pub async fn get(ctx: Ctx, request: Request) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    let (found, version, read, permit) =
        load(&ctx, &scope, &request, "secrets-manager.secret-version.read").await?;
    let payload = if found.secret.expired(ctx.now(), found.locks) {
        None
    } else {
        version.open(ctx.app(), scope.id())?
    };
    told(&ctx, &scope, &permit, &version, payload.is_some()).await?;
    let mut shown = render(&version, &found.secret, payload.is_some(), read || payload.is_some());
    if let Some(payload) = payload {
        payload.show(&mut shown);
    }
    disclosed(200, shown)
}

pub async fn metadata(ctx: Ctx, request: Request) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    let (found, version, read, _) =
        load(&ctx, &scope, &request, "secrets-manager.secret-version-metadata.read").await?;
    let available = version.sealed.is_some() && !found.secret.expired(ctx.now(), found.locks);
    Response::json(200, &render(&version, &found.secret, available, read))
}

#[derive(Deserialize)]
struct Patch {
    #[serde(default, deserialize_with = "patched")]
    version_custom_metadata: Option<Option<Map<String, Value>>>,
}

/// A merge patch: `null` clears the metadata.
pub async fn update_metadata(ctx: Ctx, request: Request) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    let body: Patch = request.json()?;
    let changed = body.version_custom_metadata.map(Option::unwrap_or_default);
    names::metadata("version_custom_metadata", changed.as_ref())?;
    let (found, version, read, permit) =
        load(&ctx, &scope, &request, "secrets-manager.secret-version-metadata.update").await?;
    let instance = scope.id().to_owned();
    let version = ctx
        .write(permit, move |tx, event| {
            event.request("version_id", version.id.as_str());
            let mut version =
                sql::get(tx, &instance, &version.secret, &version.id)?.ok_or_else(no_version)?;
            if let Some(metadata) = &changed {
                version.metadata.clone_from(metadata);
            }
            sql::put(tx, &instance, &version)?;
            Ok(version)
        })
        .await?;
    let available = version.sealed.is_some() && !found.secret.expired(ctx.now(), found.locks);
    Response::json(200, &render(&version, &found.secret, available, read))
}

/// Only types whose payload belongs to somebody else can lose it on demand; this server keeps none of them.
pub async fn delete_data(ctx: Ctx, request: Request) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    load(&ctx, &scope, &request, "secrets-manager.secret-version-data.delete").await?;
    Err(Error::new(Kind::Invalid, "Version data of secrets of this type cannot be deleted."))
}

pub async fn action(ctx: Ctx, request: Request) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    load(&ctx, &scope, &request, "secrets-manager.secret-version-action.create").await?;
    Err(Error::new(Kind::Invalid, "The action is not supported for secrets of this type."))
}
