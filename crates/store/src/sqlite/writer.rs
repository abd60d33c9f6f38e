//! The one thread that writes: it takes all that waits, runs each closure in a savepoint of one transaction, commits
//! once and only then answers.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::connection::Conn;
use super::files::Files;
use super::{Jobs, Shared};
use crate::tx::Tx;
use crate::work::{Ran, Work};
use crate::{Error, Result};

/// Most closures in one commit.
const BATCH: usize = 256;

pub(super) struct Writer {
    /// None after a failure: what is in a connection's memory may not be what is on disk, so the next batch starts over
    /// from the file.
    conn: Option<Conn>,
    files: Files,
    shared: Arc<Shared>,
    /// Held until this thread ends, after the connection.
    _lock: File,
}

/// Why a whole batch was not kept.
enum Failed {
    /// A statement of one closure made the engine give up the transaction of all.
    Statement(Error),
    /// The engine itself.
    Engine(Error),
    /// The commit, or what came after it: what was written may be there.
    Commit(Error),
}

impl Writer {
    pub(super) fn new(conn: Conn, files: Files, shared: Arc<Shared>, lock: File) -> Self {
        Self { conn: Some(conn), files, shared, _lock: lock }
    }

    pub(super) fn run(mut self, queue: &Jobs) {
        let (mut waiting, mut batch) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        while queue.pop_many(&mut waiting, BATCH) {
            for work in waiting.drain(..) {
                match work.stale() {
                    Some(e) => work.done(Err(e)),
                    None => batch.push(work),
                }
            }
            if !batch.is_empty() {
                self.serve(&mut batch);
            }
        }
        if let Some(conn) = self.conn.take()
            && self.files.look().is_ok()
        {
            let _ = conn.close();
        }
    }

    /// Runs, commits and answers; leaves the batch empty.
    fn serve(&mut self, batch: &mut Vec<Box<dyn Work>>) {
        match self.transact(batch) {
            Ok(()) => batch.drain(..).for_each(|work| work.done(Ok(()))),
            Err(Failed::Statement(_)) if batch.len() > 1 => {
                // One of them is too big for what is left of the disk: the others shall not suffer for it.
                let mut alone = Vec::with_capacity(1);
                for work in batch.drain(..) {
                    alone.push(work);
                    self.serve(&mut alone);
                }
            }
            Err(Failed::Commit(e)) if !matches!(e, Error::Full) => {
                let answer = Error::Unknown(e.to_string());
                batch.drain(..).for_each(|work| work.done(Err(answer.clone())));
            }
            Err(Failed::Statement(e) | Failed::Engine(e) | Failed::Commit(e)) => {
                let answer = match e {
                    Error::Full | Error::Corrupt(_) | Error::Unavailable(_) => e,
                    e => Error::Unavailable(e.to_string()),
                };
                batch.drain(..).for_each(|work| work.done(Err(answer.clone())));
            }
        }
    }

    fn transact(&mut self, batch: &mut Vec<Box<dyn Work>>) -> Result<(), Failed> {
        // Before and after: whoever is answered has his change in files that the next start finds, and behind nothing
        // that was cut out.
        if let Err(e) = self.files.look() {
            self.conn = None;
            return Err(Failed::Engine(e));
        }
        if self.shared.damaged.load(Ordering::Relaxed) {
            return Err(Failed::Engine(Error::damaged()));
        }
        let conn = match &mut self.conn {
            Some(conn) => conn,
            None => {
                let mut conn = Conn::writer(self.files.database()).map_err(Failed::Engine)?;
                // A commit whose answer was an error may be on disk after all.
                *self.shared.revisions.write() = conn.revisions().map_err(Failed::Engine)?;
                self.conn.insert(conn)
            }
        };
        let ended = one_transaction(conn, batch, &self.shared).and_then(|kept| match kept {
            Some(raised) => self.files.look().map(|()| Some(raised)).map_err(Failed::Commit),
            None => Ok(None),
        });
        match &ended {
            Ok(Some(raised)) => {
                self.shared.commits.fetch_add(1, Ordering::Relaxed);
                if !raised.is_empty() {
                    let mut revisions = self.shared.revisions.write();
                    for (account, rev) in raised {
                        match revisions.get_mut(account) {
                            Some(known) => *known = *rev,
                            None => {
                                revisions.insert(account.clone(), *rev);
                            }
                        }
                    }
                }
            }
            Ok(None) => {}
            Err(failed) => {
                let (Failed::Statement(e) | Failed::Engine(e) | Failed::Commit(e)) = failed;
                self.shared.note(e);
                let noted = if matches!(e, Error::Full) { &self.shared.full } else { &self.shared.failed };
                noted.store(true, Ordering::Relaxed);
                let clean = !conn.in_transaction() || conn.batch("rollback").is_ok();
                if !clean || !matches!(failed, Failed::Statement(_)) {
                    self.conn = None;
                }
            }
        }
        ended.map(drop)
    }
}

/// Runs the closures, each in a savepoint, and commits once. Gives the revisions that were raised, or `None` when
/// nothing was kept, so nothing was flushed.
fn one_transaction(
    conn: &mut Conn,
    batch: &mut [Box<dyn Work>],
    shared: &Shared,
) -> Result<Option<Vec<(String, i64)>>, Failed> {
    conn.batch("begin immediate").map_err(Failed::Engine)?;
    let mut kept = None;
    for work in batch.iter_mut() {
        conn.batch("savepoint one").map_err(Failed::Engine)?;
        let (ran, raised, failure) = {
            let mut tx = Tx::new(conn);
            let ran = work.run(&mut tx);
            (ran, std::mem::take(&mut tx.raised), tx.take_failure())
        };
        if let Some(e) = &failure {
            shared.note(e);
        }
        if let Ran::Lost(e) = ran {
            return Err(Failed::Engine(e));
        }
        if shared.damaged.load(Ordering::Relaxed) {
            return Err(Failed::Engine(Error::damaged()));
        }
        if !conn.in_transaction() {
            return Err(Failed::Statement(failure.unwrap_or(Error::Full)));
        }
        if matches!(ran, Ran::Keep) {
            conn.batch("release one").map_err(Failed::Engine)?;
            kept.get_or_insert_with(Vec::new).extend(raised);
        } else {
            conn.batch("rollback to one").map_err(Failed::Engine)?;
            conn.batch("release one").map_err(Failed::Engine)?;
        }
    }
    match kept {
        Some(raised) => conn.batch("commit").map(|()| Some(raised)).map_err(Failed::Commit),
        None => conn.batch("rollback").map(|()| None).map_err(Failed::Engine),
    }
}
