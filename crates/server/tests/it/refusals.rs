//! No refusal without its event, whatever its status, and no store error that takes other people's events with it.

use avouch_gate::audit::Initiator;
use avouch_gate::audit::writer::Rider;
use avouch_gate::ctx::background_event;
use avouch_gate::{Details, Permit, Target};
use avouch_policy::access::ResourceAttrs;
use avouch_testkit::TestApp;
use avouch_wire::ids::AccountId;

#[tokio::test]
async fn a_token_of_a_deleted_identity_leaves_its_refusal_in_the_trail() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let (client, id) = t.service_id("gone").await;
    let path = format!("/v1/serviceids/{id}");
    let iam_id = admin.get(&path).await.body["iam_id"].as_str().unwrap().to_owned();
    assert_eq!(admin.delete(&path).await.status, 204);
    let one = admin.post("/v1/profiles", serde_json::json!({"name": "p", "account_id": t.account()})).await;
    let profile = format!("/v1/profiles/{}", one.body["id"].as_str().unwrap());
    for (method, path) in
        [("GET", profile.as_str()), ("GET", "/v2/policies?account_id=x"), ("DELETE", &profile)]
    {
        let mark = format!("dead-{}-{}", method.to_lowercase(), path.len());
        let dead = client.with_header("transaction-id", &mark);
        let r = if method == "GET" { dead.get(path).await } else { dead.delete(path).await };
        assert_eq!(r.status, 401, "{method} {path}: {}", r.text);
        let events = t.events(&[("correlation_id", &mark)]).await;
        assert_eq!(events.len(), 1, "{method} {path}");
        assert_eq!(events[0]["initiator"]["id"], iam_id.as_str());
        assert_eq!(
            (&events[0]["reason"]["reasonCode"], &events[0]["severity"]),
            (&401.into(), &"critical".into())
        );
    }
    // What says nothing of anybody is in nobody's trail.
    let r = t.bearer("x.y.z").with_header("transaction-id", "garbage").get(&profile).await;
    assert_eq!((r.status, t.events(&[("correlation_id", "garbage")]).await.len()), (401, 0));
}

#[tokio::test]
async fn a_refusal_that_looks_like_nothing_is_told_to_who_was_refused_like_nothing() {
    let t = TestApp::new().await;
    let outsider = t.outsider().await;
    let admin = t.admin().await;
    let role = "crn:v1:bluemix:public:iam::::role:Viewer";
    let equal =
        |key: &str, value: &str| serde_json::json!({"key": key, "operator": "stringEquals", "value": value});
    let kms = serde_json::json!([equal("accountId", t.account()), equal("serviceName", "kms")]);
    let theirs = t.grant(&admin, "IBMid-1", role, kms).await;
    let mut told = Vec::new();
    for (mark, id) in [("hidden", theirs.as_str()), ("never", "6e1f7ea6-0000-4000-8000-00000000dead")] {
        let r = outsider.with_header("transaction-id", mark).get(&format!("/v2/policies/{id}")).await;
        assert_eq!(r.status, 404, "{}", r.text);
        let trail = outsider.get(&format!("/avouch/v1/audit/events?correlation_id={mark}")).await;
        let mut event = trail.body["events"][0].clone();
        for unlike in ["id", "eventTime", "correlationId"] {
            event.as_object_mut().unwrap().remove(unlike);
        }
        let text = event.to_string().replace(id, "ID");
        assert!(text.contains("iam-am.access.deny"), "{}", trail.body);
        told.push(text);
        assert!(t.events(&[("correlation_id", mark)]).await.is_empty(), "the owner learns of guesses");
    }
    assert_eq!(told[0], told[1]);
}

#[tokio::test]
async fn an_event_that_cannot_be_written_takes_no_other_with_it_and_nobody_waits_for_nothing() {
    let t = TestApp::new().await;
    let app = t.app().clone();
    let account = AccountId::parse(t.account()).unwrap();
    let event = |name: &str| {
        let attrs = ResourceAttrs::service(&account, "iam-identity");
        let target = Target::global("iam-identity", &account, attrs, name).named(name);
        let permit = Permit::admitted("iam-identity.test.read", target, Initiator::default());
        background_event(&app, t.now(), "Test", &permit, Details::default())
    };
    let damaged = || Rider::new("damaged".into(), |_, _| Err(avouch_gate::Error::internal("damaged")));
    // All of them wait in the queue before the writer, which is a task of this one thread, sees the first.
    let (good, bad, more) = tokio::join!(
        app.audit.durable(event("good"), Vec::new()),
        app.audit.durable(event("bad"), vec![damaged()]),
        app.audit.durable(event("more"), Vec::new()),
    );
    assert!(good.is_ok() && bad.is_err() && more.is_ok());
    // Who went away before it was his turn was answered without it.
    {
        let mut abandoned = std::pin::pin!(app.audit.durable(event("abandoned"), Vec::new()));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(std::future::Future::poll(abandoned.as_mut(), &mut context).is_pending());
    }
    app.audit.flush().await.unwrap();
    let names: Vec<String> = t
        .events(&[("action", "iam-identity.test.read")])
        .await
        .iter()
        .map(|e| e["target"]["name"].as_str().unwrap().to_owned())
        .collect();
    assert!(names.contains(&"good".to_owned()) && names.contains(&"more".to_owned()), "{names:?}");
    assert_eq!(names.len(), 2, "{names:?}");
}

#[tokio::test]
async fn tokens_that_prove_nobody_are_told_to_the_operator_ten_singly_and_the_rest_counted() {
    let t = TestApp::new().await;
    let other = TestApp::new().await;
    let foreign = other.admin().await.token().to_owned();
    let old = t.token(t.api_key()).await;
    t.advance_secs(3600);
    let admin = t.admin().await;
    let operator = async || -> Vec<serde_json::Value> {
        let path = "/avouch/v1/audit/events?trail=operator&action=iam-am.access.deny&limit=200";
        let r = admin.get(path).await;
        assert_eq!(r.status, 200, "{}", r.text);
        r.body["events"].as_array().unwrap().clone()
    };
    assert!(operator().await.is_empty());
    let garbage = "CANARY-garbage-7c1e";
    let mut tried = 0;
    for (reason, token) in
        [("bad_token", garbage), ("expired", old.as_str()), ("no_token", ""), ("bad_token", foreign.as_str())]
    {
        let address = if token == foreign { [192, 0, 2, 7] } else { [192, 0, 2, 9] };
        let client = if token.is_empty() { t.anon() } else { t.bearer(token) }.from(address.into());
        for n in 0..25 {
            let mark = format!("{reason}-{}-{n}", address[3]);
            let r = match n % 3 {
                0 => client.with_header("transaction-id", &mark).get("/v1/profiles?account_id=x").await,
                1 => client.with_header("transaction-id", &mark).delete("/v1/apikeys/x").await,
                _ => client.with_header("transaction-id", &mark).get("/v2/groups?account_id=x").await,
            };
            assert_eq!(r.status, 401, "{}", r.text);
        }
        tried += 1;
        let told = operator().await;
        let shown = address.map(|part| part.to_string()).join(".");
        let of = |e: &&serde_json::Value| {
            e["avouch"]["decision"]["reason"] == reason && e["initiator"]["host"]["address"] == shown.as_str()
        };
        assert_eq!(told.iter().filter(of).count(), 10, "{reason}");
        assert_eq!(told.len(), tried * 10);
        let first = told.iter().find(|e| e["correlationId"] == format!("{reason}-{}-0", address[3])).unwrap();
        assert_eq!(first["requestData"]["operation"], "list_profiles");
        assert_eq!((&first["reason"]["reasonCode"], &first["outcome"]), (&401.into(), &"failure".into()));
        assert_eq!((&first["severity"], &first["initiator"]["id"]), (&"critical".into(), &"".into()));
    }
    t.tick().await;
    assert_eq!(operator().await.len(), 40, "the minute is not over");
    t.advance_secs(61);
    t.tick().await;
    t.tick().await;
    let told = operator().await;
    let counted: Vec<_> = told
        .iter()
        .filter(|e| e["avouch"]["decision"]["count"] == 15 && e["reason"]["reasonCode"] == 401)
        .collect();
    assert_eq!((told.len(), counted.len()), (44, 4));
    // A new minute begins.
    assert_eq!(t.bearer(garbage).from([192, 0, 2, 9].into()).get("/v1/apikeys").await.status, 401);
    assert_eq!(operator().await.len(), 45);
    // Nobody else is told, and no token is.
    assert!(t.events(&[("action", "iam-am.access.deny")]).await.is_empty());
    let everything = admin.get("/avouch/v1/audit/events?trail=operator&limit=1000").await.text
        + &serde_json::to_string(&t.events(&[]).await).unwrap()
        + &t.anon().get("/metrics").await.text;
    for token in [garbage, &old, &foreign] {
        assert!(!everything.contains(token) && !everything.contains(token.split('.').next_back().unwrap()));
    }
}
