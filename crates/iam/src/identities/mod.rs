//! Profile identities: users, service IDs and services that may assume a profile without conditions.

pub mod http;
pub mod sql;

use avouch_gate::Endpoint;
use avouch_wire::ids::{AccountId, ProfileId};
use avouch_wire::time::Timestamp;
use serde_json::{Value, json};

use crate::paging::put;

/// One identity of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Account of the profile.
    pub account: AccountId,
    /// Profile.
    pub profile: ProfileId,
    /// `user`, `serviceid` or `crn`.
    pub kind: String,
    /// As it was named: IAM id, service ID, or CRN.
    pub identifier: String,
    /// IAM id of whoever may assume the profile.
    pub iam_id: String,
    /// For users: accounts that their token must be of; empty: any.
    pub accounts: Vec<String>,
    /// Description.
    pub description: Option<String>,
    /// When it was added.
    pub created_at: Timestamp,
}

/// The published shape.
pub fn render(i: &Identity) -> Value {
    let mut out = json!({"iam_id": i.iam_id, "identifier": i.identifier, "type": i.kind});
    if i.kind == "user" {
        put(&mut out, "accounts", Some(i.accounts.clone()));
    }
    put(&mut out, "description", i.description.clone());
    out
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const TARGET: &str = "iam-identity/profile-identity";
    const UPDATE: &[&str] = &["iam-identity.profile.update"];
    const GET: &[&str] = &["iam-identity.profile.get"];
    vec![
        Endpoint::get("/v1/profiles/{id}/identities", "get_profile_identities", http::list).actions(GET),
        Endpoint::put("/v1/profiles/{id}/identities", "set_profile_identities", http::set)
            .actions(UPDATE)
            .events(
                TARGET,
                &[
                    "iam-identity.profile-identity.add",
                    "iam-identity.profile-identity.remove",
                    "iam-identity.account-profile.update",
                ],
            ),
        Endpoint::post("/v1/profiles/{id}/identities/{kind}", "set_profile_identity", http::add)
            .actions(UPDATE)
            .events(TARGET, &["iam-identity.profile-identity.add"]),
        Endpoint::get("/v1/profiles/{id}/identities/{kind}/{identifier}", "get_profile_identity", http::get)
            .actions(GET),
        Endpoint::delete(
            "/v1/profiles/{id}/identities/{kind}/{identifier}",
            "delete_profile_identity",
            http::delete,
        )
        .actions(UPDATE)
        .events(TARGET, &["iam-identity.profile-identity.remove"]),
    ]
}
