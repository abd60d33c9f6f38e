//! Files that are in use, lost, exchanged or open to others.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::process::{Setup, World, secret};
use crate::runtime;

#[test]
fn a_second_server_on_the_same_folder_is_refused_and_the_first_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup::new(&dir.path().join("data"));
    runtime().block_on(async {
        let server = setup.start();
        let said = setup.refused();
        assert!(said.contains("another server uses the data folder"), "{said}");
        World::build(&server, &setup.data).await;
    });
}

#[test]
fn a_store_that_is_neither_engine_is_refused_without_being_repeated() {
    let dir = tempfile::tempdir().unwrap();
    for odd in ["mysql://u:canary@127.0.0.1/x", "", "SQLite", "/var/lib/x.db"] {
        let said = Setup::new(&dir.path().join("data")).with("AVOUCH_STORE", odd).refused();
        assert!(said.contains("store: neither 'sqlite' nor a postgres:// address"), "{said}");
        assert!(!said.contains("canary"), "{said}");
        assert!(!dir.path().join("data/avouch.db").exists());
    }
}

#[test]
fn a_lost_exchanged_or_readable_key_ring_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (setup, other) = (Setup::new(&dir.path().join("data")), Setup::new(&dir.path().join("other")));
    setup.start().kill();
    other.start().kill();
    let ring = setup.data.join("keyring");
    let good = std::fs::read(&ring).unwrap();
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(ring.clone()), 0o600);
    assert_eq!(mode(setup.data.join("bootstrap.env")), 0o600);

    std::fs::set_permissions(&ring, std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = setup.refused();
    assert!(said.contains("keyring") || said.contains("key file"), "{said}");
    std::fs::set_permissions(&ring, std::fs::Permissions::from_mode(0o600)).unwrap();

    std::fs::copy(other.data.join("keyring"), &ring).unwrap();
    assert!(setup.refused().contains("put the right key file back"));
    std::fs::remove_file(&ring).unwrap();
    assert!(setup.refused().contains("put the right key file back"));
    assert!(!ring.exists(), "a refused start made a key ring");

    std::fs::write(&ring, good).unwrap();
    std::fs::set_permissions(&ring, std::fs::Permissions::from_mode(0o600)).unwrap();
    setup.start();
}

#[test]
fn a_removed_database_file_ends_all_acknowledgement_until_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup::new(&dir.path().join("data"));
    runtime().block_on(async {
        let server = setup.start();
        let world = World::build(&server, &setup.data).await;
        let admin = server.login(&world.key).await;
        let (file, away) = (setup.data.join("avouch.db"), setup.data.join("away"));
        std::fs::rename(&file, &away).unwrap();
        for _ in 0..2 {
            let written = admin.post(&world.secrets(), secret("lost")).await;
            assert_eq!(written.status, 503, "{}", written.body);
            let token = admin.exchange_key(&world.key).await.unwrap();
            assert_eq!(token.status, 503, "{}", token.body);
            assert!(token.body.get("access_token").is_none());
            let read = admin.get(&format!("{}/{}", world.secrets(), world.secret)).await;
            assert_eq!((read.status, read.body.get("payload")), (503, None));
            assert_eq!(admin.get("/readyz").await.status, 503);
        }
        // Nor does a file in its place pass for it.
        std::fs::copy(&away, &file).unwrap();
        assert_eq!(admin.get("/readyz").await.status, 503);
        std::fs::rename(&away, &file).unwrap();
        admin.get("/readyz").await.ok();
        let body = json!({"name": "after", "account_id": world.account});
        let made = admin.post("/v1/profiles", body).await.ok().text("/id");
        server.kill();
        let server = setup.start();
        server.login(&world.key).await.get(&format!("/v1/profiles/{made}")).await.ok();
    });
}

#[test]
fn a_damaged_database_takes_no_change_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup::new(&dir.path().join("data"));
    runtime().block_on(async {
        let server = setup.start();
        let world = World::build(&server, &setup.data).await;
        let admin = server.login(&world.key).await;
        // More than the memory of a reader holds.
        for n in 0..300 {
            let body =
                json!({"secret_type": "arbitrary", "name": format!("s{n}"), "payload": "x".repeat(60_000)});
            admin.post(&world.secrets(), body).await.ok();
        }
        server.kill();
        let server = setup.start();
        let admin = server.login(&world.key).await;
        let path = setup.data.join("avouch.db");
        let pages = std::fs::metadata(&path).unwrap().len() / 4096;
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        for page in (20..pages).step_by(3) {
            std::os::unix::fs::FileExt::write_all_at(&file, &[0xff; 4096], page * 4096).unwrap();
        }
        let list = format!("{}?limit=200", world.secrets());
        let mut found = false;
        for offset in [0, 200] {
            let answer = admin.get(&format!("{list}&offset={offset}")).await;
            found |= answer.status >= 500;
            for secret in answer.body["secrets"].as_array().into_iter().flatten() {
                let read =
                    admin.get(&format!("{}/{}", world.secrets(), secret["id"].as_str().unwrap())).await;
                found |= read.status >= 500;
            }
        }
        assert!(found, "the damage was not met");
        for _ in 0..3 {
            let written = admin.post(&world.secrets(), secret("lost")).await;
            assert_eq!(written.status, 503, "{}", written.body);
            let token = admin.exchange_key(&world.key).await.unwrap();
            assert!(token.status >= 500 && token.body.get("access_token").is_none(), "{}", token.body);
            assert_eq!(admin.get("/readyz").await.status, 503);
        }
    });
}
