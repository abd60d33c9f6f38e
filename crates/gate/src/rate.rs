//! Limits for callers that fail to prove anything. Proven callers are not limited by default.

use std::collections::HashMap;
use std::net::IpAddr;

use avouch_wire::time::Timestamp;
use parking_lot::Mutex;

use crate::places::holder;

const WINDOW_MS: i64 = 60_000;
/// Addresses remembered at most.
const ADDRESSES: usize = 10_000;

/// Counts failed exchanges per address and minute.
#[derive(Debug)]
pub struct FailureLimiter {
    per_minute: u32,
    seen: Mutex<HashMap<IpAddr, (i64, u32)>>,
}

impl FailureLimiter {
    /// `per_minute` = 0 switches the limit off.
    pub fn new(per_minute: u32) -> Self {
        Self { per_minute, seen: Mutex::new(HashMap::new()) }
    }

    /// Seconds to wait when the address has used up its failures of this minute.
    pub fn blocked(&self, address: IpAddr, now: Timestamp) -> Option<u32> {
        if self.per_minute == 0 {
            return None;
        }
        let seen = self.seen.lock();
        let (start, count) = *seen.get(&holder(address))?;
        let age = now.millis() - start;
        if count >= self.per_minute && (0..WINDOW_MS).contains(&age) {
            return Some(u32::try_from((WINDOW_MS - age) / 1000 + 1).unwrap_or(60));
        }
        None
    }

    /// Notes a failure; returns how many this address has had in its present minute.
    pub fn failed(&self, address: IpAddr, now: Timestamp) -> u32 {
        let address = holder(address);
        let mut seen = self.seen.lock();
        if seen.len() >= ADDRESSES && !seen.contains_key(&address) {
            seen.retain(|_, (start, _)| (0..WINDOW_MS).contains(&(now.millis() - *start)));
            // Those who fail most are remembered longest, so that a flood of addresses frees nobody who is blocked.
            if seen.len() >= ADDRESSES {
                seen.retain(|_, (_, count)| *count > self.per_minute / 2);
            }
            if seen.len() >= ADDRESSES {
                return 1;
            }
        }
        let entry = seen.entry(address).or_insert((now.millis(), 0));
        if !(0..WINDOW_MS).contains(&(now.millis() - entry.0)) {
            *entry = (now.millis(), 0);
        }
        entry.1 = entry.1.saturating_add(1);
        entry.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_blocked_after_its_failures_and_free_a_minute_later() {
        let limiter = FailureLimiter::new(3);
        let a: IpAddr = [127, 0, 0, 1].into();
        let at = |s: i64| Timestamp::from_millis(s * 1000);
        for i in 0..3 {
            assert_eq!(limiter.blocked(a, at(i)), None);
            limiter.failed(a, at(i));
        }
        assert!(limiter.blocked(a, at(3)).is_some());
        assert_eq!(limiter.blocked([127, 0, 0, 2].into(), at(3)), None);
        assert_eq!(limiter.blocked(a, at(61)), None);
        // Another address of the same subscriber is no way around.
        let of = |last: u16| -> IpAddr { [0x2001, 0xdb8, 0, 0, 0, 0, 0, last].into() };
        for i in 0..3 {
            limiter.failed(of(i), at(0));
        }
        assert!(limiter.blocked(of(9), at(1)).is_some());
    }

    #[test]
    fn a_flood_of_addresses_frees_nobody_who_is_blocked() {
        let limiter = FailureLimiter::new(100);
        let now = Timestamp::from_millis(0);
        let blocked: IpAddr = [192, 0, 2, 1].into();
        for _ in 0..100 {
            limiter.failed(blocked, now);
        }
        for n in 0..3 * u32::try_from(ADDRESSES).unwrap_or(0) {
            limiter.failed(std::net::Ipv4Addr::from(n).into(), now);
        }
        assert!(limiter.blocked(blocked, now).is_some());
        assert!(limiter.seen.lock().len() <= ADDRESSES);
    }
}
