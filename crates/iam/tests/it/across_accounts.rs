//! Nothing of another account can be seen, changed or told apart from what does not exist.

use avouch_testkit::{Client, TestApp};
use serde_json::{Value, json};

use crate::helpers::{profile, service_id, text};

/// Status and errors of an answer, without the id that was asked for.
async fn answer(client: &Client, method: &str, path: &str, id: &str) -> (u16, String) {
    let conditions = json!([{"claim": "name", "operator": "EQUALS", "value": "\"x\""}]);
    let rules = path.contains("/rules");
    let body = match method {
        "PUT" | "POST" if rules => json!({"type": "Profile-CR", "cr_type": "VSI", "conditions": conditions}),
        "PUT" => json!({"name": "x", "identities": []}),
        "POST" => json!({"type": "user", "identifier": "IBMid-1", "cr_type": "VSI", "is_cross_account": true,
            "link": {"crn": "crn:v1:bluemix:public:is:us-south:::instance:i"}}),
        _ => Value::Null,
    };
    let r = client.with_header("if-match", "*").json(method, path, body).await;
    (r.status, r.body["errors"].to_string().replace(id, "<id>"))
}

#[tokio::test]
async fn ids_of_another_account_are_answered_like_unknown_ones() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let outsider = t.outsider().await;
    let p = profile(&t, &admin, "p").await;
    let rule = json!({"type": "Profile-CR", "cr_type": "VSI",
        "conditions": [{"claim": "name", "operator": "EQUALS", "value": "\"x\""}]});
    let rule = text(&admin.post(&format!("/v1/profiles/{p}/rules"), rule).await, "id");
    let crn = format!("crn:v1:bluemix:public:is:us-south:a/{}::instance:i", t.account());
    let link = json!({"cr_type": "VSI", "link": {"crn": crn}});
    let link = text(&admin.post(&format!("/v1/profiles/{p}/links"), link).await, "id");
    let s = text(&service_id(&t, &admin, "s").await, "id");
    let k = text(&admin.post("/v1/apikeys", json!({"name": "k", "iam_id": format!("iam-{s}")})).await, "id");
    let g = text(
        &admin.post("/v1/serviceid_groups", json!({"account_id": t.account(), "name": "g"})).await,
        "id",
    );

    let paths = [
        ("GET PUT DELETE", format!("/v1/profiles/{p}"), &p),
        ("GET POST", format!("/v1/profiles/{p}/rules"), &p),
        ("GET PUT DELETE", format!("/v1/profiles/{p}/rules/{rule}"), &p),
        ("GET POST", format!("/v1/profiles/{p}/links"), &p),
        ("GET DELETE", format!("/v1/profiles/{p}/links/{link}"), &p),
        ("DELETE", format!("/v1/profiles/{p}/links?type=VSI"), &p),
        ("GET PUT", format!("/v1/profiles/{p}/identities"), &p),
        ("POST", format!("/v1/profiles/{p}/identities/user"), &p),
        ("GET DELETE", format!("/v1/profiles/{p}/identities/user/IBMid-1"), &p),
        ("GET PUT DELETE", format!("/v1/serviceids/{s}"), &s),
        ("POST DELETE", format!("/v1/serviceids/{s}/lock"), &s),
        ("GET PUT DELETE", format!("/v1/serviceid_groups/{g}"), &g),
        ("GET PUT DELETE", format!("/v1/apikeys/{k}"), &k),
        ("POST DELETE", format!("/v1/apikeys/{k}/lock"), &k),
        ("POST DELETE", format!("/v1/apikeys/{k}/disable"), &k),
    ];
    for (methods, path, id) in paths {
        let unknown =
            format!("{}{}", &id[..id.len() - 4], if id.ends_with("dead") { "beef" } else { "dead" });
        for method in methods.split(' ') {
            let known = answer(&outsider, method, &path, id).await;
            let missing = answer(&outsider, method, &path.replace(id.as_str(), &unknown), &unknown).await;
            assert_eq!(known.0, 404, "{method} {path}: {}", known.1);
            assert_eq!(known, missing, "{method} {path}");
        }
    }
    assert_eq!(admin.get(&format!("/v1/profiles/{p}/rules/{rule}")).await.status, 200);
    // The stranger's own trail tells of his attempts and names nothing that his answers did not.
    let trail = outsider.get("/avouch/v1/audit/events?limit=500&outcome=failure").await;
    let told = trail.body["events"].as_array().unwrap();
    assert!(told.len() > 20, "{}", trail.text);
    for event in told {
        // The service in his own account, and nothing of it.
        let target = &event["target"];
        assert_eq!((&target["id"], &target["name"]), (&event["logSourceCRN"], &json!("")), "{event}");
        assert!(!event.to_string().contains(t.account()), "{event}");
    }
    assert_eq!(admin.get(&format!("/v1/apikeys/{k}")).await.body["locked"], false);
}

#[tokio::test]
async fn lists_and_creations_in_another_account_give_nothing() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let outsider = t.outsider().await;
    profile(&t, &admin, "p").await;
    let s = service_id(&t, &admin, "s").await;
    let key = admin.post("/v1/apikeys", json!({"name": "k", "iam_id": s.body["iam_id"]})).await;
    for (path, array) in [
        ("/v1/profiles?", "profiles"),
        ("/v1/serviceids?", "serviceids"),
        ("/v1/apikeys?scope=account&", "apikeys"),
        ("/v1/apikeys?scope=account&type=user&", "apikeys"),
    ] {
        let r = outsider.get(&format!("{path}account_id={}", t.account())).await;
        assert_eq!((r.status, &r.body[array]), (200, &json!([])), "{path}");
    }
    assert_eq!(outsider.get(&format!("/v1/serviceid_groups?account_id={}", t.account())).await.status, 404);
    let found = outsider.with_header("iam-apikey", &text(&key, "apikey")).get("/v1/apikeys/details").await;
    assert_eq!(found.status, 404);
    let new = json!({"name": "x", "account_id": t.account()});
    assert_eq!(outsider.post("/v1/profiles", new.clone()).await.status, 403);
    assert_eq!(outsider.post("/v1/serviceids", new.clone()).await.status, 404);
    assert_eq!(outsider.post("/v1/serviceid_groups", new).await.status, 404);
    // Keys for a service ID of another account: the same answer whether it exists or not.
    let mut answers = Vec::new();
    for id in [text(&s, "iam_id"), "iam-ServiceId-00000000-0000-4000-8000-00000000dead".to_owned()] {
        let body = json!({"name": "k", "iam_id": id, "account_id": t.account()});
        let r = outsider.post("/v1/apikeys", body).await;
        let bare = id.strip_prefix("iam-").unwrap();
        answers.push((r.status, r.body["errors"].to_string().replace(bare, "<id>")));
        assert_eq!(outsider.post("/v1/apikeys", json!({"name": "k", "iam_id": id})).await.status, 400);
    }
    assert_eq!(answers[0].0, 404);
    assert_eq!(answers[0], answers[1]);
    // What strangers try is not told to the owner of the target.
    let told = t.events(&[("outcome", "failure")]).await;
    assert!(told.is_empty(), "{told:?}");
}
