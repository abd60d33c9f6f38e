//! Refusals of what nobody can verify: garbage, unknown keys, tokens that are no longer good. They belong to no account,
//! so they go into the operator's trail: the first ten per address, reason and minute singly, the rest as one counted
//! event. So nobody fills a stranger's trail or buys a flush with garbage.

use std::collections::HashMap;
use std::net::IpAddr;
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

const WINDOW_MS: i64 = 60_000;
/// Events told singly per address, reason and minute.
const SINGLY: u64 = 10;
/// Addresses and reasons remembered at most.
const ENTRIES: usize = 10_000;

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
type Window = (Timestamp, u64);

/// Counts refusals per address and kind.
#[derive(Debug, Default)]
pub struct Unverified {
    seen: Mutex<HashMap<Key, Window>>,
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
        let (singly, untold) = self.count((address, refusal), now);
        tell(app, now, untold).await?;
        Ok(singly)
    }

    fn count(&self, key: Key, now: Timestamp) -> (bool, Vec<Counted>) {
        let mut seen = self.seen.lock();
        let mut untold = Vec::new();
        if seen.len() >= ENTRIES && !seen.contains_key(&key) {
            untold = drain(&mut seen, now);
            if seen.len() >= ENTRIES {
                // A flood from many addresses: forget rather than grow; what was counted is told.
                untold.extend(seen.drain().filter_map(|(k, w)| counted(k, w)));
            }
        }
        let window = seen.entry(key).or_insert((now, 0));
        if !open(*window, now) {
            untold.extend(counted(key, *window));
            *window = (now, 0);
        }
        window.1 += 1;
        (window.1 <= SINGLY, untold)
    }

    /// Tells what the finished minutes left untold.
    ///
    /// # Errors
    /// Those of the audit writer.
    pub async fn tick(&self, app: &Arc<App>) -> Result<()> {
        let now = app.clock.now();
        let untold = drain(&mut self.seen.lock(), now);
        tell(app, now, untold).await
    }
}

fn open(window: Window, now: Timestamp) -> bool {
    (0..WINDOW_MS).contains(&now.millis_since(window.0))
}

fn drain(seen: &mut HashMap<Key, Window>, now: Timestamp) -> Vec<Counted> {
    let mut untold = Vec::new();
    seen.retain(|key, window| {
        let open = open(*window, now);
        if !open {
            untold.extend(counted(*key, *window));
        }
        open
    });
    untold
}

fn counted((address, refusal): Key, window: Window) -> Option<Counted> {
    (window.1 > SINGLY).then(|| Counted { address, refusal, more: window.1 - SINGLY })
}

async fn tell(app: &Arc<App>, now: Timestamp, untold: Vec<Counted>) -> Result<()> {
    for Counted { address, refusal, more } in untold {
        let permit = refusal.permit(Initiator { address: address.to_string(), ..Initiator::default() });
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
    fn memory_is_bounded_under_a_flood_from_many_addresses() {
        let log = Unverified::default();
        let now = Timestamp::from_secs(1_760_000_000);
        for n in 0..(ENTRIES as u32 * 2) {
            log.count((std::net::Ipv4Addr::from(n).into(), because("signature")), now);
        }
        assert!(log.seen.lock().len() <= ENTRIES);
    }
}
