//! Callers of another account.

use avouch_testkit::Client;
use serde_json::{Value, json};

use crate::vault::{ABSENT, Vault, iam_id};

/// Everything in the trail of the caller's own account, as text.
async fn own_trail(client: &Client) -> String {
    let r = client.get("/avouch/v1/audit/events?limit=200").await;
    assert_eq!(r.status, 200, "{}", r.text);
    r.body["events"].to_string()
}

#[tokio::test]
async fn a_stranger_learns_nothing_of_what_he_may_not_see_not_even_from_his_own_trail() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let (own, hidden) = (admin.group("shared-group").await, admin.group("hidden-group").await);
    let secret = admin
        .secret(json!({"secret_type": "arbitrary", "name": "hidden-secret", "payload": "x", "secret_group_id": hidden}))
        .await;
    let id = secret["id"].as_str().unwrap();
    let stranger = v.t.outsider().await;
    v.grant(&iam_id(&stranger), "Manager", Some(&own)).await;
    let caller = v.caller(stranger.clone());
    assert_eq!(caller.get("/secrets").await.body["total_count"], 0);
    for (method, tail, body) in [
        ("GET", "", Value::Null),
        ("DELETE", "", Value::Null),
        ("GET", "/metadata", Value::Null),
        ("PATCH", "/metadata", json!({"description": "d"})),
        ("POST", "/versions", json!({"payload": "y"})),
        ("GET", "/versions", Value::Null),
        ("GET", "/versions/current", Value::Null),
        ("POST", "/locks_bulk", json!({"locks": [{"name": "l1"}]})),
        ("GET", "/locks", Value::Null),
    ] {
        let answer = async |id: &str| {
            let r = caller.call(method, &format!("/secrets/{id}{tail}"), body.clone()).await;
            (r.status, r.body["errors"].clone())
        };
        let (known, unknown) = (answer(id).await, answer(ABSENT).await);
        assert_eq!(known.0, 404, "{method} {tail}");
        assert_eq!(known, unknown, "{method} {tail}");
    }
    let named = caller.get("/secret_groups/hidden-group/secret_types/arbitrary/secrets/hidden-secret").await;
    assert_eq!(named.status, 404);
    assert_eq!(caller.get(&format!("/secret_groups/{hidden}")).await.status, 404);
    let trail = own_trail(&stranger).await;
    assert!(trail.contains("secrets-manager.secret.read"), "{trail}");
    for told in ["hidden-secret", "hidden-group", hidden.as_str(), id] {
        assert!(!trail.contains(told), "{told}: {trail}");
    }
    // Nor does the owner hear of guesses.
    assert!(v.t.events(&[("outcome", "failure")]).await.is_empty());
}

#[tokio::test]
async fn what_a_stranger_was_allowed_to_do_is_told_to_the_owner_and_not_to_the_strangers_account() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let group = admin.group("shared-group").await;
    let made = admin
        .secret(json!({"secret_type": "arbitrary", "name": "shared-secret", "payload": "x", "secret_group_id": group}))
        .await;
    let secret = crate::vault::path(&made);
    let stranger = v.t.outsider().await;
    v.grant(&iam_id(&stranger), "Writer", Some(&group)).await;
    let caller = v.caller(stranger.clone());
    assert_eq!(caller.get(&secret).await.body["payload"], "x");
    assert_eq!(caller.get(&format!("{secret}/metadata")).await.status, 200);
    assert_eq!(caller.get(&format!("{secret}/versions")).await.status, 200);
    caller.lock(&secret, "strangers-lock").await;
    caller.rotate(&secret, "y").await;
    assert_eq!(caller.post(&format!("{secret}/versions"), json!({"payload": "z"})).await.status, 412);
    assert_eq!(caller.patch(&format!("{secret}/metadata"), json!({"name": 7})).await.status, 400);
    // He sees it and may not do this: that is no secret before him.
    assert_eq!(caller.delete(&secret).await.status, 403);
    let trail = own_trail(&stranger).await;
    for told in ["shared-secret", "shared-group", "strangers-lock"] {
        assert!(!trail.contains(told), "{told}: {trail}");
    }
    for action in [
        "secret.read",
        "secret-metadata.read",
        "secret-versions.list",
        "secret-locks.create",
        "secret-version.create",
        "secret-metadata.update",
    ] {
        let found = v.t.events(&[("action", &format!("secrets-manager.{action}"))]).await;
        let by: Vec<&Value> = found.iter().filter(|e| e["initiator"]["id"] == iam_id(&stranger)).collect();
        assert!(!by.is_empty(), "{action}");
        assert!(by.iter().all(|e| e["target"]["name"] == "shared-secret"), "{action}: {by:?}");
    }
}

#[tokio::test]
async fn an_instance_of_another_account_is_an_unknown_one() {
    let v = Vault::new().await;
    let stranger = v.t.outsider().await;
    let caller = v.caller(stranger.clone());
    for path in ["/secrets", "/secret_groups", "/secrets_locks", "/configurations"] {
        let known = caller.get(path).await;
        let unknown = stranger.get(&format!("/secrets-manager/{ABSENT}/api/v2{path}")).await;
        assert_eq!(known.status, 404, "{path}");
        assert_eq!(known.body["errors"], unknown.body["errors"], "{path}");
    }
    assert!(!own_trail(&stranger).await.contains(&v.guid));
}
