//! Floating addresses.

use avouch_testkit::TestApp;
use serde_json::{Value, json};

use crate::world::{Vpc, as_refused, column, one, refused, text};

#[tokio::test]
async fn an_address_is_drawn_bound_moved_and_given_back() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let vpc = admin.net("net").await;
    let subnet = admin.subnet(&vpc, "s", 256).await;
    let (a, b) = (admin.interface(&subnet, "a").await, admin.interface(&subnet, "b").await);
    let free = admin.made("/floating_ips", json!({"name": "free", "zone": {"name": "us-south-1"}})).await;
    assert!(
        text(&free, "address").starts_with("127.68.") && text(&free, "crn").contains(":us-south-1:"),
        "{free}"
    );
    assert_eq!((&free["status"], &free["target"]), (&json!("available"), &Value::Null));
    let bound = admin.made("/floating_ips", json!({"name": "bound", "target": {"id": a["id"]}})).await;
    assert_eq!((&bound["target"]["id"], &bound["zone"]["name"]), (&a["id"], &json!("us-south-1")));
    let again = admin.post("/floating_ips", json!({"target": {"id": a["id"]}})).await;
    assert_eq!(refused(&again), as_refused(409, "in_use", ""));
    let listed = async |query: String| {
        column(&admin.get(&format!("/floating_ips?{query}")).await, "floating_ips", "name")
    };
    assert_eq!(listed(format!("target.id={}", text(&a, "id"))).await, ["bound"]);
    assert_eq!(listed("target.name=a".into()).await, ["bound"]);
    assert_eq!(listed("target.resource_type=virtual_network_interface".into()).await, ["bound"]);

    let of = |o: &Value| format!("{}/floating_ips", one("virtual_network_interfaces", o));
    assert_eq!(column(&admin.get(&of(&a)).await, "floating_ips", "address"), [text(&bound, "address")]);
    let one_of_a = format!("{}/{}", of(&a), text(&bound, "id"));
    assert_eq!(admin.get(&one_of_a).await.body["name"], "bound");
    // Another one in its place.
    let put = admin.put(&format!("{}/{}", of(&a), text(&free, "id")), Value::Null).await;
    assert_eq!((put.status, &put.body["id"]), (201, &free["id"]), "{}", put.text);
    assert_eq!(column(&admin.get(&of(&a)).await, "floating_ips", "name"), ["free"]);
    assert_eq!(admin.get(&one("floating_ips", &bound)).await.body["target"], Value::Null);
    assert_eq!((admin.get(&one_of_a).await.status, admin.delete(&one_of_a).await.status), (404, 404));
    let moved = admin.patch(&one("floating_ips", &free), json!({"target": {"id": b["id"]}})).await;
    assert_eq!((moved.status, &moved.body["target"]["id"]), (200, &b["id"]), "{}", moved.text);
    assert_eq!(admin.get(&of(&a)).await.body["total_count"], 0);
    let loose = admin.patch(&one("floating_ips", &free), json!({"target": null, "name": "loose"})).await;
    assert_eq!((&loose.body["target"], &loose.body["name"]), (&Value::Null, &json!("loose")));
    let put = admin.put(&format!("{}/{}", of(&b), text(&free, "id")), Value::Null).await;
    assert_eq!(put.status, 201);
    assert_eq!(admin.delete(&format!("{}/{}", of(&b), text(&free, "id"))).await.status, 204);
    assert_eq!(admin.get(&of(&b)).await.body["total_count"], 0);

    // The address stays when its interface goes.
    admin.put(&format!("{}/{}", of(&b), text(&free, "id")), Value::Null).await;
    assert_eq!(admin.delete(&one("virtual_network_interfaces", &b)).await.status, 200);
    let kept = admin.get(&one("floating_ips", &free)).await;
    assert_eq!((kept.status, &kept.body["target"]), (200, &Value::Null));
    assert_eq!(admin.delete(&one("floating_ips", &free)).await.status, 204);
    assert_eq!(admin.get(&one("floating_ips", &free)).await.status, 404);
}

#[tokio::test]
async fn addresses_are_of_one_zone_and_one_account_and_there_are_so_many() {
    let t = TestApp::with(|c| {
        c.vpc.floating_addresses = "198.18.7.0/29".into();
        c.limits.floating_ips_per_zone = 4;
    })
    .await;
    let admin = Vpc::admin(&t).await;
    let vpc = admin.net("net").await;
    let subnet = admin.subnet(&vpc, "s", 256).await;
    let interface = admin.interface(&subnet, "a").await;
    let zone = |n: u8| json!({"zone": {"name": format!("us-south-{n}")}});
    for (body, code, field) in [
        (json!({}), "missing_field", "zone"),
        (json!({"zone": {"name": "us-south-1"}, "target": {"id": interface["id"]}}), "invalid_value", "zone"),
        (json!({"target": {"id": "x"}}), "not_found", "target.id"),
        (json!({"zone": {"name": "mars"}}), "not_found", "zone.name"),
    ] {
        assert_eq!(
            refused(&admin.post("/floating_ips", body.clone()).await),
            as_refused(400, code, field),
            "{body}"
        );
    }
    let second = admin.made("/floating_ips", zone(2)).await;
    let r = admin.patch(&one("floating_ips", &second), json!({"target": {"id": interface["id"]}})).await;
    assert_eq!(refused(&r), as_refused(400, "validation_failed", "target"));
    let mut seen = vec![text(&second, "address").to_owned()];
    for _ in 0..4 {
        seen.push(text(&admin.made("/floating_ips", zone(1)).await, "address").to_owned());
    }
    assert_eq!(refused(&admin.post("/floating_ips", zone(1)).await), as_refused(403, "over_quota", ""));
    let other = Vpc(t.outsider().await);
    seen.push(text(&other.made("/floating_ips", zone(1)).await, "address").to_owned());
    seen.sort();
    let all: Vec<String> = (1..7).map(|n| format!("198.18.7.{n}")).collect();
    assert_eq!(seen, all);
    assert_eq!(other.post("/floating_ips", zone(2)).await.status, 409);
    assert_eq!(admin.delete(&one("floating_ips", &second)).await.status, 204);
    let again = other.made("/floating_ips", zone(2)).await;
    assert_eq!(again["address"], second["address"]);
}
