//! Refresh tokens and sessions.

use std::sync::Arc;

use avouch_testkit::{TestApp, TestResponse};
use serde_json::{Value, json};

use super::{APIKEY, ask, bx, code, issued, service_id, settings, text};

async fn login(t: &TestApp, key: &str) -> Value {
    let r = ask(&bx(t), &[("grant_type", APIKEY), ("apikey", key)]).await;
    assert_eq!(r.status, 200, "{}", r.body);
    r.body
}

async fn refresh(t: &TestApp, token: &str, more: &[(&str, &str)]) -> TestResponse {
    let mut fields = vec![("grant_type", "refresh_token"), ("refresh_token", token)];
    fields.extend_from_slice(more);
    ask(&bx(t), &fields).await
}

/// Goes on with a login; the answer.
async fn go_on(t: &TestApp, login: &Value) -> TestResponse {
    refresh(t, text(login, "refresh_token"), &[]).await
}

#[tokio::test]
async fn a_login_of_the_command_line_goes_on_with_new_tokens() {
    let t = TestApp::new().await;
    let first = login(&t, t.api_key()).await;
    let c = super::claims(text(&first, "access_token"));
    assert_eq!((&first["session_id"], &c["client_id"]), (&c["session_id"], &json!("bx")));
    assert_eq!(c["session_exp_max"], json!(t.now().secs() + 86_400));
    t.advance_secs(3000);
    let r = go_on(&t, &first).await;
    let again = issued(&r);
    assert_eq!((&again["iam_id"], &again["session_id"]), (&c["iam_id"], &c["session_id"]));
    assert_eq!(again["grant_type"], "refresh_token");
    assert_ne!(r.body["refresh_token"], first["refresh_token"]);
    assert_eq!(t.events(&[("action", "iam-identity.user-refreshtoken.login")]).await.len(), 1);
    let plain = ask(&t.anon(), &[("grant_type", APIKEY), ("apikey", t.api_key())]).await;
    assert_eq!(plain.body["refresh_token"], "not_supported");
    assert!(plain.body.get("session_id").is_none());
}

#[tokio::test]
async fn a_refresh_token_that_comes_twice_ends_the_session() {
    let t = TestApp::new().await;
    let first = login(&t, t.api_key()).await;
    let second = go_on(&t, &first).await.body;
    let stolen = go_on(&t, &first).await;
    assert_eq!((stolen.status, code(&stolen)), (400, "BXNIM0407E".into()));
    let ended = go_on(&t, &second).await;
    assert_eq!((ended.status, code(&ended)), (401, "BXNIM0439E".into()));
    assert_eq!(t.events(&[("action", "iam-identity.session.revoke")]).await.len(), 1);
}

#[tokio::test]
async fn two_uses_at_the_same_time_give_one_token_at_most() {
    let t = Arc::new(TestApp::new().await);
    let first = login(&t, t.api_key()).await;
    // The writer is busy until all have been admitted, so that they meet in the commit.
    let (go, busy) = std::sync::mpsc::channel::<()>();
    let store = t.app().store.clone();
    let writer = tokio::spawn(async move {
        let wait = move |_: &mut avouch_store::Tx<'_>| Ok::<_, avouch_gate::Error>(busy.recv().is_err());
        store.write(wait).await.unwrap();
    });
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (t, first) = (t.clone(), first.clone());
        running.spawn(async move { go_on(&t, &first).await });
    }
    for _ in 0..500 {
        t.app().store.read(|_| Ok::<_, avouch_gate::Error>(())).await.unwrap();
        tokio::task::yield_now().await;
    }
    drop(go);
    writer.await.unwrap();
    let (mut good, mut last) = (0, None);
    while let Some(answer) = running.join_next().await {
        let answer = answer.unwrap();
        good += usize::from(answer.status == 200);
        if answer.status == 200 {
            last = Some(answer.body);
        } else {
            assert!(["BXNIM0407E", "BXNIM0439E"].contains(&code(&answer).as_str()), "{}", answer.body);
        }
    }
    assert!(good <= 1, "{good}");
    // As if they had come one after the other: the session is over, and the account is told of every refusal.
    if let Some(winner) = last {
        assert_eq!(code(&go_on(&t, &winner).await), "BXNIM0439E");
    }
    let told = async |action, outcome| t.events(&[("action", action), ("outcome", outcome)]).await;
    let revoked = told("iam-identity.session.revoke", "success").await;
    assert_eq!(revoked.len(), 8 - good);
    assert!(revoked.iter().all(|e| e["avouch"]["decision"].get("jti").is_none()), "{revoked:?}");
    let refused = told("iam-identity.user-refreshtoken.login", "failure").await;
    assert_eq!(refused.len(), 8 - good + usize::from(good == 1));
    assert!(refused.iter().all(|e| e["avouch"]["decision"].get("jti").is_none()), "no token was issued");
    let reasons = refused.iter().map(|e| e["avouch"]["decision"]["reason_code"].clone());
    assert_eq!(reasons.filter(|r| *r == json!("refresh_reused")).count(), 8 - good);
}

#[tokio::test]
async fn other_opaque_values_are_no_refresh_tokens() {
    let t = TestApp::new().await;
    let first = login(&t, t.api_key()).await;
    for value in [t.api_key(), text(&first, "access_token"), text(&first, "session_id"), "not_supported", "x"]
    {
        assert_eq!(code(&refresh(&t, value, &[]).await), "BXNIM0407E");
    }
    let as_key = ask(&t.anon(), &[("grant_type", APIKEY), ("apikey", text(&first, "refresh_token"))]).await;
    assert_eq!(code(&as_key), "BXNIM0415E");
}

#[tokio::test]
async fn sessions_and_refresh_tokens_end() {
    let t = TestApp::new().await;
    let user = login(&t, t.api_key()).await;
    let (_, key) = service_id(&t, "ci").await;
    let service = login(&t, &key).await;
    assert!(service.get("session_id").is_none());
    t.advance_secs(80_000);
    let user = go_on(&t, &user).await.body;
    assert_eq!(user["expires_in"], 3600);
    t.advance_secs(4000);
    let user = go_on(&t, &user).await.body;
    assert_eq!(user["expires_in"], 2400, "not beyond the session's end");
    t.advance_secs(2400);
    assert_eq!(code(&go_on(&t, &user).await), "BXNIM0439E");
    let service = go_on(&t, &service).await.body;
    t.advance_secs(259_200);
    assert_eq!(code(&go_on(&t, &service).await), "BXNIM0439E");
    settings(&t, json!({"session_invalidation_in_seconds": "900"})).await;
    let idle = login(&t, t.api_key()).await;
    t.advance_secs(899);
    let idle = go_on(&t, &idle).await.body;
    t.advance_secs(900);
    assert_eq!(code(&go_on(&t, &idle).await), "BXNIM0439E");
}

#[tokio::test]
async fn a_session_dies_with_its_key_and_with_its_owner() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let (made, key) = service_id(&t, "ci").await;
    let first = login(&t, &key).await;
    let path = format!("/v1/apikeys/{}/disable", text(&made["apikey"], "id"));
    assert_eq!(admin.post(&path, Value::Null).await.status, 204);
    assert_eq!(code(&go_on(&t, &first).await), "BXNIM0439E");
    assert_eq!(admin.delete(&path).await.status, 204);
    let again = login(&t, &key).await;
    assert_eq!(admin.delete(&format!("/v1/serviceids/{}", text(&made, "id"))).await.status, 204);
    assert_ne!(code(&go_on(&t, &again).await), "ok");
}

#[tokio::test]
async fn the_oldest_session_makes_room() {
    let t = TestApp::new().await;
    settings(&t, json!({"max_sessions_per_identity": "2"})).await;
    let mut logins = Vec::new();
    for _ in 0..3 {
        logins.push(login(&t, t.api_key()).await);
        t.advance_secs(1);
    }
    let mut codes = Vec::new();
    for l in &logins {
        codes.push(code(&go_on(&t, l).await));
    }
    assert_eq!(codes, ["BXNIM0439E", "ok", "ok"]);
    let list = t.admin().await.get(&format!("/avouch/v1/sessions?iam_id={}", t.owner())).await;
    assert_eq!(list.body["sessions"].as_array().unwrap().len(), 2, "{}", list.body);
}

#[tokio::test]
async fn a_user_goes_on_in_his_own_accounts_only() {
    let t = TestApp::new().await;
    let first = login(&t, t.api_key()).await;
    let outsider = t.outsider().await;
    let other = super::claims(outsider.token())["account"]["bss"].as_str().unwrap().to_owned();
    let r = refresh(&t, text(&first, "refresh_token"), &[("account", &other)]).await;
    assert_eq!(r.status, 400, "{}", r.body);
    let told = outsider.get("/avouch/v1/audit/events?action=iam-identity.user-refreshtoken.login").await;
    assert_eq!(told.body["events"], json!([]), "nobody fills a stranger's trail by naming it");
    assert_eq!(code(&refresh(&t, text(&first, "refresh_token"), &[("account", "x")]).await), "BXNIM0106E");
    let own = refresh(&t, text(&first, "refresh_token"), &[("account", t.account())]).await;
    assert_eq!(own.status, 200, "a refused switch uses nothing up: {}", own.body);
}

#[tokio::test]
async fn the_command_line_keeps_its_session_awake() {
    let t = TestApp::new().await;
    let first = login(&t, t.api_key()).await;
    let path = format!("/v1/sessions/{}/state", text(&first, "session_id"));
    assert_eq!(bx(&t).patch(&path, Value::Null).await.status, 200);
    assert_eq!(code(&t.anon().patch(&path, Value::Null).await), "BXNIM0308E");
    assert_eq!(code(&bx(&t).patch("/v1/sessions/none/state", Value::Null).await), "BXNIM0439E");
    let nul = bx(&t).patch("/v1/sessions/a%00b/state", Value::Null).await;
    assert!((400..500).contains(&nul.status), "{} {}", nul.status, nul.body);
}

async fn keep(t: &TestApp, login: &Value) -> String {
    let path = format!("/v1/sessions/{}/state", text(login, "session_id"));
    code(&bx(t).patch(&path, Value::Null).await)
}

#[tokio::test]
async fn a_session_that_fell_asleep_is_not_woken() {
    let t = TestApp::new().await;
    settings(&t, json!({"session_invalidation_in_seconds": "900"})).await;
    let first = login(&t, t.api_key()).await;
    t.advance_secs(899);
    assert_eq!(keep(&t, &first).await, "ok");
    t.advance_secs(899);
    assert_eq!(keep(&t, &first).await, "ok", "each time it may rest anew");
    t.advance_secs(900);
    assert_eq!(keep(&t, &first).await, "BXNIM0439E");
    assert_eq!(code(&go_on(&t, &first).await), "BXNIM0439E");
}

#[tokio::test]
async fn a_session_whose_key_no_longer_counts_is_not_kept_awake() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let made = admin.post("/v1/apikeys", json!({"name": "mine", "iam_id": t.owner()})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let first = login(&t, text(&made.body, "apikey")).await;
    assert_eq!(keep(&t, &first).await, "ok");
    let disable = format!("/v1/apikeys/{}/disable", text(&made.body, "id"));
    assert_eq!(admin.post(&disable, Value::Null).await.status, 204);
    assert_eq!(keep(&t, &first).await, "BXNIM0439E");
    assert_eq!(admin.delete(&disable).await.status, 204);
    assert_eq!(keep(&t, &first).await, "ok");
    assert_eq!(admin.delete(&format!("/v1/apikeys/{}", text(&made.body, "id"))).await.status, 204);
    assert_eq!(keep(&t, &first).await, "BXNIM0439E");
}

#[tokio::test]
async fn refresh_tokens_are_kept_as_hashes_only() {
    let t = TestApp::new().await;
    let first = login(&t, t.api_key()).await;
    let rows = t.app().store.read(|tx| tx.query("select hash from refresh_tokens", &[])).await.unwrap();
    let stored: Vec<String> = rows.iter().map(|r| r.get::<String>(0).unwrap()).collect();
    assert_eq!(stored.len(), 1);
    assert!(!stored.contains(&text(&first, "refresh_token").to_owned()));
}

#[tokio::test]
async fn a_refresh_may_leave_scopes_out_and_never_adds_any() {
    let t = TestApp::new().await;
    let key = [("grant_type", APIKEY), ("apikey", t.api_key())];
    for (given, asked) in [
        (Some("openid"), "ibm openid"),
        (Some("openid"), "ibm"),
        (Some("openid"), "openid2"),
        (Some("openid"), "OPENID"),
        (None, "ibm openid admin"),
    ] {
        let mut fields = key.to_vec();
        fields.extend(given.map(|scope| ("scope", scope)));
        let login = ask(&bx(&t), &fields).await.body;
        assert_eq!(login["scope"], given.unwrap_or("ibm openid"));
        let before =
            t.events(&[("action", "iam-identity.user-refreshtoken.login"), ("outcome", "failure")]).await;
        let r = refresh(&t, text(&login, "refresh_token"), &[("scope", asked)]).await;
        assert_eq!((r.status, code(&r)), (400, "BXNIM0106E".into()), "{given:?} {asked}");
        assert!(!r.text.contains("admin"), "{}", r.text);
        let after =
            t.events(&[("action", "iam-identity.user-refreshtoken.login"), ("outcome", "failure")]).await;
        assert_eq!(after.len(), before.len() + 1, "told in the trail of the account");
        // The refused request used nothing up.
        let r = go_on(&t, &login).await;
        assert_eq!(r.body["scope"], login["scope"], "{}", r.text);
    }
    let login = ask(&bx(&t), &key).await.body;
    let less = refresh(&t, text(&login, "refresh_token"), &[("scope", "openid")]).await;
    assert_eq!(issued(&less)["scope"], "openid");
    // What was left out once was given all the same.
    let all = refresh(&t, text(&less.body, "refresh_token"), &[("scope", "openid ibm")]).await;
    assert_eq!(issued(&all)["scope"], "openid ibm");
}

#[tokio::test]
async fn a_logout_ends_the_session_of_its_client_and_tells_nothing_of_others() {
    let t = TestApp::new().await;
    let login = ask(&bx(&t), &[("grant_type", APIKEY), ("apikey", t.api_key())]).await.body;
    let refresh = text(&login, "refresh_token");
    let fields = [("refresh_token", refresh)];
    let path = "/avouch/v1/logout";
    assert_eq!(t.anon().form(path, &fields).await.status, 401, "whose client?");
    let other = t.anon().with_header("authorization", "Basic SE9QNTV2MUNDVDpIT1A1NXYxQ0NU");
    for answer in [other.form(path, &fields).await, bx(&t).form(path, &[("refresh_token", "unknown")]).await]
    {
        assert!([204, 400, 401].contains(&answer.status), "{}", answer.text);
    }
    let fields_again = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    let renewed = ask(&bx(&t), &fields_again).await;
    assert_eq!(renewed.status, 200, "{}", renewed.text);
    let refresh = text(&renewed.body, "refresh_token");
    assert_eq!(bx(&t).form(path, &[("refresh_token", refresh)]).await.status, 204);
    let ended = ask(&bx(&t), &[("grant_type", "refresh_token"), ("refresh_token", refresh)]).await;
    assert_eq!(code(&ended), "BXNIM0439E");
    assert_eq!(bx(&t).form(path, &[("refresh_token", refresh)]).await.status, 204, "twice is no harm");
    assert!(!t.events(&[("action", "iam-identity.user.logout")]).await.is_empty());
}
