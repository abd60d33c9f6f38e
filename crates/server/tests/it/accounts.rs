//! More accounts on one deployment, made by its operator.

use avouch_testkit::{Client, TestApp};
use serde_json::{Value, json};

const ACCOUNTS: &str = "/avouch/v1/accounts";

fn wanted(name: &str, email: &str) -> Value {
    json!({"name": name, "owner_email": email})
}

async fn ids(client: &Client) -> Vec<String> {
    let r = client.get(ACCOUNTS).await;
    let all = r.body["accounts"].as_array().unwrap().clone();
    let mut ids: Vec<_> = all.iter().map(|a| a["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_makes_an_account_whose_owner_runs_it_and_nothing_else() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let made = admin.post(ACCOUNTS, wanted("Shop", "Owner@Shop.test")).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let account = made.body["id"].as_str().unwrap();
    let key = made.body["owner"]["apikey"].as_str().unwrap();
    assert_eq!(
        (&made.body["name"], &made.body["owner"]["email"]),
        (&json!("Shop"), &json!("owner@shop.test"))
    );
    let mut both = [t.account(), account];
    both.sort_unstable();
    assert_eq!(ids(&admin).await, both);

    let owner = t.bearer(&t.token(key).await);
    assert_eq!(ids(&owner).await, [account]);
    let profile = owner.post("/v1/profiles", json!({"name": "p", "account_id": account})).await;
    assert_eq!(profile.status, 201, "{}", profile.text);
    let groups = owner.get("/v2/resource_groups").await;
    assert_eq!(groups.body["resources"][0]["id"], made.body["resource_group_id"]);
    // Neither runs the other's account, and the owner makes no accounts.
    assert_eq!(
        owner.get(&format!("/v1/profiles?account_id={}", t.account())).await.body["profiles"],
        json!([])
    );
    assert_eq!(
        admin.get(&format!("/v1/profiles/{}", profile.body["id"].as_str().unwrap())).await.status,
        404
    );
    assert_eq!(owner.post(ACCOUNTS, wanted("More", "x@shop.test")).await.status, 403);

    // Both trails tell, and neither tells the key.
    let told = t.events(&[("action", "avouch.account.create"), ("outcome", "success")]).await;
    let mine: Vec<_> = told.iter().filter(|e| e["target"]["name"] == "Shop").collect();
    assert_eq!((mine.len(), &mine[0]["requestData"]["account_id"]), (1, &json!(account)));
    let theirs = owner.get("/avouch/v1/audit/events?action=avouch.account.create&outcome=success").await;
    assert_eq!(theirs.body["events"].as_array().unwrap().len(), 1, "{}", theirs.text);
    assert!(!theirs.text.contains(key) && !json!(told).to_string().contains(key));
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_made_by_nobody_else_and_whole_or_not_at_all() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    for client in [t.nobody().await, t.viewer().await, t.administrator().await, t.outsider().await] {
        assert_eq!(client.post(ACCOUNTS, wanted("Shop", "o@shop.test")).await.status, 403);
    }
    let known = ids(&admin).await;
    for (field, value) in [
        ("name", json!("")),
        ("name", json!("  ")),
        ("name", json!("n".repeat(101))),
        ("name", json!("a\u{0}")),
        ("owner_email", json!("nobody")),
        ("owner_email", json!("a b@c.test")),
    ] {
        let mut body = wanted("Shop", "o@shop.test");
        body[field] = value.clone();
        let r = admin.post(ACCOUNTS, body).await;
        assert_eq!(r.status, 400, "{field} {value}: {}", r.text);
        assert!(r.text.contains(field), "{}", r.text);
    }
    assert_eq!(ids(&admin).await, known);
}
