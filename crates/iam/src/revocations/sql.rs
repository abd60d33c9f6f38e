//! The only SQL of `revocations`.

use avouch_gate::Result;
use avouch_store::{Tx, params};
use avouch_wire::ids::{AccountId, IamId};
use avouch_wire::time::Timestamp;

/// Tokens of the identity issued before this time no longer count.
///
/// # Errors
/// Those of the store.
pub fn before(tx: &mut Tx<'_>, account: &AccountId, iam_id: &IamId) -> Result<Option<Timestamp>> {
    let row = tx.query_opt(
        "select issued_before from revocations where account_id = $1 and iam_id = $2",
        &params![account.as_str(), iam_id.as_str()],
    )?;
    row.map(|r| Ok(Timestamp::from_millis(r.get(0)?))).transpose()
}

/// Writes a revocation; an earlier one never shortens what is in force.
///
/// # Errors
/// Those of the store.
pub fn put(
    tx: &mut Tx<'_>,
    account: &AccountId,
    iam_id: &IamId,
    issued_before: Timestamp,
    (now, by): (Timestamp, &str),
) -> Result<Timestamp> {
    let row = tx.query_one(
        "insert into revocations (account_id, iam_id, issued_before, created_at, created_by) \
         values ($1, $2, $3, $4, $5) on conflict (account_id, iam_id) do update set \
         issued_before = case when revocations.issued_before > $3 then revocations.issued_before else $3 end, \
         created_at = $4, created_by = $5 returning issued_before",
        &params![account.as_str(), iam_id.as_str(), issued_before.millis(), now.millis(), by],
    )?;
    Ok(Timestamp::from_millis(row.get(0)?))
}
