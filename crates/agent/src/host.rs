//! What this host allows, found out by doing it once: an instance is made, its file system too, and all is closed again.

use crate::agent::Settings;
use crate::error::Result;
use crate::init::Birth;
use crate::init::words::What;
use crate::instance::Instance;
use crate::protocol::{
    Ability, HostReport, InstanceId, Launcher, Layout, Limits, Metadata, Program, Protocol, VERSION,
    WorkloadSpec,
};
use crate::record::Folder;
use rustix::process::{Signal, geteuid, pidfd_send_signal};
use std::fs;

/// Never the id of an instance: those of the service hold digits and dashes.
const REHEARSAL: &str = "_rehearsal";

pub fn report(settings: &Settings, folder: &Folder) -> HostReport {
    let root = geteuid().is_root();
    let mut launcher = None;
    let mut layouts = Vec::new();
    for what in [Layout::Companion, Layout::Own] {
        let why_not = if what == Layout::Companion && !root {
            Some("the helper does not run as root".to_owned())
        } else {
            match rehearse(settings, folder, what) {
                Ok(started) => {
                    launcher.get_or_insert(started);
                    None
                }
                Err(e) => Some(explain(&e.to_string(), root)),
            }
        };
        layouts.push(Ability { what, why_not });
    }
    let able = |layout: &Layout| layouts.iter().any(|a| a.what == *layout && a.why_not.is_none());
    let layout = settings.layout.into_iter().chain([Layout::Companion, Layout::Own]).find(able);
    let layout = if settings.layout.is_some_and(|wanted| Some(wanted) != layout) { None } else { layout };
    let why_not = match launcher {
        Some(Ok(())) => None,
        Some(Err(why)) => Some(why),
        None => Some("no layout is possible".to_owned()),
    };
    let launchers = vec![Ability { what: Launcher::Process, why_not }];
    HostReport { version: VERSION, uid: geteuid().as_raw(), layout, layouts, launchers }
}

/// Whether an instance can be made, and within it, whether a process can be started.
fn rehearse(settings: &Settings, folder: &Folder, layout: Layout) -> Result<std::result::Result<(), String>> {
    let id = InstanceId::new(REHEARSAL)?;
    let birth = Birth {
        instance: id.clone(),
        layout,
        metadata: Some(Metadata { protocol: Protocol::Http, hop_limit: 1 }),
        service_hosts: Vec::new(),
        hidden: settings.hidden.clone(),
        first_id: None,
    };
    let slot = geteuid().is_root().then_some(4095);
    let made = Instance::make(folder, birth, slot);
    let result = made.map(|mut instance| {
        let workload = WorkloadSpec {
            program: Program::Boot(Vec::new()),
            hostname: "rehearsal".to_owned(),
            env: Vec::new(),
            root: None,
            limits: Limits::default(),
        };
        let started = match &mut instance.live {
            Some(live) => live.ask(What::Start(workload), &[]).map(|_| ()).map_err(|e| e.to_string()),
            None => Err("it ended at once".to_owned()),
        };
        if let Some(live) = &instance.live {
            let _ = pidfd_send_signal(&live.pidfd, Signal::KILL);
        }
        instance.end();
        started
    });
    let _ = fs::remove_dir_all(folder.of(&id));
    result
}

/// The error with the kernel settings that are known to cause it.
fn explain(error: &str, root: bool) -> String {
    let value =
        |name: &str| fs::read_to_string(format!("/proc/sys/{name}")).map(|v| v.trim().to_owned()).ok();
    let mut causes = Vec::new();
    for name in ["user", "net", "mnt", "pid", "ipc", "uts"] {
        if value(&format!("user/max_{name}_namespaces")).as_deref() == Some("0") {
            causes.push(format!("user.max_{name}_namespaces is 0"));
        }
    }
    if !root {
        if value("kernel/unprivileged_userns_clone").as_deref() == Some("0") {
            causes.push("kernel.unprivileged_userns_clone is 0".to_owned());
        }
        if value("kernel/apparmor_restrict_unprivileged_userns").as_deref() == Some("1") {
            causes.push("kernel.apparmor_restrict_unprivileged_userns is 1".to_owned());
        }
    }
    if causes.is_empty() { error.to_owned() } else { format!("{error}; {}", causes.join(", ")) }
}
