//! What the published interface has beyond the types of this server is told plainly, in the service's own error shape.

use avouch_testkit::TestResponse;
use serde_json::{Value, json};

use crate::vault::{ABSENT, Vault, message};

fn in_shape(r: &TestResponse, status: u16) {
    assert_eq!((r.status, r.body["status_code"].as_u64()), (status, Some(status.into())), "{}", r.text);
    assert!(r.body["trace"].is_string() && !message(r).is_empty(), "{}", r.text);
    assert!(r.body["errors"][0]["code"].as_str().unwrap().starts_with("secrets-manager.Error"), "{}", r.text);
}

#[tokio::test]
async fn every_operation_of_the_published_sdk_has_a_route() {
    let v = Vault::new().await;
    let published = "create_secret_group list_secret_groups get_secret_group update_secret_group delete_secret_group \
        create_secret list_secrets get_secret delete_secret get_secret_metadata update_secret_metadata \
        create_secret_action get_secret_by_name_type create_secret_version list_secret_versions get_secret_version \
        delete_secret_version_data get_secret_version_metadata update_secret_version_metadata \
        create_secret_version_action list_secret_tasks get_secret_task replace_secret_task delete_secret_task \
        list_secrets_locks list_secret_locks create_secret_locks_bulk delete_secret_locks_bulk \
        list_secret_version_locks create_secret_version_locks_bulk delete_secret_version_locks_bulk \
        create_configuration list_configurations get_configuration update_configuration delete_configuration \
        create_configuration_action create_notifications_registration get_notifications_registration \
        delete_notifications_registration get_notifications_registration_test";
    let services = v.t.server().router.services();
    let endpoints = &services.iter().find(|s| s.name == "secrets-manager").unwrap().endpoints;
    let mut have: Vec<&str> = endpoints.iter().map(|e| e.operation).collect();
    let mut wanted: Vec<&str> = published.split_whitespace().collect();
    have.sort_unstable();
    wanted.sort_unstable();
    assert_eq!((have, wanted.len()), (wanted.clone(), 41));
    for e in endpoints {
        assert!(!e.actions.is_empty() && !e.events.is_empty(), "{e:?} is not audited");
    }
}

#[tokio::test]
async fn secrets_of_other_types_are_refused_by_name_and_found_nowhere() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    for kind in [
        "iam_credentials",
        "service_credentials",
        "imported_cert",
        "public_cert",
        "private_cert",
        "custom_credentials",
    ] {
        let r = admin.post("/secrets", json!({"secret_type": kind, "name": "x1", "payload": "p"})).await;
        in_shape(&r, 400);
        assert!(message(&r).contains("not supported") && message(&r).contains(kind), "{}", r.text);
        let named = admin.get(&format!("/secret_groups/default/secret_types/{kind}/secrets/x1")).await;
        in_shape(&named, 404);
        let listed = admin.get(&format!("/secrets?secret_types={kind}")).await;
        assert_eq!((listed.status, &listed.body["total_count"]), (200, &json!(0)));
    }
    let r = admin.post("/secrets", json!({"secret_type": "ssh", "name": "x1", "payload": "p"})).await;
    in_shape(&r, 400);
    assert!(message(&r).contains("secret_type") && !r.text.contains("ssh"), "{}", r.text);
}

#[tokio::test]
async fn configurations_tasks_and_notifications_do_not_exist_and_cannot_be_made() {
    let v = Vault::new().await;
    let admin = v.admin().await;
    let secret = admin.text("db").await;
    let empty = admin.get("/configurations").await.body;
    assert_eq!(
        (&empty["configurations"], &empty["total_count"], &empty["limit"]),
        (&json!([]), &json!(0), &json!(200))
    );
    assert_eq!(admin.get(&format!("{secret}/tasks")).await.body, json!({"tasks": []}));
    let configuration =
        json!({"config_type": "iam_credentials_configuration", "name": "iam", "api_key": "canary-key"});
    let registration =
        json!({"event_notifications_instance_crn": "crn:v1:x", "event_notifications_source_name": "n"});
    let task = format!("{secret}/tasks/{ABSENT}");
    for (method, path, body, status) in [
        ("POST", "/configurations", configuration, 400),
        ("GET", "/configurations/iam", Value::Null, 404),
        ("PATCH", "/configurations/iam", json!({"disabled": true}), 404),
        ("DELETE", "/configurations/iam", Value::Null, 404),
        (
            "POST",
            "/configurations/iam/actions",
            json!({"action_type": "private_cert_configuration_action_rotate_crl"}),
            404,
        ),
        ("POST", "/notifications/registration", registration, 400),
        ("GET", "/notifications/registration", Value::Null, 404),
        ("GET", "/notifications/registration/test", Value::Null, 404),
        ("DELETE", "/notifications/registration", Value::Null, 404),
        ("GET", &task, Value::Null, 404),
        ("PUT", &task, json!({"status": "credentials_deleted"}), 403),
        ("DELETE", &task, Value::Null, 404),
        (
            "POST",
            &format!("{secret}/actions"),
            json!({"action_type": "public_cert_action_validate_dns_challenge"}),
            400,
        ),
        (
            "POST",
            &format!("{secret}/versions/current/actions"),
            json!({"action_type": "private_cert_action_revoke_certificate"}),
            400,
        ),
    ] {
        let r = admin.call(method, path, body).await;
        in_shape(&r, status);
        assert!(!r.text.contains("canary-key"));
        if status == 400 {
            assert!(message(&r).contains("not supported"), "{method} {path}: {}", r.text);
        }
    }
    // Whoever reports about tasks learns that there is none.
    let updater = v.with_role("SecretTaskUpdater", None).await;
    in_shape(&updater.put(&task, json!({"status": "credentials_deleted"})).await, 404);
}

#[tokio::test]
async fn reading_these_needs_the_published_rights() {
    let v = Vault::new().await;
    let reader = v.with_role("Reader", None).await;
    let secrets_reader = v.with_role("SecretsReader", None).await;
    for (path, reader_status, secrets_reader_status) in [
        ("/configurations", 200, 403),
        ("/configurations/iam", 403, 403),
        ("/notifications/registration", 404, 404),
        ("/notifications/registration/test", 404, 404),
    ] {
        assert_eq!(reader.get(path).await.status, reader_status, "{path}");
        assert_eq!(secrets_reader.get(path).await.status, secrets_reader_status, "{path}");
    }
    for path in ["/configurations", "/notifications/registration"] {
        assert_eq!(reader.post(path, json!({})).await.status, 403, "{path}");
    }
}
