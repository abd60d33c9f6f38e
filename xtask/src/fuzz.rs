//! `cargo xtask fuzz`: one fuzz target under libFuzzer. What it finds stays in `fuzz/corpus`, which the tests replay.

use std::process::Command;

use crate::workspace::Workspace;
use anyhow::{Context, Result};

pub fn run(name: &str, seconds: &str) -> Result<bool> {
    let workspace = Workspace::load()?;
    let mut command = Command::new("cargo");
    command.current_dir(&workspace.root);
    // No address sanitizer: there is no unsafe code of ours to watch, and without it many more inputs are tried.
    command.args([
        "+nightly",
        "fuzz",
        "run",
        "--fuzz-dir",
        "fuzz",
        "--features",
        "libfuzzer",
        "-s",
        "none",
        name,
    ]);
    command.args(["--", "-max_len=4096", &format!("-max_total_time={seconds}")]);
    Ok(command.status().context("cargo +nightly fuzz (install it by: cargo install cargo-fuzz)")?.success())
}
