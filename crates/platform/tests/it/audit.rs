//! Search in the trail.

use avouch_testkit::TestApp;
use serde_json::{Value, json};

use crate::text;

const EVENTS: &str = "/avouch/v1/audit/events";

async fn profiles(t: &TestApp, count: usize) {
    let admin = t.admin().await;
    for n in 0..count {
        let made =
            admin.post("/v1/profiles", json!({"name": format!("p{n}"), "account_id": t.account()})).await;
        assert_eq!(made.status, 201);
        t.advance_secs(1);
    }
}

#[tokio::test]
async fn pages_lead_to_the_end_without_a_gap_or_a_double() {
    let t = TestApp::new().await;
    profiles(&t, 4).await;
    let admin = t.admin().await;
    let action = "action=iam-identity.account-profile.create";
    let all = admin.get(&format!("{EVENTS}?{action}")).await;
    let ids = |r: &Value| -> Vec<String> {
        r["events"].as_array().unwrap().iter().map(|e| text(e, "id").to_owned()).collect()
    };
    let wanted = ids(&all.body);
    assert_eq!(wanted.len(), 4, "{}", all.body);
    let times: Vec<&str> =
        all.body["events"].as_array().unwrap().iter().map(|e| text(e, "eventTime")).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "newest first: {times:?}");
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let r = admin.get(&format!("{EVENTS}?{action}&limit=1{cursor}")).await;
        seen.extend(ids(&r.body));
        match r.body["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, wanted);
    let one = admin.get(&format!("{EVENTS}/{}", wanted[0])).await;
    assert_eq!((one.status, text(&one.body, "id")), (200, wanted[0].as_str()));
    let export = admin.get(&format!("/avouch/v1/audit/export?{action}")).await;
    assert_eq!((export.status, export.text.lines().count()), (200, 4));
}

#[tokio::test]
async fn filters_narrow_and_bad_ones_are_refused() {
    let t = TestApp::new().await;
    profiles(&t, 2).await;
    let admin = t.admin().await;
    let count = async |query: &str| {
        let r = admin.get(&format!("{EVENTS}?action=iam-identity.account-profile.create&{query}")).await;
        assert_eq!(r.status, 200, "{query}: {}", r.body);
        r.body["events"].as_array().unwrap().len()
    };
    assert_eq!(count(&format!("initiator_id={}", t.owner())).await, 2);
    assert_eq!(count("outcome=success").await, 2);
    assert_eq!((count("outcome=failure").await, count("initiator_id=IBMid-0").await), (0, 0));
    assert_eq!(count(&format!("from={}", t.now().millis() - 1500)).await, 1);
    assert_eq!(count("to=2026-03-02T10:00:00Z").await, 1);
    for bad in
        ["limit=0", "limit=1001", "cursor=!!", "cursor=MTox%00", "from=yesterday", "trail=all", "action=%00"]
    {
        assert_eq!(admin.get(&format!("{EVENTS}?{bad}")).await.status, 400, "{bad}");
    }
    assert_eq!(admin.get(&format!("{EVENTS}/6e1f7ea6-0000-4000-8000-00000000dead")).await.status, 404);
}

#[tokio::test]
async fn a_trail_is_read_by_its_account_and_the_operators_by_the_operator() {
    let t = TestApp::new().await;
    profiles(&t, 1).await;
    let admin = t.admin().await;
    let event = admin.get(&format!("{EVENTS}?action=iam-identity.account-profile.create")).await;
    let one = format!("{EVENTS}/{}", text(&event.body["events"][0], "id"));
    let outsider = t.outsider().await;
    let theirs = outsider.get(EVENTS).await;
    assert_eq!(theirs.status, 200, "{}", theirs.body);
    assert!(!theirs.text.contains(t.account()), "{}", theirs.text);
    assert_eq!(outsider.get(&one).await.status, 404);
    assert_eq!(outsider.get(&format!("{EVENTS}?trail=operator")).await.status, 403);
    assert_eq!(admin.get(&format!("{EVENTS}?trail=operator")).await.status, 200);
    for path in [EVENTS, one.as_str(), "/avouch/v1/audit/export"] {
        assert_eq!(t.nobody().await.get(path).await.status, 403, "{path}");
    }
    // Reading leaves its own event.
    assert!(!t.events(&[("action", "atracker.events.search")]).await.is_empty());
}

#[tokio::test]
async fn the_owner_of_another_account_becomes_no_operator_by_policies_of_his_own() {
    let t = TestApp::new().await;
    let owner = t.outsider().await;
    let key = &owner.get("/v1/apikeys").await.body["apikeys"][0];
    let (account, iam_id) = (key["account_id"].as_str().unwrap(), key["iam_id"].as_str().unwrap());
    let is =
        |key: &str, operator: &str, value: &str| json!({"key": key, "operator": operator, "value": value});
    let custom = json!({"name": "Operating", "display_name": "Operating", "account_id": account,
        "service_name": "avouch", "actions": ["avouch.audit.read-operator", "avouch.account.read"]});
    let custom = owner.post("/v2/roles", custom).await;
    let custom =
        custom.body["crn"].as_str().unwrap_or("crn:v1:bluemix:public:iam::::role:Administrator").to_owned();
    let platform = |name: &str| format!("crn:v1:bluemix:public:iam::::role:{name}");
    for more in [
        vec![],
        vec![is("serviceName", "stringEquals", "avouch")],
        vec![is("serviceName", "stringMatch", "av*")],
        vec![is("serviceName", "stringMatch", "*")],
        vec![is("serviceType", "stringEquals", "service")],
        vec![is("serviceType", "stringEquals", "platform_service")],
        vec![is("serviceType", "stringMatch", "*")],
        vec![is("service_group_id", "stringEquals", "IAM")],
    ] {
        for role in [platform("Administrator"), platform("Editor"), platform("Viewer"), custom.clone()] {
            let mut attributes = vec![is("accountId", "stringEquals", account)];
            attributes.extend(more.clone());
            let policy = json!({
                "type": "access",
                "subject": {"attributes": [is("iam_id", "stringEquals", iam_id)]},
                "control": {"grant": {"roles": [{"role_id": role}]}},
                "resource": {"attributes": attributes},
            });
            let made = owner.post("/v2/policies", policy).await.status;
            assert_eq!(
                owner.get(&format!("{EVENTS}?trail=operator")).await.status,
                403,
                "{role} {more:?}: {made}"
            );
            let seen = owner.get("/avouch/v1/accounts").await;
            assert_eq!(seen.body["accounts"].as_array().unwrap().len(), 1, "{role} {more:?}: {made}");
        }
    }
}
