//! SQLite and PostgreSQL behind one synchronous transaction.
//!
//! One SQL text serves both: `$n` placeholders, `text | bigint | bytea`, compare-and-set on revisions. Closures get a
//! [`Tx`], run on a thread of the engine, may run twice, and must not wait for anything. An answer is given only after
//! the commit.

mod dialect;
mod error;
mod migrate;
mod pg;
mod sqlite;
#[cfg(feature = "testing")]
pub mod testing;
mod tx;
mod value;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::oneshot;

pub use error::Error;
pub use tx::{Change, Tx};
pub use value::{FromValue, Row, Value};

/// Result of the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Which engine holds the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Embedded, one process.
    Sqlite,
    /// A server, many replicas.
    Postgres,
}

/// Where the rows live.
#[derive(Debug, Clone)]
pub enum Target {
    /// A folder; the database is `avouch.db` in it, locked against a second server.
    Sqlite(PathBuf),
    /// A `postgres://` address.
    Postgres(String),
}

/// How to open a store.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Where the rows live.
    pub target: Target,
    /// Reader threads (SQLite) or connections (PostgreSQL); at least 1.
    pub readers: usize,
}

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

enum Inner {
    Sqlite(sqlite::Sqlite),
    Postgres(pg::Postgres),
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({:?})", self.engine())
    }
}

/// A unit of work on an engine thread: it runs in a transaction (perhaps more than once) and is then told how that ended.
trait Work: Send {
    /// Runs the closure. `Err` asks for a rollback; the engine only looks at what it needs to decide about retries.
    fn run(&mut self, tx: &mut Tx<'_>) -> Ran;
    /// The transaction ended; gives the answer to whoever waits.
    fn done(self: Box<Self>, ended: Result<()>);
}

/// How a closure ended.
enum Ran {
    /// Keep its changes.
    Keep,
    /// Undo its changes; its own error is the answer.
    Undo,
    /// Undo and run it again (serialization failure).
    Again,
    /// The connection is gone.
    Broken,
}

struct Closure<T, E, F> {
    f: F,
    result: Option<std::result::Result<T, E>>,
    waiting: oneshot::Sender<std::result::Result<T, E>>,
}

impl<T, E, F> Work for Closure<T, E, F>
where
    T: Send,
    E: From<Error> + Send,
    F: FnMut(&mut Tx<'_>) -> std::result::Result<T, E> + Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> Ran {
        tx.begin();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (self.f)(tx)));
        let result = match outcome {
            Ok(result) => result,
            Err(_) => Err(E::from(Error::Other("a closure panicked".into()))),
        };
        if tx.must_retry() {
            return Ran::Again;
        }
        if tx.is_broken() {
            return Ran::Broken;
        }
        let ok = result.is_ok();
        self.result = Some(result);
        if ok { Ran::Keep } else { Ran::Undo }
    }

    fn done(self: Box<Self>, ended: Result<()>) {
        let answer = match (ended, self.result) {
            (Ok(()), Some(result)) => result,
            // A closure that failed by itself keeps its own error, whatever became of the batch.
            (Err(_), Some(Err(own))) => Err(own),
            (Err(e), _) => Err(E::from(e)),
            (Ok(()), None) => Err(E::from(Error::Other("a closure did not run".into()))),
        };
        let _ = self.waiting.send(answer);
    }
}

impl Store {
    /// Opens the store and brings its schema up to date.
    ///
    /// # Errors
    /// `Locked` when another server uses the folder, `Schema` when the database is newer than this program, else what
    /// the engine says.
    pub fn open(config: &StoreConfig) -> Result<Self> {
        let inner = match &config.target {
            Target::Sqlite(dir) => Inner::Sqlite(sqlite::Sqlite::open(dir, config.readers.max(1))?),
            Target::Postgres(url) => Inner::Postgres(pg::Postgres::open(url, config.readers.max(2))?),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Which engine holds the rows.
    pub fn engine(&self) -> Engine {
        match *self.inner {
            Inner::Sqlite(_) => Engine::Sqlite,
            Inner::Postgres(_) => Engine::Postgres,
        }
    }

    /// Runs a closure that reads; it sees one state of the store.
    ///
    /// # Errors
    /// Those of the closure, or of the engine.
    pub async fn read<T, E, F>(&self, f: F) -> std::result::Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
        E: From<Error> + Send + 'static,
        T: Send + 'static,
    {
        self.submit(f, false).await
    }

    /// Runs a closure that writes; the answer comes after the commit. If it fails, nothing of it is kept.
    ///
    /// # Errors
    /// Those of the closure, or of the engine.
    pub async fn write<T, E, F>(&self, f: F) -> std::result::Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
        E: From<Error> + Send + 'static,
        T: Send + 'static,
    {
        self.submit(f, true).await
    }

    async fn submit<T, E, F>(&self, f: F, write: bool) -> std::result::Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
        E: From<Error> + Send + 'static,
        T: Send + 'static,
    {
        let (waiting, answer) = oneshot::channel();
        let work: Box<dyn Work> = Box::new(Closure { f, result: None, waiting });
        let accepted = match (&*self.inner, write) {
            (Inner::Sqlite(engine), true) => engine.write(work),
            (Inner::Sqlite(engine), false) => engine.read(work),
            (Inner::Postgres(engine), write) => engine.submit(work, write),
        };
        if !accepted {
            return Err(E::from(Error::Unavailable("the store is closed or overloaded".into())));
        }
        match answer.await {
            Ok(result) => result,
            Err(_) => Err(E::from(Error::Unavailable("the store was closed".into()))),
        }
    }

    /// The revision of an account: 0 before its first change. Never older than the last change that was answered.
    ///
    /// # Errors
    /// Those of the engine.
    pub async fn revision(&self, account: &str) -> Result<i64> {
        match &*self.inner {
            Inner::Sqlite(engine) => Ok(engine.revision(account)),
            Inner::Postgres(engine) => {
                // One read serves every caller that came before it started.
                let (account, store) = (account.to_owned(), self.clone());
                engine.shared.revision(account, store).await
            }
        }
    }

    /// Number of commits of the writer so far (SQLite), for tests and metrics of group commit.
    pub fn commits(&self) -> u64 {
        match &*self.inner {
            Inner::Sqlite(engine) => engine.commits(),
            Inner::Postgres(engine) => engine.commits(),
        }
    }

    /// A read and an empty write, to say whether the store can be used.
    ///
    /// # Errors
    /// Those of the engine.
    pub async fn health(&self) -> Result<()> {
        self.read(|tx| tx.query("select 1", &[]).map(|_| ())).await
    }
}
