//! Requests on claim rules.

use avouch_crypto::rng;
use avouch_gate::{Ctx, Error, Kind, Request, Response, Result, etag};
use avouch_policy::rules::{CrType, parse_conditions};
use avouch_wire::identity::ClaimRuleBody;
use avouch_wire::ids::{AccountId, ClaimRuleId, ProfileId};
use avouch_wire::time::Timestamp;
use serde_json::{Value, json};

use super::{Rule, render, sql};
use crate::history::{self, Author};
use crate::profiles::http as profiles;
use crate::told;

/// What a rule says, checked, before it is known whose it is.
#[derive(Clone)]
struct Wanted {
    name: Option<String>,
    kind: String,
    realm_name: Option<String>,
    cr_type: Option<String>,
    expiration: i64,
    conditions: Vec<Value>,
}

impl Wanted {
    fn rule(self, id: ClaimRuleId, of: (AccountId, ProfileId), tag: String, now: Timestamp) -> Rule {
        Rule {
            id,
            account: of.0,
            profile: of.1,
            name: self.name,
            kind: self.kind,
            realm_name: self.realm_name,
            cr_type: self.cr_type,
            expiration: self.expiration,
            conditions: self.conditions,
            etag: tag,
            created_at: now,
            modified_at: now,
        }
    }
}

/// The one validator for creation and replacement.
fn validate(body: ClaimRuleBody) -> Result<Wanted> {
    let given = |text: Option<String>| text.filter(|t| !t.is_empty());
    let kind = given(body.kind).ok_or_else(|| Error::missing("type"))?;
    let (name, realm_name, cr_type) = (given(body.name), given(body.realm_name), given(body.cr_type));
    profiles::check_text("name", name.as_deref().unwrap_or_default(), 300)?;
    profiles::check_text("realm_name", realm_name.as_deref().unwrap_or_default(), 1024)?;
    let conditions = body.conditions.unwrap_or(Value::Null);
    parse_conditions(&conditions).map_err(|e| {
        if e.missing {
            Error::missing(e.field)
        } else {
            let message = format!("The property '{}' is not valid: {}.", e.field, e.problem);
            Error::invalid(e.field, message)
        }
    })?;
    let expiration = match (kind.as_str(), body.expiration) {
        (_, Some(seconds)) if !(0..=31_536_000).contains(&seconds) => {
            return Err(Error::invalid(
                "expiration",
                "The property 'expiration' is not a sensible number of seconds.",
            ));
        }
        ("Profile-CR", given) => {
            let cr_type = cr_type.as_deref().ok_or_else(|| Error::missing("cr_type"))?;
            if CrType::parse(cr_type).is_none() {
                return Err(Error::invalid(
                    "cr_type",
                    "The property 'cr_type' is not a known compute resource type.",
                ));
            }
            if realm_name.is_some() {
                return Err(Error::invalid(
                    "realm_name",
                    "The property 'realm_name' is for Profile-SAML only.",
                ));
            }
            given.unwrap_or(3600)
        }
        ("Profile-SAML", given) => {
            if realm_name.is_none() {
                return Err(Error::missing("realm_name"));
            }
            if cr_type.is_some() {
                return Err(Error::invalid("cr_type", "The property 'cr_type' is for Profile-CR only."));
            }
            given.ok_or_else(|| Error::missing("expiration"))?
        }
        _ => return Err(Error::invalid("type", "The property 'type' must be Profile-CR or Profile-SAML.")),
    };
    let conditions = conditions
        .as_array()
        .into_iter()
        .flatten()
        .map(|c| json!({"claim": c["claim"], "operator": c["operator"], "value": c["value"]}))
        .collect();
    Ok(Wanted { name, kind, realm_name, cr_type, expiration, conditions })
}

fn not_found(id: &str) -> Error {
    let shown: String = id.chars().filter(|c| !c.is_control()).take(128).collect();
    Error::new(Kind::NotFound, "Unable to find Object.")
        .details(format!("Object Type: 'ClaimRule' with ID '{shown}' not found."))
}

fn rule_id(request: &Request) -> Result<ClaimRuleId> {
    let text = request.param("rule")?;
    ClaimRuleId::parse(text).map_err(|_| not_found(text))
}

pub async fn create(ctx: Ctx, request: Request) -> Result<Response> {
    let wanted = validate(request.json()?)?;
    let (profile, permit) = profiles::load(&ctx, request.param("id")?, "iam-identity.profile.update").await?;
    let (id, tag) = (ClaimRuleId::from_uuid(ctx.uuid()), etag::tag(1, ctx.app().rng.as_ref()));
    let rule = wanted.rule(id, (profile.account, profile.id), tag, ctx.now());
    let limit = ctx.app().config.limits.rules_per_profile;
    let author = Author::of(&ctx)?;
    let made = rule.clone();
    ctx.write(permit, move |tx, event| {
        event.status = 201;
        event.request("rule_id", rule.id.as_str()).request("type", rule.kind.as_str());
        event.request("conditions", rule.conditions.clone());
        if crate::profiles::sql::get(tx, &rule.profile)?.is_none() {
            return Err(profiles::not_found(rule.profile.as_str()));
        }
        told::quota(event, "claim rules of the profile", limit, || sql::count(tx, &rule.profile))?;
        sql::put(tx, &rule)?;
        history::add(tx, &rule.account, rule.profile.as_str(), &author, "create-claim-rule")
    })
    .await?;
    Ok(Response::json(201, &render(&made))?.etag(&made.etag))
}

pub async fn list(ctx: Ctx, request: Request) -> Result<Response> {
    let (profile, _) = profiles::load(&ctx, request.param("id")?, "iam-identity.profile.get").await?;
    let rules = ctx.read(move |tx| sql::list(tx, &profile.id)).await?;
    Response::json(200, &json!({"rules": rules.iter().map(render).collect::<Vec<_>>()}))
}

pub async fn get(ctx: Ctx, request: Request) -> Result<Response> {
    let (profile, _) = profiles::load(&ctx, request.param("id")?, "iam-identity.profile.get").await?;
    let id = rule_id(&request)?;
    let wanted = id.clone();
    let rule = ctx
        .read(move |tx| sql::get(tx, &profile.id, &wanted))
        .await?
        .ok_or_else(|| not_found(id.as_str()))?;
    Ok(Response::json(200, &render(&rule))?.etag(&rule.etag))
}

pub async fn update(ctx: Ctx, request: Request) -> Result<Response> {
    let wanted = validate(request.json()?)?;
    let if_match = request.if_match()?;
    let (profile, permit) = profiles::load(&ctx, request.param("id")?, "iam-identity.profile.update").await?;
    let id = rule_id(&request)?;
    let salt = rng::hex(ctx.app().rng.as_ref(), 16);
    let (author, now) = (Author::of(&ctx)?, ctx.now());
    let rule = ctx
        .write(permit, move |tx, event| {
            let old = sql::get(tx, &profile.id, &id)?.ok_or_else(|| not_found(id.as_str()))?;
            etag::check(&if_match, &old.etag)?;
            let before = render(&old);
            let tag = crate::next_tag(&old.etag, &salt);
            let mut rule = wanted.clone().rule(old.id, (old.account, old.profile), tag, now);
            rule.created_at = old.created_at;
            event.request("rule_id", rule.id.as_str());
            told::change(event, &before, &render(&rule));
            sql::put(tx, &rule)?;
            history::add(tx, &rule.account, rule.profile.as_str(), &author, "update-claim-rule")?;
            Ok(rule)
        })
        .await?;
    Ok(Response::json(200, &render(&rule))?.etag(&rule.etag))
}

pub async fn delete(ctx: Ctx, request: Request) -> Result<Response> {
    let (profile, permit) = profiles::load(&ctx, request.param("id")?, "iam-identity.profile.update").await?;
    let id = rule_id(&request)?;
    let author = Author::of(&ctx)?;
    ctx.write(permit, move |tx, event| {
        event.status = 204;
        event.request("rule_id", id.as_str());
        let rule = sql::get(tx, &profile.id, &id)?.ok_or_else(|| not_found(id.as_str()))?;
        event.request("type", rule.kind.as_str()).request("conditions", rule.conditions.clone());
        sql::delete(tx, &rule)?;
        history::add(tx, &rule.account, rule.profile.as_str(), &author, "delete-claim-rule")
    })
    .await?;
    Ok(Response::empty(204))
}
