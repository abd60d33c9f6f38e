//! Requests on API keys.

use std::collections::BTreeMap;

use avouch_crypto::rng;
use avouch_crypto::secret::{SecretBytes, SecretString};
use avouch_gate::{App, Ctx, Details, Error, Kind, Permit, Request, Response, Result, Target, etag};
use avouch_policy::access::ResourceAttrs;
use avouch_store::Tx;
use avouch_wire::identity::UpdateApiKey;
use avouch_wire::ids::{AccountId, ApiKeyId, IamId, IamKind};
use serde::Deserialize;
use serde_json::Value;

use super::{ApiKey, NewKey, digest_of, expiry, leak_action, prepare, render, sql};
use crate::access_groups;
use crate::account_settings::{self, Creation};
use crate::history::{self, Author};
use crate::identities;
use crate::paging::{Page, Row, put};
use crate::policies;
use crate::profiles::http::{account_of, check_name, check_text, path_id};
use crate::service_ids::{self, ServiceId};
use crate::token::activity;
use crate::token::api_key::counted_id;
use crate::told;

#[derive(Deserialize)]
struct Create {
    iam_id: Option<String>,
    account_id: Option<String>,
    #[serde(flatten)]
    key: NewKey,
}

fn not_found(id: &str) -> Error {
    let shown: String = id.chars().filter(|c| !c.is_control()).take(128).collect();
    Error::new(Kind::NotFound, "Unable to find Object.")
        .details(format!("Object Type: 'ApiKey' with ID '{shown}' not found."))
}

fn locked() -> Error {
    Error::new(Kind::Locked, "The API key is locked; unlock it first.")
}

/// Whose key it is may say that the caller needs no policy: users keep their own keys, and whoever made a service ID
/// administers it. A service ID itself needs a policy, or a token of an hour could be turned into a lasting key.
fn by_right(ctx: &Ctx, owner: &IamId, service_id: Option<&ServiceId>) -> Result<bool> {
    let caller = ctx.caller()?;
    let own = owner.kind() == IamKind::User && caller.iam_id() == owner;
    Ok(own
        || service_id
            .is_some_and(|s| s.created_by == caller.iam_id().as_str() && s.account == *caller.account()))
}

/// Decides: by right, by policy on the key, or by policy on the service ID that owns it.
async fn decide(ctx: &Ctx, key: &ApiKey, action: &str) -> Result<Permit> {
    let target = key.target();
    let owner = match key.iam_id.as_service_id() {
        Some(id) => ctx.read(move |tx| service_ids::sql::get(tx, &id)).await?,
        None => None,
    };
    if *ctx.caller()?.account() == key.account && by_right(ctx, &key.iam_id, owner.as_ref())? {
        return ctx.authorize_self(ctx.caller()?.iam_id(), action, &target);
    }
    let refused = match ctx.authorize(action, &target).await {
        Ok(permit) => return Ok(permit),
        Err(e) if e.kind() == Kind::NotFound => return Err(not_found(key.id.as_str())),
        Err(e) => e,
    };
    let Some(owner) = owner.filter(|_| refused.kind() == Kind::Forbidden) else { return Err(refused) };
    let mut through = target;
    through.attrs = service_ids::target(&owner.account, Some(&owner)).attrs;
    ctx.authorize(action, &through).await
}

async fn load(ctx: &Ctx, text: &str, action: &str) -> Result<(ApiKey, Permit)> {
    let (id, named) = path_id(text, "apikey").ok_or_else(|| not_found(text))?;
    let id = ApiKeyId::parse(&id).map_err(|_| not_found(text))?;
    let account = ctx.caller()?.account().clone();
    if named.is_some_and(|n| n != account) {
        return Err(not_found(text));
    }
    let found = ctx.read(move |tx| sql::get(tx, &account, &id)).await?.ok_or_else(|| not_found(text))?;
    ctx.detail(|d| {
        let verb = match action.rsplit('.').next() {
            Some("get") => "read",
            verb => verb.unwrap_or("update"),
        };
        d.action(format!("iam-identity.{}.{verb}", found.kind()));
    });
    let permit = decide(ctx, &found, action).await?;
    Ok((found, permit))
}

pub async fn create(ctx: Ctx, request: Request) -> Result<Response> {
    let body: Create = request.json()?;
    check_name(body.key.name.as_deref(), 300)?;
    let owner = body.iam_id.filter(|i| !i.is_empty()).ok_or_else(|| Error::missing("iam_id"))?;
    let owner = IamId::parse(&owner)
        .map_err(|_| Error::invalid("iam_id", "The property 'iam_id' is not an IAM id."))?;
    let account = account_of(&ctx, body.account_id)?;
    let lock = service_ids::http::flag(&request, "entity-lock")?;
    let disable = service_ids::http::flag(&request, "entity-disable")?;
    let mut prepared = prepare(&ctx, &account, &owner, body.key, lock)?;
    prepared.key.disabled = disable;
    let permit = may_create(&ctx, &account, &owner).await?;
    let welcome = owner.kind() == IamKind::User && ctx.caller()?.iam_id() != &owner;
    let app = ctx.app().clone();
    let limit = app.config.limits.api_keys_per_identity;
    let author = Author::of(&ctx)?;
    let key = prepared.key.clone();
    ctx.write(permit, move |tx, event| {
        event.status = 201;
        event.action(format!("iam-identity.{}.create", key.kind()));
        event.target(key.crn(), &key.name);
        event
            .request("name", key.name.as_str())
            .request("iam_id", key.iam_id.as_str())
            .request("lock", key.locked);
        if owner_gone(tx, &key)? {
            return Err(unknown_owner());
        }
        if welcome && !newcomer(&app, tx, &key.account, &key.iam_id)? {
            return Err(Error::forbidden().reason("access"));
        }
        told::quota(event, "API keys of the identity", limit, || sql::count(tx, &key.account, &key.iam_id))?;
        sql::insert(tx, &key)?;
        history::add(tx, &key.account, key.id.as_str(), &author, "create-apikey")
    })
    .await?;
    let mut shown = render(&prepared.key, None);
    put(&mut shown, "apikey", Some(prepared.value.expose().clone()));
    Ok(Response::json(201, &shown)?.etag(&prepared.key.etag))
}

fn unknown_owner() -> Error {
    Error::invalid("iam_id", "The property 'iam_id' names no service ID of the account.")
}

/// Somebody who was just added to the account cannot log in to make his first key: who adds users makes it for him. Once
/// he has one, or has logged in, his keys are his own business, as are those of somebody who was known before by the
/// IAM id that he was added with, or who was given rights already.
async fn may_welcome(ctx: &Ctx, account: &AccountId, owner: &IamId) -> Result<Permit> {
    let refused = || Error::forbidden().reason("access");
    if ctx.caller()?.account() != account || !ctx.app().identity(account, owner).await?.alive {
        return Err(refused());
    }
    let (app, of, iam_id) = (ctx.app().clone(), account.clone(), owner.clone());
    if !ctx.read(move |tx| newcomer(&app, tx, &of, &iam_id)).await? {
        return Err(refused());
    }
    let attrs = ResourceAttrs::service(account, "user-management");
    let target = Target::global("iam-identity", account, attrs, "").of_type("iam-identity/user-apikey");
    ctx.authorize("user-management.user.create", &target).await
}

/// Whether nobody was known by the IAM id before the user was added, and he never had the means to log in.
fn newcomer(app: &App, tx: &mut Tx<'_>, account: &AccountId, user: &IamId) -> Result<bool> {
    if !app.links.identities.person(tx, account, user)?.is_some_and(|p| p.made_here) {
        return Ok(false);
    }
    // Whoever was given something before his first key must not be met by who has less.
    // In whatever account: a key of one account can be one's way into another.
    let held = app.links.identities.member_elsewhere(tx, account, user)?
        || policies::sql::held_anywhere(tx, user.as_str())?
        || access_groups::sql::member_anywhere(tx, user.as_str())?
        || !identities::sql::by_iam_id(tx, user.as_str())?.is_empty();
    if held {
        return Ok(false);
    }
    let used = activity::of(tx, account, &counted_id(user))?;
    Ok(used.authn_count == 0 && sql::count(tx, account, user)? == 0)
}

/// A service ID may have been deleted since it was looked up.
fn owner_gone(tx: &mut Tx<'_>, key: &ApiKey) -> Result<bool> {
    Ok(match key.iam_id.as_service_id() {
        Some(id) => service_ids::sql::get(tx, &id)?.is_none(),
        None => false,
    })
}

/// User keys are made by the user himself, unless the account restricts them; service ID keys by whoever may.
async fn may_create(ctx: &Ctx, account: &AccountId, owner: &IamId) -> Result<Permit> {
    let caller = ctx.caller()?;
    let attrs = ResourceAttrs::service(account, "iam-identity").resource_type("apikey");
    let kind = if owner.kind() == IamKind::User { "user-apikey" } else { "serviceid-apikey" };
    ctx.detail(|d: &mut Details| {
        d.action(format!("iam-identity.{kind}.create"));
        d.target_type = Some(format!("iam-identity/{kind}"));
    });
    let target = Target::global("iam-identity", account, attrs, "").of_type(format!("iam-identity/{kind}"));
    match owner.kind() {
        IamKind::User => {
            let own = caller.iam_id() == owner && caller.account() == account;
            let welcome = if own { None } else { Some(may_welcome(ctx, account, owner).await?) };
            if account_settings::restricted(ctx, account, Creation::UserApiKey).await? {
                return ctx.authorize("iam-identity.user-apikey.create", &target).await;
            }
            match welcome {
                Some(permit) => Ok(permit),
                None => ctx.authorize_member("iam-identity.user-apikey.create", &target),
            }
        }
        // COMPAT: the lock of a service ID guards its record and its policies; published are locks of their own for keys,
        // and services that make keys of locked service IDs.
        IamKind::ServiceId => {
            let id = owner.as_service_id().ok_or_else(unknown_owner)?;
            let found = ctx.read(move |tx| service_ids::sql::get(tx, &id)).await?;
            match found.filter(|s| s.account == *account) {
                Some(service_id) => service_ids::decide(ctx, &service_id, "iam-identity.apikey.create")
                    .await
                    // The same words as for a service ID of another account that does not exist.
                    .map_err(|e| match e.kind() {
                        Kind::NotFound => Error::new(Kind::NotFound, "Not found.").reason("other_account"),
                        _ => e,
                    }),
                // Only who may make keys in the account learns that there is no such service ID.
                None => Err(ctx
                    .authorize("iam-identity.apikey.create", &target)
                    .await
                    .map_or_else(|e| e, |_| unknown_owner())),
            }
        }
        _ => Err(Error::invalid("iam_id", "API keys are for users and service IDs only.")),
    }
}

pub async fn list(ctx: Ctx, request: Request) -> Result<Response> {
    let page = Page::read(&request, &["name", "description", "created_at", "created_by"])?;
    let account = account_of(&ctx, request.query("account_id")?)?;
    let with_history = request.query_bool("include_history")?.unwrap_or(false);
    let all = match request.query("scope")?.as_deref() {
        None | Some("entity") => false,
        Some("account") => true,
        Some(_) => {
            return Err(Error::invalid(
                "scope",
                "The query parameter 'scope' must be 'entity' or 'account'.",
            ));
        }
    };
    let kind = match request.query("type")?.as_deref() {
        None => None,
        Some("user") => Some(IamKind::User),
        Some("serviceid") => Some(IamKind::ServiceId),
        Some(_) => {
            return Err(Error::invalid("type", "The query parameter 'type' must be 'user' or 'serviceid'."));
        }
    };
    let me = ctx.caller()?.iam_id().clone();
    let owner = match request.query("iam_id")? {
        Some(text) => Some(
            IamId::parse(&text)
                .map_err(|_| Error::invalid("iam_id", "The query parameter 'iam_id' is not an IAM id."))?,
        ),
        None if all => None,
        None => Some(me.clone()),
    };
    let group = request.query("group_id")?;
    let own_account = *ctx.caller()?.account() == account;
    let filter = ctx.filter(&account).await?;
    let rows = ctx
        .read(move |tx| {
            let mut out = Vec::new();
            let owners: BTreeMap<String, ServiceId> = service_ids::sql::list(tx, &account)?
                .into_iter()
                .map(|s| (s.iam_id().to_string(), s))
                .collect();
            let may = |k: &ApiKey, owner: Option<&ServiceId>| {
                let made = owner.is_some_and(|s| s.created_by == me.as_str());
                (own_account && (k.iam_id == me || made))
                    || filter.permits("iam-identity.apikey.list", &k.target().attrs)
                    || owner.is_some_and(|s| {
                        filter.permits(
                            "iam-identity.apikey.list",
                            &service_ids::target(&account, Some(s)).attrs,
                        )
                    })
            };
            for k in sql::list(tx, &account, owner.as_ref())? {
                let service_id = owners.get(k.iam_id.as_str());
                let asked = kind.is_none_or(|wanted| wanted == k.iam_id.kind())
                    && (group.is_none() || service_id.is_some_and(|s| s.group == group));
                if asked && may(&k, service_id) {
                    let mut shown = render(&k, None);
                    if with_history {
                        put(&mut shown, "history", Some(history::of(tx, &account, k.id.as_str())?));
                    }
                    out.push(Row {
                        created_at: k.created_at,
                        modified_at: k.modified_at,
                        created_by: k.created_by,
                        shown,
                    });
                }
            }
            Ok(out)
        })
        .await?;
    Response::json(200, &page.cut(&request, "apikeys", rows)?)
}

/// Looks a key up by its value, for whoever holds it; never returns the value.
pub async fn details(ctx: Ctx, request: Request) -> Result<Response> {
    let value = request.header("iam-apikey").ok_or_else(|| Error::missing("IAM-ApiKey"))?;
    let digest = digest_of(&SecretString::new(value.to_owned()));
    let with_history = request.query_bool("include_history")?.unwrap_or(false);
    let unknown =
        || Error::new(Kind::NotFound, "Unable to find Object.").details("Object Type: 'ApiKey' not found.");
    let account = ctx.caller()?.account().clone();
    let found = ctx.read(move |tx| sql::by_digest(tx, &digest)).await?;
    // Whoever knows the value may log in with it, so its data is no secret to him within the account.
    let key = found.filter(|k| k.account == account).ok_or_else(unknown)?;
    let mut shown = render(&key, None);
    if with_history {
        let records = ctx.read(move |tx| history::of(tx, &key.account, key.id.as_str())).await?;
        put(&mut shown, "history", Some(records));
    }
    Response::json(200, &shown)
}

pub async fn get(ctx: Ctx, request: Request) -> Result<Response> {
    let with_history = request.query_bool("include_history")?.unwrap_or(false);
    let activity = request.query_bool("include_activity")?.unwrap_or(false);
    let (key, permit) = load(&ctx, request.param("id")?, "iam-identity.apikey.get").await?;
    let tag = key.etag.clone();
    let mut shown = match stored_value(&ctx, &key)? {
        None => {
            // Nothing secret is shown: that is no event.
            ctx.recorded();
            render(&key, None)
        }
        Some(value) => {
            let read = format!("iam-identity.{}.read", key.kind());
            ctx.disclose(
                &permit,
                |d| {
                    d.action(read);
                },
                Vec::new(),
            )
            .await?;
            render(&key, Some(&value))
        }
    };
    let extras: Vec<(&str, Value)> = ctx
        .read(move |tx| {
            let mut out = Vec::new();
            if with_history {
                out.push(("history", history::of(tx, &key.account, key.id.as_str())?.into()));
            }
            if activity {
                out.push(("activity", crate::states::activity(tx, &key.account, key.id.as_str())?));
            }
            Ok(out)
        })
        .await?;
    for (name, value) in extras {
        put(&mut shown, name, Some(value));
    }
    Ok(Response::json(200, &shown)?.etag(&tag))
}

/// Runs a change on a fresh copy of the key; `guarded` changes are refused while it is locked.
async fn change(
    ctx: &Ctx,
    id: &str,
    guarded: bool,
    history_action: &'static str,
    f: impl Fn(&mut ApiKey, &mut Details) -> Result<()> + Send + 'static,
) -> Result<ApiKey> {
    let (found, permit) = load(ctx, id, "iam-identity.apikey.update").await?;
    let salt = rng::hex(ctx.app().rng.as_ref(), 16);
    let (author, now) = (Author::of(ctx)?, ctx.now());
    ctx.write(permit, move |tx, event| {
        let mut key = sql::get(tx, &found.account, &found.id)?.ok_or_else(|| not_found(found.id.as_str()))?;
        event.locked = key.locked;
        if guarded && key.locked {
            return Err(locked());
        }
        let old = render(&key, None);
        f(&mut key, event)?;
        told::change(event, &old, &render(&key, None));
        key.etag = crate::next_tag(&key.etag, &salt);
        key.modified_at = now;
        sql::update(tx, &key)?;
        history::add(tx, &key.account, key.id.as_str(), &author, history_action)?;
        Ok(key)
    })
    .await
}

pub async fn update(ctx: Ctx, request: Request) -> Result<Response> {
    let body: UpdateApiKey = request.json()?;
    if body.name.is_some() {
        check_name(body.name.as_deref(), 300)?;
    }
    check_text("description", body.description.as_deref().unwrap_or_default(), 1000)?;
    let leaked = leak_action(body.action_when_leaked.as_deref())?;
    let expires = expiry(body.expires_at.as_deref())?;
    let wanted = request.if_match()?;
    let key = change(&ctx, request.param("id")?, true, "update-apikey", move |key, event| {
        etag::check(&wanted, &key.etag)?;
        if let Some(name) = &body.name {
            told::rename(event, &key.name, name);
            event.target_name = Some(name.clone());
            key.name.clone_from(name);
        }
        if let Some(description) = &body.description {
            key.description = Some(description.clone()).filter(|d| !d.is_empty());
        }
        if let Some(on) = body.support_sessions {
            key.support_sessions = on;
        }
        if let Some(action) = leaked {
            key.action_when_leaked = action.to_owned();
        }
        if let Some(at) = expires {
            key.expires_at = at;
        }
        if key.stored.is_some() {
            event.response("value", "shown");
        }
        Ok(())
    })
    .await?;
    // The event of the change is durable and tells that the stored value goes out with the answer.
    let value = stored_value(&ctx, &key)?;
    Ok(Response::json(200, &render(&key, value.as_ref()))?.etag(&key.etag))
}

fn stored_value(ctx: &Ctx, key: &ApiKey) -> Result<Option<SecretBytes>> {
    let open =
        |sealed: &Vec<u8>| ctx.app().keyring.open(key.aad().as_bytes(), sealed).map_err(Error::internal);
    key.stored.as_ref().map(open).transpose()
}

pub async fn delete(ctx: Ctx, request: Request) -> Result<Response> {
    let (found, permit) = load(&ctx, request.param("id")?, "iam-identity.apikey.delete").await?;
    ctx.write(permit, move |tx, event| {
        event.status = 204;
        let key = sql::get(tx, &found.account, &found.id)?.ok_or_else(|| not_found(found.id.as_str()))?;
        event.locked = key.locked;
        if key.locked {
            return Err(locked());
        }
        sql::delete(tx, &key)
    })
    .await?;
    Ok(Response::empty(204))
}

pub async fn lock(ctx: Ctx, request: Request) -> Result<Response> {
    flip(ctx, request, "lock", true).await
}

pub async fn unlock(ctx: Ctx, request: Request) -> Result<Response> {
    flip(ctx, request, "lock", false).await
}

pub async fn disable(ctx: Ctx, request: Request) -> Result<Response> {
    flip(ctx, request, "disable", true).await
}

pub async fn enable(ctx: Ctx, request: Request) -> Result<Response> {
    flip(ctx, request, "disable", false).await
}

async fn flip(ctx: Ctx, request: Request, what: &'static str, on: bool) -> Result<Response> {
    let record = match (what, on) {
        ("lock", true) => "lock",
        ("lock", false) => "unlock",
        (_, true) => "disable",
        (_, false) => "enable",
    };
    change(&ctx, request.param("id")?, what == "disable", record, move |key, event| {
        event.status = 204;
        event.request(what, on);
        if what == "lock" {
            key.locked = on;
        } else {
            key.disabled = on;
        }
        Ok(())
    })
    .await?;
    Ok(Response::empty(204))
}
