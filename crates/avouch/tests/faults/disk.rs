//! A data folder on a file system of its own that is filled up.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{PAYLOAD, Server, Setup, World, secret};
use crate::runtime;

const MOUNT: &str = "mount -t tmpfs -o size=8m tmpfs \"$0\" || exit 99; exec \"$@\"";

/// A server that alone sees the file system on which its data is; `None` where the machine allows no such thing.
fn on_a_small_disk(dir: &Path) -> Option<(Server, PathBuf)> {
    let namespaces = ["--user", "--map-root-user", "--mount", "sh", "-c"];
    let probe = Command::new("unshare").args(namespaces).args([MOUNT]).arg(dir).arg("true").output();
    if !probe.as_ref().is_ok_and(|p| p.status.success()) {
        eprintln!("NOT RUN: no mount namespaces here: {probe:?}");
        return None;
    }
    let mut setup = Setup::new(&dir.join("data"));
    setup.around = std::iter::once("unshare").chain(namespaces).map(str::to_owned).collect();
    setup.around.extend([MOUNT.to_owned(), dir.to_str().unwrap().to_owned()]);
    let server = setup.start();
    let inside = PathBuf::from(format!("/proc/{}/root{}", server.pid(), dir.display()));
    Some((server, inside))
}

const NO_ROOM: &str = "The disk is full: only what revokes, deletes or locks is done until there is room.";

#[test]
fn a_full_disk_discloses_and_issues_nothing_and_heals_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let Some((server, inside)) = on_a_small_disk(dir.path()) else { return };
    runtime().block_on(async {
        let world = World::build(&server, &inside.join("data")).await;
        let admin = server.login(&world.key).await;
        let path = format!("{}/{}", world.secrets(), world.secret);
        let mut answered = Vec::new();
        for round in 0..2 {
            let spare = admin.post(&world.secrets(), secret(&format!("spare-{round}"))).await.ok();
            assert!(inside.join("data/reserve").exists());
            let mut filler = std::fs::File::create(inside.join("filler")).unwrap();
            while filler.write_all(&[1; 4096]).is_ok() {}
            drop(filler);
            // What is left of the log's last pages may still take some.
            let mut refused = 0;
            for n in 0..3000 {
                let answer = if n % 2 == 0 {
                    admin.get(&path).await
                } else {
                    admin.exchange_key(&world.key).await.unwrap()
                };
                let told = answer.body.to_string();
                match answer.status {
                    200 => answered.push(answer.transaction),
                    503 => {
                        assert!(!told.contains(PAYLOAD) && !told.contains("access_token"), "{told}");
                        assert!(
                            answer.body.get("errors").is_some() || answer.body.get("errorCode").is_some(),
                            "{told}"
                        );
                        refused += 1;
                    }
                    _ => panic!("{} {told}", answer.status),
                }
                if refused == 20 {
                    break;
                }
            }
            assert_eq!(refused, 20, "the disk did not fill");
            // Now at the latest the reserve is given back, and serves for what lowers a risk.
            assert_eq!(admin.get("/readyz").await.status, 503);
            assert!(!inside.join("data/reserve").exists());
            let deleted = admin.delete(&format!("{}/{}", world.secrets(), spare.text("/id"))).await.ok();
            answered.push(deleted.transaction);
            let refused = admin.exchange_key(&world.key).await.unwrap();
            assert_eq!(
                (refused.status, refused.body["errorMessage"].as_str()),
                (503, Some(NO_ROOM)),
                "{}",
                refused.body
            );
            let refused = admin.get(&world.secrets()).await;
            assert_eq!((refused.status, refused.body["errors"][0]["message"].as_str()), (503, Some(NO_ROOM)));
            let made = admin.post(&world.secrets(), secret(&format!("full-{round}"))).await;
            assert_eq!(made.status, 503, "{}", made.body);
            admin.get("/healthz").await.ok();
            assert_eq!(admin.get("/readyz").await.status, 503);

            std::fs::remove_file(inside.join("filler")).unwrap();
            admin.get("/readyz").await.ok();
            admin.post(&world.secrets(), secret(&format!("healed-{round}"))).await.ok();
            answered.push(admin.get(&path).await.ok().transaction);
        }
        for transaction in &answered {
            assert_eq!(admin.events_of(transaction).await.len(), 1, "{transaction}");
        }
    });
}
