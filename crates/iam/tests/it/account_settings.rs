//! Account settings, and the lists of what this server does not have.

use avouch_testkit::TestApp;
use serde_json::json;

use crate::helpers::{event, text};

#[tokio::test]
async fn settings_have_defaults_and_are_changed_in_part() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let path = format!("/v1/accounts/{}/settings/identity", t.account());
    let read = admin.get(&path).await;
    assert_eq!((read.status, read.etag()), (200, text(&read, "entity_tag")));
    for (field, wanted) in [
        ("account_id", json!(t.account())),
        ("history", json!([])),
        ("restrict_create_service_id", json!("NOT_SET")),
        ("restrict_create_platform_apikey", json!("NOT_SET")),
        ("restrict_user_list_visibility", json!("NOT_RESTRICTED")),
        ("allowed_ip_addresses", json!("")),
        ("mfa", json!("NONE")),
        ("user_mfa", json!([])),
        ("session_expiration_in_seconds", json!("NOT_SET")),
        ("session_invalidation_in_seconds", json!("NOT_SET")),
        ("max_sessions_per_identity", json!("NOT_SET")),
        ("system_access_token_expiration_in_seconds", json!("NOT_SET")),
        ("system_refresh_token_expiration_in_seconds", json!("NOT_SET")),
        ("restrict_user_domains", json!([])),
    ] {
        assert_eq!(read.body[field], wanted, "{field}");
    }
    let patterns = json!(["*.*@company.test"]);
    let domains = json!([{"realm_id": "IBMid", "invitation_email_allow_patterns": patterns, "restrict_invitation": true}]);
    let body =
        json!({"mfa": "TOTP", "restrict_user_domains": domains, "session_expiration_in_seconds": "900"});
    assert_eq!(admin.put(&path, body.clone()).await.status, 400);
    let tagged = admin.with_header("if-match", &read.etag());
    let put = tagged.put(&path, body.clone()).await;
    assert_eq!(
        (put.status, &put.body["restrict_user_domains"], &put.body["history"]),
        (200, &domains, &json!([]))
    );
    assert_eq!(
        (&put.body["mfa"], &put.body["restrict_create_service_id"]),
        (&json!("TOTP"), &json!("NOT_SET"))
    );
    assert_eq!(tagged.put(&path, body).await.status, 409);
    let read = admin.get(&format!("{path}?include_history=true")).await;
    assert_eq!((read.etag(), read.body["history"].as_array().unwrap().len()), (put.etag(), 1));
    let effective =
        admin.get(&format!("/v1/accounts/{}/effective_settings/identity", t.account())).await.body;
    assert_eq!(
        (&effective["effective"]["mfa"], &effective["account"]["mfa"]),
        (&json!("TOTP"), &json!("TOTP"))
    );
    assert_eq!(effective["assigned_templates"], json!([]));
    let told = t.events(&[("action", "iam-identity.accountsettings.update"), ("outcome", "success")]).await;
    let told = &told[0]["requestData"]["request_body"];
    assert_eq!((&told["old_mfa"], &told["new_mfa"]), (&json!("NONE"), &json!("TOTP")));
}

#[tokio::test]
async fn unfit_settings_are_refused() {
    let t = TestApp::new().await;
    let admin = t.admin().await.with_header("if-match", "*");
    let path = format!("/v1/accounts/{}/settings/identity", t.account());
    for bad in [
        json!([]),
        json!({"mfa": "SOMETHING"}),
        json!({"mfa": null}),
        json!({"restrict_create_service_id": "yes"}),
        json!({"restrict_user_list_visibility": "NOT_SET"}),
        json!({"session_expiration_in_seconds": 900}),
        json!({"session_expiration_in_seconds": "899"}),
        json!({"session_invalidation_in_seconds": "7201"}),
        json!({"max_sessions_per_identity": "0"}),
        json!({"system_access_token_expiration_in_seconds": "3601"}),
        json!({"system_refresh_token_expiration_in_seconds": "259201"}),
        json!({"allowed_ip_addresses": "10.0.0.0/33"}),
        json!({"allowed_ip_addresses": "10.0.0.1,nonsense!"}),
        json!({"user_mfa": [{"iam_id": "IBMid-1"}]}),
        json!({"user_mfa": [{"iam_id": "IBMid-1", "mfa": "X"}]}),
        json!({"restrict_user_domains": [{}]}),
        json!({"restrict_user_domains": {}}),
    ] {
        assert_eq!(admin.put(&path, bad.clone()).await.status, 400, "{bad}");
    }
    let addresses = "10.0.0.1, 10.1.0.0/16,2001:db8::/32,127.0.0.1 - 127.0.0.9";
    let good = json!({"allowed_ip_addresses": addresses, "unknown": 1});
    assert_eq!(admin.put(&path, good).await.status, 200);
}

#[tokio::test]
async fn settings_are_read_and_changed_by_whom_policies_allow() {
    let t = TestApp::new().await;
    let path = format!("/v1/accounts/{}/settings/identity", t.account());
    let body = json!({"max_sessions_per_identity": "5"});
    for (role, read, change) in [("Viewer", 200, 403), ("Editor", 200, 200), ("nobody", 403, 403)] {
        let client = if role == "nobody" { t.nobody().await } else { t.with_role(role).await };
        assert_eq!(client.get(&path).await.status, read, "{role}");
        assert_eq!(
            client.with_header("if-match", "*").put(&path, body.clone()).await.status,
            change,
            "{role}"
        );
    }
    let outsider = t.outsider().await.with_header("if-match", "*");
    let unknown = format!("/v1/accounts/{}/settings/identity", "f".repeat(32));
    for path in [path.as_str(), unknown.as_str(), "/v1/accounts/x/settings/identity"] {
        assert_eq!(outsider.get(path).await.status, 404, "{path}");
        assert_eq!(outsider.put(path, body.clone()).await.status, 404, "{path}");
    }
    let refused =
        t.events(&[("action", "iam-identity.accountsettings.update"), ("outcome", "failure")]).await;
    assert_eq!(refused.len(), 2);
    assert_eq!(
        event(&t, "iam-identity.accountsettings.update").await["target"]["typeURI"],
        "iam-identity/account-settings"
    );
}

#[tokio::test]
async fn lists_of_enterprise_objects_are_empty() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    for (path, array) in [
        ("profile_templates", "profile_templates"),
        ("account_settings_templates", "account_settings_templates"),
        ("profile_assignments/", "assignments"),
        ("account_settings_assignments/", "assignments"),
    ] {
        let r = admin.get(&format!("/v1/{path}?account_id={}&limit=5", t.account())).await;
        assert_eq!((r.status, &r.body[array], &r.body["limit"]), (200, &json!([]), &json!(5)), "{path}");
        assert_eq!(t.anon().get(&format!("/v1/{path}")).await.status, 401);
    }
}
