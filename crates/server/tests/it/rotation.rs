//! Signing keys change under load, and nobody notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use avouch_crypto::jwks::JwksLimits;
use avouch_crypto::{JwkSet, TokenLimits, UnverifiedToken};
use avouch_testkit::TestApp;

use crate::audience::signing_key;

fn kid(token: &str) -> String {
    UnverifiedToken::parse(token, &TokenLimits::default()).unwrap().kid().unwrap().to_owned()
}

/// As a client that keeps a key set verifies.
fn verifies(set: &JwkSet, token: &str) -> bool {
    let read = UnverifiedToken::parse(token, &TokenLimits::default()).unwrap();
    let kid = read.kid().map(str::to_owned);
    let keys: Vec<_> = set.candidates(kid.as_deref()).cloned().collect();
    read.verify_any(&keys).is_ok()
}

async fn key_set(t: &TestApp) -> JwkSet {
    let keys = t.anon().get("/identity/keys").await;
    assert_eq!(keys.status, 200);
    JwkSet::parse(keys.text.as_bytes(), &JwksLimits::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_under_load_fails_no_login_no_request_and_no_cached_key_set() {
    const TASKS: usize = 8;
    let t = Arc::new(TestApp::with(|c| c.token_alg = "ES256".into()).await);
    let before = t.token(t.api_key()).await;
    t.advance_secs(29 * 86_400);
    t.tick().await;
    // The successor is published and signs in a day; whoever fetches the keys now is served until then and beyond.
    t.advance_secs(86_400 - 20);
    let cached = Arc::new(key_set(&t).await);
    let last = t.token(t.api_key()).await;
    assert_eq!(kid(&before), kid(&last));
    let done = Arc::new(AtomicBool::new(false));
    let turns: Arc<Vec<AtomicUsize>> = Arc::new((0..TASKS).map(|_| AtomicUsize::new(0)).collect());
    let mut tasks = Vec::new();
    for n in 0..TASKS {
        let (t, cached, done, turns) = (t.clone(), cached.clone(), done.clone(), turns.clone());
        tasks.push(tokio::spawn(async move {
            let mut kids = std::collections::BTreeSet::new();
            let mut held: Option<String> = None;
            while !done.load(Ordering::SeqCst) {
                let token = t.token(t.api_key()).await;
                assert!(verifies(&cached, &token), "a client with a cached key set refuses a token");
                // The token of this moment and the one of the turn before, which may have the older key.
                for token in std::iter::once(token.clone()).chain(held.take()) {
                    let r = t.bearer(&token).get("/v1/apikeys").await;
                    assert_eq!(r.status, 200, "{}", r.text);
                }
                kids.insert(kid(&token));
                held = Some(token);
                turns[n].fetch_add(1, Ordering::SeqCst);
            }
            kids
        }));
    }
    // Every task takes part on both sides of each step: the steps wait for work done, not for time.
    for _ in 0..40 {
        let seen: Vec<usize> = turns.iter().map(|n| n.load(Ordering::SeqCst)).collect();
        while turns.iter().zip(&seen).any(|(n, seen)| n.load(Ordering::SeqCst) <= *seen)
            && !tasks.iter().any(tokio::task::JoinHandle::is_finished)
        {
            tokio::task::yield_now().await;
        }
        t.advance_secs(1);
        t.tick().await;
    }
    done.store(true, Ordering::SeqCst);
    let mut kids = std::collections::BTreeSet::new();
    for task in tasks {
        kids.extend(task.await.unwrap());
    }
    assert_eq!(kids.len(), 2, "both keys signed: {kids:?}");
    let new = t.token(t.api_key()).await;
    assert_ne!(kid(&new), kid(&last));
    assert!(verifies(&cached, &last) && verifies(&cached, &new));
    let now = key_set(&t).await;
    assert!(verifies(&now, &last) && verifies(&now, &new), "old tokens have their key still");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_key_is_neither_published_nor_believed_nor_used() {
    let t = TestApp::with(|c| c.token_alg = "ES256".into()).await;
    let old = t.token(t.api_key()).await;
    let key = signing_key(&t).await;
    let claims = crate::world::claims(&old);
    t.advance_secs(29 * 86_400);
    t.tick().await;
    t.advance_secs(86_400);
    let by_old_key = |now: i64| {
        let mut c = claims.clone();
        c["iat"] = serde_json::json!(now);
        c["exp"] = serde_json::json!(now + 3600);
        avouch_crypto::jws::compact(&key.key, &key.kid, &c)
    };
    let overlap = by_old_key(t.now().secs());
    assert_eq!(t.bearer(&overlap).get("/v1/apikeys").await.status, 200, "still within its overlap");
    t.advance_secs(2 * 3600 - 1);
    let late = by_old_key(t.now().secs());
    assert_eq!(t.bearer(&late).get("/v1/apikeys").await.status, 200, "and cached");
    t.advance_secs(1);
    assert_eq!(t.bearer(&late).get("/v1/apikeys").await.status, 401, "cached, before any housekeeping");
    let forged = by_old_key(t.now().secs());
    assert_eq!(t.bearer(&forged).get("/v1/apikeys").await.status, 401);
    t.tick().await;
    assert_eq!(t.bearer(&late).get("/v1/apikeys").await.status, 401);
    let set = key_set(&t).await;
    assert!(!verifies(&set, &forged));
    let told: Vec<_> = t
        .app()
        .store
        .read::<_, avouch_store::Error, _>(|tx| {
            tx.query(
                "select target_id from audit_events where action = 'iam-identity.signing-key.delete'",
                &[],
            )
        })
        .await
        .unwrap();
    let told: Vec<String> = told.iter().map(|row| row.get(0).unwrap()).collect();
    assert!(told.iter().any(|id| id.ends_with(&key.kid)), "{told:?}");
    assert!(verifies(&set, &t.token(t.api_key()).await));
}
