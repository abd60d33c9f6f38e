//! Access management on the wire: roles, access groups, their members and rules, settings, and the decision.
//!
//! Policies have no structs here: they are echoed exactly as they were written, so they stay JSON.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A new custom role.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct CreateRole {
    /// Name, part of the resource name: letters and digits, a capital letter first.
    pub name: String,
    /// Name for people.
    pub display_name: String,
    /// Account.
    pub account_id: String,
    /// Service whose actions it holds.
    pub service_name: String,
    /// Actions, such as `kms.secrets.rotate`.
    pub actions: Vec<String>,
    /// Description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// What of a custom role can be changed.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct ReplaceRole {
    /// Name for people.
    pub display_name: String,
    /// Actions.
    pub actions: Vec<String>,
    /// Description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A new access group.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct CreateGroup {
    /// Name, unique in the account in whatever case.
    pub name: String,
    /// Description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Changes of an access group; what is absent stays.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct UpdateGroup {
    /// Name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// One identity to add to a group.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct NewMember {
    /// IAM id.
    pub iam_id: String,
    /// `user`, `service` or `profile`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// Identities to add to a group.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct AddMembers {
    /// At most 50.
    pub members: Vec<NewMember>,
}

/// Identities to take out of a group.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct RemoveMembers {
    /// IAM ids, at most 50.
    pub members: Vec<String>,
}

/// Groups that one identity shall join.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct JoinGroups {
    /// `user`, `service` or `profile`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Group ids, at most 50.
    pub groups: Vec<String>,
}

/// A rule by which federated users join a group.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct GroupRule {
    /// Hours of membership after a login.
    pub expiration: i64,
    /// Identity provider.
    pub realm_name: String,
    /// `[{claim, operator, value}]`; values are JSON in a string.
    pub conditions: Value,
    /// Name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Settings of access groups.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct UpdateGroupSettings {
    /// Whether the public group counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_access_enabled: Option<bool>,
}

/// What one type of identity of other accounts may do.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct IdentityTypeSetting {
    /// `enabled`, `monitor` or `limited`.
    pub state: String,
    /// Accounts that a limit does not touch.
    #[serde(default)]
    pub external_allowed_accounts: Vec<String>,
}

/// The setting of each type of identity; what is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct IdentityTypes {
    /// Users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<IdentityTypeSetting>,
    /// Service IDs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_id: Option<IdentityTypeSetting>,
    /// Services that act as themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<IdentityTypeSetting>,
}

/// How identities of other accounts may act.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ExternalIdentityInteraction {
    /// By type.
    pub identity_types: IdentityTypes,
}

/// Settings of access management.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct AccessSettings {
    /// How identities of other accounts may act.
    pub external_account_identity_interaction: ExternalIdentityInteraction,
}
