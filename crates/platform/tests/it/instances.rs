//! Service instances and their reclamation.

use avouch_testkit::{Client, TestApp, TestResponse};
use serde_json::{Value, json};

use crate::text;

const PLAIN: &str = "00000000-0000-4000-8000-00000000a001";
const RECLAIMED: &str = "00000000-0000-4000-8000-00000000a002";
const INSTANCES: &str = "/v2/resource_instances";

fn wanted(t: &TestApp, name: &str, plan: &str) -> Value {
    json!({"name": name, "target": "global", "resource_group": t.resource_group(), "resource_plan_id": plan})
}

async fn make(t: &TestApp, client: &Client, name: &str, plan: &str) -> Value {
    let r = client.post(INSTANCES, wanted(t, name, plan)).await;
    assert_eq!(r.status, 201, "{}", r.body);
    r.body
}

fn path(instance: &Value) -> String {
    format!("{INSTANCES}/{}", text(instance, "guid"))
}

fn operation(r: &TestResponse) -> (u16, &str, &str) {
    (r.status, text(&r.body["last_operation"], "type"), text(&r.body, "state"))
}

#[tokio::test]
async fn an_instance_is_made_changed_locked_and_removed() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let made = make(&t, &admin, "one", PLAIN).await;
    assert_eq!(made["id"], made["crn"]);
    assert_eq!((&made["state"], &made["locked"]), (&json!("active"), &json!(false)));
    assert_eq!(made["last_operation"]["type"], "create");
    for flag in ["async", "cancelable", "poll"] {
        assert_eq!(made["last_operation"][flag], false, "{flag}");
    }
    assert_eq!((&made["account_id"], &made["resource_plan_id"]), (&json!(t.account()), &json!(PLAIN)));
    let one = path(&made);
    let by_crn = format!("{INSTANCES}/{}", text(&made, "crn").replace('/', "%2F"));
    assert_eq!(text(&admin.get(&by_crn).await.body, "guid"), text(&made, "guid"));

    let renamed = admin.patch(&one, json!({"name": "two", "parameters": {"a": [1]}})).await;
    assert_eq!(operation(&renamed), (200, "update", "active"));
    assert_eq!((&renamed.body["name"], &renamed.body["parameters"]), (&json!("two"), &json!({"a": [1]})));
    assert_eq!(operation(&admin.post(&format!("{one}/lock"), Value::Null).await), (200, "lock", "active"));
    assert_eq!(admin.patch(&one, json!({"name": "three"})).await.status, 422);
    assert_eq!(admin.delete(&one).await.status, 422);
    assert_eq!(text(&admin.get(&one).await.body, "name"), "two");
    assert_eq!(operation(&admin.delete(&format!("{one}/lock")).await), (200, "unlock", "active"));

    assert_eq!(admin.delete(&one).await.status, 204);
    let removed = admin.get(&one).await;
    assert_eq!((removed.status, text(&removed.body, "state")), (200, "removed"));
    assert_eq!(
        (admin.delete(&one).await.status, admin.patch(&one, json!({"name": "x"})).await.status),
        (410, 410)
    );
    let cancelled = admin.delete(&format!("{one}/last_operation")).await;
    assert_eq!(
        (cancelled.status, text(&cancelled.body, "message")),
        (422, "The instance is not cancelable.")
    );
    assert_eq!(admin.get(INSTANCES).await.body["rows_count"], 0);
    let actions: Vec<String> = t
        .events(&[("target_id", text(&made, "crn"))])
        .await
        .iter()
        .filter(|e| e["outcome"] == "success")
        .map(|e| text(e, "action").to_owned())
        .collect();
    for action in ["create", "update", "delete"] {
        let action = format!("avouch-plain.instance.{action}");
        assert!(actions.contains(&action), "{action} is not in {actions:?}");
    }
}

#[tokio::test]
async fn a_scheduled_instance_comes_back_with_its_data_or_goes_for_good() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let made = make(&t, &admin, "kept", RECLAIMED).await;
    let one = path(&made);
    let open = async || {
        let r = admin.get(&format!("/v1/reclamations?resource_instance_id={}", text(&made, "guid"))).await;
        r.body["resources"].as_array().unwrap().clone()
    };
    let act = async |id: &str, action: &str| {
        admin.post(&format!("/v1/reclamations/{id}/actions/{action}"), json!({"comment": "c"})).await
    };
    assert_eq!((admin.delete(&one).await.status, open().await.len()), (204, 1));
    let scheduled = admin.get(&one).await;
    assert_eq!(operation(&scheduled), (200, "reclamation", "pending_reclamation"));
    assert_eq!(admin.patch(&one, json!({"name": "new"})).await.status, 422);
    assert_eq!(admin.post(&format!("{one}/lock"), Value::Null).await.status, 422);
    let first = open().await[0].clone();
    assert_eq!(
        (text(&first, "state"), text(&first, "resource_instance_id")),
        ("SCHEDULED", text(&made, "guid"))
    );
    assert_eq!(act(text(&first, "id"), "erase").await.status, 400);

    let restored = act(text(&first, "id"), "restore").await;
    assert_eq!((restored.status, text(&restored.body, "state")), (200, "RESTORING"));
    assert_eq!(text(&admin.get(&one).await.body, "state"), "active");
    assert!(open().await.is_empty());
    assert_eq!(act(text(&first, "id"), "restore").await.status, 422);

    // Deleted again: exactly one row, and this time it is not taken back.
    assert_eq!((admin.delete(&one).await.status, open().await.len()), (204, 1));
    let second = open().await[0].clone();
    let reclaimed = act(text(&second, "id"), "reclaim").await;
    assert_eq!((reclaimed.status, text(&reclaimed.body, "state")), (200, "RECLAIMING"));
    assert_eq!(text(&admin.get(&one).await.body, "state"), "removed");
    assert_eq!(
        (admin.delete(&one).await.status, act(text(&second, "id"), "restore").await.status),
        (410, 422)
    );

    // What nobody takes back goes by itself when its time has come, and not a moment earlier.
    let other = path(&make(&t, &admin, "forgotten", RECLAIMED).await);
    assert_eq!(admin.delete(&other).await.status, 204);
    t.advance_secs(7 * 86_400 - 60);
    t.tick().await;
    let admin = t.admin().await;
    assert_eq!(text(&admin.get(&other).await.body, "state"), "pending_reclamation");
    t.advance_secs(120);
    t.tick().await;
    assert_eq!(text(&admin.get(&other).await.body, "state"), "removed");
}

#[tokio::test]
async fn lists_are_paged_to_their_end_and_show_what_the_caller_may_see() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let mut made = Vec::new();
    for n in 0..5 {
        made.push(make(&t, &admin, if n == 0 { "same" } else { "other" }, PLAIN).await);
        t.advance_secs(1);
    }
    let mut next = Some(format!("{INSTANCES}?limit=1"));
    let mut seen = Vec::new();
    while let Some(page) = next.take() {
        let r = admin.get(&page).await;
        assert_eq!((r.status, &r.body["rows_count"]), (200, &json!(1)), "{}", r.body);
        seen.push(text(&r.body["resources"][0], "guid").to_owned());
        next = r.body["next_url"].as_str().map(str::to_owned);
    }
    seen.sort();
    let mut guids: Vec<String> = made.iter().map(|i| text(i, "guid").to_owned()).collect();
    guids.sort();
    assert_eq!(seen, guids);
    let rows =
        async |query: &str| admin.get(&format!("{INSTANCES}?{query}")).await.body["rows_count"].clone();
    assert_eq!(rows("name=same").await, 1);
    assert_eq!(rows(&format!("guid={}", guids[0])).await, 1);
    assert_eq!(rows("resource_plan_id=nope").await, 0);
    assert_eq!(rows("type=resource_instance").await, 0);
    for bad in ["limit=0", "limit=101", "limit=x", "start=%00", "start=!!", "updated_from=yesterday"] {
        assert_eq!(admin.get(&format!("{INSTANCES}?{bad}")).await.status, 400, "{bad}");
    }
    for client in [t.nobody().await, t.outsider().await] {
        assert_eq!(client.get(INSTANCES).await.body["rows_count"], 0);
    }
    let one = path(&made[0]);
    let outsider = t.outsider().await;
    for r in [
        outsider.get(&one).await,
        outsider.delete(&one).await,
        outsider.patch(&one, json!({"name": "x"})).await,
    ] {
        assert_eq!(r.status, 404, "{}", r.body);
    }
    assert_eq!(t.viewer().await.delete(&one).await.status, 403);
}

#[tokio::test]
async fn what_cannot_be_made_is_refused_by_the_name_of_its_field() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let refused = async |field: &str, value: Value, status: u16| {
        let mut body = wanted(&t, "n", PLAIN);
        body[field] = value;
        let r = admin.post(INSTANCES, body).await;
        assert_eq!(r.status, status, "{field}: {}", r.body);
    };
    for name in ["", "a/b", "tab\t", "nul\0", &"n".repeat(181)] {
        refused("name", json!(name), 400).await;
    }
    refused("name", json!(7), 400).await;
    refused("name", Value::Null, 400).await;
    refused("target", json!("mars"), 400).await;
    refused("resource_group", json!("6e1f7ea600004000800000000000dead"), 400).await;
    refused("resource_plan_id", json!("nope"), 404).await;
    refused("parameters", json!([1]), 400).await;
    assert_eq!(admin.get(INSTANCES).await.body["rows_count"], 0);
    assert_eq!(t.viewer().await.post(INSTANCES, wanted(&t, "n", PLAIN)).await.status, 403);
}

fn equal(key: &str, value: &str) -> Value {
    json!({"key": key, "operator": "stringEquals", "value": value})
}

#[tokio::test]
async fn a_list_ends_for_whoever_may_see_none_or_the_last_of_many() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let mut last = Value::Null;
    for n in 0..201 {
        last = make(&t, &admin, &format!("i{n}"), PLAIN).await;
    }
    let none = t.nobody().await.get(INSTANCES).await;
    assert_eq!(
        (none.status, &none.body["rows_count"], &none.body["next_url"]),
        (200, &json!(0), &Value::Null)
    );
    let (viewer, iam_id) = t.service_id("viewer-of-one").await;
    let crn = avouch_wire::crn::Crn::parse(text(&last, "crn")).unwrap();
    let target = json!([
        equal("accountId", t.account()),
        equal("serviceName", crn.service()),
        equal("serviceInstance", text(&last, "guid")),
    ]);
    t.grant(&admin, &iam_id, "crn:v1:bluemix:public:iam::::role:Viewer", target).await;
    for limit in ["1", "100"] {
        let one = viewer.get(&format!("{INSTANCES}?limit={limit}")).await;
        assert_eq!(one.body["rows_count"], 1, "{}", one.text);
        assert_eq!((text(&one.body["resources"][0], "name"), &one.body["next_url"]), ("i200", &Value::Null));
    }
}

#[tokio::test]
async fn tags_count_in_decisions_when_whoever_may_attach_access_tags_gave_them() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let (editor, editor_id) = t.service_id("editor").await;
    let kinds = |role: &str| format!("crn:v1:bluemix:public:iam::::role:{role}");
    let of = |client: &Client, tags: Value| {
        let (client, mut body) = (client.clone(), wanted(&t, "tagged", PLAIN));
        body["tags"] = tags;
        async move { client.post(INSTANCES, body).await }
    };
    let first = of(&admin, json!(["project:payments"])).await;
    assert_eq!(first.status, 201, "{}", first.text);
    let crn = avouch_wire::crn::Crn::parse(text(&first.body, "crn")).unwrap();
    let target = json!([equal("accountId", t.account()), equal("serviceName", crn.service())]);
    t.grant(&admin, &editor_id, &kinds("Editor"), target).await;
    let groups = json!([equal("accountId", t.account()), equal("resourceType", "resource-group")]);
    t.grant(&admin, &editor_id, &kinds("Viewer"), groups).await;
    let (tagged, tagged_id) = t.service_id("by-tag").await;
    let policy = json!({
        "type": "access",
        "subject": {"attributes": [equal("iam_id", &tagged_id)]},
        "control": {"grant": {"roles": [{"role_id": kinds("Viewer")}]}},
        "resource": {"attributes": [equal("accountId", t.account()), equal("serviceType", "service")], "tags": [equal("project", "payments")]},
    });
    let made = admin.post("/v2/policies", policy).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let second = of(&editor, json!(["project:payments"])).await;
    assert_eq!(second.status, 201, "{}", second.text);
    assert_eq!(tagged.get(&path(&first.body)).await.status, 200);
    assert_eq!(tagged.get(&path(&second.body)).await.status, 403);
    for bad in [json!([""]), json!(["x".repeat(129)]), json!(["a\u{0}b"]), json!("a:b")] {
        assert_eq!(of(&admin, bad.clone()).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn a_resource_name_means_the_instance_that_all_its_parts_name() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let made = make(&t, &admin, "one", PLAIN).await;
    let crn = text(&made, "crn").to_owned();
    let parsed = avouch_wire::crn::Crn::parse(&crn).unwrap();
    let (service, account) = (format!(":{}:", parsed.service()), format!("a/{}", t.account()));
    for wrong in [crn.replace(&service, ":kms:"), crn.replace(&account, "a/0123456789abcdef0123456789abcdef")]
    {
        assert_ne!(wrong, crn);
        let r = admin.get(&format!("{INSTANCES}/{}", wrong.replace('/', "%2F"))).await;
        assert_eq!(r.status, 404, "{wrong}: {}", r.text);
    }
}
