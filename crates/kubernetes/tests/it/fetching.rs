//! Keys that are fetched: what is kept, what is refused, how often anybody is asked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use avouch_crypto::base64url;
use avouch_testkit::{Client, TestApp, TestIssuer};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::server::{HttpsServer, Reply};
use crate::world::{CR_TOKEN, World, code, exchange, link, profile, text};

const PROFILE: [(&str, &str); 1] = [("profile_name", "builder")];

struct Fetched {
    t: TestApp,
    server: HttpsServer,
    issuer: TestIssuer,
    cluster: Value,
}

async fn app() -> TestApp {
    TestApp::with(|c| c.fetch.allow = vec!["127.0.0.0/8:*".into()]).await
}

impl Fetched {
    async fn new() -> Self {
        let (t, server) = (app().await, HttpsServer::start().await);
        let issuer = TestIssuer::new("https://issuer.test");
        server.on("/keys", Reply::json(&issuer.jwks()));
        let admin = t.admin().await;
        let r = admin
            .post(
                "/avouch/v1/clusters",
                json!({"name": "c1", "cr_type": "IKS_SA", "issuer": issuer.issuer, "jwks_url": server.url("/keys"),
                       "ca_pem": server.ca_pem}),
            )
            .await;
        assert_eq!(r.status, 201, "{}", r.body);
        let made = profile(&t, &admin, "builder").await;
        link(&admin, &made, &r.body, "team-a", "reader").await;
        Self { t, server, issuer, cluster: r.body }
    }

    async fn code(&self, issuer: &TestIssuer) -> String {
        let token = issuer.token("team-a", "reader", "reader-0", self.t.now().secs());
        code(&exchange(&self.t, &token, &PROFILE).await)
    }

    async fn keys(&self) -> Value {
        let path = format!("/avouch/v1/clusters/{}", text(&self.cluster, "id"));
        self.t.admin().await.get(&path).await.body["keys"].clone()
    }
}

#[tokio::test]
async fn keys_are_fetched_at_registration_and_never_on_the_warm_path() {
    let f = Fetched::new().await;
    assert_eq!(f.server.hits(), 1);
    for _ in 0..5 {
        assert_eq!(f.code(&f.issuer).await, "ok");
    }
    assert_eq!(f.server.hits(), 1);
    assert!(f.cluster["next_refresh"].is_string() && f.cluster["last_refresh"].is_string());
}

#[tokio::test]
async fn discovery_leads_to_the_keys_and_states_the_issuer() {
    let (t, server) = (app().await, HttpsServer::start().await);
    let admin = t.admin().await;
    let issuer = TestIssuer::new(&server.url(""));
    server.on("/openid/v1/jwks", Reply::json(&issuer.jwks()));
    let document = |issuer: &str, keys: &str| Reply::json(&json!({"issuer": issuer, "jwks_uri": keys}));
    let well_known = server.url("/.well-known/openid-configuration");
    let register = |name: &'static str, issuer: String| {
        let (admin, url, ca) = (admin.clone(), well_known.clone(), server.ca_pem.clone());
        async move {
            let body = json!({"name": name, "cr_type": "IKS_SA", "issuer": issuer, "discovery_url": url, "ca_pem": ca});
            admin.post("/avouch/v1/clusters", body).await
        }
    };
    server.on("/.well-known/openid-configuration", document(&issuer.issuer, &server.url("/openid/v1/jwks")));
    assert_eq!(register("slash", format!("{}/", issuer.issuer)).await.status, 400);
    let good = register("good", issuer.issuer.clone()).await;
    assert_eq!((good.status, good.body["keys"][0]["kid"].as_str()), (201, Some(issuer.kid.as_str())));
    let other_host = format!("https://localhost:{}/openid/v1/jwks", server.port);
    server.on("/.well-known/openid-configuration", document(&issuer.issuer, &other_host));
    let far = register("far", issuer.issuer.clone()).await;
    assert_eq!(far.status, 400);
    assert!(far.text.contains("allowed_hosts"), "{}", far.body);
}

/// A server whose discovery document speaks for its own keys.
async fn speaks(server: &HttpsServer, issuers: &[&TestIssuer]) {
    let keys: Vec<Value> = issuers.iter().map(|i| i.jwks()["keys"][0].clone()).collect();
    let document = json!({"issuer": server.url(""), "jwks_uri": server.url("/keys")});
    server.on("/.well-known/openid-configuration", Reply::json(&document));
    server.on("/keys", Reply::json(&json!({"keys": keys})));
}

#[tokio::test]
async fn whoever_registers_the_next_key_of_an_issuer_first_stops_no_rotation() {
    let (t, server) = (app().await, HttpsServer::start().await);
    let (admin, other) = (t.admin().await, t.outsider().await);
    let [now, next] = [(); 2].map(|()| TestIssuer::new(&server.url("")));
    let inline = |name: &str, issuer: &TestIssuer| json!({"name": name, "cr_type": "IKS_SA", "issuer": issuer.issuer, "jwks": issuer.jwks()});
    let discovered = json!({"name": "c1", "cr_type": "IKS_SA", "issuer": server.url(""), "ca_pem": server.ca_pem,
        "discovery_url": server.url("/.well-known/openid-configuration")});
    for established in [true, false] {
        speaks(&server, &[&now]).await;
        let register = async || {
            t.advance_secs(1);
            let r = admin.post("/avouch/v1/clusters", discovered.clone()).await;
            assert_eq!(r.status, 201, "{}", r.text);
            r.body
        };
        let before = if established { Some(register().await) } else { None };
        t.advance_secs(1);
        let squat = other.post("/avouch/v1/clusters", inline("squat", &next)).await;
        assert_eq!(squat.status, 201, "{}", squat.text);
        let squat = format!("/avouch/v1/clusters/{}", text(&squat.body, "id"));
        let cluster = match before {
            Some(cluster) => cluster,
            None => register().await,
        };
        let mine = format!("/avouch/v1/clusters/{}", text(&cluster, "id"));
        let made = profile(&t, &admin, &format!("builder-{established}")).await;
        link(&admin, &made, &cluster, "team-a", "reader").await;
        speaks(&server, &[&now, &next]).await;
        let refreshed = admin.post(&format!("{mine}/refresh"), json!({})).await;
        assert_eq!(refreshed.status, 200, "{}", refreshed.text);
        let code = async |issuer: &TestIssuer| {
            let token = issuer.token("team-a", "reader", "reader-0", t.now().secs());
            code(&exchange(&t, &token, &[("profile_id", text(&made, "id"))]).await)
        };
        assert_eq!(code(&now).await, "ok", "{established}");
        let left = other.get(&squat).await.body;
        if established {
            assert_eq!(code(&next).await, "ok", "the issuer says itself whose key it is");
            assert_eq!((&left["keys"], left["last_error"].is_string()), (&json!([]), true), "{left}");
        } else {
            assert_eq!(code(&next).await, "BXNIM0398E", "who was there first keeps it");
            assert_eq!(left["keys"].as_array().unwrap().len(), 1);
            assert!(refreshed.text.contains("another registration"), "{}", refreshed.text);
        }
        assert_eq!(other.delete(&squat).await.status, 204);
        assert_eq!(admin.delete(&mine).await.status, 204);
    }
}

#[tokio::test]
async fn an_unknown_key_is_fetched_once_and_then_works() {
    let f = Fetched::new().await;
    let rotated = TestIssuer::new(&f.issuer.issuer);
    f.server.on("/keys", Reply::json(&rotated.jwks()));
    assert_eq!(f.code(&rotated).await, "ok");
    assert_eq!(f.server.hits(), 2);
    assert_eq!(f.code(&f.issuer).await, "ok", "the old key is missing for the first time");
    assert_eq!(f.code(&rotated).await, "ok");
    assert_eq!(f.server.hits(), 2);
    let events = f.t.events(&[("action", "iam-identity.cluster.refresh")]).await;
    assert_eq!(events.len(), 1, "a change of keys leaves an event");
}

#[tokio::test]
async fn a_key_missing_twice_retires_and_stops_to_count() {
    let f = Fetched::new().await;
    let rotated = TestIssuer::new(&f.issuer.issuer);
    f.server.on("/keys", Reply::json(&rotated.jwks()));
    for _ in 0..2 {
        f.t.advance_secs(1200);
        f.t.tick().await;
    }
    assert_eq!(f.keys().await[0]["state"], "retiring");
    assert_eq!(f.code(&f.issuer).await, "ok");
    f.t.advance_secs(3661);
    assert_eq!(f.code(&f.issuer).await, "BXNIM0407E");
    assert_eq!(f.code(&rotated).await, "ok");
}

#[tokio::test]
async fn an_answer_that_was_overtaken_brings_no_key_back() {
    let f = Fetched::new().await;
    let old = f.issuer.jwks();
    let rotated = TestIssuer::new(&f.issuer.issuer);
    f.server.on("/keys", Reply::json(&rotated.jwks()));
    f.t.advance_secs(1200);
    f.t.tick().await;
    // One fetch gets the old set and is slow to bring it; another one gets the new set meanwhile.
    f.t.advance_secs(1200);
    let gate = Arc::new((Notify::new(), Notify::new()));
    f.server.on("/keys", Reply::Held(old.to_string(), gate.clone()));
    let path = format!("/avouch/v1/clusters/{}/refresh", text(&f.cluster, "id"));
    let admin = f.t.admin().await;
    let slow = tokio::spawn(async move { admin.post(&path, Value::Null).await });
    gate.0.notified().await;
    f.server.on("/keys", Reply::json(&rotated.jwks()));
    f.t.advance_secs(1);
    f.t.tick().await;
    let state = |keys: &Value| {
        let of =
            |kid: &str| keys.as_array().unwrap().iter().find(|k| k["kid"] == kid).unwrap()["state"].clone();
        (of(&f.issuer.kid), of(&rotated.kid))
    };
    let wanted = (json!("retiring"), json!("active"));
    assert_eq!(state(&f.keys().await), wanted);
    gate.1.notify_one();
    let slow = slow.await.unwrap();
    assert_eq!(slow.status, 200, "{}", slow.body);
    assert!(slow.text.contains("began later"), "{}", slow.text);
    assert_eq!(state(&f.keys().await), wanted);
}

#[tokio::test]
async fn keys_are_fetched_on_after_the_clock_was_set_forward_and_back() {
    let f = Fetched::new().await;
    let mut hits = f.server.hits();
    for jump in [3_600, -3_600, 86_400, -86_400, -86_400, -3_600] {
        f.t.jump_secs(jump);
        f.t.tick().await;
        f.t.tick().await;
        hits += 1;
        assert_eq!(f.server.hits(), hits, "{jump}: once, and not for ever");
        assert_eq!(f.code(&f.issuer).await, "ok", "{jump}");
    }
    assert_eq!(f.keys().await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_flood_of_a_hundred_thousand_invented_key_ids_is_two_fetches() {
    let f = Fetched::new().await;
    let mut forger = TestIssuer::new(&f.issuer.issuer);
    let mut codes = std::collections::BTreeMap::new();
    // Nobody comes to look at the signature, so one will do for all.
    let signed = forger.token("team-a", "reader", "p", f.t.now().secs());
    let (_, rest) = signed.split_once('.').unwrap();
    let on_sqlite = avouch_store::testing::engine() == avouch_store::Engine::Sqlite;
    // Each asks the store for a revision, which on PostgreSQL takes a round trip.
    for n in 0..if on_sqlite { 100_000u32 } else { 5_000 } {
        let header = base64url::encode(json!({"alg": "ES256", "kid": format!("k{n}")}).to_string());
        let token = format!("{header}.{rest}");
        // From as many addresses as it takes not to be refused for that.
        let [_, b, c, d] = (n / 50).to_be_bytes();
        let client = f.t.anon_from([10, b, c, d].into());
        let fields = [("grant_type", crate::world::CR_TOKEN), ("cr_token", token.as_str()), PROFILE[0]];
        *codes.entry(code(&client.form("/identity/token", &fields).await)).or_insert(0) += 1;
    }
    assert!(f.server.hits() <= 1 + 2, "{}", f.server.hits());
    assert!(codes.keys().all(|c| c == "BXNIM0407E" || c == "BXNIM0490E"), "{codes:?}");
    assert_eq!(f.code(&f.issuer).await, "ok", "good exchanges go on");
    f.t.advance_secs(31);
    forger.kid = "late".into();
    let token = forger.token("team-a", "reader", "p", f.t.now().secs());
    assert_eq!(code(&exchange(&f.t, &token, &PROFILE).await), "BXNIM0407E");
    assert_eq!(code(&exchange(&f.t, &token, &PROFILE).await), "BXNIM0407E", "remembered as unknown");
    assert_eq!(f.server.hits(), 1 + 2 + 1);
}

#[tokio::test]
async fn callers_with_the_same_new_key_share_one_fetch() {
    let f = Arc::new(Fetched::new().await);
    let rotated = Arc::new(TestIssuer::new(&f.issuer.issuer));
    f.server.on("/keys", Reply::json(&rotated.jwks()));
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (f, rotated) = (f.clone(), rotated.clone());
        running.spawn(async move { f.code(&rotated).await });
    }
    while let Some(code) = running.join_next().await {
        assert_eq!(code.unwrap(), "ok");
    }
    assert_eq!(f.server.hits(), 2);
}

#[tokio::test]
async fn a_key_is_unknown_only_when_everybody_was_asked() {
    let f = Fetched::new().await;
    let admin = f.t.admin().await;
    // A default issuer that many clusters share, each with keys of its own.
    for n in 0..40 {
        let path = format!("/keys-{n}");
        f.server.on(&path, Reply::json(&TestIssuer::new(&f.issuer.issuer).jwks()));
        let body = json!({"name": format!("other-{n}"), "cr_type": "IKS_SA", "issuer": f.issuer.issuer,
            "jwks_url": f.server.url(&path), "ca_pem": f.server.ca_pem});
        assert_eq!(admin.post("/avouch/v1/clusters", body).await.status, 201);
    }
    // Sixteen of them are asked at a time, by chance; meanwhile the answer is "later", never "no such key".
    for _ in 0..8 {
        let rotated = TestIssuer::new(&f.issuer.issuer);
        f.server.on("/keys", Reply::json(&rotated.jwks()));
        let mut last = String::new();
        for _ in 0..60 {
            f.t.advance_secs(31);
            last = f.code(&rotated).await;
            if last == "ok" {
                break;
            }
            assert_eq!(last, "BXNIM0490E");
        }
        assert_eq!(last, "ok");
    }
}

#[tokio::test]
async fn a_bad_answer_never_takes_a_key_away() {
    let f = Fetched::new().await;
    let huge = format!("{{\"keys\":[],\"x\":\"{}\"}}", "a".repeat(600 * 1024));
    for bad in [
        Reply::Text(200, String::new(), "{}".into()),
        Reply::Text(200, "content-type: text/html\r\n".into(), "<html></html>".into()),
        Reply::Text(200, String::new(), "{\"keys\":[]}".into()),
        Reply::Text(500, String::new(), "{}".into()),
        Reply::Text(404, String::new(), String::new()),
        Reply::Text(200, "content-encoding: gzip\r\n".into(), "\u{1f}\u{8b}bomb".into()),
        Reply::Text(200, String::new(), huge),
        Reply::Endless,
    ] {
        f.server.on("/keys", bad);
        f.t.advance_secs(1200);
        let before = f.server.hits();
        f.t.tick().await;
        assert!(f.server.hits() > before, "nothing was asked, so nothing bad was answered");
        assert_eq!(f.code(&f.issuer).await, "ok");
        let path = format!("/avouch/v1/clusters/{}", text(&f.cluster, "id"));
        let shown = f.t.admin().await.get(&path).await;
        assert!(shown.body["last_error"].as_str().is_some_and(|e| !e.is_empty()), "{}", shown.body);
    }
    let shown = f.t.admin().await.get(&format!("/avouch/v1/clusters/{}", text(&f.cluster, "id"))).await;
    assert!(shown.body["last_error"].as_str().unwrap().contains("too large"), "{}", shown.body);
    f.t.advance_secs(25 * 3600);
    assert_eq!(f.code(&f.issuer).await, "BXNIM0490E", "a day without a good answer");
}

#[tokio::test]
async fn a_source_that_is_down_is_worth_waiting_for() {
    let f = Fetched::new().await;
    f.server.on("/keys", Reply::Text(503, String::new(), String::new()));
    let rotated = TestIssuer::new(&f.issuer.issuer);
    let token = rotated.token("team-a", "reader", "p", f.t.now().secs());
    let r = exchange(&f.t, &token, &PROFILE).await;
    assert_eq!((r.status, code(&r)), (503, "BXNIM0490E".into()));
    assert!(!r.header("retry-after").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_source_holds_up_nobody_for_long() {
    let f = Fetched::new().await;
    for slow in [Reply::Hang, Reply::Drip] {
        f.server.on("/keys", slow);
        f.t.advance_secs(60);
        let rotated = TestIssuer::new(&f.issuer.issuer);
        let start = Instant::now();
        assert_eq!(f.code(&rotated).await, "BXNIM0490E");
        assert!(start.elapsed() < Duration::from_millis(2800), "{:?}", start.elapsed());
        let start = Instant::now();
        assert_eq!(f.code(&f.issuer).await, "ok");
        assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let f = Fetched::new().await;
    let before = f.server.hits();
    let elsewhere = format!("location: {}\r\n", f.server.url("/other"));
    f.server.on("/keys", Reply::Text(302, elsewhere, String::new()));
    f.server.on("/other", Reply::json(&f.issuer.jwks()));
    let path = format!("/avouch/v1/clusters/{}/refresh", text(&f.cluster, "id"));
    let r = f.t.admin().await.post(&path, Value::Null).await;
    assert_eq!(r.status, 503, "{}", r.body);
    assert!(r.text.contains("302"));
    assert_eq!(f.server.hits(), before + 1);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let (t, server) = (app().await, HttpsServer::start().await);
    let issuer = TestIssuer::new("https://issuer.test");
    server.on("/keys", Reply::json(&issuer.jwks()));
    let admin = t.admin().await;
    let mut body =
        json!({"name": "c1", "cr_type": "IKS_SA", "issuer": issuer.issuer, "jwks_url": server.url("/keys")});
    let r = admin.post("/avouch/v1/clusters", body.clone()).await;
    assert_eq!(r.status, 400, "{}", r.body);
    assert_eq!(server.hits(), 0);
    body["ca_pem"] = json!(HttpsServer::start().await.ca_pem);
    assert_eq!(admin.post("/avouch/v1/clusters", body.clone()).await.status, 400);
    body["ca_pem"] = json!(server.ca_pem);
    assert_eq!(admin.post("/avouch/v1/clusters", body).await.status, 201);
}

#[tokio::test]
async fn addresses_outside_the_settings_are_refused_loudly() {
    let w = World::new().await;
    let server = HttpsServer::start().await;
    for url in [
        "https://169.254.169.254/latest/meta-data",
        "https://[fe80::1]/keys",
        "https://10.0.0.1/keys",
        "https://[::ffff:169.254.169.254]/keys",
        server.url("/keys").as_str(),
    ] {
        let body = json!({"name": "c2", "cr_type": "IKS_SA", "issuer": "https://x.test", "jwks_url": url});
        let r = w.admin.post("/avouch/v1/clusters", body).await;
        assert_eq!(r.status, 403, "{url} {}", r.body);
        assert!(r.text.contains("fetch.allow") || r.text.contains("link-local"), "{}", r.body);
    }
    for url in ["http://example.test/keys", "file:///etc/passwd", "https://u:p@example.test/keys"] {
        let body = json!({"name": "c2", "cr_type": "IKS_SA", "issuer": "https://x.test", "jwks_url": url});
        assert_eq!(w.admin.post("/avouch/v1/clusters", body).await.status, 400, "{url}");
    }
    let events = w.t.events(&[("action", "iam-identity.cluster.register")]).await;
    let refused: Vec<_> = events.iter().filter(|e| e["outcome"] == "failure").collect();
    assert!(refused.iter().filter(|e| e["reason"]["reasonCode"] == 403).all(|e| e["severity"] == "critical"));
    assert!(refused.len() >= 8);
    assert_eq!(server.hits(), 0);
}

#[tokio::test]
async fn a_private_key_in_a_set_is_refused_and_not_kept() {
    let f = Fetched::new().await;
    let mut leaked = f.issuer.jwks();
    leaked["keys"][0]["d"] = json!("Y2FuYXJ5");
    f.server.on("/keys", Reply::json(&leaked));
    let path = format!("/avouch/v1/clusters/{}/refresh", text(&f.cluster, "id"));
    let r = f.t.admin().await.post(&path, Value::Null).await;
    assert_eq!(r.status, 503);
    assert!(r.text.contains("private key") && !r.text.contains("Y2FuYXJ5"), "{}", r.body);
    let weak = json!({"keys": [
        {"kty": "RSA", "kid": "weak", "n": "AQAB".repeat(43), "e": "AQAB"},
        {"kty": "RSA", "kid": "e3", "n": format!("u{}", "A".repeat(341)), "e": "Aw"},
        {"kty": "EC", "kid": "off", "crv": "P-256", "x": "A".repeat(43), "y": "A".repeat(43)},
        f.issuer.jwks()["keys"][0],
    ]});
    f.server.on("/keys", Reply::json(&weak));
    let r = f.t.admin().await.post(&path, Value::Null).await;
    assert_eq!((r.status, r.body["warnings"].as_array().map(Vec::len)), (200, Some(3)), "{}", r.body);
    assert_eq!(f.keys().await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn another_key_source_ends_the_old_keys_at_once() {
    let f = Fetched::new().await;
    let fresh = TestIssuer::new(&f.issuer.issuer);
    f.server.on("/new", Reply::json(&fresh.jwks()));
    let path = format!("/avouch/v1/clusters/{}", text(&f.cluster, "id"));
    let admin = f.t.admin().await.with_header("if-match", "*");
    let r = admin.patch(&path, json!({"jwks_url": f.server.url("/new")})).await;
    assert_eq!(r.status, 200, "{}", r.body);
    assert_eq!(f.code(&f.issuer).await, "BXNIM0407E");
    assert_eq!(f.code(&fresh).await, "ok");
}

/// What becomes of a caller while a source of keys that he named is slow.
async fn meanwhile(t: &TestApp, admin: &Client, iam_id: &str, policy: &str, event: &str) {
    let done = match event {
        "revoked" => admin.post("/avouch/v1/revocations", json!({"iam_id": iam_id})).await,
        "deleted" => admin.delete(&format!("/v1/serviceids/{}", iam_id.trim_start_matches("iam-"))).await,
        "without right" => admin.delete(&format!("/v2/policies/{policy}")).await,
        _ => return t.advance_secs(3601),
    };
    assert!([201, 204].contains(&done.status), "{event}: {}", done.text);
}

#[tokio::test]
async fn who_loses_his_right_while_a_source_is_slow_changes_nothing() {
    let f = Fetched::new().await;
    let (t, admin) = (&f.t, f.t.admin().await);
    let path = format!("/avouch/v1/clusters/{}", text(&f.cluster, "id"));
    let other = TestIssuer::new("https://other.test");
    for (n, event) in ["revoked", "deleted", "without right", "late"].into_iter().enumerate() {
        for call in ["create", "change", "refresh"] {
            let (caller, iam_id) = t.service_id(&format!("{call}-{n}")).await;
            let equal =
                |key: &str, value: &str| json!({"key": key, "operator": "stringEquals", "value": value});
            let target =
                json!([equal("accountId", t.account()), equal("serviceName", "containers-kubernetes")]);
            let admin = t.admin().await;
            let policy =
                t.grant(&admin, &iam_id, "crn:v1:bluemix:public:iam::::role:Administrator", target).await;
            let before = admin.get(&path).await.text;
            let gate = Arc::new((Notify::new(), Notify::new()));
            f.server.on("/slow", Reply::Held(other.jwks().to_string(), gate.clone()));
            f.server.on("/keys", Reply::Held(other.jwks().to_string(), gate.clone()));
            let body = json!({"name": "late", "cr_type": "IKS_SA", "issuer": other.issuer,
                "jwks_url": f.server.url("/slow"), "ca_pem": f.server.ca_pem});
            let path = path.clone();
            let asked = tokio::spawn(async move {
                let any = caller.with_header("if-match", "*");
                match call {
                    "create" => any.post("/avouch/v1/clusters", body).await,
                    "change" => {
                        any.patch(&path, json!({"issuer": body["issuer"], "jwks_url": body["jwks_url"]}))
                            .await
                    }
                    _ => any.post(&format!("{path}/refresh"), Value::Null).await,
                }
            });
            gate.0.notified().await;
            meanwhile(t, &admin, &iam_id, &policy, event).await;
            gate.1.notify_one();
            let answer = asked.await.unwrap();
            let wanted = if event == "without right" { 403 } else { 401 };
            assert_eq!(answer.status, wanted, "{call}, {event}: {}", answer.text);
            let admin = t.admin().await;
            let list = admin.get("/avouch/v1/clusters").await.body;
            assert_eq!(list["clusters"].as_array().unwrap().len(), 1, "{call}, {event}");
            assert_eq!(
                admin.get(&format!("/avouch/v1/clusters/{}", text(&f.cluster, "id"))).await.text,
                before
            );
        }
    }
    drop(admin);
}

#[tokio::test]
async fn a_change_that_was_overtaken_while_a_source_is_slow_is_stale_whatever_if_match_admits() {
    let f = Fetched::new().await;
    let admin = f.t.admin().await.with_header("if-match", "*");
    let path = format!("/avouch/v1/clusters/{}", text(&f.cluster, "id"));
    let evil = TestIssuer::new("https://evil.test");
    let gate = Arc::new((Notify::new(), Notify::new()));
    f.server.on("/slow", Reply::Held(evil.jwks().to_string(), gate.clone()));
    let body = json!({"issuer": evil.issuer, "jwks_url": f.server.url("/slow")});
    let (client, at) = (admin.clone(), path.clone());
    let slow = tokio::spawn(async move { client.patch(&at, body).await });
    gate.0.notified().await;
    let group = admin.post("/v2/resource_groups", json!({"name": "g", "account_id": f.t.account()})).await;
    let moved = admin.patch(&path, json!({"resource_group": text(&group.body, "id")})).await;
    assert_eq!(moved.status, 200, "{}", moved.text);
    gate.1.notify_one();
    let answer = slow.await.unwrap();
    assert_eq!(answer.status, 409, "{}", answer.text);
    let now = admin.get(&path).await.body;
    assert_eq!((&now["resource_group"], &now["issuer"]), (&group.body["id"], &f.cluster["issuer"]));
    assert_eq!(f.code(&f.issuer).await, "ok");
}

#[tokio::test]
async fn a_cluster_is_not_put_into_a_group_that_went_while_a_source_was_slow() {
    let f = Fetched::new().await;
    let admin = f.t.admin().await;
    let group = admin.post("/v2/resource_groups", json!({"name": "g", "account_id": f.t.account()})).await;
    let group = text(&group.body, "id").to_owned();
    let other = TestIssuer::new("https://other.test");
    let gate = Arc::new((Notify::new(), Notify::new()));
    f.server.on("/slow", Reply::Held(other.jwks().to_string(), gate.clone()));
    let body = json!({"name": "c2", "cr_type": "IKS_SA", "issuer": other.issuer, "resource_group": group,
        "jwks_url": f.server.url("/slow"), "ca_pem": f.server.ca_pem});
    let client = admin.clone();
    let asked = tokio::spawn(async move { client.post("/avouch/v1/clusters", body).await });
    gate.0.notified().await;
    assert_eq!(admin.delete(&format!("/v2/resource_groups/{group}")).await.status, 204);
    gate.1.notify_one();
    let answer = asked.await.unwrap();
    assert!(
        answer.status == 400 && answer.text.contains("resource_group"),
        "{} {}",
        answer.status,
        answer.text
    );
}

/// The path that API servers review tokens at.
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

/// A cluster whose API server is asked about each token.
async fn reviewed(server: &HttpsServer) -> (World, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (file, ca) = (dir.path().join("reviewer"), dir.path().join("ca.pem"));
    std::fs::write(&file, "reviewer-token\n").unwrap();
    std::fs::write(&ca, &server.ca_pem).unwrap();
    let entry = format!("{}={};{}", server.url(""), file.display(), ca.display());
    let t = TestApp::with(|c| {
        c.fetch.allow = vec!["127.0.0.0/8:*".into()];
        c.fetch.token_files = vec![entry];
    })
    .await;
    let w = World::on(
        t,
        json!({"online_check": "token_review", "api_server_url": server.url(""),
               "reviewer_token_file": file.to_str().unwrap()}),
    )
    .await;
    (w, dir)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_does_not_answer_holds_up_no_other_login() {
    let server = HttpsServer::start().await;
    let (w, _dir) = reviewed(&server).await;
    server.on(REVIEWS, Reply::Hang);
    let w = std::sync::Arc::new(w);
    // As many as the server signs tokens at once.
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let many = (cores * 64).min(200);
    let (token, mut slow) = (w.token(), tokio::task::JoinSet::new());
    for _ in 0..many {
        let (w, token) = (w.clone(), token.clone());
        slow.spawn(async move { w.code(&token).await });
    }
    while server.hits() < many && slow.try_join_next().is_none() {
        tokio::task::yield_now().await;
    }
    let fields = [("grant_type", "urn:ibm:params:oauth:grant-type:apikey"), ("apikey", w.t.api_key())];
    let r = w.t.anon_from([192, 0, 2, 77].into()).form("/identity/token", &fields).await;
    assert_eq!(r.status, 200, "{}", r.body);
    while let Some(ended) = slow.join_next().await {
        assert_eq!(ended.unwrap(), "BXNIM0490E");
    }
}

#[tokio::test]
async fn what_the_api_server_said_when_a_later_time_was_supposed_is_no_answer_then() {
    let server = HttpsServer::start().await;
    let (w, _dir) = reviewed(&server).await;
    let say = |status: Value| {
        server.on(REVIEWS, Reply::Text(201, String::new(), json!({"status": status}).to_string()))
    };
    say(json!({"authenticated": true, "audiences": ["iam"],
        "user": {"username": "system:serviceaccount:team-a:reader"}}));
    let token = w.token();
    let at = w.t.now().plus_secs(600).rfc3339_millis();
    let question = json!({"trust": {"profile_id": text(&w.profile, "id"), "cr_token": token, "at": at}});
    let told = w.admin.post("/avouch/v1/explain", question).await;
    assert_eq!(told.body["decision"], "permitted", "{}", told.text);
    // The pod is deleted, and the supposed time comes.
    say(json!({"authenticated": false}));
    w.t.advance_secs(600);
    assert_eq!(w.code(&token).await, "BXNIM0407E");
}

#[tokio::test]
async fn what_changed_while_the_api_server_was_asked_counts() {
    let server = HttpsServer::start().await;
    for change in ["disabled", "revoked key", "nothing"] {
        let (w, _dir) = reviewed(&server).await;
        let gate = Arc::new((Notify::new(), Notify::new()));
        let good = json!({"status": {"authenticated": true, "audiences": ["iam"],
            "user": {"username": "system:serviceaccount:team-a:reader"}}});
        server.on(REVIEWS, Reply::Held(good.to_string(), gate.clone()));
        let token = w.token();
        let fields = [
            ("grant_type", CR_TOKEN.to_owned()),
            ("cr_token", token),
            ("profile_id", text(&w.profile, "id").to_owned()),
        ];
        let anybody = w.t.anon();
        let asked = tokio::spawn(async move {
            let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (*k, v.as_str())).collect();
            anybody.form("/identity/token", &fields).await
        });
        gate.0.notified().await;
        let done = match change {
            "disabled" => {
                w.admin
                    .with_header("if-match", "*")
                    .patch(&w.path(), json!({"state": "disabled"}))
                    .await
                    .status
            }
            "revoked key" => {
                w.admin.post(&format!("{}/keys/{}/revoke", w.path(), w.issuer.kid), Value::Null).await.status
            }
            _ => 200,
        };
        assert_eq!(done, 200, "{change}");
        gate.1.notify_one();
        let answer = asked.await.unwrap();
        let wanted = if change == "nothing" { "ok" } else { "BXNIM0407E" };
        assert_eq!(code(&answer), wanted, "{change}: {}", answer.text);
    }
}

#[tokio::test]
async fn the_api_server_is_asked_about_each_token() {
    let server = HttpsServer::start().await;
    let (w, _dir) = reviewed(&server).await;
    let say = |status: Value| {
        server.on(REVIEWS, Reply::Text(201, String::new(), json!({"status": status}).to_string()))
    };
    let good = json!({"authenticated": true, "audiences": ["iam"],
        "user": {"username": "system:serviceaccount:team-a:reader"}});
    assert_eq!(w.code(&w.token()).await, "BXNIM0490E", "no answer, no token");
    say(json!({"authenticated": false, "error": "pod is gone"}));
    let token = w.token();
    assert_eq!(w.code(&token).await, "BXNIM0407E");
    say(good);
    assert_eq!(w.code(&token).await, "ok");
    assert!(server.last_request().to_lowercase().contains("authorization: bearer reviewer-token"));
    let before = server.hits();
    assert_eq!(w.code(&token).await, "ok");
    assert_eq!(server.hits(), before, "remembered");
    say(json!({"authenticated": false}));
    w.t.advance_secs(10);
    assert_eq!(w.code(&token).await, "BXNIM0407E", "and forgotten");
}

#[tokio::test]
async fn a_token_of_the_server_is_shown_to_nobody_a_registration_vouches_for() {
    let (server, other) = (HttpsServer::start().await, HttpsServer::start().await);
    let dir = tempfile::tempdir().unwrap();
    let (token, ca) = (dir.path().join("token"), dir.path().join("ca.pem"));
    std::fs::write(&token, "reviewer-token\n").unwrap();
    std::fs::write(&ca, &other.ca_pem).unwrap();
    // One origin with certificates of its own that are not those of this server, one with those of the system.
    for entry in [format!("{};{}", token.display(), ca.display()), token.display().to_string()]
        .map(|files| format!("{}={files}", server.url("")))
    {
        let t = TestApp::with(|c| {
            c.fetch.allow = vec!["127.0.0.0/8:*".into()];
            c.fetch.token_files = vec![entry];
        })
        .await;
        let admin = t.admin().await;
        let issuer = TestIssuer::new("https://issuer.test");
        server.on("/keys", Reply::json(&issuer.jwks()));
        let fetched = json!({"name": "c1", "cr_type": "IKS_SA", "issuer": issuer.issuer,
            "jwks_url": server.url("/keys"), "ca_pem": server.ca_pem, "auth": "bearer_file"});
        let r = admin.post("/avouch/v1/clusters", fetched).await;
        assert_eq!(r.status, 400, "{}", r.body);
        assert!(r.text.contains("not trusted"), "{}", r.body);
        let reviewed = World::on(
            t,
            json!({"online_check": "token_review", "api_server_url": server.url(""), "ca_pem": server.ca_pem}),
        )
        .await;
        assert_eq!(reviewed.code(&reviewed.token()).await, "BXNIM0490E");
    }
    assert_eq!(server.hits(), 0, "no request came that far");
}
