//! The file system of an instance: that of the host, or a folder of it, read-only; over it the private folders, a fresh
//! `/proc`, a small `/dev` and an `/etc` of its own. What the installation keeps to itself is covered, and the workload
//! lacks the capability to uncover it.

use crate::error::{Error, Result, Step};
use crate::protocol::WorkloadSpec;
use crate::sys;
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, mount_change,
    unmount,
};
use rustix::process::{chdir, pivot_root};
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Empty at first, kept until the instance is closed. Those that the root does not have are left out.
const KEPT: &[&str] = &["root", "home", "srv", "mnt", "media", "var/log", "var/spool", "var/mail"];
/// Empty at each start.
const RENEWED: &[&str] = &["tmp", "run", "var/tmp"];
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];
/// Where the read-only `/etc` of the host stands, inside the instance's own.
const BELOW: &str = ".base";

/// In the mount namespace of this process, which becomes the instance's.
pub fn make(spec: &WorkloadSpec, hidden: &[PathBuf]) -> Result<()> {
    let scratch = spec.limits.scratch_mb;
    let any = "/";
    mount_change(any, MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .step("take mounts apart")?;
    let base = ["/tmp", "/run", "/mnt"].into_iter().find(|p| Path::new(p).is_dir()).unwrap_or("/");
    tmpfs(Path::new(base), "mode=755,size=1m")?;
    let base = Path::new(base);
    fs::create_dir(base.join("old")).and_then(|()| fs::create_dir(base.join("new"))).step("make a root")?;
    pivot_root(base, base.join("old")).step("change the root")?;
    chdir("/").step("change the root")?;

    let (old, new) = (Path::new("/old"), Path::new("/new"));
    let root = spec.root.as_deref().map(|root| real_root(old, root)).transpose()?;
    let source = match &root {
        Some(root) => below(old, root),
        None => old.to_owned(),
    };
    mount_bind_recursive(&source, new).step("show the root folder")?;
    sys::seal_mounts(&c_path(new)?).step("make the root folder read-only")?;
    let covered = private(new, scratch)?;
    proc(new)?;
    devices(old, new, scratch)?;
    // Before `/etc` is shown a second time.
    hide(old, new, root.as_deref(), (hidden, &covered))?;
    etc(new)?;

    unmount("/old", UnmountFlags::DETACH).step("leave the host's files")?;
    chdir(new).step("change the root")?;
    pivot_root(".", ".").step("change the root")?;
    unmount(".", UnmountFlags::DETACH).step("leave the host's files")?;
    chdir("/").step("change the root")
}

/// The folders that a start finds empty.
pub fn renew(scratch: u64) -> Result<()> {
    for name in RENEWED {
        let path = Path::new("/").join(name);
        if path.is_dir() {
            unmount(&path, UnmountFlags::DETACH).step(format!("empty /{name}"))?;
            tmpfs(&path, &options(name, scratch))?;
        }
    }
    Ok(())
}

/// The private folders, and which there are.
fn private(new: &Path, scratch: u64) -> Result<Vec<PathBuf>> {
    let mut covered = Vec::new();
    for name in KEPT.iter().chain(RENEWED) {
        let path = new.join(name);
        // Not through a symbolic link: it would lead out of the new root.
        if fs::symlink_metadata(&path).is_ok_and(|m| m.is_dir()) {
            tmpfs(&path, &options(name, scratch))?;
            covered.push(Path::new("/").join(name));
        }
    }
    Ok(covered)
}

/// The root folder without links, as the host names it.
fn real_root(old: &Path, root: &Path) -> Result<PathBuf> {
    let real = fs::canonicalize(below(old, root)).step("find the root folder")?;
    let inside = real.strip_prefix(old).ok().filter(|rest| rest.components().next().is_some());
    let inside = inside.ok_or_else(|| Error::Protocol("the root folder is none".to_owned()))?;
    Ok(Path::new("/").join(inside))
}

fn options(name: &str, scratch: u64) -> String {
    let mode = match name {
        "tmp" | "var/tmp" => "1777",
        "root" => "700",
        _ => "755",
    };
    format!("mode={mode},size={scratch}m")
}

fn proc(new: &Path) -> Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", new.join("proc"), "proc", flags, None)
        .step("mount /proc (refused where the host's own /proc is covered in part, as in many containers)")?;
    let sys = new.join("sys");
    if sys.is_dir() {
        tmpfs(&sys, "mode=555,size=4k")?;
    }
    Ok(())
}

fn devices(old: &Path, new: &Path, scratch: u64) -> Result<()> {
    let dev = new.join("dev");
    tmpfs(&dev, "mode=755,size=64k")?;
    for name in DEVICES {
        let (from, to) = (old.join("dev").join(name), dev.join(name));
        if from.exists() {
            fs::write(&to, "").step("make /dev")?;
            mount_bind(&from, &to).step(format!("show /dev/{name}"))?;
        }
    }
    for name in ["pts", "shm"] {
        fs::create_dir(dev.join(name)).step("make /dev")?;
    }
    tmpfs(&dev.join("shm"), &format!("mode=1777,size={scratch}m"))?;
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount(
        "devpts",
        dev.join("pts"),
        "devpts",
        flags,
        options_of("newinstance,ptmxmode=0666,mode=620")?.as_c_str(),
    )
    .step("mount /dev/pts")?;
    for (to, from) in [
        ("pts/ptmx", "ptmx"),
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
        ("/proc/self/fd/1", "stdout"),
        ("/proc/self/fd/2", "stderr"),
    ] {
        symlink(to, dev.join(from)).step("make /dev")?;
    }
    Ok(())
}

/// An `/etc` that the instance may change: symbolic links to the files of the host, two levels deep, that it may replace.
fn etc(new: &Path) -> Result<()> {
    let etc = new.join("etc");
    if !fs::symlink_metadata(&etc).is_ok_and(|m| m.is_dir()) {
        return Ok(());
    }
    // With what is hidden in it.
    let aside = Path::new("/etc-aside");
    fs::create_dir(aside).step("make /etc")?;
    mount_bind_recursive(&etc, aside).step("show /etc")?;
    tmpfs(&etc, "mode=755,size=16m")?;
    let below = etc.join(BELOW);
    fs::create_dir(&below).step("make /etc")?;
    mount_bind_recursive(aside, &below).step("show /etc")?;
    sys::seal_mounts(&c_path(&below)?).step("make /etc read-only")?;
    unmount(aside, UnmountFlags::DETACH).step("make /etc")?;
    links(&below, &etc, BELOW.into(), 2)
}

fn links(from: &Path, to: &Path, prefix: PathBuf, levels: u8) -> Result<()> {
    // A folder that this user may not read stays empty.
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    for entry in entries.flatten() {
        let (Ok(kind), name) = (entry.file_type(), entry.file_name()) else { continue };
        let target = to.join(&name);
        if kind.is_symlink() {
            let text = fs::read_link(entry.path()).step("read a link of /etc")?;
            symlink(text, target).step("make /etc")?;
        } else if kind.is_dir() && levels > 1 {
            fs::create_dir(&target).step("make /etc")?;
            links(&entry.path(), &target, Path::new("..").join(&prefix).join(&name), levels - 1)?;
        } else {
            symlink(prefix.join(&name), target).step("make /etc")?;
        }
    }
    Ok(())
}

/// Covers what must not be seen. What the instance cannot reach, or has covered already, needs nothing; what cannot be
/// covered is an error. The paths have no links.
fn hide(
    old: &Path,
    new: &Path,
    root: Option<&Path>,
    (hidden, covered): (&[PathBuf], &[PathBuf]),
) -> Result<()> {
    for path in hidden {
        let path = match root {
            Some(root) if root.starts_with(path) => {
                return Err(Error::Protocol("the root folder is one that must not be seen".to_owned()));
            }
            Some(root) => match path.strip_prefix(root) {
                Ok(rest) => Path::new("/").join(rest),
                Err(_) => continue,
            },
            None => path.clone(),
        };
        // Private folders are empty already, and are the instance's to fill.
        if covered.iter().any(|private| path.starts_with(private)) {
            continue;
        }
        let inside = below(new, &path);
        match fs::metadata(&inside) {
            Ok(found) if found.is_dir() => {
                tmpfs(&inside, "mode=000,size=4k")?;
                sys::seal_mounts(&c_path(&inside)?).step("hide a folder")?;
            }
            Ok(_) => mount_bind(old.join("dev/null"), &inside).step("hide a file")?,
            // Where the helper's user may not look, the instance may not either.
            Err(e) if Errno::from_io_error(&e) == Some(Errno::ACCESS) => {}
            Err(e) => return Err(e).step("hide a file"),
        }
    }
    Ok(())
}

/// An absolute path, below another root.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn tmpfs(path: &Path, with: &str) -> Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", path, "tmpfs", flags, options_of(with)?.as_c_str())
        .step(format!("cover {}", path.display()))
}

fn options_of(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::Protocol("mount options".to_owned()))
}

fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::Protocol("path".to_owned()))
}
