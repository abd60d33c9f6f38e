//! Routing tables of a VPC and their routes. Both are decided by the VPC.

pub mod http;
pub mod routes;

use avouch_gate::{Endpoint, Result};
use avouch_store::Tx;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::call::{self, View};
use crate::objects::{Body, Kind, Object, sql};
use crate::subnets::{SUBNET, Subnet};
use routes::Route;

/// The kind.
pub const ROUTING_TABLE: Kind = Kind {
    word: "routing-table",
    path: "routing_tables",
    below: "vpcs",
    attribute: "",
    display: "routing table",
    resource_type: "routing_table",
    crn: true,
};

/// Where traffic may come in that follows the table, as published.
pub const INGRESS: [&str; 4] = [
    "route_direct_link_ingress",
    "route_internet_ingress",
    "route_transit_gateway_ingress",
    "route_vpc_zone_ingress",
];

/// What a routing table knows of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutingTable {
    /// Whether the VPC came with it.
    pub default: bool,
    /// In the order of [`INGRESS`].
    pub ingress: [bool; 4],
    /// Its routes, oldest first.
    pub routes: Vec<Route>,
}

impl RoutingTable {
    /// A table without routes.
    pub fn empty(default: bool) -> Self {
        Self { default, ingress: [false; 4], routes: Vec::new() }
    }
}

impl Body for RoutingTable {
    const KIND: &'static Kind = &ROUTING_TABLE;

    fn render(o: &Object<Self>, tx: &mut Tx<'_>, view: &View) -> Result<Value> {
        let mut subnets = Vec::new();
        for (kind, id) in sql::users(tx, &view.account, (&ROUTING_TABLE, &o.id))? {
            if kind == SUBNET.word {
                subnets.push(sql::need::<Subnet>(tx, &view.account, &id)?.reference(view));
            }
        }
        let routes: Vec<Value> = o.body.routes.iter().map(|r| r.reference(&o.href(view))).collect();
        let mut out = json!({
            "accept_routes_from": [],
            "advertise_routes_to": [],
            "created_at": o.created_at.rfc3339_millis(),
            "crn": o.crn(view),
            "href": o.href(view),
            "id": o.id,
            "is_default": o.body.default,
            "lifecycle_state": "stable",
            "name": o.name,
            "resource_group": view.group(tx, &o.group)?,
            "resource_type": "routing_table",
            "routes": routes,
            "subnets": subnets,
        });
        if let Some(out) = out.as_object_mut() {
            for (name, on) in INGRESS.iter().zip(o.body.ingress) {
                out.insert((*name).into(), json!(on));
            }
        }
        Ok(out)
    }
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const TABLE: &str = "is.vpc/routing-table";
    const ROUTE: &str = "is.vpc/route";
    const TABLES: &str = "/v1/vpcs/{id}/routing_tables";
    const ONE: &str = "/v1/vpcs/{id}/routing_tables/{routing_table}";
    const ROUTES: &str = "/v1/vpcs/{id}/routing_tables/{routing_table}/routes";
    const ONE_ROUTE: &str = "/v1/vpcs/{id}/routing_tables/{routing_table}/routes/{route}";
    vec![
        call::get(TABLES, "list_vpc_routing_tables", http::list)
            .actions(&["is.vpc.routing-table.read"])
            .events(TABLE, &["is.vpc.routing-table.read"]),
        call::post(TABLES, "create_vpc_routing_table", http::create)
            .actions(&["is.vpc.routing-table.create"])
            .events(TABLE, &["is.vpc.routing-table.create"]),
        call::get(ONE, "get_vpc_routing_table", http::get)
            .actions(&["is.vpc.routing-table.read"])
            .events(TABLE, &["is.vpc.routing-table.read"]),
        call::patch(ONE, "update_vpc_routing_table", http::update)
            .actions(&["is.vpc.routing-table.update"])
            .events(TABLE, &["is.vpc.routing-table.update"]),
        call::delete(ONE, "delete_vpc_routing_table", http::delete)
            .actions(&["is.vpc.routing-table.delete"])
            .events(TABLE, &["is.vpc.routing-table.delete"]),
        call::get(ROUTES, "list_vpc_routing_table_routes", http::list_routes)
            .actions(&["is.vpc.routing-table.read"])
            .events(ROUTE, &["is.vpc.route.read"]),
        call::post(ROUTES, "create_vpc_routing_table_route", http::create_route)
            .actions(&["is.vpc.routing-table.update"])
            .events(ROUTE, &["is.vpc.route.create"]),
        call::get(ONE_ROUTE, "get_vpc_routing_table_route", http::get_route)
            .actions(&["is.vpc.routing-table.read"])
            .events(ROUTE, &["is.vpc.route.read"]),
        call::patch(ONE_ROUTE, "update_vpc_routing_table_route", http::update_route)
            .actions(&["is.vpc.routing-table.update"])
            .events(ROUTE, &["is.vpc.route.update"]),
        call::delete(ONE_ROUTE, "delete_vpc_routing_table_route", http::delete_route)
            .actions(&["is.vpc.routing-table.update"])
            .events(ROUTE, &["is.vpc.route.delete"]),
    ]
}
