//! Rules of reclamations.

use std::sync::Arc;

use avouch_crypto::rng;
use avouch_gate::audit::{self, Event, EventTarget, Initiator};
use avouch_gate::{App, Error, Kind, Result};
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
pub fn reclaim(app: &Arc<App>, tx: &mut Tx<'_>, r: &Reclamation, by: &str, now: Timestamp) -> Result<Instance> {
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
        let (shared, event_id) = (app.clone(), rng::uuid_v4(app.rng.as_ref()).to_string());
        app.store
            .write(move |tx| {
                let instance = match reclaim(&shared, tx, &r, "avouch-reclamation", now) {
                    Ok(instance) => instance,
                    Err(e) if e.kind() == Kind::Unprocessable => return Ok(()),
                    Err(e) => return Err(e),
                };
                audit::sql::insert(tx, &event(&shared, &event_id, &instance, now)?)
            })
            .await?;
    }
    Ok(())
}

fn event(app: &App, id: &str, instance: &Instance, now: Timestamp) -> Result<Event> {
    Ok(Event {
        id: id.to_owned(),
        account: instance.account.as_str().to_owned(),
        time: now,
        action: format!("{}.instance.delete", instance.service),
        status: 204,
        locked: false,
        initiator: Initiator {
            id: "avouch-reclamation".into(),
            name: "Avouch".into(),
            type_uri: "service/security/clientid".into(),
            credential: "token".into(),
            ..Initiator::default()
        },
        target: EventTarget {
            id: instance.crn()?.to_string(),
            name: instance.name.clone(),
            type_uri: format!("{}/instance", instance.service),
            resource_group: Some(crate::resource_groups::crn(&instance.account, &instance.resource_group)),
        },
        failure: None,
        correlation_id: id.to_owned(),
        log_source: audit::log_source("resource-controller", "global", &instance.account, ""),
        data_event: false,
        request: serde_json::Map::new(),
        response: serde_json::Map::new(),
        decision: serde_json::Map::new(),
        node: app.config.node.clone(),
        service_display: "Resource Controller".into(),
    })
}
