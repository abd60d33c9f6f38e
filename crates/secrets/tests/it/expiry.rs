//! The end of a secret: payloads go, metadata stays, locks hold it back.

use serde_json::{Value, json};

use crate::vault::{Caller, Vault, path};

async fn mortal(c: &Caller, name: &str, at: String) -> String {
    path(
        &c.secret(json!({"secret_type": "arbitrary", "name": name, "payload": "x-1", "expiration_date": at}))
            .await,
    )
}

async fn sealed(v: &Vault, secret: &str) -> usize {
    v.numbers("select n from sm_versions where secret_id = $1 and sealed is not null", &secret[9..])
        .await
        .len()
}

#[tokio::test]
async fn at_its_time_a_secret_is_destroyed_and_its_metadata_stays() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let secret = mortal(&admin, "db", v.at(600)).await;
    admin.rotate(&secret, "x-2").await;
    v.after(599).await;
    assert_eq!(admin.get(&secret).await.body["payload"], "x-2");
    assert_eq!(sealed(&v, &secret).await, 2);
    // The very second counts, whether or not the background work came by.
    v.t.advance_secs(1);
    let unswept = admin.get(&secret).await;
    v.t.tick().await;
    let swept = admin.get(&secret).await;
    assert_eq!(sealed(&v, &secret).await, 0);
    for r in [&unswept, &swept] {
        assert_eq!(
            (r.status, &r.body["state"], &r.body["state_description"]),
            (200, &json!(5), &json!("destroyed"))
        );
        assert!(r.body.get("payload").is_none(), "{}", r.text);
        assert_eq!((&r.body["name"], &r.body["versions_total"]), (&json!("db"), &json!(2)));
    }
    for version in ["current", "previous"] {
        let r = admin.get(&format!("{secret}/versions/{version}")).await;
        assert_eq!((r.status, &r.body["payload_available"]), (200, &json!(false)), "{}", r.text);
        assert!(r.body.get("payload").is_none());
    }
    let by_name = admin.get("/secret_groups/default/secret_types/arbitrary/secrets/db").await;
    assert_eq!((by_name.status, by_name.body.get("payload")), (200, None));
    assert_eq!(admin.get("/secrets").await.body["secrets"][0]["state"], 5);
    let told = v.t.events(&[("action", "secrets-manager.secret.expire")]).await;
    assert_eq!((told.len(), &told[0]["target"]["name"]), (1, &json!("db")));
    v.after(600).await;
    assert_eq!(v.t.events(&[("action", "secrets-manager.secret.expire")]).await.len(), 1);
}

#[tokio::test]
async fn a_destroyed_secret_takes_no_version_no_lock_and_no_new_time() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let unswept = mortal(&admin, "a1", v.at(60)).await;
    let swept = mortal(&admin, "a2", v.at(30)).await;
    v.after(31).await;
    v.t.advance_secs(60);
    assert_eq!((sealed(&v, &unswept).await, sealed(&v, &swept).await), (1, 0));
    for secret in [&unswept, &swept] {
        for (method, tail, body) in [
            ("POST", "/versions", json!({"payload": "x-2"})),
            ("POST", "/locks_bulk", json!({"locks": [{"name": "l1"}]})),
            ("PATCH", "/metadata", json!({"expiration_date": v.at(600)})),
            ("PATCH", "/metadata", json!({"expiration_date": null})),
        ] {
            let r = admin.call(method, &format!("{secret}{tail}"), body).await;
            assert_eq!(r.status, 400, "{method} {tail}: {}", r.text);
        }
        let renamed = admin.patch(&format!("{secret}/metadata"), json!({"description": "late"})).await;
        assert_eq!((renamed.status, &renamed.body["description"]), (200, &json!("late")));
        assert_eq!(renamed.body["state"], 5);
        assert_eq!(admin.delete(secret).await.status, 204);
    }
    assert_eq!(admin.get("/secrets").await.body["total_count"], 0);
}

#[tokio::test]
async fn locks_hold_expiry_back_until_the_last_one_goes() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let secret = mortal(&admin, "db", v.at(60)).await;
    admin.lock(&secret, "held").await;
    v.after(600).await;
    let held = admin.get(&secret).await.body;
    assert_eq!((&held["state"], &held["payload"]), (&json!(1), &json!("x-1")));
    admin.lock(&secret, "late").await;
    let one = admin.delete(&format!("{secret}/locks_bulk?name=held")).await.body;
    assert_eq!(one["versions"][0]["payload_available"], true);
    let last = admin.delete(&format!("{secret}/locks_bulk")).await;
    assert_eq!(
        (last.status, &last.body["versions"][0]["payload_available"]),
        (200, &json!(false)),
        "{}",
        last.text
    );
    assert_eq!(admin.get(&secret).await.body["state"], 5);
    v.t.tick().await;
    assert_eq!(sealed(&v, &secret).await, 0);
}

#[tokio::test]
async fn a_new_time_is_the_time_of_the_versions_that_still_have_a_payload() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let (first, second) = (v.at(600), v.at(1200));
    let secret = mortal(&admin, "db", first.clone()).await;
    let old = admin.rotate(&secret, "x-2").await;
    let dates = async || -> Vec<Value> {
        let listed = admin.get(&format!("{secret}/versions")).await.body;
        listed["versions"].as_array().unwrap().iter().map(|v| v["expiration_date"].clone()).collect()
    };
    assert_eq!(dates().await, [json!(first), json!(first)]);
    admin.rotate(&secret, "x-3").await;
    let changed = admin.patch(&format!("{secret}/metadata"), json!({"expiration_date": second})).await;
    assert_eq!(changed.body["expiration_date"], second);
    assert_eq!(dates().await, [json!(first), json!(second), json!(second)]);
    assert_eq!(admin.get(&format!("{secret}/versions/{old}")).await.body["expiration_date"], second);
    v.after(900).await;
    assert_eq!(admin.get(&secret).await.body["payload"], "x-3");
    assert_eq!(
        admin.patch(&format!("{secret}/metadata"), json!({"expiration_date": null})).await.status,
        200
    );
    assert_eq!(dates().await, [json!(first), Value::Null, Value::Null]);
    v.after(86_400).await;
    assert_eq!(v.admin().await.get(&secret).await.body["state"], 1);
}

#[tokio::test]
async fn a_time_that_is_over_or_none_is_refused() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let secret = admin.text("db").await;
    for (n, bad) in [json!(v.at(0)), json!(v.at(-60)), json!("tomorrow"), json!(""), json!(1), json!({})]
        .into_iter()
        .enumerate()
    {
        let body = json!({"secret_type": "arbitrary", "name": format!("s{n}"), "payload": "x", "expiration_date": bad});
        assert_eq!(admin.post("/secrets", body).await.status, 400, "{bad}");
        let r = admin.patch(&format!("{secret}/metadata"), json!({"expiration_date": bad})).await;
        assert_eq!(r.status, 400, "{bad}: {}", r.text);
    }
    let r = admin
        .patch(&format!("{secret}/metadata"), json!({"expiration_date": "2027-01-01T01:00:00+01:00"}))
        .await;
    assert_eq!(r.body["expiration_date"], "2027-01-01T00:00:00Z");
}

#[tokio::test]
async fn key_value_secrets_do_not_expire() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let body = json!({"secret_type": "kv", "name": "kv", "data": {"a": 1}, "expiration_date": v.at(60)});
    assert_eq!(admin.post("/secrets", body).await.status, 400);
}

#[tokio::test]
async fn a_damaged_secret_holds_no_other_one_back() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let broken = mortal(&admin, "aa", v.at(600)).await;
    let whole = mortal(&admin, "bb", v.at(600)).await;
    let id = broken["/secrets/".len()..].to_owned();
    let damage = move |tx: &mut avouch_store::Tx<'_>| {
        tx.execute("update sm_secrets set body = 'x' where id = $1", &avouch_store::params![&id])
    };
    assert_eq!(v.t.app().store.write::<_, avouch_store::Error, _>(damage).await.unwrap(), 1);
    v.t.advance_secs(601);
    assert!(avouch_secrets::tick(v.t.app()).await.is_err());
    assert_eq!((sealed(&v, &broken).await, sealed(&v, &whole).await), (1, 0));
}
