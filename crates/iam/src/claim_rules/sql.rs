//! The only SQL of `claim_rules`.

use avouch_gate::{Error, Result};
use avouch_store::{Row, Tx, params};
use avouch_wire::ids::{AccountId, ClaimRuleId, ProfileId};
use avouch_wire::time::Timestamp;

use super::Rule;

const COLUMNS: &str = "id, account_id, profile_id, name, type, realm_name, cr_type, expiration, conditions, etag, \
                       created_at, modified_at";

/// Writes a new rule, or the same rule anew.
///
/// # Errors
/// Those of the store.
pub fn put(tx: &mut Tx<'_>, r: &Rule) -> Result<()> {
    tx.execute(
        "insert into claim_rules (id, account_id, profile_id, name, type, realm_name, cr_type, expiration, conditions, \
         etag, created_at, modified_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
         on conflict (id) do update set name = $4, type = $5, realm_name = $6, cr_type = $7, expiration = $8, \
         conditions = $9, etag = $10, modified_at = $12",
        &params![
            r.id.as_str(),
            r.account.as_str(),
            r.profile.as_str(),
            r.name.clone(),
            &r.kind,
            r.realm_name.clone(),
            r.cr_type.clone(),
            r.expiration,
            serde_json::to_string(&r.conditions).map_err(Error::internal)?,
            &r.etag,
            r.created_at.millis(),
            r.modified_at.millis()
        ],
    )?;
    tx.changed(r.account.as_str(), "trust", r.profile.as_str())?;
    Ok(())
}

/// Removes a rule.
///
/// # Errors
/// Those of the store.
pub fn delete(tx: &mut Tx<'_>, r: &Rule) -> Result<()> {
    tx.execute("delete from claim_rules where id = $1", &params![r.id.as_str()])?;
    tx.changed(r.account.as_str(), "trust", r.profile.as_str())?;
    Ok(())
}

/// The rule, if the profile has it.
///
/// # Errors
/// Those of the store.
pub fn get(tx: &mut Tx<'_>, profile: &ProfileId, id: &ClaimRuleId) -> Result<Option<Rule>> {
    let sql = format!("select {COLUMNS} from claim_rules where profile_id = $1 and id = $2");
    tx.query_opt(&sql, &params![profile.as_str(), id.as_str()])?.as_ref().map(read).transpose()
}

/// The rules of a profile, oldest first.
///
/// # Errors
/// Those of the store.
pub fn list(tx: &mut Tx<'_>, profile: &ProfileId) -> Result<Vec<Rule>> {
    let sql = format!("select {COLUMNS} from claim_rules where profile_id = $1 order by created_at, id");
    tx.query(&sql, &params![profile.as_str()])?.iter().map(read).collect()
}

/// How many rules a profile has.
///
/// # Errors
/// Those of the store.
pub fn count(tx: &mut Tx<'_>, profile: &ProfileId) -> Result<i64> {
    Ok(tx
        .query_one("select count(*) from claim_rules where profile_id = $1", &params![profile.as_str()])?
        .get(0)?)
}

fn read(row: &Row) -> Result<Rule> {
    Ok(Rule {
        id: ClaimRuleId::parse(&row.get::<String>(0)?).map_err(Error::internal)?,
        account: AccountId::parse(&row.get::<String>(1)?).map_err(Error::internal)?,
        profile: ProfileId::parse(&row.get::<String>(2)?).map_err(Error::internal)?,
        name: row.get(3)?,
        kind: row.get(4)?,
        realm_name: row.get(5)?,
        cr_type: row.get(6)?,
        expiration: row.get(7)?,
        conditions: serde_json::from_str(&row.get::<String>(8)?).map_err(Error::internal)?,
        etag: row.get(9)?,
        created_at: Timestamp::from_millis(row.get(10)?),
        modified_at: Timestamp::from_millis(row.get(11)?),
    })
}
