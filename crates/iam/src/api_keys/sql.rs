//! The only SQL of `api_keys`.

use avouch_gate::{Error, Result};
use avouch_store::{Row, Tx, params};
use avouch_wire::ids::{AccountId, ApiKeyId, IamId};
use avouch_wire::time::Timestamp;

use super::ApiKey;

const COLUMNS: &str = "id, account_id, iam_id, name, description, digest, stored, locked, disabled, support_sessions, \
                       action_when_leaked, expires_at, etag, created_at, created_by, modified_at";

/// Writes a new key.
///
/// # Errors
/// `Conflict` when the value is in use.
pub fn insert(tx: &mut Tx<'_>, k: &ApiKey) -> Result<()> {
    tx.execute(
        "insert into api_keys (id, account_id, iam_id, name, description, digest, stored, locked, disabled, \
         support_sessions, action_when_leaked, expires_at, etag, created_at, created_by, modified_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        &params![
            k.id.as_str(),
            k.account.as_str(),
            k.iam_id.as_str(),
            &k.name,
            k.description.clone(),
            &k.digest,
            k.stored.clone(),
            k.locked,
            k.disabled,
            k.support_sessions,
            &k.action_when_leaked,
            k.expires_at.map(Timestamp::millis),
            &k.etag,
            k.created_at.millis(),
            &k.created_by,
            k.modified_at.millis()
        ],
    )
    .map_err(|e| match e {
        avouch_store::Error::Unique { .. } => {
            Error::conflict("The API key value is in use already.").field("apikey")
        }
        other => other.into(),
    })?;
    Ok(())
}

/// Writes a changed key.
///
/// # Errors
/// Those of the store.
pub fn update(tx: &mut Tx<'_>, k: &ApiKey) -> Result<()> {
    tx.execute(
        "update api_keys set name = $2, description = $3, locked = $4, disabled = $5, support_sessions = $6, \
         action_when_leaked = $7, expires_at = $8, etag = $9, modified_at = $10 where id = $1",
        &params![
            k.id.as_str(),
            &k.name,
            k.description.clone(),
            k.locked,
            k.disabled,
            k.support_sessions,
            &k.action_when_leaked,
            k.expires_at.map(Timestamp::millis),
            &k.etag,
            k.modified_at.millis()
        ],
    )?;
    Ok(())
}

/// Removes a key with its history.
///
/// # Errors
/// Those of the store.
pub fn delete(tx: &mut Tx<'_>, k: &ApiKey) -> Result<()> {
    tx.execute("delete from api_keys where id = $1", &params![k.id.as_str()])?;
    crate::history::forget(tx, &k.account, k.id.as_str())?;
    crate::token::activity::forget(tx, &k.account, k.id.as_str())
}

/// How many keys an identity has.
///
/// # Errors
/// Those of the store.
pub fn count(tx: &mut Tx<'_>, account: &AccountId, iam_id: &IamId) -> Result<i64> {
    let row = tx.query_one(
        "select count(*) from api_keys where account_id = $1 and iam_id = $2",
        &params![account.as_str(), iam_id.as_str()],
    )?;
    Ok(row.get(0)?)
}

/// Keys that expired and were last changed before this time, a few of them.
///
/// # Errors
/// Those of the store.
pub fn stale(tx: &mut Tx<'_>, before: Timestamp, most: i64) -> Result<Vec<ApiKey>> {
    let sql = format!(
        "select {COLUMNS} from api_keys where expires_at < $1 and modified_at < $1 order by expires_at, id limit $2"
    );
    tx.query(&sql, &params![before.millis(), most])?.iter().map(read).collect()
}

/// The key, if the account has it.
///
/// # Errors
/// Those of the store.
pub fn get(tx: &mut Tx<'_>, account: &AccountId, id: &ApiKeyId) -> Result<Option<ApiKey>> {
    let sql = format!("select {COLUMNS} from api_keys where account_id = $1 and id = $2");
    tx.query_opt(&sql, &params![account.as_str(), id.as_str()])?.as_ref().map(read).transpose()
}

/// The key with this digest, of whatever account.
///
/// # Errors
/// Those of the store.
pub fn by_digest(tx: &mut Tx<'_>, digest: &str) -> Result<Option<ApiKey>> {
    let sql = format!("select {COLUMNS} from api_keys where digest = $1");
    tx.query_opt(&sql, &params![digest])?.as_ref().map(read).transpose()
}

/// Keys of an account, of one owner or of all.
///
/// # Errors
/// Those of the store.
pub fn list(tx: &mut Tx<'_>, account: &AccountId, owner: Option<&IamId>) -> Result<Vec<ApiKey>> {
    let rows = match owner {
        Some(owner) => {
            let sql = format!(
                "select {COLUMNS} from api_keys where account_id = $1 and iam_id = $2 order by created_at, id"
            );
            tx.query(&sql, &params![account.as_str(), owner.as_str()])?
        }
        None => {
            let sql = format!("select {COLUMNS} from api_keys where account_id = $1 order by created_at, id");
            tx.query(&sql, &params![account.as_str()])?
        }
    };
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<ApiKey> {
    Ok(ApiKey {
        id: ApiKeyId::parse(&row.get::<String>(0)?).map_err(Error::internal)?,
        account: AccountId::parse(&row.get::<String>(1)?).map_err(Error::internal)?,
        iam_id: IamId::parse(&row.get::<String>(2)?).map_err(Error::internal)?,
        name: row.get(3)?,
        description: row.get(4)?,
        digest: row.get(5)?,
        stored: row.get(6)?,
        locked: row.get(7)?,
        disabled: row.get(8)?,
        support_sessions: row.get(9)?,
        action_when_leaked: row.get(10)?,
        expires_at: row.get::<Option<i64>>(11)?.map(Timestamp::from_millis),
        etag: row.get(12)?,
        created_at: Timestamp::from_millis(row.get(13)?),
        created_by: row.get(14)?,
        modified_at: Timestamp::from_millis(row.get(15)?),
    })
}
