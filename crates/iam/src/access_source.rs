//! What the decision knows of an account: active policies, memberships, custom roles, the public group.
//!
//! The store is the only source. A policy that cannot be read permits nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use avouch_gate::links::{AccessChange, AccessCleaner, AccessSource, RemovedKey};
use avouch_gate::{App, Result};
use avouch_policy::access::PolicyDoc;
use avouch_store::Tx;
use avouch_wire::ids::{AccountId, IamId, PolicyId};
use avouch_wire::time::Timestamp;

use crate::api_keys::{self, ApiKey};
use crate::policies::RETENTION_DAYS;
use crate::token::sessions;
use crate::{access_groups, access_settings, identities, policies, revocations, roles};

/// Rows read at once when a whole account is loaded.
const BATCH: i64 = 5_000;
/// Who deleted what lost its subject or its resource.
const CLEANER: &str = "avouch";

/// Policies, groups and roles, as the decision asks for them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Access;

impl AccessSource for Access {
    fn load(
        &self,
        tx: &mut Tx<'_>,
        account: &AccountId,
        objects: Option<&[(String, String)]>,
        take: &mut dyn FnMut(AccessChange),
    ) -> Result<()> {
        let Some(objects) = objects else { return everything(tx, account, take) };
        for (kind, object) in objects {
            if let Some(change) = one(tx, account, kind, object)? {
                take(change);
            }
        }
        Ok(())
    }
}

fn everything(tx: &mut Tx<'_>, account: &AccountId, take: &mut dyn FnMut(AccessChange)) -> Result<()> {
    // Roles come first, so that policies find theirs.
    for role in roles::sql::all(tx, account)? {
        take(AccessChange::Role { crn: role.crn, role: Some((role.service, role.actions)) });
    }
    let mut last = None;
    loop {
        let mut rows = policies::sql::documents(tx, account, last.as_ref(), BATCH)?;
        rows.iter().filter_map(|(_, id, document)| policy(id, Some(document))).for_each(&mut *take);
        match rows.pop() {
            Some(row) => last = Some(row),
            None => break,
        }
    }
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (iam_id, group) in access_groups::sql::memberships(tx, account)? {
        groups.entry(iam_id).or_default().push(group);
    }
    groups.into_iter().for_each(|(iam_id, groups)| take(AccessChange::Member { iam_id, groups }));
    take(AccessChange::PublicAccess(access_groups::sql::public_access(tx, account)?));
    take(AccessChange::External(access_settings::external(tx, account)?));
    Ok(())
}

fn one(tx: &mut Tx<'_>, account: &AccountId, kind: &str, object: &str) -> Result<Option<AccessChange>> {
    Ok(match kind {
        "policy" => {
            let document = policies::sql::document(tx, account, object)?;
            policy(object, document.as_deref())
        }
        "member" => {
            let groups = access_groups::sql::groups_of(tx, account, object)?;
            Some(AccessChange::Member { iam_id: object.to_owned(), groups })
        }
        "role" => {
            let role = roles::sql::by_crn(tx, account, object)?;
            Some(AccessChange::Role { crn: object.to_owned(), role: role.map(|r| (r.service, r.actions)) })
        }
        "group-settings" => Some(AccessChange::PublicAccess(access_groups::sql::public_access(tx, account)?)),
        "access-settings" => Some(AccessChange::External(access_settings::external(tx, account)?)),
        _ => None,
    })
}

/// The step for one policy. What cannot be read is taken out of the picture and told to the log.
fn policy(id: &str, document: Option<&str>) -> Option<AccessChange> {
    let Ok(id) = PolicyId::parse(id) else {
        tracing::warn!(policy = id, "a stored policy has no readable id and permits nothing");
        return None;
    };
    let Some(document) = document else { return Some(AccessChange::Policy { id, doc: None }) };
    let parsed = serde_json::from_str(document)
        .map_err(|e| e.to_string())
        .and_then(|value| PolicyDoc::stored(&value).map_err(|e| e.to_string()));
    let doc = match parsed {
        Ok(doc) => {
            if let Some(problem) = doc.unknown {
                tracing::warn!(
                    policy = id.as_str(),
                    problem,
                    "a stored policy cannot be evaluated and permits nothing"
                );
            }
            Some(Box::new(doc))
        }
        Err(problem) => {
            tracing::warn!(policy = id.as_str(), problem, "a stored policy is damaged and permits nothing");
            None
        }
    };
    Some(AccessChange::Policy { id, doc })
}

impl AccessCleaner for Access {
    fn instance_removed(
        &self,
        tx: &mut Tx<'_>,
        account: &AccountId,
        guid: &str,
        now: Timestamp,
    ) -> Result<()> {
        for policy in policies::sql::on_instance(tx, account, guid)? {
            policies::logic::retire(tx, policy, CLEANER, now)?;
        }
        Ok(())
    }

    fn user_removed(
        &self,
        tx: &mut Tx<'_>,
        account: &AccountId,
        iam_id: &IamId,
        (now, by): (Timestamp, &str),
    ) -> Result<Vec<RemovedKey>> {
        // A lock keeps a key from being deleted by mistake; it does not keep its owner.
        let keys = api_keys::sql::list(tx, account, Some(iam_id))?;
        for key in &keys {
            api_keys::sql::delete(tx, key)?;
        }
        for identity in identities::sql::by_iam_id(tx, iam_id.as_str())? {
            if identity.account == *account {
                identities::sql::delete(tx, &identity)?;
            }
        }
        sessions::end_all(tx, account, iam_id, now)?;
        // Also for the day on which he is added again, and for tokens of profiles that he assumed.
        revocations::put(tx, account, iam_id, now.plus_millis(1), (now, by))?;
        subject_removed(tx, account, iam_id, now)?;
        let told = |k: ApiKey| RemovedKey { crn: k.crn(), name: k.name, locked: k.locked };
        Ok(keys.into_iter().map(told).collect())
    }
}

/// An identity was deleted: its policies and memberships go, and so do policies about it.
///
/// # Errors
/// Those of the store.
pub fn subject_removed(tx: &mut Tx<'_>, account: &AccountId, iam_id: &IamId, now: Timestamp) -> Result<()> {
    let mut gone = policies::sql::of_subject(tx, account, iam_id.as_str(), policies::State::Active)?;
    let object = iam_id.as_profile().map(String::from).or_else(|| iam_id.as_service_id().map(String::from));
    if let Some(object) = object {
        for policy in policies::sql::on_resource(tx, account, &object)? {
            if !gone.iter().any(|p| p.id == policy.id) {
                gone.push(policy);
            }
        }
    }
    for policy in gone {
        policies::logic::retire(tx, policy, CLEANER, now)?;
    }
    if access_groups::sql::leave_all(tx, account, iam_id.as_str())? > 0 {
        tx.changed(account.as_str(), "member", iam_id.as_str())?;
    }
    Ok(())
}

/// One round of background work: forgets policies that were deleted too long ago to be restored.
///
/// # Errors
/// Those of the store.
pub async fn tick(app: &Arc<App>) -> Result<()> {
    let cutoff = app.clock.now().plus_secs(-RETENTION_DAYS * 86_400);
    let due = app.store.read(move |tx| policies::sql::any_expired(tx, cutoff)).await?;
    if due {
        app.store.write(move |tx| policies::sql::purge(tx, cutoff)).await?;
    }
    Ok(())
}
