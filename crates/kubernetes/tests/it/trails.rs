//! Where refused exchanges are told.

use avouch_gate::audit::OPERATOR_ACCOUNT;
use avouch_gate::audit::sql::{self, Filter};
use avouch_testkit::TestIssuer;
use serde_json::{Value, json};

use crate::world::{CR_TOKEN, ISSUER, World, text};

const LOGIN: &str = "iam-identity.computeresource-token.login";

async fn failures(w: &World) -> Vec<Value> {
    let all = w.t.events(&[("action", LOGIN)]).await;
    all.into_iter().filter(|e| e["outcome"] == "failure").collect()
}

async fn operator_trail(w: &World) -> Vec<Value> {
    w.t.app().audit.flush().await.unwrap();
    let rows =
        w.t.app()
            .store
            .read(|tx| sql::list(tx, OPERATOR_ACCOUNT, &Filter::default(), None, 1000))
            .await
            .unwrap();
    let bodies = rows.iter().map(|r| serde_json::from_str::<Value>(&r.body).unwrap());
    bodies.filter(|e| e["action"] == LOGIN).collect()
}

#[tokio::test]
async fn verified_evidence_that_is_refused_is_told_in_its_account() {
    let w = World::new().await;
    w.exchange(&w.issuer.token("team-a", "writer", "writer-0", w.now())).await;
    w.exchange(&w.forged(|c| c["aud"] = json!("vault"))).await;
    let events = failures(&w).await;
    assert_eq!(events.len(), 2);
    let of = |stage: &str| events.iter().find(|e| e["avouch"]["decision"]["stage"] == stage).unwrap();
    let (audience, trust) = (of("evidence"), of("trust"));
    let crn = format!("crn-{}", text(&w.cluster, "crn"));
    assert_eq!(
        (&trust["initiator"]["id"], &trust["initiator"]["name"]),
        (&json!(crn), &json!("c1:team-a:writer:writer-0"))
    );
    assert_eq!(trust["reason"]["reasonForFailure"], "Selected trusted profile not eligible.");
    assert_eq!(trust["target"]["id"], w.profile["crn"]);
    let d = &trust["avouch"]["decision"];
    assert_eq!(
        (&d["stage"], &d["permitted"], &d["reason_code"]),
        (&json!("trust"), &json!(false), &json!("not_eligible"))
    );
    assert_eq!(d["claims"]["name"], "writer");
    assert_eq!(d["reason"]["children"][0]["children"][0]["claim"], "name");
    assert_eq!(
        (&audience["avouch"]["decision"]["stage"], &audience["avouch"]["decision"]["reason_code"]),
        (&json!("evidence"), &json!("audience"))
    );
    assert!(operator_trail(&w).await.is_empty());
}

#[tokio::test]
async fn what_nobody_can_verify_is_told_to_the_operator_ten_times_and_then_counted() {
    let w = World::new().await;
    let before = failures(&w).await.len();
    let stranger = TestIssuer::new(ISSUER);
    let token = stranger.token("team-a", "reader", "p", w.now());
    for _ in 0..25 {
        w.exchange(&token).await;
    }
    assert_eq!(failures(&w).await.len(), before, "nobody fills a stranger's trail");
    let events = operator_trail(&w).await;
    assert_eq!(events.len(), 10);
    assert_eq!(events[0]["avouch"]["decision"]["reason"], "unknown_key");
    w.t.advance_secs(61);
    w.t.tick().await;
    let events = operator_trail(&w).await;
    assert_eq!((events.len(), &events[0]["avouch"]["decision"]["count"]), (11, &json!(15)));
}

#[tokio::test]
async fn an_address_that_only_fails_is_told_to_wait() {
    let w = World::new().await;
    let token = TestIssuer::new(ISSUER).token("team-a", "reader", "p", w.now());
    let good = w.token();
    let fields = |t| [("grant_type", CR_TOKEN), ("cr_token", t), ("profile_name", "builder")];
    let here = w.t.anon_from([192, 0, 2, 1].into());
    for _ in 0..100 {
        assert_eq!(here.form("/identity/token", &fields(&token)).await.status, 400);
    }
    let blocked = here.form("/identity/token", &fields(&good)).await;
    assert_eq!(blocked.status, 429);
    assert!(!blocked.header("retry-after").is_empty());
    let there = w.t.anon_from([192, 0, 2, 2].into());
    assert_eq!(there.form("/identity/token", &fields(&good)).await.status, 200);
    w.t.advance_secs(61);
    assert_eq!(here.form("/identity/token", &fields(&w.token())).await.status, 200);
}

#[tokio::test]
async fn no_token_is_ever_written_down() {
    let w = World::new().await;
    let good = w.token();
    let r = w.exchange(&good).await;
    let bad = w.forged(|c| c["aud"] = json!("vault"));
    w.exchange(&bad).await;
    let stranger = TestIssuer::new("https://x.test").token("a", "b", "c", w.now());
    w.exchange(&stranger).await;
    let written = format!("{:?}{:?}", w.t.events(&[]).await, operator_trail(&w).await);
    for token in [good.as_str(), bad.as_str(), stranger.as_str(), text(&r.body, "access_token")] {
        let signature = token.rsplit('.').next().unwrap();
        assert!(!written.contains(signature));
    }
}

#[tokio::test]
async fn a_refusal_in_another_accounts_profile_is_told_on_both_sides() {
    let w = World::new().await;
    let outsider = w.t.outsider().await;
    let account = crate::world::claims(outsider.token())["account"]["bss"].as_str().unwrap().to_owned();
    let made = outsider.post("/v1/profiles", json!({"name": "theirs", "account_id": account})).await.body;
    let token = w.token();
    let r = crate::world::exchange(&w.t, &token, &[("profile_id", text(&made, "id"))]).await;
    assert_eq!(r.status, 400);
    let own = &failures(&w).await[0];
    assert!(
        own["avouch"]["decision"].get("claims").is_none(),
        "their profile, so our claims are of no use to it"
    );
    assert_eq!(own["target"]["id"], own["logSourceCRN"]);
    assert!(own["logSourceCRN"].as_str().unwrap().contains(w.t.account()));
    let r = outsider.get(&format!("/avouch/v1/audit/events?action={LOGIN}")).await;
    let theirs = &r.body["events"][0];
    assert_eq!(theirs["target"]["id"], made["crn"]);
    assert!(theirs["avouch"]["decision"].get("claims").is_none());
}
