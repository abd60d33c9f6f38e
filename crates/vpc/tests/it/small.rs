//! Placement groups and volumes.

use avouch_testkit::TestApp;
use serde_json::{Value, json};

use crate::world::{Vpc, as_refused, column, one, refused, text};

#[tokio::test]
async fn a_placement_group_is_made_renamed_and_removed() {
    let t = TestApp::with(|c| c.limits.placement_groups = 1).await;
    let admin = Vpc::admin(&t).await;
    for (body, code, field) in [
        (json!({}), "missing_field", "strategy"),
        (json!({"strategy": "together"}), "invalid_value", "strategy"),
        (json!({"strategy": 1}), "invalid_value", "strategy"),
    ] {
        assert_eq!(
            refused(&admin.post("/placement_groups", body.clone()).await),
            as_refused(400, code, field),
            "{body}"
        );
    }
    let made = admin.made("/placement_groups", json!({"name": "apart", "strategy": "host_spread"})).await;
    let path = one("placement_groups", &made);
    assert_eq!(
        (&made["lifecycle_state"], &made["resource_type"]),
        (&json!("stable"), &json!("placement_group"))
    );
    assert!(
        text(&made, "crn").contains(":is:us-south:a/")
            && text(&made, "crn").contains("::placement-group:r006-")
    );
    assert_eq!(
        refused(&admin.post("/placement_groups", json!({"strategy": "power_spread"})).await),
        as_refused(403, "over_quota", "")
    );
    assert_eq!(admin.patch(&path, json!({"name": "further"})).await.body["name"], "further");
    assert_eq!(column(&admin.get("/placement_groups").await, "placement_groups", "name"), ["further"]);
    assert_eq!((admin.delete(&path).await.status, admin.get(&path).await.status), (204, 404));
}

#[tokio::test]
async fn a_volume_is_what_its_profile_offers_and_only_grows() {
    let t = TestApp::with(|c| c.limits.volumes = 2).await;
    let admin = Vpc::admin(&t).await;
    let body = |profile: &str, more: Value| {
        let mut body = json!({"profile": {"name": profile}, "zone": {"name": "us-south-1"}, "capacity": 100});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (body, code, field) in [
        (json!({"zone": {"name": "us-south-1"}, "capacity": 10}), "missing_field", "profile"),
        (body("10iops", json!({})), "not_found", "profile.name"),
        (body("general-purpose", json!({"zone": null})), "missing_field", "zone"),
        (body("general-purpose", json!({"capacity": null})), "missing_field", "capacity"),
        (body("general-purpose", json!({"capacity": 9})), "invalid_value", "capacity"),
        (body("general-purpose", json!({"capacity": 16001})), "invalid_value", "capacity"),
        (body("general-purpose", json!({"iops": 4000})), "invalid_value", "iops"),
        (body("sdp", json!({"iops": 100})), "invalid_value", "iops"),
        (body("sdp", json!({"user_tags": [""]})), "invalid_value", "user_tags"),
    ] {
        assert_eq!(
            refused(&admin.post("/volumes", body.clone()).await),
            as_refused(400, code, field),
            "{body}"
        );
    }
    let made =
        admin.made("/volumes", body("general-purpose", json!({"name": "disk", "user_tags": ["a:b"]}))).await;
    let path = one("volumes", &made);
    assert_eq!(
        (&made["iops"], &made["status"], &made["attachment_state"]),
        (&json!(3000), &json!("available"), &json!("unattached"))
    );
    assert!(
        text(&made, "crn").contains(":is:us-south-1:a/")
            && text(&made["profile"], "href").ends_with("/v1/volume/profiles/general-purpose")
    );
    let fast = admin.made("/volumes", body("sdp", json!({"iops": 8000}))).await;
    assert_eq!((&fast["iops"], &fast["storage_generation"]), (&json!(8000), &json!(2)));
    assert_eq!(
        refused(&admin.post("/volumes", body("sdp", json!({}))).await),
        as_refused(403, "over_quota", "")
    );
    assert_eq!(admin.patch(&path, json!({"capacity": 2000})).await.body["iops"], 6000);
    assert_eq!(
        refused(&admin.patch(&path, json!({"capacity": 100})).await),
        as_refused(400, "invalid_value", "capacity")
    );
    let tags = json!({"user_tags": ["c:d"]});
    assert_eq!(
        refused(&admin.patch(&path, tags.clone()).await),
        as_refused(400, "missing_field", "If-Match")
    );
    let etag = admin.get(&path).await.etag();
    let tagged = Vpc(admin.0.with_header("if-match", &etag)).patch(&path, tags).await;
    assert_eq!((tagged.status, &tagged.body["user_tags"]), (200, &json!(["c:d"])), "{}", tagged.text);
    assert_eq!(column(&admin.get("/volumes?name=disk").await, "volumes", "name"), ["disk"]);
    assert_eq!(admin.get("/volumes?attachment_state=attached").await.body["total_count"], 0);
    assert_eq!((admin.delete(&path).await.status, admin.get(&path).await.status), (204, 404));
}
