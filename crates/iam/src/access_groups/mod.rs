//! Access groups: identities that share policies.
//!
//! A member may be a user, a service ID or a trusted profile; that it exists is not checked, since policies may be prepared
//! for who will come. The public group ([`AccessGroupId::PUBLIC`]) holds everybody, has no row and no explicit members.
//! Rules by which federated users join are kept and shown; they take effect with federated login, and a group never gains a
//! member by them otherwise.
//!
//! Refused: a second group of the same name in whatever case, changes of the public group, members whose type does not fit
//! their IAM id.

pub mod all_groups;
pub mod http;
pub mod members;
pub mod page;
pub mod rules;
pub mod settings;
pub mod sql;

use avouch_gate::{Endpoint, Error, Kind, Target};
use avouch_policy::access::ResourceAttrs;
use avouch_wire::ids::{AccessGroupId, AccountId, IamId, IamKind};
use avouch_wire::time::Timestamp;
use serde_json::Value;

/// Longest name, characters.
pub const NAME_MAX: usize = 100;
/// Longest description, characters.
pub const DESCRIPTION_MAX: usize = 250;
/// Most members or groups of one call.
pub const PER_CALL: usize = 50;
/// Most rules of a group.
pub const RULES_PER_GROUP: usize = 5;

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

impl Group {
    /// The public group of an account, which has no row.
    pub fn public(account: &AccountId, settings: Option<&Settings>) -> Self {
        let at = settings.map_or(Timestamp::from_millis(0), |s| s.modified_at);
        let by = settings.map_or_else(|| "avouch".to_owned(), |s| s.modified_by.clone());
        Self {
            id: AccessGroupId::public(),
            account: account.clone(),
            name: "Public Access".into(),
            description: "Everybody, whether known to the account or not.".into(),
            etag: settings.map_or_else(|| format!("1-{account}"), |s| s.etag.clone()),
            created_at: Timestamp::from_millis(0),
            created_by: "avouch".into(),
            modified_at: at,
            modified_by: by,
        }
    }

    /// CRN of the group.
    pub fn crn(&self) -> String {
        crn(&self.account, self.id.as_str())
    }
}

fn crn(account: &AccountId, id: &str) -> String {
    let kind = if id.is_empty() { "" } else { "access-group" };
    format!("crn:v1:bluemix:public:iam-groups::a/{account}::{kind}:{id}")
}

/// The target of a decision about one group, or about the groups of an account (`id` empty).
pub fn target(account: &AccountId, id: &str, name: &str) -> Target {
    let attrs = ResourceAttrs::service(account, "iam-groups");
    let attrs = if id.is_empty() { attrs } else { attrs.with("resource", id) };
    Target::global("iam-groups", account, attrs, crn(account, id)).named(name)
}

/// The answer of an unknown group, and of one that the caller may not know of.
pub(crate) fn not_found(id: &str) -> Error {
    let shown: String = id.chars().filter(|c| !c.is_control()).take(128).collect();
    Error::new(Kind::NotFound, format!("Failed to find the access group with ID {shown}."))
        .code("group_not_found")
}

/// Endpoints of this resource. Literal paths stand beside `{access_group_id}`; the router prefers them.
pub fn endpoints() -> Vec<Endpoint> {
    [
        http::endpoints(),
        settings::endpoints(),
        all_groups::endpoints(),
        members::endpoints(),
        rules::endpoints(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
