//! The only SQL of `reclamations`.

use avouch_gate::{Error, Result};
use avouch_store::{Row, Tx, params};
use avouch_wire::ids::AccountId;
use avouch_wire::time::Timestamp;

use super::Reclamation;

const COLUMNS: &str = "id, account_id, guid, resource_group_id, state, target_time, created_at, created_by, updated_at, updated_by";

/// Writes a new reclamation.
///
/// # Errors
/// Those of the store.
pub fn insert(tx: &mut Tx<'_>, r: &Reclamation) -> Result<()> {
    tx.execute(
        "insert into reclamations (id, account_id, guid, resource_group_id, state, target_time, created_at, created_by, \
         updated_at, updated_by) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        &params![
            &r.id,
            r.account.as_str(),
            &r.guid,
            &r.resource_group,
            &r.state,
            r.target_time.millis(),
            r.created_at.millis(),
            &r.created_by,
            r.updated_at.millis(),
            &r.updated_by
        ],
    )?;
    Ok(())
}

/// Ends a reclamation.
///
/// # Errors
/// Those of the store.
pub fn set_state(tx: &mut Tx<'_>, id: &str, state: &str, by: &str, now: Timestamp) -> Result<()> {
    tx.execute(
        "update reclamations set state = $2, updated_at = $3, updated_by = $4 where id = $1",
        &params![id, state, now.millis(), by],
    )?;
    Ok(())
}

/// The reclamation, if it exists in the account.
///
/// # Errors
/// Those of the store.
pub fn get(tx: &mut Tx<'_>, account: &AccountId, id: &str) -> Result<Option<Reclamation>> {
    let sql = format!("select {COLUMNS} from reclamations where account_id = $1 and id = $2");
    tx.query_opt(&sql, &params![account.as_str(), id])?.as_ref().map(read).transpose()
}

/// Open reclamations of an account, oldest first.
///
/// # Errors
/// Those of the store.
pub fn open(tx: &mut Tx<'_>, account: &AccountId) -> Result<Vec<Reclamation>> {
    let sql = format!(
        "select {COLUMNS} from reclamations where account_id = $1 and state = 'SCHEDULED' order by created_at, id"
    );
    tx.query(&sql, &params![account.as_str()])?.iter().map(read).collect()
}

/// Open reclamations of all accounts that are due.
///
/// # Errors
/// Those of the store.
pub fn due(tx: &mut Tx<'_>, now: Timestamp, limit: i64) -> Result<Vec<Reclamation>> {
    let sql = format!(
        "select {COLUMNS} from reclamations where state = 'SCHEDULED' and target_time <= $1 order by target_time limit $2"
    );
    tx.query(&sql, &params![now.millis(), limit])?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Reclamation> {
    Ok(Reclamation {
        id: row.get(0)?,
        account: AccountId::parse(&row.get::<String>(1)?).map_err(Error::internal)?,
        guid: row.get(2)?,
        resource_group: row.get(3)?,
        state: row.get(4)?,
        target_time: Timestamp::from_millis(row.get(5)?),
        created_at: Timestamp::from_millis(row.get(6)?),
        created_by: row.get(7)?,
        updated_at: Timestamp::from_millis(row.get(8)?),
        updated_by: row.get(9)?,
    })
}
