//! The decision, and its explanation.
//!
//! Default deny; a request is permitted if one policy matches it and grants a role that holds the action. There are no
//! denying policies, and order does not matter. [`Index::decide`] and [`Index::explain`] judge a policy by one function,
//! [`Index::judge`]; they differ in the visitor they pass, and in that the explanation also looks at policies that filing
//! leaves out.

use super::attrs::{Key, ResourceAttrs};
use super::compile::{Cond, How, Policy};
use super::index::{Index, Values};
use super::visit::{Silent, Trace, Visitor};
use crate::reason::Reason;
use crate::roles::Catalogue;
use crate::wildcard;
use avouch_wire::{PolicyId, Timestamp};

/// Most policies that an explanation shows.
const SHOWN: usize = 50;

/// The answer to one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    pub permitted: bool,
    /// All policies that permit it.
    pub matched: Vec<PolicyId>,
}

/// What is asked about the roles of a matching policy.
#[derive(Clone, Copy)]
enum Ask<'a> {
    /// Does one hold this action, in canonical spelling?
    Action(&'a str),
    /// Does one hold any action of the service?
    Anything,
}

/// Attributes of one side of a request, and the same as the index knows them.
struct Side<'a> {
    attrs: &'a ResourceAttrs,
    values: Values<'a>,
    /// Conditions on what is inside an instance hold where the request does not say.
    inside: bool,
}

struct Request<'a> {
    res: Side<'a>,
    /// The calling service, for authorizations.
    source: Option<Side<'a>>,
    ask: Ask<'a>,
    service: Option<usize>,
    /// Built-in roles that answer the question on this service.
    mask: u64,
    now: Timestamp,
}

/// Who asks.
#[derive(Clone, Copy)]
enum Who<'a> {
    Subjects(&'a [&'a str]),
    Service(&'a ResourceAttrs),
}

impl Index {
    /// Decides for a caller: `subjects` are its IAM id and the ids of its access groups.
    pub fn decide(&self, subjects: &[&str], action: &str, res: &ResourceAttrs, now: Timestamp) -> Decision {
        self.decision(Who::Subjects(subjects), action, res, now)
    }

    /// Decides for a calling service by the authorizations of the account that owns the resource. `source` are the
    /// attributes of the caller's own instance.
    pub fn decide_service(
        &self,
        source: &ResourceAttrs,
        action: &str,
        res: &ResourceAttrs,
        now: Timestamp,
    ) -> Decision {
        self.decision(Who::Service(source), action, res, now)
    }

    /// Why [`Self::decide`] answers as it does: a node for each policy of the caller, those that permit first, then the
    /// nearest misses. The result of the tree is the decision.
    pub fn explain(&self, subjects: &[&str], action: &str, res: &ResourceAttrs, now: Timestamp) -> Reason {
        self.explanation(Who::Subjects(subjects), action, res, now)
    }

    /// Why [`Self::decide_service`] answers as it does.
    pub fn explain_service(
        &self,
        source: &ResourceAttrs,
        action: &str,
        res: &ResourceAttrs,
        now: Timestamp,
    ) -> Reason {
        self.explanation(Who::Service(source), action, res, now)
    }

    /// Whether the caller may do anything at all on or inside what `res` describes, such as a service instance. For
    /// services that answer "forbidden" and "not found" by it. Looks at all policies of the caller.
    pub fn reaches(&self, subjects: &[&str], res: &ResourceAttrs, now: Timestamp) -> bool {
        let mut request = self.request(Ask::Anything, res, None, now);
        request.res.inside = true;
        let mut found = false;
        for subject in subjects {
            self.policies_of(subject, None, |p| found = found || self.judge(p, &request, &mut Silent));
        }
        found
    }

    /// The roles, as policies name them, that the caller has on a resource.
    pub fn granted_roles(&self, subjects: &[&str], res: &ResourceAttrs, now: Timestamp) -> Vec<String> {
        let request = self.request(Ask::Anything, res, None, now);
        let mut out: Vec<String> = Vec::new();
        for subject in subjects {
            self.policies_of(subject, Some(&request.res.values), |p| {
                if self.judge(p, &request, &mut Silent)
                    && let Some(set) = self.role_sets.get(p.roles)
                {
                    out.extend(set.crns.iter().cloned());
                }
            });
        }
        out.sort();
        out.dedup();
        out
    }

    fn decision(&self, who: Who<'_>, action: &str, res: &ResourceAttrs, now: Timestamp) -> Decision {
        let request = self.request(Ask::Action(action), res, who.source(), now);
        let mut matched: Vec<[u8; 16]> = Vec::new();
        self.for_each(who, Some(&request.res.values), |p| {
            if self.judge(p, &request, &mut Silent) {
                matched.push(p.id);
            }
        });
        if matched.len() > 1 {
            matched.sort_unstable();
            matched.dedup();
        }
        Decision { permitted: !matched.is_empty(), matched: matched.into_iter().map(policy_id).collect() }
    }

    fn explanation(&self, who: Who<'_>, action: &str, res: &ResourceAttrs, now: Timestamp) -> Reason {
        let request = self.request(Ask::Action(action), res, who.source(), now);
        let mut judged: Vec<(bool, usize, Reason)> = Vec::new();
        self.for_each(who, None, |p| {
            let mut trace = Trace::default();
            let result = self.judge(p, &request, &mut trace);
            let (children, passed) = trace.finish();
            judged.push((result, passed, self.policy_node(who, p, result).with_children(children)));
        });
        judged.sort_by_key(|(result, passed, node)| (!result, std::cmp::Reverse(*passed), node.id.clone()));
        judged.dedup_by(|a, b| a.2.id == b.2.id);
        let result = judged.iter().any(|(result, ..)| *result);
        let considered = judged.len();
        let nodes: Vec<Reason> = judged.into_iter().take(SHOWN).map(|(_, _, node)| node).collect();
        let detail = match nodes.first() {
            None => "no policy names the caller or one of its groups".to_owned(),
            Some(_) if result => format!("{considered} policies considered"),
            Some(nearest) => {
                let id = nearest.id.as_deref().unwrap_or_default();
                let miss = nearest.first_failure().and_then(|f| f.claim.as_deref()).unwrap_or("a condition");
                format!("{considered} policies considered; nearest is {id}, which fails at {miss}")
            }
        };
        Reason::group("access", result).with_name(Some(action)).detail(detail).with_children(nodes)
    }

    fn policy_node(&self, who: Who<'_>, p: &Policy, result: bool) -> Reason {
        let subject = self.subject_of(p);
        let claim = match who {
            Who::Service(_) => "serviceName",
            Who::Subjects(_) if subject.starts_with("AccessGroupId-") => "access_group_id",
            Who::Subjects(_) => "iam_id",
        };
        Reason::group("policy", result).with_id(policy_id(p.id).as_str()).on(claim).found(subject)
    }

    fn for_each(&self, who: Who<'_>, values: Option<&Values<'_>>, mut each: impl FnMut(&Policy)) {
        match who {
            Who::Subjects(subjects) => {
                // Ids never begin with the character that marks a service, so a caller cannot pass for one.
                for subject in subjects.iter().filter(|s| !s.starts_with('\0')) {
                    self.policies_of(subject, values, &mut each);
                }
            }
            Who::Service(source) => {
                for subject in Self::service_subjects(source) {
                    self.policies_of(&subject, values, &mut each);
                }
            }
        }
    }

    fn request<'a>(
        &'a self,
        ask: Ask<'a>,
        res: &'a ResourceAttrs,
        source: Option<&'a ResourceAttrs>,
        now: Timestamp,
    ) -> Request<'a> {
        let catalogue = Catalogue::builtin();
        let named = res.get(Key::SERVICE);
        let service = named.and_then(|name| catalogue.service_place(name));
        let known = service.and_then(|s| catalogue.service_at(s));
        let (ask, mask) = match (ask, known) {
            (Ask::Action(action), Some(s)) => {
                let action = s.canonical(action);
                (Ask::Action(action), s.granting(action))
            }
            // Without a service the request is about all of them, and only what all have in common can be asked.
            (Ask::Action(action), None) if named.is_none() => (ask, catalogue.granting_on_all(action)),
            (Ask::Action(_), None) => (ask, 0),
            (Ask::Anything, Some(s)) => (ask, s.reaching()),
            (Ask::Anything, None) => (ask, 0),
        };
        let side = |attrs| Side { attrs, values: Values::new(attrs, &self.atoms), inside: false };
        Request { res: side(res), source: source.map(side), ask, service, mask, now }
    }

    /// Whether one policy permits a request. The only place where policies are judged.
    fn judge<V: Visitor>(&self, p: &Policy, request: &Request<'_>, visitor: &mut V) -> bool {
        let extra = p.extra.as_deref();
        if let Some(never) = extra.and_then(|e| e.never) {
            visitor.check(false, || Reason::check("policy", false).on("policy").detail(never));
            return false;
        }
        let source: &[Cond] = extra.map_or(&[], |e| &e.source);
        match &request.source {
            Some(side) => {
                for cond in source {
                    if !self.condition(p, *cond, side, visitor) {
                        return false;
                    }
                }
            }
            // An authorization is for services; nobody else gets here, and would get nothing.
            None if !source.is_empty() => return false,
            None => {}
        }
        for cond in &p.conds {
            if !self.condition(p, *cond, &request.res, visitor) {
                return false;
            }
        }
        for tag in extra.map_or(&[][..], |e| &e.tags) {
            let result = tag.holds(request.res.attrs.access_tags());
            visitor.check(result, || {
                let node = Reason::check("tag", result).on(tag.name.clone()).wanted(tag.op.wanted());
                node.operator(tag.op.name().to_owned()).found(request.res.attrs.access_tags().join(" "))
            });
            if !result {
                return false;
            }
        }
        let result = self.grants(p, request);
        visitor.check(result, || {
            let roles = self.role_sets.get(p.roles).map(|s| s.crns.join(" ")).unwrap_or_default();
            let action = match request.ask {
                Ask::Action(action) => action,
                Ask::Anything => "any",
            };
            Reason::check("role", result).on("action").operator("granted by").wanted(action).found(roles)
        });
        if !result {
            return false;
        }
        match extra.and_then(|e| e.rule.as_ref()) {
            // Whether anything inside satisfies such a rule cannot be said without looking at all of it.
            Some(rule) if request.res.inside && !rule.resource_keys().is_empty() => true,
            Some(rule) => rule.holds(request.res.attrs, request.now, visitor),
            None => true,
        }
    }

    fn condition<V: Visitor>(&self, p: &Policy, cond: Cond, side: &Side<'_>, visitor: &mut V) -> bool {
        let (res, values) = (side.attrs, &side.values);
        let list = || p.extra.as_ref().and_then(|e| e.lists.get(cond.arg as usize));
        let result = match cond.how {
            _ if side.inside && cond.key.is_inside_instance() && res.get(cond.key).is_none() => true,
            How::Equals => values.is(cond.key, cond.arg),
            How::Match => res.get(cond.key).is_some_and(|v| wildcard::matches(&self.atoms.text(cond.arg), v)),
            How::Exists => res.get(cond.key).is_some(),
            How::Absent => res.lacks(cond.key),
            How::List => list().is_some_and(|op| op.holds(res.get(cond.key), false)),
        };
        visitor.check(result, || {
            let (operator, wanted) = match cond.how {
                How::Equals => ("stringEquals".to_owned(), self.atoms.text(cond.arg).into_owned()),
                How::Match => ("stringMatch".to_owned(), self.atoms.text(cond.arg).into_owned()),
                How::Exists => ("stringExists".to_owned(), "true".to_owned()),
                How::Absent => ("stringExists".to_owned(), "false".to_owned()),
                How::List => list().map(|op| (op.name().to_owned(), op.wanted())).unwrap_or_default(),
            };
            Reason::check("attribute", result)
                .on(cond.key.as_str())
                .operator(operator)
                .wanted(wanted)
                .found_opt(res.get(cond.key))
        });
        result
    }

    fn grants(&self, p: &Policy, request: &Request<'_>) -> bool {
        let Some(set) = self.role_sets.get(p.roles) else { return false };
        let custom = |crn: &String| {
            request.res.attrs.get(Key::SERVICE).is_some_and(|service| match request.ask {
                Ask::Action(action) => self.custom.grants(crn, service, action),
                Ask::Anything => self.custom.reaches(crn, service),
            })
        };
        set.mask & request.mask != 0
            || set
                .only
                .iter()
                .any(|(service, bit)| request.service == Some(*service) && bit & request.mask != 0)
            || set.custom.iter().any(custom)
    }
}

impl<'a> Who<'a> {
    fn source(self) -> Option<&'a ResourceAttrs> {
        match self {
            Self::Subjects(_) => None,
            Self::Service(source) => Some(source),
        }
    }
}

fn policy_id(id: [u8; 16]) -> PolicyId {
    PolicyId::from_uuid(uuid::Uuid::from_bytes(id))
}

#[cfg(test)]
mod tests;
