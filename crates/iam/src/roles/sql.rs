//! The only SQL of `custom_roles`.

use avouch_crypto::digest;
use avouch_gate::{Error, Result};
use avouch_store::{Row, Tx, params};
use avouch_wire::ids::{AccountId, RoleId};
use avouch_wire::time::Timestamp;

use super::CustomRole;

const COLUMNS: &str = "id, account_id, name, display_name, service, actions, description, crn, etag, created_at, \
                       created_by, modified_at, modified_by";

/// Equal for two roles that allow the same.
fn actions_key(actions: &[String]) -> String {
    let mut sorted: Vec<&str> = actions.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted.dedup();
    digest::hex(&digest::sha256(sorted.join("\n").as_bytes()))
}

/// Writes a new role.
///
/// # Errors
/// `Conflict` when the name, the display name or the set of actions is taken.
pub fn insert(tx: &mut Tx<'_>, r: &CustomRole) -> Result<()> {
    tx.execute(
        "insert into custom_roles (id, account_id, name, display_name, service, actions, actions_key, description, \
         crn, etag, created_at, created_by, modified_at, modified_by) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        &params![
            r.id.as_str(),
            r.account.as_str(),
            &r.name,
            &r.display_name,
            &r.service,
            serde_json::to_string(&r.actions).map_err(Error::internal)?,
            actions_key(&r.actions),
            r.description.clone(),
            &r.crn,
            &r.etag,
            r.created_at.millis(),
            &r.created_by,
            r.modified_at.millis(),
            &r.modified_by
        ],
    )?;
    tx.changed(r.account.as_str(), "role", &r.crn)?;
    Ok(())
}

/// Writes a changed role.
///
/// # Errors
/// As [`insert`].
pub fn update(tx: &mut Tx<'_>, r: &CustomRole) -> Result<()> {
    tx.execute(
        "update custom_roles set display_name = $3, actions = $4, actions_key = $5, description = $6, etag = $7, \
         modified_at = $8, modified_by = $9 where account_id = $2 and id = $1",
        &params![
            r.id.as_str(),
            r.account.as_str(),
            &r.display_name,
            serde_json::to_string(&r.actions).map_err(Error::internal)?,
            actions_key(&r.actions),
            r.description.clone(),
            &r.etag,
            r.modified_at.millis(),
            &r.modified_by
        ],
    )?;
    tx.changed(r.account.as_str(), "role", &r.crn)?;
    Ok(())
}

/// Removes a role.
///
/// # Errors
/// Those of the store.
pub fn delete(tx: &mut Tx<'_>, r: &CustomRole) -> Result<()> {
    tx.execute(
        "delete from custom_roles where account_id = $1 and id = $2",
        &params![r.account.as_str(), r.id.as_str()],
    )?;
    tx.changed(r.account.as_str(), "role", &r.crn)?;
    Ok(())
}

/// The role with this id, of whatever account.
///
/// # Errors
/// Those of the store.
pub fn get(tx: &mut Tx<'_>, id: &RoleId) -> Result<Option<CustomRole>> {
    let sql = format!("select {COLUMNS} from custom_roles where id = $1");
    tx.query_opt(&sql, &params![id.as_str()])?.as_ref().map(read).transpose()
}

/// The role of an account with this resource name.
///
/// # Errors
/// Those of the store.
pub fn by_crn(tx: &mut Tx<'_>, account: &AccountId, crn: &str) -> Result<Option<CustomRole>> {
    let sql = format!("select {COLUMNS} from custom_roles where account_id = $1 and crn = $2");
    tx.query_opt(&sql, &params![account.as_str(), crn])?.as_ref().map(read).transpose()
}

/// All custom roles of an account, oldest first.
///
/// # Errors
/// Those of the store.
pub fn all(tx: &mut Tx<'_>, account: &AccountId) -> Result<Vec<CustomRole>> {
    let sql = format!("select {COLUMNS} from custom_roles where account_id = $1 order by created_at, id");
    tx.query(&sql, &params![account.as_str()])?.iter().map(read).collect()
}

/// Which unique property of a role is taken: `name`, `display_name` or `actions`.
///
/// # Errors
/// Those of the store.
pub fn taken(tx: &mut Tx<'_>, r: &CustomRole) -> Result<Option<(&'static str, String)>> {
    let probes = [
        ("name", r.name.clone()),
        ("display_name", r.display_name.clone()),
        ("actions", actions_key(&r.actions)),
    ];
    for (what, value) in probes {
        let row = if what == "actions" {
            tx.query_opt(
                "select id from custom_roles where account_id = $1 and service = $2 and actions_key = $3 and id <> $4",
                &params![r.account.as_str(), &r.service, value, r.id.as_str()],
            )?
        } else {
            tx.query_opt(
                &format!("select id from custom_roles where account_id = $1 and {what} = $2 and id <> $3"),
                &params![r.account.as_str(), value, r.id.as_str()],
            )?
        };
        if let Some(row) = row {
            return Ok(Some((what, row.get(0)?)));
        }
    }
    Ok(None)
}

fn read(row: &Row) -> Result<CustomRole> {
    Ok(CustomRole {
        id: RoleId::parse(&row.get::<String>(0)?).map_err(Error::internal)?,
        account: AccountId::parse(&row.get::<String>(1)?).map_err(Error::internal)?,
        name: row.get(2)?,
        display_name: row.get(3)?,
        service: row.get(4)?,
        // Damaged actions allow nothing.
        actions: serde_json::from_str(&row.get::<String>(5)?).unwrap_or_default(),
        description: row.get(6)?,
        crn: row.get(7)?,
        etag: row.get(8)?,
        created_at: Timestamp::from_millis(row.get(9)?),
        created_by: row.get(10)?,
        modified_at: Timestamp::from_millis(row.get(11)?),
        modified_by: row.get(12)?,
    })
}
