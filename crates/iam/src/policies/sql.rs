//! The only SQL of `policies`.

use avouch_gate::{Error, Result};
use avouch_store::{Row, Tx, params};
use avouch_wire::ids::{AccountId, PolicyId};
use avouch_wire::time::Timestamp;

use super::{Policy, Schema, State};

const COLUMNS: &str =
    "id, account_id, schema_version, document, state, etag, created_at, created_by, modified_at, modified_by";

/// Writes a new policy.
///
/// # Errors
/// `Conflict` when an active policy of the account grants the same.
pub fn insert(tx: &mut Tx<'_>, p: &Policy) -> Result<()> {
    let filed = p.filed();
    tx.execute(
        "insert into policies (id, account_id, kind, schema_version, document, subject, canonical, instance, resource, \
         tagged, state, etag, created_at, created_by, modified_at, modified_by) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        &params![
            p.id.as_str(),
            p.account.as_str(),
            filed.kind,
            p.schema.number(),
            p.document.to_string(),
            filed.subject,
            filed.canonical,
            filed.instance,
            filed.resource,
            filed.tagged,
            p.state.as_str(),
            &p.etag,
            p.created_at.millis(),
            &p.created_by,
            p.modified_at.millis(),
            &p.modified_by
        ],
    )?;
    tx.changed(p.account.as_str(), "policy", p.id.as_str())?;
    Ok(())
}

/// Writes a changed policy: document, state and marks.
///
/// # Errors
/// `Conflict` when another active policy of the account grants the same.
pub fn update(tx: &mut Tx<'_>, p: &Policy) -> Result<()> {
    let filed = p.filed();
    tx.execute(
        "update policies set schema_version = $3, document = $4, subject = $5, canonical = $6, instance = $7, \
         resource = $8, tagged = $9, state = $10, etag = $11, modified_at = $12, modified_by = $13 \
         where account_id = $2 and id = $1",
        &params![
            p.id.as_str(),
            p.account.as_str(),
            p.schema.number(),
            p.document.to_string(),
            filed.subject,
            filed.canonical,
            filed.instance,
            filed.resource,
            filed.tagged,
            p.state.as_str(),
            &p.etag,
            p.modified_at.millis(),
            &p.modified_by
        ],
    )?;
    tx.changed(p.account.as_str(), "policy", p.id.as_str())?;
    Ok(())
}

/// The policy with this id, of whatever account.
///
/// # Errors
/// Those of the store.
pub fn get(tx: &mut Tx<'_>, id: &PolicyId) -> Result<Option<Policy>> {
    let sql = format!("select {COLUMNS} from policies where id = $1");
    tx.query_opt(&sql, &params![id.as_str()])?.as_ref().map(read).transpose()
}

/// The active policy that grants the same.
///
/// # Errors
/// Those of the store.
pub fn by_canonical(tx: &mut Tx<'_>, account: &AccountId, canonical: &str) -> Result<Option<Policy>> {
    let sql = format!(
        "select {COLUMNS} from policies where account_id = $1 and canonical = $2 and state = 'active'"
    );
    tx.query_opt(&sql, &params![account.as_str(), canonical])?.as_ref().map(read).transpose()
}

/// Policies of an account in one state after a position, oldest first.
///
/// # Errors
/// Those of the store.
pub fn page(
    tx: &mut Tx<'_>,
    account: &AccountId,
    state: State,
    after: &(i64, String),
    limit: i64,
) -> Result<Vec<Policy>> {
    let sql = format!(
        "select {COLUMNS} from policies where account_id = $1 and state = $2 \
         and (created_at > $3 or (created_at = $3 and id > $4)) order by created_at, id limit $5"
    );
    let rows =
        tx.query(&sql, &params![account.as_str(), state.as_str(), after.0, after.1.as_str(), limit])?;
    rows.iter().map(read).collect()
}

/// Policies of one subject in one state.
///
/// # Errors
/// Those of the store.
pub fn of_subject(tx: &mut Tx<'_>, account: &AccountId, subject: &str, state: State) -> Result<Vec<Policy>> {
    let sql = format!(
        "select {COLUMNS} from policies where account_id = $1 and subject = $2 and state = $3 order by created_at, id"
    );
    tx.query(&sql, &params![account.as_str(), subject, state.as_str()])?.iter().map(read).collect()
}

/// Whether an identity has an active policy in any account.
///
/// # Errors
/// Those of the store.
pub fn held_anywhere(tx: &mut Tx<'_>, subject: &str) -> Result<bool> {
    let sql = "select 1 from policies where subject = $1 and state = 'active' limit 1";
    Ok(tx.query_opt(sql, &params![subject])?.is_some())
}

/// Active policies whose resource names this service instance.
///
/// # Errors
/// Those of the store.
pub fn on_instance(tx: &mut Tx<'_>, account: &AccountId, guid: &str) -> Result<Vec<Policy>> {
    let sql = format!(
        "select {COLUMNS} from policies where account_id = $1 and instance = $2 and state = 'active'"
    );
    tx.query(&sql, &params![account.as_str(), guid])?.iter().map(read).collect()
}

/// Active policies whose resource is this object.
///
/// # Errors
/// Those of the store.
pub fn on_resource(tx: &mut Tx<'_>, account: &AccountId, resource: &str) -> Result<Vec<Policy>> {
    let sql = format!(
        "select {COLUMNS} from policies where account_id = $1 and resource = $2 and state = 'active'"
    );
    tx.query(&sql, &params![account.as_str(), resource])?.iter().map(read).collect()
}

/// What of an account's active policies is counted.
#[derive(Debug, Clone, Copy)]
pub enum Count<'a> {
    /// All.
    All,
    /// Those with access tags.
    Tagged,
    /// Those of one subject.
    Subject(&'a str),
}

/// How many active policies the account has.
///
/// # Errors
/// Those of the store.
pub fn count(tx: &mut Tx<'_>, account: &AccountId, what: Count<'_>) -> Result<i64> {
    const ACTIVE: &str = "select count(*) from policies where account_id = $1 and state = 'active'";
    let row = match what {
        Count::All => tx.query_one(ACTIVE, &params![account.as_str()])?,
        Count::Tagged => tx.query_one(&format!("{ACTIVE} and tagged = 1"), &params![account.as_str()])?,
        Count::Subject(subject) => {
            tx.query_one(&format!("{ACTIVE} and subject = $2"), &params![account.as_str(), subject])?
        }
    };
    Ok(row.get(0)?)
}

/// A policy as the decision reads it: when it was made, id, document.
pub type Stored = (i64, String, String);

/// Active policies of an account in the order in which they were made, after one of them, for the decision.
///
/// # Errors
/// Those of the store.
pub fn documents(
    tx: &mut Tx<'_>,
    account: &AccountId,
    after: Option<&Stored>,
    limit: i64,
) -> Result<Vec<Stored>> {
    let (time, id) = after.map_or((i64::MIN, ""), |(time, id, _)| (*time, id));
    let rows = tx.query(
        "select created_at, id, document from policies where account_id = $1 and state = 'active' \
         and (created_at, id) > ($2, $3) order by created_at, id limit $4",
        &params![account.as_str(), time, id, limit],
    )?;
    rows.iter().map(|r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).collect()
}

/// Document of one active policy of an account.
///
/// # Errors
/// Those of the store.
pub fn document(tx: &mut Tx<'_>, account: &AccountId, id: &str) -> Result<Option<String>> {
    let row = tx.query_opt(
        "select document from policies where account_id = $1 and id = $2 and state = 'active'",
        &params![account.as_str(), id],
    )?;
    Ok(row.map(|r| r.get(0)).transpose()?)
}

/// Whether a policy was deleted before `cutoff` and awaits its purge.
///
/// # Errors
/// Those of the store.
pub fn any_expired(tx: &mut Tx<'_>, cutoff: Timestamp) -> Result<bool> {
    let row = tx.query_opt(
        "select id from policies where state = 'deleted' and modified_at < $1 limit 1",
        &params![cutoff.millis()],
    )?;
    Ok(row.is_some())
}

/// Forgets policies that were deleted before `cutoff`.
///
/// # Errors
/// Those of the store.
pub fn purge(tx: &mut Tx<'_>, cutoff: Timestamp) -> Result<u64> {
    Ok(tx.execute(
        "delete from policies where state = 'deleted' and modified_at < $1",
        &params![cutoff.millis()],
    )?)
}

fn read(row: &Row) -> Result<Policy> {
    let document: String = row.get(3)?;
    Ok(Policy {
        id: PolicyId::parse(&row.get::<String>(0)?).map_err(Error::internal)?,
        account: AccountId::parse(&row.get::<String>(1)?).map_err(Error::internal)?,
        schema: Schema::from_number(row.get(2)?),
        // A damaged document permits nothing and is not shown; it must not take the whole list with it.
        document: serde_json::from_str(&document).unwrap_or_default(),
        state: State::parse(&row.get::<String>(4)?).ok_or_else(|| Error::internal("state of a policy"))?,
        etag: row.get(5)?,
        created_at: Timestamp::from_millis(row.get(6)?),
        created_by: row.get(7)?,
        modified_at: Timestamp::from_millis(row.get(8)?),
        modified_by: row.get(9)?,
        permitted: super::Permitted::default(),
    })
}
