//! Requests on profile identities.

use avouch_crypto::rng;
use avouch_gate::{Ctx, Error, Kind, Request, Response, Result, etag};
use avouch_wire::crn::Crn;
use avouch_wire::ids::{AccountId, IamId, IamKind, ServiceIdId};
use serde::Deserialize;
use serde_json::json;

use super::{Identity, render, sql};
use crate::history::{self, Author};
use crate::profiles::Profile;
use crate::profiles::http as profiles;

/// Identities of a profile at most.
const MOST: usize = 1000;

#[derive(Deserialize)]
struct Body {
    identifier: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    accounts: Option<Vec<String>>,
    description: Option<String>,
}

#[derive(Deserialize)]
struct Set {
    identities: Option<Vec<Body>>,
}

fn not_found(id: &str) -> Error {
    let shown: String = id.chars().filter(|c| !c.is_control()).take(128).collect();
    Error::new(Kind::NotFound, "Unable to find Object.")
        .details(format!("Object Type: 'ProfileIdentity' with ID '{shown}' not found."))
}

/// Canonical identifier and IAM id.
fn resolve(kind: &str, identifier: &str) -> Result<(String, String)> {
    let bad = || Error::invalid("identifier", format!("The property 'identifier' does not name a {kind}."));
    match kind {
        "user" => {
            let iam_id = IamId::parse(identifier).map_err(|_| bad())?;
            if iam_id.kind() != IamKind::User {
                return Err(bad());
            }
            Ok((identifier.to_owned(), identifier.to_owned()))
        }
        "serviceid" => {
            let bare = identifier.strip_prefix("iam-").unwrap_or(identifier);
            let id = ServiceIdId::parse(bare).map_err(|_| bad())?;
            Ok((bare.to_owned(), IamId::service_id(&id).to_string()))
        }
        "crn" => {
            Crn::parse(identifier).map_err(|_| bad())?;
            Ok((identifier.to_owned(), format!("crn-{identifier}")))
        }
        _ => Err(Error::invalid("type", "The property 'type' must be user, serviceid or crn.")),
    }
}

fn identity(ctx: &Ctx, profile: &Profile, body: Body) -> Result<Identity> {
    let kind = body.kind.filter(|k| !k.is_empty()).ok_or_else(|| Error::missing("type"))?;
    let given = body.identifier.filter(|i| !i.is_empty()).ok_or_else(|| Error::missing("identifier"))?;
    let (identifier, iam_id) = resolve(&kind, &given)?;
    let accounts = body.accounts.unwrap_or_default();
    if kind != "user" && !accounts.is_empty() {
        return Err(Error::invalid("accounts", "The property 'accounts' is for users only."));
    }
    if accounts.len() > 100 || accounts.iter().any(|a| AccountId::parse(a).is_err()) {
        return Err(Error::invalid("accounts", "The property 'accounts' must hold account ids."));
    }
    profiles::check_text("description", body.description.as_deref().unwrap_or_default(), 1000)?;
    Ok(Identity {
        account: profile.account.clone(),
        profile: profile.id.clone(),
        kind,
        identifier,
        iam_id,
        accounts,
        description: body.description,
        created_at: ctx.now(),
    })
}

pub async fn list(ctx: Ctx, request: Request) -> Result<Response> {
    let (profile, _) = profiles::load(&ctx, request.param("id")?, "iam-identity.profile.get").await?;
    let tag = profile.identities_etag.clone();
    let all = ctx.read(move |tx| sql::list(tx, &profile.id)).await?;
    let body = json!({"entity_tag": tag, "identities": all.iter().map(render).collect::<Vec<_>>()});
    Ok(Response::json(200, &body)?.etag(&tag))
}

/// Replaces the whole set. Each identity that comes or goes has its own event.
pub async fn set(ctx: Ctx, request: Request) -> Result<Response> {
    let body: Set = request.json()?;
    let wanted = body.identities.ok_or_else(|| Error::missing("identities"))?;
    if wanted.len() > MOST {
        return Err(Error::invalid("identities", "The property 'identities' holds too many."));
    }
    let if_match = request.if_match()?;
    let (profile, permit) = profiles::load(&ctx, request.param("id")?, "iam-identity.profile.update").await?;
    let wanted: Vec<Identity> = wanted.into_iter().map(|b| identity(&ctx, &profile, b)).collect::<Result<_>>()?;
    let salt = rng::hex(ctx.app().rng.as_ref(), 16);
    let (author, extra) = (Author::of(&ctx)?, permit.clone());
    let (tag, set) = ctx
        .write(permit, move |tx, event| {
            let mut p = crate::profiles::sql::get(tx, &profile.id)?
                .ok_or_else(|| profiles::not_found(profile.id.as_str()))?;
            etag::check(&if_match, &p.identities_etag)?;
            event.action("iam-identity.account-profile.update");
            event.request("kind", "identity");
            let same = |a: &Identity, b: &Identity| (&a.kind, &a.identifier) == (&b.kind, &b.identifier);
            let old = sql::list(tx, &p.id)?;
            for gone in old.iter().filter(|o| !wanted.iter().any(|w| same(o, w))) {
                sql::delete(tx, gone)?;
                event.also.push((extra.clone(), told("remove", gone)));
            }
            for i in &wanted {
                sql::put(tx, i)?;
                if !old.iter().any(|o| same(o, i)) {
                    event.also.push((extra.clone(), told("add", i)));
                }
            }
            p.identities_etag = crate::next_tag(&p.identities_etag, &salt);
            crate::profiles::sql::update(tx, &p)?;
            history::add(tx, &p.account, p.id.as_str(), &author, "update-identities")?;
            Ok((p.identities_etag, wanted.clone()))
        })
        .await?;
    let body = json!({"entity_tag": tag, "identities": set.iter().map(render).collect::<Vec<_>>()});
    Ok(Response::json(200, &body)?.etag(&tag))
}

fn told(verb: &str, i: &Identity) -> avouch_gate::Details {
    let mut details = avouch_gate::Details::default();
    details.action(format!("iam-identity.profile-identity.{verb}"));
    details.request("identity_type", i.kind.as_str()).request("identifier", i.identifier.as_str());
    details
}

pub async fn add(ctx: Ctx, request: Request) -> Result<Response> {
    let body: Body = request.json()?;
    let kind = request.param("kind")?.to_owned();
    if body.kind.as_deref().is_some_and(|k| k != kind) {
        return Err(Error::invalid("type", "The property 'type' differs from the path."));
    }
    let (profile, permit) = profiles::load(&ctx, request.param("id")?, "iam-identity.profile.update").await?;
    let new = identity(&ctx, &profile, body)?;
    let salt = rng::hex(ctx.app().rng.as_ref(), 16);
    let author = Author::of(&ctx)?;
    let made = new.clone();
    ctx.write(permit, move |tx, event| {
        event.request("identity_type", new.kind.as_str()).request("identifier", new.identifier.as_str());
        let mut p =
            crate::profiles::sql::get(tx, &new.profile)?.ok_or_else(|| profiles::not_found(new.profile.as_str()))?;
        if sql::list(tx, &p.id)?.len() >= MOST {
            return Err(Error::new(Kind::Limit, "The maximum number of allowed identities is reached."));
        }
        sql::put(tx, &new)?;
        p.identities_etag = crate::next_tag(&p.identities_etag, &salt);
        crate::profiles::sql::update(tx, &p)?;
        history::add(tx, &p.account, p.id.as_str(), &author, "add-identity")
    })
    .await?;
    Response::json(200, &render(&made))
}

/// The identity that a path names.
fn named(request: &Request) -> Result<(String, String)> {
    let (kind, text) = (request.param("kind")?.to_owned(), request.param("identifier")?);
    let (identifier, _) = resolve(&kind, text).map_err(|_| not_found(text))?;
    Ok((kind, identifier))
}

pub async fn get(ctx: Ctx, request: Request) -> Result<Response> {
    let (profile, _) = profiles::load(&ctx, request.param("id")?, "iam-identity.profile.get").await?;
    let (kind, identifier) = named(&request)?;
    let all = ctx.read(move |tx| sql::list(tx, &profile.id)).await?;
    let found = all.iter().find(|i| i.kind == kind && i.identifier == identifier);
    Response::json(200, &render(found.ok_or_else(|| not_found(&identifier))?))
}

pub async fn delete(ctx: Ctx, request: Request) -> Result<Response> {
    let (profile, permit) = profiles::load(&ctx, request.param("id")?, "iam-identity.profile.update").await?;
    let (kind, identifier) = named(&request)?;
    let salt = rng::hex(ctx.app().rng.as_ref(), 16);
    let author = Author::of(&ctx)?;
    ctx.write(permit, move |tx, event| {
        event.status = 204;
        event.request("identity_type", kind.as_str()).request("identifier", identifier.as_str());
        let mut p = crate::profiles::sql::get(tx, &profile.id)?
            .ok_or_else(|| profiles::not_found(profile.id.as_str()))?;
        let all = sql::list(tx, &p.id)?;
        let found = all.iter().find(|i| i.kind == kind && i.identifier == identifier);
        sql::delete(tx, found.ok_or_else(|| not_found(&identifier))?)?;
        p.identities_etag = crate::next_tag(&p.identities_etag, &salt);
        crate::profiles::sql::update(tx, &p)?;
        history::add(tx, &p.account, p.id.as_str(), &author, "remove-identity")
    })
    .await?;
    Ok(Response::empty(204))
}
