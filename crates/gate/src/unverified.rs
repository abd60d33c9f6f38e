//! Refusals of what nobody can verify: garbage, unknown keys, tokens that are no longer good. They belong to no account,
//! so they go into the operator's trail: the first ten per address, reason and minute singly (two hundred a minute in
//! all), the rest as one counted event. All addresses of an IPv6 /64 are one. So nobody fills a stranger's trail or buys a flush with garbage.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use avouch_policy::access::ResourceAttrs;
use avouch_wire::ids::AccountId;
use avouch_wire::time::Timestamp;
use parking_lot::Mutex;
use serde_json::json;

use crate::app::App;
use crate::audit::Initiator;
use crate::ctx::{Details, Permit, Target, background_event};
use crate::error::Result;
use crate::places::holder;

const WINDOW_MS: i64 = 60_000;
/// Events told singly per address, reason and minute.
const SINGLY: u64 = 10;
/// Events told singly in a minute in all.
const OVERALL: u64 = 200;
/// Entries after which finished minutes are told at once; there are not many more, since each had an event of its own.
const ENTRIES: usize = 1_000;

/// A kind of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// Audit action.
    pub action: &'static str,
    /// Why, in a word.
    pub reason: &'static str,
    /// Status of a counted event.
    pub status: u16,
    /// Display name of the service, for the message of a counted event.
    pub display: &'static str,
}

impl Refusal {
    /// The permit of its event in the operator's trail.
    pub fn permit(&self, initiator: Initiator) -> Permit {
        let account = AccountId::operator();
        let service = self.action.split('.').next().unwrap_or_default();
        let attrs = ResourceAttrs::service(&account, service);
        let target = Target::global(service, &account, attrs, "").of_type(type_uri(self.action));
        Permit::admitted(self.action, target, initiator)
    }
}

/// `service/object` of an audit action.
pub fn type_uri(action: &str) -> String {
    let mut parts = action.split('.');
    match (parts.next(), parts.next()) {
        (Some(service), Some(object)) => format!("{service}/{object}"),
        _ => action.to_owned(),
    }
}

type Key = (IpAddr, Refusal);

/// One minute of one key.
#[derive(Debug, Clone, Copy)]
struct Window {
    begun: Timestamp,
    count: u64,
    /// Of them told singly.
    told: u64,
}

#[derive(Debug, Default)]
struct Seen {
    by_key: HashMap<Key, Window>,
    /// When the present minute of the whole log began, and how many were told singly in it.
    overall: Option<(Timestamp, u64)>,
}

/// Counts refusals per address and kind.
#[derive(Debug, Default)]
pub struct Unverified {
    seen: Mutex<Seen>,
}

/// A finished minute with more refusals than were told singly.
struct Counted {
    address: IpAddr,
    refusal: Refusal,
    more: u64,
}

impl Unverified {
    /// Counts one; true while it is to be told singly. What an earlier minute left untold is told first.
    ///
    /// # Errors
    /// Those of the audit writer.
    pub async fn note(
        &self,
        app: &Arc<App>,
        address: IpAddr,
        refusal: Refusal,
        now: Timestamp,
    ) -> Result<bool> {
        let (singly, untold) = self.count((holder(address), refusal), now);
        tell(app, now, untold).await?;
        Ok(singly)
    }

    fn count(&self, key: Key, now: Timestamp) -> (bool, Vec<Counted>) {
        let mut seen = self.seen.lock();
        let mut untold = Vec::new();
        if seen.by_key.get(&key).is_some_and(|w| !open(w.begun, now)) || seen.by_key.len() >= ENTRIES {
            untold = drain(&mut seen.by_key, now);
        }
        let room = seen.has_room(now);
        // Whoever comes when the minute is used up is counted with all others who do, so that neither memory nor the
        // trail grows with the number of addresses.
        let known = seen.by_key.contains_key(&key);
        let key = if known || room { key } else { (IpAddr::V6(Ipv6Addr::UNSPECIFIED), key.1) };
        let window = seen.by_key.entry(key).or_insert(Window { begun: now, count: 0, told: 0 });
        window.count += 1;
        let singly = room && window.told < SINGLY;
        if singly {
            window.told += 1;
            if let Some((_, told)) = &mut seen.overall {
                *told += 1;
            }
        }
        (singly, untold)
    }

    /// Tells what the finished minutes left untold.
    ///
    /// # Errors
    /// Those of the audit writer.
    pub async fn tick(&self, app: &Arc<App>) -> Result<()> {
        let now = app.clock.now();
        let untold = drain(&mut self.seen.lock().by_key, now);
        tell(app, now, untold).await
    }
}

impl Seen {
    /// Whether the present minute has room for one more event.
    fn has_room(&mut self, now: Timestamp) -> bool {
        match self.overall {
            Some((begun, told)) if open(begun, now) => told < OVERALL,
            _ => {
                self.overall = Some((now, 0));
                true
            }
        }
    }
}

fn open(begun: Timestamp, now: Timestamp) -> bool {
    (0..WINDOW_MS).contains(&now.millis_since(begun))
}

fn drain(seen: &mut HashMap<Key, Window>, now: Timestamp) -> Vec<Counted> {
    let mut untold = Vec::new();
    seen.retain(|(address, refusal), window| {
        let open = open(window.begun, now);
        let more = window.count - window.told;
        if !open && more > 0 {
            untold.push(Counted { address: *address, refusal: *refusal, more });
        }
        open
    });
    untold
}

async fn tell(app: &Arc<App>, now: Timestamp, untold: Vec<Counted>) -> Result<()> {
    for Counted { address, refusal, more } in untold {
        let address = if address.is_unspecified() { String::new() } else { address.to_string() };
        let permit = refusal.permit(Initiator { address, ..Initiator::default() });
        let mut details = Details { status: refusal.status, ..Details::default() };
        details.decision.insert("stage".into(), json!("evidence"));
        details.decision.insert("reason".into(), json!(refusal.reason));
        details.decision.insert("count".into(), json!(more));
        app.audit.soon(background_event(app, now, refusal.display, &permit, details)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;

    fn because(reason: &'static str) -> Refusal {
        Refusal { action: "a.b.c", reason, status: 400, display: "A" }
    }

    #[test]
    fn the_first_ten_of_a_minute_are_told_singly_and_the_rest_counted() {
        let log = Unverified::default();
        let a: IpAddr = [192, 0, 2, 1].into();
        let at = |s: i64| Timestamp::from_secs(1_760_000_000 + s);
        let signature = because("signature");
        let singly = (0..100).filter(|_| log.count((a, signature), at(1)).0).count();
        assert_eq!(singly, 10);
        assert!(log.count((a, because("unknown_issuer")), at(1)).0, "another reason has its own count");
        assert!(log.count(([192, 0, 2, 2].into(), signature), at(1)).0, "another address too");
        let (singly, untold) = log.count((a, signature), at(62));
        assert!(singly);
        assert_eq!(untold.len(), 1);
        assert_eq!(untold[0].more, 90);
    }

    #[test]
    fn a_flood_from_many_addresses_fills_neither_the_memory_nor_the_trail() {
        let log = Unverified::default();
        let at = |s: i64| Timestamp::from_secs(1_760_000_000 + s);
        let mut singly = 0;
        for n in 0..30_000_u32 {
            singly +=
                u64::from(log.count((std::net::Ipv4Addr::from(n).into(), because("signature")), at(1)).0);
        }
        assert_eq!(singly, OVERALL);
        assert!(log.seen.lock().by_key.len() as u64 <= OVERALL + 1);
        let known = std::net::Ipv4Addr::from(7).into();
        assert!(!log.count((known, because("signature")), at(2)).0, "the minute is used up");
        let untold = drain(&mut log.seen.lock().by_key, at(62));
        assert!(untold.len() as u64 <= OVERALL + 1);
        let told: u64 = untold.iter().map(|c| c.more).sum();
        assert_eq!(told + singly, 30_001, "each is counted once");
        assert!(log.count((known, because("signature")), at(63)).0);
    }

    #[test]
    fn all_addresses_of_one_subscriber_are_one() {
        let at = Timestamp::from_secs(1_760_000_000);
        let log = Unverified::default();
        let singly = (0..20_000_u128)
            .filter(|n| {
                let address = Ipv6Addr::from_bits(0x2001_0db8_0000_0001_u128 << 64 | n).into();
                log.count((holder(address), because("signature")), at).0
            })
            .count();
        assert_eq!(singly, 10);
    }
}
