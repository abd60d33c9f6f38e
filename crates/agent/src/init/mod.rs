//! The first process of an instance: it keeps the namespaces and the sockets alive, starts the workload, and reaps.
//!
//! It is forked from the helper without `exec`, and cannot be traced or inspected from inside the instance: its memory
//! belongs to the user namespace of the host, and it is not dumpable. It obeys only the helper, over a socket whose path
//! the instance cannot see.

mod birth;
mod console;
pub mod words;

pub use birth::{Birth, RANGE, bear};

use crate::error::{Code, Error, Refusal, Result, Step};
use crate::launcher::Machine;
use crate::layout::Sockets;
use crate::packet::{Channel, Received};
use crate::protocol::{Exit, State};
use crate::sys;
use console::Console;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, kill_process_group, wait};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use words::{Order, Said, Status, What};

struct Init {
    birth: Birth,
    control: OwnedFd,
    helper: Option<Channel>,
    signals: OwnedFd,
    console: Console,
    machine: Machine,
    sockets: Sockets,
    companion: Option<OwnedFd>,
    state: State,
    workload: Option<Workload>,
    /// Programs that orders started, by pid.
    execs: BTreeMap<i32, u64>,
    /// There is a record of it, so that another helper finds it.
    stays: bool,
}

struct Workload {
    pid: Pid,
    /// When its grace ends, and the orders that wait for it.
    kill_at: Option<Instant>,
    waiting: Vec<u64>,
}

impl Init {
    fn run(&mut self) -> Result<()> {
        loop {
            let limit = self.workload.as_ref().and_then(|w| w.kill_at).map(until);
            let mut fds =
                vec![PollFd::new(&self.signals, PollFlags::IN), PollFd::new(&self.control, PollFlags::IN)];
            let helper = self.helper.as_ref().map(|h| PollFd::new(h, PollFlags::IN));
            let (has_helper, has_output) = (helper.is_some(), self.console.output().is_some());
            fds.extend(helper);
            fds.extend(self.console.output().map(|o| PollFd::from_borrowed_fd(o, PollFlags::IN)));
            match poll(&mut fds, limit.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(e) => return Err(e).step("poll"),
            }
            let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
            let (signal, caller) = (ready.next() == Some(true), ready.next() == Some(true));
            let order = has_helper && ready.next() == Some(true);
            let output = has_output && ready.next() == Some(true);
            drop(ready);
            drop(fds);
            if output {
                self.console.copy();
            }
            if signal {
                while sys::next_signal(&self.signals).is_some() {}
                self.reap();
            }
            if order && self.obey_next() {
                return Ok(());
            }
            if caller && let Ok(socket) = accept_with(&self.control, SocketFlags::CLOEXEC) {
                // A helper that was started anew. While there is one, whoever else comes is none.
                if self.helper.is_none() {
                    self.helper = Some(Channel::new(socket));
                    self.end_execs();
                }
            }
            if self
                .workload
                .as_ref()
                .and_then(|w| w.kill_at)
                .is_some_and(|at| until(at) == Timespec::default())
            {
                sys::kill_everyone(libc::SIGKILL);
                self.reap();
            }
        }
    }

    /// True when the order was to end.
    fn obey_next(&mut self) -> bool {
        let Some(helper) = &self.helper else { return false };
        match helper.receive::<Order>() {
            Ok(Received::Message(Order { sequence, what: What::Quit }, _)) => {
                self.end_everything();
                self.sockets = Sockets::default();
                self.companion = None;
                self.say(&Said::Done { sequence, status: self.status() }, &[]);
                return true;
            }
            Ok(Received::Message(Order { sequence, what }, fds)) => {
                if let Err(e) = self.obey(sequence, what, fds) {
                    self.say(&Said::Refused { sequence, refusal: e.into_refusal() }, &[]);
                }
            }
            Ok(Received::Garbage(why)) => {
                let refusal = Refusal { code: Code::BadRequest, message: why };
                self.say(&Said::Refused { sequence: 0, refusal }, &[]);
            }
            Ok(Received::Closed) | Err(_) if !self.stays => return true,
            Ok(Received::Closed) | Err(_) => self.helper = None,
        }
        false
    }

    fn obey(&mut self, sequence: u64, what: What, mut fds: Vec<OwnedFd>) -> Result<()> {
        match what {
            What::Report => self.show(sequence),
            What::Stay => {
                self.stays = true;
                self.done(sequence);
            }
            What::Hold { sockets, metadata } => {
                self.companion = fds.pop();
                self.sockets = Sockets::of(sockets, fds);
                self.birth.metadata = metadata;
                self.done(sequence);
            }
            What::Listen { metadata } => {
                self.sockets.open(metadata)?;
                self.birth.metadata = metadata;
                self.show(sequence);
            }
            What::Start(spec) => {
                self.start(&spec)?;
                self.done(sequence);
            }
            What::Stop { grace_ms } => self.stop(sequence, grace_ms),
            What::Kill => {
                self.end_everything();
                self.done(sequence);
            }
            What::Exec { argv, env } => {
                if self.workload.is_none() {
                    return Err(Error::refused(Code::WrongState, "instance: is not running"));
                }
                let stdio = <[OwnedFd; 3]>::try_from(fds)
                    .map_err(|_| Error::refused(Code::BadRequest, "exec: wants three descriptors"))?;
                let pid = self.machine.exec(&argv, &env, stdio)?;
                self.execs.insert(pid.as_raw_pid(), sequence);
            }
            What::EndExec { order } => {
                for pid in
                    self.execs.iter().filter(|(_, o)| **o == order).filter_map(|(pid, _)| Pid::from_raw(*pid))
                {
                    // In a session, and so in a group, of its own.
                    let _ = kill_process_group(pid, Signal::KILL);
                }
            }
            What::Quit => {}
        }
        Ok(())
    }

    fn start(&mut self, spec: &crate::protocol::WorkloadSpec) -> Result<()> {
        if self.workload.is_some() {
            return Err(Error::refused(Code::WrongState, "instance: is running"));
        }
        if self.state == State::Failed {
            return Err(Error::refused(
                Code::WrongState,
                "instance: its file system could not be made; close it",
            ));
        }
        if let Err(e) = self.machine.prepare(spec, &self.birth) {
            self.state = State::Failed;
            return Err(e);
        }
        let output = self.console.open()?;
        let pid = self.machine.start(spec, output)?;
        self.workload = Some(Workload { pid, kill_at: None, waiting: Vec::new() });
        self.state = State::Running;
        Ok(())
    }

    fn stop(&mut self, sequence: u64, grace_ms: u64) {
        let Some(workload) = &mut self.workload else {
            self.end_everything();
            return self.done(sequence);
        };
        let _ = kill_process(workload.pid, Signal::TERM);
        // The clock that only goes forward: nothing that is stored or compared with the server's time.
        workload.kill_at = Some(Instant::now() + Duration::from_millis(grace_ms.min(3_600_000)));
        workload.waiting.push(sequence);
    }

    /// Who asked for them is gone, and nobody could tell their ends from others'.
    fn end_execs(&mut self) {
        for pid in std::mem::take(&mut self.execs).into_keys().filter_map(Pid::from_raw) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        if let Some(workload) = &mut self.workload {
            workload.waiting.clear();
        }
    }

    fn end_everything(&mut self) {
        sys::kill_everyone(libc::SIGKILL);
        self.reap_all();
    }

    /// Takes in what has ended, without waiting.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if self.ended(pid, status) {
                // The program of the instance is gone; nothing of it goes on.
                self.end_everything();
            }
        }
    }

    /// Waits until every child has ended. They have all been killed.
    fn reap_all(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::empty()) {
            self.ended(pid, status);
        }
    }

    /// True when it was the workload.
    fn ended(&mut self, pid: Pid, status: WaitStatus) -> bool {
        let exit = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Exit::Status(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => return false,
        };
        if let Some(sequence) = self.execs.remove(&pid.as_raw_pid()) {
            self.say(&Said::ExecEnded { sequence, exit }, &[]);
        }
        if self.workload.as_ref().is_none_or(|w| w.pid != pid) {
            return false;
        }
        let waiting = self.workload.take().map(|w| w.waiting).unwrap_or_default();
        self.state = State::Stopped(exit);
        sys::kill_everyone(libc::SIGKILL);
        self.reap_all();
        self.console.finish();
        self.say(&Said::Exited { status: self.status(), exit }, &[]);
        for sequence in waiting {
            self.done(sequence);
        }
        true
    }

    fn status(&self) -> Status {
        Status {
            instance: self.birth.instance.clone(),
            layout: self.birth.layout,
            state: self.state,
            metadata: self.birth.metadata,
            sockets: self.sockets.names(),
            companion: self.companion.is_some(),
        }
    }

    fn done(&mut self, sequence: u64) {
        self.say(&Said::Done { sequence, status: self.status() }, &[]);
    }

    /// As `done`, with the descriptors.
    fn show(&mut self, sequence: u64) {
        let said = Said::Done { sequence, status: self.status() };
        let mut fds = self.sockets.fds();
        fds.extend(self.companion.as_ref().map(AsFd::as_fd));
        let sent = self.helper.as_ref().map(|h| h.send(&said, &fds));
        if matches!(sent, Some(Err(_))) {
            self.helper = None;
        }
    }

    fn say(&mut self, said: &Said, fds: &[BorrowedFd<'_>]) {
        let sent = self.helper.as_ref().map(|h| h.send(said, fds));
        if matches!(sent, Some(Err(_))) {
            self.helper = None;
        }
    }
}

fn until(at: Instant) -> Timespec {
    Timespec::try_from(at.saturating_duration_since(Instant::now())).unwrap_or_default()
}
