//! Versions: current, previous, and what is left of older ones.

use serde_json::json;

use crate::vault::{ABSENT, LOCKED, Vault, column, message, path};

#[tokio::test]
async fn payloads_are_kept_for_the_current_and_the_previous_version() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let secret = admin.text("db").await;
    let versions = format!("{secret}/versions");
    let v1 = admin.get(&format!("{versions}/current")).await.body["id"].as_str().unwrap().to_owned();
    assert_eq!(admin.get(&format!("{versions}/previous")).await.status, 404);
    let second = admin
        .post(
            &versions,
            json!({"payload": "db-2", "version_custom_metadata": {"n": 2}, "custom_metadata": {"s": 1}}),
        )
        .await;
    assert_eq!(
        (second.status, &second.body["alias"], &second.body["payload"]),
        (201, &json!("current"), &json!("db-2"))
    );
    assert_eq!(
        (&second.body["payload_available"], &second.body["auto_rotated"]),
        (&json!(true), &json!(false))
    );
    let v2 = second.body["id"].as_str().unwrap();
    let previous = admin.get(&format!("{versions}/previous")).await.body;
    assert_eq!((&previous["id"], &previous["payload"]), (&json!(v1), &json!("db-1")));
    let v3 = admin.rotate(&secret, "db-3").await;
    for (name, id, payload) in
        [("current", v3.as_str(), "db-3"), ("previous", v2, "db-2"), (v3.as_str(), v3.as_str(), "db-3")]
    {
        let r = admin.get(&format!("{versions}/{name}")).await.body;
        assert_eq!((&r["id"], &r["payload"]), (&json!(id), &json!(payload)), "{name}");
    }
    let old = admin.get(&format!("{versions}/{v1}")).await;
    assert_eq!((old.status, &old.body["payload_available"]), (200, &json!(false)));
    assert!(old.body.get("payload").is_none() && old.body.get("alias").is_none(), "{}", old.text);
    let listed = admin.get(&versions).await;
    assert!(!listed.text.contains("\"db-"), "{}", listed.text);
    assert_eq!(column(&listed.body["versions"], "id"), [&v1, v2, &v3]);
    assert_eq!(column(&listed.body["versions"], "alias"), ["", "previous", "current"]);
    assert_eq!(listed.body["total_count"], 3);
    assert_eq!(listed.body["versions"][1]["version_custom_metadata"], json!({"n": 2}));
    let shown = admin.get(&secret).await.body;
    assert_eq!((&shown["payload"], &shown["versions_total"]), (&json!("db-3"), &json!(3)));
    assert_eq!(shown["custom_metadata"], json!({"s": 1}));
    assert!(shown.get("version_custom_metadata").is_none());
    // Sealed bytes of the first version are gone from the store, too.
    let kept = v
        .numbers(
            "select n from sm_versions where secret_id = $1 and sealed is not null order by n",
            &secret[9..],
        )
        .await;
    assert_eq!(kept, [2, 3]);
}

#[tokio::test]
async fn unknown_versions_are_not_found() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let secret = admin.text("db").await;
    let other = admin.text("other").await;
    let foreign =
        admin.get(&format!("{other}/versions/current")).await.body["id"].as_str().unwrap().to_owned();
    for id in [ABSENT, "previous", "CURRENT", "1", &foreign] {
        for (method, tail, body) in [
            ("GET", "", json!(null)),
            ("GET", "/metadata", json!(null)),
            ("PATCH", "/metadata", json!({"version_custom_metadata": {}})),
            ("DELETE", "/secret_data", json!(null)),
            ("POST", "/actions", json!({})),
            ("GET", "/locks", json!(null)),
            ("POST", "/locks_bulk", json!({"locks": [{"name": "l1"}]})),
            ("DELETE", "/locks_bulk", json!(null)),
        ] {
            let r = admin.call(method, &format!("{secret}/versions/{id}{tail}"), body).await;
            assert_eq!(r.status, 404, "{method} {id}{tail}: {}", r.text);
        }
    }
}

#[tokio::test]
async fn null_clears_the_metadata_of_a_version_and_absence_keeps_it() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let made = admin
        .secret(json!({"secret_type": "arbitrary", "name": "db", "payload": "x", "version_custom_metadata": {"n": 1}}))
        .await;
    let metadata = format!("{}/versions/current/metadata", path(&made));
    let kept = admin.patch(&metadata, json!({})).await;
    assert_eq!((kept.status, &kept.body["version_custom_metadata"]), (200, &json!({"n": 1})));
    let changed = admin.patch(&metadata, json!({"version_custom_metadata": {"m": 2}})).await;
    assert_eq!(changed.body["version_custom_metadata"], json!({"m": 2}));
    assert!(changed.body.get("payload").is_none());
    let cleared = admin.patch(&metadata, json!({"version_custom_metadata": null})).await;
    assert_eq!(
        (cleared.status, &cleared.body["version_custom_metadata"]),
        (200, &json!({})),
        "{}",
        cleared.text
    );
    assert_eq!(admin.get(&metadata).await.body["version_custom_metadata"], json!({}));
}

#[tokio::test]
async fn a_secret_that_was_read_stays_read_and_a_version_tells_of_itself() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let secret = admin.text("db").await;
    let metadata = format!("{secret}/metadata");
    let never = admin.get(&metadata).await.body;
    assert_eq!(
        (&never["downloaded"], &never["retrieved_at"]),
        (&json!(false), &json!("1970-01-01T00:00:00Z"))
    );
    v.t.advance_secs(60);
    let read = admin.get(&secret).await.body;
    assert_eq!((&read["downloaded"], &read["retrieved_at"]), (&json!(true), &json!(v.at(0))));
    let at = v.at(0);
    v.t.advance_secs(60);
    assert_eq!(admin.get(&metadata).await.body["retrieved_at"], at);
    admin.rotate(&secret, "db-2").await;
    let after = admin.get(&metadata).await.body;
    assert_eq!((&after["downloaded"], &after["retrieved_at"]), (&json!(true), &json!(at)));
    let listed = admin.get("/secrets").await.body;
    assert_eq!(listed["secrets"][0]["downloaded"], true);
    let versions = admin.get(&format!("{secret}/versions")).await.body["versions"].clone();
    assert_eq!((&versions[0]["downloaded"], &versions[1]["downloaded"]), (&json!(true), &json!(false)));
    let one = admin.get(&format!("{secret}/versions/current")).await.body;
    assert_eq!((&one["downloaded"], &one["payload"]), (&json!(true), &json!("db-2")));
    assert_eq!(admin.get(&metadata).await.body["retrieved_at"], v.at(0));
}

#[tokio::test]
async fn fifty_versions_are_remembered_and_the_reads_of_older_ones_as_one() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let secret = admin.text("db").await;
    for n in 2..=4 {
        assert_eq!(admin.get(&secret).await.status, 200);
        v.t.advance_secs(10);
        admin.rotate(&secret, &format!("db-{n}")).await;
    }
    let last = admin.get(&format!("{secret}/metadata")).await.body["retrieved_at"].clone();
    for n in 5..=53 {
        admin.rotate(&secret, &format!("db-{n}")).await;
    }
    let listed = admin.get(&format!("{secret}/versions")).await.body;
    assert_eq!(listed["total_count"], 50);
    let shown = admin.get(&format!("{secret}/metadata")).await.body;
    assert_eq!(shown["versions_total"], 53);
    assert_eq!((&shown["downloaded"], &shown["retrieved_at"]), (&json!(true), &last));
    let orphans = v
        .numbers(
            "select last_at from sm_reads where secret_id = $1 and version_id not in (select id from sm_versions)",
            &secret[9..],
        )
        .await;
    assert_eq!(orphans.len(), 1, "{orphans:?}");
}

#[tokio::test]
async fn older_payloads_come_back_only_by_being_written_again() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let secret = admin.text("db").await;
    admin.rotate(&secret, "db-2").await;
    for from in ["previous", "current", ABSENT] {
        let r = admin
            .post(&format!("{secret}/versions"), json!({"restore_from_version": from, "payload": "db-3"}))
            .await;
        assert_eq!((r.status, message(&r).contains("restored")), (400, true), "{}", r.text);
    }
    let back =
        admin.get(&format!("{secret}/versions/previous")).await.body["payload"].as_str().unwrap().to_owned();
    admin.rotate(&secret, &back).await;
    assert_eq!(admin.get(&secret).await.body["payload"], "db-1");
    assert_eq!(admin.get(&format!("{secret}/versions")).await.body["total_count"], 3);
}

#[tokio::test]
async fn a_locked_previous_version_holds_rotation_back() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let secret = admin.text("db").await;
    admin.lock(&secret, "held").await;
    // The current version being locked is no obstacle: its lock goes with it.
    admin.rotate(&secret, "db-2").await;
    let before = admin.get(&format!("{secret}/versions")).await.body;
    let r = admin.post(&format!("{secret}/versions"), json!({"payload": "db-3"})).await;
    assert_eq!((r.status, message(&r)), (412, LOCKED));
    assert_eq!(admin.get(&format!("{secret}/versions")).await.body, before);
    assert_eq!(admin.get(&secret).await.body["payload"], "db-2");
    assert_eq!(admin.delete(&format!("{secret}/versions/previous/locks_bulk")).await.status, 200);
    admin.rotate(&secret, "db-3").await;
}

#[tokio::test]
async fn rotations_at_the_same_time_all_count() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let secret = admin.text("db").await;
    let posts = (0..8).map(|n| {
        let (admin, secret) = (admin.clone(), secret.clone());
        tokio::spawn(async move {
            admin.post(&format!("{secret}/versions"), json!({"payload": format!("p{n}")})).await.status
        })
    });
    for post in posts.collect::<Vec<_>>() {
        assert_eq!(post.await.unwrap(), 201);
    }
    let listed = admin.get(&format!("{secret}/versions")).await.body;
    let mut aliases = column(&listed["versions"], "alias");
    assert_eq!(listed["total_count"], 9);
    assert_eq!(aliases.split_off(7), ["previous", "current"]);
    assert!(aliases.iter().all(|a| a.is_empty()), "{aliases:?}");
    let numbers = v.numbers("select n from sm_versions where secret_id = $1 order by n", &secret[9..]).await;
    assert_eq!(numbers, (1..=9).collect::<Vec<_>>());
}

#[tokio::test]
async fn data_of_versions_of_these_types_is_not_deleted() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let secret = admin.text("db").await;
    let r = admin.delete(&format!("{secret}/versions/current/secret_data")).await;
    assert_eq!(r.status, 400, "{}", r.text);
    assert_eq!(admin.get(&secret).await.body["payload"], "db-1");
}
