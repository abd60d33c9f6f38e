//! From the token of a pod to the token of a profile.

use serde_json::json;

use crate::world::{self, World, claims, code, exchange, text};

const LOGIN: &str = "iam-identity.computeresource-token.login";

#[tokio::test]
async fn a_linked_service_account_becomes_the_profile() {
    let w = World::new().await;
    let r = w.exchange(&format!(" {}\n", w.token())).await;
    assert_eq!(r.status, 200, "{}", r.body);
    assert_eq!(r.header("cache-control"), "no-store");
    assert_eq!(
        (&r.body["refresh_token"], &r.body["token_type"], &r.body["expires_in"], &r.body["scope"]),
        (&json!("not_supported"), &json!("Bearer"), &json!(3600), &json!("ibm openid"))
    );
    let c = claims(text(&r.body, "access_token"));
    assert_eq!(r.body["expiration"], c["exp"]);
    assert_eq!((&c["iam_id"], &c["sub_type"]), (&w.profile["iam_id"], &json!("Profile")));
    let crn = format!("crn-{}", text(&w.cluster, "crn"));
    assert_eq!((&c["authn"]["iam_id"], &c["authn"]["sub"]), (&json!(crn), &json!(crn)));
    assert_eq!(c["authn"]["name"], "c1:team-a:reader:reader-0");
    assert_eq!(c["account"], json!({"valid": true, "bss": w.t.account(), "frozen": true}));
    let event = &w.t.events(&[("action", "iam-identity.computeresource-token.login")]).await[0];
    assert_eq!(event["outcome"], "success");
    let initiator = &event["initiator"];
    assert_eq!((&initiator["id"], &initiator["name"]), (&w.profile["iam_id"], &json!("builder")));
    assert_eq!(
        (&initiator["authnId"], &initiator["authnName"]),
        (&json!(crn), &json!("c1:team-a:reader:reader-0"))
    );
    assert_eq!(event["requestData"]["client_id"], "default");
    assert_eq!(event["avouch"]["decision"]["jti"], c["jti"]);
}

#[tokio::test]
async fn a_profile_is_named_by_id_iam_id_name_or_crn() {
    let w = World::new().await;
    let token = w.token();
    let (id, iam_id, crn) = (text(&w.profile, "id"), text(&w.profile, "iam_id"), text(&w.profile, "crn"));
    for selector in [
        vec![("profile_id", id)],
        vec![("profile_id", iam_id)],
        vec![("profile_crn", crn)],
        vec![("profile_name", "builder")],
        vec![("profile_name", id)],
        vec![("profile_name", crn)],
        vec![("profile_id", id), ("profile_name", "builder")],
    ] {
        let r = exchange(&w.t, &token, &selector).await;
        assert_eq!(r.status, 200, "{selector:?} {}", r.body);
    }
    assert_eq!(code(&exchange(&w.t, &token, &[]).await), "BXNIM0109E");
    world::profile(&w.t, &w.admin, "other").await;
    let both = exchange(&w.t, &token, &[("profile_id", id), ("profile_name", "other")]).await;
    assert_eq!(code(&both), "BXNIM0106E");
    let told = w.t.events(&[("action", LOGIN), ("outcome", "failure")]).await;
    assert_eq!(told.len(), 1, "verified evidence that is refused is told in the trail of the account");
    let decision = &told[0]["avouch"]["decision"];
    assert_eq!(
        (&decision["permitted"], &decision["reason_code"]),
        (&json!(false), &json!("profile_differs"))
    );
    assert_eq!(told[0]["initiator"]["authnName"], "c1:team-a:reader:reader-0");
}
