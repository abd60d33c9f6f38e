//! A machine without a program of its own: at its first start it carries out the steps of its user data, then it waits to
//! be stopped. Runs confined like any other program of the workload.

use super::{command, confine};
use crate::error::{Error, Result, Step};
use crate::protocol::{BootFile, BootStep, Limits};
use crate::sys;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::process::Pid;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

pub fn start(steps: &[BootStep], env: &[(String, String)], output: OwnedFd, limits: Limits) -> Result<Pid> {
    sys::fork(|| match run(steps, env, &output, limits) {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("boot: {e}");
            1
        }
    })
}

fn run(steps: &[BootStep], env: &[(String, String)], output: &OwnedFd, limits: Limits) -> Result<()> {
    rustix::stdio::dup2_stdout(output).step("standard output")?;
    rustix::stdio::dup2_stderr(output).step("standard error")?;
    rustix::process::setsid().step("setsid")?;
    // Not `keep_nothing_over_exec` alone: this process itself goes on, and needs none of what it inherited.
    sys::close_all_but(&[]).step("close_range")?;
    confine::enter(limits).step("confine")?;
    for (number, step) in steps.iter().enumerate() {
        // As on a machine: what fails is told on the console, and the rest goes on.
        match carry_out(number, step, env) {
            Ok(0) => {}
            Ok(code) => eprintln!("boot: step {} ended with status {code}", number + 1),
            Err(e) => eprintln!("boot: step {}: {e}", number + 1),
        }
    }
    println!("boot: finished");
    let term = sys::signals(&[libc::SIGTERM]).step("signalfd")?;
    while sys::next_signal(&term).is_none() {
        let _ = poll(&mut [PollFd::new(&term, PollFlags::IN)], None);
    }
    Ok(())
}

fn carry_out(number: usize, step: &BootStep, env: &[(String, String)]) -> Result<i32> {
    match step {
        BootStep::Script(text) => {
            let path = format!("/run/user-data-{number}");
            let mut file =
                fs::File::options().write(true).create_new(true).mode(0o700).open(&path).step("write")?;
            file.write_all(text.as_bytes()).step("write")?;
            drop(file);
            status(&[path], env)
        }
        BootStep::Command(argv) => status(argv, env),
        BootStep::Shell(line) => status(&["/bin/sh".to_owned(), "-c".to_owned(), line.clone()], env),
        // Set before this process was started: it has no right to.
        BootStep::Hostname(_) => Ok(0),
        BootStep::File(file) => place(file).map(|()| 0),
    }
}

fn status(argv: &[String], env: &[(String, String)]) -> Result<i32> {
    let mut command = command(argv, env)?;
    command.stdin(std::process::Stdio::null());
    let status = command.status().step("start")?;
    Ok(status.code().unwrap_or(-1))
}

fn place(file: &BootFile) -> Result<()> {
    let content = BASE64_STANDARD
        .decode(&file.content)
        .map_err(|_| Error::refused(crate::error::Code::BadRequest, "write_files: content is not base64"))?;
    if let Some(folder) = Path::new(&file.path).parent() {
        fs::create_dir_all(folder).step("make the folder")?;
    }
    if !file.append {
        // A link to a file of the host is replaced, not followed.
        let _ = fs::remove_file(&file.path);
    }
    let mut open = fs::File::options();
    open.create(true)
        .append(true)
        .open(&file.path)
        .and_then(|mut f| f.write_all(&content))
        .step("write the file")?;
    fs::set_permissions(&file.path, fs::Permissions::from_mode(file.mode & 0o7777)).step("set the mode")
}
