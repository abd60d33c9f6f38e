//! The same promises on both engines. The PostgreSQL half runs when `AVOUCH_TEST_POSTGRES` names a server.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use avouch_store::testing::{Fresh, fresh, postgres_url};
use avouch_store::{Engine, Error, Store, StoreConfig, Target, params};

async fn on_both<F, Fut>(test: F)
where
    F: Fn(Fresh) -> Fut,
    Fut: Future<Output = ()>,
{
    test(fresh(Engine::Sqlite).unwrap()).await;
    if postgres_url().is_some() {
        test(fresh(Engine::Postgres).unwrap()).await;
    } else {
        eprintln!("PostgreSQL half not run: AVOUCH_TEST_POSTGRES is not set");
    }
}

async fn put(store: &Store, name: &str, value: &[u8]) -> Result<(), Error> {
    let (name, value) = (name.to_owned(), value.to_vec());
    store.write(move |tx| tx.set_system_value(&name, &value)).await
}

async fn get(store: &Store, name: &str) -> Option<Vec<u8>> {
    let name = name.to_owned();
    store.read::<_, Error, _>(move |tx| tx.system_value(&name)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_there_and_what_failed_is_not() {
    on_both(|f| async move {
        put(&f.store, "a", b"1").await.unwrap();
        let failed: Result<(), Error> = f
            .store
            .write(|tx| {
                tx.set_system_value("b", b"2")?;
                Err(Error::Other("changed my mind".into()))
            })
            .await;
        assert!(failed.is_err());
        assert_eq!(get(&f.store, "a").await.as_deref(), Some(&b"1"[..]));
        assert_eq!(get(&f.store, "b").await, None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_or_panicking_neighbour_undoes_nobody_else() {
    on_both(|f| async move {
        let mut tasks = Vec::new();
        for n in 0..200 {
            let store = f.store.clone();
            tasks.push(tokio::spawn(async move {
                let result: Result<(), Error> = store
                    .write(move |tx| {
                        tx.execute("insert into leases (name, holder, epoch, expires_at) values ($1, 'x', 1, 0)", &params![format!("l{n}")])?;
                        match n % 4 {
                            1 => Err(Error::Other("no".into())),
                            2 => panic!("closure {n}"),
                            _ => Ok(()),
                        }
                    })
                    .await;
                result.is_ok()
            }));
        }
        let mut kept = 0;
        for t in tasks {
            kept += i64::from(t.await.unwrap());
        }
        assert_eq!(kept, 100);
        let rows: i64 = f
            .store
            .read::<_, Error, _>(|tx| tx.query_one("select count(*) from leases", &[])?.get(0))
            .await
            .unwrap();
        assert_eq!(rows, 100);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_writers_share_commits() {
    let f = fresh(Engine::Sqlite).unwrap();
    let before = f.store.commits();
    let tasks: Vec<_> = (0..500)
        .map(|n| {
            let store = f.store.clone();
            tokio::spawn(async move { put(&store, &format!("k{n}"), b"v").await.unwrap() })
        })
        .collect();
    for t in tasks {
        t.await.unwrap();
    }
    assert!(f.store.commits() - before < 400, "{} commits for 500 writes", f.store.commits() - before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_key_is_told_by_meaning() {
    on_both(|f| async move {
        let insert = |store: Store| async move {
            store
                .write::<_, Error, _>(|tx| {
                    tx.execute("insert into leases (name, holder, epoch, expires_at) values ('x', 'secret-holder', 1, 0)", &[])
                })
                .await
        };
        insert(f.store.clone()).await.unwrap();
        match insert(f.store.clone()).await {
            Err(Error::Unique { what }) => assert!(!what.contains("secret-holder"), "{what}"),
            other => panic!("{other:?}"),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_folder_is_refused() {
    let f = fresh(Engine::Sqlite).unwrap();
    assert!(matches!(Store::open(&f.config), Err(Error::Locked(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_is_visible_as_soon_as_its_change_is_answered() {
    on_both(|f| async move {
        for n in 1..=20 {
            let rev: i64 =
                f.store.write::<_, Error, _>(move |tx| tx.changed("acct", "policy", &format!("p{n}"))).await.unwrap();
            assert_eq!(rev, n);
            assert_eq!(f.store.revision("acct").await.unwrap(), n);
        }
        let changes = f.store.read::<_, Error, _>(|tx| tx.changes_since("acct", 18, 10)).await.unwrap();
        assert_eq!(changes.iter().map(|c| c.object.as_str()).collect::<Vec<_>>(), ["p19", "p20"]);
        assert_eq!(f.store.revision("other").await.unwrap(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_lose_no_increment_under_concurrency() {
    on_both(|f| async move {
        let runs = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..60)
            .map(|_| {
                let (store, runs) = (f.store.clone(), runs.clone());
                tokio::spawn(async move {
                    store
                        .write::<_, Error, _>(move |tx| {
                            runs.fetch_add(1, Ordering::Relaxed);
                            let n = tx.system_value("n")?.map_or(0, |v| i64::from_be_bytes(v.try_into().unwrap()));
                            tx.set_system_value("n", &(n + 1).to_be_bytes())
                        })
                        .await
                })
            })
            .collect();
        let mut done = 0i64;
        for t in tasks {
            done += i64::from(t.await.unwrap().is_ok());
        }
        let n = i64::from_be_bytes(get(&f.store, "n").await.unwrap().try_into().unwrap());
        assert_eq!(n, done, "ran {} times", runs.load(Ordering::Relaxed));
        assert!(done > 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_has_one_holder_and_its_epoch_rises_with_the_holder() {
    on_both(|f| async move {
        let take = |who: &'static str, now: i64| {
            let store = f.store.clone();
            async move { store.write::<_, Error, _>(move |tx| tx.acquire_lease("job", who, now, 100)).await.unwrap() }
        };
        assert_eq!(take("a", 0).await, Some(1));
        assert_eq!(take("b", 50).await, None);
        assert_eq!(take("a", 90).await, Some(1));
        assert_eq!(take("b", 190).await, Some(2));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_fails_writes_keeps_reads_and_heals() {
    let f = fresh(Engine::Sqlite).unwrap();
    put(&f.store, "before", b"1").await.unwrap();
    let pages = |n: i64| {
        let store = f.store.clone();
        async move {
            store
                .write::<_, Error, _>(move |tx| tx.query(&format!("pragma max_page_count = {n}"), &[]).map(|_| ()))
                .await
                .unwrap();
        }
    };
    pages(1).await; // the engine raises it to the present size
    let big = vec![7u8; 1 << 20];
    let refused = put(&f.store, "big", &big).await;
    assert!(matches!(refused, Err(Error::Full | Error::Unavailable(_))), "{refused:?}");
    assert_eq!(get(&f.store, "before").await.as_deref(), Some(&b"1"[..]));
    pages(1 << 20).await;
    put(&f.store, "big", &big).await.unwrap();
    assert_eq!(get(&f.store, "big").await.map(|v| v.len()), Some(big.len()));
}

#[test]
fn a_reopened_store_has_its_rows_and_revisions_and_a_newer_one_is_refused() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig { target: Target::Sqlite(dir.path().to_owned()), readers: 1 };
    runtime.block_on(async {
        let store = Store::open(&config).unwrap();
        store.write::<_, Error, _>(|tx| tx.changed("a", "policy", "p")).await.unwrap();
    });
    // The lock goes with the last clone of the store.
    let store = Store::open(&config).unwrap();
    runtime.block_on(async {
        assert_eq!(store.revision("a").await.unwrap(), 1);
        store
            .write::<_, Error, _>(|tx| {
                tx.execute("insert into schema_migrations (name, checksum) values ('9999_future', 'x')", &[])
            })
            .await
            .unwrap();
    });
    drop(store);
    assert!(matches!(Store::open(&config), Err(Error::Schema(_))));
}
