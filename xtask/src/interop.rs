//! `cargo xtask interop`: the published SDKs as clients of the built binary. Each suite is a folder of `interop/`,
//! started by `interop/run.sh NAME`, which finds the binary in `AVOUCH_BIN`.

use crate::packages;
use crate::runner::{Count, Runner, Step};
use crate::test::without_settings;
use crate::workspace::Workspace;
use anyhow::{Result, bail};
use std::process::Command;

pub const SUITES: [&str; 3] = ["node", "python", "kube"];

pub fn run(name: &str, verbose: bool) -> Result<bool> {
    let suites: Vec<&str> = SUITES.into_iter().filter(|suite| name == "all" || name == *suite).collect();
    if suites.is_empty() {
        bail!("no suite {name:?}: there are {} and all", SUITES.join(", "));
    }
    let workspace = Workspace::load()?;
    let mut runner = Runner::new(&workspace.target, verbose)?;
    runner.inline("packages", |runner| packages::install(runner, &workspace.target));
    let mut build = workspace.cargo("build");
    build.args(["--bin", "avouch"]);
    if runner.run(Step::new("build", 30, Count::Step, build)) {
        for suite in suites {
            step(&mut runner, &workspace, suite);
        }
    }
    Ok(runner.finish())
}

/// One suite as a step of a longer run.
pub fn step(runner: &mut Runner, workspace: &Workspace, suite: &str) {
    let mut command = Command::new("bash");
    without_settings(&mut command);
    command
        .arg("interop/run.sh")
        .arg(suite)
        .current_dir(&workspace.root)
        .env("AVOUCH_BIN", workspace.binary());
    // The first run of `kube` builds an API server from source.
    let minutes = if suite == "kube" { 30 } else { 15 };
    runner.run(Step::new(format!("interop {suite}"), minutes, Count::ClosingLine, command));
}
