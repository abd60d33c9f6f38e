//! The few published paths of the containers API that existing tools call: clusters are the registered ones.

use avouch_gate::{Ctx, Endpoint, Error, Request, Response, Result};
use avouch_wire::kubernetes::Registration as View;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::registrations::{Kind, Registration, Verb, http, sql};

/// Most clusters of one list; the published list has no pages.
const ALL: i64 = 10_000;

/// Endpoints of this service.
pub fn endpoints() -> Vec<Endpoint> {
    const TYPE: &str = "containers-kubernetes/cluster";
    const READ: &[&str] = &["containers-kubernetes.cluster.read"];
    const LIST_EVENT: &[&str] = &["containers-kubernetes.cluster.list"];
    vec![
        Endpoint::get("/v1/clusters", "list_clusters", list).actions(READ).events(TYPE, LIST_EVENT),
        Endpoint::get("/global/v1/clusters", "list_clusters_global", list)
            .actions(READ)
            .events(TYPE, LIST_EVENT),
        Endpoint::get("/v1/clusters/{id_or_name}", "get_cluster", get)
            .actions(READ)
            .events(TYPE, &["containers-kubernetes.cluster.get"]),
        Endpoint::put("/v1/clusters/{id_or_name}/masters", "update_cluster_master", masters)
            .actions(&["containers-kubernetes.cluster.operate"])
            .events(TYPE, &["containers-kubernetes.cluster-master.refresh"]),
    ]
}

fn render(v: &View) -> Value {
    let text = |name: &str| v.settings.get(name).and_then(Value::as_str).unwrap_or_default();
    let region = v.region.clone().unwrap_or_default();
    json!({
        "id": v.id,
        "name": v.name,
        "crn": v.crn,
        "state": if v.state == "active" { "normal" } else { "disabled" },
        "masterKubeVersion": "",
        "resourceGroup": v.resource_group.clone().unwrap_or_default(),
        "resourceGroupName": v.resource_group_name.clone().unwrap_or_default(),
        "region": region,
        "location": region,
        "serverURL": text("api_server_url"),
        "createdDate": v.created_at,
        "modifiedDate": v.modified_at,
        "type": if v.cr_type == "ROKS_SA" { "openshift" } else { "kubernetes" },
        "provider": "registered",
        "workerCount": 0,
    })
}

async fn list(ctx: Ctx, request: Request) -> Result<Response> {
    let group = request.header("x-auth-resource-group").map(str::to_owned);
    let region = request.header("x-region").map(str::to_owned);
    let (views, _) = http::readable(&ctx, Kind::Cluster, String::new(), ALL).await?;
    let shown: Vec<Value> = views
        .iter()
        .filter(|v| group.is_none() || v.resource_group == group)
        .filter(|v| region.is_none() || v.region == region)
        .map(render)
        .collect();
    Response::json(200, &shown)
}

/// By id, else by name; ids of clusters and their names cannot be told apart by form.
async fn find(ctx: &Ctx, request: &Request) -> Result<Registration> {
    let named = request.param("id_or_name")?.to_owned();
    let account = ctx.caller()?.account().clone();
    let wanted = named.clone();
    let found = ctx
        .read(move |tx| match sql::get(tx, &account, Kind::Cluster, &wanted)? {
            Some(r) => Ok(Some(r)),
            None => sql::by_name(tx, &account, Kind::Cluster, &wanted),
        })
        .await?;
    found.ok_or_else(|| Error::not_found("Cluster", &named))
}

async fn get(ctx: Ctx, request: Request) -> Result<Response> {
    let r = find(&ctx, &request).await?;
    ctx.authorize(Kind::Cluster.action(Verb::Read), &r.target(&ctx.app().config.cname)).await?;
    let view = http::view_of(&ctx, &r).await?;
    Response::json(200, &render(&view))
}

#[derive(Deserialize)]
struct Masters {
    action: String,
}

async fn masters(ctx: Ctx, request: Request) -> Result<Response> {
    let r = find(&ctx, &request).await?;
    let body: Masters = request.json()?;
    if body.action != "refresh" {
        return Err(Error::invalid("action", "The only action is 'refresh'."));
    }
    ctx.detail(|d| d.status = 204);
    http::refresh_now(&ctx, &r).await?;
    Ok(Response::empty(204))
}
