//! Routing tables and routes.

use avouch_testkit::TestApp;
use serde_json::json;

use crate::world::{Vpc, as_refused, column, one, refused, text};

#[tokio::test]
async fn a_table_and_its_routes_are_made_changed_and_removed() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let vpc = admin.net("net").await;
    let tables = format!("{}/routing_tables", one("vpcs", &vpc));
    let zone = json!({"name": "us-south-1"});
    let hop = json!({"address": "10.240.0.9"});
    let table = admin
        .made(
            &tables,
            json!({"name": "table", "route_internet_ingress": true,
            "routes": [{"name": "first", "destination": "192.168.0.0/24", "zone": zone, "next_hop": hop}]}),
        )
        .await;
    let path = format!("{tables}/{}", text(&table, "id"));
    assert_eq!(
        (&table["is_default"], &table["route_internet_ingress"], &table["route_vpc_zone_ingress"]),
        (&json!(false), &json!(true), &json!(false))
    );
    assert!(text(&table, "crn").contains("::routing-table:"), "{table}");
    assert_eq!((&table["routes"][0]["name"], &table["lifecycle_state"]), (&json!("first"), &json!("stable")));
    let names = column(&admin.get(&tables).await, "routing_tables", "name");
    assert_eq!(names.len(), 2);
    assert_eq!(
        column(&admin.get(&format!("{tables}?is_default=false")).await, "routing_tables", "name"),
        ["table"]
    );
    let patched = admin.patch(&path, json!({"name": "other", "route_internet_ingress": false})).await;
    assert_eq!(
        (&patched.body["name"], &patched.body["route_internet_ingress"]),
        (&json!("other"), &json!(false))
    );
    assert_ne!(patched.etag(), admin.get(&tables).await.etag());
    let stale = Vpc(admin.0.with_header("if-match", "W/\"1\"")).patch(&path, json!({"name": "x"})).await;
    assert_eq!(stale.status, 412);

    let routes = format!("{path}/routes");
    let drop = json!({"name": "drop", "action": "drop", "destination": "192.168.1.0/24", "zone": zone, "priority": 0});
    let route = admin.made(&routes, drop).await;
    assert_eq!(
        (&route["next_hop"]["address"], &route["priority"], &route["origin"]),
        (&json!("0.0.0.0"), &json!(0), &json!("user"))
    );
    let one_route = format!("{routes}/{}", text(&route, "id"));
    assert!(text(&route, "href").ends_with(&one_route), "{route}");
    assert_eq!(admin.get(&one_route).await.body, route);
    for (body, code, field) in [
        (json!({"zone": zone, "next_hop": hop}), "missing_field", "destination"),
        (json!({"destination": "10.0.0.0/8", "next_hop": hop}), "missing_field", "zone"),
        (json!({"destination": "10.0.0.0/8", "zone": zone}), "missing_field", "next_hop"),
        (json!({"destination": "10.0.0.1/8", "zone": zone, "next_hop": hop}), "invalid_value", "destination"),
        (
            json!({"destination": "10.0.0.0/8", "zone": zone, "next_hop": {"address": "x"}}),
            "invalid_value",
            "next_hop.address",
        ),
        (
            json!({"destination": "10.0.0.0/8", "zone": zone, "next_hop": hop, "priority": 5}),
            "invalid_value",
            "priority",
        ),
        (
            json!({"destination": "10.0.0.0/8", "zone": zone, "next_hop": hop, "name": "drop"}),
            "validation_unique_failed",
            "name",
        ),
    ] {
        assert_eq!(refused(&admin.post(&routes, body.clone()).await), as_refused(400, code, field), "{body}");
    }
    let patched = admin
        .patch(&one_route, json!({"name": "gone", "priority": 4, "next_hop": {"address": "10.0.0.1"}}))
        .await;
    assert_eq!(
        (&patched.body["name"], &patched.body["priority"], &patched.body["next_hop"]["address"]),
        (&json!("gone"), &json!(4), &json!("10.0.0.1"))
    );
    assert_eq!(
        refused(&admin.patch(&one_route, json!({"name": "first"})).await),
        as_refused(400, "validation_unique_failed", "name")
    );
    let page = admin.get(&format!("{routes}?limit=1")).await;
    assert_eq!(
        (&page.body["total_count"], page.body["next"]["href"].is_string()),
        (&json!(2), true),
        "{}",
        page.text
    );
    assert_eq!((admin.delete(&one_route).await.status, admin.get(&one_route).await.status), (204, 404));
    assert_eq!(admin.delete(&one_route).await.status, 404);
    assert_eq!((admin.delete(&path).await.status, admin.get(&path).await.status), (204, 404));
    // A table is found below its own VPC only.
    let other = admin.net("other").await;
    let wrong =
        format!("{}/routing_tables/{}", one("vpcs", &other), text(&vpc["default_routing_table"], "id"));
    assert_eq!((admin.get(&wrong).await.status, admin.delete(&wrong).await.status), (404, 404));
}
