//! A store that can be read but not written, whose disk fails, or whose files were cut or taken away: nothing is
//! acknowledged that the next start does not find.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use crate::kill::{ALL, Done, check, nothing_half_done, one};
use crate::process::{Client, PAYLOAD, Server, Setup, World};
use crate::runtime;

/// Requests of every kind, one after another, until none of three rounds is served; what was served until then.
async fn until_refused(admin: &Client, world: &World, from: u32) -> Vec<Done> {
    let mut done = Vec::new();
    let mut refused = 0;
    for n in from..from + 5000 {
        let what = ALL[n as usize % ALL.len()];
        let name = format!("{n:08x}-0000-4000-8000-000000000000");
        let answer = one(what, &name, world, admin).await.expect("the server is there");
        let told = answer.body.to_string();
        match answer.status {
            200 | 201 => {
                refused = 0;
                done.push(Done { what, name, answer });
            }
            503 => {
                assert!(!told.contains(PAYLOAD) && !told.contains("access_token"), "{what:?}: {told}");
                let shape = ["errors", "errorCode"].iter().any(|member| answer.body.get(member).is_some());
                assert!(shape, "{what:?}: {told}");
                refused += 1;
            }
            status => panic!("{what:?}: {status} {told}"),
        }
        if refused == 3 * ALL.len() {
            admin.get("/healthz").await.ok();
            assert_eq!(admin.get("/readyz").await.status, 503);
            admin.get("/identity/keys").await.ok();
            return done;
        }
    }
    panic!("{} requests were served by a store that cannot be written", done.len());
}

/// One request of each kind, all of them served.
async fn served(admin: &Client, world: &World, from: u32) -> Vec<Done> {
    let mut done = Vec::new();
    for (what, n) in ALL.into_iter().zip(from..) {
        let name = format!("{n:08x}-0000-4000-8000-000000000000");
        let answer = one(what, &name, world, admin).await.unwrap().ok();
        done.push(Done { what, name, answer });
    }
    done
}

/// After the end of the server: everything that was answered is there.
async fn all_there(setup: &Setup, world: &World, done: &[Done]) {
    let server = setup.start();
    let admin = server.login(&world.key).await;
    check(&admin, world, done).await;
    nothing_half_done(&admin, world).await;
    admin.get("/readyz").await.ok();
    assert_eq!(admin.figure("avouch_panics_total").await, 0);
}

fn largest_file(server: &Server, bytes: &str) {
    let pid = server.pid().to_string();
    let set = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}:")]).status().unwrap();
    assert!(set.success());
}

#[test]
fn a_store_whose_files_cannot_be_written_acknowledges_nothing_and_heals_by_itself() {
    if !Command::new("prlimit").arg("--version").output().is_ok_and(|out| out.status.success()) {
        eprintln!("NOT RUN: there is no prlimit here");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup::new(&dir.path().join("data"));
    runtime().block_on(async {
        let server = setup.start();
        let world = World::build(&server, &setup.data).await;
        let admin = server.login(&world.key).await;
        let mut done = Vec::new();
        for round in 0..3 {
            done.extend(served(&admin, &world, round * 10_000).await);
            // Every write of the process to a file fails from here on, by the system.
            largest_file(&server, "0");
            let late = until_refused(&admin, &world, round * 10_000 + 100).await;
            assert!(late.is_empty(), "{:?}", late.iter().map(|d| d.what).collect::<Vec<_>>());
            // Nor is anything read for long without an event.
            let list = format!("/secrets-manager/{}/api/v2/secrets", world.instance);
            let end = Instant::now() + Duration::from_secs(60);
            while admin.get(&list).await.status != 503 {
                assert!(Instant::now() < end, "lists are answered though no event can be written");
            }
            largest_file(&server, "unlimited");
            admin.get("/readyz").await.ok();
        }
        done.extend(served(&admin, &world, 90_000).await);
        check(&admin, &world, &done).await;
        assert_eq!(admin.figure("avouch_panics_total").await, 0);
        largest_file(&server, "0");
        until_refused(&admin, &world, 91_000).await;
        server.kill();
        all_there(&setup, &world, &done).await;
    });
}

#[test]
fn a_server_whose_log_nobody_takes_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup::new(&dir.path().join("data")).with("RUST_LOG", "debug");
    runtime().block_on(async {
        let server = setup.spawn().ready_unheard().unwrap();
        let world = World::build(&server, &setup.data).await;
        let admin = server.login(&world.key).await;
        let (file, away) = (setup.data.join("avouch.db"), setup.data.join("away"));
        let mut done = served(&admin, &world, 0).await;
        // Each of these failures is worth a line.
        std::fs::rename(&file, &away).unwrap();
        let late = until_refused(&admin, &world, 100).await;
        assert!(late.is_empty(), "{}", late.len());
        std::fs::rename(&away, &file).unwrap();
        admin.get("/readyz").await.ok();
        done.extend(served(&admin, &world, 6000).await);
        check(&admin, &world, &done).await;
        assert_eq!(admin.figure("avouch_panics_total").await, 0);
    });
}

/// What somebody does to a file of the store, and that he undoes it.
type Harm = (&'static str, fn(&Path), fn(&Path, &[u8]));

fn set_len(file: &Path, len: u64) {
    std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(len).unwrap();
}

fn rewrite(file: &Path, bytes: &[u8]) {
    std::fs::OpenOptions::new().write(true).truncate(true).open(file).unwrap().write_all(bytes).unwrap();
}

#[test]
fn files_of_the_store_that_are_cut_removed_or_exchanged_end_all_acknowledgement_until_they_are_back() {
    let away = |file: &Path| std::fs::rename(file, file.with_extension("away")).unwrap();
    let back = |file: &Path, _: &[u8]| std::fs::rename(file.with_extension("away"), file).unwrap();
    let harms: [Harm; 4] = [
        ("cut to nothing", |file| set_len(file, 0), rewrite),
        ("cut by half", |file| set_len(file, file.metadata().unwrap().len() / 2), rewrite),
        ("removed", away, back),
        (
            "exchanged",
            |file| {
                std::fs::rename(file, file.with_extension("away")).unwrap();
                std::fs::copy(file.with_extension("away"), file).unwrap();
            },
            back,
        ),
    ];
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup::new(&dir.path().join("data"));
    runtime().block_on(async {
        let mut server = setup.start();
        let world = World::build(&server, &setup.data).await;
        let mut done = Vec::new();
        let mut n = 0;
        for name in ["avouch.db", "avouch.db-wal"] {
            for (what, harm, undo) in harms {
                eprintln!("{name} {what}");
                let admin = server.login(&world.key).await;
                done.extend(served(&admin, &world, n).await);
                let file = setup.data.join(name);
                let bytes = std::fs::read(&file).unwrap();
                assert!(!bytes.is_empty(), "{name}");
                harm(&file);
                let late = until_refused(&admin, &world, n + 100).await;
                assert!(late.is_empty(), "{name} {what}: {} were served", late.len());
                undo(&file, &bytes);
                admin.get("/readyz").await.ok();
                done.extend(served(&admin, &world, n + 5000).await);
                n += 10_000;
                // And the next start finds all of it.
                server.kill();
                server = setup.start();
                check(&server.login(&world.key).await, &world, &done).await;
            }
        }
        server.terminate();
        assert_eq!(server.ended().code(), Some(0));
        assert!(!setup.data.join("avouch.db-wal").exists(), "a server that ends well leaves one file");
        all_there(&setup, &world, &done).await;
    });
}

/// A file system of its own on an image of its own, in a mount namespace of its own, whose disk can fail. It lives as long
/// as this does, whoever else looks at it.
struct Disk {
    holder: Child,
    _alive: ChildStdin,
    dir: PathBuf,
}

/// The image lies on a small file system: where that is full, blocks of the image that were never written cannot be.
const DISK: &str = "cd \"$0\" && mkdir back disk && mount -t tmpfs -o size=24m tmpfs back && \
    truncate -s 64M back/image && \
    mkfs.ext4 -q -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 -J size=4 back/image && \
    mount -o loop back/image disk && echo ready && read end";

impl Disk {
    fn new(dir: &Path) -> Option<Disk> {
        let holder = Command::new("unshare")
            .args(["--mount", "sh", "-c", DISK])
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut holder = match holder {
            Ok(holder) => holder,
            Err(e) => {
                eprintln!("NOT RUN: no mount namespaces here: {e}");
                return None;
            }
        };
        let mut said = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut said).unwrap();
        if said != "ready\n" {
            let out = holder.wait_with_output().unwrap();
            eprintln!(
                "NOT RUN: a disk that can fail needs the right to mount one: {}",
                String::from_utf8_lossy(&out.stderr)
            );
            return None;
        }
        let _alive = holder.stdin.take().unwrap();
        Some(Disk { holder, _alive, dir: dir.to_owned() })
    }

    /// What the test sees of a path in it.
    fn see(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}/{path}", self.holder.id(), self.dir.display()))
    }

    fn enter(&self) -> Vec<String> {
        ["nsenter", "--mount", "--target", &self.holder.id().to_string()].map(str::to_owned).to_vec()
    }

    #[track_caller]
    fn run(&self, script: &str) {
        let enter = self.enter();
        let out = Command::new(&enter[0])
            .args(&enter[1..])
            .args(["sh", "-c", &format!("cd \"$0\" && {script}")])
            .arg(&self.dir)
            .output()
            .unwrap();
        assert!(out.status.success(), "{script}: {}", String::from_utf8_lossy(&out.stderr));
    }

    /// Nobody may have a file of it open.
    fn mount_again(&self) {
        self.run("umount disk && mount -o loop back/image disk");
    }

    fn setup(&self) -> Setup {
        let mut setup = Setup::new(&self.dir.join("disk/data"));
        setup.around = self.enter();
        setup
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[test]
fn a_file_system_that_becomes_read_only_under_the_server_loses_nothing_that_was_answered() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::new(dir.path()) else { return };
    let setup = disk.setup();
    runtime().block_on(async {
        let mut server = setup.start();
        let world = World::build(&server, &disk.see("disk/data")).await;
        let mut done = Vec::new();
        for round in 0..3 {
            let admin = server.login(&world.key).await;
            done.extend(served(&admin, &world, round * 10_000).await);
            // As the kernel does by itself after an error of the disk: what was not flushed is lost.
            disk.run("mount -o remount,abort disk");
            let late = until_refused(&admin, &world, round * 10_000 + 100).await;
            assert!(late.is_empty(), "{} were served", late.len());
            assert_eq!(admin.figure("avouch_panics_total").await, 0);
            server.kill();
            disk.mount_again();
            server = setup.start();
            check(&server.login(&world.key).await, &world, &done).await;
        }
        server.kill();
        all_there(&setup, &world, &done).await;
    });
}

#[test]
fn a_disk_that_fails_to_write_loses_nothing_that_was_answered() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::new(dir.path()) else { return };
    let setup = disk.setup();
    runtime().block_on(async {
        let mut server = setup.start();
        let world = World::build(&server, &disk.see("disk/data")).await;
        let mut done = Vec::new();
        for round in 0..2 {
            let admin = server.login(&world.key).await;
            done.extend(served(&admin, &world, round * 10_000).await);
            let mut filler = std::fs::File::create(disk.see("back/filler")).unwrap();
            while filler.write_all(&[1; 4096]).is_ok() {}
            drop(filler);
            // Blocks that were written before still can be: the log goes on until it needs a new one.
            done.extend(until_refused(&admin, &world, round * 10_000 + 100).await);
            assert_eq!(admin.figure("avouch_panics_total").await, 0);
            std::fs::remove_file(disk.see("back/filler")).unwrap();
            // What only the memory of the system had is gone with this.
            server.kill();
            disk.mount_again();
            server = setup.start();
            check(&server.login(&world.key).await, &world, &done).await;
        }
        server.kill();
        all_there(&setup, &world, &done).await;
    });
}
