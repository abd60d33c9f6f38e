//! One PostgreSQL connection: where the server is, TLS, values in and out, errors by meaning.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use postgres::config::{Host, SslMode};
use postgres::error::SqlState;
use postgres::types::private::BytesMut;
use postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use postgres::{Client, NoTls, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::tx::Connection;
use crate::value::{Row, Value};
use crate::{Error, Result};

/// Prepared statements that a connection keeps.
const STATEMENTS: usize = 1024;
/// How long the network may keep silent about a packet before the connection counts as broken.
const SILENCE: Duration = Duration::from_secs(10);

/// What every connection is told first. Sequential scans would make a reader of one row conflict with every writer of
/// a small table, because serializable transactions lock what they scan.
const SETTINGS: &str = "set synchronous_commit = on; set client_min_messages = warning; set enable_seqscan = off; \
                        set idle_in_transaction_session_timeout = '60s'";

/// Where the server is and how to speak to it.
pub(super) struct Server {
    config: postgres::Config,
    tls: Option<MakeRustlsConnect>,
}

impl Server {
    pub(super) fn parse(url: &str) -> Result<Self> {
        let mut config: postgres::Config =
            url.parse().map_err(|_| Error::Unavailable("the address of the store is not valid".into()))?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(5));
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SILENCE);
        }
        if config.get_application_name().is_none() {
            config.application_name("avouch");
        }
        config.keepalives_idle(SILENCE);
        if config.get_ssl_mode() == SslMode::Prefer && !is_local(&config) {
            // `prefer` lets the other side, or somebody on the way to it, choose plain text.
            config.ssl_mode(SslMode::Require);
        }
        let tls = if config.get_ssl_mode() == SslMode::Disable { None } else { Some(tls()?) };
        Ok(Self { config, tls })
    }

    pub(super) fn connect(&self) -> Result<Conn> {
        let failed = |e: postgres::Error| Error::Unavailable(format!("cannot reach the store: {}", text(&e)));
        let mut client = match &self.tls {
            None => self.config.connect(NoTls).map_err(failed)?,
            Some(tls) => match self.config.connect(tls.clone()) {
                Ok(client) => client,
                // A server on this machine with a certificate that nobody signed: without `sslmode` in the address the
                // connection needs no TLS.
                Err(e) if e.code().is_none() && self.config.get_ssl_mode() == SslMode::Prefer => {
                    self.config.connect(NoTls).map_err(failed)?
                }
                Err(e) => return Err(failed(e)),
            },
        };
        client.batch_execute(SETTINGS).map_err(failed)?;
        Ok(Conn { client, statements: HashMap::new() })
    }
}

/// Whether all addresses are of this machine.
fn is_local(config: &postgres::Config) -> bool {
    let local = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        }
    };
    config.get_hosts().iter().all(local) && config.get_hostaddrs().iter().all(|ip| ip.is_loopback())
}

/// TLS with the authorities that the system trusts (`SSL_CERT_FILE` names others).
fn tls() -> Result<MakeRustlsConnect> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::Unavailable(e.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

pub(super) struct Conn {
    client: Client,
    statements: HashMap<String, Statement>,
}

impl Conn {
    pub(super) fn batch(&mut self, sql: &str) -> Result<()> {
        self.client.batch_execute(sql).map_err(|e| map(&e))
    }

    fn statement(&mut self, sql: &str, values: &[Value]) -> Result<Statement> {
        let statement = match self.statements.get(sql) {
            Some(known) => known.clone(),
            None => {
                let statement = self.client.prepare(sql).map_err(|e| map(&e))?;
                if self.statements.len() >= STATEMENTS {
                    self.statements.clear();
                }
                self.statements.insert(sql.to_owned(), statement.clone());
                statement
            }
        };
        let (wanted, given) = (statement.params().len(), values.len());
        if wanted != given {
            return Err(Error::Type(format!("{wanted} parameters are wanted, {given} were given")));
        }
        Ok(statement)
    }

    /// A statement that was prepared before another replica migrated must be prepared anew.
    fn failed(&mut self, e: &postgres::Error) -> Error {
        let outdated = e.as_db_error().is_some_and(|db| {
            *db.code() == SqlState::INVALID_SQL_STATEMENT_NAME
                || (*db.code() == SqlState::FEATURE_NOT_SUPPORTED && db.message().contains("cached plan"))
        });
        if outdated {
            self.statements.clear();
            return Error::Serialization;
        }
        map(e)
    }
}

impl Connection for Conn {
    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64> {
        let statement = self.statement(sql, values)?;
        self.client.execute(&statement, &slice(values)).map_err(|e| self.failed(&e))
    }

    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>> {
        let statement = self.statement(sql, values)?;
        let rows = self.client.query(&statement, &slice(values)).map_err(|e| self.failed(&e))?;
        rows.iter().map(read).collect()
    }
}

fn slice(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|v| v as &(dyn ToSql + Sync)).collect()
}

fn read(row: &postgres::Row) -> Result<Row> {
    let mut cells = Vec::with_capacity(row.len());
    for (i, column) in row.columns().iter().enumerate() {
        let failed = |_| Error::Type(format!("column {i} cannot be read"));
        let ty = column.type_();
        cells.push(if *ty == Type::INT8 {
            row.try_get::<_, Option<i64>>(i).map_err(failed)?.map_or(Value::Null, Value::Int)
        } else if *ty == Type::INT4 {
            row.try_get::<_, Option<i32>>(i).map_err(failed)?.map_or(Value::Null, |v| Value::Int(v.into()))
        } else if *ty == Type::BOOL {
            row.try_get::<_, Option<bool>>(i).map_err(failed)?.map_or(Value::Null, |v| Value::Int(v.into()))
        } else if *ty == Type::BYTEA {
            row.try_get::<_, Option<Vec<u8>>>(i).map_err(failed)?.map_or(Value::Null, Value::Bytes)
        } else if *ty == Type::VOID {
            Value::Null
        } else {
            row.try_get::<_, Option<String>>(i).map_err(failed)?.map_or(Value::Null, Value::Text)
        });
    }
    Ok(Row(cells))
}

/// A parameter of another type than the statement wants. Bytes of one type must not pass for those of another.
#[derive(Debug, thiserror::Error)]
#[error("a parameter is of another type than the statement wants")]
struct Mismatch;

impl ToSql for Value {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Int(v) if *ty == Type::INT8 => v.to_sql(ty, out),
            Value::Int(v) if *ty == Type::INT4 => i32::try_from(*v)?.to_sql(ty, out),
            Value::Text(v) if [Type::TEXT, Type::VARCHAR, Type::UNKNOWN].contains(ty) => v.to_sql(ty, out),
            Value::Bytes(v) if *ty == Type::BYTEA => v.to_sql(ty, out),
            _ => Err(Box::new(Mismatch)),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// The server's own words without the values of a `DETAIL`.
fn text(e: &postgres::Error) -> String {
    match (e.as_db_error(), e.source()) {
        (Some(db), _) => db.message().to_owned(),
        (None, Some(cause)) => format!("{e}: {cause}"),
        (None, None) => e.to_string(),
    }
}

fn map(e: &postgres::Error) -> Error {
    if e.is_closed() {
        return Error::Unavailable("the connection to the store is closed".into());
    }
    let Some(state) = e.code() else {
        let ours = e.source().is_some_and(|cause| {
            cause.is::<Mismatch>()
                || cause.is::<std::num::TryFromIntError>()
                || cause.is::<postgres::types::WrongType>()
        });
        return if ours { Error::Type(text(e)) } else { Error::Unavailable(text(e)) };
    };
    if *state == SqlState::UNIQUE_VIOLATION {
        let what = e.as_db_error().and_then(|d| d.constraint()).unwrap_or_default().to_owned();
        return Error::Unique { what };
    }
    if [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(state) {
        return Error::Serialization;
    }
    if *state == SqlState::DISK_FULL {
        return Error::Full;
    }
    if *state == SqlState::CHARACTER_NOT_IN_REPERTOIRE {
        return Error::Type(text(e));
    }
    if [SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED].contains(state) {
        return Error::Corrupt(text(e));
    }
    // A server that became a standby takes no writes; the next connection may find the one that does.
    if *state == SqlState::READ_ONLY_SQL_TRANSACTION {
        return Error::Unavailable(text(e));
    }
    match state.code().get(..2).unwrap_or_default() {
        "08" | "25" | "53" | "57" | "58" => Error::Unavailable(text(e)),
        _ => Error::Other(text(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_on_the_way_to_another_machine_chooses_plain_text() {
        let mode = |url: &str| Server::parse(url).map(|s| s.config.get_ssl_mode()).ok();
        for remote in
            ["postgres://u@db.example/x", "postgres://u@10.0.0.7/x", "host=localhost,db.example user=u"]
        {
            assert_eq!(mode(remote), Some(SslMode::Require), "{remote}");
        }
        for local in ["postgres://u@localhost/x", "postgres://u@[::1]/x", "host=/run/postgresql user=u"] {
            assert_eq!(mode(local), Some(SslMode::Prefer), "{local}");
        }
        // Whoever writes it down means it.
        assert_eq!(mode("postgres://u@db.example/x?sslmode=disable"), Some(SslMode::Disable));
    }
}
