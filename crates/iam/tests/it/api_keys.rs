//! API keys: the value is shown once, kept as a hash, and stands in no event and no error.

use avouch_testkit::{Client, TestApp, TestResponse};
use serde_json::{Value, json};

use crate::helpers::{code, event, grant, service_id, text, user};

async fn own_key(t: &TestApp, client: &Client, more: Value) -> TestResponse {
    let mut body = json!({"name": "k", "iam_id": t.owner()});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.post("/v1/apikeys", body).await
}

async fn logs_in(t: &TestApp, value: &str) -> bool {
    let form = [("grant_type", "urn:ibm:params:oauth:grant-type:apikey"), ("apikey", value)];
    t.anon().form("/identity/token", &form).await.status == 200
}

#[tokio::test]
async fn who_adds_a_user_makes_his_first_key_and_no_other() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let added = admin.post("/avouch/v1/users", json!({"email": "eve@avouch.test"})).await;
    assert_eq!(added.status, 201, "{}", added.body);
    let eve = text(&added, "iam_id");
    let key_for = |name: &str| json!({"name": name, "iam_id": eve, "account_id": t.account()});
    // Neither a viewer nor another account may, and nobody gets a key for a user who does not exist.
    for stranger in [t.viewer().await, t.nobody().await, t.outsider().await] {
        let refused = stranger.post("/v1/apikeys", key_for("theirs")).await;
        assert!([403, 404].contains(&refused.status), "{}", refused.body);
    }
    let nobody = admin.post("/v1/apikeys", json!({"name": "k", "iam_id": "IBMid-0000000000"})).await;
    assert_eq!(nobody.status, 403, "{}", nobody.body);

    let first = admin.post("/v1/apikeys", key_for("first")).await;
    assert_eq!(first.status, 201, "{}", first.body);
    let told = t.events(&[("action", "iam-identity.user-apikey.create"), ("outcome", "success")]).await;
    assert_eq!(told.len(), 1);
    assert_eq!(
        (&told[0]["initiator"]["id"], &told[0]["requestData"]["iam_id"]),
        (&json!(t.owner()), &json!(eve))
    );
    assert_eq!(told[0]["severity"], "critical");
    assert_eq!(admin.post("/v1/apikeys", key_for("second")).await.status, 403);
    // He may do nothing yet but mind his own keys.
    let value = text(&first, "apikey");
    let client = t.bearer(&t.token(&value).await);
    let one = client.post("/v1/profiles", json!({"name": "p", "account_id": t.account()})).await;
    assert_eq!(one.status, 403, "{}", one.body);
    assert_eq!(client.post("/v1/apikeys", key_for("own")).await.status, 201);
    // Without any key left he is still no newcomer: he has logged in.
    let list = client.get(&format!("/v1/apikeys?account_id={}&iam_id={eve}", t.account())).await;
    for key in list.body["apikeys"].as_array().unwrap() {
        assert_eq!(client.delete(&format!("/v1/apikeys/{}", key["id"].as_str().unwrap())).await.status, 204);
    }
    assert_eq!(admin.post("/v1/apikeys", key_for("again")).await.status, 403);
}

#[tokio::test]
async fn nobody_gets_a_key_for_a_person_who_was_known_before_he_was_added() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let other = t.outsider().await;
    let elsewhere =
        other.get("/v1/apikeys").await.body["apikeys"][0]["account_id"].as_str().unwrap().to_owned();
    // The owner of one account is added to another one: whoever runs that must not become him.
    let added = json!({"email": "victim@avouch.test", "iam_id": t.owner(), "account_id": elsewhere});
    assert_eq!(other.post("/avouch/v1/users", added).await.status, 201);
    let key = json!({"name": "k", "iam_id": t.owner(), "account_id": elsewhere});
    assert_eq!(other.post("/v1/apikeys", key).await.status, 403);
    // Nor is an id taken first that somebody may be known by later.
    let reserved = json!({"email": "later@avouch.test", "iam_id": "IBMid-0123456789"});
    let refused = admin.post("/avouch/v1/users", reserved).await;
    assert!(refused.status == 400 && refused.text.contains("iam_id"), "{}", refused.text);
}

#[tokio::test]
async fn nobody_makes_the_first_key_of_who_was_given_rights_before() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    for given in ["policy", "group", "profile"] {
        let added = admin.post("/avouch/v1/users", json!({"email": format!("{given}@avouch.test")})).await;
        let ada = text(&added, "iam_id");
        match given {
            "policy" => grant(&t, &ada, "Viewer", &[]).await,
            "group" => {
                let path = format!("/v2/groups?account_id={}", t.account());
                let group = text(&admin.post(&path, json!({"name": "g"})).await, "id");
                let members = json!({"members": [{"iam_id": ada, "type": "user"}]});
                assert_eq!(admin.put(&format!("/v2/groups/{group}/members"), members).await.status, 207);
            }
            _ => {
                let profile = crate::helpers::profile(&t, &admin, "p").await;
                let path = format!("/v1/profiles/{profile}/identities/user");
                let identity = json!({"type": "user", "identifier": ada});
                assert_eq!(admin.post(&path, identity).await.status, 200);
            }
        }
        let key = json!({"name": "k", "iam_id": ada, "account_id": t.account()});
        assert_eq!(admin.post("/v1/apikeys", key).await.status, 403, "{given}");
    }
}

#[tokio::test]
async fn nobody_makes_the_first_key_of_who_was_given_rights_in_another_account() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let other = t.outsider().await;
    let elsewhere =
        other.get("/v1/apikeys").await.body["apikeys"][0]["account_id"].as_str().unwrap().to_owned();
    for given in ["policy", "group", "member"] {
        let added = admin.post("/avouch/v1/users", json!({"email": format!("{given}@avouch.test")})).await;
        let ada = text(&added, "iam_id");
        match given {
            "policy" => {
                let equal =
                    |key: &str, value: &str| json!({"key": key, "operator": "stringEquals", "value": value});
                let target = json!([equal("accountId", &elsewhere), equal("serviceName", "iam-groups")]);
                t.grant(&other, &ada, "crn:v1:bluemix:public:iam::::role:Viewer", target).await;
            }
            "group" => {
                let group =
                    other.post(&format!("/v2/groups?account_id={elsewhere}"), json!({"name": "g"})).await;
                let members = json!({"members": [{"iam_id": ada, "type": "user"}]});
                let path = format!("/v2/groups/{}/members", text(&group, "id"));
                assert_eq!(other.put(&path, members).await.status, 207);
            }
            _ => {
                let user = json!({"email": "m@avouch.test", "iam_id": ada, "account_id": elsewhere});
                assert_eq!(other.post("/avouch/v1/users", user).await.status, 201);
            }
        }
        let key = json!({"name": "k", "iam_id": ada, "account_id": t.account()});
        assert_eq!(admin.post("/v1/apikeys", key).await.status, 403, "{given}");
    }
}

#[tokio::test]
async fn the_first_key_of_somebody_else_is_restricted_like_an_own_one() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let (clerk, clerk_id) = t.service_id("clerk").await;
    let equal = |key: &str, value: &str| json!({"key": key, "operator": "stringEquals", "value": value});
    let target = json!([equal("accountId", t.account()), equal("serviceName", "user-management")]);
    t.grant(&admin, &clerk_id, "crn:v1:bluemix:public:iam::::role:Administrator", target).await;
    let creator = "crn:v1:bluemix:public:iam-identity::::serviceRole:UserApiKeyCreator";
    let target = json!([equal("accountId", t.account()), equal("serviceName", "iam-identity")]);
    t.grant(&admin, t.owner(), creator, target).await;
    let settings = format!("/v1/accounts/{}/settings/identity", t.account());
    let restrict = json!({"restrict_create_platform_apikey": "RESTRICTED"});
    let tag = admin.get(&settings).await.etag();
    assert_eq!(admin.with_header("if-match", &tag).put(&settings, restrict).await.status, 200);
    for (client, name, status) in [(&clerk, "eve", 403), (&admin, "bob", 201)] {
        let added = admin.post("/avouch/v1/users", json!({"email": format!("{name}@avouch.test")})).await;
        let key = json!({"name": "k", "iam_id": added.body["iam_id"], "account_id": t.account()});
        let made = client.post("/v1/apikeys", key).await;
        assert_eq!(made.status, status, "{name}: {}", made.text);
    }
}

#[tokio::test]
async fn a_key_lives_from_creation_to_deletion() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let made = own_key(&t, &admin, json!({"description": "d"})).await;
    assert_eq!((made.status, made.etag()), (201, text(&made, "entity_tag")), "{}", made.body);
    let (id, value) = (text(&made, "id"), text(&made, "apikey"));
    assert_eq!(made.body["account_id"], t.account());
    assert_eq!(made.body["created_by"], t.owner());
    assert_eq!((&made.body["locked"], &made.body["disabled"]), (&json!(false), &json!(false)));
    let defaults = (&made.body["support_sessions"], &made.body["action_when_leaked"]);
    assert_eq!(defaults, (&json!(false), &json!("disable")));
    assert!(made.body.get("expires_at").is_none());
    let path = format!("/v1/apikeys/{id}");
    let read = admin.get(&format!("{path}?include_history=true&include_activity=true")).await;
    assert_eq!((read.status, read.etag(), &read.body["apikey"]), (200, made.etag(), &json!("")));
    assert_eq!(read.body["history"][0]["action"], "create-apikey");
    assert_eq!(read.body["activity"], json!({"authn_count": 0}));
    assert!(logs_in(&t, &value).await);
    let read = admin.get(&format!("{path}?include_activity=true")).await;
    assert_eq!(read.body["activity"], json!({"authn_count": 1, "last_authn": "2026-03-02T10:00+0000"}));

    let found = admin.with_header("iam-apikey", &value).get("/v1/apikeys/details?include_history=true").await;
    assert_eq!((found.status, &found.body["id"], &found.body["apikey"]), (200, &json!(id), &json!("")));
    assert_eq!(found.body["history"].as_array().unwrap().len(), 1);
    assert_eq!(
        admin.with_header("iam-apikey", &format!("{value}x")).get("/v1/apikeys/details").await.status,
        404
    );
    assert_eq!(admin.get("/v1/apikeys/details").await.status, 400);

    assert_eq!(admin.put(&path, json!({"name": "n"})).await.status, 400);
    let body = json!({"name": "n", "expires_at": "2049-01-02T18:30:00+0000", "action_when_leaked": "none"});
    let tagged = admin.with_header("if-match", &made.etag());
    let changed = tagged.put(&path, body).await;
    assert_eq!((changed.status, text(&changed, "expires_at")), (200, "2049-01-02T18:30+0000".into()));
    assert_eq!((text(&changed, "apikey"), text(&changed, "description")), (String::new(), "d".into()));
    assert_eq!(tagged.put(&path, json!({"name": "m"})).await.status, 409);
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!((admin.get(&path).await.status, admin.delete(&path).await.status), (404, 404));
    assert!(!logs_in(&t, &value).await);

    for action in ["create", "update", "delete"] {
        let name = format!("iam-identity.user-apikey.{action}");
        let told = t.events(&[("action", &name), ("outcome", "success")]).await;
        assert_eq!((told.len(), &told[0]["severity"]), (1, &json!("critical")), "{action}");
        assert_eq!(told[0]["target"]["typeURI"], "iam-identity/user-apikey");
        assert!(told[0]["target"]["id"].as_str().unwrap().ends_with(&format!("{}:apikey:{id}", t.owner())));
    }
    assert!(!Value::Array(t.events(&[]).await).to_string().contains(&value));
}

#[tokio::test]
async fn a_value_may_be_brought_once_on_the_whole_server() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let value = "canary-value-\u{fc}-".repeat(3);
    assert_eq!(own_key(&t, &admin, json!({"apikey": "x".repeat(31)})).await.status, 400);
    assert_eq!(own_key(&t, &admin, json!({"apikey": "x".repeat(1025)})).await.status, 400);
    let made = own_key(&t, &admin, json!({"apikey": value})).await;
    assert_eq!((made.status, text(&made, "apikey")), (201, value.clone()));
    assert!(logs_in(&t, &value).await);
    let outsider = t.outsider().await;
    for client in [&admin, &outsider] {
        let owner = client.get("/v1/apikeys").await.body["apikeys"][0]["iam_id"].clone();
        let r = client.post("/v1/apikeys", json!({"name": "k", "iam_id": owner, "apikey": value})).await;
        assert_eq!((r.status, code(&r)), (409, "BXNIM0111E"));
        assert!(!r.text.contains("canary"));
    }
    let kept = t
        .app()
        .store
        .read(|tx| {
            let rows = tx.query("select digest, name from api_keys", &[])?;
            rows.iter()
                .map(|r| Ok(r.get::<String>(0)? + &r.get::<String>(1)?))
                .collect::<Result<Vec<_>, avouch_store::Error>>()
        })
        .await
        .unwrap();
    assert!(!kept.is_empty() && !kept.concat().contains("canary"));
}

#[tokio::test]
async fn unfit_requests_are_refused_without_repeating_them() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let canary = "canary-4e1d-canary-4e1d-canary-4e1d";
    for more in [
        json!({"name": ""}),
        json!({"name": null}),
        json!({"iam_id": ""}),
        json!({"iam_id": format!("iam-Profile-{canary}")}),
        json!({"apikey": [canary]}),
        json!({"apikey": {"v": canary}}),
        json!({"apikey": canary, "store_value": "yes"}),
        json!({"apikey": canary, "store_value": true}),
        json!({"apikey": canary, "action_when_leaked": "explode"}),
        json!({"apikey": canary, "expires_at": "tomorrow"}),
        json!({"apikey": canary, "account_id": "x"}),
        json!({"apikey": canary, "support_sessions": "x"}),
        json!({"apikey": format!("{canary}\u{0}")}),
    ] {
        let r = own_key(&t, &admin, more.clone()).await;
        let wanted =
            if more["iam_id"].as_str().is_some_and(|i| !i.is_empty()) { [400, 403] } else { [400, 400] };
        assert!(wanted.contains(&r.status), "{more}: {}", r.body);
        assert!(!r.text.contains("canary"), "{}", r.text);
    }
    assert!(!Value::Array(t.events(&[]).await).to_string().contains("canary"));
}

#[tokio::test]
async fn a_stored_value_is_sealed_and_its_disclosure_is_told() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let s = service_id(&t, &admin, "s").await;
    let body = json!({"name": "k", "iam_id": s.body["iam_id"], "store_value": true});
    let made = admin.post("/v1/apikeys", body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let (value, path) = (text(&made, "apikey"), format!("/v1/apikeys/{}", text(&made, "id")));
    assert_eq!(text(&admin.get(&path).await, "apikey"), value);
    let read = event(&t, "iam-identity.serviceid-apikey.read").await;
    assert!(!read.to_string().contains(&value));
    let changed = admin.with_header("if-match", "*").put(&path, json!({"name": "n"})).await;
    assert_eq!(text(&changed, "apikey"), value);
    let told = event(&t, "iam-identity.serviceid-apikey.update").await;
    assert_eq!(told["responseData"]["value"], "shown");
    let listed = admin.get(&format!("/v1/apikeys?iam_id={}", text(&s, "iam_id"))).await;
    assert_eq!(listed.body["apikeys"][0]["apikey"], "");
    let found = admin.with_header("iam-apikey", &value).get("/v1/apikeys/details").await;
    assert_eq!(found.body["apikey"], "");
    let sealed = t
        .app()
        .store
        .read(|tx| {
            tx.query_one("select stored from api_keys where stored is not null", &[])?.get::<Vec<u8>>(0)
        })
        .await
        .unwrap();
    assert!(!sealed.windows(value.len()).any(|w| w == value.as_bytes()));
}

#[tokio::test]
async fn a_locked_key_changes_only_by_being_unlocked_and_still_logs_in() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let made = own_key(&t, &admin.with_header("entity-lock", "true"), json!({})).await;
    assert_eq!((made.status, &made.body["locked"]), (201, &json!(true)));
    let path = format!("/v1/apikeys/{}", text(&made, "id"));
    let any = admin.with_header("if-match", "*");
    for r in [
        any.put(&path, json!({"name": "x"})).await,
        admin.delete(&path).await,
        admin.post(&format!("{path}/disable"), Value::Null).await,
        admin.delete(&format!("{path}/disable")).await,
    ] {
        assert_eq!((r.status, code(&r)), (409, "BXNIM0112E"));
    }
    let told = event(&t, "iam-identity.user-apikey.delete").await;
    assert_eq!((&told["outcome"], &told["severity"]), (&json!("failure"), &json!("critical")));
    assert!(logs_in(&t, &text(&made, "apikey")).await);
    assert_eq!(admin.delete(&format!("{path}/lock")).await.status, 204);
    assert_eq!(any.put(&path, json!({"name": "x"})).await.status, 200);
    assert_eq!(admin.post(&format!("{path}/lock"), Value::Null).await.status, 204);
    assert_eq!(admin.get(&path).await.body["locked"], true);
}

#[tokio::test]
async fn a_disabled_or_expired_key_logs_nobody_in_and_stays_readable() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let off = own_key(&t, &admin.with_header("entity-disable", "true"), json!({})).await;
    assert_eq!((off.status, &off.body["disabled"]), (201, &json!(true)));
    let (path, value) = (format!("/v1/apikeys/{}", text(&off, "id")), text(&off, "apikey"));
    assert!(!logs_in(&t, &value).await);
    assert_eq!(admin.delete(&format!("{path}/disable")).await.status, 204);
    assert!(logs_in(&t, &value).await);
    assert_eq!(admin.post(&format!("{path}/disable"), Value::Null).await.status, 204);
    assert!(!logs_in(&t, &value).await);
    assert_eq!(admin.get(&path).await.body["disabled"], true);
    let short = own_key(&t, &admin, json!({"expires_at": "2026-03-02T10:01Z"})).await;
    assert!(logs_in(&t, &text(&short, "apikey")).await);
    t.advance_secs(60);
    assert!(!logs_in(&t, &text(&short, "apikey")).await);
    assert_eq!(admin.get(&format!("/v1/apikeys/{}", text(&short, "id"))).await.status, 200);
}

#[tokio::test]
async fn expired_keys_are_purged_after_ninety_days_even_locked() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let locking = admin.with_header("entity-lock", "true");
    let made = own_key(&t, &locking, json!({"expires_at": "2026-03-03T10:00+0000"})).await;
    let kept = own_key(&t, &admin, json!({})).await;
    t.advance_secs(91 * 86_400 - 1);
    t.tick().await;
    let admin = t.admin().await;
    let path = format!("/v1/apikeys/{}", text(&made, "id"));
    assert_eq!(admin.get(&path).await.status, 200);
    t.advance_secs(2);
    t.tick().await;
    assert_eq!(admin.get(&path).await.status, 404);
    assert_eq!(admin.get(&format!("/v1/apikeys/{}", text(&kept, "id"))).await.status, 200);
    let told = event(&t, "iam-identity.user-apikey.delete").await;
    assert_eq!(
        (&told["initiator"]["id"], &told["severity"]),
        (&json!("avouch-api-key-purge"), &json!("critical"))
    );
}

#[tokio::test]
async fn users_keep_their_own_keys_and_nobody_makes_keys_for_another_user() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let (client, iam_id) = user(&t, "member").await;
    let made = client.post("/v1/apikeys", json!({"name": "mine", "iam_id": iam_id})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let path = format!("/v1/apikeys/{}", text(&made, "id"));
    assert_eq!(client.get(&path).await.status, 200);
    assert_eq!(client.with_header("if-match", "*").put(&path, json!({"description": "d"})).await.status, 200);
    assert_eq!(client.get("/v1/apikeys").await.body["apikeys"].as_array().unwrap().len(), 2);
    // The administrator sees and deletes keys of others, but makes none.
    assert_eq!(admin.get(&path).await.status, 200);
    let r = admin.post("/v1/apikeys", json!({"name": "k", "iam_id": iam_id})).await;
    assert_eq!((r.status, code(&r)), (403, "BXNIM0513E"));
    // Nor does another user have any right to the key.
    let (other, _) = user(&t, "other").await;
    assert_eq!(other.get(&path).await.status, 403);
    assert_eq!(other.delete(&path).await.status, 403);
    assert_eq!(other.get(&format!("/v1/apikeys?iam_id={iam_id}")).await.body["apikeys"], json!([]));
    let all = other.get("/v1/apikeys?scope=account").await;
    assert_eq!(all.body["apikeys"].as_array().unwrap().len(), 1);
    assert_eq!(admin.delete(&path).await.status, 204);

    let settings = format!("/v1/accounts/{}/settings/identity", t.account());
    let restrict = json!({"restrict_create_platform_apikey": "RESTRICTED"});
    assert_eq!(admin.with_header("if-match", "*").put(&settings, restrict).await.status, 200);
    assert_eq!(client.post("/v1/apikeys", json!({"name": "k", "iam_id": iam_id})).await.status, 403);
    // The owner is no exception; keys of service IDs are.
    assert_eq!(own_key(&t, &admin, json!({})).await.status, 403);
    let s = service_id(&t, &client, "s").await;
    assert_eq!(
        client.post("/v1/apikeys", json!({"name": "k", "iam_id": s.body["iam_id"]})).await.status,
        201
    );
    let attribute = |key: &str, value: &str| json!({"key": key, "operator": "stringEquals", "value": value});
    let role = "crn:v1:bluemix:public:iam-identity::::serviceRole:UserApiKeyCreator";
    let attributes = json!([attribute("accountId", t.account()), attribute("serviceName", "iam-identity")]);
    t.grant(&admin, &iam_id, role, attributes).await;
    assert_eq!(client.post("/v1/apikeys", json!({"name": "k", "iam_id": iam_id})).await.status, 201);
}

#[tokio::test]
async fn keys_of_a_service_id_follow_rights_on_it() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let (mine, theirs) = (service_id(&t, &admin, "mine").await, service_id(&t, &admin, "theirs").await);
    let (client, iam_id) = user(&t, "keeper").await;
    grant(&t, &iam_id, "Operator", &[("resourceType", "serviceid"), ("resource", &text(&mine, "id"))]).await;
    let key = |s: &TestResponse| json!({"name": "k", "iam_id": s.body["iam_id"]});
    let made = client.post("/v1/apikeys", key(&mine)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(client.post("/v1/apikeys", key(&theirs)).await.status, 403);
    let other = admin.post("/v1/apikeys", key(&theirs)).await;
    let (path, other) =
        (format!("/v1/apikeys/{}", text(&made, "id")), format!("/v1/apikeys/{}", text(&other, "id")));
    assert_eq!((client.get(&path).await.status, client.get(&other).await.status), (200, 403));
    let listed = client.get("/v1/apikeys?scope=account&type=serviceid").await;
    assert_eq!(listed.body["apikeys"].as_array().unwrap().len(), 1);
    assert_eq!(client.delete(&other).await.status, 403);
    assert_eq!(client.delete(&path).await.status, 204);

    // A service ID without policy cannot turn its token into further keys, nor read the stored one.
    let body = json!({"name": "s", "iam_id": mine.body["iam_id"], "store_value": true});
    let stored = admin.post("/v1/apikeys", body).await;
    let workload = t.bearer(&t.token(&text(&stored, "apikey")).await);
    assert_eq!(workload.post("/v1/apikeys", key(&mine)).await.status, 403);
    assert_eq!(workload.get(&format!("/v1/apikeys/{}", text(&stored, "id"))).await.status, 403);
    assert_eq!(workload.post("/v1/apikeys", json!({"name": "k", "iam_id": t.owner()})).await.status, 403);
    let own = workload.with_header("iam-apikey", &text(&stored, "apikey")).get("/v1/apikeys/details").await;
    assert_eq!((own.status, &own.body["apikey"]), (200, &json!("")));

    let unknown = json!({"name": "k", "iam_id": "iam-ServiceId-00000000-0000-4000-8000-00000000dead"});
    assert_eq!(admin.post("/v1/apikeys", unknown.clone()).await.status, 400);
    assert_eq!(client.post("/v1/apikeys", unknown).await.status, 403);
    let profile = json!({"name": "k", "iam_id": "iam-Profile-00000000-0000-4000-8000-00000000dead"});
    assert_eq!(admin.post("/v1/apikeys", profile).await.status, 400);
}

#[tokio::test]
async fn lists_are_narrowed_by_owner_type_and_group() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let group = admin.post("/v1/serviceid_groups", json!({"account_id": t.account(), "name": "g"})).await;
    let body = json!({"account_id": t.account(), "name": "s", "group_id": group.body["id"], "apikey": {"name": "b"}});
    let s = admin.post("/v1/serviceids", body).await;
    own_key(&t, &admin, json!({"name": "a"})).await;
    let names = async |query: &str| {
        let r = admin.get(&format!("/v1/apikeys?sort=name{query}")).await;
        assert_eq!(r.status, 200, "{}", r.body);
        let all = r.body["apikeys"].as_array().unwrap();
        all.iter().map(|k| k["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("").await, ["a", "bootstrap"]);
    assert_eq!(names("&scope=account").await, ["a", "b", "bootstrap"]);
    assert_eq!(names("&scope=account&order=desc&pagesize=2").await, ["bootstrap", "b"]);
    assert_eq!(names("&scope=account&type=serviceid").await, ["b"]);
    assert_eq!(names("&scope=account&type=user").await, ["a", "bootstrap"]);
    assert_eq!(names(&format!("&iam_id={}", text(&s, "iam_id"))).await, ["b"]);
    assert_eq!(names(&format!("&scope=account&group_id={}", text(&group, "id"))).await, ["b"]);
    assert_eq!(names("&filter=disabled%20eq%20true").await, Vec::<String>::new());
    for bad in ["scope=all", "type=profile", "sort=modified_at", "account_id=x"] {
        assert_eq!(admin.get(&format!("/v1/apikeys?{bad}")).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn an_identity_has_a_limited_number_of_keys() {
    let t = TestApp::with(|c| c.limits.api_keys_per_identity = 2).await;
    let admin = t.admin().await;
    assert_eq!(own_key(&t, &admin, json!({})).await.status, 201);
    let r = own_key(&t, &admin, json!({})).await;
    assert_eq!((r.status, code(&r)), (400, "BXNIM0110E"));
}
