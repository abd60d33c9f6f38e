//! Background work of Secrets Manager, and what a caller learns of groups that he may not see.

use avouch_testkit::{Client, TestApp};
use serde_json::{Value, json};

async fn login(admin: &Client, sm: &str, name: &str) -> String {
    let r = admin
        .post(
            &format!("{sm}/secrets"),
            json!({"secret_type": "username_password", "name": name, "username": "app",
                "rotation": {"auto_rotate": true, "interval": 1, "unit": "day"}}),
        )
        .await;
    assert_eq!(r.status, 201, "{}", r.text);
    r.body["id"].as_str().unwrap().to_owned()
}

async fn versions(admin: &Client, sm: &str, id: &str) -> i64 {
    admin.get(&format!("{sm}/secrets/{id}/metadata")).await.body["versions_total"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_damaged_secret_does_not_hold_the_rotation_of_others_back() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let sm = format!("/secrets-manager/{}/api/v2", t.secrets_instance().await);
    let damaged = login(&admin, &sm, "a-damaged").await;
    let good = login(&admin, &sm, "b-good").await;
    let id = damaged.clone();
    t.app()
        .store
        .write::<_, avouch_store::Error, _>(move |tx| {
            tx.execute(
                "update sm_versions set sealed = $1 where secret_id = $2",
                &avouch_store::params![vec![1u8, 2, 3], &id],
            )
        })
        .await
        .unwrap();
    t.advance_secs(86_401);
    t.tick().await;
    let admin = t.admin().await;
    assert_eq!(versions(&admin, &sm, &good).await, 2);
    assert_eq!(versions(&admin, &sm, &damaged).await, 1);
    let told = t.events(&[("action", "secrets-manager.secret-version.create"), ("outcome", "failure")]).await;
    assert_eq!((told.len(), &told[0]["target"]["name"]), (1, &json!("a-damaged")));
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_do_not_rotate_while_nobody_can_read_them() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let guid = t.secrets_instance().await;
    let sm = format!("/secrets-manager/{guid}/api/v2");
    let id = login(&admin, &sm, "db").await;
    assert_eq!(admin.delete(&format!("/v2/resource_instances/{guid}")).await.status, 204);
    t.advance_secs(86_401);
    t.tick().await;
    let admin = t.admin().await;
    let open = admin.get("/v1/reclamations").await;
    let reclamation = open.body["resources"][0]["id"].as_str().unwrap().to_owned();
    let restored = admin.post(&format!("/v1/reclamations/{reclamation}/actions/restore"), json!({})).await;
    assert_eq!(restored.status, 200, "{}", restored.text);
    assert_eq!(versions(&admin, &sm, &id).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn locked_overdue_secrets_do_not_keep_others_from_being_erased() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let sm = format!("/secrets-manager/{}/api/v2", t.secrets_instance().await);
    let mut last = String::new();
    // More than one round of them, all due before the one that nobody locks.
    for n in 0..=100 {
        let at = t.now().plus_secs(if n < 100 { 60 } else { 120 }).rfc3339_secs();
        let body = json!({"secret_type": "arbitrary", "name": format!("s{n}"), "payload": "x", "expiration_date": at});
        let made = admin.post(&format!("{sm}/secrets"), body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        last = made.body["id"].as_str().unwrap().to_owned();
        if n < 100 {
            let locks = json!({"locks": [{"name": "held"}]});
            assert_eq!(admin.post(&format!("{sm}/secrets/{last}/locks_bulk"), locks).await.status, 201);
        }
    }
    t.advance_secs(300);
    t.tick().await;
    let left: i64 = t
        .app()
        .store
        .read::<_, avouch_store::Error, _>(move |tx| {
            tx.query_one(
                "select count(*) from sm_versions where secret_id = $1 and sealed is not null",
                &avouch_store::params![&last],
            )?
            .get(0)
        })
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_group_and_an_unknown_one_are_the_same_to_who_may_see_neither() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let guid = t.secrets_instance().await;
    let sm = format!("/secrets-manager/{guid}/api/v2");
    let group = async |name: &str| -> String {
        let r = admin.post(&format!("{sm}/secret_groups"), json!({"name": name})).await;
        r.body["id"].as_str().unwrap().to_owned()
    };
    let (own, hidden) = (group("own").await, group("hidden").await);
    let (writer, iam_id) = t.service_id("writer").await;
    t.grant(
        &admin,
        &iam_id,
        "crn:v1:bluemix:public:iam::::serviceRole:Writer",
        json!([
            {"key": "accountId", "operator": "stringEquals", "value": t.account()},
            {"key": "serviceName", "operator": "stringEquals", "value": "secrets-manager"},
            {"key": "serviceInstance", "operator": "stringEquals", "value": guid},
            {"key": "resourceType", "operator": "stringEquals", "value": "secret-group"},
            {"key": "resource", "operator": "stringEquals", "value": own}
        ]),
    )
    .await;
    let create = async |group: &str, name: &str| -> (u16, Value) {
        let body =
            json!({"secret_type": "arbitrary", "name": name, "payload": "x", "secret_group_id": group});
        let r = writer.post(&format!("{sm}/secrets"), body).await;
        (r.status, r.body["errors"].clone())
    };
    assert_eq!(create(&own, "a1").await.0, 201);
    let answers = (create(&hidden, "a2").await, create("00000000-0000-4000-8000-00000000dead", "a3").await);
    assert_eq!(answers.0.0, 404);
    assert_eq!(answers.0, answers.1);
    assert_eq!(answers.0.1[0]["message"], "The secret group was not found.");
    assert_eq!(answers.0.1[0]["more_info"], "The property at fault is 'secret_group_id'.");
    for group in ["00000000-0000-4000-8000-00000000dead", "no-such-group"] {
        let body =
            json!({"secret_type": "arbitrary", "name": "a4", "payload": "x", "secret_group_id": group});
        let r = admin.post(&format!("{sm}/secrets"), body).await;
        assert_eq!((r.status, &r.body["errors"]), (404, &answers.0.1), "{group}");
    }
}
