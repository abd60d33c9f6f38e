//! Requests on claim rules.

use avouch_crypto::rng;
use avouch_gate::{Ctx, Error, Kind, Request, Response, Result, etag};
use avouch_policy::rules::{CrType, parse_conditions};
use avouch_wire::ids::{AccountId, ClaimRuleId, ProfileId};
use avouch_wire::time::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Rule, render, sql};
use crate::history::{self, Author};
use crate::profiles::http as profiles;

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "type")]
    kind: Option<String>,
    conditions: Option<Value>,
    name: Option<String>,
    realm_name: Option<String>,
    cr_type: Option<String>,
    expiration: Option<i64>,
}

/// A rule of this body: the one validator for creation and replacement.
fn validate(body: Body, id: ClaimRuleId, of: (AccountId, ProfileId), tag: String, now: Timestamp) -> Result<Rule> {
    let kind = body.kind.filter(|k| !k.is_empty()).ok_or_else(|| Error::missing("type"))?;
    if let Some(name) = &body.name {
        profiles::check_text("name", name, 300)?;
    }
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
            return Err(Error::invalid("expiration", "The property 'expiration' is not a sensible number of seconds."));
        }
        ("Profile-CR", given) => {
            let cr_type = body.cr_type.as_deref().filter(|t| !t.is_empty()).ok_or_else(|| Error::missing("cr_type"))?;
            if CrType::parse(cr_type).is_none() {
                return Err(Error::invalid("cr_type", "The property 'cr_type' is not a known compute resource type."));
            }
            if body.realm_name.is_some() {
                return Err(Error::invalid("realm_name", "The property 'realm_name' is for Profile-SAML only."));
            }
            given.unwrap_or(3600)
        }
        ("Profile-SAML", given) => {
            if body.realm_name.as_deref().is_none_or(str::is_empty) {
                return Err(Error::missing("realm_name"));
            }
            if body.cr_type.is_some() {
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
    Ok(Rule {
        id,
        account: of.0,
        profile: of.1,
        name: body.name,
        kind,
        realm_name: body.realm_name,
        cr_type: body.cr_type,
        expiration,
        conditions,
        etag: tag,
        created_at: now,
        modified_at: now,
    })
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
    let body: Body = request.json()?;
    let tag = etag::tag(1, ctx.app().rng.as_ref());
    let id = ClaimRuleId::from_uuid(ctx.uuid());
    let placeholder = (ctx.caller()?.account().clone(), ProfileId::from_uuid(ctx.uuid()));
    let mut rule = validate(body, id, placeholder, tag, ctx.now())?;
    let (profile, permit) = profiles::load(&ctx, request.param("id")?, "iam-identity.profile.update").await?;
    (rule.account, rule.profile) = (profile.account.clone(), profile.id.clone());
    let limit = usize::try_from(ctx.app().config.limits.rules_per_profile).unwrap_or(0);
    let author = Author::of(&ctx)?;
    let made = rule.clone();
    ctx.write(permit, move |tx, event| {
        event.status = 201;
        event.request("rule_id", rule.id.as_str()).request("type", rule.kind.as_str());
        event.request("conditions", rule.conditions.clone());
        if crate::profiles::sql::get(tx, &rule.profile)?.is_none() {
            return Err(profiles::not_found(rule.profile.as_str()));
        }
        if limit > 0 && sql::list(tx, &rule.profile)?.len() >= limit {
            return Err(Error::new(Kind::Limit, "The maximum number of allowed claim rules is reached."));
        }
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
    let rule = ctx.read(move |tx| sql::get(tx, &profile.id, &wanted)).await?.ok_or_else(|| not_found(id.as_str()))?;
    Ok(Response::json(200, &render(&rule))?.etag(&rule.etag))
}

pub async fn update(ctx: Ctx, request: Request) -> Result<Response> {
    let body: Body = request.json()?;
    let placeholder = (ctx.caller()?.account().clone(), ProfileId::from_uuid(ctx.uuid()));
    let fresh = ClaimRuleId::from_uuid(ctx.uuid());
    let wanted = validate(body, fresh, placeholder, String::new(), ctx.now())?;
    let if_match = request.if_match()?;
    let (profile, permit) = profiles::load(&ctx, request.param("id")?, "iam-identity.profile.update").await?;
    let id = rule_id(&request)?;
    let salt = rng::hex(ctx.app().rng.as_ref(), 16);
    let author = Author::of(&ctx)?;
    let rule = ctx
        .write(permit, move |tx, event| {
            let old = sql::get(tx, &profile.id, &id)?.ok_or_else(|| not_found(id.as_str()))?;
            etag::check(&if_match, &old.etag)?;
            let mut rule = wanted.clone();
            rule.etag = crate::next_tag(&old.etag, &salt);
            (rule.id, rule.account, rule.profile, rule.created_at) = (old.id, old.account, old.profile, old.created_at);
            event.request("rule_id", rule.id.as_str()).request("conditions", rule.conditions.clone());
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
        sql::delete(tx, &rule)?;
        history::add(tx, &rule.account, rule.profile.as_str(), &author, "delete-claim-rule")
    })
    .await?;
    Ok(Response::empty(204))
}
