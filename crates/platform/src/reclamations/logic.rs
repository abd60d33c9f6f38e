//! Rules of reclamations.

use std::sync::Arc;

use avouch_gate::audit::{self, Event};
use avouch_gate::ctx::background_event;
use avouch_gate::{App, Details, Error, Kind, Permit, Result};
use avouch_store::Tx;
use avouch_wire::time::Timestamp;

use super::{Reclamation, sql};
use crate::instances::{self, Instance, state};

/// Restores an instance with its GUID, data and policies.
///
/// # Errors
/// `Unprocessable` when it is not scheduled any more.
pub fn restore(tx: &mut Tx<'_>, r: &Reclamation, by: &str, now: Timestamp) -> Result<Instance> {
    let mut instance = pending(tx, r)?;
    instance.state = state::ACTIVE.into();
    instance.body.operation = "restore".into();
    instance.body.scheduled_reclaim_at = None;
    instance.body.scheduled_reclaim_by = String::new();
    instance.body.restored_at = Some(now.millis());
    instance.body.restored_by = by.into();
    instances::logic::touch(&mut instance, by, now);
    instances::sql::update(tx, &instance)?;
    sql::set_state(tx, &r.id, "RESTORING", by, now)?;
    Ok(instance)
}

/// Removes an instance for good.
///
/// # Errors
/// `Unprocessable` when it is not scheduled any more.
pub fn reclaim(
    app: &Arc<App>,
    tx: &mut Tx<'_>,
    r: &Reclamation,
    by: &str,
    now: Timestamp,
) -> Result<Instance> {
    let mut instance = pending(tx, r)?;
    instances::logic::remove(app, tx, &mut instance, by, now)?;
    sql::set_state(tx, &r.id, "RECLAIMING", by, now)?;
    Ok(instance)
}

fn pending(tx: &mut Tx<'_>, r: &Reclamation) -> Result<Instance> {
    let ended = || Error::new(Kind::Unprocessable, "The reclamation has ended.");
    let fresh = sql::get(tx, &r.account, &r.id)?.ok_or_else(ended)?;
    if fresh.state != "SCHEDULED" {
        return Err(ended());
    }
    instances::sql::get(tx, &r.guid)?.filter(|i| i.state == state::PENDING).ok_or_else(ended)
}

/// Removes what is due, each with its own event.
///
/// # Errors
/// Those of the store.
pub async fn tick(app: &Arc<App>) -> Result<()> {
    let now = app.clock.now();
    let due = app.store.read(move |tx| sql::due(tx, now, 50)).await?;
    for r in due {
        let shared = app.clone();
        app.store
            .write(move |tx| {
                let instance = match reclaim(&shared, tx, &r, "avouch-reclamation", now) {
                    Ok(instance) => instance,
                    Err(e) if e.kind() == Kind::Unprocessable => return Ok(()),
                    Err(e) => return Err(e),
                };
                audit::sql::insert(tx, &event(&shared, &instance, now)?)
            })
            .await?;
    }
    Ok(())
}

fn event(app: &App, instance: &Instance, now: Timestamp) -> Result<Event> {
    let permit = Permit::system(&audit::unasked::RECLAIMED, instance.target()?);
    let details = Details { status: 204, ..Details::default() };
    Ok(background_event(app, now, "Resource Controller", &permit, details))
}
