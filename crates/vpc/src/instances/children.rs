//! Requests on what belongs to an instance. It is decided by the instance.

use avouch_gate::{Response, Result};
use avouch_store::Tx;
use serde_json::{Value, json};

use super::{Instance, render};
use crate::call::{Call, View};
use crate::errors::not_found;
use crate::objects::{Object, children};

const READ: &str = "is.instance.instance.read";

type Parts = fn(&Object<Instance>, &mut Tx<'_>, &View) -> Result<Vec<Value>>;

pub fn interfaces_of(o: &Object<Instance>, tx: &mut Tx<'_>, view: &View) -> Result<Vec<Value>> {
    o.body.nics.iter().map(|nic| render::interface(o, nic, tx, view)).collect()
}

/// Its attachments; made with interfaces, it has none.
pub fn attachments_of(o: &Object<Instance>, tx: &mut Tx<'_>, view: &View) -> Result<Vec<Value>> {
    let all = o.body.nics.iter().filter(|_| o.body.by_attachments);
    all.map(|nic| render::attachment(o, nic, tx, view)).collect()
}

pub fn volumes_of(o: &Object<Instance>, tx: &mut Tx<'_>, view: &View) -> Result<Vec<Value>> {
    o.body.volumes.iter().map(|a| render::volume(o, a, tx, view)).collect()
}

async fn parts(call: &Call, parts: Parts) -> Result<Vec<Value>> {
    let (instance, _) = call.permitted::<Instance>(READ).await?;
    let view = call.view.clone();
    call.ctx.read(move |tx| parts(&instance, tx, &view)).await
}

async fn list(call: Call, plural: &str, of: Parts) -> Result<Response> {
    let all = parts(&call, of).await?;
    Response::json(200, &json!({ plural: all }))
}

async fn one(call: Call, parameter: &str, of: Parts) -> Result<Response> {
    let id = call.param(parameter)?.to_owned();
    children::tell(&call, parameter, &id);
    let found = parts(&call, of).await?.into_iter().find(|part| part["id"] == id.as_str());
    Response::json(200, &found.ok_or_else(|| not_found("attachment"))?)
}

pub async fn interfaces(call: Call) -> Result<Response> {
    list(call, "network_interfaces", interfaces_of).await
}

pub async fn interface(call: Call) -> Result<Response> {
    one(call, "nic", interfaces_of).await
}

pub async fn attachments(call: Call) -> Result<Response> {
    list(call, "network_attachments", attachments_of).await
}

pub async fn attachment(call: Call) -> Result<Response> {
    one(call, "nic", attachments_of).await
}

pub async fn volumes(call: Call) -> Result<Response> {
    list(call, "volume_attachments", volumes_of).await
}

pub async fn volume(call: Call) -> Result<Response> {
    one(call, "volume", volumes_of).await
}

pub async fn disks(call: Call) -> Result<Response> {
    list(call, "disks", |_, _, _| Ok(Vec::new())).await
}
