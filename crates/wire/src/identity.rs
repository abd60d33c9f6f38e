//! Requests of the identity service: profiles, claim rules, links, identities, service IDs and their groups, API keys.
//!
//! Required members are optional here, so that the service can name the one that is missing; unknown members are ignored.
//! Values of API keys have no place here: they are read into a type that shows and logs nothing.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A new trusted profile.
///
/// ```
/// let body: avouch_wire::identity::CreateProfile = serde_json::from_str(r#"{"name":"reader","x":1}"#).unwrap();
/// assert_eq!(body.name.as_deref(), Some("reader"));
/// assert!(body.account_id.is_none());
/// ```
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct CreateProfile {
    /// Name, unique in the account; required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Account; required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// Description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Contact address, or several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// Changes of a profile; what is absent stays, an empty text clears.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct UpdateProfile {
    /// Name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Contact address, or several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// A claim rule, new or replaced.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
pub struct ClaimRuleBody {
    /// `Profile-CR` or `Profile-SAML`; required.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `[{claim, operator, value}]`, the value being JSON in a string; required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Value>,
    /// Label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Realm of federated users; `Profile-SAML` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm_name: Option<String>,
    /// Kind of compute resource; `Profile-CR` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cr_type: Option<String>,
    /// Session length in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration: Option<i64>,
}

/// A new link.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct CreateLink {
    /// Label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Kind of compute resource; required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cr_type: Option<String>,
    /// The compute resource is of another account, and that is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_cross_account: Option<bool>,
    /// What is trusted; required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkBody>,
}

/// The compute resource of a link.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct LinkBody {
    /// CRN; required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crn: Option<String>,
    /// Namespace, for clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Service account, for clusters; `sub`, for OpenID Connect issuers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Kind of component, for Code Engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_type: Option<String>,
    /// Name of the component, for Code Engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_name: Option<String>,
}

/// Who may assume a profile without conditions.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct IdentityBody {
    /// IAM id, service ID or CRN; required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// `user`, `serviceid` or `crn`; required.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Accounts that a user's token may be of; empty: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounts: Option<Vec<String>>,
    /// Description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// The whole set of identities of a profile.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct IdentitySet {
    /// Identities; required, may be empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identities: Option<Vec<IdentityBody>>,
}

/// A new service ID; the API key that may come with it is read apart.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct CreateServiceId {
    /// Account; required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// Name; required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Group; absent: the default group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// Description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Service instances that its tokens name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_instance_crns: Option<Vec<String>>,
}

/// Changes of a service ID; what is absent stays, an empty text clears.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct UpdateServiceId {
    /// Name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Service instances that its tokens name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_instance_crns: Option<Vec<String>>,
}

/// A group of service IDs, new or changed.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct ServiceIdGroupBody {
    /// Account; required for a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// Name, unique in the account; required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Changes of an API key; what is absent stays, an empty text clears.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct UpdateApiKey {
    /// Name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Logins with it may have sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support_sessions: Option<bool>,
    /// `none`, `disable` or `delete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_when_leaked: Option<String>,
    /// End of its life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}
