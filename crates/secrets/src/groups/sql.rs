//! The only SQL of `sm_groups`.

use avouch_gate::{Error, Result};
use avouch_store::{Row, Tx, params};
use avouch_wire::time::Timestamp;

use super::Group;

const COLUMNS: &str = "id, name, description, created_at, created_by, updated_at";

/// Writes a group, new or changed.
///
/// # Errors
/// `Conflict` when the name is taken.
pub fn put(tx: &mut Tx<'_>, instance: &str, g: &Group) -> Result<()> {
    tx.execute(
        "insert into sm_groups (instance, id, name, description, created_at, created_by, updated_at) \
         values ($1, $2, $3, $4, $5, $6, $7) \
         on conflict (instance, id) do update set name = $3, description = $4, updated_at = $7",
        &params![
            instance,
            &g.id,
            &g.name,
            g.description.clone(),
            g.created_at.millis(),
            &g.created_by,
            g.updated_at.millis()
        ],
    )
    .map_err(|e| match e {
        avouch_store::Error::Unique { .. } => Error::conflict("A secret group of that name already exists."),
        other => other.into(),
    })?;
    Ok(())
}

/// Removes a group.
///
/// # Errors
/// Those of the store.
pub fn delete(tx: &mut Tx<'_>, instance: &str, id: &str) -> Result<()> {
    tx.execute("delete from sm_groups where instance = $1 and id = $2", &params![instance, id])?;
    Ok(())
}

/// The group, if the instance has it; the default group has no row.
///
/// # Errors
/// Those of the store.
pub fn get(tx: &mut Tx<'_>, instance: &str, id: &str) -> Result<Option<Group>> {
    let sql = format!("select {COLUMNS} from sm_groups where instance = $1 and id = $2");
    tx.query_opt(&sql, &params![instance, id])?.as_ref().map(read).transpose()
}

/// The group of that name.
///
/// # Errors
/// Those of the store.
pub fn by_name(tx: &mut Tx<'_>, instance: &str, name: &str) -> Result<Option<Group>> {
    let sql = format!("select {COLUMNS} from sm_groups where instance = $1 and name = $2");
    tx.query_opt(&sql, &params![instance, name])?.as_ref().map(read).transpose()
}

/// All groups but the default one, oldest first.
///
/// # Errors
/// Those of the store.
pub fn list(tx: &mut Tx<'_>, instance: &str) -> Result<Vec<Group>> {
    let sql = format!("select {COLUMNS} from sm_groups where instance = $1 order by created_at, id");
    tx.query(&sql, &params![instance])?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Group> {
    Ok(Group {
        id: row.get(0)?,
        name: row.get(1)?,
        description: row.get(2)?,
        created_at: Timestamp::from_millis(row.get(3)?),
        created_by: row.get(4)?,
        updated_at: Timestamp::from_millis(row.get(5)?),
    })
}
