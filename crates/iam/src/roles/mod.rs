//! Roles: the built-in ones of the catalogue, and custom ones of an account.
//!
//! A custom role is a named set of actions of one service. Refused: actions that the service does not have, names and
//! display names that are taken, and two roles of one service with the same actions. Deleting a role takes it out of all
//! policies.

pub mod http;
pub mod logic;
pub mod sql;

use avouch_gate::{Endpoint, Target};
use avouch_policy::access::ResourceAttrs;
use avouch_wire::ids::{AccountId, RoleId};
use avouch_wire::time::Timestamp;

/// A custom role.
#[derive(Debug, Clone, PartialEq)]
pub struct CustomRole {
    /// Id.
    pub id: RoleId,
    /// Account.
    pub account: AccountId,
    /// Name, part of the resource name.
    pub name: String,
    /// Name for people.
    pub display_name: String,
    /// Service whose actions it holds.
    pub service: String,
    /// Actions.
    pub actions: Vec<String>,
    /// Description.
    pub description: Option<String>,
    /// Resource name.
    pub crn: String,
    /// Entity tag.
    pub etag: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// IAM id of who made it.
    pub created_by: String,
    /// When it was last changed.
    pub modified_at: Timestamp,
    /// IAM id of who changed it last.
    pub modified_by: String,
}

/// Longest name, characters.
pub const NAME_MAX: usize = 30;
/// Longest display name, characters.
pub const DISPLAY_NAME_MAX: usize = 50;
/// Longest description, characters.
pub const DESCRIPTION_MAX: usize = 250;
/// Most actions of one role.
pub const ACTIONS_MAX: usize = 300;
/// Role management has a service of its own, so that it can be granted without the rest of access management.
pub const SERVICES: [&str; 2] = ["iam-access-management", "iam-access-management.customRole"];

/// The target of a decision about custom roles, as one of [`SERVICES`].
pub fn target(account: &AccountId, service: &str, crn: &str, name: &str) -> Target {
    let crn = if crn.is_empty() {
        format!("crn:v1:bluemix:public:iam-access-management::a/{account}:::")
    } else {
        crn.to_owned()
    };
    Target::global("iam-am", account, ResourceAttrs::service(account, service), crn).named(name)
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    http::endpoints()
}
