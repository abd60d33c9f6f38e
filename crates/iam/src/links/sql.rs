//! The only SQL of `profile_links`.

use avouch_gate::{Error, Result};
use avouch_policy::rules::{CrType, Link};
use avouch_store::{Row, Tx, params};
use avouch_wire::crn::Crn;
use avouch_wire::ids::{AccountId, LinkId, ProfileId};
use avouch_wire::time::Timestamp;

use super::StoredLink;

const COLUMNS: &str = "id, account_id, profile_id, label, cr_type, crn, is_cross_account, namespace, name, \
                       component_type, component_name, etag, created_at, modified_at";

/// Two links of a profile with the same text here trust the same thing.
fn meaning(l: &StoredLink) -> String {
    serde_json::json!([
        l.link.cr_type.as_str(),
        l.link.crn.to_string(),
        l.link.namespace,
        l.link.name,
        l.link.component_type,
        l.link.component_name,
    ])
    .to_string()
}

/// Writes a new link.
///
/// # Errors
/// `Conflict` when the profile trusts the same thing already.
pub fn insert(tx: &mut Tx<'_>, l: &StoredLink) -> Result<()> {
    tx.execute(
        "insert into profile_links (id, account_id, profile_id, label, cr_type, crn, is_cross_account, namespace, name, \
         component_type, component_name, meaning, etag, created_at, modified_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        &params![
            l.link.id.as_str(),
            l.account.as_str(),
            l.profile.as_str(),
            l.link.label.clone(),
            l.link.cr_type.as_str(),
            &l.crn,
            l.link.is_cross_account,
            l.link.namespace.clone(),
            l.link.name.clone(),
            l.link.component_type.clone(),
            l.link.component_name.clone(),
            meaning(l),
            &l.etag,
            l.created_at.millis(),
            l.modified_at.millis()
        ],
    )
    .map_err(|e| match e {
        avouch_store::Error::Unique { .. } => Error::conflict("The profile has a link to the same resource already."),
        other => other.into(),
    })?;
    tx.changed(l.account.as_str(), "trust", l.profile.as_str())?;
    Ok(())
}

/// Removes a link.
///
/// # Errors
/// Those of the store.
pub fn delete(tx: &mut Tx<'_>, l: &StoredLink) -> Result<()> {
    tx.execute("delete from profile_links where id = $1", &params![l.link.id.as_str()])?;
    tx.changed(l.account.as_str(), "trust", l.profile.as_str())?;
    Ok(())
}

/// The link, if the profile has it.
///
/// # Errors
/// Those of the store.
pub fn get(tx: &mut Tx<'_>, profile: &ProfileId, id: &LinkId) -> Result<Option<StoredLink>> {
    let sql = format!("select {COLUMNS} from profile_links where profile_id = $1 and id = $2");
    tx.query_opt(&sql, &params![profile.as_str(), id.as_str()])?.as_ref().map(read).transpose()
}

/// The links of a profile, oldest first.
///
/// # Errors
/// Those of the store.
pub fn list(tx: &mut Tx<'_>, profile: &ProfileId) -> Result<Vec<StoredLink>> {
    let sql = format!("select {COLUMNS} from profile_links where profile_id = $1 order by created_at, id");
    tx.query(&sql, &params![profile.as_str()])?.iter().map(read).collect()
}

/// How many links a profile has.
///
/// # Errors
/// Those of the store.
pub fn count(tx: &mut Tx<'_>, profile: &ProfileId) -> Result<i64> {
    Ok(tx
        .query_one("select count(*) from profile_links where profile_id = $1", &params![profile.as_str()])?
        .get(0)?)
}

fn read(row: &Row) -> Result<StoredLink> {
    let crn: String = row.get(5)?;
    let cr_type: String = row.get(4)?;
    Ok(StoredLink {
        link: Link {
            id: LinkId::parse(&row.get::<String>(0)?).map_err(Error::internal)?,
            label: row.get(3)?,
            cr_type: CrType::parse(&cr_type).ok_or_else(|| Error::internal("unknown cr_type"))?,
            crn: Crn::parse(&crn).map_err(Error::internal)?,
            is_cross_account: row.get(6)?,
            namespace: row.get(7)?,
            name: row.get(8)?,
            component_type: row.get(9)?,
            component_name: row.get(10)?,
        },
        account: AccountId::parse(&row.get::<String>(1)?).map_err(Error::internal)?,
        profile: ProfileId::parse(&row.get::<String>(2)?).map_err(Error::internal)?,
        crn,
        etag: row.get(11)?,
        created_at: Timestamp::from_millis(row.get(12)?),
        modified_at: Timestamp::from_millis(row.get(13)?),
    })
}

/// All links to a resource, of whatever profile, oldest first.
///
/// # Errors
/// Those of the store.
pub fn to(tx: &mut Tx<'_>, cr_type: CrType, crn: &str) -> Result<Vec<StoredLink>> {
    let sql = format!(
        "select {COLUMNS} from profile_links where crn = $1 and cr_type = $2 order by created_at, id"
    );
    tx.query(&sql, &params![crn, cr_type.as_str()])?.iter().map(read).collect()
}
