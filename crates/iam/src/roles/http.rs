//! Requests on roles.

use avouch_gate::etag;
use avouch_gate::{Ctx, Endpoint, Error, Kind, Permit, Request, Response, Result, Target};
use avouch_policy::access::ResourceAttrs;
use avouch_policy::roles::{Catalogue, RolesFor, Target as About};
use avouch_wire::access::{CreateRole, ReplaceRole};
use avouch_wire::ids::{AccountId, RoleId};
use serde_json::{Map, Value, json};

use super::{CustomRole, SERVICES, logic, sql, target};
use crate::next_tag;
use crate::policies::http::json_body;

const TARGET: &str = "iam-am/role";

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/v2/roles", "list_roles", list).actions(&["iam-access-management.customRole.read"]),
        Endpoint::post("/v2/roles", "create_role", create)
            .actions(&["iam-access-management.customRole.create"])
            .events(TARGET, &["iam-am.role.create"]),
        Endpoint::get("/v2/roles/{role_id}", "get_role", get)
            .actions(&["iam-access-management.customRole.read"]),
        Endpoint::put("/v2/roles/{role_id}", "replace_role", replace)
            .actions(&["iam-access-management.customRole.update", "iam.policy.create"])
            .events(TARGET, &["iam-am.role.update"]),
        Endpoint::delete("/v2/roles/{role_id}", "delete_role", delete)
            .actions(&["iam-access-management.customRole.delete"])
            .events(TARGET, &["iam-am.role.delete"]),
    ]
}

fn not_found(id: &str) -> Error {
    let shown: String = id.chars().filter(|c| !c.is_control()).take(128).collect();
    Error::new(Kind::NotFound, format!("Role with Id {shown} not found.")).code("role_not_found")
}

fn hidden(e: Error, id: &str) -> Error {
    if e.kind() == Kind::NotFound { not_found(id).reason("other_account") } else { e }
}

/// Stale `If-Match`, in the words of roles.
fn stale(e: Error) -> Error {
    if e.kind() == Kind::Stale { e.code("role_conflict_error") } else { e }
}

fn render(r: &CustomRole, base: &str) -> Value {
    let mut out = Map::new();
    out.insert("id".into(), json!(r.id.as_str()));
    out.insert("name".into(), json!(r.name));
    out.insert("account_id".into(), json!(r.account.as_str()));
    out.insert("service_name".into(), json!(r.service));
    out.insert("display_name".into(), json!(r.display_name));
    if let Some(description) = &r.description {
        out.insert("description".into(), json!(description));
    }
    out.insert("actions".into(), json!(r.actions));
    out.insert("crn".into(), json!(r.crn));
    out.insert("created_at".into(), json!(r.created_at.rfc3339_millis()));
    out.insert("created_by_id".into(), json!(r.created_by));
    out.insert("last_modified_at".into(), json!(r.modified_at.rfc3339_millis()));
    out.insert("last_modified_by_id".into(), json!(r.modified_by));
    out.insert("href".into(), json!(format!("{base}/v2/roles/{}", r.id)));
    Value::Object(out)
}

/// Decides by the right on access management, or on role management alone.
async fn authorize(ctx: &Ctx, action: &str, account: &AccountId, crn: &str, name: &str) -> Result<Permit> {
    let filter = ctx.filter(account).await?;
    let held = SERVICES.iter().find(|s| filter.permits(action, &target(account, s, crn, name).attrs));
    let service = held.or(SERVICES.first()).copied().unwrap_or_default();
    ctx.authorize(action, &target(account, service, crn, name)).await
}

async fn load(ctx: &Ctx, request: &Request) -> Result<CustomRole> {
    let id = request.param("role_id")?;
    let parsed = RoleId::parse(id).map_err(|_| not_found(id))?;
    ctx.read(move |tx| sql::get(tx, &parsed)).await?.ok_or_else(|| not_found(id))
}

/// Built-in roles by the question's service, and the custom roles that the caller may see.
async fn list(ctx: Ctx, request: Request) -> Result<Response> {
    let account = request.query("account_id")?;
    let service = request.query("service_name")?;
    let source = request.query("source_service_name")?;
    let group = request.query("service_group_id")?;
    let kind = request.query("policy_type")?;
    if service.is_some() && group.is_some() {
        return Err(Error::invalid(
            "service_group_id",
            "The query parameters 'service_name' and 'service_group_id' exclude each other.",
        ));
    }
    if kind.as_deref().is_some_and(|k| k != "access" && k != "authorization") {
        return Err(Error::invalid(
            "policy_type",
            "The query parameter 'policy_type' must be 'access' or 'authorization'.",
        ));
    }
    let authorization = kind.as_deref() == Some("authorization") || source.is_some();
    let builtin = builtin(service.as_deref(), source.as_deref().filter(|_| authorization), group.as_deref());
    let mut custom = Vec::new();
    if let Some(text) = account {
        let account = AccountId::parse(&text).map_err(|_| {
            Error::invalid("account_id", "The query parameter 'account_id' is not an account id.")
        })?;
        let filter = ctx.filter(&account).await?;
        let action = "iam-access-management.customRole.read";
        if SERVICES.iter().any(|s| filter.permits(action, &target(&account, s, "", "").attrs)) {
            custom = ctx.read(move |tx| sql::all(tx, &account)).await?;
        }
    }
    custom.retain(|r| match (service.as_deref(), group.as_deref()) {
        (Some("alliamserviceroles"), _) | (None, None) => true,
        (Some(name), _) => r.service == name,
        (None, Some(group)) => {
            group == "IAM" && Catalogue::builtin().service(&r.service).is_some_and(|s| s.iam_group)
        }
    });
    let base = ctx.app().config.origin();
    let custom: Vec<Value> = custom.iter().map(|r| render(r, &base)).collect();
    Response::json(
        200,
        &json!({
            "custom_roles": custom,
            "service_roles": builtin.service_roles,
            "system_roles": builtin.system_roles,
        }),
    )
}

fn builtin(service: Option<&str>, source: Option<&str>, group: Option<&str>) -> RolesFor {
    let catalogue = Catalogue::builtin();
    match (service, source, group) {
        (Some(service), Some(source), _) => catalogue.roles_for_authorization(source, service),
        (Some(service), None, _) => catalogue.roles_for(service),
        (None, None, Some("IAM")) => catalogue.roles_for_target(About::IamGroup),
        (None, Some(_), _) | (None, None, Some(_)) => RolesFor::default(),
        (None, None, None) => catalogue.roles_for_target(About::AllServices),
    }
}

async fn create(ctx: Ctx, request: Request) -> Result<Response> {
    let body: CreateRole = avouch_gate::http::request::from_value(json_body(&request)?)?;
    let account = AccountId::parse(&body.account_id)
        .map_err(|_| Error::invalid("account_id", "The property 'account_id' is not an account id."))?;
    let crn = format!(
        "crn:v1:{}:public:iam-access-management::a/{account}::customRole:{}",
        ctx.app().config.cname,
        body.name
    );
    let (now, by) = (ctx.now(), ctx.caller()?.iam_id().as_str().to_owned());
    let role = CustomRole {
        id: RoleId::from_uuid(ctx.uuid()),
        account: account.clone(),
        name: body.name,
        display_name: body.display_name,
        service: body.service_name,
        actions: body.actions,
        description: body.description,
        crn,
        etag: etag::tag(1, ctx.app().rng.as_ref()),
        created_at: now,
        created_by: by.clone(),
        modified_at: now,
        modified_by: by,
    };
    let permit = authorize(&ctx, "iam-access-management.customRole.create", &account, "", "").await?;
    logic::check(&role)?;
    let limit = ctx.app().config.limits.custom_roles;
    let role = ctx
        .write(permit, move |tx, event| {
            event.status = 201;
            event.target(&role.crn, &role.display_name);
            event.request("service_name", role.service.as_str()).request("actions", role.actions.clone());
            logic::create(tx, &role, limit)?;
            Ok(role.clone())
        })
        .await?;
    Ok(Response::json(201, &render(&role, &ctx.app().config.origin()))?.etag(&role.etag))
}

async fn get(ctx: Ctx, request: Request) -> Result<Response> {
    let role = load(&ctx, &request).await?;
    authorize(&ctx, "iam-access-management.customRole.read", &role.account, &role.crn, &role.display_name)
        .await
        .map_err(|e| hidden(e, role.id.as_str()))?;
    Ok(Response::json(200, &render(&role, &ctx.app().config.origin()))?.etag(&role.etag))
}

async fn replace(ctx: Ctx, request: Request) -> Result<Response> {
    let body: ReplaceRole = avouch_gate::http::request::from_value(json_body(&request)?)?;
    let wanted = request.if_match()?;
    let role = load(&ctx, &request).await?;
    let permit = authorize(
        &ctx,
        "iam-access-management.customRole.update",
        &role.account,
        &role.crn,
        &role.display_name,
    )
    .await
    .map_err(|e| hidden(e, role.id.as_str()))?;
    // Whoever holds the role holds the new actions at once, so it takes the right to grant them. COMPAT: published is that
    // the right to edit roles is enough; who may edit and not grant could then widen the role that he holds himself.
    if body.actions.iter().any(|action| !role.actions.contains(action)) {
        let attrs = ResourceAttrs::service(&role.account, &role.service);
        let target = Target::global("iam-access-management", &role.account, attrs, role.crn.clone())
            .named(&role.display_name);
        ctx.authorize("iam.policy.create", &target).await?;
    }
    let (now, by, fresh) =
        (ctx.now(), ctx.caller()?.iam_id().as_str().to_owned(), ctx.uuid().simple().to_string());
    let (id, known) = (role.id, role.etag);
    let role = ctx
        .write(permit, move |tx, event| {
            let mut role = sql::get(tx, &id)?.ok_or_else(|| not_found(id.as_str()))?;
            etag::check(&known, &role.etag).map_err(stale)?;
            event.target(&role.crn, &role.display_name);
            event.request("old_actions", role.actions.clone()).request("new_actions", body.actions.clone());
            etag::check(&wanted, &role.etag).map_err(stale)?;
            role.display_name.clone_from(&body.display_name);
            role.actions.clone_from(&body.actions);
            role.description.clone_from(&body.description);
            role.etag = next_tag(&role.etag, &fresh);
            role.modified_at = now;
            role.modified_by.clone_from(&by);
            logic::replace(tx, &role)?;
            Ok(role)
        })
        .await?;
    Ok(Response::json(200, &render(&role, &ctx.app().config.origin()))?.etag(&role.etag))
}

async fn delete(ctx: Ctx, request: Request) -> Result<Response> {
    let role = load(&ctx, &request).await?;
    let permit = authorize(
        &ctx,
        "iam-access-management.customRole.delete",
        &role.account,
        &role.crn,
        &role.display_name,
    )
    .await
    .map_err(|e| hidden(e, role.id.as_str()))?;
    let (now, by, id) = (ctx.now(), ctx.caller()?.iam_id().as_str().to_owned(), role.id);
    ctx.write(permit, move |tx, event| {
        event.status = 204;
        let role = sql::get(tx, &id)?.ok_or_else(|| not_found(id.as_str()))?;
        event.target(&role.crn, &role.display_name);
        let touched = logic::delete(tx, &role, &by, now)?;
        event.response("policies_changed", touched);
        Ok(())
    })
    .await?;
    Ok(Response::empty(204))
}
