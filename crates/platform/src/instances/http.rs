//! Requests on service instances.

use avouch_crypto::base64url;
use avouch_gate::{Ctx, Error, Kind, Request, Response, Result, Target};
use avouch_policy::access::ResourceAttrs;
use avouch_wire::catalog::{self, Placement};
use avouch_wire::crn::Crn;
use avouch_wire::text;
use avouch_wire::time::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Body, Instance, logic, render, sql, state};
use crate::resource_groups;

#[derive(Deserialize)]
struct Create {
    name: String,
    target: String,
    resource_group: String,
    resource_plan_id: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    allow_cleanup: bool,
    parameters: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Update {
    name: Option<String>,
    parameters: Option<Map<String, Value>>,
    resource_plan_id: Option<String>,
    allow_cleanup: Option<bool>,
}

/// Right to attach tags that policies look at.
const ATTACH: &str = "global-search-tagging.tag.attach-access-tag";
/// Most tags of an instance, and longest one.
const TAGS_MAX: usize = 1000;
const TAG_MAX: usize = 128;

/// Instances of a list page at most.
const LIST_MAX: i64 = 100;

fn not_found(id: &str) -> Error {
    Error::not_found("Resource instance", id)
}

/// GUID of a path parameter that is a GUID or a CRN.
fn guid_of(id: &str) -> String {
    Crn::parse(id).map_or_else(|_| id.to_owned(), |crn| crn.instance().to_owned())
}

/// Whether a path parameter that is a CRN means this very instance, not only one of its GUID.
fn means(id: &str, found: &Instance) -> bool {
    Crn::parse(id).map_or(true, |crn| {
        let parts = |c: &Crn| (c.service().to_owned(), c.region().to_owned(), c.account());
        found.crn().is_ok_and(|own| parts(&own) == parts(&crn))
    })
}

/// Loads an instance and decides; another account's is unknown.
async fn load(ctx: &Ctx, id: &str, action: &str) -> Result<(Instance, avouch_gate::Permit)> {
    let guid = guid_of(id);
    let found = ctx.read(move |tx| sql::get(tx, &guid)).await?.filter(|i| means(id, i));
    let found = found.ok_or_else(|| not_found(id))?;
    match ctx.authorize(action, &found.target()?).await {
        Ok(permit) => Ok((found, permit)),
        Err(e) if e.kind() == Kind::NotFound => Err(not_found(id)),
        Err(e) => {
            ctx.detail(|d| {
                d.action(format!("{}.instance.{}", found.service, verb(action)));
            });
            Err(e)
        }
    }
}

fn verb(action: &str) -> &str {
    match action.rsplit('.').next() {
        Some("delete") => "delete",
        Some("create") => "create",
        Some("retrieve") => "read",
        _ => "update",
    }
}

pub async fn list(ctx: Ctx, request: Request) -> Result<Response> {
    let account = ctx.caller()?.account().clone();
    let limit = request.query_int("limit", 1, LIST_MAX)?.unwrap_or(LIST_MAX);
    let start = match request.query("start")? {
        Some(token) => Some(cursor(&token)?),
        None => None,
    };
    let mut filter = sql::Filter::default();
    for (name, column) in [
        ("guid", "guid"),
        ("name", "name"),
        ("resource_group_id", "resource_group_id"),
        ("resource_plan_id", "plan_id"),
    ] {
        if let Some(value) = request.query(name)? {
            filter.equal.push((column, value));
        }
    }
    if let Some(id) = request.query("resource_id")? {
        let service =
            catalog::plans().iter().find(|p| p.service_id == id || p.service == id).map(|p| p.service);
        filter.equal.push(("service", service.unwrap_or("").to_owned()));
    }
    if request.query("type")?.is_some_and(|t| t != "service_instance") {
        return Response::json(200, &json!({"rows_count": 0, "next_url": null, "resources": []}));
    }
    filter.states = match request.query("state")? {
        Some(s) => vec![s],
        None => vec![state::ACTIVE.into(), "provisioning".into()],
    };
    for (name, slot) in [("updated_from", &mut filter.updated_from), ("updated_to", &mut filter.updated_to)] {
        if let Some(text) = request.query(name)? {
            let at = Timestamp::parse_rfc3339(&text)
                .map_err(|_| Error::invalid(name, "The time is not valid."))?;
            *slot = Some(at.millis());
        }
    }
    let permits = ctx.filter(&account).await?;
    let mut shown = Vec::new();
    let (mut after, mut scanned) = (start.clone(), start);
    let mut more = false;
    // Pages hold what the caller may see, so the store is read until the page is full.
    'pages: loop {
        let (asked, f, at) = (account.clone(), filter.clone(), scanned.clone());
        let batch = ctx.read(move |tx| sql::list(tx, &asked, &f, at.as_ref(), LIST_MAX)).await?;
        let ended = (batch.len() as i64) < LIST_MAX;
        for instance in batch {
            scanned = Some((instance.created_at.millis(), instance.guid.clone()));
            if !permits.permits("resource-controller.instance.retrieve", &instance.attrs()) {
                continue;
            }
            if shown.len() as i64 == limit {
                more = true;
                break 'pages;
            }
            after.clone_from(&scanned);
            shown.push(render(&instance)?);
        }
        if ended {
            break;
        }
    }
    let next = match (&after, more) {
        (Some((at, guid)), true) => {
            let token = base64url::encode(format!("{at}:{guid}"));
            let mut url = format!("/v2/resource_instances?limit={limit}&start={token}");
            for (k, v) in request.query_pairs().filter(|(k, _)| k != "limit" && k != "start") {
                url.push('&');
                url.push_str(&form_urlencoded::Serializer::new(String::new()).append_pair(&k, &v).finish());
            }
            Value::String(url)
        }
        _ => Value::Null,
    };
    Response::json(200, &json!({"rows_count": shown.len(), "next_url": next, "resources": shown}))
}

fn cursor(token: &str) -> Result<(i64, String)> {
    let bad = || Error::invalid("start", "The query parameter 'start' is not a page token.");
    let text = base64url::decode(token).ok().and_then(|b| String::from_utf8(b).ok()).ok_or_else(bad)?;
    let (at, guid) = text.split_once(':').ok_or_else(bad)?;
    Ok((at.parse().map_err(|_| bad())?, guid.to_owned()))
}

pub async fn create(ctx: Ctx, request: Request) -> Result<Response> {
    let body: Create = request.json()?;
    if !logic::name_is_good(&body.name) {
        return Err(Error::invalid(
            "name",
            "The property 'name' must have 1 to 180 letters, digits, spaces or - . _ :",
        ));
    }
    let plan = catalog::plan(&body.resource_plan_id).ok_or_else(|| {
        Error::new(Kind::NotFound, "The resource plan does not exist.").field("resource_plan_id")
    })?;
    let account = ctx.caller()?.account().clone();
    let region = match Crn::parse(&body.target) {
        Ok(crn) => crn.region().to_owned(),
        Err(_) => body.target.clone(),
    };
    let wanted = match plan.placement {
        Placement::Global => "global",
        Placement::Region => ctx.app().config.region.as_str(),
    };
    if region != wanted {
        return Err(Error::invalid("target", format!("The plan is available in '{wanted}' only.")));
    }
    let (asked, group_id) = (account.clone(), body.resource_group.clone());
    let group_id = Crn::parse(&group_id).map_or(group_id, |c| c.resource().to_owned());
    let lookup = group_id.clone();
    let group = ctx
        .read(move |tx| resource_groups::sql::get(tx, &asked, &lookup))
        .await?
        .ok_or_else(|| Error::invalid("resource_group", "The resource group does not exist."))?;
    ctx.detail(|d| {
        d.action(format!("{}.instance.create", plan.service));
    });
    let attrs = ResourceAttrs::service(&account, plan.service).region(&region).resource_group(&group_id);
    let crn = Crn::service_instance(plan.service, &region, &account, "").map_err(Error::internal)?;
    let mut target =
        Target::global("resource-controller", &account, attrs, crn.to_string()).named(&body.name);
    target.type_uri = format!("{}/instance", plan.service);
    target.resource_group = Some(resource_groups::crn(&account, &group.id));
    ctx.authorize("resource-controller.group.retrieve", &resource_groups::target(&account, Some(&group.id)))
        .await?;
    if body.tags.len() > TAGS_MAX || !body.tags.iter().all(|t| !t.is_empty() && text::printable(t, TAG_MAX)) {
        return Err(Error::invalid(
            "tags",
            "The property 'tags' must hold up to 1000 texts of 1 to 128 characters.",
        ));
    }
    // Only who may attach access tags makes his tags count in decisions.
    let attaches = ctx.filter(&account).await?.permits(ATTACH, &target.attrs);
    let access_tags = if attaches { body.tags.clone() } else { Vec::new() };
    let permit = ctx.authorize("resource-controller.instance.create", &target).await?;
    let locked = match request.header("entity-lock") {
        None => false,
        Some(v) if v.eq_ignore_ascii_case("true") => true,
        Some(v) if v.eq_ignore_ascii_case("false") => false,
        Some(_) => {
            return Err(Error::invalid("Entity-Lock", "The header 'Entity-Lock' must be true or false."));
        }
    };
    let now = ctx.now();
    let by = ctx.caller()?.iam_id().to_string();
    let instance = Instance {
        guid: ctx.uuid().to_string(),
        account,
        name: body.name,
        service: plan.service.into(),
        plan_id: plan.id.into(),
        region,
        resource_group: group.id,
        state: state::ACTIVE.into(),
        locked,
        parameters: Value::Object(body.parameters.unwrap_or_default()),
        body: Body {
            created_by: by.clone(),
            operation: "create".into(),
            allow_cleanup: body.allow_cleanup,
            tags: body.tags,
            access_tags,
            plans: vec![(plan.id.into(), now.millis(), by)],
            cname: ctx.app().config.cname.clone(),
            ..Body::default()
        },
        created_at: now,
        updated_at: now,
    };
    let shown = render(&instance)?;
    let app = ctx.app().clone();
    ctx.write(permit, move |tx, event| {
        let info = instance.info()?;
        event.status = 201;
        event.target(info.crn.to_string(), &instance.name);
        event.request("resource_plan_id", instance.plan_id.as_str());
        sql::insert(tx, &instance)?;
        for hook in app.links.hooks.iter().filter(|h| h.service() == instance.service) {
            hook.created(tx, &info, now)?;
        }
        Ok(())
    })
    .await?;
    Response::json(201, &shown)
}

pub async fn get(ctx: Ctx, request: Request) -> Result<Response> {
    let (instance, _) = load(&ctx, request.param("id")?, "resource-controller.instance.retrieve").await?;
    Response::json(200, &render(&instance)?)
}

/// Runs a change on a fresh copy of the instance.
async fn change(
    ctx: &Ctx,
    permit: avouch_gate::Permit,
    found: &Instance,
    f: impl Fn(&mut Instance, &mut avouch_gate::Details) -> Result<()> + Send + 'static,
) -> Result<Response> {
    let now = ctx.now();
    let by = ctx.caller()?.iam_id().to_string();
    let (guid, action) = (found.guid.clone(), format!("{}.instance.update", found.service));
    let instance = ctx
        .write(permit, move |tx, event| {
            event.action(&action);
            let mut instance = sql::get(tx, &guid)?.ok_or_else(|| not_found(&guid))?;
            event.locked = instance.locked;
            if instance.state == state::REMOVED {
                return Err(logic::gone());
            }
            if instance.state == state::PENDING {
                return Err(Error::new(
                    Kind::Unprocessable,
                    "The instance is to be reclaimed; restore it first.",
                ));
            }
            f(&mut instance, event)?;
            logic::touch(&mut instance, &by, now);
            sql::update(tx, &instance)?;
            Ok(instance)
        })
        .await?;
    Response::json(200, &render(&instance)?)
}

pub async fn update(ctx: Ctx, request: Request) -> Result<Response> {
    let body: Update = request.json()?;
    if body.name.as_deref().is_some_and(|n| !logic::name_is_good(n)) {
        return Err(Error::invalid(
            "name",
            "The property 'name' must have 1 to 180 letters, digits, spaces or - . _ :",
        ));
    }
    let action = if body.resource_plan_id.is_some() {
        "resource-controller.instance.update_plan"
    } else {
        "resource-controller.instance.update"
    };
    let (found, permit) = load(&ctx, request.param("id")?, action).await?;
    if let Some(id) = &body.resource_plan_id
        && catalog::plan(id).is_none_or(|p| p.service != found.service)
    {
        return Err(Error::invalid("resource_plan_id", "The plan is not one of this service."));
    }
    let (now, by) = (ctx.now(), ctx.caller()?.iam_id().to_string());
    change(&ctx, permit, &found, move |instance, event| {
        if instance.locked {
            return Err(logic::locked());
        }
        if let Some(name) = &body.name {
            if *name != instance.name {
                event.request("prev_instance_name", instance.name.as_str());
                event.request("instance_name", name.as_str());
                event.target_name = Some(name.clone());
            }
            instance.name.clone_from(name);
        }
        if let Some(parameters) = &body.parameters {
            instance.parameters = Value::Object(parameters.clone());
        }
        if let Some(plan) = &body.resource_plan_id
            && *plan != instance.plan_id
        {
            instance.plan_id.clone_from(plan);
            instance.body.plans.push((plan.clone(), now.millis(), by.clone()));
        }
        if let Some(cleanup) = body.allow_cleanup {
            instance.body.allow_cleanup = cleanup;
        }
        instance.body.operation = "update".into();
        Ok(())
    })
    .await
}

pub async fn lock(ctx: Ctx, request: Request) -> Result<Response> {
    set_lock(ctx, request, true).await
}

pub async fn unlock(ctx: Ctx, request: Request) -> Result<Response> {
    set_lock(ctx, request, false).await
}

async fn set_lock(ctx: Ctx, request: Request, locked: bool) -> Result<Response> {
    let (found, permit) = load(&ctx, request.param("id")?, "resource-controller.instance.update").await?;
    change(&ctx, permit, &found, move |instance, event| {
        event.request("lock", locked);
        instance.locked = locked;
        instance.body.operation = if locked { "lock" } else { "unlock" }.into();
        Ok(())
    })
    .await
}

pub async fn cancel(ctx: Ctx, request: Request) -> Result<Response> {
    let (found, _permit) = load(&ctx, request.param("id")?, "resource-controller.instance.update").await?;
    ctx.detail(|d| {
        d.action(format!("{}.instance.update", found.service));
    });
    // COMPAT: the published Go suite compares this text, also for removed instances.
    Err(Error::new(Kind::Unprocessable, "The instance is not cancelable.").code("RC-NotCancelable"))
}

pub async fn delete(ctx: Ctx, request: Request) -> Result<Response> {
    request.query_bool("recursive")?;
    let (found, permit) = load(&ctx, request.param("id")?, "resource-controller.instance.delete").await?;
    let reclamation = ctx.uuid().to_string();
    let (app, now, by) = (ctx.app().clone(), ctx.now(), ctx.caller()?.iam_id().to_string());
    ctx.write(permit, move |tx, event| {
        event.status = 204;
        event.locked = found.locked;
        event.action(format!("{}.instance.delete", found.service));
        let verb = logic::delete(&app, tx, &found.guid, &by, &reclamation, now)?;
        event.action(format!("{}.instance.{verb}", found.service));
        Ok(())
    })
    .await?;
    Ok(Response::empty(204))
}
