//! The only SQL of `service_id_groups`.

use avouch_gate::{Error, Result};
use avouch_store::{Row, Tx, params};
use avouch_wire::ids::AccountId;
use avouch_wire::time::Timestamp;

use super::Group;

const COLUMNS: &str = "id, account_id, name, description, etag, created_at, created_by, modified_at";

/// Writes a group, new or changed.
///
/// # Errors
/// `Conflict` when the name is taken.
pub fn put(tx: &mut Tx<'_>, g: &Group) -> Result<()> {
    tx.execute(
        "insert into service_id_groups (id, account_id, name, description, etag, created_at, created_by, modified_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8) \
         on conflict (id) do update set name = $3, description = $4, etag = $5, modified_at = $8",
        &params![
            &g.id,
            g.account.as_str(),
            &g.name,
            g.description.clone(),
            &g.etag,
            g.created_at.millis(),
            &g.created_by,
            g.modified_at.millis()
        ],
    )
    .map_err(|e| match e {
        avouch_store::Error::Unique { .. } => Error::conflict("A group of that name exists already.").field("name"),
        other => other.into(),
    })?;
    Ok(())
}

/// Removes a group.
///
/// # Errors
/// Those of the store.
pub fn delete(tx: &mut Tx<'_>, g: &Group) -> Result<()> {
    tx.execute("delete from service_id_groups where id = $1", &params![&g.id])?;
    Ok(())
}

/// The group, if the account has it.
///
/// # Errors
/// Those of the store.
pub fn get(tx: &mut Tx<'_>, account: &AccountId, id: &str) -> Result<Option<Group>> {
    let sql = format!("select {COLUMNS} from service_id_groups where account_id = $1 and id = $2");
    tx.query_opt(&sql, &params![account.as_str(), id])?.as_ref().map(read).transpose()
}

/// The groups of an account, oldest first.
///
/// # Errors
/// Those of the store.
pub fn list(tx: &mut Tx<'_>, account: &AccountId) -> Result<Vec<Group>> {
    let sql =
        format!("select {COLUMNS} from service_id_groups where account_id = $1 order by created_at, id");
    tx.query(&sql, &params![account.as_str()])?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Group> {
    Ok(Group {
        id: row.get(0)?,
        account: AccountId::parse(&row.get::<String>(1)?).map_err(Error::internal)?,
        name: row.get(2)?,
        description: row.get(3)?,
        etag: row.get(4)?,
        created_at: Timestamp::from_millis(row.get(5)?),
        created_by: row.get(6)?,
        modified_at: Timestamp::from_millis(row.get(7)?),
    })
}
