//! The normalised form of a policy, the same for both published schemas.

use super::attrs::{Key, ResourceAttrs};
use super::rule::Rule;
use crate::roles::Target;
use std::fmt::Write as _;

/// Why a policy is refused. Names the member, never its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Invalid {
    /// Path of the member as the client wrote it, such as `resource.attributes[1].operator`.
    pub field: String,
    pub problem: &'static str,
}

impl Invalid {
    pub fn new(field: impl Into<String>, problem: &'static str) -> Self {
        Self { field: field.into(), problem }
    }
}

/// Kind of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PolicyType {
    Access,
    Authorization,
}

impl PolicyType {
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Access, Self::Authorization].into_iter().find(|t| t.as_str() == text)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Authorization => "authorization",
        }
    }
}

/// Who gets the roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    IamId(String),
    AccessGroup(String),
    /// An authorization: a service, by its attributes.
    Service(Vec<Attr>),
}

/// What one attribute must be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    Equals(String),
    Match(String),
    Exists(bool),
    EqualsAnyOf(Vec<String>),
    MatchAnyOf(Vec<String>),
    /// Stored by a later version, or damaged: never holds.
    Unknown(String),
}

impl Op {
    pub fn name(&self) -> &str {
        match self {
            Self::Equals(_) => "stringEquals",
            Self::Match(_) => "stringMatch",
            Self::Exists(_) => "stringExists",
            Self::EqualsAnyOf(_) => "stringEqualsAnyOf",
            Self::MatchAnyOf(_) => "stringMatchAnyOf",
            Self::Unknown(name) => name,
        }
    }

    /// Whether the operator holds on a value, `None` where the attribute is absent. `absent` says whether an absent value is
    /// known to be absent rather than unconstrained.
    pub(crate) fn holds(&self, found: Option<&str>, absent: bool) -> bool {
        use crate::wildcard::matches;
        match (self, found) {
            (Self::Equals(want), Some(v)) => want == v,
            (Self::Match(pattern), Some(v)) => matches(pattern, v),
            (Self::Exists(want), found) => {
                if *want {
                    found.is_some()
                } else {
                    found.is_none() && absent
                }
            }
            (Self::EqualsAnyOf(list), Some(v)) => list.iter().any(|w| w == v),
            (Self::MatchAnyOf(list), Some(v)) => list.iter().any(|p| matches(p, v)),
            (Self::Unknown(_), _) | (_, None) => false,
        }
    }

    /// What is wanted, for people.
    pub(crate) fn wanted(&self) -> String {
        match self {
            Self::Equals(v) | Self::Match(v) => v.clone(),
            Self::Exists(b) => b.to_string(),
            Self::EqualsAnyOf(l) | Self::MatchAnyOf(l) => serde_json::Value::from(l.clone()).to_string(),
            Self::Unknown(_) => String::new(),
        }
    }
}

/// One attribute condition of a subject or a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attr {
    pub key: String,
    pub op: Op,
}

/// One access tag that the resource must carry: `key` and `value` of the tag `key:value`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag {
    pub name: String,
    /// Only `Equals` and `Match` mean something.
    pub op: Op,
}

impl Tag {
    /// Whether an attached tag satisfies the condition. The name of a tag is case-sensitive like its value.
    pub(crate) fn holds(&self, attached: &[String]) -> bool {
        attached.iter().any(|t| {
            t.split_once(':').is_some_and(|(name, value)| {
                name == self.name
                    && matches!(self.op, Op::Equals(_) | Op::Match(_))
                    && self.op.holds(Some(value), true)
            })
        })
    }
}

/// A policy, normalised. The document that a client sent is kept elsewhere, as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyDoc {
    pub kind: PolicyType,
    pub subject: Subject,
    /// Role resource names, as sent.
    pub roles: Vec<String>,
    pub resource: Vec<Attr>,
    pub tags: Vec<Tag>,
    pub pattern: Option<String>,
    pub rule: Option<Rule>,
    /// Attribute of a newer version or damaged part that this version cannot evaluate: such a policy permits nothing.
    pub unknown: Option<&'static str>,
}

impl PolicyDoc {
    /// The single value that a resource attribute must equal.
    pub fn equals(&self, key: Key) -> Option<&str> {
        equals(&self.resource, key)
    }

    /// The single value that a subject attribute of an authorization must equal.
    pub fn subject_equals(&self, key: Key) -> Option<&str> {
        match &self.subject {
            Subject::Service(attrs) => equals(attrs, key),
            _ => None,
        }
    }

    /// The account that owns the resources.
    pub fn account(&self) -> Option<&str> {
        self.equals(Key::ACCOUNT)
    }

    /// What the policy is about, as far as the choice of roles goes.
    pub fn target(&self) -> Target<'_> {
        let service = self.equals(Key::SERVICE);
        let group_object = self.equals(Key::RESOURCE_TYPE) == Some("resource-group");
        match service {
            None | Some("resource-controller") if group_object => Target::ResourceGroup,
            Some(name) => Target::Service(name),
            None if self.has(Key::SERVICE_GROUP) => Target::IamGroup,
            None if self.equals(Key::SERVICE_TYPE) == Some("platform_service") => Target::AccountManagement,
            None => Target::AllServices,
        }
    }

    pub(crate) fn has(&self, key: Key) -> bool {
        self.resource.iter().any(|a| a.key == key.as_str())
    }

    /// Whether the policy covers all services of the account without any narrowing.
    pub fn is_account_wide(&self) -> bool {
        self.equals(Key::SERVICE_TYPE) == Some("service")
            && self
                .resource
                .iter()
                .all(|a| matches!(Key::parse(&a.key), Some(Key::ACCOUNT | Key::SERVICE_TYPE)))
    }

    /// The requests that stand for "on the target of this policy". Whoever writes the policy must be permitted on each.
    ///
    /// An attribute that must equal a value is that value; everything wider counts as absent, so only a policy at least as
    /// wide covers it. All services of an account need account management as well.
    pub fn target_requests(&self) -> Vec<ResourceAttrs> {
        let Some(account) = self.account() else { return Vec::new() };
        let base = ResourceAttrs::account(account);
        let mut res = match self.target() {
            Target::ResourceGroup => base.set(Key::SERVICE, "resource-controller"),
            Target::Service(name) => base.set(Key::SERVICE, name),
            Target::IamGroup => {
                base.set(Key::SERVICE_TYPE, "platform_service").set(Key::SERVICE_GROUP, "IAM")
            }
            Target::AccountManagement => base.set(Key::SERVICE_TYPE, "platform_service"),
            Target::AllServices => base.set(Key::SERVICE_TYPE, "service"),
        };
        let mut absent = Vec::new();
        for attr in &self.resource {
            let Some(key) = Key::parse(&attr.key) else { continue };
            match &attr.op {
                Op::Equals(_) if matches!(key, Key::SERVICE | Key::SERVICE_TYPE | Key::SERVICE_GROUP) => {}
                Op::Equals(v) if v == "*" && key.is_id() => {}
                Op::Equals(v) => res = res.set(key, v),
                Op::Exists(false) => absent.push(key),
                _ => {}
            }
        }
        let tags = self.tags.iter().filter_map(|t| match &t.op {
            Op::Equals(v) => Some(format!("{}:{v}", t.name)),
            _ => None,
        });
        let res = res.tags(tags).into_target(absent);
        if self.is_account_wide() {
            let management = ResourceAttrs::account(account)
                .set(Key::SERVICE_TYPE, "platform_service")
                .into_target(Vec::new());
            return vec![res, management];
        }
        vec![res]
    }

    /// A text that is equal for two policies exactly if they grant the same to the same subject: the order of attributes,
    /// roles and tags is of no meaning, a defaulted operator is filled in.
    pub fn canonical(&self) -> String {
        let mut out = String::with_capacity(256);
        let attrs = |out: &mut String, attrs: &[Attr]| {
            let mut sorted: Vec<&Attr> = attrs.iter().collect();
            sorted.sort();
            for a in sorted {
                let _ = write!(out, "{:?}{:?};", a.key, a.op);
            }
        };
        let _ = write!(out, "{}|", self.kind.as_str());
        match &self.subject {
            Subject::IamId(id) => _ = write!(out, "iam_id{id:?}"),
            Subject::AccessGroup(id) => _ = write!(out, "access_group_id{id:?}"),
            Subject::Service(list) => attrs(&mut out, list),
        }
        out.push('|');
        let mut roles: Vec<&String> = self.roles.iter().collect();
        roles.sort();
        roles.dedup();
        let _ = write!(out, "{roles:?}|");
        attrs(&mut out, &self.resource);
        let mut tags: Vec<&Tag> = self.tags.iter().collect();
        tags.sort();
        let _ = write!(out, "|{tags:?}|{:?}", self.rule);
        out
    }
}

fn equals(attrs: &[Attr], key: Key) -> Option<&str> {
    attrs.iter().find(|a| a.key == key.as_str()).and_then(|a| match &a.op {
        Op::Equals(v) => Some(v.as_str()),
        _ => None,
    })
}
