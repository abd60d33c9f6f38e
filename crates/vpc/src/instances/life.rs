//! What becomes of instances: who runs them takes what is wanted here, and writes down what came of it.

use std::sync::Arc;

use avouch_gate::audit::{self, unasked};
use avouch_gate::ctx::background_event;
use avouch_gate::{App, Details, Permit, Result};
use avouch_store::Tx;
use avouch_wire::crn::Crn;
use avouch_wire::ids::AccountId;
use avouch_wire::time::Timestamp;

use super::{INSTANCE, Instance, Reason, Status};
use crate::call::View;
use crate::catalogue::data::Catalogue;
use crate::images::Image;
use crate::interfaces::{INTERFACE, Interface, logic};
use crate::objects::{Object, sql};
use crate::placement_groups::PLACEMENT_GROUP;
use crate::volumes::VOLUME;
use crate::vpcs::VPC;

/// Milliseconds after which an instance that nobody runs has failed.
const NOBODY: i64 = 10_000;
/// How often a change is tried that others overtake.
const TRIES: usize = 5;

/// Wakes whoever runs instances.
#[derive(Debug, Default)]
pub struct Wake(pub tokio::sync::Notify);

/// An instance with its account.
#[derive(Debug, Clone)]
pub struct Owned {
    pub account: AccountId,
    pub instance: Object<Instance>,
}

/// The instances of all accounts.
///
/// # Errors
/// Those of the store.
pub async fn all(app: &App) -> Result<Vec<Owned>> {
    let found = app.store.read(|tx| sql::everywhere(tx, None)).await?;
    Ok(found.into_iter().map(|(account, instance)| Owned { account, instance }).collect())
}

/// The instance with this id, whose ever it is.
///
/// # Errors
/// Those of the store.
pub async fn find(app: &App, id: &str) -> Result<Option<Owned>> {
    let id = id.to_owned();
    let found = app.store.read(move |tx| sql::everywhere(tx, Some(&id))).await?;
    Ok(found.into_iter().next().map(|(account, instance)| Owned { account, instance }))
}

/// The instance as it is now.
///
/// # Errors
/// Those of the store.
pub async fn now(app: &App, account: &AccountId, id: &str) -> Result<Option<Object<Instance>>> {
    let (account, id) = (account.clone(), id.to_owned());
    app.store.read(move |tx| sql::get(tx, &account, &id)).await
}

/// Changes an instance, if `change` says that it wants to; the instance as it is then. A reason goes into the trail.
///
/// # Errors
/// Those of the store.
pub async fn change(
    app: &Arc<App>,
    (account, id): (&AccountId, &str),
    change: impl Fn(&mut Instance) -> bool + Clone + Send + Sync + 'static,
) -> Result<Option<Object<Instance>>> {
    for _ in 0..TRIES {
        let (shared, account, id, change) = (app.clone(), account.clone(), id.to_owned(), change.clone());
        let done: Result<Option<Object<Instance>>> = app
            .store
            .write(move |tx| {
                let Some(mut o) = sql::get::<Instance>(tx, &account, &id)? else { return Ok(None) };
                let before = o.body.clone();
                if change(&mut o.body) {
                    sql::update(tx, &account, &mut o)?;
                    if o.body.status_reasons != before.status_reasons && !o.body.status_reasons.is_empty() {
                        tell(&shared, tx, &account, &o)?;
                    }
                }
                Ok(Some(o))
            })
            .await;
        match done {
            Err(e) if e.kind() == avouch_gate::Kind::Precondition => {}
            other => return other,
        }
    }
    Err(avouch_gate::Error::unavailable("The instance is changed by others all the time."))
}

/// Tells that an instance stopped by itself, or could not be started.
fn tell(app: &Arc<App>, tx: &mut Tx<'_>, account: &AccountId, o: &Object<Instance>) -> Result<()> {
    let view = View::of(app, account);
    let mut target = view.target(o);
    target.type_uri = "is.instance/instance".into();
    let mut details = Details { status: 500, ..Details::default() };
    details.failure = o.body.status_reasons.first().map(|r| r.message.clone());
    details.response("status", o.body.status.as_str());
    let permit = Permit::system(&unasked::INSTANCE_ENDED, target);
    let event = background_event(app, app.clock.now(), "VPC Infrastructure Services", &permit, details);
    audit::sql::insert(tx, &event)
}

/// Where the image of an instance was taken from; nothing for one of the catalogue.
///
/// # Errors
/// Those of the store.
pub async fn source(app: &App, owned: &Owned) -> Result<Option<String>> {
    if Catalogue::builtin().image(&owned.instance.body.image).is_some() {
        return Ok(None);
    }
    let (account, id) = (owned.account.clone(), owned.instance.body.image.clone());
    let image: Object<Image> = app.store.read(move |tx| sql::need(tx, &account, &id)).await?;
    Ok(Some(image.body.source))
}

/// An instance that cannot run, with the reason.
pub fn failed(o: &mut Instance, code: &str, message: &str) {
    o.status = Status::Failed;
    o.status_reasons = vec![Reason { code: code.into(), message: message.into() }];
}

/// Removes all links to an instance, and hands out the event of each.
///
/// # Errors
/// Those of the store.
pub fn unlink(
    tx: &mut Tx<'_>,
    view: &View,
    o: &Object<Instance>,
    by: &str,
    at: Timestamp,
) -> Result<Vec<(Permit, Details)>> {
    let crn = Crn::parse(&o.crn(view)).map_err(avouch_gate::Error::internal)?;
    view.app.links.linker.unlink(tx, &crn, (by, &view.account), at)
}

/// Removes an instance with what goes with it. Its links are gone already.
///
/// # Errors
/// Those of the store.
pub fn remove(tx: &mut Tx<'_>, view: &View, o: &Object<Instance>) -> Result<()> {
    let user = (&INSTANCE, o.id.as_str());
    for nic in &o.body.nics {
        sql::leave_it(tx, &view.account, user, (&INTERFACE, &nic.interface))?;
        let interface: Object<Interface> = sql::need(tx, &view.account, &nic.interface)?;
        if interface.body.auto_delete {
            logic::remove(tx, view, &interface)?;
        }
    }
    for attachment in &o.body.volumes {
        sql::leave_it(tx, &view.account, user, (&VOLUME, &attachment.volume))?;
        if attachment.delete_with_instance {
            sql::remove(tx, &view.account, &VOLUME, &attachment.volume)?;
        }
    }
    if let Some(group) = &o.body.placement_group {
        sql::leave_it(tx, &view.account, user, (&PLACEMENT_GROUP, group))?;
    }
    sql::leave_it(tx, &view.account, user, (&VPC, &o.parent))?;
    sql::remove(tx, &view.account, &INSTANCE, &o.id)
}

/// Removes an instance of which nothing runs any more.
///
/// # Errors
/// Those of the store.
pub async fn gone(app: &Arc<App>, account: &AccountId, id: &str) -> Result<()> {
    let (view, id, now) = (View::of(app, account), id.to_owned(), app.clock.now());
    app.store
        .write(move |tx| match sql::get::<Instance>(tx, &view.account, &id)? {
            Some(o) if o.body.status == Status::Deleting => {
                // Those that were made since the deletion began.
                let by = format!("avouch-{}", unasked::INSTANCE_UNLINKED.by());
                for (permit, details) in unlink(tx, &view, &o, &by, now)? {
                    let event = background_event(&view.app, now, "IAM Identity Service", &permit, details);
                    audit::sql::insert(tx, &event)?;
                }
                remove(tx, &view, &o)
            }
            _ => Ok(()),
        })
        .await
}

/// Instances that nobody runs have failed: no replica of this deployment has a helper.
///
/// # Errors
/// Those of the store.
pub async fn tick(app: &Arc<App>) -> Result<()> {
    let late = app.clock.now().millis() - NOBODY;
    for Owned { account, instance } in all(app).await? {
        let waits =
            |o: &Instance| o.node.is_empty() && matches!(o.status, Status::Pending | Status::Starting);
        if waits(&instance.body) && instance.created_at.millis() < late {
            change(app, (&account, &instance.id), move |o| {
                let nobody = waits(o);
                if nobody {
                    failed(
                        o,
                        "cannot_start_compute",
                        "No server of this deployment runs instances: the setting 'vpc.agent' names no helper.",
                    );
                }
                nobody
            })
            .await?;
        }
    }
    Ok(())
}
