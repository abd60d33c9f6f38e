//! The helper's folder: for each instance a small record of its first process, the socket to it, and its console. A new
//! helper finds the instances of an earlier one here. Only one helper at a time has the folder.

use crate::error::{Error, Result, Step};
use crate::protocol::InstanceId;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, socket_with, sockopt,
};
use rustix::process::{Pid, PidfdFlags, geteuid, pidfd_open};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub struct Folder {
    path: PathBuf,
    _lock: File,
}

/// Which process is the first of an instance. A pid alone would come round again; with its start time it does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub init: i32,
    pub started: u64,
    /// The range of ids, where the helper was root.
    pub slot: Option<u32>,
}

impl Folder {
    pub fn open(path: &Path) -> Result<Folder> {
        private_folder(path)?;
        let path = path.canonicalize().step("state folder")?;
        private_folder(&path.join("instances"))?;
        let lock =
            File::options().write(true).create(true).truncate(false).mode(0o600).open(path.join("lock"));
        let lock = lock.step("state folder: lock")?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Folder { path, _lock: lock }),
            Err(Errno::WOULDBLOCK) => Err(Error::Protocol("state folder: another helper has it".to_owned())),
            Err(e) => Err(e).step("state folder: lock"),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn of(&self, instance: &InstanceId) -> PathBuf {
        self.path.join("instances").join(instance.as_str())
    }

    /// Instances that were opened and not closed.
    pub fn instances(&self) -> Result<Vec<InstanceId>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.path.join("instances")).step("state folder")?.flatten() {
            let id = entry.file_name().to_str().and_then(|name| InstanceId::new(name).ok());
            if let Some(id) = id.filter(|id| !self.is_closed(id)) {
                found.push(id);
            }
        }
        found.sort();
        Ok(found)
    }

    pub fn is_closed(&self, instance: &InstanceId) -> bool {
        self.of(instance).join("closed").exists()
    }

    /// The id is never used again; of the instance nothing else stays.
    pub fn close(&self, instance: &InstanceId) -> Result<()> {
        let folder = self.of(instance);
        fs::write(folder.join("closed"), "").step("close the record")?;
        for name in ["record", "control", "console.log"] {
            remove(&folder.join(name))?;
        }
        Ok(())
    }

    /// A bound socket for the first process and the file of its console, for an instance that is about to be made.
    pub fn prepare(&self, instance: &InstanceId) -> Result<(OwnedFd, File)> {
        let folder = self.of(instance);
        private_folder(&folder)?;
        let control = folder.join("control");
        remove(&control)?;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .step("socket")?;
        bind(&socket, &near(&folder, "control")?.1).step("bind the control socket")?;
        let console =
            File::options().append(true).read(true).create(true).mode(0o600).open(folder.join("console.log"));
        Ok((socket, console.step("open the console")?))
    }

    pub fn write(&self, instance: &InstanceId, record: &Record) -> Result<()> {
        let folder = self.of(instance);
        let text = serde_json::to_vec(record).map_err(|e| Error::Protocol(e.to_string()))?;
        let (new, path) = (folder.join("record.new"), folder.join("record"));
        fs::write(&new, text).and_then(|()| fs::rename(&new, &path)).step("write the record")
    }

    pub fn read(&self, instance: &InstanceId) -> Result<Record> {
        let text = fs::read(self.of(instance).join("record")).step("read the record")?;
        serde_json::from_slice(&text).map_err(|_| Error::Protocol("record: cannot be read".to_owned()))
    }

    /// The first process of an instance, if it is still there.
    pub fn alive(&self, record: &Record) -> Result<Option<OwnedFd>> {
        let Some(pid) = Pid::from_raw(record.init) else { return Ok(None) };
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(Errno::SRCH) => return Ok(None),
            Err(e) => return Err(e).step("pidfd_open"),
        };
        // After the pidfd: if the start time is right now, the pidfd is of the right process.
        Ok(started(pid).is_ok_and(|at| at == record.started).then_some(pidfd))
    }

    /// A connection to the first process of an instance that an earlier helper made, if it is still that process.
    pub fn reach(&self, instance: &InstanceId, record: &Record) -> Result<(OwnedFd, OwnedFd)> {
        let gone = || Error::Protocol("its first process has ended".to_owned());
        let pid = Pid::from_raw(record.init).ok_or_else(gone)?;
        let pidfd = self.alive(record)?.ok_or_else(gone)?;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .step("socket")?;
        connect(&socket, &near(&self.of(instance), "control")?.1).step("connect to the first process")?;
        let listening = sockopt::socket_peercred(&socket).step("peer credentials")?.pid;
        if listening != pid {
            return Err(Error::Protocol("another process answers in its place".to_owned()));
        }
        Ok((socket, pidfd))
    }
}

/// When a process was started, in the kernel's ticks since boot.
pub fn started(pid: Pid) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).step("read the start time")?;
    // The second field is a name in brackets and may hold anything.
    let rest = text.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let field = rest.split_whitespace().nth(19).and_then(|f| f.parse().ok());
    field.ok_or_else(|| Error::Protocol("no start time".to_owned()))
}

/// A folder that only this user writes in; one that is made is private.
pub fn private_folder(path: &Path) -> Result<()> {
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            return Err(e).step(format!("make {}", path.display()));
        }
        _ => {}
    }
    let found = fs::metadata(path).step(format!("look at {}", path.display()))?;
    if found.uid() != geteuid().as_raw() || found.mode() & 0o022 != 0 {
        let why = format!("{} must be the helper's own, and nobody else may write in it", path.display());
        return Err(Error::Protocol(why));
    }
    Ok(())
}

/// The address of a socket in `folder`, however long the folder's own name is. Valid while the folder is open.
pub fn near(folder: &Path, name: &str) -> Result<(File, SocketAddrUnix)> {
    let folder = File::open(folder).step("open the folder")?;
    let short = format!("/proc/self/fd/{}/{name}", folder.as_raw_fd());
    let address = SocketAddrUnix::new(short).step("socket path")?;
    Ok((folder, address))
}

pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e).step(format!("remove {}", path.display())),
        _ => Ok(()),
    }
}
