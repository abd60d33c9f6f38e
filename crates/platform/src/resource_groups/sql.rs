//! The only SQL of `resource_groups`.

use avouch_gate::{Error, Result};
use avouch_store::{Row, Tx, params};
use avouch_wire::ids::AccountId;
use avouch_wire::text::key;
use avouch_wire::time::Timestamp;

use super::ResourceGroup;

const COLUMNS: &str = "account_id, id, name, state, is_default, created_at, updated_at";

/// Writes a new group.
///
/// # Errors
/// `Conflict` when the name is taken.
pub fn insert(tx: &mut Tx<'_>, g: &ResourceGroup) -> Result<()> {
    tx.execute(
        "insert into resource_groups (account_id, id, name, name_key, state, is_default, created_at, updated_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        &params![
            g.account.as_str(),
            &g.id,
            &g.name,
            key(&g.name),
            &g.state,
            g.default,
            g.created_at.millis(),
            g.updated_at.millis()
        ],
    )
    .map_err(taken)?;
    Ok(())
}

/// Writes a changed group.
///
/// # Errors
/// `Conflict` when the name is taken.
pub fn update(tx: &mut Tx<'_>, g: &ResourceGroup) -> Result<()> {
    tx.execute(
        "update resource_groups set name = $3, name_key = $4, state = $5, updated_at = $6 \
         where account_id = $1 and id = $2",
        &params![g.account.as_str(), &g.id, &g.name, key(&g.name), &g.state, g.updated_at.millis()],
    )
    .map_err(taken)?;
    Ok(())
}

/// Removes a group.
///
/// # Errors
/// Those of the store.
pub fn delete(tx: &mut Tx<'_>, account: &AccountId, id: &str) -> Result<()> {
    tx.execute(
        "delete from resource_groups where account_id = $1 and id = $2",
        &params![account.as_str(), id],
    )?;
    Ok(())
}

/// The group, if it exists.
///
/// # Errors
/// Those of the store.
pub fn get(tx: &mut Tx<'_>, account: &AccountId, id: &str) -> Result<Option<ResourceGroup>> {
    let sql = format!("select {COLUMNS} from resource_groups where account_id = $1 and id = $2");
    tx.query_opt(&sql, &params![account.as_str(), id])?.as_ref().map(read).transpose()
}

/// All groups of an account, oldest first.
///
/// # Errors
/// Those of the store.
pub fn list(tx: &mut Tx<'_>, account: &AccountId) -> Result<Vec<ResourceGroup>> {
    let sql = format!("select {COLUMNS} from resource_groups where account_id = $1 order by created_at, id");
    tx.query(&sql, &params![account.as_str()])?.iter().map(read).collect()
}

fn taken(e: avouch_store::Error) -> Error {
    match e {
        avouch_store::Error::Unique { .. } => {
            Error::conflict("A resource group of that name exists already.")
        }
        other => other.into(),
    }
}

fn read(row: &Row) -> Result<ResourceGroup> {
    Ok(ResourceGroup {
        account: AccountId::parse(&row.get::<String>(0)?).map_err(Error::internal)?,
        id: row.get(1)?,
        name: row.get(2)?,
        state: row.get(3)?,
        default: row.get(4)?,
        created_at: Timestamp::from_millis(row.get(5)?),
        updated_at: Timestamp::from_millis(row.get(6)?),
    })
}
