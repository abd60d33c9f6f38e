//! Grant `assume`.

use avouch_testkit::{TestApp, TestIssuer, TestResponse};
use serde_json::{Value, json};

use super::{ASSUME, ask, bx, code, issued, profile, service_id, settings, text};

const LOGIN: &str = "iam-identity.trustedprofile-apikey.login";

async fn name_identity(t: &TestApp, profile: &Value, kind: &str, identifier: &str, accounts: &[&str]) {
    let mut body = json!({"type": kind, "identifier": identifier});
    if !accounts.is_empty() {
        body["accounts"] = json!(accounts);
    }
    let path = format!("/v1/profiles/{}/identities/{kind}", text(profile, "id"));
    let r = t.admin().await.post(&path, body).await;
    assert_eq!(r.status, 200, "{}", r.body);
}

async fn assume(t: &TestApp, token: &str, selector: &[(&str, &str)]) -> TestResponse {
    let mut fields = vec![("grant_type", ASSUME), ("access_token", token)];
    fields.extend_from_slice(selector);
    ask(&t.anon(), &fields).await
}

#[tokio::test]
async fn a_service_id_that_the_profile_names_becomes_it() {
    let t = TestApp::new().await;
    let p = profile(&t, "deployer").await;
    let (made, key) = service_id(&t, "ci").await;
    let token = t.token(&key).await;
    let by_id = [("profile_id", text(&p, "id"))];
    assert_eq!(code(&assume(&t, &token, &by_id).await), "BXNIM0398E");
    name_identity(&t, &p, "serviceid", text(&made, "id"), &[]).await;
    let c = issued(&assume(&t, &token, &by_id).await);
    assert_eq!(
        (&c["iam_id"], &c["sub_type"], &c["grant_type"]),
        (&p["iam_id"], &json!("Profile"), &json!(ASSUME))
    );
    let behind = json!({"sub": made["id"], "iam_id": made["iam_id"], "sub_type": "ServiceId", "name": "ci"});
    assert_eq!((&c["authn"], &c["account"]["frozen"]), (&behind, &json!(true)));
    assert_eq!(code(&assume(&t, &token, &[("profile_crn", text(&p, "crn"))]).await), "ok");
    let named = [("profile_name", "deployer"), ("account", t.account())];
    assert_eq!(code(&assume(&t, &token, &named).await), "ok");
    assert_eq!(code(&assume(&t, &token, &named[..1]).await), "BXNIM0109E", "no account");
    let events = t.events(&[("action", LOGIN), ("outcome", "success")]).await;
    let initiator = &events[0]["initiator"];
    assert_eq!((&initiator["id"], &initiator["authnId"]), (&p["iam_id"], &made["iam_id"]));
    assert_eq!(t.events(&[("action", LOGIN), ("outcome", "failure")]).await.len(), 1);
}

#[tokio::test]
async fn a_profile_does_not_become_another_one() {
    let t = TestApp::new().await;
    let (first, second) = (profile(&t, "first").await, profile(&t, "second").await);
    name_identity(&t, &first, "user", t.owner(), &[]).await;
    let admin = t.admin().await;
    let r = assume(&t, admin.token(), &[("profile_id", text(&first, "id"))]).await;
    let c = issued(&r);
    assert_eq!(c["authn"]["iam_id"], json!(t.owner()));
    assert!(c.get("email").is_none() && c["authn"]["email"].is_string());
    for target in [&first, &second] {
        let again = assume(&t, text(&r.body, "access_token"), &[("profile_id", text(target, "id"))]).await;
        assert_eq!(code(&again), "BXNIM0398E");
    }
}

#[tokio::test]
async fn users_are_pinned_to_accounts_and_to_a_second_factor() {
    let t = TestApp::new().await;
    let p = profile(&t, "p").await;
    let admin = t.admin().await;
    let fields = [("grant_type", ASSUME), ("access_token", admin.token()), ("profile_id", text(&p, "id"))];
    name_identity(&t, &p, "user", t.owner(), &["ffffffffffffffffffffffffffffffff"]).await;
    assert_eq!(code(&ask(&t.anon(), &fields).await), "BXNIM0398E");
    name_identity(&t, &p, "user", t.owner(), &[t.account()]).await;
    assert_eq!(code(&ask(&t.anon(), &fields).await), "ok");
    let r = ask(&bx(&t), &fields).await;
    assert_eq!(r.body["refresh_token"], "not_supported", "{}", r.body);
    settings(&t, json!({"mfa": "TOTP4ALL"})).await;
    assert_eq!(code(&ask(&t.anon(), &fields).await), "BXNIM0486E");
}

#[tokio::test]
async fn tokens_that_are_not_ours_expired_or_dead_are_refused() {
    let t = TestApp::new().await;
    let p = profile(&t, "p").await;
    let (made, key) = service_id(&t, "ci").await;
    name_identity(&t, &p, "serviceid", text(&made, "id"), &[]).await;
    let good = t.token(&key).await;
    let by_id = [("profile_id", text(&p, "id"))];
    let forged = TestIssuer::new("http://avouch.test/identity").sign(&super::claims(&good));
    let mut tampered = good.clone();
    let at = good.len() - 40;
    tampered.replace_range(at..=at, if good.as_bytes()[at] == b'A' { "B" } else { "A" });
    for bad in [forged.as_str(), tampered.as_str(), "x", &"a".repeat(20_000)] {
        assert_eq!(code(&assume(&t, bad, &by_id).await), "BXNIM0407E");
    }
    assert_eq!(code(&assume(&t, &good, &by_id).await), "ok");
    t.advance_secs(3600);
    assert_eq!(code(&assume(&t, &good, &by_id).await), "BXNIM0408E");
    let fresh = t.token(&key).await;
    assert_eq!(t.admin().await.delete(&format!("/v1/serviceids/{}", text(&made, "id"))).await.status, 204);
    assert_eq!(code(&assume(&t, &fresh, &by_id).await), "BXNIM0407E");
}

#[tokio::test]
async fn a_token_may_ask_what_it_may_become() {
    let t = TestApp::new().await;
    let first = profile(&t, "first").await;
    profile(&t, "second").await;
    name_identity(&t, &first, "user", t.owner(), &[]).await;
    let admin = t.admin().await;
    let r = t.anon().form("/identity/profiles", &[("access_token", admin.token())]).await;
    assert_eq!((r.status, &r.body["count"]), (200, &json!(1)), "{}", r.body);
    assert_eq!(r.body["profiles"][0]["id"], first["id"]);
    let none = t.nobody().await;
    let r = t.anon().form("/identity/profiles", &[("access_token", none.token())]).await;
    assert_eq!(r.body["profiles"], json!([]));
    assert_eq!(code(&t.anon().form("/identity/profiles", &[("access_token", "x")]).await), "BXNIM0407E");
}

#[tokio::test]
async fn parameters_that_name_two_profiles_are_refused_and_told_in_the_account() {
    let t = TestApp::new().await;
    let (first, _) = (profile(&t, "first").await, profile(&t, "second").await);
    name_identity(&t, &first, "user", t.owner(), &[]).await;
    let admin = t.admin().await;
    let both = [("profile_id", text(&first, "id")), ("profile_name", "second")];
    assert_eq!(code(&assume(&t, admin.token(), &both).await), "BXNIM0106E");
    let told = t.events(&[("action", LOGIN), ("outcome", "failure")]).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["avouch"]["decision"]["reason_code"], "profile_differs");
    assert_eq!(told[0]["initiator"]["authnId"], json!(t.owner()));
    // Such refusals count as failures of the address like any other.
    for _ in 0..100 {
        assume(&t, admin.token(), &both).await;
    }
    assert_eq!(assume(&t, admin.token(), &both).await.status, 429);
}
