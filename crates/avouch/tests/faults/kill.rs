//! SIGKILL and SIGTERM under load: what was answered is there, with its event; nothing is half done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use avouch_testkit::postgres_database;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::process::{Answer, Client, PAYLOAD, Server, Setup, World, bootstrap, secret};
use crate::runtime;

/// A request that was answered with success.
pub struct Done {
    pub what: What,
    pub name: String,
    pub answer: Answer,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum What {
    Profile,
    Policy,
    Secret,
    KeyToken,
    PodToken,
    Read,
}

pub const ALL: [What; 6] =
    [What::Profile, What::Policy, What::Secret, What::KeyToken, What::PodToken, What::Read];

/// One request of a kind; `None` when no answer came.
pub async fn one(what: What, name: &str, world: &World, admin: &Client) -> Option<Answer> {
    match what {
        What::Profile => {
            let body = json!({"name": name, "account_id": world.account, "description": name});
            admin.try_post("/v1/profiles", body).await
        }
        What::Policy => admin.try_post("/v2/policies", world.policy(&format!("iam-ServiceId-{name}"))).await,
        What::Secret => admin.try_post(&world.secrets(), secret(name)).await,
        What::KeyToken => admin.exchange_key(&world.key).await,
        What::PodToken => admin.exchange_pod(&world.pod, &world.profile).await,
        What::Read => {
            let path = format!("{}/{}", world.secrets(), world.secret);
            admin.send(reqwest::Method::GET, &path, None, "").await
        }
    }
}

/// Two clients for each kind of request, until no answer comes.
async fn load(server: &Server, world: &World) -> mpsc::UnboundedReceiver<Done> {
    static N: AtomicU64 = AtomicU64::new(0);
    let admin = server.login(&world.key).await;
    let (say, hear) = mpsc::unbounded_channel();
    let world = Arc::new(world.clone());
    for what in ALL.into_iter().chain(ALL) {
        let (world, admin, say) = (world.clone(), admin.clone(), say.clone());
        tokio::spawn(async move {
            loop {
                let name = format!("{:08x}-0000-4000-8000-000000000000", N.fetch_add(1, Ordering::Relaxed));
                let Some(answer) = one(what, &name, &world, &admin).await else { return };
                assert!((200..300).contains(&answer.status), "{} {}", answer.status, answer.body);
                if say.send(Done { what, name, answer }).is_err() {
                    return;
                }
            }
        });
    }
    hear
}

/// Everything that was answered is there and whole, and told in the trail.
pub async fn check(admin: &Client, world: &World, done: &[Done]) {
    for d in done {
        let id = || d.answer.text("/id");
        match d.what {
            What::Profile => {
                let there = admin.get(&format!("/v1/profiles/{}", id())).await.ok();
                assert_eq!(there.text("/description"), d.name);
            }
            What::Policy => {
                let there = admin.get(&format!("/v2/policies/{}", id())).await.ok();
                assert_eq!(there.body["subject"], d.answer.body["subject"]);
            }
            What::Secret => {
                let there = admin.get(&format!("{}/{}", world.secrets(), id())).await.ok();
                assert_eq!((there.text("/name"), there.text("/payload")), (d.name.clone(), PAYLOAD.into()));
            }
            What::KeyToken | What::PodToken => assert!(!d.answer.text("/access_token").is_empty()),
            What::Read => assert_eq!(d.answer.text("/payload"), PAYLOAD),
        }
        let events = admin.events_of(&d.answer.transaction).await;
        let told = events.iter().filter(|e| e["outcome"] == "success").count();
        assert_eq!(told, 1, "{} has no event of its own: {events:?}", d.answer.transaction);
    }
}

/// What nobody was told of is there with its event and all its parts, or not there.
pub async fn nothing_half_done(admin: &Client, world: &World) {
    let listed = |page: Answer, of: &str| page.ok().body[of].as_array().unwrap().clone();
    let id = |v: &Value| v["id"].as_str().unwrap().to_owned();
    let profiles = listed(
        admin.get(&format!("/v1/profiles?account_id={}&pagesize=100", world.account)).await,
        "profiles",
    );
    for profile in profiles {
        let target = profile["crn"].as_str().unwrap().replace(':', "%3A").replace('/', "%2F");
        let events = listed(
            admin
                .get(&format!(
                    "/avouch/v1/audit/events?action=iam-identity.account-profile.create&target_id={target}"
                ))
                .await,
            "events",
        );
        assert_eq!(events.len(), 1, "{profile}");
    }
    for s in listed(admin.get(&format!("{}?limit=200", world.secrets())).await, "secrets") {
        let versions =
            listed(admin.get(&format!("{}/{}/versions", world.secrets(), id(&s))).await, "versions");
        assert_eq!(versions.len(), 1, "{s}");
        assert_eq!(
            admin.get(&format!("{}/{}", world.secrets(), id(&s))).await.ok().text("/payload"),
            PAYLOAD
        );
    }
}

fn kill_rounds(setup: &Setup) {
    let rounds = std::env::var("FAULT_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    runtime().block_on(async {
        let mut server = setup.start();
        let world = World::build(&server, &setup.data).await;
        for round in 0..rounds {
            let mut answers = load(&server, &world).await;
            // Another moment in each round, with a dozen requests on their way.
            let enough = 20 + (round * 37) % 60;
            let mut done = Vec::new();
            while done.len() < enough {
                done.push(answers.recv().await.expect("the load ended by itself"));
            }
            server.kill();
            // What was answered before the end counts too.
            while let Some(d) = answers.recv().await {
                done.push(d);
            }
            server = setup.start();
            let admin = server.login(&world.key).await;
            check(&admin, &world, &done).await;
            nothing_half_done(&admin, &world).await;
        }
    });
}

#[test]
fn a_killed_server_keeps_what_it_answered_with_its_events() {
    let dir = tempfile::tempdir().unwrap();
    kill_rounds(&Setup::new(&dir.path().join("data")));
}

#[test]
fn a_killed_server_on_postgresql_keeps_what_it_answered_with_its_events() {
    let Some((url, _database)) = postgres_database() else {
        eprintln!("not run: AVOUCH_TEST_POSTGRES is not set");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    kill_rounds(&Setup::new(&dir.path().join("data")).with("AVOUCH_STORE", url));
}

#[test]
fn a_server_told_to_end_answers_what_it_began_and_ends_well() {
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup::new(&dir.path().join("data"));
    runtime().block_on(async {
        let server = setup.start();
        let world = World::build(&server, &setup.data).await;
        let admin = server.login(&world.key).await;
        // Reads of which nobody waits for the event: it must not be lost with the process.
        let mut quiet = Vec::new();
        for _ in 0..20 {
            quiet.push(admin.get(&world.secrets()).await.ok().transaction);
        }
        let mut answers = load(&server, &world).await;
        let mut done = Vec::new();
        while done.len() < 30 {
            done.push(answers.recv().await.unwrap());
        }
        quiet.push(admin.get(&world.secrets()).await.ok().transaction);
        server.terminate();
        while let Some(d) = answers.recv().await {
            done.push(d);
        }
        assert_eq!(server.ended().code(), Some(0));
        let server = setup.start();
        let admin = server.login(&bootstrap(&setup.data, "IAM_APIKEY")).await;
        check(&admin, &world, &done).await;
        nothing_half_done(&admin, &world).await;
        for transaction in quiet {
            assert_eq!(admin.events_of(&transaction).await.len(), 1, "{transaction}");
        }
    });
}
