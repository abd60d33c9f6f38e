//! Requests on the catalogue. Whoever has a token may read it.

use avouch_gate::{Response, Result};
use serde_json::{Value, json};

use crate::call::{Call, View};
use crate::errors::not_found;

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
