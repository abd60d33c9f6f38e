//! Roles on the instance and on single groups.

use serde_json::{Value, json};

use crate::vault::{ABSENT, Caller, Vault, column, path};

/// Every operation on a secret, with the least role that may do it.
fn operations() -> Vec<(&'static str, &'static str, Value, usize, u16)> {
    const READER: usize = 0;
    const SECRETS_READER: usize = 1;
    const WRITER: usize = 2;
    const MANAGER: usize = 3;
    let lock = json!({"locks": [{"name": "l1"}]});
    vec![
        ("GET", "/metadata", Value::Null, READER, 200),
        ("GET", "/versions", Value::Null, READER, 200),
        ("GET", "/versions/current/metadata", Value::Null, READER, 200),
        ("GET", "/locks", Value::Null, READER, 200),
        ("GET", "/versions/current/locks", Value::Null, READER, 200),
        ("GET", "/tasks", Value::Null, READER, 200),
        ("GET", "", Value::Null, SECRETS_READER, 200),
        ("GET", "/versions/current", Value::Null, SECRETS_READER, 200),
        ("PATCH", "/metadata", json!({"description": "d"}), WRITER, 200),
        ("PATCH", "/versions/current/metadata", json!({"version_custom_metadata": {}}), WRITER, 200),
        ("POST", "/versions", json!({"payload": "next"}), WRITER, 201),
        ("POST", "/locks_bulk", lock.clone(), WRITER, 201),
        ("POST", "/versions/current/locks_bulk", lock, WRITER, 201),
        ("POST", "/actions", json!({}), WRITER, 400),
        ("POST", "/versions/current/actions", json!({}), WRITER, 400),
        ("DELETE", "/locks_bulk", Value::Null, MANAGER, 200),
        ("DELETE", "/versions/current/locks_bulk", Value::Null, MANAGER, 200),
        ("DELETE", "/versions/current/secret_data", Value::Null, MANAGER, 400),
        ("DELETE", "", Value::Null, MANAGER, 204),
    ]
}

const ROLES: [&str; 4] = ["Reader", "SecretsReader", "Writer", "Manager"];

#[tokio::test]
async fn each_role_does_what_the_published_table_says() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let group = admin.group("team").await;
    for (n, role) in ROLES.iter().enumerate() {
        let secret = path(
            &admin
                .secret(json!({"secret_type": "arbitrary", "name": format!("s{n}"), "payload": "x", "secret_group_id": group}))
                .await,
        );
        for caller in [v.with_role(role, None).await, v.with_role(role, Some(&group)).await] {
            for (method, tail, body, least, status) in operations() {
                if status == 204 && n == 3 {
                    continue;
                }
                let r = caller.call(method, &format!("{secret}{tail}"), body).await;
                let wanted = if n >= least { status } else { 403 };
                assert_eq!(r.status, wanted, "{role}: {method} {tail}: {}", r.text);
            }
            let by_name =
                caller.get(&format!("/secret_groups/team/secret_types/arbitrary/secrets/s{n}")).await.status;
            assert_eq!(by_name, if n >= 1 { 200 } else { 403 }, "{role}");
            let new = json!({"secret_type": "kv", "name": "new", "data": {"a": 1}, "secret_group_id": group});
            let made = caller.post("/secrets", new).await;
            assert_eq!(made.status, if n >= 2 { 201 } else { 403 }, "{role}: {}", made.text);
            if n >= 2 {
                let gone = caller.delete(&path(&made.body)).await.status;
                assert_eq!(gone, if n == 3 { 204 } else { 403 }, "{role}");
                admin.delete(&path(&made.body)).await;
            }
            let one = format!("/secret_groups/{group}");
            assert_eq!(caller.get(&one).await.status, 200, "{role}");
            let renamed = caller.patch(&one, json!({"description": "d"})).await.status;
            assert_eq!(renamed, if n == 3 { 200 } else { 403 }, "{role}");
            let refused = caller.delete(&one).await.status;
            assert_eq!(refused, if n == 3 { 409 } else { 403 }, "{role}");
        }
    }
}

#[tokio::test]
async fn groups_are_made_by_managers_of_the_instance() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let group = admin.group("team").await;
    for (n, role) in ROLES.iter().enumerate() {
        let new = json!({"name": format!("new-{n}")});
        let r = v.with_role(role, None).await.post("/secret_groups", new.clone()).await;
        assert_eq!(r.status, if n == 3 { 201 } else { 403 }, "{role}");
        let r = v.with_role(role, Some(&group)).await.post("/secret_groups", new).await;
        assert_eq!(r.status, 403, "{role} of one group");
    }
}

#[tokio::test]
async fn a_group_that_the_caller_may_not_see_is_not_there() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let (own, hidden) = (admin.group("own").await, admin.group("hidden").await);
    let in_group = |name: &str, group: &str| json!({"secret_type": "kv", "name": name, "data": {"a": 1}, "secret_group_id": group});
    let seen = path(&admin.secret(in_group("seen", &own)).await);
    let unseen = path(&admin.secret(in_group("unseen", &hidden)).await);
    for secret in [&seen, &unseen] {
        admin.lock(secret, "held").await;
    }
    let manager = v.with_role("Manager", Some(&own)).await;
    for (method, tail, body, _, _) in operations() {
        let answer = async |secret: &str| {
            let r = manager.call(method, &format!("{secret}{tail}"), body.clone()).await;
            (r.status, r.body["errors"].clone())
        };
        let (known, unknown) = (answer(&unseen).await, answer(&format!("/secrets/{ABSENT}")).await);
        assert_eq!((known.0, &known), (404, &unknown), "{method} {tail}");
    }
    let named = async |group: &str, name: &str| {
        let r = manager.get(&format!("/secret_groups/{group}/secret_types/kv/secrets/{name}")).await;
        (r.status, r.body["errors"].clone())
    };
    assert_eq!(named("own", "seen").await.0, 200);
    assert_eq!(named("hidden", "unseen").await, named("nobody", "nothing").await);
    let listed = manager.get("/secrets").await.body;
    assert_eq!((column(&listed["secrets"], "name"), &listed["total_count"]), (vec!["seen"], &json!(1)));
    let locks = manager.get("/secrets_locks").await.body;
    assert_eq!(
        (column(&locks["secrets_locks"], "secret_name"), &locks["total_count"]),
        (vec!["seen"], &json!(1))
    );
    let groups = manager.get("/secret_groups").await.body;
    assert_eq!((column(&groups["secret_groups"], "name"), &groups["total_count"]), (vec!["own"], &json!(1)));
    assert_eq!(manager.get(&format!("/secrets?groups={hidden}")).await.body["total_count"], 0);
    for (method, body) in
        [("GET", Value::Null), ("PATCH", json!({"description": "d"})), ("DELETE", Value::Null)]
    {
        let answer = async |id: &str| {
            let r = manager.call(method, &format!("/secret_groups/{id}"), body.clone()).await;
            (r.status, r.body["errors"].clone())
        };
        let (known, unknown) = (answer(&hidden).await, answer(ABSENT).await);
        assert_eq!((known.0, &known), (404, &unknown), "{method}");
    }
    assert_eq!(admin.get(&format!("{unseen}/metadata")).await.body["locks_total"], 1);
}

#[tokio::test]
async fn without_any_right_everything_is_forbidden_known_or_not() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let secret = admin.text("db").await;
    let nobody: Caller = v.caller(v.t.nobody().await);
    for path in [
        &secret,
        &format!("{secret}/metadata"),
        &format!("/secrets/{ABSENT}"),
        "/secrets",
        "/secret_groups",
        "/secret_groups/default",
        "/secrets_locks",
        "/configurations",
        "/secret_groups/default/secret_types/arbitrary/secrets/db",
    ] {
        let r = nobody.get(path).await;
        assert_eq!(r.status, 403, "{path}: {}", r.text);
    }
    assert_eq!(v.caller(v.t.anon()).get(&secret).await.status, 401);
    // Platform roles see neither groups nor secrets.
    let viewer = v.caller(v.t.viewer().await);
    assert_eq!(viewer.get("/secrets").await.body["total_count"], 0);
    assert_eq!(viewer.get(&secret).await.status, 404);
}

#[tokio::test]
async fn a_policy_that_goes_takes_its_right_at_once() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let secret = admin.text("db").await;
    let (client, iam_id) = v.t.service_id("reader").await;
    v.grant(&iam_id, "SecretsReader", None).await;
    let reader = v.caller(client);
    assert_eq!(reader.get(&secret).await.body["payload"], "db-1");
    let policies =
        admin.client.get(&format!("/v2/policies?account_id={}&iam_id={iam_id}", v.t.account())).await;
    let id = policies.body["policies"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(admin.client.delete(&format!("/v2/policies/{id}")).await.status, 204);
    assert_eq!(reader.get(&secret).await.status, 403);
}

#[tokio::test]
async fn every_payload_that_leaves_is_told_before() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let secret = admin.text("db").await;
    let reader = v.with_role("Reader", None).await;
    assert_eq!(admin.get(&secret).await.status, 200);
    assert_eq!(admin.get("/secret_groups/default/secret_types/arbitrary/secrets/db").await.status, 200);
    assert_eq!(admin.get(&format!("{secret}/versions/current")).await.status, 200);
    assert_eq!(reader.get(&secret).await.status, 403);
    let read = v.t.events(&[("action", "secrets-manager.secret.read")]).await;
    let outcomes: Vec<&str> = read.iter().map(|e| e["outcome"].as_str().unwrap()).collect();
    assert_eq!((outcomes.len(), outcomes.iter().filter(|o| **o == "failure").count()), (3, 1));
    for event in &read {
        assert_eq!(
            (&event["target"]["name"], &event["requestData"]["secret_type"]),
            (&json!("db"), &json!("arbitrary"))
        );
        assert!(!event.to_string().contains("\"db-1"));
    }
    assert_eq!(v.t.events(&[("action", "secrets-manager.secret-version.read")]).await.len(), 1);
}
