//! Rules of instances, on a transaction.

use std::sync::Arc;

use avouch_gate::{App, Error, Kind, Result};
use avouch_store::Tx;
use avouch_wire::time::Timestamp;

use super::{Instance, sql, state};
use crate::reclamations;

/// Days until a deleted instance on a plan with reclamation is removed for good.
pub const RECLAIM_DAYS: i64 = 7;

/// Names that the published service takes.
pub fn name_is_good(name: &str) -> bool {
    avouch_wire::text::name(name, 180)
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '.' | '_' | ':'))
}

/// The answer of changes to a locked instance.
pub fn locked() -> Error {
    Error::new(Kind::Locked, "The resource instance is locked; unlock it first.")
}

/// The answer of a second deletion.
pub fn gone() -> Error {
    Error::new(Kind::Gone, "The resource instance is removed already.")
}

/// Deletes: schedules the reclamation where the plan has one, else removes. Returns the audit verb.
///
/// # Errors
/// `Locked`, `Gone`.
#[allow(clippy::too_many_arguments, reason = "each is a value of its own, and there is one caller")]
pub fn delete(
    app: &Arc<App>,
    tx: &mut Tx<'_>,
    guid: &str,
    by: &str,
    reclamation_id: &str,
    now: Timestamp,
) -> Result<&'static str> {
    let mut instance = sql::get(tx, guid)?.ok_or_else(gone)?;
    if instance.state == state::REMOVED {
        return Err(gone());
    }
    if instance.locked {
        return Err(locked());
    }
    if instance.state == state::PENDING {
        return Err(Error::new(
            Kind::Unprocessable,
            "The resource instance is scheduled for reclamation already.",
        ));
    }
    if instance.plan().is_some_and(|p| p.reclamation) {
        let due = now.plus_secs(RECLAIM_DAYS * 86_400);
        instance.state = state::PENDING.into();
        instance.body.operation = "reclamation".into();
        instance.body.scheduled_reclaim_at = Some(due.millis());
        instance.body.scheduled_reclaim_by = by.into();
        touch(&mut instance, by, now);
        sql::update(tx, &instance)?;
        reclamations::sql::insert(tx, &reclamations::scheduled(reclamation_id, &instance, by, due, now))?;
        return Ok("schedule_reclaim");
    }
    remove(app, tx, &mut instance, by, now)?;
    Ok("delete")
}

/// Removes an instance for good: its data, and the policies that name it.
///
/// # Errors
/// Those of the services that hold its data.
pub fn remove(
    app: &Arc<App>,
    tx: &mut Tx<'_>,
    instance: &mut Instance,
    by: &str,
    now: Timestamp,
) -> Result<()> {
    let info = instance.info()?;
    for hook in app.links.hooks.iter().filter(|h| h.service() == instance.service) {
        hook.removed(tx, &info)?;
    }
    app.links.cleaner.instance_removed(tx, &instance.account, &instance.guid, now)?;
    instance.state = state::REMOVED.into();
    instance.body.operation = "delete".into();
    instance.body.deleted_at = Some(now.millis());
    instance.body.deleted_by = by.into();
    touch(instance, by, now);
    sql::update(tx, instance)
}

/// Notes who changed it and when.
pub fn touch(instance: &mut Instance, by: &str, now: Timestamp) {
    instance.updated_at = now;
    instance.body.updated_by = by.into();
}
