//! The group-committed writer for events that have no change of their own: token issues, disclosures, refusals, reads.
//!
//! Waiting requests share one commit. The queue is bounded and has a deadline: what cannot be recorded in time is
//! answered with 503, never without its event.

use std::collections::HashMap;
use std::time::Duration;

use avouch_store::{Store, Tx};
use tokio::sync::{mpsc, oneshot};

use super::Event;
use super::sql::{self, Prepared};
use crate::error::{Error, Result};

const QUEUE: usize = 8192;
const BATCH: usize = 256;
const DEADLINE: Duration = Duration::from_secs(2);

/// Writes a mark, told how many there were.
type Apply = dyn Fn(&mut Tx<'_>, i64) -> Result<()> + Send + Sync;

/// A mark of use (read marks, counters) that rides along with the events of a batch: marks of one object are one
/// change, however many requests of the batch left one.
pub struct Rider {
    /// Kind and id of the object.
    key: String,
    apply: Box<Apply>,
}

impl Rider {
    /// A mark on the object `key` names; `apply` writes it, told how many there were. It may run twice.
    pub fn new(key: String, apply: impl Fn(&mut Tx<'_>, i64) -> Result<()> + Send + Sync + 'static) -> Self {
        Self { key, apply: Box::new(apply) }
    }

    /// Writes the mark of this one request, in a change of its own.
    ///
    /// # Errors
    /// Those of the store.
    pub fn alone(&self, tx: &mut Tx<'_>) -> Result<()> {
        (self.apply)(tx, 1)
    }
}

struct Job {
    event: Option<Prepared>,
    riders: Vec<Rider>,
    done: Option<oneshot::Sender<bool>>,
}

/// Handle of the writer task.
#[derive(Clone, Debug)]
pub struct AuditWriter {
    queue: mpsc::Sender<Job>,
}

impl AuditWriter {
    /// Starts the writer on the current runtime.
    pub fn start(store: Store) -> Self {
        let (queue, mut jobs) = mpsc::channel::<Job>(QUEUE);
        tokio::spawn(async move {
            let mut batch = Vec::with_capacity(BATCH);
            while jobs.recv_many(&mut batch, BATCH).await > 0 {
                let mut events = Vec::with_capacity(batch.len());
                let mut riders: HashMap<String, (Rider, i64)> = HashMap::new();
                let mut done = Vec::new();
                for job in batch.drain(..) {
                    events.extend(job.event);
                    for rider in job.riders {
                        let times = riders.get(&rider.key).map_or(0, |(_, times)| *times);
                        riders.insert(rider.key.clone(), (rider, times + 1));
                    }
                    done.extend(job.done);
                }
                let result: Result<()> = store
                    .write(move |tx| {
                        for event in &events {
                            sql::put(tx, event)?;
                        }
                        for (rider, times) in riders.values() {
                            (rider.apply)(tx, *times)?;
                        }
                        Ok(())
                    })
                    .await;
                if let Err(e) = &result {
                    tracing::error!(
                        cause = e.cause_text().unwrap_or(e.message()),
                        "audit events could not be written"
                    );
                }
                for waiting in done {
                    let _ = waiting.send(result.is_ok());
                }
            }
        });
        Self { queue }
    }

    /// Returns once the event (and what rides along) is committed.
    ///
    /// # Errors
    /// `Unavailable` when it could not be written within the deadline: the caller must not be answered as if it were.
    pub async fn durable(&self, event: Event, riders: Vec<Rider>) -> Result<()> {
        let (done, written) = oneshot::channel();
        let job = Job { event: Some(sql::prepare(&event)?), riders, done: Some(done) };
        let sent = tokio::time::timeout(DEADLINE, async {
            self.queue.send(job).await.map_err(|_| ())?;
            written.await.map_err(|_| ())
        })
        .await;
        match sent {
            Ok(Ok(true)) => Ok(()),
            _ => Err(audit_unavailable()),
        }
    }

    /// Hands the event over; it is committed with the next batch.
    ///
    /// # Errors
    /// `Unavailable` when the queue stays full.
    pub async fn soon(&self, event: Event) -> Result<()> {
        let job = Job { event: Some(sql::prepare(&event)?), riders: Vec::new(), done: None };
        match tokio::time::timeout(DEADLINE, self.queue.send(job)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(audit_unavailable()),
        }
    }

    /// Waits until everything handed over before is committed, so that a search finds the caller's own last event.
    ///
    /// # Errors
    /// `Unavailable` after the deadline.
    pub async fn flush(&self) -> Result<()> {
        let (done, written) = oneshot::channel();
        let job = Job { event: None, riders: Vec::new(), done: Some(done) };
        let sent = tokio::time::timeout(DEADLINE, async {
            self.queue.send(job).await.map_err(|_| ())?;
            written.await.map_err(|_| ())
        })
        .await;
        match sent {
            Ok(Ok(_)) => Ok(()),
            _ => Err(audit_unavailable()),
        }
    }
}

fn audit_unavailable() -> Error {
    Error::unavailable("The audit trail cannot be written; nothing was disclosed or issued.")
        .code("AUDIT_UNAVAILABLE")
}
