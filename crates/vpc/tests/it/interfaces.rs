//! Virtual network interfaces.

use avouch_testkit::TestApp;
use serde_json::{Value, json};

use crate::world::{Vpc, as_refused, column, one, refused, text};

const ALL: &str = "/virtual_network_interfaces";

#[tokio::test]
async fn an_interface_takes_an_address_and_a_group_and_gives_them_back() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let vpc = admin.net("net").await;
    let subnet = admin.subnet(&vpc, "s", 16).await;
    let interface = admin.interface(&subnet, "eth0").await;
    let path = one("virtual_network_interfaces", &interface);
    assert!(text(&interface, "id").starts_with("0717-"), "{interface}");
    assert!(text(&interface, "crn").contains(":is:us-south-1:a/"), "{interface}");
    assert_eq!(
        (&interface["primary_ip"]["address"], &interface["ips"][0]["id"]),
        (&json!("10.240.0.4"), &interface["primary_ip"]["id"])
    );
    assert_eq!(interface["security_groups"][0]["id"], vpc["default_security_group"]["id"]);
    for (member, value) in [
        ("allow_ip_spoofing", json!(false)),
        ("auto_delete", json!(false)),
        ("enable_infrastructure_nat", json!(true)),
        ("protocol_state_filtering_mode", json!("auto")),
        ("lifecycle_state", json!("stable")),
        ("resource_type", json!("virtual_network_interface")),
        ("target", Value::Null),
    ] {
        assert_eq!(interface[member], value, "{member}");
    }
    assert_eq!((&interface["subnet"]["id"], &interface["vpc"]["id"]), (&subnet["id"], &vpc["id"]));
    assert!(
        text(&interface, "mac_address").starts_with("02:") && text(&interface, "mac_address").len() == 17
    );
    assert_eq!(admin.get(&path).await.body, interface);
    let reserved = format!("{}/reserved_ips", one("subnets", &subnet));
    let bound = admin.get(&format!("{reserved}?target.id={}", text(&interface, "id"))).await;
    assert_eq!(column(&bound, "reserved_ips", "address"), ["10.240.0.4"]);
    assert_eq!(bound.body["reserved_ips"][0]["target"]["id"], interface["id"]);
    let ip = format!("{reserved}/{}", text(&interface["primary_ip"], "id"));
    assert_eq!(refused(&admin.delete(&ip).await), as_refused(409, "in_use", ""));
    assert_eq!(refused(&admin.delete(&one("subnets", &subnet)).await), as_refused(409, "in_use", ""));
    assert_eq!(admin.patch(&path, json!({"name": "eth1", "auto_delete": true})).await.body["name"], "eth1");
    let gone = admin.delete(&path).await;
    assert_eq!(
        (gone.status, &gone.body["id"], &gone.body["lifecycle_state"]),
        (200, &interface["id"], &json!("deleting"))
    );
    assert_eq!((admin.get(&path).await.status, admin.get(&ip).await.status), (404, 404));
    assert_eq!(admin.delete(&one("subnets", &subnet)).await.status, 204);
}

#[tokio::test]
async fn a_reserved_address_outlives_its_interface_unless_it_goes_with_it() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let vpc = admin.net("net").await;
    let subnet = admin.subnet(&vpc, "s", 16).await;
    let reserved = format!("{}/reserved_ips", one("subnets", &subnet));
    let kept = admin.made(&reserved, json!({"name": "kept", "address": "10.240.0.10"})).await;
    let body = json!({"subnet": {"id": subnet["id"]}, "primary_ip": {"id": kept["id"]},
        "ips": [{"address": "10.240.0.11"}, {"address": "10.240.0.12", "auto_delete": false, "name": "stays"}]});
    let interface = admin.made(ALL, body).await;
    let addresses: Vec<&str> =
        interface["ips"].as_array().unwrap().iter().map(|i| text(i, "address")).collect();
    assert_eq!(addresses.len(), 3);
    assert_eq!(interface["primary_ip"]["address"], "10.240.0.10");
    let again =
        admin.post(ALL, json!({"subnet": {"id": subnet["id"]}, "primary_ip": {"id": kept["id"]}})).await;
    assert_eq!(refused(&again), as_refused(409, "in_use", ""));
    assert_eq!(admin.get(ALL).await.body["total_count"], 1, "a refused interface left something");
    let path = one("virtual_network_interfaces", &interface);
    let more = admin.made(&reserved, json!({"name": "more", "target": {"id": interface["id"]}})).await;
    assert_eq!(more["target"]["id"], interface["id"]);
    assert_eq!(admin.get(&format!("{path}/ips")).await.body["total_count"], 4);
    let one_ip = format!("{path}/ips/{}", text(&more, "id"));
    assert_eq!(admin.get(&one_ip).await.body["address"], more["address"]);
    assert_eq!(admin.delete(&one_ip).await.status, 204);
    assert_eq!(admin.get(&one_ip).await.status, 404);
    let put = admin.put(&one_ip, Value::Null).await;
    assert_eq!((put.status, &put.body["id"]), (201, &more["id"]));
    let primary = format!("{path}/ips/{}", text(&kept, "id"));
    assert_eq!(refused(&admin.delete(&primary).await), as_refused(409, "in_use", ""));
    assert_eq!(admin.delete(&path).await.status, 200);
    let mut left: Vec<String> = admin.get(&reserved).await.body["reserved_ips"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|i| i["owner"] == "user")
        .map(|i| text(i, "name").to_owned())
        .collect();
    left.sort();
    assert_eq!(left, ["kept", "more", "stays"]);
}

#[tokio::test]
async fn interfaces_that_cannot_be_are_refused() {
    let t = TestApp::with(|c| c.limits.network_interfaces = 1).await;
    let admin = Vpc::admin(&t).await;
    let vpc = admin.net("net").await;
    let other = admin.net("other").await;
    let subnet = admin.subnet(&vpc, "s", 16).await;
    let elsewhere = admin.subnet(&vpc, "t", 16).await;
    let foreign = admin.made(&format!("{}/reserved_ips", one("subnets", &elsewhere)), json!({})).await;
    let of = json!({"id": subnet["id"]});
    for (body, code, field) in [
        (json!({}), "missing_field", "subnet"),
        (json!({"subnet": {"id": "x"}}), "not_found", "subnet.id"),
        (
            json!({"subnet": of, "primary_ip": {"address": "10.240.0.0"}}),
            "validation_failed",
            "primary_ip.address",
        ),
        (json!({"subnet": of, "primary_ip": {"address": "10.9.0.9"}}), "invalid_value", "primary_ip.address"),
        (json!({"subnet": of, "primary_ip": {"id": foreign["id"]}}), "not_found", "primary_ip.id"),
        (
            json!({"subnet": of, "security_groups": [{"id": other["default_security_group"]["id"]}]}),
            "not_found",
            "security_groups[0].id",
        ),
        (json!({"subnet": of, "security_groups": ["x"]}), "invalid_value", "security_groups"),
        (
            json!({"subnet": of, "protocol_state_filtering_mode": "off"}),
            "invalid_value",
            "protocol_state_filtering_mode",
        ),
        (json!({"subnet": of, "target": {}}), "unknown_field", "target"),
    ] {
        assert_eq!(refused(&admin.post(ALL, body.clone()).await), as_refused(400, code, field), "{body}");
    }
    admin.interface(&subnet, "eth0").await;
    assert_eq!(refused(&admin.post(ALL, json!({"subnet": of})).await), as_refused(403, "over_quota", ""));
    let taken = admin.get(&one("subnets", &subnet)).await.body["available_ipv4_address_count"].clone();
    assert_eq!(taken, 10, "a refused interface kept an address");
}

#[tokio::test]
async fn what_may_harm_others_takes_a_right_of_its_own() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let vpc = admin.net("net").await;
    let subnet = admin.subnet(&vpc, "s", 16).await;
    let editor = Vpc(t.editor().await);
    for (member, value, editors) in [
        ("allow_ip_spoofing", json!(true), 403),
        ("enable_infrastructure_nat", json!(false), 403),
        ("protocol_state_filtering_mode", json!("disabled"), 201),
    ] {
        let body = json!({"subnet": {"id": subnet["id"]}, member: value});
        let r = editor.post(ALL, body.clone()).await;
        assert_eq!(r.status, editors, "{member}: {}", r.text);
        let made = admin.made(ALL, body).await;
        assert_eq!(made[member], value);
        let r = editor.patch(&one("virtual_network_interfaces", &made), json!({member: value})).await;
        assert_eq!(r.status, if editors == 403 { 403 } else { 200 }, "{member}: {}", r.text);
    }
}
