//! Requests on one identity's memberships in all groups of an account.
//!
//! The right is needed on each group: where it is missing, that group answers with 403 and the others still follow.

use avouch_gate::access::Filter;
use avouch_gate::http::request::from_value;
use avouch_gate::{Ctx, Endpoint, Error, Kind, Permit, Request, Response, Result};
use avouch_wire::access::JoinGroups;
use avouch_wire::ids::{AccessGroupId, AccountId};
use serde_json::{Map, Value, json};

use super::http::explained;
use super::members::{failed, identity, join};
use super::{Member, PER_CALL, not_found, sql, target};
use crate::policies::http::{account_param, json_body};

const TARGET: &str = "iam-groups/member";
const PATH: &str = "/v2/groups/_allgroups/members/{iam_id}";

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::put(PATH, "add_member_to_multiple_access_groups", add)
            .actions(&["iam-groups.members.add"])
            .events(TARGET, &["iam-groups.member.add"]),
        Endpoint::delete(PATH, "remove_member_from_all_access_groups", remove)
            .actions(&["iam-groups.members.delete"])
            .events(TARGET, &["iam-groups.member.delete"]),
    ]
}

/// The permit of the request, on the account or on the first group where the caller has the right.
async fn authorize(
    ctx: &Ctx,
    action: &str,
    account: &AccountId,
    groups: &[String],
) -> Result<(Permit, Filter)> {
    let filter = ctx.filter(account).await?;
    let whole = target(account, "", "");
    let on = if filter.permits(action, &whole.attrs) {
        whole
    } else {
        let single = groups.iter().map(|g| target(account, g, "")).find(|t| filter.permits(action, &t.attrs));
        single.unwrap_or(whole)
    };
    let permit = ctx.authorize(action, &on).await.map_err(|e| explained(ctx, e, action))?;
    Ok((permit, filter))
}

async fn add(ctx: Ctx, request: Request) -> Result<Response> {
    let account = account_param(&request)?;
    let body: JoinGroups = from_value(json_body(&request)?)?;
    let iam_id = request.param("iam_id")?.to_owned();
    const ACTION: &str = "iam-groups.members.add";
    let (permit, filter) = authorize(&ctx, ACTION, &account, &body.groups).await?;
    if body.groups.is_empty() || body.groups.len() > PER_CALL {
        return Err(Error::invalid("groups", "The property 'groups' must have 1 to 50 groups."));
    }
    let (id, kind) = identity(&iam_id, body.kind.as_deref())?;
    let (now, by, trace) =
        (ctx.now(), ctx.caller()?.iam_id().as_str().to_owned(), ctx.transaction_id().to_owned());
    let limit = ctx.app().config.limits.groups_per_member;
    let items = ctx
        .write(permit, move |tx, event| {
            event.status = 207;
            event.request("members", vec![id.as_str()]).request("groups", body.groups.clone());
            let mut items = Vec::with_capacity(body.groups.len());
            for text in &body.groups {
                let mut item = Map::new();
                item.insert("access_group_id".into(), json!(text));
                let mut one = || -> Result<()> {
                    let group = AccessGroupId::parse(text).map_err(|_| not_found(text))?;
                    if group.is_public() {
                        return Err(Error::invalid("groups", "The public access group cannot be changed."));
                    }
                    let found = sql::get(tx, &group)?
                        .filter(|g| g.account == account)
                        .ok_or_else(|| not_found(text))?;
                    if !filter.permits(ACTION, &target(&account, text, "").attrs) {
                        return Err(Error::forbidden());
                    }
                    let member = Member {
                        group: found.id,
                        iam_id: id.as_str().to_owned(),
                        kind,
                        created_at: now,
                        created_by: by.clone(),
                    };
                    join(tx, &account, &member, limit).map(|_| ())
                };
                match one() {
                    Ok(()) => {
                        item.insert("status_code".into(), json!(200));
                        item.insert("trace".into(), json!(trace));
                    }
                    Err(e) if expected(&e) => failed(&mut item, &e, &trace),
                    Err(e) => return Err(e),
                }
                items.push(Value::Object(item));
            }
            Ok(items)
        })
        .await?;
    Response::json(207, &json!({"iam_id": iam_id, "groups": items}))
}

/// Failures that belong to one group and not to the request.
fn expected(e: &Error) -> bool {
    matches!(e.kind(), Kind::Invalid | Kind::NotFound | Kind::Forbidden | Kind::Limit)
}

async fn remove(ctx: Ctx, request: Request) -> Result<Response> {
    let account = account_param(&request)?;
    let iam_id = request.param("iam_id")?.to_owned();
    const ACTION: &str = "iam-groups.members.delete";
    let (asked, who) = (account.clone(), iam_id.clone());
    let groups = ctx.read(move |tx| sql::groups_of(tx, &asked, &who)).await?;
    let (permit, filter) = authorize(&ctx, ACTION, &account, &groups).await?;
    let trace = ctx.transaction_id().to_owned();
    let who = iam_id.clone();
    let items = ctx
        .write(permit, move |tx, event| {
            event.status = 207;
            let groups = sql::groups_of(tx, &account, &who)?;
            event.request("members", vec![who.as_str()]).request("groups", groups.clone());
            if groups.is_empty() {
                let shown: String = who.chars().filter(|c| !c.is_control()).take(200).collect();
                let text = format!("{shown} is not a member of any access group.");
                return Err(Error::new(Kind::NotFound, text).code("member_not_found"));
            }
            let mut items = Vec::with_capacity(groups.len());
            for group in &groups {
                let mut item = Map::new();
                item.insert("access_group_id".into(), json!(group));
                if filter.permits(ACTION, &target(&account, group, "").attrs) {
                    sql::leave(tx, &account, group, &who)?;
                    item.insert("status_code".into(), json!(204));
                    item.insert("trace".into(), json!(trace));
                } else {
                    failed(&mut item, &Error::forbidden(), &trace);
                }
                items.push(Value::Object(item));
            }
            Ok(items)
        })
        .await?;
    Response::json(207, &json!({"iam_id": iam_id, "groups": items}))
}
