//! Requests on groups themselves.

use std::collections::HashSet;

use avouch_gate::etag;
use avouch_gate::http::request::from_value;
use avouch_gate::{Ctx, Endpoint, Error, Kind, Permit, Request, Response, Result};
use avouch_store::Tx;
use avouch_wire::access::{CreateGroup, UpdateGroup};
use avouch_wire::ids::{AccessGroupId, AccountId};
use avouch_wire::text;
use serde_json::{Map, Value, json};

use super::page::Page;
use super::{DESCRIPTION_MAX, Group, NAME_MAX, not_found, sql, target};
use crate::policies::http::{account_param, json_body};
use crate::{next_tag, policies};

const TARGET: &str = "iam-groups/group";

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/v2/groups", "list_access_groups", list)
            .actions(&["iam-groups.groups.list", "iam-groups.groups.read"])
            .events(TARGET, &["iam-groups.groups.list"]),
        Endpoint::post("/v2/groups", "create_access_group", create)
            .actions(&["iam-groups.groups.create"])
            .events(TARGET, &["iam-groups.group.create"]),
        Endpoint::get("/v2/groups/{access_group_id}", "get_access_group", get)
            .actions(&["iam-groups.groups.read"])
            .events(TARGET, &["iam-groups.group.read"]),
        Endpoint::patch("/v2/groups/{access_group_id}", "update_access_group", update)
            .actions(&["iam-groups.groups.update"])
            .events(TARGET, &["iam-groups.group.update"]),
        Endpoint::delete("/v2/groups/{access_group_id}", "delete_access_group", delete)
            .actions(&["iam-groups.groups.delete"])
            .events(TARGET, &["iam-groups.group.delete"]),
    ]
}

/// The group of the path. The public group is the one of the caller's account.
///
/// # Errors
/// `NotFound`.
pub(super) async fn load(ctx: &Ctx, request: &Request) -> Result<Group> {
    let text = request.param("access_group_id")?;
    let id = AccessGroupId::parse(text).map_err(|_| not_found(text))?;
    let own = ctx.caller()?.account().clone();
    ctx.read(move |tx| find(tx, &own, &id)).await?.ok_or_else(|| not_found(text))
}

/// A group of whatever account; the public group of `own`.
///
/// # Errors
/// Those of the store.
pub(super) fn find(tx: &mut Tx<'_>, own: &AccountId, id: &AccessGroupId) -> Result<Option<Group>> {
    if id.is_public() {
        let settings = sql::settings(tx, own)?;
        return Ok(Some(Group::public(own, settings.as_ref())));
    }
    sql::get(tx, id)
}

/// Decides on one group; another account's group looks like an unknown one.
///
/// # Errors
/// `Forbidden`, `NotFound`.
pub(super) async fn authorize(ctx: &Ctx, action: &str, group: &Group) -> Result<Permit> {
    ctx.authorize(action, &target(&group.account, group.id.as_str(), &group.name)).await.map_err(|e| {
        if e.kind() == Kind::NotFound {
            not_found(group.id.as_str()).reason("other_account")
        } else {
            explained(ctx, e, action)
        }
    })
}

/// A refusal that names the action and who asked, as the published one does.
pub(super) fn explained(ctx: &Ctx, e: Error, action: &str) -> Error {
    if e.kind() != Kind::Forbidden {
        return e;
    }
    let who = ctx.caller().map(|c| c.iam_id().as_str().to_owned()).unwrap_or_default();
    e.details(format!(
        "The action {action} is not permitted to {who} (transaction {}).",
        ctx.transaction_id()
    ))
}

/// What renderings may add.
#[derive(Debug, Clone, Copy, Default)]
struct Shown {
    federated: bool,
    crn: bool,
}

impl Shown {
    fn read(request: &Request) -> Result<Self> {
        Ok(Self {
            federated: request.query_bool("show_federated")?.unwrap_or(false),
            crn: request.query_bool("show_crn")?.unwrap_or(false),
        })
    }
}

fn render(g: &Group, base: &str, shown: Shown, federated: bool) -> Value {
    let mut out = Map::new();
    out.insert("id".into(), json!(g.id.as_str()));
    out.insert("name".into(), json!(g.name));
    out.insert("description".into(), json!(g.description));
    out.insert("account_id".into(), json!(g.account.as_str()));
    out.insert("created_at".into(), json!(g.created_at.rfc3339_millis()));
    out.insert("created_by_id".into(), json!(g.created_by));
    out.insert("last_modified_at".into(), json!(g.modified_at.rfc3339_millis()));
    out.insert("last_modified_by_id".into(), json!(g.modified_by));
    out.insert("href".into(), json!(format!("{base}/v2/groups/{}", g.id)));
    if shown.federated {
        out.insert("is_federated".into(), json!(federated));
    }
    if shown.crn {
        out.insert("crn".into(), json!(g.crn()));
    }
    Value::Object(out)
}

/// What `search` asks for.
struct Search {
    field: Option<&'static str>,
    text: String,
}

impl Search {
    fn parse(text: &str) -> Self {
        for field in ["id", "name", "description"] {
            if let Some(rest) = text.strip_prefix(field).and_then(|r| r.strip_prefix(':')) {
                return Self { field: Some(field), text: rest.to_lowercase() };
            }
        }
        Self { field: None, text: text.to_lowercase() }
    }

    fn finds(&self, g: &Group) -> bool {
        let fields =
            [("id", g.id.as_str()), ("name", g.name.as_str()), ("description", g.description.as_str())];
        fields.iter().any(|(name, value)| {
            self.field.is_none_or(|f| f == *name) && value.to_lowercase().contains(&self.text)
        })
    }
}

fn check_name(name: &str) -> Result<()> {
    if text::name(name, NAME_MAX) {
        Ok(())
    } else {
        Err(Error::invalid("name", "The property 'name' must have 1 to 100 characters."))
    }
}

fn check_description(description: &str) -> Result<()> {
    if text::printable_multiline(description, DESCRIPTION_MAX) {
        Ok(())
    } else {
        Err(Error::invalid("description", "The property 'description' must have at most 250 characters."))
    }
}

async fn list(ctx: Ctx, request: Request) -> Result<Response> {
    let account = account_param(&request)?;
    let page = Page::read(&request)?;
    let shown = Shown::read(&request)?;
    let hide_public = request.query_bool("hide_public_access")?.unwrap_or(false);
    let iam_id = request.query("iam_id")?;
    let membership = request.query("membership_type")?;
    let static_members = match membership.as_deref() {
        None | Some("static" | "all") => true,
        Some("dynamic") => false,
        Some(_) => {
            return Err(Error::invalid(
                "membership_type",
                "The query parameter 'membership_type' must be 'static', 'dynamic' or 'all'.",
            ));
        }
    };
    let search = request.query("search")?.map(|s| Search::parse(&s));
    let sort_text = request.query("sort")?.unwrap_or_else(|| "name".into());
    let (sort, descending) = match sort_text.strip_prefix('-') {
        Some(rest) => (rest.to_owned(), true),
        None => (sort_text.clone(), false),
    };
    if !["id", "name", "description", "is_federated"].contains(&sort.as_str()) {
        return Err(Error::invalid(
            "sort",
            "The query parameter 'sort' does not name an attribute that groups are sorted by.",
        ));
    }
    ctx.note(&target(&account, "", ""));
    let filter = ctx.filter(&account).await?;
    let asked = account.clone();
    let (mut groups, federated) = ctx
        .read(move |tx| {
            let mut groups = sql::all(tx, &asked)?;
            if let Some(iam_id) = &iam_id {
                let of = if static_members { sql::groups_of(tx, &asked, iam_id)? } else { Vec::new() };
                groups.retain(|g| of.iter().any(|id| id == g.id.as_str()));
            }
            if !hide_public {
                let settings = sql::settings(tx, &asked)?;
                groups.push(Group::public(&asked, settings.as_ref()));
            }
            let federated: HashSet<String> = sql::with_rules(tx, &asked)?.into_iter().collect();
            Ok((groups, federated))
        })
        .await?;
    let all = filter.permits("iam-groups.groups.list", &target(&account, "", "").attrs);
    groups.retain(|g| {
        all || filter.permits("iam-groups.groups.read", &target(&account, g.id.as_str(), "").attrs)
    });
    if let Some(search) = &search {
        groups.retain(|g| search.finds(g));
    }
    let key = |g: &Group| match sort.as_str() {
        "id" => g.id.as_str().to_owned(),
        "description" => g.description.to_lowercase(),
        "is_federated" => i32::from(federated.contains(g.id.as_str())).to_string(),
        _ => g.name.to_lowercase(),
    };
    groups.sort_by_cached_key(|g| (key(g), g.id.as_str().to_owned()));
    if descending {
        groups.reverse();
    }
    let total = groups.len();
    let base = ctx.app().config.origin();
    let items =
        page.of(groups).iter().map(|g| render(g, &base, shown, federated.contains(g.id.as_str()))).collect();
    Response::json(200, &page.body(&request, total, "groups", items))
}

async fn create(ctx: Ctx, request: Request) -> Result<Response> {
    let account = account_param(&request)?;
    let body: CreateGroup = from_value(json_body(&request)?)?;
    let description = body.description.unwrap_or_default();
    let permit = ctx
        .authorize("iam-groups.groups.create", &target(&account, "", &body.name))
        .await
        .map_err(|e| explained(&ctx, e, "iam-groups.groups.create"))?;
    check_name(&body.name)?;
    check_description(&description)?;
    let (now, by) = (ctx.now(), ctx.caller()?.iam_id().as_str().to_owned());
    let group = Group {
        id: AccessGroupId::from_uuid(ctx.uuid()),
        account,
        name: body.name,
        description,
        etag: etag::tag(1, ctx.app().rng.as_ref()),
        created_at: now,
        created_by: by.clone(),
        modified_at: now,
        modified_by: by,
    };
    let limit = ctx.app().config.limits.access_groups;
    let group = ctx
        .write(permit, move |tx, event| {
            event.status = 201;
            event.target(group.crn(), &group.name);
            if limit > 0 && sql::count(tx, &group.account)? >= i64::from(limit) {
                let text = format!(
                    "The maximum number of allowed access groups in the account ({limit}) is reached."
                );
                return Err(Error::new(Kind::Limit, text));
            }
            free(tx, &group)?;
            sql::insert(tx, &group)?;
            Ok(group.clone())
        })
        .await?;
    let body = render(&group, &ctx.app().config.origin(), Shown::default(), false);
    Ok(Response::json(201, &body)?.etag(&group.etag))
}

/// The name must not be another group's, nor the public group's.
fn free(tx: &mut Tx<'_>, group: &Group) -> Result<()> {
    let other = sql::by_name(tx, &group.account, &group.name)?.filter(|g| g.id != group.id);
    let public = text::key(&Group::public(&group.account, None).name) == text::key(&group.name);
    if other.is_some() || public {
        return Err(
            Error::conflict("An access group of that name exists already.").code("group_name_conflict")
        );
    }
    Ok(())
}

async fn get(ctx: Ctx, request: Request) -> Result<Response> {
    let shown = Shown::read(&request)?;
    let group = load(&ctx, &request).await?;
    authorize(&ctx, "iam-groups.groups.read", &group).await?;
    let id = group.id.clone();
    let federated = shown.federated && !ctx.read(move |tx| sql::rules(tx, &id)).await?.is_empty();
    let body = render(&group, &ctx.app().config.origin(), shown, federated);
    Ok(Response::json(200, &body)?.etag(&group.etag))
}

async fn update(ctx: Ctx, request: Request) -> Result<Response> {
    let body: UpdateGroup = from_value(json_body(&request)?)?;
    let wanted = request.if_match()?;
    let group = load(&ctx, &request).await?;
    let permit = authorize(&ctx, "iam-groups.groups.update", &group).await?;
    if let Some(name) = &body.name {
        check_name(name)?;
    }
    if let Some(description) = &body.description {
        check_description(description)?;
    }
    refuse_public(&group)?;
    let (now, by, fresh) =
        (ctx.now(), ctx.caller()?.iam_id().as_str().to_owned(), ctx.uuid().simple().to_string());
    let id = group.id;
    let group = ctx
        .write(permit, move |tx, event| {
            let mut group = sql::get(tx, &id)?.ok_or_else(|| not_found(id.as_str()))?;
            event.target(group.crn(), &group.name);
            etag::check(&wanted, &group.etag)?;
            if let Some(name) = &body.name {
                event.request("prev_name", group.name.as_str()).request("name", name.as_str());
                group.name.clone_from(name);
                free(tx, &group)?;
            }
            if let Some(description) = &body.description {
                group.description.clone_from(description);
            }
            group.etag = next_tag(&group.etag, &fresh);
            group.modified_at = now;
            group.modified_by.clone_from(&by);
            sql::update(tx, &group)?;
            Ok(group)
        })
        .await?;
    let body = render(&group, &ctx.app().config.origin(), Shown::default(), false);
    Ok(Response::json(200, &body)?.etag(&group.etag))
}

/// The public group is as it is.
///
/// # Errors
/// `Invalid` for the public group.
pub(super) fn refuse_public(group: &Group) -> Result<()> {
    if group.id.is_public() {
        return Err(Error::invalid("access_group_id", "The public access group cannot be changed."));
    }
    Ok(())
}

async fn delete(ctx: Ctx, request: Request) -> Result<Response> {
    let force = request.query_bool("force")?.unwrap_or(false);
    let group = load(&ctx, &request).await?;
    let permit = authorize(&ctx, "iam-groups.groups.delete", &group).await?;
    refuse_public(&group)?;
    let (now, by, id) = (ctx.now(), ctx.caller()?.iam_id().as_str().to_owned(), group.id);
    ctx.write(permit, move |tx, event| {
        event.status = 204;
        let group = sql::get(tx, &id)?.ok_or_else(|| not_found(id.as_str()))?;
        event.target(group.crn(), &group.name);
        let empty = sql::members(tx, &id)?.is_empty() && sql::rules(tx, &id)?.is_empty();
        if !empty && !force {
            let text = "The access group has members or rules. Remove them first, or delete it with the query \
                        parameter 'force=true' (command line: --recursive).";
            return Err(Error::invalid("force", text).code("group_not_empty"));
        }
        let policies = policies::logic::retire_subject(tx, &group.account, id.as_str(), &by, now)?;
        let members = sql::delete(tx, &group)?;
        event.response("policies_deleted", policies).response("members_removed", members.len());
        for member in members {
            tx.changed(group.account.as_str(), "member", &member)?;
        }
        Ok(())
    })
    .await?;
    Ok(Response::empty(204))
}
