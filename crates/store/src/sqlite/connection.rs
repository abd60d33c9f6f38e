//! One SQLite connection: its settings, values in and out, errors by meaning.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection as Db, ErrorCode, OpenFlags, ToSql, ffi};

use crate::dialect::Rewritten;
use crate::tx::Connection;
use crate::value::{Row, Value};
use crate::{Error, Result};

/// Prepared statements that a connection keeps.
const STATEMENTS: usize = 256;
/// How long the log may stay once it is in the database, bytes.
pub(super) const LOG_KEPT: u64 = 64 << 20;

pub(super) struct Conn {
    db: Db,
    rewritten: Rewritten,
}

impl Conn {
    /// The one connection that writes. A commit returns when the disk has it.
    pub(super) fn writer(file: &Path) -> Result<Self> {
        // Never creates the file: were it gone under a running server, an empty one in its place would hide that.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Db::open_with_flags(file, flags).map_err(map)?;
        db.execute_batch(&format!(
            "pragma busy_timeout = 5000; pragma journal_mode = wal; pragma synchronous = full; \
             pragma foreign_keys = on; pragma cache_size = -8000; pragma temp_store = memory; \
             pragma secure_delete = on; pragma journal_size_limit = {LOG_KEPT}; pragma trusted_schema = off; \
             pragma cell_size_check = on;",
        ))
        .map_err(map)?;
        // A connection that is given up after a failure leaves the files as they are.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(map)?;
        let mut conn = Self::new(db)?;
        // Some file systems cannot do it, and SQLite then quietly stays with what it had.
        let mode: String = conn.one("pragma journal_mode")?.get(0)?;
        if mode != "wal" {
            return Err(Error::Unavailable(format!(
                "the data folder cannot hold a write-ahead log ({mode})"
            )));
        }
        Ok(conn)
    }

    /// A connection that cannot write.
    pub(super) fn reader(file: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Db::open_with_flags(file, flags).map_err(map)?;
        db.execute_batch(
            "pragma busy_timeout = 5000; pragma cache_size = -4000; pragma query_only = on; \
             pragma trusted_schema = off; pragma cell_size_check = on;",
        )
        .map_err(map)?;
        Self::new(db)
    }

    fn new(db: Db) -> Result<Self> {
        // A plan is made once: otherwise a join is planned anew for every value that it is bound to.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(map)?;
        db.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(Self { db, rewritten: Rewritten::default() })
    }

    /// Closes as the last one: what is in the log goes into the database file, and the log away.
    pub(super) fn close(self) -> Result<()> {
        self.db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map(drop).map_err(map)
    }

    /// Runs one statement without values or rows.
    pub(super) fn batch(&mut self, sql: &str) -> Result<()> {
        self.db.prepare_cached(sql).and_then(|mut s| s.raw_execute()).map(drop).map_err(map)
    }

    /// Whether a transaction is open: the engine may have given it up by itself (disk full, I/O error).
    pub(super) fn in_transaction(&self) -> bool {
        !self.db.is_autocommit()
    }

    pub(super) fn revisions(&mut self) -> Result<HashMap<String, i64>> {
        let rows = self.query("select account_id, rev from account_revisions", &[])?;
        rows.iter().map(|r| Ok((r.get(0)?, r.get(1)?))).collect()
    }

    fn one(&mut self, sql: &str) -> Result<Row> {
        self.query(sql, &[])?.pop().ok_or_else(|| Error::Other("no row".into()))
    }
}

impl Connection for Conn {
    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64> {
        let mut statement = self.db.prepare_cached(self.rewritten.get(sql)).map_err(map)?;
        statement.execute(rusqlite::params_from_iter(values)).map(|n| n as u64).map_err(map)
    }

    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>> {
        let mut statement = self.db.prepare_cached(self.rewritten.get(sql)).map_err(map)?;
        let columns = statement.column_count();
        let mut rows = statement.query(rusqlite::params_from_iter(values)).map_err(map)?;
        let mut out = Vec::new();
        while let Some(row) = rows.next().map_err(map)? {
            let mut cells = Vec::with_capacity(columns);
            for i in 0..columns {
                cells.push(match row.get_ref(i).map_err(map)? {
                    ValueRef::Null => Value::Null,
                    ValueRef::Integer(v) => Value::Int(v),
                    ValueRef::Real(_) => return Err(Error::Type(format!("column {i} holds a real number"))),
                    ValueRef::Text(v) => match std::str::from_utf8(v) {
                        Ok(text) => Value::Text(text.to_owned()),
                        Err(_) => return Err(Error::Type(format!("column {i} is not UTF-8"))),
                    },
                    ValueRef::Blob(v) => Value::Bytes(v.to_vec()),
                });
            }
            out.push(Row(cells));
        }
        Ok(out)
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Int(v) => ValueRef::Integer(*v),
            Value::Text(v) => ValueRef::Text(v.as_bytes()),
            Value::Bytes(v) => ValueRef::Blob(v),
        }))
    }
}

fn map(e: rusqlite::Error) -> Error {
    let (code, message) = match &e {
        rusqlite::Error::SqliteFailure(code, message) => (code, message),
        rusqlite::Error::ToSqlConversionFailure(what) => return Error::Type(what.to_string()),
        _ => return Error::Other(e.to_string()),
    };
    match code.code {
        ErrorCode::ConstraintViolation
            if matches!(
                code.extended_code,
                ffi::SQLITE_CONSTRAINT_UNIQUE
                    | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
                    | ffi::SQLITE_CONSTRAINT_ROWID
            ) =>
        {
            let text = message.as_deref().unwrap_or_default();
            Error::Unique { what: text.split_once(": ").map_or(text, |(_, columns)| columns).to_owned() }
        }
        ErrorCode::DiskFull => Error::Full,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Error::Corrupt(e.to_string()),
        ErrorCode::SystemIoFailure
        | ErrorCode::CannotOpen
        | ErrorCode::ReadOnly
        | ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::FileLockingProtocolFailed => Error::Unavailable(e.to_string()),
        _ => Error::Other(e.to_string()),
    }
}
