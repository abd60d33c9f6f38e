//! A queue per account inside this replica: writers of one account would only make each other run twice.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

type Lane = Arc<tokio::sync::Mutex<()>>;

/// The accounts that are written now.
#[derive(Default, Clone)]
pub(crate) struct Lanes(Arc<Mutex<HashMap<String, Lane>>>);

/// The right to write an account; the next one gets it when this is dropped.
pub(crate) struct Turn {
    // In this order: the guard is one of the lane's users.
    _guard: OwnedMutexGuard<()>,
    _leave: Leave,
}

/// Forgets the lane with its last user, also when that one was dropped while it waited.
struct Leave {
    lanes: Lanes,
    account: String,
}

impl Lanes {
    pub(crate) async fn enter(&self, account: &str) -> Turn {
        let leave = Leave { lanes: self.clone(), account: account.to_owned() };
        let lane = self.0.lock().entry(account.to_owned()).or_default().clone();
        Turn { _guard: lane.lock_owned().await, _leave: leave }
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        let mut lanes = self.lanes.0.lock();
        if lanes.get(&self.account).is_some_and(|lane| Arc::strong_count(lane) == 1) {
            lanes.remove(&self.account);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::Lanes;

    #[tokio::test]
    async fn one_at_a_time_per_account_and_nothing_is_left_behind() {
        let lanes = Lanes::default();
        let first = lanes.enter("a").await;
        let _other = lanes.enter("b").await;
        let second = {
            let lanes = lanes.clone();
            tokio::spawn(async move { drop(lanes.enter("a").await) })
        };
        let gave_up = {
            let lanes = lanes.clone();
            tokio::spawn(async move { drop(lanes.enter("a").await) })
        };
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        gave_up.abort();
        drop(first);
        second.await.unwrap();
        let _ = gave_up.await;
        assert_eq!(lanes.0.lock().keys().cloned().collect::<Vec<_>>(), ["b"]);
    }
}
