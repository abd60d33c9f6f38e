//! The form of a token, its header, and which key counts.

use avouch_crypto::{Alg, base64url};
use avouch_testkit::{TestIssuer, TestResponse};
use serde_json::{Value, json};

use crate::world::{ISSUER, World, code, exchange, link, profile, register, rule, text};

fn unparsable(r: &TestResponse) -> bool {
    r.status == 400 && code(r) == "BXNIM0407E" && r.body["errorMessage"] == "cr_token could not be parsed"
}

fn unverifiable(r: &TestResponse) -> bool {
    let message = "cr_token signature could not be validated";
    r.status == 400 && code(r) == "BXNIM0407E" && r.body["errorMessage"] == message
}

impl World {
    /// A token with this header, signed by the right key.
    fn headed(&self, header: &Value) -> String {
        let claims = self.issuer.claims("team-a", "reader", "reader-0", self.now());
        let (header, claims) = (header.to_string(), claims.to_string());
        self.issuer.sign_raw(&format!("{}.{}", base64url::encode(header), base64url::encode(claims)))
    }
}

#[tokio::test]
async fn a_token_is_three_parts_of_strict_base64url() {
    let w = World::new().await;
    let good = w.token();
    assert_eq!(w.code(&good).await, "ok");
    assert_eq!(w.code(&format!("{good}\n")).await, "ok", "files end so, and clients send them as they are");
    let parts: Vec<&str> = good.split('.').collect();
    let last = good.chars().last().unwrap();
    // 64 bytes leave four bits of the last character without a meaning.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let place = alphabet.find(last).unwrap();
    let twin = alphabet.chars().nth(place | 1).unwrap();
    assert_ne!(last, twin, "the bits are zero in what is signed");
    let json_form = json!({"protected": parts[0], "payload": parts[1], "signature": parts[2]}).to_string();
    for bad in [
        format!("{}{twin}", &good[..good.len() - 1]),
        format!("{good}="),
        format!("{good}."),
        format!("{good}.{}", parts[2]),
        format!("{}.{}.{}.{}.{}", parts[0], parts[1], parts[2], parts[1], parts[2]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
        format!(".{}.{}", parts[1], parts[2]),
        good.replace('.', "%2E").replace("%2E", ".."),
        json_form,
        base64url::encode(&good),
    ] {
        let r = w.exchange(&bad).await;
        assert!(unparsable(&r), "{bad}: {}", r.body);
    }
    let header = base64url::encode(json!({"alg": "ES256", "kid": w.issuer.kid}).to_string());
    for payload in [&b"[]"[..], b"null", b"\xff\xfe{}", b"{}{}", b"{\"iss\":\"a\xff\"}", b""] {
        let token = w.issuer.sign_raw(&format!("{header}.{}", base64url::encode(payload)));
        let r = w.exchange(&token).await;
        assert!(unparsable(&r), "{payload:?}: {}", r.body);
    }
}

#[tokio::test]
async fn a_header_that_changes_the_reading_is_refused() {
    let w = World::new().await;
    let kid = w.issuer.kid.clone();
    let plain = json!({"alg": "ES256", "kid": kid, "typ": "JWT", "b64": true, "x5t": "AA", "other": [1]});
    assert_eq!(w.code(&w.headed(&plain)).await, "ok", "what is not understood is left alone");
    for (name, value) in [
        ("crit", json!(["b64"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("b64", json!("true")),
        ("zip", json!("DEF")),
        ("enc", json!("A256GCM")),
        ("kid", json!(7)),
        ("kid", json!(null)),
        ("kid", json!("")),
        ("kid", json!("k".repeat(257))),
        ("kid", json!("a\u{0}b")),
        ("alg", json!(["ES256"])),
        ("alg", json!(null)),
    ] {
        let mut header = plain.clone();
        header[name] = value.clone();
        let r = w.exchange(&w.headed(&header)).await;
        assert!(unparsable(&r), "{name} {value}: {}", r.body);
    }
    let long = json!({"alg": "ES256", "kid": kid, "x": "x".repeat(2048)});
    assert!(unparsable(&w.exchange(&w.headed(&long)).await));
}

#[tokio::test]
async fn an_algorithm_counts_only_where_the_registration_lists_it() {
    for alg in [Alg::ES512, Alg::RS384, Alg::PS256] {
        let mut w = World::new().await;
        let issuer = TestIssuer::with_alg("https://other.test", alg);
        // By default the set has no key that counts, which the registration says.
        let refused = register(&w.admin, "c2", &issuer, json!({})).await;
        if refused.status == 201 {
            link(&w.admin, &w.profile, &refused.body, "team-a", "reader").await;
            w.issuer = issuer;
            assert!(unverifiable(&w.exchange(&w.token()).await), "{}", alg.name());
            let path = format!("/avouch/v1/clusters/{}", text(&refused.body, "id"));
            let admin = w.admin.with_header("if-match", "*");
            let r = admin.patch(&path, json!({"allowed_algs": [alg.name()]})).await;
            assert_eq!(r.status, 200, "{}", r.body);
            assert_eq!(w.code(&w.token()).await, "ok", "{}", alg.name());
            let r = admin.patch(&path, json!({"allowed_algs": ["ES256"]})).await;
            assert_eq!(r.status, 200, "{}", r.body);
            assert!(unverifiable(&w.exchange(&w.token()).await), "{}", alg.name());
        } else {
            panic!("{} {}", alg.name(), refused.body);
        }
    }
    let w = World::new().await;
    for alg in ["HS256", "none", "EdDSA", "RS256 "] {
        let admin = w.admin.with_header("if-match", "*");
        assert_eq!(admin.patch(&w.path(), json!({"allowed_algs": [alg]})).await.status, 400, "{alg}");
    }
}

#[tokio::test]
async fn without_a_key_id_each_key_of_the_issuer_is_tried() {
    let w = World::new().await;
    let claims = |issuer: &TestIssuer| issuer.claims("team-a", "reader", "reader-0", w.now());
    let unnamed = |issuer: &TestIssuer| {
        let header = json!({"alg": "ES256"}).to_string();
        let claims = claims(issuer).to_string();
        issuer.sign_raw(&format!("{}.{}", base64url::encode(header), base64url::encode(claims)))
    };
    assert_eq!(w.code(&unnamed(&w.issuer)).await, "ok");
    let second = TestIssuer::new(ISSUER);
    assert_eq!(register(&w.admin, "c2", &second, json!({})).await.status, 201);
    assert_eq!(w.code(&unnamed(&w.issuer)).await, "ok");
    assert_eq!(w.code(&unnamed(&second)).await, "BXNIM0398E", "known as the other cluster");
    assert!(unverifiable(&w.exchange(&unnamed(&TestIssuer::new(ISSUER))).await));
}

#[tokio::test]
async fn one_key_id_of_two_keys_means_either_and_other_uses_mean_none() {
    let w = World::new().await;
    let mut twin = TestIssuer::new(ISSUER);
    twin.kid.clone_from(&w.issuer.kid);
    let sealing = TestIssuer::new(ISSUER);
    let mut odd = sealing.jwks()["keys"][0].clone();
    odd["use"] = json!("enc");
    let jwks = json!({"keys": [w.issuer.jwks()["keys"][0], twin.jwks()["keys"][0], odd]});
    let admin = w.admin.with_header("if-match", "*");
    let r = admin.patch(&w.path(), json!({"jwks": jwks})).await;
    assert_eq!(r.status, 200, "{}", r.body);
    for issuer in [&w.issuer, &twin] {
        assert_eq!(w.code(&issuer.token("team-a", "reader", "p", w.now())).await, "ok");
    }
    assert!(unverifiable(&w.exchange(&sealing.token("team-a", "reader", "p", w.now())).await));
}

#[tokio::test]
async fn a_namespace_made_anew_is_let_in_by_its_name_and_kept_out_by_the_account_s_uid() {
    let w = World::new().await;
    let pinned = profile(&w.t, &w.admin, "pinned").await;
    let uid = "2c8b0a4e-0000-4000-8000-000000000001";
    let conditions = json!([
        {"claim": "namespace", "operator": "EQUALS", "value": "team-a"},
        {"claim": "service_account_uid", "operator": "EQUALS", "value": uid},
    ]);
    assert_eq!(rule(&w.admin, &pinned, "IKS_SA", conditions).await.status, 201);
    let anew = w.forged(|c| c["kubernetes.io"]["serviceaccount"]["uid"] = json!(uid.replace('2', "3")));
    assert_eq!(w.code(&anew).await, "ok", "the link names it");
    let by_name = [("profile_name", "pinned")];
    assert_eq!(code(&exchange(&w.t, &anew, &by_name).await), "BXNIM0398E");
    assert_eq!(code(&exchange(&w.t, &w.token(), &by_name).await), "ok");
}
