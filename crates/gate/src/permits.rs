//! Which policies permitted something, counted in memory until a background job writes the counts down. What is not
//! written when the process dies is lost: these are figures for housekeeping, nothing is decided by them.

use std::collections::HashMap;

use avouch_wire::ids::{AccountId, PolicyId};
use avouch_wire::time::Timestamp;
use parking_lot::Mutex;

/// Permits of one policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permits {
    /// How many.
    pub times: i64,
    /// The last of them.
    pub last_at: Timestamp,
}

/// Permits by policy since they were last taken.
#[derive(Debug, Default)]
pub struct PermitCounts(Mutex<HashMap<PolicyId, (AccountId, Permits)>>);

impl PermitCounts {
    /// Counts one permit of each policy.
    pub fn note(&self, account: &AccountId, policies: &[PolicyId], at: Timestamp) {
        let mut counts = self.0.lock();
        for id in policies {
            match counts.get_mut(id) {
                Some((_, permits)) => {
                    permits.times += 1;
                    permits.last_at = permits.last_at.max(at);
                }
                None => {
                    counts.insert(id.clone(), (account.clone(), Permits { times: 1, last_at: at }));
                }
            }
        }
    }

    /// What was counted since the last time.
    pub fn take(&self) -> HashMap<PolicyId, (AccountId, Permits)> {
        std::mem::take(&mut *self.0.lock())
    }
}
