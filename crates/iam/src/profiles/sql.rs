//! The only SQL of `profiles`.

use avouch_gate::{Error, Result};
use avouch_store::{Row, Tx, params};
use avouch_wire::ids::{AccountId, ProfileId};
use avouch_wire::time::Timestamp;

use super::Profile;

const COLUMNS: &str =
    "id, account_id, name, description, email, etag, identities_etag, created_at, created_by, modified_at";

/// Writes a new profile.
///
/// # Errors
/// `Conflict` when the name is taken.
pub fn insert(tx: &mut Tx<'_>, p: &Profile) -> Result<()> {
    tx.execute(
        "insert into profiles (id, account_id, name, description, email, etag, identities_etag, created_at, created_by, \
         modified_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        &params![
            p.id.as_str(),
            p.account.as_str(),
            &p.name,
            p.description.clone(),
            p.email.clone(),
            &p.etag,
            &p.identities_etag,
            p.created_at.millis(),
            &p.created_by,
            p.modified_at.millis()
        ],
    )
    .map_err(taken)?;
    tx.changed(p.account.as_str(), "identity", p.iam_id().as_str())?;
    Ok(())
}

/// Writes a changed profile over the revision it was read at.
///
/// # Errors
/// `Conflict` when the name is taken.
pub fn update(tx: &mut Tx<'_>, p: &Profile) -> Result<()> {
    tx.execute(
        "update profiles set name = $2, description = $3, email = $4, etag = $5, identities_etag = $6, modified_at = $7 \
         where id = $1",
        &params![
            p.id.as_str(),
            &p.name,
            p.description.clone(),
            p.email.clone(),
            &p.etag,
            &p.identities_etag,
            p.modified_at.millis()
        ],
    )
    .map_err(taken)?;
    tx.changed(p.account.as_str(), "identity", p.iam_id().as_str())?;
    Ok(())
}

/// Removes a profile with its rules, links, identities and history.
///
/// # Errors
/// Those of the store.
pub fn delete(tx: &mut Tx<'_>, p: &Profile) -> Result<()> {
    for table in ["claim_rules", "profile_links", "profile_identities"] {
        tx.execute(&format!("delete from {table} where profile_id = $1"), &params![p.id.as_str()])?;
    }
    tx.execute("delete from profiles where id = $1", &params![p.id.as_str()])?;
    crate::history::forget(tx, &p.account, p.id.as_str())?;
    crate::token::activity::forget(tx, &p.account, p.id.as_str())?;
    tx.changed(p.account.as_str(), "identity", p.iam_id().as_str())?;
    Ok(())
}

/// The profile, of whatever account.
///
/// # Errors
/// Those of the store.
pub fn get(tx: &mut Tx<'_>, id: &ProfileId) -> Result<Option<Profile>> {
    let sql = format!("select {COLUMNS} from profiles where id = $1");
    tx.query_opt(&sql, &params![id.as_str()])?.as_ref().map(read).transpose()
}

/// The profile of that exact name in the account.
///
/// # Errors
/// Those of the store.
pub fn by_name(tx: &mut Tx<'_>, account: &AccountId, name: &str) -> Result<Option<Profile>> {
    let sql = format!("select {COLUMNS} from profiles where account_id = $1 and name = $2");
    tx.query_opt(&sql, &params![account.as_str(), name])?.as_ref().map(read).transpose()
}

/// All profiles of an account.
///
/// # Errors
/// Those of the store.
pub fn list(tx: &mut Tx<'_>, account: &AccountId) -> Result<Vec<Profile>> {
    let sql = format!("select {COLUMNS} from profiles where account_id = $1");
    tx.query(&sql, &params![account.as_str()])?.iter().map(read).collect()
}

/// How many profiles an account has.
///
/// # Errors
/// Those of the store.
pub fn count(tx: &mut Tx<'_>, account: &AccountId) -> Result<i64> {
    Ok(tx
        .query_one("select count(*) from profiles where account_id = $1", &params![account.as_str()])?
        .get(0)?)
}

fn taken(e: avouch_store::Error) -> Error {
    match e {
        avouch_store::Error::Unique { .. } => {
            Error::conflict("A profile of that name exists already.").field("name")
        }
        other => other.into(),
    }
}

fn read(row: &Row) -> Result<Profile> {
    Ok(Profile {
        id: ProfileId::parse(&row.get::<String>(0)?).map_err(Error::internal)?,
        account: AccountId::parse(&row.get::<String>(1)?).map_err(Error::internal)?,
        name: row.get(2)?,
        description: row.get(3)?,
        email: row.get(4)?,
        etag: row.get(5)?,
        identities_etag: row.get(6)?,
        created_at: Timestamp::from_millis(row.get(7)?),
        created_by: row.get(8)?,
        modified_at: Timestamp::from_millis(row.get(9)?),
    })
}
