//! `cargo xtask check`: what a reviewer should not have to look for.

use crate::arrows;
use crate::generate;
use crate::repository;
use crate::runner::{Count, Runner, Step};
use crate::workspace::{Workspace, cargo};
use anyhow::{Result, bail};
use std::process::{Command, Stdio};
use std::time::Duration;

pub fn run() -> Result<bool> {
    let workspace = Workspace::load()?;
    let mut runner = Runner::new(&workspace.target, false)?;
    runner.inline("repository", |_| none_of(repository::findings(&workspace)?));
    runner.inline("crate arrows", |_| none_of(arrows::findings(&workspace)?));
    runner.inline("dependency count", |_| none_of(arrows::too_many_dependencies(&workspace)?));
    runner.inline("generated files", |_| {
        none_of(
            generate::stale(false)?.into_iter().map(|file| format!("{file}: run cargo xtask gen")).collect(),
        )
    });

    let mut format = cargo();
    format.current_dir(&workspace.root).args(["fmt", "--all", "--check"]);
    runner.run(Step::new("format", 3, Count::Step, format));

    let mut clippy = workspace.cargo("clippy");
    clippy.args(["--all-targets", "--", "-D", "warnings"]);
    runner.run(Step::new("clippy", 30, Count::Step, clippy));

    if runner.inline("cargo-deny", install_cargo_deny).is_some() {
        let deny = |arguments: &[&str]| {
            let mut command = cargo();
            command.current_dir(&workspace.root).args(["deny", "--locked", "--log-level", "error"]);
            command.args(arguments);
            command
        };
        let tree = deny(&["check", "bans", "licenses", "sources"]);
        runner.run(Step::new("bans, licenses, sources", 5, Count::Step, tree));
        runner.inline("advisories", |_| advisories(deny(&["check", "advisories"])));
    }
    Ok(runner.finish())
}

fn none_of(findings: Vec<String>) -> Result<()> {
    if findings.is_empty() {
        return Ok(());
    }
    bail!("{} found:\n{}", findings.len(), findings.join("\n"))
}

fn install_cargo_deny(runner: &mut Runner) -> Result<()> {
    let there = cargo()
        .args(["deny", "--version"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if there.success() {
        return Ok(());
    }
    println!("installing cargo-deny (some minutes, once)");
    let mut install = cargo();
    install.args(["install", "--locked", "cargo-deny"]);
    runner.call(install, Duration::from_secs(1800))
}

/// A known vulnerability fails. A list of vulnerabilities that cannot be fetched is said aloud and does not fail:
/// it is no property of this tree.
fn advisories(mut command: Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return Ok(());
    }
    if text.contains("advisory database") && text.contains("fetch") {
        println!("NOT CHECKED: the advisory database could not be fetched here");
        return Ok(());
    }
    bail!("{}", text.trim())
}
