//! What is made once and shown once: it reaches somebody, or it is taken back.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use crate::text;
use crate::world::{User, World, mode};

fn keys(admin: &User<'_>) -> usize {
    admin.json("iam api-keys").as_array().unwrap().len()
}

/// An address that hands a connection on to the server, once it is told to. Tells when a request of this kind is there.
fn gate(server: &str, wanted: &'static str) -> (String, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = server.trim_start_matches("http://").to_owned();
    let (seen, see) = mpsc::channel();
    let (go, wait) = mpsc::channel();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut upstream = TcpStream::connect(&server).unwrap();
            let mut first = vec![0; 16_384];
            let n = client.read(&mut first).unwrap();
            if String::from_utf8_lossy(&first[..n]).starts_with(wanted) {
                seen.send(()).unwrap();
                wait.recv().unwrap();
            }
            upstream.write_all(&first[..n]).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut upstream, &mut client);
                let _ = client.shutdown(Shutdown::Write);
            });
        }
    });
    (address, see, go)
}

#[test]
fn a_key_that_nobody_reads_is_deleted_again() {
    let world = World::start();
    let admin = world.owner();
    let before = keys(&admin);
    for line in ["iam api-key-create lost", "iam api-key-create lost --output json"] {
        let mut create = admin.command(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(create.stdout.take());
        let ended = create.wait_with_output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.code() == Some(1) && said.contains("deleted again"), "{said}");
        assert_eq!(keys(&admin), before);
    }
}

#[test]
fn an_interrupted_creation_leaves_neither_key_nor_file() {
    let world = World::start();
    let before = keys(&world.owner());
    let (address, seen, go) = gate(&world.url, "POST /v1/apikeys ");
    let admin = world.owner().with("IAM_ENDPOINT", &address);
    for signal in ["TERM", "INT", "HUP"] {
        let create = admin
            .command("iam api-key-create broken --file broken.json")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        seen.recv().unwrap();
        let sent = Command::new("kill").args(["-s", signal, &create.id().to_string()]).status().unwrap();
        assert!(sent.success());
        go.send(()).unwrap();
        let ended = create.wait_with_output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.code() == Some(1) && said.contains("deleted again"), "{signal}: {said}");
        assert_eq!(keys(&world.owner()), before, "{signal}");
        assert!(!world.file("marker", "").with_file_name("broken.json").exists(), "{signal}");
    }
}

#[test]
fn the_key_of_a_new_accounts_owner_goes_into_a_file() {
    let world = World::start();
    let admin = world.owner();
    let line = "account create second --owner-email b@example.com --file second.json";
    let made = admin.run(line).ok();
    let file = world.file("marker", "").with_file_name("second.json");
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert!(mode(&file) == 0o600 && !made.out.contains(text(&written, "/apikey")), "{}", made.out);
    world.user("b").run(&format!("login -a {} --apikey @second.json", world.url)).ok();
    let again = admin.run("account create third --owner-email c@example.com --file second.json");
    assert!(again.code == 1 && again.err.contains("exists already"), "{}", again.err);
    assert_eq!(admin.json("account list").as_array().unwrap().len(), 2);
}

#[test]
fn tokens_of_an_identity_end_by_a_command_and_the_last_key_is_told() {
    let world = World::start();
    let admin = world.owner();
    admin.run("iam service-id-create nightly").ok();
    admin.run("iam service-api-key-create k nightly --file k.json").ok();
    let program = world.user("program");
    program.run(&format!("login -a {} --apikey @k.json", world.url)).ok();
    program.run("target").ok();
    program.run("iam service-ids").ok();
    let revoked = admin.run("iam tokens-revoke --service-id nightly -f").ok();
    assert!(revoked.err.contains("API keys were not touched"), "{}", revoked.err);
    let refused = program.run("iam service-ids");
    assert!(refused.code == 1 && refused.err.contains("HTTP status: 401"), "{}", refused.err);
    assert_eq!(admin.run("iam tokens-revoke").code, 2);
    let last = admin.run("iam api-key-delete bootstrap");
    assert!(last.code == 1 && last.err.contains("last API key"), "{}", last.err);
    admin.run("iam api-key-create second --file second.json").ok();
    assert!(!admin.run("iam api-key-delete bootstrap").err.contains("last API key"));
}
