//! Secrets sent in good and bad requests appear nowhere but in the answer they belong to.

use std::io::Write;
use std::sync::{Arc, Mutex};

use avouch_testkit::TestApp;
use serde_json::json;

use crate::world::{PAYLOAD, World};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn canaries_reach_no_log_event_error_or_metric() {
    let log = Log::default();
    let sink = log.clone();
    let _ = tracing_subscriber::fmt()
        .with_env_filter("trace")
        .with_ansi(false)
        .with_writer(move || sink.clone())
        .try_init();
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let world = World::build(&t, &admin).await;
    let sm = format!("/secrets-manager/{}/api/v2", world.get("instance"));
    let canary = "CANARY-9b1f-do-not-leak-0123456789";
    let mut errors = String::new();
    // Right requests: their answers may hold the value, nothing else may.
    let secret = admin
        .post(
            &format!("{sm}/secrets"),
            json!({"secret_type": "username_password", "name": "login", "username": "app", "password": canary}),
        )
        .await;
    assert_eq!(secret.status, 201);
    let r = admin.post("/v1/apikeys", json!({"name": "own", "iam_id": t.owner(), "apikey": canary})).await;
    assert_eq!(r.status, 201);
    assert_eq!(t.token(canary).await.matches('.').count(), 2);
    // Wrong requests of every shape.
    for (method, path, body) in [
        ("POST", format!("{sm}/secrets"), json!({"secret_type": canary, "name": "x", "payload": canary})),
        (
            "POST",
            format!("{sm}/secrets"),
            json!({"secret_type": "arbitrary", "name": {"x": canary}, "payload": canary}),
        ),
        (
            "POST",
            format!("{sm}/secrets"),
            json!({"secret_type": "arbitrary", "name": "db", "payload": canary}),
        ),
        (
            "POST",
            format!("{sm}/secrets"),
            json!({"secret_type": "arbitrary", "name": "y", "payload": {"deep": canary}}),
        ),
        ("POST", format!("{sm}/secrets"), json!({"secret_type": "kv", "name": "y", "data": [canary]})),
        ("POST", format!("{sm}/secrets"), json!([canary])),
        ("POST", format!("{sm}/secrets/{}/versions", world.get("secret")), json!({"payload": [canary]})),
        ("PATCH", format!("{sm}/secrets/{}/metadata", world.get("secret")), json!({"payload": canary})),
        ("POST", "/v1/apikeys".into(), json!({"name": "again", "iam_id": t.owner(), "apikey": canary})),
        ("POST", "/v1/apikeys".into(), json!({"name": 7, "iam_id": t.owner(), "apikey": canary})),
        ("POST", "/v1/apikeys".into(), json!({"name": "x", "iam_id": t.owner(), "apikey": [canary]})),
        (
            "POST",
            "/avouch/v1/explain".into(),
            json!({"trust": {"profile_id": world.get("profile"), "cr_token": canary}}),
        ),
        (
            "POST",
            "/avouch/v1/clusters".into(),
            json!({"name": "c", "issuer": "https://x", "jwks": {"keys": [{"d": canary}]}}),
        ),
    ] {
        let r = admin.json(method, &path, body).await;
        errors.push_str(&r.text);
    }
    for form in [
        vec![
            ("grant_type", "urn:ibm:params:oauth:grant-type:apikey"),
            ("apikey", "CANARY-9b1f-do-not-leak-0123456789x"),
        ],
        vec![
            ("grant_type", "urn:ibm:params:oauth:grant-type:cr-token"),
            ("cr_token", canary),
            ("profile_name", "p"),
        ],
        vec![
            ("grant_type", "urn:ibm:params:oauth:grant-type:assume"),
            ("access_token", canary),
            ("profile_id", "p"),
        ],
        vec![("grant_type", "refresh_token"), ("refresh_token", canary)],
        vec![("grant_type", "password"), ("username", "u"), ("password", canary)],
        vec![("apikey", canary)],
    ] {
        let r = t.anon().form("/identity/token", &form).await;
        assert_ne!(r.status, 200);
        errors.push_str(&r.text);
    }
    errors.push_str(&t.bearer(canary).get("/v1/profiles").await.text);
    admin.get(&format!("{sm}/secrets/{}", secret.body["id"].as_str().unwrap())).await;
    let events = serde_json::to_string(&t.events(&[]).await).unwrap();
    let operator = admin.get("/avouch/v1/audit/events?trail=operator&limit=1000").await.text;
    let metrics = t.anon().get("/metrics").await.text;
    assert!(metrics.contains("avouch_requests"), "{metrics}");
    let lists =
        admin.get(&format!("{sm}/secrets")).await.text + &admin.get("/v1/apikeys?scope=account").await.text;
    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    for (place, text) in [
        ("errors", &errors),
        ("events", &events),
        ("operator trail", &operator),
        ("metrics", &metrics),
        ("lists", &lists),
        ("log", &logged),
    ] {
        assert!(
            !text.contains("do-not-leak"),
            "{place}: {}",
            &text[text.find("do-not-leak").unwrap().saturating_sub(200)..]
        );
        assert!(!text.contains(PAYLOAD), "{place} holds a payload");
    }
    // Nor in clear on the disk.
    if let Ok(bytes) = std::fs::read(t.data().join("avouch.db")) {
        assert!(!bytes.windows(11).any(|w| w == b"do-not-leak"));
    }
}
