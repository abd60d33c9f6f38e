//! SQLite and PostgreSQL behind one synchronous transaction.
//!
//! One SQL text serves both: `$n` placeholders, `text | bigint | bytea`, compare-and-set on revisions. Closures get a
//! [`Tx`], run on a thread of the engine, may run twice, and must not wait for anything. An answer is given only after
//! the commit. A statement that fails dooms its closure on both engines: use `on conflict` where a taken key is
//! expected. Sums are `cast(sum(x) as bigint)`, because PostgreSQL's own sum of bigints is no bigint.
//!
//! Refuses: floats, booleans and dates in columns, text with a NUL, closures that wait, a second server on a folder, a
//! database that a newer program migrated.

mod dialect;
mod error;
mod migrate;
mod pg;
mod sqlite;
#[cfg(feature = "testing")]
pub mod testing;
mod threads;
mod tx;
mod value;
mod work;

use std::path::PathBuf;
use std::sync::Arc;

pub use error::Error;
pub use tx::{Change, Tx};
pub use value::{FromValue, Row, Value};

use work::Work;

/// Name of the value that is written to learn whether there is space again.
const PROBE: &str = "space_probe";

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
#[derive(Clone)]
pub enum Target {
    /// A folder; the database is `avouch.db` in it, locked against a second server.
    Sqlite(PathBuf),
    /// A `postgres://` address.
    Postgres(String),
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::Sqlite(dir) => f.debug_tuple("Sqlite").field(dir).finish(),
            // The address may hold a password.
            Target::Postgres(_) => f.write_str("Postgres(..)"),
        }
    }
}

/// How to open a store.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Where the rows live.
    pub target: Target,
    /// Threads that read, each with a connection of its own; at least 1. Writes have theirs: one on SQLite, as many as
    /// readers (at least 2) on PostgreSQL.
    pub readers: usize,
}

/// The store. Cheap to clone. When the last clone goes, what was queued is finished and the threads end.
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

impl Store {
    /// Opens the store and brings its schema up to date. Waits for disk and network.
    ///
    /// # Errors
    /// `Locked` when another server uses the folder, `Schema` when the database is newer than this program, else what
    /// the engine says.
    pub fn open(config: &StoreConfig) -> Result<Self> {
        let inner = match &config.target {
            Target::Sqlite(dir) => Inner::Sqlite(sqlite::Sqlite::open(dir, config.readers.max(1))?),
            Target::Postgres(url) => Inner::Postgres(pg::Postgres::open(url, config.readers.max(1))?),
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

    /// Runs a closure that reads; it sees one state of the store, and at least everything that was answered before.
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

    /// Runs a closure that writes; the answer comes after the commit. If it fails, nothing of it is kept. When the
    /// caller is dropped before its turn, the closure is not run.
    ///
    /// # Errors
    /// Those of the closure, or of the engine. `Unknown` when the commit failed: the change may have been kept.
    pub async fn write<T, E, F>(&self, f: F) -> std::result::Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
        E: From<Error> + Send + 'static,
        T: Send + 'static,
    {
        self.submit(f, true).await
    }

    /// As [`write`](Self::write), for a change in one account: on PostgreSQL the writers of an account queue inside this
    /// replica instead of making each other run twice. `account` is any key that the closures would fight over.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_for<T, E, F>(&self, account: &str, f: F) -> std::result::Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
        E: From<Error> + Send + 'static,
        T: Send + 'static,
    {
        let _turn = match &*self.inner {
            Inner::Sqlite(_) => None,
            Inner::Postgres(engine) => Some(engine.lanes.enter(account).await?),
        };
        self.submit(f, true).await
    }

    async fn submit<T, E, F>(&self, f: F, write: bool) -> std::result::Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
        E: From<Error> + Send + 'static,
        T: Send + 'static,
    {
        let (work, answer) = work::work(f);
        self.hand_over(work, write)?;
        answer.await.unwrap_or_else(|_| Err(E::from(Error::closed())))
    }

    fn hand_over(&self, work: Box<dyn Work>, write: bool) -> Result<()> {
        match (&*self.inner, write) {
            (Inner::Sqlite(engine), true) => engine.write(work),
            (Inner::Sqlite(engine), false) => engine.read(work),
            (Inner::Postgres(engine), true) => engine.write(work),
            (Inner::Postgres(engine), false) => engine.read(work),
        }
    }

    /// The revision of an account: 0 before its first change. Never older than the last change that was answered, by
    /// this replica or another.
    ///
    /// # Errors
    /// Those of the engine.
    pub async fn revision(&self, account: &str) -> Result<i64> {
        match &*self.inner {
            Inner::Sqlite(engine) => Ok(engine.revision(account)),
            Inner::Postgres(engine) => engine.revisions.revision(account).await,
        }
    }

    /// Writes that wait for their turn on the embedded store.
    #[cfg(feature = "testing")]
    pub fn queued_writes(&self) -> usize {
        match &*self.inner {
            Inner::Sqlite(engine) => engine.queued_writes(),
            Inner::Postgres(_) => 0,
        }
    }

    /// Commits so far, for tests and metrics of group commit.
    pub fn commits(&self) -> u64 {
        match &*self.inner {
            Inner::Sqlite(engine) => engine.commits(),
            Inner::Postgres(engine) => engine.commits(),
        }
    }

    /// The folder of the embedded store; `None` on PostgreSQL.
    pub fn folder(&self) -> Option<PathBuf> {
        match &*self.inner {
            Inner::Sqlite(engine) => Some(engine.folder().to_owned()),
            Inner::Postgres(_) => None,
        }
    }

    /// Whether the last write found no space on the disk of the embedded store.
    pub fn was_full(&self) -> bool {
        matches!(&*self.inner, Inner::Sqlite(engine) if engine.was_full())
    }

    /// A read and an empty write, to say whether the store can be used. After a write that failed it tries a small real
    /// one, so it says when that is over.
    ///
    /// # Errors
    /// Those of the engine.
    pub async fn health(&self) -> Result<()> {
        self.read(|tx| tx.query("select 1", &[]).map(drop)).await?;
        if matches!(&*self.inner, Inner::Sqlite(engine) if engine.is_damaged()) {
            return Err(Error::damaged());
        }
        let engine = match &*self.inner {
            Inner::Sqlite(engine) if engine.was_full() || engine.has_failed() => engine,
            _ => return self.write(|_| Ok(())).await,
        };
        // A commit of nothing, or of what is there already, works on a disk that takes nothing. After a full one it must
        // be more than an ordinary change needs: one that slips into the log's last pages says nothing of the next.
        let size = if engine.was_full() { 64 << 10 } else { 1 };
        self.write(move |tx| tx.set_system_value(PROBE, &vec![0; size])).await?;
        self.write(|tx| tx.set_system_value(PROBE, b"1")).await?;
        engine.works_again();
        Ok(())
    }

    /// Finishes what is queued and ends; later calls get `Unavailable`. The folder can then be opened by another server.
    pub async fn close(&self) {
        match &*self.inner {
            Inner::Sqlite(engine) => engine.close().await,
            Inner::Postgres(engine) => engine.close().await,
        }
    }
}
