//! The only SQL of `sm_secrets`.

use avouch_gate::{Error, Result};
use avouch_store::{Row, Tx, params};
use avouch_wire::time::Timestamp;

use super::{Secret, SecretType};

const COLUMNS: &str = "id, secret_type, name, group_id, state, body, versions_total, expires_at, next_rotation_at, \
                       created_at, created_by, updated_at";

fn taken(e: avouch_store::Error) -> Error {
    match e {
        avouch_store::Error::Unique { .. } => {
            Error::conflict("A secret of that name and type already exists.")
        }
        other => other.into(),
    }
}

/// Writes a secret, new or changed.
///
/// # Errors
/// `Conflict` when the name is taken.
pub fn put(tx: &mut Tx<'_>, instance: &str, s: &Secret) -> Result<()> {
    tx.execute(
        "insert into sm_secrets (instance, id, secret_type, name, group_id, state, body, versions_total, expires_at, \
         next_rotation_at, created_at, created_by, updated_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
         on conflict (instance, id) do update set name = $4, state = $6, body = $7, versions_total = $8, \
         expires_at = $9, next_rotation_at = $10, updated_at = $13",
        &params![
            instance,
            &s.id,
            s.kind.as_str(),
            &s.name,
            &s.group,
            s.state,
            serde_json::to_string(&s.body).map_err(Error::internal)?,
            s.versions_total,
            s.expires_at.map(Timestamp::millis),
            s.next_rotation_at.map(Timestamp::millis),
            s.created_at.millis(),
            &s.created_by,
            s.updated_at.millis()
        ],
    )
    .map_err(taken)?;
    Ok(())
}

/// Removes a secret with all that belongs to it.
///
/// # Errors
/// Those of the store.
pub fn delete(tx: &mut Tx<'_>, instance: &str, id: &str) -> Result<()> {
    for table in ["sm_locks", "sm_reads", "sm_versions"] {
        tx.execute(
            &format!("delete from {table} where instance = $1 and secret_id = $2"),
            &params![instance, id],
        )?;
    }
    tx.execute("delete from sm_secrets where instance = $1 and id = $2", &params![instance, id])?;
    Ok(())
}

/// The secret, if the instance has it.
///
/// # Errors
/// Those of the store.
pub fn get(tx: &mut Tx<'_>, instance: &str, id: &str) -> Result<Option<Secret>> {
    let sql = format!("select {COLUMNS} from sm_secrets where instance = $1 and id = $2");
    tx.query_opt(&sql, &params![instance, id])?.as_ref().map(read).transpose()
}

/// The secret of that type and name.
///
/// # Errors
/// Those of the store.
pub fn by_name(tx: &mut Tx<'_>, instance: &str, kind: SecretType, name: &str) -> Result<Option<Secret>> {
    let sql =
        format!("select {COLUMNS} from sm_secrets where instance = $1 and secret_type = $2 and name = $3");
    tx.query_opt(&sql, &params![instance, kind.as_str(), name])?.as_ref().map(read).transpose()
}

/// All secrets of the instance, oldest first.
///
/// # Errors
/// Those of the store.
pub fn list(tx: &mut Tx<'_>, instance: &str) -> Result<Vec<Secret>> {
    let sql = format!("select {COLUMNS} from sm_secrets where instance = $1 order by created_at, id");
    tx.query(&sql, &params![instance])?.iter().map(read).collect()
}

/// Whether a group holds any secret.
///
/// # Errors
/// Those of the store.
pub fn any_in_group(tx: &mut Tx<'_>, instance: &str, group: &str) -> Result<bool> {
    let row = tx.query_opt(
        "select id from sm_secrets where instance = $1 and group_id = $2 limit 1",
        &params![instance, group],
    )?;
    Ok(row.is_some())
}

/// `(instance, id)` of secrets whose time is over, whose payload is still there and that nobody locks.
///
/// # Errors
/// Those of the store.
pub fn expired(tx: &mut Tx<'_>, now: Timestamp, limit: i64) -> Result<Vec<(String, String)>> {
    pairs(
        tx,
        "select s.instance, s.id from sm_secrets s where s.expires_at is not null and s.expires_at <= $1 and s.state <> 5 \
         and not exists (select 1 from sm_locks l where l.instance = s.instance and l.secret_id = s.id) \
         order by s.expires_at limit $2",
        now,
        limit,
    )
}

/// `(instance, id)` of secrets that are due for rotation.
///
/// # Errors
/// Those of the store.
pub fn due(tx: &mut Tx<'_>, now: Timestamp, limit: i64) -> Result<Vec<(String, String)>> {
    pairs(
        tx,
        "select instance, id from sm_secrets where next_rotation_at is not null and next_rotation_at <= $1 \
         and state <> 5 order by next_rotation_at limit $2",
        now,
        limit,
    )
}

fn pairs(tx: &mut Tx<'_>, sql: &str, now: Timestamp, limit: i64) -> Result<Vec<(String, String)>> {
    let rows = tx.query(sql, &params![now.millis(), limit])?;
    rows.iter().map(|r| Ok((r.get(0)?, r.get(1)?))).collect()
}

fn read(row: &Row) -> Result<Secret> {
    Ok(Secret {
        id: row.get(0)?,
        kind: SecretType::parse(&row.get::<String>(1)?)?,
        name: row.get(2)?,
        group: row.get(3)?,
        state: row.get(4)?,
        body: serde_json::from_str(&row.get::<String>(5)?).map_err(Error::internal)?,
        versions_total: row.get(6)?,
        expires_at: row.get::<Option<i64>>(7)?.map(Timestamp::from_millis),
        next_rotation_at: row.get::<Option<i64>>(8)?.map(Timestamp::from_millis),
        created_at: Timestamp::from_millis(row.get(9)?),
        created_by: row.get(10)?,
        updated_at: Timestamp::from_millis(row.get(11)?),
    })
}
