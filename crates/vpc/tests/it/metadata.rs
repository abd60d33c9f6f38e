//! The metadata service as an instance meets it: its channel says who it is, and nothing else does.

use avouch_testkit::{Client, TestApp, TestResponse};
use avouch_vpc::instances::{Status, life};
use avouch_wire::ids::AccountId;
use serde_json::{Value, json};

use crate::world::{Vpc, text};

const IMAGE: &str = "r006-b9ebf1d8-a674-42e8-898e-0fcb08994f66";
const TOKEN: &str = "/instance_identity/v1/token?version=2022-03-01";
const EXCHANGE: &str = "/instance_identity/v1/iam_token?version=2022-03-01";
const INSTANCE: &str = "/metadata/v1/instance?version=2022-03-01";
const BEGUN: &str = "2026-03-02T10:00:00";

struct Scene {
    t: TestApp,
    admin: Vpc,
    subnet: Value,
    profile: Value,
}

impl Scene {
    async fn new() -> Self {
        let t = TestApp::new().await;
        let admin = Vpc::admin(&t).await;
        let vpc = admin.net("shop").await;
        let subnet = admin.subnet(&vpc, "front", 32).await;
        let profile =
            admin.0.post("/v1/profiles", json!({"name": "web", "account_id": t.account()})).await.body;
        Self { t, admin, subnet, profile }
    }

    async fn instance(&self, name: &str, more: Value) -> Value {
        let mut body = json!({"name": name, "zone": {"name": "us-south-1"}, "image": {"id": IMAGE},
            "metadata_service": {"enabled": true}, "user_data": "#!/bin/sh\n# SEALED\n",
            "primary_network_interface": {"subnet": {"id": self.subnet["id"]}}});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        let made = self.admin.made("/instances", body).await;
        self.set(&made, Status::Running).await;
        made
    }

    async fn set(&self, instance: &Value, status: Status) {
        let account = AccountId::parse(self.t.account()).unwrap();
        let changed = life::change(self.t.app(), (&account, text(instance, "id")), move |o| {
            o.status = status;
            true
        });
        changed.await.unwrap().unwrap();
    }

    fn inside(&self, instance: &Value) -> Client {
        self.t.inside(text(instance, "id"))
    }

    fn linked(&self) -> Value {
        json!({"default_trusted_profile": {"target": {"id": self.profile["id"]}}})
    }
}

async fn put(c: &Client, path: &str, body: &str) -> TestResponse {
    // As curl sends it.
    let form = "application/x-www-form-urlencoded";
    c.with_header("metadata-flavor", "ibm").send("PUT", path, form, body.as_bytes().to_vec()).await
}

/// The same client with its identity token.
async fn known(c: &Client) -> Client {
    let r = put(c, TOKEN, "").await;
    assert_eq!(r.status, 200, "{}", r.text);
    c.with_header("authorization", &format!("Bearer {}", text(&r.body, "access_token")))
}

/// What a token says.
fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&avouch_crypto::base64url::decode(part).unwrap()).unwrap()
}

/// Status and code of a refusal, which names what is at fault.
fn refused(r: &TestResponse) -> (u16, String, String) {
    let e = &r.body["errors"][0];
    assert_eq!(r.body["trace"], r.header("x-request-id"), "{}", r.text);
    assert_eq!(r.body["status_code"], r.status);
    let word = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    (r.status, word(&e["code"]), word(&e["target"]["name"]))
}

fn wanted(status: u16, code: &str, name: &str) -> (u16, String, String) {
    (status, code.into(), name.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_token_says_what_the_instance_is_and_its_envelope_what_clients_read() {
    let s = Scene::new().await;
    let instance = s.instance("web", json!({})).await;
    let c = s.inside(&instance);
    let r = put(&c, TOKEN, r#"{"expires_in": 5, "nonce": "n 1"}"#).await;
    assert_eq!(r.status, 200, "{}", r.text);
    assert_eq!(r.body["access_token"], r.body["instance_identity_token"]);
    assert_eq!(r.body["created_at"], format!("{BEGUN}.000Z"));
    assert_eq!((text(&r.body, "expires_at"), &r.body["expires_in"]), ("2026-03-02T10:00:05.000Z", &json!(5)));
    let told = claims(text(&r.body, "access_token"));
    for (pointer, wanted) in [
        ("/iss", json!("VSI-CR_us-south")),
        ("/aud/0", json!("VSI-CR_us-south")),
        ("/iaas/crn", instance["crn"].clone()),
        ("/iaas/accountID", json!(s.t.account())),
        ("/iaas/instanceID", instance["id"].clone()),
        ("/iaas/zone", json!("us-south-1")),
        ("/iaas/profile_name", json!("bxf-2x8")),
        ("/subnets/0/id", s.subnet["id"].clone()),
        ("/vpc/name", json!("shop")),
        ("/nonce", json!("n 1")),
        ("/ip_addresses/0/address", instance["primary_network_interface"]["primary_ip"]["address"].clone()),
    ] {
        assert_eq!(told.pointer(pointer), Some(&wanted), "{pointer}: {told}");
    }
    assert_eq!(told["exp"].as_i64().unwrap() - told["iat"].as_i64().unwrap(), 5);
    // It is no IAM token, and an IAM token is no identity token.
    assert_eq!(s.t.bearer(text(&r.body, "access_token")).get("/v1/profiles").await.status, 401);
    let iam = c.with_header("authorization", &format!("Bearer {}", s.admin.0.token()));
    assert_eq!(refused(&iam.get(INSTANCE).await), wanted(401, "unauthenticated", ""));
    let form = [
        ("grant_type", "urn:ibm:params:oauth:grant-type:cr-token"),
        ("cr_token", text(&r.body, "access_token")),
        ("profile_id", text(&s.profile, "id")),
    ];
    let direct = s.t.anon().form("/identity/token", &form).await;
    let foreign = [
        form[0],
        ("cr_token", "eyJhbGciOiJFUzI1NiIsImtpZCI6IngifQ.eyJpc3MiOiJodHRwczovL25vLWlzc3VlciJ9.AAAA"),
        form[2],
    ];
    let unknown = s.t.anon().form("/identity/token", &foreign).await;
    assert_eq!((direct.status, &direct.body["errorCode"]), (unknown.status, &unknown.body["errorCode"]));
    assert_eq!(put(&c, TOKEN, "").await.body["expires_in"], 300);
    assert_eq!(put(&c, "/identity/v1/token?version=2025-08-26", " ").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_wrongly_is_named_in_the_published_container() {
    let s = Scene::new().await;
    let c = s.inside(&s.instance("web", json!({})).await);
    let flavoured = c.with_header("metadata-flavor", "ibm");
    for (path, code) in [
        ("/identity/v1/token", "missing_value"),
        ("/identity/v1/token?version=2021-12-31", "invalid_version_range"),
        ("/identity/v1/token?version=2026-03-04", "invalid_version_range"),
        ("/identity/v1/token?version=yesterday", "invalid_value"),
        ("/identity/v1/token?version=2022-3-1", "invalid_value"),
    ] {
        let r = flavoured.put(path, Value::Null).await;
        assert_eq!(refused(&r), wanted(400, code, "version"), "{path}");
        assert_eq!(r.body["errors"][0]["target"]["type"], "parameter");
    }
    assert_eq!(flavoured.put("/identity/v1/token?version=2026-03-03", Value::Null).await.status, 200);
    assert_eq!(
        flavoured.put("/instance_identity/v1/token?version=2025-08-25", Value::Null).await.status,
        200
    );
    assert_eq!(
        refused(&flavoured.put("/instance_identity/v1/token?version=2025-08-26", Value::Null).await),
        wanted(404, "not_found", "")
    );
    let strange = flavoured.put("/identity/v1/token?version=2022-03-01&surprise=1", Value::Null).await;
    assert_eq!(refused(&strange), wanted(400, "unknown_field", "surprise"));
    assert_eq!(refused(&c.put(TOKEN, Value::Null).await), wanted(400, "missing_value", "Metadata-Flavor"));
    let other = c.with_header("metadata-flavor", "aws").put(TOKEN, Value::Null).await;
    assert_eq!(refused(&other), wanted(400, "invalid_value", "Metadata-Flavor"));
    for (body, code, name) in [
        (r#"{"expires_in": 4}"#, "invalid_value", "expires_in"),
        (r#"{"expires_in": 3601}"#, "invalid_value", "expires_in"),
        (r#"{"expires_in": "300"}"#, "invalid_value", "expires_in"),
        (r#"{"nonce": ""}"#, "invalid_value", "nonce"),
        (r#"{"nonce": "a\nb"}"#, "invalid_value", "nonce"),
        (r#"{"surprise": 1}"#, "unknown_field", "surprise"),
        ("[]", "invalid_request", ""),
        ("{", "invalid_request", ""),
    ] {
        assert_eq!(refused(&put(&c, TOKEN, body).await), wanted(400, code, name), "{body}");
    }
    assert_eq!(put(&c, TOKEN, r#"{"expires_in": 7200}"#).await.body["errors"][0]["target"]["value"], "7200");
    let large = put(&c, TOKEN, &format!(r#"{{"nonce": "{}"}}"#, "x".repeat(70_000))).await;
    assert_eq!(refused(&large).1, "invalid_request");
    for (method, path) in
        [("GET", TOKEN), ("POST", TOKEN), ("HEAD", TOKEN), ("PUT", EXCHANGE), ("DELETE", INSTANCE)]
    {
        assert_eq!(flavoured.send(method, path, "", Vec::new()).await.status, 405, "{method} {path}");
    }
    for path in ["/identity/v1/iam_token?version=2022-03-01", "/v1/profiles", "/identity/token", "/"] {
        assert_eq!(flavoured.post(path, Value::Null).await.status, 404, "{path}");
    }
    // And nothing of it is on the server's own address.
    for path in [TOKEN, EXCHANGE, INSTANCE] {
        assert_eq!(s.admin.0.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_requests_and_other_names_are_refused() {
    let s = Scene::new().await;
    let instance = s.instance("web", json!({})).await;
    let c = s.inside(&instance);
    for name in ["x-forwarded-for", "forwarded", "via", "x-forwarded-host", "x-forwarded-proto"] {
        let r = put(&c.with_header(name, "10.0.0.1"), TOKEN, "").await;
        assert_eq!(refused(&r), wanted(400, "invalid_value", name));
        assert_eq!(r.body["errors"][0]["target"]["type"], "header");
    }
    for host in ["evil.example", "169.254.169.254.evil.example", "localhost", "169.254.169.253"] {
        let r = put(&c.clone().at(host), TOKEN, "").await;
        assert_eq!(refused(&r), wanted(400, "invalid_value", "Host"), "{host}");
    }
    for host in ["api.metadata.cloud.ibm.com", "API.metadata.cloud.ibm.com:80", "169.254.169.254:80"] {
        assert_eq!(put(&c.clone().at(host), TOKEN, "").await.status, 200, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_on_its_own_channel_while_its_instance_lives() {
    let s = Scene::new().await;
    let (a, b) = (s.instance("a", s.linked()).await, s.instance("b", json!({})).await);
    let (inside_a, inside_b) = (s.inside(&a), s.inside(&b));
    let known_a = known(&inside_a).await;
    assert_eq!(known_a.get(INSTANCE).await.body["name"], "a");
    let token = put(&inside_a, TOKEN, "").await.body["access_token"].as_str().unwrap().to_owned();
    let carried = inside_b.with_header("authorization", &format!("Bearer {token}"));
    assert_eq!(refused(&carried.get(INSTANCE).await), wanted(401, "unauthenticated", ""));
    assert_eq!(carried.post(EXCHANGE, Value::Null).await.status, 401);
    for header in ["Bearer x.y.z", "Bearer ", "Basic abc", &token] {
        assert_eq!(inside_a.with_header("authorization", header).get(INSTANCE).await.status, 401, "{header}");
    }
    assert_eq!(inside_a.get(INSTANCE).await.status, 401);
    let mut torn = token.clone();
    torn.replace_range(token.len() - 8..token.len() - 4, "AAAA");
    assert_eq!(
        inside_a.with_header("authorization", &format!("Bearer {torn}")).get(INSTANCE).await.status,
        401
    );
    assert_eq!(known_a.post(EXCHANGE, Value::Null).await.status, 200);
    // Switched off, stopped, of an earlier life, expired, deleted.
    let path = format!("/instances/{}", text(&a, "id"));
    s.admin.patch(&path, json!({"metadata_service": {"enabled": false}})).await;
    assert_eq!(refused(&known_a.post(EXCHANGE, Value::Null).await), wanted(403, "unauthorized", ""));
    s.admin.patch(&path, json!({"metadata_service": {"enabled": true}})).await;
    assert_eq!(known_a.get(INSTANCE).await.status, 200);
    for status in [Status::Stopping, Status::Stopped, Status::Failed, Status::Deleting, Status::Pending] {
        s.set(&a, status).await;
        assert_eq!(put(&inside_a, TOKEN, "").await.status, 403, "{status:?}");
        assert_eq!(known_a.post(EXCHANGE, Value::Null).await.status, 403, "{status:?}");
    }
    s.set(&a, Status::Stopped).await;
    assert_eq!(s.admin.post(&format!("{path}/actions"), json!({"type": "start"})).await.status, 201);
    s.set(&a, Status::Running).await;
    assert_eq!(known_a.get(INSTANCE).await.status, 401);
    let known_a = known(&inside_a).await;
    s.t.advance_secs(301);
    assert_eq!(known_a.get(INSTANCE).await.status, 401);
    assert_eq!(s.admin.delete(&path).await.status, 204);
    assert_eq!(put(&inside_a, TOKEN, "").await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_become_which_profile_is_asked_at_each_exchange() {
    let s = Scene::new().await;
    let outsider = s.t.outsider().await;
    let linked = s.instance("linked", s.linked()).await;
    let plain = s.instance("plain", json!({})).await;
    let c = known(&s.inside(&linked)).await;
    let other = known(&s.inside(&plain)).await;
    let ask = async |c: &Client, profile: Value| c.post(EXCHANGE, json!({"trusted_profile": profile})).await;
    let r = c.post(EXCHANGE, Value::Null).await;
    assert_eq!((r.status, &r.body["expires_in"]), (200, &json!(3600)), "{}", r.text);
    assert!(r.body.get("refresh_token").is_none() && text(&r.body, "created_at").starts_with(BEGUN));
    let told = claims(text(&r.body, "access_token"));
    assert_eq!(told["iam_id"], format!("iam-{}", text(&s.profile, "id")));
    assert_eq!(told["authn"]["iam_id"], format!("crn-{}", text(&linked, "crn")));
    let own = format!("/v1/profiles?account_id={}", s.t.account());
    assert_eq!(s.t.bearer(text(&r.body, "access_token")).get(&own).await.status, 200);
    let (id, crn) = (s.profile["id"].clone(), s.profile["crn"].clone());
    for named in
        [json!({"id": id}), json!({"crn": crn}), json!({"name": "web"}), json!({"id": id, "name": "web"})]
    {
        assert_eq!(ask(&c, named.clone()).await.status, 200, "{named}");
    }
    assert_eq!(
        refused(&other.post(EXCHANGE, Value::Null).await),
        wanted(400, "missing_field", "trusted_profile")
    );
    assert_eq!(refused(&ask(&other, json!({"name": "web"})).await).1, "profile_not_linked");
    let elsewhere = json!({"name": "far", "account_id": claims(outsider.token())["account"]["bss"]});
    let elsewhere = outsider.post("/v1/profiles", elsewhere).await.body;
    let absent = json!({"id": "Profile-6e1f7ea6-0000-4000-8000-000000000001"});
    for named in [
        json!({"id": elsewhere["id"]}),
        json!({"crn": elsewhere["crn"]}),
        json!({"name": "far"}),
        absent,
        json!({"id": "x"}),
    ] {
        assert_eq!(refused(&ask(&c, named.clone()).await).1, "not_found", "{named}");
    }
    for (named, code) in [
        (json!("web"), "invalid_value"),
        (json!({"id": 1}), "invalid_value"),
        (json!({"surprise": 1}), "unknown_field"),
    ] {
        assert_eq!(refused(&ask(&c, named.clone()).await).1, code, "{named}");
    }
    // By a rule, on what the instance is now.
    let rule = json!({"name": "r", "type": "Profile-CR", "cr_type": "VSI", "expiration": 3600, "conditions": [
        {"claim": "subnet_id", "operator": "CONTAINS", "value": format!("\"{}\"", text(&s.subnet, "id"))}]});
    let made = s.admin.0.post(&format!("/v1/profiles/{}/rules", text(&s.profile, "id")), rule).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(ask(&other, json!({"name": "web"})).await.status, 200);
    // A default profile that is gone says so, and the record of it stays.
    assert_eq!(s.admin.0.delete(&format!("/v1/profiles/{}", text(&s.profile, "id"))).await.status, 204);
    assert_eq!(refused(&c.post(EXCHANGE, Value::Null).await), wanted(400, "not_found", "trusted_profile"));
    let initial = c.get("/metadata/v1/instance/initialization?version=2022-03-01").await;
    assert_eq!(initial.body["default_trusted_profile"]["target"]["id"], s.profile["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_of_the_caller_only_and_user_data_is_in_one_of_them() {
    let s = Scene::new().await;
    let key = json!({"name": "k", "public_key": crate::world::public_key(7), "type": "ed25519"});
    let key = s.admin.made("/keys", key).await;
    let group = s.admin.made("/placement_groups", json!({"name": "g", "strategy": "host_spread"})).await;
    let more = json!({"keys": [{"id": key["id"]}], "placement_target": {"id": group["id"]}});
    let instance = s.instance("web", more).await;
    let other = s.instance("other", json!({})).await;
    let c = known(&s.inside(&instance)).await;
    let get = async |path: &str| c.get(&format!("/metadata/v1{path}?version=2022-03-01")).await;
    s.admin.delete(&format!("/keys/{}", text(&key, "id"))).await;
    let whole = get("/instance").await;
    assert_eq!(
        (&whole.body["id"], &whole.body["metadata_service"]["enabled"]),
        (&instance["id"], &json!(true))
    );
    assert!(!whole.text.contains("SEALED"));
    let initial = get("/instance/initialization").await.body;
    assert_eq!(
        (text(&initial, "user_data"), &initial["keys"][0]["name"]),
        ("#!/bin/sh\n# SEALED\n", &json!("k"))
    );
    for (path, name, count) in [
        ("/instance/network_interfaces", "network_interfaces", 1),
        ("/instance/network_attachments", "network_attachments", 0),
        ("/instance/volume_attachments", "volume_attachments", 1),
        ("/instance/cluster_network_attachments", "cluster_network_attachments", 0),
        ("/instance/software_attachments", "software_attachments", 0),
        ("/keys", "keys", 1),
        ("/placement_groups", "placement_groups", 1),
        ("/virtual_network_interfaces", "virtual_network_interfaces", 0),
    ] {
        let r = get(path).await;
        let all = r.body[name].as_array().unwrap_or_else(|| panic!("{path}: {}", r.text));
        assert_eq!(all.len(), count, "{path}");
        if let Some(first) = all.first() {
            assert_eq!(&get(&format!("{path}/{}", text(first, "id"))).await.body, first, "{path}");
        }
        let unknown = get(&format!("{path}/{}", text(&other, "id"))).await;
        assert_eq!(unknown.status, 404, "{path}");
    }
    let foreign = other["primary_network_interface"]["id"].as_str().unwrap();
    assert_eq!(
        refused(&get(&format!("/instance/network_interfaces/{foreign}")).await),
        wanted(404, "not_found", "id")
    );
    let page = c.get("/metadata/v1/keys?version=2022-03-01&limit=1").await.body;
    assert!(
        page["first"]["href"]
            .as_str()
            .unwrap()
            .starts_with("http://api.metadata.cloud.ibm.com/metadata/v1/keys?")
    );
    assert_eq!((&page["total_count"], page.get("next")), (&json!(1), None));
    assert_eq!(c.get("/metadata/v1/keys?version=2022-03-01&limit=0").await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_told_and_a_flood_holds_up_nobody_else() {
    let s = Scene::new().await;
    let (a, b) = (s.instance("a", s.linked()).await, s.instance("b", json!({})).await);
    let c = known(&s.inside(&a)).await;
    assert_eq!(c.post(EXCHANGE, Value::Null).await.status, 200);
    assert_eq!(c.post(EXCHANGE, json!({"trusted_profile": {"name": "none"}})).await.status, 400);
    assert_eq!(c.get(INSTANCE).await.status, 200);
    s.t.app().audit.settled().await.unwrap();
    let events = async |action: &str| {
        let r = s.admin.0.get(&format!("/avouch/v1/audit/events?action={action}&limit=20")).await;
        r.body["events"].as_array().unwrap().clone()
    };
    let asked = events("is.metadata.computeresource-token.request").await;
    assert_eq!(asked.len(), 2);
    let of = |outcome: &str| asked.iter().find(|e| e["outcome"] == outcome).unwrap();
    let (failed, done) = (of("failure"), of("success"));
    assert_eq!(failed["reason"]["reasonCode"], 400);
    assert_eq!(done["initiator"]["id"], format!("iam-{}", text(&s.profile, "id")));
    assert_eq!(done["initiator"]["authnId"], format!("crn-{}", text(&a, "crn")));
    let logins = events("iam-identity.computeresource-token.login").await;
    let pair = logins.iter().find(|e| e["outcome"] == "success").unwrap();
    assert_eq!(pair["correlationId"], done["correlationId"]);
    assert_eq!(pair["initiator"]["id"], done["initiator"]["id"]);
    for action in ["is.metadata.jwt-token.create", "is.metadata.instance.read"] {
        let all = events(action).await;
        assert_eq!(all.len(), 1, "{action}");
        assert_eq!(all[0]["initiator"]["id"], format!("crn-{}", text(&a, "crn")), "{action}");
        assert_eq!(all[0]["target"]["id"], a["crn"], "{action}");
        assert!(!all[0].to_string().contains("eyJ"), "{action}");
    }
    let flooding = s.inside(&a);
    let mut last = 0;
    for _ in 0..401 {
        last = flooding.get(INSTANCE).await.status;
    }
    assert_eq!(last, 429);
    assert_eq!(put(&s.inside(&b), TOKEN, "").await.status, 200);
    s.t.advance_secs(1);
    assert_eq!(flooding.get(INSTANCE).await.status, 401);
}
