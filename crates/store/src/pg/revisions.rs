//! Reads of account revisions, each shared by everybody who asked before it started.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{Jobs, Mode};
use crate::work;
use crate::{Error, Result};

type Waiting = Arc<Mutex<HashMap<String, Vec<oneshot::Sender<Result<i64>>>>>>;

pub(crate) struct Revisions {
    reads: Arc<Jobs>,
    /// An entry stands as long as a task reads that account; in it are those who came after the read began.
    waiting: Waiting,
}

impl Revisions {
    pub(super) fn new(reads: Arc<Jobs>) -> Self {
        Self { reads, waiting: Waiting::default() }
    }

    pub(crate) async fn revision(&self, account: &str) -> Result<i64> {
        let (mine, answer) = oneshot::channel();
        let first = {
            let mut waiting = self.waiting.lock();
            match waiting.get_mut(account) {
                Some(queue) => {
                    queue.push(mine);
                    false
                }
                None => {
                    waiting.insert(account.to_owned(), vec![mine]);
                    true
                }
            }
        };
        if first {
            let mut reading =
                Reading { account: account.to_owned(), waiting: self.waiting.clone(), ended: false };
            let reads = self.reads.clone();
            tokio::spawn(async move {
                while let Some(served) = reading.next() {
                    let rev = read(&reads, &reading.account).await;
                    for one in served {
                        let _ = one.send(rev.clone());
                    }
                }
            });
        }
        answer.await.unwrap_or_else(|_| Err(Error::closed()))
    }
}

async fn read(reads: &Jobs, account: &str) -> Result<i64> {
    let account = account.to_owned();
    let (work, answer) = work::work::<_, Error, _>(move |tx| tx.revision(&account));
    reads.push((work, Mode::Single))?;
    answer.await.unwrap_or_else(|_| Err(Error::closed()))
}

/// The task that reads one account. When it goes, even with its runtime, nobody is left waiting.
struct Reading {
    account: String,
    waiting: Waiting,
    ended: bool,
}

impl Reading {
    /// Those who wait now; `None` when nobody does, and then the entry is gone.
    fn next(&mut self) -> Option<Vec<oneshot::Sender<Result<i64>>>> {
        let mut waiting = self.waiting.lock();
        match waiting.get_mut(&self.account) {
            Some(queue) if !queue.is_empty() => Some(std::mem::take(queue)),
            _ => {
                waiting.remove(&self.account);
                self.ended = true;
                None
            }
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if !self.ended {
            self.waiting.lock().remove(&self.account);
        }
    }
}
