//! A closure on its way to an engine thread and its answer on the way back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::tx::Tx;
use crate::{Error, Result};

/// What waited longer than this before it began is answered with `Unavailable` instead: whoever asked has given up, and
/// an overloaded store must not spend itself on answers that nobody reads.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// A unit of work on an engine thread: it runs in a transaction (perhaps more than once) and is then told how that ended.
pub(crate) trait Work: Send {
    /// The reason not to begin at all: the caller is gone, or waited too long.
    fn stale(&self) -> Option<Error>;
    /// Runs the closure.
    fn run(&mut self, tx: &mut Tx<'_>) -> Ran;
    /// The transaction ended; gives the answer to whoever waits.
    fn done(self: Box<Self>, ended: Result<()>);
}

/// How a closure ended.
#[derive(Debug)]
pub(crate) enum Ran {
    /// Keep its changes.
    Keep,
    /// Undo its changes; its own error is the answer.
    Undo,
    /// Undo and run it again (serialization failure).
    Again,
    /// The engine failed under it: the connection cannot be relied on.
    Lost(Error),
}

pub(crate) type Answer<T, E> = oneshot::Receiver<std::result::Result<T, E>>;

struct Closure<T, E, F> {
    f: F,
    queued: Instant,
    result: Option<std::result::Result<T, E>>,
    waiting: oneshot::Sender<std::result::Result<T, E>>,
}

/// Boxes a closure together with the place where its answer will arrive.
pub(crate) fn work<T, E, F>(f: F) -> (Box<dyn Work>, Answer<T, E>)
where
    T: Send + 'static,
    E: From<Error> + Send + 'static,
    F: FnMut(&mut Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
{
    let (waiting, answer) = oneshot::channel();
    (Box::new(Closure { f, queued: Instant::now(), result: None, waiting }), answer)
}

impl<T, E, F> Work for Closure<T, E, F>
where
    T: Send,
    E: From<Error> + Send,
    F: FnMut(&mut Tx<'_>) -> std::result::Result<T, E> + Send,
{
    fn stale(&self) -> Option<Error> {
        if self.waiting.is_closed() {
            return Some(Error::Unavailable("nobody waits for the answer".into()));
        }
        (self.queued.elapsed() > PATIENCE).then(Error::overloaded)
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Ran {
        let result =
            catch_unwind(AssertUnwindSafe(|| (self.f)(tx))).unwrap_or_else(|_| Err(E::from(Error::Panicked)));
        // A failed statement dooms the closure on both engines, even if the closure swallowed the error: PostgreSQL
        // would turn its commit into a silent rollback.
        let result = match (tx.failure(), result) {
            (Some(Error::Serialization), _) => return Ran::Again,
            (Some(e @ Error::Unavailable(_)), _) => return Ran::Lost(e.clone()),
            (Some(e), Ok(_)) => Err(E::from(e.clone())),
            (_, result) => result,
        };
        let ran = if result.is_ok() { Ran::Keep } else { Ran::Undo };
        self.result = Some(result);
        ran
    }

    fn done(self: Box<Self>, ended: Result<()>) {
        // The destructors of an answer that nobody takes run here, and must not take the engine thread with them.
        let _ = catch_unwind(AssertUnwindSafe(move || {
            let Self { f, result, waiting, .. } = *self;
            drop(f);
            let answer = match (ended, result) {
                (Ok(()), Some(result)) => result,
                // A closure that failed by itself keeps its own error, whatever became of the batch.
                (Err(_), Some(Err(own))) => Err(own),
                (Err(e), _) => Err(E::from(e)),
                (Ok(()), None) => Err(E::from(Error::Other("a closure did not run".into()))),
            };
            let _ = waiting.send(answer);
        }));
    }
}
