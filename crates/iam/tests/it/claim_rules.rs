//! Claim rules: one validator for every way to write them, one event for each change.

use avouch_testkit::TestApp;
use serde_json::{Value, json};

use crate::helpers::{code, event, profile, text};

fn conditions() -> Value {
    json!([{"claim": "namespace", "operator": "EQUALS", "value": "\"team-a\""}])
}

#[tokio::test]
async fn a_rule_lives_from_creation_to_deletion() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let id = profile(&t, &admin, "p").await;
    let base = format!("/v1/profiles/{id}/rules");
    assert_eq!(admin.get(&base).await.body, json!({"rules": []}));
    let made = admin
        .post(
            &base,
            json!({"type": "Profile-CR", "cr_type": "IKS_SA", "name": "pods", "conditions": conditions()}),
        )
        .await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!((made.etag(), &made.body["expiration"]), (text(&made, "entity_tag"), &json!(3600)));
    assert_eq!(made.body["conditions"], conditions());
    assert!(made.body.get("realm_name").is_none());
    let rule = text(&made, "id");
    let path = format!("{base}/{rule}");
    let read = admin.get(&path).await;
    assert_eq!((read.status, &read.body), (200, &made.body));
    let saml = json!({"type": "Profile-SAML", "realm_name": "https://idp.test", "expiration": 43200,
        "conditions": [{"claim": "groups", "operator": "CONTAINS", "value": "admins"}]});
    assert_eq!(admin.put(&path, saml.clone()).await.status, 400);
    let replaced = admin.with_header("if-match", &made.etag()).put(&path, saml.clone()).await;
    assert_eq!((replaced.status, &replaced.body["expiration"]), (200, &json!(43200)));
    assert_eq!((replaced.body.get("cr_type"), replaced.body.get("name")), (None, None));
    assert_eq!(
        (&replaced.body["id"], &replaced.body["created_at"]),
        (&made.body["id"], &made.body["created_at"])
    );
    assert_eq!(admin.with_header("if-match", &made.etag()).put(&path, saml.clone()).await.status, 409);
    let other = profile(&t, &admin, "other").await;
    assert_eq!(admin.get(&format!("/v1/profiles/{other}/rules/{rule}")).await.status, 404);
    assert_eq!(admin.delete(&format!("/v1/profiles/{other}/rules/{rule}")).await.status, 404);
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!(admin.get(&path).await.status, 404);

    let told = event(&t, "iam-identity.profile-rule.create").await;
    assert_eq!((&told["severity"], &told["requestData"]["conditions"]), (&json!("critical"), &conditions()));
    assert!(told["target"]["id"].as_str().unwrap().ends_with(&id));
    let told = t.events(&[("action", "iam-identity.profile-rule.update"), ("outcome", "success")]).await;
    assert_eq!(told[0]["requestData"]["initialValue"]["cr_type"], "IKS_SA");
    assert_eq!(
        t.events(&[("action", "iam-identity.profile-rule.delete"), ("outcome", "success")]).await.len(),
        1
    );
    // One form for each change: the coarse action stays silent.
    assert!(t.events(&[("action", "iam-identity.account-profile.update")]).await.is_empty());
}

#[tokio::test]
async fn an_unfit_rule_is_refused_by_creation_and_by_replacement() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let id = profile(&t, &admin, "p").await;
    let good = json!({"type": "Profile-CR", "cr_type": "VSI", "conditions": conditions()});
    let base = format!("/v1/profiles/{id}/rules");
    let made = admin.post(&base, good.clone()).await;
    assert_eq!(made.status, 201);
    let path = format!("{base}/{}", text(&made, "id"));
    let condition = |claim: Value, operator: &str, value: Value| {
        let conditions = json!([{"claim": claim, "operator": operator, "value": value}]);
        json!({"type": "Profile-CR", "cr_type": "VSI", "conditions": conditions})
    };
    let all = conditions();
    for bad in [
        json!({}),
        json!({"type": "", "cr_type": "VSI", "conditions": all}),
        json!({"type": "Profile-Other", "cr_type": "VSI", "conditions": all}),
        json!({"type": "Profile-CR", "conditions": all}),
        json!({"type": "Profile-CR", "cr_type": "dummy", "conditions": all}),
        json!({"type": "Profile-CR", "cr_type": "vsi", "conditions": all}),
        json!({"type": "Profile-CR", "cr_type": "VSI", "realm_name": "r", "conditions": all}),
        json!({"type": "Profile-CR", "cr_type": "VSI"}),
        json!({"type": "Profile-CR", "cr_type": "VSI", "conditions": []}),
        json!({"type": "Profile-CR", "cr_type": "VSI", "conditions": "x"}),
        json!({"type": "Profile-CR", "cr_type": "VSI", "conditions": all, "expiration": -1}),
        json!({"type": "Profile-CR", "cr_type": "VSI", "conditions": all, "expiration": "3600"}),
        json!({"type": "Profile-SAML", "realm_name": "r", "conditions": all}),
        json!({"type": "Profile-SAML", "expiration": 900, "conditions": all}),
        json!({"type": "Profile-SAML", "realm_name": "r", "expiration": 900, "cr_type": "VSI", "conditions": all}),
        condition(json!("name"), "LIKE", json!("\"x\"")),
        condition(json!("name"), "equals", json!("\"x\"")),
        condition(json!(""), "EQUALS", json!("\"x\"")),
        condition(json!(null), "EQUALS", json!("\"x\"")),
        condition(json!("name"), "EQUALS", json!(5)),
        condition(json!("name"), "EQUALS", json!(null)),
        condition(json!("name"), "CONTAINS", json!("[\"a\"]")),
        condition(json!("name"), "IN", json!("[]")),
    ] {
        let r = admin.post(&base, bad.clone()).await;
        assert_eq!(r.status, 400, "{bad}");
        assert!(matches!(code(&r), "BXNIM0106E" | "BXNIM0109E"), "{bad}: {}", r.body);
        assert_eq!(
            admin.with_header("if-match", "*").put(&path, bad.clone()).await.status,
            400,
            "replace: {bad}"
        );
    }
    let unknown = "/v1/profiles/Profile-00000000-0000-4000-8000-00000000dead/rules";
    assert_eq!(admin.post(unknown, good.clone()).await.status, 404);
    assert_eq!(admin.post(unknown, json!({"type": ""})).await.status, 400);
    assert_eq!(admin.get(&path).await.body, made.body);
}

#[tokio::test]
async fn a_condition_at_fault_is_named_and_its_value_is_not() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let id = profile(&t, &admin, "p").await;
    let mut body = json!({"type": "Profile-CR", "cr_type": "VSI", "conditions": conditions()});
    body["conditions"][0]["operator"] = json!("canary-91c2");
    let r = admin.post(&format!("/v1/profiles/{id}/rules"), body).await;
    assert_eq!(r.status, 400);
    assert!(r.text.contains("conditions[0].operator") && !r.text.contains("canary"), "{}", r.text);
    let told = t.events(&[("action", "iam-identity.profile-rule.create")]).await;
    assert_eq!(told.len(), 1);
    assert!(!told[0].to_string().contains("canary"));
}

#[tokio::test]
async fn a_profile_has_a_limited_number_of_rules() {
    let t = TestApp::with(|c| c.limits.rules_per_profile = 1).await;
    let admin = t.admin().await;
    let id = profile(&t, &admin, "p").await;
    let body = json!({"type": "Profile-CR", "cr_type": "OIDC", "conditions": conditions()});
    assert_eq!(admin.post(&format!("/v1/profiles/{id}/rules"), body.clone()).await.status, 201);
    let r = admin.post(&format!("/v1/profiles/{id}/rules"), body.clone()).await;
    assert_eq!((r.status, code(&r)), (400, "BXNIM0110E"));
    let other = profile(&t, &admin, "other").await;
    assert_eq!(admin.post(&format!("/v1/profiles/{other}/rules"), body).await.status, 201);
}

#[tokio::test]
async fn who_may_not_update_the_profile_may_not_change_its_rules() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let id = profile(&t, &admin, "p").await;
    let base = format!("/v1/profiles/{id}/rules");
    let body = json!({"type": "Profile-CR", "cr_type": "VSI", "conditions": conditions()});
    let path = format!("{base}/{}", text(&admin.post(&base, body.clone()).await, "id"));
    let viewer = t.viewer().await;
    assert_eq!(viewer.get(&base).await.status, 200);
    assert_eq!(viewer.post(&base, body.clone()).await.status, 403);
    assert_eq!(viewer.with_header("if-match", "*").put(&path, body.clone()).await.status, 403);
    assert_eq!(viewer.delete(&path).await.status, 403);
    let editor = t.editor().await;
    assert_eq!(editor.post(&base, body).await.status, 201);
    assert_eq!(t.nobody().await.get(&base).await.status, 403);
}
