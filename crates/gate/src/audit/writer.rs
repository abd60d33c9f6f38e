//! The group-committed writer for events that have no change of their own: token issues, disclosures, refusals, reads.
//!
//! Waiting requests share one commit. The queue is bounded and has a deadline: what cannot be recorded in time is
//! answered with 503, never without its event.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use avouch_store::{Store, Tx};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Event;
use super::sql::{self, Prepared};
use crate::error::{Error, Kind, Result};

const QUEUE: usize = 8192;
const BATCH: usize = 256;
const DEADLINE: Duration = Duration::from_secs(2);
/// After this time what could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(1);

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
    entry: Entry,
    done: Option<oneshot::Sender<bool>>,
}

/// What one request leaves.
#[derive(Default)]
struct Entry {
    event: Option<Prepared>,
    riders: Vec<Rider>,
}

/// Handle of the writer task.
#[derive(Clone, Debug)]
pub struct AuditWriter {
    queue: mpsc::Sender<Job>,
    late: Arc<Late>,
}

/// Events of answered requests that the store did not take yet.
#[derive(Debug, Default)]
struct Late {
    count: AtomicUsize,
    /// Since when there is a batch that is not committed.
    since: Mutex<Option<Instant>>,
}

impl Late {
    /// Whether no further request may be answered before the store takes what waits.
    fn too_much(&self) -> bool {
        self.count.load(Ordering::Relaxed) >= QUEUE
            || self.since.lock().is_some_and(|since| since.elapsed() >= DEADLINE)
    }
}

impl AuditWriter {
    /// Starts the writer on the current runtime.
    pub fn start(store: Store) -> Self {
        let (queue, jobs) = mpsc::channel::<Job>(QUEUE);
        let late = Arc::<Late>::default();
        tokio::spawn(run(store, jobs, late.clone()));
        Self { queue, late }
    }

    /// Returns once the event (and what rides along) is committed.
    ///
    /// # Errors
    /// `Unavailable` when it could not be written within the deadline: the caller must not be answered as if it were.
    pub async fn durable(&self, event: Event, riders: Vec<Rider>) -> Result<()> {
        let (done, written) = oneshot::channel();
        let entry = Entry { event: Some(sql::prepare(&event)?), riders };
        let job = Job { entry, done: Some(done) };
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
    /// `Unavailable` when the queue stays full, or events wait too long or too many of them for a store that takes none.
    pub async fn soon(&self, event: Event) -> Result<()> {
        if self.late.too_much() {
            return Err(audit_unavailable());
        }
        let entry = Entry { event: Some(sql::prepare(&event)?), riders: Vec::new() };
        let job = Job { entry, done: None };
        match tokio::time::timeout(DEADLINE, self.queue.send(job)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(audit_unavailable()),
        }
    }

    /// Waits until everything handed over before was tried, so that a search finds the caller's own last event. Events
    /// that cannot be written now do not hold a search back; [`AuditWriter::settled`] tells.
    ///
    /// # Errors
    /// `Unavailable` after the deadline.
    pub async fn flush(&self) -> Result<()> {
        self.tried().await.map(drop)
    }

    /// Waits until everything handed over before is committed.
    ///
    /// # Errors
    /// `Unavailable` after the deadline, or when something could not be written.
    pub async fn settled(&self) -> Result<()> {
        if self.tried().await? { Ok(()) } else { Err(audit_unavailable()) }
    }

    async fn tried(&self) -> Result<bool> {
        let (done, written) = oneshot::channel();
        let job = Job { entry: Entry::default(), done: Some(done) };
        let sent = tokio::time::timeout(DEADLINE, async {
            self.queue.send(job).await.map_err(|_| ())?;
            written.await.map_err(|_| ())
        })
        .await;
        match sent {
            Ok(Ok(written)) => Ok(written),
            _ => Err(audit_unavailable()),
        }
    }
}

/// Commits what waits, batch by batch, until the last handle is gone.
async fn run(store: Store, mut jobs: mpsc::Receiver<Job>, late: Arc<Late>) {
    let mut batch = Vec::with_capacity(BATCH);
    // What nobody waits for and the store would not take goes with the next batch.
    let mut kept: Vec<Arc<Entry>> = Vec::new();
    let mut last = false;
    while !last {
        if kept.is_empty() {
            let Some(first) = jobs.recv().await else { return };
            // Who is about to hand over as well goes first: one commit more costs more than this turn.
            tokio::task::yield_now().await;
            batch.push(first);
            while batch.len() < BATCH
                && let Ok(job) = jobs.try_recv()
            {
                batch.push(job);
            }
        } else {
            // Nothing new in this time: try the old again. The last time if nobody is there any more.
            let received = tokio::time::timeout(AGAIN, jobs.recv_many(&mut batch, BATCH)).await;
            last = received == Ok(0);
        }
        let mut entries = std::mem::take(&mut kept);
        let mut waiting: Vec<Option<oneshot::Sender<bool>>> = entries.iter().map(|_| None).collect();
        for Job { entry, done } in batch.drain(..) {
            // Whoever gave up waiting was told that nothing was recorded.
            if !done.as_ref().is_some_and(oneshot::Sender::is_closed) {
                entries.push(Arc::new(entry));
                waiting.push(done);
            }
        }
        late.since.lock().get_or_insert_with(Instant::now);
        let together = commit(&store, entries.clone()).await;
        let whole = together.is_ok() || entries.len() == 1 || unavailable(&together);
        let mut asked = Vec::new();
        let mut lost = false;
        for (entry, done) in entries.into_iter().zip(waiting) {
            if entry.event.is_none() {
                // It asks for all that came before it.
                asked.extend(done);
                continue;
            }
            // If one of them is at fault, the others shall not suffer for it.
            let alone = if whole { None } else { Some(commit(&store, vec![entry.clone()]).await) };
            let result = alone.as_ref().unwrap_or(&together);
            match done {
                Some(done) => {
                    let _ = done.send(result.is_ok());
                }
                None if unavailable(result) => kept.push(entry),
                None => lost |= result.is_err(),
            }
        }
        late.count.store(kept.len(), Ordering::Relaxed);
        if kept.is_empty() {
            *late.since.lock() = None;
        }
        for done in asked {
            let _ = done.send(kept.is_empty() && !lost && !unavailable(&together));
        }
    }
}

fn unavailable(result: &Result<()>) -> bool {
    result.as_ref().is_err_and(|e| e.kind() == Kind::Unavailable)
}

/// Writes entries in one commit; marks of one object become one change.
async fn commit(store: &Store, entries: Vec<Arc<Entry>>) -> Result<()> {
    let result = store
        .write(move |tx| {
            let mut riders: HashMap<&str, (&Rider, i64)> = HashMap::new();
            for entry in &entries {
                if let Some(event) = &entry.event {
                    sql::put(tx, event)?;
                }
                for rider in &entry.riders {
                    let times = riders.get(rider.key.as_str()).map_or(0, |(_, times)| *times);
                    riders.insert(&rider.key, (rider, times + 1));
                }
            }
            riders.values().try_for_each(|(rider, times)| (rider.apply)(tx, *times))
        })
        .await;
    if let Err(e) = &result {
        let cause = e.cause_text().unwrap_or(e.message());
        tracing::error!(cause, "audit events could not be written");
    }
    result
}

fn audit_unavailable() -> Error {
    Error::unavailable("The audit trail cannot be written; nothing was disclosed or issued.")
        .code("AUDIT_UNAVAILABLE")
}
