//! What keeps tokens with invented key ids from becoming fetches: per issuer one fetch at a time, two in a row, then one
//! every thirty seconds, and a memory of ids that were not found.
//!
//! The look-up of a key comes before any signature, so whoever sends garbage triggers it; all limits are per issuer, not
//! per caller.

use std::collections::{HashMap, VecDeque};

use avouch_crypto::digest::sha256;
use avouch_wire::time::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;

const BURST: i64 = 2;
const EVERY_MS: i64 = 30_000;
const UNKNOWN_MS: i64 = 60_000;
const UNKNOWN_PER_ISSUER: usize = 256;
const UNKNOWN_OVERALL: usize = 4096;
/// Issuers remembered at most; only registered ones get here.
const ISSUERS: usize = 20_000;

/// How a fetch ended: whether every source answered.
pub type Ended = Option<bool>;

/// What to do about an unknown key id.
#[derive(Debug)]
pub enum Decision {
    /// Fetch, and say how it ended.
    Fetch(watch::Sender<Ended>, watch::Receiver<Ended>),
    /// Somebody fetches already: wait.
    Wait(watch::Receiver<Ended>),
    /// It was looked for a moment ago and not found.
    Unknown,
    /// Too early; seconds until the next fetch may start.
    Later(u32),
}

#[derive(Debug)]
struct Guard {
    allowance_ms: i64,
    at: Timestamp,
    running: Option<watch::Receiver<Ended>>,
    unknown: VecDeque<([u8; 32], Timestamp)>,
}

/// The guards of all issuers.
#[derive(Debug, Default)]
pub struct Guards {
    issuers: Mutex<HashMap<String, Guard>>,
}

impl Guards {
    /// Decides about `kid` of `issuer`.
    pub fn decide(&self, issuer: &str, kid: &str, now: Timestamp) -> Decision {
        let mut issuers = self.issuers.lock();
        if issuers.len() >= ISSUERS && !issuers.contains_key(issuer) {
            issuers.retain(|_, g| g.running.is_some());
        }
        let guard = issuers.entry(issuer.to_owned()).or_insert_with(|| Guard {
            allowance_ms: BURST * EVERY_MS,
            at: now,
            running: None,
            unknown: VecDeque::new(),
        });
        let hash = sha256(kid.as_bytes());
        guard.unknown.retain(|(_, at)| (0..UNKNOWN_MS).contains(&now.millis_since(*at)));
        if guard.unknown.iter().any(|(h, _)| *h == hash) {
            return Decision::Unknown;
        }
        if let Some(running) = &guard.running {
            let ended = running.borrow().is_some() || running.has_changed().is_err();
            if !ended {
                return Decision::Wait(running.clone());
            }
            guard.running = None;
        }
        let elapsed = now.millis_since(guard.at).max(0);
        guard.allowance_ms = (guard.allowance_ms + elapsed).min(BURST * EVERY_MS);
        guard.at = now;
        if guard.allowance_ms < EVERY_MS {
            let wait = (EVERY_MS - guard.allowance_ms).div_euclid(1000) + 1;
            return Decision::Later(u32::try_from(wait).unwrap_or(30));
        }
        guard.allowance_ms -= EVERY_MS;
        let (say, hear) = watch::channel(None);
        guard.running = Some(hear.clone());
        Decision::Fetch(say, hear)
    }

    /// Remembers that a key id was looked for and not found.
    pub fn not_found(&self, issuer: &str, kid: &str, now: Timestamp) {
        let mut issuers = self.issuers.lock();
        let overall: usize = issuers.values().map(|g| g.unknown.len()).sum();
        if overall >= UNKNOWN_OVERALL {
            issuers.values_mut().for_each(|g| g.unknown.clear());
        }
        if let Some(guard) = issuers.get_mut(issuer) {
            if guard.unknown.len() >= UNKNOWN_PER_ISSUER {
                guard.unknown.pop_front();
            }
            guard.unknown.push_back((sha256(kid.as_bytes()), now));
        }
    }

    /// Forgets what was not found: the keys were registered anew.
    pub fn forget(&self, issuer: &str) {
        if let Some(guard) = self.issuers.lock().get_mut(issuer) {
            guard.unknown.clear();
        }
    }
}

/// Refreshes asked for by administrators: so many a minute per registration.
#[derive(Debug, Default)]
pub struct Refreshes {
    minutes: Mutex<HashMap<String, (Timestamp, u32)>>,
}

/// Refreshes per registration and minute.
const PER_MINUTE: u32 = 20;

impl Refreshes {
    /// Takes one; seconds to wait when the minute has none left.
    pub fn take(&self, id: &str, now: Timestamp) -> Option<u32> {
        let mut minutes = self.minutes.lock();
        minutes.retain(|_, (start, _)| (0..60_000).contains(&now.millis_since(*start)));
        let minute = minutes.entry(id.to_owned()).or_insert((now, 0));
        if minute.1 >= PER_MINUTE {
            let left = 60_000 - now.millis_since(minute.0);
            return Some(u32::try_from(left.div_euclid(1000) + 1).unwrap_or(60));
        }
        minute.1 += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(1_760_000_000_000 + ms)
    }

    #[test]
    fn a_thousand_invented_ids_are_two_fetches_and_then_one_per_half_minute() {
        let guards = Guards::default();
        let mut fetches = 0;
        for n in 0..10_000 {
            let now = at(n * 9);
            match guards.decide("i", &format!("k{n}"), now) {
                Decision::Fetch(say, _) => {
                    fetches += 1;
                    say.send(Some(true)).unwrap();
                    guards.not_found("i", &format!("k{n}"), now);
                }
                Decision::Later(wait) => assert!((1..=30).contains(&wait)),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(fetches, 2 + 2, "90 seconds");
    }

    #[test]
    fn one_fetches_and_the_others_wait() {
        let guards = Guards::default();
        let Decision::Fetch(say, _hear) = guards.decide("i", "a", at(0)) else { panic!() };
        assert!(matches!(guards.decide("i", "b", at(1)), Decision::Wait(_)));
        assert!(matches!(guards.decide("other", "b", at(1)), Decision::Fetch(..)), "issuers are apart");
        say.send(Some(false)).unwrap();
        assert!(matches!(guards.decide("i", "b", at(2)), Decision::Fetch(..)));
    }

    #[test]
    fn a_fetch_that_died_does_not_block_the_next() {
        let guards = Guards::default();
        drop(guards.decide("i", "a", at(0)));
        assert!(matches!(guards.decide("i", "b", at(1)), Decision::Fetch(..)));
    }

    #[test]
    fn an_id_that_was_not_found_is_remembered_for_a_minute_and_memory_is_bounded() {
        let guards = Guards::default();
        let Decision::Fetch(say, _) = guards.decide("i", "a", at(0)) else { panic!() };
        let _ = say.send(Some(true));
        guards.not_found("i", "a", at(0));
        assert!(matches!(guards.decide("i", "a", at(59_999)), Decision::Unknown));
        assert!(matches!(guards.decide("i", "a", at(60_001)), Decision::Fetch(..)));
        for n in 0..100_000 {
            guards.not_found("i", &format!("k{n}"), at(n));
        }
        assert!(guards.issuers.lock().get("i").unwrap().unknown.len() <= UNKNOWN_PER_ISSUER);
    }
}
