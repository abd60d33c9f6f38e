//! How often policies permitted something and when they last did. The only SQL of `policy_permits`.

use std::collections::HashMap;
use std::sync::Arc;

use avouch_gate::{App, Result};
use avouch_store::{Tx, params};
use avouch_wire::ids::{AccountId, PolicyId};
use avouch_wire::time::Timestamp;

use super::{Permitted, Policy};

/// Writes down what was counted since the last time. Counts of policies that were deleted meanwhile are dropped.
///
/// # Errors
/// Those of the store: what could not be written is lost.
pub async fn flush(app: &Arc<App>) -> Result<()> {
    let counts = app.permits.take();
    if counts.is_empty() {
        return Ok(());
    }
    let node = app.config.node.clone();
    app.store
        .write(move |tx| {
            for (id, (account, permits)) in &counts {
                tx.execute(
                    "insert into policy_permits (account_id, policy_id, node, total, last_at) \
                     select account_id, id, $3, $4, $5 from policies where account_id = $1 and id = $2 and state = 'active' \
                     on conflict (account_id, policy_id, node) \
                     do update set total = policy_permits.total + $4, last_at = $5",
                    &params![account.as_str(), id.as_str(), &node, permits.times, permits.last_at.millis()],
                )?;
            }
            Ok(())
        })
        .await
}

/// Fills in what the policies of one account permitted.
///
/// # Errors
/// Those of the store.
pub fn fill(tx: &mut Tx<'_>, account: &AccountId, policies: &mut [Policy]) -> Result<()> {
    let of_one = if let [one] = &*policies { one.id.as_str().to_owned() } else { String::new() };
    let rows = tx.query(
        "select policy_id, total, last_at from policy_permits where account_id = $1 and (policy_id = $2 or $2 = '')",
        &params![account.as_str(), of_one],
    )?;
    let mut found: HashMap<String, Permitted> = HashMap::new();
    for row in &rows {
        let permitted = found.entry(row.get(0)?).or_default();
        permitted.times += row.get::<i64>(1)?;
        permitted.last_at = permitted.last_at.max(Some(Timestamp::from_millis(row.get(2)?)));
    }
    for policy in policies {
        policy.permitted = found.get(policy.id.as_str()).copied().unwrap_or_default();
    }
    Ok(())
}

/// Forgets what a policy permitted: a deleted one starts anew when it is restored.
///
/// # Errors
/// Those of the store.
pub fn forget(tx: &mut Tx<'_>, account: &AccountId, id: &PolicyId) -> Result<()> {
    tx.execute(
        "delete from policy_permits where account_id = $1 and policy_id = $2",
        &params![account.as_str(), id.as_str()],
    )?;
    Ok(())
}
