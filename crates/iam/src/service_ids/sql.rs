//! The only SQL of `service_ids`.

use avouch_gate::{Error, Result};
use avouch_store::{Row, Tx, params};
use avouch_wire::ids::{AccountId, ServiceIdId};
use avouch_wire::time::Timestamp;

use super::ServiceId;

const COLUMNS: &str = "id, account_id, group_id, name, description, unique_instance_crns, locked, etag, created_at, \
                       created_by, modified_at";

/// Writes a service ID, new or changed.
///
/// # Errors
/// Those of the store.
pub fn put(tx: &mut Tx<'_>, s: &ServiceId) -> Result<()> {
    tx.execute(
        "insert into service_ids (id, account_id, group_id, name, description, unique_instance_crns, locked, etag, \
         created_at, created_by, modified_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         on conflict (id) do update set group_id = $3, name = $4, description = $5, unique_instance_crns = $6, \
         locked = $7, etag = $8, modified_at = $11",
        &params![
            s.id.as_str(),
            s.account.as_str(),
            s.group.clone(),
            &s.name,
            s.description.clone(),
            serde_json::to_string(&s.unique_instance_crns).map_err(Error::internal)?,
            s.locked,
            &s.etag,
            s.created_at.millis(),
            &s.created_by,
            s.modified_at.millis()
        ],
    )?;
    tx.changed(s.account.as_str(), "identity", s.iam_id().as_str())?;
    Ok(())
}

/// Removes a service ID with its history.
///
/// # Errors
/// Those of the store.
pub fn delete(tx: &mut Tx<'_>, s: &ServiceId) -> Result<()> {
    tx.execute("delete from service_ids where id = $1", &params![s.id.as_str()])?;
    crate::history::forget(tx, &s.account, s.id.as_str())?;
    crate::token::activity::forget(tx, &s.account, s.id.as_str())?;
    tx.changed(s.account.as_str(), "identity", s.iam_id().as_str())?;
    Ok(())
}

/// The service ID, of whatever account.
///
/// # Errors
/// Those of the store.
pub fn get(tx: &mut Tx<'_>, id: &ServiceIdId) -> Result<Option<ServiceId>> {
    let sql = format!("select {COLUMNS} from service_ids where id = $1");
    tx.query_opt(&sql, &params![id.as_str()])?.as_ref().map(read).transpose()
}

/// All service IDs of an account.
///
/// # Errors
/// Those of the store.
pub fn list(tx: &mut Tx<'_>, account: &AccountId) -> Result<Vec<ServiceId>> {
    let sql = format!("select {COLUMNS} from service_ids where account_id = $1");
    tx.query(&sql, &params![account.as_str()])?.iter().map(read).collect()
}

/// How many service IDs an account has.
///
/// # Errors
/// Those of the store.
pub fn count(tx: &mut Tx<'_>, account: &AccountId) -> Result<i64> {
    Ok(tx
        .query_one("select count(*) from service_ids where account_id = $1", &params![account.as_str()])?
        .get(0)?)
}

/// Whether a group holds any.
///
/// # Errors
/// Those of the store.
pub fn any_in_group(tx: &mut Tx<'_>, account: &AccountId, group: &str) -> Result<bool> {
    let row = tx.query_opt(
        "select id from service_ids where account_id = $1 and group_id = $2 limit 1",
        &params![account.as_str(), group],
    )?;
    Ok(row.is_some())
}

fn read(row: &Row) -> Result<ServiceId> {
    Ok(ServiceId {
        id: ServiceIdId::parse(&row.get::<String>(0)?).map_err(Error::internal)?,
        account: AccountId::parse(&row.get::<String>(1)?).map_err(Error::internal)?,
        group: row.get(2)?,
        name: row.get(3)?,
        description: row.get(4)?,
        unique_instance_crns: serde_json::from_str(&row.get::<String>(5)?).map_err(Error::internal)?,
        locked: row.get(6)?,
        etag: row.get(7)?,
        created_at: Timestamp::from_millis(row.get(8)?),
        created_by: row.get(9)?,
        modified_at: Timestamp::from_millis(row.get(10)?),
    })
}
