//! Locks: single, in bulk, with the modes, on both versions.

use serde_json::{Value, json};

use crate::vault::{LOCKED, Vault, column, message, path};

fn names(summary: &Value, alias: &str) -> Value {
    let versions = summary["versions"].as_array().unwrap();
    versions.iter().find(|v| v["version_alias"] == alias).map_or(Value::Null, |v| v["locks"].clone())
}

#[tokio::test]
async fn a_lock_is_made_replaced_listed_and_removed() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let made = admin.secret(json!({"secret_type": "kv", "name": "kv", "data": {"a": 1}})).await;
    let secret = path(&made);
    let locks = format!("{secret}/locks_bulk");
    let r = admin
        .post(&locks, json!({"locks": [{"name": "web-1", "description": "pod", "attributes": {"pod": "x"}}, {"name": "web-2"}]}))
        .await;
    assert_eq!(r.status, 201, "{}", r.text);
    assert_eq!(
        (&r.body["secret_id"], &r.body["secret_name"], &r.body["secret_type"], &r.body["secret_group_id"]),
        (&made["id"], &json!("kv"), &json!("kv"), &json!("default"))
    );
    assert_eq!(names(&r.body, "current"), json!(["web-1", "web-2"]));
    assert_eq!(r.body["versions"][0]["payload_available"], true);
    v.t.advance_secs(60);
    // The same name on the same version replaces.
    let again = admin.post(&locks, json!({"locks": [{"name": "web-1", "attributes": {"pod": "y"}}]})).await;
    assert_eq!((again.status, names(&again.body, "current")), (201, json!(["web-1", "web-2"])));
    let listed = admin.get(&format!("{secret}/locks?sort=name")).await.body;
    let first = &listed["locks"][0];
    assert_eq!((&first["name"], &first["attributes"]), (&json!("web-1"), &json!({"pod": "y"})));
    assert_eq!((&first["updated_at"], &first["created_by"]), (&json!(v.at(0)), &json!(v.t.owner())));
    assert_eq!(first["created_at"], v.at(-60));
    assert_eq!((&first["secret_id"], &first["secret_version_alias"]), (&made["id"], &json!("current")));
    assert_eq!(admin.get(&format!("{secret}/metadata")).await.body["locks_total"], 2);
    // Names that are not there are no error, twice neither.
    for _ in 0..2 {
        let r = admin.delete(&format!("{locks}?name=web-1,nobody")).await;
        assert_eq!((r.status, names(&r.body, "current")), (200, json!(["web-2"])), "{}", r.text);
    }
    let all = admin.delete(&locks).await;
    assert_eq!((all.status, names(&all.body, "current")), (200, json!([])));
    assert_eq!(admin.get(&format!("{secret}/locks")).await.body["total_count"], 0);
}

#[tokio::test]
async fn a_lock_holds_the_secret_whichever_version_has_it() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let secret = admin.text("db").await;
    admin.rotate(&secret, "db-2").await;
    for version in ["current", "previous"] {
        let locks = format!("{secret}/versions/{version}/locks_bulk");
        assert_eq!(admin.post(&locks, json!({"locks": [{"name": "l1"}]})).await.status, 201);
        assert_eq!(admin.get(&format!("{secret}/versions/{version}/locks")).await.body["total_count"], 1);
        for query in ["", "?force_delete=true", "?force_delete=false"] {
            let r = admin.delete(&format!("{secret}{query}")).await;
            assert_eq!((r.status, message(&r)), (412, LOCKED), "{version}{query}");
        }
        let gone = admin.delete(&format!("{locks}?name=l1")).await;
        assert_eq!((gone.status, names(&gone.body, version)), (200, json!([])));
    }
    assert_eq!(admin.delete(&secret).await.status, 204);
    assert_eq!(admin.get(&secret).await.status, 404);
}

#[tokio::test]
async fn removing_previous_locks_takes_the_same_names_only() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let secret = admin.text("db").await;
    let locks = format!("{secret}/locks_bulk");
    admin.lock(&secret, "a1").await;
    admin.lock(&secret, "b1").await;
    admin.rotate(&secret, "db-2").await;
    let one = admin.post(&format!("{locks}?mode=remove_previous"), json!({"locks": [{"name": "a1"}]})).await;
    assert_eq!((names(&one.body, "current"), names(&one.body, "previous")), (json!(["a1"]), json!(["b1"])));
    // Somebody still depends on the previous version, so its payload stays.
    let erase = format!("{locks}?mode=remove_previous_and_delete");
    let held = admin.post(&erase, json!({"locks": [{"name": "c1"}]})).await;
    assert_eq!(
        (names(&held.body, "current"), names(&held.body, "previous")),
        (json!(["a1", "c1"]), json!(["b1"]))
    );
    assert_eq!(admin.get(&format!("{secret}/versions/previous")).await.body["payload"], "db-1");
    let free = admin.post(&erase, json!({"locks": [{"name": "b1"}]})).await;
    assert_eq!(
        (names(&free.body, "current"), names(&free.body, "previous")),
        (json!(["a1", "b1", "c1"]), json!([]))
    );
    let previous = admin.get(&format!("{secret}/versions/previous")).await;
    assert_eq!((previous.status, &previous.body["payload_available"]), (200, &json!(false)));
    assert!(previous.body.get("payload").is_none());
    let late = admin
        .post(&format!("{secret}/versions/previous/locks_bulk"), json!({"locks": [{"name": "d1"}]}))
        .await;
    assert_eq!(late.status, 400, "{}", late.text);
    assert_eq!(admin.get(&secret).await.body["payload"], "db-2");
    // Without a payload to protect, rotation goes on.
    admin.rotate(&secret, "db-3").await;
}

#[tokio::test]
async fn a_mode_never_removes_the_lock_being_made() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let secret = admin.text("db").await;
    admin.lock(&secret, "l1").await;
    admin.rotate(&secret, "db-2").await;
    for mode in ["remove_previous", "remove_previous_and_delete"] {
        let r = admin
            .post(
                &format!("{secret}/versions/previous/locks_bulk?mode={mode}"),
                json!({"locks": [{"name": "l1"}]}),
            )
            .await;
        assert_eq!((r.status, names(&r.body, "previous")), (201, json!(["l1"])), "{mode}");
        assert_eq!(admin.get(&format!("{secret}/versions/previous")).await.body["payload"], "db-1");
    }
}

#[tokio::test]
async fn unfit_locks_are_refused_as_a_whole() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let secret = admin.text("db").await;
    let locks = format!("{secret}/locks_bulk");
    for bad in [
        json!({}),
        json!({"locks": []}),
        json!({"locks": null}),
        json!({"locks": [{"name": "good"}, {}]}),
        json!({"locks": [{"name": "good"}, {"name": "a"}]}),
        json!({"locks": [{"name": "good"}, {"name": "x".repeat(65)}]}),
        json!({"locks": [{"name": "good"}, {"name": "a b"}]}),
        json!({"locks": [{"name": "good", "attributes": []}]}),
        json!({"locks": [{"name": "good", "attributes": {"k": "v".repeat(10_240)}}]}),
        json!({"locks": {"name": "good"}}),
    ] {
        let r = admin.post(&locks, bad.clone()).await;
        assert_eq!(r.status, 400, "{}", r.text);
    }
    let r = admin.post(&format!("{locks}?mode=all"), json!({"locks": [{"name": "good"}]})).await;
    assert_eq!((r.status, message(&r).contains("mode")), (400, true));
    assert_eq!(admin.get(&format!("{secret}/locks")).await.body["total_count"], 0);
}

#[tokio::test]
async fn a_secret_has_at_most_a_thousand_locks() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let secret = admin.text("db").await;
    let bulk = |from: usize, to: usize| json!({"locks": (from..to).map(|n| json!({"name": format!("l{n}")})).collect::<Vec<_>>()});
    assert_eq!(admin.post(&format!("{secret}/locks_bulk"), bulk(0, 600)).await.status, 201);
    admin.rotate(&secret, "db-2").await;
    // Both versions count together, and what is too much leaves nothing behind.
    let over = admin.post(&format!("{secret}/locks_bulk"), bulk(0, 401)).await;
    assert_eq!((over.status, message(&over).contains("maximum")), (400, true), "{}", over.text);
    assert_eq!(admin.get(&format!("{secret}/metadata")).await.body["locks_total"], 600);
    assert_eq!(admin.post(&format!("{secret}/locks_bulk"), bulk(0, 400)).await.status, 201);
    let page = admin.get(&format!("{secret}/locks?limit=1000")).await.body;
    assert_eq!((&page["total_count"], page["locks"].as_array().unwrap().len()), (&json!(1000), 1000));
}

#[tokio::test]
async fn lists_of_locks_are_paged_sorted_and_searched() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let secret = admin.text("db").await;
    for name in ["web-b", "Web-a", "job"] {
        admin.lock(&secret, name).await;
        v.t.advance_secs(1);
    }
    admin.lock(&secret, "web-b").await;
    let list = async |query: &str| {
        let r = admin.get(&format!("{secret}/locks{query}")).await;
        assert_eq!(r.status, 200, "{query}: {}", r.text);
        column(&r.body["locks"], "name").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(list("").await, ["web-b", "Web-a", "job"]);
    assert_eq!(list("?sort=-created_at").await, ["job", "Web-a", "web-b"]);
    assert_eq!(list("?sort=name").await, ["Web-a", "job", "web-b"]);
    assert_eq!(list("?sort=-updated_at").await, ["web-b", "job", "Web-a"]);
    assert_eq!(list("?search=WEB").await, ["web-b", "Web-a"]);
    assert_eq!(list("?sort=name&limit=1&offset=1").await, ["job"]);
    let r = admin.get(&format!("{secret}/locks")).await.body;
    assert_eq!((&r["limit"], &r["offset"], &r["total_count"]), (&json!(25), &json!(0), &json!(3)));
    for query in ["?sort=pod", "?limit=0", "?limit=1001", "?offset=-1"] {
        assert_eq!(admin.get(&format!("{secret}/locks{query}")).await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn locks_of_all_secrets_are_listed_per_secret() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let group = admin.group("team").await;
    let a = admin.text("a1").await;
    v.t.advance_secs(1);
    admin.text("unlocked").await;
    let b = path(
        &admin
            .secret(json!({"secret_type": "kv", "name": "b1", "data": {"k": 1}, "secret_group_id": group}))
            .await,
    );
    admin.lock(&a, "web").await;
    admin.rotate(&a, "a1-2").await;
    admin.lock(&b, "job").await;
    let all = admin.get("/secrets_locks").await.body;
    assert_eq!(column(&all["secrets_locks"], "secret_name"), ["a1", "b1"]);
    assert_eq!((&all["total_count"], &all["limit"]), (&json!(2), &json!(200)));
    assert_eq!(names(&all["secrets_locks"][0], "previous"), json!(["web"]));
    for (query, found) in [
        (format!("groups={group}"), vec!["b1"]),
        (format!("groups=default,{group}"), vec!["a1", "b1"]),
        ("groups=00000000-0000-4000-8000-00000000dead".into(), vec![]),
        ("search=WE".into(), vec!["a1"]),
        ("limit=1&offset=1".into(), vec!["b1"]),
    ] {
        let r = admin.get(&format!("/secrets_locks?{query}")).await.body;
        assert_eq!(column(&r["secrets_locks"], "secret_name"), found, "{query}");
    }
}

#[tokio::test]
async fn a_deleted_instance_comes_back_with_its_locked_secrets_and_its_own_lock_keeps_it_from_going() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let secret = admin.text("db").await;
    admin.lock(&secret, "held").await;
    let instance = format!("/v2/resource_instances/{}", v.guid);
    assert_eq!(admin.client.post(&format!("{instance}/lock"), json!({})).await.status, 200);
    assert_eq!(admin.client.delete(&instance).await.status, 422);
    assert_eq!(admin.client.delete(&format!("{instance}/lock")).await.status, 200);
    // The deletion of an instance is a plan of a week, and whoever needs the secret has that time.
    assert_eq!(admin.client.delete(&instance).await.status, 204);
    v.after(6 * 86_400).await;
    let admin = v.admin().await;
    assert_eq!(admin.get(&format!("{secret}/metadata")).await.status, 404);
    let open = admin.client.get("/v1/reclamations").await.body;
    let id = open["resources"][0]["id"].as_str().unwrap();
    let restored = admin.client.post(&format!("/v1/reclamations/{id}/actions/restore"), json!({})).await;
    assert_eq!(restored.status, 200, "{}", restored.text);
    assert_eq!(admin.get(&secret).await.body["payload"], "db-1");
    assert_eq!(admin.get(&format!("{secret}/metadata")).await.body["locks_total"], 1);
    let r = admin.delete(&secret).await;
    assert_eq!((r.status, message(&r)), (412, LOCKED));
}
