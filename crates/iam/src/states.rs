//! Whether an identity may act, and how often it did.

use avouch_gate::Result;
use avouch_gate::links::IdentityState;
use avouch_store::Tx;
use avouch_wire::ids::{AccountId, IamId, IamKind};
use avouch_wire::time::Timestamp;
use serde_json::{Value, json};

/// Whether the profile or service ID exists in the account and since when its older tokens count no longer.
///
/// # Errors
/// Those of the store.
pub fn state(tx: &mut Tx<'_>, account: &AccountId, iam_id: &IamId) -> Result<IdentityState> {
    let alive = match iam_id.kind() {
        IamKind::Profile => match iam_id.as_profile() {
            Some(id) => crate::profiles::sql::get(tx, &id)?.is_some_and(|p| p.account == *account),
            None => false,
        },
        IamKind::ServiceId => match iam_id.as_service_id() {
            Some(id) => crate::service_ids::sql::get(tx, &id)?.is_some_and(|s| s.account == *account),
            None => false,
        },
        // A service acting as itself; authorizations decide what it may do.
        IamKind::Crn => true,
        IamKind::User => false,
    };
    Ok(IdentityState { known: alive, alive, revoked_before: revoked_before(tx, account, iam_id)? })
}

/// Tokens of this identity issued before this time were revoked.
///
/// # Errors
/// Those of the store.
pub fn revoked_before(tx: &mut Tx<'_>, account: &AccountId, iam_id: &IamId) -> Result<Option<Timestamp>> {
    crate::revocations::before(tx, account, iam_id)
}

/// The `activity` member of an object: count always, last time if there was one.
///
/// # Errors
/// Those of the store.
pub fn activity(tx: &mut Tx<'_>, account: &AccountId, object: &str) -> Result<Value> {
    let used = crate::token::activity::of(tx, account, object)?;
    let mut out = json!({"authn_count": used.authn_count});
    crate::paging::put(&mut out, "last_authn", used.last_authn.map(Timestamp::iam));
    Ok(out)
}
