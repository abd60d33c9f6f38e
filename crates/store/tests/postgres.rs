//! What only several transactions at once show: conflicts, broken connections, two replicas that start together.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use avouch_store::testing::{fresh, home, postgres_url};
use avouch_store::{Engine, Error, Store, Target, params};

fn skipped() -> bool {
    if postgres_url().is_none() {
        eprintln!("not run: AVOUCH_TEST_POSTGRES is not set");
        return true;
    }
    false
}

async fn number(store: &Store, name: &'static str) -> i64 {
    store
        .read::<_, Error, _>(move |tx| {
            Ok(i64::from_be_bytes(tx.system_value(name)?.unwrap().try_into().unwrap()))
        })
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_conflict_one_runs_again_and_both_are_kept() {
    if skipped() {
        return;
    }
    let f = fresh(Engine::Postgres).unwrap();
    f.store.write::<_, Error, _>(|tx| tx.set_system_value("n", &0i64.to_be_bytes())).await.unwrap();
    let (both_read, runs) = (Arc::new(Barrier::new(2)), Arc::new(AtomicUsize::new(0)));
    let tasks: Vec<_> = (0..2)
        .map(|_| {
            let (store, both_read, runs) = (f.store.clone(), both_read.clone(), runs.clone());
            tokio::spawn(async move {
                let mut first = true;
                store
                    .write::<_, Error, _>(move |tx| {
                        runs.fetch_add(1, Ordering::SeqCst);
                        let n = i64::from_be_bytes(tx.system_value("n")?.unwrap().try_into().unwrap());
                        if std::mem::replace(&mut first, false) {
                            both_read.wait();
                        }
                        tx.set_system_value("n", &(n + 1).to_be_bytes())
                    })
                    .await
            })
        })
        .collect();
    for t in tasks {
        t.await.unwrap().unwrap();
    }
    assert_eq!(runs.load(Ordering::SeqCst), 3);
    assert_eq!(number(&f.store, "n").await, 2);
}

/// Two rows that must not both be set: each transaction reads the other's row and writes its own.
#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_only_read_what_the_other_writes_are_kept_apart_too() {
    if skipped() {
        return;
    }
    let f = fresh(Engine::Postgres).unwrap();
    let both_read = Arc::new(Barrier::new(2));
    let tasks: Vec<_> = [("a", "b"), ("b", "a")]
        .into_iter()
        .map(|(mine, other)| {
            let (store, both_read) = (f.store.clone(), both_read.clone());
            tokio::spawn(async move {
                let mut first = true;
                store
                    .write::<_, Error, _>(move |tx| {
                        let free = tx.system_value(other)?.is_none();
                        if std::mem::replace(&mut first, false) {
                            both_read.wait();
                        }
                        if free {
                            tx.set_system_value(mine, b"1")?;
                        }
                        Ok(free)
                    })
                    .await
                    .unwrap()
            })
        })
        .collect();
    let mut set = 0;
    for t in tasks {
        set += i64::from(t.await.unwrap());
    }
    assert_eq!(set, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_one_account_queue_instead_of_running_twice() {
    if skipped() {
        return;
    }
    let f = fresh(Engine::Postgres).unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (store, runs) = (f.store.clone(), runs.clone());
            tokio::spawn(async move {
                store
                    .write_for::<_, Error, _>("acct", move |tx| {
                        runs.fetch_add(1, Ordering::SeqCst);
                        tx.changed("acct", "policy", "p")
                    })
                    .await
                    .unwrap()
            })
        })
        .collect();
    for t in tasks {
        t.await.unwrap();
    }
    assert_eq!(f.store.revision("acct").await.unwrap(), 50);
    assert_eq!(runs.load(Ordering::SeqCst), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_connections_are_made_anew() {
    if skipped() {
        return;
    }
    let (mut config, _home) = home(Engine::Postgres).unwrap();
    // Under a name of their own: other tests use the same server.
    let Target::Postgres(address) = &mut config.target else { panic!("no address") };
    address.push_str("&application_name=broken");
    let store = Store::open(&config).unwrap();
    for n in 0..10 {
        let ended = store
            .read::<_, Error, _>(|tx| {
                tx.query(
                    "select pg_terminate_backend(pid) from pg_stat_activity \
                     where application_name = current_setting('application_name') and pid <> pg_backend_pid()",
                    &[],
                )
            })
            .await;
        ended.unwrap();
        store.write::<_, Error, _>(move |tx| tx.changed("acct", "policy", &format!("{n}"))).await.unwrap();
        assert_eq!(store.revision("acct").await.unwrap(), n + 1);
    }
    store.health().await.unwrap();
}

#[test]
fn replicas_that_start_together_migrate_once() {
    if skipped() {
        return;
    }
    let (config, _home) = home(Engine::Postgres).unwrap();
    let start = Barrier::new(4);
    let stores: Vec<Store> = std::thread::scope(|scope| {
        let opening: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    Store::open(&config).unwrap()
                })
            })
            .collect();
        opening.into_iter().map(|o| o.join().unwrap()).collect()
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        // What one replica was answered, every other one sees.
        for (n, store) in (1..).zip(&stores) {
            store.write::<_, Error, _>(|tx| tx.changed("acct", "policy", "p")).await.unwrap();
            for other in &stores {
                assert_eq!(other.revision("acct").await.unwrap(), n);
            }
        }
        let twice: i64 = stores[0]
            .read::<_, Error, _>(|tx| {
                tx.query_one(
                    "select count(*) - count(distinct name) from schema_migrations where name <> $1",
                    &params![""],
                )?
                .get(0)
            })
            .await
            .unwrap();
        assert_eq!(twice, 0);
    });
}

#[test]
fn a_parameter_of_another_type_is_refused_and_harms_nobody() {
    if skipped() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let f = fresh(Engine::Postgres).unwrap();
        let sql = "insert into system_values (name, value) values ($1, $2)";
        for bad in [params!["n", "text"], params![1, vec![1u8]], params!["n", 1]] {
            let refused = f.store.write::<_, Error, _>(move |tx| tx.execute(sql, &bad)).await;
            assert!(matches!(refused, Err(Error::Type(_))), "{refused:?}");
        }
        let refused = f.store.write::<_, Error, _>(move |tx| tx.execute(sql, &params!["n"])).await;
        assert!(matches!(refused, Err(Error::Type(_))), "{refused:?}");
        f.store.health().await.unwrap();
    });
}

#[test]
fn an_address_without_server_is_told_without_its_password() {
    let config = avouch_store::StoreConfig {
        target: avouch_store::Target::Postgres("postgres://u:hunter2@127.0.0.1:1/x".into()),
        readers: 1,
    };
    let refused = Store::open(&config);
    let text = format!("{refused:?} {config:?}");
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}
