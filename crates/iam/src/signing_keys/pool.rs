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

/// Tokens that one thread signs before it hands any of them over, when so many wait: then their events share a commit,
/// and the threads that wait for them are woken once. An RS256 signature takes 0.2 to 0.8 ms.
const TOGETHER: usize = 8;

struct Job {
    key: Arc<ActiveKey>,
    claims: Box<TokenClaims>,
    done: oneshot::Sender<String>,
    /// Whoever gives up keeps his place until his turn has come.
    _place: Slot,
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
#[derive(Debug, Clone)]
pub struct Slot {
    _place: Arc<Place>,
}

#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
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
                let mut signed = Vec::with_capacity(TOGETHER);
                while let Ok(first) = jobs.recv() {
                    // The others of this round are left to the other threads.
                    let share = (jobs.len() / threads).min(TOGETHER - 1);
                    for job in std::iter::once(first).chain(jobs.try_iter().take(share)) {
                        signed.extend(token(job));
                    }
                    for (token, done) in signed.drain(..) {
                        let _ = done.send(token);
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
        let slot = Slot { _place: Arc::new(Place(self.under_way.clone())) };
        if before >= self.limit {
            return Err(overloaded());
        }
        Ok(slot)
    }

    /// Signs on one of the threads.
    ///
    /// # Errors
    /// `Internal` when signing failed.
    pub async fn sign(&self, slot: &Slot, key: Arc<ActiveKey>, claims: TokenClaims) -> Result<String> {
        let (done, signed) = oneshot::channel();
        let job = Job { key, claims: Box::new(claims), done, _place: slot.clone() };
        self.queue.send(job).map_err(|_| Error::internal("no signing thread is left"))?;
        signed.await.map_err(|_| Error::internal("a token could not be signed"))
    }
}

/// The token of a request, and who waits for it; `None` when nobody does any more.
fn token(job: Job) -> Option<(String, oneshot::Sender<String>)> {
    let Job { key, claims, done, _place } = job;
    if done.is_closed() {
        return None;
    }
    // A panic means a broken signature: the request fails, the thread lives on.
    let signed = std::panic::catch_unwind(AssertUnwindSafe(|| jws::compact(&key.key, &key.kid, &*claims)));
    signed.ok().map(|token| (token, done))
}

fn overloaded() -> Error {
    Error::new(Kind::Unavailable, "The token service is overloaded.").retry_after(1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use avouch_crypto::jws::{Alg, SigningKey};

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

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn however_many_are_signed_together_each_gets_his_own_and_the_gone_hold_up_nobody() {
        let pool = Arc::new(Pool::start());
        let key = Arc::new(ActiveKey { kid: "k".into(), key: SigningKey::generate(Alg::ES256).unwrap() });
        let ask = |jti: String| {
            let (pool, key) = (pool.clone(), key.clone());
            let mut asked = claims();
            asked.jti.clone_from(&jti);
            tokio::spawn(async move {
                let slot = pool.slot().unwrap();
                (jti, pool.sign(&slot, key, asked).await.unwrap())
            })
        };
        let asking: Vec<_> = (0..pool.limit).map(|n| ask(format!("jti-{n}"))).collect();
        let mut waiting = Vec::new();
        for (n, one) in asking.into_iter().enumerate() {
            if n % 3 == 0 { one.abort() } else { waiting.push(one) }
        }
        for one in waiting {
            let (jti, token) = one.await.unwrap();
            let body = avouch_crypto::base64url::decode(token.split('.').nth(1).unwrap()).unwrap();
            let claims: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(claims["jti"], jti);
        }
    }

    fn claims() -> TokenClaims {
        serde_json::from_value(serde_json::json!({
            "iam_id": "IBMid-1", "id": "IBMid-1", "realmid": "IBMid", "jti": "j", "identifier": "1", "sub": "s",
            "authn": {"sub": "s", "iam_id": "IBMid-1"}, "iat": 0, "exp": 1, "iss": "i", "grant_type": "g",
            "account": {"valid": true, "bss": "0123456789abcdef0123456789abcdef"},
            "scope": "ibm", "client_id": "c", "acr": 1, "amr": ["pwd"],
        }))
        .unwrap()
    }

    #[test]
    fn whoever_gives_up_waiting_frees_no_place_for_one_more_to_be_signed() {
        // Nobody signs here, so that the job stays where it is.
        let (queue, jobs) = crossbeam_channel::unbounded::<Job>();
        let pool = Pool { queue, under_way: Arc::default(), limit: 1 };
        let slot = pool.slot().unwrap();
        let (done, receiver) = oneshot::channel();
        let key = Arc::new(ActiveKey { kid: "k".into(), key: SigningKey::generate(Alg::ES256).unwrap() });
        let job = Job { key, claims: Box::new(claims()), done, _place: slot.clone() };
        pool.queue.send(job).unwrap();
        drop((slot, receiver));
        assert!(pool.slot().is_err());
        let job = jobs.recv().unwrap();
        assert!(job.done.is_closed());
        drop(job);
        assert!(pool.slot().is_ok());
    }
}
