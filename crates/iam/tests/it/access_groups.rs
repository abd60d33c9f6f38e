//! Access groups, members, rules, settings.

use serde_json::{Value, json};

use crate::access_app::{Client, TestApp, code, eq, platform, service_role};

async fn group(t: &TestApp, name: &str) -> String {
    let r =
        t.admin().await.post(&format!("/v2/groups?account_id={}", t.account()), json!({"name": name})).await;
    assert_eq!(r.status, 201, "{}", r.body);
    r.body["id"].as_str().unwrap().to_owned()
}

fn profile(n: u32) -> String {
    format!("iam-Profile-11111111-2222-4333-8444-{n:012}")
}

async fn add(client: &Client, group: &str, iam_ids: &[String]) -> avouch_testkit::TestResponse {
    let members: Vec<Value> = iam_ids.iter().map(|i| json!({"iam_id": i, "type": "profile"})).collect();
    client.put(&format!("/v2/groups/{group}/members"), json!({"members": members})).await
}

#[tokio::test]
async fn a_group_lives_from_creation_to_deletion() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let base = format!("/v2/groups?account_id={}", t.account());
    let made = admin.post(&base, json!({"name": "Readers"})).await;
    assert_eq!((made.status, &made.body["description"]), (201, &json!("")));
    let path = format!("/v2/groups/{}", made.body["id"].as_str().unwrap());
    let read = admin.get(&format!("{path}?show_federated=true&show_crn=true")).await;
    assert_eq!((read.status, read.etag()), (200, made.etag()));
    assert_eq!(read.body["is_federated"], false);
    assert!(read.body["crn"].as_str().unwrap().contains("iam-groups"));
    assert!(made.body.get("crn").is_none());
    for taken in ["readers", "READERS", "Public access"] {
        let r = admin.post(&base, json!({"name": taken})).await;
        assert_eq!((r.status, code(&r)), (409, "group_name_conflict"), "{taken}");
    }
    assert_eq!(admin.patch(&path, json!({"name": "x"})).await.status, 400);
    let changed =
        admin.with_header("if-match", &made.etag()).patch(&path, json!({"description": "all"})).await;
    assert_eq!((changed.status, &changed.body["name"]), (200, &json!("Readers")));
    let stale = admin.with_header("if-match", &made.etag()).patch(&path, json!({"name": "x"})).await;
    assert_eq!((stale.status, code(&stale)), (409, "etag_mismatch"));
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!((admin.get(&path).await.status, code(&admin.get(&path).await)), (404, "group_not_found"));
    for bad in [
        json!({"name": ""}),
        json!({"name": "a".repeat(101)}),
        json!({"name": "a", "description": "b".repeat(251)}),
        json!({}),
    ] {
        assert_eq!(admin.post(&base, bad).await.status, 400);
    }
    for event in ["group.create", "group.read", "group.update", "group.delete"] {
        assert!(!t.events(&format!("iam-groups.{event}")).await.is_empty(), "{event}");
    }
}

#[tokio::test]
async fn lists_are_paged_by_offset() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    for name in ["b", "a", "d", "c"] {
        group(&t, name).await;
    }
    let base = format!("/v2/groups?account_id={}", t.account());
    let r = admin.get(&format!("{base}&hide_public_access=true&limit=3")).await;
    let names = |r: &avouch_testkit::TestResponse| -> Vec<String> {
        r.body["groups"].as_array().unwrap().iter().map(|g| g["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&r), ["a", "b", "c"]);
    assert_eq!((&r.body["total_count"], &r.body["offset"]), (&json!(4), &json!(0)));
    let next =
        r.body["next"]["href"].as_str().unwrap().strip_prefix("http://avouch.test").unwrap().to_owned();
    let r = admin.get(&next).await;
    assert_eq!(names(&r), ["d"]);
    assert!(r.body.get("next").is_none());
    assert!(r.body["previous"]["href"].as_str().unwrap().contains("offset=0"));
    let r = admin.get(&format!("{base}&sort=-name&limit=2&hide_public_access=true")).await;
    assert_eq!(names(&r), ["d", "c"]);
    let r = admin.get(&base).await;
    assert!(names(&r).contains(&"Public Access".to_owned()));
    let r = admin.get(&format!("{base}&search=name:A&hide_public_access=true")).await;
    assert_eq!(names(&r), ["a"]);
    for bad in ["&limit=101", "&sort=colour", "&offset=-1", "&membership_type=x"] {
        assert_eq!(admin.get(&format!("{base}{bad}")).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn membership_grants_and_its_end_takes_away_at_once() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let g = group(&t, "g").await;
    let (client, iam_id) = t.identity().await;
    let mut policy = t.v2("x", &platform("Viewer"), json!([eq("serviceName", "iam-groups")]));
    policy["subject"]["attributes"][0] = eq("access_group_id", &g);
    let policy = admin.post("/v2/policies", policy).await;
    assert_eq!(policy.status, 201, "{}", policy.body);
    let path = format!("/v2/groups/{g}");
    assert_eq!(client.get(&path).await.status, 403);
    let member = format!("{path}/members/{iam_id}");
    assert_eq!(admin.json("HEAD", &member, Value::Null).await.status, 404);
    for _ in 0..2 {
        let r = admin
            .put(&format!("{path}/members"), json!({"members": [{"iam_id": iam_id, "type": "service"}]}))
            .await;
        assert_eq!((r.status, &r.body["members"][0]["status_code"]), (207, &json!(200)), "{}", r.body);
        assert_eq!(r.body["members"][0]["created_by_id"], t.owner());
    }
    assert_eq!(admin.json("HEAD", &member, Value::Null).await.status, 204);
    assert_eq!(client.get(&path).await.status, 200);
    assert_eq!(admin.delete(&member).await.status, 204);
    assert_eq!(client.get(&path).await.status, 403);
    let again = admin.delete(&member).await;
    assert_eq!((again.status, code(&again)), (404, "member_not_found"));
    // With the group go its policies.
    add(&admin, &g, &[profile(1)]).await;
    let refused = admin.delete(&path).await;
    assert_eq!((refused.status, code(&refused)), (400, "group_not_empty"));
    // Whoever reads it is told what to write, with the API and with the command line.
    let told = refused.body["errors"][0]["message"].as_str().unwrap();
    assert!(told.contains("force=true") && told.contains("--recursive"), "{told}");
    assert_eq!(admin.delete(&format!("{path}?force=true")).await.status, 204);
    let left = admin.get(&format!("/v2/policies/{}", policy.body["id"].as_str().unwrap())).await;
    assert_eq!(left.body["state"], "deleted");
    let back = admin
        .with_header("if-match", &left.etag())
        .patch(&format!("/v1/policies/{}", policy.body["id"].as_str().unwrap()), json!({"state": "active"}))
        .await;
    assert_eq!(back.status, 400, "its group is gone");
}

#[tokio::test]
async fn members_are_listed_filtered_and_named() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let g = group(&t, "g").await;
    let path = format!("/v2/groups/{g}/members");
    let r = admin
        .put(&path, json!({"members": [
            {"iam_id": profile(1), "type": "profile"}, {"iam_id": t.owner(), "type": "user"},
            {"iam_id": profile(2), "type": "user"}, {"iam_id": "crn-crn:v1:bluemix:public:kms:us-south:a/x:i::", "type": "user"}]}))
        .await;
    let codes: Vec<i64> =
        r.body["members"].as_array().unwrap().iter().map(|m| m["status_code"].as_i64().unwrap()).collect();
    assert_eq!((r.status, codes), (207, vec![200, 200, 400, 400]));
    assert!(r.body["members"][2]["errors"][0]["message"].is_string());
    let r = admin.get(&format!("{path}?verbose=true&type=user")).await;
    assert_eq!(r.body["total_count"], 1);
    let m = &r.body["members"][0];
    assert_eq!((&m["name"], &m["email"]), (&json!("Account Owner"), &json!("owner@avouch.test")));
    assert_eq!(m["membership_type"], "static");
    assert_eq!(admin.get(&format!("{path}?membership_type=dynamic")).await.body["members"], json!([]));
    assert_eq!(admin.get(&format!("{path}?limit=1")).await.body["members"].as_array().unwrap().len(), 1);
    let many: Vec<Value> = (0..51).map(|n| json!({"iam_id": profile(n), "type": "profile"})).collect();
    assert_eq!(admin.put(&path, json!({"members": many})).await.status, 400);
}

#[tokio::test]
async fn bulk_calls_tell_each_item_and_name_what_is_missing() {
    let t = TestApp::with(|c| c.limits.groups_per_member = 2).await;
    let admin = t.admin().await;
    let (a, b, c) = (group(&t, "a").await, group(&t, "b").await, group(&t, "c").await);
    add(&admin, &a, &[profile(1), profile(2)]).await;
    let out = format!("/v2/groups/{a}/members/delete");
    let r = admin.post(&out, json!({"members": [profile(1), profile(9)]})).await;
    assert_eq!(r.status, 207);
    assert_eq!(r.body["access_group_id"], a.as_str());
    let codes: Vec<i64> =
        r.body["members"].as_array().unwrap().iter().map(|m| m["status_code"].as_i64().unwrap()).collect();
    assert_eq!(codes, [204, 404]);
    let r = admin.post(&out, json!({"members": [profile(9)]})).await;
    assert_eq!(r.status, 404);
    assert!(r.body["errors"][0]["message"].as_str().unwrap().contains(&a));
    let all = format!("/v2/groups/_allgroups/members/{}?account_id={}", profile(3), t.account());
    let none = admin.delete(&all).await;
    assert_eq!(none.status, 404);
    assert!(none.body["errors"][0]["message"].as_str().unwrap().contains(&profile(3)));
    let r = admin.put(&all, json!({"type": "profile", "groups": [a, b, c, "AccessGroupId-x"]})).await;
    let codes: Vec<i64> =
        r.body["groups"].as_array().unwrap().iter().map(|m| m["status_code"].as_i64().unwrap()).collect();
    assert_eq!((r.status, codes), (207, vec![200, 200, 403, 404]), "{}", r.body);
    assert_eq!(r.body["groups"][2]["errors"][0]["code"], "error_occurred");
    let r = admin.delete(&all).await;
    assert_eq!((r.status, r.body["groups"].as_array().unwrap().len()), (207, 2));
    let mine = format!("/v2/groups?account_id={}&iam_id={}&hide_public_access=true", t.account(), profile(2));
    assert_eq!(admin.get(&mine).await.body["total_count"], 1);
}

#[tokio::test]
async fn rights_on_groups_may_be_narrowed_to_one() {
    let t = TestApp::new().await;
    let (a, b) = (group(&t, "a").await, group(&t, "b").await);
    let (client, iam_id) = t.identity().await;
    t.grant(&iam_id, &platform("Editor"), json!([eq("serviceName", "iam-groups"), eq("resource", &a)])).await;
    assert_eq!(client.get(&format!("/v2/groups/{a}")).await.status, 200);
    assert_eq!(client.get(&format!("/v2/groups/{b}")).await.status, 403);
    let list = client.get(&format!("/v2/groups?account_id={}", t.account())).await;
    assert_eq!(list.body["total_count"], 1);
    assert_eq!(add(&client, &b, &[profile(1)]).await.status, 403);
    let all = format!("/v2/groups/_allgroups/members/{}?account_id={}", profile(1), t.account());
    let r = client.put(&all, json!({"type": "profile", "groups": [a, b]})).await;
    let codes: Vec<i64> =
        r.body["groups"].as_array().unwrap().iter().map(|m| m["status_code"].as_i64().unwrap()).collect();
    assert_eq!((r.status, codes), (207, vec![200, 403]));
    for role in ["Viewer", "Operator"] {
        let client = t.with_role(role).await;
        assert_eq!(add(&client, &a, &[profile(2)]).await.status, 403, "{role}");
    }
    let refused = t.nobody().await.get(&format!("/v2/groups/{a}")).await;
    assert_eq!(code(&refused), "forbidden");
    assert!(refused.body["errors"][0]["details"].as_str().unwrap().contains("iam-groups.groups.read"));
    let outsider = t.outsider().await.with_header("transaction-id", "tx");
    let unknown = "AccessGroupId-11111111-2222-4333-8444-555555555555";
    let text = |r: avouch_testkit::TestResponse, id: &str| r.body.to_string().replace(id, "ID");
    assert_eq!(
        text(outsider.get(&format!("/v2/groups/{a}")).await, &a),
        text(outsider.get(&format!("/v2/groups/{unknown}")).await, unknown)
    );
    assert_eq!(outsider.get(&format!("/v2/groups/{a}/members")).await.status, 404);
    assert_eq!(outsider.get(&format!("/v2/groups?account_id={}", t.account())).await.body["total_count"], 0);
}

#[tokio::test]
async fn rules_are_kept_with_their_group() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let g = group(&t, "g").await;
    let path = format!("/v2/groups/{g}/rules");
    let body = json!({"name": "admins", "expiration": 12, "realm_name": "https://idp.test",
        "conditions": [{"claim": "blueGroups", "operator": "CONTAINS", "value": "\"Admins\""}]});
    let made = admin.post(&path, body.clone()).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.body["conditions"], body["conditions"]);
    assert_eq!(made.body["access_group_id"], g.as_str());
    let one = format!("{path}/{}", made.body["id"].as_str().unwrap());
    assert_eq!(admin.get(&one).await.etag(), made.etag());
    assert_eq!(admin.get(&path).await.body["rules"].as_array().unwrap().len(), 1);
    assert_eq!(admin.get(&format!("/v2/groups/{g}?show_federated=true")).await.body["is_federated"], true);
    let mut change = body.clone();
    change["expiration"] = json!(24);
    let changed = admin.with_header("if-match", &made.etag()).put(&one, change.clone()).await;
    assert_eq!((changed.status, &changed.body["expiration"]), (200, &json!(24)));
    assert_eq!(admin.with_header("if-match", &made.etag()).put(&one, change).await.status, 409);
    for (member, value) in [
        ("expiration", json!(0)),
        ("realm_name", json!("")),
        ("conditions", json!([])),
        ("conditions", json!([{"claim": "a", "operator": "LIKE", "value": "\"b\""}])),
    ] {
        let mut bad = body.clone();
        bad[member] = value;
        assert_eq!(admin.post(&path, bad).await.status, 400, "{member}");
    }
    // As the published clients test it: a claim with a blank, a number as value.
    let mut plain = body.clone();
    plain["conditions"] = json!([{"claim": "test claim", "operator": "EQUALS", "value": "1"}]);
    for _ in 0..4 {
        let r = admin.post(&path, plain.clone()).await;
        assert_eq!(r.status, 201, "{}", r.body);
    }
    assert_eq!(admin.post(&path, body).await.status, 403);
    assert_eq!(admin.delete(&one).await.status, 204);
    let gone = admin.get(&one).await;
    assert_eq!((gone.status, code(&gone)), (404, "rule_not_found"));
}

#[tokio::test]
async fn public_access_counts_until_it_is_disabled() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let path = format!("/v2/groups/settings?account_id={}", t.account());
    let read = admin.get(&path).await;
    assert_eq!((read.status, &read.body["public_access_enabled"]), (200, &json!(true)));
    let public = "/v2/groups/AccessGroupId-PublicAccess";
    assert_eq!(admin.get(public).await.status, 200);
    for r in [
        admin.delete(public).await,
        add(&admin, "AccessGroupId-PublicAccess", &[profile(1)]).await,
        admin.with_header("if-match", "x").patch(public, json!({"name": "x"})).await,
    ] {
        assert_eq!(r.status, 400, "{}", r.body);
    }
    let mut policy = t.v2("x", &service_role("Reader"), json!([eq("serviceName", "kms")]));
    policy["subject"]["attributes"][0] = eq("access_group_id", "AccessGroupId-PublicAccess");
    let policy = admin.post("/v2/policies", policy).await.body["id"].as_str().unwrap().to_owned();
    assert_eq!(
        t.with_role("Editor").await.patch(&path, json!({"public_access_enabled": false})).await.status,
        403
    );
    let off = admin.patch(&path, json!({"public_access_enabled": false})).await;
    assert_eq!((off.status, &off.body["public_access_enabled"]), (200, &json!(false)));
    let left = admin.get(&format!("/v2/policies/{policy}")).await;
    assert_eq!(left.body["state"], "deleted");
    let back = admin
        .with_header("if-match", &left.etag())
        .patch(&format!("/v1/policies/{policy}"), json!({"state": "active"}))
        .await;
    assert_eq!(back.status, 400);
    let other = t.outsider().await;
    assert_eq!(other.get(&path).await.status, 404);
}
