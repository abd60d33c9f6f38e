//! The files that the helper writes into an instance at each start.

use crate::error::{Error, Result, Step};
use crate::protocol::{METADATA_ADDRESS, METADATA_NAME, SERVICE_ADDRESS};
use std::fs;
use std::io;
use std::path::Path;

pub fn write(hostname: &str, service_hosts: &[String]) -> Result<()> {
    let mut hosts = format!(
        "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {hostname}\n{METADATA_ADDRESS} {METADATA_NAME}\n"
    );
    for name in service_hosts {
        hosts.push_str(&format!("{SERVICE_ADDRESS} {name}\n"));
    }
    place("/etc/hosts", &hosts)?;
    place("/etc/hostname", &format!("{hostname}\n"))?;
    // No name server: what the hosts file does not know is not known.
    place("/etc/resolv.conf", "")
}

/// Replaces the link to the host's own file. An image without `/etc` has no use for it.
fn place(path: &str, text: &str) -> Result<()> {
    if !Path::new("/etc").is_dir() {
        return Ok(());
    }
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e).step(format!("replace {path}")),
        _ => {}
    }
    fs::write(path, text).step(format!("write {path}"))
}

/// A name that can stand in a hosts file and be a host name.
pub fn check_name(field: &str, name: &str) -> Result<()> {
    let fine = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'.' || c == b'_';
    if name.is_empty() || name.len() > 253 || !name.bytes().all(fine) {
        let why = format!("{field}: letters, digits, `-`, `_` and `.`");
        return Err(Error::refused(crate::error::Code::BadRequest, why));
    }
    Ok(())
}
