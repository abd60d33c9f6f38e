//! The main job and its explanations: trusted and untrusted pods, liveness, the policy that holds at once.

use avouch_testkit::{Client, TestApp, TestResponse};
use serde_json::{Value, json};

use crate::world::{PAYLOAD, World, claims};

const CR: &str = "urn:ibm:params:oauth:grant-type:cr-token";

async fn exchange(t: &TestApp, w: &World, sa: &str) -> TestResponse {
    let token = w.issuer.token("ns", sa, "pod-0", t.now().secs());
    t.anon()
        .form(
            "/identity/token",
            &[("grant_type", CR), ("cr_token", &token), ("profile_id", w.get("profile"))],
        )
        .await
}

/// Lets the profile read the secrets of the instance; returns the policy's id.
async fn may_read(t: &TestApp, admin: &Client, w: &World) -> String {
    let equal = |key: &str, value: &str| json!({"key": key, "operator": "stringEquals", "value": value});
    let target = json!([
        equal("accountId", t.account()),
        equal("serviceName", "secrets-manager"),
        equal("serviceInstance", w.get("instance")),
    ]);
    let role = "crn:v1:bluemix:public:secrets-manager::::serviceRole:SecretsReader";
    t.grant(admin, &format!("iam-{}", w.get("profile")), role, target).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_pod_reads_what_the_policy_allows_and_no_longer_than_that() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let w = World::build(&t, &admin).await;
    let secret = format!("/secrets-manager/{}/api/v2/secrets/{}", w.get("instance"), w.get("secret"));
    let issued = exchange(&t, &w, "sa").await;
    assert_eq!(issued.status, 200, "{}", issued.text);
    let pod = t.bearer(issued.body["access_token"].as_str().unwrap());
    assert_eq!(pod.get(&secret).await.status, 403);
    let policy = may_read(&t, &admin, &w).await;
    // The next request obeys.
    let read = pod.get(&secret).await;
    assert_eq!((read.status, read.body["payload"].as_str()), (200, Some(PAYLOAD)));
    // Both events name the profile as initiator and the pod behind it.
    for action in ["iam-identity.computeresource-token.login", "secrets-manager.secret.read"] {
        let events = t.events(&[("action", action), ("outcome", "success")]).await;
        let event = &events[0];
        assert_eq!(event["initiator"]["id"], format!("iam-{}", w.get("profile")), "{action}");
        assert_eq!(event["initiator"]["authnId"], format!("crn-{}", w.get("cluster_crn")), "{action}");
        assert_eq!(event["initiator"]["authnName"], "one:ns:sa:pod-0", "{action}");
    }
    assert_eq!(t.events(&[("correlation_id", read.header("transaction-id"))]).await.len(), 1);
    assert_eq!(admin.delete(&format!("/v2/policies/{policy}")).await.status, 204);
    assert_eq!(pod.get(&secret).await.status, 403);
    // Removing the link stops the next exchange, deleting the profile the tokens that are out.
    assert_eq!(
        admin.delete(&format!("/v1/profiles/{}/links/{}", w.get("profile"), w.get("link"))).await.status,
        204
    );
    let refused = exchange(&t, &w, "sa").await;
    assert_eq!((refused.status, refused.body["errorCode"].as_str()), (400, Some("BXNIM0398E")));
    assert_eq!(admin.delete(&format!("/v1/profiles/{}", w.get("profile"))).await.status, 204);
    assert_eq!(pod.get(&secret).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_permitted_is_explained_too_and_that_it_would_not_be_today() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let w = World::build(&t, &admin).await;
    let pod = exchange(&t, &w, "sa").await;
    let told =
        admin.post("/avouch/v1/explain", json!({"transaction_id": pod.header("transaction-id")})).await;
    assert_eq!(told.status, 200, "{}", told.text);
    assert_eq!((&told.body["stage"], &told.body["decision"]), (&json!("trust"), &json!("permitted")));
    assert!(told.text.contains(w.get("link")), "{}", told.text);

    let pod = t.bearer(pod.body["access_token"].as_str().unwrap());
    let policy = may_read(&t, &admin, &w).await;
    let secret = format!("/secrets-manager/{}/api/v2/secrets/{}", w.get("instance"), w.get("secret"));
    // A disclosure and a plain read.
    for path in [secret.clone(), format!("{secret}/metadata")] {
        let read = pod.get(&path).await;
        assert_eq!(read.status, 200, "{path}: {}", read.text);
        let question = json!({"transaction_id": read.header("transaction-id")});
        let told = admin.post("/avouch/v1/explain", question.clone()).await;
        assert_eq!(told.status, 200, "{path}: {}", told.text);
        assert_eq!((&told.body["stage"], &told.body["decision"]), (&json!("access"), &json!("permitted")));
        assert_eq!(told.body["now_differs"], false);
        assert!(told.text.contains(&policy), "{path}: {}", told.text);
        assert_eq!(pod.post("/avouch/v1/explain", question).await.status, 404);
    }
    let read = pod.get(&secret).await;
    assert_eq!(admin.delete(&format!("/v2/policies/{policy}")).await.status, 204);
    let told =
        admin.post("/avouch/v1/explain", json!({"transaction_id": read.header("transaction-id")})).await;
    assert_eq!((&told.body["decision"], &told.body["now_differs"]), (&json!("permitted"), &json!(true)));
    assert!(told.text.contains(&policy), "{}", told.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_not_hidden_by_what_comes_under_its_transaction_id_later() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let w = World::build(&t, &admin).await;
    let pod = exchange(&t, &w, "sa").await;
    let pod =
        t.bearer(pod.body["access_token"].as_str().unwrap()).with_header("transaction-id", "incident-1");
    let secret = format!("/secrets-manager/{}/api/v2/secrets/{}", w.get("instance"), w.get("secret"));
    assert_eq!(pod.get(&secret).await.status, 403);
    may_read(&t, &admin, &w).await;
    for _ in 0..30 {
        assert_eq!(pod.get(&secret).await.status, 200);
    }
    let told = admin.post("/avouch/v1/explain", json!({"transaction_id": "incident-1"})).await;
    assert_eq!((told.status, &told.body["decision"]), (200, &json!("refused")), "{}", told.text);
    assert_eq!(told.body["now_differs"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_explained_to_the_owner_and_to_nobody_else() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let w = World::build(&t, &admin).await;
    let refused = exchange(&t, &w, "stranger").await;
    assert_eq!(refused.status, 400);
    assert!(!refused.text.contains("ClaimRule-") && !refused.text.contains("Link-"), "{}", refused.text);
    let question = json!({"transaction_id": refused.header("transaction-id")});
    let told = admin.post("/avouch/v1/explain", question.clone()).await;
    assert_eq!(told.status, 200, "{}", told.text);
    assert_eq!(
        (told.body["stage"].as_str(), told.body["decision"].as_str()),
        (Some("trust"), Some("refused"))
    );
    assert!(told.text.contains("stranger"), "{}", told.text);
    for stranger in [t.outsider().await, t.nobody().await] {
        assert_eq!(stranger.post("/avouch/v1/explain", question.clone()).await.status, 404);
    }
    assert_eq!(t.anon().post("/avouch/v1/explain", question).await.status, 401);
    // What-if with claims agrees with what the exchange does.
    for (sa, decision) in [("sa", "permitted"), ("stranger", "refused")] {
        let asked = json!({"trust": {"profile_id": w.get("profile"), "cr_type": "IKS_SA",
            "claims": {"crn": w.get("cluster_crn"), "namespace": "ns", "name": sa}}});
        let r = admin.post("/avouch/v1/explain", asked).await;
        assert_eq!(r.body["decision"], decision, "{}", r.text);
        assert_eq!(exchange(&t, &w, sa).await.status == 200, decision == "permitted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_exchanges_of_one_address_end_in_429_and_others_go_on() {
    let t = TestApp::with(|c| c.limits.failed_exchanges_per_minute = 5).await;
    let bad = [("grant_type", CR), ("cr_token", "a.b.c"), ("profile_name", "x")];
    let mut last = 0;
    for _ in 0..7 {
        last = t.anon_from([127, 0, 0, 9].into()).form("/identity/token", &bad).await.status;
    }
    assert_eq!(last, 429);
    assert_eq!(t.anon().form("/identity/token", &bad).await.status, 400);
    t.advance_secs(61);
    assert_eq!(t.anon_from([127, 0, 0, 9].into()).form("/identity/token", &bad).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_trusted_proxy_clients_are_told_apart_and_nobody_chooses_his_address() {
    let t = TestApp::with(|c| {
        c.limits.failed_exchanges_per_minute = 5;
        c.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    })
    .await;
    let bad = [("grant_type", CR), ("cr_token", "a.b.c"), ("profile_name", "x")];
    let from = async |peer: [u8; 4], seen: &str| {
        t.anon_from(peer.into())
            .with_header("x-forwarded-for", seen)
            .form("/identity/token", &bad)
            .await
            .status
    };
    for n in 0..7 {
        // What the client wrote itself stands before what the proxy added.
        from([10, 0, 0, 1], &format!("192.0.2.{n}, 203.0.113.7")).await;
    }
    assert_eq!(from([10, 0, 0, 1], "203.0.113.7").await, 429);
    assert_eq!(from([10, 0, 0, 2], "203.0.113.7").await, 429);
    assert_eq!(from([203, 0, 113, 7], "").await, 429);
    assert_eq!(from([10, 0, 0, 1], "203.0.113.8").await, 400);
    for n in 0..7 {
        from([203, 0, 113, 9], &format!("10.0.0.9, 192.0.2.{n}")).await;
    }
    assert_eq!(from([203, 0, 113, 9], "192.0.2.99").await, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_not_opened_with_another_key_ring() {
    use avouch_server::Options;
    let data = tempfile::tempdir().unwrap();
    let start = async |data: &std::path::Path| {
        let options = Options::new(avouch_gate::config::Config::default(), data.to_owned());
        let (options, store, keyring) = tokio::task::spawn_blocking(move || {
            let opened = avouch_server::assemble::open_store(&options);
            opened.map(|(store, keyring)| (options, store, keyring))
        })
        .await
        .unwrap()?;
        let closing = store.clone();
        let result = avouch_server::assemble(options, store, keyring).await.map(|_| ());
        closing.close().await;
        result
    };
    start(data.path()).await.unwrap();
    start(data.path()).await.unwrap();
    std::fs::remove_file(data.path().join("keyring")).unwrap();
    let refused = start(data.path()).await.unwrap_err().to_string();
    assert!(refused.contains("key ring"), "{refused}");
    assert!(!data.path().join("keyring").exists(), "a new key ring was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_cannot_tell_service_ids_of_another_account_from_unknown_ones() {
    let t = TestApp::new().await;
    let (_, known) = t.service_id("known").await;
    let outsider = t.outsider().await;
    let unknown = "iam-ServiceId-00000000-0000-4000-8000-00000000dead".to_owned();
    let mut answers = Vec::new();
    for iam_id in [known, unknown] {
        let body = json!({"name": "k", "iam_id": iam_id, "account_id": t.account()});
        let r = outsider.post("/v1/apikeys", body).await;
        answers.push((r.status, r.body["errors"].clone()));
    }
    assert_eq!(answers[0].0, 404);
    assert_eq!(answers[0], answers[1]);
}

/// Somebody who asks for the secret, and the account that his tokens are of.
struct Asker {
    client: Client,
    iam_id: String,
    home: String,
}

impl Asker {
    fn of(client: Client) -> Self {
        let claims = claims(client.token());
        let text = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
        Self { iam_id: text(&claims["iam_id"]), home: text(&claims["account"]["bss"]), client }
    }
}

/// Asks for the secret and asks whether the asker may have it; both must come to the same.
async fn compared(admin: &Client, w: &World, who: &Asker, case: &str) -> bool {
    let path = format!("/secrets-manager/{}/api/v2/secrets/{}", w.get("instance"), w.get("secret"));
    let real = who.client.get(&path).await;
    let question = |home: Option<&str>| {
        let mut access = json!({"iam_id": who.iam_id, "action": "secrets-manager.secret.read",
            "resource": {"attributes": {"serviceName": "secrets-manager", "serviceInstance": w.get("instance"),
                "resourceType": "secret-group", "resource": "default"}}});
        if let Some(home) = home {
            access["account_id"] = json!(home);
        }
        json!({"access": access})
    };
    let told = admin.post("/avouch/v1/explain", question(Some(&who.home))).await;
    assert_eq!(told.status, 200, "{case}: {}", told.text);
    let permitted = real.status == 200;
    let decision = if permitted { "permitted" } else { "refused" };
    assert_eq!(told.body["decision"], decision, "{case}: {} {}", real.text, told.text);
    assert_eq!(told.body["tree"]["result"], permitted, "{case}: {}", told.text);
    if who.home == claims(admin.token())["account"]["bss"] {
        let told = admin.post("/avouch/v1/explain", question(None)).await;
        assert_eq!(told.body["decision"], decision, "{case}: {}", told.text);
    }
    permitted
}

#[tokio::test(flavor = "multi_thread")]
async fn what_if_comes_to_what_the_request_comes_to() {
    let t = TestApp::new().await;
    let (admin, outsider) = (t.admin().await, t.outsider().await);
    let w = World::build(&t, &admin).await;
    let pod = exchange(&t, &w, "sa").await;
    let (service_id, _) = t.service_id("own").await;
    let foreign = outsider
        .post(
            "/v1/serviceids",
            json!({"account_id": claims(outsider.token())["account"]["bss"], "name": "f",
            "apikey": {"name": "k"}}),
        )
        .await;
    let foreign_key = foreign.body["apikey"]["apikey"].as_str().unwrap().to_owned();
    let askers = [
        Asker::of(t.bearer(pod.body["access_token"].as_str().unwrap())),
        Asker::of(service_id),
        Asker::of(outsider.clone()),
        Asker::of(t.bearer(&t.token(&foreign_key).await)),
    ];
    let equal = |key: &str, value: &str| json!({"key": key, "operator": "stringEquals", "value": value});
    let on = |instance: &str| {
        json!([
            equal("accountId", t.account()),
            equal("serviceName", "secrets-manager"),
            equal("serviceInstance", instance)
        ])
    };
    let role = |name: &str| format!("crn:v1:bluemix:public:secrets-manager::::serviceRole:{name}");
    let settings = format!("/v1/accounts/{}/settings/access_management", t.account());
    let (mut permitted, mut refused) = (0, 0);
    for who in &askers {
        for (grant, instance) in [
            (None, String::new()),
            (Some("SecretsReader"), w.get("instance").to_owned()),
            (Some("Reader"), w.get("instance").to_owned()),
            (Some("Manager"), "00000000-0000-4000-8000-000000000000".to_owned()),
        ] {
            let policy = match grant {
                Some(name) => Some(t.grant(&admin, &who.iam_id, &role(name), on(&instance)).await),
                None => None,
            };
            for (state, allowed) in [
                ("enabled", vec![]),
                ("monitor", vec![]),
                ("limited", vec![]),
                ("limited", vec![who.home.clone()]),
                ("limited", vec![t.account().to_owned()]),
            ] {
                let one = json!({"state": state, "external_allowed_accounts": allowed});
                let set = json!({"external_account_identity_interaction": {"identity_types": {
                    "user": one, "service_id": one, "service": one}}});
                let etag = admin.get(&settings).await.etag();
                assert_eq!(admin.with_header("if-match", &etag).patch(&settings, set).await.status, 200);
                let case = format!("{} {grant:?} {state} {allowed:?}", who.iam_id);
                if compared(&admin, &w, who, &case).await { permitted += 1 } else { refused += 1 }
            }
            if let Some(policy) = policy {
                assert_eq!(admin.delete(&format!("/v2/policies/{policy}")).await.status, 204);
            }
        }
    }
    // Two of the own account whatever the settings, two strangers where they are let in.
    assert_eq!((permitted, refused), (2 * 5 + 2 * 3, 4 * 4 * 5 - (2 * 5 + 2 * 3)));

    // Whoever is gone may do nothing, though the policies of others may still name him.
    let own = &askers[1];
    t.grant(&admin, &own.iam_id, &role("SecretsReader"), on(w.get("instance"))).await;
    assert!(compared(&admin, &w, own, "before").await);
    let id = own.iam_id.strip_prefix("iam-").unwrap();
    assert_eq!(admin.delete(&format!("/v1/serviceids/{id}")).await.status, 204);
    assert!(!compared(&admin, &w, own, "after").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_is_shut_out_is_explained_as_such_and_reaches_nothing() {
    let t = TestApp::new().await;
    let (admin, outsider) = (t.admin().await, t.outsider().await);
    let w = World::build(&t, &admin).await;
    let who = Asker::of(outsider);
    let role = "crn:v1:bluemix:public:iam::::role:Administrator";
    let target = json!([{"key": "serviceName", "operator": "stringEquals", "value": "secrets-manager"}]);
    let account = json!({"key": "accountId", "operator": "stringEquals", "value": t.account()});
    let target = json!([account, target[0]]);
    t.grant(&admin, &who.iam_id, role, target).await;
    let settings = format!("/v1/accounts/{}/settings/access_management", t.account());
    let list = format!("/v2/resource_instances/{}", w.get("instance"));
    assert_eq!(who.client.get(&list).await.status, 200);
    let etag = admin.get(&settings).await.etag();
    let one = json!({"state": "limited", "external_allowed_accounts": []});
    let set = json!({"external_account_identity_interaction": {"identity_types": {"user": one}}});
    assert_eq!(admin.with_header("if-match", &etag).patch(&settings, set).await.status, 200);
    assert_eq!(who.client.get(&list).await.status, 404);
    let access = json!({"iam_id": who.iam_id, "account_id": who.home, "action": "resource-controller.instance.retrieve",
        "resource": {"attributes": {"serviceName": "secrets-manager", "serviceInstance": w.get("instance")}}});
    let told = admin.post("/avouch/v1/explain", json!({"access": access})).await;
    assert_eq!(told.body["decision"], "refused", "{}", told.text);
    let first = &told.body["tree"]["children"][0];
    assert_eq!(
        (&first["kind"], &first["result"]),
        (&json!("external_access"), &json!(false)),
        "{}",
        told.text
    );
    assert_eq!(first["found"], who.home);
}

/// An identity of another account that may read a secret and the groups, with what it needs to ask for them.
async fn guest(t: &TestApp, admin: &Client) -> (Client, String) {
    let guest = t.outsider().await;
    let claims = claims(guest.token());
    let iam_id = claims["iam_id"].as_str().unwrap();
    for (service, role) in [("secrets-manager", "serviceRole:Manager"), ("iam-groups", "role:Viewer")] {
        let equal = |key: &str, value: &str| json!({"key": key, "operator": "stringEquals", "value": value});
        let target = json!([equal("accountId", t.account()), equal("serviceName", service)]);
        t.grant(admin, iam_id, &format!("crn:v1:bluemix:public:iam::::{role}"), target).await;
    }
    let home = claims["account"]["bss"].as_str().unwrap().to_owned();
    (guest, home)
}

async fn users_are(admin: &Client, account: &str, state: &str, allowed: Value) {
    let path = format!("/v1/accounts/{account}/settings/access_management");
    let tag = admin.get(&path).await.etag();
    let body = json!({"external_account_identity_interaction": {"identity_types": {
        "user": {"state": state, "external_allowed_accounts": allowed}}}});
    let r = admin.with_header("if-match", &tag).patch(&path, body).await;
    assert_eq!(r.status, 200, "{}", r.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shut_out_identity_sees_nothing_in_any_list() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let w = World::build(&t, &admin).await;
    let (guest, foreign) = guest(&t, &admin).await;
    let sm = format!("/secrets-manager/{}/api/v2", w.get("instance"));
    let secrets = format!("{sm}/secrets");
    let groups = format!("/v2/groups?account_id={}&hide_public_access=true", t.account());
    let lists = [secrets.clone(), format!("{sm}/secret_groups"), groups.clone()];
    let seen = async || {
        let mut all = Vec::new();
        for path in &lists {
            let r = guest.get(path).await;
            all.push((r.status, r.text.contains(w.get("secret")) || r.text.contains(w.get("group"))));
        }
        all
    };
    assert_eq!(guest.get(&secrets).await.body["total_count"], 1);
    assert_eq!(seen().await, [(200, true), (200, false), (200, true)]);
    users_are(&admin, t.account(), "limited", json!([])).await;
    // An instance is as if it were not; what filters silently is empty.
    assert_eq!(seen().await, [(404, false), (404, false), (200, false)]);
    assert_eq!(guest.get(&groups).await.body["total_count"], 0);
    let unknown = guest.get("/secrets-manager/00000000-0000-4000-8000-00000000dead/api/v2/secrets").await;
    let shut = guest.get(&secrets).await;
    assert_eq!(shut.body["errors"], unknown.body["errors"]);
    // Own identities are not asked for their account, and a named account is let in.
    assert_eq!(admin.get(&secrets).await.body["total_count"], 1);
    users_are(&admin, t.account(), "limited", json!([foreign])).await;
    assert_eq!(seen().await, [(200, true), (200, false), (200, true)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stranger_did_is_told_with_the_account_that_he_came_from() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let w = World::build(&t, &admin).await;
    let (guest, foreign) = guest(&t, &admin).await;
    users_are(&admin, t.account(), "limited", json!([foreign])).await;
    let read = guest.get(&format!("/v2/groups/{}", w.get("group"))).await;
    assert_eq!(read.status, 200);
    let ask = async |body: Value| admin.post("/avouch/v1/explain", body).await;
    let then = json!({"transaction_id": read.header("transaction-id")});
    let told = ask(then.clone()).await;
    assert_eq!((&told.body["decision"], &told.body["now_differs"]), (&json!("permitted"), &json!(false)));
    users_are(&admin, t.account(), "limited", json!([])).await;
    let told = ask(then).await;
    assert_eq!((&told.body["decision"], &told.body["now_differs"]), (&json!("permitted"), &json!(true)));
    // Nobody says where he comes from: he may be of the account that is let in, or not.
    users_are(&admin, t.account(), "limited", json!([foreign])).await;
    let mut access = json!({"iam_id": claims(guest.token())["iam_id"], "action": "iam-groups.groups.read",
        "resource": {"attributes": {"serviceName": "iam-groups", "resource": w.get("group")}}});
    let told = ask(json!({"access": access})).await;
    let first = &told.body["tree"]["children"][0];
    assert_eq!((&told.body["decision"], &first["kind"]), (&json!("refused"), &json!("external_access")));
    access["account_id"] = json!(foreign);
    assert_eq!(ask(json!({"access": access})).await.body["decision"], "permitted");
    access["account_id"] = json!("x");
    assert_eq!(ask(json!({"access": access})).await.status, 400);
}
