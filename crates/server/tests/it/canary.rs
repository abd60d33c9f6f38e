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
    // Whatever it is said to be, whole or broken, at every endpoint that takes a body.
    let bodies = [
        format!("{{\"payload\":\"{canary}"),
        format!("{{\"payload\":\"{canary}\",\"payload\":\"{canary}\"}}"),
        format!("{{\"{canary}\":{canary}}}"),
        format!("\"{canary}\""),
        format!("apikey={canary}&apikey={canary}&{canary}=1"),
        format!("--b\r\ncontent-disposition: form-data; name=\"{canary}\"\r\n\r\n{canary}\r\n--b--\r\n"),
        format!("<payload a=\"{canary}\">{canary}</payload>"),
    ];
    let kinds = [
        "application/json",
        "application/json; charset=utf-16",
        "application/merge-patch+json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=b",
        "text/plain",
        "application/xml",
    ];
    let mut refused = 0;
    for e in t.server().router.services().iter().flat_map(|s| s.endpoints.clone()) {
        if !["POST", "PUT", "PATCH"].contains(&e.method.as_str()) {
            continue;
        }
        let path = match e.auth {
            avouch_gate::Auth::Bearer => crate::tenancy::filled(&world, e.path, &str::to_owned),
            avouch_gate::Auth::Anonymous => e.path.replace(['{', '}'], ""),
        };
        for (n, body) in bodies.iter().enumerate() {
            // Each body under each name once, over the endpoints.
            let kind = kinds[(n + refused) % kinds.len()];
            let client = admin.with_header("if-match", "*").with_header("cookie", canary);
            let r = client.send(e.method.as_str(), &path, kind, body.clone().into_bytes()).await;
            errors.push_str(&r.text);
            refused += usize::from(r.status >= 400);
        }
    }
    assert!(refused > 300, "{refused}");
    let basic = t.anon().with_header("authorization", &format!("Basic {canary}"));
    errors.push_str(&basic.form("/identity/token", &[("grant_type", "refresh_token")]).await.text);
    errors.push_str(&basic.get("/v1/profiles").await.text);
    admin.get(&format!("{sm}/secrets/{}", secret.body["id"].as_str().unwrap())).await;
    t.app().audit.settled().await.unwrap();
    let events: Vec<String> = t
        .app()
        .store
        .read::<_, avouch_store::Error, _>(|tx| {
            tx.query("select body from audit_events", &[])?.iter().map(|r| r.get(0)).collect()
        })
        .await
        .unwrap();
    assert!(events.len() > 300, "{} events", events.len());
    let events = events.join("\n");
    let metrics = t.anon().get("/metrics").await.text;
    assert!(metrics.contains("avouch_requests"), "{metrics}");
    let lists =
        admin.get(&format!("{sm}/secrets")).await.text + &admin.get("/v1/apikeys?scope=account").await.text;
    // Not in clear on the disk: not in the database, nor in its log, nor beside them.
    if let Some(folder) = t.app().store.folder() {
        let mut bytes = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let found = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!found.windows(11).any(|w| w == b"do-not-leak"));
            bytes += found.len();
        }
        assert!(bytes > 100_000, "the store is elsewhere: {bytes} bytes");
    }
    // A store that is gone is worth a line in the log.
    t.app().store.close().await;
    for path in ["/v1/apikeys".to_owned(), format!("{sm}/secrets")] {
        let body = json!({"name": "late", "iam_id": t.owner(), "apikey": canary,
            "secret_type": "arbitrary", "payload": canary});
        let r = admin.post(&path, body).await;
        assert_eq!(r.status, 503, "{}", r.text);
        errors.push_str(&r.text);
    }
    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(logged.contains("store unavailable"), "the log was not heard: {logged}");
    for (place, text) in
        [("errors", &errors), ("events", &events), ("metrics", &metrics), ("lists", &lists), ("log", &logged)]
    {
        assert!(
            !text.contains("do-not-leak"),
            "{place}: {}",
            &text[text.find("do-not-leak").unwrap().saturating_sub(200)..]
        );
        assert!(!text.contains(PAYLOAD), "{place} holds a payload");
    }
}
