//! Tables of distinct texts, each held once and named by a small number.
//!
//! Accounts hold up to millions of policies whose subjects and resources are mostly identifiers, so identifiers made of a
//! UUID are packed to sixteen bytes. Packing is exact: only the canonical spelling is packed, everything else is kept as text.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::borrow::Cow;
use std::hash::BuildHasher;

/// Prefixes that stand before a UUID.
const PREFIXES: [&str; 4] = ["", "iam-Profile-", "iam-ServiceId-", "AccessGroupId-"];

#[derive(Debug)]
enum Text {
    Uuid(u8, [u8; 16]),
    Plain(Box<str>),
}

/// A text to be looked for, packed if it can be.
#[derive(PartialEq, Eq, Hash)]
enum Probe<'a> {
    Uuid(u8, [u8; 16]),
    Plain(&'a str),
}

impl<'a> Probe<'a> {
    fn new(text: &'a str) -> Self {
        for (place, prefix) in (0u8..).zip(PREFIXES) {
            if text.len() == prefix.len() + 36
                && let Some(bytes) = text.strip_prefix(prefix).and_then(pack)
            {
                return Self::Uuid(place, bytes);
            }
        }
        Self::Plain(text)
    }

    fn is(&self, text: &Text) -> bool {
        match (self, text) {
            (Self::Uuid(p, b), Text::Uuid(q, c)) => p == q && b == c,
            (Self::Plain(a), Text::Plain(b)) => **a == **b,
            _ => false,
        }
    }

    fn keep(&self) -> Text {
        match self {
            Self::Uuid(p, b) => Text::Uuid(*p, *b),
            Self::Plain(t) => Text::Plain((*t).into()),
        }
    }
}

impl Text {
    fn probe(&self) -> Probe<'_> {
        match self {
            Self::Uuid(p, b) => Probe::Uuid(*p, *b),
            Self::Plain(t) => Probe::Plain(t),
        }
    }

    fn read(&self) -> Cow<'_, str> {
        match self {
            Self::Plain(t) => Cow::Borrowed(t),
            Self::Uuid(p, b) => {
                let prefix = PREFIXES.get(usize::from(*p)).copied().unwrap_or_default();
                Cow::Owned(format!("{prefix}{}", uuid::Uuid::from_bytes(*b).as_hyphenated()))
            }
        }
    }
}

/// Values of lower-case hexadecimal digits; 0xff for every other byte.
const HEX: [u8; 256] = {
    let mut table = [0xff; 256];
    let digits = b"0123456789abcdef";
    let mut value = 0;
    while value < 16 {
        // INVARIANT: evaluated by the compiler.
        table[digits[value] as usize] = value as u8;
        value += 1;
    }
    table
};

/// The sixteen bytes of a UUID in its canonical spelling: lower case, hyphens in their places.
pub(crate) fn pack(text: &str) -> Option<[u8; 16]> {
    const DIGITS: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
    let text: &[u8; 36] = text.as_bytes().try_into().ok()?;
    if [8, 13, 18, 23].iter().any(|at| text.get(*at) != Some(&b'-')) {
        return None;
    }
    let mut out = [0; 16];
    let mut wrong = 0;
    for (byte, at) in out.iter_mut().zip(DIGITS) {
        // INVARIANT: places stay below 36, and a byte is always a place of the table.
        let (high, low) = (HEX[text[at] as usize], HEX[text[at + 1] as usize]);
        wrong |= high | low;
        *byte = high << 4 | (low & 0x0f);
    }
    (wrong < 16).then_some(out)
}

/// A growing list of places that can be freed and used again. It grows by chunks, so that growth copies nothing.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    chunks: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
    len: usize,
}

const CHUNK: usize = 1024;

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), len: 0 }
    }
}

impl<T> Slab<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn split(place: u32) -> (usize, usize) {
        let place = place as usize;
        (place / CHUNK, place % CHUNK)
    }

    pub(crate) fn get(&self, place: u32) -> Option<&T> {
        let (chunk, at) = Self::split(place);
        self.chunks.get(chunk)?.get(at)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        let (chunk, at) = Self::split(place);
        self.chunks.get_mut(chunk)?.get_mut(at)?.as_mut()
    }

    /// Stores a value; `None` only when four thousand million places are taken.
    pub(crate) fn insert(&mut self, value: T) -> Option<u32> {
        if let Some(place) = self.free.pop() {
            let (chunk, at) = Self::split(place);
            *self.chunks.get_mut(chunk)?.get_mut(at)? = Some(value);
            self.len += 1;
            return Some(place);
        }
        let last = match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk,
            _ => {
                self.chunks.push(Vec::with_capacity(CHUNK));
                self.chunks.last_mut()?
            }
        };
        last.push(Some(value));
        let at = last.len() - 1;
        let place = u32::try_from((self.chunks.len() - 1) * CHUNK + at).ok()?;
        self.len += 1;
        Some(place)
    }

    pub(crate) fn remove(&mut self, place: u32) -> Option<T> {
        let (chunk, at) = Self::split(place);
        let value = self.chunks.get_mut(chunk)?.get_mut(at)?.take()?;
        self.free.push(place);
        self.len -= 1;
        Some(value)
    }
}

/// Distinct texts with a value each.
#[derive(Debug)]
pub(crate) struct Table<T> {
    entries: Slab<(Text, T)>,
    places: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { entries: Slab::default(), places: HashTable::new(), hasher: DefaultHashBuilder::default() }
    }
}

fn hash_of(hasher: &DefaultHashBuilder, probe: &Probe<'_>) -> u64 {
    hasher.hash_one(probe)
}

impl<T> Table<T> {
    pub(crate) fn find(&self, text: &str) -> Option<u32> {
        let probe = Probe::new(text);
        let same = |p: &u32| self.entries.get(*p).is_some_and(|(t, _)| probe.is(t));
        self.places.find(hash_of(&self.hasher, &probe), same).copied()
    }

    pub(crate) fn get(&self, place: u32) -> Option<&T> {
        self.entries.get(place).map(|(_, v)| v)
    }

    pub(crate) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.entries.get_mut(place).map(|(_, v)| v)
    }

    pub(crate) fn text(&self, place: u32) -> Cow<'_, str> {
        self.entries.get(place).map_or(Cow::Borrowed(""), |(t, _)| t.read())
    }

    pub(crate) fn find_or_insert(&mut self, text: &str, value: impl FnOnce() -> T) -> Option<u32> {
        if let Some(place) = self.find(text) {
            return Some(place);
        }
        let probe = Probe::new(text);
        let place = self.entries.insert((probe.keep(), value()))?;
        let (entries, hasher) = (&self.entries, &self.hasher);
        let rehash = |p: &u32| entries.get(*p).map_or(0, |(t, _)| hash_of(hasher, &t.probe()));
        self.places.insert_unique(hash_of(hasher, &probe), place, rehash);
        Some(place)
    }

    pub(crate) fn remove(&mut self, place: u32) -> Option<T> {
        let (text, _) = self.entries.get(place)?;
        let hash = hash_of(&self.hasher, &text.probe());
        if let Ok(entry) = self.places.find_entry(hash, |p| *p == place) {
            entry.remove();
        }
        self.entries.remove(place).map(|(_, v)| v)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn texts_read_back_exactly_and_spellings_stay_apart() {
        let id = "11111111-2222-4333-8444-55555555abcd";
        let texts = [
            id.to_owned(),
            id.to_uppercase(),
            id.replace('-', ""),
            format!("iam-Profile-{id}"),
            format!("iam-profile-{id}"),
            format!("iam-ServiceId-{id}"),
            format!("AccessGroupId-{id}"),
            format!("{{{id}}}"),
            format!("{id} "),
            "11111111222-2-4333-8444-55555555abcd".to_owned(),
            String::new(),
        ];
        let mut table = Table::default();
        let places: Vec<u32> = texts.iter().map(|t| table.find_or_insert(t, || ()).unwrap()).collect();
        assert_eq!(table.len(), texts.len());
        for (text, place) in texts.iter().zip(&places) {
            assert_eq!(table.text(*place), text.as_str());
            assert_eq!(table.find(text), Some(*place));
        }
        table.remove(places[0]).unwrap();
        assert_eq!(table.find(id), None);
        assert_eq!(table.find_or_insert("new", || ()), Some(places[0]), "freed places are used again");
        assert_eq!(table.find(&texts[3]), Some(places[3]));
    }

    #[test]
    fn only_canonical_identifiers_are_packed() {
        let id = "01234567-89ab-4cde-8f01-23456789abcd";
        assert_eq!(pack(id), Some(uuid::Uuid::parse_str(id).unwrap().into_bytes()));
        for at in 0..36 {
            for other in ["-", "g", "A", "G", "\u{0}", "/", ":", "`"] {
                let mut text = id.to_owned();
                text.replace_range(at..=at, other);
                assert!(text == id || pack(&text).is_none(), "{text}");
            }
        }
        assert_eq!(pack(&id[..35]), None);
    }

    #[test]
    fn slabs_grow_over_many_chunks() {
        let mut slab = Slab::default();
        let places: Vec<u32> = (0..3 * CHUNK + 5).map(|i| slab.insert(i).unwrap()).collect();
        assert!(places.iter().enumerate().all(|(i, p)| slab.get(*p) == Some(&i)));
        assert_eq!(slab.remove(places[CHUNK]), Some(CHUNK));
        assert_eq!(slab.get(places[CHUNK]), None);
        assert_eq!(slab.remove(places[CHUNK]), None);
        assert_eq!(slab.len(), 3 * CHUNK + 4);
    }
}
