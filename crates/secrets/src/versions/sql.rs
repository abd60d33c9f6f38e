//! The only SQL of `sm_versions` and `sm_reads`.

use avouch_gate::{Error, Result};
use avouch_store::{Row, Tx, params};
use avouch_wire::time::Timestamp;
use serde_json::Value;

use super::Version;

const COLUMNS: &str =
    "id, secret_id, n, alias, sealed, body, auto_rotated, expires_at, created_at, created_by";

/// Writes a version, new or changed.
///
/// # Errors
/// Those of the store.
pub fn put(tx: &mut Tx<'_>, instance: &str, v: &Version) -> Result<()> {
    tx.execute(
        "insert into sm_versions (instance, secret_id, id, n, alias, sealed, body, auto_rotated, expires_at, created_at, \
         created_by) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         on conflict (instance, secret_id, id) do update set alias = $5, sealed = $6, body = $7, expires_at = $9",
        &params![
            instance,
            &v.secret,
            &v.id,
            v.n,
            &v.alias,
            v.sealed.clone(),
            Value::Object(v.metadata.clone()).to_string(),
            v.auto_rotated,
            v.expires_at.map(Timestamp::millis),
            v.created_at.millis(),
            &v.created_by
        ],
    )?;
    Ok(())
}

/// Erases the payloads of a secret.
///
/// # Errors
/// Those of the store.
pub fn erase(tx: &mut Tx<'_>, instance: &str, secret: &str) -> Result<()> {
    tx.execute(
        "update sm_versions set sealed = null where instance = $1 and secret_id = $2",
        &params![instance, secret],
    )?;
    Ok(())
}

/// Gives the versions that still have a name a new time to end.
///
/// # Errors
/// Those of the store.
pub fn expire_at(tx: &mut Tx<'_>, instance: &str, secret: &str, at: Option<Timestamp>) -> Result<()> {
    tx.execute(
        "update sm_versions set expires_at = $3 where instance = $1 and secret_id = $2 and alias <> ''",
        &params![instance, secret, at.map(Timestamp::millis)],
    )?;
    Ok(())
}

/// Drops the oldest versions, those below `n`. That they were read is kept for the secret, in one row of no version.
///
/// # Errors
/// Those of the store.
pub fn drop_before(tx: &mut Tx<'_>, instance: &str, secret: &str, n: i64) -> Result<()> {
    if n <= 1 {
        return Ok(());
    }
    tx.execute(
        "delete from sm_versions where instance = $1 and secret_id = $2 and n < $3",
        &params![instance, secret, n],
    )?;
    let gone = "instance = $1 and secret_id = $2 and version_id not in \
                (select id from sm_versions where instance = $1 and secret_id = $2)";
    let row =
        tx.query_one(&format!("select max(last_at) from sm_reads where {gone}"), &params![instance, secret])?;
    if let Some(last) = row.get::<Option<i64>>(0)? {
        tx.execute(&format!("delete from sm_reads where {gone}"), &params![instance, secret])?;
        mark_read(tx, (instance, secret, ""), "", Timestamp::from_millis(last))?;
    }
    Ok(())
}

/// The version with this alias.
///
/// # Errors
/// Those of the store.
pub fn by_alias(tx: &mut Tx<'_>, instance: &str, secret: &str, alias: &str) -> Result<Option<Version>> {
    let sql =
        format!("select {COLUMNS} from sm_versions where instance = $1 and secret_id = $2 and alias = $3");
    tx.query_opt(&sql, &params![instance, secret, alias])?.as_ref().map(read).transpose()
}

/// The version with this id.
///
/// # Errors
/// Those of the store.
pub fn get(tx: &mut Tx<'_>, instance: &str, secret: &str, id: &str) -> Result<Option<Version>> {
    let sql = format!("select {COLUMNS} from sm_versions where instance = $1 and secret_id = $2 and id = $3");
    tx.query_opt(&sql, &params![instance, secret, id])?.as_ref().map(read).transpose()
}

/// All versions, oldest first.
///
/// # Errors
/// Those of the store.
pub fn list(tx: &mut Tx<'_>, instance: &str, secret: &str) -> Result<Vec<Version>> {
    let sql = format!("select {COLUMNS} from sm_versions where instance = $1 and secret_id = $2 order by n");
    tx.query(&sql, &params![instance, secret])?.iter().map(read).collect()
}

/// Notes that a version was read: one row per version and replica.
///
/// # Errors
/// Those of the store.
pub fn mark_read(
    tx: &mut Tx<'_>,
    (instance, secret, version): (&str, &str, &str),
    node: &str,
    at: Timestamp,
) -> Result<()> {
    tx.execute(
        "insert into sm_reads (instance, secret_id, version_id, node, last_at) values ($1, $2, $3, $4, $5) \
         on conflict (instance, secret_id, version_id, node) do update set last_at = $5",
        &params![instance, secret, version, node, at.millis()],
    )?;
    Ok(())
}

/// When any version was read last, also one that is gone.
///
/// # Errors
/// Those of the store.
pub fn last_read(tx: &mut Tx<'_>, instance: &str, secret: &str) -> Result<Option<Timestamp>> {
    let row = tx.query_one(
        "select max(last_at) from sm_reads where instance = $1 and secret_id = $2",
        &params![instance, secret],
    )?;
    Ok(row.get::<Option<i64>>(0)?.map(Timestamp::from_millis))
}

/// Ids of versions that were read.
///
/// # Errors
/// Those of the store.
pub fn read_ids(tx: &mut Tx<'_>, instance: &str, secret: &str) -> Result<Vec<String>> {
    let rows = tx.query(
        "select distinct version_id from sm_reads where instance = $1 and secret_id = $2",
        &params![instance, secret],
    )?;
    rows.iter().map(|r| Ok(r.get(0)?)).collect()
}

fn read(row: &Row) -> Result<Version> {
    let body: Value = serde_json::from_str(&row.get::<String>(5)?).map_err(Error::internal)?;
    Ok(Version {
        id: row.get(0)?,
        secret: row.get(1)?,
        n: row.get(2)?,
        alias: row.get(3)?,
        sealed: row.get(4)?,
        metadata: body.as_object().cloned().unwrap_or_default(),
        auto_rotated: row.get(6)?,
        expires_at: row.get::<Option<i64>>(7)?.map(Timestamp::from_millis),
        created_at: Timestamp::from_millis(row.get(8)?),
        created_by: row.get(9)?,
    })
}
