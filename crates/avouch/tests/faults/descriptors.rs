//! Fewer descriptors than connections: those that are there go on, others wait, and nobody spins.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use serde_json::json;

use crate::process::{Client, Server, Setup, World, secret};
use crate::runtime;

const FEW: usize = 64;
/// More than the server lets in, and no more than the system lets wait.
const CROWD: usize = 140;

/// A connection that stays open, and what came back on it.
fn ask(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: avouch\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while !answer.ends_with(b"}") {
        match stream.read(&mut chunk)? {
            0 => break,
            n => answer.extend_from_slice(&chunk[..n]),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.url.trim_start_matches("http://")).unwrap()
}

fn open_files(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count()
}

/// Connections for all that follows: one that is not yet given back when the next request comes is no reason to make
/// another where none can be made.
async fn warm(admin: &Client) {
    let ask = || admin.get("/healthz");
    tokio::join!(ask(), ask(), ask(), ask());
}

/// Work that needs the store, through connections that are there.
async fn works(admin: &Client, world: &World, name: &str) {
    let made = admin.post(&world.secrets(), secret(name)).await.ok();
    let read = admin.get(&format!("{}/{}", world.secrets(), made.text("/id"))).await.ok();
    assert_eq!(admin.events_of(&read.transaction).await.len(), 1);
    admin.exchange_key(&world.key).await.unwrap().ok();
    admin.get("/readyz").await.ok();
}

#[test]
fn more_connections_than_descriptors_leave_room_for_the_store_and_wait_for_their_turn() {
    let data = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(data.path()).with("AVOUCH_LIMITS_CONNECTIONS_PER_ADDRESS", "0");
    setup.around = ["sh", "-c", &format!("ulimit -n {FEW} && exec \"$@\""), "sh"].map(str::to_owned).to_vec();
    let server = setup.start();
    let runtime = runtime();
    let world = runtime.block_on(World::build(&server, data.path()));
    let admin = runtime.block_on(server.login(&world.key));
    for round in 0..2 {
        // Through a connection that is there before all others.
        runtime.block_on(warm(&admin));
        runtime.block_on(works(&admin, &world, &format!("quiet-{round}")));
        let mut crowd: Vec<TcpStream> = (0..CROWD).map(|_| connect(&server)).collect();
        runtime.block_on(works(&admin, &world, &format!("crowded-{round}")));
        assert!(open_files(&server) < FEW, "{} of {FEW} are in use", open_files(&server));
        // Who was let in is answered; the others wait.
        assert!(ask(&mut crowd[0]).unwrap().starts_with("HTTP/1.1 200"));
        drop(crowd);
        assert!(ask(&mut connect(&server)).unwrap().starts_with("HTTP/1.1 200"));
    }
    assert_eq!(runtime.block_on(admin.figure("avouch_connections_not_accepted_total")), 0);
}

#[test]
fn a_server_without_descriptors_answers_those_who_are_there_and_does_not_spin() {
    if !Command::new("prlimit").arg("--version").output().is_ok_and(|out| out.status.success()) {
        eprintln!("NOT RUN: there is no prlimit here");
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let setup = Setup::new(data.path());
    let server = setup.start();
    let runtime = runtime();
    let world = runtime.block_on(World::build(&server, data.path()));
    let admin = runtime.block_on(server.login(&world.key));
    let limit = |n: usize| {
        let arguments = ["--pid", &server.pid().to_string(), &format!("--nofile={n}:")].map(str::to_owned);
        assert!(Command::new("prlimit").args(arguments).status().unwrap().success());
    };
    runtime.block_on(works(&admin, &world, "before"));
    runtime.block_on(warm(&admin));
    let began = Instant::now();
    // Not one more than there are.
    limit(3);
    let mut waiting: Vec<TcpStream> = (0..50).map(|_| connect(&server)).collect();
    for n in 0.. {
        let body = json!({"name": format!("p{n}"), "account_id": world.account});
        runtime.block_on(admin.post("/v1/profiles", body)).ok();
        if runtime.block_on(admin.figure("avouch_connections_not_accepted_total")) >= 3 {
            break;
        }
    }
    // One try in fifty milliseconds at most, however long all this took.
    let tries = runtime.block_on(admin.figure("avouch_connections_not_accepted_total"));
    let most = began.elapsed().as_millis() / 50 + 1;
    assert!(u128::from(tries) <= most, "{tries} tries in the time for {most}");
    limit(4096);
    for stream in &mut waiting {
        assert!(ask(stream).unwrap().starts_with("HTTP/1.1 200"));
    }
    runtime.block_on(works(&admin, &world, "after"));
    assert_eq!(runtime.block_on(admin.figure("avouch_panics_total")), 0);
}
