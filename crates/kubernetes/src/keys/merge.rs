//! What becomes of the known keys when an issuer publishes a set: plain arithmetic.
//!
//! A key that is gone from one answer still counts: issuers answer badly for a moment. Gone from two, it retires and counts
//! until the last token it signed has expired. It refuses to bring a revoked key back, whatever the issuer publishes.

use avouch_wire::time::Timestamp;

use crate::fetch::document::PublicKey;

/// Keys kept per issuer at most.
const KEPT: usize = 64;
/// A revoked key that nobody publishes is remembered this long, seconds.
const REMEMBER_REVOKED: i64 = 90 * 24 * 3600;

/// Whether a key counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// It counts.
    Active,
    /// It counts until its time.
    Retiring,
    /// It never counts again.
    Revoked,
}

impl KeyState {
    /// The word in store and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            KeyState::Active => "active",
            KeyState::Retiring => "retiring",
            KeyState::Revoked => "revoked",
        }
    }

    /// Reads the word; what is not known counts as revoked.
    pub fn parse(text: &str) -> Self {
        match text {
            "active" => KeyState::Active,
            "retiring" => KeyState::Retiring,
            _ => KeyState::Revoked,
        }
    }
}

/// A key of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Issuer that signs with it.
    pub issuer: String,
    /// Key id; empty: none.
    pub kid: String,
    /// RFC 7638 thumbprint.
    pub thumbprint: String,
    /// Name of the algorithm.
    pub alg: String,
    /// Public JSON.
    pub jwk: String,
    /// Whether it counts.
    pub state: KeyState,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When the issuer last published it.
    pub last_seen: Timestamp,
    /// Answers in a row that lacked it.
    pub missed: i64,
    /// When a retiring key stops to count.
    pub retires_at: Option<Timestamp>,
}

impl Key {
    /// Its key id, or its thumbprint where it has none.
    pub fn label(&self) -> String {
        if self.kid.is_empty() { self.thumbprint.clone() } else { self.kid.clone() }
    }

    /// Whether a signature of it counts at `at`.
    pub fn counts(&self, at: Timestamp) -> bool {
        match self.state {
            KeyState::Active => true,
            KeyState::Retiring => self.retires_at.is_some_and(|end| at < end),
            KeyState::Revoked => false,
        }
    }
}

/// How long a key outlives its last publication.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Answers in a row that may lack a key before it retires.
    pub answers: i64,
    /// Seconds a retiring key still counts.
    pub grace_secs: i64,
}

/// The keys afterwards, and what changed.
#[derive(Debug, Default)]
pub struct Merged {
    /// All keys of the issuer.
    pub keys: Vec<Key>,
    /// Another set of signatures counts now or later.
    pub changed: bool,
    /// Labels of new keys.
    pub added: Vec<String>,
    /// Labels of known keys that the answer lacked.
    pub missing: Vec<String>,
    /// Labels of keys that stayed.
    pub kept: Vec<String>,
}

/// Applies an answer of `issuer` to its known keys.
pub fn merge(
    known: &[Key],
    published: &[PublicKey],
    issuer: &str,
    now: Timestamp,
    patience: Patience,
) -> Merged {
    let mut out = Merged::default();
    let revoked: Vec<&str> =
        known.iter().filter(|k| k.state == KeyState::Revoked).map(|k| k.thumbprint.as_str()).collect();
    for old in known {
        let mut key = old.clone();
        let here = published.iter().any(|p| p.kid == key.kid && p.thumbprint == key.thumbprint);
        if here {
            key.last_seen = now;
            key.missed = 0;
            if key.state == KeyState::Retiring {
                key.state = KeyState::Active;
                key.retires_at = None;
            }
            out.kept.push(key.label());
        } else {
            key.missed += 1;
            out.missing.push(key.label());
            let over = match key.state {
                KeyState::Active if key.missed >= patience.answers => {
                    key.state = KeyState::Retiring;
                    key.retires_at = Some(now.plus_secs(patience.grace_secs));
                    false
                }
                KeyState::Active => false,
                KeyState::Retiring => !key.counts(now),
                KeyState::Revoked => now > key.last_seen.plus_secs(REMEMBER_REVOKED),
            };
            if over {
                out.changed = true;
                continue;
            }
        }
        out.changed |= key.state != old.state;
        out.keys.push(key);
    }
    for new in published {
        if out.keys.iter().any(|k| k.kid == new.kid && k.thumbprint == new.thumbprint) {
            continue;
        }
        // The same key under another id is still the revoked key.
        let state =
            if revoked.contains(&new.thumbprint.as_str()) { KeyState::Revoked } else { KeyState::Active };
        let key = Key {
            issuer: issuer.to_owned(),
            kid: new.kid.clone(),
            thumbprint: new.thumbprint.clone(),
            alg: new.alg.clone(),
            jwk: new.jwk.clone(),
            state,
            first_seen: now,
            last_seen: now,
            missed: 0,
            retires_at: None,
        };
        out.added.push(key.label());
        out.changed = true;
        out.keys.push(key);
    }
    while out.keys.len() > KEPT {
        // Never a published or revoked one before one that is on its way out.
        let Some(oldest) = (0..out.keys.len()).min_by_key(|i| {
            out.keys.get(*i).map(|k| (k.state == KeyState::Revoked, k.state == KeyState::Active, k.last_seen))
        }) else {
            break;
        };
        out.keys.remove(oldest);
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;

    const PATIENCE: Patience = Patience { answers: 2, grace_secs: 3660 };

    fn at(s: i64) -> Timestamp {
        Timestamp::from_secs(1_760_000_000 + s)
    }

    fn public(kid: &str, thumbprint: &str) -> PublicKey {
        PublicKey { kid: kid.into(), thumbprint: thumbprint.into(), alg: "RS256".into(), jwk: "{}".into() }
    }

    #[test]
    fn a_key_missing_once_counts_and_missing_twice_retires() {
        let first = merge(&[], &[public("a", "A")], "i", at(0), PATIENCE);
        assert_eq!(first.added, ["a"]);
        let once = merge(&first.keys, &[public("b", "B")], "i", at(900), PATIENCE);
        assert_eq!((once.keys[0].state, once.keys[0].missed), (KeyState::Active, 1));
        let twice = merge(&once.keys, &[public("b", "B")], "i", at(1800), PATIENCE);
        assert_eq!(twice.keys[0].state, KeyState::Retiring);
        assert!(twice.changed);
        assert!(twice.keys[0].counts(at(1800 + 3659)) && !twice.keys[0].counts(at(1800 + 3660)));
        let gone = merge(&twice.keys, &[public("b", "B")], "i", at(1800 + 3661), PATIENCE);
        assert_eq!(gone.keys.len(), 1);
        let back = merge(&twice.keys, &[public("a", "A"), public("b", "B")], "i", at(2000), PATIENCE);
        assert_eq!((back.keys[0].state, back.keys[0].retires_at), (KeyState::Active, None));
    }

    #[test]
    fn a_revoked_key_stays_revoked_under_any_id() {
        let mut keys = merge(&[], &[public("a", "A")], "i", at(0), PATIENCE).keys;
        keys[0].state = KeyState::Revoked;
        let again = merge(&keys, &[public("a", "A"), public("other", "A")], "i", at(900), PATIENCE);
        assert!(again.keys.iter().all(|k| k.state == KeyState::Revoked));
        let new = merge(&keys, &[public("a", "NEW")], "i", at(900), PATIENCE);
        assert_eq!(new.keys[1].state, KeyState::Active);
    }

    #[test]
    fn unchanged_sets_change_nothing_and_sets_are_bounded() {
        let first = merge(&[], &[public("a", "A")], "i", at(0), PATIENCE);
        assert!(!merge(&first.keys, &[public("a", "A")], "i", at(900), PATIENCE).changed);
        let mut keys = first.keys;
        for n in 0..200 {
            keys = merge(&keys, &[public(&format!("k{n}"), &format!("K{n}"))], "i", at(n), PATIENCE).keys;
        }
        assert!(keys.len() <= KEPT);
        assert!(keys.iter().any(|k| k.kid == "k199" && k.state == KeyState::Active));
    }
}
