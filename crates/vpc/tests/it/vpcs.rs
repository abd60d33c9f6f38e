//! VPCs, what comes with them, and their address prefixes.

use avouch_testkit::TestApp;
use serde_json::{Value, json};

use crate::world::{Vpc, as_refused, column, one, refused, text};

#[tokio::test]
async fn a_vpc_comes_with_its_defaults_and_takes_them_along() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let vpc = admin.net("net").await;
    let path = one("vpcs", &vpc);
    assert_eq!(
        (&vpc["status"], &vpc["resource_type"], &vpc["classic_access"]),
        (&json!("available"), &json!("vpc"), &json!(false))
    );
    assert_eq!(
        text(&vpc, "crn"),
        format!("crn:v1:bluemix:public:is:us-south:a/{}::vpc:{}", t.account(), text(&vpc, "id"))
    );
    assert_eq!(admin.get(&path).await.body, vpc);
    for (part, collection) in
        [("default_security_group", "security_groups"), ("default_network_acl", "network_acls")]
    {
        let found = admin.get(&format!("{path}/{part}")).await.body;
        assert_eq!((&found["id"], &found["vpc"]["id"]), (&vpc[part]["id"], &vpc["id"]), "{part}");
        assert_eq!(admin.get(&one(collection, &found)).await.body, found);
        assert!(text(&vpc[part], "href").ends_with(&one(collection, &found)), "{vpc}");
    }
    let table = admin.get(&format!("{path}/default_routing_table")).await.body;
    assert_eq!((&table["id"], &table["is_default"]), (&vpc["default_routing_table"]["id"], &json!(true)));
    assert!(text(&table, "href").ends_with(&format!("{path}{}", one("routing_tables", &table))), "{table}");

    let group = admin.get(&format!("{path}/default_security_group")).await.body;
    let mut rules: Vec<(&str, &Value)> =
        group["rules"].as_array().unwrap().iter().map(|r| (text(r, "direction"), &r["remote"])).collect();
    rules.sort_by_key(|r| r.0);
    assert_eq!(rules[0].1["id"], group["id"], "in from its own members");
    assert_eq!(rules[1].1["cidr_block"], "0.0.0.0/0");
    let acl = admin.get(&format!("{path}/default_network_acl")).await.body;
    let rules = acl["rules"].as_array().unwrap();
    assert!(
        rules.len() == 2 && rules.iter().all(|r| r["action"] == "allow" && r["protocol"] == "any"),
        "{acl}"
    );

    let prefixes = admin.get(&format!("{path}/address_prefixes")).await;
    let mut cidrs = column(&prefixes, "address_prefixes", "cidr");
    cidrs.sort();
    assert_eq!(cidrs, ["10.240.0.0/18", "10.240.128.0/18", "10.240.64.0/18"]);
    assert!(prefixes.body["address_prefixes"].as_array().unwrap().iter().all(|p| p["is_default"] == true));

    assert_eq!(admin.delete(&path).await.status, 204);
    for gone in [path.clone(), one("security_groups", &group), one("network_acls", &acl)] {
        assert_eq!(admin.get(&gone).await.status, 404, "{gone}");
    }
    assert_eq!(admin.get("/security_groups").await.body["total_count"], 0);
    // The names are free again.
    admin.net("net").await;
}

#[tokio::test]
async fn what_a_vpc_cannot_be_is_refused() {
    let t = TestApp::with(|c| c.limits.vpcs = 2).await;
    let admin = Vpc::admin(&t).await;
    admin.net("net").await;
    for (body, status, code, field) in [
        (json!({"name": "net"}), 400, "validation_unique_failed", "name"),
        (json!({"name": "Net"}), 400, "invalid_value", "name"),
        (json!({"classic_access": true}), 400, "invalid_value", "classic_access"),
        (json!({"address_prefix_management": "none"}), 400, "invalid_value", "address_prefix_management"),
        (json!({"dns": {}}), 400, "unknown_field", "dns"),
    ] {
        assert_eq!(
            refused(&admin.post("/vpcs", body.clone()).await),
            as_refused(status, code, field),
            "{body}"
        );
    }
    assert_eq!(admin.get("/security_groups").await.body["total_count"], 1, "a refused VPC left something");
    let manual = admin.made("/vpcs", json!({"address_prefix_management": "manual"})).await;
    let prefixes = admin.get(&format!("{}/address_prefixes", one("vpcs", &manual))).await;
    assert_eq!(prefixes.body["total_count"], 0);
    assert_eq!(refused(&admin.post("/vpcs", json!({})).await), as_refused(403, "over_quota", ""));
    let names = column(&admin.get("/vpcs").await, "vpcs", "id");
    assert_eq!((names.len(), names.contains(&text(&manual, "id").to_owned())), (2, true));
    assert_eq!(admin.get("/vpcs?classic_access=true").await.body["total_count"], 0);
    assert_eq!(admin.get("/vpcs?resource_group.id=x").await.body["total_count"], 0);
}

#[tokio::test]
async fn what_holds_something_is_not_deleted_and_what_came_with_the_vpc_never() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let vpc = admin.net("net").await;
    let path = one("vpcs", &vpc);
    let subnet = admin.subnet(&vpc, "s", 256).await;
    let in_use = as_refused(409, "in_use", "");
    assert_eq!(refused(&admin.delete(&path).await), in_use);
    assert_eq!(refused(&admin.delete(&one("security_groups", &vpc["default_security_group"])).await), in_use);
    assert_eq!(refused(&admin.delete(&one("network_acls", &vpc["default_network_acl"])).await), in_use);
    let table = format!("{path}{}", one("routing_tables", &vpc["default_routing_table"]));
    assert_eq!(refused(&admin.delete(&table).await), in_use);
    assert_eq!(admin.get(&path).await.status, 200);
    assert_eq!(admin.delete(&one("subnets", &subnet)).await.status, 204);
    assert_eq!(admin.delete(&path).await.status, 204);
}

#[tokio::test]
async fn prefixes_do_not_overlap_and_a_zone_has_one_default() {
    let t = TestApp::with(|c| c.limits.address_prefixes_per_vpc = 5).await;
    let admin = Vpc::admin(&t).await;
    let vpc = admin.net("net").await;
    let all = format!("{}/address_prefixes", one("vpcs", &vpc));
    let zone = |n: u8| json!({"name": format!("us-south-{n}")});
    for (body, code, field) in [
        (json!({"zone": zone(1)}), "missing_field", "cidr"),
        (json!({"cidr": "10.0.0.0/16"}), "missing_field", "zone"),
        (json!({"cidr": "10.0.0.1/16", "zone": zone(1)}), "invalid_value", "cidr"),
        (json!({"cidr": "10.0.0.0", "zone": zone(1)}), "invalid_value", "cidr"),
        (json!({"cidr": "10.0.0.0/8", "zone": zone(1)}), "invalid_value", "cidr"),
        (json!({"cidr": "169.254.0.0/16", "zone": zone(1)}), "invalid_value", "cidr"),
        (json!({"cidr": "127.0.0.0/16", "zone": zone(1)}), "invalid_value", "cidr"),
        (json!({"cidr": "10.0.0.0/16", "zone": {"name": "mars-1"}}), "not_found", "zone.name"),
        (json!({"cidr": "10.240.0.0/24", "zone": zone(1)}), "validation_failed", "cidr"),
        (json!({"cidr": "10.240.0.0/16", "zone": zone(1)}), "validation_failed", "cidr"),
        (json!({"cidr": "10.0.0.0/16", "zone": zone(1), "is_default": true}), "invalid_value", "is_default"),
    ] {
        assert_eq!(refused(&admin.post(&all, body.clone()).await), as_refused(400, code, field), "{body}");
    }
    let made = admin.made(&all, json!({"name": "more", "cidr": "10.0.0.0/16", "zone": zone(1)})).await;
    let path = format!("{all}/{}", text(&made, "id"));
    assert_eq!((&made["has_subnets"], &made["is_default"]), (&json!(false), &json!(false)));
    assert_eq!(admin.get(&path).await.body, made);
    assert_eq!(
        refused(&admin.patch(&path, json!({"is_default": true})).await),
        as_refused(400, "invalid_value", "is_default")
    );
    assert_eq!(admin.patch(&path, json!({"name": "other"})).await.body["name"], "other");
    let subnet =
        admin.made("/subnets", json!({"vpc": {"id": vpc["id"]}, "ipv4_cidr_block": "10.0.1.0/24"})).await;
    assert_eq!(admin.get(&path).await.body["has_subnets"], true);
    assert_eq!(refused(&admin.delete(&path).await), as_refused(409, "in_use", ""));
    assert_eq!(admin.delete(&one("subnets", &subnet)).await.status, 204);
    assert_eq!((admin.delete(&path).await.status, admin.get(&path).await.status), (204, 404));
    // A prefix is found below its own VPC only.
    let other = admin.net("other").await;
    let of_net = admin.get(&all).await.body["address_prefixes"][0].clone();
    let wrong = format!("{}/address_prefixes/{}", one("vpcs", &other), text(&of_net, "id"));
    assert_eq!((admin.get(&wrong).await.status, admin.delete(&wrong).await.status), (404, 404));
    admin.made(&all, json!({"cidr": "10.1.0.0/16", "zone": zone(1)})).await;
    admin.made(&all, json!({"cidr": "10.2.0.0/16", "zone": zone(2)})).await;
    let sixth = admin.post(&all, json!({"cidr": "10.3.0.0/16", "zone": zone(3)})).await;
    assert_eq!(refused(&sixth), as_refused(403, "over_quota", ""));
}

#[tokio::test]
async fn a_resource_group_with_a_vpc_is_not_deleted() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let group = admin.0.post("/v2/resource_groups", json!({"name": "g", "account_id": t.account()})).await;
    let group = text(&group.body, "id").to_owned();
    let vpc = admin.made("/vpcs", json!({"name": "net", "resource_group": {"id": group}})).await;
    let path = format!("/v2/resource_groups/{group}");
    assert_eq!(admin.0.delete(&path).await.status, 400);
    assert_eq!(admin.delete(&one("vpcs", &vpc)).await.status, 204);
    assert_eq!(admin.0.delete(&path).await.status, 204);
}
