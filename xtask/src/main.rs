//! `cargo xtask`: the commands of this repository for people and for continuous integration.
//!
//! It builds, tests, checks and measures; it is no part of the product and no crate depends on it.

// There is no request here, so nothing has a `Ctx` to take the time from.
#![allow(clippy::disallowed_methods)]

mod arrows;
mod bench;
mod check;
mod fuzz;
mod generate;
mod interop;
mod packages;
mod postgres;
mod process;
mod repository;
mod runner;
mod test;
mod workspace;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask COMMAND

  test                  everything: build, tests on SQLite and on PostgreSQL, published SDKs, demo
  test --quick          only the Rust tests, on SQLite
  check                 format, clippy, dependencies, and the rules of the repository
  bench [ARGS]          the benchmark, in release mode; ARGS go to it
  fuzz NAME [SECONDS]   libFuzzer on one target of fuzz/ (a minute); needs a nightly compiler and cargo-fuzz
  interop [NAME]        published SDKs against the built binary: node, python, kube or all (default)
  gen [--check]         writes the generated files; --check only tells whether they are fresh

  --verbose             shows each passed test too (test, interop)
";

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let verbose = take(&mut arguments, "--verbose");
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["test"] => test::full(verbose),
        ["test", "--quick"] => test::quick(verbose),
        ["check"] => check::run(),
        ["bench", rest @ ..] => bench::run(rest),
        ["fuzz", name] => fuzz::run(name, "60"),
        ["fuzz", name, seconds] => fuzz::run(name, seconds),
        ["interop"] => interop::run("all", verbose),
        ["interop", name] => interop::run(name, verbose),
        ["gen"] => generate::run(false),
        ["gen", "--check"] => generate::run(true),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn take(arguments: &mut Vec<String>, flag: &str) -> bool {
    let before = arguments.len();
    arguments.retain(|argument| argument != flag);
    arguments.len() != before
}
