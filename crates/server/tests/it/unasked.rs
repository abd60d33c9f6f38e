//! A long life of an account: whatever stands in the trail afterwards is in the catalogue.

use std::collections::BTreeSet;

use avouch_gate::audit::unasked;
use avouch_server::assemble::services;
use avouch_server::recover::{self, Wanted};
use avouch_testkit::TestApp;
use serde_json::{Value, json};

use crate::trail::{body, call, endpoints};
use crate::world::World;

const DAY: i64 = 86_400;

/// Events that this life does not see, and whose tests do.
const ELSEWHERE: [(&str, &str); 5] = [
    ("avouch.server.start", "a server that only lives in a test does not start"),
    ("avouch.disk.update", "full disks"),
    ("avouch.request.panic", "defects"),
    ("iam-identity.cluster.refresh", "key sources"),
    ("iam-identity.issuer.refresh", "key sources"),
];

/// Whether `action` is what is declared as `pattern`.
fn is(pattern: &str, action: &str) -> bool {
    match pattern.strip_prefix("<service>") {
        Some(rest) => action.strip_suffix(rest).is_some_and(|service| !service.contains('.')),
        None => action == pattern,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_stands_in_the_trail_is_in_the_catalogue() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let world = World::build(&t, &admin).await;
    // What ends or is due by itself.
    let secrets = format!("/secrets-manager/{}/api/v2/secrets", world.get("instance"));
    let end = t.now().plus_secs(DAY);
    let (soon, end) = (end.rfc3339_millis(), end.iam());
    for (path, body) in [
        (
            secrets.clone(),
            json!({"secret_type": "arbitrary", "name": "ends", "payload": "x", "expiration_date": soon}),
        ),
        (
            secrets.clone(),
            json!({"secret_type": "username_password", "name": "turns", "username": "app",
                "rotation": {"auto_rotate": true, "interval": 1, "unit": "day"}}),
        ),
        (
            "/v1/apikeys".into(),
            json!({"name": "ends", "iam_id": world.get("serviceid_iam"), "expires_at": end}),
        ),
        ("/v1/apikeys".into(), json!({"name": "ends", "iam_id": t.owner(), "expires_at": end})),
    ] {
        let r = admin.post(&path, body).await;
        assert_eq!(r.status, 201, "{}", r.text);
    }
    let profile = admin.post("/v1/profiles", json!({"name": "stays", "account_id": t.account()})).await;
    let server = format!("/v1/instances/{}?version=2025-08-26&generation=2", world.get("server"));
    let link = json!({"cr_type": "VSI", "link": {"crn": admin.get(&server).await.body["crn"]}});
    let links = format!("/v1/profiles/{}/links", profile.body["id"].as_str().unwrap());
    assert_eq!(admin.post(&links, link).await.status, 201);
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", world.get("refresh_token"))];
    let bx = t.anon().with_header("authorization", "Basic Yng6Yng=");
    assert_eq!(bx.form("/identity/token", &refresh).await.status, 200);
    assert_eq!(bx.form("/identity/token", &refresh).await.status, 400);
    assert_eq!(t.bearer("e30.e30.e30").get("/v1/profiles").await.status, 401);
    assert_eq!(t.anon().form("/identity/token", &[("grant_type", "x")]).await.status, 400);
    let folder = tempfile::tempdir().unwrap();
    let wanted = Wanted { account: None, policies: true, file: folder.path().join("key") };
    recover::make_key(t.app(), wanted).await.unwrap();
    t.advance_secs(2 * DAY);
    t.tick().await;
    // Every endpoint, as somebody who may do nothing and as somebody who may do all; what is removed comes last.
    let (admin, outsider) = (t.admin().await, t.outsider().await);
    let mut all = endpoints(&t);
    all.sort_by_key(|e| (e.method == "DELETE", e.operation == "delete_resource_instance"));
    for e in all {
        call(&outsider, &world, &e, body(&world, e.operation)).await;
        call(&admin, &world, &e, body(&world, e.operation)).await;
        call(&admin, &world, &e, Value::Null).await;
    }
    for _ in 0..20 {
        t.advance_secs(10 * DAY);
        t.tick().await;
    }
    t.app().audit.settled().await.unwrap();
    let found: BTreeSet<(String, String)> = t
        .app()
        .store
        .read::<_, avouch_gate::Error, _>(|tx| {
            let rows = tx.query("select distinct action, initiator_id from audit_events", &[])?;
            Ok(rows.iter().map(|r| Ok((r.get(0)?, r.get(1)?))).collect::<Result<_, avouch_store::Error>>()?)
        })
        .await
        .unwrap();
    let services = services();
    let mut declared: Vec<&str> =
        services.iter().flat_map(|s| &s.endpoints).flat_map(|e| e.events).copied().collect();
    declared.extend(unasked::ALL.iter().map(unasked::Unasked::action));
    let undeclared: Vec<_> = found.iter().filter(|(a, _)| !declared.iter().any(|d| is(d, a))).collect();
    assert!(undeclared.is_empty(), "{undeclared:?}");
    for e in unasked::ALL {
        let who = format!("avouch-{}", e.by());
        let seen = found.iter().any(|(a, by)| is(e.action(), a) && (e.by() == "request" || *by == who));
        let elsewhere = ELSEWHERE.iter().any(|(action, _)| *action == e.action());
        assert_eq!(seen, !elsewhere, "{}", e.action());
    }
    let found: BTreeSet<_> = found.into_iter().map(|(action, _)| action).collect();
    assert!(found.len() > 100, "{} kinds of events in a long life", found.len());
}
