//! The same promises on both engines. The PostgreSQL half runs when `AVOUCH_TEST_POSTGRES` names a server.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use avouch_store::testing::{Fresh, fresh, home, postgres_url};
use avouch_store::{Engine, Error, Row, Store, StoreConfig, Target, params};

const INSERT: &str = "insert into leases (name, holder, epoch, expires_at) values ($1, $2, 1, 0)";

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

async fn count(store: &Store, table: &'static str) -> i64 {
    store
        .read::<_, Error, _>(move |tx| tx.query_one(&format!("select count(*) from {table}"), &[])?.get(0))
        .await
        .unwrap()
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
        assert!(matches!(failed, Err(Error::Other(what)) if what == "changed my mind"));
        assert_eq!(get(&f.store, "a").await.as_deref(), Some(&b"1"[..]));
        assert_eq!(get(&f.store, "b").await, None);
        f.store.health().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_value_comes_back_as_it_went_in() {
    on_both(|f| async move {
        let row: Row = f
            .store
            .write::<_, Error, _>(|tx| {
                tx.execute(
                    "insert into audit_events (id, account_id, time, service, action, outcome, severity, initiator_id, \
                     authn_id, target_id, correlation_id, body) values ($1, $2, $3, '', '', '', '', '', '', '', '', $2)",
                    &params!["id", "zażółć 'x' $1 ?1", i64::MIN],
                )?;
                tx.execute("insert into system_values (name, value) values ($2, $1)", &params![vec![0u8, 255, b'\''], "v"])?;
                tx.query_one(
                    "select e.account_id, e.time, v.value, cast(null as text), count(*), e.time < 0, \
                     cast(sum(e.time) as bigint) from audit_events e, system_values v \
                     where v.name = $1 group by e.account_id, e.time, v.value",
                    &params!["v"],
                )
            })
            .await
            .unwrap();
        assert_eq!(row.get::<String>(0).unwrap(), "zażółć 'x' $1 ?1");
        assert_eq!(row.get::<i64>(1).unwrap(), i64::MIN);
        assert_eq!(row.get::<Vec<u8>>(2).unwrap(), [0, 255, b'\'']);
        assert_eq!(row.get::<Option<String>>(3).unwrap(), None);
        assert_eq!(row.get::<i64>(4).unwrap(), 1);
        assert!(row.get::<bool>(5).unwrap());
        assert_eq!(row.get::<i64>(6).unwrap(), i64::MIN);
        assert!(matches!(row.get::<i64>(0), Err(Error::Type(_))));
        assert!(matches!(row.get::<i64>(7), Err(Error::Type(_))));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_with_a_nul_is_refused() {
    on_both(|f| async move {
        let refused = f.store.write::<_, Error, _>(|tx| tx.execute(INSERT, &params!["a\0b", ""])).await;
        assert!(matches!(refused, Err(Error::Nul)), "{refused:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_or_panicking_neighbour_undoes_nobody_else() {
    on_both(|f| async move {
        let tasks: Vec<_> = (0..200)
            .map(|n| {
                let store = f.store.clone();
                tokio::spawn(async move {
                    let result: Result<(), Error> = store
                        .write(move |tx| {
                            tx.changed(&format!("account {n}"), "policy", "p")?;
                            tx.execute(INSERT, &params![format!("l{n}"), "x"])?;
                            match n % 4 {
                                1 => Err(Error::Other("no".into())),
                                2 => panic!("closure {n}"),
                                _ => Ok(()),
                            }
                        })
                        .await;
                    result.is_ok()
                })
            })
            .collect();
        let mut kept = 0;
        for t in tasks {
            kept += i64::from(t.await.unwrap());
        }
        assert_eq!(kept, 100);
        assert_eq!(count(&f.store, "leases").await, 100);
        for n in 0..4 {
            let rev = f.store.revision(&format!("account {n}")).await.unwrap();
            assert_eq!(
                rev,
                i64::from(n % 4 == 0 || n % 4 == 3),
                "the revision of what was undone is not raised"
            );
        }
        // The threads live on.
        put(&f.store, "after", b"1").await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_statement_dooms_its_closure_even_if_it_is_swallowed() {
    on_both(|f| async move {
        put(&f.store, "taken", b"1").await.unwrap();
        let swallowed = f
            .store
            .write::<_, Error, _>(|tx| {
                tx.set_system_value("kept?", b"1")?;
                let taken = tx.execute(
                    "insert into system_values (name, value) values ($1, $2)",
                    &params!["taken", vec![1u8]],
                );
                assert!(matches!(taken, Err(Error::Unique { .. })));
                assert!(tx.set_system_value("later", b"1").is_err());
                Ok(())
            })
            .await;
        assert!(matches!(swallowed, Err(Error::Unique { .. })), "{swallowed:?}");
        assert_eq!(get(&f.store, "kept?").await, None);
        let read =
            f.store.read::<_, Error, _>(|tx| Ok(tx.query("select nothing from nowhere", &[]).is_ok())).await;
        assert!(matches!(read, Err(Error::Other(_))), "{read:?}");
        assert_eq!(get(&f.store, "taken").await.as_deref(), Some(&b"1"[..]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_writers_share_commits() {
    let f = fresh(Engine::Sqlite).unwrap();
    let before = f.store.commits();
    // Holds the writer until all the others wait.
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let first = {
        let store = f.store.clone();
        tokio::spawn(async move {
            store.write(move |_| wait.recv().map_err(|e| Error::Other(e.to_string()))).await
        })
    };
    let queued = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..500)
        .map(|n| {
            let (store, queued) = (f.store.clone(), queued.clone());
            tokio::spawn(async move {
                let name = format!("k{n}");
                let mut write = std::pin::pin!(put(&store, &name, b"v"));
                // The first poll puts it into the queue.
                let early = std::future::poll_fn(|cx| std::task::Poll::Ready(write.as_mut().poll(cx))).await;
                assert!(early.is_pending());
                queued.fetch_add(1, Ordering::SeqCst);
                write.await.unwrap();
            })
        })
        .collect();
    while queued.load(Ordering::SeqCst) < 500 {
        tokio::task::yield_now().await;
    }
    go.send(()).unwrap();
    first.await.unwrap().unwrap();
    for t in tasks {
        t.await.unwrap();
    }
    // One for the first, then 500 in groups of at most 256.
    assert!(f.store.commits() - before <= 3, "{} commits for 501 writes", f.store.commits() - before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_key_is_told_by_meaning() {
    on_both(|f| async move {
        let insert = |store: Store| async move {
            store.write::<_, Error, _>(|tx| tx.execute(INSERT, &params!["x", "secret-holder"])).await
        };
        assert_eq!(insert(f.store.clone()).await.unwrap(), 1);
        match insert(f.store.clone()).await {
            Err(Error::Unique { what }) => {
                assert!(what.contains("leases") && !what.contains("secret-holder"), "{what}");
            }
            other => panic!("{other:?}"),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_cannot_write() {
    on_both(|f| async move {
        let refused = f.store.read::<_, Error, _>(|tx| tx.set_system_value("x", b"1")).await;
        assert!(refused.is_err());
        assert_eq!(get(&f.store, "x").await, None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_sees_one_state() {
    on_both(|f| async move {
        put(&f.store, "n", b"1").await.unwrap();
        let (store, seen) = (f.store.clone(), Arc::new(AtomicUsize::new(0)));
        let writer = f.store.clone();
        let handle = tokio::runtime::Handle::current();
        let inside = seen.clone();
        store
            .read::<_, Error, _>(move |tx| {
                let before = tx.system_value("n")?;
                let writer = writer.clone();
                // Only a test waits inside of a closure.
                handle.block_on(async move { put(&writer, "n", b"2").await })?;
                assert_eq!(tx.system_value("n")?, before);
                inside.fetch_add(1, Ordering::SeqCst);
                Ok(())
            })
            .await
            .unwrap();
        assert_eq!(seen.load(Ordering::SeqCst), 1);
        assert_eq!(get(&f.store, "n").await.as_deref(), Some(&b"2"[..]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_is_visible_as_soon_as_its_change_is_answered() {
    on_both(|f| async move {
        for n in 1..=20 {
            let rev: i64 = f
                .store
                .write_for::<_, Error, _>("acct", move |tx| tx.changed("acct", "policy", &format!("p{n}")))
                .await
                .unwrap();
            assert_eq!(rev, n);
            assert_eq!(f.store.revision("acct").await.unwrap(), n);
        }
        let changes = f.store.read::<_, Error, _>(|tx| tx.changes_since("acct", 18)).await.unwrap();
        assert_eq!(changes.iter().map(|c| c.object.as_str()).collect::<Vec<_>>(), ["p19", "p20"]);
        assert_eq!(f.store.revision("other").await.unwrap(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_changes_of_each_account_are_forgotten_bit_by_bit_and_its_revision_stays() {
    on_both(|f| async move {
        for (account, changes) in [("long", 25), ("short", 10), ("shorter", 3)] {
            for n in 1..=changes {
                let object = format!("p{n}");
                let write = move |tx: &mut avouch_store::Tx<'_>| tx.changed(account, "policy", &object);
                f.store.write_for::<_, Error, _>(account, write).await.unwrap();
            }
        }
        let due = f.store.read::<_, Error, _>(|tx| tx.forgettable_changes(10, 4, 9)).await.unwrap();
        assert_eq!(due, [("long".to_owned(), 15)]);
        assert!(
            f.store.read::<_, Error, _>(|tx| tx.forgettable_changes(10, 15, 9)).await.unwrap().is_empty()
        );
        for forgotten in [4, 4, 4, 3, 0] {
            let write = |tx: &mut avouch_store::Tx<'_>| tx.forget_changes("long", 15, 4);
            assert_eq!(f.store.write::<_, Error, _>(write).await.unwrap(), forgotten);
        }
        for (account, rev, first, left) in
            [("long", 25, "p16", 10), ("short", 10, "p1", 10), ("shorter", 3, "p1", 3)]
        {
            let read = move |tx: &mut avouch_store::Tx<'_>| tx.changes_since(account, 0);
            let changes = f.store.read::<_, Error, _>(read).await.unwrap();
            assert_eq!((changes.len(), changes[0].object.as_str()), (left, first), "{account}");
            assert_eq!(f.store.revision(account).await.unwrap(), rev);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_ask_for_a_revision_never_get_one_older_than_their_own_write() {
    on_both(|f| async move {
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let store = f.store.clone();
                tokio::spawn(async move {
                    for _ in 0..20 {
                        let mine = store
                            .write_for::<_, Error, _>("acct", |tx| tx.changed("acct", "policy", "p"))
                            .await
                            .unwrap();
                        assert!(store.revision("acct").await.unwrap() >= mine);
                    }
                })
            })
            .collect();
        for t in tasks {
            t.await.unwrap();
        }
        assert_eq!(f.store.revision("acct").await.unwrap(), 160);
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
                            let n = tx
                                .system_value("n")?
                                .map_or(0, |v| i64::from_be_bytes(v.try_into().unwrap()));
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
        let holds = |who: &'static str, epoch: i64| {
            let store = f.store.clone();
            async move { store.read::<_, Error, _>(move |tx| tx.holds_lease("job", who, epoch)).await.unwrap() }
        };
        assert_eq!(take("a", 0).await, Some(1));
        assert_eq!(take("b", 50).await, None);
        assert_eq!(take("a", 90).await, Some(1));
        assert!(holds("a", 1).await);
        assert_eq!(take("b", 190).await, Some(2));
        assert!(!holds("a", 1).await && !holds("a", 2).await && holds("b", 2).await);
        // Who lost it cannot give it away.
        f.store.write::<_, Error, _>(|tx| tx.release_lease("job", "a", 1)).await.unwrap();
        assert_eq!(take("c", 200).await, None);
        f.store.write::<_, Error, _>(|tx| tx.release_lease("job", "b", 2)).await.unwrap();
        assert_eq!(take("c", 200).await, Some(3));
        // The clocks of two holders differ a little; one that was set back finds no lease of tomorrow.
        assert_eq!(take("d", 120).await, None);
        assert_eq!(take("d", -86_400_000).await, Some(4));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_want_a_lease_one_gets_it() {
    on_both(|f| async move {
        let tasks: Vec<_> = (0..16)
            .map(|n| {
                let store = f.store.clone();
                tokio::spawn(async move {
                    store
                        .write::<_, Error, _>(move |tx| tx.acquire_lease("job", &format!("h{n}"), 0, 100))
                        .await
                        .unwrap()
                })
            })
            .collect();
        let mut holders = 0;
        for t in tasks {
            holders += i64::from(t.await.unwrap().is_some());
        }
        assert_eq!(holders, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_finishes_what_is_queued_and_refuses_what_comes_later() {
    on_both(|f| async move {
        let tasks: Vec<_> = (0..100)
            .map(|n| {
                let store = f.store.clone();
                tokio::spawn(async move { (n, put(&store, &format!("k{n}"), b"v").await) })
            })
            .collect();
        tokio::task::yield_now().await;
        f.store.close().await;
        f.store.close().await;
        let late = put(&f.store, "late", b"v").await;
        assert!(matches!(late, Err(Error::Unavailable(_))), "{late:?}");
        let read = f.store.read::<_, Error, _>(|tx| tx.system_value("late")).await;
        assert!(matches!(read, Err(Error::Unavailable(_))), "{read:?}");
        // The folder is free although the closed store still stands.
        let again = Store::open(&f.config).unwrap();
        for t in tasks {
            let (n, ended) = t.await.unwrap();
            assert_eq!(get(&again, &format!("k{n}")).await.is_some(), ended.is_ok(), "k{n}");
        }
        assert_eq!(get(&again, "late").await, None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_left_before_its_turn_changes_nothing() {
    let f = fresh(Engine::Sqlite).unwrap();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (begin, mut begun) = tokio::sync::mpsc::unbounded_channel::<()>();
    let first = {
        let store = f.store.clone();
        let hold = move |_: &mut avouch_store::Tx<'_>| {
            let _ = begin.send(());
            wait.recv().map_err(|e| Error::Other(e.to_string()))
        };
        tokio::spawn(async move { store.write(hold).await })
    };
    begun.recv().await.unwrap();
    let mut gone = Box::pin(put(&f.store, "gone", b"1"));
    let early = std::future::poll_fn(|cx| std::task::Poll::Ready(gone.as_mut().poll(cx))).await;
    assert!(early.is_pending());
    drop(gone);
    go.send(()).unwrap();
    first.await.unwrap().unwrap();
    put(&f.store, "stays", b"1").await.unwrap();
    assert_eq!((get(&f.store, "gone").await, get(&f.store, "stays").await.is_some()), (None, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_clone_may_go_on_a_thread_of_the_store_itself() {
    for engine in [Some(Engine::Sqlite), postgres_url().map(|_| Engine::Postgres)].into_iter().flatten() {
        let (config, _home) = home(engine).unwrap();
        let store = Store::open(&config).unwrap();
        let (started, has_started) = tokio::sync::oneshot::channel();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let caller = tokio::spawn({
            let (store, mut started, held) = (store.clone(), Some(started), store.clone());
            async move {
                let write = store.write::<_, Error, _>(move |_| {
                    let _ = (&held, started.take().map(|s| s.send(())));
                    let _ = wait.recv();
                    Ok(())
                });
                write.await
            }
        });
        has_started.await.unwrap();
        caller.abort();
        let _ = caller.await;
        drop(store);
        go.send(()).unwrap();
        let begun = std::time::Instant::now();
        while matches!(Store::open(&config), Err(Error::Locked(_))) {
            assert!(begun.elapsed().as_secs() < 10, "the folder stays locked");
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_reopened_store_has_its_revisions_and_a_newer_one_is_refused() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        if engine == Engine::Postgres && postgres_url().is_none() {
            eprintln!("PostgreSQL half not run: AVOUCH_TEST_POSTGRES is not set");
            continue;
        }
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (config, _home) = home(engine).unwrap();
        let store = Store::open(&config).unwrap();
        runtime.block_on(async {
            store.write::<_, Error, _>(|tx| tx.changed("a", "policy", "p")).await.unwrap()
        });
        drop(store);
        // The lock went with the store.
        let store = Store::open(&config).unwrap();
        runtime.block_on(async {
            assert_eq!(store.revision("a").await.unwrap(), 1);
            let sql = "insert into schema_migrations (name, checksum) values ('9999_future', 'x')";
            store.write::<_, Error, _>(move |tx| tx.execute(sql, &[])).await.unwrap();
        });
        drop(store);
        assert!(matches!(Store::open(&config), Err(Error::Schema(_))));
    }
}

#[test]
fn a_database_with_another_text_of_a_migration_is_refused() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig { target: Target::Sqlite(dir.path().to_owned()), readers: 1 };
    let store = Store::open(&config).unwrap();
    runtime.block_on(async {
        let changed = store
            .write::<_, Error, _>(|tx| {
                tx.execute("update schema_migrations set checksum = 'x' where name = '0001_store'", &[])
            })
            .await;
        assert_eq!(changed.unwrap(), 1);
    });
    drop(store);
    match Store::open(&config) {
        Err(Error::Schema(what)) => assert!(what.contains("0001_store"), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_folder_is_refused() {
    let f = fresh(Engine::Sqlite).unwrap();
    let Target::Sqlite(dir) = &f.config.target else { panic!() };
    match Store::open(&f.config) {
        Err(Error::Locked(what)) => assert!(what.contains(dir.to_str().unwrap()), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_files_are_for_this_user_only() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = Store::open(&StoreConfig { target: Target::Sqlite(data.clone()), readers: 1 }).unwrap();
    assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in std::fs::read_dir(&data).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
    }
    drop(store);
}
