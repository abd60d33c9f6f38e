//! Metadata of secrets: what can be written, cleared and never changed.

use serde_json::{Value, json};

use crate::vault::{ABSENT, Vault, message, path};

#[tokio::test]
async fn descriptions_take_lines_and_no_other_control_characters() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let group = format!("/secret_groups/{}", admin.group("team").await);
    let secret = admin.text("db").await;
    let (metadata, bulk) = (format!("{secret}/metadata"), format!("{secret}/locks_bulk"));
    for (n, text) in ["a\u{0}b", "a\u{1}", "\u{7f}", "a\u{85}b", &"x".repeat(1025)].into_iter().enumerate() {
        let name = format!("n{n}");
        let lock = json!({"locks": [{"name": name, "description": text}]});
        for (method, path, body) in [
            ("POST", "/secret_groups", json!({"name": name, "description": text})),
            ("PATCH", group.as_str(), json!({"description": text})),
            (
                "POST",
                "/secrets",
                json!({"secret_type": "arbitrary", "name": name, "payload": "x", "description": text}),
            ),
            ("PATCH", metadata.as_str(), json!({"description": text})),
            ("POST", bulk.as_str(), lock),
        ] {
            let r = admin.call(method, path, body).await;
            assert_eq!(r.status, 400, "{method} {path} {text:?}: {}", r.text);
            assert!(message(&r).contains("'description'"), "{}", r.text);
        }
    }
    let lines = "first\r\n\tsecond\n– ünïcode";
    assert_eq!(admin.patch(&metadata, json!({"description": lines})).await.body["description"], lines);
    let longest = "ä".repeat(1024);
    assert_eq!(admin.patch(&group, json!({"description": longest})).await.body["description"], longest);
}

#[tokio::test]
async fn ids_and_names_that_no_database_can_hold_are_answered_like_unknown_ones() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let secret = admin.text("db").await;
    for group in ["a\u{0}b", "x", ABSENT] {
        let body =
            json!({"secret_type": "arbitrary", "name": "x1", "payload": "x", "secret_group_id": group});
        assert_eq!(admin.post("/secrets", body).await.status, 404, "{group:?}");
    }
    admin.lock(&secret, "held").await;
    let r = admin.delete(&format!("{secret}/locks_bulk?name=%00,held")).await;
    assert_eq!((r.status, &r.body["versions"][0]["locks"]), (200, &json!([])), "{}", r.text);
    for query in ["search=%00", "groups=%00", "secret_types=%00", "match_all_labels=%00"] {
        let r = admin.get(&format!("/secrets?{query}")).await;
        assert_eq!((r.status, &r.body["total_count"]), (200, &json!(0)), "{query}: {}", r.text);
    }
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_null_clears() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let made = admin
        .secret(json!({"secret_type": "username_password", "name": "login", "username": "app",
            "description": "d", "labels": ["dev", "eu de"], "custom_metadata": {"a": 1},
            "expiration_date": v.at(86_400), "rotation": {"auto_rotate": true, "interval": 2, "unit": "day"},
            "password_generation_policy": {"length": 12, "include_symbols": false}}))
        .await;
    let metadata = format!("{}/metadata", path(&made));
    let before = admin.get(&metadata).await.body;
    for member in ["username", "password", "payload", "data"] {
        assert!(before.get(member).is_none(), "{member}");
    }
    v.t.advance_secs(5);
    let mut wanted = before.clone();
    wanted["updated_at"] = json!(v.at(0));
    assert_eq!(admin.patch(&metadata, json!({})).await.body, wanted);
    for (member, value) in [
        ("name", json!("login-2")),
        ("description", json!("e")),
        ("labels", json!(["prod"])),
        ("custom_metadata", json!({"b": {"c": [1]}})),
        ("expiration_date", json!(v.at(2 * 86_400))),
    ] {
        wanted[member] = value.clone();
        let r = admin.patch(&metadata, json!({member: value})).await;
        assert_eq!((r.status, &r.body), (200, &wanted), "{member}");
    }
    let policy = admin.patch(&metadata, json!({"password_generation_policy": {"length": 40}})).await;
    wanted["password_generation_policy"]["length"] = json!(40);
    assert_eq!(policy.body, wanted);
    assert_eq!(wanted["password_generation_policy"]["include_symbols"], false);
    let off = admin.patch(&metadata, json!({"rotation": null, "password_generation_policy": null})).await;
    assert_eq!(off.status, 200, "{}", off.text);
    assert_eq!(off.body["rotation"], json!({"auto_rotate": false}));
    assert_eq!(off.body["password_generation_policy"]["length"], 32);
    assert!(off.body.get("next_rotation_date").is_none());
    let cleared = admin
        .patch(
            &metadata,
            json!({"description": null, "labels": null, "custom_metadata": null, "expiration_date": null}),
        )
        .await;
    assert_eq!(cleared.status, 200, "{}", cleared.text);
    assert!(cleared.body.get("description").is_none() && cleared.body.get("expiration_date").is_none());
    assert_eq!((&cleared.body["labels"], &cleared.body["custom_metadata"]), (&json!([]), &json!({})));
    assert_eq!(admin.patch(&metadata, json!({"name": null})).await.status, 400);
    assert_eq!(admin.get(&metadata).await.body, cleared.body);
}

#[tokio::test]
async fn what_a_secret_is_never_changes() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let made = admin.secret(json!({"secret_type": "kv", "name": "kv", "data": {"a": 1}})).await;
    let metadata = format!("{}/metadata", path(&made));
    for (member, value) in [
        ("secret_type", json!("arbitrary")),
        ("secret_group_id", json!("default")),
        ("username", json!("u1")),
        ("data", json!({"a": 2})),
        ("expiration_date", json!(v.at(60))),
        ("expiration_date", json!(null)),
        ("rotation", json!({"auto_rotate": false})),
        ("password_generation_policy", json!({})),
    ] {
        let r = admin.patch(&metadata, json!({member: value, "description": "new"})).await;
        assert_eq!((r.status, message(&r).contains(member)), (400, true), "{member}: {}", r.text);
    }
    assert!(admin.get(&metadata).await.body.get("description").is_none());
}

#[tokio::test]
async fn names_are_unique_per_type() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let first = admin.text("db").await;
    let second = admin.text("db-2").await;
    let group = admin.group("team").await;
    let same = json!({"secret_type": "arbitrary", "name": "db", "payload": "x", "secret_group_id": group});
    let again = admin.post("/secrets", same).await;
    assert_eq!((again.status, message(&again).contains("already exists")), (409, true), "{}", again.text);
    let renamed = admin.patch(&format!("{second}/metadata"), json!({"name": "db"})).await;
    assert_eq!((renamed.status, message(&renamed).contains("already exists")), (409, true));
    admin.secret(json!({"secret_type": "kv", "name": "db", "data": {"a": 1}})).await;
    assert_eq!(admin.delete(&first).await.status, 204);
    assert_eq!(admin.patch(&format!("{second}/metadata"), json!({"name": "db"})).await.status, 200);
}

#[tokio::test]
async fn metadata_is_changed_while_locked_and_by_several_at_once() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let secret = admin.text("db").await;
    admin.lock(&secret, "held").await;
    let metadata = format!("{secret}/metadata");
    let (a, b) = tokio::join!(
        admin.patch(&metadata, json!({"description": "by one"})),
        admin.patch(&metadata, json!({"labels": ["by two"]}))
    );
    assert_eq!((a.status, b.status), (200, 200));
    // Neither patch took back what the other one wrote.
    let after = admin.get(&metadata).await.body;
    assert_eq!((&after["description"], &after["labels"]), (&json!("by one"), &json!(["by two"])));
    assert_eq!(after["locks_total"], 1);
}

#[tokio::test]
async fn limits_of_metadata_are_those_published() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let create = async |n: usize, more: Value| {
        let mut body = json!({"secret_type": "arbitrary", "name": format!("s{n}"), "payload": "x"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        admin.post("/secrets", body).await
    };
    let label = |n: usize| Value::Array((0..n).map(|i| json!(format!("label {i}"))).collect());
    let big = |n: usize| json!({"k": "v".repeat(n - 8)});
    for (n, (good, more)) in [
        (true, json!({"labels": label(30)})),
        (false, json!({"labels": label(31)})),
        (true, json!({"labels": ["ab", "x".repeat(64)]})),
        (false, json!({"labels": ["a"]})),
        (false, json!({"labels": ["x".repeat(65)]})),
        (false, json!({"labels": ["a\u{0}b"]})),
        (true, json!({"custom_metadata": big(10_240)})),
        (false, json!({"custom_metadata": big(10_241)})),
        (true, json!({"version_custom_metadata": big(10_240)})),
        (false, json!({"version_custom_metadata": big(10_241)})),
        (true, json!({"name": "a".repeat(256)})),
        (false, json!({"name": "a".repeat(257)})),
        (false, json!({"name": "a"})),
        (false, json!({"name": "a-"})),
        (true, json!({"custom_metadata": {"k": "a\u{0}b"}})),
    ]
    .into_iter()
    .enumerate()
    {
        let r = create(n, more).await;
        assert_eq!(r.status, if good { 201 } else { 400 }, "{n}: {}", r.text.get(..300).unwrap_or(&r.text));
    }
}
