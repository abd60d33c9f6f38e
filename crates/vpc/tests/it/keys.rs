//! Keys.

use avouch_testkit::TestApp;
use serde_json::json;

use crate::world::{Vpc, as_refused, public_key, refused, text};

#[tokio::test]
async fn a_key_is_made_read_renamed_and_removed_with_an_event_each() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let made = admin
        .made(
            "/keys",
            json!({"name": "laptop", "public_key": public_key(1), "type": "ed25519",
            "resource_group": {"id": t.resource_group()}}),
        )
        .await;
    assert_eq!(
        (&made["type"], &made["length"], &made["name"]),
        (&json!("ed25519"), &json!(256), &json!("laptop"))
    );
    assert!(text(&made, "fingerprint").starts_with("SHA256:") && !text(&made, "fingerprint").ends_with('='));
    assert_eq!(made["public_key"], public_key(1));
    assert_eq!(
        (&made["resource_group"]["id"], &made["resource_group"]["name"]),
        (&json!(t.resource_group()), &json!("Default"))
    );
    let id = text(&made, "id");
    assert!(id.starts_with("r006-"), "{id}");
    let crn = format!("crn:v1:bluemix:public:is:us-south:a/{}::key:{id}", t.account());
    assert_eq!(text(&made, "crn"), crn);
    let one = format!("/keys/{id}");
    assert!(text(&made, "href").ends_with(&format!("/v1{one}")), "{made}");
    assert_eq!(admin.get(&one).await.body, made);
    assert_eq!(admin.get("/keys").await.body["keys"], json!([made]));
    assert_eq!(admin.get("/keys?resource_group.id=other").await.body["total_count"], 0);
    assert_eq!(admin.patch(&one, json!({"name": "desktop"})).await.body["name"], "desktop");
    assert_eq!(admin.delete(&one).await.status, 204);
    assert_eq!(refused(&admin.get(&one).await), as_refused(404, "not_found", "id"));
    assert_eq!(admin.delete(&one).await.status, 404);
    let mut actions: Vec<String> = t
        .events(&[("target_id", &crn)])
        .await
        .iter()
        .filter(|e| e["outcome"] == "success")
        .map(|e| text(e, "action").to_owned())
        .collect();
    actions.sort();
    assert_eq!(actions, ["is.key.key.create", "is.key.key.delete", "is.key.key.read", "is.key.key.update"]);
    let lists = t.events(&[("action", "is.key.key.read")]).await;
    assert!(lists.iter().any(|e| e["target"]["name"] == "*"), "{lists:?}");
}

#[tokio::test]
async fn neither_a_name_nor_a_key_is_there_twice_and_the_quota_holds() {
    let t = TestApp::with(|c| c.limits.vpc_keys = 2).await;
    let admin = Vpc::admin(&t).await;
    admin.made("/keys", json!({"name": "one", "public_key": public_key(1)})).await;
    let again = admin.post("/keys", json!({"name": "one", "public_key": public_key(2)})).await;
    assert_eq!(refused(&again), as_refused(400, "validation_unique_failed", "name"));
    let other_comment = public_key(1).replace("test1", "elsewhere");
    let again = admin.post("/keys", json!({"name": "two", "public_key": other_comment})).await;
    assert_eq!(refused(&again), as_refused(400, "validation_unique_failed", "public_key"));
    let two = admin.made("/keys", json!({"public_key": public_key(2)})).await;
    assert_eq!(text(&two, "name").matches('-').count(), 3, "{two}");
    let taken = admin.patch(&format!("/keys/{}", text(&two, "id")), json!({"name": "one"})).await;
    assert_eq!(refused(&taken), as_refused(400, "validation_unique_failed", "name"));
    let third = admin.post("/keys", json!({"public_key": public_key(3)})).await;
    assert_eq!(refused(&third), as_refused(403, "over_quota", ""));
    // What is deleted gives its name and its key free.
    assert_eq!(admin.delete(&format!("/keys/{}", text(&two, "id"))).await.status, 204);
    admin.made("/keys", json!({"public_key": public_key(2)})).await;
    let wrong = admin.post("/keys", json!({"public_key": public_key(9), "type": "rsa"})).await;
    assert_eq!(refused(&wrong), as_refused(400, "invalid_value", "type"));
    // Another account has names and keys of its own.
    let other = Vpc(t.outsider().await);
    other.made("/keys", json!({"name": "one", "public_key": public_key(1)})).await;
}

#[tokio::test]
async fn who_may_do_what_with_keys() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let id = text(&admin.made("/keys", json!({"name": "one", "public_key": public_key(1)})).await, "id")
        .to_owned();
    let other = text(&admin.made("/keys", json!({"public_key": public_key(2)})).await, "id").to_owned();
    let one = format!("/keys/{id}");
    let stranger = Vpc(t.outsider().await);
    let never = format!("{}0", &one[..one.len() - 1]);
    for (path, name) in [(&one, "x"), (&never, "x")] {
        for r in [
            stranger.get(path).await,
            stranger.patch(path, json!({"name": name})).await,
            stranger.delete(path).await,
        ] {
            assert_eq!(refused(&r), as_refused(404, "not_found", "id"), "{}", r.text);
        }
    }
    let nobody = Vpc(t.nobody().await);
    let r = nobody.get(&one).await;
    assert_eq!(refused(&r), as_refused(403, "not_authorized", ""));
    assert!(text(&r.body["errors"][0], "message").contains(&format!("keyId:{id}")), "{}", r.text);
    let r = nobody.post("/keys", json!({"public_key": public_key(3)})).await;
    assert_eq!(r.status, 403);
    assert!(text(&r.body["errors"][0], "message").contains("keyId:NEWRESOURCE"), "{}", r.text);
    assert_eq!(nobody.get("/keys").await.body["keys"], json!([]));
    let viewer = Vpc(t.viewer().await);
    assert_eq!((viewer.get(&one).await.status, viewer.delete(&one).await.status), (200, 403));
    // A policy on one key shows that one only.
    let (of_one, iam_id) = t.service_id("of-one").await;
    let target = json!([
        {"key": "accountId", "operator": "stringEquals", "value": t.account()},
        {"key": "serviceName", "operator": "stringEquals", "value": "is"},
        {"key": "keyId", "operator": "stringEquals", "value": id},
    ]);
    t.grant(&t.admin().await, &iam_id, "crn:v1:bluemix:public:iam::::role:Editor", target).await;
    let of_one = Vpc(of_one);
    let list = of_one.get("/keys").await;
    assert_eq!((&list.body["total_count"], &list.body["keys"][0]["id"]), (&json!(1), &json!(id)));
    assert_eq!(of_one.get(&format!("/keys/{other}")).await.status, 403);
    assert_eq!(of_one.post("/keys", json!({"public_key": public_key(3)})).await.status, 403);
    assert_eq!(of_one.delete(&one).await.status, 204);
}
