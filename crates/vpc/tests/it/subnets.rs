//! Subnets and their reserved addresses.

use avouch_testkit::TestApp;
use serde_json::json;

use crate::world::{Vpc, as_refused, column, one, refused, text};

#[tokio::test]
async fn a_subnet_by_size_gets_the_first_gap_of_the_default_prefix_of_its_zone() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let vpc = admin.net("net").await;
    let first = admin.subnet(&vpc, "a", 256).await;
    assert_eq!(first["ipv4_cidr_block"], "10.240.0.0/24");
    assert_eq!(
        (&first["total_ipv4_address_count"], &first["available_ipv4_address_count"]),
        (&json!(256), &json!(251))
    );
    assert_eq!(
        (&first["status"], &first["zone"]["name"], &first["ip_version"]),
        (&json!("available"), &json!("us-south-1"), &json!("ipv4"))
    );
    assert_eq!((&first["vpc"]["id"], &first["vpc"]["resource_type"]), (&vpc["id"], &json!("vpc")));
    assert_eq!(first["network_acl"]["id"], vpc["default_network_acl"]["id"]);
    assert_eq!(first["routing_table"]["id"], vpc["default_routing_table"]["id"]);
    assert!(
        text(&first, "id").starts_with("0717-") && text(&first, "crn").contains(":is:us-south-1:a/"),
        "{first}"
    );
    assert_eq!(first["public_gateway"], json!(null));
    assert_eq!(admin.subnet(&vpc, "b", 8).await["ipv4_cidr_block"], "10.240.1.0/29");
    assert_eq!(admin.subnet(&vpc, "c", 512).await["ipv4_cidr_block"], "10.240.2.0/23");
    assert_eq!(admin.subnet(&vpc, "d", 16).await["ipv4_cidr_block"], "10.240.1.16/28");
    let by_network = json!({"name": "e", "vpc": {"crn": vpc["crn"]}, "ipv4_cidr_block": "10.240.64.0/24"});
    let by_network = admin.made("/subnets", by_network).await;
    assert_eq!((&by_network["zone"]["name"], &text(&by_network, "id")[..5]), (&json!("us-south-2"), "0727-"));
    assert_eq!(admin.delete(&one("subnets", &first)).await.status, 204);
    assert_eq!(admin.subnet(&vpc, "f", 128).await["ipv4_cidr_block"], "10.240.0.0/25");
}

#[tokio::test]
async fn subnets_that_cannot_be_are_refused() {
    let t = TestApp::with(|c| c.limits.subnets_per_vpc = 2).await;
    let admin = Vpc::admin(&t).await;
    let vpc = admin.net("net").await;
    admin.subnet(&vpc, "a", 256).await;
    let other = admin.net("other").await;
    let zone = json!({"name": "us-south-1"});
    let net = json!({"id": vpc["id"]});
    for (body, code, field) in [
        (json!({"total_ipv4_address_count": 8, "zone": zone}), "missing_field", "vpc"),
        (json!({"vpc": net, "zone": zone}), "missing_field", "ipv4_cidr_block"),
        (json!({"vpc": net, "total_ipv4_address_count": 8}), "missing_field", "zone"),
        (
            json!({"vpc": net, "total_ipv4_address_count": 100, "zone": zone}),
            "invalid_value",
            "total_ipv4_address_count",
        ),
        (
            json!({"vpc": net, "total_ipv4_address_count": 4, "zone": zone}),
            "invalid_value",
            "total_ipv4_address_count",
        ),
        (
            json!({"vpc": net, "total_ipv4_address_count": 32768, "zone": zone}),
            "validation_failed",
            "total_ipv4_address_count",
        ),
        (
            json!({"vpc": net, "ipv4_cidr_block": "10.240.4.0/24", "total_ipv4_address_count": 256}),
            "invalid_value",
            "total_ipv4_address_count",
        ),
        (json!({"vpc": net, "ipv4_cidr_block": "10.240.0.128/25"}), "validation_failed", "ipv4_cidr_block"),
        (json!({"vpc": net, "ipv4_cidr_block": "192.168.0.0/24"}), "validation_failed", "ipv4_cidr_block"),
        (json!({"vpc": net, "ipv4_cidr_block": "10.240.5.0/30"}), "invalid_value", "ipv4_cidr_block"),
        (json!({"vpc": net, "ipv4_cidr_block": "10.240.64.0/24", "zone": zone}), "validation_failed", "zone"),
        (
            json!({"vpc": net, "name": "a", "ipv4_cidr_block": "10.240.5.0/24"}),
            "validation_unique_failed",
            "name",
        ),
        (
            json!({"vpc": {"id": "r006-00000000-0000-4000-8000-00000000dead"}, "ipv4_cidr_block": "10.240.5.0/24"}),
            "not_found",
            "vpc.id",
        ),
        (
            json!({"vpc": {"crn": format!("{}x", text(&vpc, "crn"))}, "ipv4_cidr_block": "10.240.5.0/24"}),
            "not_found",
            "vpc.crn",
        ),
        (
            json!({"vpc": {"href": format!("https://elsewhere{}", one("v1/vpcs", &vpc))}, "ipv4_cidr_block": "10.240.5.0/24"}),
            "not_found",
            "vpc.href",
        ),
        (
            json!({"vpc": {"id": vpc["id"], "crn": vpc["crn"]}, "ipv4_cidr_block": "10.240.5.0/24"}),
            "invalid_value",
            "vpc",
        ),
        (json!({"vpc": {}, "ipv4_cidr_block": "10.240.5.0/24"}), "missing_field", "vpc.id"),
        (
            json!({"vpc": net, "ipv4_cidr_block": "10.240.5.0/24", "network_acl": {"id": other["default_network_acl"]["id"]}}),
            "not_found",
            "network_acl.id",
        ),
        (
            json!({"vpc": net, "ipv4_cidr_block": "10.240.5.0/24", "routing_table": {"id": other["default_routing_table"]["id"]}}),
            "not_found",
            "routing_table.id",
        ),
        (
            json!({"vpc": net, "ipv4_cidr_block": "10.240.5.0/24", "public_gateway": {"id": "x"}}),
            "unknown_field",
            "public_gateway",
        ),
        (
            json!({"vpc": net, "ipv4_cidr_block": "10.240.5.0/24", "ip_version": "ipv6"}),
            "invalid_value",
            "ip_version",
        ),
    ] {
        assert_eq!(
            refused(&admin.post("/subnets", body.clone()).await),
            as_refused(400, code, field),
            "{body}"
        );
    }
    // The name is free in another VPC.
    admin.subnet(&other, "a", 256).await;
    admin.subnet(&vpc, "b", 256).await;
    let third = json!({"vpc": net, "zone": zone, "total_ipv4_address_count": 8});
    assert_eq!(refused(&admin.post("/subnets", third).await), as_refused(403, "over_quota", ""));
    let of = async |query: &str| admin.get(&format!("/subnets?{query}")).await.body["total_count"].clone();
    let crn = text(&vpc, "crn").replace(':', "%3A").replace('/', "%2F");
    assert_eq!(of(&format!("vpc.id={}", text(&vpc, "id"))).await, 2);
    assert_eq!(of(&format!("vpc.crn={crn}")).await, 2);
    assert_eq!((of("vpc.name=other").await, of("vpc.name=none").await), (json!(1), json!(0)));
    assert_eq!((of("zone.name=us-south-1").await, of("zone.name=us-south-3").await), (json!(3), json!(0)));
    let table = text(&vpc["default_routing_table"], "id");
    assert_eq!(of(&format!("routing_table.id={table}")).await, 2);
    let table = text(&vpc["default_routing_table"], "name");
    assert_eq!(of(&format!("routing_table.name={table}")).await, 2);
}

#[tokio::test]
async fn a_subnet_takes_another_acl_and_routing_table_of_its_vpc_and_keeps_them_alive() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let vpc = admin.net("net").await;
    let subnet = admin.subnet(&vpc, "a", 256).await;
    let path = one("subnets", &subnet);
    let acl = admin.made("/network_acls", json!({"name": "acl", "vpc": {"id": vpc["id"]}})).await;
    let tables = format!("{}/routing_tables", one("vpcs", &vpc));
    let table = admin.made(&tables, json!({"name": "table"})).await;
    let put = admin.put(&format!("{path}/network_acl"), json!({"id": acl["id"]})).await;
    assert_eq!(
        (put.status, &put.body["id"], &put.body["subnets"][0]["id"]),
        (201, &acl["id"], &subnet["id"])
    );
    assert_eq!(admin.get(&format!("{path}/network_acl")).await.body["id"], acl["id"]);
    let put = admin.put(&format!("{path}/routing_table"), json!({"crn": table["crn"]})).await;
    assert_eq!((put.status, &put.body["id"]), (201, &table["id"]));
    assert_eq!(admin.get(&format!("{path}/routing_table")).await.body["subnets"][0]["id"], subnet["id"]);
    let used = as_refused(409, "in_use", "");
    assert_eq!(refused(&admin.delete(&one("network_acls", &acl)).await), used);
    assert_eq!(refused(&admin.delete(&format!("{tables}/{}", text(&table, "id"))).await), used);
    let back = json!({"name": "b", "network_acl": {"id": vpc["default_network_acl"]["id"]},
        "routing_table": {"id": vpc["default_routing_table"]["id"]}});
    let patched = admin.patch(&path, back).await;
    assert_eq!((patched.status, &patched.body["name"]), (200, &json!("b")), "{}", patched.text);
    assert_eq!(admin.delete(&one("network_acls", &acl)).await.status, 204);
    assert_eq!(admin.delete(&format!("{tables}/{}", text(&table, "id"))).await.status, 204);
}

#[tokio::test]
async fn every_address_is_given_once_and_five_are_the_providers() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let vpc = admin.net("net").await;
    let subnet = admin.subnet(&vpc, "a", 8).await;
    let all = format!("{}/reserved_ips", one("subnets", &subnet));
    let available =
        async || admin.get(&one("subnets", &subnet)).await.body["available_ipv4_address_count"].clone();
    assert_eq!(available().await, 3);
    let kept = admin.get(&all).await;
    let mut addresses = column(&kept, "reserved_ips", "address");
    addresses.sort();
    assert_eq!(addresses, ["10.240.0.0", "10.240.0.1", "10.240.0.2", "10.240.0.3", "10.240.0.7"]);
    let gateway = &kept.body["reserved_ips"][0];
    assert_eq!(gateway["owner"], "provider");
    let theirs = format!("{all}/{}", text(gateway, "id"));
    assert_eq!(refused(&admin.delete(&theirs).await), as_refused(409, "in_use", ""));
    assert_eq!(refused(&admin.patch(&theirs, json!({"name": "mine"})).await), as_refused(409, "in_use", ""));

    let chosen = admin.made(&all, json!({"name": "five", "address": "10.240.0.5"})).await;
    assert_eq!(
        (&chosen["address"], &chosen["owner"], &chosen["auto_delete"]),
        (&json!("10.240.0.5"), &json!("user"), &json!(false))
    );
    assert_eq!(chosen["target"], json!(null));
    for (body, code, field) in [
        (json!({"address": "10.240.0.5"}), "validation_failed", "address"),
        (json!({"address": "10.240.0.1"}), "validation_failed", "address"),
        (json!({"address": "10.240.1.1"}), "invalid_value", "address"),
        (json!({"address": "five"}), "invalid_value", "address"),
        (json!({"name": "five"}), "validation_unique_failed", "name"),
        (json!({"auto_delete": true}), "invalid_value", "auto_delete"),
        (json!({"target": {"id": "0717-00000000-0000-4000-8000-00000000dead"}}), "not_found", "target.id"),
    ] {
        assert_eq!(refused(&admin.post(&all, body.clone()).await), as_refused(400, code, field), "{body}");
    }
    assert_eq!(admin.made(&all, json!({})).await["address"], "10.240.0.4");
    assert_eq!(admin.made(&all, json!({})).await["address"], "10.240.0.6");
    assert_eq!(available().await, 0);
    assert_eq!(refused(&admin.post(&all, json!({})).await), as_refused(409, "in_use", ""));
    let path = format!("{all}/{}", text(&chosen, "id"));
    assert_eq!(admin.patch(&path, json!({"name": "cinq"})).await.body["name"], "cinq");
    assert_eq!((admin.delete(&path).await.status, admin.get(&path).await.status), (204, 404));
    assert_eq!(admin.made(&all, json!({})).await["address"], "10.240.0.5");
    // With the subnet go its addresses; a new one at the same place starts afresh.
    assert_eq!(admin.delete(&one("subnets", &subnet)).await.status, 204);
    assert_eq!(admin.subnet(&vpc, "a", 8).await["available_ipv4_address_count"], 3);
}

#[tokio::test]
async fn subnets_that_are_asked_for_at_once_do_not_overlap() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let vpc = admin.net("net").await;
    let ask = |n: u8| {
        let (admin, vpc) = (admin.clone(), vpc.clone());
        tokio::spawn(async move { admin.subnet(&vpc, &format!("s{n}"), 256).await })
    };
    let asked: Vec<_> = (0..8).map(ask).collect();
    let mut networks = Vec::new();
    for one in asked {
        networks.push(text(&one.await.unwrap(), "ipv4_cidr_block").to_owned());
    }
    networks.sort();
    networks.dedup();
    assert_eq!(networks.len(), 8, "{networks:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_while_it_is_taken_into_use_is_no_defect_and_leaves_nothing_dangling() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let vpc = admin.net("net").await;
    for n in 0..8 {
        let acl = admin.made("/network_acls", json!({"vpc": {"id": vpc["id"]}})).await;
        let body = json!({"name": format!("s{n}"), "vpc": {"id": vpc["id"]}, "zone": {"name": "us-south-1"},
            "total_ipv4_address_count": 8, "network_acl": {"id": acl["id"]}});
        let path = one("network_acls", &acl);
        let (made, gone) = tokio::join!(admin.post("/subnets", body), admin.delete(&path));
        assert!([201, 400, 409].contains(&made.status), "{}", made.text);
        assert!([204, 409].contains(&gone.status), "{}", gone.text);
        assert_ne!(made.status == 201, gone.status == 204, "{} {}", made.text, gone.text);
    }
    assert_eq!(admin.get("/subnets").await.status, 200);
}
