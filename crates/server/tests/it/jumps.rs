//! Clocks that are set forward or back while the server runs: no token lives longer than it was given, nothing that lasts
//! is lost, and the background jobs go on.

use avouch_testkit::{Client, TestApp};
use serde_json::{Value, json};

use crate::world::{World, claims};

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

fn bx(t: &TestApp) -> Client {
    t.anon().with_header("authorization", "Basic Yng6Yng=")
}

async fn status(t: &TestApp, token: &str) -> u16 {
    t.bearer(token).get("/v1/apikeys").await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_lives_for_its_time_and_no_longer_wherever_the_clock_is_set() {
    for jumps in [
        vec![-HOUR],
        vec![-DAY],
        vec![-HOUR, -HOUR, -DAY],
        vec![-DAY, HOUR, -HOUR, HOUR],
        vec![20, -20, 20],
        vec![-10, -10, -10, -10],
    ] {
        let t = TestApp::new().await;
        let token = t.token(t.api_key()).await;
        let life = claims(&token)["exp"].as_i64().unwrap() - claims(&token)["iat"].as_i64().unwrap();
        assert_eq!(life, HOUR);
        assert_eq!(status(&t, &token).await, 200);
        let mut left = life;
        for jump in &jumps {
            t.advance_secs(600);
            left -= 600;
            t.jump_secs(*jump);
            t.tick().await;
            let forward: i64 = t.now().secs() - claims(&token)["exp"].as_i64().unwrap();
            let wanted = if forward >= 0 || left <= 0 { 401 } else { 200 };
            assert_eq!(status(&t, &token).await, wanted, "{jumps:?} {jump}");
        }
        t.advance_secs(left - 30);
        assert_eq!(status(&t, &token).await, 200, "{jumps:?}: no time is taken from it");
        t.advance_secs(30);
        for jump in [0, -10, -HOUR, -DAY, -1] {
            t.jump_secs(jump);
            assert_eq!(status(&t, &token).await, 401, "{jumps:?} and {jump}: its time is over");
            let fields = [
                ("grant_type", "urn:ibm:params:oauth:grant-type:assume"),
                ("access_token", &*token),
                ("profile_id", "Profile-6e1f7ea6-0000-4000-8000-000000000001"),
            ];
            assert_eq!(t.anon().form("/identity/token", &fields).await.body["errorCode"], "BXNIM0408E");
        }
        assert_eq!(status(&t, &t.token(t.api_key()).await).await, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_clock_that_ran_ahead_counts_no_longer_than_an_hour() {
    let t = TestApp::new().await;
    t.jump_secs(DAY);
    let (known, unknown) = (t.token(t.api_key()).await, t.token(t.api_key()).await);
    assert_eq!(status(&t, &known).await, 200);
    t.jump_secs(-DAY);
    t.tick().await;
    assert_eq!(status(&t, &known).await, 200, "it was verified a moment ago");
    assert_eq!(status(&t, &unknown).await, 401, "it is of tomorrow");
    t.advance_secs(HOUR);
    assert_eq!(status(&t, &known).await, 401);
    // Tomorrow it is verified for the first time, and it still ends when it says.
    t.advance_secs(DAY - HOUR);
    assert_eq!(status(&t, &known).await, 401);
    assert_eq!(status(&t, &unknown).await, 200);
    t.advance_secs(HOUR);
    assert_eq!(status(&t, &unknown).await, 401);
}

/// Each job by itself, so that one that fails or panics is seen.
async fn jobs(t: &TestApp) {
    let app = t.app();
    avouch_iam::signing_keys::tick(app).await.unwrap();
    avouch_iam::token::tick(app).await.unwrap();
    avouch_kubernetes::tick(app).await.unwrap();
    avouch_secrets::tick(app).await.unwrap();
    avouch_platform::tick(app).await.unwrap();
    avouch_iam::api_keys::purge::tick(app).await.unwrap();
    avouch_gate::access::tick(app).await.unwrap();
    avouch_iam::access_source::tick(app).await.unwrap();
    avouch_iam::policies::permits::flush(app).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_lasts_is_lost_when_the_clock_jumps_by_a_day() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let world = World::build(&t, &admin).await;
    let sm = format!("/secrets-manager/{}/api/v2", world.get("instance"));
    let month = |days: i64| t.now().plus_secs(days * DAY).rfc3339_secs();
    let secret = admin
        .post(
            &format!("{sm}/secrets"),
            json!({"secret_type": "arbitrary", "name": "lasting", "payload": "p", "expiration_date": month(30)}),
        )
        .await;
    assert_eq!(secret.status, 201, "{}", secret.text);
    let key = json!({"name": "lasting", "iam_id": world.get("serviceid_iam"), "expires_at": "2026-04-01T10:00+0000"});
    let key = admin.post("/v1/apikeys", key).await;
    let key = key.body["apikey"].as_str().unwrap().to_owned();
    let mut refresh = world.get("refresh_token").to_owned();
    for jump in [HOUR, -HOUR, DAY, -DAY, -HOUR, HOUR, -DAY, DAY] {
        t.jump_secs(jump);
        jobs(&t).await;
        jobs(&t).await;
        let fields = [("grant_type", "refresh_token"), ("refresh_token", &*refresh)];
        let again = bx(&t).form("/identity/token", &fields).await;
        assert_eq!(again.status, 200, "{jump}: {}", again.text);
        refresh = again.body["refresh_token"].as_str().unwrap().to_owned();
        let token = t.token(&key).await;
        let c = claims(&token);
        assert_eq!(c["exp"].as_i64().unwrap() - t.now().secs(), HOUR, "{jump}");
        assert_eq!(status(&t, &token).await, 200);
        let keys = t.anon().get("/identity/keys").await.body;
        let kid = avouch_crypto::base64url::decode(token.split('.').next().unwrap()).unwrap();
        let kid: Value = serde_json::from_slice(&kid).unwrap();
        assert!(keys["keys"].as_array().unwrap().iter().any(|k| k["kid"] == kid["kid"]), "{jump}");
        let pod = world.issuer.token("ns", "sa", "pod", t.now().secs());
        let fields = [
            ("grant_type", "urn:ibm:params:oauth:grant-type:cr-token"),
            ("cr_token", &*pod),
            ("profile_id", world.get("profile")),
        ];
        assert_eq!(t.anon().form("/identity/token", &fields).await.status, 200, "{jump}");
        let admin = t.admin().await;
        let id = secret.body["id"].as_str().unwrap();
        assert_eq!(admin.get(&format!("{sm}/secrets/{id}")).await.body["payload"], "p", "{jump}");
        let waiting = admin.get("/v1/reclamations").await.body;
        assert_eq!(waiting["resources"][0]["state"], "SCHEDULED", "{jump}: {waiting}");
        assert_eq!(admin.get(&format!("/v2/policies/{}", world.get("policy"))).await.status, 200);
    }
    // What ends, ends by the clock as it stands then.
    t.advance_secs(31 * DAY);
    jobs(&t).await;
    let admin = t.admin().await;
    let id = secret.body["id"].as_str().unwrap();
    assert_eq!(admin.get(&format!("{sm}/secrets/{id}/metadata")).await.body["state"], 5);
    let fields = [("grant_type", "urn:ibm:params:oauth:grant-type:apikey"), ("apikey", &*key)];
    assert_eq!(t.anon().form("/identity/token", &fields).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_of_a_minute_do_not_last_until_a_clock_that_was_set_back_is_there_again() {
    let t = TestApp::with(|c| c.limits.failed_exchanges_per_minute = 12).await;
    let fields = [("grant_type", "urn:ibm:params:oauth:grant-type:apikey"), ("apikey", "garbage")];
    for jump in [0, -HOUR, HOUR, -DAY, DAY] {
        t.jump_secs(jump);
        for n in 0..12 {
            assert_eq!(t.anon().form("/identity/token", &fields).await.status, 400, "{jump} {n}");
        }
        assert_eq!(t.anon().form("/identity/token", &fields).await.status, 429, "{jump}");
    }
    t.jump_secs(-HOUR);
    jobs(&t).await;
    let admin = t.admin().await;
    let path = "/avouch/v1/audit/events?trail=operator&action=iam-identity.user-apikey.login&limit=200";
    let told = admin.get(path).await.body;
    let told = told["events"].as_array().unwrap();
    let counts = told.iter().filter_map(|e| e["avouch"]["decision"]["count"].as_i64());
    assert_eq!((told.len(), counts.sum::<i64>()), (5 * 10 + 5, 5 * 2));
}
