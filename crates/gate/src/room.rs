//! Room on the disk of the embedded store. A reserve is kept in a file; when the disk is full it is given back, so that
//! what lowers a risk can still be done and told: revoking, deleting, locking. Everything else waits for room.
//!
//! PostgreSQL looks after its own disk; its errors are the signal there.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use avouch_policy::access::ResourceAttrs;
use avouch_wire::ids::AccountId;
use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;

use crate::app::App;
use crate::audit::{OPERATOR_ACCOUNT, unasked};
use crate::ctx::{Details, Permit, Target, background_event};
use crate::error::{Error, Result};

/// Kept for bad times, or an eighth of a small disk.
const RESERVE: u64 = 64 << 20;
/// Less than this, or a tenth of a small disk, is worth an alarm.
const LOW: u64 = 1 << 30;

/// How much room there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Enough,
    /// Somebody should look after it.
    Low,
    /// The reserve is in use: only what lowers a risk is done.
    Reserve,
}

impl Level {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Enough => "enough",
            Level::Low => "low",
            Level::Reserve => "reserve",
        }
    }
}

/// Watches the disk of a folder.
#[derive(Debug)]
pub struct Room {
    folder: Option<PathBuf>,
    level: AtomicU8,
    /// One look at a time.
    looking: Mutex<()>,
}

/// Bytes of a disk.
#[derive(Debug, Clone, Copy)]
struct Disk {
    free: u64,
    whole: u64,
}

impl Disk {
    fn reserve(self) -> u64 {
        RESERVE.min(self.whole / 8)
    }

    /// With less than this the next commits may fail.
    fn margin(self) -> u64 {
        self.reserve() / 4
    }

    fn low(self) -> u64 {
        LOW.min(self.whole / 10)
    }
}

impl Room {
    /// The folder of the embedded store; `None` where another server keeps the data.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, level: AtomicU8::new(Level::Enough as u8), looking: Mutex::new(()) }
    }

    /// What the last look found.
    pub fn level(&self) -> Level {
        match self.level.load(Ordering::Relaxed) {
            0 => Level::Enough,
            1 => Level::Low,
            _ => Level::Reserve,
        }
    }

    /// Looks at the disk, gives the reserve back or takes it anew, and tells the levels before and after. `full`: the
    /// last write found no space. Blocks for a moment.
    ///
    /// # Errors
    /// Those of the disk; the level is then as it was.
    pub fn look(&self, full: bool) -> io::Result<(Level, Level)> {
        let _one = self.looking.lock();
        let before = self.level();
        let Some(folder) = &self.folder else { return Ok((before, before)) };
        let file = folder.join("reserve");
        let stat = statvfs(folder)?;
        let mut disk = Disk { free: stat.f_bavail * stat.f_frsize, whole: stat.f_blocks * stat.f_frsize };
        let mut kept = file.try_exists()?;
        if kept && (full || disk.free < disk.margin()) {
            std::fs::remove_file(&file)?;
            kept = false;
        } else if !kept && !full && disk.free >= disk.reserve() + 2 * disk.margin() {
            match take(&file, disk.reserve()) {
                Ok(()) => kept = true,
                Err(e) => {
                    // A part of a reserve would only be in the way.
                    let _ = std::fs::remove_file(&file);
                    return Err(e);
                }
            }
            disk.free -= disk.reserve();
        }
        let after = match kept {
            false => Level::Reserve,
            true if disk.free < disk.low() => Level::Low,
            true => Level::Enough,
        };
        self.level.store(after as u8, Ordering::Relaxed);
        Ok((before, after))
    }
}

/// Makes a file that really takes up the space.
fn take(file: &std::path::Path, size: u64) -> io::Result<()> {
    let mut made: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    match fallocate(&made, FallocateFlags::empty(), 0, size) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            io::copy(&mut io::Read::take(io::repeat(0), size), &mut made)?;
            made.sync_all()
        }
        other => Ok(other?),
    }
}

/// Looks at the disk and tells when the level changes: in the log, in the figures, in the operator's trail.
///
/// # Errors
/// Those of the disk and of the store.
pub async fn tick(app: &Arc<App>) -> Result<()> {
    if app.store.was_full() {
        // Nobody else may write, so nobody else would find out that there is room again.
        let _still = app.store.health().await;
    }
    let (watched, full) = (app.clone(), app.store.was_full());
    let looked =
        tokio::task::spawn_blocking(move || watched.room.look(full)).await.map_err(Error::internal)?;
    let (before, after) = looked.map_err(|e| Error::unavailable("The disk cannot be looked at.").cause(e))?;
    app.metrics.room(after);
    if before == after {
        return Ok(());
    }
    match after {
        Level::Enough => tracing::info!("there is enough room on the disk of the store again"),
        Level::Low => tracing::warn!("the disk of the store has little room left"),
        Level::Reserve => tracing::error!(
            "the disk of the store is full: until there is room, only what lowers a risk is done"
        ),
    }
    let account = AccountId::parse(OPERATOR_ACCOUNT).map_err(Error::internal)?;
    let attrs = ResourceAttrs::service(&account, "avouch");
    let target = Target::global("avouch", &account, attrs, "").named(after.as_str()).of_type("avouch/disk");
    let permit = Permit::system(&unasked::DISK, target);
    let mut details = Details::default();
    details.response("level", after.as_str()).response("before", before.as_str());
    app.audit.soon(background_event(app, app.clock.now(), "Avouch", &permit, details)).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_reserve_is_given_back_when_the_disk_is_full_and_taken_again_when_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let room = Room::new(Some(dir.path().to_owned()));
        let file = dir.path().join("reserve");
        let (before, after) = room.look(false).unwrap();
        assert_eq!(before, Level::Enough);
        assert_ne!(after, Level::Reserve, "this test needs a disk with some room");
        let stat = std::fs::metadata(&file).unwrap();
        let taken = std::os::unix::fs::MetadataExt::blocks(&stat) * 512;
        assert!(taken >= stat.len() && stat.len() > 0, "the space is really taken");
        assert_eq!(room.look(false).unwrap(), (after, after));
        assert_eq!(room.look(true).unwrap(), (after, Level::Reserve));
        assert!(!file.exists());
        assert_eq!(room.look(true).unwrap().1, Level::Reserve, "as long as writes find no space");
        assert_eq!(room.look(false).unwrap(), (Level::Reserve, after));
        assert!(file.exists());
    }

    #[test]
    fn a_small_disk_keeps_a_small_reserve() {
        let disk = Disk { free: 4 << 20, whole: 8 << 20 };
        assert_eq!((disk.reserve(), disk.margin()), (1 << 20, 256 << 10));
        assert!(disk.reserve() + 2 * disk.margin() < disk.free);
        let large = Disk { free: 1 << 40, whole: 1 << 42 };
        assert_eq!((large.reserve(), large.low()), (RESERVE, LOW));
    }

    #[test]
    fn where_another_server_keeps_the_data_there_is_nothing_to_watch() {
        assert_eq!(Room::new(None).look(true).unwrap(), (Level::Enough, Level::Enough));
    }
}
