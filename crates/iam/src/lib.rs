//! Identity and access management.

pub mod access_groups;
pub mod access_source;
pub mod errors_access;
pub mod policies;
pub mod roles;

use avouch_gate::Service;

/// Policies, roles, authorizations, the decision endpoints and the settings of access management.
pub fn policy_service() -> Service {
    let endpoints = [policies::endpoints(), roles::endpoints()];
    Service {
        name: "iam-am",
        display: "IAM Access Management",
        endpoints: endpoints.into_iter().flatten().collect(),
        render: errors_access::policy,
    }
}

/// Access groups, their members, rules and settings.
pub fn groups_service() -> Service {
    Service {
        name: "iam-groups",
        display: "IAM Access Groups Service",
        endpoints: access_groups::endpoints(),
        render: errors_access::groups,
    }
}
