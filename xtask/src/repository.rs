//! Rules for the files of the repository: length, paths of somebody's machine, `unsafe`, lints, the test command,
//! migrations, links between documents.

use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

const MOST_LINES: usize = 900;
const AIM: usize = 500;
const TESTED_RULES: &str = "docs/reference/tested-rules.md";
/// Endings of files that people write line by line.
const SOURCE: [&str; 7] = ["rs", "sql", "sh", "js", "mjs", "py", "go"];

struct File {
    path: String,
    text: String,
}

impl File {
    fn ending(&self) -> &str {
        self.path.rsplit_once('.').map(|(_, ending)| ending).unwrap_or_default()
    }
}

pub fn findings(workspace: &Workspace) -> Result<Vec<String>> {
    let files = files(&workspace.root)?;
    let mut findings = Vec::new();
    for file in &files {
        if SOURCE.contains(&file.ending()) {
            findings.extend(too_long(file));
        }
        findings.extend(machine_paths(file));
        if file.ending() == "rs" && !file.path.starts_with("crates/agent/") {
            findings.extend(unsafe_code(file));
        }
        if file.ending() == "md" {
            findings.extend(dead_links(&workspace.root, file));
        }
    }
    findings.extend(named_tests(&files));
    findings.extend(lints(&files));
    findings.extend(migrations(&files));
    findings.extend(test_command(&files));
    Ok(findings)
}

/// The text files that git has, or would have after `git add`.
fn files(root: &Path) -> Result<Vec<File>> {
    let output = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .stdin(Stdio::null())
        .output()
        .context("git ls-files")?;
    if !output.status.success() {
        bail!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let names = String::from_utf8(output.stdout)?;
    let mut files = Vec::new();
    for name in names.split('\0').filter(|name| !name.is_empty()) {
        // A deleted file that git still lists, and a file that is no text, have nothing to check.
        if let Ok(text) = std::fs::read_to_string(root.join(name)) {
            files.push(File { path: name.to_owned(), text });
        }
    }
    Ok(files)
}

fn too_long(file: &File) -> Option<String> {
    let lines = file.text.lines().count();
    if lines > MOST_LINES {
        return Some(format!("{}: {lines} lines, over {MOST_LINES}", file.path));
    }
    if lines > AIM {
        println!("note: {}: {lines} lines, the aim is {AIM}", file.path);
    }
    None
}

fn machine_paths(file: &File) -> Vec<String> {
    // Written in two parts, or this file would find itself.
    let roots = [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];
    let starts_a_path = |before: Option<char>| before.is_none_or(|c| " \t\"'`=(:[<,".contains(c));
    let mut found = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        let hit = roots.iter().any(|root| {
            line.match_indices(root)
                .any(|(at, _)| starts_a_path(line.get(..at).and_then(|part| part.chars().last())))
        });
        if hit {
            found.push(format!("{}:{}: path of one machine", file.path, number + 1));
        }
    }
    found
}

/// The compiler forbids it where the lints are on; this also sees tests, build scripts and other tools.
fn unsafe_code(file: &File) -> Vec<String> {
    let keyword = concat!("uns", "afe");
    let mut found = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let used = code.match_indices(keyword).any(|(at, word)| {
            let rest = code.get(at + word.len()..).unwrap_or_default().trim_start();
            ["{", "fn ", "impl ", "impl<", "trait ", "extern ", "("].iter().any(|next| rest.starts_with(next))
        });
        if used {
            found.push(format!("{}:{}: {keyword} outside crates/agent", file.path, number + 1));
        }
    }
    found
}

fn dead_links(root: &Path, file: &File) -> Vec<String> {
    let folder = Path::new(&file.path).parent().unwrap_or(Path::new(""));
    let mut found = Vec::new();
    for part in file.text.split("](").skip(1) {
        let Some((target, _)) = part.split_once(')') else { continue };
        let target = target.split('#').next().unwrap_or_default();
        if target.is_empty() || target.contains("://") || target.contains(char::is_whitespace) {
            continue;
        }
        if !root.join(folder).join(target).exists() {
            found.push(format!("{}: link to {target}, which is not there", file.path));
        }
    }
    found
}

/// Tests that the page of tested rules names and that nobody wrote, or somebody renamed.
fn named_tests(files: &[File]) -> Vec<String> {
    let Some(page) = files.iter().find(|file| file.path == TESTED_RULES) else {
        return vec![format!("{TESTED_RULES} is missing")];
    };
    let defined: BTreeSet<&str> = files
        .iter()
        .filter(|file| ["rs", "py"].contains(&file.ending()))
        .flat_map(|file| file.text.lines())
        .filter_map(|line| line.trim_start().trim_start_matches("async ").split_once(['(']))
        .filter_map(|(head, _)| head.strip_prefix("fn ").or_else(|| head.strip_prefix("def ")))
        .collect();
    let last_cells = page.text.lines().filter_map(|line| line.strip_suffix(" |")?.rsplit_once('|'));
    let mut found = Vec::new();
    for (_, cell) in last_cells.filter(|(_, cell)| cell.contains('`')) {
        for name in cell.split('`').skip(1).step_by(2) {
            if !defined.contains(name) {
                found.push(format!("{TESTED_RULES}: there is no test {name}"));
            }
        }
    }
    found
}

fn lints(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with("/Cargo.toml")) {
        let own = file.path.starts_with("crates/agent/") || file.path.starts_with("fuzz/");
        if !own && !file.text.replace(' ', "").contains("[lints]\nworkspace=true") {
            found.push(format!("{}: has no `[lints] workspace = true`", file.path));
        }
    }
    found
}

/// `NNNN_name.sql`, counted from 0001 without a gap.
fn migrations(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    let mut numbers: BTreeMap<u32, &str> = BTreeMap::new();
    for file in files {
        let Some(name) = file.path.strip_prefix("migrations/") else { continue };
        if !name.ends_with(".sql") {
            continue;
        }
        match name.split_once('_').map(|(number, _)| (number.len(), number.parse::<u32>())) {
            Some((4, Ok(number))) => {
                if let Some(other) = numbers.insert(number, name) {
                    found.push(format!("migrations/{name}: same number as {other}"));
                }
            }
            _ => found.push(format!("migrations/{name}: not called NNNN_name.sql")),
        }
    }
    for (expected, (number, name)) in (1..).zip(&numbers) {
        if *number != expected {
            found.push(format!("migrations/{name}: number {expected:04} expected"));
            break;
        }
    }
    found
}

/// The test command of the README is the one that continuous integration runs.
fn test_command(files: &[File]) -> Option<String> {
    let lines = |path: &str| -> Vec<&str> {
        let text =
            files.iter().find(|file| file.path == path).map(|file| file.text.as_str()).unwrap_or_default();
        text.lines().map(str::trim).collect()
    };
    let Some(command) = lines(".ci/run").into_iter().rfind(|line| !line.is_empty() && !line.starts_with('#'))
    else {
        return Some(".ci/run: runs nothing".to_owned());
    };
    let readme = lines("README.md");
    let written = readme.iter().any(|line| line.split('#').next().unwrap_or_default().trim() == command);
    (!written).then(|| format!("README.md: does not give the test command of .ci/run, `{command}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    #[test]
    fn file_over_the_limit_is_found() {
        assert!(too_long(&file("a.rs", &"x\n".repeat(901))).is_some());
        assert!(too_long(&file("a.rs", &"x\n".repeat(900))).is_none());
    }

    #[test]
    fn path_of_a_machine_is_found() {
        let home = format!("open \"/{}/ada/key\"", "home");
        assert_eq!(machine_paths(&file("a.md", &home)).len(), 1);
        let url = format!("GET https://example.com/{}/x", "home");
        assert!(machine_paths(&file("a.md", &url)).is_empty());
    }

    #[test]
    fn code_without_safety_is_found() {
        let block = format!("let x = {} {{ 1 }};", concat!("uns", "afe"));
        assert_eq!(unsafe_code(&file("a.rs", &block)).len(), 1);
        assert!(unsafe_code(&file("a.rs", "// no unsafe { } here")).is_empty());
        assert!(unsafe_code(&file("a.rs", "unsafe_code = \"forbid\"")).is_empty());
    }

    #[test]
    fn gap_in_the_migrations_is_found() {
        let names = ["migrations/0001_a.sql", "migrations/0003_b.sql"];
        let files: Vec<File> = names.iter().map(|name| file(name, "")).collect();
        assert_eq!(migrations(&files).len(), 1);
    }

    #[test]
    fn a_test_that_is_not_there_is_found() {
        let page = "| rule | tests |\n| --- | --- |\n| r | `is_there`, `is_not` |\n";
        let files = [
            file(TESTED_RULES, page),
            file("crates/a/tests/it.rs", "#[tokio::test]\nasync fn is_there() {\n    is_not();\n"),
        ];
        let found = named_tests(&files);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("is_not"));
        assert_eq!(named_tests(&files[1..]).len(), 1);
    }

    #[test]
    fn readme_with_another_test_command_is_found() {
        let ci = file(".ci/run", "set -e\ncargo xtask test\n");
        assert!(test_command(&[file("README.md", "cargo test\n"), file(".ci/run", &ci.text)]).is_some());
        assert!(test_command(&[file("README.md", "    cargo xtask test  # all\n"), ci]).is_none());
    }
}
