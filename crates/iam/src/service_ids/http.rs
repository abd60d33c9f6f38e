//! Requests on service IDs.

use avouch_crypto::rng;
use avouch_gate::{Ctx, Details, Error, Kind, Permit, Request, Response, Result, etag};
use avouch_wire::crn::Crn;
use avouch_wire::identity::{CreateServiceId, UpdateServiceId};
use avouch_wire::ids::{IamKind, ServiceIdId};
use serde::Deserialize;
use serde_json::Value;

use super::{ServiceId, decide, render, sql, target};
use crate::account_settings::{self, Creation};
use crate::api_keys::{self, NewKey};
use crate::history::{self, Author};
use crate::paging::{Page, Row, put};
use crate::profiles::http::{account_of, check_name, check_text, path_id};
use crate::revocations;
use crate::told;

#[derive(Deserialize)]
struct Create {
    #[serde(flatten)]
    service_id: CreateServiceId,
    apikey: Option<NewKey>,
}

/// The answer for an unknown service ID and for one of another account.
pub fn not_found(id: &str) -> Error {
    let shown: String = id.chars().filter(|c| !c.is_control()).take(128).collect();
    Error::new(Kind::NotFound, "Unable to find Object.")
        .details(format!("Object Type: 'ServiceId' with ID '{shown}' not found."))
}

/// The answer of changes to a locked service ID.
fn locked() -> Error {
    Error::new(Kind::Locked, "The service ID is locked; unlock it first.")
}

fn check_crns(crns: &[String]) -> Result<()> {
    if crns.len() > 100 || crns.iter().any(|c| Crn::parse(c).is_err()) {
        return Err(Error::invalid(
            "unique_instance_crns",
            "The property 'unique_instance_crns' must hold CRNs.",
        ));
    }
    Ok(())
}

/// A boolean header such as `Entity-Lock`.
///
/// # Errors
/// `Invalid` for anything but true and false.
pub fn flag(request: &Request, header: &'static str) -> Result<bool> {
    match request.header(header) {
        None => Ok(false),
        Some(v) if v.eq_ignore_ascii_case("true") => Ok(true),
        Some(v) if v.eq_ignore_ascii_case("false") => Ok(false),
        Some(_) => Err(Error::invalid(header, format!("The header '{header}' must be true or false."))),
    }
}

async fn load(ctx: &Ctx, text: &str, action: &str) -> Result<(ServiceId, Permit)> {
    let (id, account) = path_id(text, "serviceid").ok_or_else(|| not_found(text))?;
    let id = ServiceIdId::parse(&id).map_err(|_| not_found(text))?;
    let found = ctx.read(move |tx| sql::get(tx, &id)).await?;
    let found = found.filter(|s| account.is_none_or(|a| a == s.account)).ok_or_else(|| not_found(text))?;
    let permit = decide(ctx, &found, action).await?;
    Ok((found, permit))
}

pub async fn create(ctx: Ctx, request: Request) -> Result<Response> {
    let Create { service_id: body, apikey } = request.json()?;
    let name = check_name(body.name.as_deref(), 300)?.to_owned();
    let account = account_of(&ctx, Some(body.account_id.ok_or_else(|| Error::missing("account_id"))?))?;
    check_text("description", body.description.as_deref().unwrap_or_default(), 1000)?;
    let crns = body.unique_instance_crns.unwrap_or_default();
    check_crns(&crns)?;
    let show_group = request.query_bool("show_group_id")?.unwrap_or(false);
    let lock = flag(&request, "entity-lock")?;
    let target = target(&account, None).named(name.as_str());
    // Every user of the account may create service IDs unless the account restricts it. Workloads are no such members:
    // one that may do nothing must not be able to leave a lasting credential behind; one that administers service IDs may.
    let member = ctx.caller()?.iam_id().kind() == IamKind::User;
    let permit = if account_settings::restricted(&ctx, &account, Creation::ServiceId).await? {
        ctx.authorize("iam-identity.serviceid.create", &target).await?
    } else if !member {
        ctx.authorize("iam-identity.serviceid.update", &target).await?
    } else {
        ctx.authorize_member("iam-identity.serviceid.create", &target)?
    };
    let service_id = ServiceId {
        id: ServiceIdId::from_uuid(ctx.uuid()),
        account: account.clone(),
        group: body.group_id.filter(|g| !g.is_empty()),
        name,
        description: body.description.filter(|d| !d.is_empty()),
        unique_instance_crns: crns,
        locked: lock,
        etag: etag::tag(1, ctx.app().rng.as_ref()),
        created_at: ctx.now(),
        created_by: ctx.caller()?.iam_id().to_string(),
        modified_at: ctx.now(),
    };
    let key = match apikey {
        Some(new) => Some(api_keys::prepare(&ctx, &account, &service_id.iam_id(), new, false)?),
        None => None,
    };
    let limit = ctx.app().config.limits.service_ids;
    let (author, key_permit) = (Author::of(&ctx)?, permit.clone());
    let (made, made_key) = (service_id.clone(), key.as_ref().map(|k| k.key.clone()));
    ctx.write(permit, move |tx, event| {
        event.status = 201;
        event.target(service_id.crn().to_string(), &service_id.name);
        event.request("name", service_id.name.as_str()).request("lock", service_id.locked);
        told::quota(event, "service IDs", limit, || sql::count(tx, &service_id.account))?;
        if let Some(group) = &service_id.group
            && crate::service_id_groups::sql::get(tx, &service_id.account, group)?.is_none()
        {
            return Err(Error::invalid("group_id", "The property 'group_id' names no group of the account."));
        }
        sql::put(tx, &service_id)?;
        history::add(tx, &service_id.account, service_id.id.as_str(), &author, "create-serviceid")?;
        if let Some(key) = &made_key {
            api_keys::sql::insert(tx, key)?;
            history::add(tx, &key.account, key.id.as_str(), &author, "create-apikey")?;
            let mut told = Details { status: 201, ..Details::default() };
            told.action("iam-identity.serviceid-apikey.create");
            told.target(key.crn(), &key.name);
            told.target_type = Some("iam-identity/serviceid-apikey".into());
            told.request("name", key.name.as_str()).request("iam_id", key.iam_id.as_str());
            event.also.push((key_permit.clone(), told));
        }
        Ok(())
    })
    .await?;
    let mut shown = render(&made, show_group);
    if let Some(key) = key {
        let mut rendered = api_keys::render(&key.key, None);
        put(&mut rendered, "apikey", Some(key.value.expose().clone()));
        put(&mut shown, "apikey", Some(rendered));
    }
    Ok(Response::json(201, &shown)?.etag(&made.etag))
}

pub async fn list(ctx: Ctx, request: Request) -> Result<Response> {
    let page = Page::read(&request, &["name", "description", "created_at", "modified_at"])?;
    let account = account_of(&ctx, request.query("account_id")?)?;
    let name = request.query("name")?;
    let group = request.query("group_id")?;
    let show_group = request.query_bool("show_group_id")?.unwrap_or(false);
    let with_history = request.query_bool("include_history")?.unwrap_or(false);
    let filter = ctx.filter(&account).await?;
    // Who made a service ID sees it with a token of its account, as `decide` has it.
    let caller = ctx.caller()?;
    let me = (*caller.account() == account).then(|| caller.iam_id().to_string());
    let rows = ctx
        .read(move |tx| {
            let mut out = Vec::new();
            for s in sql::list(tx, &account)? {
                // Without a group, the default group is meant, which has no record.
                let asked = name.as_ref().is_none_or(|n| *n == s.name) && group == s.group;
                if asked
                    && (me.as_ref() == Some(&s.created_by)
                        || filter.permits("iam-identity.serviceid.get", &target(&account, Some(&s)).attrs))
                {
                    let mut shown = render(&s, show_group);
                    if with_history {
                        put(&mut shown, "history", Some(history::of(tx, &account, s.id.as_str())?));
                    }
                    out.push(Row {
                        created_at: s.created_at,
                        modified_at: s.modified_at,
                        created_by: s.created_by,
                        shown,
                    });
                }
            }
            Ok(out)
        })
        .await?;
    Response::json(200, &page.cut(&request, "serviceids", rows)?)
}

pub async fn get(ctx: Ctx, request: Request) -> Result<Response> {
    let show_group = request.query_bool("show_group_id")?.unwrap_or(false);
    let with_history = request.query_bool("include_history")?.unwrap_or(false);
    let activity = request.query_bool("include_activity")?.unwrap_or(false);
    let (s, _) = load(&ctx, request.param("id")?, "iam-identity.serviceid.get").await?;
    let (mut shown, tag) = (render(&s, show_group), s.etag.clone());
    let extras: Vec<(&str, Value)> = ctx
        .read(move |tx| {
            let mut out = Vec::new();
            if with_history {
                out.push(("history", history::of(tx, &s.account, s.id.as_str())?.into()));
            }
            if activity {
                out.push(("activity", crate::states::activity(tx, &s.account, s.id.as_str())?));
            }
            Ok(out)
        })
        .await?;
    for (name, value) in extras {
        put(&mut shown, name, Some(value));
    }
    Ok(Response::json(200, &shown)?.etag(&tag))
}

pub async fn update(ctx: Ctx, request: Request) -> Result<Response> {
    let body: UpdateServiceId = request.json()?;
    if body.name.is_some() {
        check_name(body.name.as_deref(), 300)?;
    }
    check_text("description", body.description.as_deref().unwrap_or_default(), 1000)?;
    check_crns(body.unique_instance_crns.as_deref().unwrap_or_default())?;
    let show_group = request.query_bool("show_group_id")?.unwrap_or(false);
    let wanted = request.if_match()?;
    let (found, permit) = load(&ctx, request.param("id")?, "iam-identity.serviceid.update").await?;
    let salt = rng::hex(ctx.app().rng.as_ref(), 16);
    let (author, now) = (Author::of(&ctx)?, ctx.now());
    let changed = ctx
        .write(permit, move |tx, event| {
            let mut s = sql::get(tx, &found.id)?.ok_or_else(|| not_found(found.id.as_str()))?;
            event.locked = s.locked;
            if s.locked {
                return Err(locked());
            }
            etag::check(&wanted, &s.etag)?;
            let old = render(&s, true);
            if let Some(name) = &body.name {
                told::rename(event, &s.name, name);
                s.name.clone_from(name);
            }
            if let Some(description) = &body.description {
                s.description = Some(description.clone()).filter(|d| !d.is_empty());
            }
            if let Some(crns) = &body.unique_instance_crns {
                s.unique_instance_crns.clone_from(crns);
            }
            s.etag = crate::next_tag(&s.etag, &salt);
            s.modified_at = now;
            told::change(event, &old, &render(&s, true));
            event.target(s.crn().to_string(), &s.name);
            sql::put(tx, &s)?;
            history::add(tx, &s.account, s.id.as_str(), &author, "update-serviceid")?;
            Ok(s)
        })
        .await?;
    Ok(Response::json(200, &render(&changed, show_group))?.etag(&changed.etag))
}

pub async fn delete(ctx: Ctx, request: Request) -> Result<Response> {
    let (found, permit) = load(&ctx, request.param("id")?, "iam-identity.serviceid.delete").await?;
    let (now, each) = (ctx.now(), permit.clone());
    let by = ctx.caller()?.iam_id().as_str().to_owned();
    ctx.write(permit, move |tx, event| {
        event.status = 204;
        let s = sql::get(tx, &found.id)?.ok_or_else(|| not_found(found.id.as_str()))?;
        event.locked = s.locked;
        if s.locked {
            return Err(locked());
        }
        let keys = api_keys::sql::list(tx, &s.account, Some(&s.iam_id()))?;
        if keys.iter().any(|key| key.locked) {
            // COMPAT: published is that the keys go first, and that a service ID whose keys cannot go is a conflict.
            event.locked = true;
            return Err(Error::new(Kind::Locked, "An API key of the service ID is locked; unlock it first."));
        }
        for key in keys {
            api_keys::sql::delete(tx, &key)?;
            let mut told = Details { status: 204, ..Details::default() };
            told.action("iam-identity.serviceid-apikey.delete");
            told.target(key.crn(), &key.name);
            told.target_type = Some("iam-identity/serviceid-apikey".into());
            event.also.push((each.clone(), told));
        }
        sql::delete(tx, &s)?;
        // Tokens of profiles that it assumed end with its own.
        revocations::put(tx, &s.account, &s.iam_id(), now.plus_millis(1), (now, &by))?;
        crate::access_source::subject_removed(tx, &s.account, &s.iam_id(), now)
    })
    .await?;
    Ok(Response::empty(204))
}

pub async fn lock(ctx: Ctx, request: Request) -> Result<Response> {
    set_lock(ctx, request, true).await
}

pub async fn unlock(ctx: Ctx, request: Request) -> Result<Response> {
    set_lock(ctx, request, false).await
}

async fn set_lock(ctx: Ctx, request: Request, lock: bool) -> Result<Response> {
    let (found, permit) = load(&ctx, request.param("id")?, "iam-identity.serviceid.update").await?;
    let salt = rng::hex(ctx.app().rng.as_ref(), 16);
    let (author, now) = (Author::of(&ctx)?, ctx.now());
    ctx.write(permit, move |tx, event| {
        event.status = 204;
        event.request("lock", lock);
        let mut s = sql::get(tx, &found.id)?.ok_or_else(|| not_found(found.id.as_str()))?;
        event.locked = s.locked;
        s.locked = lock;
        s.etag = crate::next_tag(&s.etag, &salt);
        s.modified_at = now;
        sql::put(tx, &s)?;
        history::add(tx, &s.account, s.id.as_str(), &author, if lock { "lock" } else { "unlock" })
    })
    .await?;
    Ok(Response::empty(204))
}
