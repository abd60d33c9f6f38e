//! Service IDs and their groups.

use avouch_testkit::TestApp;
use serde_json::{Value, json};

use crate::helpers::{code, event, grant, service_id, text, user};

#[tokio::test]
async fn a_service_id_lives_from_creation_to_deletion() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let crn = format!("crn:v1:bluemix:public:kms:us-south:a/{}:i1::", t.account());
    let body = json!({"account_id": t.account(), "name": "s", "unique_instance_crns": [crn]});
    let made = admin.post("/v1/serviceids/", body).await;
    assert_eq!((made.status, made.etag()), (201, text(&made, "entity_tag")), "{}", made.body);
    let id = text(&made, "id");
    assert_eq!(made.body["iam_id"], format!("iam-{id}"));
    assert_eq!((&made.body["locked"], &made.body["unique_instance_crns"]), (&json!(false), &json!([crn])));
    assert!(made.body.get("group_id").is_none() && made.body.get("apikey").is_none());
    let path = format!("/v1/serviceids/{id}");
    let read = admin.get(&format!("{path}?include_history=true&include_activity=true")).await;
    assert_eq!((read.etag(), read.body["history"].as_array().unwrap().len()), (made.etag(), 1));
    assert_eq!(read.body["activity"], json!({"authn_count": 0}));
    assert_eq!(admin.put(&path, json!({"name": "n"})).await.status, 400);
    let tagged = admin.with_header("if-match", &made.etag());
    let changed = tagged.put(&path, json!({"name": "n", "description": "d"})).await;
    assert_eq!((changed.status, text(&changed, "name")), (200, "n".into()));
    assert_eq!(tagged.put(&path, json!({"name": "m"})).await.status, 409);
    for bad in [json!({"name": ""}), json!({"unique_instance_crns": ["x"]}), json!({"name": 1})] {
        assert_eq!(admin.with_header("if-match", "*").put(&path, bad.clone()).await.status, 400, "{bad}");
    }
    for bad in
        [json!({"name": "x"}), json!({"account_id": t.account()}), json!({"name": "x", "account_id": "y"})]
    {
        assert_eq!(admin.post("/v1/serviceids", bad.clone()).await.status, 400, "{bad}");
    }
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!((admin.get(&path).await.status, admin.delete(&path).await.status), (404, 404));
    assert_eq!(admin.get("/v1/serviceids/invalid").await.status, 404);
    let told = t.events(&[("action", "iam-identity.account-serviceid.update"), ("outcome", "success")]).await;
    let told = &told[0]["requestData"];
    assert_eq!((&told["instance_name"], &told["prev_instance_name"]), (&json!("n"), &json!("s")));
}

#[tokio::test]
async fn names_may_repeat_and_lists_find_them_exactly() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    for name in ["same", "same", "other", "SAME"] {
        service_id(&t, &admin, name).await;
    }
    let count = async |query: &str| {
        let r = admin.get(&format!("/v1/serviceids/?account_id={}{query}", t.account())).await;
        assert_eq!(r.status, 200, "{}", r.body);
        r.body["serviceids"].as_array().unwrap().len()
    };
    assert_eq!(count("").await, 4);
    assert_eq!(count("&name=same").await, 2);
    assert_eq!(count("&name=sam").await, 0);
    assert_eq!(count("&filter=name%20sw%20%22oth%22").await, 1);
    assert_eq!(count("&pagesize=3").await, 3);
    assert_eq!(count(&format!("&filter=created_by%20eq%20%22{}%22", t.owner())).await, 4);
}

#[tokio::test]
async fn a_key_may_come_with_its_service_id_and_goes_with_it() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let body = json!({"account_id": t.account(), "name": "s", "apikey": {"name": "k"}});
    let made = admin.post("/v1/serviceids", body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let value = made.body["apikey"]["apikey"].as_str().unwrap().to_owned();
    assert!(value.len() >= 43);
    let client = t.bearer(&t.token(&value).await);
    let path = format!("/v1/serviceids/{}", text(&made, "id"));
    assert_eq!(admin.get(&format!("{path}?include_activity=true")).await.body["activity"]["authn_count"], 1);
    let told = event(&t, "iam-identity.serviceid-apikey.create").await;
    assert_eq!(told["target"]["typeURI"], "iam-identity/serviceid-apikey");
    assert!(told["target"]["id"].as_str().unwrap().contains(":apikey:ApiKey-"), "{told}");
    assert!(!told.to_string().contains(&value));
    for bad in [json!({}), json!({"name": "k", "apikey": "short"}), json!("k")] {
        let body = json!({"account_id": t.account(), "name": "none", "apikey": bad});
        assert_eq!(admin.post("/v1/serviceids", body.clone()).await.status, 400, "{body}");
    }
    assert_eq!(client.get("/v1/apikeys").await.status, 200);
    assert_eq!(admin.delete(&path).await.status, 204);
    // Its token is dead at once, its key too.
    assert_eq!(client.get("/v1/apikeys").await.status, 401);
    let key = made.body["apikey"]["id"].as_str().unwrap();
    assert_eq!(admin.get(&format!("/v1/apikeys/{key}")).await.status, 404);
    let form = [("grant_type", "urn:ibm:params:oauth:grant-type:apikey"), ("apikey", value.as_str())];
    assert_eq!(t.anon().form("/identity/token", &form).await.status, 400);
    assert_eq!(t.events(&[("action", "iam-identity.serviceid-apikey.delete")]).await.len(), 1);
}

#[tokio::test]
async fn a_locked_service_id_changes_only_by_being_unlocked() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let body = json!({"account_id": t.account(), "name": "s"});
    let made = admin.with_header("entity-lock", "true").post("/v1/serviceids", body.clone()).await;
    assert_eq!((made.status, &made.body["locked"]), (201, &json!(true)));
    let path = format!("/v1/serviceids/{}", text(&made, "id"));
    let any = admin.with_header("if-match", "*");
    let r = any.put(&path, json!({"name": "x"})).await;
    assert_eq!((r.status, code(&r)), (409, "BXNIM0112E"));
    let r = admin.delete(&path).await;
    assert_eq!((r.status, code(&r)), (409, "BXNIM0112E"));
    let told = event(&t, "iam-identity.account-serviceid.delete").await;
    assert_eq!((&told["outcome"], &told["severity"]), (&json!("failure"), &json!("critical")));
    let r = admin.delete(&format!("{path}/lock")).await;
    assert_eq!((r.status, r.text.as_str()), (204, ""));
    assert_eq!(any.put(&path, json!({"name": "x"})).await.status, 200);
    assert_eq!(admin.post(&format!("{path}/lock"), Value::Null).await.status, 204);
    assert_eq!(admin.get(&path).await.body["locked"], true);
    let told = t.events(&[("action", "iam-identity.account-serviceid.update"), ("outcome", "success")]).await;
    assert_eq!(told.iter().filter(|e| e["requestData"]["lock"].is_boolean()).count(), 2);
    assert_eq!(admin.with_header("entity-lock", "maybe").post("/v1/serviceids", body).await.status, 400);
}

#[tokio::test]
async fn a_service_id_with_a_locked_key_is_deleted_only_after_the_key_was_unlocked() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let body = json!({"account_id": t.account(), "name": "s", "apikey": {"name": "free"}});
    let made = admin.post("/v1/serviceids", body).await;
    let path = format!("/v1/serviceids/{}", text(&made, "id"));
    let key = json!({"name": "locked", "iam_id": made.body["iam_id"]});
    let key = admin.with_header("entity-lock", "true").post("/v1/apikeys", key).await;
    assert_eq!((key.status, &key.body["locked"]), (201, &json!(true)));
    let r = admin.delete(&path).await;
    assert_eq!((r.status, code(&r)), (409, "BXNIM0112E"), "{}", r.text);
    let told = event(&t, "iam-identity.account-serviceid.delete").await;
    assert_eq!((&told["outcome"], &told["severity"]), (&json!("failure"), &json!("critical")));
    // Nothing went: neither the service ID, nor the key that is not locked.
    assert!(t.events(&[("action", "iam-identity.serviceid-apikey.delete")]).await.is_empty());
    let free = made.body["apikey"]["apikey"].as_str().unwrap();
    let locked = key.body["apikey"].as_str().unwrap();
    for value in [free, locked] {
        assert_eq!(t.bearer(&t.token(value).await).get("/v1/apikeys").await.status, 200);
    }
    let lock = format!("/v1/apikeys/{}/lock", text(&key, "id"));
    assert_eq!(admin.delete(&lock).await.status, 204);
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!(t.events(&[("action", "iam-identity.serviceid-apikey.delete")]).await.len(), 2);
}

#[tokio::test]
async fn a_locked_service_id_takes_new_keys_and_no_policies() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let body = json!({"account_id": t.account(), "name": "s"});
    let made = admin.with_header("entity-lock", "true").post("/v1/serviceids", body).await;
    let key = json!({"name": "k", "iam_id": made.body["iam_id"]});
    let key = admin.post("/v1/apikeys", key).await;
    assert_eq!(key.status, 201, "{}", key.text);
    assert_eq!(t.token(key.body["apikey"].as_str().unwrap()).await.matches('.').count(), 2);
    let policy = admin
        .post(
            "/v2/policies",
            json!({
                "type": "access",
                "subject": {"attributes": [
                    {"key": "iam_id", "operator": "stringEquals", "value": made.body["iam_id"]}]},
                "control": {"grant": {"roles": [{"role_id": "crn:v1:bluemix:public:iam::::role:Viewer"}]}},
                "resource": {"attributes": [
                    {"key": "accountId", "operator": "stringEquals", "value": t.account()},
                    {"key": "serviceName", "operator": "stringEquals", "value": "kms"}]},
            }),
        )
        .await;
    assert_eq!(policy.status, 422, "{}", policy.text);
}

#[tokio::test]
async fn users_may_create_service_ids_unless_restricted_and_administer_their_own() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let (client, iam_id) = user(&t, "member").await;
    let body = json!({"account_id": t.account(), "name": "mine"});
    let made = client.post("/v1/serviceids", body.clone()).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let path = format!("/v1/serviceids/{}", text(&made, "id"));
    let theirs = format!("/v1/serviceids/{}", text(&service_id(&t, &admin, "theirs").await, "id"));
    let any = client.with_header("if-match", "*");
    assert_eq!((client.get(&path).await.status, client.get(&theirs).await.status), (200, 403));
    assert_eq!(any.put(&path, json!({"description": "d"})).await.status, 200);
    assert_eq!(any.put(&theirs, json!({"description": "d"})).await.status, 403);
    let listed = client.get(&format!("/v1/serviceids?account_id={}", t.account())).await;
    assert_eq!(listed.body["serviceids"].as_array().unwrap().len(), 1);
    let key = json!({"name": "k", "iam_id": made.body["iam_id"]});
    assert_eq!(client.post("/v1/apikeys", key).await.status, 201);
    assert_eq!(client.delete(&path).await.status, 204);

    // A workload without any right is no member: it must not leave a credential behind.
    assert_eq!(t.nobody().await.post("/v1/serviceids", body.clone()).await.status, 403);

    let settings = format!("/v1/accounts/{}/settings/identity", t.account());
    let restrict = json!({"restrict_create_service_id": "RESTRICTED"});
    assert_eq!(admin.with_header("if-match", "*").put(&settings, restrict).await.status, 200);
    assert_eq!(client.post("/v1/serviceids", body.clone()).await.status, 403);
    let attribute = |key: &str, value: &str| json!({"key": key, "operator": "stringEquals", "value": value});
    let role = "crn:v1:bluemix:public:iam-identity::::serviceRole:ServiceIdCreator";
    let attributes = json!([attribute("accountId", t.account()), attribute("serviceName", "iam-identity")]);
    t.grant(&admin, &iam_id, role, attributes).await;
    assert_eq!(client.post("/v1/serviceids", body).await.status, 201);
}

#[tokio::test]
async fn roles_decide_who_may_do_what() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    for (role, change, remove) in [("Viewer", 403, 403), ("Editor", 200, 403), ("Operator", 200, 204)] {
        let (client, iam_id) = user(&t, &role.to_lowercase()).await;
        grant(&t, &iam_id, role, &[]).await;
        let path = format!("/v1/serviceids/{}", text(&service_id(&t, &admin, role).await, "id"));
        assert_eq!(client.get(&path).await.status, 200, "{role}");
        let changed = client.with_header("if-match", "*").put(&path, json!({"description": "d"})).await;
        assert_eq!(changed.status, change, "{role}");
        let locked = if change == 200 { 204 } else { 403 };
        assert_eq!(client.post(&format!("{path}/lock"), Value::Null).await.status, locked, "{role}");
        assert_eq!(client.delete(&format!("{path}/lock")).await.status, locked, "{role}");
        assert_eq!(client.delete(&path).await.status, remove, "{role}");
    }
}

#[tokio::test]
async fn groups_hold_service_ids_and_go_only_when_empty() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let base = format!("/v1/serviceid_groups?account_id={}", t.account());
    assert_eq!(admin.get(&base).await.body, json!({"serviceid_groups": []}));
    let body = json!({"account_id": t.account(), "name": "g", "description": "d"});
    let made = admin.post("/v1/serviceid_groups", body.clone()).await;
    assert_eq!((made.status, made.etag()), (201, text(&made, "entity_tag")), "{}", made.body);
    assert_eq!(made.body["created_by"], t.owner());
    assert_eq!(admin.post("/v1/serviceid_groups", body.clone()).await.status, 409);
    let group = text(&made, "id");
    let path = format!("/v1/serviceid_groups/{group}");
    assert_eq!(admin.put(&path, json!({"name": "h"})).await.status, 400);
    let tagged = admin.with_header("if-match", &made.etag());
    let changed = tagged.put(&path, json!({"name": "h"})).await;
    assert_eq!((changed.status, text(&changed, "description")), (200, "d".into()));
    assert_eq!(tagged.put(&path, json!({"name": "h"})).await.status, 409);

    let new = |group: &str| json!({"account_id": t.account(), "name": "s", "group_id": group});
    assert_eq!(admin.post("/v1/serviceids", new("ServiceIdGroup-unknown")).await.status, 400);
    let s = admin.post("/v1/serviceids?show_group_id=true", new(&group)).await;
    assert_eq!((s.status, &s.body["group_id"]), (201, &json!(group)));
    let service = format!("/v1/serviceids/{}", text(&s, "id"));
    assert!(admin.get(&service).await.body.get("group_id").is_none());
    service_id(&t, &admin, "default group").await;
    let list = format!("/v1/serviceids?account_id={}", t.account());
    let names = async |query: &str| {
        let r = admin.get(query).await;
        let all = r.body["serviceids"].as_array().unwrap();
        all.iter().map(|s| s["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&list).await, ["default group"]);
    assert_eq!(names(&format!("{list}&group_id={group}")).await, ["s"]);
    assert_eq!(admin.delete(&path).await.status, 409);
    assert_eq!(admin.delete(&service).await.status, 204);
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!(admin.get(&path).await.status, 404);
    let viewer = t.viewer().await;
    assert_eq!(viewer.get(&base).await.status, 200);
    assert_eq!(viewer.post("/v1/serviceid_groups", body).await.status, 403);
}

#[tokio::test]
async fn who_made_a_service_id_lists_it_with_a_token_of_its_account_only() {
    let t = TestApp::new().await;
    let (admin, outsider) = (t.admin().await, t.outsider().await);
    let id = text(&service_id(&t, &admin, "s").await, "id");
    // A user of both accounts made it; his token is of the other one.
    let row = id.clone();
    let claims = avouch_crypto::base64url::decode(outsider.token().split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let maker = claims["iam_id"].as_str().unwrap().to_owned();
    let made = t.app().store.write(move |tx| {
        let sql = "update service_ids set created_by = $2 where id = $1";
        let changed = tx.execute(sql, &avouch_store::params![row.as_str(), maker.as_str()])?;
        Ok::<_, avouch_gate::Error>(changed)
    });
    assert_eq!(made.await.unwrap(), 1);
    let listed = outsider.get(&format!("/v1/serviceids?account_id={}", t.account())).await;
    assert!(!listed.text.contains(&id), "{}", listed.text);
    assert_eq!(outsider.get(&format!("/v1/serviceids/{id}")).await.status, 404);
    let own = admin.get(&format!("/v1/serviceids?account_id={}", t.account())).await;
    assert!(own.text.contains(&id), "the administrator still sees it");
}
