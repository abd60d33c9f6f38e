//! `cargo xtask gen`: files in the tree that a program of this workspace writes.

use crate::workspace::{Workspace, cargo};
use anyhow::{Context, Result, bail};
use std::process::Stdio;

/// A file below the root, and the arguments of `cargo run` whose standard output it is.
struct Generated {
    file: &'static str,
    run: &'static [&'static str],
}

const FILES: &[Generated] = &[];

/// Writes the files; with `check` only tells which ones differ.
pub fn run(check: bool) -> Result<bool> {
    let stale = stale(!check)?;
    for file in &stale {
        println!("{} {file}", if check { "stale:" } else { "wrote" });
    }
    if stale.is_empty() {
        println!("{} generated files, all fresh", FILES.len());
    }
    Ok(!check || stale.is_empty())
}

/// The files that differ from what their program prints.
pub fn stale(write: bool) -> Result<Vec<&'static str>> {
    if FILES.is_empty() {
        return Ok(Vec::new());
    }
    let workspace = Workspace::load()?;
    let mut stale = Vec::new();
    for generated in FILES {
        let output = cargo()
            .current_dir(&workspace.root)
            .args(["run", "--quiet", "--locked"])
            .args(generated.run)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .context("cargo run")?;
        if !output.status.success() || output.stdout.is_empty() {
            bail!("cannot make {}: {}", generated.file, output.status);
        }
        let file = workspace.root.join(generated.file);
        if std::fs::read(&file).ok().as_ref() != Some(&output.stdout) {
            stale.push(generated.file);
            if write {
                if let Some(folder) = file.parent() {
                    std::fs::create_dir_all(folder)?;
                }
                std::fs::write(&file, &output.stdout)?;
            }
        }
    }
    Ok(stale)
}
