//! The three types, from creation to deletion.

use serde_json::{Value, json};

use crate::vault::{ABSENT, Caller, Vault, message, path};

/// What differs between the types.
struct Life {
    prototype: Value,
    payload: Value,
    next: Value,
    changed: Value,
}

/// Everything that is the same for all types.
async fn lives(v: &Vault, c: &Caller, life: Life) {
    let Life { prototype, payload, next, changed } = life;
    let (payload, changed) = (payload.as_object().unwrap(), changed.as_object().unwrap());
    let kind = prototype["secret_type"].as_str().unwrap().to_owned();
    let made = c.secret(prototype).await;
    let secret = path(&made);
    for (member, value) in payload {
        assert_eq!(&made[member], value, "{kind}");
    }
    assert_eq!((&made["state"], &made["state_description"]), (&json!(1), &json!("active")));
    assert_eq!(
        (&made["versions_total"], &made["locks_total"], &made["downloaded"]),
        (&json!(1), &json!(0), &json!(false))
    );
    assert_eq!((&made["created_by"], &made["secret_group_id"]), (&json!(v.t.owner()), &json!("default")));
    let crn = format!(
        "crn:v1:bluemix:public:secrets-manager:us-south:a/{}:{}:secret:{}",
        v.t.account(),
        v.guid,
        made["id"].as_str().unwrap()
    );
    assert_eq!(made["crn"], crn);
    let read = c.get(&secret).await;
    let named = c.get(&format!("/secret_groups/default/secret_types/{kind}/secrets/one")).await;
    let version = c.get(&format!("{secret}/versions/current")).await;
    for r in [&read, &named, &version] {
        assert_eq!(r.status, 200, "{}", r.text);
        for (member, value) in payload {
            assert_eq!(&r.body[member], value, "{kind}");
        }
        assert_eq!(r.body["secret_type"], kind);
    }
    let metadata = c.get(&format!("{secret}/metadata")).await;
    let listed = c.get("/secrets?search=one").await;
    let versions = c.get(&format!("{secret}/versions")).await;
    let version = c.get(&format!("{secret}/versions/current/metadata")).await;
    for r in [&metadata.body, &listed.body["secrets"][0], &versions.body["versions"][0], &version.body] {
        assert_eq!(r["secret_type"], kind);
        for member in ["payload", "username", "password", "data"] {
            assert!(r.get(member).is_none(), "{kind}: {member}");
        }
    }
    v.t.advance_secs(60);
    let rotated = c.post(&format!("{secret}/versions"), next).await;
    assert_eq!(rotated.status, 201, "{}", rotated.text);
    let after = c.get(&secret).await.body;
    for (member, value) in changed {
        assert_eq!((&rotated.body[member], &after[member]), (value, value), "{kind}");
    }
    assert_eq!((&after["versions_total"], &after["updated_at"]), (&json!(2), &json!(v.at(0))));
    assert_eq!(after["created_at"], made["created_at"]);
    assert_eq!(c.delete(&secret).await.status, 204);
    for (method, tail) in
        [("GET", ""), ("DELETE", ""), ("GET", "/metadata"), ("GET", "/versions"), ("GET", "/locks")]
    {
        assert_eq!(
            c.call(method, &format!("{secret}{tail}"), Value::Null).await.status,
            404,
            "{method} {tail}"
        );
    }
    for table in
        ["select 1 from sm_versions where secret_id = $1", "select 1 from sm_reads where secret_id = $1"]
    {
        assert!(v.numbers(table, &secret[9..]).await.is_empty(), "{table}");
    }
}

#[tokio::test]
async fn arbitrary() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let text = "line one\nline two \u{0} – ünïcode \"quoted\" \\ end";
    let life = Life {
        prototype: json!({"secret_type": "arbitrary", "name": "one", "payload": text}),
        payload: json!({"payload": text}),
        next: json!({"payload": "next"}),
        changed: json!({"payload": "next"}),
    };
    lives(&v, &admin, life).await;
}

#[tokio::test]
async fn kv() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let data = json!({"z": "last first", "a": {"deep": [1, -2.5, true, null, {"k\u{0}": "v"}]}, "": ""});
    let life = Life {
        prototype: json!({"secret_type": "kv", "name": "one", "data": data}),
        payload: json!({"data": data}),
        next: json!({"data": {"b": 2}}),
        changed: json!({"data": {"b": 2}}),
    };
    lives(&v, &admin, life).await;
    // The order of members is the one that was sent.
    let r = admin.post("/secrets", json!({"secret_type": "kv", "name": "two", "data": data})).await;
    assert!(r.text.contains(r#""data":{"z":"last first","a":"#), "{}", r.text);
}

#[tokio::test]
async fn username_password() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let (first, second) = ("correct horse", "battery staple");
    let life = Life {
        prototype: json!({"secret_type": "username_password", "name": "one", "username": "app", "password": first}),
        payload: json!({"username": "app", "password": first}),
        next: json!({"password": second}),
        changed: json!({"username": "app", "password": second}),
    };
    lives(&v, &admin, life).await;
}

#[tokio::test]
async fn passwords_are_generated_by_the_policy_of_the_secret() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let made = admin
        .secret(json!({"secret_type": "username_password", "name": "one", "username": "app", "password": ""}))
        .await;
    let first = made["password"].as_str().unwrap();
    assert_eq!((first.len(), &made["rotation"]), (32, &json!({"auto_rotate": false})));
    assert_eq!(
        made["password_generation_policy"],
        json!({"length": 32, "include_digits": true, "include_symbols": true, "include_uppercase": true})
    );
    let plain = json!({"password_generation_policy":
        {"length": 12, "include_digits": false, "include_symbols": false, "include_uppercase": false}});
    assert_eq!(admin.patch(&format!("{}/metadata", path(&made)), plain).await.status, 200);
    assert_eq!(admin.get(&path(&made)).await.body["password"], first);
    let next = admin.post(&format!("{}/versions", path(&made)), json!({})).await.body;
    let next = next["password"].as_str().unwrap();
    assert!(next.len() == 12 && next.bytes().all(|b| b.is_ascii_lowercase()), "a policy was not followed");
    for length in [11, 257, 0, -1] {
        let body = json!({"secret_type": "username_password", "name": "two", "username": "app",
            "password_generation_policy": {"length": length}});
        assert_eq!(admin.post("/secrets", body).await.status, 400, "{length}");
        let patch = json!({"password_generation_policy": {"length": length}});
        assert_eq!(admin.patch(&format!("{}/metadata", path(&made)), patch).await.status, 400, "{length}");
    }
}

#[tokio::test]
async fn sizes_of_payloads_are_those_published() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let arbitrary = |text: String| json!({"secret_type": "arbitrary", "payload": text});
    let login = |user: &str, password: &str| json!({"secret_type": "username_password", "username": user, "password": password});
    let kv = |data: Value| json!({"secret_type": "kv", "data": data});
    let bytes = |n: usize| json!({"k": "v".repeat(n - 8)});
    let long = |n: usize| "ä".repeat(n);
    for (n, (good, mut body)) in [
        (true, arbitrary(long(1_000_000))),
        (false, arbitrary(long(1_000_001))),
        (false, arbitrary(String::new())),
        (false, json!({"secret_type": "arbitrary"})),
        (true, login("ab", "123456")),
        (false, login("a", "123456")),
        (true, login(&long(64), &long(256))),
        (false, login(&long(65), "123456")),
        (false, login("", "123456")),
        (false, login("a\u{0}b", "123456")),
        (false, login("ab", "12345")),
        (false, login("ab", &long(257))),
        (true, kv(bytes(512 * 1024))),
        (false, kv(bytes(512 * 1024 + 1))),
        (false, kv(json!({}))),
        (false, kv(json!([1]))),
        (false, kv(json!("text"))),
        (false, kv(Value::Null)),
    ]
    .into_iter()
    .enumerate()
    {
        body["name"] = json!(format!("s{n}"));
        let r = admin.post("/secrets", body).await;
        assert_eq!(r.status, if good { 201 } else { 400 }, "{n}: {}", r.text.get(..200).unwrap_or(&r.text));
    }
}

#[tokio::test]
async fn members_of_other_types_are_refused_or_not_kept() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    for (kind, payload) in [("arbitrary", json!({"payload": "x"})), ("kv", json!({"data": {"a": 1}}))] {
        for more in [json!({"rotation": {"auto_rotate": false}}), json!({"password_generation_policy": {}})] {
            let mut body = json!({"secret_type": kind, "name": "x1"});
            for part in [&payload, &more] {
                body.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
            }
            let r = admin.post("/secrets", body).await;
            assert_eq!(r.status, 400, "{kind}: {}", r.text);
        }
    }
    let made = admin
        .secret(json!({"secret_type": "arbitrary", "name": "x1", "payload": "p", "data": {"a": 1}, "password": "q"}))
        .await;
    assert!(made.get("data").is_none() && made.get("password").is_none());
    let r = admin.post(&format!("{}/versions", path(&made)), json!({"data": {"a": 1}})).await;
    assert_eq!((r.status, message(&r).contains("payload")), (400, true), "{}", r.text);
}

#[tokio::test]
async fn unknown_secrets_are_not_found() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let secret = admin.text("db").await;
    let group = admin.group("team").await;
    for id in [ABSENT, "x", "current", "%20"] {
        for tail in ["", "/metadata", "/versions", "/versions/current", "/locks"] {
            assert_eq!(admin.get(&format!("/secrets/{id}{tail}")).await.status, 404, "{id}{tail}");
        }
    }
    // Ids are lower case; whoever shouts is understood.
    assert_eq!(admin.get(&format!("/secrets/{}", secret[9..].to_uppercase())).await.status, 200);
    for path in [
        "default/secret_types/arbitrary/secrets/other",
        "default/secret_types/kv/secrets/db",
        "default/secret_types/nothing/secrets/db",
        "team/secret_types/arbitrary/secrets/db",
        "nobody/secret_types/arbitrary/secrets/db",
        &format!("{group}/secret_types/arbitrary/secrets/db"),
    ] {
        assert_eq!(admin.get(&format!("/secret_groups/{path}")).await.status, 404, "{path}");
    }
    // Nor is a secret found through another instance.
    let other = Vault { guid: v.t.secrets_instance().await, t: v.t };
    assert_eq!(other.admin().await.get(&secret).await.status, 404);
}
