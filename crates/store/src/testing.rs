//! Fresh, empty stores for tests: SQLite in a temporary folder, or a new PostgreSQL database that is dropped at the end.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Engine, Result, Store, StoreConfig, Target};

/// A store of its own; its rows are gone when this is dropped.
#[derive(Debug)]
pub struct Fresh {
    /// The open store.
    pub store: Store,
    /// How it was opened, to open it again.
    pub config: StoreConfig,
    _dir: Option<tempfile::TempDir>,
}

/// The engine that the environment asks for: `AVOUCH_TEST_ENGINE=postgres` with `AVOUCH_TEST_POSTGRES=<address>`, else
/// SQLite.
pub fn engine() -> Engine {
    match std::env::var("AVOUCH_TEST_ENGINE").as_deref() {
        Ok("postgres") => Engine::Postgres,
        _ => Engine::Sqlite,
    }
}

/// Address of a PostgreSQL server on which databases may be created.
pub fn postgres_url() -> Option<String> {
    std::env::var("AVOUCH_TEST_POSTGRES").ok().filter(|v| !v.is_empty())
}

/// Where a fresh store of `engine` would live, with its folder if it has one.
///
/// # Errors
/// When the folder or database cannot be made, or no server address is set.
pub fn place(engine: Engine) -> Result<(StoreConfig, Option<tempfile::TempDir>)> {
    match engine {
        Engine::Sqlite => {
            let dir = tempfile::tempdir().map_err(|e| crate::Error::Other(e.to_string()))?;
            let config = StoreConfig { target: Target::Sqlite(dir.path().to_owned()), readers: 2 };
            Ok((config, Some(dir)))
        }
        Engine::Postgres => {
            static N: AtomicU64 = AtomicU64::new(0);
            let url = postgres_url().ok_or_else(|| crate::Error::Other("AVOUCH_TEST_POSTGRES is not set".into()))?;
            let name = format!("avouch_test_{}_{}", std::process::id(), N.fetch_add(1, Ordering::Relaxed));
            let mut base: postgres::Config = url.parse().map_err(|_| crate::Error::Other("bad address".into()))?;
            let create = name.clone();
            // The synchronous client must not run on a thread of an asynchronous runtime.
            std::thread::spawn(move || {
                let mut client = base.connect(postgres::NoTls).map_err(|e| crate::Error::Other(e.to_string()))?;
                client
                    .batch_execute(&format!("drop database if exists {create} with (force); create database {create}"))
                    .or_else(|_| client.batch_execute(&format!("create database {create}")))
                    .map_err(|e| crate::Error::Other(e.to_string()))?;
                base.dbname(&create);
                Ok::<(), crate::Error>(())
            })
            .join()
            .map_err(|_| crate::Error::Other("cannot create a database".into()))??;
            let (head, query) = url.split_once('?').map_or((url.as_str(), None), |(h, q)| (h, Some(q)));
            let (server, _) = head.rsplit_once('/').unwrap_or((head, ""));
            let target = match query {
                Some(q) => format!("{server}/{name}?{q}"),
                None => format!("{server}/{name}"),
            };
            Ok((StoreConfig { target: Target::Postgres(target), readers: 4 }, None))
        }
    }
}

/// A fresh, migrated store of `engine`.
///
/// # Errors
/// As [`place`] and [`Store::open`].
pub fn fresh(engine: Engine) -> Result<Fresh> {
    let (config, dir) = place(engine)?;
    let opened = config.clone();
    let store = std::thread::spawn(move || Store::open(&opened))
        .join()
        .map_err(|_| crate::Error::Other("the store did not open".into()))??;
    Ok(Fresh { store, config, _dir: dir })
}
