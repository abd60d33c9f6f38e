//! How often and when an object authenticated: one row per object and replica, written in the commit that carries the
//! login's event. It raises no revision: nothing is decided by it. The only SQL of `authentications`.

use avouch_gate::Result;
use avouch_store::{Tx, params};
use avouch_wire::ids::AccountId;
use avouch_wire::time::Timestamp;

/// Uses of an object (profile, service ID, API key or user, by id).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Activity {
    /// When it last authenticated; `None`: never.
    pub last_authn: Option<Timestamp>,
    /// How often it did.
    pub authn_count: i64,
}

/// Counts uses, the last of them now.
///
/// # Errors
/// Those of the store.
pub fn note(
    tx: &mut Tx<'_>,
    (account, object): (&AccountId, &str),
    node: &str,
    at: Timestamp,
    times: i64,
) -> Result<()> {
    tx.execute(
        "insert into authentications (account_id, object_id, node, total, last_at) values ($1, $2, $3, $5, $4) \
         on conflict (account_id, object_id, node) do update set total = authentications.total + $5, \
         last_at = case when authentications.last_at > $4 then authentications.last_at else $4 end",
        &params![account.as_str(), object, node, at.millis(), times],
    )?;
    Ok(())
}

/// Uses of one object.
///
/// # Errors
/// Those of the store.
pub fn of(tx: &mut Tx<'_>, account: &AccountId, object: &str) -> Result<Activity> {
    let rows = tx.query(
        "select total, last_at from authentications where account_id = $1 and object_id = $2",
        &params![account.as_str(), object],
    )?;
    let mut activity = Activity::default();
    for row in &rows {
        activity.authn_count += row.get::<i64>(0)?;
        activity.last_authn = activity.last_authn.max(Some(Timestamp::from_millis(row.get(1)?)));
    }
    Ok(activity)
}

/// Uses of every object of the account that was used, for reports.
///
/// # Errors
/// Those of the store.
pub fn of_account(tx: &mut Tx<'_>, account: &AccountId) -> Result<Vec<(String, Activity)>> {
    let rows = tx.query(
        "select object_id, total, last_at from authentications where account_id = $1 order by object_id",
        &params![account.as_str()],
    )?;
    let mut all: Vec<(String, Activity)> = Vec::new();
    for row in &rows {
        let (object, total): (String, i64) = (row.get(0)?, row.get(1)?);
        let last = Some(Timestamp::from_millis(row.get(2)?));
        match all.last_mut() {
            Some((id, a)) if *id == object => {
                a.authn_count += total;
                a.last_authn = a.last_authn.max(last);
            }
            _ => all.push((object, Activity { last_authn: last, authn_count: total })),
        }
    }
    Ok(all)
}

/// Forgets an object that was deleted.
///
/// # Errors
/// Those of the store.
pub fn forget(tx: &mut Tx<'_>, account: &AccountId, object: &str) -> Result<()> {
    tx.execute(
        "delete from authentications where account_id = $1 and object_id = $2",
        &params![account.as_str(), object],
    )?;
    Ok(())
}
