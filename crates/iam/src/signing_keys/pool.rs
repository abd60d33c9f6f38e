//! Threads that do nothing but sign, as many as there are cores, so that signatures never hold up input and output.
//!
//! The queue is bounded: what cannot be signed soon is refused at the door, before any work is spent on it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use avouch_crypto::jws;
use avouch_gate::authn::TokenClaims;
use avouch_gate::{Error, Kind, Result};
use tokio::sync::oneshot;

use super::ActiveKey;

/// Requests under way per signing thread; beyond it new ones are told to come back.
const WAITING_PER_THREAD: usize = 64;

struct Job {
    key: Arc<ActiveKey>,
    claims: Box<TokenClaims>,
    done: oneshot::Sender<String>,
}

/// The threads and their queue.
pub struct Pool {
    queue: crossbeam_channel::Sender<Job>,
    under_way: Arc<AtomicUsize>,
    limit: usize,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({} under way)", self.under_way.load(Ordering::Relaxed))
    }
}

/// A place in the queue, held from the end of the admission to the answer.
#[derive(Debug)]
pub struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Pool {
    /// Starts the threads; they end when the pool is dropped.
    pub fn start() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let (queue, jobs) = crossbeam_channel::unbounded::<Job>();
        for n in 0..threads {
            let jobs = jobs.clone();
            let run = move || {
                for job in jobs {
                    // A panic means a broken signature: the request fails, the thread lives on.
                    let signed = std::panic::catch_unwind(AssertUnwindSafe(|| {
                        jws::compact(&job.key.key, &job.key.kid, &*job.claims)
                    }));
                    if let Ok(token) = signed {
                        let _ = job.done.send(token);
                    }
                }
            };
            if let Err(e) = std::thread::Builder::new().name(format!("sign-{n}")).spawn(run) {
                tracing::error!(cause = %e, "a signing thread could not be started");
            }
        }
        Self { queue, under_way: Arc::new(AtomicUsize::new(0)), limit: threads * WAITING_PER_THREAD }
    }

    /// Refuses at the door when every place is taken. It takes none: who is admitted only now may wait for an issuer,
    /// and such waits must not keep others from signing.
    ///
    /// # Errors
    /// `Unavailable` when too many are under way.
    pub fn door(&self) -> Result<()> {
        if self.under_way.load(Ordering::Acquire) >= self.limit { Err(overloaded()) } else { Ok(()) }
    }

    /// A place for one request.
    ///
    /// # Errors
    /// `Unavailable` when too many are under way.
    pub fn slot(&self) -> Result<Slot> {
        let before = self.under_way.fetch_add(1, Ordering::AcqRel);
        let slot = Slot(self.under_way.clone());
        if before >= self.limit {
            return Err(overloaded());
        }
        Ok(slot)
    }

    /// Signs on one of the threads.
    ///
    /// # Errors
    /// `Internal` when signing failed.
    pub async fn sign(&self, _slot: &Slot, key: Arc<ActiveKey>, claims: TokenClaims) -> Result<String> {
        let (done, signed) = oneshot::channel();
        let job = Job { key, claims: Box::new(claims), done };
        self.queue.send(job).map_err(|_| Error::internal("no signing thread is left"))?;
        signed.await.map_err(|_| Error::internal("a token could not be signed"))
    }
}

fn overloaded() -> Error {
    Error::new(Kind::Unavailable, "The token service is overloaded.").retry_after(1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_full_queue_refuses_at_the_door_and_at_the_place_until_one_is_free() {
        let pool = Pool::start();
        let mut held: Vec<Slot> = (0..pool.limit).map(|_| pool.slot().unwrap()).collect();
        assert!(pool.slot().is_err(), "and what was refused takes no place");
        assert_eq!(pool.door().unwrap_err().kind(), Kind::Unavailable);
        held.pop();
        assert!((0..3).all(|_| pool.door().is_ok()), "the door takes no place");
        assert!(pool.slot().is_ok());
    }
}
