//! What cargo knows about this workspace, and commands on it.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Workspace {
    pub root: PathBuf,
    pub target: PathBuf,
    pub packages: Vec<Package>,
}

pub struct Package {
    pub name: String,
    /// Folder below the root, for example `crates/wire`.
    pub folder: String,
    pub features: Vec<String>,
    pub examples: Vec<String>,
    pub dependencies: Vec<Dependency>,
}

pub struct Dependency {
    pub name: String,
    /// `normal`, `dev` or `build`.
    pub kind: String,
}

/// The `cargo` that started this program.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The folder that holds `Cargo.lock`.
pub fn root() -> Result<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(own.parent().context("xtask has no parent folder")?.to_owned())
}

/// The answer of `cargo metadata`, without dependencies when `resolve` is false.
pub fn metadata(root: &Path, resolve: bool) -> Result<Value> {
    let mut command = cargo();
    command.current_dir(root).args(["metadata", "--format-version", "1", "--locked"]);
    if resolve {
        command.args(["--filter-platform", "x86_64-unknown-linux-gnu"]);
    } else {
        command.arg("--no-deps");
    }
    let output = command.output().context("cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

impl Workspace {
    pub fn load() -> Result<Workspace> {
        let root = root()?;
        let data = metadata(&root, false)?;
        let target = PathBuf::from(text(&data["target_directory"]));
        let packages = list(&data["packages"]).iter().map(|package| read(package, &root)).collect();
        Ok(Workspace { root, target, packages })
    }

    pub fn package(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }

    /// `cargo SUBCOMMAND --workspace --locked` with all that is released switched on. Every build goes through
    /// here: other feature flags would build most crates a second time.
    pub fn cargo(&self, subcommand: &str) -> Command {
        let mut command = cargo();
        command.current_dir(&self.root).args([subcommand, "--workspace", "--locked"]);
        if self.package("avouch").is_some_and(|package| package.features.iter().any(|name| name == "full")) {
            command.args(["--features", "avouch/full"]);
        }
        command
    }

    /// The binary that `cargo("build")` makes.
    pub fn binary(&self) -> PathBuf {
        self.target.join("debug").join("avouch")
    }
}

fn read(package: &Value, root: &Path) -> Package {
    let manifest = PathBuf::from(text(&package["manifest_path"]));
    let folder = manifest.parent().and_then(|folder| folder.strip_prefix(root).ok()).unwrap_or(&manifest);
    let is_example = |target: &&Value| list(&target["kind"]).iter().any(|kind| kind == "example");
    Package {
        name: text(&package["name"]),
        folder: folder.to_string_lossy().into_owned(),
        features: package["features"]
            .as_object()
            .map(|all| all.keys().cloned().collect())
            .unwrap_or_default(),
        examples: list(&package["targets"])
            .iter()
            .filter(is_example)
            .map(|target| text(&target["name"]))
            .collect(),
        dependencies: list(&package["dependencies"])
            .iter()
            .map(|dependency| Dependency {
                name: text(&dependency["name"]),
                kind: dependency["kind"].as_str().unwrap_or("normal").to_owned(),
            })
            .collect(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
