//! What the workload prints, in a file of bounded size that keeps the end.

use crate::error::{Result, Step};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;

const MOST: u64 = 1024 * 1024;

pub struct Console {
    file: File,
    size: u64,
    output: Option<OwnedFd>,
}

impl Console {
    pub fn new(file: File) -> Console {
        let size = file.metadata().map(|m| m.len()).unwrap_or_default();
        Console { file, size, output: None }
    }

    /// The end of a new pipe for the workload to write to.
    pub fn open(&mut self) -> Result<OwnedFd> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).step("pipe")?;
        let flags = rustix::fs::fcntl_getfl(&read).step("pipe")?;
        rustix::fs::fcntl_setfl(&read, flags | rustix::fs::OFlags::NONBLOCK).step("pipe")?;
        self.output = Some(read);
        Ok(write)
    }

    pub fn output(&self) -> Option<BorrowedFd<'_>> {
        self.output.as_ref().map(AsFd::as_fd)
    }

    /// Copies what is there, one buffer of it, so that a flood of output keeps nothing else waiting.
    pub fn copy(&mut self) {
        let mut buffer = [0u8; 16 * 1024];
        let Some(output) = &self.output else { return };
        match rustix::io::read(output, &mut buffer[..]) {
            Ok(0) => self.output = None,
            Ok(n) => self.append(buffer.get(..n).unwrap_or_default()),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(_) => self.output = None,
        }
    }

    /// Copies what is left; nobody writes any more.
    pub fn finish(&mut self) {
        let before = |c: &Console| (c.size, c.output.is_some());
        loop {
            let was = before(self);
            self.copy();
            if before(self) == was || self.output.is_none() {
                break;
            }
        }
        self.output = None;
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.size + bytes.len() as u64 > MOST {
            self.forget_half();
        }
        // A full disk loses output; it does not stop the instance.
        if self.file.write_all(bytes).is_ok() {
            self.size += bytes.len() as u64;
        }
    }

    fn forget_half(&mut self) {
        let from = self.size.saturating_sub(MOST / 2);
        let mut rest = vec![0u8; usize::try_from(self.size - from).unwrap_or_default()];
        let kept = self.file.read_exact_at(&mut rest, from).is_ok();
        // Opened for appending: after this the next byte is the first.
        if self.file.set_len(0).is_ok() {
            self.size = 0;
            if kept && self.file.write_all(&rest).is_ok() {
                self.size = rest.len() as u64;
            }
        }
    }
}
