//! The server engine: threads with one client each, `SERIALIZABLE`, closures run again after a serialization failure.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use postgres::config::SslMode;
use postgres::error::SqlState;
use postgres::types::private::BytesMut;
use postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use postgres::{Client, NoTls, Statement};
use tokio::sync::oneshot;

use crate::tx::{Connection, Tx};
use crate::value::{Row, Value};
use crate::{Error, Ran, Result, Store, Work, migrate};

/// Closures that may wait before callers are turned away.
const QUEUE: usize = 16 * 1024;
/// How often a closure runs before its conflict is the answer.
const TRIES: u32 = 12;
/// Key of the lock under which replicas migrate one after the other.
const MIGRATION_LOCK: i64 = 0x0a_70_75_63_68;

pub(crate) struct Postgres {
    work: Sender<(Box<dyn Work>, bool)>,
    commits: Arc<AtomicU64>,
    pub(crate) shared: Revisions,
}

impl Postgres {
    pub(crate) fn open(url: &str, connections: usize) -> Result<Self> {
        let config: postgres::Config =
            url.parse().map_err(|_| Error::Unavailable("the address of the store is not valid".into()))?;
        let mut first = Conn { client: connect(&config)?, statements: HashMap::new() };
        first.batch(&format!("select pg_advisory_lock({MIGRATION_LOCK})"))?;
        let migrated = (|| {
            first.batch("begin")?;
            migrate::run(&mut Tx::new(&mut first))?;
            first.batch("commit")
        })();
        if migrated.is_err() {
            let _ = first.batch("rollback");
        }
        let _ = first.batch(&format!("select pg_advisory_unlock({MIGRATION_LOCK})"));
        migrated?;
        first.statements.clear();
        let (work, queue) = bounded::<(Box<dyn Work>, bool)>(QUEUE);
        let commits = Arc::new(AtomicU64::new(0));
        let mut ready = Some(first);
        for n in 0..connections {
            let conn = ready.take();
            let (config, queue, commits) = (config.clone(), queue.clone(), commits.clone());
            std::thread::Builder::new()
                .name(format!("store-{n}"))
                .spawn(move || work_loop(conn, &config, &queue, &commits))
                .map_err(|e| Error::Unavailable(format!("cannot start a thread: {e}")))?;
        }
        Ok(Self { work, commits, shared: Revisions::default() })
    }

    pub(crate) fn submit(&self, work: Box<dyn Work>, write: bool) -> bool {
        self.work.try_send((work, write)).is_ok()
    }

    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}

fn connect(config: &postgres::Config) -> Result<Client> {
    let failed = |e: postgres::Error| Error::Unavailable(format!("cannot reach the store: {}", text(&e)));
    let mut client = if config.get_ssl_mode() == SslMode::Disable {
        config.connect(NoTls).map_err(failed)?
    } else {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::Unavailable(e.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = tokio_postgres_rustls::MakeRustlsConnect::new(tls);
        match config.connect(connector) {
            Ok(client) => client,
            // `prefer` is the default of addresses without `sslmode`: a local server without TLS is what they mean.
            Err(_) if config.get_ssl_mode() == SslMode::Prefer => config.connect(NoTls).map_err(failed)?,
            Err(e) => return Err(failed(e)),
        }
    };
    client.batch_execute("set synchronous_commit = on; set client_min_messages = warning").map_err(failed)?;
    Ok(client)
}

fn work_loop(
    mut conn: Option<Conn>,
    config: &postgres::Config,
    queue: &Receiver<(Box<dyn Work>, bool)>,
    commits: &AtomicU64,
) {
    while let Ok((mut work, write)) = queue.recv() {
        let mut tries = 0;
        let ended = loop {
            let open = match &mut conn {
                Some(open) if !open.client.is_closed() => open,
                _ => match connect(config) {
                    Ok(client) => conn.insert(Conn { client, statements: HashMap::new() }),
                    Err(e) => {
                        conn = None;
                        break Err(e);
                    }
                },
            };
            let begin = if write {
                "begin isolation level serializable read write"
            } else {
                "begin isolation level repeatable read read only"
            };
            tries += 1;
            if let Err(e) = open.batch(begin) {
                conn = None;
                if tries > 1 {
                    break Err(e);
                }
                continue;
            }
            let ran = work.run(&mut Tx::new(open));
            let ended = match ran {
                Ran::Keep if write => open.batch("commit"),
                Ran::Broken => {
                    conn = None;
                    break Err(Error::Unavailable("the connection to the store broke".into()));
                }
                Ran::Again => {
                    let _ = open.batch("rollback");
                    Err(Error::Serialization)
                }
                Ran::Keep | Ran::Undo => {
                    let _ = open.batch("rollback");
                    Ok(())
                }
            };
            match ended {
                Err(Error::Serialization) if tries < TRIES => {
                    // Doubling waits with a spread that differs by thread and moment.
                    let spread = u64::from(tries) * 3 + (std::ptr::from_ref(&tries) as u64 >> 6) % 7;
                    std::thread::sleep(Duration::from_millis((1u64 << tries.min(6)) + spread));
                }
                Err(Error::Serialization) => {
                    break Err(Error::Unavailable("too many changes at the same time".into()));
                }
                Ok(()) => {
                    if write {
                        commits.fetch_add(1, Ordering::Relaxed);
                    }
                    break Ok(());
                }
                Err(e) => break Err(e),
            }
        };
        work.done(ended);
    }
}

struct Conn {
    client: Client,
    statements: HashMap<String, Statement>,
}

impl Conn {
    fn batch(&mut self, sql: &str) -> Result<()> {
        self.client.batch_execute(sql).map_err(|e| map(&e))
    }

    fn statement(&mut self, sql: &str) -> Result<Statement> {
        if let Some(known) = self.statements.get(sql) {
            return Ok(known.clone());
        }
        let statement = self.client.prepare(sql).map_err(|e| map(&e))?;
        if self.statements.len() >= 1024 {
            self.statements.clear();
        }
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

impl Connection for Conn {
    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64> {
        let statement = self.statement(sql)?;
        self.client.execute(&statement, &slice(values)).map_err(|e| map(&e))
    }

    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>> {
        let statement = self.statement(sql)?;
        let rows = self.client.query(&statement, &slice(values)).map_err(|e| map(&e))?;
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
        } else {
            row.try_get::<_, Option<String>>(i).map_err(failed)?.map_or(Value::Null, Value::Text)
        });
    }
    Ok(Row(cells))
}

impl ToSql for Value {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Int(v) if *ty == Type::INT4 => i32::try_from(*v)?.to_sql(ty, out),
            Value::Int(v) => v.to_sql(ty, out),
            Value::Text(v) => v.to_sql(ty, out),
            Value::Bytes(v) => v.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        [Type::INT8, Type::INT4, Type::TEXT, Type::VARCHAR, Type::BYTEA, Type::UNKNOWN].contains(ty)
    }

    to_sql_checked!();
}

/// The server's own words without the values of a `DETAIL`.
fn text(e: &postgres::Error) -> String {
    e.as_db_error().map_or_else(|| e.to_string(), |db| db.message().to_owned())
}

fn map(e: &postgres::Error) -> Error {
    if e.is_closed() {
        return Error::Unavailable("the connection to the store is closed".into());
    }
    let Some(state) = e.code() else { return Error::Unavailable(text(e)) };
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
    let class = state.code().get(..2).unwrap_or_default();
    if ["08", "53", "57"].contains(&class) {
        return Error::Unavailable(text(e));
    }
    Error::Other(text(e))
}

/// Reads of account revisions, shared by everybody who asked before a read started.
#[derive(Default)]
pub(crate) struct Revisions {
    waiting: Arc<Mutex<HashMap<String, Vec<oneshot::Sender<Option<i64>>>>>>,
}

impl Revisions {
    pub(crate) async fn revision(&self, account: String, store: Store) -> Result<i64> {
        let (mine, answer) = oneshot::channel();
        let first = {
            let mut waiting = self.waiting.lock();
            match waiting.get_mut(&account) {
                Some(queue) => {
                    queue.push(mine);
                    false
                }
                None => {
                    waiting.insert(account.clone(), vec![mine]);
                    true
                }
            }
        };
        if first {
            let waiting = self.waiting.clone();
            tokio::spawn(async move {
                loop {
                    let served = {
                        let mut waiting = waiting.lock();
                        let Some(queue) = waiting.get_mut(&account) else { break };
                        if queue.is_empty() {
                            waiting.remove(&account);
                            break;
                        }
                        std::mem::take(queue)
                    };
                    let asked = account.clone();
                    let rev: Result<i64> = store.read(move |tx| tx.revision(&asked)).await;
                    for one in served {
                        let _ = one.send(rev.as_ref().ok().copied());
                    }
                }
            });
        }
        match answer.await {
            Ok(Some(rev)) => Ok(rev),
            _ => Err(Error::Unavailable("the revision could not be read".into())),
        }
    }
}
