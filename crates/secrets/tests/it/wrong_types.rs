//! Every member of every body with a value of every wrong kind: refused, without an echo and without a change.

use serde_json::{Value, json};

use crate::vault::{Vault, path};

const CANARY: &str = "canary-3f7a";

/// One value of each kind of JSON, with its kind.
fn values() -> Vec<(&'static str, Value)> {
    vec![
        ("string", json!(CANARY)),
        ("number", json!(7_239_481)),
        ("boolean", json!(true)),
        ("array", json!([{"x": CANARY}])),
        ("array", json!([20, true, true, true])),
        ("object", json!({"x": {"y": CANARY}})),
    ]
}

/// Method, path, a good body, and members of it with the one kind that each may have.
type Case = (&'static str, String, Value, Vec<(&'static str, &'static str)>);

fn with(body: &Value, at: &str, value: &Value) -> Value {
    let mut body = body.clone();
    let mut target = &mut body;
    for part in at.split('.') {
        target = match part.parse::<usize>() {
            Ok(n) => &mut target[n],
            Err(_) => &mut target[part],
        };
    }
    *target = value.clone();
    body
}

#[tokio::test]
async fn values_of_the_wrong_kind_are_refused_without_an_echo() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let group = format!("/secret_groups/{}", admin.group("team").await);
    let text = admin.text("db").await;
    let login = path(
        &admin.secret(json!({"secret_type": "username_password", "name": "login", "username": "app"})).await,
    );
    let kv = path(&admin.secret(json!({"secret_type": "kv", "name": "kv", "data": {"a": 1}})).await);
    let new = |kind: &str, more: Value| {
        let mut body = json!({"secret_type": kind, "name": "x1"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let policy = json!({"password_generation_policy":
        {"length": 20, "include_digits": true, "include_symbols": true, "include_uppercase": true}});
    let rotation = json!({"rotation": {"auto_rotate": true, "interval": 1, "unit": "day"}});
    let before = admin.get("/secrets").await.body;
    let cases: Vec<Case> = vec![
        (
            "POST",
            "/secret_groups".into(),
            json!({"name": "g1"}),
            vec![("name", "string"), ("description", "string")],
        ),
        ("PATCH", group, json!({}), vec![("name", "string"), ("description", "string")]),
        (
            "POST",
            "/secrets".into(),
            new("arbitrary", json!({"payload": "x"})),
            vec![
                ("secret_type", ""),
                ("name", "string"),
                ("description", "string"),
                ("secret_group_id", ""),
                ("labels", ""),
                ("custom_metadata", "object"),
                ("version_custom_metadata", "object"),
                ("expiration_date", ""),
                ("payload", "string"),
                ("rotation", ""),
                ("password_generation_policy", ""),
            ],
        ),
        ("POST", "/secrets".into(), new("kv", json!({"data": {"a": 1}})), vec![("data", "object")]),
        (
            "POST",
            "/secrets".into(),
            new("username_password", json!({"username": "app"})),
            vec![
                ("username", "string"),
                ("password", "string"),
                ("rotation", ""),
                ("password_generation_policy", "object"),
            ],
        ),
        (
            "POST",
            "/secrets".into(),
            with(
                &new("username_password", json!({"username": "app"})),
                "password_generation_policy",
                &policy["password_generation_policy"],
            ),
            vec![
                ("password_generation_policy.length", ""),
                ("password_generation_policy.include_digits", "boolean"),
                ("password_generation_policy.include_symbols", "boolean"),
                ("password_generation_policy.include_uppercase", "boolean"),
            ],
        ),
        (
            "PATCH",
            format!("{login}/metadata"),
            rotation,
            vec![("rotation.auto_rotate", "boolean"), ("rotation.interval", ""), ("rotation.unit", "")],
        ),
        (
            "PATCH",
            format!("{login}/metadata"),
            policy,
            vec![
                ("password_generation_policy.length", ""),
                ("password_generation_policy.include_digits", "boolean"),
            ],
        ),
        (
            "PATCH",
            format!("{text}/metadata"),
            json!({}),
            vec![
                ("name", "string"),
                ("description", "string"),
                ("labels", ""),
                ("custom_metadata", "object"),
                ("expiration_date", ""),
                ("payload", ""),
            ],
        ),
        (
            "POST",
            format!("{text}/versions"),
            json!({"payload": "y"}),
            vec![
                ("payload", "string"),
                ("custom_metadata", "object"),
                ("version_custom_metadata", "object"),
                ("restore_from_version", ""),
            ],
        ),
        ("POST", format!("{kv}/versions"), json!({"data": {"a": 1}}), vec![("data", "object")]),
        ("POST", format!("{login}/versions"), json!({}), vec![("password", "string")]),
        (
            "PATCH",
            format!("{text}/versions/current/metadata"),
            json!({}),
            vec![("version_custom_metadata", "object")],
        ),
        (
            "POST",
            format!("{text}/locks_bulk"),
            json!({"locks": [{"name": "l1"}]}),
            vec![
                ("locks", ""),
                ("locks.0", ""),
                ("locks.0.name", "string"),
                ("locks.0.description", "string"),
                ("locks.0.attributes", "object"),
            ],
        ),
    ];
    for (method, path, body, members) in cases {
        for (member, good) in members {
            for (kind, value) in values() {
                if kind == good {
                    continue;
                }
                let r = admin.call(method, &path, with(&body, member, &value)).await;
                let unknown_group = member == "secret_group_id" && kind == "string";
                let wanted = if unknown_group { 404 } else { 400 };
                assert_eq!(r.status, wanted, "{method} {path} {member} as {kind}: {}", r.text);
                assert!(
                    !r.text.contains(CANARY) && !r.text.contains("7239481"),
                    "{method} {path} {member}: {}",
                    r.text
                );
            }
        }
        for (_, whole) in values() {
            if !whole.is_object() {
                let r = admin.call(method, &path, whole).await;
                assert_eq!((r.status, r.text.contains(CANARY)), (400, false), "{method} {path}: {}", r.text);
            }
        }
    }
    assert_eq!(admin.get("/secrets").await.body, before);
    assert_eq!(admin.get("/secret_groups").await.body["total_count"], 2);
}

#[tokio::test]
async fn bodies_that_are_no_json_are_refused() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    for body in
        ["", "{", "[]", "null", "{\"name\":\"a1\",\"name\":\"b1\"}", "name=a1", "{\"name\":\"\u{1}\"}"]
    {
        for path in ["/secrets", "/secret_groups"] {
            let r = admin
                .client
                .send("POST", &format!("{}{path}", admin.base), "application/json", body.as_bytes().to_vec())
                .await;
            assert_eq!(r.status, 400, "{path} {body}: {}", r.text);
        }
    }
    assert_eq!(admin.get("/secret_groups").await.body["total_count"], 1);
}
