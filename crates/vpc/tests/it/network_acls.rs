//! Network ACLs and their rules.

use avouch_testkit::TestApp;
use serde_json::{Value, json};

use crate::world::{Vpc, as_refused, column, one, refused, text};

fn rule(name: &str, more: Value) -> Value {
    let mut body = json!({"name": name, "action": "allow", "direction": "inbound", "protocol": "any",
        "source": "0.0.0.0/0", "destination": "0.0.0.0/0"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn rules_stand_in_the_order_that_they_are_put_in() {
    let t = TestApp::with(|c| c.limits.rules_per_network_acl = 5).await;
    let admin = Vpc::admin(&t).await;
    let vpc = admin.net("net").await;
    let body = json!({"name": "acl", "vpc": {"id": vpc["id"]}, "rules": [rule("a", json!({})), rule("b", json!({"direction": "outbound"}))]});
    let acl = admin.made("/network_acls", body).await;
    let path = one("network_acls", &acl);
    let rules = format!("{path}/rules");
    let order = async || column(&admin.get(&rules).await, "rules", "name");
    assert_eq!(order().await, ["a", "b"]);
    assert_eq!((&acl["rules"][0]["before"]["name"], &acl["rules"][1]["before"]), (&json!("b"), &Value::Null));
    let b = acl["rules"][1]["id"].clone();
    let c = admin.made(&rules, rule("c", json!({"before": {"id": b}}))).await;
    assert_eq!((order().await, &c["before"]["id"]), (vec!["a".into(), "c".into(), "b".into()], &b));
    let c = format!("{rules}/{}", text(&c, "id"));
    assert_eq!(admin.get(&c).await.body["name"], "c");
    let patched = admin.patch(&c, json!({"before": null, "action": "deny"})).await;
    assert_eq!((&patched.body["action"], &patched.body["before"]), (&json!("deny"), &Value::Null));
    assert_eq!(order().await, ["a", "b", "c"]);
    let first = admin.patch(&c, json!({"before": {"id": acl["rules"][0]["id"]}, "name": "z"})).await;
    assert_eq!((first.status, order().await), (200, vec!["z".into(), "a".into(), "b".into()]));
    assert_eq!(column(&admin.get(&format!("{rules}?direction=outbound")).await, "rules", "name"), ["b"]);
    let page = admin.get(&format!("{rules}?limit=2")).await;
    assert_eq!(column(&page, "rules", "name"), ["z", "a"]);
    let next = text(&page.body["next"], "href");
    assert_eq!(column(&admin.0.get(&next[next.find("/v1/").unwrap()..]).await, "rules", "name"), ["b"]);

    let ports = json!({"protocol": "tcp", "destination_port_min": 22, "destination_port_max": 22});
    let tcp = admin.made(&rules, rule("tcp", ports)).await;
    let member = |name: &str| tcp[name].as_i64().unwrap();
    assert_eq!((member("destination_port_min"), member("destination_port_max")), (22, 22));
    assert_eq!((member("source_port_min"), member("source_port_max")), (1, 65_535));
    for (body, code, field) in [
        (rule("a", json!({})), "validation_unique_failed", "name"),
        (rule("x", json!({"action": "maybe"})), "invalid_value", "action"),
        (rule("x", json!({"action": null})), "missing_field", "action"),
        (rule("x", json!({"source": "10.0.0.1/8"})), "invalid_value", "source"),
        (rule("x", json!({"source": null})), "missing_field", "source"),
        (
            rule("x", json!({"before": {"id": "r006-00000000-0000-4000-8000-00000000dead"}})),
            "not_found",
            "before.id",
        ),
        (rule("x", json!({"destination_port_min": 22})), "unknown_field", "destination_port_min"),
    ] {
        assert_eq!(refused(&admin.post(&rules, body.clone()).await), as_refused(400, code, field), "{body}");
    }
    admin.made(&rules, rule("fifth", json!({}))).await;
    assert_eq!(
        refused(&admin.post(&rules, rule("sixth", json!({}))).await),
        as_refused(403, "over_quota", "")
    );
    assert_eq!((admin.delete(&c).await.status, admin.get(&c).await.status), (204, 404));
    assert_eq!(admin.patch(&path, json!({"name": "renamed"})).await.body["name"], "renamed");
    // A copy of its rules makes another one.
    let copy = json!({"name": "copy", "vpc": {"id": vpc["id"]}, "source_network_acl": {"id": acl["id"]}});
    let copy = admin.made("/network_acls", copy).await;
    let names: Vec<&str> = copy["rules"].as_array().unwrap().iter().map(|r| text(r, "name")).collect();
    assert_eq!(names, ["a", "b", "tcp", "fifth"]);
    assert_eq!((admin.delete(&path).await.status, admin.get(&path).await.status), (204, 404));
}
