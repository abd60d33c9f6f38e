//! Built-in and custom roles.

use serde_json::{Value, json};

use crate::access_app::{TestApp, code, eq, platform, service_role};

fn body(t: &TestApp, name: &str, actions: &[&str]) -> Value {
    json!({
        "name": name, "display_name": format!("{name} role"), "account_id": t.account(), "service_name": "iam-groups",
        "actions": actions, "description": "test",
    })
}

fn crns(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|r| r["crn"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn listings_follow_the_service_asked_for() {
    let t = TestApp::new().await;
    let client = t.nobody().await;
    let r = client.get("/v2/roles").await;
    assert_eq!(crns(&r.body["system_roles"]).len(), 4);
    assert_eq!(
        crns(&r.body["service_roles"]),
        [service_role("Reader"), service_role("Writer"), service_role("Manager")]
    );
    assert_eq!(r.body["custom_roles"], json!([]));
    let r = client.get("/v2/roles?service_name=secrets-manager").await;
    assert!(
        crns(&r.body["service_roles"])
            .contains(&"crn:v1:bluemix:public:secrets-manager::::serviceRole:SecretsReader")
    );
    let r = client.get("/v2/roles?service_group_id=IAM").await;
    assert!(crns(&r.body["system_roles"]).contains(&platform("Viewer").as_str()));
    assert!(
        crns(&r.body["service_roles"])
            .contains(&"crn:v1:bluemix:public:iam-identity::::serviceRole:ServiceIdCreator")
    );
    let r = client.get("/v2/roles?service_name=alliamserviceroles").await;
    assert_eq!(crns(&r.body["service_roles"]).len(), 3);
    let r =
        client.get("/v2/roles?policy_type=authorization&source_service_name=kms&service_name=no-such").await;
    assert_eq!((&r.body["service_roles"], &r.body["system_roles"]), (&json!([]), &json!([])));
    // What is not known has no roles: the three lists are there, and empty.
    let empty = json!({"custom_roles": [], "service_roles": [], "system_roles": []});
    for unknown in ["service_name=no-such", "service_group_id=no-such", "source_service_name=no-such"] {
        let r = client.get(&format!("/v2/roles?account_id={}&{unknown}", t.account())).await;
        assert_eq!((r.status, &r.body), (200, &empty), "{unknown}");
    }
    let r = client
        .get("/v2/roles?policy_type=authorization&source_service_name=secrets-manager&service_name=kms")
        .await;
    assert!(crns(&r.body["service_roles"]).contains(&service_role("Reader").as_str()), "{}", r.body);
    assert_eq!(client.get("/v2/roles?service_name=kms&service_group_id=IAM").await.status, 400);
    assert_eq!(code(&t.anon().get("/v2/roles").await), "invalid_token");
}

#[tokio::test]
async fn a_custom_role_lives_from_creation_to_deletion() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let made = admin.post("/v2/roles", body(&t, "Lister", &["iam-groups.groups.list"])).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let crn = format!("crn:v1:bluemix:public:iam-access-management::a/{}::customRole:Lister", t.account());
    assert_eq!(made.body["crn"], crn.as_str());
    let path = format!("/v2/roles/{}", made.body["id"].as_str().unwrap());
    let read = admin.get(&path).await;
    assert_eq!((read.status, read.etag()), (200, made.etag()));
    assert_eq!(read.body["href"], format!("http://avouch.test{path}"));
    let list = admin.get(&format!("/v2/roles?account_id={}&service_name=iam-groups", t.account())).await;
    assert_eq!(crns(&list.body["custom_roles"]), [crn.as_str()]);
    let list = admin.get(&format!("/v2/roles?account_id={}&service_name=kms", t.account())).await;
    assert_eq!(list.body["custom_roles"], json!([]));
    let change = json!({"display_name": "Reads", "actions": ["iam-groups.groups.read"]});
    assert_eq!(admin.put(&path, change.clone()).await.status, 400);
    let changed = admin.with_header("if-match", &made.etag()).put(&path, change.clone()).await;
    assert_eq!((changed.status, &changed.body["name"]), (200, &json!("Lister")), "{}", changed.body);
    assert!(changed.body.get("description").is_none());
    let stale = admin.with_header("if-match", &made.etag()).put(&path, change).await;
    assert_eq!((stale.status, code(&stale)), (409, "role_conflict_error"));
    assert_eq!(stale.body["errors"][0]["details"]["conflicts_with"]["etag"], changed.etag());
    assert_eq!(admin.delete(&path).await.status, 204);
    let gone = admin.get(&path).await;
    assert_eq!((gone.status, code(&gone)), (404, "role_not_found"));
    for action in ["create", "update", "delete"] {
        assert!(!t.events(&format!("iam-am.role.{action}")).await.is_empty(), "{action}");
    }
}

#[tokio::test]
async fn a_role_is_widened_only_by_who_may_grant_what_it_then_holds() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let made = admin
        .post("/v2/roles", body(&t, "Lister", &["iam-groups.groups.list", "iam-groups.groups.read"]))
        .await;
    let path = format!("/v2/roles/{}", made.body["id"].as_str().unwrap());
    let (editor, iam_id) = t.identity().await;
    t.grant(&iam_id, &platform("Editor"), json!([eq("serviceName", "iam-access-management")])).await;
    t.grant(&iam_id, made.body["crn"].as_str().unwrap(), json!([eq("serviceName", "iam-groups")])).await;
    let editor = editor.with_header("if-match", "*");
    let change = |actions: &[&str]| json!({"display_name": "Lister", "actions": actions});
    let wider = ["iam-groups.groups.list", "iam-groups.groups.read", "iam-groups.groups.delete"];
    let refused = editor.put(&path, change(&wider)).await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert_eq!(admin.get(&path).await.body["actions"].as_array().unwrap().len(), 2);
    let narrower = editor.put(&path, change(&["iam-groups.groups.list"])).await;
    assert_eq!(narrower.status, 200, "{}", narrower.body);
    t.grant(&iam_id, &platform("Administrator"), json!([eq("serviceName", "iam-groups")])).await;
    assert_eq!(editor.put(&path, change(&wider)).await.status, 200);
}

#[tokio::test]
async fn names_and_action_sets_are_unique_and_known() {
    let t = TestApp::with(|c| c.limits.custom_roles = 2).await;
    let admin = t.admin().await;
    assert_eq!(admin.post("/v2/roles", body(&t, "One", &["iam-groups.groups.list"])).await.status, 201);
    let mut display = body(&t, "Two", &["iam-groups.groups.read"]);
    display["display_name"] = json!("One role");
    for taken in
        [body(&t, "One", &["iam-groups.groups.read"]), body(&t, "Two", &["iam-groups.groups.list"]), display]
    {
        let r = admin.post("/v2/roles", taken).await;
        assert_eq!((r.status, code(&r)), (409, "role_conflict_error"));
    }
    // What people would take for the same name, and for a built-in role.
    for display_name in ["ONE ROLE", "Ｏne role", "Viewer", "viewer", "Administrator", "Ａdministrator"] {
        let mut alike = body(&t, "Two", &["iam-groups.groups.read"]);
        alike["display_name"] = json!(display_name);
        let r = admin.post("/v2/roles", alike).await;
        assert_eq!((r.status, code(&r)), (409, "role_conflict_error"), "{display_name}: {}", r.body);
    }
    let one = admin.get(&format!("/v2/roles?account_id={}", t.account())).await;
    let path = format!("/v2/roles/{}", one.body["custom_roles"][0]["id"].as_str().unwrap());
    let tag = admin.get(&path).await.etag();
    let renamed = json!({"display_name": "editor", "actions": ["iam-groups.groups.list"]});
    let r = admin.with_header("if-match", &tag).put(&path, renamed).await;
    assert_eq!((r.status, code(&r)), (409, "role_conflict_error"), "{}", r.body);
    let long = "A".repeat(31);
    for bad in [
        body(&t, "lower", &["iam-groups.groups.read"]),
        body(&t, "With space", &["iam-groups.groups.read"]),
        body(&t, &long, &["iam-groups.groups.read"]),
        body(&t, "Two", &[]),
        body(&t, "Two", &["iam-groups.groups.fly"]),
        body(&t, "Two", &["kms.secrets.read"]),
        body(&t, "Two", &["iam.policy.create"]),
        body(&t, "Two", &["iam-groups.groups.read", "iam-groups.groups.read"]),
    ] {
        let r = admin.post("/v2/roles", bad.clone()).await;
        assert_eq!((r.status, code(&r)), (400, "invalid_body"), "{bad}");
    }
    assert_eq!(admin.post("/v2/roles", body(&t, "Two", &["iam-groups.groups.read"])).await.status, 201);
    let full = admin.post("/v2/roles", body(&t, "Three", &["iam-groups.groups.delete"])).await;
    assert_eq!((full.status, code(&full)), (422, "unable_to_process"));
}

#[tokio::test]
async fn rights_on_roles_are_those_of_the_catalogue() {
    let t = TestApp::new().await;
    let made = t.admin().await.post("/v2/roles", body(&t, "One", &["iam-groups.groups.list"])).await;
    let path = format!("/v2/roles/{}", made.body["id"].as_str().unwrap());
    let change = json!({"display_name": "One role", "actions": ["iam-groups.groups.list"]});
    for (role, read, update, create) in [
        ("Viewer", 200, 403, 403),
        ("Editor", 200, 200, 403),
        ("Operator", 200, 403, 403),
        ("Administrator", 200, 200, 201),
    ] {
        let client = t.with_role(role).await;
        let present = client.get(&path).await;
        assert_eq!(present.status, read, "{role}");
        let changed = client.with_header("if-match", &present.etag()).put(&path, change.clone()).await;
        assert_eq!(changed.status, update, "{role}");
        let made = client.post("/v2/roles", body(&t, "Other", &["iam-groups.groups.read"])).await;
        assert_eq!(made.status, create, "{role}");
    }
    // Role management alone is enough for roles, and for nothing else.
    let (keeper, keeper_id) = t.identity().await;
    let own = json!([eq("serviceName", "iam-access-management.customRole")]);
    t.grant(&keeper_id, &platform("Administrator"), own).await;
    assert_eq!(keeper.get(&path).await.status, 200);
    let settings = format!("/v1/accounts/{}/settings/access_management", t.account());
    assert_eq!(keeper.get(&settings).await.status, 403);
    // Another account.
    let outsider = t.outsider().await;
    for r in [outsider.get(&path).await, outsider.delete(&path).await] {
        assert_eq!((r.status, code(&r)), (404, "role_not_found"));
    }
    let list = outsider.get(&format!("/v2/roles?account_id={}", t.account())).await;
    assert_eq!(list.body["custom_roles"], json!([]));
}

#[tokio::test]
async fn a_custom_role_grants_its_actions_until_it_is_deleted() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let made = admin.post("/v2/roles", body(&t, "Lister", &["iam-groups.groups.list"])).await;
    let crn = made.body["crn"].as_str().unwrap().to_owned();
    let (client, iam_id) = t.identity().await;
    let only = t.grant(&iam_id, &crn, json!([eq("serviceName", "iam-groups")])).await;
    let mut both = t.v2("IBMid-2", &crn, json!([eq("serviceName", "iam-groups")]));
    both["control"]["grant"]["roles"] = json!([{"role_id": crn}, {"role_id": platform("Viewer")}]);
    let both = admin.post("/v2/policies", both).await.body["id"].as_str().unwrap().to_owned();
    let group = admin.post(&format!("/v2/groups?account_id={}", t.account()), json!({"name": "g"})).await;
    assert_eq!(group.status, 201, "{}", group.body);
    let list = format!("/v2/groups?account_id={}&hide_public_access=true", t.account());
    assert_eq!(client.get(&list).await.body["total_count"], 1);
    assert_eq!(client.get(&format!("/v2/groups/{}", group.body["id"].as_str().unwrap())).await.status, 403);
    // A custom role of one service is no role of another.
    let r = admin.post("/v2/policies", t.v2(&iam_id, &crn, json!([eq("serviceName", "kms")]))).await;
    assert_eq!(r.status, 400);
    assert_eq!(admin.delete(&format!("/v2/roles/{}", made.body["id"].as_str().unwrap())).await.status, 204);
    assert_eq!(client.get(&list).await.body["total_count"], 0);
    assert_eq!(admin.get(&format!("/v2/policies/{only}")).await.body["state"], "deleted");
    let left = admin.get(&format!("/v2/policies/{both}")).await;
    assert_eq!(left.body["state"], "active");
    assert_eq!(left.body["control"]["grant"]["roles"], json!([{"role_id": platform("Viewer")}]));
}
