//! Grant `apikey`.

use avouch_testkit::TestApp;
use serde_json::{Value, json};

use super::{APIKEY, ask, bx, code, issued, service_id, settings, text};

#[tokio::test]
async fn a_user_gets_a_token_with_exactly_the_published_members() {
    let t = TestApp::new().await;
    let r = ask(&t.anon(), &[("grant_type", APIKEY), ("apikey", t.api_key())]).await;
    let c = issued(&r);
    let members: Vec<&String> = c.as_object().unwrap().keys().collect();
    let wanted = "iam_id id realmid jti identifier given_name family_name name email sub authn account iat exp iss \
                  grant_type scope client_id acr amr";
    assert_eq!(members, wanted.split_whitespace().collect::<Vec<_>>());
    assert_eq!((&c["iam_id"], &c["realmid"], &c["sub"]), (&json!(t.owner()), &json!("IBMid"), &c["email"]));
    assert_eq!((&c["iss"], &c["grant_type"]), (&json!("http://avouch.test/identity"), &json!(APIKEY)));
    assert_eq!((&c["acr"], &c["amr"], &c["client_id"]), (&json!(1), &json!(["pwd"]), &json!("default")));
    assert_eq!(c["account"], json!({"valid": true, "bss": t.account(), "frozen": true}));
    assert_eq!((&c["iat"], &r.body["expiration"]), (&json!(t.now().secs()), &c["exp"]));
    let answer: Vec<&String> = r.body.as_object().unwrap().keys().collect();
    assert_eq!(answer, ["access_token", "refresh_token", "token_type", "expires_in", "expiration", "scope"]);
    assert_eq!((r.header("cache-control"), r.header("content-type")), ("no-store", "application/json"));
    assert!(!r.header("transaction-id").is_empty());
    let alias = t.anon().form("/oidc/token", &[("grant_type", APIKEY), ("apikey", t.api_key())]).await;
    assert_eq!(alias.status, 200);
    let event = &t.events(&[("action", "iam-identity.user-apikey.login")]).await[0];
    assert_eq!((&event["initiator"]["id"], &event["dataEvent"]), (&json!(t.owner()), &json!(false)));
    assert_eq!(event["initiator"]["credential"]["type"], "apikey");
}

#[tokio::test]
async fn a_service_id_is_itself_in_its_token() {
    let t = TestApp::new().await;
    let (made, key) = service_id(&t, "ci").await;
    let c = issued(&ask(&t.anon(), &[("grant_type", APIKEY), ("apikey", &key)]).await);
    assert_eq!(
        (&c["iam_id"], &c["sub"], &c["sub_type"]),
        (&made["iam_id"], &made["id"], &json!("ServiceId"))
    );
    let itself = json!({"sub": made["id"], "iam_id": made["iam_id"], "sub_type": "ServiceId", "name": "ci"});
    assert_eq!(c["authn"], itself);
    assert!(c.get("email").is_none() && c.get("given_name").is_none());
    let path = format!("/v1/serviceids/{}?include_activity=true", text(&made, "id"));
    let shown = t.admin().await.get(&path).await;
    assert_eq!(shown.body["activity"]["authn_count"], 1, "{}", shown.body);
    assert_eq!(t.events(&[("action", "iam-identity.serviceid-apikey.login")]).await.len(), 1);
}

#[tokio::test]
async fn uses_at_the_same_time_are_all_counted() {
    let t = TestApp::new().await;
    let (made, key) = service_id(&t, "ci").await;
    let logins: Vec<_> = (0..40)
        .map(|_| {
            let (client, key) = (t.anon(), key.clone());
            tokio::spawn(
                async move { ask(&client, &[("grant_type", APIKEY), ("apikey", &key)]).await.status },
            )
        })
        .collect();
    for login in logins {
        assert_eq!(login.await.unwrap(), 200);
    }
    let path = format!("/v1/serviceids/{}?include_activity=true", text(&made, "id"));
    assert_eq!(t.admin().await.get(&path).await.body["activity"]["authn_count"], 40);
    assert_eq!(t.events(&[("action", "iam-identity.serviceid-apikey.login")]).await.len(), 40);
}

#[tokio::test]
async fn unknown_and_deleted_keys_are_one_and_the_same() {
    let t = TestApp::new().await;
    let (made, key) = service_id(&t, "ci").await;
    let unknown = ask(&t.anon(), &[("grant_type", APIKEY), ("apikey", "no-such-key")]).await;
    assert_eq!((unknown.status, code(&unknown)), (400, "BXNIM0415E".into()));
    assert_eq!(unknown.body["errorMessage"], "Provided API key could not be found.");
    assert_eq!(unknown.body["context"]["requestType"], "incoming.Identity_Token");
    let id = text(&made["apikey"], "id");
    assert_eq!(t.admin().await.delete(&format!("/v1/apikeys/{id}")).await.status, 204);
    let deleted = ask(&t.anon(), &[("grant_type", APIKEY), ("apikey", &key)]).await;
    for member in ["errorCode", "errorMessage", "errorDetails"] {
        assert_eq!(unknown.body.get(member), deleted.body.get(member));
    }
    let long = "x".repeat(2000);
    assert_eq!(code(&ask(&t.anon(), &[("grant_type", APIKEY), ("apikey", &long)]).await), "BXNIM0415E");
}

#[tokio::test]
async fn disabled_and_expired_keys_and_keys_without_an_owner_are_refused() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let (made, key) = service_id(&t, "ci").await;
    let path = format!("/v1/apikeys/{}", text(&made["apikey"], "id"));
    let login = || async { code(&ask(&t.anon(), &[("grant_type", APIKEY), ("apikey", &key)]).await) };
    assert_eq!(admin.post(&format!("{path}/disable"), Value::Null).await.status, 204);
    assert_eq!(login().await, "BXNIM0482E");
    assert_eq!(admin.delete(&format!("{path}/disable")).await.status, 204);
    assert_eq!(login().await, "ok");
    let soon = json!({"expires_at": "2026-03-02T10:05+0000"});
    assert_eq!(admin.with_header("if-match", "*").put(&path, soon).await.status, 200);
    assert_eq!(login().await, "ok");
    t.advance_secs(300);
    assert_eq!(login().await, "BXNIM0483E");
    let events = t.events(&[("action", "iam-identity.serviceid-apikey.login"), ("outcome", "failure")]).await;
    assert_eq!(events.len(), 2, "verified and refused: told in the account");
    assert_eq!(admin.delete(&format!("/v1/serviceids/{}", text(&made, "id"))).await.status, 204);
    assert_eq!(login().await, "BXNIM0415E");
}

#[tokio::test]
async fn the_account_limits_lifetimes_addresses_and_tenants() {
    let t = TestApp::new().await;
    let fields = [("grant_type", APIKEY), ("apikey", t.api_key())];
    settings(&t, json!({"system_access_token_expiration_in_seconds": "900"})).await;
    assert_eq!(ask(&t.anon(), &fields).await.body["expires_in"], 900);
    let tenant = |value: &str| t.anon().with_header("ibm-cloud-tenant", value);
    let other = "ffffffffffffffffffffffffffffffff";
    assert_eq!(code(&ask(&tenant(t.account()), &fields).await), "ok");
    assert_eq!(code(&ask(&tenant(&format!("{other}, {}", t.account())), &fields).await), "ok");
    for value in [other, "", ","] {
        assert_eq!(code(&ask(&tenant(value), &fields).await), "BXNIM0485E", "{value}");
    }
    settings(&t, json!({"allowed_ip_addresses": "203.0.113.0/24"})).await;
    assert_eq!(code(&ask(&t.anon(), &fields).await), "BXNIM0484E");
    assert_eq!(code(&ask(&bx(&t), &fields).await), "BXNIM0484E", "whoever the client is");
    assert_eq!(code(&ask(&t.anon_from([203, 0, 113, 9].into()), &fields).await), "ok");
}

#[tokio::test]
async fn only_the_known_client_is_known() {
    let t = TestApp::new().await;
    let fields = [("grant_type", APIKEY), ("apikey", t.api_key())];
    for header in ["Basic Yng6eHg=", "Basic Zm9vOmJhcg==", "Basic !!", "Basic", "Basic Yng6Yng6"] {
        let r = ask(&t.anon().with_header("authorization", header), &fields).await;
        assert_eq!((r.status, code(&r)), (400, "BXNIM0310E".into()), "{header}");
    }
    let bearer = ask(&t.anon().with_header("authorization", "Bearer abc"), &fields).await;
    assert_eq!((bearer.status, &bearer.body["refresh_token"]), (200, &json!("not_supported")));
}
