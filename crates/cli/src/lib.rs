//! The command line: a thin client of the public HTTP interfaces, in the published grammar, so that a shell alias runs
//! published scripts. It holds no rule of its own about access: every decision is the server's, and every command could
//! be replaced by `curl`. It refuses to follow redirects, to ask questions without a terminal, and to print secrets
//! into traces.

// The names of the commands are made from the names of their variants.
#![allow(clippy::enum_variant_names)]

mod api;
mod args;
mod audit;
mod completion;
mod core;
mod failure;
mod iam;
mod input;
mod is;
mod ks;
mod output;
mod resource;
mod select;
mod session;
mod sm;
mod state;
mod trace;
mod unbroken;

use std::ffi::OsString;
use std::process::ExitCode;

use args::{Family, Root};
use failure::{Failure, Result, failed, usage};
use output::{Format, Out};
use session::Session;
use state::State;

/// Runs a line; the first word is the program. Exit code 0, 1 (refused or failed) or 2 (not understood).
pub fn run(line: impl IntoIterator<Item = impl Into<OsString>>) -> ExitCode {
    let root = match args::parse(line.into_iter().map(Into::into).collect()) {
        Ok(root) => root,
        Err(answer) => {
            if answer.code == 0 {
                let _ = output::print(&answer.text);
            } else {
                output::say(&answer.text);
            }
            return ExitCode::from(answer.code);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(dispatch(root)),
        Err(e) => Err(failed(format!("No runtime: {e}."))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Cancelled) => {
            output::say("Cancelled\n");
            ExitCode::SUCCESS
        }
        Err(Failure::Ended(status)) => ExitCode::from(status),
        Err(e) => {
            let usage = matches!(e, Failure::Usage(_));
            let title = if usage { "Incorrect Usage" } else { "FAILED" };
            output::say(&format!("{title}\n{}\n", output::printable_lines(&e.text())));
            ExitCode::from(if usage { 2 } else { 1 })
        }
    }
}

async fn dispatch(root: Root) -> Result<()> {
    let Root { global, command } = root;
    if let Family::Completion(args) = &command {
        return completion::run(args);
    }
    let format = global.output.unwrap_or(Format::Table);
    let yaml_allowed = matches!(command, Family::SecretsManager(_) | Family::Ks { .. });
    if format == Format::Yaml && !yaml_allowed {
        return Err(usage("--output: only 'json' is supported here."));
    }
    let out = Out { format, quiet: global.quiet, user: String::new() };
    if let Family::Core(core::Command::Version) = command {
        return core::settings::version(&out);
    }
    let mut session = Session { out, state: State::open(&state::home()?)?, force: false };
    let s = &mut session;
    s.out.user = s.claims().user;
    match command {
        Family::Core(command) => core::run(s, command).await,
        Family::Account { command } => core::account::run(s, command).await,
        Family::Iam { force, command } => {
            s.force = force.force;
            iam::run(s, command).await
        }
        Family::Resource { force, command } => {
            s.force = force.force;
            resource::run(s, command).await
        }
        Family::Ks { force, command } => {
            s.force = force.force;
            ks::run(s, command).await
        }
        Family::Is { force, command } => {
            s.force = force.force;
            is::run(s, command).await
        }
        Family::SecretsManager(family) => sm::run(s, family).await,
        Family::Audit(family) => audit::run(s, family).await,
        Family::Completion(args) => completion::run(&args),
    }
}
