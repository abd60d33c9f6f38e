//! Service IDs: identities for software that still needs an API key.

pub mod http;
pub mod sql;

use avouch_gate::{Ctx, Endpoint, Kind, Permit, Result, Target};
use avouch_policy::access::ResourceAttrs;
use avouch_wire::crn::Crn;
use avouch_wire::ids::{AccountId, IamId, ServiceIdId};
use avouch_wire::time::Timestamp;
use serde_json::{Value, json};

use crate::paging::put;

/// A service ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceId {
    /// Id.
    pub id: ServiceIdId,
    /// Account.
    pub account: AccountId,
    /// Group; `None`: the default group.
    pub group: Option<String>,
    /// Name; need not be unique.
    pub name: String,
    /// Description.
    pub description: Option<String>,
    /// Copied into its tokens.
    pub unique_instance_crns: Vec<String>,
    /// Changes are refused.
    pub locked: bool,
    /// Revision.
    pub etag: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom; the creator administers it.
    pub created_by: String,
    /// When it was last changed.
    pub modified_at: Timestamp,
}

impl ServiceId {
    /// `iam-ServiceId-…`.
    pub fn iam_id(&self) -> IamId {
        IamId::service_id(&self.id)
    }

    /// CRN.
    pub fn crn(&self) -> Crn {
        Crn::service_id(&self.account, &self.id)
    }
}

/// The published shape.
pub fn render(s: &ServiceId, show_group: bool) -> Value {
    let mut out = json!({
        "id": s.id.as_str(),
        "iam_id": s.iam_id().as_str(),
        "entity_tag": s.etag,
        "crn": s.crn().to_string(),
        "locked": s.locked,
        "created_at": s.created_at.iam(),
        "modified_at": s.modified_at.iam(),
        "account_id": s.account.as_str(),
        "name": s.name,
    });
    put(&mut out, "description", s.description.clone());
    if !s.unique_instance_crns.is_empty() {
        put(&mut out, "unique_instance_crns", Some(s.unique_instance_crns.clone()));
    }
    if show_group {
        put(&mut out, "group_id", s.group.clone());
    }
    out
}

/// A service ID as a decision and audit target; `None`: the collection.
pub fn target(account: &AccountId, service_id: Option<&ServiceId>) -> Target {
    let attrs = ResourceAttrs::service(account, "iam-identity");
    match service_id {
        Some(s) => Target::global(
            "iam-identity",
            account,
            attrs.resource("serviceid", s.id.as_str()),
            s.crn().to_string(),
        )
        .named(&s.name),
        None => Target::global("iam-identity", account, attrs.resource_type("serviceid"), ""),
    }
}

/// Decides by policy, or because the caller made it: whoever creates a service ID administers it.
///
/// # Errors
/// `NotFound` across accounts, else `Forbidden`.
pub async fn decide(ctx: &Ctx, s: &ServiceId, action: &str) -> Result<Permit> {
    let target = target(&s.account, Some(s));
    let caller = ctx.caller()?;
    if caller.iam_id().as_str() == s.created_by && *caller.account() == s.account {
        return ctx.authorize_self(caller.iam_id(), action, &target);
    }
    ctx.authorize(action, &target).await.map_err(|e| match e.kind() {
        Kind::NotFound => http::not_found(s.id.as_str()),
        _ => e,
    })
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const TARGET: &str = "iam-identity/account-serviceid";
    const GET: &[&str] = &["iam-identity.serviceid.get"];
    const UPDATE: &[&str] = &["iam-identity.serviceid.update"];
    vec![
        Endpoint::get("/v1/serviceids", "list_service_ids", http::list).actions(GET),
        Endpoint::post("/v1/serviceids", "create_service_id", http::create)
            .actions(&["iam-identity.serviceid.create"])
            .events(
                TARGET,
                &["iam-identity.account-serviceid.create", "iam-identity.serviceid-apikey.create"],
            ),
        Endpoint::get("/v1/serviceids/{id}", "get_service_id", http::get).actions(GET),
        Endpoint::put("/v1/serviceids/{id}", "update_service_id", http::update)
            .actions(UPDATE)
            .events(TARGET, &["iam-identity.account-serviceid.update"]),
        Endpoint::delete("/v1/serviceids/{id}", "delete_service_id", http::delete)
            .actions(&["iam-identity.serviceid.delete"])
            .events(
                TARGET,
                &["iam-identity.account-serviceid.delete", "iam-identity.serviceid-apikey.delete"],
            ),
        Endpoint::post("/v1/serviceids/{id}/lock", "lock_service_id", http::lock)
            .protective(true)
            .actions(UPDATE)
            .events(TARGET, &["iam-identity.account-serviceid.update"]),
        Endpoint::delete("/v1/serviceids/{id}/lock", "unlock_service_id", http::unlock)
            .protective(false)
            .actions(UPDATE)
            .events(TARGET, &["iam-identity.account-serviceid.update"]),
    ]
}
