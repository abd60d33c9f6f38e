//! A secret that is rotated while a thousand readers read it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use avouch_testkit::postgres_database;
use reqwest::Method;
use serde_json::json;

use crate::process::{Client, Setup, World};
use crate::replicas::{setups, start};
use crate::runtime;

/// One such crowd at a time.
static CROWD: Mutex<()> = Mutex::new(());
const READERS: usize = 1000;
/// On PostgreSQL, whose server takes its part of the same processor: more would wait for longer than a request may.
const READERS_OF_REPLICAS: usize = 300;
const VERSIONS: usize = 10;

/// What one reader saw: how many versions were answered when he began, the version and its payload.
type Seen = (usize, String, String);

struct Shared {
    /// Versions whose creation was answered, the first among them.
    answered: AtomicUsize,
    /// Versions whose creation was begun.
    begun: AtomicUsize,
    over: AtomicBool,
}

fn payload(n: usize) -> String {
    // Long enough to lie on several pages.
    format!("payload-{n}-").repeat(1000)
}

async fn read(client: Client, path: String, shared: Arc<Shared>) -> Vec<Seen> {
    let mut seen = Vec::new();
    while !shared.over.load(Ordering::SeqCst) || seen.is_empty() {
        let before = shared.answered.load(Ordering::SeqCst);
        // On a machine so busy that ten seconds pass between two requests of a connection, the server closes it: that
        // request was not answered at all and is sent again. No answer may be an error.
        let read = match client.send(Method::GET, &path, None, "").await {
            Some(read) => read.ok(),
            None => client.get(&path).await.ok(),
        };
        seen.push((before, read.text("/id"), read.text("/payload")));
        let most = shared.begun.load(Ordering::SeqCst);
        let n = number(&read.text("/payload"));
        assert!((before..=most).contains(&n), "version {n} read between {before} and {most}");
    }
    seen
}

/// The number of a whole payload.
fn number(text: &str) -> usize {
    let n = text.split('-').nth(1).and_then(|n| n.parse().ok()).unwrap();
    assert_eq!(text, payload(n), "a payload of two versions");
    n
}

/// Rotates by turns at each of the servers, read at all of them.
async fn rotate(world: &World, at: &[Client], readers: usize) {
    let secret = json!({"secret_type": "arbitrary", "name": "turns", "payload": payload(1)});
    let secret = at[0].post(&world.secrets(), secret).await.ok().text("/id");
    let path = format!("{}/{secret}/versions", world.secrets());
    let first = at[0].get(&format!("{path}/current")).await.ok().text("/id");
    let shared = Arc::new(Shared {
        answered: AtomicUsize::new(1),
        begun: AtomicUsize::new(1),
        over: AtomicBool::new(false),
    });
    let reading: Vec<_> = (0..readers)
        .map(|n| tokio::spawn(read(at[n % at.len()].clone(), format!("{path}/current"), shared.clone())))
        .collect();
    let mut ids = HashMap::from([(first, 1)]);
    for n in 2..=VERSIONS {
        shared.begun.store(n, Ordering::SeqCst);
        let made = at[n % at.len()].post(&path, json!({"payload": payload(n)})).await.ok();
        assert_eq!((made.status, made.text("/payload")), (201, payload(n)));
        shared.answered.store(n, Ordering::SeqCst);
        ids.insert(made.text("/id"), n);
        // The next read at each server sees it.
        for client in at {
            assert_eq!(client.get(&format!("{path}/current")).await.ok().text("/id"), made.text("/id"));
        }
        // And the one before is not dead.
        let old = at[0].get(&format!("{path}/previous")).await.ok();
        assert_eq!(old.text("/payload"), payload(n - 1));
    }
    shared.over.store(true, Ordering::SeqCst);
    let mut reads = 0;
    let mut versions = [0; VERSIONS + 1];
    for reader in reading {
        let mut last = 0;
        for (before, id, text) in reader.await.unwrap() {
            let n = number(&text);
            assert_eq!(ids.get(&id), Some(&n), "the payload of another version");
            assert!(n >= last && n >= before, "a reader went back from {last} to {n}");
            last = n;
            versions[n] += 1;
            reads += 1;
        }
    }
    assert!(reads >= readers);
    assert!(versions.iter().filter(|n| **n > 0).count() > 2, "nobody read while it turned: {versions:?}");
}

fn patient(setup: Setup) -> Setup {
    setup.with("AVOUCH_LIMITS_CONNECTIONS_PER_ADDRESS", "0")
}

#[test]
fn a_rotation_under_a_thousand_readers_shows_each_a_whole_version_and_none_an_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let setup = patient(Setup::new(&dir.path().join("data")));
    let _alone = CROWD.lock().unwrap_or_else(PoisonError::into_inner);
    runtime().block_on(async {
        let server = setup.start();
        let world = World::build(&server, &setup.data).await;
        rotate(&world, &[server.login(&world.key).await], READERS).await;
    });
}

#[test]
fn a_rotation_under_readers_at_two_replicas_shows_each_a_whole_version_and_none_an_old_one() {
    let Some((url, _database)) = postgres_database() else {
        eprintln!("not run: AVOUCH_TEST_POSTGRES is not set");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let setups = setups(dir.path(), &url).map(patient);
    let _alone = CROWD.lock().unwrap_or_else(PoisonError::into_inner);
    runtime().block_on(async {
        let (a, b, maker) = start(&setups);
        let world = World::build(&a, &setups[maker].data).await;
        let at_a = a.login(&world.key).await;
        let at_b = at_a.at(&b);
        rotate(&world, &[at_a, at_b], READERS_OF_REPLICAS).await;
    });
}
