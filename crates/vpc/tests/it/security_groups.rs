//! Security groups, their rules and targets.

use avouch_testkit::TestApp;
use serde_json::{Value, json};

use crate::world::{Vpc, as_refused, column, one, refused, text};

#[tokio::test]
async fn a_group_with_rules_is_made_listed_and_removed() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let vpc = admin.net("net").await;
    let body = json!({"name": "web", "vpc": {"id": vpc["id"]}, "rules": [
        {"direction": "inbound", "protocol": "tcp", "port_min": 80, "port_max": 443, "remote": {"cidr_block": "10.0.0.0/8"}},
        {"direction": "inbound", "protocol": "icmp", "type": 8, "code": 0, "remote": {"address": "10.1.2.3"}},
        {"direction": "outbound", "protocol": "all", "name": "out"},
        {"direction": "inbound", "protocol": "any", "remote": {"id": vpc["default_security_group"]["id"]}},
    ]});
    let group = admin.made("/security_groups", body).await;
    let path = one("security_groups", &group);
    assert_eq!((&group["targets"], &group["vpc"]["id"]), (&json!([]), &vpc["id"]));
    let rule = |n: usize| group["rules"][n].clone();
    assert_eq!(
        (&rule(0)["port_min"], &rule(0)["port_max"], &rule(0)["remote"]),
        (&json!(80), &json!(443), &json!({"cidr_block": "10.0.0.0/8"}))
    );
    assert_eq!(
        (&rule(1)["type"], &rule(1)["code"], &rule(1)["remote"]),
        (&json!(8), &json!(0), &json!({"address": "10.1.2.3"}))
    );
    assert_eq!(
        (&rule(2)["protocol"], &rule(2)["name"], &rule(2)["local"]),
        (&json!("icmp_tcp_udp"), &json!("out"), &json!({"cidr_block": "0.0.0.0/0"}))
    );
    assert_eq!(rule(3)["remote"]["crn"], vpc["default_security_group"]["crn"]);
    assert!(rule(0)["resource_type"] == "security_group_rule" && rule(0)["ip_version"] == "ipv4", "{group}");
    assert_eq!(admin.get(&path).await.body, group);
    assert_eq!(admin.get(&format!("{path}/rules")).await.body, json!({"rules": group["rules"]}));
    let mine = |query: &str| {
        let (admin, query) = (admin.clone(), query.to_owned());
        async move { admin.get(&format!("/security_groups?{query}")).await.body["total_count"].clone() }
    };
    assert_eq!((mine("vpc.name=net").await, mine("vpc.id=x").await), (json!(2), json!(0)));
    assert_eq!(admin.patch(&path, json!({"name": "www"})).await.body["name"], "www");
    assert_eq!((admin.delete(&path).await.status, admin.get(&path).await.status), (204, 404));
}

#[tokio::test]
async fn rules_that_say_nothing_or_too_much_are_refused() {
    let t = TestApp::with(|c| {
        c.limits.rules_per_security_group = 3;
        c.limits.security_groups_per_vpc = 2;
    })
    .await;
    let admin = Vpc::admin(&t).await;
    let vpc = admin.net("net").await;
    let other = admin.net("other").await;
    let group = admin.made("/security_groups", json!({"name": "g", "vpc": {"id": vpc["id"]}})).await;
    let rules = format!("{}/rules", one("security_groups", &group));
    let with = |more: Value| {
        let mut body = json!({"direction": "inbound"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (body, code, field) in [
        (json!({"protocol": "any"}), "missing_field", "direction"),
        (json!({"direction": "up"}), "invalid_value", "direction"),
        (with(json!({"protocol": "number_6"})), "invalid_value", "protocol"),
        (with(json!({"protocol": "tcp", "port_min": 22})), "missing_field", "port_max"),
        (with(json!({"protocol": "tcp", "port_max": 22})), "missing_field", "port_min"),
        (with(json!({"protocol": "tcp", "port_min": 23, "port_max": 22})), "invalid_value", "port_max"),
        (with(json!({"protocol": "tcp", "port_min": 0, "port_max": 22})), "invalid_value", "port_min"),
        (with(json!({"protocol": "any", "port_min": 1, "port_max": 2})), "unknown_field", "port_min"),
        (with(json!({"protocol": "icmp", "code": 1})), "missing_field", "type"),
        (with(json!({"protocol": "icmp", "type": 255})), "invalid_value", "type"),
        (with(json!({"ip_version": "ipv6"})), "invalid_value", "ip_version"),
        (with(json!({"remote": {"address": "x"}})), "invalid_value", "remote.address"),
        (
            with(json!({"remote": {"address": "10.0.0.1", "cidr_block": "10.0.0.0/8"}})),
            "invalid_value",
            "remote.address",
        ),
        (with(json!({"remote": {}})), "missing_field", "remote.id"),
        (with(json!({"remote": {"id": other["default_security_group"]["id"]}})), "not_found", "remote.id"),
        (with(json!({"local": {"id": group["id"]}})), "missing_field", "local.cidr_block"),
    ] {
        assert_eq!(refused(&admin.post(&rules, body.clone()).await), as_refused(400, code, field), "{body}");
    }
    let made = admin
        .made(&rules, with(json!({"name": "ssh", "protocol": "tcp", "port_min": 22, "port_max": 22})))
        .await;
    let path = format!("{rules}/{}", text(&made, "id"));
    assert_eq!(admin.get(&path).await.body, made);
    assert_eq!(
        refused(&admin.post(&rules, with(json!({"name": "ssh"}))).await),
        as_refused(400, "validation_unique_failed", "name")
    );
    let patched = admin
        .patch(&path, json!({"direction": "outbound", "port_max": 23, "remote": {"address": "10.0.0.1"}}))
        .await;
    assert_eq!(
        (&patched.body["direction"], &patched.body["port_min"], &patched.body["port_max"]),
        (&json!("outbound"), &json!(22), &json!(23))
    );
    assert_eq!(patched.body["remote"], json!({"address": "10.0.0.1"}));
    assert_eq!(admin.patch(&path, json!({"port_max": 21})).await.status, 400);
    assert_eq!(admin.patch(&path, json!({"port_max": null})).await.status, 400);
    let none = admin.patch(&path, json!({"port_min": null, "port_max": null})).await;
    assert_eq!((none.status, &none.body["port_min"]), (200, &Value::Null), "{}", none.text);
    assert_eq!(admin.patch(&path, json!({"type": 8})).await.status, 400);
    admin.made(&rules, with(json!({}))).await;
    admin.made(&rules, with(json!({}))).await;
    assert_eq!(refused(&admin.post(&rules, with(json!({}))).await), as_refused(403, "over_quota", ""));
    assert_eq!((admin.delete(&path).await.status, admin.get(&path).await.status), (204, 404));
    assert_eq!(admin.delete(&path).await.status, 404);
    let third = admin.post("/security_groups", json!({"vpc": {"id": vpc["id"]}})).await;
    assert_eq!(refused(&third), as_refused(403, "over_quota", ""));
}

#[tokio::test]
async fn a_group_that_rules_of_others_are_about_stays() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let vpc = admin.net("net").await;
    let make = async |name: &str| {
        admin.made("/security_groups", json!({"name": name, "vpc": {"id": vpc["id"]}})).await
    };
    let (a, b) = (make("a").await, make("b").await);
    let rules = format!("{}/rules", one("security_groups", &a));
    let rule = admin.made(&rules, json!({"direction": "inbound", "remote": {"id": b["id"]}})).await;
    // About itself is no hindrance.
    admin.made(&rules, json!({"direction": "inbound", "remote": {"id": a["id"]}})).await;
    assert_eq!(refused(&admin.delete(&one("security_groups", &b)).await), as_refused(409, "in_use", ""));
    let path = format!("{rules}/{}", text(&rule, "id"));
    assert_eq!(admin.patch(&path, json!({"remote": {"cidr_block": "10.0.0.0/8"}})).await.status, 200);
    assert_eq!(admin.delete(&one("security_groups", &b)).await.status, 204);
    assert_eq!(admin.delete(&one("security_groups", &a)).await.status, 204);
}

#[tokio::test]
async fn interfaces_come_into_groups_and_stay_in_one_at_least() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let vpc = admin.net("net").await;
    let subnet = admin.subnet(&vpc, "s", 256).await;
    let interface = admin.interface(&subnet, "eth0").await;
    let default = one("security_groups", &vpc["default_security_group"]);
    let group = admin.made("/security_groups", json!({"name": "g", "vpc": {"id": vpc["id"]}})).await;
    let path = one("security_groups", &group);
    let target = format!("{path}/targets/{}", text(&interface, "id"));
    assert_eq!((admin.get(&target).await.status, admin.delete(&target).await.status), (404, 404));
    let put = admin.put(&target, Value::Null).await;
    assert_eq!(
        (put.status, &put.body["id"], &put.body["resource_type"]),
        (201, &interface["id"], &json!("virtual_network_interface"))
    );
    assert_eq!(admin.put(&target, Value::Null).await.status, 200);
    assert_eq!(admin.get(&target).await.body["id"], interface["id"]);
    assert_eq!(column(&admin.get(&format!("{path}/targets")).await, "targets", "name"), ["eth0"]);
    assert_eq!(admin.get(&path).await.body["targets"][0]["id"], interface["id"]);
    let groups =
        admin.get(&one("virtual_network_interfaces", &interface)).await.body["security_groups"].clone();
    assert_eq!(groups.as_array().unwrap().len(), 2, "{groups}");
    assert_eq!(refused(&admin.delete(&path).await), as_refused(409, "in_use", ""));
    let of_default = format!("{default}/targets/{}", text(&interface, "id"));
    assert_eq!(admin.delete(&of_default).await.status, 204);
    assert_eq!(refused(&admin.delete(&target).await), as_refused(409, "in_use", ""));
    let other = admin.net("other").await;
    let foreign = format!(
        "{}/targets/{}",
        one("security_groups", &other["default_security_group"]),
        text(&interface, "id")
    );
    assert_eq!(admin.put(&foreign, Value::Null).await.status, 409);
    assert_eq!(admin.delete(&one("virtual_network_interfaces", &interface)).await.status, 200);
    assert_eq!(admin.delete(&path).await.status, 204);
}
