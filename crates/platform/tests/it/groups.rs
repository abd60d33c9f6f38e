//! Resource groups.

use avouch_testkit::TestApp;
use serde_json::json;

use crate::text;

const GROUPS: &str = "/v2/resource_groups";

#[tokio::test]
async fn a_group_is_made_renamed_and_removed_once_it_is_empty() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let made = admin.post(GROUPS, json!({"name": "team", "account_id": t.account()})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let one = format!("{GROUPS}/{}", text(&made.body, "id"));
    assert_eq!(admin.post(GROUPS, json!({"name": "TEAM", "account_id": t.account()})).await.status, 409);
    let renamed = admin.patch(&one, json!({"name": "crew"})).await;
    assert_eq!((renamed.status, text(&renamed.body, "name")), (200, "crew"));
    for bad in ["", " crew", "crew ", "a\u{200b}b", &"n".repeat(41)] {
        assert_eq!(admin.patch(&one, json!({"name": bad})).await.status, 400, "{bad:?}");
    }
    let body = json!({"name": "in it", "target": "global", "resource_group": text(&made.body, "id"),
        "resource_plan_id": "00000000-0000-4000-8000-00000000a001"});
    let instance = admin.post("/v2/resource_instances", body).await;
    assert_eq!(instance.status, 201, "{}", instance.body);
    assert_eq!(admin.delete(&one).await.status, 400);
    let guid = text(&instance.body, "guid");
    assert_eq!(admin.delete(&format!("/v2/resource_instances/{guid}")).await.status, 204);
    assert_eq!((admin.delete(&one).await.status, admin.get(&one).await.status), (204, 404));
}

#[tokio::test]
async fn the_default_group_stays_and_groups_are_of_their_account() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let one = format!("{GROUPS}/{}", t.resource_group());
    assert_eq!(admin.delete(&one).await.status, 400);
    let list = admin.get(&format!("{GROUPS}?account_id={}&default=true", t.account())).await;
    assert_eq!(list.body["resources"].as_array().unwrap().len(), 1, "{}", list.body);
    assert_eq!(text(&list.body["resources"][0], "id"), t.resource_group());
    let outsider = t.outsider().await;
    assert_eq!((outsider.get(&one).await.status, outsider.delete(&one).await.status), (404, 404));
    assert_eq!(t.nobody().await.get(&one).await.status, 403);
    let seen = t.nobody().await.get(GROUPS).await;
    assert_eq!(seen.body["resources"], json!([]));
}
