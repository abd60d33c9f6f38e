//! Requests on security groups, their rules and their targets.

use avouch_gate::{Error, Permit, Response, Result};
use serde_json::{Value, json};

use super::rules::{Draft, Patch, use_groups};
use super::{SECURITY_GROUP, SecurityGroup, targets};
use crate::call::Call;
use crate::errors::{in_use, not_found};
use crate::fields::Fields;
use crate::interfaces::{INTERFACE, Interface};
use crate::names;
use crate::objects::{self, Object, children, http as common, sql, within};
use crate::paging::{self, Wanted};
use crate::vpcs::Vpc;

const READ: &str = "is.security-group.security-group.read";
const UPDATE: &str = "is.security-group.security-group.update";

pub async fn list(call: Call) -> Result<Response> {
    let mut keep = paging::by_group::<SecurityGroup>(&call)?;
    keep.extend(paging::by_vpc(&call)?);
    paging::list(&call, Wanted { plural: "security_groups", action: READ, parent: None }, keep).await
}

pub async fn get(call: Call) -> Result<Response> {
    common::get::<SecurityGroup>(call, READ).await
}

pub async fn create(call: Call) -> Result<Response> {
    let mut fields = Fields::of(&call.request)?;
    let vpc = fields.identity("vpc")?;
    let vpc = fields.must("vpc", vpc)?;
    let name = call.name(&mut fields)?;
    let mut drafts = Vec::new();
    for fields in fields.objects("rules")?.unwrap_or_default() {
        drafts.push(Draft::read(&call, fields)?);
    }
    let group = call.group(&mut fields).await?;
    fields.done()?;
    let permit =
        call.may_create("is.security-group.security-group.create", &SECURITY_GROUP, &group.id, &name).await?;
    let vpc: Object<Vpc> = call.usable(&vpc, "is.vpc.vpc.operate").await?;
    let body = SecurityGroup { default: false, rules: Vec::new() };
    let object = objects::new(&call, (call.id(None), name), &group.id, body).below(&vpc.id);
    common::create(&call, permit, object, move |tx, view, o| {
        let limits = &view.app.config.limits;
        sql::still::<Vpc>(tx, &view.account, &o.parent)?;
        let have = sql::count(tx, &view.account, &SECURITY_GROUP, Some(&o.parent))?;
        within(limits.security_groups_per_vpc, have, "security groups")?;
        within(limits.rules_per_security_group, drafts.len().saturating_sub(1), "rules")?;
        for draft in &drafts {
            draft.add(tx, view, o)?;
        }
        use_groups(tx, view, o)
    })
    .await
}

pub async fn update(call: Call) -> Result<Response> {
    let name = common::renamed(&call)?;
    common::update::<SecurityGroup, _>(call, UPDATE, move |_, _, o| {
        names::set(&mut o.name, name.as_ref());
        Ok(())
    })
    .await
}

pub async fn delete(call: Call) -> Result<Response> {
    common::delete::<SecurityGroup, _>(call, "is.security-group.security-group.delete", |tx, view, o| {
        if o.body.default {
            return Err(in_use("The default security group goes with its VPC only."));
        }
        if sql::users(tx, &view.account, (&SECURITY_GROUP, &o.id))?.is_empty() {
            return Ok(());
        }
        Err(in_use("The security group is used by interfaces or by rules of other groups."))
    })
    .await
}

fn no_rule() -> Error {
    not_found("rule")
}

fn rule_of(call: &Call) -> Result<String> {
    let id = call.param("security_group_rule")?.to_owned();
    children::tell(call, "rule", &id);
    Ok(id)
}

/// Rules of a group as they are shown; one of them, or all.
async fn shown(call: &Call, group: Object<SecurityGroup>, one: Option<String>) -> Result<Vec<Value>> {
    let view = call.view.clone();
    call.ctx
        .read(move |tx| {
            let rules = group.body.rules.iter().filter(|r| one.as_ref().is_none_or(|id| *id == r.id));
            rules.map(|r| r.render(&group.href(&view), tx, &view)).collect()
        })
        .await
}

async fn show_one(call: &Call, status: u16, group: Object<SecurityGroup>, id: String) -> Result<Response> {
    let rule = shown(call, group, Some(id)).await?.into_iter().next().ok_or_else(no_rule)?;
    Response::json(status, &rule)
}

pub async fn list_rules(call: Call) -> Result<Response> {
    let (group, _) = call.permitted::<SecurityGroup>(READ).await?;
    Response::json(200, &json!({"rules": shown(&call, group, None).await?}))
}

pub async fn get_rule(call: Call) -> Result<Response> {
    let (group, _) = call.permitted::<SecurityGroup>(READ).await?;
    let id = rule_of(&call)?;
    show_one(&call, 200, group, id).await
}

pub async fn create_rule(call: Call) -> Result<Response> {
    let draft = Draft::read(&call, Fields::of(&call.request)?)?;
    let (group, permit) = call.permitted::<SecurityGroup>(UPDATE).await?;
    let id = draft.id().to_owned();
    children::tell(&call, "rule", &id);
    call.ctx.detail(|d| d.status = 201);
    let group = common::written(&call, permit, group.id, move |tx, view, o: &mut Object<SecurityGroup>| {
        let limit = view.app.config.limits.rules_per_security_group;
        within(limit, o.body.rules.len(), "rules")?;
        draft.add(tx, view, o)?;
        use_groups(tx, view, o)
    })
    .await?;
    show_one(&call, 201, group, id).await
}

pub async fn update_rule(call: Call) -> Result<Response> {
    let patch = Patch::read(Fields::patch(&call.request)?)?;
    let (group, permit) = call.permitted::<SecurityGroup>(UPDATE).await?;
    let id = rule_of(&call)?;
    let wanted = id.clone();
    let group = common::written(&call, permit, group.id, move |tx, view, o: &mut Object<SecurityGroup>| {
        if !patch.apply(tx, view, (o, &wanted))? {
            return Err(no_rule());
        }
        use_groups(tx, view, o)
    })
    .await?;
    show_one(&call, 200, group, id).await
}

pub async fn delete_rule(call: Call) -> Result<Response> {
    let (group, permit) = call.permitted::<SecurityGroup>(UPDATE).await?;
    let id = rule_of(&call)?;
    call.ctx.detail(|d| d.status = 204);
    common::written(&call, permit, group.id, move |tx, view, o: &mut Object<SecurityGroup>| {
        let before = o.body.rules.len();
        o.body.rules.retain(|r| r.id != id);
        if o.body.rules.len() == before {
            return Err(no_rule());
        }
        use_groups(tx, view, o)
    })
    .await?;
    Ok(Response::empty(204))
}

pub async fn list_targets(call: Call) -> Result<Response> {
    let (group, _) = call.permitted::<SecurityGroup>(READ).await?;
    let window = paging::window(&call)?;
    let view = call.view.clone();
    let mut all = call.ctx.read(move |tx| targets(tx, &view, &group.id)).await?;
    let key = |o: &Object<Interface>| (o.created_at.millis(), o.id.clone());
    all.sort_by_key(|o| std::cmp::Reverse(key(o)));
    let total = all.len();
    let (page, next) = paging::cut(all, &window, key);
    let items = page.iter().map(|o| o.reference(&call.view)).collect();
    Response::json(200, &paging::page(&call, "targets", (items, total), &window, next))
}

/// The interface that the path names, and whether it is in the group.
async fn target_of(call: &Call, group: &str) -> Result<(Object<Interface>, bool)> {
    children::tell(call, "target", call.param("security_group_target")?);
    let unknown = |_| not_found("target");
    let interface: Object<Interface> = call.load("security_group_target").await.map_err(unknown)?;
    let (view, id, group) = (call.view.clone(), interface.id.clone(), group.to_owned());
    let groups =
        call.ctx.read(move |tx| sql::used(tx, &view.account, (&INTERFACE, &id), &SECURITY_GROUP)).await?;
    Ok((interface, groups.contains(&group)))
}

pub async fn get_target(call: Call) -> Result<Response> {
    let (group, _) = call.permitted::<SecurityGroup>(READ).await?;
    match target_of(&call, &group.id).await? {
        (interface, true) => Response::json(200, &interface.reference(&call.view)),
        _ => Err(not_found("target")),
    }
}

/// Group, interface, whether it is in the group, and the permit to change that.
async fn binding(call: &Call) -> Result<(Object<SecurityGroup>, Object<Interface>, bool, Permit)> {
    let (group, permit) = call.permitted::<SecurityGroup>("is.security-group.security-group.operate").await?;
    let (interface, bound) = target_of(call, &group.id).await?;
    let action = "is.virtual-network-interface.virtual-network-interface.update";
    call.authorize(action, &INTERFACE, &call.view.target(&interface)).await?;
    Ok((group, interface, bound, permit))
}

pub async fn put_target(call: Call) -> Result<Response> {
    let (group, interface, bound, permit) = binding(&call).await?;
    if interface.parent != group.parent {
        return Err(Error::conflict("The target is in another VPC."));
    }
    let status = if bound { 200 } else { 201 };
    let shown = interface.reference(&call.view);
    let view = call.view.clone();
    call.ctx
        .write(permit, move |tx, event| {
            event.status = status;
            sql::still::<SecurityGroup>(tx, &view.account, &group.id)?;
            let mut interface: Object<Interface> =
                sql::get(tx, &view.account, &interface.id)?.ok_or_else(|| not_found("target"))?;
            sql::use_it(tx, &view.account, (&INTERFACE, &interface.id), (&SECURITY_GROUP, &group.id))?;
            sql::update(tx, &view.account, &mut interface)
        })
        .await?;
    Response::json(status, &shown)
}

pub async fn delete_target(call: Call) -> Result<Response> {
    let (group, interface, bound, permit) = binding(&call).await?;
    if !bound {
        return Err(not_found("target"));
    }
    let view = call.view.clone();
    call.ctx
        .write(permit, move |tx, event| {
            event.status = 204;
            let mut interface: Object<Interface> =
                sql::get(tx, &view.account, &interface.id)?.ok_or_else(|| not_found("target"))?;
            let user = (&INTERFACE, interface.id.as_str());
            let groups = sql::used(tx, &view.account, user, &SECURITY_GROUP)?;
            if groups.iter().all(|g| *g == group.id) {
                return Err(in_use("An interface is in one security group at least."));
            }
            sql::leave_it(tx, &view.account, user, (&SECURITY_GROUP, &group.id))?;
            sql::update(tx, &view.account, &mut interface)
        })
        .await?;
    Ok(Response::empty(204))
}
