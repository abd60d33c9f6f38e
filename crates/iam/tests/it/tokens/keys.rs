//! Published keys, discovery, rotation.

use avouch_crypto::jwks::JwksLimits;
use avouch_crypto::{JwkSet, TokenLimits, UnverifiedToken};
use avouch_testkit::TestApp;
use serde_json::json;

use super::text;

async fn verify(t: &TestApp, token: &str) -> bool {
    let jwks = t.anon().get("/identity/keys").await;
    let set = JwkSet::parse(jwks.text.as_bytes(), &JwksLimits::default()).unwrap();
    let read = UnverifiedToken::parse(token, &TokenLimits::default()).unwrap();
    let kid = read.kid().map(str::to_owned);
    let keys: Vec<_> = set.candidates(kid.as_deref()).cloned().collect();
    read.verify_any(&keys).is_ok()
}

fn kid(token: &str) -> String {
    UnverifiedToken::parse(token, &TokenLimits::default()).unwrap().kid().unwrap().to_owned()
}

#[tokio::test]
async fn keys_and_discovery_are_public_and_cacheable() {
    let t = TestApp::new().await;
    let keys = t.anon().get("/identity/keys").await;
    assert_eq!((keys.status, keys.header("cache-control")), (200, "public, max-age=900"));
    let key = &keys.body["keys"][0];
    assert_eq!((&key["kty"], &key["alg"], &key["use"]), (&json!("RSA"), &json!("RS256"), &json!("sig")));
    assert!(key.get("d").is_none() && key.get("x5c").is_none());
    let (minute, random) = text(key, "kid").split_once('-').unwrap();
    assert_eq!((minute, random.len()), ("202603021000", 6));
    let d = t.anon().get("/identity/.well-known/openid-configuration").await.body;
    assert_eq!(d["issuer"], "http://avouch.test/identity");
    assert_eq!(d["token_endpoint"], "http://avouch.test/identity/token");
    assert_eq!(d["jwks_uri"], "http://avouch.test/identity/keys");
    assert!(verify(&t, &t.token(t.api_key()).await).await);
}

#[tokio::test]
async fn rotation_fails_no_token_and_ends_old_keys() {
    let t = TestApp::new().await;
    let first = t.token(t.api_key()).await;
    let mut last = first.clone();
    let mut kids = vec![kid(&first)];
    for _ in 0..(32 * 24) {
        t.advance_secs(3600);
        assert!(verify(&t, &last).await, "the token of an hour ago lost its key");
        t.tick().await;
        last = t.token(t.api_key()).await;
        assert!(verify(&t, &last).await, "signed with a key that is not published");
        if kids.last() != Some(&kid(&last)) {
            kids.push(kid(&last));
        }
    }
    assert_ne!(t.bearer(&last).get("/v1/apikeys").await.status, 401);
    assert_eq!(kids.len(), 2, "one rotation in 32 days");
    assert!(!verify(&t, &first).await, "the old key is gone");
    assert_eq!(t.anon().get("/identity/keys").await.body["keys"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_next_key_is_published_before_it_signs() {
    let t = TestApp::new().await;
    t.token(t.api_key()).await;
    t.advance_secs(29 * 86_400 + 60);
    t.tick().await;
    let keys = t.anon().get("/identity/keys").await.body["keys"].as_array().unwrap().len();
    let old = t.token(t.api_key()).await;
    t.advance_secs(86_400);
    let new = t.token(t.api_key()).await;
    assert_eq!(keys, 2);
    assert_ne!(kid(&old), kid(&new));
}

#[tokio::test]
async fn the_faster_algorithm_is_a_setting() {
    let t = TestApp::with(|c| c.token_alg = "ES256".into()).await;
    let token = t.token(t.api_key()).await;
    assert_eq!(UnverifiedToken::parse(&token, &TokenLimits::default()).unwrap().alg().name(), "ES256");
    assert!(verify(&t, &token).await);
    assert_eq!(t.admin().await.get("/v1/apikeys").await.status, 200);
}

#[tokio::test]
async fn private_halves_are_stored_sealed() {
    let t = TestApp::new().await;
    t.token(t.api_key()).await;
    let rows = t.app().store.read(|tx| tx.query("select jwk, sealed from signing_keys", &[])).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert!(!rows[0].get::<String>(0).unwrap().contains("\"d\""));
    let sealed = rows[0].get::<Vec<u8>>(1).unwrap();
    // PKCS#8 names rsaEncryption.
    let oid = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    assert!(!sealed.windows(oid.len()).any(|w| w == oid));
}
