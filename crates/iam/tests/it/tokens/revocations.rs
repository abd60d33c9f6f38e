//! Ending tokens before their time.

use avouch_testkit::TestApp;
use serde_json::json;

use super::{APIKEY, ask, bx, code, service_id, text};

const PATH: &str = "/avouch/v1/revocations";

#[tokio::test]
async fn tokens_end_at_once_and_new_ones_work() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let (made, key) = service_id(&t, "ci").await;
    let old = t.bearer(&t.token(&key).await);
    let session = ask(&bx(&t), &[("grant_type", APIKEY), ("apikey", &key)]).await.body;
    assert_eq!(old.get("/v1/apikeys").await.status, 200);
    let r = admin.post(PATH, json!({"iam_id": made["iam_id"]})).await;
    assert_eq!(r.status, 201, "{}", r.body);
    assert_eq!(old.get("/v1/apikeys").await.status, 401);
    let fields = [("grant_type", "refresh_token"), ("refresh_token", text(&session, "refresh_token"))];
    assert_eq!(code(&ask(&bx(&t), &fields).await), "BXNIM0439E");
    let new = t.bearer(&t.token(&key).await);
    assert_eq!(new.get("/v1/apikeys").await.status, 200, "in the very same second");
    let events = t.events(&[("action", "iam-identity.session.revoke")]).await;
    assert_eq!(events[0]["requestData"]["iam_id"], made["iam_id"]);
}

#[tokio::test]
async fn an_earlier_revocation_never_undoes_a_later_one() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let (made, key) = service_id(&t, "ci").await;
    let token = t.bearer(&t.token(&key).await);
    t.advance_secs(10);
    assert_eq!(admin.post(PATH, json!({"iam_id": made["iam_id"]})).await.status, 201);
    let early = json!({"iam_id": made["iam_id"], "issued_before": "2026-03-02T09:00:00Z"});
    assert_eq!(admin.post(PATH, early).await.status, 201);
    assert_eq!(token.get("/v1/apikeys").await.status, 401);
    for bad in ["2026-03-02T12:00:00Z", "soon", ""] {
        let r = admin.post(PATH, json!({"iam_id": made["iam_id"], "issued_before": bad})).await;
        assert_eq!(r.status, 400, "{bad}");
    }
    assert_eq!(admin.post(PATH, json!({"iam_id": ""})).await.status, 400);
}

#[tokio::test]
async fn users_too_and_only_by_whoever_may() {
    let t = TestApp::new().await;
    let viewer = t.viewer().await;
    let body = json!({"iam_id": t.owner()});
    assert_eq!(viewer.post(PATH, body.clone()).await.status, 403);
    assert_eq!(t.anon().post(PATH, body.clone()).await.status, 401);
    t.outsider().await.post(PATH, body.clone()).await;
    let admin = t.admin().await;
    assert_eq!(admin.get("/v1/apikeys").await.status, 200, "another account's revocation is its own");
    assert_eq!(admin.post(PATH, body).await.status, 201);
    assert_eq!(admin.get("/v1/apikeys").await.status, 401);
    assert_eq!(t.admin().await.get("/v1/apikeys").await.status, 200);
}

#[tokio::test]
async fn a_revocation_ends_tokens_of_a_replica_whose_clock_runs_ahead() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let (made, key) = service_id(&t, "ci").await;
    // As another replica would issue it, 40 seconds ahead of this one.
    t.jump_secs(40);
    let token = t.bearer(&t.token(&key).await);
    t.jump_secs(-40);
    assert_eq!(admin.post(PATH, json!({"iam_id": made["iam_id"]})).await.status, 201);
    assert_eq!(token.get("/v1/apikeys").await.status, 401);
    t.advance_secs(45);
    assert_eq!(token.get("/v1/apikeys").await.status, 401, "also when its time has come");
    let new = t.bearer(&t.token(&key).await);
    assert_eq!(new.get("/v1/apikeys").await.status, 200);
}
