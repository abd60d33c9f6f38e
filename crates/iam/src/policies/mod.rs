//! Access policies and authorizations: who gets which roles on what.
//!
//! A policy is kept as its client wrote it, in the schema it was written in, and is evaluated on a normalised copy. Whoever
//! writes a policy needs the right to do so on the very target of the policy, old and new. Deleted policies stay for
//! [`RETENTION_DAYS`] days, grant nothing meanwhile, and can be restored.
//!
//! Refused: documents with unknown members, operators or attributes, roles that do not fit the target, two active
//! policies that grant the same, and changes of policies whose subject is a locked service ID.

pub mod http;
pub mod list;
pub mod logic;
pub mod permits;
pub mod render;
pub mod sql;

use avouch_crypto::digest;
use avouch_gate::{Endpoint, Error, Result, Target};
use avouch_policy::access::{Key, PolicyDoc, PolicyType, ResourceAttrs, Subject};
use avouch_store::Tx;
use avouch_wire::ids::{AccountId, IamId, PolicyId};
use avouch_wire::time::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

/// Days for which a deleted policy can be restored.
pub const RETENTION_DAYS: i64 = 10;
/// Most active policies with access tags in an account.
pub const TAGGED_PER_ACCOUNT: i64 = 500;
/// Longest description, characters.
pub const DESCRIPTION_MAX: usize = 1000;

/// Schema in which a policy was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// `/v1/policies`.
    V1,
    /// `/v2/policies`.
    V2,
}

impl Schema {
    /// 1 or 2.
    pub fn number(self) -> i64 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }

    /// The schema of a stored number; whatever is newer is read as the newer one and permits what that one can express.
    pub fn from_number(n: i64) -> Self {
        if n == 1 { Self::V1 } else { Self::V2 }
    }
}

/// Whether a policy counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is evaluated.
    Active,
    /// It was deleted, grants nothing, and can be restored for a while.
    Deleted,
}

impl State {
    /// The published word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deleted => "deleted",
        }
    }

    /// The state of a published word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Deleted].into_iter().find(|s| s.as_str() == text)
    }
}

/// One policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Id.
    pub id: PolicyId,
    /// Account that owns the resources.
    pub account: AccountId,
    /// Schema of the document.
    pub schema: Schema,
    /// What the client wrote: type, description, subject, roles, resource, condition.
    pub document: Value,
    /// Whether it counts.
    pub state: State,
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
    /// What it permitted, where somebody asked for that.
    pub permitted: Permitted,
}

/// What a policy permitted so far, up to a second ago.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Permitted {
    /// How often.
    pub times: i64,
    /// When it last did; `None`: never.
    pub last_at: Option<Timestamp>,
}

/// What the row of a policy holds beside the document, to find it by.
pub(crate) struct Filed {
    pub kind: &'static str,
    pub subject: String,
    pub canonical: String,
    pub instance: String,
    pub resource: String,
    pub tagged: bool,
}

impl Policy {
    /// The normalised policy.
    ///
    /// # Errors
    /// `Internal` when the stored document is damaged.
    pub fn doc(&self) -> Result<PolicyDoc> {
        PolicyDoc::stored(&self.document).map_err(Error::internal)
    }

    pub(crate) fn filed(&self) -> Filed {
        let Ok(doc) = self.doc() else {
            return Filed {
                kind: "",
                subject: String::new(),
                canonical: self.id.as_str().to_owned(),
                instance: String::new(),
                resource: String::new(),
                tagged: false,
            };
        };
        Filed {
            kind: doc.kind.as_str(),
            subject: subject_key(&doc),
            canonical: canonical_key(&doc),
            instance: doc.equals(Key::INSTANCE).unwrap_or_default().to_owned(),
            resource: doc.equals(Key::RESOURCE).unwrap_or_default().to_owned(),
            tagged: !doc.tags.is_empty(),
        }
    }

    /// CRN of the policy, for the audit trail.
    pub fn crn(&self) -> String {
        crn(&self.account, self.id.as_str())
    }
}

fn crn(account: &AccountId, id: &str) -> String {
    let kind = if id.is_empty() { "" } else { "policy" };
    format!("crn:v1:bluemix:public:iam-am:global:a/{account}::{kind}:{id}")
}

/// The text by which policies of one subject are found. No IAM id begins with a space.
pub fn subject_key(doc: &PolicyDoc) -> String {
    match &doc.subject {
        Subject::IamId(id) | Subject::AccessGroup(id) => id.clone(),
        Subject::Service(_) => format!(" service:{}", doc.subject_equals(Key::SERVICE).unwrap_or_default()),
    }
}

/// Equal for two policies exactly if they grant the same to the same subject.
pub fn canonical_key(doc: &PolicyDoc) -> String {
    digest::hex(&digest::sha256(doc.canonical().as_bytes()))
}

/// The target of a decision about a policy with these target attributes.
pub fn target(account: &AccountId, attrs: ResourceAttrs, id: &str, subject: &str) -> Target {
    Target::global("iam-am", account, attrs, crn(account, id)).named(subject)
}

/// The policies of a new account's owner, visible like any other: all roles on all services, administration of the
/// account, and, where a third id is given, of this deployment. A database holds no other right of the owner.
///
/// # Errors
/// Those of the store.
#[allow(clippy::too_many_arguments, reason = "called once, by the bootstrap of an account")]
pub fn create_owner(
    tx: &mut Tx<'_>,
    account: &AccountId,
    iam_id: &IamId,
    ids: &[Uuid],
    tags: &[String],
    now: Timestamp,
) -> Result<()> {
    const ADMINISTRATOR: &str = "crn:v1:bluemix:public:iam::::role:Administrator";
    const MANAGER: &str = "crn:v1:bluemix:public:iam::::serviceRole:Manager";
    // Roles are not nested: linking pods of a cluster demands what Writer has and Manager lacks.
    const WRITER: &str = "crn:v1:bluemix:public:iam::::serviceRole:Writer";
    const READER: &str = "crn:v1:bluemix:public:iam::::serviceRole:Reader";
    let grants: [(&str, &[&str], &str, &str); 3] = [
        ("Account owner: all services.", &[ADMINISTRATOR, MANAGER, WRITER, READER], "serviceType", "service"),
        ("Account owner: account management.", &[ADMINISTRATOR], "serviceType", "platform_service"),
        ("Operator of this deployment.", &[ADMINISTRATOR], "serviceName", "avouch"),
    ];
    for (at, (id, (description, roles, key, value))) in ids.iter().zip(grants).enumerate() {
        let roles: Vec<Value> = roles.iter().map(|r| json!({"role_id": r})).collect();
        let policy = Policy {
            id: PolicyId::from_uuid(*id),
            account: account.clone(),
            schema: Schema::V2,
            document: json!({
                "type": PolicyType::Access.as_str(),
                "description": description,
                "subject": {"attributes": [
                    {"key": "iam_id", "operator": "stringEquals", "value": iam_id.as_str()},
                ]},
                "control": {"grant": {"roles": roles}},
                "resource": {"attributes": [
                    {"key": "accountId", "operator": "stringEquals", "value": account.as_str()},
                    {"key": key, "operator": "stringEquals", "value": value},
                ]},
            }),
            state: State::Active,
            etag: tags.get(at).map_or_else(|| format!("1-{}", id.as_simple()), Clone::clone),
            created_at: now,
            created_by: iam_id.as_str().to_owned(),
            modified_at: now,
            modified_by: iam_id.as_str().to_owned(),
            permitted: Permitted::default(),
        };
        if sql::by_canonical(tx, account, &policy.filed().canonical)?.is_none() {
            sql::insert(tx, &policy)?;
        }
    }
    Ok(())
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    http::endpoints()
}
