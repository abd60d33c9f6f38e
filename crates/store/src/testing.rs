//! Fresh, empty stores for tests: SQLite in a temporary folder, or a new PostgreSQL schema that is dropped at
//! the end (to make a database takes a quarter of a second of the processor).

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use crate::{Engine, Error, Result, Store, StoreConfig, Target};

/// A store of its own; its rows are gone when this is dropped.
#[derive(Debug)]
pub struct Fresh {
    /// The open store.
    pub store: Store,
    /// How it was opened, to open it again.
    pub config: StoreConfig,
    _home: Home,
}

/// Where a store lives: a temporary folder or a schema, gone when this is dropped.
#[derive(Debug)]
pub struct Home(Place);

#[derive(Debug)]
enum Place {
    Folder(#[allow(dead_code, reason = "held for its destructor")] tempfile::TempDir),
    Schema { server: String, name: String },
}

/// The engine that the environment asks for: `AVOUCH_TEST_ENGINE=postgres` with `AVOUCH_TEST_POSTGRES=<address>`, else
/// SQLite.
pub fn engine() -> Engine {
    match std::env::var("AVOUCH_TEST_ENGINE").as_deref() {
        Ok("postgres") => Engine::Postgres,
        _ => Engine::Sqlite,
    }
}

/// Address of a PostgreSQL database in which schemas may be created.
pub fn postgres_url() -> Option<String> {
    std::env::var("AVOUCH_TEST_POSTGRES").ok().filter(|v| !v.is_empty())
}

/// An empty place for a store of `engine`, nothing in it yet. Keep the [`Home`] as long as the store.
///
/// # Errors
/// When the folder or schema cannot be made, or no server address is set.
pub fn home(engine: Engine) -> Result<(StoreConfig, Home)> {
    match engine {
        Engine::Sqlite => {
            let dir = tempfile::tempdir().map_err(|e| Error::Other(e.to_string()))?;
            let config = StoreConfig { target: Target::Sqlite(dir.path().to_owned()), readers: 2 };
            Ok((config, Home(Place::Folder(dir))))
        }
        Engine::Postgres => {
            let server =
                postgres_url().ok_or_else(|| Error::Other("AVOUCH_TEST_POSTGRES is not set".into()))?;
            let name = format!("avouch_test_{:016x}", RandomState::new().build_hasher().finish());
            run_on(&server, format!("create schema {name}"))?;
            let target = Target::Postgres(in_schema(&server, &name));
            Ok((StoreConfig { target, readers: 4 }, Home(Place::Schema { server, name })))
        }
    }
}

/// A fresh, migrated store of `engine`.
///
/// # Errors
/// As [`home`] and [`Store::open`].
pub fn fresh(engine: Engine) -> Result<Fresh> {
    let (config, home) = home(engine)?;
    Ok(Fresh { store: Store::open(&config)?, config, _home: home })
}

/// Keeps a closure that uses one field from taking that field alone and dropping the [`Home`].
impl Drop for Fresh {
    fn drop(&mut self) {}
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Place::Schema { server, name } = &self.0
            && let Err(e) =
                run_on(server, format!("set lock_timeout = '5s'; drop schema if exists {name} cascade"))
        {
            eprintln!("the schema {name} stays: {e}");
        }
    }
}

/// The address of a schema in the same database.
fn in_schema(url: &str, name: &str) -> String {
    let joined = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joined}options=-csearch_path%3D{name}")
}

fn run_on(url: &str, sql: String) -> Result<()> {
    let url = url.to_owned();
    // The client must not run on a thread of an asynchronous runtime.
    std::thread::spawn(move || crate::pg::run(&url, &sql))
        .join()
        .unwrap_or_else(|_| Err(Error::Other("the client panicked".into())))
}

#[cfg(test)]
mod tests {
    use super::in_schema;

    #[test]
    fn the_schema_is_in_the_address() {
        assert_eq!(in_schema("postgres://u:p@h:1/d", "x"), "postgres://u:p@h:1/d?options=-csearch_path%3Dx");
        assert_eq!(
            in_schema("postgres://h/d?host=/run/s", "x"),
            "postgres://h/d?host=/run/s&options=-csearch_path%3Dx"
        );
    }
}
