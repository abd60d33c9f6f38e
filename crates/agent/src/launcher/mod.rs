//! What runs in an instance. One launcher so far: processes in namespaces.

mod boot;
mod confine;
mod files;
mod mounts;

pub use files::check_name;

use crate::error::{Code, Error, Result, Step};
use crate::init::Birth;
use crate::protocol::{BootStep, Limits, Program, WorkloadSpec};
use crate::sys;
use rustix::fd::OwnedFd;
use rustix::process::Pid;
use std::path::Path;
use std::process::{Command, Stdio};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The file system of an instance, made at its first start and kept until it is closed, and what runs on it.
pub struct Machine {
    made: bool,
    booted: bool,
    limits: Limits,
    /// As user data named the machine at its first start.
    hostname: Option<String>,
}

impl Machine {
    pub fn new() -> Machine {
        Machine { made: false, booted: false, limits: Limits::default(), hostname: None }
    }

    /// The file system, the host name and the files that an instance finds at each start.
    pub fn prepare(&mut self, spec: &WorkloadSpec, birth: &Birth) -> Result<()> {
        self.limits = spec.limits;
        if self.made {
            mounts::renew(spec.limits.scratch_mb)?;
        } else {
            mounts::make(spec, &birth.hidden)?;
            self.made = true;
        }
        if let (Program::Boot(steps), false) = (&spec.program, self.booted) {
            self.hostname = steps.iter().find_map(|step| match step {
                BootStep::Hostname(name) => Some(name.clone()),
                _ => None,
            });
        }
        let hostname = self.hostname.as_ref().unwrap_or(&spec.hostname);
        files::write(hostname, &birth.service_hosts)?;
        rustix::system::sethostname(hostname.as_bytes()).step("set the host name")
    }

    pub fn start(&mut self, spec: &WorkloadSpec, output: OwnedFd) -> Result<Pid> {
        match &spec.program {
            Program::Argv(argv) => {
                let errors = output.try_clone().step("dup")?;
                self.spawn(argv, &spec.env, [Stdio::null(), output.into(), errors.into()])
            }
            Program::Boot(steps) => {
                let steps = if self.booted { &[] } else { steps.as_slice() };
                let pid = boot::start(steps, &spec.env, output, self.limits)?;
                self.booted = true;
                Ok(pid)
            }
        }
    }

    pub fn exec(&self, argv: &[String], env: &[(String, String)], stdio: [OwnedFd; 3]) -> Result<Pid> {
        if !self.made {
            return Err(Error::refused(Code::WrongState, "instance: was never started"));
        }
        self.spawn(argv, env, stdio.map(Stdio::from))
    }

    fn spawn(&self, argv: &[String], env: &[(String, String)], stdio: [Stdio; 3]) -> Result<Pid> {
        let mut command = command(argv, env)?;
        let [input, output, errors] = stdio;
        command.stdin(input).stdout(output).stderr(errors);
        let limits = self.limits;
        sys::before_exec(&mut command, move || {
            rustix::process::setsid()?;
            confine::enter(limits)
        });
        let child = command.spawn().map_err(|e| {
            // The name of the program is the caller's own and stays out of the message.
            Error::refused(Code::Program, format!("argv: cannot be started ({})", e.kind()))
        })?;
        pid(&child)
    }
}

fn pid(child: &std::process::Child) -> Result<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| Error::Protocol("no pid".to_owned()))
}

/// A program with the environment that every process of an instance has.
fn command(argv: &[String], env: &[(String, String)]) -> Result<Command> {
    let (program, rest) = argv
        .split_first()
        .ok_or_else(|| Error::refused(Code::BadRequest, "argv: wants the name of a program"))?;
    let mut command = Command::new(program);
    command.args(rest).env_clear();
    command
        .env("PATH", PATH)
        .env("HOME", "/root")
        .env("USER", "root")
        .env("LOGNAME", "root")
        .env("LANG", "C.UTF-8");
    command.envs(env.iter().map(|(name, value)| (name, value)));
    command.current_dir(if Path::new("/root").is_dir() { "/root" } else { "/" });
    Ok(command)
}
