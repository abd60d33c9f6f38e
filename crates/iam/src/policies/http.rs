//! Requests on policies, both schemas.

use avouch_gate::etag;
use avouch_gate::{Ctx, Details, Endpoint, Error, Kind, Permit, Request, Response, Result};
use avouch_policy::access::{Key, PolicyDoc, ResourceAttrs, Subject};
use avouch_wire::ids::{AccountId, PolicyId};
use avouch_wire::text;
use serde_json::{Map, Value, json};

use super::logic::{self, Asker};
use super::permits;
use super::render::{self, Format, View};
use super::{Permitted, Policy, Schema, State, list, sql, subject_key, target};
use crate::{next_tag, roles};

const TARGET: &str = "iam-am/policy";

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    let read: &'static [&'static str] = &["iam.policy.read"];
    let created: &'static [&'static str] = &["iam-am.policy.create"];
    let updated: &'static [&'static str] = &["iam-am.policy.update"];
    let deleted: &'static [&'static str] = &["iam-am.policy.delete"];
    vec![
        Endpoint::get("/v1/policies", "list_policies", list::v1).actions(read),
        Endpoint::post("/v1/policies", "create_policy", create_v1)
            .actions(&["iam.policy.create"])
            .events(TARGET, created),
        Endpoint::get("/v1/policies/{policy_id}", "get_policy", get_v1).actions(read),
        Endpoint::put("/v1/policies/{policy_id}", "replace_policy", replace_v1)
            .actions(&["iam.policy.update"])
            .events(TARGET, updated),
        Endpoint::patch("/v1/policies/{policy_id}", "update_policy_state", restore)
            .actions(&["iam.policy.update"])
            .events(TARGET, updated),
        Endpoint::delete("/v1/policies/{policy_id}", "delete_policy", delete)
            .actions(&["iam.policy.delete"])
            .events(TARGET, deleted),
        Endpoint::get("/v2/policies", "list_v2_policies", list::v2).actions(read),
        Endpoint::post("/v2/policies", "create_v2_policy", create_v2)
            .actions(&["iam.policy.create"])
            .events(TARGET, created),
        Endpoint::get("/v2/policies/{id}", "get_v2_policy", get_v2).actions(read),
        Endpoint::put("/v2/policies/{id}", "replace_v2_policy", replace_v2)
            .actions(&["iam.policy.update"])
            .events(TARGET, updated),
        Endpoint::delete("/v2/policies/{id}", "delete_v2_policy", delete)
            .actions(&["iam.policy.delete"])
            .events(TARGET, deleted),
    ]
}

async fn create_v1(ctx: Ctx, request: Request) -> Result<Response> {
    create(ctx, request, Schema::V1).await
}

async fn create_v2(ctx: Ctx, request: Request) -> Result<Response> {
    create(ctx, request, Schema::V2).await
}

async fn get_v1(ctx: Ctx, request: Request) -> Result<Response> {
    get(ctx, request, Schema::V1).await
}

async fn get_v2(ctx: Ctx, request: Request) -> Result<Response> {
    get(ctx, request, Schema::V2).await
}

async fn replace_v1(ctx: Ctx, request: Request) -> Result<Response> {
    replace(ctx, request, Schema::V1).await
}

async fn replace_v2(ctx: Ctx, request: Request) -> Result<Response> {
    replace(ctx, request, Schema::V2).await
}

/// The answer of an unknown id, and of one that the caller may not know of.
pub(crate) fn not_found(id: &str) -> Error {
    let shown: String = id.chars().filter(|c| !c.is_control()).take(128).collect();
    Error::new(Kind::NotFound, format!("Policy with Id {shown} not found.")).code("policy_not_found")
}

/// The body of a request, which must say that it is JSON if it says anything.
pub(crate) fn json_body(request: &Request) -> Result<Value> {
    let kind = request.header("content-type").unwrap_or("application/json");
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence != "application/json" && !essence.ends_with("+json") {
        return Err(Error::new(Kind::UnsupportedMedia, "The request body must be JSON."));
    }
    request.json_value()
}

/// What is kept of a body: the policy, without what replies add to it.
fn document(schema: Schema, body: &Value) -> Result<Value> {
    let members: &[&str] = match schema {
        Schema::V1 => &["type", "description", "subjects", "roles", "resources"],
        Schema::V2 => &["type", "description", "subject", "control", "resource", "pattern", "rule"],
    };
    let mut out = Map::new();
    for name in members {
        if let Some(value) = body.get(name).filter(|v| !v.is_null()) {
            out.insert((*name).to_owned(), value.clone());
        }
    }
    if let Some(description) = out.get("description") {
        let good = description.as_str().is_some_and(|d| text::printable_multiline(d, super::DESCRIPTION_MAX));
        if !good {
            return Err(Error::invalid(
                "description",
                "The property 'description' must be a text of at most 1000 characters.",
            ));
        }
    }
    Ok(Value::Object(out))
}

fn account_of(doc: &PolicyDoc) -> Result<AccountId> {
    let unusable =
        || Error::invalid("accountId", "The resource must hold 'accountId', equal to one account id.");
    AccountId::parse(doc.account().ok_or_else(unusable)?).map_err(|_| unusable())
}

/// Who the policy is for, as the trail names it.
fn subject_name(doc: &PolicyDoc) -> String {
    subject_key(doc).trim().to_owned()
}

/// The requests that stand for the target of a stored policy. One that cannot be read is a matter of the whole account.
fn targets(account: &AccountId, doc: Option<&PolicyDoc>) -> Vec<ResourceAttrs> {
    let wanted = doc.map(PolicyDoc::target_requests).unwrap_or_default();
    if !wanted.is_empty() {
        return wanted;
    }
    ["service", "platform_service"]
        .map(|kind| ResourceAttrs::default().set(Key::ACCOUNT, account.as_str()).set(Key::SERVICE_TYPE, kind))
        .to_vec()
}

/// Decides `action` on the whole target of a policy.
async fn authorize(
    ctx: &Ctx,
    action: &str,
    account: &AccountId,
    doc: Option<&PolicyDoc>,
    id: &str,
) -> Result<Permit> {
    let name = doc.map(subject_name).unwrap_or_default();
    let mut permit = None;
    for attrs in targets(account, doc) {
        let one = ctx.authorize(action, &target(account, attrs, id, &name)).await?;
        permit.get_or_insert(one);
    }
    permit.ok_or_else(|| Error::internal("a policy without a target"))
}

/// What the rules need to know of this request.
pub(crate) async fn asker(ctx: &Ctx, account: &AccountId) -> Result<Asker> {
    Ok(Asker {
        iam_id: ctx.caller()?.iam_id().clone(),
        filter: ctx.filter(account).await?,
        limits: ctx.app().config.limits.clone(),
        base: ctx.app().config.origin(),
    })
}

/// The policy of the path, if there is one.
async fn load(ctx: &Ctx, request: &Request) -> Result<Policy> {
    let id = request.param("policy_id").or_else(|_| request.param("id"))?;
    let parsed = PolicyId::parse(id).map_err(|_| not_found(id))?;
    ctx.read(move |tx| sql::get(tx, &parsed)).await?.ok_or_else(|| not_found(id))
}

/// A refusal because the policy is another account's looks like an unknown id.
fn hidden(e: Error, id: &str) -> Error {
    if e.kind() == Kind::NotFound { not_found(id).reason("other_account") } else { e }
}

/// What the trail keeps of a policy.
fn record(document: &Value) -> Value {
    let mut out = Map::new();
    for name in ["subjects", "subject", "roles", "control", "resources", "resource", "pattern", "rule"] {
        if let Some(value) = document.get(name) {
            out.insert(name.to_owned(), value.clone());
        }
    }
    Value::Object(out)
}

fn tell(event: &mut Details, policy: &Policy, doc: Option<&PolicyDoc>) {
    event.target(policy.crn(), doc.map(subject_name).unwrap_or_default());
    if let Some(doc) = doc {
        event.request("policy_type", doc.kind.as_str());
    }
}

fn respond(
    status: u16,
    ctx: &Ctx,
    schema: Schema,
    policy: &Policy,
    custom: &[roles::CustomRole],
) -> Result<Response> {
    let base = ctx.app().config.origin();
    let view = View { base: &base, format: Format::Plain, custom };
    let body = match schema {
        Schema::V1 => render::v1(policy, &view),
        Schema::V2 => render::v2(policy, &view),
    };
    Ok(Response::json(status, &body)?.etag(&policy.etag))
}

async fn create(ctx: Ctx, request: Request, schema: Schema) -> Result<Response> {
    let body = json_body(&request)?;
    let doc = logic::parse(schema, &body)?;
    let account = account_of(&doc)?;
    let now = ctx.now();
    let by = ctx.caller()?.iam_id().as_str().to_owned();
    let policy = Policy {
        id: PolicyId::from_uuid(ctx.uuid()),
        account: account.clone(),
        schema,
        document: document(schema, &body)?,
        state: State::Active,
        etag: etag::tag(1, ctx.app().rng.as_ref()),
        created_at: now,
        created_by: by.clone(),
        modified_at: now,
        modified_by: by,
        permitted: Permitted::default(),
    };
    let permit = authorize(&ctx, "iam.policy.create", &account, Some(&doc), policy.id.as_str()).await?;
    let asker = asker(&ctx, &account).await?;
    let (policy, custom) = ctx
        .write(permit, move |tx, event| {
            event.status = 201;
            tell(event, &policy, Some(&doc));
            event.request("new", record(&policy.document));
            logic::create(tx, &policy, &asker)?;
            Ok((policy.clone(), roles::sql::all(tx, &policy.account)?))
        })
        .await?;
    respond(201, &ctx, schema, &policy, &custom)
}

async fn get(ctx: Ctx, request: Request, schema: Schema) -> Result<Response> {
    let format = list::format(&request)?;
    let policy = load(&ctx, &request).await?;
    if schema == Schema::V1 && policy.schema == Schema::V2 {
        // COMPAT: a policy that was written in the newer version has no full form in the older one.
        return Err(not_found(policy.id.as_str()));
    }
    let doc = policy.doc()?;
    let own = matches!(&doc.subject, Subject::IamId(id) if id == ctx.caller()?.iam_id().as_str());
    if !own {
        authorize(&ctx, "iam.policy.read", &policy.account, Some(&doc), policy.id.as_str())
            .await
            .map_err(|e| hidden(e, policy.id.as_str()))?;
    }
    let (policy, custom) = ctx
        .read(move |tx| {
            let mut policy = policy.clone();
            let account = policy.account.clone();
            if format == Format::LastPermit {
                permits::fill(tx, &account, std::slice::from_mut(&mut policy))?;
            }
            Ok((policy, roles::sql::all(tx, &account)?))
        })
        .await?;
    let base = ctx.app().config.origin();
    let view = View { base: &base, format, custom: &custom };
    let body = match schema {
        Schema::V1 => render::v1(&policy, &view),
        Schema::V2 => render::v2(&policy, &view),
    };
    Ok(Response::json(200, &body)?.etag(&policy.etag))
}

async fn replace(ctx: Ctx, request: Request, schema: Schema) -> Result<Response> {
    let body = json_body(&request)?;
    let wanted = request.if_match()?;
    let doc = logic::parse(schema, &body)?;
    let account = account_of(&doc)?;
    let document = document(schema, &body)?;
    let old = load(&ctx, &request).await?;
    let id = old.id.clone();
    let present = old.doc().ok();
    let permit = authorize(&ctx, "iam.policy.update", &old.account, present.as_ref(), id.as_str())
        .await
        .map_err(|e| hidden(e, id.as_str()))?;
    if old.state == State::Deleted || (schema == Schema::V1 && old.schema == Schema::V2) {
        return Err(not_found(id.as_str()));
    }
    if account == old.account {
        // The right is needed where the policy stood and where it will stand.
        authorize(&ctx, "iam.policy.update", &account, Some(&doc), id.as_str()).await?;
    }
    let asker = asker(&ctx, &old.account).await?;
    let (now, by, fresh) =
        (ctx.now(), ctx.caller()?.iam_id().as_str().to_owned(), ctx.uuid().simple().to_string());
    let decided = old.document;
    let (policy, custom) = ctx
        .write(permit, move |tx, event| {
            let old = current(tx, &id, &decided)?;
            tell(event, &old, Some(&doc));
            event.request("old", record(&old.document)).request("new", record(&document));
            etag::check(&wanted, &old.etag)?;
            let new = Policy {
                schema,
                document: document.clone(),
                etag: next_tag(&old.etag, &fresh),
                modified_at: now,
                modified_by: by.clone(),
                ..old.clone()
            };
            logic::replace(tx, &old, &new, &asker)?;
            let custom = roles::sql::all(tx, &new.account)?;
            Ok((new, custom))
        })
        .await?;
    respond(200, &ctx, schema, &policy, &custom)
}

/// The policy as it is now. What was decided on must be what is changed: if the target moved since, the request is stale.
fn current(tx: &mut avouch_store::Tx<'_>, id: &PolicyId, decided: &Value) -> Result<Policy> {
    let policy = sql::get(tx, id)?.ok_or_else(|| not_found(id.as_str()))?;
    if policy.document != *decided {
        return Err(
            Error::new(Kind::Stale, "The policy was changed meanwhile.").data(json!({"etag": policy.etag}))
        );
    }
    Ok(policy)
}

/// Brings a deleted policy back; on an active one nothing happens.
async fn restore(ctx: Ctx, request: Request) -> Result<Response> {
    let body = json_body(&request)?;
    let wanted = request.if_match()?;
    if body != json!({"state": "active"}) {
        return Err(Error::invalid("state", "The body must be {\"state\":\"active\"}."));
    }
    let old = load(&ctx, &request).await?;
    let id = old.id.clone();
    let doc = old.doc()?;
    let permit = authorize(&ctx, "iam.policy.update", &old.account, Some(&doc), id.as_str())
        .await
        .map_err(|e| hidden(e, id.as_str()))?;
    let asker = asker(&ctx, &old.account).await?;
    let (now, by, fresh) =
        (ctx.now(), ctx.caller()?.iam_id().as_str().to_owned(), ctx.uuid().simple().to_string());
    let decided = old.document;
    let (policy, custom) = ctx
        .write(permit, move |tx, event| {
            let mut policy = current(tx, &id, &decided)?;
            tell(event, &policy, Some(&doc));
            event.request("old_state", policy.state.as_str()).request("new_state", State::Active.as_str());
            etag::check(&wanted, &policy.etag)?;
            if policy.state == State::Deleted {
                policy.state = State::Active;
                policy.etag = next_tag(&policy.etag, &fresh);
                policy.modified_at = now;
                policy.modified_by.clone_from(&by);
                logic::restore(tx, &policy, &asker)?;
            }
            let custom = roles::sql::all(tx, &policy.account)?;
            Ok((policy, custom))
        })
        .await?;
    respond(200, &ctx, policy.schema, &policy, &custom)
}

/// Deletes a policy of either schema, by either path.
async fn delete(ctx: Ctx, request: Request) -> Result<Response> {
    let old = load(&ctx, &request).await?;
    let id = old.id.clone();
    let doc = old.doc().ok();
    let permit = authorize(&ctx, "iam.policy.delete", &old.account, doc.as_ref(), id.as_str())
        .await
        .map_err(|e| hidden(e, id.as_str()))?;
    let (now, by, fresh) =
        (ctx.now(), ctx.caller()?.iam_id().as_str().to_owned(), ctx.uuid().simple().to_string());
    let decided = old.document;
    ctx.write(permit, move |tx, event| {
        event.status = 204;
        let mut policy = current(tx, &id, &decided)?;
        tell(event, &policy, doc.as_ref());
        event.request("old", record(&policy.document));
        if policy.state == State::Deleted {
            return Err(not_found(id.as_str()));
        }
        policy.state = State::Deleted;
        policy.etag = next_tag(&policy.etag, &fresh);
        policy.modified_at = now;
        policy.modified_by.clone_from(&by);
        logic::delete(tx, &policy)
    })
    .await?;
    Ok(Response::empty(204))
}

/// The account that a list is asked for.
pub(crate) fn account_param(request: &Request) -> Result<AccountId> {
    let text = request.query_required("account_id")?;
    AccountId::parse(&text)
        .map_err(|_| Error::invalid("account_id", "The query parameter 'account_id' is not an account id."))
}
