//! The list of secrets: pages, order, filters.

use serde_json::{Value, json};

use crate::vault::{ABSENT, Caller, Vault, column, path};

/// Five secrets, a second apart.
async fn five(v: &Vault, c: &Caller) -> String {
    let group = c.group("team").await;
    for (name, kind, labels, more) in [
        ("delta", "arbitrary", json!(["dev", "eu"]), json!({"payload": "x", "expiration_date": v.at(9_000)})),
        ("alpha", "kv", json!(["dev"]), json!({"data": {"a": 1}, "secret_group_id": group})),
        (
            "echo",
            "username_password",
            json!(["prod", "eu"]),
            json!({"username": "app", "description": "Of the SHOP"}),
        ),
        ("bravo", "arbitrary", json!([]), json!({"payload": "x", "secret_group_id": group})),
        ("charlie", "kv", json!(["dev", "eu", "x y"]), json!({"data": {"a": 1}})),
    ] {
        let mut body = json!({"name": name, "secret_type": kind, "labels": labels});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        c.secret(body).await;
        v.t.advance_secs(1);
    }
    group
}

async fn names(c: &Caller, query: &str) -> Vec<String> {
    let r = c.get(&format!("/secrets?{query}")).await;
    assert_eq!(r.status, 200, "{query}: {}", r.text);
    let names: Vec<String> = column(&r.body["secrets"], "name").into_iter().map(str::to_owned).collect();
    if !query.contains("limit") {
        assert_eq!(r.body["total_count"], names.len(), "{query}");
    }
    names
}

#[tokio::test]
async fn lists_are_sorted_by_every_published_field() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    five(&v, &admin).await;
    let echo = admin.get("/secrets?search=echo").await.body["secrets"][0].clone();
    assert_eq!(admin.patch(&format!("{}/metadata", path(&echo)), json!({"name": "zulu"})).await.status, 200);
    v.t.advance_secs(1);
    let delta = admin.get("/secrets?search=delta").await.body["secrets"][0].clone();
    assert_eq!(admin.get(&path(&delta)).await.status, 200);
    let made = ["delta", "alpha", "zulu", "bravo", "charlie"];
    assert_eq!(names(&admin, "").await, made);
    assert_eq!(names(&admin, "sort=created_at").await, made);
    assert_eq!(names(&admin, "sort=-created_at").await, ["charlie", "bravo", "zulu", "alpha", "delta"]);
    assert_eq!(names(&admin, "sort=name").await, ["alpha", "bravo", "charlie", "delta", "zulu"]);
    assert_eq!(names(&admin, "sort=-name").await, ["zulu", "delta", "charlie", "bravo", "alpha"]);
    assert_eq!(names(&admin, "sort=-updated_at").await[0], "zulu");
    assert_eq!(names(&admin, "sort=-retrieved_at").await[0], "delta");
    assert_eq!(names(&admin, "sort=-expiration_date").await[0], "delta");
    let types = admin.get("/secrets?sort=secret_type").await.body;
    assert_eq!(
        column(&types["secrets"], "secret_type"),
        ["arbitrary", "arbitrary", "kv", "kv", "username_password"]
    );
    let ids = admin.get("/secrets?sort=id").await.body;
    assert!(column(&ids["secrets"], "id").is_sorted());
    for bad in ["sort=payload", "sort=--name", "sort=NAME"] {
        assert_eq!(admin.get(&format!("/secrets?{bad}")).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn filters_narrow_and_unknown_values_match_nothing() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let group = five(&v, &admin).await;
    for (query, found) in [
        (format!("groups={group}"), vec!["alpha", "bravo"]),
        ("groups=default".into(), vec!["delta", "echo", "charlie"]),
        (format!("groups=default,{group}"), vec!["delta", "alpha", "echo", "bravo", "charlie"]),
        (format!("groups={ABSENT}"), vec![]),
        ("groups=team".into(), vec![]),
        ("secret_types=kv".into(), vec!["alpha", "charlie"]),
        ("secret_types=kv,username_password".into(), vec!["alpha", "echo", "charlie"]),
        ("secret_types=ssh".into(), vec![]),
        ("match_all_labels=eu".into(), vec!["delta", "echo", "charlie"]),
        ("match_all_labels=eu,dev".into(), vec!["delta", "charlie"]),
        ("match_all_labels=x%20y".into(), vec!["charlie"]),
        ("match_all_labels=EU".into(), vec![]),
        ("search=LPH".into(), vec!["alpha"]),
        ("search=shop".into(), vec!["echo"]),
        ("search=prod".into(), vec!["echo"]),
        ("search=username_".into(), vec!["echo"]),
        ("search=nowhere".into(), vec![]),
        (format!("groups={group}&secret_types=kv&match_all_labels=dev&search=a"), vec!["alpha"]),
    ] {
        assert_eq!(names(&admin, &query).await, found, "{query}");
    }
    let id = admin.get("/secrets?search=bravo").await.body["secrets"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(names(&admin, &format!("search={}", &id[..18])).await, ["bravo"]);
}

#[tokio::test]
async fn pages_lead_to_each_other_with_numbers_and_filters() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    five(&v, &admin).await;
    let page = admin.get("/secrets?limit=2&offset=2&sort=-created_at&groups=default,nobody").await.body;
    assert_eq!((&page["total_count"], &page["limit"], &page["offset"]), (&json!(3), &json!(2), &json!(2)));
    assert!(page.get("next").is_none());
    // The way SDKs follow: `offset` out of `next.href`, until there is no `next`.
    let mut seen = Vec::new();
    let mut at = format!("{}/secrets?limit=2&sort=name", admin.base);
    loop {
        let r = admin.client.get(&at).await;
        assert_eq!(r.status, 200, "{at}");
        seen.extend(column(&r.body["secrets"], "name").into_iter().map(str::to_owned));
        let Some(next) = r.body.get("next") else {
            assert_eq!(
                r.body["last"]["href"].as_str().unwrap().split_once("/secrets-manager").unwrap().1,
                &at[16..]
            );
            break;
        };
        let href = next["href"].as_str().unwrap();
        assert!(href.starts_with("http://avouch.test/secrets-manager/"), "{href}");
        let offset: usize = href.split("offset=").nth(1).unwrap().split('&').next().unwrap().parse().unwrap();
        assert_eq!(offset, seen.len());
        assert!(href.contains("sort=name"), "{href}");
        at = href.strip_prefix("http://avouch.test").unwrap().to_owned();
    }
    assert_eq!(seen, ["alpha", "bravo", "charlie", "delta", "echo"]);
    let middle = admin.get("/secrets?limit=2&offset=2").await.body;
    for (link, offset) in [("previous", Some(0)), ("next", Some(4)), ("last", Some(4)), ("first", None)] {
        let href = middle[link]["href"].as_str().unwrap();
        let found = href.split("offset=").nth(1).map(|o| o.parse::<i64>().unwrap());
        assert_eq!(found, offset, "{link}: {href}");
    }
    let beyond = admin.get("/secrets?offset=100").await.body;
    assert_eq!((&beyond["secrets"], &beyond["total_count"]), (&json!([]), &json!(5)));
    assert!(beyond.get("next").is_none() && beyond["previous"]["href"].is_string());
    for bad in ["limit=0", "limit=1001", "limit=x", "offset=-1", "offset=x", "limit=1&limit=2"] {
        assert_eq!(admin.get(&format!("/secrets?{bad}")).await.status, 400, "{bad}");
    }
    let empty = Vault { guid: v.t.secrets_instance().await, t: v.t };
    let none = empty.admin().await.get("/secrets").await.body;
    assert_eq!(
        (&none["total_count"], &none["secrets"], &none["limit"]),
        (&json!(0), &json!([]), &json!(200))
    );
    assert!(
        none["first"]["href"].is_string() && none["last"]["href"].is_string() && none.get("next").is_none()
    );
}

#[tokio::test]
async fn lists_hold_metadata_and_no_null() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    five(&v, &admin).await;
    let listed = admin.get("/secrets").await.body;
    for secret in listed["secrets"].as_array().unwrap() {
        assert_eq!(secret, &admin.get(&format!("{}/metadata", path(secret))).await.body);
        for (member, value) in secret.as_object().unwrap() {
            assert_ne!(value, &Value::Null, "{member}");
            assert!(!["payload", "data", "username", "password"].contains(&member.as_str()), "{member}");
        }
    }
}
