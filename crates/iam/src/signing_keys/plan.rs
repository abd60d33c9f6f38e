//! When keys are made, when they sign and when they go: plain arithmetic on times.
//!
//! A key is published before it signs, so that verifiers with a cached key set know it by then, and stays published after
//! its successor took over, until the last token it signed has expired. It refuses to leave a moment without a key.

use avouch_wire::time::Timestamp;

/// A key signs for this long.
const ROTATE_AFTER_SECS: i64 = 30 * 24 * 3600;
/// A key is published for this long before it signs.
const PUBLISH_AHEAD_SECS: i64 = 24 * 3600;
/// The same when the algorithm is changed: as long as our key set may be cached.
const CHANGE_AHEAD_SECS: i64 = super::JWKS_MAX_AGE_SECS;
/// A key verifies for this long after its successor signs: the longest life of a token, and what clocks and caches of key
/// sets may add.
const RETAIN_SECS: i64 = 2 * 3600;

/// Id, algorithm and times of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Times {
    /// `kid`.
    pub kid: String,
    /// Name of the algorithm.
    pub alg: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when it signs.
    pub active_at: Timestamp,
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// A key is to be made that signs from this time on.
    pub create: Option<Timestamp>,
    /// Keys that no longer verify anything.
    pub delete: Vec<String>,
}

/// The plan for `keys`, which are in the order of their times.
pub fn plan(keys: &[Times], alg: &str, now: Timestamp) -> Plan {
    let create = match keys.last() {
        None => Some(now),
        Some(last) if last.alg != alg => Some(now.plus_secs(CHANGE_AHEAD_SECS)),
        Some(last) => {
            let next = last.active_at.plus_secs(ROTATE_AFTER_SECS);
            let due = now.millis() >= next.plus_secs(-PUBLISH_AHEAD_SECS).millis();
            due.then(|| std::cmp::max(next, now.plus_secs(PUBLISH_AHEAD_SECS)))
        }
    };
    let delete = keys
        .iter()
        .enumerate()
        .filter(|(i, _)| retired_at(keys, *i).is_some_and(|at| now >= at))
        .map(|(_, k)| k.kid.clone())
        .collect();
    Plan { create, delete }
}

/// When the key at `index` stops to verify; `None` for the last one.
pub fn retired_at(keys: &[Times], index: usize) -> Option<Timestamp> {
    keys.get(index + 1).map(|successor| successor.active_at.plus_secs(RETAIN_SECS))
}

/// The key that signs at `now`: the youngest one that is active. Should the clock have gone back behind all of them, the
/// oldest.
pub fn active(keys: &[Times], now: Timestamp) -> Option<usize> {
    keys.iter().rposition(|k| k.active_at <= now).or(if keys.is_empty() { None } else { Some(0) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;

    /// A year in steps of an hour: at every moment the signing key was published long enough before, and every key that
    /// signed verifies until its tokens are gone.
    #[test]
    fn keys_are_published_before_use_and_kept_until_their_tokens_are_gone() {
        let start = Timestamp::from_secs(1_760_000_000);
        let mut keys: Vec<Times> = Vec::new();
        let mut signed: Vec<(String, Timestamp)> = Vec::new();
        let mut rotations = 0;
        for hour in 0..(365 * 24) {
            let now = start.plus_secs(hour * 3600);
            let plan = plan(&keys, "RS256", now);
            keys.retain(|k| !plan.delete.contains(&k.kid));
            if let Some(active_at) = plan.create {
                let kid = format!("k{rotations}");
                keys.push(Times { kid, alg: "RS256".into(), created_at: now, active_at });
                rotations += 1;
            }
            let key = &keys[active(&keys, now).unwrap()];
            if rotations > 1 && key.active_at > start {
                assert!(
                    now.secs() - key.created_at.secs() >= PUBLISH_AHEAD_SECS,
                    "used before it was published"
                );
            }
            signed.push((key.kid.clone(), now));
            for (kid, at) in signed.iter().rev().take(3) {
                if now.secs() - at.secs() <= 3600 {
                    assert!(keys.iter().any(|k| k.kid == *kid), "a token of an hour ago lost its key");
                }
            }
            assert!(keys.len() <= 3);
        }
        assert!((12..=14).contains(&rotations), "{rotations}");
    }

    #[test]
    fn another_algorithm_is_published_before_it_signs() {
        let now = Timestamp::from_secs(1_760_000_000);
        let old = Times { kid: "a".into(), alg: "RS256".into(), created_at: now, active_at: now };
        let active_at = plan(std::slice::from_ref(&old), "ES256", now).create.unwrap();
        assert_eq!(active_at, now.plus_secs(CHANGE_AHEAD_SECS));
        let keys = [old, Times { kid: "b".into(), alg: "ES256".into(), created_at: now, active_at }];
        assert_eq!(active(&keys, now), Some(0));
        assert_eq!(active(&keys, active_at), Some(1));
        assert_eq!(plan(&keys, "ES256", active_at), Plan::default());
        assert_eq!(plan(&keys, "ES256", active_at.plus_secs(RETAIN_SECS)).delete, ["a"]);
    }

    #[test]
    fn a_clock_that_goes_back_finds_a_key() {
        let now = Timestamp::from_secs(1_760_000_000);
        let key = Times { kid: "a".into(), alg: "RS256".into(), created_at: now, active_at: now };
        assert_eq!(active(&[key], now.plus_secs(-86_400)), Some(0));
        assert_eq!(active(&[], now), None);
    }
}
