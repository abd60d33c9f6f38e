//! The embedded engine: one writer thread that groups what waits into one commit, and reader threads of their own.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::RwLock;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection as Db, ErrorCode, OpenFlags, ToSql};

use crate::dialect::Rewritten;
use crate::tx::{Connection, Tx};
use crate::value::{Row, Value};
use crate::{Error, Ran, Result, Work, migrate};

/// Most closures in one commit.
const BATCH: usize = 256;
/// Closures that may wait before callers are turned away.
const QUEUE: usize = 16 * 1024;

pub(crate) struct Sqlite {
    writes: Sender<Box<dyn Work>>,
    reads: Sender<Box<dyn Work>>,
    revisions: Arc<RwLock<HashMap<String, i64>>>,
    commits: Arc<AtomicU64>,
    /// Held as long as the store is open; the system frees it when the process dies.
    _lock: File,
}

impl Sqlite {
    pub(crate) fn open(dir: &Path, readers: usize) -> Result<Self> {
        let failed = |e: std::io::Error| Error::Unavailable(format!("cannot use the data folder: {e}"));
        std::fs::create_dir_all(dir).map_err(failed)?;
        let lock = File::create(dir.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Locked(format!("another server uses the data folder {}", dir.display())));
            }
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        let file = dir.join("avouch.db");
        let rewritten = Arc::new(Rewritten::default());
        let mut writer = Conn { db: writer_connection(&file)?, rewritten: rewritten.clone() };
        writer.batch("begin immediate")?;
        migrate::run(&mut Tx::new(&mut writer))?;
        writer.batch("commit")?;
        restrict(&file);
        let mut known = HashMap::new();
        for row in writer.query("select account_id, rev from account_revisions", &[])? {
            known.insert(row.get(0)?, row.get(1)?);
        }
        let revisions = Arc::new(RwLock::new(known));
        let commits = Arc::new(AtomicU64::new(0));

        let (writes, queue) = bounded::<Box<dyn Work>>(QUEUE);
        let (published, counted, path) = (revisions.clone(), commits.clone(), file.clone());
        spawn("store-writer", move || write_loop(writer, &queue, &published, &counted, &path))?;

        let (reads, queue) = bounded::<Box<dyn Work>>(QUEUE);
        for _ in 0..readers {
            let mut conn = Conn { db: reader_connection(&file)?, rewritten: rewritten.clone() };
            let queue: Receiver<Box<dyn Work>> = queue.clone();
            spawn("store-reader", move || {
                for work in queue {
                    read_one(&mut conn, work);
                }
            })?;
        }
        Ok(Self { writes, reads, revisions, commits, _lock: lock })
    }

    pub(crate) fn write(&self, work: Box<dyn Work>) -> bool {
        self.writes.try_send(work).is_ok()
    }

    pub(crate) fn read(&self, work: Box<dyn Work>) -> bool {
        self.reads.try_send(work).is_ok()
    }

    pub(crate) fn revision(&self, account: &str) -> i64 {
        self.revisions.read().get(account).copied().unwrap_or(0)
    }

    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<()> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(body)
        .map(|_| ())
        .map_err(|e| Error::Unavailable(format!("cannot start a thread: {e}")))
}

/// The database holds hashes and sealed values only, and is nobody else's business all the same.
fn restrict(file: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(0o600);
        if let Err(e) = std::fs::set_permissions(file, mode) {
            tracing::warn!("cannot restrict the mode of {}: {e}", file.display());
        }
    }
}

fn writer_connection(file: &Path) -> Result<Db> {
    let db = Db::open(file).map_err(map)?;
    db.execute_batch(
        "pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on; pragma busy_timeout = 5000; \
         pragma cache_size = -16000; pragma temp_store = memory; pragma secure_delete = on;",
    )
    .map_err(map)?;
    db.set_prepared_statement_cache_capacity(256);
    Ok(db)
}

fn reader_connection(file: &Path) -> Result<Db> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Db::open_with_flags(file, flags).map_err(map)?;
    db.execute_batch("pragma busy_timeout = 5000; pragma cache_size = -4000; pragma query_only = on;").map_err(map)?;
    db.set_prepared_statement_cache_capacity(256);
    Ok(db)
}

fn write_loop(
    mut conn: Conn,
    queue: &Receiver<Box<dyn Work>>,
    revisions: &RwLock<HashMap<String, i64>>,
    commits: &AtomicU64,
    file: &Path,
) {
    while let Ok(first) = queue.recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH {
            match queue.try_recv() {
                Ok(work) => batch.push(work),
                Err(_) => break,
            }
        }
        let mut raised = Vec::new();
        let ended = run_batch(&mut conn, &mut batch, &mut raised);
        match &ended {
            Ok(committed) => {
                if *committed {
                    commits.fetch_add(1, Ordering::Relaxed);
                }
                if !raised.is_empty() {
                    let mut known = revisions.write();
                    for (account, rev) in raised {
                        known.insert(account, rev);
                    }
                }
            }
            Err(e) => {
                tracing::error!("a batch of writes failed: {e}");
                let _ = conn.batch("rollback");
            }
        }
        let failed = ended.as_ref().err().map(ToString::to_string);
        let full = matches!(ended, Err(Error::Full));
        for work in batch {
            work.done(match &failed {
                None => Ok(()),
                Some(_) if full => Err(Error::Full),
                Some(text) => Err(Error::Unavailable(text.clone())),
            });
        }
        if ended.is_err() && !full {
            // What is in the connection's memory may not be what is on disk: start over from the file.
            loop {
                match writer_connection(file) {
                    Ok(db) => {
                        conn.db = db;
                        break;
                    }
                    Err(e) => {
                        tracing::error!("the store cannot be reopened: {e}");
                        std::thread::sleep(Duration::from_millis(500));
                    }
                }
            }
        }
    }
}

/// Runs the closures, each in a savepoint, and commits once. `Ok(false)`: nothing was kept, so nothing was flushed.
fn run_batch(conn: &mut Conn, batch: &mut [Box<dyn Work>], raised: &mut Vec<(String, i64)>) -> Result<bool> {
    conn.batch("begin immediate")?;
    let mut kept = false;
    for work in batch.iter_mut() {
        conn.batch("savepoint one")?;
        let (ran, more) = {
            let mut tx = Tx::new(conn);
            let ran = work.run(&mut tx);
            (ran, std::mem::take(&mut tx.raised))
        };
        if conn.db.is_autocommit() {
            // The engine gave up the whole transaction (disk full, I/O): nobody's changes are left.
            return Err(conn.last_failure());
        }
        match ran {
            Ran::Keep => {
                conn.batch("release one")?;
                raised.extend(more);
                kept = true;
            }
            Ran::Undo | Ran::Again | Ran::Broken => conn.batch("rollback to one; release one")?,
        }
    }
    if kept {
        conn.batch("commit")?;
    } else {
        conn.batch("rollback")?;
    }
    Ok(kept)
}

fn read_one(conn: &mut Conn, mut work: Box<dyn Work>) {
    if let Err(e) = conn.batch("begin") {
        return work.done(Err(e));
    }
    let _ = work.run(&mut Tx::new(conn));
    let ended = conn.batch("rollback");
    work.done(ended);
}

struct Conn {
    db: Db,
    rewritten: Arc<Rewritten>,
}

impl Conn {
    fn batch(&mut self, sql: &str) -> Result<()> {
        if sql.contains(';') {
            return self.db.execute_batch(sql).map_err(map);
        }
        self.db.prepare_cached(sql).and_then(|mut s| s.raw_execute()).map(|_| ()).map_err(map)
    }

    fn last_failure(&self) -> Error {
        match self.db.execute_batch("select 1") {
            Err(e) => map(e),
            Ok(()) => Error::Full,
        }
    }
}

impl Connection for Conn {
    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64> {
        let db = &self.db;
        self.rewritten.with(sql, |sql| {
            let mut statement = db.prepare_cached(sql).map_err(map)?;
            statement.execute(rusqlite::params_from_iter(values)).map(|n| n as u64).map_err(map)
        })
    }

    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>> {
        let db = &self.db;
        self.rewritten.with(sql, |sql| {
            let mut statement = db.prepare_cached(sql).map_err(map)?;
            let columns = statement.column_count();
            let mut rows = statement.query(rusqlite::params_from_iter(values)).map_err(map)?;
            let mut out = Vec::new();
            while let Some(row) = rows.next().map_err(map)? {
                let mut cells = Vec::with_capacity(columns);
                for i in 0..columns {
                    cells.push(match row.get_ref(i).map_err(map)? {
                        ValueRef::Null => Value::Null,
                        ValueRef::Integer(v) => Value::Int(v),
                        ValueRef::Real(_) => return Err(Error::Type(format!("column {i} holds a real number"))),
                        ValueRef::Text(v) => Value::Text(
                            String::from_utf8(v.to_vec()).map_err(|_| Error::Type(format!("column {i} is not UTF-8")))?,
                        ),
                        ValueRef::Blob(v) => Value::Bytes(v.to_vec()),
                    });
                }
                out.push(Row(cells));
            }
            Ok(out)
        })
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Int(v) => ValueRef::Integer(*v),
            Value::Text(v) => ValueRef::Text(v.as_bytes()),
            Value::Bytes(v) => ValueRef::Blob(v),
        }))
    }
}

fn map(e: rusqlite::Error) -> Error {
    let rusqlite::Error::SqliteFailure(code, message) = &e else { return Error::Other(e.to_string()) };
    match code.code {
        ErrorCode::ConstraintViolation if matches!(code.extended_code, 2067 | 1555 | 2579) => {
            let text = message.clone().unwrap_or_default();
            let what = text.split_once(": ").map_or(text.clone(), |(_, columns)| columns.to_owned());
            Error::Unique { what }
        }
        ErrorCode::DiskFull => Error::Full,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Error::Corrupt(e.to_string()),
        ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::DatabaseBusy => {
            Error::Unavailable(e.to_string())
        }
        _ => Error::Other(e.to_string()),
    }
}
