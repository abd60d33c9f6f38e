//! A right token at the wrong place: every endpoint wants an access token of this server and nothing else, and every grant
//! wants its own credential and nothing else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use avouch_crypto::jws::{Alg, SigningKey, compact, compact_typed};
use avouch_gate::http::endpoint::Endpoint;
use avouch_gate::{Auth, http::endpoint::Service};
use avouch_iam::signing_keys::ActiveKey;
use avouch_iam::token::Tokens;
use avouch_testkit::{Client, TestApp, TestResponse};
use serde_json::{Value, json};

use crate::world::{World, claims};

/// The key that signs at present.
pub async fn signing_key(t: &TestApp) -> Arc<ActiveKey> {
    t.app().state::<Tokens>().unwrap().keys.active(t.now()).await.unwrap()
}

fn endpoints(t: &TestApp) -> Vec<(Arc<Service>, Endpoint)> {
    let services = t.server().router.services();
    services.iter().flat_map(|s| s.endpoints.iter().map(|e| (s.clone(), e.clone()))).collect()
}

/// Names of the members of an answer, at every depth: its shape without its values.
fn shape(value: &Value) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    match value {
        Value::Object(members) => {
            for (name, inner) in members {
                out.insert(name.clone());
                out.extend(shape(inner).into_iter().map(|s| format!("{name}.{s}")));
            }
        }
        Value::Array(items) => out.extend(items.iter().flat_map(shape).map(|s| format!("[].{s}"))),
        _ => {}
    }
    out
}

fn with(base: &Value, changes: Value) -> Value {
    let mut out = base.clone();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => out.as_object_mut().unwrap().remove(name),
            _ => out.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    out
}

/// Tokens that somebody really signed, or credentials that really work elsewhere, none of them an access token of ours.
async fn wrong_tokens(t: &TestApp, admin: &Client, world: &World) -> Vec<(String, String)> {
    let now = t.now().secs();
    let key = signing_key(t).await;
    let right = claims(admin.token());
    let ours = |changes: Value| compact(&key.key, &key.kid, &with(&right, changes));
    // What is changed below is what is refused.
    assert_eq!(t.bearer(&ours(json!({}))).get("/v1/apikeys").await.status, 200);
    let mut out = vec![("workload token".to_owned(), world.issuer.token("ns", "sa", "pod", now))];
    let mut workload = world.issuer.claims("ns", "sa", "pod", now);
    workload["aud"] = json!([t.app().config.origin(), "iam"]);
    out.push(("workload token for this server".into(), world.issuer.sign(&workload)));
    out.push(("our claims by the cluster's key".into(), world.issuer.sign(&right)));
    for (what, changes) in [
        ("other issuer", json!({"iss": "https://iam.example.test/identity"})),
        ("issuer with a slash", json!({"iss": format!("{}/", t.app().config.issuer())})),
        ("issuer in capitals", json!({"iss": t.app().config.issuer().to_uppercase()})),
        ("issuer prefix", json!({"iss": t.app().config.origin()})),
        ("no issuer", json!({"iss": null})),
        ("list of issuers", json!({"iss": [t.app().config.issuer()]})),
        ("audience of another", json!({"aud": "https://vault.example.test"})),
        ("audiences of others", json!({"aud": ["vpc", "iam"]})),
        ("expired", json!({"exp": now})),
        ("no end", json!({"exp": null})),
        ("end as text", json!({"exp": (now + 60).to_string()})),
        ("from the future", json!({"iat": now + 3600})),
        ("not yet valid", json!({"nbf": now + 3600})),
        ("account that is not valid", json!({"account": {"valid": false, "bss": t.account()}})),
        ("no account", json!({"account": null})),
        ("id that differs from iam_id", json!({"id": "IBMid-SOMEBODY"})),
        ("no subject", json!({"iam_id": null, "id": null})),
    ] {
        out.push((what.to_owned(), ours(changes)));
    }
    out.push(("other type".into(), compact_typed(&key.key, &key.kid, "at-exchange+jwt", &right)));
    let stranger = SigningKey::generate(Alg::ES256).unwrap();
    out.push(("ES256 under our key id".into(), compact(&stranger, &key.kid, &right)));
    out.push(("a key of nobody".into(), compact(&stranger, "202603021000-ffffff", &right)));
    let encode = avouch_crypto::base64url::encode;
    let signed = admin.token().rsplit_once('.').unwrap();
    let payload = signed.0.split_once('.').unwrap().1;
    for alg in ["none", "None", "HS256", "RS384", "PS256", "ES256", "rs256", "RS256 "] {
        let header = encode(json!({"alg": alg, "typ": "JWT", "kid": key.kid}).to_string());
        out.push((format!("header {alg}"), format!("{header}.{payload}.{}", signed.1)));
        out.push((format!("header {alg}, no signature"), format!("{header}.{payload}.")));
    }
    out.push(("refresh token".into(), world.get("refresh_token").into()));
    out.push(("API key".into(), t.api_key().into()));
    out.push(("session id".into(), right["session_id"].as_str().unwrap_or("session").into()));
    out
}

fn refused(r: &TestResponse, what: &str, e: &Endpoint, shapes: &BTreeSet<String>) {
    assert_eq!(r.status, 401, "{what}: {} {}: {}", e.method, e.path, r.text);
    assert!(shape(&r.body).is_superset(shapes), "{what}: {} {}: {}", e.method, e.path, r.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_refuses_right_tokens_of_the_wrong_kind_in_the_shape_of_its_service() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let world = World::build(&t, &admin).await;
    let wrong = wrong_tokens(&t, &admin, &world).await;
    let mut asked = 0;
    for (service, e) in endpoints(&t) {
        if e.auth != Auth::Bearer {
            continue;
        }
        let path = format!("{}{}", world.path(e.path), world.query(e.path));
        let body =
            if e.method == "GET" || e.method == "HEAD" { Value::Null } else { world.body(e.operation) };
        let none = t.anon().json(e.method.as_str(), &path, body.clone()).await;
        let shapes: BTreeSet<String> =
            shape(&none.body).into_iter().filter(|s| !s.contains("detail")).collect();
        assert!(e.method == "HEAD" || shapes.len() > 2, "{}: {}", service.name, none.text);
        for (what, token) in &wrong {
            let client = t.bearer(token).with_header("if-match", "*");
            let r = client.json(e.method.as_str(), &path, body.clone()).await;
            refused(&r, what, &e, &shapes);
            asked += 1;
        }
        let basic = t.anon().with_header("authorization", &format!("Basic {}", admin.token()));
        refused(&basic.json(e.method.as_str(), &path, body).await, "Basic", &e, &BTreeSet::new());
    }
    assert!(asked > 3000, "{asked}");
    // Nothing was done on the way.
    assert_eq!(admin.get(&format!("/v1/profiles/{}", world.get("profile"))).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_is_worth_nothing_after_its_end_or_its_keys_end() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let old = signing_key(&t).await;
    let token = t.token(t.api_key()).await;
    assert_eq!(t.bearer(&token).get("/v1/apikeys").await.status, 200);
    t.advance_secs(3600);
    assert_eq!(t.bearer(&token).get("/v1/apikeys").await.status, 401, "in the cache, and ended");
    let fresh = claims(admin.token());
    t.advance_secs(29 * 86_400);
    t.tick().await;
    t.advance_secs(86_400 + 2 * 3600);
    // Its successor signs, and the last tokens that it signed have ended: a stolen old key makes no more tokens.
    let now = t.now().secs();
    let forged = compact(&old.key, &old.kid, &with(&fresh, json!({"iat": now, "exp": now + 3600})));
    assert_ne!(signing_key(&t).await.kid, old.kid);
    assert_eq!(t.bearer(&forged).get("/v1/apikeys").await.status, 401);
    let form = [("grant_type", ASSUME), ("access_token", &forged), ("profile_id", "p")];
    assert_ne!(t.anon().form("/identity/token", &form).await.status, 200);
}

const APIKEY: &str = "urn:ibm:params:oauth:grant-type:apikey";
const ASSUME: &str = "urn:ibm:params:oauth:grant-type:assume";
const CR_TOKEN: &str = "urn:ibm:params:oauth:grant-type:cr-token";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_of_one_kind_is_never_taken_for_another() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let world = World::build(&t, &admin).await;
    let profile = world.get("profile");
    let service_id = t.bearer(&t.token(world.get("apikey_value")).await);
    let workload = world.issuer.token("ns", "sa", "pod", t.now().secs());
    let grants: [(&str, Vec<(&str, &str)>); 5] = [
        ("apikey", vec![("grant_type", APIKEY)]),
        ("cr_token", vec![("grant_type", CR_TOKEN), ("profile_id", profile)]),
        ("access_token", vec![("grant_type", ASSUME), ("profile_id", profile)]),
        (
            "subject_token",
            vec![("grant_type", EXCHANGE), ("subject_token_type", JWT), ("profile_id", profile)],
        ),
        ("refresh_token", vec![("grant_type", "refresh_token")]),
    ];
    let events = t.events(&[]).await;
    let items = [
        ("apikey", world.get("apikey_value").to_owned()),
        ("access_token", service_id.token().to_owned()),
        ("cr_token", workload.clone()),
        ("refresh_token", world.get("refresh_token").to_owned()),
        ("id of the key", world.get("apikey").to_owned()),
        ("id of the identity", world.get("serviceid_iam").to_owned()),
        ("id of the profile", profile.to_owned()),
        ("id of an event", events[0]["id"].as_str().unwrap().to_owned()),
        ("jti", claims(service_id.token())["jti"].as_str().unwrap().to_owned()),
        ("hash of the key", hex(world.get("apikey_value").as_bytes())),
        (
            "hash of the refresh token",
            hex(format!("refresh-token:{}", world.get("refresh_token")).as_bytes()),
        ),
        ("bearer and token", format!("Bearer {}", service_id.token())),
        ("the profile's token", profile_token(&t, profile, &workload).await),
    ];
    let bx = t.anon().with_header("authorization", "Basic Yng6Yng=");
    // Each from its own address: refusals of one are not counted against the next.
    let mut at = 0_u8;
    for (field, form) in &grants {
        for (kind, item) in &items {
            let fits = field == kind || (*field == "subject_token" && *kind == "cr_token");
            if fits {
                continue;
            }
            at += 1;
            let mut fields = form.clone();
            fields.push((field, item));
            let r = bx.clone().from([10, 0, 0, at].into()).form("/identity/token", &fields).await;
            assert!((400..=401).contains(&r.status), "{kind} as {field}: {} {}", r.status, r.text);
            assert!(r.body.get("access_token").is_none() && !r.text.contains(item.as_str()), "{}", r.text);
        }
    }
    // The same forms work with what belongs into them, the refresh token last: it was not used up by the above.
    for (field, mut form) in grants.into_iter() {
        let fits = if field == "subject_token" { "cr_token" } else { field };
        let item = &items.iter().find(|(kind, _)| *kind == fits).unwrap().1;
        form.push((field, item));
        let r = bx.form("/identity/token", &form).await;
        assert_eq!(r.status, 200, "{field}: {}", r.text);
    }
}

fn hex(bytes: &[u8]) -> String {
    avouch_crypto::digest::hex(&avouch_crypto::digest::sha256(bytes))
}

async fn profile_token(t: &TestApp, profile: &str, workload: &str) -> String {
    let fields = [("grant_type", CR_TOKEN), ("profile_id", profile), ("cr_token", workload)];
    let r = t.anon().form("/identity/token", &fields).await;
    assert_eq!(r.status, 200, "{}", r.text);
    r.body["access_token"].as_str().unwrap().to_owned()
}

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// Access tokens are verified in one file, evidence of workloads in one folder, and nobody else touches a signature.
#[test]
fn tokens_are_verified_in_one_place_for_each_kind() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(&crates).unwrap() {
        let source = entry.unwrap().path().join("src");
        if !source.is_dir() {
            continue;
        }
        let mut files = Vec::new();
        sources(&source, &mut files);
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            let touches =
                ["UnverifiedToken", "verify_signature", "verify_any", "verify_which", "jsonwebtoken"]
                    .iter()
                    .any(|word| text.contains(word));
            if touches {
                let name = file.strip_prefix(&crates).unwrap().to_string_lossy().into_owned();
                found.insert(name);
            }
        }
    }
    let crypto: Vec<&String> = found.iter().filter(|f| f.starts_with("crypto/")).collect();
    assert!(!crypto.is_empty());
    let others: Vec<&String> = found.iter().filter(|f| !f.starts_with("crypto/")).collect();
    let three = ["gate/src/authn/mod.rs", "kubernetes/src/evidence/mod.rs", "vpc/src/metadata/identity.rs"];
    assert_eq!(others, three);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_refused_at_the_door_is_refused_by_its_body() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let profile = admin.post("/v1/profiles", json!({"name": "p", "account_id": t.account()})).await;
    let path = format!("/v1/profiles/{}", profile.body["id"].as_str().unwrap());
    let (right, key, now) = (claims(admin.token()), signing_key(&t).await, t.now().secs());
    let told = async |body: &str| {
        let question = json!([{"subject": {"accessTokenBody": body}, "action": "iam-identity.profile.get",
            "resource": {"crn": profile.body["crn"]}}]);
        let r = admin.post("/v2/authz", question).await;
        r.body["responses"][0]["authorizationDecision"]["permitted"].as_bool().unwrap()
    };
    let both = async |changes: Value| {
        let token = compact(&key.key, &key.kid, &with(&right, changes));
        let real = t.bearer(&token).get(&path).await.status;
        (real, told(token.split('.').nth(1).unwrap()).await)
    };
    for changes in [json!({}), json!({"nbf": now}), json!({"nbf": now + 30}), json!({"iat": now - 60})] {
        assert_eq!(both(changes.clone()).await, (200, true), "{changes}");
    }
    for changes in [
        json!({"exp": now}),
        json!({"exp": null}),
        json!({"exp": (now + 60).to_string()}),
        json!({"exp": 1e30}),
        json!({"nbf": now + 31}),
        json!({"nbf": "tomorrow"}),
        json!({"iat": now + 31}),
        json!({"iat": now.to_string()}),
        json!({"iss": null}),
        json!({"iss": "https://iam.example.test/identity"}),
        json!({"iss": [t.app().config.issuer()]}),
        json!({"aud": "iam"}),
        json!({"id": null}),
        json!({"id": "IBMid-SOMEBODY"}),
        json!({"account": null}),
        json!({"account": {"valid": true}}),
        json!({"account": {"bss": t.account()}}),
        json!({"account": {"valid": false, "bss": t.account()}}),
    ] {
        assert_eq!(both(changes.clone()).await, (401, false), "{changes}");
    }
    // One that does not say when it was issued was issued before whatever was revoked.
    assert_eq!(both(json!({"iat": null})).await, (401, true));
    let body = json!({"iam_id": right["iam_id"], "issued_before": "2020-01-01T00:00:00Z"});
    assert_eq!(admin.post("/avouch/v1/revocations", body).await.status, 201);
    assert_eq!(both(json!({"iat": null})).await, (401, false));
    assert_eq!(both(json!({})).await, (200, true));
}
