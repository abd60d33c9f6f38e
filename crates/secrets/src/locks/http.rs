//! Requests on locks.

use avouch_gate::http::request::from_value;
use avouch_gate::{Ctx, Error, Kind, Request, Response, Result};
use avouch_store::Tx;
use avouch_wire::time::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Lock, MOST, render, sql, summary};
use crate::access::scope;
use crate::errors::no_secret;
use crate::names;
use crate::paging::page;
use crate::secrets::{self, Secret};
use crate::versions::{self, Version, http::find};

#[derive(Deserialize)]
struct Bulk {
    locks: Option<Vec<Map<String, Value>>>,
}

#[derive(Deserialize)]
struct LockBody {
    name: Option<String>,
    description: Option<String>,
    attributes: Option<Map<String, Value>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Keep,
    RemovePrevious,
    RemovePreviousAndDelete,
}

pub async fn create(ctx: Ctx, request: Request) -> Result<Response> {
    add(ctx, request, "current", "secrets-manager.secret-locks.create").await
}

pub async fn create_version(ctx: Ctx, request: Request) -> Result<Response> {
    let version = request.param("version")?.to_owned();
    add(ctx, request, &version, "secrets-manager.secret-version-locks.create").await
}

async fn add(ctx: Ctx, request: Request, version: &str, action: &str) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    let body: Bulk = request.json()?;
    let wanted = body.locks.filter(|l| !l.is_empty()).ok_or_else(|| Error::missing("locks"))?;
    let mode = match request.query("mode")?.as_deref() {
        None => Mode::Keep,
        Some("remove_previous") => Mode::RemovePrevious,
        Some("remove_previous_and_delete") => Mode::RemovePreviousAndDelete,
        Some(_) => return Err(Error::invalid("mode", "The query parameter 'mode' is not a known mode.")),
    };
    let (found, permit) = secrets::load(&ctx, &scope, request.param("id")?, action).await?;
    let (now, by) = (ctx.now(), ctx.caller()?.iam_id().to_string());
    let mut locks = Vec::with_capacity(wanted.len());
    for lock in wanted {
        let lock: LockBody = from_value(Value::Object(lock))?;
        names::metadata("attributes", lock.attributes.as_ref())?;
        names::description(lock.description.as_deref())?;
        locks.push(Lock {
            version: String::new(),
            name: names::name(lock.name.as_deref(), 2, 64)?.to_owned(),
            description: lock.description,
            attributes: lock.attributes.unwrap_or_default(),
            created_at: now,
            created_by: by.clone(),
            updated_at: now,
        });
    }
    let (instance, version) = (scope.id().to_owned(), version.to_owned());
    let shown = ctx
        .write(permit, move |tx, event| {
            event.status = 201;
            event.request("locks", locks.iter().map(|l| l.name.clone()).collect::<Vec<_>>());
            let c = secrets::counted(tx, &instance, &found.secret.id)?.ok_or_else(no_secret)?;
            let target = find(tx, &instance, &c.secret.id, &version)?;
            if target.alias.is_empty() || target.sealed.is_none() || c.secret.expired(now, c.locks) {
                return Err(Error::new(Kind::Invalid, "Only versions with a payload can be locked."));
            }
            for lock in &locks {
                let lock = Lock { version: target.id.clone(), ..lock.clone() };
                sql::put(tx, &instance, &c.secret.id, &lock)?;
            }
            if sql::list(tx, &instance, &c.secret.id)?.len() > MOST {
                return Err(Error::new(Kind::Limit, "The maximum number of locks is reached."));
            }
            if mode != Mode::Keep {
                drop_previous(tx, &instance, &c.secret.id, &target, &locks, mode)?;
            }
            told(tx, &instance, &c.secret, now)
        })
        .await?;
    Response::json(201, &shown)
}

/// Drops locks of the same names from the previous version, unless that is the one being locked, and erases its payload
/// when nobody is left and the caller wants that.
#[allow(clippy::too_many_arguments, reason = "each is a value of its own, and there is one caller")]
fn drop_previous(
    tx: &mut Tx<'_>,
    instance: &str,
    secret: &str,
    target: &Version,
    locks: &[Lock],
    mode: Mode,
) -> Result<()> {
    let Some(mut previous) = versions::sql::by_alias(tx, instance, secret, "previous")? else {
        return Ok(());
    };
    if previous.id == target.id {
        return Ok(());
    }
    for lock in locks {
        sql::delete(tx, instance, secret, &previous.id, &lock.name)?;
    }
    if mode == Mode::RemovePreviousAndDelete && !sql::any(tx, instance, secret, &previous.id)? {
        previous.sealed = None;
        versions::sql::put(tx, instance, &previous)?;
    }
    Ok(())
}

fn told(tx: &mut Tx<'_>, instance: &str, secret: &Secret, now: Timestamp) -> Result<Value> {
    let versions = versions::sql::list(tx, instance, &secret.id)?;
    let locks = sql::list(tx, instance, &secret.id)?;
    Ok(summary(secret, &versions, &locks, now))
}

pub async fn delete(ctx: Ctx, request: Request) -> Result<Response> {
    remove(ctx, request, "current", "secrets-manager.secret-locks.delete").await
}

pub async fn delete_version(ctx: Ctx, request: Request) -> Result<Response> {
    let version = request.param("version")?.to_owned();
    remove(ctx, request, &version, "secrets-manager.secret-version-locks.delete").await
}

async fn remove(ctx: Ctx, request: Request, version: &str, action: &str) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    // What is no name of a lock names none, which is no error either.
    let wanted: Option<Vec<String>> = request.query("name")?.map(|t| {
        t.split(',')
            .map(str::trim)
            .filter(|n| names::name(Some(n), 2, 64).is_ok())
            .map(str::to_owned)
            .collect()
    });
    let (found, permit) = secrets::load(&ctx, &scope, request.param("id")?, action).await?;
    let (instance, version, now) = (scope.id().to_owned(), version.to_owned(), ctx.now());
    let shown = ctx
        .write(permit, move |tx, event| {
            event.request("locks", wanted.clone().unwrap_or_default());
            let secret = secrets::sql::get(tx, &instance, &found.secret.id)?.ok_or_else(no_secret)?;
            let target = find(tx, &instance, &secret.id, &version)?;
            match &wanted {
                None => sql::delete_all(tx, &instance, &secret.id, &target.id)?,
                Some(names) => {
                    for name in names {
                        sql::delete(tx, &instance, &secret.id, &target.id, name)?;
                    }
                }
            }
            told(tx, &instance, &secret, now)
        })
        .await?;
    // COMPAT: the published suites expect 200 with the locks that are left, and no error for names that are not there.
    Response::json(200, &shown)
}

async fn shown(ctx: Ctx, request: Request, version: Option<String>, action: &str) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    let (found, _) = secrets::load(&ctx, &scope, request.param("id")?, action).await?;
    let search = request.query("search")?.map(|s| s.to_lowercase());
    let (field, descending) = match request.query("sort")? {
        None => ("created_at".to_owned(), false),
        Some(s) => match s.strip_prefix('-') {
            Some(f) => (f.to_owned(), true),
            None => (s, false),
        },
    };
    if !["created_at", "updated_at", "name"].contains(&field.as_str()) {
        return Err(Error::invalid("sort", "The list cannot be sorted by that field."));
    }
    let (instance, secret) = (scope.id().to_owned(), found.secret.clone());
    let (mut locks, versions) = ctx
        .read(move |tx| {
            let mut locks = sql::list(tx, &instance, &secret.id)?;
            if let Some(text) = &version {
                let version = find(tx, &instance, &secret.id, text)?;
                locks.retain(|l| l.version == version.id);
            }
            Ok((locks, versions::sql::list(tx, &instance, &secret.id)?))
        })
        .await?;
    locks.retain(|l| search.as_ref().is_none_or(|s| l.name.to_lowercase().contains(s.as_str())));
    match field.as_str() {
        "name" => locks.sort_by(|a, b| a.name.cmp(&b.name)),
        "updated_at" => locks.sort_by_key(|l| l.updated_at),
        _ => locks.sort_by_key(|l| l.created_at),
    }
    if descending {
        locks.reverse();
    }
    let alias = |id: &str| versions.iter().find(|v| v.id == id).map_or("", |v| v.alias.as_str());
    let rows = locks.iter().map(|l| render(l, &found.secret, alias(&l.version))).collect();
    Response::json(200, &page(&request, "locks", rows, (25, 1000))?)
}

pub async fn list(ctx: Ctx, request: Request) -> Result<Response> {
    shown(ctx, request, None, "secrets-manager.secret-locks.list").await
}

pub async fn list_version(ctx: Ctx, request: Request) -> Result<Response> {
    let version = request.param("version")?.to_owned();
    shown(ctx, request, Some(version), "secrets-manager.secret-version-locks.list").await
}

/// Locks of all secrets that the caller may see.
pub async fn list_all(ctx: Ctx, request: Request) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    ctx.note(&scope.target(None).named("*"));
    let groups: Option<Vec<String>> =
        request.query("groups")?.map(|t| t.split(',').map(|g| g.trim().to_owned()).collect());
    let search = request.query("search")?.map(|s| s.to_lowercase());
    let (instance, rights, now) = (scope.id().to_owned(), scope.clone(), ctx.now());
    let rows = ctx
        .read(move |tx| {
            let mut out = Vec::new();
            for secret in secrets::sql::list(tx, &instance)? {
                let asked = groups.as_ref().is_none_or(|g| g.contains(&secret.group));
                if !asked || !rights.permits("secrets-manager.secrets-locks.list", &secret.group) {
                    continue;
                }
                let locks = sql::list(tx, &instance, &secret.id)?;
                let found = search
                    .as_ref()
                    .is_none_or(|s| locks.iter().any(|l| l.name.to_lowercase().contains(s.as_str())));
                if found && !locks.is_empty() {
                    let versions = versions::sql::list(tx, &instance, &secret.id)?;
                    out.push(summary(&secret, &versions, &locks, now));
                }
            }
            Ok(out)
        })
        .await?;
    Response::json(200, &page(&request, "secrets_locks", rows, (200, 1000))?)
}
