//! Requests on profiles.

use avouch_crypto::rng;
use avouch_gate::{Ctx, Error, Kind, Permit, Request, Response, Result, etag};
use avouch_wire::crn::Crn;
use avouch_wire::identity::{CreateProfile, UpdateProfile};
use avouch_wire::ids::{AccountId, ProfileId};
use avouch_wire::text;
use serde_json::Value;

use super::{Profile, render, sql, target};
use crate::history::{self, Author};
use crate::paging::{Page, Row};
use crate::told;

/// The account that a request names, or the caller's own. It need not be one where the caller may do anything.
///
/// # Errors
/// `Invalid` for a malformed id.
pub fn account_of(ctx: &Ctx, named: Option<String>) -> Result<AccountId> {
    match named {
        None => Ok(ctx.caller()?.account().clone()),
        Some(text) => AccountId::parse(&text)
            .map_err(|_| Error::invalid("account_id", "The property 'account_id' is not an account id.")),
    }
}

/// Checks a free text.
///
/// # Errors
/// `Invalid` when too long or not printable.
pub fn check_text(field: &'static str, text: &str, max: usize) -> Result<()> {
    if !text::printable_multiline(text, max) {
        return Err(Error::invalid(field, format!("The property '{field}' is too long or not printable.")));
    }
    Ok(())
}

/// Checks a required name: one line, and no white space at its ends, where it would make two names look alike.
///
/// # Errors
/// `Missing` for an empty one, `Invalid` for one that is too long or not fit to be shown.
pub fn check_name(name: Option<&str>, max: usize) -> Result<&str> {
    let name = name.filter(|n| !n.trim().is_empty()).ok_or_else(|| Error::missing("name"))?;
    if !text::name(name, max) {
        return Err(Error::invalid(
            "name",
            "The property 'name' is too long, not printable, or has space at its ends.",
        ));
    }
    Ok(name)
}

/// The id in a path that may hold an id, an IAM id or a CRN of this kind of object, and the account that the CRN names.
/// `None`: a CRN of something else.
pub fn path_id(text: &str, resource_type: &str) -> Option<(String, Option<AccountId>)> {
    match Crn::parse(text) {
        Ok(crn) if crn.service() == "iam-identity" && crn.resource_type() == resource_type => {
            Some((crn.resource().to_owned(), Some(crn.account()?)))
        }
        Ok(_) => None,
        Err(_) => Some((text.strip_prefix("iam-").unwrap_or(text).to_owned(), None)),
    }
}

/// A name of the form of an id could capture clients that put an id where a name belongs.
fn check_profile_name(name: Option<&str>) -> Result<&str> {
    let name = check_name(name, 300)?;
    let like_id =
        ProfileId::parse(name.strip_prefix("iam-").unwrap_or(name)).is_ok() || name.starts_with("crn:");
    if like_id {
        return Err(Error::invalid("name", "The property 'name' must not have the form of an id or CRN."));
    }
    Ok(name)
}

/// The profile that a path names, by id, IAM id or CRN.
///
/// # Errors
/// `NotFound` for anything else.
pub async fn find(ctx: &Ctx, text: &str) -> Result<Profile> {
    let unknown = || not_found(text);
    let (id, account) = path_id(text, "profile").ok_or_else(unknown)?;
    let id = ProfileId::parse(&id).map_err(|_| unknown())?;
    let found = ctx.read(move |tx| sql::get(tx, &id)).await?;
    found.filter(|p| account.is_none_or(|a| a == p.account)).ok_or_else(unknown)
}

/// The answer for an unknown profile and for one of another account.
pub fn not_found(id: &str) -> Error {
    let shown: String = id.chars().filter(|c| !c.is_control()).take(128).collect();
    Error::new(Kind::NotFound, "Unable to find Object.")
        .details(format!("Object Type: 'Profile' with ID '{shown}' not found."))
}

/// Loads a profile and decides.
///
/// # Errors
/// `NotFound`, `Forbidden`.
pub async fn load(ctx: &Ctx, text: &str, action: &str) -> Result<(Profile, Permit)> {
    let profile = find(ctx, text).await?;
    let permit = decide(ctx, &profile, action).await?;
    Ok((profile, permit))
}

/// Decides on a profile.
///
/// # Errors
/// `NotFound` across accounts, else `Forbidden`.
pub async fn decide(ctx: &Ctx, profile: &Profile, action: &str) -> Result<Permit> {
    ctx.authorize(action, &target(&profile.account, Some(profile))).await.map_err(|e| match e.kind() {
        Kind::NotFound => not_found(profile.id.as_str()),
        _ => e,
    })
}

pub async fn create(ctx: Ctx, request: Request) -> Result<Response> {
    let body: CreateProfile = request.json()?;
    let name = check_profile_name(body.name.as_deref())?.to_owned();
    let account = account_of(&ctx, Some(body.account_id.ok_or_else(|| Error::missing("account_id"))?))?;
    check_text("description", body.description.as_deref().unwrap_or_default(), 1000)?;
    check_text("email", body.email.as_deref().unwrap_or_default(), 1000)?;
    if ctx.caller()?.account() != &account {
        return Err(Error::forbidden());
    }
    let permit =
        ctx.authorize("iam-identity.profile.create", &target(&account, None).named(name.as_str())).await?;
    let rng = ctx.app().rng.as_ref();
    let profile = Profile {
        id: ProfileId::from_uuid(ctx.uuid()),
        account,
        name,
        description: body.description.filter(|d| !d.is_empty()),
        email: body.email.filter(|d| !d.is_empty()),
        etag: etag::tag(1, rng),
        identities_etag: etag::tag(1, rng),
        created_at: ctx.now(),
        created_by: ctx.caller()?.iam_id().to_string(),
        modified_at: ctx.now(),
    };
    let author = Author::of(&ctx)?;
    let limit = ctx.app().config.limits.profiles;
    let made = profile.clone();
    ctx.write(permit, move |tx, event| {
        event.status = 201;
        event.target(profile.crn().to_string(), &profile.name);
        event.request("name", profile.name.as_str());
        told::quota(event, "profiles", limit, || sql::count(tx, &profile.account))?;
        sql::insert(tx, &profile)?;
        history::add(tx, &profile.account, profile.id.as_str(), &author, "create-profile")
    })
    .await?;
    Ok(Response::json(201, &render(&made))?.etag(&made.etag))
}

pub async fn list(ctx: Ctx, request: Request) -> Result<Response> {
    let page = Page::read(&request, &["name", "description", "created_at", "modified_at"])?;
    let named = request.query("account_id")?.ok_or_else(|| Error::missing("account_id"))?;
    let account = account_of(&ctx, Some(named))?;
    let name = request.query("name")?;
    let history = request.query_bool("include_history")?.unwrap_or(false);
    let filter = ctx.filter(&account).await?;
    let rows = ctx
        .read(move |tx| {
            let mut out = Vec::new();
            for p in sql::list(tx, &account)? {
                if name.as_ref().is_none_or(|n| *n == p.name)
                    && filter.permits("iam-identity.profile.get", &target(&account, Some(&p)).attrs)
                {
                    let mut shown = render(&p);
                    if history {
                        let records = history::of(tx, &account, p.id.as_str())?;
                        crate::paging::put(&mut shown, "history", Some(records));
                    }
                    out.push(Row {
                        created_at: p.created_at,
                        modified_at: p.modified_at,
                        created_by: p.created_by,
                        shown,
                    });
                }
            }
            Ok(out)
        })
        .await?;
    Response::json(200, &page.cut(&request, "profiles", rows)?)
}

pub async fn get(ctx: Ctx, request: Request) -> Result<Response> {
    let history = request.query_bool("include_history")?.unwrap_or(false);
    let activity = request.query_bool("include_activity")?.unwrap_or(false);
    let (profile, _) = load(&ctx, request.param("id")?, "iam-identity.profile.get").await?;
    let (mut shown, tag) = (render(&profile), profile.etag.clone());
    let extras: Vec<(&str, Value)> = ctx
        .read(move |tx| {
            let mut out = Vec::new();
            if history {
                out.push(("history", history::of(tx, &profile.account, profile.id.as_str())?.into()));
            }
            if activity {
                out.push(("activity", crate::states::activity(tx, &profile.account, profile.id.as_str())?));
            }
            Ok(out)
        })
        .await?;
    for (name, value) in extras {
        crate::paging::put(&mut shown, name, Some(value));
    }
    Ok(Response::json(200, &shown)?.etag(&tag))
}

pub async fn update(ctx: Ctx, request: Request) -> Result<Response> {
    let body: UpdateProfile = request.json()?;
    if body.name.is_some() {
        check_profile_name(body.name.as_deref())?;
    }
    check_text("description", body.description.as_deref().unwrap_or_default(), 1000)?;
    check_text("email", body.email.as_deref().unwrap_or_default(), 1000)?;
    let wanted = request.if_match()?;
    let (found, permit) = load(&ctx, request.param("id")?, "iam-identity.profile.update").await?;
    let (author, now) = (Author::of(&ctx)?, ctx.now());
    let salt = rng::hex(ctx.app().rng.as_ref(), 16);
    let profile = ctx
        .write(permit, move |tx, event| {
            let mut p = sql::get(tx, &found.id)?.ok_or_else(|| not_found(found.id.as_str()))?;
            etag::check(&wanted, &p.etag)?;
            let old = render(&p);
            if let Some(name) = &body.name {
                told::rename(event, &p.name, name);
                p.name.clone_from(name);
            }
            if let Some(description) = &body.description {
                p.description = Some(description.clone()).filter(|d| !d.is_empty());
            }
            if let Some(email) = &body.email {
                p.email = Some(email.clone()).filter(|d| !d.is_empty());
            }
            p.etag = crate::next_tag(&p.etag, &salt);
            p.modified_at = now;
            told::change(event, &old, &render(&p));
            event.target(p.crn().to_string(), &p.name);
            sql::update(tx, &p)?;
            history::add(tx, &p.account, p.id.as_str(), &author, "update-profile")?;
            Ok(p)
        })
        .await?;
    Ok(Response::json(200, &render(&profile))?.etag(&profile.etag))
}

pub async fn delete(ctx: Ctx, request: Request) -> Result<Response> {
    let (found, permit) = load(&ctx, request.param("id")?, "iam-identity.profile.delete").await?;
    let now = ctx.now();
    ctx.write(permit, move |tx, event| {
        event.status = 204;
        let p = sql::get(tx, &found.id)?.ok_or_else(|| not_found(found.id.as_str()))?;
        sql::delete(tx, &p)?;
        crate::access_source::subject_removed(tx, &p.account, &p.iam_id(), now)
    })
    .await?;
    Ok(Response::empty(204))
}
