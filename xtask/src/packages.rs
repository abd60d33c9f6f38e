//! Programs that the tests need and that are not built from this repository. What is there in any form is used as
//! it is; the rest is installed with `apt-get`, as root or by `sudo` without a password.

use crate::postgres;
use crate::process::{find_program, user_id};
use crate::runner::Runner;
use anyhow::{Result, bail};
use std::process::{Command, Stdio};
use std::time::Duration;

struct Need {
    /// What the tests use it for.
    what: &'static str,
    packages: &'static [&'static str],
    present: fn() -> bool,
}

const NEEDS: &[Need] = &[
    Need { what: "PostgreSQL", packages: &["postgresql"], present: || postgres::programs().is_some() },
    Need { what: "Python with venv", packages: &["python3", "python3-venv"], present: python_has_venv },
    Need { what: "Node.js", packages: &["nodejs"], present: || find_program("node").is_some() },
    Need { what: "npm", packages: &["npm"], present: || find_program("npm").is_some() },
    Need { what: "etcd", packages: &["etcd-server"], present: || find_program("etcd").is_some() },
    Need { what: "Go", packages: &["golang"], present: || find_program("go").is_some() },
];

/// Installs what is missing. What cannot be installed is named; the step that needs it fails with its own words.
pub fn install(runner: &Runner) -> Result<()> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !(need.present)()).collect();
    if missing.is_empty() {
        println!("all there");
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().flat_map(|need| need.packages).copied().collect();
    println!("installing {}", names.join(", "));
    let Some(apt) = apt_get() else {
        bail!(
            "cannot install packages here (no apt-get, or neither root nor sudo). Install: {}",
            names.join(" ")
        );
    };
    // Old lists may still do, and one broken source is no reason to stop.
    if let Err(error) = runner.call(apt(&["update"]), Duration::from_secs(300)) {
        println!("{error:#}");
    }
    let mut without = Vec::new();
    for need in missing {
        let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
        arguments.extend(need.packages);
        let installed = runner.call(apt(&arguments), Duration::from_secs(600));
        if let Err(error) = installed {
            println!("{error:#}");
        }
        if !(need.present)() {
            without.push(format!("{} (package {})", need.what, need.packages.join(" ")));
        }
    }
    if !without.is_empty() {
        bail!("missing: {}", without.join(", "));
    }
    Ok(())
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
    let imported = Command::new("python3")
        .args(["-c", "import venv, ensurepip"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    imported.is_ok_and(|status| status.success())
}
