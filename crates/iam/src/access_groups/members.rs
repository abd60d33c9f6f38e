//! Requests on the members of one group.

use std::collections::HashMap;

use avouch_gate::http::request::from_value;
use avouch_gate::{App, Ctx, Endpoint, Error, Kind, Request, Response, Result};
use avouch_store::Tx;
use avouch_wire::access::{AddMembers, NewMember, RemoveMembers};
use avouch_wire::ids::{AccountId, IamId};
use avouch_wire::time::Timestamp;
use http::Method;
use serde_json::{Map, Value, json};

use super::http::{authorize, load, refuse_public};
use super::page::Page;
use super::{Group, Member, MemberKind, PER_CALL, sql};
use crate::errors_access::group_code;
use crate::policies::http::json_body;
use crate::{profiles, service_ids};

const TARGET: &str = "iam-groups/member";

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(
            Method::HEAD,
            "/v2/groups/{access_group_id}/members/{iam_id}",
            "is_member_of_access_group",
            is_member,
        )
        .actions(&["iam-groups.members.read"])
        .events(TARGET, &["iam-groups.member.read"]),
        Endpoint::delete(
            "/v2/groups/{access_group_id}/members/{iam_id}",
            "remove_member_from_access_group",
            remove,
        )
        .actions(&["iam-groups.members.delete"])
        .events(TARGET, &["iam-groups.member.delete"]),
        Endpoint::put("/v2/groups/{access_group_id}/members", "add_members_to_access_group", add)
            .actions(&["iam-groups.members.add"])
            .events(TARGET, &["iam-groups.member.add"]),
        Endpoint::get("/v2/groups/{access_group_id}/members", "list_access_group_members", list)
            .actions(&["iam-groups.members.list"])
            .events(TARGET, &["iam-groups.members.list"]),
        Endpoint::post(
            "/v2/groups/{access_group_id}/members/delete",
            "remove_members_from_access_group",
            remove_many,
        )
        .actions(&["iam-groups.members.delete"])
        .events(TARGET, &["iam-groups.member.delete"]),
    ]
}

fn not_member(iam_id: &str, group: &str) -> Error {
    let shown: String = iam_id.chars().filter(|c| !c.is_control()).take(200).collect();
    Error::new(Kind::NotFound, format!("Failed to find the member {shown} in the access group {group}."))
        .code("member_not_found")
}

/// How one item of an answer about many says that it failed.
pub(super) fn failed(item: &mut Map<String, Value>, e: &Error, trace: &str) {
    let (status, code) = group_code(e);
    let status = e.status_override().unwrap_or(status);
    item.insert("status_code".into(), json!(status));
    item.insert("trace".into(), json!(trace));
    item.insert(
        "errors".into(),
        json!([{"code": e.code_override().unwrap_or(code), "message": e.message()}]),
    );
}

/// Who shall be a member, checked as far as can be said without the group.
///
/// # Errors
/// `Invalid`.
pub(super) fn identity(iam_id: &str, kind: Option<&str>) -> Result<(IamId, MemberKind)> {
    let id = IamId::parse(iam_id)
        .map_err(|_| Error::invalid("iam_id", "The property 'iam_id' is not an IAM id."))?;
    let fits = MemberKind::of(&id)
        .ok_or_else(|| Error::invalid("iam_id", "The identity cannot be a member of an access group."))?;
    match kind {
        Some(kind) if MemberKind::parse(kind) != Some(fits) => Err(Error::invalid(
            "type",
            "The property 'type' must be user, service or profile and fit the IAM id.",
        )),
        _ => Ok((id, fits)),
    }
}

/// Adds an identity to a group. `limit` is the most groups of one member, 0 for none.
///
/// # Errors
/// `Limit`.
pub(super) fn join(tx: &mut Tx<'_>, account: &AccountId, member: &Member, limit: u32) -> Result<Member> {
    if let Some(present) = sql::member(tx, &member.group, &member.iam_id)? {
        return Ok(present);
    }
    if limit > 0 && sql::groups_of(tx, account, &member.iam_id)?.len() >= limit as usize {
        let text = format!("An identity can be a member of at most {limit} access groups.");
        return Err(Error::new(Kind::Limit, text).code("error_occurred"));
    }
    sql::join(tx, account, member)?;
    Ok(member.clone())
}

async fn add(ctx: Ctx, request: Request) -> Result<Response> {
    let body: AddMembers = from_value(json_body(&request)?)?;
    let group = load(&ctx, &request).await?;
    let permit = authorize(&ctx, "iam-groups.members.add", &group).await?;
    refuse_public(&group)?;
    if body.members.is_empty() || body.members.len() > PER_CALL {
        return Err(Error::invalid("members", "The property 'members' must have 1 to 50 members."));
    }
    let (now, by, trace) =
        (ctx.now(), ctx.caller()?.iam_id().as_str().to_owned(), ctx.transaction_id().to_owned());
    let limit = ctx.app().config.limits.groups_per_member;
    let items = ctx
        .write(permit, move |tx, event| {
            event.status = 207;
            let ids: Vec<&str> = body.members.iter().map(|m| m.iam_id.as_str()).collect();
            event.target(group.crn(), &group.name).request("members", ids);
            // The group may have gone since it was decided on.
            sql::get(tx, &group.id)?.ok_or_else(|| super::not_found(group.id.as_str()))?;
            let mut items = Vec::with_capacity(body.members.len());
            for new in &body.members {
                items.push(add_one(tx, &group, new, Stamp { now, by: &by, trace: &trace, limit })?);
            }
            Ok(items)
        })
        .await?;
    Response::json(207, &json!({"members": items}))
}

struct Stamp<'a> {
    now: Timestamp,
    by: &'a str,
    trace: &'a str,
    limit: u32,
}

fn add_one(tx: &mut Tx<'_>, group: &Group, new: &NewMember, stamp: Stamp<'_>) -> Result<Value> {
    let mut item = Map::new();
    item.insert("iam_id".into(), json!(new.iam_id));
    let added = identity(&new.iam_id, new.kind.as_deref()).and_then(|(id, kind)| {
        let member = Member {
            group: group.id.clone(),
            iam_id: id.as_str().to_owned(),
            kind,
            created_at: stamp.now,
            created_by: stamp.by.to_owned(),
        };
        join(tx, &group.account, &member, stamp.limit)
    });
    match added {
        Ok(member) => {
            item.insert("type".into(), json!(member.kind.as_str()));
            item.insert("created_at".into(), json!(member.created_at.rfc3339_millis()));
            item.insert("created_by_id".into(), json!(member.created_by));
            item.insert("status_code".into(), json!(200));
            item.insert("trace".into(), json!(stamp.trace));
        }
        Err(e) if matches!(e.kind(), Kind::Invalid | Kind::Limit) => {
            if let Some(kind) = &new.kind {
                item.insert("type".into(), json!(kind));
            }
            failed(&mut item, &e, stamp.trace);
        }
        Err(e) => return Err(e),
    }
    Ok(Value::Object(item))
}

async fn is_member(ctx: Ctx, request: Request) -> Result<Response> {
    let iam_id = request.param("iam_id")?.to_owned();
    let group = load(&ctx, &request).await?;
    authorize(&ctx, "iam-groups.members.read", &group).await?;
    let (id, wanted) = (group.id.clone(), iam_id.clone());
    match ctx.read(move |tx| sql::member(tx, &id, &wanted)).await? {
        Some(_) => {
            ctx.detail(|d| {
                d.request("members", vec![iam_id]);
            });
            Ok(Response::empty(204))
        }
        None => Err(not_member(&iam_id, group.id.as_str())),
    }
}

async fn list(ctx: Ctx, request: Request) -> Result<Response> {
    let page = Page::read(&request)?;
    let verbose = request.query_bool("verbose")?.unwrap_or(false);
    let membership = request.query("membership_type")?;
    let kind = request.query("type")?;
    let sort = request.query("sort")?.unwrap_or_default();
    let wanted_kind = match kind.as_deref() {
        None | Some("all") => None,
        Some(text) => Some(MemberKind::parse(text).ok_or_else(|| {
            Error::invalid(
                "type",
                "The query parameter 'type' must be 'user', 'service', 'profile' or 'all'.",
            )
        })?),
    };
    if membership.as_deref().is_some_and(|m| !["static", "dynamic", "all"].contains(&m)) {
        return Err(Error::invalid(
            "membership_type",
            "The query parameter 'membership_type' must be 'static', 'dynamic' or 'all'.",
        ));
    }
    let group = load(&ctx, &request).await?;
    authorize(&ctx, "iam-groups.members.list", &group).await?;
    let (id, account) = (group.id.clone(), group.account.clone());
    let app = ctx.app().clone();
    let (members, names) = ctx
        .read(move |tx| {
            let members = sql::members(tx, &id)?;
            let names = if verbose { names(tx, &app, &account, &members)? } else { HashMap::new() };
            Ok((members, names))
        })
        .await?;
    let mut members: Vec<Member> = members
        .into_iter()
        .filter(|_| membership.as_deref() != Some("dynamic"))
        .filter(|m| wanted_kind.is_none_or(|k| k == m.kind))
        .collect();
    let (column, descending) = match sort.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (sort.as_str(), false),
    };
    let name =
        |m: &Member| names.get(&m.iam_id).and_then(|n| n.name.clone()).unwrap_or_default().to_lowercase();
    match column {
        "name" => members.sort_by_cached_key(|m| (name(m), m.iam_id.clone())),
        "id" | "iam_id" => members.sort_by(|a, b| a.iam_id.cmp(&b.iam_id)),
        "type" => members.sort_by(|a, b| (a.kind.as_str(), &a.iam_id).cmp(&(b.kind.as_str(), &b.iam_id))),
        _ => {}
    }
    if descending {
        members.reverse();
    }
    let total = members.len();
    let base = ctx.app().config.origin();
    let items = page.of(members).iter().map(|m| render(m, &base, names.get(&m.iam_id))).collect();
    Response::json(200, &page.body(&request, total, "members", items))
}

/// How a member is called.
#[derive(Debug, Default)]
struct Names {
    name: Option<String>,
    email: Option<String>,
    description: Option<String>,
}

fn names(
    tx: &mut Tx<'_>,
    app: &App,
    account: &AccountId,
    members: &[Member],
) -> Result<HashMap<String, Names>> {
    let mut out = HashMap::new();
    for member in members {
        let Ok(id) = IamId::parse(&member.iam_id) else { continue };
        // Identities of other accounts stay nameless.
        let names = if let Some(profile) = id.as_profile() {
            let found = profiles::sql::get(tx, &profile)?.filter(|p| p.account == *account);
            found.map(|p| Names { name: Some(p.name), email: None, description: p.description })
        } else if let Some(service_id) = id.as_service_id() {
            let found = service_ids::sql::get(tx, &service_id)?.filter(|s| s.account == *account);
            found.map(|s| Names { name: Some(s.name), email: None, description: s.description })
        } else {
            let found = app.links.identities.person(tx, account, &id)?;
            found.map(|p| Names { name: Some(p.full_name()), email: Some(p.email), description: None })
        };
        out.extend(names.map(|n| (member.iam_id.clone(), n)));
    }
    Ok(out)
}

fn render(m: &Member, base: &str, names: Option<&Names>) -> Value {
    let mut out = Map::new();
    out.insert("iam_id".into(), json!(m.iam_id));
    out.insert("type".into(), json!(m.kind.as_str()));
    out.insert("membership_type".into(), json!("static"));
    if let Some(names) = names {
        let fields = [("name", &names.name), ("email", &names.email), ("description", &names.description)];
        for (field, value) in fields {
            if let Some(value) = value {
                out.insert(field.into(), json!(value));
            }
        }
    }
    out.insert("href".into(), json!(format!("{base}/v2/groups/{}/members/{}", m.group, m.iam_id)));
    out.insert("created_at".into(), json!(m.created_at.rfc3339_millis()));
    out.insert("created_by_id".into(), json!(m.created_by));
    Value::Object(out)
}

async fn remove(ctx: Ctx, request: Request) -> Result<Response> {
    let iam_id = request.param("iam_id")?.to_owned();
    let group = load(&ctx, &request).await?;
    let permit = authorize(&ctx, "iam-groups.members.delete", &group).await?;
    ctx.write(permit, move |tx, event| {
        event.status = 204;
        event.target(group.crn(), &group.name).request("members", vec![iam_id.as_str()]);
        if sql::leave(tx, &group.account, group.id.as_str(), &iam_id)? {
            Ok(())
        } else {
            Err(not_member(&iam_id, group.id.as_str()))
        }
    })
    .await?;
    Ok(Response::empty(204))
}

async fn remove_many(ctx: Ctx, request: Request) -> Result<Response> {
    let body: RemoveMembers = from_value(json_body(&request)?)?;
    let group = load(&ctx, &request).await?;
    let permit = authorize(&ctx, "iam-groups.members.delete", &group).await?;
    if body.members.is_empty() || body.members.len() > PER_CALL {
        return Err(Error::invalid("members", "The property 'members' must have 1 to 50 members."));
    }
    let trace = ctx.transaction_id().to_owned();
    let id = group.id.clone();
    let items = ctx
        .write(permit, move |tx, event| {
            event.status = 207;
            event.target(group.crn(), &group.name).request("members", body.members.clone());
            let mut items = Vec::with_capacity(body.members.len());
            let mut any = false;
            for iam_id in &body.members {
                let mut item = Map::new();
                item.insert("iam_id".into(), json!(iam_id));
                if sql::leave(tx, &group.account, group.id.as_str(), iam_id)? {
                    any = true;
                    item.insert("status_code".into(), json!(204));
                    item.insert("trace".into(), json!(trace));
                } else {
                    failed(&mut item, &not_member(iam_id, group.id.as_str()), &trace);
                }
                items.push(Value::Object(item));
            }
            if any {
                return Ok(items);
            }
            let text = format!("None of the identities is a member of the access group {}.", group.id);
            Err(Error::new(Kind::NotFound, text).code("member_not_found"))
        })
        .await?;
    Response::json(207, &json!({"access_group_id": id.as_str(), "members": items}))
}
