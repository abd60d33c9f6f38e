//! Registrations: written, read, changed, removed.

use avouch_testkit::TestIssuer;
use serde_json::{Value, json};

use crate::world::{ISSUER, World, register, text};

#[tokio::test]
async fn a_cluster_is_registered_read_changed_and_removed() {
    let w = World::new().await;
    let c = &w.cluster;
    let id = text(c, "id");
    assert_eq!(id.len(), 20);
    assert!(id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
    let crn = format!("crn:v1:bluemix:public:containers-kubernetes:us-south:a/{}:{id}::", w.t.account());
    assert_eq!(text(c, "crn"), crn);
    assert_eq!(
        (&c["audiences"], &c["max_token_ttl"], &c["state"]),
        (&json!(["iam"]), &json!(3600), &json!("active"))
    );
    assert_eq!(c["resource_group"], json!(w.t.resource_group()));
    assert_eq!((&c["keys"][0]["kid"], &c["keys"][0]["state"]), (&json!(w.issuer.kid), &json!("active")));
    assert!(c.get("jwks").is_none());
    let read = w.admin.get(&w.path()).await;
    assert_eq!((read.status, read.etag()), (200, text(c, "entity_tag").to_owned()));
    let list = w.admin.get("/avouch/v1/clusters").await;
    assert_eq!(list.body["clusters"].as_array().unwrap().len(), 1);

    assert_eq!(w.admin.patch(&w.path(), json!({"max_token_ttl": 600})).await.status, 400, "no If-Match");
    let stale = w.admin.with_header("if-match", "1-x").patch(&w.path(), json!({"max_token_ttl": 600})).await;
    assert_eq!(stale.status, 409);
    let tagged = w.admin.with_header("if-match", &read.etag());
    let changed = tagged.patch(&w.path(), json!({"max_token_ttl": 600})).await;
    assert_eq!((changed.status, &changed.body["max_token_ttl"]), (200, &json!(600)), "{}", changed.body);
    assert_ne!(changed.etag(), read.etag());
    assert_eq!(changed.body["keys"], c["keys"], "uploaded keys stay");
    assert_eq!(tagged.patch(&w.path(), json!({"max_token_ttl": 700})).await.status, 409);
    assert_eq!(w.code(&w.token()).await, "BXNIM0480E");
    let any = w.admin.with_header("if-match", "*");
    for (field, value) in [("region", json!("eu-de")), ("cr_type", json!("ROKS_SA"))] {
        assert_eq!(any.patch(&w.path(), json!({field: value})).await.status, 400, "{field}");
    }
    let replaced = any.put(&w.path(), json!({"name": "c1", "cr_type": "IKS_SA", "issuer": ISSUER})).await;
    assert_eq!((replaced.status, &replaced.body["max_token_ttl"]), (200, &json!(3600)), "{}", replaced.body);
    assert_eq!(w.code(&w.token()).await, "ok");

    assert_eq!(w.admin.delete(&w.path()).await.status, 204);
    assert_eq!(w.admin.get(&w.path()).await.status, 404);
    assert_eq!(w.admin.delete(&w.path()).await.status, 404);
    let links = w.admin.get(&format!("/v1/profiles/{}/links", text(&w.profile, "id"))).await;
    assert_eq!(links.body["links"].as_array().unwrap().len(), 1, "links stay");
    for action in ["register", "update", "delete"] {
        let events = w.t.events(&[("action", &format!("iam-identity.cluster.{action}"))]).await;
        assert!(events.iter().any(|e| e["outcome"] == "success"), "{action}");
    }
}

#[tokio::test]
async fn a_cluster_is_moved_only_where_it_could_have_been_registered() {
    let w = World::new().await;
    let group =
        w.admin.post("/v2/resource_groups", json!({"name": "prod", "account_id": w.t.account()})).await;
    let prod = text(&group.body, "id").to_owned();
    let (editor, iam_id) = w.t.service_id("editor-of-default").await;
    let equal = |key: &str, value: &str| json!({"key": key, "operator": "stringEquals", "value": value});
    let in_group = |group: &str| {
        json!([
            equal("accountId", w.t.account()),
            equal("serviceName", "containers-kubernetes"),
            equal("resourceGroupId", group),
        ])
    };
    let role = "crn:v1:bluemix:public:iam::::role:Administrator";
    w.t.grant(&w.admin, &iam_id, role, in_group(w.t.resource_group())).await;
    let any = editor.with_header("if-match", "*");
    assert_eq!(any.patch(&w.path(), json!({"max_token_ttl": 600})).await.status, 200);
    let whole = json!({"name": "c1", "cr_type": "IKS_SA", "issuer": ISSUER, "resource_group": prod});
    assert_eq!(any.patch(&w.path(), json!({"resource_group": prod})).await.status, 403);
    assert_eq!(any.put(&w.path(), whole.clone()).await.status, 403);
    assert_eq!(w.admin.get(&w.path()).await.body["resource_group"], json!(w.t.resource_group()));
    w.t.grant(&w.admin, &iam_id, role, in_group(&prod)).await;
    assert_eq!(any.put(&w.path(), whole).await.status, 200);
    assert_eq!(w.admin.get(&w.path()).await.body["resource_group"], json!(prod));
}

#[tokio::test]
async fn lists_show_and_name_only_what_the_caller_may_see() {
    let w = World::new().await;
    let mut ids = vec![w.id().to_owned()];
    for n in 0..104 {
        let issuer = TestIssuer::new(&format!("https://issuer-{n}.test"));
        let r = register(&w.admin, &format!("more-{n}"), &issuer, json!({})).await;
        ids.push(text(&r.body, "id").to_owned());
    }
    ids.sort();
    let list = "/avouch/v1/clusters";
    // By name, wherever in the list.
    for name in ["c1", "more-0", "more-103"] {
        let found = w.admin.get(&format!("{list}?name={name}&limit=1")).await.body;
        assert_eq!(found["clusters"].as_array().unwrap().len(), 1, "{found}");
        assert_eq!((&found["clusters"][0]["name"], &found["next"]), (&json!(name), &Value::Null));
    }
    let none = w.t.nobody().await.get(&format!("{list}?limit=2")).await;
    assert_eq!((&none.body["clusters"], &none.body["next"]), (&json!([]), &Value::Null), "{}", none.text);
    // Whoever may see the last one finds it, and is told of no other.
    let (viewer, iam_id) = w.t.service_id("viewer-of-one").await;
    let equal = |key: &str, value: &str| json!({"key": key, "operator": "stringEquals", "value": value});
    let last = ids.last().unwrap();
    let target = json!([
        equal("accountId", w.t.account()),
        equal("serviceName", "containers-kubernetes"),
        equal("serviceInstance", last),
    ]);
    w.t.grant(&w.admin, &iam_id, "crn:v1:bluemix:public:iam::::role:Viewer", target).await;
    let one = viewer.get(&format!("{list}?limit=1")).await;
    assert_eq!(
        (&one.body["clusters"][0]["id"], &one.body["next"]),
        (&json!(last), &Value::Null),
        "{}",
        one.text
    );
    // And all are found page by page.
    let (mut found, mut start) = (Vec::new(), String::new());
    loop {
        let page = w.admin.get(&format!("{list}?limit=50&start={start}")).await.body;
        found.extend(page["clusters"].as_array().unwrap().iter().map(|c| text(c, "id").to_owned()));
        match page["next"]["start"].as_str() {
            Some(next) => start = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(found, ids);
}

#[tokio::test]
async fn uploaded_keys_are_rotated_by_a_patch() {
    let w = World::new().await;
    let next = TestIssuer::new(ISSUER);
    let any = w.admin.with_header("if-match", "*");
    let r = any.patch(&w.path(), json!({"jwks": next.jwks()})).await;
    assert_eq!(r.status, 200, "{}", r.body);
    let new = next.token("team-a", "reader", "reader-0", w.now());
    assert_eq!((w.code(&new).await, w.code(&w.token()).await), ("ok".into(), "ok".into()));
    w.t.advance_secs(3661);
    assert_eq!(w.code(&w.token()).await, "BXNIM0407E", "the old key has retired");
    let new = next.token("team-a", "reader", "reader-0", w.now());
    assert_eq!(w.code(&new).await, "ok");
    let admin = w.t.admin().await;
    let any = admin.with_header("if-match", "*");
    let both = json!({"keys": [next.jwks()["keys"][0], w.issuer.jwks()["keys"][0]]});
    assert_eq!(any.patch(&w.path(), json!({"jwks": both})).await.status, 200);
    let path = format!("{}/keys/{}/revoke", w.path(), next.kid);
    assert_eq!(admin.post(&path, Value::Null).await.status, 200);
    assert_eq!(any.patch(&w.path(), json!({"jwks": both})).await.status, 200);
    assert_eq!(w.code(&next.token("team-a", "reader", "p", w.now())).await, "BXNIM0407E", "revoked for good");
    assert_eq!(admin.post(&format!("{}/keys/none/revoke", w.path()), Value::Null).await.status, 404);
}

#[tokio::test]
async fn another_issuer_ends_the_keys_of_the_old_one() {
    let w = World::new().await;
    let next = TestIssuer::new("https://next.test");
    let any = w.admin.with_header("if-match", "*");
    assert_eq!(any.patch(&w.path(), json!({"issuer": next.issuer})).await.status, 400, "no keys for it");
    let r = any.patch(&w.path(), json!({"issuer": next.issuer, "jwks": next.jwks()})).await;
    assert_eq!(r.status, 200, "{}", r.body);
    assert_eq!(r.body["keys"].as_array().unwrap().len(), 1);
    assert_eq!(w.code(&w.token()).await, "BXNIM0407E");
    assert_eq!(w.code(&next.token("team-a", "reader", "p", w.now())).await, "ok");
    let old = json!({"issuer": ISSUER, "jwks": w.issuer.jwks()});
    let r = any.patch(&w.path(), json!({"additional_issuers": [old]})).await;
    assert_eq!(r.status, 200, "{}", r.body);
    assert_eq!((w.code(&w.token()).await, r.body["keys"].as_array().unwrap().len()), ("ok".into(), 2));
}

#[tokio::test]
async fn names_keys_and_values_are_checked() {
    let w = World::new().await;
    let other = TestIssuer::new("https://other.test");
    assert_eq!(register(&w.admin, "c1", &other, json!({})).await.status, 409, "the name is taken");
    let same = register(&w.admin, "c2", &w.issuer, json!({})).await;
    assert_eq!((same.status, &same.body["errors"][0]["code"]), (409, &json!("key_collision")));
    let mut renamed = w.issuer.jwks();
    renamed["keys"][0]["kid"] = json!("another");
    let again = register(&w.admin, "c2", &w.issuer, json!({"jwks": renamed})).await;
    assert_eq!(again.status, 409, "the same key under another id");
    for (field, value) in [
        ("name", json!("")),
        ("cr_type", json!("VSI")),
        ("issuer", json!("kubernetes/serviceaccount")),
        ("audiences", json!([])),
        ("max_token_ttl", json!(3601)),
        ("jwks", json!({"keys": []})),
        ("resource_group", json!("ffffffffffffffffffffffffffffffff")),
        ("no_such_member", json!(1)),
        ("region", json!("a/b")),
        ("jwks_url", json!("https://a.test/k")),
    ] {
        let r = register(&w.admin, "c9", &other, json!({field: value})).await;
        assert_eq!(r.status, 400, "{field} {}", r.body);
        assert!(r.body["errors"][0]["message"].is_string() && r.body["trace"].is_string());
    }
}

#[tokio::test]
async fn rights_are_those_on_the_cluster_and_strangers_see_nothing() {
    let w = World::new().await;
    let (viewer, nobody, outsider) = (w.t.viewer().await, w.t.nobody().await, w.t.outsider().await);
    assert_eq!(viewer.get(&w.path()).await.status, 200);
    assert_eq!(viewer.delete(&w.path()).await.status, 403);
    assert_eq!(viewer.post(&format!("{}/refresh", w.path()), Value::Null).await.status, 403);
    let issuer = TestIssuer::new("https://x.test");
    assert_eq!(register(&viewer, "x", &issuer, json!({})).await.status, 403);
    assert_eq!(nobody.get(&w.path()).await.status, 403);
    assert_eq!(nobody.get("/avouch/v1/clusters").await.body["clusters"], json!([]));
    let unknown = outsider.get("/avouch/v1/clusters/c0000000000000000000").await;
    for (method, path) in [
        ("GET", w.path()),
        ("DELETE", w.path()),
        ("POST", format!("{}/refresh", w.path())),
        ("POST", format!("{}/diagnose", w.path())),
        ("POST", format!("{}/keys/k/revoke", w.path())),
    ] {
        let r = outsider.json(method, &path, Value::Null).await;
        assert_eq!(
            (r.status, &r.body["errors"][0]["code"]),
            (404, &unknown.body["errors"][0]["code"]),
            "{method} {path}"
        );
    }
    assert_eq!(w.t.anon().get(&w.path()).await.status, 401);
}

#[tokio::test]
async fn published_paths_of_the_containers_service_answer() {
    let w = World::new().await;
    for path in ["/v1/clusters", "/global/v1/clusters"] {
        let list = w.admin.get(path).await;
        assert_eq!((list.status, &list.body[0]["crn"]), (200, &w.cluster["crn"]));
        assert_eq!(list.body[0]["resourceGroupName"], "Default");
    }
    for name in [w.id(), "c1"] {
        assert_eq!(w.admin.get(&format!("/v1/clusters/{name}")).await.body["id"], w.cluster["id"]);
    }
    assert_eq!(w.admin.get("/v1/clusters/none").await.status, 404);
    let refresh = w.admin.put("/v1/clusters/c1/masters", json!({"action": "refresh"})).await;
    assert_eq!(refresh.status, 204);
    assert_eq!(w.admin.put("/v1/clusters/c1/masters", json!({"action": "update"})).await.status, 400);
    let events = w.t.events(&[("action", "containers-kubernetes.cluster-master.refresh")]).await;
    assert_eq!(events.len(), 1 + 1);
}

#[tokio::test]
async fn lists_are_paged() {
    let w = World::new().await;
    for n in 0..4 {
        let issuer = TestIssuer::new(&format!("https://i{n}.test"));
        assert_eq!(register(&w.admin, &format!("n{n}"), &issuer, json!({})).await.status, 201);
    }
    let (mut seen, mut start) = (0, String::new());
    loop {
        let page = w.admin.get(&format!("/avouch/v1/clusters?limit=2&start={start}")).await;
        seen += page.body["clusters"].as_array().unwrap().len();
        match page.body["next"]["start"].as_str() {
            Some(next) => start = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, 5);
    assert_eq!(w.admin.get("/avouch/v1/clusters?limit=0").await.status, 400);
}

#[tokio::test]
async fn a_resource_group_with_a_cluster_is_not_deleted() {
    let w = World::new().await;
    let group = w.admin.post("/v2/resource_groups", json!({"name": "g", "account_id": w.t.account()})).await;
    let group = text(&group.body, "id").to_owned();
    let tagged = w.admin.with_header("if-match", "*");
    let moved = tagged.patch(&w.path(), json!({"resource_group": group})).await;
    assert_eq!(moved.status, 200, "{}", moved.body);
    let path = format!("/v2/resource_groups/{group}");
    let refused = w.admin.delete(&path).await;
    assert_eq!((refused.status, refused.text.contains("not empty")), (400, true), "{}", refused.text);
    assert_eq!(w.admin.delete(&w.path()).await.status, 204);
    assert_eq!(w.admin.delete(&path).await.status, 204);
}
