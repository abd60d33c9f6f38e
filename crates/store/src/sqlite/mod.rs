//! The embedded engine: one writer thread that groups what waits into one commit, and reader threads of their own.
//!
//! Refuses a folder that another server holds. The revisions of accounts are kept in memory: only this process writes.

mod connection;
mod files;
mod writer;

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::threads::{Queue, Threads};
use crate::tx::Tx;
use crate::work::{Ran, Work};
use crate::{Error, Result, migrate};

use connection::Conn;
use files::Files;
use writer::Writer;

type Jobs = Queue<Box<dyn Work>>;

pub(crate) struct Sqlite {
    writes: Arc<Jobs>,
    reads: Arc<Jobs>,
    shared: Arc<Shared>,
    readers: Threads,
    writer: Threads,
    folder: PathBuf,
}

/// What the writer tells everybody.
#[derive(Default)]
struct Shared {
    /// Revision of each account, set after the commit that raised it and before its writers are answered.
    revisions: RwLock<HashMap<String, i64>>,
    commits: AtomicU64,
    /// A write found no space, and no probe has found any since.
    full: AtomicBool,
    /// The engine found the database damaged. Nothing is written to it any more: it could not be found again.
    damaged: AtomicBool,
    /// A write failed for another reason, and no probe has worked since.
    failed: AtomicBool,
}

impl Sqlite {
    pub(crate) fn open(dir: &Path, readers: usize) -> Result<Self> {
        let (lock, file) = folder(dir)?;
        let mut conn = Conn::writer(&file)?;
        conn.batch("begin immediate")?;
        migrate::run(&mut Tx::new(&mut conn))?;
        conn.batch("commit")?;
        let shared = Arc::new(Shared { revisions: RwLock::new(conn.revisions()?), ..Shared::default() });

        // Complete before its threads start: if one does not, dropping it ends the others.
        let mut engine = Self {
            writes: Arc::default(),
            reads: Arc::default(),
            shared: shared.clone(),
            readers: Threads::default(),
            writer: Threads::default(),
            folder: dir.to_owned(),
        };
        let files = Files::of(&file)?;
        let (writer, queue) = (Writer::new(conn, files.clone(), shared.clone(), lock), engine.writes.clone());
        engine.writer.start("store-writer".into(), move || writer.run(&queue))?;
        for n in 0..readers {
            let reader =
                Reader { open: Some(Conn::reader(&file)?), files: files.clone(), shared: shared.clone() };
            let queue = engine.reads.clone();
            engine.readers.start(format!("store-reader-{n}"), move || reader.run(&queue))?;
        }
        Ok(engine)
    }

    pub(crate) fn write(&self, work: Box<dyn Work>) -> Result<()> {
        self.writes.push(work)
    }

    #[cfg(feature = "testing")]
    pub(crate) fn queued_writes(&self) -> usize {
        self.writes.waiting()
    }

    pub(crate) fn read(&self, work: Box<dyn Work>) -> Result<()> {
        self.reads.push(work)
    }

    pub(crate) fn revision(&self, account: &str) -> i64 {
        self.shared.revisions.read().get(account).copied().unwrap_or(0)
    }

    pub(crate) fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn was_full(&self) -> bool {
        self.shared.full.load(Ordering::Relaxed)
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.shared.damaged.load(Ordering::Relaxed)
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.shared.failed.load(Ordering::Relaxed)
    }

    /// A probe was written.
    pub(crate) fn works_again(&self) {
        self.shared.full.store(false, Ordering::Relaxed);
        self.shared.failed.store(false, Ordering::Relaxed);
    }

    /// Readers first: the connection that closes last brings the log into the database file, and they may not write.
    pub(crate) async fn close(&self) {
        self.reads.close();
        self.readers.ended().await;
        self.writes.close();
        self.writer.ended().await;
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        // As in `close`; dropping threads waits for them.
        self.reads.close();
        drop(std::mem::take(&mut self.readers));
        self.writes.close();
    }
}

/// Takes the folder and makes the database file, both for this user only. The system frees the lock when the process
/// dies, however it dies.
fn folder(dir: &Path) -> Result<(File, PathBuf)> {
    let failed = |e: std::io::Error| match e.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::Full,
        _ => Error::Unavailable(format!("cannot use the data folder {}: {e}", dir.display())),
    };
    let private = |create_new: bool, path: &Path| {
        let mut options = OpenOptions::new();
        options.write(true).truncate(false).create(true).create_new(create_new).mode(0o600).open(path)
    };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    let lock = private(false, &dir.join("lock")).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(Error::Locked(format!("another server uses the data folder {}", dir.display())));
        }
        Err(TryLockError::Error(e)) => return Err(failed(e)),
    }
    let file = dir.join("avouch.db");
    // Never opened by ourselves once it exists: closing it would drop the locks that SQLite holds on it.
    match private(true, &file) {
        Ok(_) => {
            for folder in
                [Some(dir), dir.parent().filter(|p| !p.as_os_str().is_empty())].into_iter().flatten()
            {
                File::open(folder).and_then(|f| f.sync_all()).map_err(failed)?;
            }
        }
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            let mode = std::fs::metadata(&file).map_err(failed)?.permissions().mode();
            if mode & 0o077 != 0 {
                std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
            }
        }
        Err(e) => return Err(failed(e)),
    }
    Ok((lock, file))
}

/// A thread that reads.
struct Reader {
    /// None after a failure.
    open: Option<Conn>,
    files: Files,
    shared: Arc<Shared>,
}

impl Reader {
    fn run(mut self, queue: &Jobs) {
        while let Some(mut work) = queue.pop() {
            let ended = match work.stale() {
                Some(e) => Err(e),
                None => self.one(work.as_mut()),
            };
            work.done(ended);
        }
    }

    fn one(&mut self, work: &mut dyn Work) -> Result<()> {
        let conn = match &mut self.open {
            Some(conn) => conn,
            None => {
                self.files.look()?;
                self.open.insert(Conn::reader(self.files.database())?)
            }
        };
        if let Err(e) = conn.batch("begin") {
            self.open = None;
            self.shared.note(&e);
            return Err(e);
        }
        let mut tx = Tx::new(conn);
        let ran = work.run(&mut tx);
        if let Some(e) = tx.failure() {
            self.shared.note(e);
        }
        let ended = conn.batch("rollback");
        match ran {
            Ran::Lost(e) => {
                self.open = None;
                Err(e)
            }
            _ => {
                if ended.is_err() {
                    // The rows were read; only the connection is of no further use.
                    self.open = None;
                }
                Ok(())
            }
        }
    }
}

impl Shared {
    /// Remembers that the database is damaged, if that is what the error says.
    fn note(&self, e: &Error) {
        if matches!(e, Error::Corrupt(_)) {
            self.damaged.store(true, Ordering::Relaxed);
        }
    }
}
