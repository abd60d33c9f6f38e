//! The group-committed writer for events that have no change of their own: token issues, disclosures, refusals, reads.
//!
//! Waiting requests share one commit. The queue is bounded and has a deadline: what cannot be recorded in time is
//! answered with 503, never without its event.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use avouch_store::Store;
use tokio::sync::{mpsc, oneshot};

use super::{Event, sql};
use crate::error::{Error, Kind, Result};

const QUEUE: usize = 8192;
const BATCH: usize = 256;
const DEADLINE: Duration = Duration::from_secs(2);
/// Time after which events that the store did not take are tried again, if nothing else comes.
const AGAIN: Duration = Duration::from_secs(1);

/// A change that rides along with the events of a batch (read marks and counters).
pub type Rider = Box<dyn Fn(&mut avouch_store::Tx<'_>) -> Result<()> + Send + Sync>;

struct Job {
    event: Option<Event>,
    rider: Option<Rider>,
    /// Nobody waits: the request is answered already, so its event is kept until the store takes it.
    answered: bool,
    done: Option<oneshot::Sender<bool>>,
}

/// What became of a job.
enum Written {
    Yes,
    /// The store cannot be written now.
    NotNow,
    /// The store refuses it.
    Never,
}

/// Handle of the writer task.
#[derive(Clone, Debug)]
pub struct AuditWriter {
    queue: mpsc::Sender<Job>,
    /// Events of answered requests that the store did not take yet.
    late: Arc<AtomicUsize>,
}

impl AuditWriter {
    /// Starts the writer on the current runtime.
    pub fn start(store: Store) -> Self {
        let (queue, mut jobs) = mpsc::channel::<Job>(QUEUE);
        let late = Arc::new(AtomicUsize::new(0));
        let count = late.clone();
        tokio::spawn(async move {
            let mut late: Vec<Arc<Job>> = Vec::new();
            let mut batch = Vec::with_capacity(BATCH);
            loop {
                let received = jobs.recv_many(&mut batch, BATCH);
                match tokio::time::timeout(AGAIN, received).await {
                    Ok(0) => return,
                    Err(_) if late.is_empty() => continue,
                    _ => {}
                }
                let mut waiting = Vec::with_capacity(batch.len());
                let mut all = std::mem::take(&mut late);
                for mut job in batch.drain(..) {
                    let done = job.done.take();
                    let job = Arc::new(job);
                    all.push(job.clone());
                    waiting.push((job, done));
                }
                let (kept, lost) = write_all(&store, &all).await;
                for (job, done) in waiting {
                    let Some(done) = done else { continue };
                    // One without an event asks for all that came before it.
                    let written = match job.event {
                        Some(_) => kept.iter().any(|k| Arc::ptr_eq(k, &job)),
                        None => kept.len() == all.len(),
                    };
                    let _ = done.send(written);
                }
                late = lost;
                count.store(late.len(), Ordering::Relaxed);
            }
        });
        Self { queue, late }
    }

    /// Returns once the event (and what rides along) is committed.
    ///
    /// # Errors
    /// `Unavailable` when it could not be written within the deadline: the caller must not be answered as if it were.
    pub async fn durable(&self, event: Event, rider: Option<Rider>) -> Result<()> {
        let (done, written) = oneshot::channel();
        let job = Job { event: Some(event), rider, answered: false, done: Some(done) };
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
    /// `Unavailable` when the queue stays full, or as many events wait for a store that takes none.
    pub async fn soon(&self, event: Event) -> Result<()> {
        if self.late.load(Ordering::Relaxed) >= QUEUE {
            return Err(audit_unavailable());
        }
        let job = Job { event: Some(event), rider: None, answered: true, done: None };
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
        let job = Job { event: None, rider: None, answered: false, done: Some(done) };
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

/// Writes the jobs in one transaction; if the store refuses one of them, each in its own. Gives those that are written,
/// and those to try again.
async fn write_all(store: &Store, jobs: &[Arc<Job>]) -> (Vec<Arc<Job>>, Vec<Arc<Job>>) {
    let again = |jobs: &[Arc<Job>]| jobs.iter().filter(|j| j.answered).cloned().collect::<Vec<_>>();
    match write(store, jobs.to_vec()).await {
        Written::Yes => return (jobs.to_vec(), Vec::new()),
        Written::NotNow => return (Vec::new(), again(jobs)),
        Written::Never if jobs.len() == 1 => return (Vec::new(), Vec::new()),
        Written::Never => {}
    }
    let (mut kept, mut late) = (Vec::new(), Vec::new());
    for job in jobs {
        match write(store, vec![job.clone()]).await {
            Written::Yes => kept.push(job.clone()),
            Written::NotNow => late.extend(again(std::slice::from_ref(job))),
            Written::Never => {}
        }
    }
    (kept, late)
}

async fn write(store: &Store, jobs: Vec<Arc<Job>>) -> Written {
    let result: Result<()> = store
        .write(move |tx| {
            for event in jobs.iter().filter_map(|j| j.event.as_ref()) {
                sql::insert(tx, event)?;
            }
            for rider in jobs.iter().filter_map(|j| j.rider.as_ref()) {
                rider(tx)?;
            }
            Ok(())
        })
        .await;
    match result {
        Ok(()) => Written::Yes,
        Err(e) => {
            tracing::error!(
                cause = e.cause_text().unwrap_or(e.message()),
                "audit events could not be written"
            );
            if e.kind() == Kind::Unavailable { Written::NotNow } else { Written::Never }
        }
    }
}

fn audit_unavailable() -> Error {
    Error::unavailable("The audit trail cannot be written; nothing was disclosed or issued.")
        .code("AUDIT_UNAVAILABLE")
}
