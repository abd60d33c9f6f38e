//! Passwords that the server changes when they are due.

use serde_json::{Value, json};

use crate::vault::{Caller, Vault, path};

const DAY: i64 = 86_400;

async fn login(c: &Caller, rotation: Value) -> Value {
    c.secret(
        json!({"secret_type": "username_password", "name": "db", "username": "app", "rotation": rotation}),
    )
    .await
}

#[tokio::test]
async fn a_due_password_is_changed_and_told() {
    let v = Vault::new().await;
    let made = login(&v.admin().await, json!({"auto_rotate": true, "interval": 2, "unit": "day"})).await;
    assert_eq!(made["next_rotation_date"], v.at(2 * DAY));
    let secret = path(&made);
    v.after(2 * DAY - 1).await;
    assert_eq!(v.admin().await.get(&secret).await.body["password"], made["password"]);
    v.after(1).await;
    let admin = v.admin().await;
    let after = admin.get(&secret).await.body;
    assert_eq!((&after["username"], &after["versions_total"]), (&json!("app"), &json!(2)));
    assert_ne!(after["password"], made["password"]);
    assert_eq!(after["next_rotation_date"], v.at(2 * DAY));
    let versions = admin.get(&format!("{secret}/versions")).await.body["versions"].clone();
    assert_eq!((&versions[0]["auto_rotated"], &versions[1]["auto_rotated"]), (&json!(false), &json!(true)));
    assert_eq!(admin.get(&format!("{secret}/versions/previous")).await.body["password"], made["password"]);
    let told = v.t.events(&[("action", "secrets-manager.secret-version.create")]).await;
    assert_eq!((told.len(), &told[0]["initiator"]["name"]), (1, &json!("Avouch")));
    assert!(!told[0].to_string().contains(after["password"].as_str().unwrap()));
    // A round too many changes nothing.
    v.t.tick().await;
    assert_eq!(admin.get(&secret).await.body["versions_total"], 2);
}

#[tokio::test]
async fn a_new_interval_counts_from_now_and_rotates_nothing_at_once() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let made = login(&admin, json!({"auto_rotate": false})).await;
    let metadata = format!("{}/metadata", path(&made));
    assert!(made.get("next_rotation_date").is_none());
    v.t.advance_secs(100);
    for (rotation, next) in [
        (json!({"auto_rotate": true, "interval": 1, "unit": "hour"}), Some(v.at(3600))),
        (json!({"auto_rotate": true, "interval": 1, "unit": "month"}), Some(v.at(31 * DAY))),
        (json!({"auto_rotate": false}), None),
    ] {
        let r = admin.patch(&metadata, json!({"rotation": rotation})).await;
        assert_eq!((r.status, &r.body["rotation"]), (200, &rotation), "{}", r.text);
        assert_eq!(r.body["next_rotation_date"].as_str(), next.as_deref());
        v.t.tick().await;
        assert_eq!(admin.get(&metadata).await.body["versions_total"], 1);
    }
    for bad in [
        json!({}),
        json!({"auto_rotate": "yes"}),
        json!({"auto_rotate": true}),
        json!({"auto_rotate": true, "interval": 0, "unit": "day"}),
        json!({"auto_rotate": true, "interval": 10_001, "unit": "day"}),
        json!({"auto_rotate": true, "interval": 1.5, "unit": "day"}),
        json!({"auto_rotate": true, "interval": 1, "unit": "year"}),
        json!({"auto_rotate": true, "interval": 1}),
        json!("off"),
    ] {
        assert_eq!(admin.patch(&metadata, json!({"rotation": bad})).await.status, 400, "{bad}");
        let body =
            json!({"secret_type": "username_password", "name": "x1", "username": "app", "rotation": bad});
        assert_eq!(admin.post("/secrets", body).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn a_rotation_by_hand_starts_the_interval_anew() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let made = login(&admin, json!({"auto_rotate": true, "interval": 1, "unit": "hour"})).await;
    v.t.advance_secs(3000);
    assert_eq!(admin.post(&format!("{}/versions", path(&made)), json!({})).await.status, 201);
    v.after(1000).await;
    let after = v.admin().await.get(&format!("{}/metadata", path(&made))).await.body;
    assert_eq!((&after["versions_total"], &after["next_rotation_date"]), (&json!(2), &json!(v.at(2600))));
}

#[tokio::test]
async fn a_locked_previous_version_puts_the_rotation_off_by_a_day() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let made = login(&admin, json!({"auto_rotate": true, "interval": 10, "unit": "day"})).await;
    let secret = path(&made);
    admin.lock(&secret, "held").await;
    assert_eq!(admin.post(&format!("{secret}/versions"), json!({"password": "second"})).await.status, 201);
    v.after(10 * DAY).await;
    let admin = v.admin().await;
    let held = admin.get(&secret).await.body;
    assert_eq!((&held["password"], &held["next_rotation_date"]), (&json!("second"), &json!(v.at(DAY))));
    let told =
        v.t.events(&[("action", "secrets-manager.secret-version.create"), ("outcome", "failure")]).await;
    assert_eq!((told.len(), &told[0]["reason"]["reasonCode"]), (1, &json!(412)));
    assert_eq!(admin.delete(&format!("{secret}/versions/previous/locks_bulk")).await.status, 200);
    v.after(DAY).await;
    let after = v.admin().await.get(&secret).await.body;
    assert_eq!(after["versions_total"], 3);
    assert_ne!(after["password"], "second");
}

#[tokio::test]
async fn a_rotated_version_ends_when_its_secret_does_and_destroyed_secrets_do_not_rotate() {
    let v = Vault::new().await;
    let made = v
        .admin()
        .await
        .secret(json!({"secret_type": "username_password", "name": "db", "username": "app",
            "expiration_date": v.at(3 * DAY), "rotation": {"auto_rotate": true, "interval": 1, "unit": "day"}}))
        .await;
    let secret = path(&made);
    v.after(DAY).await;
    let version = v.admin().await.get(&format!("{secret}/versions/current")).await.body;
    assert_eq!(
        (&version["auto_rotated"], &version["expiration_date"]),
        (&json!(true), &made["expiration_date"])
    );
    v.after(3 * DAY).await;
    let after = v.admin().await.get(&secret).await.body;
    assert_eq!((&after["state"], &after["versions_total"]), (&json!(5), &json!(2)));
    assert!(after.get("next_rotation_date").is_none() && after.get("password").is_none());
    v.after(5 * DAY).await;
    assert_eq!(v.admin().await.get(&secret).await.body["versions_total"], 2);
}
