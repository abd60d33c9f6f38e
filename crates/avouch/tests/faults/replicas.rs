//! Two servers on one PostgreSQL database, with one key ring.

use std::path::Path;

use avouch_testkit::postgres_database;
use reqwest::Method;
use serde_json::json;

use crate::process::{Server, Setup, World};
use crate::runtime;

pub fn setups(dir: &Path, url: &str) -> [Setup; 2] {
    ["a", "b"].map(|name| {
        Setup::new(&dir.join(name))
            .with("AVOUCH_STORE", url)
            .with("AVOUCH_NODE", name)
            .with("AVOUCH_KEYRING", dir.join("keyring").to_str().unwrap())
    })
}

/// Both started at once on an empty database; the folder of the one that made the account.
pub fn start(setups: &[Setup; 2]) -> (Server, Server, usize) {
    let [a, b] = setups.each_ref().map(Setup::spawn);
    let (a, b) = (a.ready().unwrap(), b.ready().unwrap());
    let made: Vec<usize> = (0..2).filter(|n| setups[*n].data.join("bootstrap.env").exists()).collect();
    assert_eq!(made.len(), 1, "one of them makes the first account");
    (a, b, made[0])
}

#[test]
fn two_replicas_that_start_at_once_make_one_account_and_obey_each_other_at_once() {
    let Some((url, _database)) = postgres_database() else {
        eprintln!("not run: AVOUCH_TEST_POSTGRES is not set");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let setups = setups(dir.path(), &url);
    runtime().block_on(async {
        let (a, b, maker) = start(&setups);
        let world = World::build(&a, &setups[maker].data).await;
        let at_a = a.login(&world.key).await;
        let at_b = at_a.at(&b);
        let accounts = at_b.get("/avouch/v1/accounts").await.ok();
        assert_eq!(accounts.body["accounts"].as_array().map(Vec::len), Some(1), "{}", accounts.body);
        assert_eq!(at_a.get("/identity/keys").await.ok().body, at_b.get("/identity/keys").await.ok().body);

        // A pod's token of one is good at the other, and can do what was allowed at the first, no longer.
        let token = at_a.exchange_pod(&world.pod, &world.profile).await.unwrap().ok().text("/access_token");
        let pod = at_b.with(&token);
        let path = format!("{}/{}", world.secrets(), world.secret);
        for _ in 0..5 {
            assert_eq!(pod.get(&path).await.status, 403);
            let policy =
                at_a.post("/v2/policies", world.policy(&format!("iam-{}", world.profile))).await.ok();
            pod.get(&path).await.ok();
            at_a.delete(&format!("/v2/policies/{}", policy.text("/id"))).await.ok();
        }
        assert_eq!(pod.get(&path).await.status, 403);

        // An API key that is locked or deleted at one gives nothing at the other.
        let service = json!({"name": "s", "account_id": world.account});
        let service = at_a.post("/v1/serviceids", service).await.ok().text("/iam_id");
        let key = json!({"name": "k", "iam_id": service, "account_id": world.account, "store_value": false});
        let key = at_a.post("/v1/apikeys", key).await.ok();
        at_b.exchange_key(&key.text("/apikey")).await.unwrap().ok();
        at_a.delete(&format!("/v1/apikeys/{}", key.text("/id"))).await.ok();
        assert_eq!(at_b.exchange_key(&key.text("/apikey")).await.unwrap().status, 400);

        // One of many writers on one revision wins, wherever it writes.
        let profile = format!("/v1/profiles/{}", world.profile);
        for round in 0..5 {
            let etag = at_a.get(&profile).await.ok().etag;
            let writes: Vec<_> = (0..8)
                .map(|n| {
                    let (client, profile, etag) =
                        (if n % 2 == 0 { &at_a } else { &at_b }.clone(), profile.clone(), etag.clone());
                    let body = json!({"name": "pods", "description": format!("{round}.{n}")});
                    tokio::spawn(async move { client.send(Method::PUT, &profile, Some(body), &etag).await })
                })
                .collect();
            let mut won = Vec::new();
            for write in writes {
                let answer = write.await.unwrap().unwrap();
                match answer.status {
                    200 => won.push(answer.text("/description")),
                    409 | 412 => {}
                    _ => panic!("{} {}", answer.status, answer.body),
                }
            }
            assert_eq!(won.len(), 1, "{won:?}");
            assert_eq!(at_b.get(&profile).await.ok().text("/description"), won[0]);
        }

        // A profile that is gone at one takes its tokens with it at the other.
        pod.send(Method::GET, &path, None, "").await.unwrap();
        at_a.delete(&profile).await.ok();
        assert!(matches!(pod.get(&path).await.status, 401 | 403));
        assert_eq!(at_b.exchange_pod(&world.pod, &world.profile).await.unwrap().status, 400);

        // Either goes on alone.
        a.kill();
        at_b.get(&path).await.ok();
        let made =
            at_b.post("/v1/profiles", json!({"name": "alone", "account_id": world.account})).await.ok();
        let a = setups[0].start();
        at_b.at(&a).get(&format!("/v1/profiles/{}", made.text("/id"))).await.ok();
    });
}
