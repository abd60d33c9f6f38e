//! What happened to an identity, as its readers see it. The only SQL of `identity_history`.

use avouch_gate::{Ctx, Result};
use avouch_store::{Tx, params};
use avouch_wire::ids::AccountId;
use avouch_wire::time::Timestamp;
use serde_json::{Value, json};

/// Records kept per object.
const KEPT: i64 = 100;

/// Who writes history: drawn before the closure.
#[derive(Debug, Clone)]
pub struct Author {
    /// IAM id.
    pub iam_id: String,
    /// Account.
    pub account: String,
    /// When.
    pub at: Timestamp,
}

impl Author {
    /// The caller of this request.
    ///
    /// # Errors
    /// `Unauthenticated` on anonymous endpoints.
    pub fn of(ctx: &Ctx) -> Result<Self> {
        let caller = ctx.caller()?;
        Ok(Self { iam_id: caller.iam_id().to_string(), account: caller.account().to_string(), at: ctx.now() })
    }
}

/// Appends a record.
///
/// # Errors
/// Those of the store.
pub fn add(tx: &mut Tx<'_>, account: &AccountId, object: &str, author: &Author, action: &str) -> Result<()> {
    let last = tx.query_opt(
        "select n from identity_history where account_id = $1 and object_id = $2 order by n desc limit 1",
        &params![account.as_str(), object],
    )?;
    let n = last.map_or(Ok(0), |r| r.get::<i64>(0))? + 1;
    tx.execute(
        "insert into identity_history (account_id, object_id, n, at, iam_id, iam_id_account, action, message) \
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        &params![
            account.as_str(),
            object,
            n,
            author.at.millis(),
            &author.iam_id,
            &author.account,
            action,
            format!("{action} by {}", author.iam_id)
        ],
    )?;
    if n > KEPT {
        tx.execute(
            "delete from identity_history where account_id = $1 and object_id = $2 and n <= $3",
            &params![account.as_str(), object, n - KEPT],
        )?;
    }
    Ok(())
}

/// All records, oldest first.
///
/// # Errors
/// Those of the store.
pub fn of(tx: &mut Tx<'_>, account: &AccountId, object: &str) -> Result<Vec<Value>> {
    let rows = tx.query(
        "select at, iam_id, iam_id_account, action, message from identity_history \
         where account_id = $1 and object_id = $2 order by n",
        &params![account.as_str(), object],
    )?;
    rows.iter()
        .map(|r| {
            Ok(json!({
                "timestamp": Timestamp::from_millis(r.get(0)?).iam(),
                "iam_id": r.get::<String>(1)?,
                "iam_id_account": r.get::<String>(2)?,
                "action": r.get::<String>(3)?,
                "params": [],
                "message": r.get::<String>(4)?,
            }))
        })
        .collect()
}

/// Forgets a deleted object.
///
/// # Errors
/// Those of the store.
pub fn forget(tx: &mut Tx<'_>, account: &AccountId, object: &str) -> Result<()> {
    tx.execute(
        "delete from identity_history where account_id = $1 and object_id = $2",
        &params![account.as_str(), object],
    )?;
    Ok(())
}
