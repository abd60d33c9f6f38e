//! The server engine: threads with one client each, `SERIALIZABLE`, closures run again after a serialization failure.
//!
//! Reads and writes have threads of their own, so that writers who wait for each other keep no reader waiting. Nothing
//! is remembered between transactions: another replica may have written.

mod connection;
mod lanes;
mod revisions;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::threads::{Queue, Threads};
use crate::tx::Tx;
use crate::work::{Ran, Work};
use crate::{Error, Result, migrate};

use connection::{Conn, Server};
use lanes::Lanes;
use revisions::Revisions;

/// How often a closure runs before its conflict is the answer.
const TRIES: u32 = 12;
/// Key of the lock under which replicas migrate one after the other.
const MIGRATION_LOCK: i64 = 0x61_76_6f_75_63_68;

type Jobs = Queue<(Box<dyn Work>, Mode)>;

/// What surrounds a closure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// A serializable transaction.
    Write,
    /// A transaction that sees one state.
    Read,
    /// No transaction: one statement, so one round trip.
    Single,
}

pub(crate) struct Postgres {
    writes: Arc<Jobs>,
    reads: Arc<Jobs>,
    commits: Arc<AtomicU64>,
    pub(crate) lanes: Lanes,
    pub(crate) revisions: Revisions,
    threads: Threads,
}

impl Postgres {
    pub(crate) fn open(url: &str, readers: usize) -> Result<Self> {
        // The client runs a small runtime of its own, which must not start on a thread that belongs to another one.
        std::thread::scope(|scope| {
            let opening = scope.spawn(|| Self::open_here(url, readers));
            opening.join().unwrap_or_else(|_| Err(Error::Other("opening the store panicked".into())))
        })
    }

    fn open_here(url: &str, readers: usize) -> Result<Self> {
        let server = Arc::new(Server::parse(url)?);
        let mut first = server.connect()?;
        migrate(&mut first)?;
        drop(first);

        let reads: Arc<Jobs> = Arc::default();
        let mut engine = Self {
            writes: Arc::default(),
            revisions: Revisions::new(reads.clone()),
            reads,
            commits: Arc::default(),
            lanes: Lanes::default(),
            threads: Threads::default(),
        };
        for n in 0..readers.max(2) {
            let (worker, queue) = (Worker::new(&server, &engine.commits), engine.writes.clone());
            engine.threads.start(format!("store-writer-{n}"), move || worker.run(&queue))?;
        }
        for n in 0..readers {
            let (worker, queue) = (Worker::new(&server, &engine.commits), engine.reads.clone());
            engine.threads.start(format!("store-reader-{n}"), move || worker.run(&queue))?;
        }
        Ok(engine)
    }

    pub(crate) fn write(&self, work: Box<dyn Work>) -> Result<()> {
        self.writes.push((work, Mode::Write))
    }

    pub(crate) fn read(&self, work: Box<dyn Work>) -> Result<()> {
        self.reads.push((work, Mode::Read))
    }

    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    pub(crate) async fn close(&self) {
        self.reads.close();
        self.writes.close();
        self.threads.ended().await;
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The threads finish what is queued; dropping them waits for that.
        self.reads.close();
        self.writes.close();
    }
}

/// Runs one statement outside of a transaction, for tests that make databases.
#[cfg(feature = "testing")]
pub(crate) fn run(url: &str, sql: &str) -> Result<()> {
    Server::parse(url)?.connect()?.batch(sql)
}

fn migrate(conn: &mut Conn) -> Result<()> {
    // Of the session: it goes with the connection if anything fails here.
    conn.batch(&format!("select pg_advisory_lock({MIGRATION_LOCK})"))?;
    conn.batch("begin")?;
    migrate::run(&mut Tx::new(conn))?;
    conn.batch("commit")?;
    conn.batch(&format!("select pg_advisory_unlock({MIGRATION_LOCK})"))
}

struct Worker {
    conn: Option<Conn>,
    server: Arc<Server>,
    commits: Arc<AtomicU64>,
    jitter: u64,
}

/// How one run of a closure ended.
enum Attempt {
    /// With this answer.
    Ended(Result<()>),
    /// It lost against another transaction.
    Conflict,
    /// The connection broke before anything could be committed.
    Lost(Error),
}

impl Worker {
    fn new(server: &Arc<Server>, commits: &Arc<AtomicU64>) -> Self {
        let jitter = RandomState::new().build_hasher().finish() | 1;
        Self { conn: None, server: server.clone(), commits: commits.clone(), jitter }
    }

    fn run(mut self, queue: &Jobs) {
        // The first request shall not pay for it; a failure is told to whoever needs the connection.
        self.conn = self.server.connect().ok();
        while let Some((work, mode)) = queue.pop() {
            self.serve(work, mode);
        }
    }

    fn serve(&mut self, mut work: Box<dyn Work>, mode: Mode) {
        if let Some(e) = work.stale() {
            return work.done(Err(e));
        }
        let mut conflicts = 0;
        let mut lost = false;
        let ended = loop {
            match self.attempt(work.as_mut(), mode) {
                Attempt::Ended(ended) => break ended,
                Attempt::Conflict if conflicts + 1 < TRIES => {
                    conflicts += 1;
                    self.pause(conflicts);
                }
                Attempt::Conflict => {
                    break Err(Error::Unavailable("too many changes of the same rows".into()));
                }
                // A connection that idled may be long gone: one more try with a new one.
                Attempt::Lost(_) if !lost => {
                    self.conn = None;
                    lost = true;
                }
                Attempt::Lost(e) => {
                    self.conn = None;
                    break Err(e);
                }
            }
        };
        work.done(ended);
    }

    fn attempt(&mut self, work: &mut dyn Work, mode: Mode) -> Attempt {
        let conn = match &mut self.conn {
            Some(conn) => conn,
            None => match self.server.connect() {
                Ok(conn) => self.conn.insert(conn),
                Err(e) => return Attempt::Lost(e),
            },
        };
        let begin = match mode {
            Mode::Write => "begin isolation level serializable read write",
            Mode::Read => "begin isolation level repeatable read read only",
            Mode::Single => "",
        };
        if mode != Mode::Single
            && let Err(e) = conn.batch(begin)
        {
            return Attempt::Lost(Error::Unavailable(e.to_string()));
        }
        let ran = work.run(&mut Tx::new(conn));
        if let Ran::Lost(e) = ran {
            return Attempt::Lost(e);
        }
        let ended = match (&ran, mode) {
            (_, Mode::Single) => Ok(()),
            (Ran::Keep, Mode::Write) => conn.batch("commit"),
            _ => {
                if conn.batch("rollback").is_err() {
                    self.conn = None;
                }
                Ok(())
            }
        };
        match (ran, ended) {
            (Ran::Again, _) | (_, Err(Error::Serialization)) => Attempt::Conflict,
            (Ran::Keep, Ok(())) => {
                if mode == Mode::Write {
                    self.commits.fetch_add(1, Ordering::Relaxed);
                }
                Attempt::Ended(Ok(()))
            }
            (_, Ok(())) => Attempt::Ended(Ok(())),
            (_, Err(e)) => {
                // Nobody knows whether it was kept, so it is not run again; and the session may be in any state.
                self.conn = None;
                Attempt::Ended(Err(Error::Unknown(e.to_string())))
            }
        }
    }

    /// Waits a random part of a time that doubles, so that those who met do not meet again.
    fn pause(&mut self, conflicts: u32) {
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        let most = 1_000_u64 << conflicts.min(7);
        std::thread::sleep(Duration::from_micros(self.jitter % most));
    }
}
