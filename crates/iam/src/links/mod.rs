//! Links: a profile trusts one compute resource, named exactly.

pub mod http;
pub mod servers;
pub mod sql;

use avouch_gate::{Endpoint, Result};
use avouch_policy::rules::Link;
use avouch_store::Tx;
use avouch_wire::ids::{AccountId, ProfileId};
use avouch_wire::time::Timestamp;
use serde_json::{Value, json};

use crate::paging::put;

/// A stored link.
#[derive(Debug, Clone)]
pub struct StoredLink {
    /// What is compared.
    pub link: Link,
    /// Account of the profile.
    pub account: AccountId,
    /// Profile.
    pub profile: ProfileId,
    /// CRN as it was sent.
    pub crn: String,
    /// Revision.
    pub etag: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub modified_at: Timestamp,
}

/// The published shape.
pub fn render(l: &StoredLink) -> Value {
    let mut link = json!({"crn": l.crn});
    put(&mut link, "namespace", l.link.namespace.clone());
    put(&mut link, "name", l.link.name.clone());
    put(&mut link, "component_type", l.link.component_type.clone());
    put(&mut link, "component_name", l.link.component_name.clone());
    let mut out = json!({
        "id": l.link.id.as_str(),
        "entity_tag": l.etag,
        "created_at": l.created_at.iam(),
        "modified_at": l.modified_at.iam(),
        "cr_type": l.link.cr_type.as_str(),
        "is_cross_account": l.link.is_cross_account,
        "link": link,
    });
    put(&mut out, "name", l.link.label.clone());
    out
}

/// The links of a profile, as the decision reads them.
///
/// # Errors
/// Those of the store.
pub fn of_profile(tx: &mut Tx<'_>, profile: &ProfileId) -> Result<Vec<Link>> {
    Ok(sql::list(tx, profile)?.into_iter().map(|l| l.link).collect())
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const TARGET: &str = "iam-identity/profile-link";
    const GET: &[&str] = &["iam-identity.profile.get"];
    vec![
        Endpoint::post("/v1/profiles/{id}/links", "create_link", http::create)
            .actions(&[
                "iam-identity.profile.update",
                "iam-identity.profile.linkToResource",
                "containers-kubernetes.kube.write",
            ])
            .events(TARGET, &["iam-identity.profile-link.create"]),
        Endpoint::get("/v1/profiles/{id}/links", "list_links", http::list).actions(GET),
        Endpoint::get("/v1/profiles/{id}/links/{link}", "get_link", http::get).actions(GET),
        Endpoint::delete("/v1/profiles/{id}/links/{link}", "delete_link", http::delete)
            .actions(&["iam-identity.profile.update"])
            .events(TARGET, &["iam-identity.profile-link.delete"]),
        Endpoint::delete("/v1/profiles/{id}/links", "delete_link_by_parameters", http::delete_by_parameters)
            .actions(&["iam-identity.profile.update"])
            .events(TARGET, &["iam-identity.profile-link.delete"]),
    ]
}
