//! The reason tree: why a decision came out as it did.
//!
//! One tree serves trust (which rule or link of a profile matched) and access (which policy permitted, or how near the
//! nearest one came). It is made by the code that decides, never beside it. It holds ids, names, attribute and claim
//! values of the account that owns the rules; it holds no token and no secret. Who may see it is the caller's business.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// One node: a check or a group of checks, with its result.
///
/// ```
/// use avouch_policy::reason::Reason;
/// let tree = Reason::group("claim_rule", true).with_id("ClaimRule-1").with_child(
///     Reason::check("condition", true).on("namespace").operator("EQUALS").wanted("team-a").found("team-a"),
/// );
/// assert!(tree.result && tree.first_failure().is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What was judged: `profile`, `link`, `claim_rule`, `condition`, `access`, `policy`, `attribute`, `tag`, `role`, `rule`.
    pub kind: Cow<'static, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub result: bool,
    /// The claim or attribute that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<Cow<'static, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// What was there; absent where the claim or attribute was missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Cow<'static, str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Reason>,
}

impl Reason {
    /// A node that holds other nodes.
    pub fn group(kind: impl Into<Cow<'static, str>>, result: bool) -> Self {
        Self { kind: kind.into(), result, ..Self::default() }
    }

    /// A leaf: one comparison.
    pub fn check(kind: impl Into<Cow<'static, str>>, result: bool) -> Self {
        Self::group(kind, result)
    }

    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    pub fn with_name(mut self, name: Option<impl Into<String>>) -> Self {
        self.name = name.map(Into::into);
        self
    }

    pub fn on(mut self, claim: impl Into<String>) -> Self {
        self.claim = Some(claim.into());
        self
    }

    pub fn operator(mut self, operator: impl Into<Cow<'static, str>>) -> Self {
        self.operator = Some(operator.into());
        self
    }

    pub fn wanted(mut self, wanted: impl Into<String>) -> Self {
        self.wanted = Some(wanted.into());
        self
    }

    pub fn found(mut self, found: impl Into<String>) -> Self {
        self.found = Some(found.into());
        self
    }

    pub fn found_opt(mut self, found: Option<impl Into<String>>) -> Self {
        self.found = found.map(Into::into);
        self
    }

    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub fn with_child(mut self, child: Reason) -> Self {
        self.children.push(child);
        self
    }

    pub fn with_children(mut self, children: Vec<Reason>) -> Self {
        self.children = children;
        self
    }

    /// The first leaf that failed, depth first; `None` if this node holds.
    pub fn first_failure(&self) -> Option<&Reason> {
        if self.result {
            return None;
        }
        self.children.iter().find_map(Reason::first_failure).or(Some(self))
    }

    /// The ids of the direct children that hold: the links, rules or policies that made the decision.
    pub fn satisfied(&self) -> impl Iterator<Item = &str> {
        self.children.iter().filter(|c| c.result).filter_map(|c| c.id.as_deref())
    }

    /// The tree cut down to what an audit event keeps: for every direct child its kind, id, name and result, and under a
    /// child that failed only its first failing leaf.
    pub fn compact(&self) -> Reason {
        let cut = |c: &Reason| Reason {
            children: c
                .first_failure()
                .filter(|leaf| !std::ptr::eq(*leaf, c))
                .cloned()
                .map(Reason::without_children)
                .into_iter()
                .collect(),
            ..c.clone().without_children()
        };
        Reason { children: self.children.iter().map(cut).collect(), ..self.clone().without_children() }
    }

    fn without_children(mut self) -> Self {
        self.children.clear();
        self
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn tree() -> Reason {
        let good = Reason::check("condition", true).on("name").wanted("a").found("a");
        let bad = Reason::check("condition", false).on("namespace").wanted("b");
        let late = Reason::check("condition", false).on("pod").wanted("c");
        let rule =
            Reason::group("claim_rule", false).with_id("ClaimRule-1").with_children(vec![good, bad, late]);
        Reason::group("profile", false).with_child(rule)
    }

    #[test]
    fn first_failure_is_the_first_failing_leaf() {
        assert_eq!(tree().first_failure().unwrap().claim.as_deref(), Some("namespace"));
    }

    #[test]
    fn empty_members_are_left_out_and_the_tree_reads_back() {
        let text = serde_json::to_string(&tree()).unwrap();
        assert!(!text.contains("null") && !text.contains("\"detail\""));
        assert_eq!(serde_json::from_str::<Reason>(&text).unwrap(), tree());
    }

    #[test]
    fn compact_keeps_ids_and_the_first_failing_leaf() {
        let c = tree().compact();
        assert_eq!(c.children[0].id.as_deref(), Some("ClaimRule-1"));
        assert_eq!(c.children[0].children.len(), 1);
        assert_eq!(c.children[0].children[0].claim.as_deref(), Some("namespace"));
    }
}
