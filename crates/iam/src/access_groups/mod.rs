//! Access groups: identities that share policies.
//!
//! A member may be a user, a service ID or a trusted profile; that it exists is not checked, since policies may be prepared
//! for who will come. The public group ([`AccessGroupId::PUBLIC`]) holds everybody, has no row and no explicit members.
//! Rules by which federated users join are kept and shown; they take effect with federated login, and a group never gains a
//! member by them otherwise.
//!
//! Refused: a second group of the same name in whatever case, changes of the public group, members whose type does not fit
//! their IAM id.

pub mod sql;

use avouch_wire::ids::{AccessGroupId, AccountId, IamId, IamKind};
use avouch_wire::time::Timestamp;
use serde_json::Value;

/// A group.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Id.
    pub id: AccessGroupId,
    /// Account.
    pub account: AccountId,
    /// Name, unique in the account in whatever case.
    pub name: String,
    /// Description, may be empty.
    pub description: String,
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

/// What kind of identity a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberKind {
    /// A person.
    User,
    /// A service ID.
    Service,
    /// A trusted profile.
    Profile,
}

impl MemberKind {
    /// The published word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Service => "service",
            Self::Profile => "profile",
        }
    }

    /// The kind of a published word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::User, Self::Service, Self::Profile].into_iter().find(|k| k.as_str() == text)
    }

    /// The kind that an IAM id says; `None` for what cannot be a member.
    pub fn of(iam_id: &IamId) -> Option<Self> {
        match iam_id.kind() {
            IamKind::User if !iam_id.as_str().starts_with("AccessGroupId-") => Some(Self::User),
            IamKind::ServiceId => Some(Self::Service),
            IamKind::Profile => Some(Self::Profile),
            IamKind::User | IamKind::Crn => None,
        }
    }
}

/// One membership.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Group.
    pub group: AccessGroupId,
    /// IAM id of the member.
    pub iam_id: String,
    /// Kind of identity.
    pub kind: MemberKind,
    /// When he was added.
    pub created_at: Timestamp,
    /// IAM id of who added him.
    pub created_by: String,
}

/// A rule by which federated users join.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Id.
    pub id: String,
    /// Account.
    pub account: AccountId,
    /// Group.
    pub group: AccessGroupId,
    /// Name, may be empty.
    pub name: String,
    /// Identity provider.
    pub realm_name: String,
    /// Hours of membership after a login.
    pub expiration: i64,
    /// Conditions as sent.
    pub conditions: Value,
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

/// Settings of an account.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Whether the public group counts.
    pub public_access_enabled: bool,
    /// Entity tag.
    pub etag: String,
    /// When they were last changed.
    pub modified_at: Timestamp,
    /// IAM id of who changed them last.
    pub modified_by: String,
}
