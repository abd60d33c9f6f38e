//! How the first process of an instance comes to be: user, network, mount, process id, IPC and host name namespaces of
//! its own, seen from outside as a child of nobody.

use super::Init;
use super::console::Console;
use super::words::{Said, Status};
use crate::error::{Error, Result, Step};
use crate::launcher::Machine;
use crate::layout::{Sockets, own};
use crate::packet::Channel;
use crate::protocol::{InstanceId, Layout, Metadata, State};
use crate::{sys, task};
use rustix::fd::{AsFd, OwnedFd};
use rustix::process::{DumpableBehavior, Pid, WaitOptions, geteuid, set_dumpable_behavior, setsid, waitpid};
use rustix::thread::{UnshareFlags, set_thread_gid, set_thread_groups, set_thread_uid};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// How many ids of the host one instance has, where the helper is root.
pub const RANGE: u32 = 65_536;

/// All that is known of an instance when it is made.
#[derive(Clone)]
pub struct Birth {
    pub instance: InstanceId,
    pub layout: Layout,
    pub metadata: Option<Metadata>,
    pub service_hosts: Vec<String>,
    /// Files and folders of the host that do not exist inside.
    pub hidden: Vec<PathBuf>,
    /// First id of the host that the instance's own ids stand for; without root, the helper's own user stands for root.
    pub first_id: Option<u32>,
}

/// A first process, ready for orders.
pub struct Born {
    pub init: Pid,
    pub channel: Channel,
    pub sockets: Sockets,
    pub network: OwnedFd,
}

#[derive(Serialize, Deserialize)]
enum Stage {
    /// In its user namespace, waiting for its ids.
    WantsIds,
    HasIds,
    /// The first process exists; its pid as the helper counts.
    Pid(i32),
    Failed(String),
}

/// `control` is bound and not yet listening; `console` takes the output of the workload.
pub fn bear(birth: &Birth, control: OwnedFd, console: File) -> Result<Born> {
    let (ours, theirs) = Channel::pair()?;
    let (steps, child_steps) = Channel::pair()?;
    let builder = sys::fork(|| {
        let keep = sys::numbers(&[&theirs.as_fd(), &child_steps.as_fd(), &control, &console]);
        match sys::close_all_but(&keep).step("close_range").and_then(|()| build(birth, &child_steps)) {
            Ok(Some(pid)) => i32::from(child_steps.send(&Stage::Pid(pid.as_raw_pid()), &[]).is_err()),
            // The first process itself.
            Ok(None) => {
                drop(child_steps);
                live(birth.clone(), theirs, control, console)
            }
            Err(e) => {
                let _ = child_steps.send(&Stage::Failed(e.to_string()), &[]);
                1
            }
        }
    })?;
    let born = attend(birth, builder, &steps, ours);
    // It ends once it has made the first process, or failed.
    if born.is_err() {
        let _ = rustix::process::kill_process(builder, rustix::process::Signal::KILL);
    }
    waitpid(Some(builder), WaitOptions::empty()).step("wait for a child")?;
    born
}

/// What the helper does meanwhile.
fn attend(birth: &Birth, builder: Pid, steps: &Channel, channel: Channel) -> Result<Born> {
    let mut init = None;
    while init.is_none() {
        match steps.expect::<Stage>(task::PATIENCE)?.0 {
            Stage::WantsIds => {
                let first = birth.first_id.ok_or_else(|| Error::Protocol("no ids to give".to_owned()))?;
                let map = format!("0 {first} {RANGE}");
                let folder = format!("/proc/{}", builder.as_raw_pid());
                write(&format!("{folder}/uid_map"), &map)?;
                write(&format!("{folder}/gid_map"), &map)?;
                steps.send(&Stage::HasIds, &[])?;
            }
            Stage::Pid(pid) => init = Pid::from_raw(pid),
            Stage::Failed(why) => return Err(Error::refused(crate::error::Code::Host, why)),
            Stage::HasIds => return Err(Error::Protocol("out of step".to_owned())),
        }
    }
    let init = init.ok_or_else(|| Error::Protocol("no pid".to_owned()))?;
    match channel.expect::<Said>(task::PATIENCE)? {
        (Said::Done { status: Status { sockets, .. }, .. }, mut fds) => {
            let network = fds.pop().ok_or_else(|| Error::Protocol("no network namespace".to_owned()))?;
            Ok(Born { init, channel, sockets: Sockets::of(sockets, fds), network })
        }
        (Said::Refused { refusal, .. }, _) => Err(Error::Refused(refusal)),
        _ => Err(Error::Protocol("out of step".to_owned())),
    }
}

/// In the builder. Returns the first process's pid, or nothing in the first process.
fn build(birth: &Birth, steps: &Channel) -> Result<Option<Pid>> {
    setsid().step("setsid")?;
    let (uid, gid) = (geteuid().as_raw(), rustix::process::getegid().as_raw());
    sys::unshare(UnshareFlags::NEWUSER).step("make a user namespace")?;
    if birth.first_id.is_some() {
        steps.send(&Stage::WantsIds, &[])?;
        if !matches!(steps.expect::<Stage>(task::PATIENCE)?.0, Stage::HasIds) {
            return Err(Error::Protocol("out of step".to_owned()));
        }
        set_thread_groups(&[]).step("leave the groups of the host")?;
    } else {
        write("/proc/self/setgroups", "deny")?;
        write("/proc/self/uid_map", &format!("0 {uid} 1"))?;
        write("/proc/self/gid_map", &format!("0 {gid} 1"))?;
    }
    set_thread_gid(rustix::process::Gid::ROOT).step("become the group root inside")?;
    set_thread_uid(rustix::process::Uid::ROOT).step("become root inside")?;
    let rest = UnshareFlags::NEWNET
        | UnshareFlags::NEWNS
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWPID;
    sys::unshare(rest).step("make network, mount, IPC, host name and process id namespaces")?;
    // The first child is the first process of the new process id namespace.
    sys::fork_in_two()
}

/// The life of the first process.
fn live(birth: Birth, helper: Channel, control: OwnedFd, console: File) -> i32 {
    let made = make(birth, &helper, control, console);
    match made {
        Ok(mut init) => {
            init.helper = Some(helper);
            i32::from(init.run().is_err())
        }
        Err(e) => {
            let _ = helper.send(&Said::Refused { sequence: 0, refusal: e.into_refusal() }, &[]);
            1
        }
    }
}

fn make(birth: Birth, helper: &Channel, control: OwnedFd, console: File) -> Result<Init> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).step("forbid tracing")?;
    // What it writes into the instance is for whoever runs there.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    setsid().step("setsid")?;
    sys::leave_keyring();
    let null = File::options().read(true).write(true).open("/dev/null").step("open /dev/null")?;
    rustix::stdio::dup2_stdin(&null).step("standard input")?;
    rustix::stdio::dup2_stdout(&null).step("standard output")?;
    rustix::stdio::dup2_stderr(&null).step("standard error")?;
    let signals = sys::signals(&[libc::SIGCHLD]).step("signalfd")?;
    // Who connects to the control socket sees the process that called `listen`: this one.
    rustix::net::listen(&control, 4).step("listen for the helper")?;
    let mut sockets = Sockets::default();
    if birth.layout == Layout::Own {
        own::prepare()?;
        sockets.open(birth.metadata)?;
    }
    let network = File::open("/proc/self/ns/net").step("open the network namespace")?;
    let init = Init {
        birth,
        control,
        helper: None,
        signals,
        console: Console::new(console),
        machine: Machine::new(),
        sockets,
        companion: None,
        state: State::Open,
        workload: None,
        execs: BTreeMap::new(),
        stays: false,
    };
    let mut fds = init.sockets.fds();
    fds.push(network.as_fd());
    helper.send(&Said::Done { sequence: 0, status: init.status() }, &fds)?;
    drop(fds);
    Ok(init)
}

fn write(path: &str, text: &str) -> Result<()> {
    std::fs::write(Path::new(path), text).step(format!("write {path}"))
}
