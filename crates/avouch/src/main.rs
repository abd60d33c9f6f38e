//! `avouch`: the server, the demo and the command line in one program.

mod demo;
mod dev;
mod server;
mod story;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().collect();
    let word = args.get(1).cloned().unwrap_or_default();
    let run = match word.as_str() {
        "server" | "demo" | "dev" => {
            args.remove(1);
            match word.as_str() {
                "server" => server::main(server::Args::parse_from(args)),
                "demo" => demo::main(demo::Args::parse_from(args)),
                _ => dev::main(dev::Args::parse_from(args)),
            }
        }
        _ => { eprintln!("no cli yet"); return ExitCode::from(2) }
    };
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("FAILED\n{e:#}");
            ExitCode::FAILURE
        }
    }
}
