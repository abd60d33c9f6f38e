//! The decision as a service, and how identities of other accounts may act.

use avouch_wire::ids::{AccountId, ApiKeyId, IamId};
use serde_json::{Value, json};

use crate::access_app::{Client, TestApp, code, eq, platform, service_role};

const SUBJECT: &str = "IBMid-5500000001";

fn ask(t: &TestApp, subject: Value, action: &str, instance: &str) -> Value {
    json!({"subject": subject, "action": action, "requestId": "r1",
        "resource": {"attributes": {"accountId": t.account(), "serviceName": "kms", "serviceInstance": instance}}})
}

fn by_id(id: &str) -> Value {
    json!({"attributes": {"id": id}})
}

async fn setup() -> TestApp {
    let t = TestApp::new().await;
    t.grant(SUBJECT, &service_role("Reader"), json!([eq("serviceName", "kms"), eq("serviceInstance", "i1")]))
        .await;
    t
}

#[tokio::test]
async fn decisions_come_in_the_order_of_the_questions() {
    let t = setup().await;
    let admin = t.admin().await;
    let r = admin
        .post(
            "/v2/authz",
            json!([
                ask(&t, by_id(SUBJECT), "kms.secrets.wrap", "i1"),
                ask(&t, by_id(SUBJECT), "kms.secrets.wrap", "i2"),
                ask(&t, by_id(SUBJECT), "kms.secrets.delete", "i1"),
            ]),
        )
        .await;
    assert_eq!(r.status, 200, "{}", r.body);
    let all = r.body["responses"].as_array().unwrap();
    let permitted: Vec<bool> =
        all.iter().map(|d| d["authorizationDecision"]["permitted"].as_bool().unwrap()).collect();
    assert_eq!(permitted, [true, false, false]);
    assert_eq!((&all[0]["status"], &all[0]["requestId"]), (&json!("200"), &json!("r1")));
    let obligation = &all[0]["authorizationDecision"]["obligation"];
    assert!(obligation["actions"].as_array().unwrap().contains(&json!("kms.secrets.unwrap")));
    assert_eq!(obligation["subject"]["attributes"]["id"], SUBJECT);
    assert_eq!(obligation["resource"]["attributes"]["serviceInstance"], "i1");
    assert_eq!(all[1]["authorizationDecision"], json!({"permitted": false}));
    assert_eq!(r.body["cacheKeyPattern"]["order"], json!(["subject", "resource", "action"]));
}

#[tokio::test]
async fn resources_may_be_named_by_crn() {
    let t = setup().await;
    let crn = format!("crn:v1:bluemix:public:kms:us-south:a/{}:i1:key:k1", t.account());
    let body = json!([{"subject": by_id(SUBJECT), "action": "kms.secrets.wrap", "resource": {"crn": crn}}]);
    let r = t.admin().await.post("/v2/authz", body).await;
    assert_eq!(r.body["responses"][0]["authorizationDecision"]["permitted"], true, "{}", r.body);
}

#[tokio::test]
async fn bulk_takes_one_subject_and_many_resources() {
    let t = setup().await;
    let admin = t.admin().await;
    let body = json!({"subject": by_id(SUBJECT), "action": "kms.secrets.wrap", "resources": {
        "sharedAttributes": {"accountId": t.account(), "serviceName": "kms"},
        "uniqueAttributes": [{"serviceInstance": "i2"}, {"serviceInstance": "i1"}]}});
    for method in ["PUT", "POST"] {
        let r = admin.json(method, "/v2/authz/bulk", body.clone()).await;
        assert_eq!(r.status, 200, "{}", r.body);
        let all: Vec<&str> =
            r.body["decisions"].as_array().unwrap().iter().map(|d| d["decision"].as_str().unwrap()).collect();
        assert_eq!(all, ["Deny", "Permit"]);
    }
}

#[tokio::test]
async fn a_token_body_names_its_subject() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let made = admin
        .post("/v1/serviceids", json!({"account_id": t.account(), "name": "s", "apikey": {"name": "k"}}))
        .await;
    let iam_id = made.body["iam_id"].as_str().unwrap().to_owned();
    let token = t.token(made.body["apikey"]["apikey"].as_str().unwrap()).await;
    let body = token.split('.').nth(1).unwrap();
    t.grant(&iam_id, &service_role("Reader"), json!([eq("serviceName", "kms")])).await;
    let mut public = t.v2("x", &service_role("Reader"), json!([eq("serviceName", "kms")]));
    public["subject"]["attributes"][0] = eq("access_group_id", "AccessGroupId-PublicAccess");
    assert_eq!(admin.post("/v2/policies", public).await.status, 201);
    let asked = || async {
        let admin = t.admin().await;
        let mut all = Vec::new();
        for subject in [json!({"accessTokenBody": body}), json!({"attributes": {"accessTokenBody": body}})] {
            let r = admin.post("/v2/authz", json!([ask(&t, subject, "kms.secrets.wrap", "i1")])).await;
            all.push(r.body["responses"][0]["authorizationDecision"]["permitted"].as_bool().unwrap());
        }
        all
    };
    assert_eq!(asked().await, [true, true]);
    // Its time is over.
    t.advance_secs(3601);
    assert_eq!(asked().await, [false, false]);
    // Of an identity that no longer lives, public access or not.
    t.advance_secs(-3601);
    assert_eq!(asked().await, [true, true]);
    let id = made.body["id"].as_str().unwrap();
    assert_eq!(t.admin().await.delete(&format!("/v1/serviceids/{id}")).await.status, 204);
    assert_eq!(asked().await, [false, false]);
}

#[tokio::test]
async fn who_was_revoked_or_is_not_active_is_refused_whatever_names_him() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let permitted = async |admin: &Client, subject: Value| {
        let question = ask(&t, subject.clone(), "kms.secrets.wrap", "i1");
        let r = admin.post("/v2/authz", json!([question])).await;
        let permitted = r.body["responses"][0]["authorizationDecision"]["permitted"].as_bool().unwrap();
        let bulk =
            json!({"subject": subject, "action": "kms.secrets.wrap", "resources": [question["resource"]]});
        let r = admin.put("/v2/authz/bulk", bulk).await;
        assert_eq!(r.body["decisions"][0]["decision"] == "Permit", permitted, "{}", r.text);
        let roles = json!([{"subject": subject, "resource": question["resource"]}]);
        let r = admin.post("/v2/authz/roles", roles).await;
        let held = r.body["responses"][0]["roleActions"].as_array().unwrap();
        assert_eq!(!held.is_empty(), permitted, "{}", r.text);
        permitted
    };
    // The token of a revoked service ID, asked about by its body, as an enforcement point elsewhere does.
    let (client, iam_id) = t.identity().await;
    t.grant(&iam_id, &service_role("Reader"), json!([eq("serviceName", "kms")])).await;
    let old = json!({"accessTokenBody": client.token_body()});
    assert!(permitted(&admin, old.clone()).await);
    assert_eq!(admin.post("/avouch/v1/revocations", json!({"iam_id": iam_id})).await.status, 201);
    assert!(!permitted(&admin, old).await);
    assert!(permitted(&admin, by_id(&iam_id)).await, "new tokens count");
    // A user of the account who is not active, named by nothing but his id.
    let user = admin.post("/avouch/v1/users", json!({"email": "u@avouch.test"})).await;
    let user = user.body["iam_id"].as_str().unwrap().to_owned();
    t.grant(&user, &service_role("Reader"), json!([eq("serviceName", "kms")])).await;
    assert!(permitted(&admin, by_id(&user)).await);
    let (account, who) = (t.account().to_owned(), user.clone());
    let done: Result<(), avouch_store::Error> = t
        .app()
        .store
        .write(move |tx| {
            let sql = "update users set state = 'SUSPENDED' where account_id = $1 and iam_id = $2";
            tx.execute(sql, &avouch_store::params![account.as_str(), who.as_str()])?;
            tx.changed(&account, "identity", &who).map(|_| ())
        })
        .await;
    done.unwrap();
    assert!(!permitted(&admin, by_id(&user)).await);
}

#[tokio::test]
async fn a_limit_holds_for_who_comes_from_an_account_that_nobody_named() {
    let t = setup().await;
    let admin = t.admin().await;
    let path = format!("/v1/accounts/{}/settings/access_management", t.account());
    let wrap = json!([ask(&t, by_id(SUBJECT), "kms.secrets.wrap", "i1")]);
    let mut roles = ask(&t, by_id(SUBJECT), "x", "i1");
    roles.as_object_mut().unwrap().remove("action");
    let asked = async || {
        let r = admin.post("/v2/authz", wrap.clone()).await;
        let held = admin.post("/v2/authz/roles", json!([roles])).await;
        let held = held.body["responses"][0]["roleActions"].as_array().unwrap().len();
        (r.body["responses"][0]["authorizationDecision"]["permitted"].as_bool().unwrap(), held)
    };
    assert_eq!(asked().await, (true, 1));
    let other = "0123456789abcdef0123456789abcdef";
    for (state, allowed, want) in [
        ("monitor", json!([]), (true, 1)),
        ("limited", json!([]), (false, 0)),
        // It may be of the account that is let in, but nobody said so.
        ("limited", json!([other]), (false, 0)),
    ] {
        let tag = admin.get(&path).await.etag();
        let body = json!({"external_account_identity_interaction": {"identity_types": {
            "user": {"state": state, "external_allowed_accounts": allowed}}}});
        assert_eq!(admin.with_header("if-match", &tag).patch(&path, body).await.status, 200);
        assert_eq!(asked().await, want, "{state} {allowed}");
    }
    // Own identities are found without being told where they live.
    let (_, own) = t.identity().await;
    t.grant(&own, &service_role("Reader"), json!([eq("serviceName", "kms")])).await;
    let r = admin.post("/v2/authz", json!([ask(&t, by_id(&own), "kms.secrets.wrap", "i1")])).await;
    assert_eq!(r.body["responses"][0]["authorizationDecision"]["permitted"], true);
}

#[tokio::test]
async fn a_service_comes_from_the_account_in_its_name() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let other = "0123456789abcdef0123456789abcdef";
    let crn = |account: &str| format!("crn-crn:v1:bluemix:public:codeengine:us-south:a/{account}:c1::");
    let attributes = |account: &str| json!({"attributes": [eq("accountId", account), eq("serviceName", "codeengine"), eq("serviceInstance", "c1")]});
    for account in [t.account(), other] {
        let r = admin
            .post(
                "/v2/policies",
                json!({"type": "authorization", "subject": attributes(account),
                    "control": {"grant": {"roles": [{"role_id": service_role("Reader")}]}},
                    "resource": {"attributes": [eq("accountId", t.account()), eq("serviceName", "kms")]}}),
            )
            .await;
        assert_eq!(r.status, 201, "{}", r.text);
    }
    let asked = async || {
        let mut all = Vec::new();
        for account in [t.account(), other] {
            let question = json!([ask(&t, by_id(&crn(account)), "kms.secrets.wrap", "i1")]);
            let r = admin.post("/v2/authz", question).await;
            let decided = r.body["responses"][0]["authorizationDecision"]["permitted"] == true;
            let access = json!({"iam_id": crn(account), "action": "kms.secrets.wrap", "resource": {"attributes":
                {"serviceName": "kms", "serviceInstance": "i1"}}});
            let r = admin.post("/avouch/v1/explain", json!({"access": access})).await;
            assert_eq!(r.body["decision"] == "permitted", decided, "{}", r.text);
            all.push(decided);
        }
        all
    };
    assert_eq!(asked().await, [true, true]);
    let path = format!("/v1/accounts/{}/settings/access_management", t.account());
    let tag = admin.get(&path).await.etag();
    let body = json!({"external_account_identity_interaction": {"identity_types": {
        "service": {"state": "limited", "external_allowed_accounts": []}}}});
    assert_eq!(admin.with_header("if-match", &tag).patch(&path, body).await.status, 200);
    assert_eq!(asked().await, [true, false]);
}

/// An API key of a user who has logged in elsewhere only, so that nobody makes it for him.
async fn own_key(t: &TestApp, iam_id: &str, value: &str) {
    let (account, owner) = (AccountId::parse(t.account()).unwrap(), IamId::parse(iam_id).unwrap());
    let digest = avouch_iam::api_keys::digest_of(&value.to_owned().into());
    let (id, now) = (ApiKeyId::from_uuid("6e1f7ea6-0000-4000-8000-000000000009".parse().unwrap()), t.now());
    let write = move |tx: &mut avouch_store::Tx<'_>| {
        avouch_iam::api_keys::create_for_owner(
            tx,
            (&account, &owner),
            ("first", ""),
            (&id, &digest, "1-0"),
            now,
        )
    };
    t.app().store.write(write).await.unwrap();
}

#[tokio::test]
async fn who_is_asked_about_with_a_token_of_another_account_is_not_the_one_who_asks() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let guest = t.outsider().await;
    // The owner of the other account is a user of this one too.
    let user = json!({"email": "both@avouch.test", "iam_id": guest.iam_id()});
    assert_eq!(admin.post("/avouch/v1/users", user).await.status, 201);
    let value = "a-key-of-the-guest-that-belongs-to-this-account";
    own_key(&t, &guest.iam_id(), value).await;
    let here = t.bearer(&t.token(value).await);
    let about = |subject: Value| json!([ask(&t, subject, "kms.secrets.wrap", "i1")]);
    assert_eq!(here.post("/v2/authz", about(by_id(&guest.iam_id()))).await.status, 200);
    let body = here.token().split('.').nth(1).unwrap();
    assert_eq!(here.post("/v2/authz", about(json!({"accessTokenBody": body}))).await.status, 200);
    assert_eq!(
        here.post("/v2/authz", about(json!({"accessTokenBody": guest.token_body()}))).await.status,
        403
    );
    // Who may ask gets the answer of that token, which comes from where strangers are not let in.
    t.grant(&guest.iam_id(), &service_role("Reader"), json!([eq("serviceName", "kms")])).await;
    t.grant(&guest.iam_id(), &platform("Viewer"), json!([eq("serviceName", "kms")])).await;
    let path = format!("/v1/accounts/{}/settings/access_management", t.account());
    let tag = admin.get(&path).await.etag();
    let set = json!({"external_account_identity_interaction": {"identity_types": {
        "user": {"state": "limited", "external_allowed_accounts": []}}}});
    assert_eq!(admin.with_header("if-match", &tag).patch(&path, set).await.status, 200);
    for (body, want) in [(body, true), (guest.token_body().as_str(), false)] {
        let r = here.post("/v2/authz", about(json!({"accessTokenBody": body}))).await;
        assert_eq!(r.body["responses"][0]["authorizationDecision"]["permitted"], want, "{}", r.text);
    }
}

#[tokio::test]
async fn only_who_may_read_policies_may_ask_about_others() {
    let t = setup().await;
    let questions = json!([ask(&t, by_id(SUBJECT), "kms.secrets.wrap", "i1")]);
    let refused = t.nobody().await.post("/v2/authz", questions.clone()).await;
    assert_eq!((refused.status, code(&refused)), (403, "forbidden"));
    let outsider = t.outsider().await.post("/v2/authz", questions.clone()).await;
    assert_eq!((outsider.status, code(&outsider)), (403, "forbidden"));
    let (viewer, viewer_id) = t.identity().await;
    t.grant(&viewer_id, &platform("Viewer"), json!([eq("serviceName", "kms"), eq("serviceInstance", "i1")]))
        .await;
    assert_eq!(viewer.post("/v2/authz", questions.clone()).await.status, 200);
    // One question out of reach refuses all.
    let two = json!([questions[0], ask(&t, by_id(SUBJECT), "kms.secrets.wrap", "i2")]);
    assert_eq!(viewer.post("/v2/authz", two).await.status, 403);
    // Everybody may ask about himself.
    let (client, iam_id) = t.identity().await;
    let r = client.post("/v2/authz", json!([ask(&t, by_id(&iam_id), "kms.secrets.wrap", "i1")])).await;
    assert_eq!(
        (r.status, &r.body["responses"][0]["authorizationDecision"]["permitted"]),
        (200, &json!(false))
    );
    for bad in [
        json!([]),
        json!({}),
        json!([{}]),
        json!([{"subject": by_id("a"), "action": "b"}]),
        json!([{"subject": {}, "action": "b", "resource": {"crn": "x"}}]),
    ] {
        assert_eq!(t.admin().await.post("/v2/authz", bad).await.status, 400);
    }
    assert_eq!(code(&t.anon().post("/v2/authz", questions).await), "invalid_token");
}

#[tokio::test]
async fn roles_come_with_their_actions() {
    let t = setup().await;
    t.grant(SUBJECT, &platform("Viewer"), json!([eq("serviceName", "kms")])).await;
    let mut question = ask(&t, by_id(SUBJECT), "x", "i1");
    question.as_object_mut().unwrap().remove("action");
    let r = t.admin().await.post("/v2/authz/roles", json!([question])).await;
    assert_eq!(r.status, 200, "{}", r.body);
    let one = &r.body["responses"][0];
    assert_eq!(one["subjectId"]["userId"], SUBJECT);
    assert_eq!(one["roleActions"][0]["role"]["displayName"], "Reader");
    assert!(
        one["roleActions"][0]["actions"]
            .as_array()
            .unwrap()
            .iter()
            .any(|a| a["action"] == "kms.secrets.wrap")
    );
    assert_eq!(one["platformExtensions"]["roleActions"][0]["role"]["crn"], platform("Viewer"));
}

#[tokio::test]
async fn identities_of_other_accounts_act_as_the_settings_say() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let path = format!("/v1/accounts/{}/settings/access_management", t.account());
    let first = admin.get(&path).await;
    assert_eq!(first.status, 200, "{}", first.body);
    let types = |b: &Value| b["external_account_identity_interaction"]["identity_types"].clone();
    assert_eq!(types(&first.body)["user"], json!({"state": "enabled", "external_allowed_accounts": []}));
    assert!(types(&first.body)["service"].is_object() && types(&first.body)["service_id"].is_object());
    let guest = t.outsider().await;
    let (account, owner) = (guest.account(), guest.iam_id());
    let policy = t.grant(&owner, &platform("Viewer"), json!([eq("serviceName", "iam-groups")])).await;
    let g = admin.post(&format!("/v2/groups?account_id={}", t.account()), json!({"name": "g"})).await;
    let group = format!("/v2/groups/{}", g.body["id"].as_str().unwrap());
    let list = format!("/v2/groups?account_id={}&hide_public_access=true", t.account());
    assert_eq!(guest.get(&group).await.status, 200);
    let set = |state: &str, allowed: Value| json!({"external_account_identity_interaction": {"identity_types": {"user": {"state": state, "external_allowed_accounts": allowed}}}});
    assert_eq!(admin.patch(&path, set("limited", json!([]))).await.status, 400);
    let limited = admin.with_header("if-match", &first.etag()).patch(&path, set("limited", json!([]))).await;
    assert_eq!(limited.status, 200, "{}", limited.body);
    assert_eq!(types(&limited.body)["service_id"]["state"], "enabled");
    assert_eq!(guest.get(&group).await.status, 404);
    assert_eq!(guest.get(&list).await.body["total_count"], 0);
    let ask = json!([{"subject": {"accessTokenBody": guest.token_body()}, "action": "iam-groups.groups.read",
        "resource": {"attributes": {"accountId": t.account(), "serviceName": "iam-groups"}}}]);
    let r = admin.post("/v2/authz", ask.clone()).await;
    assert_eq!(r.body["responses"][0]["authorizationDecision"]["permitted"], false);
    let r = guest.post("/v2/authz", ask.clone()).await;
    assert_eq!(r.body["responses"][0]["authorizationDecision"]["permitted"], false);
    let named =
        admin.with_header("if-match", &limited.etag()).patch(&path, set("limited", json!([account]))).await;
    assert_eq!(guest.get(&group).await.status, 200);
    assert_eq!(guest.get(&list).await.body["total_count"], 1);
    let r = admin.post("/v2/authz", ask).await;
    assert_eq!(r.body["responses"][0]["authorizationDecision"]["permitted"], true);
    let stale = admin.with_header("if-match", &first.etag()).patch(&path, set("enabled", json!([]))).await;
    assert_eq!((stale.status, code(&stale)), (409, "policy_conflict_error"));
    for bad in [
        set("open", json!([])),
        set("limited", json!(["x"])),
        json!({"external_account_identity_interaction": {"identity_types": {"robot": {"state": "enabled"}}}}),
    ] {
        assert_eq!(admin.with_header("if-match", &named.etag()).patch(&path, bad).await.status, 400);
    }
    assert_eq!(guest.get(&path).await.status, 404);
    assert_eq!(t.nobody().await.get(&path).await.status, 403);
    assert_eq!(admin.delete(&format!("/v2/policies/{policy}")).await.status, 204);
    assert_eq!(guest.get(&group).await.status, 404);
    assert!(!t.events("iam-access-management.settings.update").await.is_empty());
}
