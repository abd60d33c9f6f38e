//! Ending child processes: by process group, and by a mark in their environment for those that left the group.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Set in the environment of every step, with the id of the run, so that what a step leaves behind is found.
pub const MARK: &str = "AVOUCH_XTASK_RUN";

/// What must be ended and removed however this program ends.
#[derive(Clone, Default)]
pub struct Cleanup(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    groups: Vec<u32>,
    folders: Vec<std::path::PathBuf>,
    marks: Vec<String>,
}

impl Cleanup {
    pub fn add_group(&self, group: u32) {
        self.kept().groups.push(group);
    }

    pub fn forget_group(&self, group: u32) {
        self.kept().groups.retain(|known| *known != group);
    }

    pub fn add_folder(&self, folder: &Path) {
        self.kept().folders.push(folder.to_owned());
    }

    pub fn add_mark(&self, mark: &str) {
        self.kept().marks.push(mark.to_owned());
    }

    /// Ends every child and removes every temporary folder.
    pub fn run(&self) {
        let mut kept = self.kept();
        for group in kept.groups.drain(..) {
            kill_group(group);
        }
        for mark in kept.marks.drain(..) {
            kill_marked(&mark);
        }
        for folder in kept.folders.drain(..) {
            // A killed process may still be writing for a moment: try a second time.
            if std::fs::remove_dir_all(&folder).is_err() {
                std::thread::sleep(std::time::Duration::from_millis(300));
                if let Err(error) = std::fs::remove_dir_all(&folder)
                    && folder.exists()
                {
                    eprintln!("cannot remove {}: {error}", folder.display());
                }
            }
        }
    }

    /// On Ctrl-C and the like: clean up, then end with the usual exit code.
    pub fn on_signals(&self) -> anyhow::Result<()> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM])?;
        let cleanup = self.clone();
        std::thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                eprintln!("\nstopped by signal {signal}: cleaning up");
                cleanup.run();
                std::process::exit(128 + signal);
            }
        });
        Ok(())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Kills every process of a group at once. A group that is gone is no error.
pub fn kill_group(group: u32) {
    signal("KILL", &format!("-{group}"));
}

/// Sends a signal (by its name) to a process, or with a leading `-` to a group.
pub fn signal(name: &str, target: &str) {
    let sent = Command::new("sh")
        .args(["-c", "kill -s \"$1\" -- \"$2\"", "kill", name, target])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if let Err(error) = sent {
        eprintln!("cannot signal {target}: {error}");
    }
}

/// Kills the processes that carry `AVOUCH_XTASK_RUN=mark` in their environment, and tells how many there were.
pub fn kill_marked(mark: &str) -> usize {
    let wanted = format!("{MARK}={mark}");
    let mut killed = 0;
    let Ok(entries) = std::fs::read_dir("/proc") else { return 0 };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if pid == std::process::id() {
            continue;
        }
        let Ok(environment) = std::fs::read(entry.path().join("environ")) else { continue };
        if environment.split(|byte| *byte == 0).any(|line| line == wanted.as_bytes()) {
            signal("KILL", &pid.to_string());
            killed += 1;
        }
    }
    killed
}

/// The first of these programs that is in `PATH`.
pub fn find_program(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| is_executable(file))
}

pub fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The user id that this program runs as.
pub fn user_id() -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").ok().map(|meta| meta.uid())
}
