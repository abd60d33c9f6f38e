//! Resource groups: names for sets of instances that policies can match by id.

pub mod http;
pub mod sql;

use avouch_gate::links::{ResourceGroupInfo, ResourceGroupSource};
use avouch_gate::{Ctx, Endpoint, Result, Target};
use avouch_policy::access::ResourceAttrs;
use avouch_store::Tx;
use avouch_wire::crn::Crn;
use avouch_wire::ids::AccountId;
use avouch_wire::time::Timestamp;
use serde_json::{Value, json};

/// A resource group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceGroup {
    /// Account.
    pub account: AccountId,
    /// 32 lower-case hex digits.
    pub id: String,
    /// Name, unique in the account whatever its case.
    pub name: String,
    /// `ACTIVE` or `SUSPENDED`.
    pub state: String,
    /// The account's default group, which cannot be deleted.
    pub default: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Two fixed quota records; nothing is enforced.
pub const QUOTAS: [(&str, &str); 2] = [
    ("7ce89f4a-4381-4600-b814-3cd9a4f4bdf4", "Trial Quota"),
    ("a3d7b8d01e261c24677937c29ab33f3c", "Pay-as-you-go Quota"),
];

/// Makes the default group of a new account.
///
/// # Errors
/// Those of the store.
pub fn create_default(tx: &mut Tx<'_>, account: &AccountId, id: &str, now: Timestamp) -> Result<()> {
    sql::insert(
        tx,
        &ResourceGroup {
            account: account.clone(),
            id: id.to_owned(),
            name: "Default".into(),
            state: "ACTIVE".into(),
            default: true,
            created_at: now,
            updated_at: now,
        },
    )
}

/// Look-up for other services.
#[derive(Debug, Clone, Copy)]
pub struct ResourceGroups;

impl ResourceGroupSource for ResourceGroups {
    fn resource_group(
        &self,
        tx: &mut Tx<'_>,
        account: &AccountId,
        id: Option<&str>,
    ) -> Result<Option<ResourceGroupInfo>> {
        let found = match id {
            Some(id) => sql::get(tx, account, id)?,
            None => sql::list(tx, account)?.into_iter().find(|g| g.default),
        };
        Ok(found.map(|g| ResourceGroupInfo { id: g.id, name: g.name }))
    }
}

/// CRN of a group.
pub fn crn(account: &AccountId, id: &str) -> String {
    Crn::resource_group(account, id).map(|c| c.to_string()).unwrap_or_default()
}

/// The group object as a decision target; `None`: the collection.
pub fn target(account: &AccountId, id: Option<&str>) -> Target {
    let crn = id.map(|id| crn(account, id)).unwrap_or_default();
    Target::global("resource-controller", account, ResourceAttrs::resource_group_object(account, id), crn)
}

/// The published shape.
pub fn render(group: &ResourceGroup) -> Value {
    let quota = QUOTAS[1].0;
    json!({
        "id": group.id,
        "crn": crn(&group.account, &group.id),
        "account_id": group.account.as_str(),
        "name": group.name,
        "state": group.state,
        "default": group.default,
        "quota_id": quota,
        "quota_url": format!("/v2/quota_definitions/{quota}"),
        "payment_methods_url": format!("/v2/resource_groups/{}/payment_methods", group.id),
        "resource_linkages": [],
        "teams_url": format!("/v2/resource_groups/{}/teams", group.id),
        "created_at": group.created_at.rfc3339_millis(),
        "updated_at": group.updated_at.rfc3339_millis(),
    })
}

/// The caller's account, or the one he names.
///
/// # Errors
/// `Invalid` for a malformed id.
pub fn account_of(ctx: &Ctx, named: Option<String>) -> Result<AccountId> {
    match named {
        None => Ok(ctx.caller()?.account().clone()),
        Some(text) => AccountId::parse(&text).map_err(|_| {
            avouch_gate::Error::invalid("account_id", "The property 'account_id' is not an account id.")
        }),
    }
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const TARGET: &str = "resource-controller/group";
    vec![
        Endpoint::get("/v2/resource_groups", "list_resource_groups", http::list)
            .actions(&["resource-controller.group.retrieve"]),
        Endpoint::post("/v2/resource_groups", "create_resource_group", http::create)
            .actions(&["resource-controller.group.create"])
            .events(TARGET, &["resource-controller.group.create"]),
        Endpoint::get("/v2/resource_groups/{id}", "get_resource_group", http::get)
            .actions(&["resource-controller.group.retrieve"]),
        Endpoint::patch("/v2/resource_groups/{id}", "update_resource_group", http::update)
            .actions(&["resource-controller.group.update"])
            .events(TARGET, &["resource-controller.group.update"]),
        Endpoint::delete("/v2/resource_groups/{id}", "delete_resource_group", http::delete)
            .actions(&["resource-controller.group.delete"])
            .events(TARGET, &["resource-controller.group.delete"]),
        Endpoint::get("/v2/quota_definitions", "list_quota_definitions", http::quotas),
        Endpoint::get("/v2/quota_definitions/{id}", "get_quota_definition", http::quota),
    ]
}
