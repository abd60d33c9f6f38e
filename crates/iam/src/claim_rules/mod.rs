//! Claim rules: a profile trusts whatever satisfies all conditions of one of its rules.

pub mod http;
pub mod sql;

use avouch_gate::{Endpoint, Result};
use avouch_policy::rules::{ClaimRule, Condition, CrType};
use avouch_store::Tx;
use avouch_wire::ids::{AccountId, ClaimRuleId, ProfileId};
use avouch_wire::time::Timestamp;
use serde_json::{Value, json};

use crate::paging::put;

/// A stored rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Id.
    pub id: ClaimRuleId,
    /// Account of the profile.
    pub account: AccountId,
    /// Profile.
    pub profile: ProfileId,
    /// Label.
    pub name: Option<String>,
    /// `Profile-CR` or `Profile-SAML`.
    pub kind: String,
    /// Realm, for federated users.
    pub realm_name: Option<String>,
    /// Kind of compute resource.
    pub cr_type: Option<String>,
    /// Session length in seconds, for federated users.
    pub expiration: i64,
    /// Conditions, as they were sent.
    pub conditions: Vec<Value>,
    /// Revision.
    pub etag: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub modified_at: Timestamp,
}

/// The published shape.
pub fn render(r: &Rule) -> Value {
    let mut out = json!({
        "id": r.id.as_str(),
        "entity_tag": r.etag,
        "created_at": r.created_at.iam(),
        "modified_at": r.modified_at.iam(),
        "type": r.kind,
        "expiration": r.expiration,
        "conditions": r.conditions,
    });
    put(&mut out, "name", r.name.clone());
    put(&mut out, "realm_name", r.realm_name.clone());
    put(&mut out, "cr_type", r.cr_type.clone());
    out
}

/// The compute-resource rules of a profile, as the decision reads them. A stored rule that this version does not
/// understand never holds.
///
/// # Errors
/// Those of the store.
pub fn of_profile(tx: &mut Tx<'_>, profile: &ProfileId) -> Result<Vec<ClaimRule>> {
    let text = |v: &Value, name: &str| v.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let rules = sql::list(tx, profile)?;
    Ok(rules
        .into_iter()
        .filter(|r| r.kind == "Profile-CR")
        .filter_map(|r| {
            Some(ClaimRule {
                cr_type: CrType::parse(r.cr_type.as_deref()?)?,
                conditions: r
                    .conditions
                    .iter()
                    .map(|c| Condition::stored(&text(c, "claim"), &text(c, "operator"), &text(c, "value")))
                    .collect(),
                id: r.id,
                name: r.name,
            })
        })
        .collect())
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const TARGET: &str = "iam-identity/profile-rule";
    const UPDATE: &[&str] = &["iam-identity.profile.update"];
    const GET: &[&str] = &["iam-identity.profile.get"];
    vec![
        Endpoint::post("/v1/profiles/{id}/rules", "create_claim_rule", http::create)
            .actions(UPDATE)
            .events(TARGET, &["iam-identity.profile-rule.create"]),
        Endpoint::get("/v1/profiles/{id}/rules", "list_claim_rules", http::list).actions(GET),
        Endpoint::get("/v1/profiles/{id}/rules/{rule}", "get_claim_rule", http::get).actions(GET),
        Endpoint::put("/v1/profiles/{id}/rules/{rule}", "update_claim_rule", http::update)
            .actions(UPDATE)
            .events(TARGET, &["iam-identity.profile-rule.update"]),
        Endpoint::delete("/v1/profiles/{id}/rules/{rule}", "delete_claim_rule", http::delete)
            .actions(UPDATE)
            .events(TARGET, &["iam-identity.profile-rule.delete"]),
    ]
}
