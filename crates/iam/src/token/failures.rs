//! Where a failed login is told. Evidence that was verified and then refused goes into the trail of its account, durable
//! before the answer. What nobody can verify goes into the operator's trail: the first ten per address, reason and minute
//! singly, the rest as one counted event, so that nobody fills a stranger's trail or buys a flush with garbage.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use avouch_gate::audit::Initiator;
use avouch_gate::ctx::background_event;
use avouch_gate::{App, Ctx, Details, Error, Permit, Result, Target};
use avouch_policy::access::ResourceAttrs;
use avouch_wire::ids::AccountId;
use avouch_wire::time::Timestamp;
use parking_lot::Mutex;
use serde_json::json;

const WINDOW_MS: i64 = 60_000;
/// Events told singly per address, reason and minute.
const SINGLY: u64 = 10;
/// Addresses and reasons remembered at most.
const ENTRIES: usize = 10_000;

/// A login that was refused.
#[derive(Debug)]
pub struct Refused {
    /// What the caller is told.
    pub error: Error,
    /// Where the refusal is told.
    pub told: Told,
}

/// Where a refusal is told.
#[derive(Debug)]
pub enum Told {
    /// Nowhere: the request was not a login at all (a parameter is missing), or the server is at fault.
    Nowhere,
    /// In the operator's trail: nobody knows who it was.
    Operator {
        /// Audit action of the login that was tried.
        action: &'static str,
        /// First characters of the hash of the evidence, to recognise it.
        evidence: Option<String>,
    },
    /// In the trails of these accounts.
    Accounts(Vec<(Permit, Details)>),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { error, told: Told::Nowhere }
    }
}

impl Refused {
    /// A refusal of evidence that nobody can verify.
    pub fn unverified(error: Error, action: &'static str) -> Self {
        Self { error, told: Told::Operator { action, evidence: None } }
    }
}

type Window = (Timestamp, u64);

/// Refusals of unverifiable evidence, counted per address and reason.
#[derive(Debug, Default)]
pub struct UnverifiedLogins {
    seen: Mutex<HashMap<(IpAddr, &'static str, &'static str), Window>>,
}

/// A finished minute with more refusals than were told singly.
struct Counted {
    address: IpAddr,
    reason: &'static str,
    action: &'static str,
    more: u64,
}

impl UnverifiedLogins {
    /// Counts one; true while it is to be told singly. What an earlier minute left untold comes back as well.
    fn note(
        &self,
        address: IpAddr,
        reason: &'static str,
        action: &'static str,
        now: Timestamp,
    ) -> (bool, Vec<Counted>) {
        let mut seen = self.seen.lock();
        let mut untold = Vec::new();
        if seen.len() >= ENTRIES && !seen.contains_key(&(address, reason, action)) {
            untold = drain(&mut seen, now);
            if seen.len() >= ENTRIES {
                // A flood from many addresses: forget rather than grow; what was counted is told.
                untold.extend(seen.drain().filter_map(|(k, w)| counted(k, w)));
            }
        }
        let window = seen.entry((address, reason, action)).or_insert((now, 0));
        if !(0..WINDOW_MS).contains(&now.millis_since(window.0)) {
            untold.extend(counted((address, reason, action), *window));
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

fn drain(seen: &mut HashMap<(IpAddr, &'static str, &'static str), Window>, now: Timestamp) -> Vec<Counted> {
    let mut untold = Vec::new();
    seen.retain(|key, window| {
        let open = (0..WINDOW_MS).contains(&now.millis_since(window.0));
        if !open {
            untold.extend(counted(*key, *window));
        }
        open
    });
    untold
}

fn counted(
    (address, reason, action): (IpAddr, &'static str, &'static str),
    window: Window,
) -> Option<Counted> {
    (window.1 > SINGLY).then(|| Counted { address, reason, action, more: window.1 - SINGLY })
}

async fn tell(app: &Arc<App>, now: Timestamp, untold: Vec<Counted>) -> Result<()> {
    for counted in untold {
        let initiator = Initiator { address: counted.address.to_string(), ..Initiator::default() };
        let permit = operator_permit(counted.action, initiator);
        let mut details = Details { status: 400, ..Details::default() };
        details.decision.insert("stage".into(), json!("evidence"));
        details.decision.insert("reason".into(), json!(counted.reason));
        details.decision.insert("count".into(), json!(counted.more));
        app.audit.soon(background_event(app, now, super::DISPLAY, &permit, details)).await?;
    }
    Ok(())
}

fn operator_permit(action: &'static str, initiator: Initiator) -> Permit {
    let account = AccountId::operator();
    let attrs = ResourceAttrs::service(&account, "iam-identity");
    let target = Target::global("iam-identity", &account, attrs, "").of_type(super::type_uri(action));
    Permit::admitted(action, target, initiator)
}

/// Tells a refusal where it belongs and returns what the caller is answered.
pub async fn record(ctx: &Ctx, unverified: &UnverifiedLogins, client_id: &str, refused: Refused) -> Error {
    let Refused { error, told } = refused;
    let app = ctx.app();
    let reason = error.reason_label().unwrap_or("refused");
    let written = match told {
        Told::Nowhere => return error,
        Told::Operator { action, evidence } => {
            app.failures.failed(ctx.address(), ctx.now());
            app.metrics.refusal(reason);
            let (singly, untold) = unverified.note(ctx.address(), reason, action, ctx.now());
            let earlier = tell(app, ctx.now(), untold).await;
            if singly && earlier.is_ok() {
                let permit = operator_permit(action, ctx.initiator());
                let mut details = failure(&error, client_id, action);
                details.decision.insert("stage".into(), json!("evidence"));
                details.decision.insert("reason".into(), json!(reason));
                if let Some(hash) = evidence {
                    details.decision.insert("evidence_sha256".into(), json!(hash));
                }
                ctx.record_soon(&permit, details).await
            } else {
                ctx.recorded();
                earlier
            }
        }
        Told::Accounts(trails) => {
            app.failures.failed(ctx.address(), ctx.now());
            app.metrics.refusal(reason);
            let mut result = Ok(());
            for (permit, mut details) in trails {
                let told = failure(&error, client_id, permit.action());
                details.status = told.status;
                details.failure = told.failure;
                details.action = told.action;
                details.request.extend(told.request);
                result = result.and(ctx.record(&permit, details).await);
            }
            result
        }
    };
    match written {
        Ok(()) => error,
        Err(unwritable) => unwritable,
    }
}

fn failure(error: &Error, client_id: &str, action: &str) -> Details {
    let mut details = Details {
        status: error.status_override().unwrap_or_else(|| error.kind().status()),
        failure: Some(error.message().to_owned()),
        action: Some(action.to_owned()),
        ..Details::default()
    };
    details.request("client_id", client_id);
    details
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn the_first_ten_of_a_minute_are_told_singly_and_the_rest_counted() {
        let log = UnverifiedLogins::default();
        let a: IpAddr = [192, 0, 2, 1].into();
        let at = |s: i64| Timestamp::from_secs(1_760_000_000 + s);
        let singly = (0..100).filter(|_| log.note(a, "signature", "x", at(1)).0).count();
        assert_eq!(singly, 10);
        assert!(log.note(a, "unknown_issuer", "x", at(1)).0, "another reason has its own count");
        assert!(log.note([192, 0, 2, 2].into(), "signature", "x", at(1)).0, "another address too");
        let (singly, untold) = log.note(a, "signature", "x", at(62));
        assert!(singly);
        assert_eq!(untold.len(), 1);
        assert_eq!(untold[0].more, 90);
    }

    #[test]
    fn memory_is_bounded_under_a_flood_from_many_addresses() {
        let log = UnverifiedLogins::default();
        let now = Timestamp::from_secs(1_760_000_000);
        for n in 0..(ENTRIES as u32 * 2) {
            log.note(std::net::Ipv4Addr::from(n).into(), "signature", "x", now);
        }
        assert!(log.seen.lock().len() <= ENTRIES);
    }
}
