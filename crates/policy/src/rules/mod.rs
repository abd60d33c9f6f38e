//! Trust rules: which compute resources may become a profile.
//!
//! A profile trusts a compute resource by a *link* (this very resource) or by a *claim rule* (all resources whose claims
//! hold all conditions). [`match_profile`] evaluates both and returns the answer together with the tree that explains it;
//! there is no second evaluation. The conditions also serve federated logins and dynamic rules of access groups
//! ([`match_conditions`]).
//!
//! It refuses everything it does not understand: a rule without conditions, an operator or value of a later version, a
//! missing claim (also under a negated operator), a link that lacks a part its type needs, and a rule of another account.

mod condition;
mod lint;

pub use condition::{Condition, ConditionError, MAX_CONDITIONS, Operator, parse_conditions};
pub use lint::lint;

use crate::claims::{ClaimValue, Claims};
use crate::reason::Reason;
use avouch_wire::{AccountId, ClaimRuleId, Crn, LinkId};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Kinds of compute resource.
///
/// ```
/// use avouch_policy::rules::CrType;
/// assert_eq!(CrType::parse("IKS_SA"), Some(CrType::IksSa));
/// assert_eq!(CrType::parse("iks_sa"), None);
/// assert!(CrType::IksSa.same_for_links(CrType::RoksSa));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CrType {
    #[serde(rename = "VSI")]
    Vsi,
    #[serde(rename = "PVS")]
    Pvs,
    #[serde(rename = "BMS")]
    Bms,
    #[serde(rename = "IKS_SA")]
    IksSa,
    #[serde(rename = "ROKS_SA")]
    RoksSa,
    #[serde(rename = "CE")]
    Ce,
    /// Ours: a registered OpenID Connect issuer such as a CI system.
    #[serde(rename = "OIDC")]
    Oidc,
}

impl CrType {
    pub const ALL: [CrType; 7] =
        [Self::Vsi, Self::Pvs, Self::Bms, Self::IksSa, Self::RoksSa, Self::Ce, Self::Oidc];

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.as_str() == text)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vsi => "VSI",
            Self::Pvs => "PVS",
            Self::Bms => "BMS",
            Self::IksSa => "IKS_SA",
            Self::RoksSa => "ROKS_SA",
            Self::Ce => "CE",
            Self::Oidc => "OIDC",
        }
    }

    /// COMPAT: published tutorials link OpenShift clusters as `IKS_SA`. A link pins the resource name of the cluster, so
    /// the two types are one there; rules compare strictly.
    pub fn same_for_links(self, other: Self) -> bool {
        let cluster = |t| matches!(t, Self::IksSa | Self::RoksSa);
        self == other || (cluster(self) && cluster(other))
    }

    /// The members besides the resource name that a link of this type must carry.
    pub fn link_parts(self) -> &'static [LinkPart] {
        match self {
            Self::Vsi | Self::Pvs | Self::Bms => &[],
            Self::IksSa | Self::RoksSa => &[LinkPart::Namespace, LinkPart::Name],
            Self::Ce => &[LinkPart::ComponentType, LinkPart::ComponentName],
            Self::Oidc => &[LinkPart::Name],
        }
    }
}

/// A member of a link that narrows it within the compute resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkPart {
    Namespace,
    Name,
    ComponentType,
    ComponentName,
}

impl LinkPart {
    pub const ALL: [LinkPart; 4] = [Self::Namespace, Self::Name, Self::ComponentType, Self::ComponentName];

    /// Name of the member, which is also the name of the claim it is compared with (for `OIDC` the name is the `sub`).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::Name => "name",
            Self::ComponentType => "component_type",
            Self::ComponentName => "component_name",
        }
    }

    fn claim(self, cr_type: CrType) -> &'static str {
        match (self, cr_type) {
            (Self::Name, CrType::Oidc) => "sub",
            _ => self.as_str(),
        }
    }
}

/// A compute resource whose evidence was verified.
#[derive(Clone, Debug)]
pub struct ComputeIdentity {
    pub cr_type: CrType,
    /// Resource name of the cluster, instance, project or issuer.
    pub crn: Crn,
    /// The finer name for people and for `authn.name`, such as `cluster:namespace:service-account:pod`.
    pub display: String,
    /// The account that owns the compute resource.
    pub account: AccountId,
    pub claims: Claims,
}

impl ComputeIdentity {
    /// A claim as conditions see it. `account_id`, `cr_type` and `crn` are ours: a token's own claim of that name never
    /// stands in for them.
    pub fn claim(&self, name: &str) -> Option<Cow<'_, ClaimValue>> {
        match name {
            "account_id" => Some(Cow::Owned(self.account.as_str().into())),
            "cr_type" => Some(Cow::Owned(self.cr_type.as_str().into())),
            "crn" => Some(Cow::Owned(self.crn.to_string().into())),
            _ => self.claims.get(name).map(Cow::Borrowed),
        }
    }
}

/// A claim rule of a profile for compute resources.
#[derive(Clone, Debug)]
pub struct ClaimRule {
    pub id: ClaimRuleId,
    pub name: Option<String>,
    pub cr_type: CrType,
    /// All must hold; a rule without conditions never matches.
    pub conditions: Vec<Condition>,
}

/// A link of a profile to one compute resource.
#[derive(Clone, Debug)]
pub struct Link {
    pub id: LinkId,
    /// The label of the link itself (`name` beside `link`); not compared.
    pub label: Option<String>,
    pub cr_type: CrType,
    pub crn: Crn,
    /// Without it, the compute resource must be of the profile's account.
    pub is_cross_account: bool,
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub component_type: Option<String>,
    pub component_name: Option<String>,
}

impl Link {
    pub fn part(&self, part: LinkPart) -> Option<&str> {
        match part {
            LinkPart::Namespace => self.namespace.as_deref(),
            LinkPart::Name => self.name.as_deref(),
            LinkPart::ComponentType => self.component_type.as_deref(),
            LinkPart::ComponentName => self.component_name.as_deref(),
        }
    }

    /// The first member that this type needs and the link lacks; used when a link is created.
    pub fn missing_part(&self) -> Option<LinkPart> {
        self.cr_type.link_parts().iter().copied().find(|p| self.part(*p).is_none_or(str::is_empty))
    }
}

/// Whether a compute resource may become a profile of `profile_account`, and why.
///
/// True if one link or one claim rule matches. The tree has a child for every link and rule, also after one matched, so
/// that it answers "by what" and not only "whether".
pub fn match_profile(
    identity: &ComputeIdentity,
    profile_account: &AccountId,
    links: &[Link],
    rules: &[ClaimRule],
) -> (bool, Reason) {
    let mut children: Vec<Reason> = Vec::with_capacity(links.len() + rules.len());
    children.extend(links.iter().map(|l| match_link(identity, profile_account, l)));
    children.extend(rules.iter().map(|r| match_rule(identity, profile_account, r)));
    let result = children.iter().any(|c| c.result);
    let mut reason = Reason::group("profile", result).with_name(Some(identity.display.clone()));
    if children.is_empty() {
        reason = reason.detail("the profile has no link and no claim rule for compute resources");
    }
    (result, reason.with_children(children))
}

fn match_link(identity: &ComputeIdentity, profile_account: &AccountId, link: &Link) -> Reason {
    let mut checks = Vec::with_capacity(4);
    let mut kind = Reason::check("condition", link.cr_type.same_for_links(identity.cr_type))
        .on("cr_type")
        .operator("EQUALS")
        .wanted(link.cr_type.as_str())
        .found(identity.cr_type.as_str());
    if kind.result && link.cr_type != identity.cr_type {
        kind = kind.detail("IKS_SA and ROKS_SA are one in links; a claim rule would tell them apart");
    }
    checks.push(kind);
    checks.push(
        Reason::check("condition", link.crn.same_resource(&identity.crn))
            .on("crn")
            .operator("EQUALS")
            .wanted(link.crn.to_string())
            .found(identity.crn.to_string()),
    );
    if !link.is_cross_account {
        checks.push(own_account(identity, profile_account));
    }
    for part in LinkPart::ALL {
        let wanted = link.part(part);
        if wanted.is_none() && !link.cr_type.link_parts().contains(&part) {
            continue;
        }
        let claim = part.claim(link.cr_type);
        let found = identity.claims.text(claim);
        let holds = wanted.is_some_and(|w| !w.is_empty() && found == Some(w));
        let mut check = Reason::check("condition", holds).on(claim).operator("EQUALS").found_opt(found);
        check = match wanted {
            Some(w) => check.wanted(w),
            None => check.detail("the link lacks this part, which its type needs"),
        };
        checks.push(check);
    }
    let result = checks.iter().all(|c| c.result);
    Reason::group("link", result)
        .with_id(link.id.as_str())
        .with_name(link.label.as_deref())
        .with_children(checks)
}

fn match_rule(identity: &ComputeIdentity, profile_account: &AccountId, rule: &ClaimRule) -> Reason {
    let account = own_account(identity, profile_account);
    let kind = Reason::check("condition", rule.cr_type == identity.cr_type)
        .on("cr_type")
        .operator("EQUALS")
        .wanted(rule.cr_type.as_str())
        .found(identity.cr_type.as_str());
    let (holds, conditions) = match_conditions(&rule.conditions, |name| identity.claim(name));
    let result = account.result && kind.result && holds;
    let mut reason =
        Reason::group("claim_rule", result).with_id(rule.id.as_str()).with_name(rule.name.as_deref());
    if rule.conditions.is_empty() {
        reason = reason.detail("a rule without conditions never matches");
    }
    let mut children = vec![account, kind];
    children.extend(conditions);
    reason.with_children(children)
}

fn own_account(identity: &ComputeIdentity, profile_account: &AccountId) -> Reason {
    Reason::check("condition", identity.account == *profile_account)
        .on("account_id")
        .operator("EQUALS")
        .wanted(profile_account.as_str())
        .found(identity.account.as_str())
}

/// Whether all conditions hold, and a node for each. No conditions: false.
///
/// ```
/// use avouch_policy::claims::Claims;
/// use avouch_policy::rules::{Condition, Operator, match_conditions};
/// use std::borrow::Cow;
/// let claims: Claims = [("groups", "admins")].into_iter().collect();
/// let c = Condition::new("groups", Operator::Equals, "\"admins\"").unwrap();
/// assert!(match_conditions(&[c], |name| claims.get(name).map(Cow::Borrowed)).0);
/// assert!(!match_conditions(&[], |_| None).0);
/// ```
pub fn match_conditions<'a>(
    conditions: &[Condition],
    claim: impl Fn(&str) -> Option<Cow<'a, ClaimValue>>,
) -> (bool, Vec<Reason>) {
    let reasons: Vec<Reason> = conditions.iter().map(|c| c.check(claim(c.claim()).as_deref())).collect();
    (!reasons.is_empty() && reasons.iter().all(|r| r.result), reasons)
}

#[cfg(test)]
mod tests;
