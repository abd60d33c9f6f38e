//! The only SQL of `signing_keys`.

use avouch_gate::Result;
use avouch_store::{Row, Tx, params};
use avouch_wire::time::Timestamp;

use super::plan::Times;

/// A stored key.
pub struct StoredKey {
    /// Id, algorithm and times.
    pub times: Times,
    /// Private half, sealed under the key ring.
    pub sealed: Vec<u8>,
}

const COLUMNS: &str = "kid, alg, sealed, created_at, active_at";

/// All keys, by the time from which they sign.
///
/// # Errors
/// Those of the store.
pub fn all(tx: &mut Tx<'_>) -> Result<Vec<StoredKey>> {
    let sql = format!("select {COLUMNS} from signing_keys order by active_at, kid");
    tx.query(&sql, &[])?.iter().map(read).collect()
}

/// Id, algorithm and times of all keys, without the keys.
///
/// # Errors
/// Those of the store.
pub fn times(tx: &mut Tx<'_>) -> Result<Vec<Times>> {
    let rows =
        tx.query("select kid, alg, created_at, active_at from signing_keys order by active_at, kid", &[])?;
    rows.iter()
        .map(|row| {
            Ok(Times {
                kid: row.get(0)?,
                alg: row.get(1)?,
                created_at: Timestamp::from_millis(row.get(2)?),
                active_at: Timestamp::from_millis(row.get(3)?),
            })
        })
        .collect()
}

/// Writes a new key.
///
/// # Errors
/// `Conflict` when the id is taken.
pub fn insert(tx: &mut Tx<'_>, key: &StoredKey, jwk: &str) -> Result<()> {
    let t = &key.times;
    tx.execute(
        "insert into signing_keys (kid, alg, jwk, sealed, created_at, active_at) values ($1, $2, $3, $4, $5, $6)",
        &params![&t.kid, &t.alg, jwk, &key.sealed, t.created_at.millis(), t.active_at.millis()],
    )?;
    Ok(())
}

/// Removes a key that neither signs nor verifies any more; false when another replica did.
///
/// # Errors
/// Those of the store.
pub fn delete(tx: &mut Tx<'_>, kid: &str) -> Result<bool> {
    Ok(tx.execute("delete from signing_keys where kid = $1", &params![kid])? > 0)
}

fn read(row: &Row) -> Result<StoredKey> {
    Ok(StoredKey {
        times: Times {
            kid: row.get(0)?,
            alg: row.get(1)?,
            created_at: Timestamp::from_millis(row.get(3)?),
            active_at: Timestamp::from_millis(row.get(4)?),
        },
        sealed: row.get(2)?,
    })
}
