//! The system calls that no safe wrapper offers. All `unsafe` of the program is in this file.
//!
//! The helper is single-threaded by rule ([`only_one_thread`]), so a forked child may go on running ordinary code: there
//! is no other thread whose lock it could have inherited.
#![allow(unsafe_code)]

use crate::error::{Error, Result, Step};
use rustix::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use rustix::process::Pid;
use rustix::thread::UnshareFlags;
use std::ffi::CStr;
use std::io;

/// Refuses to go on where a second thread runs: `fork` would leave its locks held for ever in the child.
pub fn only_one_thread() -> Result<()> {
    let tasks = std::fs::read_dir("/proc/self/task").step("read /proc/self/task")?.count();
    if tasks == 1 {
        Ok(())
    } else {
        Err(Error::Protocol("the helper must run in a process with one thread".to_owned()))
    }
}

/// Runs `work` in a child; its return value becomes the exit status. The caller gets the child's pid.
pub fn fork(work: impl FnOnce() -> i32) -> Result<Pid> {
    // SAFETY: the process has one thread (checked at start), so the child inherits no lock held by another thread.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(io::Error::last_os_error()).step("fork");
    }
    if pid == 0 {
        let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(101);
        // SAFETY: ends this process without running what the parent registered for its own end.
        unsafe { libc::_exit(code) }
    }
    Pid::from_raw(pid).ok_or_else(|| Error::Protocol("fork returned no pid".to_owned()))
}

/// As [`fork`], but both go on: the caller gets the child's pid, the child gets nothing.
pub fn fork_in_two() -> Result<Option<Pid>> {
    // SAFETY: as in `fork`.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(io::Error::last_os_error()).step("fork");
    }
    Ok(Pid::from_raw(pid))
}

/// New namespaces for this process. Never used with the flags that take the descriptor table or the working folder
/// apart, which is what makes the call unsafe in general.
pub fn unshare(flags: UnshareFlags) -> io::Result<()> {
    let flags = flags & !(UnshareFlags::FILES | UnshareFlags::FS);
    // SAFETY: FILES and FS are masked out above.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}

/// Closes every descriptor from 3 on but these. For children that never touch what their parent held: the values
/// that owned the closed descriptors stay in memory and are never used or dropped, for the child ends by `_exit`.
pub fn close_all_but(keep: &[RawFd]) -> io::Result<()> {
    let mut keep: Vec<u32> =
        keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).filter(|fd| *fd > 2).collect();
    keep.sort_unstable();
    let mut from = 3;
    for fd in keep {
        if fd > from {
            close_range(from, fd - 1, 0)?;
        }
        from = fd + 1;
    }
    close_range(from, u32::MAX, 0)
}

/// No descriptor from 3 on passes an `exec` of this process.
pub fn keep_nothing_over_exec() -> io::Result<()> {
    close_range(3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

fn close_range(first: u32, last: u32, flags: u32) -> io::Result<()> {
    // SAFETY: takes numbers only; which descriptors may be closed is the duty of the two callers above.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A descriptor that becomes readable when one of `signals` arrives; the signals are blocked from then on.
pub fn signals(signals: &[i32]) -> io::Result<OwnedFd> {
    // SAFETY: the set is a plain value that sigemptyset initialises before use; the descriptor is new and ours.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

/// The signal of the next record of a descriptor made by [`signals`], if there is one.
pub fn next_signal(fd: &OwnedFd) -> Option<u32> {
    let mut record = [0u8; size_of::<libc::signalfd_siginfo>()];
    match rustix::io::read(fd, &mut record[..]) {
        Ok(n) if n == record.len() => record.first_chunk::<4>().map(|b| u32::from_ne_bytes(*b)),
        _ => None,
    }
}

/// The signal mask and dispositions with which programs expect to be started.
pub fn default_signals() -> io::Result<()> {
    // SAFETY: plain values; SIG_DFL is a valid disposition for every signal named here.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        if libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Every process that this one may signal. For the first process of a process id namespace these are all others in it.
pub fn kill_everyone(signal: i32) {
    // SAFETY: takes numbers only. The caller is the first process of its own process id namespace, which bounds -1.
    unsafe {
        libc::kill(-1, signal);
    }
}

/// A process started from here leaves the session keyring of the one who started the helper.
pub fn leave_keyring() {
    // SAFETY: KEYCTL_JOIN_SESSION_KEYRING with no name; a kernel without keyrings answers with an error, which is as good.
    unsafe {
        libc::syscall(libc::SYS_keyctl, 1, std::ptr::null::<libc::c_char>());
    }
}

/// Makes a mount and all below it read-only, without set-user-id programs and without devices.
pub fn seal_mounts(path: &CStr) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: path and attributes live until the call returns, and the size is that of the attributes.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Runs `prepare` in the child between `fork` and `exec`.
pub fn before_exec(
    command: &mut std::process::Command,
    prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) {
    use std::os::unix::process::CommandExt;
    // SAFETY: the process has one thread, so what the closure allocates or locks is not held by anybody.
    unsafe {
        command.pre_exec(prepare);
    }
}

/// Raw numbers of descriptors that a child keeps.
pub fn numbers(fds: &[&dyn AsRawFd]) -> Vec<RawFd> {
    fds.iter().map(|fd| fd.as_raw_fd()).collect()
}

/// As many open files as this process may have at all: each instance takes some.
pub fn all_descriptors() -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

/// Kinds of sockets that a namespace holds. Others would reach the host, or the machine that it runs on.
const FAMILIES: [i32; 5] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK, libc::AF_PACKET];

/// Calls that no workload needs, and that have to do with the host as a whole.
const REFUSED: [libc::c_long; 8] = [
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    libc::SYS_open_by_handle_at,
    // Its rings make sockets that no filter sees.
    libc::SYS_io_uring_setup,
];

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;

/// From here on this process and all that it starts make sockets of [`FAMILIES`] only, none of the calls [`REFUSED`], and
/// no calls of another architecture, which would have other numbers. Wants no new privileges to be set.
pub fn refuse_calls() -> io::Result<()> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    // Places in `seccomp_data`: number, architecture, low half of the first argument.
    const NUMBER: u32 = 0;
    const ARCH: u32 = 4;
    const FIRST: u32 = 16;
    let step = |code: u16, jt: u8, jf: u8, k: u32| libc::sock_filter { code, jt, jf, k };
    let error = |e: i32| libc::SECCOMP_RET_ERRNO | e.unsigned_abs();
    let number = |call: libc::c_long| u32::try_from(call).unwrap_or(u32::MAX);
    let mut program = vec![
        step(LOAD, 0, 0, ARCH),
        step(EQUAL, 1, 0, ARCHITECTURE),
        step(RETURN, 0, 0, error(libc::ENOSYS)),
        step(LOAD, 0, 0, NUMBER),
        // The calls of x32.
        step(AT_LEAST, 0, 1, 0x4000_0000),
        step(RETURN, 0, 0, error(libc::ENOSYS)),
    ];
    for call in REFUSED {
        program.push(step(EQUAL, 0, 1, number(call)));
        program.push(step(RETURN, 0, 0, error(libc::EPERM)));
    }
    for call in [libc::SYS_socket, libc::SYS_socketpair] {
        // Over: load, two steps for each family, and the refusal.
        program.push(step(EQUAL, 0, 12, number(call)));
        program.push(step(LOAD, 0, 0, FIRST));
        for family in FAMILIES {
            program.push(step(EQUAL, 0, 1, family.unsigned_abs()));
            program.push(step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW));
        }
        program.push(step(RETURN, 0, 0, error(libc::EAFNOSUPPORT)));
    }
    program.push(step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW));
    let length = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let filter = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    // SAFETY: the program lives until the call returns; the kernel copies and checks it.
    let done =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter, 0, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
