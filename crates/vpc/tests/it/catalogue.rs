//! Regions and zones.

use avouch_testkit::TestApp;
use serde_json::json;

use crate::world::{Vpc, as_refused, refused};

#[tokio::test]
async fn there_is_one_region_with_three_zones_for_whoever_has_a_token() {
    let t = TestApp::new().await;
    let nobody = Vpc(t.nobody().await);
    let regions = nobody.get("/regions").await;
    assert_eq!(regions.body["regions"][0]["name"], "us-south", "{}", regions.text);
    assert_eq!(regions.body["regions"].as_array().unwrap().len(), 1);
    let region = nobody.get("/regions/us-south").await;
    assert_eq!(region.body, regions.body["regions"][0]);
    let href = region.body["href"].as_str().unwrap().to_owned();
    assert!(href.starts_with("http") && href.ends_with("/v1/regions/us-south"), "{href}");
    let zones = nobody.get("/regions/us-south/zones").await;
    let names: Vec<&str> =
        zones.body["zones"].as_array().unwrap().iter().map(|z| z["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["us-south-1", "us-south-2", "us-south-3"]);
    let zone = nobody.get("/regions/us-south/zones/us-south-2").await;
    assert_eq!((zone.status, &zone.body["region"]["href"]), (200, &json!(href)));
    for unknown in ["/regions/mars", "/regions/mars/zones", "/regions/us-south/zones/mars-1"] {
        assert_eq!(refused(&nobody.get(unknown).await), as_refused(404, "not_found", "id"), "{unknown}");
    }
    assert_eq!(t.anon().get("/v1/regions").await.status, 401);
}

#[tokio::test]
async fn another_region_by_its_setting_has_ids_and_names_of_its_own() {
    let t = TestApp::with(|c| {
        c.region = "eu-de".into();
        c.vpc.region_id = "r234".into();
    })
    .await;
    let admin = Vpc::admin(&t).await;
    assert_eq!(admin.get("/regions/eu-de/zones/eu-de-3").await.status, 200);
    let key = admin.made("/keys", json!({"public_key": crate::world::public_key(1)})).await;
    assert!(key["id"].as_str().unwrap().starts_with("r234-"), "{key}");
    assert!(key["crn"].as_str().unwrap().contains(":is:eu-de:a/"), "{key}");
}

#[tokio::test]
async fn profiles_and_operating_systems_are_listed_and_found_by_name() {
    let t = TestApp::new().await;
    let nobody = Vpc(t.nobody().await);
    for (path, array, one) in [
        ("/operating_systems", "operating_systems", "ubuntu-24-04-amd64"),
        ("/instance/profiles", "profiles", "bxf-2x8"),
        ("/volume/profiles", "profiles", "general-purpose"),
    ] {
        let list = nobody.get(path).await;
        let names = crate::world::column(&list, array, "name");
        assert!(names.contains(&one.to_owned()), "{path}: {names:?}");
        let found = nobody.get(&format!("{path}/{one}")).await;
        assert!(list.body[array].as_array().unwrap().contains(&found.body), "{}", found.text);
        assert!(crate::world::text(&found.body, "href").ends_with(&format!("/v1{path}/{one}")));
        assert_eq!(refused(&nobody.get(&format!("{path}/none")).await), as_refused(404, "not_found", "id"));
    }
    let mut seen = Vec::new();
    let mut next = Some(crate::world::at("/operating_systems?limit=3"));
    while let Some(page) = next.take() {
        let r = nobody.0.get(&page).await;
        seen.extend(crate::world::column(&r, "operating_systems", "name"));
        next = r.body["next"]["href"].as_str().map(|h| h[h.find("/v1/").unwrap()..].to_owned());
    }
    assert_eq!(
        seen,
        crate::world::column(&nobody.get("/operating_systems").await, "operating_systems", "name")
    );
}
