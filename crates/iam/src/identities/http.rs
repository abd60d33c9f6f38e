//! Requests on profile identities.

use avouch_crypto::rng;
use avouch_gate::{Ctx, Details, Error, Kind, Request, Response, Result, etag};
use avouch_store::Tx;
use avouch_wire::crn::Crn;
use avouch_wire::identity::{IdentityBody, IdentitySet};
use avouch_wire::ids::{AccountId, IamId, IamKind, ServiceIdId};
use serde_json::json;

use super::{Identity, render, sql};
use crate::history::{self, Author};
use crate::profiles::Profile;
use crate::profiles::http as profiles;
use crate::service_ids;

/// Identities of a profile at most.
const MOST: usize = 1000;
/// Audit action of an identity that came, or changed.
const ADD: &str = "iam-identity.profile-identity.add";
/// Audit action of an identity that went.
const REMOVE: &str = "iam-identity.profile-identity.remove";

fn not_found(id: &str) -> Error {
    let shown: String = id.chars().filter(|c| !c.is_control()).take(128).collect();
    Error::new(Kind::NotFound, "Unable to find Object.")
        .details(format!("Object Type: 'ProfileIdentity' with ID '{shown}' not found."))
}

/// Identifier and IAM id in their one spelling.
fn resolve(kind: &str, identifier: &str) -> Result<(String, String)> {
    let bad = || Error::invalid("identifier", "The property 'identifier' does not fit its type.");
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
            let crn = Crn::parse(identifier).map_err(|_| bad())?;
            Ok((crn.to_string(), format!("crn-{crn}")))
        }
        _ => Err(Error::invalid("type", "The property 'type' must be user, serviceid or crn.")),
    }
}

/// An identity as it was asked for, checked, before it is known of which profile.
#[derive(Clone)]
struct Wanted {
    kind: String,
    identifier: String,
    iam_id: String,
    accounts: Vec<String>,
    description: Option<String>,
}

impl Wanted {
    fn check(body: IdentityBody) -> Result<Self> {
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
        Ok(Self {
            kind,
            identifier,
            iam_id,
            accounts,
            description: body.description.filter(|d| !d.is_empty()),
        })
    }

    /// The identity of this profile. A service ID of the same account brings its own description.
    fn of(self, ctx: &Ctx, tx: &mut Tx<'_>, profile: &Profile) -> Result<Identity> {
        let mut description = self.description;
        if let (None, "serviceid", Ok(id)) =
            (&description, self.kind.as_str(), ServiceIdId::parse(&self.identifier))
        {
            description = service_ids::sql::get(tx, &id)?
                .filter(|s| s.account == profile.account)
                .and_then(|s| s.description);
        }
        Ok(Identity {
            account: profile.account.clone(),
            profile: profile.id.clone(),
            kind: self.kind,
            identifier: self.identifier,
            iam_id: self.iam_id,
            accounts: self.accounts,
            description,
            created_at: ctx.now(),
        })
    }
}

pub async fn list(ctx: Ctx, request: Request) -> Result<Response> {
    let (profile, _) = profiles::load(&ctx, request.param("id")?, "iam-identity.profile.get").await?;
    let tag = profile.identities_etag.clone();
    let all = ctx.read(move |tx| sql::list(tx, &profile.id)).await?;
    let body = json!({"entity_tag": tag, "identities": all.iter().map(render).collect::<Vec<_>>()});
    Ok(Response::json(200, &body)?.etag(&tag))
}

/// Replaces the whole set. Each identity that comes, goes or changes has its own event.
pub async fn set(ctx: Ctx, request: Request) -> Result<Response> {
    let body: IdentitySet = request.json()?;
    let wanted = body.identities.ok_or_else(|| Error::missing("identities"))?;
    if wanted.len() > MOST {
        return Err(Error::invalid("identities", "The property 'identities' holds too many."));
    }
    let wanted: Vec<Wanted> = wanted.into_iter().map(Wanted::check).collect::<Result<_>>()?;
    let key = |w: &Wanted| (w.kind.clone(), w.identifier.clone());
    if wanted.iter().map(key).collect::<std::collections::BTreeSet<_>>().len() != wanted.len() {
        return Err(Error::invalid("identities", "The property 'identities' names an identity twice."));
    }
    let if_match = request.if_match()?;
    let (profile, permit) = profiles::load(&ctx, request.param("id")?, "iam-identity.profile.update").await?;
    let salt = rng::hex(ctx.app().rng.as_ref(), 16);
    let (author, each, of) = (Author::of(&ctx)?, permit.clone(), ctx.clone());
    let (tag, set) = ctx
        .write(permit, move |tx, event| {
            let mut p = fresh(tx, &profile)?;
            etag::check(&if_match, &p.identities_etag)?;
            let wanted: Vec<Identity> =
                wanted.iter().map(|w| w.clone().of(&of, tx, &p)).collect::<Result<_>>()?;
            let same = |a: &Identity, b: &Identity| (&a.kind, &a.identifier) == (&b.kind, &b.identifier);
            let old = sql::list(tx, &p.id)?;
            let mut events = Vec::new();
            for gone in old.iter().filter(|o| !wanted.iter().any(|w| same(o, w))) {
                sql::delete(tx, gone)?;
                events.push(told(REMOVE, gone, None));
            }
            for i in &wanted {
                let before = old.iter().find(|o| same(o, i));
                if before.is_none_or(|b| render(b) != render(i)) {
                    sql::put(tx, i)?;
                    events.push(told(ADD, i, before));
                }
            }
            // The first change is told by the event of the request, the others beside it; a set that changes nothing is
            // told as what it is, a write to the profile.
            let mut events = events.into_iter();
            match events.next() {
                Some(first) => (event.action, event.request) = (first.action, first.request),
                None => {
                    event.action("iam-identity.account-profile.update").request("kind", "identity");
                    event.target_type = Some("iam-identity/account-profile".into());
                }
            }
            event.also.extend(events.map(|e| (each.clone(), e)));
            p.identities_etag = crate::next_tag(&p.identities_etag, &salt);
            crate::profiles::sql::update(tx, &p)?;
            history::add(tx, &p.account, p.id.as_str(), &author, "update-identities")?;
            Ok((p.identities_etag, wanted))
        })
        .await?;
    let body = json!({"entity_tag": tag, "identities": set.iter().map(render).collect::<Vec<_>>()});
    Ok(Response::json(200, &body)?.etag(&tag))
}

fn fresh(tx: &mut Tx<'_>, profile: &Profile) -> Result<Profile> {
    crate::profiles::sql::get(tx, &profile.id)?.ok_or_else(|| profiles::not_found(profile.id.as_str()))
}

/// The event of one identity; `before`: what it replaces.
fn told(action: &str, i: &Identity, before: Option<&Identity>) -> Details {
    let mut event = Details::default();
    event.action(action);
    describe(&mut event, i);
    if let Some(before) = before {
        crate::told::change(&mut event, &render(before), &render(i));
    }
    event
}

fn describe(event: &mut Details, i: &Identity) {
    event.request("identity_type", i.kind.as_str()).request("identifier", i.identifier.as_str());
    if !i.accounts.is_empty() {
        event.request("accounts", i.accounts.clone());
    }
}

pub async fn add(ctx: Ctx, request: Request) -> Result<Response> {
    let body: IdentityBody = request.json()?;
    let kind = request.param("kind")?.to_owned();
    if body.kind.as_deref().is_some_and(|k| !k.is_empty() && k != kind) {
        return Err(Error::invalid("type", "The property 'type' differs from the path."));
    }
    let wanted = Wanted::check(body)?;
    let (profile, permit) = profiles::load(&ctx, request.param("id")?, "iam-identity.profile.update").await?;
    let salt = rng::hex(ctx.app().rng.as_ref(), 16);
    let (author, of) = (Author::of(&ctx)?, ctx.clone());
    let made = ctx
        .write(permit, move |tx, event| {
            let mut p = fresh(tx, &profile)?;
            let new = wanted.clone().of(&of, tx, &p)?;
            let all = sql::list(tx, &p.id)?;
            let before = all.iter().find(|o| o.kind == new.kind && o.identifier == new.identifier);
            describe(event, &new);
            match before {
                Some(before) => crate::told::change(event, &render(before), &render(&new)),
                None if all.len() >= MOST => {
                    return Err(Error::new(
                        Kind::Limit,
                        "The maximum number of allowed identities is reached.",
                    ));
                }
                None => {}
            }
            sql::put(tx, &new)?;
            p.identities_etag = crate::next_tag(&p.identities_etag, &salt);
            crate::profiles::sql::update(tx, &p)?;
            history::add(tx, &p.account, p.id.as_str(), &author, "add-identity")?;
            Ok(new)
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
        let mut p = fresh(tx, &profile)?;
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
