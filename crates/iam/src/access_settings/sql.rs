//! The only SQL of `access_settings`.

use avouch_gate::Result;
use avouch_store::{Tx, params};
use avouch_wire::ids::AccountId;
use avouch_wire::time::Timestamp;

use super::Settings;

/// The settings of an account, if they were ever changed. A damaged row lets nobody from outside in.
///
/// # Errors
/// Those of the store.
pub fn get(tx: &mut Tx<'_>, account: &AccountId) -> Result<Option<Settings>> {
    let row = tx.query_opt(
        "select body, etag, modified_at, modified_by from access_settings where account_id = $1",
        &params![account.as_str()],
    )?;
    row.map(|r| {
        Ok(Settings {
            types: serde_json::from_str(&r.get::<String>(0)?).unwrap_or_else(|_| super::Types::closed()),
            etag: r.get(1)?,
            modified_at: Timestamp::from_millis(r.get(2)?),
            modified_by: r.get(3)?,
        })
    })
    .transpose()
}

/// Writes the settings of an account.
///
/// # Errors
/// Those of the store.
pub fn set(tx: &mut Tx<'_>, account: &AccountId, s: &Settings) -> Result<()> {
    tx.execute(
        "insert into access_settings (account_id, body, etag, modified_at, modified_by) values ($1, $2, $3, $4, $5) \
         on conflict (account_id) do update set body = $2, etag = $3, modified_at = $4, modified_by = $5",
        &params![
            account.as_str(),
            serde_json::to_string(&s.types).map_err(avouch_gate::Error::internal)?,
            &s.etag,
            s.modified_at.millis(),
            &s.modified_by
        ],
    )?;
    tx.changed(account.as_str(), "access-settings", "")?;
    Ok(())
}
