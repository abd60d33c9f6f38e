//! Network ACLs of a VPC: ordered rules at the border of subnets. The first rule that fits decides.

pub mod http;
pub mod rules;

use avouch_gate::{Endpoint, Result};
use avouch_store::Tx;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::call::{self, View};
use crate::objects::{Body, Kind, Object, sql};
use crate::subnets::{SUBNET, Subnet};
use crate::vpcs::Vpc;
pub use rules::Rule;

/// The kind.
pub const NETWORK_ACL: Kind = Kind {
    word: "network-acl",
    path: "network_acls",
    below: "",
    attribute: "networkAclId",
    display: "network ACL",
    resource_type: "",
    crn: true,
};

/// What a network ACL knows of itself; its parent is the VPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkAcl {
    /// Whether the VPC came with it.
    pub default: bool,
    /// Its rules, in their order.
    pub rules: Vec<Rule>,
}

impl Body for NetworkAcl {
    const KIND: &'static Kind = &NETWORK_ACL;

    fn render(o: &Object<Self>, tx: &mut Tx<'_>, view: &View) -> Result<Value> {
        let vpc: Object<Vpc> = sql::need(tx, &view.account, &o.parent)?;
        let mut subnets = Vec::new();
        for (kind, id) in sql::users(tx, &view.account, (&NETWORK_ACL, &o.id))? {
            if kind == SUBNET.word {
                subnets.push(sql::need::<Subnet>(tx, &view.account, &id)?.reference(view));
            }
        }
        Ok(json!({
            "created_at": o.created_at.rfc3339_millis(),
            "crn": o.crn(view),
            "href": o.href(view),
            "id": o.id,
            "name": o.name,
            "resource_group": view.group(tx, &o.group)?,
            "rules": rules::render_all(&o.body.rules, &o.href(view)),
            "subnets": subnets,
            "vpc": vpc.reference(view),
        }))
    }
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const ACL: &str = "is.network-acl/network-acl";
    const RULE: &str = "is.network-acl/network-acl-rule";
    const READ: &[&str] = &["is.network-acl.network-acl.read"];
    const UPDATE: &[&str] = &["is.network-acl.network-acl.update"];
    const RULES: &str = "/v1/network_acls/{id}/rules";
    const ONE_RULE: &str = "/v1/network_acls/{id}/rules/{network_acl_rule}";
    vec![
        call::get("/v1/network_acls", "list_network_acls", http::list).actions(READ).events(ACL, READ),
        call::post("/v1/network_acls", "create_network_acl", http::create)
            .actions(&[
                "is.network-acl.network-acl.create",
                "is.vpc.vpc.operate",
                "is.network-acl.network-acl.operate",
            ])
            .events(ACL, &["is.network-acl.network-acl.create"]),
        call::get("/v1/network_acls/{id}", "get_network_acl", http::get).actions(READ).events(ACL, READ),
        call::patch("/v1/network_acls/{id}", "update_network_acl", http::update)
            .actions(UPDATE)
            .events(ACL, UPDATE),
        call::delete("/v1/network_acls/{id}", "delete_network_acl", http::delete)
            .actions(&["is.network-acl.network-acl.delete"])
            .events(ACL, &["is.network-acl.network-acl.delete"]),
        call::get(RULES, "list_network_acl_rules", http::list_rules)
            .actions(READ)
            .events(RULE, &["is.network-acl.network-acl-rule.read"]),
        call::post(RULES, "create_network_acl_rule", http::create_rule)
            .actions(UPDATE)
            .events(RULE, &["is.network-acl.network-acl-rule.create"]),
        call::get(ONE_RULE, "get_network_acl_rule", http::get_rule)
            .actions(READ)
            .events(RULE, &["is.network-acl.network-acl-rule.read"]),
        call::patch(ONE_RULE, "update_network_acl_rule", http::update_rule)
            .actions(UPDATE)
            .events(RULE, &["is.network-acl.network-acl-rule.update"]),
        call::delete(ONE_RULE, "delete_network_acl_rule", http::delete_rule)
            .actions(UPDATE)
            .events(RULE, &["is.network-acl.network-acl-rule.delete"]),
    ]
}
