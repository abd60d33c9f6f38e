//! The path that every published integration suite walks: create, read, rotate, lock.

use serde_json::json;

use crate::vault::{LOCKED, Vault, message};

#[tokio::test]
async fn create_read_rotate_and_lock_as_published() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    // 1: a new secret, with its payload and without the metadata of its version.
    let made = admin
        .post(
            "/secrets",
            json!({"secret_type": "arbitrary", "name": "db-dsn", "payload": "postgres://a", "labels": ["dev", "eu"],
                "custom_metadata": {"team": "core"}, "version_custom_metadata": {"ticket": "1"},
                "expiration_date": "2031-01-01T00:00:00Z"}),
        )
        .await;
    assert_eq!((made.status, &made.body["payload"]), (201, &json!("postgres://a")), "{}", made.text);
    for (member, value) in [
        ("versions_total", json!(1)),
        ("locks_total", json!(0)),
        ("downloaded", json!(false)),
        ("state", json!(1)),
        ("secret_group_id", json!("default")),
        ("labels", json!(["dev", "eu"])),
        ("expiration_date", json!("2031-01-01T00:00:00Z")),
    ] {
        assert_eq!(made.body[member], value, "{member}");
    }
    assert!(made.body.get("version_custom_metadata").is_none());
    let secret = crate::vault::path(&made.body);
    // 2: its only version.
    let versions = admin.get(&format!("{secret}/versions")).await.body;
    let first = &versions["versions"][0];
    assert_eq!((&versions["total_count"], &first["alias"]), (&json!(1), &json!("current")));
    assert_eq!((&first["payload_available"], &first["downloaded"]), (&json!(true), &json!(false)));
    assert_eq!(first["version_custom_metadata"], json!({"ticket": "1"}));
    let v1 = first["id"].clone();
    // 3: a lock on the current version.
    let lock = json!({"locks": [{"name": "web-1", "attributes": {"pod": "x"}}]});
    let locked = admin.post(&format!("{secret}/locks_bulk?mode=remove_previous"), lock).await;
    assert_eq!(locked.status, 201, "{}", locked.text);
    let web =
        json!({"version_id": v1, "version_alias": "current", "locks": ["web-1"], "payload_available": true});
    assert_eq!(locked.body["versions"], json!([web]));
    // 4: metadata may change although it is locked.
    let renamed = admin
        .patch(&format!("{secret}/metadata"), json!({"name": "db-dsn-2", "expiration_date": null}))
        .await;
    assert_eq!((renamed.status, &renamed.body["name"]), (200, &json!("db-dsn-2")));
    assert!(renamed.body.get("expiration_date").is_none() && renamed.body.get("payload").is_none());
    // 5: read by its new name; from now on it was downloaded.
    let named = admin.get("/secret_groups/default/secret_types/arbitrary/secrets/db-dsn-2").await;
    assert_eq!((named.status, &named.body["payload"]), (200, &json!("postgres://a")));
    assert_eq!(admin.get("/secret_groups/default/secret_types/arbitrary/secrets/db-dsn").await.status, 404);
    assert_eq!(admin.get(&format!("{secret}/metadata")).await.body["downloaded"], true);
    // 6: a new version; the first one becomes the previous one and keeps its lock.
    let second = admin.post(&format!("{secret}/versions"), json!({"payload": "postgres://b"})).await;
    assert_eq!((second.status, &second.body["alias"]), (201, &json!("current")));
    let held = admin.get(&format!("{secret}/locks")).await.body;
    assert_eq!(
        (&held["locks"][0]["secret_version_id"], &held["locks"][0]["secret_version_alias"]),
        (&v1, &json!("previous"))
    );
    assert_eq!(admin.get(&format!("{secret}/metadata")).await.body["downloaded"], true);
    // 7: no further rotation while somebody depends on the previous version.
    let third = admin.post(&format!("{secret}/versions"), json!({"payload": "postgres://c"})).await;
    assert_eq!((third.status, message(&third)), (412, LOCKED));
    // 8: the lock moves on, and what nobody needs any more is erased.
    let moved = admin
        .post(
            &format!("{secret}/locks_bulk?mode=remove_previous_and_delete"),
            json!({"locks": [{"name": "web-1"}]}),
        )
        .await;
    assert_eq!(moved.status, 201, "{}", moved.text);
    assert_eq!(
        moved.body["versions"],
        json!([
            {"version_id": v1, "version_alias": "previous", "locks": [], "payload_available": false},
            {"version_id": second.body["id"], "version_alias": "current", "locks": ["web-1"], "payload_available": true}
        ])
    );
    // 9: the previous version without its payload.
    let previous = admin.get(&format!("{secret}/versions/previous")).await;
    assert_eq!((previous.status, &previous.body["payload_available"]), (200, &json!(false)));
    assert!(previous.body.get("payload").is_none());
    // 10: deletion waits for the last lock.
    let refused = admin.delete(&secret).await;
    assert_eq!((refused.status, message(&refused)), (412, LOCKED));
    assert_eq!(admin.delete(&format!("{secret}/locks_bulk")).await.status, 200);
    assert_eq!(admin.delete(&secret).await.status, 204);
    assert_eq!(admin.get(&secret).await.status, 404);
}
