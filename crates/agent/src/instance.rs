//! An instance as the helper sees it: its first process, and the orders that wait for an answer.

use crate::error::{Error, Result, Step};
use crate::init::words::{Order, Said, Status, What};
use crate::init::{Birth, RANGE, bear};
use crate::layout::{Sockets, companion};
use crate::packet::Channel;
use crate::protocol::{InstanceId, Layout, Metadata, Report, State};
use crate::record::{Folder, Record, started};
use crate::task::PATIENCE;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid};
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::time::Duration;

/// Far above the ids of people, services and the containers of others.
const FIRST_ID: u32 = 0x7000_0000;
const SLOTS: u32 = 4096;
/// How long a first process has to answer a helper that was started anew.
const ADOPTED: Duration = Duration::from_secs(5);

pub struct Instance {
    pub id: InstanceId,
    pub init: Pid,
    pub slot: Option<u32>,
    pub status: Status,
    /// Nothing once the first process has ended.
    pub live: Option<Live>,
}

pub struct Live {
    pub channel: Channel,
    pub pidfd: OwnedFd,
    pub sockets: Sockets,
    companion: Option<OwnedFd>,
    sequence: u64,
    pub waiting: BTreeMap<u64, Waiting>,
}

/// Who waits for an order, and for what.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    pub client: u64,
    pub call: u64,
    pub then: Then,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Report,
    Sockets,
    Exec,
    Close,
}

impl Instance {
    /// Makes the namespaces and opens the sockets. Nothing of the workload runs yet.
    pub fn make(folder: &Folder, mut birth: Birth, slot: Option<u32>) -> Result<Instance> {
        birth.first_id = slot.map(|slot| FIRST_ID + slot * RANGE);
        let (control, console) = folder.prepare(&birth.instance)?;
        let born = bear(&birth, control, console)?;
        // Until it is told to stay, it ends when its channel does: nothing is left of what goes wrong from here on.
        let pidfd = pidfd_open(born.init, PidfdFlags::empty()).step("pidfd_open")?;
        let record = Record { init: born.init.as_raw_pid(), started: started(born.init)?, slot };
        let mut live = Live {
            channel: born.channel,
            pidfd,
            sockets: born.sockets,
            companion: None,
            sequence: first_order(),
            waiting: BTreeMap::new(),
        };
        let made = live.complete(&birth, born.network.as_fd()).and_then(|status| {
            folder.write(&birth.instance, &record)?;
            live.ask(What::Stay, &[])?;
            Ok(status)
        });
        match made {
            Ok(status) => {
                Ok(Instance { id: birth.instance, init: born.init, slot, status, live: Some(live) })
            }
            Err(e) => {
                let _ = pidfd_send_signal(&live.pidfd, Signal::KILL);
                reap(born.init);
                Err(e)
            }
        }
    }

    /// Finds an instance that an earlier helper made, with everything that its first process holds.
    pub fn adopt(folder: &Folder, id: &InstanceId, record: &Record) -> Result<Instance> {
        let (socket, pidfd) = folder.reach(id, record)?;
        let init = Pid::from_raw(record.init).ok_or_else(|| Error::Protocol("no pid".to_owned()))?;
        let channel = Channel::new(socket);
        let mut live = Live {
            channel,
            pidfd,
            sockets: Sockets::default(),
            companion: None,
            sequence: first_order(),
            waiting: BTreeMap::new(),
        };
        let (status, mut fds) = live.ask_within(What::Report, &[], ADOPTED)?;
        if status.instance != *id || status.sockets.len() + usize::from(status.companion) != fds.len() {
            return Err(Error::Protocol("it says that it is another one".to_owned()));
        }
        if status.companion {
            live.companion = fds.pop();
        }
        live.sockets = Sockets::of(status.sockets.clone(), fds);
        Ok(Instance { id: id.clone(), init, slot: record.slot, status, live: Some(live) })
    }

    /// One that was ended, because it could not be found again. It is there until it is closed.
    pub fn dead(id: &InstanceId, record: &Record) -> Result<Instance> {
        let init = Pid::from_raw(record.init).ok_or_else(|| Error::Protocol("no pid".to_owned()))?;
        let status = Status {
            instance: id.clone(),
            layout: Layout::Own,
            state: State::Failed,
            metadata: None,
            sockets: Vec::new(),
            companion: false,
        };
        Ok(Instance { id: id.clone(), init, slot: record.slot, status, live: None })
    }

    pub fn report(&self) -> Report {
        let mut notes = vec![
            "no egress: the instance reaches the metadata service and the services of the installation only"
                .to_owned(),
            "no name server: names are those of its hosts file".to_owned(),
        ];
        if self.status.layout == Layout::Own {
            notes.push("the hop limit has no effect in this layout".to_owned());
        }
        Report {
            instance: self.id.clone(),
            state: if self.live.is_some() { self.status.state } else { State::Failed },
            layout: self.status.layout,
            metadata: self.status.metadata,
            sockets: self.live.as_ref().map(|live| live.sockets.names()).unwrap_or_default(),
            init: self.init.as_raw_pid(),
            notes,
        }
    }

    /// The first process has ended, and with it all others of the instance. Who waited is given back.
    pub fn end(&mut self) -> Vec<Waiting> {
        reap(self.init);
        self.live.take().map(|live| live.waiting.into_values().collect()).unwrap_or_default()
    }
}

impl Live {
    /// In the companion layout, makes the companion and gives its sockets to the first process.
    fn complete(&mut self, birth: &Birth, network: BorrowedFd<'_>) -> Result<Status> {
        if birth.layout == Layout::Companion {
            let (sockets, companion) = companion::make(network, birth.metadata)?;
            self.hold(sockets, companion, birth.metadata)?;
        }
        Ok(self.ask(What::Report, &[])?.0)
    }

    fn hold(&mut self, sockets: Sockets, companion: OwnedFd, metadata: Option<Metadata>) -> Result<()> {
        let what = What::Hold { sockets: sockets.names(), metadata };
        let mut fds = sockets.fds();
        fds.push(companion.as_fd());
        self.ask(what, &fds)?;
        drop(fds);
        self.sockets = sockets;
        self.companion = Some(companion);
        Ok(())
    }

    /// Changes the sockets in the companion layout. The order that tells the first process is answered later.
    pub fn reopen_companion(&mut self, metadata: Option<Metadata>, waiting: Waiting) -> Result<()> {
        let companion = self.companion.take().ok_or_else(|| Error::Protocol("no companion".to_owned()))?;
        let mut held = Vec::new();
        for fd in self.sockets.fds() {
            held.push(fd.try_clone_to_owned().step("dup")?);
        }
        let changed = companion::reopen(companion.as_fd(), Sockets::of(self.sockets.names(), held), metadata);
        self.companion = Some(companion);
        let (sockets, companion) = changed?;
        self.sockets = sockets;
        let what = What::Hold { sockets: self.sockets.names(), metadata };
        let mut fds: Vec<OwnedFd> = Vec::new();
        for fd in self.sockets.fds() {
            fds.push(fd.try_clone_to_owned().step("dup")?);
        }
        fds.push(companion);
        self.order(what, &fds, waiting)
    }

    /// Sends an order whose answer comes later.
    pub fn order(&mut self, what: What, fds: &[OwnedFd], waiting: Waiting) -> Result<()> {
        let sequence = self.tell(what, &fds.iter().map(AsFd::as_fd).collect::<Vec<_>>())?;
        self.waiting.insert(sequence, waiting);
        Ok(())
    }

    /// Sends an order; whatever is answered is not waited for.
    pub fn tell(&mut self, what: What, fds: &[BorrowedFd<'_>]) -> Result<u64> {
        self.sequence += 1;
        self.channel.send(&Order { sequence: self.sequence, what }, fds)?;
        Ok(self.sequence)
    }

    /// Sends an order and waits for its answer; only while nothing else can be waiting.
    pub fn ask(&mut self, what: What, fds: &[BorrowedFd<'_>]) -> Result<(Status, Vec<OwnedFd>)> {
        self.ask_within(what, fds, PATIENCE)
    }

    fn ask_within(
        &mut self,
        what: What,
        fds: &[BorrowedFd<'_>],
        limit: Duration,
    ) -> Result<(Status, Vec<OwnedFd>)> {
        let wanted = self.tell(what, fds)?;
        loop {
            match self.channel.expect::<Said>(limit)? {
                (Said::Done { sequence, status }, fds) if sequence == wanted => return Ok((status, fds)),
                (Said::Refused { sequence, refusal }, _) if sequence == wanted => {
                    return Err(Error::Refused(refusal));
                }
                _ => {}
            }
        }
    }
}

/// Orders are numbered on from here: later than every number that an earlier helper gave.
fn first_order() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0).saturating_mul(1_000_000_000)
        + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// The smallest range of ids that no instance has.
pub fn free_slot<'a>(instances: impl Iterator<Item = &'a Instance>) -> Option<u32> {
    let taken: Vec<u32> = instances.filter_map(|i| i.slot).collect();
    (0..SLOTS).find(|slot| !taken.contains(slot))
}

/// First processes become children of the helper that is their nearest subreaper, or of the host's own first process.
fn reap(pid: Pid) {
    let _ = waitpid(Some(pid), WaitOptions::empty());
}
