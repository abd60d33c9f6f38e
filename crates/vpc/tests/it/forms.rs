//! What every call must say, and how it is answered when it does not.

use avouch_testkit::TestApp;
use serde_json::json;

use crate::world::{Vpc, as_refused, public_key, refused};

#[tokio::test]
async fn version_and_generation_are_demanded_before_anything_else_is_read() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let day = |days: i64| {
        avouch_wire::time::Timestamp::from_millis(t.now().millis() + days * 86_400_000).rfc3339_secs()[..10]
            .to_owned()
    };
    for (query, code, field) in [
        (String::new(), "missing_field", "version"),
        ("version=2026-01-01".into(), "missing_field", "generation"),
        ("version=2026-01-01&generation=1".into(), "invalid_value", "generation"),
        ("version=2018-12-31&generation=2".into(), "invalid_version_range", "version"),
        (format!("version={}&generation=2", day(3)), "invalid_version_range", "version"),
        ("version=2026-02-30&generation=2".into(), "invalid_version_range", "version"),
        ("version=latest&generation=2".into(), "invalid_version_range", "version"),
        ("version=2026-01-01T00:00:00Z&generation=2".into(), "invalid_version_range", "version"),
    ] {
        let r = admin.get(&format!("/v1/keys?{query}")).await;
        assert_eq!(refused(&r), as_refused(400, code, field), "{query}: {}", r.text);
        assert_eq!(r.body["errors"][0]["target"]["type"], "parameter", "{query}");
        let r = admin.send("POST", &format!("/v1/keys?{query}"), "application/json", b"{".to_vec()).await;
        assert_eq!(refused(&r), as_refused(400, code, field), "{query}");
    }
    for good in ["2019-01-01".to_owned(), day(0), day(1)] {
        assert_eq!(admin.get(&format!("/v1/keys?version={good}&generation=2")).await.status, 200, "{good}");
    }
}

#[tokio::test]
async fn every_answer_says_its_trace() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    for (path, status) in [("/keys", 200), ("/keys/r006-00000000-0000-4000-8000-000000000001", 404)] {
        let r = admin.get(path).await;
        assert_eq!((r.status, r.header("x-request-id")), (status, r.header("transaction-id")), "{path}");
        assert!(!r.header("x-request-id").is_empty());
        if status == 404 {
            assert_eq!(r.body["trace"], r.header("x-request-id"));
        }
    }
    let r = Vpc(t.anon()).get("/keys").await;
    assert_eq!((r.status, &r.body["errors"][0]["code"]), (401, &json!("not_authenticated")));
    assert_eq!(r.body["trace"], r.header("x-request-id"));
}

#[tokio::test]
async fn bodies_are_read_as_json_whatever_their_type_and_unknown_members_are_refused() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let send = async |content_type: &str, body: &str| {
        let path = crate::world::at("/keys");
        admin.0.send("POST", &path, content_type, body.as_bytes().to_vec()).await
    };
    for (n, content_type) in ["application/x-www-form-urlencoded", "text/plain", ""].into_iter().enumerate() {
        let body = json!({"public_key": public_key(u8::try_from(n).unwrap())}).to_string();
        let r = send(content_type, &body).await;
        assert_eq!(r.status, 201, "{content_type}: {}", r.text);
    }
    for (body, code, field) in [
        ("", "invalid_request", ""),
        ("{", "invalid_request", ""),
        ("[]", "invalid_request", ""),
        (r#"{"name":"a","name":"b"}"#, "invalid_request", ""),
        (r#"{"nam":"a","public_key":"x"}"#, "unknown_field", "nam"),
        (r#"{"resource_group":{"name":"x"},"public_key":"x"}"#, "missing_field", "resource_group.id"),
        (r#"{"resource_group":{"id":"x"},"public_key":"x"}"#, "not_found", "resource_group.id"),
        (r#"{"resource_group":"x","public_key":"x"}"#, "invalid_value", "resource_group"),
        ("{}", "missing_field", "public_key"),
        (r#"{"public_key":7}"#, "invalid_value", "public_key"),
        (r#"{"public_key":"x","a secret\u0000":1}"#, "unknown_field", ""),
    ] {
        let r = send("application/json", body).await;
        assert_eq!(refused(&r), as_refused(400, code, field), "{body}: {}", r.text);
        assert!(!r.text.contains("secret"), "{}", r.text);
    }
}

#[tokio::test]
async fn a_patch_keeps_what_it_does_not_name_and_a_name_cannot_be_taken_away() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let key = admin.made("/keys", json!({"name": "one", "public_key": public_key(1)})).await;
    let one = format!("/keys/{}", key["id"].as_str().unwrap());
    assert_eq!(admin.patch(&one, json!({})).await.body["name"], "one");
    assert_eq!(admin.patch(&one, json!({"name": "two"})).await.body["name"], "two");
    let plain = admin.0.patch(&crate::world::at(&one), json!({"name": "three"})).await;
    assert_eq!((plain.status, &plain.body["name"]), (200, &json!("three")), "as application/json");
    assert_eq!(
        refused(&admin.patch(&one, json!({"name": null})).await),
        as_refused(400, "invalid_value", "name")
    );
    assert_eq!(
        refused(&admin.patch(&one, json!({"public_key": "x"})).await),
        as_refused(400, "unknown_field", "public_key")
    );
    for bad in ["", "A", "-a", "a-", "a_b", &"a".repeat(64)] {
        let r = admin.patch(&one, json!({"name": bad})).await;
        assert_eq!(refused(&r), as_refused(400, "invalid_value", "name"), "{bad}");
    }
}

#[tokio::test]
async fn if_match_of_another_revision_changes_nothing() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let key = admin.made("/keys", json!({"name": "one", "public_key": public_key(1)})).await;
    let one = format!("/keys/{}", key["id"].as_str().unwrap());
    let first = admin.get(&one).await.etag();
    assert!(first.starts_with("W/\""), "{first}");
    let with = |etag: &str| Vpc(admin.0.with_header("if-match", etag));
    let second = with(&first).patch(&one, json!({"name": "two"})).await;
    assert_eq!(second.status, 200, "{}", second.text);
    assert_ne!(second.etag(), first);
    for r in [with(&first).patch(&one, json!({"name": "x"})).await, with(&first).delete(&one).await] {
        assert_eq!(refused(&r), as_refused(412, "precondition_failed", "If-Match"));
        assert_eq!(r.body["errors"][0]["target"]["type"], "header");
    }
    assert_eq!(admin.get(&one).await.body["name"], "two");
    assert_eq!(with(&second.etag()).delete(&one).await.status, 204);
    assert_eq!(admin.get(&one).await.status, 404);
}

#[tokio::test]
async fn lists_are_paged_newest_first_to_their_end() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    for n in 0..7 {
        admin.made("/keys", json!({"name": format!("k{n}"), "public_key": public_key(n)})).await;
        t.advance_secs(i64::from(n % 2));
    }
    let mut seen = Vec::new();
    let mut next = Some(crate::world::at("/keys?limit=3"));
    while let Some(page) = next.take() {
        let r = admin.0.get(&page).await;
        assert_eq!(
            (r.status, &r.body["total_count"], &r.body["limit"]),
            (200, &json!(7), &json!(3)),
            "{}",
            r.text
        );
        assert!(!r.body["first"]["href"].as_str().unwrap().contains("start="));
        seen.extend(r.body["keys"].as_array().unwrap().iter().map(|k| k["id"].as_str().unwrap().to_owned()));
        next = r.body["next"]["href"].as_str().map(|href| {
            assert!(href.contains("start=") && href.contains("generation=2"), "{href}");
            href[href.find("/v1/").unwrap()..].to_owned()
        });
    }
    let all = admin.get("/keys").await;
    let ids: Vec<&str> =
        all.body["keys"].as_array().unwrap().iter().map(|k| k["id"].as_str().unwrap()).collect();
    assert_eq!(seen, ids);
    assert_eq!(all.body["next"], json!(null));
    let times: Vec<&str> =
        all.body["keys"].as_array().unwrap().iter().map(|k| k["created_at"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    for bad in ["limit=0", "limit=101", "limit=x", "start=!!", "start=AAAA"] {
        let r = admin.get(&format!("/keys?{bad}")).await;
        assert_eq!((r.status, &r.body["errors"][0]["target"]["type"]), (400, &json!("parameter")), "{bad}");
    }
}
