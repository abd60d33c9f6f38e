//! Links and rules against the claims of pods.

use serde_json::json;

use crate::world::{World, code, exchange, link, profile, rule, text};

#[tokio::test]
async fn a_link_names_one_service_account_exactly() {
    let w = World::new().await;
    for (namespace, name) in
        [("team-b", "reader"), ("team-a", "writer"), ("team-a", "reader-2"), ("team", "reader")]
    {
        let r = w.exchange(&w.issuer.token(namespace, name, "p", w.now())).await;
        assert_eq!((r.status, code(&r)), (400, "BXNIM0398E".into()), "{namespace}/{name}");
        assert_eq!(r.body["errorMessage"], "Selected trusted profile not eligible.");
        let details = text(&r.body, "errorDetails");
        assert!(
            details.contains(&format!("c1:{namespace}:{name}:p"))
                && details.contains(text(&w.profile, "iam_id"))
        );
    }
}

#[tokio::test]
async fn a_link_stops_to_count_when_it_is_removed() {
    let w = World::new().await;
    let path = format!("/v1/profiles/{}/links", text(&w.profile, "id"));
    let id = w.admin.get(&path).await.body["links"][0]["id"].as_str().unwrap().to_owned();
    let r = w.exchange(&w.token()).await;
    assert_eq!(w.admin.delete(&format!("{path}/{id}")).await.status, 204);
    assert_eq!(w.code(&w.token()).await, "BXNIM0398E", "the very next exchange");
    let issued = w.t.bearer(text(&r.body, "access_token"));
    assert_ne!(issued.get("/v1/profiles").await.status, 401, "a token that is out lives on");
    assert_eq!(w.admin.delete(&format!("/v1/profiles/{}", text(&w.profile, "id"))).await.status, 204);
    assert_eq!(issued.get("/v1/profiles").await.status, 401, "not when its profile is gone");
    assert_eq!(w.code(&w.token()).await, "BXNIM0398E");
}

#[tokio::test]
async fn rules_see_the_claims_of_the_pod() {
    let w = World::new().await;
    for (n, (claim, operator, value, holds)) in [
        ("namespace", "EQUALS", "team-a", true),
        ("namespace", "EQUALS", "\"team-a\"", true),
        ("namespace", "EQUALS", "team", false),
        ("name", "IN", "[\"reader\",\"x\"]", true),
        ("pod", "CONTAINS", "reader-", true),
        ("crn", "EQUALS", text(&w.cluster, "crn"), true),
        ("service_instance", "EQUALS", w.id(), true),
        ("location", "EQUALS", "us-south", true),
        ("resource_group_id", "EQUALS", w.t.resource_group(), true),
        ("resource_group_name", "EQUALS", "Default", true),
        ("cluster_name", "EQUALS", "c1", true),
        ("service_account_uid", "EQUALS", "2c8b0a4e-0000-4000-8000-000000000001", true),
        ("audience", "CONTAINS", "iam", true),
        ("namespace", "NOT_EQUALS", "team-b", true),
        ("namespace", "NOT_EQUALS", "team-a", false),
        ("absent", "NOT_EQUALS", "x", false),
        ("absent", "EQUALS", "", false),
        ("account_id", "EQUALS", w.t.account(), true),
        ("cr_type", "EQUALS", "IKS_SA", true),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("p{n}");
        let made = profile(&w.t, &w.admin, &name).await;
        let r =
            rule(&w.admin, &made, "IKS_SA", json!([{"claim": claim, "operator": operator, "value": value}]))
                .await;
        assert_eq!(r.status, 201, "{}", r.body);
        let r = exchange(&w.t, &w.token(), &[("profile_name", &name)]).await;
        assert_eq!(r.status == 200, holds, "{claim} {operator} {value}: {}", r.body);
    }
}

#[tokio::test]
async fn the_two_kinds_of_cluster_are_one_in_links_and_two_in_rules() {
    let w = World::with(json!({"cr_type": "ROKS_SA"})).await;
    assert!(text(&w.cluster, "crn").contains(":containers-openshift:"));
    assert_eq!(w.code(&w.token()).await, "ok", "linked as IKS_SA");
    for (cr_type, holds) in [("IKS_SA", false), ("ROKS_SA", true)] {
        let made = profile(&w.t, &w.admin, cr_type).await;
        let conditions = json!([{"claim": "namespace", "operator": "EQUALS", "value": "team-a"}]);
        assert_eq!(rule(&w.admin, &made, cr_type, conditions).await.status, 201);
        assert_eq!(exchange(&w.t, &w.token(), &[("profile_name", cr_type)]).await.status == 200, holds);
    }
}

#[tokio::test]
async fn another_accounts_cluster_needs_a_link_that_says_so() {
    let w = World::new().await;
    let outsider = w.t.outsider().await;
    let account = crate::world::claims(outsider.token())["account"]["bss"].as_str().unwrap().to_owned();
    let r = outsider.post("/v1/profiles", json!({"name": "shared", "account_id": account})).await;
    assert_eq!(r.status, 201, "{}", r.body);
    let (id, path) = (text(&r.body, "id").to_owned(), format!("/v1/profiles/{}/links", text(&r.body, "id")));
    let token = w.token();
    assert_eq!(code(&exchange(&w.t, &token, &[("profile_id", &id)]).await), "BXNIM0398E");
    let link = json!({"crn": w.cluster["crn"], "namespace": "team-a", "name": "reader"});
    let closed = outsider.post(&path, json!({"cr_type": "IKS_SA", "link": link})).await;
    assert_eq!(closed.status, 400, "{}", closed.body);
}

#[tokio::test]
async fn the_issued_token_can_be_capped_at_the_life_of_the_presented_one() {
    let w = World::with(json!({"cr_token_cap": true})).await;
    let exp = w.now() + 600;
    let r = w.exchange(&w.forged(|c| c["exp"] = json!(exp))).await;
    assert_eq!((&r.body["expiration"], &r.body["expires_in"]), (&json!(exp), &json!(600)));
    let free = World::new().await;
    let r = free.exchange(&free.forged(|c| c["exp"] = json!(exp))).await;
    assert_eq!(r.body["expires_in"], 3600);
}

#[tokio::test]
async fn a_profile_of_many_links_is_found_by_the_right_one() {
    let w = World::new().await;
    for n in 0..30 {
        link(&w.admin, &w.profile, &w.cluster, "team-a", &format!("other-{n}")).await;
    }
    assert_eq!(w.code(&w.token()).await, "ok");
    assert_eq!(w.code(&w.issuer.token("team-a", "other-17", "p", w.now())).await, "ok");
}
