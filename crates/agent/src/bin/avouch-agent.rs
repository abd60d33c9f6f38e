//! The helper without the rest of the program.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match avouch_agent::args::main(avouch_agent::args::Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("FAILED\n{e}");
            ExitCode::FAILURE
        }
    }
}
