//! What a running server leaves open of its memory, and what it leaves in it.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;

use crate::text;
use crate::world::World;

fn core_limits(pid: u32) -> Vec<String> {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find(|l| l.starts_with("Max core file size")).unwrap();
    line.split_whitespace().skip(4).take(2).map(str::to_owned).collect()
}

#[test]
fn a_server_writes_no_core_file_and_shows_its_memory_to_nobody() {
    let world = World::start();
    let pid = world.pid();
    assert_eq!(core_limits(pid), ["0", "0"]);
    // The files of a process that must not be dumped belong to root, whoever runs it.
    let memory = std::fs::metadata(format!("/proc/{pid}/mem")).unwrap();
    assert_eq!((memory.uid(), memory.gid()), (0, 0));
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        for file in ["environ", "mem", "maps"] {
            assert!(std::fs::File::open(format!("/proc/{pid}/{file}")).is_err(), "{file}");
        }
    }
}

/// How often `word` stands in the writable memory of a process. `None` for whoever may not look, as it should be.
fn found(pid: u32, word: &[u8]) -> Option<usize> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let mut memory = std::fs::File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut count = 0;
    for line in maps.lines() {
        let mut columns = line.split_whitespace();
        let (Some(range), Some(rights)) = (columns.next(), columns.next()) else { continue };
        let Some((start, end)) = range.split_once('-') else { continue };
        let (Ok(start), Ok(end)) = (u64::from_str_radix(start, 16), u64::from_str_radix(end, 16)) else {
            continue;
        };
        if !rights.starts_with("rw") || memory.seek(SeekFrom::Start(start)).is_err() {
            continue;
        }
        let mut bytes = Vec::new();
        let _ = (&mut memory).take(end - start).read_to_end(&mut bytes);
        count += bytes.windows(word.len()).filter(|w| *w == word).count();
    }
    Some(count)
}

#[test]
fn a_secret_that_was_stored_read_and_deleted_is_not_in_the_memory_of_the_server() {
    let world = World::start();
    let admin = world.owner();
    admin.run("resource service-instance-create s secrets-manager standard us-south -g default").ok();
    let guid = text(&admin.json("resource service-instance s"), "/0/guid").to_owned();
    let base = format!("{}/secrets-manager/{guid}", world.url);
    let sm = world.user("owner").with("SECRETS_MANAGER_URL", &base);
    // Different in each run of the same machine, and never whole in this file.
    let canary = format!("canary-{}-{}", world.pid(), "q7".repeat(12));
    world.file("value", &canary);
    let create = "sm secret-create --secret-type arbitrary --secret-name db --secret-group-id default";
    let made = sm.json(&format!("{create} --arbitrary-payload @value"));
    let id = text(&made, "/id").to_owned();
    assert_eq!(text(&sm.json(&format!("sm secret --id {id}")), "/payload"), canary);
    sm.run(&format!("sm secret-delete --id {id} --force")).ok();
    // The server lives and its memory is searched: its own name for the account is in it.
    let pid = world.pid();
    match found(pid, world.account.as_bytes()) {
        None => assert_ne!(std::fs::metadata("/proc/self").unwrap().uid(), 0, "root may look"),
        Some(n) => {
            assert!(n > 0, "nothing of the server was read");
            assert_eq!(found(pid, canary.as_bytes()), Some(0), "copies of a deleted secret");
        }
    }
}
