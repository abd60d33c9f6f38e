//! Requests on images.

use avouch_gate::{Error, Response, Result};
use avouch_wire::time::Timestamp;
use serde_json::Value;

use super::{IMAGE, Image, MADE, render_public};
use crate::call::Call;
use crate::catalogue::data::Catalogue;
use crate::errors::{in_parameter, name_taken, no_such};
use crate::fields::{Change, Fields};
use crate::names;
use crate::objects::{self, Body, Object, http as common, sql, within};
use crate::paging;

/// Longest address of a source.
const LONGEST_SOURCE: usize = 1024;
/// What a source may begin with: object storage, and files beside the server.
const SOURCES: [&str; 4] = ["cos://", "oci-layout:", "rootfs:", "disk:"];

pub async fn list(call: Call) -> Result<Response> {
    let window = paging::window(&call)?;
    call.ctx.note(&call.view.new_target(&IMAGE, "", "*"));
    let rights = call.ctx.filter(&call.view.account).await?;
    let asked = |name| call.request.query(name).map_err(in_parameter);
    let wanted: Vec<(&str, String)> = [
        ("name", asked("name")?),
        ("status", asked("status")?),
        ("visibility", asked("visibility")?),
        ("user_data_format", asked("user_data_format")?),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect();
    let group = asked("resource_group.id")?;
    let view = call.view.clone();
    let mut all: Vec<(i64, Value)> = call
        .ctx
        .read(move |tx| {
            let mut out = Vec::new();
            for o in sql::all::<Image>(tx, &view.account)? {
                if rights.permits("is.image.image.read", &view.target(&o).attrs) {
                    out.push((o.created_at.millis(), Image::render(&o, tx, &view)?));
                }
            }
            Ok(out)
        })
        .await?;
    all.extend(Catalogue::builtin().images.iter().map(|i| (MADE, render_public(&call.view, i))));
    all.retain(|(_, v)| {
        let is = |v: &Value, name: &str, text: &str| v.get(name).and_then(Value::as_str) == Some(text);
        wanted.iter().all(|(name, text)| text.split(',').any(|t| is(v, name, t)))
            && group.as_ref().is_none_or(|g| v.get("resource_group").is_some_and(|r| is(r, "id", g)))
    });
    let key = |(time, v): &(i64, Value)| {
        (*time, v.get("id").and_then(Value::as_str).unwrap_or_default().to_owned())
    };
    all.sort_by_key(|item| std::cmp::Reverse(key(item)));
    let total = all.len();
    let (page, next) = paging::cut(all, &window, key);
    let items = page.into_iter().map(|(_, v)| v).collect();
    Response::json(200, &paging::page(&call, "images", (items, total), &window, next))
}

pub async fn get(call: Call) -> Result<Response> {
    if let Some(image) = Catalogue::builtin().image(call.param("id")?) {
        let shown = render_public(&call.view, image);
        call.ctx.note(&call.view.new_target(&IMAGE, "", &image.name));
        call.ctx.detail(|d| {
            d.request("image", image.id.as_str());
        });
        return Response::json(200, &shown);
    }
    common::get::<Image>(call, "is.image.image.read").await
}

/// Lists show the catalogue's images beside the account's, so names are not shared.
fn not_public(image: &Object<Image>) -> Result<()> {
    if Catalogue::builtin().images.iter().any(|i| i.name == image.name) {
        return Err(name_taken());
    }
    Ok(())
}

pub async fn create(call: Call) -> Result<Response> {
    let mut fields = Fields::of(&call.request)?;
    let name = call.name(&mut fields)?;
    let file = fields.object("file")?;
    let mut file = fields.must("file", file)?;
    let source = file.text("href")?;
    let source = file.must("href", source)?;
    file.done()?;
    let os = fields.named("operating_system")?;
    let os = fields.must("operating_system", os)?;
    let group = call.group(&mut fields).await?;
    fields.done()?;
    if source.len() > LONGEST_SOURCE || !SOURCES.iter().any(|s| source.starts_with(s)) {
        let text = format!("The property 'file.href' must begin with one of: {}.", SOURCES.join(", "));
        return Err(Error::invalid("file.href", text));
    }
    if Catalogue::builtin().operating_system(os.name()).is_none() {
        return Err(no_such(os.field, "operating system"));
    }
    let permit = call.may_create("is.image.image.create", &IMAGE, &group.id, &name).await?;
    let body = Image {
        operating_system: os.name().to_owned(),
        source,
        status: "available".into(),
        deprecation_at: None,
        obsolescence_at: None,
    };
    let object = objects::new(&call, (call.id(None), name), &group.id, body);
    common::create(&call, permit, object, |tx, view, o| {
        let have = sql::count(tx, &view.account, &IMAGE, None)?;
        within(view.app.config.limits.private_images, have, "private images")?;
        not_public(o)
    })
    .await
}

pub async fn update(call: Call) -> Result<Response> {
    let time = |fields: &mut Fields, name: &str| -> Result<Option<i64>> {
        let Some(text) = fields.text(name)? else { return Ok(None) };
        let wrong =
            || Error::invalid(name.to_owned(), format!("The property '{name}' must be a time (RFC 3339)."));
        Ok(Some(Timestamp::parse_rfc3339(&text).map_err(|_| wrong())?.millis()))
    };
    let mut fields = Fields::patch(&call.request)?;
    let name = names::read(&mut fields)?;
    let deprecation: Change<i64> = fields.change("deprecation_at", time)?;
    let obsolescence: Change<i64> = fields.change("obsolescence_at", time)?;
    fields.done()?;
    common::update::<Image, _>(call, "is.image.image.update", move |_, _, image| {
        names::set(&mut image.name, name.as_ref());
        deprecation.clone().apply_to(&mut image.body.deprecation_at);
        obsolescence.clone().apply_to(&mut image.body.obsolescence_at);
        not_public(image)?;
        if let (Some(first), Some(second)) = (image.body.deprecation_at, image.body.obsolescence_at)
            && second <= first
        {
            return Err(Error::invalid("obsolescence_at", "An image is deprecated before it is obsolete."));
        }
        Ok(())
    })
    .await
}

pub async fn delete(call: Call) -> Result<Response> {
    // Instances that were made of it run from copies.
    call.ctx.detail(|d| d.status = 202);
    let done = common::delete::<Image, _>(call, "is.image.image.delete", |_, _, _| Ok(())).await?;
    Ok(Response { status: 202, ..done })
}

async fn turn(
    call: Call,
    action: &'static str,
    status: &'static str,
    from: &'static [&'static str],
) -> Result<Response> {
    let (object, permit) = call.permitted::<Image>(action).await?;
    call.ctx.detail(|d| d.status = 204);
    common::written(&call, permit, object.id, move |_, _, image: &mut Object<Image>| {
        if !from.contains(&image.body.status.as_str()) {
            return Err(Error::conflict("The status of the image does not allow that."));
        }
        image.body.status = status.into();
        Ok(())
    })
    .await?;
    Ok(Response::empty(204))
}

pub async fn deprecate(call: Call) -> Result<Response> {
    turn(call, "is.image.image.deprecate", "deprecated", &["available"]).await
}

pub async fn obsolete(call: Call) -> Result<Response> {
    turn(call, "is.image.image.obsolete", "obsolete", &["available", "deprecated"]).await
}
