//! OpenID Connect issuers such as CI systems.

use avouch_testkit::{TestApp, TestIssuer};
use serde_json::{Value, json};

use crate::world::{claims, code, exchange, profile, rule, text};

fn job(issuer: &TestIssuer, now: i64) -> Value {
    json!({
        "iss": issuer.issuer, "sub": "repo:acme/app:ref:refs/heads/main", "aud": "avouch", "iat": now, "nbf": now,
        "exp": now + 300, "jti": "j1", "repository": "acme/app", "repository_id": 42, "ref": "refs/heads/main",
        "job": {"name": "deploy"}, "account_id": "ffffffffffffffffffffffffffffffff", "cr_type": "IKS_SA",
    })
}

#[tokio::test]
async fn a_job_becomes_a_profile_by_its_claims_or_its_subject() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let issuer = TestIssuer::new("https://ci.test");
    let body = json!({"name": "ci", "issuer": issuer.issuer, "jwks": issuer.jwks(), "audiences": ["avouch"]});
    let made = admin.post("/avouch/v1/issuers", body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let crn =
        format!("crn:v1:bluemix:public:iam-identity::a/{}::issuer:{}", t.account(), text(&made.body, "id"));
    assert_eq!(text(&made.body, "crn"), crn);
    let (by_rule, by_link) = (profile(&t, &admin, "deployer").await, profile(&t, &admin, "linked").await);
    let conditions = json!([
        {"claim": "repository_id", "operator": "EQUALS", "value": "42"},
        {"claim": "ref", "operator": "EQUALS", "value": "refs/heads/main"},
        {"claim": "job.name", "operator": "EQUALS", "value": "deploy"},
        {"claim": "account_id", "operator": "EQUALS", "value": t.account()},
        {"claim": "cr_type", "operator": "EQUALS", "value": "OIDC"},
    ]);
    let r = rule(&admin, &by_rule, "OIDC", conditions).await;
    assert_eq!(r.status, 201, "{}", r.body);
    let now = t.now().secs();
    let token = issuer.sign(&job(&issuer, now));
    let r = exchange(&t, &token, &[("profile_name", "deployer")]).await;
    assert_eq!(r.status, 200, "{}", r.body);
    let c = claims(text(&r.body, "access_token"));
    assert_eq!(c["authn"]["iam_id"], json!(format!("crn-{crn}")));
    assert_eq!(c["authn"]["name"], "ci:repo:acme/app:ref:refs/heads/main");

    assert_eq!(code(&exchange(&t, &token, &[("profile_name", "linked")]).await), "BXNIM0398E");
    let path = format!("/v1/profiles/{}/links", text(&by_link, "id"));
    let link = json!({"crn": crn, "name": "repo:acme/app:ref:refs/heads/main"});
    let r = admin.post(&path, json!({"cr_type": "OIDC", "link": link})).await;
    assert_eq!(r.status, 201, "{}", r.body);
    assert_eq!(exchange(&t, &token, &[("profile_name", "linked")]).await.status, 200);

    let mut fork = job(&issuer, now);
    fork["repository_id"] = json!(43);
    fork["sub"] = json!("repo:acme/app:pull_request");
    for name in ["deployer", "linked"] {
        assert_eq!(code(&exchange(&t, &issuer.sign(&fork), &[("profile_name", name)]).await), "BXNIM0398E");
    }
    let mut for_others = job(&issuer, now);
    for_others["aud"] = json!("iam");
    assert_eq!(
        code(&exchange(&t, &issuer.sign(&for_others), &[("profile_name", "deployer")]).await),
        "BXNIM0481E"
    );
    let mut nameless = job(&issuer, now);
    nameless.as_object_mut().unwrap().remove("sub");
    assert_eq!(
        code(&exchange(&t, &issuer.sign(&nameless), &[("profile_name", "deployer")]).await),
        "BXNIM0407E"
    );
}

#[tokio::test]
async fn an_issuer_is_no_cluster() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let issuer = TestIssuer::new("https://ci.test");
    let body = json!({"name": "ci", "issuer": issuer.issuer, "jwks": issuer.jwks()});
    assert_eq!(admin.post("/avouch/v1/issuers", body.clone()).await.status, 400, "audiences are required");
    for (field, value) in
        [("cr_type", json!("IKS_SA")), ("region", json!("us-south")), ("online_check", json!("off"))]
    {
        let mut body = body.clone();
        body["audiences"] = json!(["iam"]);
        body[field] = value;
        assert_eq!(admin.post("/avouch/v1/issuers", body).await.status, 400, "{field}");
    }
    let mut body = body;
    body["audiences"] = json!(["iam"]);
    let made = admin.post("/avouch/v1/issuers", body).await.body;
    let id = text(&made, "id").to_owned();
    assert_eq!(admin.get(&format!("/avouch/v1/clusters/{id}")).await.status, 404);
    assert_eq!(admin.get(&format!("/avouch/v1/issuers/{id}")).await.status, 200);
    assert_eq!(admin.get("/avouch/v1/issuers").await.body["issuers"][0]["id"], json!(id));
    // A Kubernetes token of the issuer is judged as an OIDC token: by its subject.
    profile(&t, &admin, "builder").await;
    let token = issuer.token("team-a", "reader", "p", t.now().secs());
    assert_eq!(code(&exchange(&t, &token, &[("profile_name", "builder")]).await), "BXNIM0398E");
    assert_eq!(admin.delete(&format!("/avouch/v1/issuers/{id}")).await.status, 204);
}
