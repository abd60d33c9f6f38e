//! Profile identities: who may assume a profile without conditions.

use avouch_testkit::TestApp;
use serde_json::json;

use crate::helpers::{profile, service_id, text};

#[tokio::test]
async fn a_set_is_replaced_as_a_whole_with_an_event_for_each_change() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let id = profile(&t, &admin, "p").await;
    let base = format!("/v1/profiles/{id}/identities");
    let empty = admin.get(&base).await;
    assert_eq!((&empty.body["identities"], empty.etag()), (&json!([]), text(&empty, "entity_tag")));
    let new = json!({"account_id": t.account(), "name": "s", "description": "what it is"});
    let service = admin.post("/v1/serviceids", new).await;
    let crn = format!("crn:v1:bluemix:public:secrets-manager:us-south:a/{}:i1::", t.account());
    let set = json!({"identities": [
        {"type": "user", "identifier": "IBMid-270000ABC", "accounts": [t.account()]},
        {"type": "serviceid", "identifier": service.body["iam_id"]},
        {"type": "crn", "identifier": crn, "description": "the instance"},
    ]});
    assert_eq!(admin.put(&base, set.clone()).await.status, 400);
    let put = admin.with_header("if-match", &empty.etag()).put(&base, set.clone()).await;
    assert_eq!((put.status, put.etag()), (200, text(&put, "entity_tag")), "{}", put.body);
    let (iam_id, service) = (&service.body["iam_id"], &service.body["id"]);
    assert_eq!(
        put.body["identities"],
        json!([
            {"iam_id": "IBMid-270000ABC", "identifier": "IBMid-270000ABC", "type": "user", "accounts": [t.account()]},
            {"iam_id": iam_id, "identifier": service, "type": "serviceid", "description": "what it is"},
            {"iam_id": format!("crn-{crn}"), "identifier": crn, "type": "crn", "description": "the instance"},
        ])
    );
    assert_eq!(admin.with_header("if-match", &empty.etag()).put(&base, set.clone()).await.status, 409);
    let added = t.events(&[("action", "iam-identity.profile-identity.add"), ("outcome", "success")]).await;
    assert_eq!(added.len(), 3);
    assert!(t.events(&[("action", "iam-identity.account-profile.update")]).await.is_empty());

    // The same set changes nothing, a wider one is told with what it was.
    let any = admin.with_header("if-match", "*");
    assert_eq!(any.put(&base, set.clone()).await.status, 200);
    assert_eq!(t.events(&[("action", "iam-identity.account-profile.update")]).await.len(), 1);
    t.advance_secs(1);
    let mut wider = set.clone();
    wider["identities"][0]["accounts"] = json!([]);
    wider["identities"].as_array_mut().unwrap().truncate(2);
    assert_eq!(any.put(&base, wider).await.status, 200);
    let added = t.events(&[("action", "iam-identity.profile-identity.add"), ("outcome", "success")]).await;
    assert_eq!(
        (added.len(), &added[0]["requestData"]["initialValue"]["accounts"]),
        (4, &json!([t.account()]))
    );
    let removed = t.events(&[("action", "iam-identity.profile-identity.remove")]).await;
    assert_eq!((removed.len(), &removed[0]["requestData"]["identifier"]), (1, &json!(crn)));
    assert_eq!(removed[0]["severity"], "critical");

    let cleared = any.put(&base, json!({"identities": []})).await;
    assert_eq!((cleared.status, &cleared.body["identities"]), (200, &json!([])));
    assert_eq!(admin.get(&base).await.etag(), cleared.etag());
    assert_eq!(t.events(&[("action", "iam-identity.profile-identity.remove")]).await.len(), 3);
}

#[tokio::test]
async fn one_identity_comes_changes_and_goes() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let id = profile(&t, &admin, "p").await;
    let base = format!("/v1/profiles/{id}/identities");
    let before = admin.get(&base).await.etag();
    let body =
        json!({"type": "user", "identifier": "IBMid-1", "accounts": [t.account()], "description": "d"});
    let made = admin.post(&format!("{base}/user"), body.clone()).await;
    assert_eq!((made.status, &made.body["iam_id"]), (200, &json!("IBMid-1")), "{}", made.body);
    assert_ne!(admin.get(&base).await.etag(), before);
    assert_eq!(admin.get(&format!("{base}/user/IBMid-1")).await.body, made.body);
    let again = admin.post(&format!("{base}/user"), json!({"type": "user", "identifier": "IBMid-1"})).await;
    assert_eq!((again.status, again.body.get("description")), (200, None));
    assert_eq!(admin.get(&base).await.body["identities"].as_array().unwrap().len(), 1);
    let crn = format!("crn:v1:bluemix:public:kms:us-south:a/{}:i1::", t.account());
    assert_eq!(
        admin.post(&format!("{base}/crn"), json!({"type": "crn", "identifier": crn})).await.status,
        200
    );
    let encoded = crn.replace(':', "%3A").replace('/', "%2F");
    assert_eq!(admin.get(&format!("{base}/crn/{encoded}")).await.body["iam_id"], format!("crn-{crn}"));
    assert_eq!(admin.delete(&format!("{base}/crn/{encoded}")).await.status, 204);
    assert_eq!(admin.delete(&format!("{base}/crn/{encoded}")).await.status, 404);
    assert_eq!(admin.get(&format!("{base}/user/IBMid-2")).await.status, 404);
    assert_eq!(admin.get(&format!("{base}/other/IBMid-1")).await.status, 404);
    assert_eq!(admin.delete(&format!("{base}/user/IBMid-1")).await.status, 204);
}

#[tokio::test]
async fn an_unfit_identity_is_refused_before_the_profile_is_looked_up() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let any = admin.with_header("if-match", "*");
    let id = profile(&t, &admin, "p").await;
    let service = text(&service_id(&t, &admin, "s").await, "id");
    let known = format!("/v1/profiles/{id}/identities");
    let unknown = "/v1/profiles/Profile-00000000-0000-4000-8000-00000000dead/identities";
    let mismatch = json!({"type": "serviceid", "identifier": service});
    assert_eq!(admin.post(&format!("{known}/user"), mismatch).await.status, 400);
    for (path, body) in [
        ("user", json!({"type": "user"})),
        ("user", json!({"identifier": "IBMid-1"})),
        ("user", json!({"type": "user", "identifier": format!("iam-{service}")})),
        ("user", json!({"type": "user", "identifier": "IBMid-1", "accounts": ["x"]})),
        ("serviceid", json!({"type": "serviceid", "identifier": "IBMid-1"})),
        ("serviceid", json!({"type": "serviceid", "identifier": service, "accounts": [t.account()]})),
        ("crn", json!({"type": "crn", "identifier": "crn:v1:x"})),
        ("group", json!({"type": "group", "identifier": "x"})),
    ] {
        for base in [known.as_str(), unknown] {
            assert_eq!(
                admin.post(&format!("{base}/{path}"), body.clone()).await.status,
                400,
                "{base} {body}"
            );
            assert_eq!(any.put(base, json!({"identities": [body]})).await.status, 400, "{base} {body}");
        }
    }
    let good = json!({"type": "user", "identifier": "IBMid-1"});
    assert_eq!(admin.post(&format!("{unknown}/user"), good.clone()).await.status, 404);
    assert_eq!(any.put(unknown, json!({"identities": []})).await.status, 404);
    assert_eq!(any.put(&known, json!({"identities": [good, good]})).await.status, 400);
    assert_eq!(any.put(&known, json!({})).await.status, 400);
    assert_eq!(t.viewer().await.post(&format!("{known}/user"), good).await.status, 403);
}
