//! A piece of work that changes the process it runs in (other namespaces), done in a child that hands its result back.

use crate::error::{Error, Refusal, Result, Step};
use crate::packet::Channel;
use crate::sys;
use rustix::fd::{AsFd, OwnedFd};
use rustix::process::{WaitOptions, waitpid};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Longer than any step of a layout takes, even on a busy host.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn in_child<T: Serialize + DeserializeOwned>(
    work: impl FnOnce() -> Result<(T, Vec<OwnedFd>)>,
) -> Result<(T, Vec<OwnedFd>)> {
    let (ours, theirs) = Channel::pair()?;
    let child = sys::fork(|| {
        let sent = match work() {
            Ok((value, fds)) => {
                let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
                theirs.send(&Ok::<T, Refusal>(value), &fds)
            }
            Err(e) => theirs.send(&Err::<T, Refusal>(e.into_refusal()), &[]),
        };
        i32::from(sent.is_err())
    })?;
    drop(theirs);
    let answer = ours.expect::<std::result::Result<T, Refusal>>(PATIENCE);
    if answer.is_err() {
        let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
    }
    waitpid(Some(child), WaitOptions::empty()).step("wait for a child")?;
    match answer? {
        (Ok(value), fds) => Ok((value, fds)),
        (Err(refusal), _) => Err(Error::Refused(refusal)),
    }
}
