//! Images of the catalogue and of accounts.

use avouch_testkit::TestApp;
use serde_json::{Value, json};

use crate::world::{Vpc, as_refused, column, one, refused};

const PUBLISHED: &str = "r006-b9ebf1d8-a674-42e8-898e-0fcb08994f66";

fn wanted(name: &str) -> Value {
    json!({"name": name, "file": {"href": "rootfs:/srv/images/one"}, "operating_system": {"name": "debian-12-amd64"}})
}

#[tokio::test]
async fn public_images_are_there_for_everybody_and_nobodys_to_change() {
    let t = TestApp::new().await;
    let nobody = Vpc(t.nobody().await);
    let image = nobody.get(&format!("/images/{PUBLISHED}")).await;
    assert_eq!(
        (image.status, &image.body["visibility"], &image.body["status"]),
        (200, &json!("public"), &json!("available")),
        "{}",
        image.text
    );
    assert_eq!(
        (&image.body["user_data_format"], &image.body["operating_system"]["name"]),
        (&json!("cloud_init"), &json!("ubuntu-24-04-amd64"))
    );
    let list = nobody.get("/images?visibility=public").await;
    assert!(column(&list, "images", "id").contains(&PUBLISHED.to_owned()), "{}", list.text);
    assert!(list.body["total_count"].as_i64().unwrap() >= 5);
    let admin = Vpc::admin(&t).await;
    let path = format!("/images/{PUBLISHED}");
    assert_eq!(
        (admin.patch(&path, json!({"name": "x"})).await.status, admin.delete(&path).await.status),
        (404, 404)
    );
    let page = admin.get("/images?limit=2").await;
    assert_eq!((column(&page, "images", "id").len(), page.body["next"]["href"].is_string()), (2, true));
}

#[tokio::test]
async fn an_image_of_an_account_is_made_deprecated_and_removed() {
    let t = TestApp::with(|c| c.limits.private_images = 1).await;
    let admin = Vpc::admin(&t).await;
    let taken = admin.get("/images").await.body["images"][0]["name"].clone();
    for (body, code, field) in [
        (json!({"operating_system": {"name": "debian-12-amd64"}}), "missing_field", "file"),
        (json!({"file": {}, "operating_system": {"name": "debian-12-amd64"}}), "missing_field", "file.href"),
        (
            json!({"file": {"href": "https://elsewhere/x"}, "operating_system": {"name": "debian-12-amd64"}}),
            "invalid_value",
            "file.href",
        ),
        (json!({"file": {"href": "disk:/x"}}), "missing_field", "operating_system"),
        (
            json!({"file": {"href": "disk:/x"}, "operating_system": {"name": "plan9"}}),
            "not_found",
            "operating_system.name",
        ),
        (wanted(taken.as_str().unwrap()), "validation_unique_failed", "name"),
    ] {
        assert_eq!(
            refused(&admin.post("/images", body.clone()).await),
            as_refused(400, code, field),
            "{body}"
        );
    }
    let made = admin.made("/images", wanted("own")).await;
    let path = one("images", &made);
    assert_eq!(
        (&made["visibility"], &made["status"], &made["encryption"]),
        (&json!("private"), &json!("available"), &json!("none"))
    );
    assert!(
        !made.to_string().contains("/srv/images"),
        "where it was taken from is nobody's business: {made}"
    );
    assert_eq!(refused(&admin.post("/images", wanted("two")).await), as_refused(403, "over_quota", ""));
    assert_eq!(column(&admin.get("/images?visibility=private").await, "images", "name"), ["own"]);
    assert_eq!(column(&admin.get("/images").await, "images", "name")[0], "own", "newest first");
    assert_eq!(column(&admin.get("/images?name=own").await, "images", "name"), ["own"]);
    let times = json!({"deprecation_at": "2030-01-01T00:00:00Z", "obsolescence_at": "2029-01-01T00:00:00Z"});
    assert_eq!(
        refused(&admin.patch(&path, times).await),
        as_refused(400, "invalid_value", "obsolescence_at")
    );
    let planned = admin.patch(&path, json!({"deprecation_at": "2030-01-01T00:00:00Z"})).await;
    assert_eq!(planned.body["deprecation_at"], "2030-01-01T00:00:00.000Z", "{}", planned.text);
    assert_eq!(admin.patch(&path, json!({"deprecation_at": null})).await.body["deprecation_at"], Value::Null);
    let turn = async |word: &str| admin.post(&format!("{path}/{word}"), Value::Null).await.status;
    assert_eq!((turn("deprecate").await, turn("deprecate").await), (204, 409));
    assert_eq!(admin.get(&path).await.body["status"], "deprecated");
    assert_eq!((turn("obsolete").await, turn("deprecate").await), (204, 409));
    assert_eq!(column(&admin.get("/images?status=obsolete").await, "images", "name"), ["own"]);
    assert_eq!(Vpc(t.outsider().await).get(&path).await.status, 404);
    assert_eq!((admin.delete(&path).await.status, admin.get(&path).await.status), (202, 404));
}
