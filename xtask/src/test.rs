//! `cargo xtask test`: everything that must hold, in one command, from a clean clone.

use crate::interop;
use crate::packages;
use crate::postgres::Postgres;
use crate::runner::{Count, Runner, Step};
use crate::workspace::Workspace;
use anyhow::Result;
use std::process::Command;

/// Build, Rust tests on both engines, published SDKs, demo. Returns whether all of it passed.
pub fn full(verbose: bool) -> Result<bool> {
    let workspace = Workspace::load()?;
    let mut runner = Runner::new(&workspace.target, verbose)?;
    runner.inline("packages", |runner| packages::install(runner, &workspace.target));

    let mut build = workspace.cargo("build");
    build.arg("--all-targets");
    if !runner.run(Step::new("build", 30, Count::Step, build)) {
        for name in ["tests on SQLite", "tests on PostgreSQL", "interop", "demo"] {
            runner.not_run(name, "the build failed");
        }
        return Ok(runner.finish());
    }
    runner.run(Step::new("tests on SQLite", 15, Count::CargoTest, rust_tests(&workspace)));

    match runner.inline("PostgreSQL server", |runner| Postgres::start(runner, false)) {
        Some(server) => {
            let mut tests = rust_tests(&workspace);
            tests.env("AVOUCH_TEST_POSTGRES", server.url()).env("AVOUCH_TEST_ENGINE", "postgres");
            // The examples in the documentation use no store: once is enough.
            tests.args(["--lib", "--bins", "--tests", "--examples"]);
            runner.run(Step::new("tests on PostgreSQL", 20, Count::CargoTest, tests));
        }
        None => runner.not_run("tests on PostgreSQL", "no server"),
    }
    for suite in interop::SUITES {
        interop::step(&mut runner, &workspace, suite);
    }
    let mut demo = Command::new(workspace.binary());
    demo.arg("demo").current_dir(runner.temporary()).env("HOME", runner.home());
    without_settings(&mut demo);
    runner.run(Step::new("demo", 3, Count::Step, demo));
    Ok(runner.finish())
}

/// Only the Rust tests, on SQLite.
pub fn quick(verbose: bool) -> Result<bool> {
    let workspace = Workspace::load()?;
    let mut runner = Runner::new(&workspace.target, verbose)?;
    runner.run(Step::new("tests on SQLite", 45, Count::CargoTest, rust_tests(&workspace)));
    Ok(runner.finish())
}

fn rust_tests(workspace: &Workspace) -> Command {
    let mut command = workspace.cargo("test");
    command.arg("--no-fail-fast");
    without_settings(&mut command);
    // A snapshot that differs is a failure, never a new file in the tree.
    command.env("INSTA_UPDATE", "no").env_remove("INSTA_FORCE_PASS");
    command
}

/// Settings in the caller's environment must not change what is tested.
pub fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["AVOUCH_", "IBMCLOUD_", "SECRETS_MANAGER_"].iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    // What this host cannot do is to be told, not to be left out in silence.
    command.env("AVOUCH_REQUIRE_NAMESPACES", "1");
}
