//! A queue per account inside this replica: writers of one account would only make each other run twice.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use crate::work::PATIENCE;
use crate::{Error, Result};

/// Writers of one account that wait or write at a time.
const WAITING: usize = 1000;

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
    /// The turn of a writer of this account.
    ///
    /// # Errors
    /// `Unavailable` when too many wait for it, or it does not come in time.
    pub(crate) async fn enter(&self, account: &str) -> Result<Turn> {
        let leave = Leave { lanes: self.clone(), account: account.to_owned() };
        let lane = self.0.lock().entry(account.to_owned()).or_default().clone();
        // The map and this one hold the lane too.
        if Arc::strong_count(&lane) > WAITING + 2 {
            return Err(Error::overloaded());
        }
        match tokio::time::timeout(PATIENCE, lane.lock_owned()).await {
            Ok(guard) => Ok(Turn { _guard: guard, _leave: leave }),
            Err(_) => Err(Error::overloaded()),
        }
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
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_per_account_and_nothing_is_left_behind() {
        let lanes = Lanes::default();
        let first = lanes.enter("a").await.unwrap();
        let _other = lanes.enter("b").await.unwrap();
        let second = {
            let lanes = lanes.clone();
            tokio::spawn(async move { drop(lanes.enter("a").await.unwrap()) })
        };
        let gave_up = {
            let lanes = lanes.clone();
            tokio::spawn(async move { drop(lanes.enter("a").await.unwrap()) })
        };
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        gave_up.abort();
        drop(first);
        second.await.unwrap();
        let _ = gave_up.await;
        assert_eq!(lanes.0.lock().keys().cloned().collect::<Vec<_>>(), ["b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_and_not_too_many_at_a_time() {
        let lanes = Lanes::default();
        let held = lanes.enter("a").await.unwrap();
        let waiting: Vec<_> = (0..WAITING)
            .map(|_| {
                let lanes = lanes.clone();
                tokio::spawn(async move { lanes.enter("a").await.is_ok() })
            })
            .collect();
        for _ in 0..WAITING {
            tokio::task::yield_now().await;
        }
        let began = tokio::time::Instant::now();
        assert!(lanes.enter("a").await.is_err());
        assert_eq!(began.elapsed(), std::time::Duration::ZERO, "at once");
        for one in waiting {
            assert!(!one.await.unwrap());
        }
        assert_eq!(began.elapsed(), PATIENCE);
        drop(held);
        assert!(lanes.enter("a").await.is_ok());
    }
}
