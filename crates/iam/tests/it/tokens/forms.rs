//! The form is the credential: read strictly, and never as something weaker.

use avouch_testkit::{Client, TestApp, TestIssuer, TestResponse};
use serde_json::json;

use super::{APIKEY, ASSUME, CR_TOKEN, EXCHANGE, ask, bx, code, profile, text};

type Form = Vec<(&'static str, String)>;

/// A server with everything that the grants need, and one working form of each.
async fn grants(t: &TestApp) -> Vec<(Client, Form)> {
    let admin = t.admin().await;
    let made = profile(t, "builder").await;
    let id = text(&made, "id").to_owned();
    let issuer = TestIssuer::new("https://k.test");
    let body = json!({"name": "c1", "cr_type": "IKS_SA", "issuer": issuer.issuer, "jwks": issuer.jwks()});
    let cluster = admin.post("/avouch/v1/clusters", body).await.body;
    let link = json!({"cr_type": "IKS_SA", "link": {"crn": cluster["crn"], "namespace": "a", "name": "b"}});
    assert_eq!(admin.post(&format!("/v1/profiles/{id}/links"), link).await.status, 201);
    let identity = json!({"type": "user", "identifier": t.owner()});
    let r = admin.post(&format!("/v1/profiles/{id}/identities/user"), identity).await;
    assert_eq!(r.status, 200, "{}", r.body);
    let pod = issuer.token("a", "b", "p", t.now().secs());
    let login = ask(&bx(t), &[("grant_type", APIKEY), ("apikey", t.api_key())]).await;
    let refresh = text(&login.body, "refresh_token");
    let form =
        |fields: &[(&'static str, &str)]| fields.iter().map(|(k, v)| (*k, (*v).to_owned())).collect::<Form>();
    let jwt = "urn:ietf:params:oauth:token-type:jwt";
    let standard =
        [("grant_type", EXCHANGE), ("subject_token", &pod), ("subject_token_type", jwt), ("profile_id", &id)];
    vec![
        (t.anon(), form(&[("grant_type", APIKEY), ("apikey", t.api_key())])),
        (t.anon(), form(&[("grant_type", CR_TOKEN), ("cr_token", &pod), ("profile_id", &id)])),
        (t.anon(), form(&standard)),
        (t.anon(), form(&[("grant_type", ASSUME), ("access_token", admin.token()), ("profile_id", &id)])),
        (bx(t), form(&[("grant_type", "refresh_token"), ("refresh_token", refresh)])),
    ]
}

async fn send(client: &Client, fields: &Form) -> TestResponse {
    let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (*k, v.as_str())).collect();
    ask(client, &fields).await
}

#[tokio::test]
async fn a_parameter_that_is_missing_empty_or_doubled_is_never_a_weaker_grant() {
    let t = TestApp::new().await;
    for (client, fields) in grants(&t).await {
        for at in 0..fields.len() {
            let mut without = fields.clone();
            let (name, value) = without.remove(at);
            let r = send(&client, &without).await;
            assert_eq!((r.status, code(&r)), (400, "BXNIM0109E".into()), "{name} missing: {}", r.body);
            let mut empty = fields.clone();
            empty[at].1.clear();
            let r = send(&client, &empty).await;
            assert_eq!((r.status, code(&r)), (400, "BXNIM0109E".into()), "{name} empty: {}", r.body);
            assert!(r.text.contains(name));
            for other in [value, "other".to_owned()] {
                let mut twice = fields.clone();
                twice.push((name, other));
                let r = send(&client, &twice).await;
                assert_eq!((r.status, code(&r)), (400, "BXNIM0106E".into()), "{name} doubled: {}", r.body);
            }
        }
        for blank in ["scope", "response_type", "account"] {
            let mut more = fields.clone();
            more.push((blank, String::new()));
            assert_eq!(send(&client, &more).await.status, 400, "{blank} empty");
        }
        let r = send(&client, &fields).await;
        assert_eq!(r.status, 200, "{:?} {}", fields[0], r.body);
    }
}

#[tokio::test]
async fn a_credential_of_another_grant_is_refused_beside_the_right_one() {
    let t = TestApp::new().await;
    for (client, fields) in grants(&t).await {
        for foreign in ["apikey", "cr_token", "access_token", "refresh_token", "subject_token"] {
            if fields.iter().any(|(name, _)| *name == foreign) {
                continue;
            }
            let mut more = fields.clone();
            more.push((foreign, "x".to_owned()));
            let r = send(&client, &more).await;
            assert_eq!(
                (r.status, code(&r)),
                (400, "BXNIM0106E".into()),
                "{:?} {foreign} {}",
                fields[0],
                r.body
            );
        }
    }
}

#[tokio::test]
async fn grants_and_response_types_that_are_not_served_are_named() {
    let t = TestApp::new().await;
    for grant in [
        "password",
        "authorization_code",
        "client_credentials",
        "urn:ibm:params:oauth:grant-type:passcode",
        "urn:ibm:params:oauth:grant-type:iam-authz",
        "urn:ibm:params:oauth:grant-type:derive",
        "APIKEY",
        " urn:ibm:params:oauth:grant-type:apikey",
    ] {
        let r = ask(&t.anon(), &[("grant_type", grant), ("apikey", t.api_key())]).await;
        assert_eq!((r.status, code(&r)), (400, "BXNIM0106E".into()), "{grant}");
        assert!(text(&r.body, "errorDetails").contains("grant_type"));
    }
    for kind in ["ims_portal", "delegated_refresh_token", "cloud_iam ims_portal", "token"] {
        let fields = [("grant_type", APIKEY), ("apikey", t.api_key()), ("response_type", kind)];
        let r = ask(&t.anon(), &fields).await;
        assert_eq!(code(&r), "BXNIM0106E", "{kind}");
        assert!(text(&r.body, "errorDetails").contains("cloud_iam"));
    }
    let refresh = ask(&t.anon(), &[("grant_type", "refresh_token"), ("refresh_token", "x")]).await;
    assert_eq!((refresh.status, code(&refresh)), (401, "BXNIM0308E".into()));
}

#[tokio::test]
async fn parameters_may_stand_in_the_address_or_in_the_body_and_not_in_both() {
    let t = TestApp::new().await;
    let query = format!("/identity/token?grant_type={APIKEY}&apikey={}", t.api_key());
    let r = t.anon().send("POST", &query, "", Vec::new()).await;
    assert_eq!(r.status, 200, "{}", r.body);
    let wrong = format!("/identity/token?grant_type={APIKEY}&apikey=wrong");
    for (address, body) in [(&wrong, t.api_key()), (&query, t.api_key()), (&query, "wrong"), (&query, "")] {
        let both = t.anon().form(address, &[("apikey", body)]).await;
        assert_eq!((both.status, code(&both)), (400, "BXNIM0106E".into()), "{}", both.text);
    }
    let apart = format!("/identity/token?grant_type={APIKEY}");
    assert_eq!(t.anon().form(&apart, &[("apikey", t.api_key())]).await.status, 200);
    let doubled = t.anon().send("POST", &format!("{query}&apikey=x"), "", Vec::new()).await;
    assert_eq!(code(&doubled), "BXNIM0106E");
}

#[tokio::test]
async fn other_bodies_and_methods_are_refused_in_the_shape_of_the_service() {
    let t = TestApp::new().await;
    let json = json!({"grant_type": APIKEY, "apikey": t.api_key()}).to_string().into_bytes();
    assert_eq!(code(&t.anon().send("POST", "/identity/token", "application/json", json).await), "BXNIM0106E");
    assert_eq!(code(&t.anon().send("POST", "/identity/token", "", Vec::new()).await), "BXNIM0109E");
    for path in ["/identity/token", "/oidc/token"] {
        let r = t.anon().get(path).await;
        assert_eq!((r.status, code(&r)), (405, "BXNIM0060E".into()));
    }
    let many: String = (0..100).map(|n| format!("p{n}=1&")).collect();
    let kind = "application/x-www-form-urlencoded";
    assert_eq!(code(&t.anon().send("POST", "/identity/token", kind, many.into_bytes()).await), "BXNIM0106E");
}

#[tokio::test]
async fn the_standard_exchange_answers_with_its_token_type() {
    let t = TestApp::new().await;
    let all = grants(&t).await;
    let (client, fields) = &all[2];
    let r = send(client, fields).await;
    assert_eq!(r.body["issued_token_type"], "urn:ietf:params:oauth:token-type:access_token");
    assert_eq!(super::issued(&r)["grant_type"], EXCHANGE);
    for (name, value) in [
        ("subject_token_type", "urn:ietf:params:oauth:token-type:saml2"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"),
    ] {
        let mut other: Form = fields.iter().filter(|(n, _)| *n != name).cloned().collect();
        other.push((name, value.to_owned()));
        assert_eq!(code(&send(client, &other).await), "BXNIM0106E", "{name}");
    }
}

#[tokio::test]
async fn no_value_of_a_form_comes_back_or_is_written_down() {
    let t = TestApp::new().await;
    let canary = "canary-7f3a9";
    for grant in [APIKEY, CR_TOKEN, EXCHANGE, ASSUME, "refresh_token", canary] {
        for name in
            ["apikey", "cr_token", "access_token", "refresh_token", "subject_token", "subject_token_type"]
        {
            for client in [t.anon(), bx(&t)] {
                let r =
                    ask(&client, &[("grant_type", grant), (name, canary), ("profile_id", "Profile-x")]).await;
                assert_ne!(r.status, 200);
                assert!(!r.text.contains(canary), "{grant} {name}: {}", r.text);
            }
        }
    }
    t.app().audit.flush().await.unwrap();
    let rows = t.app().store.read(|tx| tx.query("select body from audit_events", &[])).await.unwrap();
    for row in rows {
        assert!(!row.get::<String>(0).unwrap().contains(canary));
    }
}
