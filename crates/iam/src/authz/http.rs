//! Requests for decisions.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use avouch_gate::access::{Account, Asker, Filter};
use avouch_gate::links::{ExternalState, Life};
use avouch_gate::{Ctx, Effect, Endpoint, Error, Request, Response, Result, Target};
use avouch_policy::access::Key;
use avouch_policy::roles::{Catalogue, RoleKind};
use avouch_wire::ids::AccountId;
use http::Method;
use serde_json::{Map, Value, json};

use super::question::{Question, Standing, Subject, standing};
use super::{BULK_MAX, CACHE_SECONDS, QUESTIONS_MAX};
use crate::policies::http::json_body;
use crate::roles::{self, CustomRole};

const ACTION: &str = "iam.policy.read";

pub(super) fn endpoints() -> Vec<Endpoint> {
    let read = |e: Endpoint| e.actions(&["iam.policy.read"]).effect(Effect::Read);
    vec![
        read(Endpoint::post("/v2/authz", "authorize", decide)),
        // COMPAT: the published client sends PUT here.
        read(Endpoint::new(Method::PUT, "/v2/authz/bulk", "authorize_bulk", decide_many)),
        read(Endpoint::post("/v2/authz/bulk", "authorize_bulk_post", decide_many)),
        read(Endpoint::post("/v2/authz/roles", "authorized_roles", roles_of)),
    ]
}

/// What the answers of one call are made from.
struct Pictures {
    accounts: HashMap<AccountId, Arc<Account>>,
    filters: HashMap<AccountId, Filter>,
    custom: HashMap<AccountId, Vec<CustomRole>>,
    /// Whether a subject may act, by the account of the resource.
    standing: HashMap<(Subject, AccountId), Standing>,
}

/// Completes the resources and refuses the call if one question is not the caller's to ask.
async fn admit(ctx: &Ctx, questions: &mut [Question]) -> Result<Pictures> {
    let mut pictures = Pictures {
        accounts: HashMap::new(),
        filters: HashMap::new(),
        custom: HashMap::new(),
        standing: HashMap::new(),
    };
    let (caller, home) = (ctx.caller()?.iam_id().clone(), ctx.caller()?.account().clone());
    for question in questions.iter_mut() {
        question.resource.complete(ctx).await?;
        let account = question.resource.account.clone();
        if !pictures.accounts.contains_key(&account) {
            pictures.filters.insert(account.clone(), ctx.filter(&account).await?);
            pictures.accounts.insert(account.clone(), ctx.app().account(&account).await?);
        }
        let subject = &mut question.subject;
        if subject.id == caller && *subject.home.get_or_insert_with(|| home.clone()) == home {
            // About himself, as his token says.
            continue;
        }
        let attrs = &question.resource.attrs;
        if !pictures.filters.get(&account).is_some_and(|f| f.permits(ACTION, attrs)) {
            let own = ctx.caller()?.account().clone();
            ctx.note(&Target::global("iam-am", &own, attrs.clone(), "").named(question.subject.id.as_str()));
            return Err(Error::forbidden().reason("access"));
        }
    }
    for question in questions.iter() {
        let of = (question.subject.clone(), question.resource.account.clone());
        if let Entry::Vacant(slot) = pictures.standing.entry(of) {
            let found = standing(ctx, &slot.key().0, &slot.key().1).await?;
            slot.insert(found);
        }
    }
    for account in pictures.accounts.keys().cloned().collect::<Vec<_>>() {
        let asked = account.clone();
        pictures.custom.insert(account, ctx.read(move |tx| roles::sql::all(tx, &asked)).await?);
    }
    Ok(pictures)
}

/// Who asks, unless it is somebody who may not act at all.
fn asker<'q>(pictures: &Pictures, question: &'q Question) -> Option<Asker<'q>> {
    let account = &question.resource.account;
    let standing = *pictures.standing.get(&(question.subject.clone(), account.clone()))?;
    (standing.life == Life::Lives).then(|| question.subject.asker(account, standing))
}

/// The obligation of a permit, or nothing.
fn answer(ctx: &Ctx, pictures: &Pictures, question: &Question) -> Option<Value> {
    let picture = pictures.accounts.get(&question.resource.account)?;
    let who = asker(pictures, question)?;
    let attrs = &question.resource.attrs;
    let id = question.subject.id.as_str();
    if !picture.judge(&who, &question.action, attrs, ctx.now()).permitted {
        return None;
    }
    let mut actions: Vec<String> = vec![question.action.clone()];
    for (_, more) in held(pictures, question, ctx) {
        actions.extend(more.into_iter().filter(|a| *a != question.action));
    }
    actions.sort();
    actions.dedup();
    Some(json!({
        "actions": actions,
        "maxCacheAgeSeconds": CACHE_SECONDS,
        "subject": {"attributes": {"id": id}},
        "resource": {"attributes": question.resource.shown},
        "environment": {"attributes": {}},
    }))
}

/// The roles that the subject holds on the resource, each with what it allows there.
fn held(pictures: &Pictures, question: &Question, ctx: &Ctx) -> Vec<(String, Vec<String>)> {
    let account = &question.resource.account;
    let Some(picture) = pictures.accounts.get(account) else { return Vec::new() };
    let attrs = &question.resource.attrs;
    let service = attrs.get(Key::SERVICE).unwrap_or_default();
    let custom = pictures.custom.get(account).map(Vec::as_slice).unwrap_or_default();
    picture
        .granted_roles(question.subject.id.as_str(), attrs, ctx.now())
        .into_iter()
        .map(|crn| {
            let actions = match custom.iter().find(|c| c.crn == crn) {
                Some(own) if own.service == service => own.actions.clone(),
                Some(_) => Vec::new(),
                None => Catalogue::builtin().actions_of(&crn, service).iter().map(str::to_owned).collect(),
            };
            (crn, actions)
        })
        .collect()
}

fn cache_key_pattern() -> Value {
    json!({
        "order": ["subject", "resource", "action"],
        "subject": [["id"], ["id", "scope"]],
        "resource": [
            [],
            ["serviceName"],
            ["serviceName", "accountId"],
            ["serviceName", "accountId", "serviceInstance"],
            ["serviceName", "accountId", "serviceInstance", "resourceType"],
            ["serviceName", "accountId", "serviceInstance", "resourceType", "resource"],
        ],
    })
}

/// The questions of a call that is a list.
fn questions(ctx: &Ctx, body: &Value, with_action: bool) -> Result<Vec<Question>> {
    let list = body.as_array().filter(|l| !l.is_empty() && l.len() <= QUESTIONS_MAX);
    let list =
        list.ok_or_else(|| Error::invalid("body", "The request body must be a list of 1 to 100 questions."))?;
    list.iter().map(|q| Question::read(ctx, q, with_action)).collect()
}

async fn decide(ctx: Ctx, request: Request) -> Result<Response> {
    let mut questions = questions(&ctx, &json_body(&request)?, true)?;
    let pictures = admit(&ctx, &mut questions).await?;
    let mut responses = Vec::with_capacity(questions.len());
    for question in &questions {
        let obligation = answer(&ctx, &pictures, question);
        let mut one = Map::new();
        one.insert("status".into(), json!("200"));
        if let Some(id) = &question.request_id {
            one.insert("requestId".into(), json!(id));
        }
        let decision = match obligation {
            Some(obligation) => json!({"permitted": true, "obligation": obligation}),
            None => json!({"permitted": false}),
        };
        one.insert("authorizationDecision".into(), decision);
        responses.push(Value::Object(one));
    }
    Response::json(200, &json!({"responses": responses, "cacheKeyPattern": cache_key_pattern()}))
}

async fn decide_many(ctx: Ctx, request: Request) -> Result<Response> {
    let mut questions = Question::read_bulk(&ctx, &json_body(&request)?, BULK_MAX)?;
    let pictures = admit(&ctx, &mut questions).await?;
    let mut decisions = Vec::with_capacity(questions.len());
    for question in &questions {
        decisions.push(match answer(&ctx, &pictures, question) {
            Some(obligation) => json!({"decision": "Permit", "obligation": obligation}),
            None => json!({"decision": "Deny"}),
        });
    }
    Response::json(200, &json!({"decisions": decisions, "cacheKeyPattern": cache_key_pattern()}))
}

async fn roles_of(ctx: Ctx, request: Request) -> Result<Response> {
    let mut questions = questions(&ctx, &json_body(&request)?, false)?;
    let pictures = admit(&ctx, &mut questions).await?;
    let catalogue = Catalogue::builtin();
    let mut responses = Vec::with_capacity(questions.len());
    for question in &questions {
        let account = &question.resource.account;
        let custom = pictures.custom.get(account).map(Vec::as_slice).unwrap_or_default();
        let holds = pictures.accounts.get(account).is_some_and(|p| {
            asker(&pictures, question).is_some_and(|who| p.external(&who) != ExternalState::Limited)
        });
        let (mut service, mut platform) = (Vec::new(), Vec::new());
        for (crn, actions) in held(&pictures, question, &ctx).into_iter().filter(|_| holds) {
            let own = custom.iter().find(|c| c.crn == crn);
            let (name, kind) = match (own, catalogue.role(&crn)) {
                (Some(own), _) => (own.display_name.clone(), RoleKind::Service),
                (None, Some(role)) => (role.display_name.clone(), role.kind),
                (None, None) => continue,
            };
            let actions: Vec<Value> = actions
                .iter()
                .map(|a| json!({"action": a, "displayName": catalogue.action_display_name(a)}))
                .collect();
            let entry = json!({"role": {"displayName": name, "crn": crn}, "actions": actions});
            match kind {
                RoleKind::Service => service.push(entry),
                RoleKind::Platform => platform.push(entry),
            }
        }
        let mut one = Map::new();
        one.insert("status".into(), json!("200"));
        if let Some(id) = &question.request_id {
            one.insert("requestId".into(), json!(id));
        }
        one.insert("attributes".into(), Value::Object(question.resource.shown.clone()));
        one.insert("subjectId".into(), json!({"userId": question.subject.id.as_str()}));
        one.insert("roleActions".into(), Value::Array(service));
        one.insert("platformExtensions".into(), json!({"roleActions": platform}));
        responses.push(Value::Object(one));
    }
    Response::json(200, &json!({"responses": responses}))
}
