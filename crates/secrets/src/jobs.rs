//! Background work: erasing what has expired, rotating what is due. Each step is audited with the service as initiator
//! and safe to run twice, on any replica.

use std::sync::Arc;

use avouch_gate::audit::{
    self,
    unasked::{SECRET_EXPIRED, SECRET_ROTATED, Unasked},
};
use avouch_gate::ctx::background_event;
use avouch_gate::{App, Details, Permit, Result, Target};
use avouch_policy::access::ResourceAttrs;
use avouch_store::Tx;
use avouch_wire::time::Timestamp;

use crate::secrets::{self, Counted, DESTROYED, Secret};
use crate::versions::{self, Payload, Version};

/// Secrets handled in one round.
const ROUND: i64 = 100;

/// Erases the payloads of secrets whose time is over and that nobody locks.
///
/// # Errors
/// Those of the store.
pub async fn expire(app: &Arc<App>) -> Result<()> {
    let now = app.clock.now();
    let mut result = Ok(());
    for (instance, id) in app.store.read(move |tx| secrets::sql::expired(tx, now, ROUND)).await? {
        // One secret that cannot be erased must not hold the others back.
        if let Err(e) = expire_secret(app, &instance, &id, now).await {
            let cause = e.cause_text().unwrap_or(e.message());
            tracing::warn!(instance, secret = id, cause, "expiry failed");
            result = Err(e);
        }
    }
    result
}

async fn expire_secret(app: &Arc<App>, instance: &str, id: &str, now: Timestamp) -> Result<()> {
    let (shared, instance, id) = (app.clone(), instance.to_owned(), id.to_owned());
    app.store
        .write(move |tx| {
            let Some(mut c) = secrets::counted(tx, &instance, &id)? else { return Ok(()) };
            if !c.secret.expired(now, c.locks) || c.secret.state == DESTROYED {
                return Ok(());
            }
            c.secret.state = DESTROYED;
            c.secret.next_rotation_at = None;
            c.secret.updated_at = now;
            secrets::sql::put(tx, &instance, &c.secret)?;
            versions::sql::erase(tx, &instance, &id)?;
            tell(&shared, tx, &instance, &c.secret, (&SECRET_EXPIRED, 200, now))
        })
        .await
}

/// Gives secrets that are due a new password. A locked previous version holds the rotation back until tomorrow.
///
/// # Errors
/// Those of the store.
pub async fn rotate(app: &Arc<App>) -> Result<()> {
    let now = app.clock.now();
    for (instance, id) in app.store.read(move |tx| secrets::sql::due(tx, now, ROUND)).await? {
        // One secret that cannot be rotated must not hold the others back.
        let failed = match rotate_secret(app, &instance, &id, now).await {
            Ok(true) => continue,
            Ok(false) => false,
            Err(e) => {
                tracing::warn!(
                    instance,
                    secret = id,
                    cause = e.cause_text().unwrap_or(e.message()),
                    "rotation failed"
                );
                true
            }
        };
        let shared = app.clone();
        app.store.write(move |tx| postpone(&shared, tx, &instance, &id, (failed, now))).await?;
    }
    Ok(())
}

/// `false`: there is nothing to rotate, now or at all.
async fn rotate_secret(app: &Arc<App>, instance: &str, id: &str, now: Timestamp) -> Result<bool> {
    let (shared, i, s) = (app.clone(), instance.to_owned(), id.to_owned());
    let found = app
        .store
        .read(move |tx| {
            // Nobody can read the secrets of an instance that is pending reclamation.
            let usable = shared.links.instances.instance(tx, &i)?.is_some_and(|info| info.active);
            let Some(c) = secrets::counted(tx, &i, &s)?.filter(|_| usable) else {
                return Ok::<_, avouch_gate::Error>(None);
            };
            Ok(versions::sql::by_alias(tx, &i, &s, "current")?.map(|v| (c, v)))
        })
        .await?;
    let Some((c, current)) = found else { return Ok(false) };
    let Some(Payload::Login(user, _)) = current.open(app, instance)? else { return Ok(false) };
    let password = c.secret.body.password_policy.unwrap_or_default().generate(app.rng.as_ref());
    let new = Version {
        id: avouch_crypto::rng::uuid_v4(app.rng.as_ref()).to_string(),
        secret: id.to_owned(),
        n: 0,
        alias: "current".into(),
        sealed: None,
        metadata: serde_json::Map::new(),
        auto_rotated: true,
        expires_at: c.secret.expires_at,
        created_at: now,
        created_by: "avouch".into(),
    }
    .sealed(app, instance, &Payload::Login(user, password))?;
    let (shared, instance) = (app.clone(), instance.to_owned());
    app.store.write(move |tx| rotate_one(&shared, tx, &instance, new.clone(), now)).await?;
    Ok(true)
}

/// Tries again tomorrow; a failure is told.
fn postpone(
    app: &Arc<App>,
    tx: &mut Tx<'_>,
    instance: &str,
    id: &str,
    (failed, now): (bool, Timestamp),
) -> Result<()> {
    let Some(mut secret) = secrets::sql::get(tx, instance, id)? else { return Ok(()) };
    if secret.next_rotation_at.is_none_or(|at| at > now) {
        return Ok(());
    }
    secret.next_rotation_at = Some(now.plus_secs(86_400));
    secrets::sql::put(tx, instance, &secret)?;
    if failed { tell(app, tx, instance, &secret, (&SECRET_ROTATED, 500, now)) } else { Ok(()) }
}

fn rotate_one(
    app: &Arc<App>,
    tx: &mut Tx<'_>,
    instance: &str,
    mut new: Version,
    now: Timestamp,
) -> Result<()> {
    let Some(Counted { mut secret, locks, .. }) = secrets::counted(tx, instance, &new.secret)? else {
        return Ok(());
    };
    // Another replica may have been faster.
    if secret.next_rotation_at.is_none_or(|at| at > now) || secret.expired(now, locks) {
        return Ok(());
    }
    let blocked = match versions::sql::by_alias(tx, instance, &secret.id, "previous")? {
        Some(previous) => crate::locks::sql::any(tx, instance, &secret.id, &previous.id)?,
        None => false,
    };
    if blocked {
        secret.next_rotation_at = Some(now.plus_secs(86_400));
        secrets::sql::put(tx, instance, &secret)?;
        return tell(app, tx, instance, &secret, (&SECRET_ROTATED, 412, now));
    }
    new.n = secret.versions_total + 1;
    new.expires_at = secret.expires_at;
    versions::rotate(tx, instance, &new)?;
    secret.versions_total += 1;
    secret.updated_at = now;
    secret.next_rotation_at = secret.rotation().next(now);
    secrets::sql::put(tx, instance, &secret)?;
    tell(app, tx, instance, &secret, (&SECRET_ROTATED, 201, now))
}

fn tell(
    app: &Arc<App>,
    tx: &mut Tx<'_>,
    instance: &str,
    secret: &Secret,
    (event, status, now): (&Unasked, u16, Timestamp),
) -> Result<()> {
    let Some(info) = app.links.instances.instance(tx, instance)? else { return Ok(()) };
    let attrs = ResourceAttrs::service(&info.account, "secrets-manager").instance(instance);
    let crn = info.crn.clone().with_resource("secret", &secret.id).map(|c| c.to_string()).unwrap_or_default();
    let mut target = Target::global("secrets-manager", &info.account, attrs, crn).named(&secret.name);
    target.type_uri = "secrets-manager/secret".into();
    target.log_source = info.crn.to_string();
    let mut details = Details { status, ..Details::default() };
    details.request("secret_type", secret.kind.as_str()).request("secret_group_id", secret.group.as_str());
    details.failure = match status {
        412 => Some("The previous version is locked.".into()),
        500 => Some("The secret could not be rotated.".into()),
        _ => None,
    };
    let permit = Permit::system(event, target);
    audit::sql::insert(tx, &background_event(app, now, "Secrets Manager", &permit, details))
}
