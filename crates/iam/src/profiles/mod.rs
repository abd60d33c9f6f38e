//! Trusted profiles: identities that compute resources and others become without a credential.

pub mod http;
pub mod sql;

use avouch_gate::{Endpoint, Target};
use avouch_policy::access::ResourceAttrs;
use avouch_wire::crn::Crn;
use avouch_wire::ids::{AccountId, IamId, ProfileId};
use avouch_wire::time::Timestamp;
use serde_json::{Value, json};

use crate::paging::put;

/// A trusted profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Id.
    pub id: ProfileId,
    /// Account.
    pub account: AccountId,
    /// Name, unique in the account, case-sensitive.
    pub name: String,
    /// Description.
    pub description: Option<String>,
    /// Contact address.
    pub email: Option<String>,
    /// Revision.
    pub etag: String,
    /// Revision of the set of identities.
    pub identities_etag: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// When it was last changed.
    pub modified_at: Timestamp,
}

impl Profile {
    /// `iam-Profile-…`, the subject of policies and tokens.
    pub fn iam_id(&self) -> IamId {
        IamId::profile(&self.id)
    }

    /// CRN.
    pub fn crn(&self) -> Crn {
        Crn::profile(&self.account, &self.id)
    }
}

/// The published shape.
pub fn render(p: &Profile) -> Value {
    let mut out = json!({
        "id": p.id.as_str(),
        "entity_tag": p.etag,
        "crn": p.crn().to_string(),
        "name": p.name,
        "created_at": p.created_at.iam(),
        "modified_at": p.modified_at.iam(),
        "iam_id": p.iam_id().as_str(),
        "account_id": p.account.as_str(),
    });
    put(&mut out, "description", p.description.clone());
    put(&mut out, "email", p.email.clone());
    out
}

/// A profile as a decision and audit target; `None`: the collection.
pub fn target(account: &AccountId, profile: Option<&Profile>) -> Target {
    let attrs = ResourceAttrs::service(account, "iam-identity");
    match profile {
        Some(p) => Target::global(
            "iam-identity",
            account,
            attrs.resource("profile", p.id.as_str()),
            p.crn().to_string(),
        )
        .named(&p.name),
        None => Target::global("iam-identity", account, attrs.resource_type("profile"), ""),
    }
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const TARGET: &str = "iam-identity/account-profile";
    vec![
        Endpoint::post("/v1/profiles", "create_profile", http::create)
            .actions(&["iam-identity.profile.create"])
            .events(TARGET, &["iam-identity.account-profile.create"]),
        Endpoint::get("/v1/profiles", "list_profiles", http::list).actions(&["iam-identity.profile.get"]),
        Endpoint::get("/v1/profiles/{id}", "get_profile", http::get).actions(&["iam-identity.profile.get"]),
        Endpoint::put("/v1/profiles/{id}", "update_profile", http::update)
            .actions(&["iam-identity.profile.update"])
            .events(TARGET, &["iam-identity.account-profile.update"]),
        Endpoint::delete("/v1/profiles/{id}", "delete_profile", http::delete)
            .actions(&["iam-identity.profile.delete"])
            .events(TARGET, &["iam-identity.account-profile.delete"]),
    ]
}
