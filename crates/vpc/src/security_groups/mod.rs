//! Security groups of a VPC: what may reach the interfaces in them, and what these may reach.

pub mod http;
pub mod rules;

use avouch_gate::{Endpoint, Result};
use avouch_store::Tx;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::call::{self, View};
use crate::interfaces::{INTERFACE, Interface};
use crate::objects::{Body, Kind, Object, sql};
use crate::vpcs::Vpc;
pub use rules::Rule;

/// The kind.
pub const SECURITY_GROUP: Kind = Kind {
    word: "security-group",
    path: "security_groups",
    below: "",
    attribute: "securityGroupId",
    display: "security group",
    resource_type: "",
    crn: true,
};

/// What a security group knows of itself; its parent is the VPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// Whether the VPC came with it.
    pub default: bool,
    /// Its rules, oldest first.
    pub rules: Vec<Rule>,
}

/// The interfaces in the group.
///
/// # Errors
/// Those of the store.
pub fn targets(tx: &mut Tx<'_>, view: &View, group: &str) -> Result<Vec<Object<Interface>>> {
    let mut out = Vec::new();
    for (kind, id) in sql::users(tx, &view.account, (&SECURITY_GROUP, group))? {
        if kind == INTERFACE.word {
            out.push(sql::need(tx, &view.account, &id)?);
        }
    }
    Ok(out)
}

impl Body for SecurityGroup {
    const KIND: &'static Kind = &SECURITY_GROUP;

    fn render(o: &Object<Self>, tx: &mut Tx<'_>, view: &View) -> Result<Value> {
        let vpc: Object<Vpc> = sql::need(tx, &view.account, &o.parent)?;
        let targets: Vec<Value> = targets(tx, view, &o.id)?.iter().map(|t| t.reference(view)).collect();
        let mut shown = Vec::with_capacity(o.body.rules.len());
        for rule in &o.body.rules {
            shown.push(rule.render(&o.href(view), tx, view)?);
        }
        Ok(json!({
            "created_at": o.created_at.rfc3339_millis(),
            "crn": o.crn(view),
            "href": o.href(view),
            "id": o.id,
            "name": o.name,
            "resource_group": view.group(tx, &o.group)?,
            "rules": shown,
            "targets": targets,
            "vpc": vpc.reference(view),
        }))
    }
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const GROUP: &str = "is.security-group/security-group";
    const RULE: &str = "is.security-group/security-group-rule";
    const TARGET: &str = "is.security-group/security-group-target";
    const READ: &[&str] = &["is.security-group.security-group.read"];
    const UPDATE: &[&str] = &["is.security-group.security-group.update"];
    const RULES: &str = "/v1/security_groups/{id}/rules";
    const ONE_RULE: &str = "/v1/security_groups/{id}/rules/{security_group_rule}";
    const TARGETS: &str = "/v1/security_groups/{id}/targets";
    const ONE_TARGET: &str = "/v1/security_groups/{id}/targets/{security_group_target}";
    const BIND: &[&str] = &[
        "is.security-group.security-group.operate",
        "is.virtual-network-interface.virtual-network-interface.update",
    ];
    vec![
        call::get("/v1/security_groups", "list_security_groups", http::list)
            .actions(READ)
            .events(GROUP, READ),
        call::post("/v1/security_groups", "create_security_group", http::create)
            .actions(&["is.security-group.security-group.create", "is.vpc.vpc.operate"])
            .events(GROUP, &["is.security-group.security-group.create"]),
        call::get("/v1/security_groups/{id}", "get_security_group", http::get)
            .actions(READ)
            .events(GROUP, READ),
        call::patch("/v1/security_groups/{id}", "update_security_group", http::update)
            .actions(UPDATE)
            .events(GROUP, UPDATE),
        call::delete("/v1/security_groups/{id}", "delete_security_group", http::delete)
            .actions(&["is.security-group.security-group.delete"])
            .events(GROUP, &["is.security-group.security-group.delete"]),
        call::get(RULES, "list_security_group_rules", http::list_rules)
            .actions(READ)
            .events(RULE, &["is.security-group.security-group-rule.read"]),
        call::post(RULES, "create_security_group_rule", http::create_rule)
            .actions(UPDATE)
            .events(RULE, &["is.security-group.security-group-rule.create"]),
        call::get(ONE_RULE, "get_security_group_rule", http::get_rule)
            .actions(READ)
            .events(RULE, &["is.security-group.security-group-rule.read"]),
        call::patch(ONE_RULE, "update_security_group_rule", http::update_rule)
            .actions(UPDATE)
            .events(RULE, &["is.security-group.security-group-rule.update"]),
        call::delete(ONE_RULE, "delete_security_group_rule", http::delete_rule)
            .actions(UPDATE)
            .events(RULE, &["is.security-group.security-group-rule.delete"]),
        call::get(TARGETS, "list_security_group_targets", http::list_targets)
            .actions(READ)
            .events(TARGET, &["is.security-group.security-group-target.read"]),
        call::get(ONE_TARGET, "get_security_group_target", http::get_target)
            .actions(READ)
            .events(TARGET, &["is.security-group.security-group-target.read"]),
        call::put(ONE_TARGET, "create_security_group_target_binding", http::put_target)
            .actions(BIND)
            .events(TARGET, &["is.security-group.security-group-target.attach"]),
        call::delete(ONE_TARGET, "delete_security_group_target_binding", http::delete_target)
            .actions(BIND)
            .events(TARGET, &["is.security-group.security-group-target.detach"]),
    ]
}
