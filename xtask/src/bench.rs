//! `cargo xtask bench`: the benchmark of the assembled server, in release mode. It prints each figure beside the
//! limit measured in the same run.

use crate::postgres::{self, Postgres};
use crate::runner::Runner;
use crate::workspace::{Workspace, cargo};
use anyhow::{Context, Result, bail};

const PACKAGE: &str = "avouch-server";
const EXAMPLE: &str = "bench";

pub fn run(arguments: &[&str]) -> Result<bool> {
    let workspace = Workspace::load()?;
    let there =
        workspace.package(PACKAGE).is_some_and(|package| package.examples.iter().any(|name| name == EXAMPLE));
    if !there {
        bail!("{PACKAGE} has no example {EXAMPLE}: there is nothing to measure yet");
    }
    let mut command = cargo();
    command.current_dir(&workspace.root);
    command.args(["run", "--release", "--locked", "--package", PACKAGE, "--example", EXAMPLE, "--"]);
    let runner = Runner::new(&workspace.target, true)?;
    let server = postgres::programs().is_some().then(|| Postgres::start(&runner, true)).transpose()?;
    if let Some(server) = &server {
        command.env("AVOUCH_TEST_POSTGRES", server.url());
    }
    Ok(command.args(arguments).status().context("cargo run")?.success())
}
