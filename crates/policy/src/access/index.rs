//! All policies of one account, filed so that a decision looks at few of them.
//!
//! Policies stand under their subject. A subject with many policies keeps them under their narrowest equality as well, and a
//! request then looks only at the places that its own attributes name. Which policies are looked at is the whole difference
//! that filing makes: each one is judged by the same code, and those left out could not have matched.

use super::attrs::{KEYS, Key, ResourceAttrs};
use super::compile::{Atoms, Filing, Policy, RoleSets, compile, service_text, subject_text};
use super::custom::CustomRoles;
use super::doc::PolicyDoc;
use super::intern::{Slab, Table, pack};
use avouch_wire::PolicyId;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use std::cell::Cell;
use std::hash::BuildHasher;

/// More policies than this under one subject are filed by their narrowest equality.
const FLAT: usize = 16;

/// Places of policies; most lists hold one.
#[derive(Debug, Default)]
#[allow(clippy::box_collection)] // Keeps every entry at sixteen bytes; long lists are few.
enum Places {
    #[default]
    None,
    One(u32),
    More(Box<Vec<u32>>),
}

impl Places {
    fn as_slice(&self) -> &[u32] {
        match self {
            Self::None => &[],
            Self::One(place) => std::slice::from_ref(place),
            Self::More(list) => list,
        }
    }

    /// Adds a place and says where it stands.
    fn push(&mut self, place: u32) -> u32 {
        match self {
            Self::None => *self = Self::One(place),
            Self::One(first) => *self = Self::More(Box::new(vec![*first, place])),
            Self::More(list) => list.push(place),
        }
        u32::try_from(self.as_slice().len() - 1).unwrap_or(u32::MAX)
    }

    /// Takes out what stands at `pos`; returns the place that moved there, if one did.
    fn remove(&mut self, pos: u32) -> Option<u32> {
        let pos = pos as usize;
        match self {
            Self::None => None,
            Self::One(_) => {
                *self = Self::None;
                None
            }
            Self::More(list) => {
                if pos >= list.len() {
                    return None;
                }
                list.swap_remove(pos);
                let moved = list.get(pos).copied();
                if let [only] = list.as_slice() {
                    *self = Self::One(*only);
                }
                moved
            }
        }
    }
}

#[derive(Debug, Default)]
struct Keyed {
    places: HashMap<Filing, Places>,
    /// Keys under which something was filed at some time, a bit each.
    keys: u64,
    len: usize,
}

/// A policy under its subject, with what it is filed by: most are passed over without being looked at.
#[derive(Clone, Copy, Debug)]
struct Entry {
    filing: Filing,
    place: u32,
}

#[derive(Debug)]
enum Filed {
    One(Entry),
    Flat(Vec<Entry>),
    Keyed(Box<Keyed>),
}

impl Filed {
    const EMPTY: Self = Self::Flat(Vec::new());

    /// Adds a policy and says where it stands.
    fn push(&mut self, entry: Entry) -> u32 {
        let list = match self {
            Self::Keyed(keyed) => return keyed.push(entry.filing, entry.place),
            Self::Flat(list) if list.is_empty() => {
                *self = Self::One(entry);
                return 0;
            }
            Self::Flat(list) => list,
            Self::One(first) => {
                *self = Self::Flat(vec![*first, entry]);
                return 1;
            }
        };
        list.push(entry);
        u32::try_from(list.len() - 1).unwrap_or(u32::MAX)
    }

    /// Takes a policy out; returns the place of the one that moved to where it stood, if one did.
    fn remove(&mut self, filing: Filing, pos: u32) -> Option<u32> {
        match self {
            Self::Keyed(keyed) => keyed.remove(filing, pos),
            Self::One(_) => {
                *self = Self::EMPTY;
                None
            }
            Self::Flat(list) => {
                if pos as usize >= list.len() {
                    return None;
                }
                list.swap_remove(pos as usize);
                list.get(pos as usize).map(|e| e.place)
            }
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::One(_) => false,
            Self::Flat(list) => list.is_empty(),
            Self::Keyed(keyed) => keyed.len == 0,
        }
    }
}

/// The policies and custom roles of one account. Changes are made in place and cost the same however many policies there are.
///
/// ```
/// use avouch_policy::access::{Index, PolicyDoc, ResourceAttrs};
/// use avouch_wire::{AccountId, PolicyId, Timestamp};
/// let account = AccountId::parse("0123456789abcdef0123456789abcdef").unwrap();
/// let id = PolicyId::parse("11111111-2222-4333-8444-555555555555").unwrap();
/// let doc = PolicyDoc::from_v1(&serde_json::json!({"type": "access",
///   "subjects": [{"attributes": [{"name": "iam_id", "value": "IBMid-1"}]}],
///   "roles": [{"role_id": "crn:v1:bluemix:public:secrets-manager::::serviceRole:SecretsReader"}],
///   "resources": [{"attributes": [{"name": "accountId", "value": account.as_str()}, {"name": "serviceName", "value": "secrets-manager"}]}]})).unwrap();
/// let mut index = Index::new();
/// index.upsert(&id, &doc);
/// let res = ResourceAttrs::service(&account, "secrets-manager").instance("i1");
/// let now = Timestamp::from_secs(0);
/// assert_eq!(index.decide(&["IBMid-1"], "secrets-manager.secret.read", &res, now).matched, [id.clone()]);
/// assert!(!index.decide(&["IBMid-2"], "secrets-manager.secret.read", &res, now).permitted);
/// index.remove(&id);
/// assert!(!index.decide(&["IBMid-1"], "secrets-manager.secret.read", &res, now).permitted);
/// ```
#[derive(Debug, Default)]
pub struct Index {
    policies: Slab<Policy>,
    by_id: HashTable<u32>,
    hasher: DefaultHashBuilder,
    subjects: Table<Filed>,
    pub(super) atoms: Atoms,
    pub(super) role_sets: RoleSets,
    pub(super) custom: CustomRoles,
}

impl Index {
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of policies.
    pub fn len(&self) -> usize {
        self.policies.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn contains(&self, id: &PolicyId) -> bool {
        pack(id.as_str()).is_some_and(|id| self.place_of(id).is_some())
    }

    /// Adds a policy or replaces it. Only active policies belong here.
    pub fn upsert(&mut self, id: &PolicyId, doc: &PolicyDoc) {
        self.remove(id);
        // A place that cannot be had (four thousand million are taken) leaves the policy out, which permits nothing.
        self.insert(id, doc);
    }

    fn insert(&mut self, id: &PolicyId, doc: &PolicyDoc) -> Option<()> {
        let id = pack(id.as_str())?;
        let subject = self.subjects.find_or_insert(&subject_text(&doc.subject), || Filed::EMPTY)?;
        let roles = self.role_sets.acquire(&doc.roles)?;
        let policy = compile(id, doc, &mut self.atoms, subject, roles);
        let filing = policy.filing();
        let place = self.policies.insert(policy)?;
        let (policies, hasher) = (&self.policies, &self.hasher);
        let rehash = |p: &u32| policies.get(*p).map_or(0, |policy| hasher.hash_one(policy.id));
        self.by_id.insert_unique(hasher.hash_one(id), place, rehash);
        let pos = self.subjects.get_mut(subject)?.push(Entry { filing, place });
        self.policies.get_mut(place)?.pos = pos;
        if pos as usize >= FLAT {
            self.spread(subject);
        }
        Some(())
    }

    /// Files the policies of a subject by their narrowest equality, once there are many.
    fn spread(&mut self, subject: u32) -> Option<()> {
        let filed = self.subjects.get_mut(subject)?;
        let Filed::Flat(flat) = filed else { return None };
        let mut keyed = Keyed::default();
        for entry in flat.iter() {
            self.policies.get_mut(entry.place)?.pos = keyed.push(entry.filing, entry.place);
        }
        *filed = Filed::Keyed(Box::new(keyed));
        Some(())
    }

    /// Takes a policy out; unknown ids change nothing.
    pub fn remove(&mut self, id: &PolicyId) {
        let _ = self.take_out(id);
    }

    fn take_out(&mut self, id: &PolicyId) -> Option<()> {
        let id = pack(id.as_str())?;
        let place = self.place_of(id)?;
        let policies = &self.policies;
        let same = |p: &u32| *p == place && policies.get(*p).is_some();
        if let Ok(entry) = self.by_id.find_entry(self.hasher.hash_one(id), same) {
            entry.remove();
        }
        let policy = self.policies.remove(place)?;
        let filed = self.subjects.get_mut(policy.subject)?;
        let moved = filed.remove(policy.filing(), policy.pos);
        let empty = filed.is_empty();
        if let Some(moved) = moved.and_then(|m| self.policies.get_mut(m)) {
            moved.pos = policy.pos;
        }
        if empty {
            self.subjects.remove(policy.subject);
        }
        self.atoms.release_all(&policy);
        self.role_sets.release(policy.roles);
        Some(())
    }

    fn place_of(&self, id: [u8; 16]) -> Option<u32> {
        let same = |p: &u32| self.policies.get(*p).is_some_and(|policy| policy.id == id);
        self.by_id.find(self.hasher.hash_one(id), same).copied()
    }

    /// Adds a custom role of the account or replaces it.
    pub fn upsert_custom_role<A: AsRef<str>>(
        &mut self,
        crn: &str,
        service: &str,
        actions: impl IntoIterator<Item = A>,
    ) {
        self.custom.upsert(crn, service, actions);
    }

    pub fn remove_custom_role(&mut self, crn: &str) {
        self.custom.remove(crn);
    }

    pub fn custom_roles(&self) -> &CustomRoles {
        &self.custom
    }

    pub(super) fn subject_of(&self, policy: &Policy) -> String {
        self.subjects.text(policy.subject).trim_start_matches('\0').to_owned()
    }

    /// Calls `each` with the policies of a subject: those that a request with these values may match, or all of them.
    pub(super) fn policies_of(
        &self,
        subject: &str,
        values: Option<&Values<'_>>,
        mut each: impl FnMut(&Policy),
    ) {
        let Some(filed) = self.subjects.find(subject).and_then(|s| self.subjects.get(s)) else { return };
        let mut visit = |place: u32| {
            if let Some(policy) = self.policies.get(place) {
                each(policy);
            }
        };
        let may_match = |entry: &&Entry| values.is_none_or(|v| v.may_match(entry.filing));
        let keyed = match filed {
            Filed::One(entry) => {
                return Some(entry).into_iter().filter(may_match).for_each(|e| visit(e.place));
            }
            Filed::Flat(list) => return list.iter().filter(may_match).for_each(|e| visit(e.place)),
            Filed::Keyed(keyed) => keyed,
        };
        let mut all = |places: &Places| places.as_slice().iter().copied().for_each(&mut visit);
        let Some(values) = values else { return keyed.places.values().for_each(all) };
        let mut keys = keyed.keys;
        while keys != 0 {
            let key = Key::at(keys.trailing_zeros());
            keys &= keys - 1;
            if let Some(filing) = values.filing(key)
                && let Some(places) = keyed.places.get(&filing)
            {
                all(places);
            }
        }
        if let Some(places) = keyed.places.get(&Filing::NONE) {
            all(places);
        }
    }

    /// The subjects under which authorizations for a calling service are filed.
    pub(super) fn service_subjects(source: &ResourceAttrs) -> [String; 2] {
        [service_text(source.get(Key::SERVICE).unwrap_or_default()), service_text("")]
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        (self.policies.len(), self.subjects.len(), self.atoms.len())
    }
}

impl Keyed {
    fn push(&mut self, filing: Filing, place: u32) -> u32 {
        if let Some(key) = filing.key() {
            self.keys |= 1 << key.place();
        }
        self.len += 1;
        self.places.entry(filing).or_default().push(place)
    }

    fn remove(&mut self, filing: Filing, pos: u32) -> Option<u32> {
        let places = self.places.get_mut(&filing)?;
        let moved = places.remove(pos);
        if matches!(places, Places::None) {
            self.places.remove(&filing);
        }
        self.len -= 1;
        moved
    }
}

/// The values of a request as the index knows them, looked up when they are first asked for.
pub(super) struct Values<'a> {
    attrs: &'a ResourceAttrs,
    atoms: &'a Atoms,
    known: [Cell<u32>; KEYS],
}

impl<'a> Values<'a> {
    const ABSENT: u32 = u32::MAX;
    /// Present, but no policy compares with it.
    const FOREIGN: u32 = u32::MAX - 1;
    const UNASKED: u32 = u32::MAX - 2;

    pub(super) fn new(attrs: &'a ResourceAttrs, atoms: &'a Atoms) -> Self {
        Self { attrs, atoms, known: [const { Cell::new(Self::UNASKED) }; KEYS] }
    }

    fn get(&self, key: Key) -> u32 {
        let Some(known) = self.known.get(key.place()) else { return Self::ABSENT };
        if known.get() == Self::UNASKED {
            known.set(match self.attrs.get(key) {
                None => Self::ABSENT,
                Some(value) => self.atoms.find(value).unwrap_or(Self::FOREIGN),
            });
        }
        known.get()
    }

    pub(super) fn is(&self, key: Key, arg: u32) -> bool {
        self.get(key) == arg
    }

    /// Whether a policy that is filed so can match.
    fn may_match(&self, filing: Filing) -> bool {
        filing.key().is_none_or(|key| self.is(key, filing.value()))
    }

    fn filing(&self, key: Key) -> Option<Filing> {
        let value = self.get(key);
        (value < Self::UNASKED).then(|| Filing::new(key, value))
    }
}
