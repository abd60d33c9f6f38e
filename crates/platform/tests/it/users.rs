//! Users of an account.

use avouch_testkit::{Client, TestApp};
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

async fn added(t: &TestApp, admin: &Client, email: &str) -> (String, Client) {
    let user = admin.post("/avouch/v1/users", json!({"email": email})).await.body;
    let iam_id = text(&user, "iam_id").to_owned();
    let key = json!({"name": "first", "iam_id": iam_id, "account_id": t.account()});
    let key = admin.with_header("entity-lock", "true").post("/v1/apikeys", key).await;
    assert_eq!(key.status, 201, "{}", key.body);
    let client = t.bearer(&t.token(text(&key.body, "apikey")).await);
    (iam_id, client)
}

#[tokio::test]
async fn a_removed_user_leaves_nothing_behind_that_would_let_him_in() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let (eve, client) = added(&t, &admin, "eve@avouch.test").await;
    let own_key = client.post("/v1/apikeys", json!({"name": "own", "iam_id": eve})).await;
    let own_key = text(&own_key.body, "apikey").to_owned();
    t.grant(
        &admin,
        &eve,
        "crn:v1:bluemix:public:iam::::role:Viewer",
        json!([
            {"key": "accountId", "operator": "stringEquals", "value": t.account()},
            {"key": "serviceName", "operator": "stringEquals", "value": "iam-groups"}]),
    )
    .await;
    let group = admin.post(&format!("/v2/groups?account_id={}", t.account()), json!({"name": "g"})).await;
    let members = format!("/v2/groups/{}/members", text(&group.body, "id"));
    let member = json!({"members": [{"iam_id": eve, "type": "user"}]});
    assert_eq!(admin.put(&members, member).await.status, 207);
    let profile = admin.post("/v1/profiles", json!({"name": "p", "account_id": t.account()})).await;
    let places = format!("/v1/profiles/{}/identities", text(&profile.body, "id"));
    let place = json!({"type": "user", "identifier": eve});
    assert_eq!(admin.post(&format!("{places}/user"), place).await.status, 200);
    assert_eq!(client.get(&members).await.status, 200);

    let user = format!("/v2/accounts/{}/users/{eve}", t.account());
    assert_eq!(t.nobody().await.delete(&user).await.status, 403);
    assert_eq!(t.outsider().await.delete(&user).await.status, 404);
    assert_eq!(t.editor().await.delete(&user.replace(&eve, t.owner())).await.status, 409, "the owner stays");
    assert_eq!(admin.delete(&user).await.status, 204);

    assert_eq!(client.get(&members).await.status, 401, "his token");
    let login = [("grant_type", "urn:ibm:params:oauth:grant-type:apikey"), ("apikey", &own_key)];
    let login = t.anon().form("/identity/token", &login).await;
    assert_eq!((login.status, text(&login.body, "errorCode")), (400, "BXNIM0415E"));
    assert_eq!(admin.get(&members).await.body["members"], json!([]));
    assert_eq!(admin.get(&places).await.body["identities"], json!([]));
    let keys = admin.get(&format!("/v1/apikeys?account_id={}&iam_id={eve}", t.account())).await;
    assert_eq!(keys.body["apikeys"], json!([]));
    let policies = admin.get(&format!("/v1/policies?account_id={}&iam_id={eve}", t.account())).await;
    assert_eq!(policies.body["policies"], json!([]));
    assert_eq!((admin.get(&user).await.status, admin.delete(&user).await.status), (404, 404));
    let keys_told = t.events(&[("action", "iam-identity.user-apikey.delete")]).await;
    assert_eq!(keys_told.len(), 2, "one of them was locked");
    let told = t.events(&[("action", "user-management.user.delete"), ("outcome", "success")]).await;
    assert_eq!((told.len(), &told[0]["target"]["name"]), (1, &json!("eve@avouch.test")));
    assert!(told[0]["target"]["id"].as_str().unwrap().ends_with(&format!("user:{eve}")));
    // The same person may be added again, as somebody new.
    let (again, client) = added(&t, &admin, "eve@avouch.test").await;
    assert_ne!(again, eve);
    assert_eq!(client.get(&members).await.status, 403);
}

#[tokio::test]
async fn a_disabled_user_does_nothing_until_enabled_and_the_owner_is_never_disabled() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let (eve, client) = added(&t, &admin, "eve@avouch.test").await;
    let user = format!("/v2/accounts/{}/users/{eve}", t.account());
    let disabled = json!({"state": "DISABLED_CLASSIC_INFRASTRUCTURE"});
    assert_eq!(client.get("/v1/apikeys").await.status, 200);
    assert_eq!(client.patch(&user, disabled.clone()).await.status, 403);
    assert_eq!(admin.patch(&user, disabled.clone()).await.status, 204);
    assert_eq!(client.get("/v1/apikeys").await.status, 401);
    assert_eq!(text(&admin.get(&user).await.body, "state"), "DISABLED_CLASSIC_INFRASTRUCTURE");
    assert_eq!(admin.patch(&user, json!({"state": "ACTIVE"})).await.status, 204);
    assert_eq!(client.get("/v1/apikeys").await.status, 200);
    let owner = user.replace(&eve, t.owner());
    assert_eq!(admin.patch(&owner, disabled).await.status, 409);
    assert_eq!(
        t.events(&[("action", "user-management.user.state-change"), ("outcome", "success")]).await.len(),
        2
    );

    let names = json!({"firstname": "Eve", "lastname": "E", "email": "Eve2@avouch.test"});
    assert_eq!(admin.patch(&user, names).await.status, 204);
    let shown = admin.get(&user).await.body;
    assert_eq!((text(&shown, "firstname"), text(&shown, "email")), ("Eve", "eve2@avouch.test"));
    assert_eq!(t.events(&[("action", "user-management.user.update"), ("outcome", "success")]).await.len(), 1);
    assert_eq!(client.patch(&user, json!({"firstname": "Eva"})).await.status, 204, "his own name");
    assert_eq!(client.patch(&user, json!({"email": "owner2@avouch.test"})).await.status, 403);
    assert_eq!(client.patch(&owner, json!({"firstname": "Eva"})).await.status, 403);
    let taken = text(&admin.get(&owner).await.body, "email").to_owned();
    for (bad, status, word) in [
        (json!({"email": taken}), 409, "e-mail"),
        (json!({"state": "VPN_ONLY"}), 400, "state"),
        (json!({"email": "nobody"}), 400, "email"),
        (json!({"firstname": "a\u{0}"}), 400, "firstname"),
        (json!({"phonenumber": "1"}), 400, "phonenumber"),
    ] {
        let r = admin.patch(&user, bad).await;
        assert!(r.status == status && r.text.contains(word), "{} {}", r.status, r.text);
    }
}
