//! Requests on network ACLs and their rules.

use avouch_gate::{Error, Response, Result};
use serde_json::Value;

use super::rules::{self, Patch, Rule};
use super::{NETWORK_ACL, NetworkAcl};
use crate::call::Call;
use crate::errors::{in_parameter, in_use, not_found};
use crate::fields::Fields;
use crate::names;
use crate::objects::{self, Object, children, http as common, sql, within};
use crate::paging::{self, Wanted};
use crate::vpcs::Vpc;

const READ: &str = "is.network-acl.network-acl.read";
const UPDATE: &str = "is.network-acl.network-acl.update";

pub async fn list(call: Call) -> Result<Response> {
    let keep = paging::by_group::<NetworkAcl>(&call)?;
    paging::list(&call, Wanted { plural: "network_acls", action: READ, parent: None }, keep).await
}

pub async fn get(call: Call) -> Result<Response> {
    common::get::<NetworkAcl>(call, READ).await
}

pub async fn create(call: Call) -> Result<Response> {
    let mut fields = Fields::of(&call.request)?;
    let vpc = fields.identity("vpc")?;
    let vpc = fields.must("vpc", vpc)?;
    let name = call.name(&mut fields)?;
    let source = fields.identity("source_network_acl")?;
    let listed = fields.objects("rules")?;
    if source.is_some() && listed.is_some() {
        return Err(Error::invalid("rules", "Give either 'rules' or 'source_network_acl'."));
    }
    let mut all = Vec::new();
    for fields in listed.unwrap_or_default() {
        let (rule, before) = Rule::read(&call, fields)?;
        if let Some((field, _)) = before {
            return Err(Error::invalid(field, "Rules of a new ACL stand in their order."));
        }
        rules::put(&mut all, rule, None)?;
    }
    let group = call.group(&mut fields).await?;
    fields.done()?;
    let permit = call.may_create("is.network-acl.network-acl.create", &NETWORK_ACL, &group.id, &name).await?;
    let vpc: Object<Vpc> = call.usable(&vpc, "is.vpc.vpc.operate").await?;
    if let Some(source) = source {
        let source: Object<NetworkAcl> = call.usable(&source, "is.network-acl.network-acl.operate").await?;
        all = source.body.rules.iter().map(|r| r.copied(&call)).collect();
    }
    let body = NetworkAcl { default: false, rules: all };
    let object = objects::new(&call, (call.id(None), name), &group.id, body).below(&vpc.id);
    common::create(&call, permit, object, |tx, view, o| {
        let limits = &view.app.config.limits;
        sql::still::<Vpc>(tx, &view.account, &o.parent)?;
        let have = sql::count(tx, &view.account, &NETWORK_ACL, Some(&o.parent))?;
        within(limits.network_acls_per_vpc, have, "network ACLs")?;
        within(limits.rules_per_network_acl, o.body.rules.len().saturating_sub(1), "rules")
    })
    .await
}

pub async fn update(call: Call) -> Result<Response> {
    let name = common::renamed(&call)?;
    common::update::<NetworkAcl, _>(call, UPDATE, move |_, _, o| {
        names::set(&mut o.name, name.as_ref());
        Ok(())
    })
    .await
}

pub async fn delete(call: Call) -> Result<Response> {
    common::delete::<NetworkAcl, _>(call, "is.network-acl.network-acl.delete", |tx, view, o| {
        if o.body.default {
            return Err(in_use("The default network ACL goes with its VPC only."));
        }
        if sql::users(tx, &view.account, (&NETWORK_ACL, &o.id))?.is_empty() {
            return Ok(());
        }
        Err(in_use("The network ACL is used by subnets."))
    })
    .await
}

fn no_rule() -> Error {
    not_found("rule")
}

fn rule_of(call: &Call) -> Result<String> {
    let id = call.param("network_acl_rule")?.to_owned();
    children::tell(call, "rule", &id);
    Ok(id)
}

fn show_one(call: &Call, status: u16, acl: &Object<NetworkAcl>, id: &str) -> Result<Response> {
    let all = rules::render_all(&acl.body.rules, &acl.href(&call.view));
    let is = |v: &Value| v.get("id").and_then(Value::as_str) == Some(id);
    Response::json(status, &all.into_iter().find(is).ok_or_else(no_rule)?)
}

pub async fn list_rules(call: Call) -> Result<Response> {
    let (acl, _) = call.permitted::<NetworkAcl>(READ).await?;
    let direction = call.request.query("direction").map_err(in_parameter)?;
    let mut all = rules::render_all(&acl.body.rules, &acl.href(&call.view));
    all.retain(|r| {
        direction.as_deref().is_none_or(|d| r.get("direction").and_then(Value::as_str) == Some(d))
    });
    // In their order, which is what they are decided by.
    paging::in_order(&call, "rules", all)
}

pub async fn get_rule(call: Call) -> Result<Response> {
    let (acl, _) = call.permitted::<NetworkAcl>(READ).await?;
    let id = rule_of(&call)?;
    show_one(&call, 200, &acl, &id)
}

pub async fn create_rule(call: Call) -> Result<Response> {
    let (rule, before) = Rule::read(&call, Fields::of(&call.request)?)?;
    let (acl, permit) = call.permitted::<NetworkAcl>(UPDATE).await?;
    let id = rule.id.clone();
    children::tell(&call, "rule", &id);
    call.ctx.detail(|d| d.status = 201);
    let acl = common::written(&call, permit, acl.id, move |_, view, o: &mut Object<NetworkAcl>| {
        within(view.app.config.limits.rules_per_network_acl, o.body.rules.len(), "rules")?;
        rules::put(&mut o.body.rules, rule.clone(), before.as_ref())
    })
    .await?;
    show_one(&call, 201, &acl, &id)
}

pub async fn update_rule(call: Call) -> Result<Response> {
    let patch = Patch::read(Fields::patch(&call.request)?)?;
    let (acl, permit) = call.permitted::<NetworkAcl>(UPDATE).await?;
    let id = rule_of(&call)?;
    let wanted = id.clone();
    let acl = common::written(&call, permit, acl.id, move |_, _, o: &mut Object<NetworkAcl>| {
        if patch.apply(&mut o.body.rules, &wanted)? { Ok(()) } else { Err(no_rule()) }
    })
    .await?;
    show_one(&call, 200, &acl, &id)
}

pub async fn delete_rule(call: Call) -> Result<Response> {
    let (acl, permit) = call.permitted::<NetworkAcl>(UPDATE).await?;
    let id = rule_of(&call)?;
    call.ctx.detail(|d| d.status = 204);
    common::written(&call, permit, acl.id, move |_, _, o: &mut Object<NetworkAcl>| {
        let before = o.body.rules.len();
        o.body.rules.retain(|r| r.id != id);
        if o.body.rules.len() == before { Err(no_rule()) } else { Ok(()) }
    })
    .await?;
    Ok(Response::empty(204))
}
