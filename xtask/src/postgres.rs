//! A private PostgreSQL server: made with `initdb` in the temporary folder of the run, on a free loopback port,
//! with a password of its own, and gone at the end. PostgreSQL refuses to run as root, so root hands it to another
//! user.

use crate::process::{self, find_program, is_executable, user_id};
use crate::runner::{Runner, tail};
use anyhow::{Context, Result, bail};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct Postgres {
    child: Child,
    cleanup: process::Cleanup,
    url: String,
}

pub struct Programs {
    initdb: PathBuf,
    postgres: PathBuf,
}

/// `initdb` and `postgres`, from `PATH` or from where Debian puts them (newest version first).
pub fn programs() -> Option<Programs> {
    let mut folders: Vec<PathBuf> = Vec::new();
    if let Some(initdb) = find_program("initdb").and_then(|file| file.canonicalize().ok()) {
        folders.extend(initdb.parent().map(Path::to_owned));
    }
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort();
    folders.extend(versions.into_iter().rev().map(|(_, folder)| folder));
    folders.into_iter().find_map(|folder| {
        let found = Programs { initdb: folder.join("initdb"), postgres: folder.join("postgres") };
        (is_executable(&found.initdb) && is_executable(&found.postgres)).then_some(found)
    })
}

impl Postgres {
    /// Starts one in a temporary folder. `durable`: it waits for the disk, as when it is measured. Tests do without: a
    /// database is made for each of them, and what they kill is never the machine.
    pub fn start(runner: &Runner, durable: bool) -> Result<Postgres> {
        let programs = programs().context("PostgreSQL is missing: install the package postgresql")?;
        let owner = Owner::choose()?;
        let home = runner.temporary().join("postgres");
        std::fs::DirBuilder::new().mode(0o700).create(&home)?;
        let data = home.join("data");
        let password = random_hex()?;
        let password_file = home.join("password");
        write_private(&password_file, &password)?;
        owner.give(&home)?;
        owner.give(&password_file)?;

        let mut initdb = owner.command(&programs.initdb, &home);
        initdb.arg("-D").arg(&data).args([
            "-U",
            "avouch",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
        ]);
        initdb.arg("--no-sync").arg("--pwfile").arg(&password_file);
        runner.call(initdb, Duration::from_secs(120))?;
        std::fs::remove_file(&password_file)?;

        let log = runner.temporary().join("postgres.log");
        for _ in 0..5 {
            let port = free_port()?;
            let mut server = owner.command(&programs.postgres, &home);
            server.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-k", "", "-p", &port.to_string()]);
            for setting in [
                "max_connections=400",
                "max_pred_locks_per_transaction=256",
                "shared_buffers=256MB",
                "max_wal_size=4GB",
                "log_min_messages=warning",
                "log_min_error_statement=panic",
            ] {
                server.args(["-c", setting]);
            }
            if !durable {
                server.args(["-c", "fsync=off", "-c", "full_page_writes=off"]);
            }
            let file = std::fs::File::create(&log)?;
            server.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
            let mut child = server.spawn().context("postgres")?;
            runner.cleanup.add_group(child.id());
            if ready(&mut child, &data)? {
                let url = format!("postgres://avouch:{password}@127.0.0.1:{port}/postgres");
                return Ok(Postgres { child, cleanup: runner.cleanup.clone(), url });
            }
            process::kill_group(child.id());
            child.wait()?;
            runner.cleanup.forget_group(child.id());
        }
        bail!("PostgreSQL did not start:\n{}", tail(&log, 20));
    }

    /// Of a user who may create databases.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGINT is its fast shutdown: no waiting for clients.
        process::signal("INT", &self.child.id().to_string());
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(10) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        process::kill_group(self.child.id());
        if let Err(error) = self.child.wait() {
            eprintln!("PostgreSQL: {error}");
        }
        self.cleanup.forget_group(self.child.id());
    }
}

/// True when the server takes connections; false when it ended, most likely because somebody took the port.
fn ready(child: &mut Child, data: &Path) -> Result<bool> {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(60) {
        if child.try_wait()?.is_some() {
            return Ok(false);
        }
        // The eighth line of this file is its state.
        let state = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
        if state.lines().nth(7).is_some_and(|line| line.trim() == "ready") {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(false)
}

/// Who runs the server: this user, or for root another one.
struct Owner {
    other: Option<(u32, u32)>,
    setpriv: Option<PathBuf>,
}

impl Owner {
    fn choose() -> Result<Owner> {
        let setpriv = find_program("setpriv");
        if user_id() != Some(0) {
            return Ok(Owner { other: None, setpriv });
        }
        if setpriv.is_none() {
            bail!("setpriv is missing: install the package util-linux");
        }
        for name in ["postgres", "nobody"] {
            if let (Some(user), Some(group)) = (id("-u", name), id("-g", name)) {
                return Ok(Owner { other: Some((user, group)), setpriv });
            }
        }
        bail!("PostgreSQL does not run as root, and there is no user postgres or nobody")
    }

    fn give(&self, path: &Path) -> Result<()> {
        let Some((user, group)) = self.other else { return Ok(()) };
        chown(path, Some(user), Some(group)).with_context(|| path.display().to_string())
    }

    fn command(&self, program: &Path, folder: &Path) -> Command {
        let mut command = match &self.setpriv {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                if let Some((user, group)) = self.other {
                    command
                        .arg(format!("--reuid={user}"))
                        .arg(format!("--regid={group}"))
                        .arg("--clear-groups");
                }
                // Ends the server also when this program is killed without a chance to clean up.
                command.args(["--pdeathsig=INT", "--"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        // Nothing of the caller's PostgreSQL settings may reach the private server.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        command.current_dir(folder).env("LC_ALL", "C");
        command
    }
}

fn id(flag: &str, user: &str) -> Option<u32> {
    let output = Command::new("id").args([flag, user]).stdin(Stdio::null()).output().ok()?;
    if !output.status.success() {
        return None;
    }
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn random_hex() -> Result<String> {
    let mut bytes = [0_u8; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn write_private(file: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    let mut handle = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    Ok(handle.write_all(text.as_bytes())?)
}
