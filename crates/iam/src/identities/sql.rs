//! The only SQL of `profile_identities`.

use avouch_gate::{Error, Result};
use avouch_store::{Row, Tx, params};
use avouch_wire::ids::{AccountId, ProfileId};
use avouch_wire::time::Timestamp;

use super::Identity;

const COLUMNS: &str = "account_id, profile_id, kind, identifier, iam_id, accounts, description, created_at";

/// Writes an identity, or the same one anew.
///
/// # Errors
/// Those of the store.
pub fn put(tx: &mut Tx<'_>, i: &Identity) -> Result<()> {
    tx.execute(
        "insert into profile_identities (account_id, profile_id, kind, identifier, iam_id, accounts, description, \
         created_at) values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (profile_id, kind, identifier) \
         do update set iam_id = $5, accounts = $6, description = $7",
        &params![
            i.account.as_str(),
            i.profile.as_str(),
            &i.kind,
            &i.identifier,
            &i.iam_id,
            serde_json::to_string(&i.accounts).map_err(Error::internal)?,
            i.description.clone(),
            i.created_at.millis()
        ],
    )?;
    tx.changed(i.account.as_str(), "trust", i.profile.as_str())?;
    Ok(())
}

/// Removes an identity.
///
/// # Errors
/// Those of the store.
pub fn delete(tx: &mut Tx<'_>, i: &Identity) -> Result<()> {
    tx.execute(
        "delete from profile_identities where profile_id = $1 and kind = $2 and identifier = $3",
        &params![i.profile.as_str(), &i.kind, &i.identifier],
    )?;
    tx.changed(i.account.as_str(), "trust", i.profile.as_str())?;
    Ok(())
}

/// The identities of a profile, oldest first.
///
/// # Errors
/// Those of the store.
pub fn list(tx: &mut Tx<'_>, profile: &ProfileId) -> Result<Vec<Identity>> {
    let sql = format!(
        "select {COLUMNS} from profile_identities where profile_id = $1 order by created_at, kind, identifier"
    );
    tx.query(&sql, &params![profile.as_str()])?.iter().map(read).collect()
}

/// Identities of all profiles that name this IAM id.
///
/// # Errors
/// Those of the store.
pub fn by_iam_id(tx: &mut Tx<'_>, iam_id: &str) -> Result<Vec<Identity>> {
    let sql =
        format!("select {COLUMNS} from profile_identities where iam_id = $1 order by created_at, profile_id");
    tx.query(&sql, &params![iam_id])?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Identity> {
    Ok(Identity {
        account: AccountId::parse(&row.get::<String>(0)?).map_err(Error::internal)?,
        profile: ProfileId::parse(&row.get::<String>(1)?).map_err(Error::internal)?,
        kind: row.get(2)?,
        identifier: row.get(3)?,
        iam_id: row.get(4)?,
        accounts: serde_json::from_str(&row.get::<String>(5)?).map_err(Error::internal)?,
        description: row.get(6)?,
        created_at: Timestamp::from_millis(row.get(7)?),
    })
}
