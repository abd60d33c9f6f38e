//! Which crate may use which: the picture of ARCHITECTURE.md as a table, held against `cargo metadata`.

use crate::workspace::{Workspace, metadata};
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeSet;

const BASE: &[&str] = &["wire"];
const GATE: &[&str] = &["wire", "crypto", "policy", "store"];
const SERVICE: &[&str] = &["wire", "crypto", "policy", "store", "gate"];
const SERVER: &[&str] = &[
    "wire",
    "crypto",
    "policy",
    "store",
    "gate",
    "agent",
    "iam",
    "vpc",
    "kubernetes",
    "codeengine",
    "secrets",
    "keyprotect",
    "platform",
];
const BINARY: &[&str] = &["wire", "crypto", "agent", "server", "cli", "console"];

/// Folder below `crates/`, and the crates that it may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("crypto", BASE),
    ("policy", BASE),
    ("store", BASE),
    ("gate", GATE),
    ("iam", SERVICE),
    ("vpc", SERVICE),
    ("kubernetes", SERVICE),
    ("codeengine", SERVICE),
    ("secrets", SERVICE),
    ("keyprotect", SERVICE),
    ("platform", SERVICE),
    ("agent", &["wire", "crypto"]),
    ("console", SERVICE),
    // The commands are clients of the public HTTP interfaces, so the words on the wire are all they share.
    ("cli", BASE),
    ("server", SERVER),
    ("avouch", BINARY),
];

/// Used by tests only, so it may see everything below the binary, and everything may use it in tests.
const TESTKIT: &str = "testkit";

/// What `fuzz/` drives: pure code that reads what strangers send.
const FUZZED: &[&str] = &["wire", "crypto", "policy"];

/// The binary of a default build stays below this many crates, its own included.
const MOST_CRATES: usize = 250;

pub fn findings(workspace: &Workspace) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        let uses: Vec<(&str, &str)> = package
            .dependencies
            .iter()
            .filter_map(|dependency| Some((short(&dependency.name)?, dependency.kind.as_str())))
            .collect();
        let Some(folder) = package.folder.strip_prefix("crates/") else {
            let pure = package.folder == "fuzz" && uses.iter().all(|(used, _)| FUZZED.contains(used));
            if !uses.is_empty() && !pure {
                findings.push(format!("{}: uses crates of the product", package.folder));
            }
            continue;
        };
        if short(&package.name) != Some(folder) {
            findings.push(format!("crates/{folder}: the package is called {}", package.name));
        }
        if folder == TESTKIT {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == folder) else {
            findings.push(format!("crates/{folder}: no arrows for it in xtask/src/arrows.rs"));
            continue;
        };
        for (used, kind) in uses {
            // A crate may name itself in tests, to switch on a feature that is for tests.
            let test_only = kind == "dev" && (used == TESTKIT || used == folder);
            if !test_only && !allowed.contains(&used) {
                findings.push(format!("crates/{folder}: must not use {used} ({kind})"));
            }
        }
    }
    Ok(findings)
}

/// `avouch-wire` → `wire`, `avouch` → `avouch`, others → nothing.
fn short(package: &str) -> Option<&str> {
    if package == "avouch" { Some("avouch") } else { package.strip_prefix("avouch-") }
}

pub fn too_many_dependencies(workspace: &Workspace) -> Result<Vec<String>> {
    let count = dependencies_of_the_binary(&metadata(&workspace.root, true)?)?;
    println!("{count} crates in the default build (limit {MOST_CRATES})");
    if count < MOST_CRATES {
        Ok(Vec::new())
    } else {
        Ok(vec![format!("{count} crates in the default build")])
    }
}

/// Counts what the binary links or runs while it is built; test-only dependencies do not count. `cargo metadata`
/// resolves with the default features of the workspace members.
fn dependencies_of_the_binary(data: &Value) -> Result<usize> {
    let nodes = data["resolve"]["nodes"].as_array().context("cargo metadata has no resolve graph")?;
    let packages = data["packages"].as_array().context("cargo metadata has no packages")?;
    let start = packages.iter().find(|package| package["name"] == "avouch").context("no package avouch")?;
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut open = vec![start["id"].as_str().context("package without id")?];
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        let Some(node) = nodes.iter().find(|node| node["id"] == id) else { continue };
        for dependency in node["deps"].as_array().into_iter().flatten() {
            let kinds = dependency["dep_kinds"].as_array();
            if kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"] != "dev")) {
                open.extend(dependency["pkg"].as_str());
            }
        }
    }
    Ok(seen.len())
}
