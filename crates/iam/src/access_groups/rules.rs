//! Requests on the rules of a group.

use avouch_gate::etag;
use avouch_gate::http::request::from_value;
use avouch_gate::{Ctx, Endpoint, Error, Kind, Request, Response, Result};
use avouch_policy::rules::parse_conditions;
use avouch_wire::access::GroupRule;
use avouch_wire::text;
use serde_json::{Map, Value, json};

use super::http::{authorize, load, refuse_public};
use super::{NAME_MAX, RULES_PER_GROUP, Rule, sql};
use crate::next_tag;
use crate::policies::http::json_body;

const TARGET: &str = "iam-groups/rule";
/// Most hours that a membership by rule may last.
const EXPIRATION_MAX: i64 = 24 * 365;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post("/v2/groups/{access_group_id}/rules", "add_access_group_rule", create)
            .actions(&["iam-groups.rules.create"])
            .events(TARGET, &["iam-groups.rule.create"]),
        Endpoint::get("/v2/groups/{access_group_id}/rules", "list_access_group_rules", list)
            .actions(&["iam-groups.rules.list"])
            .events(TARGET, &["iam-groups.rules.list"]),
        Endpoint::get("/v2/groups/{access_group_id}/rules/{rule_id}", "get_access_group_rule", get)
            .actions(&["iam-groups.rules.read"])
            .events(TARGET, &["iam-groups.rule.read"]),
        Endpoint::put("/v2/groups/{access_group_id}/rules/{rule_id}", "replace_access_group_rule", replace)
            .actions(&["iam-groups.rules.update"])
            .events(TARGET, &["iam-groups.rule.update"]),
        Endpoint::delete("/v2/groups/{access_group_id}/rules/{rule_id}", "remove_access_group_rule", delete)
            .actions(&["iam-groups.rules.delete"])
            .events(TARGET, &["iam-groups.rule.delete"]),
    ]
}

fn no_rule(id: &str) -> Error {
    let shown: String = id.chars().filter(|c| !c.is_control()).take(128).collect();
    Error::new(Kind::NotFound, format!("Failed to find the rule with ID {shown}.")).code("rule_not_found")
}

/// The same conditions as claim rules of trusted profiles, by the same code.
fn check(body: &GroupRule) -> Result<()> {
    if !(1..=EXPIRATION_MAX).contains(&body.expiration) {
        return Err(Error::invalid(
            "expiration",
            "The property 'expiration' must be a number of hours, at least 1.",
        ));
    }
    if !text::name(&body.realm_name, 500) {
        return Err(Error::invalid("realm_name", "The property 'realm_name' must have 1 to 500 characters."));
    }
    if body.name.as_deref().is_some_and(|n| !text::printable(n, NAME_MAX)) {
        return Err(Error::invalid("name", "The property 'name' must have at most 100 characters."));
    }
    parse_conditions(&body.conditions).map(|_| ()).map_err(|e| {
        let text = format!("The property '{}' is not valid: {}.", e.field, e.problem);
        Error::invalid(e.field, text)
    })
}

fn render(r: &Rule) -> Value {
    let mut out = Map::new();
    out.insert("id".into(), json!(r.id));
    if !r.name.is_empty() {
        out.insert("name".into(), json!(r.name));
    }
    out.insert("expiration".into(), json!(r.expiration));
    out.insert("realm_name".into(), json!(r.realm_name));
    out.insert("access_group_id".into(), json!(r.group.as_str()));
    out.insert("account_id".into(), json!(r.account.as_str()));
    out.insert("conditions".into(), r.conditions.clone());
    out.insert("created_at".into(), json!(r.created_at.rfc3339_millis()));
    out.insert("created_by_id".into(), json!(r.created_by));
    out.insert("last_modified_at".into(), json!(r.modified_at.rfc3339_millis()));
    out.insert("last_modified_by_id".into(), json!(r.modified_by));
    Value::Object(out)
}

async fn create(ctx: Ctx, request: Request) -> Result<Response> {
    let body: GroupRule = from_value(json_body(&request)?)?;
    let group = load(&ctx, &request).await?;
    let permit = authorize(&ctx, "iam-groups.rules.create", &group).await?;
    refuse_public(&group)?;
    check(&body)?;
    let (now, by) = (ctx.now(), ctx.caller()?.iam_id().as_str().to_owned());
    let rule = Rule {
        id: format!("ClaimRule-{}", ctx.uuid()),
        account: group.account.clone(),
        group: group.id.clone(),
        name: body.name.unwrap_or_default(),
        realm_name: body.realm_name,
        expiration: body.expiration,
        conditions: body.conditions,
        etag: etag::tag(1, ctx.app().rng.as_ref()),
        created_at: now,
        created_by: by.clone(),
        modified_at: now,
        modified_by: by,
    };
    let rule = ctx
        .write(permit, move |tx, event| {
            event.status = 201;
            event.target(group.crn(), &group.name).request("rule_id", rule.id.as_str());
            event.request("conditions", rule.conditions.clone());
            sql::get(tx, &group.id)?.ok_or_else(|| super::not_found(group.id.as_str()))?;
            if sql::rules(tx, &group.id)?.len() >= RULES_PER_GROUP {
                let text = format!("An access group can have at most {RULES_PER_GROUP} rules.");
                return Err(Error::new(Kind::Limit, text));
            }
            sql::insert_rule(tx, &rule)?;
            Ok(rule.clone())
        })
        .await?;
    Ok(Response::json(201, &render(&rule))?.etag(&rule.etag))
}

async fn list(ctx: Ctx, request: Request) -> Result<Response> {
    let group = load(&ctx, &request).await?;
    authorize(&ctx, "iam-groups.rules.list", &group).await?;
    let rules = ctx.read(move |tx| sql::rules(tx, &group.id)).await?;
    let shown: Vec<Value> = rules.iter().map(render).collect();
    Response::json(200, &json!({"rules": shown}))
}

async fn get(ctx: Ctx, request: Request) -> Result<Response> {
    let id = request.param("rule_id")?.to_owned();
    let group = load(&ctx, &request).await?;
    authorize(&ctx, "iam-groups.rules.read", &group).await?;
    let wanted = id.clone();
    let rule = ctx.read(move |tx| sql::rule(tx, &group.id, &wanted)).await?.ok_or_else(|| no_rule(&id))?;
    ctx.detail(|d| {
        d.request("rule_id", id);
    });
    Ok(Response::json(200, &render(&rule))?.etag(&rule.etag))
}

async fn replace(ctx: Ctx, request: Request) -> Result<Response> {
    let body: GroupRule = from_value(json_body(&request)?)?;
    let wanted = request.if_match()?;
    let id = request.param("rule_id")?.to_owned();
    let group = load(&ctx, &request).await?;
    let permit = authorize(&ctx, "iam-groups.rules.update", &group).await?;
    check(&body)?;
    let (now, by, fresh) =
        (ctx.now(), ctx.caller()?.iam_id().as_str().to_owned(), ctx.uuid().simple().to_string());
    let rule = ctx
        .write(permit, move |tx, event| {
            let mut rule = sql::rule(tx, &group.id, &id)?.ok_or_else(|| no_rule(&id))?;
            event.target(group.crn(), &group.name).request("rule_id", id.as_str());
            event
                .request("old_conditions", rule.conditions.clone())
                .request("conditions", body.conditions.clone());
            etag::check(&wanted, &rule.etag)?;
            rule.name = body.name.clone().unwrap_or_default();
            rule.realm_name.clone_from(&body.realm_name);
            rule.expiration = body.expiration;
            rule.conditions.clone_from(&body.conditions);
            rule.etag = next_tag(&rule.etag, &fresh);
            rule.modified_at = now;
            rule.modified_by.clone_from(&by);
            sql::update_rule(tx, &rule)?;
            Ok(rule)
        })
        .await?;
    Ok(Response::json(200, &render(&rule))?.etag(&rule.etag))
}

async fn delete(ctx: Ctx, request: Request) -> Result<Response> {
    let id = request.param("rule_id")?.to_owned();
    let group = load(&ctx, &request).await?;
    let permit = authorize(&ctx, "iam-groups.rules.delete", &group).await?;
    ctx.write(permit, move |tx, event| {
        event.status = 204;
        event.target(group.crn(), &group.name).request("rule_id", id.as_str());
        if sql::delete_rule(tx, &group.id, &id)? { Ok(()) } else { Err(no_rule(&id)) }
    })
    .await?;
    Ok(Response::empty(204))
}
