//! Who may do what: rights are those on the object, and making use of another object takes a right on that one.

use avouch_testkit::{Client, TestApp};
use serde_json::{Value, json};

use crate::world::{Vpc, as_refused, one, refused, text};

async fn of_kind(t: &TestApp, role: &str, attribute: &str, id: &str) -> (Vpc, String) {
    let (client, iam_id) = t.service_id(&format!("{role}-{attribute}")).await;
    grant(t, &iam_id, role, (attribute, id)).await;
    (Vpc(client), iam_id)
}

async fn grant(t: &TestApp, iam_id: &str, role: &str, (attribute, id): (&str, &str)) {
    let equal = |key: &str, value: &str| json!({"key": key, "operator": "stringEquals", "value": value});
    let target = json!([equal("accountId", t.account()), equal("serviceName", "is"), equal(attribute, id)]);
    let admin: Client = t.admin().await;
    t.grant(&admin, iam_id, &format!("crn:v1:bluemix:public:iam::::role:{role}"), target).await;
}

#[tokio::test]
async fn a_subnet_is_made_by_who_may_make_subnets_and_use_the_vpc() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let vpc = admin.net("net").await;
    let body = |name: &str| json!({"name": name, "vpc": {"id": vpc["id"]}, "zone": {"name": "us-south-1"}, "total_ipv4_address_count": 8});
    let (editor, iam_id) = of_kind(&t, "Editor", "subnetId", "*").await;
    let r = editor.post("/subnets", body("a")).await;
    assert_eq!(refused(&r), as_refused(403, "not_authorized", ""));
    assert!(
        text(&r.body["errors"][0], "message").contains(&format!("vpcId:{}", text(&vpc, "id"))),
        "{}",
        r.text
    );
    // A viewer of the VPC sees it and may not use it.
    grant(&t, &iam_id, "Viewer", ("vpcId", text(&vpc, "id"))).await;
    assert_eq!(editor.get(&one("vpcs", &vpc)).await.status, 200);
    assert_eq!(editor.post("/subnets", body("a")).await.status, 403);
    grant(&t, &iam_id, "Operator", ("vpcId", text(&vpc, "id"))).await;
    let subnet = editor.made("/subnets", body("a")).await;
    assert_eq!(editor.delete(&one("vpcs", &vpc)).await.status, 403);
    assert_eq!(editor.delete(&one("subnets", &subnet)).await.status, 204);
    let (operator, _) = of_kind(&t, "Operator", "vpcId", "*").await;
    assert_eq!(refused(&operator.post("/subnets", body("b")).await), as_refused(403, "not_authorized", ""));
    assert_eq!(admin.get("/subnets").await.body["total_count"], 0);
}

#[tokio::test]
async fn lists_show_what_the_caller_may_read_and_count_no_more() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let (a, b) = (admin.net("a").await, admin.net("b").await);
    let (viewer, _) = of_kind(&t, "Viewer", "vpcId", text(&a, "id")).await;
    let list = viewer.get("/vpcs").await;
    assert_eq!((&list.body["total_count"], &list.body["vpcs"][0]["id"]), (&json!(1), &a["id"]));
    assert_eq!(viewer.get(&one("vpcs", &b)).await.status, 403);
    for empty in ["subnets", "security_groups", "network_acls", "keys", "volumes", "floating_ips"] {
        assert_eq!(viewer.get(&format!("/{empty}")).await.body["total_count"], 0, "{empty}");
    }
    // What comes with a VPC is read by the right on the VPC, and its collection by the right on the kind.
    assert_eq!(viewer.get(&format!("{}/default_security_group", one("vpcs", &a))).await.status, 200);
    assert_eq!(viewer.get(&one("security_groups", &a["default_security_group"])).await.status, 403);
    let prefixes = format!("{}/address_prefixes", one("vpcs", &a));
    assert_eq!(viewer.get(&prefixes).await.body["total_count"], 3);
    let more = json!({"cidr": "10.0.0.0/16", "zone": {"name": "us-south-1"}});
    assert_eq!(viewer.post(&prefixes, more).await.status, 403);
}

#[tokio::test]
async fn a_resource_group_decides_about_what_is_in_it() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let team = admin.0.post("/v2/resource_groups", json!({"name": "team", "account_id": t.account()})).await;
    let team = text(&team.body, "id").to_owned();
    let vpc = admin.made("/vpcs", json!({"name": "theirs", "resource_group": {"id": team}})).await;
    assert_eq!(vpc["resource_group"]["name"], "team");
    admin.net("other").await;
    let (editor, _) = of_kind(&t, "Editor", "resourceGroupId", &team).await;
    assert_eq!(editor.get("/vpcs").await.body["vpcs"].as_array().unwrap().len(), 1);
    assert_eq!(editor.post("/vpcs", json!({})).await.status, 403, "in the default group");
    let made = editor.made("/vpcs", json!({"resource_group": {"id": team}})).await;
    assert_eq!(editor.delete(&one("vpcs", &made)).await.status, 204);
    let of_group = editor.get(&format!("/vpcs?resource_group.id={team}")).await;
    assert_eq!(of_group.body["total_count"], 1);
}

#[tokio::test]
async fn objects_of_another_account_are_unknown_in_paths_and_bodies() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let vpc = admin.net("net").await;
    let stranger = Vpc(t.outsider().await);
    let own = stranger.net("net").await;
    let never = "r006-00000000-0000-4000-8000-00000000dead";
    let body = |vpc: &Value| json!({"vpc": vpc, "ipv4_cidr_block": "10.240.0.0/24"});
    let ids = [json!({"id": vpc["id"]}), json!({"crn": vpc["crn"]}), json!({"href": vpc["href"]})];
    for theirs in ids {
        let r = stranger.post("/subnets", body(&theirs)).await;
        assert_eq!((r.status, &r.body["errors"][0]["code"]), (400, &json!("not_found")), "{}", r.text);
    }
    assert_eq!(
        refused(&stranger.post("/subnets", body(&json!({"id": never}))).await),
        as_refused(400, "not_found", "vpc.id")
    );
    assert_eq!(stranger.post("/subnets", body(&json!({"href": own["href"]}))).await.status, 201);
    for path in
        [one("vpcs", &vpc), format!("/vpcs/{never}"), one("security_groups", &vpc["default_security_group"])]
    {
        assert_eq!(refused(&stranger.get(&path).await), as_refused(404, "not_found", "id"), "{path}");
    }
}

#[tokio::test]
async fn a_change_is_told_with_what_it_was_about() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let vpc = admin.net("net").await;
    let prefixes = format!("{}/address_prefixes", one("vpcs", &vpc));
    let made = admin.made(&prefixes, json!({"cidr": "10.0.0.0/16", "zone": {"name": "us-south-1"}})).await;
    let events = t.events(&[("action", "is.vpc.address-prefix.create")]).await;
    assert_eq!((events.len(), &events[0]["target"]["id"]), (1, &vpc["crn"]), "{events:?}");
    assert_eq!(events[0]["requestData"]["address-prefix"], made["id"], "{}", events[0]);
    assert_eq!(events[0]["target"]["typeURI"], "is.vpc/address-prefix");
    let events = t.events(&[("action", "is.vpc.vpc.create")]).await;
    assert_eq!((&events[0]["target"]["id"], &events[0]["target"]["name"]), (&vpc["crn"], &json!("net")));
    assert!(text(&events[0], "logSourceCRN").contains(":is:us-south:a/"), "{}", events[0]);
    admin.get("/vpcs").await;
    let events = t.events(&[("action", "is.vpc.vpc.read")]).await;
    assert_eq!(events[0]["target"]["name"], "*", "{}", events[0]);
}
