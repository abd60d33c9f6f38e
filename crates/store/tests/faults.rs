//! Killed processes, full disks, damaged files. Children are this test binary itself, run with one ignored test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use avouch_store::testing::{fresh, home, postgres_url};
use avouch_store::{Engine, Error, Store, StoreConfig, Target, params};

async fn put(store: &Store, name: &str, value: &[u8]) -> Result<(), Error> {
    let (name, value) = (name.to_owned(), value.to_vec());
    store.write(move |tx| tx.set_system_value(&name, &value)).await
}

async fn get(store: &Store, name: &str) -> Option<Vec<u8>> {
    let name = name.to_owned();
    store.read::<_, Error, _>(move |tx| tx.system_value(&name)).await.unwrap()
}

fn on_disk(dir: &Path) -> StoreConfig {
    StoreConfig { target: Target::Sqlite(dir.to_owned()), readers: 1 }
}

fn child(test: &str) -> Vec<String> {
    let this = std::env::current_exe().unwrap();
    [this.to_str().unwrap(), "--exact", test, "--ignored", "--nocapture", "--test-threads=1"]
        .map(str::to_owned)
        .to_vec()
}

const TARGET: &str = "STORE_TEST_TARGET";

fn target() -> Option<StoreConfig> {
    let target = std::env::var(TARGET).ok()?;
    let target =
        if target.starts_with("postgres") { Target::Postgres(target) } else { Target::Sqlite(target.into()) };
    Some(StoreConfig { target, readers: 2 })
}

/// Writes as fast as it can from several tasks and says what was answered, until somebody kills it.
#[test]
#[ignore = "a child of the_kill_of_a_writer_loses_nothing_that_was_answered"]
fn child_that_writes_for_ever() {
    let Some(config) = target() else { return };
    let store = Store::open(&config).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        static N: AtomicU64 = AtomicU64::new(0);
        let round = std::process::id();
        let tasks: Vec<_> = (0..16)
            .map(|account| {
                let store = store.clone();
                tokio::spawn(async move {
                    loop {
                        let name = format!("{round}.{}", N.fetch_add(1, Ordering::Relaxed));
                        let (key, account) = (name.clone(), format!("a{account}"));
                        let rev = store
                            .write_for::<_, Error, _>(&account.clone(), move |tx| {
                                tx.set_system_value(&key, key.as_bytes())?;
                                tx.changed(&account, "policy", &key)
                            })
                            .await;
                        if rev.is_err() {
                            continue;
                        }
                        // One call, so that a line is whole or not there.
                        let line = format!("\nanswered {name}\n");
                        if std::io::stdout().lock().write_all(line.as_bytes()).is_err() {
                            return;
                        }
                    }
                })
            })
            .collect();
        for t in tasks {
            let _ = t.await;
        }
    });
}

fn kill_rounds(config: &StoreConfig, target: &str, rounds: u64, after_kill: impl Fn()) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut answered: Vec<String> = Vec::new();
    for round in 0..rounds {
        let command = child("child_that_writes_for_ever");
        let mut process = Command::new(&command[0])
            .args(&command[1..])
            .env(TARGET, target)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut seen = 0;
        // Kills at another moment each round: after so many answers, with others on their way.
        let enough = 1 + (round * 37) % 200;
        for line in lines.map_while(Result::ok) {
            if let Some(name) = line.strip_prefix("answered ") {
                answered.push(name.to_owned());
                seen += 1;
                if seen == enough {
                    process.kill().unwrap();
                }
            }
        }
        process.wait().unwrap();
        assert!(seen >= enough, "the child ended by itself");
        after_kill();
        let store = Store::open(config).unwrap();
        runtime.block_on(async {
            let (names, changes, revisions) = store
                .read::<_, Error, _>(|tx| {
                    let names = tx.query("select name from system_values", &[])?;
                    let changes: i64 = tx.query_one("select count(*) from account_changes", &[])?.get(0)?;
                    let revisions: i64 = tx
                        .query_one("select cast(sum(rev) as bigint) from account_revisions", &[])?
                        .get(0)?;
                    Ok((names, changes, revisions))
                })
                .await
                .unwrap();
            let names: std::collections::HashSet<String> = names.iter().map(|r| r.get(0).unwrap()).collect();
            for name in &answered {
                assert!(names.contains(name), "{name} was answered and is lost in round {round}");
            }
            // Nothing is half there.
            assert_eq!((names.len() as i64, changes), (changes, revisions));
        });
    }
}

#[test]
fn the_kill_of_a_writer_loses_nothing_that_was_answered() {
    let (config, _home) = home(Engine::Sqlite).unwrap();
    let Target::Sqlite(dir) = &config.target else { panic!() };
    let rounds = std::env::var("STORE_TEST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(10);
    kill_rounds(&config, dir.to_str().unwrap(), rounds, || {});
    if postgres_url().is_none() {
        eprintln!("PostgreSQL half not run: AVOUCH_TEST_POSTGRES is not set");
        return;
    }
    let (config, _home) = home(Engine::Postgres).unwrap();
    let Target::Postgres(url) = &config.target else { panic!() };
    kill_rounds(&config, url, 5, || {});
}

#[test]
fn a_torn_tail_of_the_log_is_cut_off_and_harms_nothing_before_it() {
    let (config, _home) = home(Engine::Sqlite).unwrap();
    let Target::Sqlite(dir) = &config.target else { panic!() };
    let wal = dir.join("avouch.db-wal");
    kill_rounds(&config, dir.to_str().unwrap(), 3, || {
        let mut log = std::fs::OpenOptions::new().append(true).open(&wal).unwrap();
        assert!(log.metadata().unwrap().len() > 0);
        log.write_all(&[0xa5; 5000]).unwrap();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_does_not_fit_fails_alone_and_reads_go_on() {
    let f = fresh(Engine::Sqlite).unwrap();
    put(&f.store, "before", b"1").await.unwrap();
    let pages = |n: i64| {
        let store = f.store.clone();
        async move {
            let pragma = format!("pragma max_page_count = {n}");
            store.write::<_, Error, _>(move |tx| tx.query_one(&pragma, &[])?.get::<i64>(0)).await.unwrap()
        }
    };
    let used = pages(1).await; // the engine raises it to the present size
    pages(used + 20).await;
    let big = vec![7u8; 1 << 20];
    let tasks: Vec<_> = (0..9)
        .map(|n| {
            let (store, value) = (f.store.clone(), if n == 4 { big.clone() } else { vec![1] });
            tokio::spawn(async move { put(&store, &format!("k{n}"), &value).await })
        })
        .collect();
    for (n, task) in tasks.into_iter().enumerate() {
        let ended = task.await.unwrap();
        match n {
            4 => assert!(matches!(ended, Err(Error::Full)), "{ended:?}"),
            _ => assert!(ended.is_ok(), "k{n}: {ended:?}"),
        }
    }
    assert_eq!(get(&f.store, "before").await.as_deref(), Some(&b"1"[..]));
    assert_eq!(get(&f.store, "k4").await, None);
    pages(1 << 20).await;
    put(&f.store, "k4", &big).await.unwrap();
    assert_eq!(get(&f.store, "k4").await.map(|v| v.len()), Some(big.len()));
}

#[test]
#[ignore = "a child of a_full_disk_fails_writes_keeps_reads_and_heals"]
fn child_on_a_small_disk() {
    let Ok(disk) = std::env::var(TARGET) else { return };
    let disk = Path::new(&disk);
    let filler = disk.join("filler");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(&on_disk(&disk.join("data"))).unwrap();
        let mut kept = Vec::new();
        for round in 0..3 {
            // Somebody else takes all the space there is.
            let mut file = std::fs::File::create(&filler).unwrap();
            while file.write_all(&[1; 4096]).is_ok() {}
            drop(file);
            let mut refused = 0;
            for n in 0..2000 {
                let name = format!("{round}.{n}");
                match put(&store, &name, &[5; 2000]).await {
                    Ok(()) => kept.push(name),
                    Err(Error::Full) => {
                        refused += 1;
                        if refused == 20 {
                            break;
                        }
                    }
                    Err(e) => panic!("{e:?}"),
                }
            }
            assert_eq!(refused, 20);
            // A small write may still find room in the log.
            let health = store.health().await;
            assert!(matches!(health, Ok(()) | Err(Error::Full)), "{health:?}");
            println!("{health:?}");
            for name in &kept {
                assert!(get(&store, name).await.is_some(), "{name} was answered");
            }
            std::fs::remove_file(&filler).unwrap();
            store.health().await.unwrap();
            let name = format!("{round}.healed");
            put(&store, &name, &[6; 2000]).await.unwrap();
            kept.push(name);
        }
        store.close().await;
        let store = Store::open(&on_disk(&disk.join("data"))).unwrap();
        for name in &kept {
            assert!(get(&store, name).await.is_some(), "{name} was answered");
        }
        println!("\nhealed");
    });
}

/// On a file system of 4 MiB in a mount namespace of its own, where the machine allows one.
#[test]
fn a_full_disk_fails_writes_keeps_reads_and_heals() {
    let dir = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=4m tmpfs \"$0\" || exit 99; exec \"$@\"";
    let out = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", mount])
        .arg(dir.path())
        .args(child("child_on_a_small_disk"))
        .env(TARGET, dir.path())
        .output();
    let out = match out {
        Ok(out)
            if out.status.code() == Some(99)
                || String::from_utf8_lossy(&out.stderr).starts_with("unshare:") =>
        {
            eprintln!("not run: no mount namespaces here: {}", String::from_utf8_lossy(&out.stderr));
            return;
        }
        Ok(out) => out,
        Err(e) => {
            eprintln!("not run: {e}");
            return;
        }
    };
    let text = format!("{}\n{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success() && text.contains("\nhealed"), "{text}");
}

#[test]
fn a_damaged_file_is_told_as_damage() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = on_disk(dir.path());
    runtime.block_on(async {
        let store = Store::open(&config).unwrap();
        for n in 0..200 {
            store
                .write::<_, Error, _>(move |tx| {
                    let sql = "insert into leases (name, holder, epoch, expires_at) values ($1, $1, 1, 0)";
                    tx.execute(sql, &params![format!("{n:0200}")])
                })
                .await
                .unwrap();
        }
        store.close().await;
    });
    let file = dir.path().join("avouch.db");
    assert!(!dir.path().join("avouch.db-wal").exists(), "a closed store is one file");
    let mut bytes = std::fs::read(&file).unwrap();
    let half = bytes.len() / 2;
    bytes[half..].fill(0x5a);
    std::fs::write(&file, bytes).unwrap();
    let told = Store::open(&config).and_then(|store| {
        runtime.block_on(
            store.read::<_, Error, _>(|tx| tx.query("select name, holder from leases order by name", &[])),
        )
    });
    let told = told.map(|rows| rows.len());
    assert!(matches!(told, Err(Error::Corrupt(_))), "{told:?}");
}
