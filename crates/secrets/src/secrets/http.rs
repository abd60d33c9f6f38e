//! Requests on one secret.

use avouch_gate::{Ctx, Error, Kind, Permit, Request, Response, Result};
use serde_json::{Map, Value};

use super::{Counted, SecretType, counted, load, permit, render, sql};
use crate::access::{DEFAULT_GROUP, Scope, scope};
use crate::errors::{locked, no_secret};
use crate::json::disclosed;
use crate::names;
use crate::passwords::Patch;
use crate::rotation::Rotation;
use crate::versions;

const READ: &str = "secrets-manager.secret.read";

pub async fn get(ctx: Ctx, request: Request) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    let (found, permit) = load(&ctx, &scope, request.param("id")?, READ).await?;
    disclose(&ctx, &scope, found, &permit).await
}

pub async fn by_name(ctx: Ctx, request: Request) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    let kind = SecretType::parse(request.param("secret_type")?).map_err(|_| no_secret())?;
    let (group, name) = (request.param("group_name")?.to_owned(), request.param("name")?.to_owned());
    let instance = scope.id().to_owned();
    let found = ctx
        .read(move |tx| {
            let group = if group == DEFAULT_GROUP {
                DEFAULT_GROUP.to_owned()
            } else {
                match crate::groups::sql::by_name(tx, &instance, &group)? {
                    Some(g) => g.id,
                    None => return Ok(None),
                }
            };
            match sql::by_name(tx, &instance, kind, &name)?.filter(|s| s.group == group) {
                Some(secret) => super::count(tx, &instance, secret).map(Some),
                None => Ok(None),
            }
        })
        .await?
        .ok_or_else(no_secret)?;
    let permit = permit(&ctx, &scope, &found.secret, READ).await?;
    disclose(&ctx, &scope, found, &permit).await
}

/// Opens the current version; the answer leaves only after the event of the disclosure is durable.
async fn disclose(ctx: &Ctx, scope: &Scope, mut found: Counted, permit: &Permit) -> Result<Response> {
    let now = ctx.now();
    if found.secret.expired(now, found.locks) {
        return Response::json(200, &render(scope, &found, now));
    }
    let (instance, id) = (scope.id().to_owned(), found.secret.id.clone());
    let version = ctx
        .read(move |tx| versions::sql::by_alias(tx, &instance, &id, "current"))
        .await?
        .ok_or_else(no_secret)?;
    let payload = version.open(ctx.app(), scope.id())?;
    versions::told(ctx, scope, permit, &version, payload.is_some()).await?;
    if payload.is_some() {
        found.read_at = Some(now);
    }
    let mut shown = render(scope, &found, now);
    if let Some(payload) = payload {
        payload.show(&mut shown);
    }
    disclosed(200, shown)
}

pub async fn metadata(ctx: Ctx, request: Request) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    let (found, _) = load(&ctx, &scope, request.param("id")?, "secrets-manager.secret-metadata.read").await?;
    Response::json(200, &render(&scope, &found, ctx.now()))
}

/// A merge patch: absent members stay, `null` clears what can be cleared.
pub async fn update(ctx: Ctx, request: Request) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    let patch = request.json_value()?;
    let patch =
        patch.as_object().cloned().ok_or_else(|| Error::invalid("body", "The body must be an object."))?;
    let (found, permit) =
        load(&ctx, &scope, request.param("id")?, "secrets-manager.secret-metadata.update").await?;
    let change = Change::read(&patch, found.secret.kind, &ctx)?;
    let (instance, now) = (scope.id().to_owned(), ctx.now());
    let fields: Vec<String> = patch.keys().filter(|k| FIELDS.contains(&k.as_str())).cloned().collect();
    let counted = ctx
        .write(permit, move |tx, event| {
            event.request("updated_fields", fields.clone());
            let mut c = counted(tx, &instance, &found.secret.id)?.ok_or_else(no_secret)?;
            change.apply(&mut c, now)?;
            if let Some(at) = change.expires_at {
                versions::sql::expire_at(tx, &instance, &c.secret.id, at)?;
            }
            c.secret.updated_at = now;
            event.target_name = Some(c.secret.name.clone());
            sql::put(tx, &instance, &c.secret)?;
            Ok(c)
        })
        .await?;
    Response::json(200, &render(&scope, &counted, now))
}

const FIELDS: &[&str] = &[
    "name",
    "description",
    "labels",
    "custom_metadata",
    "expiration_date",
    "rotation",
    "password_generation_policy",
];

#[derive(Default)]
struct Change {
    name: Option<String>,
    description: Option<Option<String>>,
    labels: Option<Vec<String>>,
    custom_metadata: Option<Map<String, Value>>,
    expires_at: Option<Option<avouch_wire::time::Timestamp>>,
    rotation: Option<Rotation>,
    policy: Option<Option<Patch>>,
}

impl Change {
    fn read(patch: &Map<String, Value>, kind: SecretType, ctx: &Ctx) -> Result<Self> {
        let mut change = Self::default();
        for (field, value) in patch {
            let bad = || Error::invalid(field.clone(), format!("The property '{field}' is not valid."));
            match (field.as_str(), value) {
                ("name", Value::String(text)) => {
                    change.name = Some(names::name(Some(text), 2, 256)?.to_owned())
                }
                ("description", Value::Null) => change.description = Some(None),
                ("description", Value::String(text)) => {
                    names::description(Some(text))?;
                    change.description = Some(Some(text.clone()));
                }
                ("labels", Value::Null) => change.labels = Some(Vec::new()),
                ("labels", Value::Array(_)) => {
                    let labels: Vec<String> = serde_json::from_value(value.clone()).map_err(|_| bad())?;
                    names::labels(&labels)?;
                    change.labels = Some(labels);
                }
                ("custom_metadata", Value::Null) => change.custom_metadata = Some(Map::new()),
                ("custom_metadata", Value::Object(map)) => {
                    names::metadata("custom_metadata", Some(map))?;
                    change.custom_metadata = Some(map.clone());
                }
                ("expiration_date", Value::Null) if kind != SecretType::Kv => change.expires_at = Some(None),
                ("expiration_date", Value::String(text)) if kind != SecretType::Kv => {
                    change.expires_at = Some(Some(super::create::expiration(text, ctx.now())?));
                }
                ("rotation", Value::Null) if kind == SecretType::UsernamePassword => {
                    change.rotation = Some(Rotation::Off);
                }
                ("rotation", Value::Object(_)) if kind == SecretType::UsernamePassword => {
                    change.rotation = Some(Rotation::parse(value)?);
                }
                ("password_generation_policy", Value::Null) if kind == SecretType::UsernamePassword => {
                    change.policy = Some(None);
                }
                ("password_generation_policy", Value::Object(_)) if kind == SecretType::UsernamePassword => {
                    change.policy = Some(Some(serde_json::from_value(value.clone()).map_err(|_| bad())?));
                }
                (known, _) if FIELDS.contains(&known) => return Err(bad()),
                (
                    "secret_type" | "secret_group_id" | "username" | "id" | "crn" | "payload" | "data"
                    | "password",
                    _,
                ) => {
                    return Err(Error::invalid(
                        field.clone(),
                        format!("The property '{field}' cannot be changed."),
                    ));
                }
                _ => {}
            }
        }
        Ok(change)
    }

    fn apply(&self, c: &mut Counted, now: avouch_wire::time::Timestamp) -> Result<()> {
        let s = &mut c.secret;
        if let Some(name) = &self.name {
            s.name.clone_from(name);
        }
        if let Some(description) = &self.description {
            s.body.description.clone_from(description);
        }
        if let Some(labels) = &self.labels {
            s.body.labels.clone_from(labels);
        }
        if let Some(metadata) = &self.custom_metadata {
            s.body.custom_metadata.clone_from(metadata);
        }
        if let Some(at) = self.expires_at {
            if s.expired(now, c.locks) {
                return Err(Error::new(
                    Kind::Invalid,
                    "The secret is destroyed; its payload cannot come back.",
                ));
            }
            s.expires_at = at;
        }
        if let Some(patch) = self.policy {
            let policy = s.body.password_policy.unwrap_or_default();
            s.body.password_policy = patch.map(|patch| policy.with(patch)).transpose()?;
        }
        if let Some(rotation) = &self.rotation {
            s.body.rotation = Some(rotation.render());
            s.next_rotation_at = rotation.next(now);
        }
        Ok(())
    }
}

pub async fn delete(ctx: Ctx, request: Request) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    request.query_bool("force_delete")?;
    let (found, permit) = load(&ctx, &scope, request.param("id")?, "secrets-manager.secret.delete").await?;
    let instance = scope.id().to_owned();
    ctx.write(permit, move |tx, event| {
        event.status = 204;
        let c = counted(tx, &instance, &found.secret.id)?.ok_or_else(no_secret)?;
        event.locked = c.locks > 0;
        if c.locks > 0 {
            return Err(locked());
        }
        sql::delete(tx, &instance, &c.secret.id)
    })
    .await?;
    Ok(Response::empty(204))
}

/// The published actions belong to certificates, which this server does not keep.
pub async fn action(ctx: Ctx, request: Request) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    load(&ctx, &scope, request.param("id")?, "secrets-manager.secret-action.create").await?;
    Err(Error::new(Kind::Invalid, "The action is not supported for secrets of this type."))
}
