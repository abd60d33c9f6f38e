//! `avouch`: the server, the helper of instances, the demo and the command line in one program.

mod demo;
mod dev;
mod isolated;
mod recover;
mod server;
mod story;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use zeroizing_alloc::ZeroAlloc;

/// Memory is wiped when it is given back, so that buffers of requests, answers and parsers, which no type of ours guards,
/// keep no payload or key for a later reader of the process's memory. The allocator below is chosen for speed: readers of
/// secrets share no lock in it.
#[global_allocator]
static MEMORY: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc);

/// What is not a client's command.
const SERVER: &[&str] = &["server", "dev", "demo", "recover", "agent"];

fn main() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    let asked = |args: &[OsString], n: usize, wanted: &[&str]| {
        args.get(n).and_then(|w| w.to_str()).is_some_and(|w| wanted.contains(&w))
    };
    if asked(&args, 1, &["help"]) && asked(&args, 2, SERVER) {
        args.remove(1);
        args.truncate(2);
        args.push("--help".into());
    }
    let word = args.get(1).and_then(|w| w.to_str()).unwrap_or_default().to_owned();
    if !SERVER.contains(&word.as_str()) {
        return avouch_cli::run(args);
    }
    args.remove(1);
    let done = match word.as_str() {
        "server" => server::main(server::Args::parse_from(args)),
        // Before anything makes a second thread: the helper forks.
        "agent" => avouch_agent::args::main(avouch_agent::args::Args::parse_from(args)).map_err(Into::into),
        "dev" => dev::main(dev::Args::parse_from(args)),
        "recover" => recover::main(recover::Args::parse_from(args)),
        _ => demo::main(demo::Args::parse_from(args)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("FAILED\n{e:#}");
            ExitCode::FAILURE
        }
    }
}
