//! Secret groups.

use serde_json::json;

use crate::vault::{ABSENT, Vault, column, message, path};

#[tokio::test]
async fn a_group_lives_from_creation_to_deletion() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let made = admin.post("/secret_groups", json!({"name": "team-a", "description": "of A"})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let id = made.body["id"].as_str().unwrap();
    assert_eq!(
        (&made.body["name"], &made.body["description"], &made.body["created_by"]),
        (&json!("team-a"), &json!("of A"), &json!(v.t.owner()))
    );
    assert_eq!(made.body["created_at"], v.at(0));
    let one = format!("/secret_groups/{id}");
    assert_eq!(admin.get(&one).await.body, made.body);
    v.t.advance_secs(60);
    let same = admin.patch(&one, json!({"name": "team-a"})).await;
    assert_eq!((same.status, &same.body["updated_at"]), (200, &json!(v.at(0))), "{}", same.text);
    let renamed = admin.patch(&one, json!({"name": "team-b", "description": "of B"})).await;
    assert_eq!((&renamed.body["name"], &renamed.body["description"]), (&json!("team-b"), &json!("of B")));
    assert_eq!(renamed.body["created_at"], made.body["created_at"]);
    let listed = admin.get("/secret_groups").await.body;
    assert_eq!(column(&listed["secret_groups"], "name"), ["default", "team-b"]);
    assert_eq!(listed["total_count"], 2);
    assert_eq!(admin.delete(&one).await.status, 204);
    for (method, body) in [("GET", json!(null)), ("PATCH", json!({"name": "x1"})), ("DELETE", json!(null))] {
        assert_eq!(admin.call(method, &one, body).await.status, 404, "{method}");
    }
    for id in [ABSENT, "not-an-id", "DEFAULT"] {
        assert_eq!(admin.get(&format!("/secret_groups/{id}")).await.status, 404, "{id}");
    }
}

#[tokio::test]
async fn null_clears_the_description_of_a_group_and_absence_keeps_it() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let made = admin.post("/secret_groups", json!({"name": "team", "description": "old"})).await;
    let one = format!("/secret_groups/{}", made.body["id"].as_str().unwrap());
    let kept = admin.patch(&one, json!({"name": "team-2"})).await;
    assert_eq!(kept.body["description"], "old");
    let cleared = admin.patch(&one, json!({"description": null})).await;
    assert_eq!((cleared.status, &cleared.body["description"]), (200, &json!("")), "{}", cleared.text);
    assert_eq!(admin.get(&one).await.body["description"], "");
    let nameless = admin.patch(&one, json!({"name": null})).await;
    assert_eq!(nameless.status, 400, "{}", nameless.text);
    assert_eq!(admin.get(&one).await.body["name"], "team-2");
}

#[tokio::test]
async fn names_of_groups_are_unique_in_an_instance() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    admin.group("team-a").await;
    let b = admin.group("team-b").await;
    for name in ["team-a", "default"] {
        let again = admin.post("/secret_groups", json!({"name": name})).await;
        assert_eq!((again.status, message(&again).contains("already exists")), (409, true), "{name}");
        let renamed = admin.patch(&format!("/secret_groups/{b}"), json!({"name": name})).await;
        assert_eq!((renamed.status, message(&renamed).contains("already exists")), (409, true), "{name}");
    }
    // Another instance has names of its own.
    let other = Vault { guid: v.t.secrets_instance().await, t: v.t };
    other.admin().await.group("team-a").await;
    assert_eq!(admin.get("/secret_groups").await.body["total_count"], 3);
}

#[tokio::test]
async fn the_default_group_is_neither_changed_nor_deleted() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let before = admin.get("/secret_groups/default").await;
    assert_eq!((before.status, &before.body["name"]), (200, &json!("default")));
    assert_eq!(admin.patch("/secret_groups/default", json!({"name": "mine"})).await.status, 400);
    assert_eq!(admin.delete("/secret_groups/default").await.status, 400);
    assert_eq!(admin.get("/secret_groups/default").await.body, before.body);
}

#[tokio::test]
async fn a_group_in_use_stays_until_its_last_secret_is_gone() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let id = admin.group("team").await;
    let one = format!("/secret_groups/{id}");
    let made = admin
        .secret(json!({"secret_type": "kv", "name": "in", "data": {"a": 1}, "secret_group_id": id}))
        .await;
    assert_eq!(made["secret_group_id"], id);
    let refused = admin.delete(&one).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    let moved =
        admin.patch(&format!("{}/metadata", path(&made)), json!({"secret_group_id": "default"})).await;
    assert_eq!((moved.status, message(&moved).contains("secret_group_id")), (400, true), "{}", moved.text);
    assert_eq!(admin.delete(&path(&made)).await.status, 204);
    assert_eq!(admin.delete(&one).await.status, 204);
    // And nothing can be put into a group that is gone.
    let late = json!({"secret_type": "kv", "name": "late", "data": {"a": 1}, "secret_group_id": id});
    assert_eq!(admin.post("/secrets", late).await.status, 404);
}

#[tokio::test]
async fn groups_are_limited_in_number() {
    let t = avouch_testkit::TestApp::with(|config| config.limits.secret_groups = 2).await;
    let guid = t.secrets_instance().await;
    let v = Vault { t, guid };
    let admin = v.admin().await;
    let a = admin.group("team-a").await;
    admin.group("team-b").await;
    let third = admin.post("/secret_groups", json!({"name": "team-c"})).await;
    assert_eq!((third.status, message(&third).contains("maximum")), (400, true), "{}", third.text);
    assert_eq!(admin.delete(&format!("/secret_groups/{a}")).await.status, 204);
    admin.group("team-c").await;
}

#[tokio::test]
async fn changes_of_groups_are_told() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let id = admin.group("team").await;
    admin.patch(&format!("/secret_groups/{id}"), json!({"name": "team-2"})).await;
    admin.delete("/secret_groups/default").await;
    v.t.advance_secs(1);
    admin.delete(&format!("/secret_groups/{id}")).await;
    for (action, outcomes) in [("create", vec![201]), ("update", vec![200]), ("delete", vec![204, 400])] {
        let told = v.t.events(&[("action", &format!("secrets-manager.secret-group.{action}"))]).await;
        let found: Vec<i64> =
            told.iter().map(|e| e["reason"]["reasonCode"].as_i64().unwrap_or_default()).collect();
        assert_eq!(found, outcomes, "{told:?}");
        assert_eq!(told[0]["target"]["typeURI"], "secrets-manager/secret-group");
    }
}
