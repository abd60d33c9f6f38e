//! What an instance may read of itself.

use std::sync::Arc;

use avouch_gate::{Error, Kind, Response, Result};
use avouch_store::Tx;
use avouch_wire::time::Timestamp;
use serde_json::{Map, Value, json};

use super::admission::{Admission, Told};
use super::identity::bearer;
use crate::call::View;
use crate::errors::in_parameter;
use crate::instances::{self, Instance, children, render};
use crate::interfaces::Interface;
use crate::objects::{Body, Object, sql};
use crate::placement_groups::PlacementGroup;

/// Items of a page: most, and when nobody says.
const PAGE: (i64, i64) = (100, 50);

type Parts = fn(&Object<Instance>, &mut Tx<'_>, &View) -> Result<Vec<Value>>;

async fn parts(a: &Admission, parts: Parts) -> Result<Vec<Value>> {
    let (view, instance) = (a.view.clone(), a.instance.clone());
    a.ctx.read(move |tx| parts(&instance, tx, &view)).await
}

async fn list(a: &Admission, name: &str, of: Parts) -> Result<Told> {
    a.only(&[])?;
    bearer(a).await?;
    let all = parts(a, of).await?;
    Ok(Told::read(Response::json(200, &json!({ name: all }))?))
}

async fn one(a: &Admission, of: Parts) -> Result<Told> {
    a.only(&[])?;
    bearer(a).await?;
    let id = a.request.param("id")?.to_owned();
    let found = parts(a, of).await?.into_iter().find(|part| part["id"] == id.as_str());
    let unknown =
        || in_parameter(Error::new(Kind::NotFound, "The instance has nothing with this id.").field("id"));
    Ok(Told::read(Response::json(200, &found.ok_or_else(unknown)?)?))
}

/// A page of a list whose order is its own.
async fn page(a: &Admission, name: &str, of: Parts) -> Result<Told> {
    a.only(&["limit", "start"])?;
    bearer(a).await?;
    let limit = a.request.query_int("limit", 1, PAGE.0).map_err(in_parameter)?.unwrap_or(PAGE.1);
    let limit = usize::try_from(limit).unwrap_or(1);
    let start = a.request.query_int("start", 0, i64::from(u32::MAX)).map_err(in_parameter)?.unwrap_or(0);
    let start = usize::try_from(start).unwrap_or(0);
    let all = parts(a, of).await?;
    let total = all.len();
    let items: Vec<Value> = all.into_iter().skip(start).take(limit).collect();
    let scheme = &a.instance.body.metadata_service.protocol;
    let version = a.request.query("version")?.unwrap_or_default();
    let href = |start: Option<usize>| {
        let more = start.map(|s| format!("&start={s}")).unwrap_or_default();
        json!({"href": format!("{scheme}://{}{}?version={version}&limit={limit}{more}", super::HOSTS[0], a.request.path)})
    };
    let next = start + items.len();
    let mut body = Map::new();
    body.insert("first".into(), href(None));
    if next < total {
        body.insert("next".into(), href(Some(next)));
    }
    body.insert("limit".into(), json!(limit));
    body.insert("total_count".into(), json!(total));
    body.insert(name.into(), items.into());
    Ok(Told::read(Response::json(200, &Value::Object(body))?))
}

pub async fn instance(a: Arc<Admission>) -> Result<Told> {
    a.only(&[])?;
    bearer(&a).await?;
    let (view, instance) = (a.view.clone(), a.instance.clone());
    let shown = a.ctx.read(move |tx| render::instance(&instance, tx, &view)).await?;
    Ok(Told::read(Response::json(200, &shown)?))
}

pub async fn initialization(a: Arc<Admission>) -> Result<Told> {
    a.only(&[])?;
    bearer(&a).await?;
    let mut shown = render::initialization(&a.instance, &a.view);
    let text = instances::user_data(a.ctx.app(), &a.view.account, &a.instance)?;
    if let (Some(text), Some(shown)) = (text, shown.as_object_mut()) {
        shown.insert("user_data".into(), json!(text));
    }
    // What it carries may be secret.
    Ok(Told { durable: true, ..Told::read(Response::json(200, &shown)?) })
}

pub async fn interfaces(a: Arc<Admission>) -> Result<Told> {
    list(&a, "network_interfaces", children::interfaces_of).await
}

pub async fn interface(a: Arc<Admission>) -> Result<Told> {
    one(&a, children::interfaces_of).await
}

pub async fn attachments(a: Arc<Admission>) -> Result<Told> {
    list(&a, "network_attachments", children::attachments_of).await
}

pub async fn attachment(a: Arc<Admission>) -> Result<Told> {
    one(&a, children::attachments_of).await
}

pub async fn volumes(a: Arc<Admission>) -> Result<Told> {
    list(&a, "volume_attachments", children::volumes_of).await
}

pub async fn volume(a: Arc<Admission>) -> Result<Told> {
    one(&a, children::volumes_of).await
}

fn none(_: &Object<Instance>, _: &mut Tx<'_>, _: &View) -> Result<Vec<Value>> {
    Ok(Vec::new())
}

pub async fn cluster_attachments(a: Arc<Admission>) -> Result<Told> {
    list(&a, "cluster_network_attachments", none).await
}

pub async fn software_attachments(a: Arc<Admission>) -> Result<Told> {
    list(&a, "software_attachments", none).await
}

fn virtual_interfaces_of(o: &Object<Instance>, tx: &mut Tx<'_>, view: &View) -> Result<Vec<Value>> {
    let mut out = Vec::new();
    for nic in o.body.nics.iter().filter(|_| o.body.by_attachments) {
        let interface: Object<Interface> = sql::need(tx, &view.account, &nic.interface)?;
        out.push(Interface::render(&interface, tx, view)?);
    }
    Ok(out)
}

pub async fn virtual_interfaces(a: Arc<Admission>) -> Result<Told> {
    page(&a, "virtual_network_interfaces", virtual_interfaces_of).await
}

pub async fn virtual_interface(a: Arc<Admission>) -> Result<Told> {
    one(&a, virtual_interfaces_of).await
}

fn keys_of(o: &Object<Instance>, _: &mut Tx<'_>, view: &View) -> Result<Vec<Value>> {
    let shown = o.body.keys.iter().map(|k| {
        json!({
            "created_at": Timestamp::from_millis(k.created_at).rfc3339_millis(),
            "crn": k.crn,
            "fingerprint": k.fingerprint,
            "href": format!("{}/keys/{}", view.base, k.id),
            "id": k.id,
            "length": k.length,
            "name": k.name,
            "public_key": k.public_key,
            "resource_type": "key",
            "type": k.kind,
        })
    });
    Ok(shown.collect())
}

pub async fn keys(a: Arc<Admission>) -> Result<Told> {
    page(&a, "keys", keys_of).await
}

pub async fn key(a: Arc<Admission>) -> Result<Told> {
    one(&a, keys_of).await
}

fn groups_of(o: &Object<Instance>, tx: &mut Tx<'_>, view: &View) -> Result<Vec<Value>> {
    let Some(id) = &o.body.placement_group else { return Ok(Vec::new()) };
    let group: Object<PlacementGroup> = sql::need(tx, &view.account, id)?;
    Ok(vec![PlacementGroup::render(&group, tx, view)?])
}

pub async fn placement_groups(a: Arc<Admission>) -> Result<Told> {
    page(&a, "placement_groups", groups_of).await
}

pub async fn placement_group(a: Arc<Admission>) -> Result<Told> {
    one(&a, groups_of).await
}
