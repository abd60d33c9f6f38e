//! The only SQL of `sm_locks`.

use avouch_gate::{Error, Result};
use avouch_store::{Row, Tx, params};
use avouch_wire::time::Timestamp;
use serde_json::Value;

use super::Lock;

/// Writes a lock, or the same one anew.
///
/// # Errors
/// Those of the store.
pub fn put(tx: &mut Tx<'_>, instance: &str, secret: &str, l: &Lock) -> Result<()> {
    tx.execute(
        "insert into sm_locks (instance, secret_id, version_id, name, description, attributes, created_at, created_by, \
         updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (instance, secret_id, version_id, name) \
         do update set description = $5, attributes = $6, updated_at = $9",
        &params![
            instance,
            secret,
            &l.version,
            &l.name,
            l.description.clone(),
            Value::Object(l.attributes.clone()).to_string(),
            l.created_at.millis(),
            &l.created_by,
            l.updated_at.millis()
        ],
    )?;
    Ok(())
}

/// Removes a lock; it need not be there.
///
/// # Errors
/// Those of the store.
pub fn delete(tx: &mut Tx<'_>, instance: &str, secret: &str, version: &str, name: &str) -> Result<()> {
    tx.execute(
        "delete from sm_locks where instance = $1 and secret_id = $2 and version_id = $3 and name = $4",
        &params![instance, secret, version, name],
    )?;
    Ok(())
}

/// Removes all locks of a version.
///
/// # Errors
/// Those of the store.
pub fn delete_all(tx: &mut Tx<'_>, instance: &str, secret: &str, version: &str) -> Result<()> {
    tx.execute(
        "delete from sm_locks where instance = $1 and secret_id = $2 and version_id = $3",
        &params![instance, secret, version],
    )?;
    Ok(())
}

/// All locks of a secret, oldest first.
///
/// # Errors
/// Those of the store.
pub fn list(tx: &mut Tx<'_>, instance: &str, secret: &str) -> Result<Vec<Lock>> {
    let rows = tx.query(
        "select version_id, name, description, attributes, created_at, created_by, updated_at from sm_locks \
         where instance = $1 and secret_id = $2 order by created_at, name",
        &params![instance, secret],
    )?;
    rows.iter().map(read).collect()
}

/// How many locks a secret has.
///
/// # Errors
/// Those of the store.
pub fn count(tx: &mut Tx<'_>, instance: &str, secret: &str) -> Result<i64> {
    let row = tx.query_one(
        "select count(*) from sm_locks where instance = $1 and secret_id = $2",
        &params![instance, secret],
    )?;
    Ok(row.get(0)?)
}

/// Whether a version has any.
///
/// # Errors
/// Those of the store.
pub fn any(tx: &mut Tx<'_>, instance: &str, secret: &str, version: &str) -> Result<bool> {
    let row = tx.query_opt(
        "select name from sm_locks where instance = $1 and secret_id = $2 and version_id = $3 limit 1",
        &params![instance, secret, version],
    )?;
    Ok(row.is_some())
}

fn read(row: &Row) -> Result<Lock> {
    let attributes: Value = serde_json::from_str(&row.get::<String>(3)?).map_err(Error::internal)?;
    Ok(Lock {
        version: row.get(0)?,
        name: row.get(1)?,
        description: row.get(2)?,
        attributes: attributes.as_object().cloned().unwrap_or_default(),
        created_at: Timestamp::from_millis(row.get(4)?),
        created_by: row.get(5)?,
        updated_at: Timestamp::from_millis(row.get(6)?),
    })
}
