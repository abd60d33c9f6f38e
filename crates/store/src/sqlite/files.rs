//! The files under the connections: SQLite goes on with what it has open, whatever became of the names. A change counts
//! only when the next start finds it, so it is looked at the names, around each commit.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::connection::LOG_KEPT;
use crate::{Error, Result};

/// The database and its log, as they were at the start.
#[derive(Clone)]
pub(super) struct Files {
    database: Known,
    log: Known,
}

#[derive(Clone)]
struct Known {
    path: PathBuf,
    what: &'static str,
    /// Device and number.
    identity: (u64, u64),
    /// It never becomes shorter than this.
    least: u64,
    /// Beyond this length SQLite itself may cut it.
    kept: u64,
}

impl Files {
    /// The files of a database that is open.
    pub(super) fn of(database: &Path) -> Result<Self> {
        let mut log = database.as_os_str().to_owned();
        log.push("-wal");
        Ok(Self {
            database: Known::of(database.to_owned(), "the database file", u64::MAX)?,
            log: Known::of(log.into(), "the log of the database", LOG_KEPT)?,
        })
    }

    pub(super) fn database(&self) -> &Path {
        &self.database.path
    }

    /// Whether they are there and the same.
    ///
    /// A removed file stays writable for whoever has it open, and everything written to it is lost with the process; one
    /// that was cut has lost what was answered before.
    pub(super) fn look(&mut self) -> Result<()> {
        self.database.look()?;
        self.log.look()
    }
}

impl Known {
    fn of(path: PathBuf, what: &'static str, kept: u64) -> Result<Self> {
        let mut known = Self { path, what, identity: (0, 0), least: 0, kept };
        let found = known.metadata()?;
        known.identity = (found.dev(), found.ino());
        known.least = found.len().min(kept);
        Ok(known)
    }

    fn metadata(&self) -> Result<std::fs::Metadata> {
        let unusable = |e| Error::Unavailable(format!("{} cannot be found: {e}", self.what));
        std::fs::metadata(&self.path).map_err(unusable)
    }

    fn look(&mut self) -> Result<()> {
        let found = self.metadata()?;
        if (found.dev(), found.ino()) != self.identity {
            return Err(Error::Unavailable(format!("{} is not the one that was opened", self.what)));
        }
        if found.len() < self.least {
            return Err(Error::Unavailable(format!("{} was cut by somebody else", self.what)));
        }
        self.least = found.len().min(self.kept);
        Ok(())
    }
}
