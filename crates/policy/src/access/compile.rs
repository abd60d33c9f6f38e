//! The compiled form of a policy: small, and made of numbers where texts repeat.

use super::attrs::Key;
use super::doc::{Attr, Op, PolicyDoc, Subject, Tag};
use super::intern::{Slab, Table};
use super::rule::Rule;
use crate::roles::Catalogue;
use std::collections::HashMap;

/// How a condition compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// `arg` is the text.
    Equals,
    /// `arg` is the pattern.
    Match,
    Exists,
    Absent,
    /// `arg` is a place in [`Extra::lists`].
    List,
}

/// One attribute condition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cond {
    pub key: Key,
    pub how: How,
    pub arg: u32,
}

impl Cond {
    fn holds_text(self) -> bool {
        matches!(self.how, How::Equals | How::Match)
    }

    /// Above zero for conditions that a policy can be filed under, highest for the narrowest.
    fn filing_rank(self) -> u8 {
        if self.how == How::Equals { self.key.narrowness() } else { 0 }
    }
}

/// What few policies have.
#[derive(Debug, Default)]
pub(super) struct Extra {
    pub tags: Vec<Tag>,
    pub rule: Option<Rule>,
    pub lists: Vec<Op>,
    /// Authorizations: conditions on the calling service.
    pub source: Vec<Cond>,
    /// Why the policy can never permit.
    pub never: Option<&'static str>,
}

impl Extra {
    fn is_empty(&self) -> bool {
        let lists = self.tags.is_empty() && self.lists.is_empty() && self.source.is_empty();
        lists && self.rule.is_none() && self.never.is_none()
    }
}

/// One policy as it is kept.
#[derive(Debug)]
pub(super) struct Policy {
    pub id: [u8; 16],
    /// Place of the subject.
    pub subject: u32,
    /// Where the policy stands in its list under the subject.
    pub pos: u32,
    /// Place of the set of roles.
    pub roles: u32,
    pub conds: Box<[Cond]>,
    pub extra: Option<Box<Extra>>,
}

impl Policy {
    /// What the policy is filed under: its narrowest equality, which stands last.
    pub(super) fn filing(&self) -> Filing {
        let narrowest = self.conds.last().filter(|c| c.filing_rank() > 0);
        narrowest.map_or(Filing::NONE, |c| Filing::new(c.key, c.arg))
    }
}

/// A key and a value, packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Filing(u64);

impl Filing {
    /// For policies without an equality to file them under.
    pub(super) const NONE: Filing = Filing(u64::MAX);

    pub(super) fn new(key: Key, value: u32) -> Self {
        Self((key.place() as u64) << 32 | u64::from(value))
    }

    /// The key; `None` for [`Self::NONE`].
    pub(super) fn key(self) -> Option<Key> {
        (self != Self::NONE).then(|| Key::at(u32::try_from(self.0 >> 32).unwrap_or(u32::MAX)))
    }

    /// The value under the key.
    pub(super) fn value(self) -> u32 {
        u32::try_from(self.0 & u64::from(u32::MAX)).unwrap_or(u32::MAX)
    }
}

/// The roles that a policy grants. Many policies share one set.
#[derive(Debug)]
pub(super) struct RoleSet {
    pub crns: Vec<String>,
    /// Built-in roles that work wherever the policy says.
    pub mask: u64,
    /// Built-in roles named in the namespace of a service, with the place of that service.
    pub only: Vec<(usize, u64)>,
    /// Names that are no built-in roles: custom roles, which may come and go.
    pub custom: Vec<String>,
    refs: u32,
}

/// Shared sets of roles.
#[derive(Debug, Default)]
pub(super) struct RoleSets {
    sets: Slab<RoleSet>,
    places: HashMap<Vec<String>, u32>,
}

impl RoleSets {
    pub(super) fn get(&self, place: u32) -> Option<&RoleSet> {
        self.sets.get(place)
    }

    pub(super) fn acquire(&mut self, crns: &[String]) -> Option<u32> {
        let mut crns = crns.to_vec();
        crns.sort();
        crns.dedup();
        if let Some(place) = self.places.get(&crns) {
            self.sets.get_mut(*place)?.refs += 1;
            return Some(*place);
        }
        let mut set = RoleSet { crns: crns.clone(), mask: 0, only: Vec::new(), custom: Vec::new(), refs: 1 };
        for crn in &crns {
            match Catalogue::builtin().resolve(crn) {
                Some(role) => match role.only {
                    None => set.mask |= 1 << role.place,
                    Some(service) => set.only.push((service, 1 << role.place)),
                },
                None => set.custom.push(crn.clone()),
            }
        }
        let place = self.sets.insert(set)?;
        self.places.insert(crns, place);
        Some(place)
    }

    pub(super) fn release(&mut self, place: u32) {
        let Some(set) = self.sets.get_mut(place) else { return };
        set.refs = set.refs.saturating_sub(1);
        if set.refs == 0
            && let Some(set) = self.sets.remove(place)
        {
            self.places.remove(&set.crns);
        }
    }
}

/// Texts that conditions compare with, counted.
#[derive(Debug, Default)]
pub(super) struct Atoms(Table<u32>);

impl Atoms {
    pub(super) fn find(&self, text: &str) -> Option<u32> {
        self.0.find(text)
    }

    pub(super) fn text(&self, place: u32) -> std::borrow::Cow<'_, str> {
        self.0.text(place)
    }

    fn acquire(&mut self, text: &str) -> Option<u32> {
        let place = self.0.find_or_insert(text, || 0)?;
        *self.0.get_mut(place)? += 1;
        Some(place)
    }

    fn release(&mut self, place: u32) {
        let Some(refs) = self.0.get_mut(place) else { return };
        *refs = refs.saturating_sub(1);
        if *refs == 0 {
            self.0.remove(place);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Compiles conditions. What cannot be evaluated makes the policy one that never permits.
    fn conds(&mut self, attrs: &[Attr], extra: &mut Extra) -> Vec<Cond> {
        let mut out = Vec::with_capacity(attrs.len());
        for attr in attrs {
            let Some(key) = Key::parse(&attr.key) else {
                extra.never = Some("names an attribute that is not known");
                continue;
            };
            let cond = |how, arg| Cond { key, how, arg };
            let text = |atoms: &mut Self, how, v: &str| atoms.acquire(v).map(|arg| cond(how, arg));
            let compiled = match &attr.op {
                // COMPAT: manuals and clients write "any" as a plain star for attributes that hold an id.
                Op::Equals(v) if v == "*" && key.is_id() => Some(cond(How::Exists, 0)),
                Op::Equals(v) => text(self, How::Equals, v),
                Op::Match(v) => text(self, How::Match, v),
                Op::Exists(true) => Some(cond(How::Exists, 0)),
                Op::Exists(false) => Some(cond(How::Absent, 0)),
                Op::EqualsAnyOf(_) | Op::MatchAnyOf(_) => {
                    extra.lists.push(attr.op.clone());
                    u32::try_from(extra.lists.len() - 1).ok().map(|at| cond(How::List, at))
                }
                Op::Unknown(_) => None,
            };
            match compiled {
                Some(c) => out.push(c),
                None => extra.never = Some("has an operator that is not known"),
            }
        }
        out
    }

    pub(super) fn release_all(&mut self, policy: &Policy) {
        let source = policy.extra.iter().flat_map(|e| &e.source);
        for cond in policy.conds.iter().chain(source).filter(|c| c.holds_text()) {
            self.release(cond.arg);
        }
    }
}

/// The text under which the subject of a policy is filed. A service stands apart from all ids by its first character, which
/// no id can hold.
pub(super) fn subject_text(subject: &Subject) -> String {
    match subject {
        Subject::IamId(id) | Subject::AccessGroup(id) => id.clone(),
        Subject::Service(attrs) => {
            let named = attrs.iter().find_map(|a| match &a.op {
                Op::Equals(v) if a.key == Key::SERVICE.as_str() => Some(v.as_str()),
                _ => None,
            });
            service_text(named.unwrap_or_default())
        }
    }
}

pub(super) fn service_text(service: &str) -> String {
    format!("\0{service}")
}

/// Compiles a policy for a subject and a set of roles that are already filed.
pub(super) fn compile(id: [u8; 16], doc: &PolicyDoc, atoms: &mut Atoms, subject: u32, roles: u32) -> Policy {
    let mut extra =
        Extra { tags: doc.tags.clone(), rule: doc.rule.clone(), never: doc.unknown, ..Extra::default() };
    if doc.rule.is_none() && doc.pattern.is_some() {
        extra.never = Some("has a pattern without its rule");
    }
    let mut conds = atoms.conds(&doc.resource, &mut extra);
    // From wide to narrow, so that a miss is nearer the more conditions hold before it.
    conds.sort_by_key(|c| (c.filing_rank(), c.key.narrowness()));
    if let Subject::Service(attrs) = &doc.subject {
        extra.source = atoms.conds(attrs, &mut extra);
    }
    if conds.is_empty() {
        extra.never = Some("names no resource");
    }
    let extra = (!extra.is_empty()).then(|| Box::new(extra));
    Policy { id, subject, pos: 0, roles, conds: conds.into(), extra }
}
