//! Virtual servers as records: what they are made of, who may make them, and what goes with them.

use avouch_testkit::TestApp;
use serde_json::{Value, json};

use crate::world::{Vpc, as_refused, column, one, public_key, refused, text};

const IMAGE: &str = "r006-b9ebf1d8-a674-42e8-898e-0fcb08994f66";

async fn net(admin: &Vpc) -> (Value, Value) {
    let vpc = admin.net("shop").await;
    let subnet = admin.subnet(&vpc, "front", 16).await;
    (vpc, subnet)
}

fn server(name: &str, subnet: &Value) -> Value {
    json!({"name": name, "zone": {"name": "us-south-1"}, "profile": {"name": "bx2-2x8"}, "image": {"id": IMAGE},
        "primary_network_interface": {"subnet": {"id": subnet["id"]}}})
}

async fn empty(admin: &Vpc) {
    for list in ["instances", "volumes", "virtual_network_interfaces", "floating_ips"] {
        assert_eq!(admin.get(&format!("/{list}")).await.body["total_count"], 0, "{list}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_shown_whole_and_takes_its_parts_with_it() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let (vpc, subnet) = net(&admin).await;
    let key = admin.made("/keys", json!({"name": "k", "public_key": public_key(1), "type": "ed25519"})).await;
    let mut body = server("web", &subnet);
    body["keys"] = json!([{"id": key["id"]}]);
    body["user_data"] = "#!/bin/sh\necho TOPSECRET\n".into();
    body["metadata_service"] = json!({"enabled": true, "response_hop_limit": 3});
    let made = admin.made("/instances", body).await;
    let id = text(&made, "id");
    assert!(id.starts_with("0717_"), "{id}");
    assert_eq!(text(&made, "crn").rsplit(':').next(), Some(id));
    assert!(text(&made, "crn").contains(":is:us-south-1:a/"), "{made}");
    for (pointer, wanted) in [
        ("/status", json!("pending")),
        ("/vpc/id", vpc["id"].clone()),
        ("/zone/name", json!("us-south-1")),
        ("/profile/name", json!("bx2-2x8")),
        ("/image/id", json!(IMAGE)),
        ("/memory", json!(8)),
        ("/vcpu/count", json!(2)),
        ("/metadata_service", json!({"enabled": true, "protocol": "http", "response_hop_limit": 3})),
        ("/boot_volume_attachment/type", json!("boot")),
        ("/network_attachments", json!([])),
        ("/resource_type", json!("instance")),
        ("/primary_network_interface/resource_type", json!("network_interface")),
    ] {
        assert_eq!(made.pointer(pointer), Some(&wanted), "{pointer}: {made}");
    }
    assert!(!made.to_string().contains("TOPSECRET") && made.get("keys").is_none());
    let initial = admin.get(&format!("/instances/{id}/initialization")).await;
    assert_eq!(initial.body["keys"][0]["name"], "k");
    assert!(!initial.text.contains("TOPSECRET") && initial.body.get("user_data").is_none());
    let nics = admin.get(&format!("/instances/{id}/network_interfaces")).await;
    let nic = &nics.body["network_interfaces"][0];
    assert_eq!(nic["type"], "primary");
    assert_eq!(nic["primary_ip"]["address"], nic["primary_ipv4_address"]);
    let one_nic = admin.get(&format!("/instances/{id}/network_interfaces/{}", text(nic, "id"))).await;
    assert_eq!(&one_nic.body, nic);
    let volumes = admin.get("/volumes").await;
    assert_eq!(volumes.body["volumes"][0]["attachment_state"], "attached");
    assert_eq!(volumes.body["volumes"][0]["volume_attachments"][0]["instance"]["id"], id);
    let interface = &admin.get("/virtual_network_interfaces").await.body["virtual_network_interfaces"][0];
    assert_eq!(interface["target"]["resource_type"], "network_interface");
    let floating = admin.made("/floating_ips", json!({"name": "f", "target": {"id": interface["id"]}})).await;
    assert_eq!(admin.get("/instances?name=web").await.body["total_count"], 1);
    assert_eq!(admin.get("/instances?vpc.name=other").await.body["total_count"], 0);
    // What it uses stays while it does.
    for (used, code) in [(one("vpcs", &vpc), "in_use"), (one("subnets", &subnet), "in_use")] {
        assert_eq!(refused(&admin.delete(&used).await).1, code, "{used}");
    }
    assert_eq!(refused(&admin.delete(&one("volumes", &volumes.body["volumes"][0])).await).1, "in_use");
    assert_eq!(admin.delete(&one("keys", &key)).await.status, 204);
    assert_eq!(admin.delete(&format!("/instances/{id}")).await.status, 204);
    assert_eq!(admin.get(&format!("/instances/{id}")).await.status, 404);
    let freed = admin.get(&one("floating_ips", &floating)).await;
    assert!(freed.status == 200 && freed.body.get("target").is_none(), "{}", freed.text);
    assert_eq!(admin.delete(&one("floating_ips", &floating)).await.status, 204);
    empty(&admin).await;
    assert_eq!(admin.delete(&one("subnets", &subnet)).await.status, 204);
    assert_eq!(admin.delete(&one("vpcs", &vpc)).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn attachments_have_mirrors_and_an_interface_of_ones_own_stays() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let (_, subnet) = net(&admin).await;
    let own = admin.interface(&subnet, "own").await;
    let mut body = server("web", &subnet);
    body.as_object_mut().unwrap().remove("primary_network_interface");
    body["primary_network_attachment"] =
        json!({"name": "first", "virtual_network_interface": {"subnet": {"id": subnet["id"]}}});
    body["network_attachments"] = json!([{"name": "second", "virtual_network_interface": {"id": own["id"]}}]);
    body["volume_attachments"] =
        json!([{"volume": {"capacity": 10, "profile": {"name": "general-purpose"}}}]);
    let made = admin.made("/instances", body.clone()).await;
    assert_eq!(made["network_attachments"].as_array().unwrap().len(), 2);
    assert_eq!(made["primary_network_attachment"]["id"], made["primary_network_interface"]["id"]);
    assert_eq!(made["network_attachments"][1]["virtual_network_interface"]["id"], own["id"]);
    assert_eq!(made["volume_attachments"].as_array().unwrap().len(), 2);
    body["name"] = "other".into();
    assert_eq!(refused(&admin.post("/instances", body).await).1, "in_use");
    assert_eq!(admin.get("/instances").await.body["total_count"], 1);
    assert_eq!(admin.get("/volumes").await.body["total_count"], 2);
    assert_eq!(refused(&admin.delete(&one("virtual_network_interfaces", &own)).await).1, "in_use");
    assert_eq!(admin.delete(&one("instances", &made)).await.status, 204);
    // The data volume stays, as nobody said that it should go.
    assert_eq!(admin.get("/volumes").await.body["volumes"][0]["capacity"], 10);
    let left = admin.get("/virtual_network_interfaces").await;
    assert_eq!(column(&left, "virtual_network_interfaces", "name"), ["own"]);
    assert_eq!(admin.delete(&one("virtual_network_interfaces", &own)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_named_and_nothing_is_left_behind() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let (_, subnet) = net(&admin).await;
    let other = admin.net("other").await;
    let far = json!({"name": "far", "vpc": {"id": other["id"]}, "zone": {"name": "us-south-1"}, "total_ipv4_address_count": 8});
    let far = admin.made("/subnets", far).await;
    let unknown = "Profile-6e1f7ea6-0000-4000-8000-000000000001";
    for (change, status, code, field) in [
        (json!({"zone": {"name": "us-south-2"}}), 400, "invalid_value", "zone"),
        (json!({"zone": {"name": "mars-1"}}), 400, "not_found", "zone.name"),
        (json!({"zone": null}), 400, "missing_field", "zone"),
        (json!({"image": null}), 400, "missing_field", "image"),
        (json!({"image": {"id": "r006-00000000-0000-4000-8000-000000000000"}}), 400, "not_found", "image.id"),
        (json!({"profile": {"name": "huge"}}), 400, "not_found", "profile.name"),
        (json!({"vpc": {"id": other["id"]}}), 400, "invalid_value", "vpc.id"),
        (json!({"primary_network_interface": null}), 400, "missing_field", "primary_network_interface"),
        (
            json!({"network_interfaces": [{"subnet": {"id": far["id"]}}]}),
            400,
            "invalid_value",
            "network_interfaces",
        ),
        (
            json!({"keys": [{"id": "r006-00000000-0000-4000-8000-000000000000"}]}),
            400,
            "not_found",
            "keys[0].id",
        ),
        (json!({"user_data": "x".repeat(65_537)}), 400, "invalid_value", "user_data"),
        (
            json!({"metadata_service": {"response_hop_limit": 65}}),
            400,
            "invalid_value",
            "metadata_service.response_hop_limit",
        ),
        (json!({"metadata_service": {"protocol": "ftp"}}), 400, "invalid_value", "metadata_service.protocol"),
        (
            json!({"default_trusted_profile": {"target": {"id": unknown}}}),
            400,
            "not_found",
            "default_trusted_profile.target.id",
        ),
        (json!({"boot_volume_attachment": {"volume": {"capacity": 1}}}), 400, "invalid_value", "capacity"),
        (json!({"surprise": 1}), 400, "unknown_field", "surprise"),
    ] {
        let mut body = server("web", &subnet);
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        let r = admin.post("/instances", body).await;
        assert_eq!(refused(&r), as_refused(status, code, field), "{change}: {}", r.text);
    }
    empty(&admin).await;
    admin.made("/instances", server("web", &subnet)).await;
    let twice = admin.post("/instances", server("web", &subnet)).await;
    assert_eq!(refused(&twice).1, "validation_unique_failed");
    assert_eq!(admin.get("/volumes").await.body["total_count"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linked_instance_is_trusted_from_its_first_moment_and_no_more_when_it_is_gone() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let (_, subnet) = net(&admin).await;
    let profile = admin.0.post("/v1/profiles", json!({"name": "web", "account_id": t.account()})).await.body;
    let links = format!("/v1/profiles/{}/links", text(&profile, "id"));
    let count = async || admin.0.get(&links).await.body["links"].as_array().unwrap().len();
    let with = |name: &str, trusted: Value| {
        let mut body = server(name, &subnet);
        body["default_trusted_profile"] = trusted;
        body
    };
    let linked = admin.made("/instances", with("a", json!({"target": {"id": profile["id"]}}))).await;
    let by_crn = json!({"target": {"crn": profile["crn"]}, "auto_link": false});
    let unlinked = admin.made("/instances", with("b", by_crn)).await;
    let all = admin.0.get(&links).await.body["links"].clone();
    assert_eq!((all.as_array().unwrap().len(), &all[0]["link"]["crn"]), (1, &linked["crn"]));
    assert_eq!(all[0]["cr_type"], "VSI");
    let initial = admin.get(&format!("{}/initialization", one("instances", &unlinked))).await.body;
    assert_eq!(initial["default_trusted_profile"]["auto_link"], false);
    assert_eq!(initial["default_trusted_profile"]["target"]["crn"], profile["crn"]);
    // One made by hand goes with the instance too.
    let by_hand = json!({"cr_type": "VSI", "link": {"crn": unlinked["crn"]}});
    assert_eq!(admin.0.post(&links, by_hand).await.status, 201);
    assert_eq!(count().await, 2);
    assert_eq!(admin.delete(&one("instances", &unlinked)).await.status, 204);
    assert_eq!(count().await, 1);
    let told = admin.0.get("/avouch/v1/audit/events?action=iam-identity.profile-link.create&limit=10").await;
    assert_eq!(told.body["events"].as_array().unwrap().len(), 2, "{}", told.text);
    assert_eq!(admin.delete(&one("instances", &linked)).await.status, 204);
    assert_eq!(count().await, 0);
    let gone = admin.0.get("/avouch/v1/audit/events?action=iam-identity.profile-link.delete&limit=10").await;
    let gone = gone.body["events"].as_array().unwrap().clone();
    assert_eq!(gone.len(), 2);
    let deleted = admin.0.get("/avouch/v1/audit/events?action=is.instance.instance.delete&limit=10").await;
    for (event, of) in gone.iter().zip(deleted.body["events"].as_array().unwrap()) {
        assert_eq!(event["initiator"]["id"], "avouch-instances");
        assert_eq!(event["correlationId"], of["correlationId"], "{event}");
    }
    let history = format!("/v1/profiles/{}?include_history=true", text(&profile, "id"));
    let history = admin.0.get(&history).await.body["history"].to_string();
    assert_eq!(history.matches(r#""action":"delete-link""#).count(), 2, "{history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_helper_an_instance_fails_with_the_reason_and_states_are_kept() {
    let t = TestApp::new().await;
    let admin = Vpc::admin(&t).await;
    let (_, subnet) = net(&admin).await;
    let made = admin.made("/instances", server("web", &subnet)).await;
    let path = one("instances", &made);
    let act = async |kind: &str| admin.post(&format!("{path}/actions"), json!({"type": kind})).await;
    for kind in ["start", "stop", "reboot"] {
        assert_eq!(refused(&act(kind).await), as_refused(409, "conflict", ""), "{kind}");
    }
    t.tick().await;
    assert_eq!(admin.get(&path).await.body["status"], "pending");
    t.advance_secs(11);
    t.tick().await;
    let failed = admin.get(&path).await.body;
    assert_eq!((&failed["status"], &failed["startable"]), (&json!("failed"), &json!(true)));
    assert_eq!(failed["status_reasons"][0]["code"], "cannot_start_compute");
    assert!(text(&failed["status_reasons"][0], "message").contains("vpc.agent"), "{failed}");
    let told = admin.0.get("/avouch/v1/audit/events?action=is.instance.instance.stop&limit=5").await;
    assert_eq!(told.body["events"][0]["initiator"]["id"], "avouch-instances", "{}", told.text);
    assert_eq!(refused(&act("explode").await), as_refused(400, "invalid_value", "type"));
    let begun = act("start").await;
    assert_eq!((begun.status, &begun.body["type"]), (201, &json!("start")));
    assert_eq!(admin.get(&path).await.body["status"], "starting");
    let renamed =
        admin.patch(&path, json!({"name": "shop", "metadata_service": {"enabled": true}})).await.body;
    assert_eq!((text(&renamed, "name"), &renamed["metadata_service"]["enabled"]), ("shop", &json!(true)));
    assert_eq!(renamed["metadata_service"]["protocol"], "http");
    let early = admin.patch(&path, json!({"profile": {"name": "bx2-4x16"}})).await;
    assert_eq!(refused(&early).0, 409);
    assert_eq!(refused(&admin.patch(&path, json!({"user_data": "x"})).await).1, "unknown_field");
}
