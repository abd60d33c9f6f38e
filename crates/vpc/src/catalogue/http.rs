//! Requests on the catalogue. Whoever has a token may read it.

use avouch_gate::{Response, Result};
use serde_json::{Value, json};

use super::data::Catalogue;
use super::render;
use crate::call::{Call, View};
use crate::errors::not_found;
use crate::paging;

fn region_shown(view: &View) -> Value {
    let name = &view.region.name;
    json!({
        "endpoint": view.origin,
        "href": format!("{}/regions/{name}", view.base),
        "name": name,
        "status": "available",
    })
}

fn zone_shown(view: &View, name: &str) -> Value {
    let mut out = view.zone(name);
    if let Some(out) = out.as_object_mut() {
        out.insert("region".into(), view.region_reference());
        out.insert("status".into(), json!("available"));
        out.insert("universal_name".into(), json!(name));
    }
    out
}

fn region_of(call: &Call) -> Result<()> {
    if call.param("name")? == call.view.region.name { Ok(()) } else { Err(not_found("region")) }
}

pub async fn regions(call: Call) -> Result<Response> {
    Response::json(200, &json!({"regions": [region_shown(&call.view)]}))
}

pub async fn region(call: Call) -> Result<Response> {
    region_of(&call)?;
    Response::json(200, &region_shown(&call.view))
}

pub async fn zones(call: Call) -> Result<Response> {
    region_of(&call)?;
    let zones: Vec<Value> = call.view.region.zones.iter().map(|z| zone_shown(&call.view, &z.name)).collect();
    Response::json(200, &json!({"zones": zones}))
}

pub async fn zone(call: Call) -> Result<Response> {
    region_of(&call)?;
    let zone = call.view.region.zone(call.param("zone")?).ok_or_else(|| not_found("zone"))?;
    Response::json(200, &zone_shown(&call.view, &zone.name))
}

pub async fn operating_systems(call: Call) -> Result<Response> {
    let all = &Catalogue::builtin().operating_systems;
    paging::in_order(
        &call,
        "operating_systems",
        all.iter().map(|o| render::operating_system(&call.view, o)).collect(),
    )
}

pub async fn operating_system(call: Call) -> Result<Response> {
    let found = Catalogue::builtin().operating_system(call.param("name")?);
    let found = found.ok_or_else(|| not_found("operating system"))?;
    Response::json(200, &render::operating_system(&call.view, found))
}

pub async fn instance_profiles(call: Call) -> Result<Response> {
    let all = &Catalogue::builtin().instance_profiles;
    let shown: Vec<Value> = all.iter().map(|p| render::instance_profile(&call.view, p)).collect();
    Response::json(200, &json!({"profiles": shown}))
}

pub async fn instance_profile(call: Call) -> Result<Response> {
    let found = Catalogue::builtin().instance_profile(call.param("name")?);
    let found = found.ok_or_else(|| not_found("instance profile"))?;
    Response::json(200, &render::instance_profile(&call.view, found))
}

pub async fn volume_profiles(call: Call) -> Result<Response> {
    let all = &Catalogue::builtin().volume_profiles;
    paging::in_order(&call, "profiles", all.iter().map(|p| render::volume_profile(&call.view, p)).collect())
}

pub async fn volume_profile(call: Call) -> Result<Response> {
    let found = Catalogue::builtin().volume_profile(call.param("name")?);
    let found = found.ok_or_else(|| not_found("volume profile"))?;
    Response::json(200, &render::volume_profile(&call.view, found))
}
