//! Creation: one prototype per type, checked, sealed, written with its first version.

use avouch_gate::{Ctx, Error, Kind, Request, Response, Result};
use avouch_wire::text;
use avouch_wire::time::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{ACTIVE, Body, Counted, Secret, SecretType, render, sql};
use crate::access::{DEFAULT_GROUP, scope};
use crate::json::{disclosed, object};
use crate::names;
use crate::passwords::{Patch, Policy};
use crate::rotation::Rotation;
use crate::versions::{self, Payload, Version};

#[derive(Deserialize)]
struct Prototype {
    secret_type: Option<String>,
    name: Option<String>,
    description: Option<String>,
    secret_group_id: Option<String>,
    #[serde(default)]
    labels: Vec<String>,
    custom_metadata: Option<Map<String, Value>>,
    version_custom_metadata: Option<Map<String, Value>>,
    expiration_date: Option<String>,
    rotation: Option<Value>,
    #[serde(default, deserialize_with = "object")]
    password_generation_policy: Option<Patch>,
    #[serde(flatten)]
    payload: versions::Given,
}

/// A time in the future.
///
/// # Errors
/// `Invalid` for what is no time or is over.
pub fn expiration(text: &str, now: Timestamp) -> Result<Timestamp> {
    let bad =
        || Error::invalid("expiration_date", "The property 'expiration_date' is not a time in the future.");
    let at = Timestamp::parse_rfc3339(text).map_err(|_| bad())?;
    if at <= now { Err(bad()) } else { Ok(at) }
}

pub async fn create(ctx: Ctx, request: Request) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    let body: Prototype = request.json()?;
    let kind =
        body.secret_type.as_deref().filter(|t| !t.is_empty()).ok_or_else(|| Error::missing("secret_type"))?;
    let kind = SecretType::parse(kind)?;
    let name = names::name(body.name.as_deref(), 2, 256)?.to_owned();
    names::description(body.description.as_deref())?;
    names::labels(&body.labels)?;
    names::metadata("custom_metadata", body.custom_metadata.as_ref())?;
    names::metadata("version_custom_metadata", body.version_custom_metadata.as_ref())?;
    let now = ctx.now();
    let expires_at = match (&body.expiration_date, kind) {
        (None, _) => None,
        (Some(_), SecretType::Kv) => {
            return Err(Error::invalid("expiration_date", "Secrets of type kv do not expire."));
        }
        (Some(text), _) => Some(expiration(text, now)?),
    };
    let user = kind == SecretType::UsernamePassword;
    if !user && (body.rotation.is_some() || body.password_generation_policy.is_some()) {
        return Err(Error::invalid(
            "rotation",
            "Only secrets of type username_password rotate by themselves.",
        ));
    }
    let policy = match body.password_generation_policy {
        Some(patch) => Policy::default().with(patch)?,
        None => Policy::default(),
    };
    let rotation = body.rotation.as_ref().map(Rotation::parse).transpose()?.unwrap_or(Rotation::Off);
    let payload = Payload::first(&ctx, kind, body.payload, policy)?;

    let group = body.secret_group_id.filter(|g| !g.is_empty()).unwrap_or_else(|| DEFAULT_GROUP.into());
    let id = ctx.uuid().to_string();
    let target = scope.secret_target(&group, &id, &name);
    ctx.detail(|d| {
        d.request("secret_type", kind.as_str()).request("secret_group_id", group.as_str());
    });
    // An unknown group and one that the caller may not see have the same answer.
    let permit = match scope.authorize(&ctx, "secrets-manager.secret.create", &target, &group).await {
        Err(e) if e.kind() == Kind::NotFound => return Err(no_group()),
        other => other?,
    };
    if group != DEFAULT_GROUP {
        let (instance, wanted) = (scope.id().to_owned(), group.clone());
        if !text::uuid(&group)
            || ctx.read(move |tx| crate::groups::sql::get(tx, &instance, &wanted)).await?.is_none()
        {
            return Err(no_group());
        }
    }
    let by = ctx.caller()?.iam_id().to_string();
    let secret = Secret {
        id: id.clone(),
        kind,
        name,
        group,
        state: ACTIVE,
        body: Body {
            description: body.description,
            labels: body.labels,
            custom_metadata: body.custom_metadata.unwrap_or_default(),
            rotation: user.then(|| rotation.render()),
            password_policy: user.then_some(policy),
        },
        versions_total: 1,
        expires_at,
        next_rotation_at: rotation.next(now),
        created_at: now,
        created_by: by.clone(),
        updated_at: now,
    };
    let version = Version {
        id: ctx.uuid().to_string(),
        secret: id,
        n: 1,
        alias: "current".into(),
        sealed: None,
        metadata: body.version_custom_metadata.unwrap_or_default(),
        auto_rotated: false,
        expires_at,
        created_at: now,
        created_by: by,
    };
    let version = version.sealed(ctx.app(), scope.id(), &payload)?;
    let (instance, made) = (scope.id().to_owned(), secret.clone());
    ctx.write(permit, move |tx, event| {
        event.status = 201;
        event.request("version_id", version.id.as_str());
        // The group may have gone since it was looked at.
        if secret.group != DEFAULT_GROUP && crate::groups::sql::get(tx, &instance, &secret.group)?.is_none() {
            return Err(no_group());
        }
        sql::put(tx, &instance, &secret)?;
        versions::sql::put(tx, &instance, &version)
    })
    .await?;
    let counted = Counted { secret: made, locks: 0, read_at: None };
    let mut shown = render(&scope, &counted, now);
    payload.show(&mut shown);
    disclosed(201, shown)
}

fn no_group() -> Error {
    Error::new(Kind::NotFound, "The secret group was not found.").field("secret_group_id")
}
