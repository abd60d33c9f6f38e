//! Trusted profiles: life, names, lists, who may, what is told.

use avouch_testkit::TestApp;
use serde_json::json;

use crate::helpers::{code, event, grant, profile, text, user};

const UNKNOWN: &str = "/v1/profiles/Profile-00000000-0000-4000-8000-00000000dead";

#[tokio::test]
async fn a_profile_lives_from_creation_to_deletion() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let made = admin
        .post(
            "/v1/profiles",
            json!({"name": "reader", "account_id": t.account(), "email": "a@b.test", "other": 1}),
        )
        .await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.etag(), text(&made, "entity_tag"));
    let id = text(&made, "id");
    assert_eq!(made.body["iam_id"], format!("iam-{id}"));
    assert_eq!(
        made.body["crn"],
        format!("crn:v1:bluemix:public:iam-identity::a/{}::profile:{id}", t.account())
    );
    assert_eq!(made.body["created_at"], "2026-03-02T10:00+0000");
    assert!(made.body.get("description").is_none());

    let path = format!("/v1/profiles/{id}");
    let crn = made.body["crn"].as_str().unwrap().replace(':', "%3A").replace('/', "%2F");
    let foreign = crn.replace(t.account(), &"f".repeat(32));
    let other_kind = crn.replace("%3Aprofile%3A", "%3Aserviceid%3A");
    for (named, status) in [
        (path.clone(), 200),
        (format!("{path}/"), 200),
        (format!("/v1/profiles/iam-{id}"), 200),
        (format!("/v1/profiles/{crn}"), 200),
        (format!("/v1/profiles/{foreign}"), 404),
        (format!("/v1/profiles/{other_kind}"), 404),
        ("/v1/profiles/invalid".to_owned(), 404),
        (UNKNOWN.to_owned(), 404),
    ] {
        let r = admin.get(&named).await;
        assert_eq!(r.status, status, "{named}: {}", r.body);
        if status == 200 {
            assert_eq!(r.etag(), made.etag());
        } else {
            assert_eq!(code(&r), "BXNIM0102E");
        }
    }

    assert_eq!(code(&admin.put(&path, json!({"description": "d"})).await), "BXNIM0109E");
    let changed = admin.with_header("if-match", &made.etag()).put(&path, json!({"description": "d"})).await;
    assert_eq!(
        (changed.status, text(&changed, "name"), text(&changed, "description")),
        (200, "reader".into(), "d".into())
    );
    let stale = admin.with_header("if-match", &made.etag()).put(&path, json!({"description": "e"})).await;
    assert_eq!((stale.status, code(&stale)), (409, "BXNIM0111E"));
    let any = admin.with_header("if-match", "*");
    t.advance_secs(1);
    let renamed = any.put(&path, json!({"name": "writer", "description": ""})).await;
    assert_eq!((renamed.status, renamed.body.get("description")), (200, None));
    assert_eq!(admin.with_header("if-match", "bogus").put(UNKNOWN, json!({"name": "x"})).await.status, 404);

    let seen = admin.get(&format!("{path}?include_history=true&include_activity=true")).await;
    let actions: Vec<&str> =
        seen.body["history"].as_array().unwrap().iter().map(|h| h["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["create-profile", "update-profile", "update-profile"]);
    assert_eq!(seen.body["activity"], json!({"authn_count": 0}));

    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!(admin.get(&path).await.status, 404);
    assert_eq!(admin.delete(&path).await.status, 404);

    let told = t.events(&[("action", "iam-identity.account-profile.update"), ("outcome", "success")]).await;
    let told = &told[0];
    assert_eq!(told["requestData"]["prev_instance_name"], "reader");
    assert_eq!(told["requestData"]["newValue"], json!({"name": "writer"}));
    assert_eq!(told["requestData"]["initialValue"], json!({"name": "reader", "description": "d"}));
    assert_eq!(
        (&told["severity"], &told["target"]["typeURI"]),
        (&json!("warning"), &json!("iam-identity/account-profile"))
    );
    assert_eq!(t.events(&[("action", "iam-identity.account-profile.create")]).await.len(), 1);
    let gone = t.events(&[("action", "iam-identity.account-profile.delete"), ("outcome", "success")]).await;
    assert_eq!((gone.len(), &gone[0]["severity"]), (1, &json!("critical")));
    assert_eq!(
        t.events(&[("action", "iam-identity.account-profile.delete"), ("outcome", "failure")]).await.len(),
        1
    );
}

#[tokio::test]
async fn a_name_is_unique_and_never_looks_like_an_id() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    profile(&t, &admin, "Taken").await;
    profile(&t, &admin, "taken").await;
    let second = profile(&t, &admin, "second").await;
    let id = "11111111-2222-4333-8444-555555555555";
    for (name, status) in [
        ("Taken".to_owned(), 409),
        (String::new(), 400),
        ("  ".to_owned(), 400),
        ("Taken ".to_owned(), 400),
        ("a\u{202e}b".to_owned(), 400),
        ("a\nb".to_owned(), 400),
        (format!("Profile-{id}"), 400),
        (format!("iam-Profile-{id}"), 400),
        ("crn:v1:x".to_owned(), 400),
        ("x".repeat(301), 400),
    ] {
        let r = admin.post("/v1/profiles", json!({"name": name, "account_id": t.account()})).await;
        assert_eq!(r.status, status, "{name:?}");
        let r = admin
            .with_header("if-match", "*")
            .put(&format!("/v1/profiles/{second}"), json!({"name": name}))
            .await;
        assert_eq!(r.status, status, "update to {name:?}");
    }
    for (body, status) in [
        (json!({"account_id": t.account()}), 400),
        (json!({"name": "x"}), 400),
        (json!({"name": "x", "account_id": "invalid"}), 400),
        (json!({"name": "x", "account_id": "f".repeat(32)}), 403),
        (json!({"name": 5, "account_id": t.account()}), 400),
        (json!([]), 400),
    ] {
        assert_eq!(admin.post("/v1/profiles", body.clone()).await.status, status, "{body}");
    }
}

#[tokio::test]
async fn lists_are_paged_sorted_and_filtered() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    for name in ["b", "a", "c-x", "d-x"] {
        profile(&t, &admin, name).await;
        t.advance_secs(1);
    }
    let base = format!("/v1/profiles?account_id={}", t.account());
    let names = |r: &avouch_testkit::TestResponse| -> Vec<String> {
        r.body["profiles"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = admin.get(&base).await;
    assert_eq!(names(&first), ["b", "a", "c-x", "d-x"]);
    assert_eq!((&first.body["offset"], &first.body["limit"]), (&json!(0), &json!(20)));
    assert!(first.body.get("next").is_none());
    let mut walked = Vec::new();
    let mut path = format!("{base}&pagesize=1&sort=name&order=desc");
    loop {
        let r = admin.get(&path).await;
        assert_eq!((r.status, &r.body["offset"]), (200, &json!(walked.len())), "{}", r.body);
        walked.extend(names(&r));
        match r.body["next"].as_str() {
            Some(next) => path = next.strip_prefix("http://avouch.test").unwrap().to_owned(),
            None => break,
        }
    }
    assert_eq!(walked, ["d-x", "c-x", "b", "a"]);
    for (more, wanted) in [
        ("&name=a", vec!["a"]),
        ("&filter=name%20co%20%22-x%22", vec!["c-x", "d-x"]),
        ("&filter=not%20(name%20ew%20%22-x%22)%20and%20name%20ne%20%22a%22", vec!["b"]),
        ("&filter=created_at%20gt%20%222026-03-02T10:01Z%22", vec![]),
        ("&sort=modified_at&order=desc&pagesize=2", vec!["d-x", "c-x"]),
    ] {
        assert_eq!(names(&admin.get(&format!("{base}{more}")).await), wanted, "{more}");
    }
    for bad in [
        "&pagesize=0",
        "&pagesize=101",
        "&sort=color",
        "&order=up",
        "&filter=name%20like%20x",
        "&pagetoken=x",
    ] {
        assert_eq!(admin.get(&format!("{base}{bad}")).await.status, 400, "{bad}");
    }
    assert_eq!(admin.get("/v1/profiles").await.status, 400);
    let with_history = admin.get(&format!("{base}&include_history=true")).await;
    assert_eq!(with_history.body["profiles"][0]["history"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn roles_decide_who_may_do_what() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let id = profile(&t, &admin, "target").await;
    let path = format!("/v1/profiles/{id}");
    let body = json!({"name": "x", "account_id": t.account()});
    for (role, read, change, remove) in [
        ("Viewer", 200, 403, 403),
        ("Editor", 200, 200, 403),
        ("Operator", 200, 200, 204),
        ("nobody", 403, 403, 403),
    ] {
        let client = if role == "nobody" { t.nobody().await } else { t.with_role(role).await };
        let victim = profile(&t, &admin, &format!("victim of {role}")).await;
        assert_eq!(client.get(&path).await.status, read, "{role}");
        let listed = client.get(&format!("/v1/profiles?account_id={}", t.account())).await;
        assert_eq!(listed.body["profiles"].as_array().unwrap().is_empty(), read == 403, "{role}");
        let changed = client.with_header("if-match", "*").put(&path, json!({"description": role})).await;
        assert_eq!(changed.status, change, "{role}");
        let r = client.post("/v1/profiles", body.clone()).await;
        assert_eq!((r.status, code(&r)), (403, "BXNIM0513E"), "{role}");
        assert_eq!(client.delete(&format!("/v1/profiles/{victim}")).await.status, remove, "{role}");
    }
    assert_eq!(t.administrator().await.post("/v1/profiles", body.clone()).await.status, 201);
    let r = t.anon().get(&path).await;
    assert_eq!((r.status, code(&r)), (401, "BXNIM0308E"));
    let r = t.bearer("nonsense").get(&path).await;
    assert_eq!((r.status, code(&r)), (401, "BXNIM0407E"));
    let denied = t.events(&[("action", "iam-identity.account-profile.create"), ("outcome", "failure")]).await;
    assert_eq!((denied.len(), &denied[0]["severity"]), (4, &json!("critical")));
}

#[tokio::test]
async fn a_policy_on_one_profile_reaches_no_other() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let mine = profile(&t, &admin, "mine").await;
    let other = profile(&t, &admin, "other").await;
    let (client, iam_id) = user(&t, "narrow").await;
    grant(&t, &iam_id, "Editor", &[("resourceType", "profile"), ("resource", &mine)]).await;
    let client = client.with_header("if-match", "*");
    assert_eq!(client.put(&format!("/v1/profiles/{mine}"), json!({"description": "d"})).await.status, 200);
    assert_eq!(client.put(&format!("/v1/profiles/{other}"), json!({"description": "d"})).await.status, 403);
    let listed = client.get(&format!("/v1/profiles?account_id={}", t.account())).await;
    assert_eq!(listed.body["profiles"].as_array().unwrap().len(), 1);
    assert_eq!(listed.body["profiles"][0]["id"], mine.as_str());
}

#[tokio::test]
async fn a_deleted_profile_leaves_nothing_behind() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let id = profile(&t, &admin, "gone").await;
    let iam_id = format!("iam-{id}");
    let policy = t
        .grant(
            &admin,
            &iam_id,
            "crn:v1:bluemix:public:iam::::role:Viewer",
            json!([
                {"key": "accountId", "operator": "stringEquals", "value": t.account()},
                {"key": "serviceName", "operator": "stringEquals", "value": "iam-identity"}
            ]),
        )
        .await;
    let groups = format!("/v2/groups?account_id={}", t.account());
    let group = text(&admin.post(&groups, json!({"name": "g"})).await, "id");
    let members = json!({"members": [{"iam_id": iam_id, "type": "profile"}]});
    assert_eq!(admin.put(&format!("/v2/groups/{group}/members"), members).await.status, 207);
    let conditions = json!([{"claim": "name", "operator": "EQUALS", "value": "\"x\""}]);
    let rule = json!({"type": "Profile-CR", "cr_type": "VSI", "conditions": conditions});
    assert_eq!(admin.post(&format!("/v1/profiles/{id}/rules"), rule).await.status, 201);
    assert_eq!(admin.delete(&format!("/v1/profiles/{id}")).await.status, 204);
    assert_eq!(admin.get(&format!("/v1/profiles/{id}/rules")).await.status, 404);
    assert_eq!(admin.get(&format!("/v2/policies/{policy}")).await.body["state"], "deleted");
    let left = admin.get(&format!("/v2/groups/{group}/members")).await;
    assert_eq!(left.body["members"], json!([]));
    let rows = t
        .app()
        .store
        .read(move |tx| {
            let mut rows = 0;
            for table in ["claim_rules", "profile_links", "profile_identities"] {
                let sql = format!("select count(*) from {table} where profile_id = $1");
                rows += tx.query_one(&sql, &avouch_store::params![id.as_str()])?.get::<i64>(0)?;
            }
            Ok::<_, avouch_store::Error>(rows)
        })
        .await
        .unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn a_quota_warns_before_it_refuses() {
    let t = TestApp::with(|c| c.limits.profiles = 2).await;
    let admin = t.admin().await;
    profile(&t, &admin, "one").await;
    let warned =
        |e: &serde_json::Value| e["message"].as_str().unwrap().contains("the maximum number of allowed");
    assert!(!warned(&event(&t, "iam-identity.account-profile.create").await));
    t.advance_secs(1);
    profile(&t, &admin, "two").await;
    let told = event(&t, "iam-identity.account-profile.create").await;
    assert!(warned(&told) && told["severity"] == "warning", "{told}");
    t.advance_secs(1);
    let r = admin.post("/v1/profiles", json!({"name": "three", "account_id": t.account()})).await;
    assert_eq!(
        (r.status, code(&r), &r.body["errors"][0]["code"]),
        (400, "BXNIM0110E", &json!("limit_exceeded"))
    );
    let told = event(&t, "iam-identity.account-profile.create").await;
    assert!(warned(&told) && told["outcome"] == "failure", "{told}");
}
