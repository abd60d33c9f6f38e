//! Users of an account.

use avouch_testkit::TestApp;
use serde_json::json;

use crate::text;

#[tokio::test]
async fn users_are_added_once_and_listed_page_by_page() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let mut wanted = vec![t.owner().to_owned()];
    for n in 0..3 {
        let r = admin.post("/avouch/v1/users", json!({"email": format!("u{n}@avouch.test")})).await;
        assert_eq!(r.status, 201, "{}", r.body);
        wanted.push(text(&r.body, "iam_id").to_owned());
    }
    assert_eq!(admin.post("/avouch/v1/users", json!({"email": "U1@avouch.test"})).await.status, 409);
    for bad in ["", "nobody", "@x", "x@", "a b@x.y", "nul\0@x.y"] {
        assert_eq!(admin.post("/avouch/v1/users", json!({"email": bad})).await.status, 400, "{bad:?}");
    }
    let users = format!("/v2/accounts/{}/users", t.account());
    let mut next = Some(format!("{users}?limit=1"));
    let mut seen = Vec::new();
    while let Some(page) = next.take() {
        let r = admin.get(&page).await;
        assert_eq!((r.status, &r.body["total_results"], &r.body["limit"]), (200, &json!(4), &json!(1)));
        seen.extend(r.body["resources"].as_array().unwrap().iter().map(|u| text(u, "iam_id").to_owned()));
        next = r.body["next_url"].as_str().map(str::to_owned);
    }
    wanted.sort();
    assert_eq!(seen, wanted);
    let one = admin.get(&format!("{users}/{}", wanted[0])).await;
    assert_eq!((one.status, text(&one.body, "state")), (200, "ACTIVE"));
    assert_eq!(admin.get(&format!("{users}/IBMid-0000000000")).await.status, 404);
}

#[tokio::test]
async fn only_who_may_adds_and_sees_users() {
    let t = TestApp::new().await;
    let users = format!("/v2/accounts/{}/users", t.account());
    let nobody = t.nobody().await;
    assert_eq!(nobody.get(&users).await.status, 403);
    assert_eq!(nobody.post("/avouch/v1/users", json!({"email": "x@avouch.test"})).await.status, 403);
    let outsider = t.outsider().await;
    assert_eq!(outsider.get(&users).await.status, 404);
    let theirs = json!({"email": "x@avouch.test", "account_id": t.account()});
    assert_eq!(outsider.post("/avouch/v1/users", theirs).await.status, 404);
    let admin = t.admin().await;
    assert_eq!(admin.get(&users).await.body["total_results"], 1);
    let accounts = admin.get("/avouch/v1/accounts").await;
    assert_eq!(accounts.status, 200, "{}", accounts.body);
    assert!(accounts.text.contains(t.account()));
    let theirs = outsider.get("/avouch/v1/accounts").await;
    assert!(!theirs.text.contains(t.account()), "{}", theirs.text);
}
