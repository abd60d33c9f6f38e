//! Roles: the built-in ones of the catalogue, and custom ones of an account.
//!
//! A custom role is a named set of actions of one service. Refused: actions that the service does not have, names and
//! display names that are taken, and two roles of one service with the same actions. Deleting a role takes it out of all
//! policies.

pub mod sql;

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
