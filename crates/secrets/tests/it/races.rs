//! Requests that meet: whoever is acknowledged gets what he was told.

use serde_json::json;
use tokio::task::JoinHandle;

use crate::vault::{Caller, Vault, path};

const TRIES: usize = 300;

fn spawn(c: &Caller, method: &'static str, path: String, body: serde_json::Value) -> JoinHandle<u16> {
    let c = c.clone();
    tokio::spawn(async move { c.call(method, &path, body).await.status })
}

/// Starts both at once, the first one first in every second try.
async fn meet(
    n: usize,
    a: impl FnOnce() -> JoinHandle<u16>,
    b: impl FnOnce() -> JoinHandle<u16>,
) -> (u16, u16) {
    let (a, b) = if n.is_multiple_of(2) {
        let a = a();
        (a, b())
    } else {
        let b = b();
        (a(), b)
    };
    (a.await.unwrap(), b.await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_lock_that_was_acknowledged_is_never_on_a_deleted_secret() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let (mut locked, mut deleted) = (0, 0);
    for n in 0..TRIES {
        let secret = admin.text(&format!("s{n}")).await;
        let (lock, delete) = meet(
            n,
            || spawn(&admin, "POST", format!("{secret}/locks_bulk"), json!({"locks": [{"name": "l1"}]})),
            || spawn(&admin, "DELETE", secret.clone(), json!(null)),
        )
        .await;
        let left = admin.get(&secret).await;
        match (lock, delete) {
            (201, 412) => {
                locked += 1;
                assert_eq!((left.status, &left.body["payload"]), (200, &json!(format!("s{n}-1"))));
                assert_eq!(left.body["locks_total"], 1);
            }
            (404, 204) => {
                deleted += 1;
                assert_eq!(left.status, 404);
            }
            other => panic!("{other:?}"),
        }
    }
    // Both outcomes happened, so there was a race.
    assert!(locked > 0 && deleted > 0, "{locked} {deleted}");
    let orphans = v
        .numbers(
            "select 1 from sm_locks where name = $1 and secret_id not in (select id from sm_secrets)",
            "l1",
        )
        .await;
    assert!(orphans.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_lock_that_was_acknowledged_keeps_the_payload_of_its_version() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let secret = admin.text("db").await;
    let mut previous = "db-1".to_owned();
    admin.rotate(&secret, "p0").await;
    let mut current = "p0".to_owned();
    let mut outcomes = std::collections::BTreeMap::<(u16, u16), usize>::new();
    let lock = json!({"locks": [{"name": "l1"}]});
    for n in 1..=TRIES {
        let body = json!({"payload": format!("p{n}")});
        let held = admin.get(&format!("{secret}/versions/previous")).await.body;
        assert_eq!(held["payload"], previous);
        let id = held["id"].as_str().unwrap();
        let (lock, rotate) = meet(
            n,
            || spawn(&admin, "POST", format!("{secret}/versions/{id}/locks_bulk"), lock.clone()),
            || spawn(&admin, "POST", format!("{secret}/versions"), body),
        )
        .await;
        *outcomes.entry((lock, rotate)).or_default() += 1;
        let after = admin.get(&format!("{secret}/versions/{id}")).await.body;
        match (lock, rotate) {
            (201, 412) => {
                assert_eq!((&after["payload"], &after["alias"]), (&json!(previous), &json!("previous")))
            }
            (400, 201) => {
                assert_eq!(after["payload_available"], false);
                previous = std::mem::replace(&mut current, format!("p{n}"));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(admin.delete(&format!("{secret}/versions/previous/locks_bulk")).await.status, 200);
    }
    assert_eq!(outcomes.len(), 2, "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_lock_on_the_previous_version_and_its_erasure_exclude_each_other() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let erase = json!({"locks": [{"name": "mine"}]});
    let keep = json!({"locks": [{"name": "theirs"}]});
    let mut outcomes = std::collections::BTreeMap::<u16, usize>::new();
    for n in 0..TRIES / 2 {
        let secret = admin.text(&format!("s{n}")).await;
        admin.rotate(&secret, "new").await;
        let (kept, erased) = meet(
            n,
            || spawn(&admin, "POST", format!("{secret}/versions/previous/locks_bulk"), keep.clone()),
            || {
                spawn(
                    &admin,
                    "POST",
                    format!("{secret}/locks_bulk?mode=remove_previous_and_delete"),
                    erase.clone(),
                )
            },
        )
        .await;
        assert_eq!(erased, 201);
        *outcomes.entry(kept).or_default() += 1;
        let previous = admin.get(&format!("{secret}/versions/previous")).await.body;
        assert_eq!(previous["payload_available"], kept == 201, "{kept}");
    }
    assert!(outcomes.keys().all(|s| [201, 400].contains(s)), "{outcomes:?}");
    assert_eq!(outcomes.len(), 2, "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_secret_is_made_in_a_group_that_was_deleted() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let mut outcomes = std::collections::BTreeMap::<(u16, u16), usize>::new();
    for n in 0..TRIES {
        let group = admin.group(&format!("g{n}")).await;
        let body = json!({"secret_type": "arbitrary", "name": format!("s{n}"), "payload": "x", "secret_group_id": group});
        let (create, delete) = meet(
            n,
            || spawn(&admin, "POST", "/secrets".into(), body),
            || spawn(&admin, "DELETE", format!("/secret_groups/{group}"), json!(null)),
        )
        .await;
        *outcomes.entry((create, delete)).or_default() += 1;
    }
    assert!(outcomes.keys().all(|o| [(201, 409), (404, 204)].contains(o)), "{outcomes:?}");
    let astray = v
        .numbers(
            "select 1 from sm_secrets where group_id <> $1 and group_id not in (select id from sm_groups)",
            "default",
        )
        .await;
    assert_eq!((astray.len(), outcomes.len()), (0, 2), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_version_is_made_for_a_secret_that_was_destroyed_meanwhile() {
    let v = Vault::new().await;
    for n in 0..TRIES / 3 {
        let admin = v.admin().await;
        let made = admin
            .secret(json!({"secret_type": "arbitrary", "name": format!("s{n}"), "payload": "x",
                "expiration_date": v.at(60)}))
            .await;
        let secret = path(&made);
        let rotate = spawn(&admin, "POST", format!("{secret}/versions"), json!({"payload": "y"}));
        for _ in 0..n % 8 {
            tokio::task::yield_now().await;
        }
        v.t.advance_secs(60);
        avouch_secrets::tick(v.t.app()).await.unwrap();
        let status = rotate.await.unwrap();
        assert!([201, 400].contains(&status), "{status}");
        avouch_secrets::tick(v.t.app()).await.unwrap();
        let left = v
            .numbers("select n from sm_versions where secret_id = $1 and sealed is not null", &secret[9..])
            .await;
        assert!(left.is_empty(), "a payload of a destroyed secret stays: {status} {left:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_read_that_meets_a_deletion_is_answered_or_finds_nothing() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    for n in 0..TRIES {
        let secret = admin.text(&format!("s{n}")).await;
        let (read, delete) = meet(
            n,
            || spawn(&admin, "GET", secret.clone(), json!(null)),
            || spawn(&admin, "DELETE", secret.clone(), json!(null)),
        )
        .await;
        assert!([200, 404].contains(&read) && delete == 204, "{read} {delete}");
    }
}
