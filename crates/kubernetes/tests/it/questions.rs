//! Questions about decisions: diagnose, explain, who trusts whom.

use avouch_testkit::TestIssuer;
use serde_json::json;

use crate::world::{ISSUER, World, rule, text};

#[tokio::test]
async fn diagnose_lists_each_check_and_issues_nothing() {
    let w = World::new().await;
    let path = format!("{}/diagnose", w.path());
    let ask = |token: String| {
        let (admin, path, id) = (w.admin.clone(), path.clone(), text(&w.profile, "id").to_owned());
        async move { admin.post(&path, json!({"cr_token": token, "profile_id": id})).await }
    };
    let r = ask(w.token()).await;
    assert_eq!(
        (r.status, &r.body["result"], &r.body["trust"]["result"]),
        (200, &json!(true), &json!(true)),
        "{}",
        r.body
    );
    assert!(!r.text.contains("access_token"));
    let names: Vec<&str> =
        r.body["checks"]["children"].as_array().unwrap().iter().map(|c| text(c, "name")).collect();
    assert_eq!(names, ["form", "issuer", "key", "signature", "audience", "times", "subject", "bound_object"]);
    let failing = |r: &avouch_testkit::TestResponse| {
        let failed =
            r.body["checks"]["children"].as_array().unwrap().iter().find(|c| c["result"] == false).cloned();
        failed.unwrap_or_else(|| panic!("{}", r.body))
    };
    let audience = failing(&ask(w.forged(|c| c["aud"] = json!("vault"))).await);
    assert_eq!(
        (&audience["name"], &audience["wanted"], &audience["found"]),
        (&json!("audience"), &json!("iam"), &json!("vault"))
    );
    let slash = failing(&ask(w.forged(|c| c["iss"] = json!(format!("{ISSUER}/")))).await);
    assert!(slash["detail"].as_str().unwrap().contains("slash"));
    let clock = failing(
        &ask(w.forged(|c| {
            c["iat"] = json!(w.now() + 90);
            c["nbf"] = json!(w.now() + 90);
        }))
        .await,
    );
    assert!(clock["detail"].as_str().unwrap().contains("90 s ahead"));
    let signature = failing(
        &ask({
            let mut s = TestIssuer::new(ISSUER);
            s.kid.clone_from(&w.issuer.kid);
            s.token("team-a", "reader", "p", w.now())
        })
        .await,
    );
    assert_eq!(signature["name"], "signature");
    let other = ask(w.issuer.token("team-b", "reader", "p", w.now())).await;
    assert_eq!((&other.body["result"], &other.body["trust"]["result"]), (&json!(false), &json!(false)));
}

#[tokio::test]
async fn a_refused_exchange_is_explained_to_the_owner_and_to_nobody_else() {
    let w = World::new().await;
    let r = w.exchange(&w.issuer.token("team-a", "writer", "writer-0", w.now())).await;
    let transaction = r.header("transaction-id").to_owned();
    let ask = json!({"transaction_id": transaction});
    let why = w.admin.post("/avouch/v1/explain", ask.clone()).await;
    assert_eq!(
        (why.status, &why.body["decision"], &why.body["stage"]),
        (200, &json!("refused"), &json!("trust")),
        "{}",
        why.body
    );
    assert!(text(&why.body, "summary").contains("writer"), "{}", why.body);
    assert_eq!(why.body["now_differs"], false);
    let link = &why.body["tree"]["children"][0];
    let name = link["children"].as_array().unwrap().iter().find(|c| c["claim"] == "name").unwrap();
    assert_eq!(
        (&name["wanted"], &name["found"], &name["result"]),
        (&json!("reader"), &json!("writer"), &json!(false))
    );
    crate::world::link(&w.admin, &w.profile, &w.cluster, "team-a", "writer").await;
    let later = w.admin.post("/avouch/v1/explain", ask.clone()).await;
    assert_eq!(
        (&later.body["decision"], &later.body["now_differs"]),
        (&json!("refused"), &json!(true)),
        "{}",
        later.body
    );
    for stranger in [w.t.outsider().await, w.t.nobody().await] {
        assert_eq!(stranger.post("/avouch/v1/explain", ask.clone()).await.status, 404);
    }
    assert_eq!(w.admin.post("/avouch/v1/explain", json!({"transaction_id": "none"})).await.status, 404);
    assert_eq!(w.admin.post("/avouch/v1/explain", json!({})).await.status, 400);
    let early = w.exchange(&w.forged(|c| c["aud"] = json!("vault"))).await;
    let why =
        w.admin.post("/avouch/v1/explain", json!({"transaction_id": early.header("transaction-id")})).await;
    assert_eq!((why.status, &why.body["stage"]), (200, &json!("evidence")), "{}", why.body);
}

#[tokio::test]
async fn a_question_about_trust_is_answered_by_token_or_claims() {
    let w = World::new().await;
    let id = text(&w.profile, "id");
    let ask = |q: serde_json::Value| {
        let admin = w.admin.clone();
        async move { admin.post("/avouch/v1/explain", json!({"trust": q})).await }
    };
    let yes = ask(json!({"profile_id": id, "cr_token": w.token()})).await;
    assert_eq!((yes.status, &yes.body["decision"]), (200, &json!("permitted")), "{}", yes.body);
    let late = ask(json!({"profile_id": id, "cr_token": w.token(), "at": "2026-03-03T10:00:00Z"})).await;
    assert_eq!((&late.body["decision"], &late.body["stage"]), (&json!("refused"), &json!("evidence")));
    let claims = |name: &str| json!({"crn": w.cluster["crn"], "namespace": "team-a", "name": name});
    let yes = ask(json!({"profile_id": id, "cr_type": "IKS_SA", "claims": claims("reader")})).await;
    assert_eq!(yes.body["decision"], "permitted", "{}", yes.body);
    let no = ask(json!({"profile_id": id, "cr_type": "IKS_SA", "claims": claims("writer")})).await;
    assert_eq!(no.body["decision"], "refused");
    let none = ask(
        json!({"profile_id": "Profile-00000000-0000-4000-8000-000000000000", "cr_type": "CE", "claims": {}}),
    )
    .await;
    assert_eq!(none.status, 404);
}

#[tokio::test]
async fn who_trusts_whom_is_listed_both_ways() {
    let w = World::new().await;
    let wide = json!([{"claim": "namespace", "operator": "EQUALS", "value": "team-b"}]);
    assert_eq!(rule(&w.admin, &w.profile, "IKS_SA", wide).await.status, 201);
    let elsewhere = json!([{"claim": "service_instance", "operator": "EQUALS", "value": "another"}]);
    assert_eq!(rule(&w.admin, &w.profile, "IKS_SA", elsewhere).await.status, 201);
    let ci = json!([{"claim": "repository_id", "operator": "EQUALS", "value": "1"}]);
    assert_eq!(rule(&w.admin, &w.profile, "OIDC", ci).await.status, 201);
    let all = w.admin.get(&format!("/avouch/v1/trust?profile_id={}", text(&w.profile, "id"))).await;
    assert_eq!(all.body["trust"].as_array().unwrap().len(), 4, "{}", all.body);
    let by_crn = w.admin.get(&format!("/avouch/v1/trust?crn={}", text(&w.cluster, "crn"))).await;
    let kinds: Vec<&str> = by_crn.body["trust"].as_array().unwrap().iter().map(|e| text(e, "kind")).collect();
    assert_eq!(kinds, ["link", "claim_rule"], "{}", by_crn.body);
    assert_eq!(by_crn.body["trust"][1]["depends_on"], json!(["namespace"]));
    assert!(!by_crn.body["trust"][1]["warnings"].as_array().unwrap().is_empty());
    let stranger = w.t.outsider().await;
    assert_eq!(
        stranger.get(&format!("/avouch/v1/trust?profile_id={}", text(&w.profile, "id"))).await.status,
        404
    );
    assert_eq!(w.admin.get("/avouch/v1/trust").await.status, 400);
}

#[tokio::test]
async fn a_refused_access_is_explained_by_its_transaction() {
    let w = World::new().await;
    let r = w.exchange(&w.token()).await;
    let workload = w.t.bearer(text(&r.body, "access_token"));
    let refused = workload.get(&w.path()).await;
    assert_eq!(refused.status, 403);
    let ask = json!({"transaction_id": refused.header("transaction-id")});
    let why = w.admin.post("/avouch/v1/explain", ask).await;
    assert_eq!(
        (why.status, &why.body["stage"], &why.body["decision"]),
        (200, &json!("access"), &json!("refused")),
        "{}",
        why.body
    );
    let question = json!({"access": {"iam_id": w.profile["iam_id"], "action": "containers-kubernetes.cluster.read",
        "resource": {"crn": w.cluster["crn"]}}});
    assert_eq!(w.admin.post("/avouch/v1/explain", question).await.body["decision"], "refused");
}
