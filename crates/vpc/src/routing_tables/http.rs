//! Requests on routing tables and routes.

use avouch_gate::{Error, Permit, Response, Result};

use super::routes::{self, Route};
use super::{INGRESS, ROUTING_TABLE, RoutingTable};
use crate::call::Call;
use crate::errors::{in_parameter, in_use, name_taken, not_found};
use crate::fields::Fields;
use crate::names;
use crate::objects::{self, Object, children, http as common, sql, within};
use crate::paging::{self, Wanted};
use crate::vpcs::Vpc;

const PARAMETER: &str = "routing_table";

pub async fn list(call: Call) -> Result<Response> {
    let (vpc, _) = call.permitted::<Vpc>("is.vpc.routing-table.read").await?;
    let default = call.request.query_bool("is_default").map_err(in_parameter)?;
    let keep: paging::Keep<RoutingTable> =
        Box::new(move |_, _, o| Ok(default.is_none_or(|d| d == o.body.default)));
    let wanted = Wanted { plural: "routing_tables", action: "", parent: Some(&vpc.id) };
    paging::list(&call, wanted, vec![keep]).await
}

pub async fn get(call: Call) -> Result<Response> {
    let (vpc, _) = call.permitted::<Vpc>("is.vpc.routing-table.read").await?;
    children::get::<RoutingTable>(&call, &vpc.id, PARAMETER).await
}

fn ingress(fields: &mut Fields) -> Result<[Option<bool>; 4]> {
    let mut out = [None; 4];
    for (name, at) in INGRESS.iter().zip(&mut out) {
        *at = fields.flag(name)?;
    }
    // Routes of other services are none here.
    for name in ["accept_routes_from", "advertise_routes_to"] {
        if fields.has(name) {
            let name = fields.name(name);
            let text = format!("The property '{name}' is not supported.");
            return Err(Error::invalid(name, text));
        }
    }
    Ok(out)
}

pub async fn create(call: Call) -> Result<Response> {
    let mut fields = Fields::of(&call.request)?;
    let name = call.name(&mut fields)?;
    let ingress = ingress(&mut fields)?.map(|on| on.unwrap_or(false));
    let mut all: Vec<Route> = Vec::new();
    for fields in fields.objects("routes")?.unwrap_or_default() {
        let route = Route::read(&call, fields)?;
        if all.iter().any(|r| r.name == route.name) {
            return Err(name_taken());
        }
        all.push(route);
    }
    fields.done()?;
    let (vpc, permit) = call.permitted::<Vpc>("is.vpc.routing-table.create").await?;
    let body = RoutingTable { default: false, ingress, routes: all };
    let object = objects::new(&call, (call.id(None), name), &vpc.group, body).below(&vpc.id);
    children::create(&call, permit, object, |tx, view, o| {
        let limits = &view.app.config.limits;
        let have = sql::count(tx, &view.account, &ROUTING_TABLE, Some(&o.parent))?;
        within(limits.routing_tables_per_vpc, have, "routing tables")?;
        within(limits.routes_per_routing_table, o.body.routes.len().saturating_sub(1), "routes")
    })
    .await
}

pub async fn update(call: Call) -> Result<Response> {
    let mut fields = Fields::patch(&call.request)?;
    let name = names::read(&mut fields)?;
    let ingress = ingress(&mut fields)?;
    fields.done()?;
    let (table, permit) = permitted(&call, "is.vpc.routing-table.update").await?;
    let changed = common::written(&call, permit, table.id, move |_, _, o: &mut Object<RoutingTable>| {
        names::set(&mut o.name, name.as_ref());
        for (on, new) in o.body.ingress.iter_mut().zip(ingress) {
            *on = new.unwrap_or(*on);
        }
        Ok(())
    })
    .await?;
    call.show(200, changed).await
}

pub async fn delete(call: Call) -> Result<Response> {
    let (table, permit) = permitted(&call, "is.vpc.routing-table.delete").await?;
    children::delete(&call, permit, table, |tx, view, o| {
        if o.body.default {
            return Err(in_use("The default routing table goes with its VPC only."));
        }
        if sql::users(tx, &view.account, (&ROUTING_TABLE, &o.id))?.is_empty() {
            return Ok(());
        }
        Err(in_use("The routing table is used by subnets."))
    })
    .await
}

/// The table that the path names, decided by its VPC.
async fn permitted(call: &Call, action: &str) -> Result<(Object<RoutingTable>, Permit)> {
    let (vpc, permit) = call.permitted::<Vpc>(action).await?;
    Ok((children::load(call, &vpc.id, PARAMETER).await?, permit))
}

fn no_route() -> Error {
    not_found("route")
}

fn route_of(call: &Call) -> Result<String> {
    let id = call.param("route")?.to_owned();
    children::tell(call, "route", &id);
    Ok(id)
}

pub async fn list_routes(call: Call) -> Result<Response> {
    let (table, _) = permitted(&call, "is.vpc.routing-table.read").await?;
    let window = paging::window(&call)?;
    let mut all = table.body.routes.clone();
    let key = |r: &Route| (r.created_at, r.id.clone());
    all.sort_by_key(|r| std::cmp::Reverse(key(r)));
    let total = all.len();
    let (page, next) = paging::cut(all, &window, key);
    let href = table.href(&call.view);
    let items = page.iter().map(|r| r.render(&call.view, &href)).collect();
    Response::json(200, &paging::page(&call, "routes", (items, total), &window, next))
}

pub async fn get_route(call: Call) -> Result<Response> {
    let (table, _) = permitted(&call, "is.vpc.routing-table.read").await?;
    let id = route_of(&call)?;
    let route = table.body.routes.iter().find(|r| r.id == id).ok_or_else(no_route)?;
    Response::json(200, &route.render(&call.view, &table.href(&call.view)))
}

pub async fn create_route(call: Call) -> Result<Response> {
    let route = Route::read(&call, Fields::of(&call.request)?)?;
    let (table, permit) = permitted(&call, "is.vpc.routing-table.update").await?;
    children::tell(&call, "route", &route.id);
    call.ctx.detail(|d| d.status = 201);
    let made = route.clone();
    let table = common::written(&call, permit, table.id, move |_, view, o: &mut Object<RoutingTable>| {
        let limit = view.app.config.limits.routes_per_routing_table;
        within(limit, o.body.routes.len(), "routes")?;
        if o.body.routes.iter().any(|r| r.name == made.name) {
            return Err(name_taken());
        }
        o.body.routes.push(made.clone());
        Ok(())
    })
    .await?;
    Response::json(201, &route.render(&call.view, &table.href(&call.view)))
}

pub async fn update_route(call: Call) -> Result<Response> {
    let mut fields = Fields::patch(&call.request)?;
    let name = names::read(&mut fields)?;
    let advertise = fields.flag("advertise")?;
    let priority = fields.number("priority", 0, 4)?;
    let hop = routes::hop(&mut fields)?;
    fields.done()?;
    let (table, permit) = permitted(&call, "is.vpc.routing-table.update").await?;
    let id = route_of(&call)?;
    let wanted = id.clone();
    let table = common::written(&call, permit, table.id, move |_, _, o: &mut Object<RoutingTable>| {
        if name.as_ref().is_some_and(|n| o.body.routes.iter().any(|r| r.id != wanted && r.name == *n)) {
            return Err(name_taken());
        }
        let route = o.body.routes.iter_mut().find(|r| r.id == wanted).ok_or_else(no_route)?;
        names::set(&mut route.name, name.as_ref());
        route.advertise = advertise.unwrap_or(route.advertise);
        route.priority = priority.unwrap_or(route.priority);
        if let Some(hop) = &hop {
            route.next_hop.clone_from(hop);
        }
        Ok(())
    })
    .await?;
    let route = table.body.routes.iter().find(|r| r.id == id).ok_or_else(no_route)?;
    Response::json(200, &route.render(&call.view, &table.href(&call.view)))
}

pub async fn delete_route(call: Call) -> Result<Response> {
    let (table, permit) = permitted(&call, "is.vpc.routing-table.update").await?;
    let id = route_of(&call)?;
    call.ctx.detail(|d| d.status = 204);
    common::written(&call, permit, table.id, move |_, _, o: &mut Object<RoutingTable>| {
        let before = o.body.routes.len();
        o.body.routes.retain(|r| r.id != id);
        if o.body.routes.len() == before { Err(no_route()) } else { Ok(()) }
    })
    .await?;
    Ok(Response::empty(204))
}
