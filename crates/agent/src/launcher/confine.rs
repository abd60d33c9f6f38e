//! What a process of the workload may not do, set between `fork` and `exec`.
//!
//! It is root in its own user namespace with the capabilities that a container has by custom, and those of a machine's
//! own network. Without `CAP_SYS_ADMIN` it cannot unmount what hides files of the host, nor enter other namespaces; it
//! may make user namespaces of its own, where the kernel keeps those mounts locked.

use crate::protocol::Limits;
use crate::sys;
use rustix::process::{Resource, Rlimit, setrlimit, umask};
use rustix::thread::{
    CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};
use std::io;

const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::NET_ADMIN)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::AUDIT_WRITE)
    .union(CapabilitySet::SETFCAP);

pub fn enter(limits: Limits) -> io::Result<()> {
    umask(rustix::fs::Mode::from_raw_mode(0o022));
    for (resource, most) in [(Resource::Nofile, limits.open_files), (Resource::Nproc, limits.processes)] {
        // Never more than the helper itself has.
        let hard = rustix::process::getrlimit(resource).maximum;
        let most = hard.map_or(most, |hard| hard.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    for number in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if !KEPT.contains(one) {
            // The kernel knows fewer than 64.
            match remove_capability_from_bounding_set(one) {
                Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
    set_capabilities(
        None,
        CapabilitySets { effective: KEPT, permitted: KEPT, inheritable: CapabilitySet::empty() },
    )?;
    set_no_new_privs(true)?;
    sys::refuse_calls()?;
    sys::keep_nothing_over_exec()?;
    sys::default_signals()
}
