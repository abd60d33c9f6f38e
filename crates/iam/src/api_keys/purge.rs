//! Keys that nobody can use are not kept for ever: 90 days after their end and their last change they go, locked or not.

use std::sync::Arc;

use avouch_gate::audit;
use avouch_gate::ctx::background_event;
use avouch_gate::{App, Details, Permit, Result};
use avouch_wire::ids::IamKind;

use super::sql;

/// Days that an expired key stays readable.
const KEPT_DAYS: i64 = 90;
/// Keys of one round.
const ROUND: i64 = 100;

/// Removes what is due; each key has its own event.
///
/// # Errors
/// Those of the store.
pub async fn tick(app: &Arc<App>) -> Result<()> {
    let now = app.clock.now();
    let before = now.plus_secs(-KEPT_DAYS * 86_400);
    if app.store.read(move |tx| sql::stale(tx, before, 1)).await?.is_empty() {
        return Ok(());
    }
    let shared = app.clone();
    app.store
        .write(move |tx| {
            for key in sql::stale(tx, before, ROUND)? {
                let event = match key.iam_id.kind() {
                    IamKind::User => &audit::unasked::USER_KEY_PURGED,
                    _ => &audit::unasked::SERVICE_KEY_PURGED,
                };
                let permit = Permit::system(event, key.target());
                let mut told = Details { status: 204, locked: key.locked, ..Details::default() };
                told.request("reason", "expired");
                sql::delete(tx, &key)?;
                audit::sql::insert(
                    tx,
                    &background_event(&shared, now, "IAM Identity Service", &permit, told),
                )?;
            }
            Ok(())
        })
        .await
}
