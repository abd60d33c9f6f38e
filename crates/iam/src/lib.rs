//! Identity and access management.

pub mod access_groups;
pub mod access_source;
pub mod errors_access;
pub mod policies;
pub mod roles;

use avouch_gate::Service;

/// Policies, roles, authorizations, the decision endpoints and the settings of access management.
pub fn policy_service() -> Service {
    Service { name: "iam-am", display: "IAM Access Management", endpoints: policies::endpoints(), render: errors_access::policy }
}
