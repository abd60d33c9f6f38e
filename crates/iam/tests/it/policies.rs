//! Policies of both schemas.

use serde_json::{Value, json};

use avouch_testkit::TestResponse;

use crate::access_app::{TestApp, code, eq, platform, service_role};

const SUBJECT: &str = "IBMid-5500000001";

fn v1(t: &TestApp, subject: &str) -> Value {
    json!({
        "type": "access",
        "description": "reads",
        "subjects": [{"attributes": [{"name": "iam_id", "value": subject}]}],
        "roles": [{"role_id": platform("Viewer")}],
        "resources": [{"attributes": [
            {"name": "accountId", "value": t.account()},
            {"name": "serviceType", "value": "service", "operator": "stringEquals"}
        ], "tags": [{"name": "project", "value": "prototype"}]}],
    })
}

fn weekly(t: &TestApp, subject: &str) -> Value {
    let mut body = t.v2(subject, &platform("Viewer"), json!([eq("serviceName", "kms")]));
    body["pattern"] = json!("time-based-conditions:weekly:custom-hours");
    body["rule"] = json!({"operator": "and", "conditions": [
        {"key": "{{environment.attributes.day_of_week}}", "operator": "dayOfWeekAnyOf", "value": ["1+00:00", "5+00:00"]},
        {"key": "{{environment.attributes.current_time}}", "operator": "timeGreaterThanOrEquals", "value": "09:00:00+00:00"},
        {"key": "{{environment.attributes.current_time}}", "operator": "timeLessThanOrEquals", "value": "17:00:00+00:00"}
    ]});
    body
}

fn id(r: &TestResponse) -> String {
    assert!(matches!(r.status, 200 | 201), "{}", r.body);
    r.body["id"].as_str().unwrap().to_owned()
}

async fn permitted(t: &TestApp, iam_id: &str, action: &str, attributes: Value) -> bool {
    let mut attributes = attributes;
    attributes["accountId"] = json!(t.account());
    let body = json!([{"subject": {"attributes": {"id": iam_id}}, "action": action, "resource": {"attributes": attributes}}]);
    let r = t.admin().await.post("/v2/authz", body).await;
    assert_eq!(r.status, 200, "{}", r.body);
    r.body["responses"][0]["authorizationDecision"]["permitted"].as_bool().unwrap()
}

#[tokio::test]
async fn first_schema_is_echoed_as_it_was_written() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let body = v1(&t, SUBJECT);
    let made = admin.post("/v1/policies", body.clone()).await;
    let id = id(&made);
    assert!(made.etag().starts_with("1-"));
    let read = admin.get(&format!("/v1/policies/{id}")).await;
    assert_eq!(read.etag(), made.etag());
    for r in [&made, &read] {
        for member in ["type", "description", "subjects", "resources"] {
            assert_eq!(r.body[member], body[member], "{member}");
        }
        assert_eq!(r.body["roles"][0]["display_name"], "Viewer");
        assert_eq!(r.body["href"], format!("http://avouch.test/v1/policies/{id}"));
        assert_eq!(r.body["created_at"], "2026-03-02T10:00:00.000Z");
        assert_eq!(r.body["created_by_id"], t.owner());
        assert_eq!(r.body["state"], "active");
    }
}

#[tokio::test]
async fn second_schema_is_echoed_as_it_was_written() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let body = weekly(&t, SUBJECT);
    let made = admin.post("/v2/policies", body.clone()).await;
    let id = id(&made);
    let read = admin.get(&format!("/v2/policies/{id}")).await;
    for r in [&made, &read] {
        for member in ["type", "subject", "resource", "control", "pattern", "rule"] {
            assert_eq!(r.body[member], body[member], "{member}");
        }
        assert!(r.body.get("description").is_none());
        assert!(!r.etag().is_empty());
    }
}

#[tokio::test]
async fn the_older_list_shows_newer_policies_as_placeholders() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let new = id(&admin.post("/v2/policies", weekly(&t, SUBJECT)).await);
    let old = id(&admin.post("/v1/policies", v1(&t, SUBJECT)).await);
    let list = admin.get(&format!("/v1/policies?account_id={}&iam_id={SUBJECT}", t.account())).await;
    let all = list.body["policies"].as_array().unwrap();
    assert_eq!(all.len(), 2);
    let shown = all.iter().find(|p| p["id"] == new.as_str()).unwrap();
    assert_eq!(shown["href"], format!("http://avouch.test/v2/policies/{new}"));
    assert_eq!(shown["roles"][0]["role_id"], platform("UnsupportedVersion"));
    assert_eq!(shown["resources"], json!([{"attributes": [{"name": "accountId", "value": t.account()}]}]));
    assert!(shown["created_at"].is_string());
    assert!(!shown.to_string().contains(SUBJECT));
    assert_eq!(admin.get(&format!("/v1/policies/{new}")).await.status, 404);
    let list = admin.get(&format!("/v2/policies?account_id={}&iam_id={SUBJECT}", t.account())).await;
    let converted =
        list.body["policies"].as_array().unwrap().iter().find(|p| p["id"] == old.as_str()).unwrap();
    assert_eq!(converted["subject"], json!({"attributes": [eq("iam_id", SUBJECT)]}));
    assert_eq!(converted["resource"]["tags"], json!([eq("project", "prototype")]));
    assert_eq!(converted["control"]["grant"]["roles"], json!([{"role_id": platform("Viewer")}]));
}

#[tokio::test]
async fn a_policy_moves_to_the_newer_schema_and_never_back() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let made = admin.post("/v1/policies", v1(&t, SUBJECT)).await;
    let id = id(&made);
    let up = admin
        .with_header("if-match", &made.etag())
        .put(&format!("/v2/policies/{id}"), weekly(&t, SUBJECT))
        .await;
    assert_eq!(up.status, 200, "{}", up.body);
    assert_eq!(up.body["id"], id.as_str());
    let back =
        admin.with_header("if-match", &up.etag()).put(&format!("/v1/policies/{id}"), v1(&t, SUBJECT)).await;
    assert_eq!((back.status, code(&back)), (404, "policy_not_found"));
    assert_eq!(admin.get(&format!("/v1/policies/{id}")).await.status, 404);
}

#[tokio::test]
async fn two_active_policies_never_grant_the_same() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let first = id(&admin.post("/v1/policies", v1(&t, SUBJECT)).await);
    let mut same = v1(&t, SUBJECT);
    same["description"] = json!("other words");
    same["resources"][0]["attributes"].as_array_mut().unwrap().reverse();
    let r = admin.post("/v1/policies", same.clone()).await;
    assert_eq!((r.status, code(&r)), (409, "policy_conflict_error"));
    assert_eq!(r.body["errors"][0]["details"]["conflicts_with"]["policy"]["id"], first.as_str());
    assert_eq!(admin.delete(&format!("/v1/policies/{first}")).await.status, 204);
    assert_eq!(admin.post("/v1/policies", same).await.status, 201);
    let tag = admin.get(&format!("/v1/policies/{first}")).await.etag();
    let back = admin
        .with_header("if-match", &tag)
        .patch(&format!("/v1/policies/{first}"), json!({"state": "active"}))
        .await;
    assert_eq!((back.status, code(&back)), (409, "policy_conflict_error"));
}

#[tokio::test]
async fn a_stale_tag_is_refused_with_the_present_one() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let made = admin.post("/v1/policies", v1(&t, SUBJECT)).await;
    let path = format!("/v1/policies/{}", id(&made));
    let mut body = v1(&t, SUBJECT);
    body["roles"] = json!([{"role_id": platform("Editor")}]);
    let none = admin.put(&path, body.clone()).await;
    assert_eq!((none.status, code(&none)), (400, "invalid_body"));
    let done = admin.with_header("if-match", &made.etag()).put(&path, body.clone()).await;
    assert_eq!(done.status, 200);
    assert!(done.etag().starts_with("2-"));
    let stale = admin.with_header("if-match", &made.etag()).put(&path, body).await;
    assert_eq!((stale.status, code(&stale)), (409, "policy_conflict_error"));
    assert_eq!(stale.body["errors"][0]["details"]["conflicts_with"]["etag"], done.etag());
}

#[tokio::test]
async fn a_deleted_policy_grants_nothing_and_comes_back_within_ten_days() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let made = admin
        .post("/v2/policies", t.v2(SUBJECT, &service_role("Reader"), json!([eq("serviceName", "kms")])))
        .await;
    let id = id(&made);
    let kms = || json!({"serviceName": "kms"});
    assert!(permitted(&t, SUBJECT, "kms.secrets.list", kms()).await);
    // On an active policy a restore changes nothing.
    let path = format!("/v1/policies/{id}");
    let same = admin.with_header("if-match", &made.etag()).patch(&path, json!({"state": "active"})).await;
    assert_eq!((same.status, same.etag()), (200, made.etag()));
    assert_eq!(admin.delete(&path).await.status, 204);
    assert!(!permitted(&t, SUBJECT, "kms.secrets.list", kms()).await);
    assert_eq!(admin.delete(&path).await.status, 404);
    let gone = admin.get(&format!("/v2/policies/{id}")).await;
    assert_eq!((gone.status, &gone.body["state"]), (200, &json!("deleted")));
    let list = |state: &str| format!("/v2/policies?account_id={}&iam_id={SUBJECT}{state}", t.account());
    assert_eq!(admin.get(&list("")).await.body["policies"], json!([]));
    assert_eq!(admin.get(&list("&state=deleted")).await.body["policies"].as_array().unwrap().len(), 1);
    for bad in [json!({"state": "deleted"}), json!({}), json!({"state": "active", "type": "access"})] {
        assert_eq!(admin.with_header("if-match", &gone.etag()).patch(&path, bad).await.status, 400);
    }
    let back = admin.with_header("if-match", &gone.etag()).patch(&path, json!({"state": "active"})).await;
    assert_eq!((back.status, &back.body["state"]), (200, &json!("active")));
    assert!(permitted(&t, SUBJECT, "kms.secrets.list", kms()).await);
    assert_eq!(admin.delete(&path).await.status, 204);
    t.advance_secs(9 * 86_400);
    t.tick().await;
    let admin = t.admin().await;
    assert_eq!(admin.get(&format!("/v2/policies/{id}")).await.status, 200);
    t.advance_secs(2 * 86_400);
    t.tick().await;
    let admin = t.admin().await;
    assert_eq!(admin.get(&format!("/v2/policies/{id}")).await.status, 404);
}

#[tokio::test]
async fn lists_are_filtered_sorted_and_paged() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    for service in ["kms", "secrets-manager", "codeengine", "is", "logs"] {
        t.advance_secs(1);
        t.grant(SUBJECT, &platform("Viewer"), json!([eq("serviceName", service)])).await;
    }
    let base = format!("/v2/policies?account_id={}", t.account());
    let names = |r: &TestResponse| -> Vec<String> {
        let all = r.body["policies"].as_array().unwrap();
        all.iter().map(|p| p["resource"]["attributes"][1]["value"].as_str().unwrap().to_owned()).collect()
    };
    let r = admin.get(&format!("{base}&service_name=kms")).await;
    assert_eq!(names(&r), ["kms"]);
    let r = admin.get(&format!("{base}&iam_id={SUBJECT}&sort=-created_at")).await;
    assert_eq!(names(&r), ["logs", "is", "codeengine", "secrets-manager", "kms"]);
    assert!(r.body.get("next").is_none());
    let r = admin.get(&format!("{base}&service_type=platform_service")).await;
    assert_eq!(names(&r), ["platform_service"]);
    for (bad, _) in [
        ("&sort=colour", 0),
        ("&sort=last_permit_at", 0),
        ("&format=x", 0),
        ("&limit=0", 0),
        ("&limit=101", 0),
        ("&start=zz", 0),
    ] {
        assert_eq!(admin.get(&format!("{base}{bad}")).await.status, 400, "{bad}");
    }
    assert_eq!(admin.get(&format!("{base}&type=nothing")).await.body["policies"], json!([]));
    for sort in ["", "&sort=-created_at", "&sort=id"] {
        let (mut start, mut seen, mut pages) = (String::new(), Vec::new(), 0);
        loop {
            let r = admin.get(&format!("{base}&limit=3{sort}{start}")).await;
            assert_eq!(r.status, 200, "{}", r.body);
            assert_eq!(r.body["limit"], 3);
            seen.extend(r.body["policies"].as_array().unwrap().iter().map(|p| p["id"].to_string()));
            pages += 1;
            let Some(next) = r.body.get("next") else { break };
            let token = next["start"].as_str().unwrap();
            assert!(next["href"].as_str().unwrap().ends_with(&format!("&start={token}")));
            start = format!("&start={token}");
        }
        let total = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!((total, seen.len(), pages), (8, 8, 3), "{sort}");
        // A position belongs to its own list.
        assert_eq!(admin.get(&format!("{base}&limit=3&state=deleted{start}")).await.status, 400);
    }
    let none = admin.get("/v2/policies").await;
    assert_eq!((none.status, code(&none)), (400, "missing_required_query_parameter"));
}

#[tokio::test]
async fn formats_add_what_they_say() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let id = t.grant(SUBJECT, &service_role("Reader"), json!([eq("serviceName", "kms")])).await;
    let r = admin.get(&format!("/v2/policies/{id}?format=display")).await;
    let role = &r.body["control"]["grant"]["roles"][0];
    assert_eq!(role["display_name"], "Reader");
    assert!(role["actions"].as_array().unwrap().iter().any(|a| a["id"] == "kms.secrets.wrap"));
    let r = admin.get(&format!("/v2/policies/{id}?format=include_last_permit")).await;
    assert_eq!((&r.body["last_permit_at"], &r.body["last_permit_frequency"]), (&Value::Null, &json!(0)));
    assert!(r.body.as_object().unwrap().contains_key("last_permit_at"));
}

#[tokio::test]
async fn a_policy_tells_how_often_it_permitted_something_until_it_is_deleted() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let (viewer, viewer_id) = t.identity().await;
    let id = t.grant(&viewer_id, &platform("Viewer"), json!([eq("serviceName", "iam-identity")])).await;
    let idle = t.grant(&viewer_id, &service_role("Reader"), json!([eq("serviceName", "kms")])).await;
    let path = format!("/v2/policies/{id}?format=include_last_permit");
    let profile = admin.post("/v1/profiles", json!({"name": "p", "account_id": t.account()})).await;
    let read = format!("/v1/profiles/{}", profile.body["id"].as_str().unwrap());
    assert_eq!(viewer.get(&read).await.status, 200);
    t.tick().await;
    t.advance_secs(10);
    assert_eq!(viewer.get(&read).await.status, 200);
    t.tick().await;
    let r = admin.get(&path).await;
    assert_eq!(r.body["last_permit_frequency"], 2, "{}", r.body);
    assert_eq!(r.body["last_permit_at"], t.now().rfc3339_millis());
    // The list tells and sorts by it; those that never permitted anything come first.
    let list =
        format!("/v2/policies?account_id={}&iam_id={viewer_id}&format=include_last_permit", t.account());
    for (sort, wanted) in [("last_permit_at", [&idle, &id]), ("-last_permit_frequency", [&id, &idle])] {
        let r = admin.get(&format!("{list}&sort={sort}")).await;
        let ids: Vec<&str> =
            r.body["policies"].as_array().unwrap().iter().map(|p| p["id"].as_str().unwrap()).collect();
        assert_eq!(ids, wanted, "{sort}");
    }
    // A refusal counts nothing, and a deleted policy starts anew.
    assert_eq!(viewer.delete(&read).await.status, 403);
    assert_eq!(admin.delete(&format!("/v2/policies/{id}")).await.status, 204);
    t.tick().await;
    let r = admin.get(&path).await;
    assert_eq!((&r.body["last_permit_at"], &r.body["last_permit_frequency"]), (&Value::Null, &json!(0)));
}

#[tokio::test]
async fn who_writes_a_policy_needs_the_right_on_its_target() {
    let t = TestApp::new().await;
    let (keeper, keeper_id) = t.identity().await;
    let one = json!([eq("serviceName", "kms"), eq("serviceInstance", "i1")]);
    t.grant(&keeper_id, &platform("Administrator"), one.clone()).await;
    let (editor, editor_id) = t.identity().await;
    t.grant(&editor_id, &platform("Editor"), one.clone()).await;
    let reader = |target: Value| t.v2(SUBJECT, &service_role("Reader"), target);
    let made = keeper.post("/v2/policies", reader(one.clone())).await;
    let id = id(&made);
    let wider = [
        json!([eq("serviceName", "kms")]),
        json!([eq("serviceName", "kms"), eq("serviceInstance", "i2")]),
        json!([eq("serviceName", "kms"), {"key": "serviceInstance", "operator": "stringMatch", "value": "i*"}]),
        json!([eq("serviceName", "kms"), {"key": "serviceInstance", "operator": "stringEqualsAnyOf", "value": ["i1", "i2"]}]),
        json!([eq("serviceName", "secrets-manager"), eq("serviceInstance", "i1")]),
        json!([eq("serviceType", "service")]),
    ];
    for target in &wider {
        let r = keeper.post("/v2/policies", reader(target.clone())).await;
        assert_eq!((r.status, code(&r)), (403, "insufficent_permissions"), "{target}");
        // Nor does a policy move there.
        let r = keeper
            .with_header("if-match", &made.etag())
            .put(&format!("/v2/policies/{id}"), reader(target.clone()))
            .await;
        assert_eq!(r.status, 403, "{target}");
    }
    // What stands elsewhere is not moved into reach either.
    let far = t
        .grant(
            SUBJECT,
            &service_role("Writer"),
            json!([eq("serviceName", "kms"), eq("serviceInstance", "i2")]),
        )
        .await;
    let tag = t.admin().await.get(&format!("/v2/policies/{far}")).await.etag();
    let r =
        keeper.with_header("if-match", &tag).put(&format!("/v2/policies/{far}"), reader(one.clone())).await;
    assert_eq!(r.status, 403);
    assert_eq!(keeper.delete(&format!("/v2/policies/{far}")).await.status, 403);
    for r in [
        editor.post("/v2/policies", reader(one.clone())).await,
        editor.delete(&format!("/v2/policies/{id}")).await,
        editor
            .with_header("if-match", &made.etag())
            .patch(&format!("/v1/policies/{id}"), json!({"state": "active"}))
            .await,
        editor
            .with_header("if-match", &made.etag())
            .put(&format!("/v2/policies/{id}"), reader(one.clone()))
            .await,
        t.nobody().await.get(&format!("/v2/policies/{id}")).await,
    ] {
        assert_eq!((r.status, code(&r)), (403, "insufficent_permissions"));
    }
    assert_eq!(code(&t.anon().post("/v2/policies", reader(one)).await), "invalid_token");
}

#[tokio::test]
async fn all_services_need_administration_of_services_and_of_the_account() {
    let t = TestApp::new().await;
    let (half, half_id) = t.identity().await;
    t.grant(&half_id, &platform("Administrator"), json!([eq("serviceType", "service")])).await;
    let all = t.v2(SUBJECT, &platform("Viewer"), json!([eq("serviceType", "service")]));
    assert_eq!(half.post("/v2/policies", all.clone()).await.status, 403);
    let one = t.v2(SUBJECT, &platform("Viewer"), json!([eq("serviceName", "kms")]));
    assert_eq!(half.post("/v2/policies", one).await.status, 201);
    t.grant(&half_id, &platform("Administrator"), json!([eq("serviceType", "platform_service")])).await;
    assert_eq!(half.post("/v2/policies", all).await.status, 201);
}

#[tokio::test]
async fn nobody_becomes_operator_by_administration_of_everything() {
    let t = TestApp::new().await;
    let administrator = t.with_role("Administrator").await;
    let operator = t.v2(SUBJECT, &platform("Administrator"), json!([eq("serviceName", "avouch")]));
    assert_eq!(administrator.post("/v2/policies", operator.clone()).await.status, 403);
    assert_eq!(t.admin().await.post("/v2/policies", operator).await.status, 201);
    // The owner of another account is no operator.
    let outsider = t.outsider().await;
    let mut body = t.v2(SUBJECT, &platform("Administrator"), json!([eq("serviceName", "avouch")]));
    body["resource"]["attributes"][0] = eq("accountId", &outsider.account());
    assert_eq!(outsider.post("/v2/policies", body).await.status, 403);
}

#[tokio::test]
async fn another_account_sees_nothing_and_learns_nothing() {
    let t = TestApp::new().await;
    let id = t.grant(SUBJECT, &platform("Viewer"), json!([eq("serviceName", "kms")])).await;
    let outsider = t.outsider().await.with_header("transaction-id", "tx");
    let unknown = "11111111-2222-4333-8444-555555555555";
    let text = |r: &TestResponse, id: &str| r.body.to_string().replace(id, "ID");
    for version in ["v1", "v2"] {
        let there = outsider.get(&format!("/{version}/policies/{id}")).await;
        let nowhere = outsider.get(&format!("/{version}/policies/{unknown}")).await;
        assert_eq!((there.status, code(&there)), (404, "policy_not_found"));
        assert_eq!(text(&there, &id), text(&nowhere, unknown));
        let there = outsider.delete(&format!("/{version}/policies/{id}")).await;
        assert_eq!((there.status, code(&there)), (404, "policy_not_found"));
        let list = outsider.get(&format!("/{version}/policies?account_id={}", t.account())).await;
        assert_eq!((list.status, &list.body["policies"]), (200, &json!([])));
    }
    let r = outsider
        .post("/v2/policies", t.v2("IBMid-OUT", &platform("Viewer"), json!([eq("serviceName", "kms")])))
        .await;
    assert_eq!(r.status, 404);
    let tag = t.admin().await.get(&format!("/v2/policies/{id}")).await.etag();
    let r = outsider
        .with_header("if-match", &tag)
        .put(
            &format!("/v2/policies/{id}"),
            t.v2(SUBJECT, &platform("Editor"), json!([eq("serviceName", "kms")])),
        )
        .await;
    assert_eq!((r.status, code(&r)), (404, "policy_not_found"));
}

#[tokio::test]
async fn everybody_reads_his_own_policies() {
    let t = TestApp::new().await;
    let (client, iam_id) = t.identity().await;
    let id = t.grant(&iam_id, &service_role("Reader"), json!([eq("serviceName", "codeengine")])).await;
    assert_eq!(client.get(&format!("/v2/policies/{id}")).await.status, 200);
    let list = client.get(&format!("/v2/policies?account_id={}", t.account())).await;
    assert_eq!(list.body["policies"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_not_known_is_refused_by_every_verb() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let good = || t.v2(SUBJECT, &platform("Viewer"), json!([eq("serviceName", "kms")]));
    let made = admin.post("/v2/policies", good()).await;
    let path = format!("/v2/policies/{}", id(&made));
    let edit = |f: &dyn Fn(&mut Value)| {
        let mut body = good();
        f(&mut body);
        body
    };
    let bad: Vec<Value> = vec![
        edit(&|b| b["control"]["grant"]["roles"][0]["role_id"] = json!(platform("Emperor"))),
        edit(&|b| {
            b["control"]["grant"]["roles"][0]["role_id"] =
                json!("crn:v1:bluemix:public:secrets-manager::::serviceRole:SecretsReader")
        }),
        edit(&|b| b["control"]["grant"]["roles"] = json!([])),
        edit(&|b| b["control"]["deny"] = json!({})),
        edit(&|b| b["resource"]["attributes"][1]["operator"] = json!("stringLike")),
        edit(&|b| b["resource"]["attributes"][1]["value"] = json!("no-such-service")),
        edit(&|b| b["resource"]["attributes"][1]["key"] = json!("colour")),
        edit(&|b| b["resource"]["attributes"][1]["value"] = json!("")),
        edit(&|b| b["resource"]["attributes"] = json!([eq("accountId", t.account())])),
        edit(&|b| b["subject"] = json!({"attributes": []})),
        edit(&|b| b["subject"]["attributes"][0]["key"] = json!("access_group_id")),
        edit(&|b| b["pattern"] = json!("time-based-conditions:once")),
        edit(&|b| b["type"] = json!("deny")),
        edit(&|b| b["effect"] = json!("deny")),
        edit(&|b| b["description"] = json!(7)),
        edit(&|b| b["resource"]["tags"] = json!([eq("a", "b")])),
    ];
    for body in bad {
        let r = admin.post("/v2/policies", body.clone()).await;
        assert_eq!((r.status, code(&r)), (400, "invalid_body"), "{body}");
        let r = admin.with_header("if-match", &made.etag()).put(&path, body.clone()).await;
        assert_eq!((r.status, code(&r)), (400, "invalid_body"), "{body}");
    }
    let group = |g: &str| edit(&|b| b["subject"]["attributes"][0] = eq("access_group_id", g));
    let r = admin.post("/v2/policies", group("AccessGroupId-11111111-2222-4333-8444-555555555555")).await;
    assert_eq!((r.status, code(&r)), (400, "invalid_body"));
    assert_eq!(admin.post("/v2/policies", group("AccessGroupId-PublicAccess")).await.status, 201);
    let mut moved = good();
    moved["type"] = json!("authorization");
    assert_eq!(admin.with_header("if-match", &made.etag()).put(&path, moved).await.status, 400);
    let r = admin.send("POST", "/v2/policies", "text/plain", b"{}".to_vec()).await;
    assert_eq!((r.status, code(&r)), (415, "unsupported_content_type"));
}

#[tokio::test]
async fn quotas_hold_and_zero_means_none() {
    let t = TestApp::with(|c| c.limits.policies_per_subject = 2).await;
    for service in ["kms", "is"] {
        t.grant(SUBJECT, &platform("Viewer"), json!([eq("serviceName", service)])).await;
    }
    let third = t.v2(SUBJECT, &platform("Viewer"), json!([eq("serviceName", "logs")]));
    let r = t.admin().await.post("/v2/policies", third).await;
    assert_eq!((r.status, code(&r)), (422, "unable_to_process"));
    let t = TestApp::with(|c| c.limits.policies = 4).await;
    t.grant(SUBJECT, &platform("Viewer"), json!([eq("serviceName", "kms")])).await;
    let next = t.v2("IBMid-2", &platform("Viewer"), json!([eq("serviceName", "logs")]));
    assert_eq!(t.admin().await.post("/v2/policies", next.clone()).await.status, 422);
    let t = TestApp::with(|c| (c.limits.policies, c.limits.policies_per_subject) = (0, 0)).await;
    let mut next = next;
    next["resource"]["attributes"][0] = eq("accountId", t.account());
    assert_eq!(t.admin().await.post("/v2/policies", next).await.status, 201);
}

#[tokio::test]
async fn an_authorization_passes_on_only_what_its_writer_may_do_himself() {
    let t = TestApp::new().await;
    let body = |role: &str| {
        json!({
            "type": "authorization",
            "subjects": [{"attributes": [
                {"name": "accountId", "value": t.account()}, {"name": "serviceName", "value": "secrets-manager"}]}],
            "roles": [{"role_id": service_role(role)}],
            "resources": [{"attributes": [
                {"name": "accountId", "value": t.account()}, {"name": "serviceName", "value": "kms"}]}],
        })
    };
    let (half, half_id) = t.identity().await;
    t.grant(&half_id, &platform("Administrator"), json!([eq("serviceName", "kms")])).await;
    let r = half.post("/v1/policies", body("Reader")).await;
    assert_eq!((r.status, code(&r)), (403, "insufficent_permissions"));
    t.grant(&half_id, &service_role("Reader"), json!([eq("serviceName", "kms")])).await;
    let made = half.post("/v1/policies", body("Reader")).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.body["subjects"], body("Reader")["subjects"]);
    assert_eq!(half.post("/v1/policies", body("Manager")).await.status, 403);
    // The service acts by it.
    let service =
        json!({"serviceName": "secrets-manager", "accountId": t.account(), "serviceInstance": "i1"});
    let ask = |action: &str| {
        json!([{"subject": {"attributes": service}, "action": action,
                "resource": {"attributes": {"accountId": t.account(), "serviceName": "kms", "serviceInstance": "k1"}}}])
    };
    let admin = t.admin().await;
    let decided =
        |r: TestResponse| r.body["responses"][0]["authorizationDecision"]["permitted"].as_bool().unwrap();
    assert!(decided(admin.post("/v2/authz", ask("kms.secrets.wrap")).await));
    assert!(!decided(admin.post("/v2/authz", ask("kms.secrets.delete")).await));
    let list = admin.get(&format!("/v1/policies?account_id={}&type=authorization", t.account())).await;
    assert_eq!(list.body["policies"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn policies_of_a_locked_service_id_stay_as_they_are() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let made = admin.post("/v1/serviceids", json!({"account_id": t.account(), "name": "locked"})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let iam_id = made.body["iam_id"].as_str().unwrap().to_owned();
    let first = admin
        .post("/v2/policies", t.v2(&iam_id, &platform("Viewer"), json!([eq("serviceName", "kms")])))
        .await;
    let path = format!("/v2/policies/{}", id(&first));
    let lock = format!("/v1/serviceids/{}/lock", made.body["id"].as_str().unwrap());
    assert!(admin.post(&lock, Value::Null).await.status < 300);
    let other = t.v2(&iam_id, &platform("Viewer"), json!([eq("serviceName", "logs")]));
    for r in [
        admin.post("/v2/policies", other.clone()).await,
        admin.with_header("if-match", &first.etag()).put(&path, other.clone()).await,
        admin.delete(&path).await,
    ] {
        assert_eq!((r.status, code(&r)), (422, "unable_to_process"));
    }
    // Taking a policy away from it by another subject is a change of its policies, too.
    let mut away = other;
    away["subject"]["attributes"][0] = eq("iam_id", SUBJECT);
    assert_eq!(admin.with_header("if-match", &first.etag()).put(&path, away).await.status, 422);
    assert!(admin.delete(&lock).await.status < 300);
    assert_eq!(admin.delete(&path).await.status, 204);
}

#[tokio::test]
async fn policies_go_with_their_subject() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let made = admin.post("/v1/serviceids", json!({"account_id": t.account(), "name": "short"})).await;
    let iam_id = made.body["iam_id"].as_str().unwrap().to_owned();
    let id = t.grant(&iam_id, &platform("Viewer"), json!([eq("serviceName", "kms")])).await;
    assert_eq!(
        admin.delete(&format!("/v1/serviceids/{}", made.body["id"].as_str().unwrap())).await.status,
        204
    );
    assert_eq!(admin.get(&format!("/v2/policies/{id}")).await.body["state"], "deleted");
    assert!(
        !permitted(&t, &iam_id, "resource-controller.instance.retrieve", json!({"serviceName": "kms"})).await
    );
}

#[tokio::test]
async fn conditions_on_time_follow_the_clock() {
    let t = TestApp::new().await;
    let r = t.admin().await.post("/v2/policies", weekly(&t, SUBJECT)).await;
    assert_eq!(r.status, 201, "{}", r.body);
    let ask =
        || permitted(&t, SUBJECT, "resource-controller.instance.retrieve", json!({"serviceName": "kms"}));
    // A Monday, ten o'clock.
    assert!(ask().await);
    t.advance_secs(7 * 3600 + 1);
    assert!(!ask().await);
    t.advance_secs(17 * 3600);
    assert!(!ask().await);
}

#[tokio::test]
async fn every_change_and_refusal_is_in_the_trail() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let made = admin.post("/v1/policies", v1(&t, SUBJECT)).await;
    let path = format!("/v1/policies/{}", id(&made));
    let mut body = v1(&t, SUBJECT);
    body["roles"] = json!([{"role_id": platform("Editor")}]);
    admin.with_header("if-match", &made.etag()).put(&path, body).await;
    admin.delete(&path).await;
    t.nobody().await.post("/v1/policies", v1(&t, "IBMid-2")).await;
    let created = t.events("iam-am.policy.create").await;
    // The three of the owner were made with the account.
    assert_eq!(created.len(), 2);
    let of = |outcome: &str| created.iter().find(|e| e["outcome"] == outcome).unwrap();
    assert_eq!(of("success")["requestData"]["policy_type"], "access");
    assert_eq!(of("success")["target"]["name"], SUBJECT);
    assert_eq!(of("success")["initiator"]["id"], t.owner());
    assert_eq!(of("failure")["reason"]["reasonCode"], 403);
    let updated = t.events("iam-am.policy.update").await;
    assert_eq!(updated[0]["requestData"]["old"]["roles"][0]["role_id"], platform("Viewer"));
    assert_eq!(updated[0]["requestData"]["new"]["roles"][0]["role_id"], platform("Editor"));
    assert_eq!(t.events("iam-am.policy.delete").await.len(), 1);
}

#[tokio::test]
async fn the_owner_has_visible_policies_and_no_other_right() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let list = admin.get(&format!("/v2/policies?account_id={}&iam_id={}", t.account(), t.owner())).await;
    let ids: Vec<String> = list.body["policies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 3);
    for id in &ids {
        assert_eq!(admin.get(&format!("/v2/policies/{id}")).await.status, 200);
    }
    assert!(
        permitted(&t, t.owner(), "secrets-manager.secret.delete", json!({"serviceName": "secrets-manager"}))
            .await
    );
    assert!(
        permitted(&t, t.owner(), "iam-identity.profile.create", json!({"serviceName": "iam-identity"})).await
    );
    assert!(permitted(&t, t.owner(), "avouch.account.read", json!({"serviceName": "avouch"})).await);
}

#[tokio::test]
async fn a_policy_that_cannot_be_read_permits_nothing_and_can_be_deleted() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let body = t.v2(SUBJECT, &service_role("Reader"), json!([eq("serviceName", "kms")]));
    let id = id(&admin.post("/v2/policies", body.clone()).await);
    let ask = || permitted(&t, SUBJECT, "kms.secrets.list", json!({"serviceName": "kms"}));
    let later = |f: &dyn Fn(&mut Value)| {
        let mut body = body.clone();
        f(&mut body);
        body.to_string()
    };
    let damaged = [
        later(&|b| b["resource"]["attributes"][1]["operator"] = json!("stringLike")),
        later(&|b| b["resource"]["attributes"][1]["key"] = json!("colour")),
        later(&|b| b["effect"] = json!("deny")),
        later(&|b| b["control"]["deny"] = json!({"roles": []})),
        later(&|b| b["control"]["grant"]["roles"] = json!([{"role_id": platform("Emperor")}])),
        later(&|b| b["resource"]["attributes"][1]["negated"] = json!(true)),
        later(&|b| b["resource"]["attributes"][1]["value"] = json!(["kms"])),
        later(&|b| b["resource"]["exceptions"] = json!([])),
        later(&|b| b["pattern"] = json!("moon-based-conditions:full")),
        later(&|b| {
            b["pattern"] = json!("moon-based-conditions:full");
            b["rule"] =
                json!({"key": "{{environment.attributes.moon}}", "operator": "moonEquals", "value": "full"});
        }),
        later(&|b| {
            // A condition that holds now, under a pattern that this version does not know.
            b["pattern"] = json!("time-based-conditions:monthly");
            b["rule"] = json!({"key": "{{environment.attributes.day_of_week}}", "operator": "dayOfWeekAnyOf",
                "value": [1, 2, 3, 4, 5, 6, 7]});
        }),
        later(&|b| {
            b["pattern"] = json!("attribute-based-condition:resource:literal-and-wildcard");
            b["rule"] = json!({"operator": "or", "conditions": [
                {"key": "{{resource.attributes.resource}}", "operator": "stringNotEquals", "value": "x"},
                {"key": "{{resource.attributes.colour}}", "operator": "stringExists", "value": false}]});
        }),
        later(&|b| b["subject"] = json!({})),
        later(&|b| b["type"] = json!("permission")),
        "{".to_owned(),
        "[]".to_owned(),
    ];
    for document in damaged {
        t.tamper(&id, &body.to_string()).await;
        assert!(ask().await);
        t.tamper(&id, &document).await;
        assert!(!ask().await, "{document}");
        let list = admin.get(&format!("/v2/policies?account_id={}", t.account())).await;
        assert_eq!(list.status, 200, "{document}");
    }
    assert_eq!(admin.delete(&format!("/v2/policies/{id}")).await.status, 204);
}
