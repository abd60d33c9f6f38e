//! Every endpoint that declares an event is called once, well, and leaves exactly that event; one that declares none leaves
//! none. Then every one of them is refused, and the refusal is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use avouch_gate::config::Reads;
use avouch_gate::http::endpoint::Endpoint;
use avouch_gate::{Auth, Effect};
use avouch_testkit::{Client, TestApp, TestIssuer, TestResponse};
use avouch_wire::crn::Crn;
use serde_json::{Value, json};

use crate::tenancy::{body_of, filled, never};
use crate::world::World;
use crate::world_vpc::{self, Before};

/// Operations that cannot succeed here, and why.
const NEVER: [(&str, &str); 17] = [
    ("run_in_instance", "no instance runs here; the event is looked for where instances run"),
    ("create_configuration", "configurations are not built"),
    ("get_configuration", "configurations are not built"),
    ("update_configuration", "configurations are not built"),
    ("delete_configuration", "configurations are not built"),
    ("create_configuration_action", "configurations are not built"),
    ("get_secret_task", "tasks are not built"),
    ("replace_secret_task", "tasks are not built"),
    ("delete_secret_task", "tasks are not built"),
    ("create_notifications_registration", "notifications are not built"),
    ("get_notifications_registration", "notifications are not built"),
    ("delete_notifications_registration", "notifications are not built"),
    ("get_notifications_registration_test", "notifications are not built"),
    ("create_secret_action", "no type of secret that is built has actions"),
    ("create_secret_version_action", "no type of secret that is built has actions"),
    ("delete_secret_version_data", "no type of secret that is built lets the data of one version go"),
    ("cancel_lastop_resource_instance", "no operation on an instance takes long enough to be cancelled"),
];

/// Successful calls that tell more or less than the one event that is declared first.
fn told(operation: &str) -> Option<&'static [&'static str]> {
    Some(match operation {
        "create_api_key" => &["iam-identity.serviceid-apikey.create"],
        "get_api_key" => &["iam-identity.serviceid-apikey.read"],
        "update_api_key" | "lock_api_key" | "unlock_api_key" | "disable_api_key" | "enable_api_key" => {
            &["iam-identity.serviceid-apikey.update"]
        }
        "delete_api_key" => &["iam-identity.serviceid-apikey.delete"],
        "create_service_id" => {
            &["iam-identity.account-serviceid.create", "iam-identity.serviceid-apikey.create"]
        }
        "delete_service_id" => {
            &["iam-identity.account-serviceid.delete", "iam-identity.serviceid-apikey.delete"]
        }
        "update_user_profile" => &["user-management.user.state-change"],
        // He has no key yet.
        "remove_user" => &["user-management.user.delete"],
        "set_profile_identities" => &["iam-identity.profile-identity.remove"],
        "create_instance" => &["is.instance.instance.create"],
        "create_instance_action" => &["is.instance.instance.start"],
        "delete_resource_instance" => &["secrets-manager.instance.schedule_reclaim"],
        "run_reclamation_action" => &["secrets-manager.instance.restore"],
        _ => return None,
    })
}

/// Bodies that the worlds of other tests have no use for.
pub fn body(world: &World, operation: &str) -> Value {
    let keys = |issuer: &str| {
        let issuer = TestIssuer::new(issuer);
        json!({"name": "second", "cr_type": "IKS_SA", "issuer": issuer.issuer, "jwks": issuer.jwks()})
    };
    match operation {
        "register_cluster" => keys("https://second.test"),
        "register_issuer" => {
            let mut body = keys("https://ci2.test");
            body["audiences"] = json!(["avouch"]);
            body.as_object_mut().unwrap().remove("cr_type");
            body
        }
        "replace_cluster" => {
            json!({"name": "one", "cr_type": "IKS_SA", "issuer": world.issuer.issuer, "max_token_ttl": 1800})
        }
        "replace_issuer" => json!({"name": "ci", "issuer": "https://ci.test", "audiences": ["other"]}),
        "update_user_profile" => json!({"state": "DISABLED_CLASSIC_INFRASTRUCTURE"}),
        "update_cluster" | "update_issuer" => json!({"name": "renamed"}),
        "diagnose_cluster" | "diagnose_issuer" => json!({"cr_token": world.issuer.token("ns", "sa", "p", 0)}),
        "create_revocation" => json!({"iam_id": world.get("serviceid_iam")}),
        "create_service_id" => {
            json!({"account_id": world.get("account"), "name": "x", "apikey": {"name": "k"}})
        }
        "create_api_key" => json!({"name": "x", "iam_id": world.get("serviceid_iam")}),
        "create_account" => json!({"name": "Another", "owner_email": "another@avouch.test"}),
        "create_access_group" => json!({"name": "another"}),
        "update_access_group" => json!({"name": "renamed"}),
        "create_role" => {
            json!({"name": "Another", "display_name": "Another", "account_id": world.get("account"),
            "service_name": "iam-groups", "actions": ["iam-groups.groups.read"]})
        }
        "create_policy" => policy(world, "replace_policy", "is"),
        "create_v2_policy" => policy(world, "replace_v2_policy", "codeengine"),
        "create_resource_instance" => json!({"name": "more", "target": "us-south",
            "resource_group": world.get("default_group"), "resource_plan_id": "7713c3a8-3be8-4a9a-81bb-ee822fcaac3d"}),
        "update_cluster_master" => json!({"action": "refresh"}),
        "update_account_settings" => json!({"mfa": "NONE", "public_access_enabled": true}),
        "create_secret" => json!({"secret_type": "arbitrary", "name": "more", "payload": "y"}),
        "update_secret_version_metadata" => json!({"version_custom_metadata": {"a": 1}}),
        "add_member_to_multiple_access_groups" => json!({"type": "service", "groups": [world.get("group")]}),
        _ => body_of(world, operation),
    }
}

fn policy(world: &World, like: &str, service: &str) -> Value {
    serde_json::from_str(&body_of(world, like).to_string().replace("\"kms\"", &format!("\"{service}\"")))
        .unwrap()
}

fn query(world: &World, operation: &str) -> String {
    let enc = |text: &str| text.replace(':', "%3A").replace('/', "%2F");
    match operation {
        "delete_link_by_parameters" => {
            format!("?type=IKS_SA&crn={}&namespace=ns&name=sa", enc(world.get("cluster_crn")))
        }
        "create_access_group" => format!("?account_id={}", world.get("account")),
        _ => String::new(),
    }
}

/// What must be there before the call; the path, where it is about another object than those of the world.
async fn prepare(admin: &Client, world: &World, operation: &str) -> Option<String> {
    let did = async |method: &str, path: String, body: Value| {
        let r = admin.with_header("if-match", "*").json(method, &path, body).await;
        assert!((200..300).contains(&r.status), "{operation}: {method} {path}: {} {}", r.status, r.text);
        r.body["id"].as_str().unwrap_or_default().to_owned()
    };
    match world_vpc::before(&|object| world.get(object).to_owned(), operation) {
        Some(Before::Call(method, path)) => {
            did(method, path + world_vpc::ASKED, Value::Null).await;
            return None;
        }
        Some(Before::New(path, body)) => {
            let id = did("POST", format!("{path}{}", world_vpc::ASKED), body).await;
            return Some(format!("{path}/{id}{}", world_vpc::ASKED));
        }
        None => {}
    }
    let group = format!("/v2/groups/{}/members", world.get("group"));
    let member = json!({"members": [{"iam_id": world.get("serviceid_iam"), "type": "service"}]});
    let secret = format!("/secrets-manager/{}/api/v2/secrets/{}", world.get("instance"), world.get("secret"));
    match operation {
        "remove_member_from_access_group"
        | "remove_members_from_access_group"
        | "remove_member_from_all_access_groups"
        | "is_member_of_access_group" => {
            did("PUT", group, member).await;
        }
        "replace_policy" => {
            let id = did("POST", "/v1/policies".into(), policy(world, "replace_policy", "is")).await;
            return Some(format!("/v1/policies/{id}"));
        }
        "get_api_key" => {
            let key = json!({"name": "stored", "iam_id": world.get("serviceid_iam"), "store_value": true});
            return Some(format!("/v1/apikeys/{}", did("POST", "/v1/apikeys".into(), key).await));
        }
        "revoke_issuer_key" => {
            let (issuer, kid) = (world.get("issuer"), world.get("issuer_kid"));
            return Some(format!("/avouch/v1/issuers/{issuer}/keys/{kid}/revoke"));
        }
        "update_policy_state" => {
            did("DELETE", format!("/v1/policies/{}", world.get("policy")), Value::Null).await;
        }
        "delete_secret_locks_bulk" | "delete_secret_version_locks_bulk" => {
            did("POST", format!("{secret}/locks_bulk"), json!({"locks": [{"name": "l1"}]})).await;
        }
        _ => {}
    }
    None
}

/// How serious a success is: by the published words, and what changes credentials or rights is critical.
fn severity(action: &str) -> &'static str {
    let (object, verb) = action.rsplit_once('.').unwrap();
    let rights = [
        "iam-identity.user-apikey",
        "iam-identity.serviceid-apikey",
        "iam-identity.profile-link",
        "iam-identity.profile-rule",
        "iam-identity.profile-identity",
        "iam-identity.cluster",
        "iam-identity.issuer",
        "iam-am.policy",
        "iam-am.role",
        "iam-groups.member",
    ];
    match verb {
        "delete" | "remove" | "revoke" => "critical",
        "create" | "update" | "add" | "register" if rights.contains(&object) => "critical",
        "update" | "state-change" | "restore" | "schedule_reclaim" | "refresh" => "warning",
        "create" if object == "secrets-manager.secret-version" => "warning",
        _ => "normal",
    }
}

pub fn endpoints(t: &TestApp) -> Vec<Endpoint> {
    let services = t.server().router.services();
    services.iter().flat_map(|s| s.endpoints.clone()).filter(|e| e.auth == Auth::Bearer).collect()
}

pub async fn call(client: &Client, world: &World, e: &Endpoint, body: Value) -> TestResponse {
    call_at(client, e, &path(world, e, &str::to_owned), body).await
}

fn path(world: &World, e: &Endpoint, id: &dyn Fn(&str) -> String) -> String {
    let path = filled(world, e.path, id);
    let query = query(world, e.operation);
    if query.is_empty() { path } else { path.split('?').next().unwrap().to_owned() + &query }
}

async fn call_at(client: &Client, e: &Endpoint, path: &str, body: Value) -> TestResponse {
    let body = if ["GET", "HEAD", "DELETE"].contains(&e.method.as_str()) { Value::Null } else { body };
    client.with_header("if-match", "*").json(e.method.as_str(), path, body).await
}

/// The events of one answer, in the trail that the reader sees.
async fn events(reader: &Client, r: &TestResponse) -> Vec<Value> {
    let path = format!("/avouch/v1/audit/events?correlation_id={}", r.header("transaction-id"));
    let found = reader.get(&path).await;
    assert_eq!(found.status, 200, "{}", found.text);
    found.body["events"].as_array().unwrap().clone()
}

fn declared(e: &Endpoint) -> Vec<String> {
    e.events.iter().map(|a| a.replace("<service>", "secrets-manager")).collect()
}

fn actions(events: &[Value]) -> Vec<&str> {
    let mut out: Vec<&str> = events.iter().map(|e| e["action"].as_str().unwrap()).collect();
    out.sort_unstable();
    out
}

/// What is wrong with an event of a success.
fn wrong(e: &Endpoint, event: &Value, (r, at): (&TestResponse, &str), world: &World) -> Vec<String> {
    let mut out = Vec::new();
    let mut same = |what: &str, have: &Value, want: Value| {
        if *have != want {
            out.push(format!("{what} is {have}, not {want}"));
        }
    };
    let action = event["action"].as_str().unwrap();
    same("outcome", &event["outcome"], json!("success"));
    same("severity", &event["severity"], json!(severity(action)));
    same("status", &event["reason"]["reasonCode"], json!(r.status));
    same("correlation", &event["correlationId"], json!(r.header("transaction-id")));
    same("initiator", &event["initiator"]["id"], json!(world.get("owner")));
    same("initiator's type", &event["initiator"]["typeURI"], json!("service/security/account/user"));
    same("credential", &event["initiator"]["credential"]["type"], json!("token"));
    same("address", &event["initiator"]["host"]["address"], json!("127.0.0.1"));
    same("data event", &event["dataEvent"], json!(e.effect == Effect::Disclose));
    same("observer", &event["observer"]["name"], json!("ActivityTracker"));
    let target = event["target"]["id"].as_str().unwrap();
    match Crn::parse(target) {
        Ok(_) if target.contains(&format!("a/{}", world.get("account"))) => {}
        _ => out.push(format!("target is {target:?}")),
    }
    // It says what was made, and every object that the path names.
    let text = event.to_string();
    let mut named: Vec<String> = ["id", "guid", "iam_id"]
        .iter()
        .filter_map(|n| r.body[n].as_str())
        .map(str::to_owned)
        .take(1)
        .collect();
    if action.contains("-apikey.") && e.path.contains("serviceids") || r.status != 201 {
        named.clear();
    }
    let at = at.split('?').next().unwrap().split('/').zip(e.path.split('/'));
    named.extend(at.filter(|(id, part)| part.starts_with('{') && id.len() > 20).map(|(id, _)| id.to_owned()));
    for id in named {
        // Roles are named by the CRN that policies hold.
        if !text.contains(id.trim_start_matches("iam-")) && !e.path.starts_with("/v2/roles") {
            out.push(format!("{id} is not named: {text}"));
        }
    }
    let kind = event["target"]["typeURI"].as_str().unwrap();
    let object = action.rsplit_once('.').unwrap().0.replacen('.', "/", 1);
    let target_type = e.target.replace("<service>", "secrets-manager");
    if kind != target_type && kind != object {
        out.push(format!("type of the target is {kind}, not {target_type} or {object}"));
    }
    let source = event["logSourceCRN"].as_str().unwrap();
    if Crn::parse(source).is_err() || !source.contains(world.get("account")) {
        out.push(format!("source is {source:?}"));
    }
    if event["message"].as_str().unwrap().contains("-failure") || !event["eventTime"].is_string() {
        out.push(format!("message is {}", event["message"]));
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_wait_for_their_event_where_that_is_asked() {
    let t = TestApp::with(|c| c.audit.reads = Reads::Sync).await;
    let admin = t.admin().await;
    for _ in 0..30 {
        let list = admin.get("/global/v1/clusters").await;
        assert_eq!(list.status, 200, "{}", list.text);
        let asked = list.header("transaction-id").to_owned();
        let sql = "select count(*) from audit_events where correlation_id = $1";
        let told = t.app().store.read::<i64, avouch_store::Error, _>(move |tx| {
            tx.query_one(sql, &avouch_store::params![&asked])?.get(0)
        });
        assert_eq!(told.await.unwrap(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_that_succeeds_leaves_exactly_its_declared_events() {
    let t = TestApp::new().await;
    let mut failed = Vec::new();
    let mut shared: Option<(Client, Arc<World>)> = None;
    let mut called = 0;
    for e in endpoints(&t) {
        if NEVER.iter().any(|(operation, _)| *operation == e.operation) {
            assert!(!e.events.is_empty(), "{e:?} is excepted and declares nothing");
            continue;
        }
        // A world of its own for each change, one for all reads.
        let reads = e.effect != Effect::Write;
        let (admin, world) = match shared.clone().filter(|_| reads) {
            Some(both) => both,
            None => {
                // Only the operator makes accounts; all else is tried where nobody has done anything yet.
                let admin = match e.operation {
                    "create_account" => t.admin().await,
                    _ => t.outsider().await,
                };
                let world = World::build(&t, &admin).await;
                (admin, Arc::new(world))
            }
        };
        let at =
            prepare(&admin, &world, e.operation).await.unwrap_or_else(|| path(&world, &e, &str::to_owned));
        let r = call_at(&admin, &e, &at, body(&world, e.operation)).await;
        let found = events(&admin, &r).await;
        if reads {
            shared = Some((admin, world.clone()));
        }
        if e.events.is_empty() {
            if !found.is_empty() && r.status < 400 {
                failed.push(format!("{e:?}: {} without a declaration", actions(&found).join(", ")));
            }
            continue;
        }
        called += 1;
        if r.status >= 400 {
            failed.push(format!("{e:?}: {} {}", r.status, r.text));
            continue;
        }
        let first = declared(&e);
        let mut expected: Vec<&str> = match told(e.operation) {
            Some(told) => told.to_vec(),
            None if first.len() == 1 => vec![&first[0]],
            None => panic!("{e:?} declares several events: which of them does a good call leave?"),
        };
        expected.sort_unstable();
        assert!(expected.iter().all(|a| first.iter().any(|d| d == a)), "{e:?}: {expected:?}");
        if actions(&found) != expected {
            failed.push(format!("{e:?}: {:?}, not {expected:?}", actions(&found)));
        }
        for event in &found {
            failed
                .extend(wrong(&e, event, (&r, &at), &world).into_iter().map(|text| format!("{e:?}: {text}")));
        }
    }
    assert!(failed.is_empty(), "{}:\n{}", failed.len(), failed.join("\n"));
    assert!(called > 100, "{called}");
    for (operation, _) in NEVER {
        assert!(endpoints(&t).iter().any(|e| e.operation == operation), "{operation} is gone");
    }
}

/// An event of a refusal: whose, of what status, of which action.
fn refusal(e: &Endpoint, found: &[Value], r: &TestResponse, who: &str) -> Option<String> {
    let [event] = found else {
        return Some(format!("{e:?}: {} events of a {}: {:?}", found.len(), r.status, actions(found)));
    };
    let action = event["action"].as_str().unwrap();
    // Where nobody knows of which service an instance is, the resource controller tells.
    let services = ["secrets-manager", "resource-controller"];
    let known = e.events.iter().any(|d| services.iter().any(|s| d.replace("<service>", s) == action))
        || (e.events.is_empty() && action == "iam-am.access.deny");
    let locked = r.status == 409 && r.text.contains("locked");
    let severity = if locked || matches!(r.status, 401 | 403) { "critical" } else { "warning" };
    let right = known
        && event["outcome"] == "failure"
        && event["reason"]["reasonCode"] == r.status
        && event["initiator"]["id"] == who
        && event["severity"] == severity
        && Crn::parse(event["target"]["id"].as_str().unwrap()).is_ok()
        && !event["reason"]["reasonForFailure"].as_str().unwrap_or_default().is_empty()
        && event["message"].as_str().unwrap().ends_with(" -failure");
    (!right).then(|| format!("{e:?}: {} {event}", r.status))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refused_call_leaves_exactly_one_event_of_a_failure() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let world = World::build(&t, &admin).await;
    let (nobody, who) = t.service_id("nobody").await;
    let mut failed = Vec::new();
    let mut statuses: BTreeMap<(&str, u16), usize> = BTreeMap::new();
    let mut note = |e: &Endpoint, r: &TestResponse, found: &[Value], who: &str| {
        // What is malformed is told where the endpoint tells at all.
        if r.status < 400 || (e.events.is_empty() && ![401, 403, 404].contains(&r.status)) {
            return;
        }
        let service = e.path.split('/').nth(2).unwrap_or_default();
        *statuses.entry((service, r.status)).or_default() += 1;
        failed.extend(refusal(e, found, r, who));
    };
    for e in endpoints(&t) {
        // Without any right, with ids that never were, and with a body that is none.
        let r = call(&nobody, &world, &e, body(&world, e.operation)).await;
        note(&e, &r, &events(&admin, &r).await, &who);
        if e.path.contains('{') {
            let r = call_at(&admin, &e, &path(&world, &e, &never), body(&world, e.operation)).await;
            note(&e, &r, &events(&admin, &r).await, t.owner());
        }
        if ["POST", "PUT", "PATCH"].contains(&e.method.as_str()) {
            let r = call(&admin, &world, &e, json!([7])).await;
            note(&e, &r, &events(&admin, &r).await, t.owner());
        }
        if NEVER.iter().any(|(operation, _)| *operation == e.operation) {
            let r = call(&admin, &world, &e, body(&world, e.operation)).await;
            assert!(r.status >= 400, "{e:?} is excepted and succeeds");
            note(&e, &r, &events(&admin, &r).await, t.owner());
        }
    }
    // What is locked or there already.
    let key = format!("/v1/apikeys/{}", world.get("apikey"));
    assert_eq!(admin.post(&format!("{key}/lock"), Value::Null).await.status, 204);
    for (operation, body) in [
        ("update_api_key", json!({"name": "x"})),
        ("delete_api_key", Value::Null),
        ("delete_service_id", Value::Null),
        ("create_access_group", json!({"name": "g"})),
        ("create_resource_group", json!({"name": "rg", "account_id": world.get("account")})),
        ("create_secret_group", json!({"name": "team"})),
        (
            "register_cluster",
            json!({"name": "one", "cr_type": "IKS_SA", "issuer": world.issuer.issuer, "jwks": world.issuer.jwks()}),
        ),
    ] {
        let e = endpoints(&t).into_iter().find(|e| e.operation == operation).unwrap();
        let r = call(&admin, &world, &e, body).await;
        let locked = operation.contains("_api_key") || operation == "delete_service_id";
        let found = events(&admin, &r).await;
        let severity = if locked { "critical" } else { "warning" };
        let right = r.status == 409 && found.len() == 1 && found[0]["severity"] == severity;
        assert!(right && found[0]["outcome"] == "failure", "{operation}: {} {found:?}", r.text);
    }
    assert!(failed.is_empty(), "{}:\n{}", failed.len(), failed.join("\n"));
    for (service, status) in [
        ("profiles", 403),
        ("profiles", 404),
        ("apikeys", 400),
        ("groups", 403),
        ("policies", 404),
        ("clusters", 400),
        ("resource_instances", 403),
        ("resource_groups", 404),
        ("{instance}", 400),
        ("{instance}", 403),
        ("{instance}", 404),
    ] {
        assert!(statuses.contains_key(&(service, status)), "{service} {status}: {statuses:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_login_leaves_exactly_its_declared_event_at_both_paths() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let world = World::build(&t, &admin).await;
    let grant = |name: &str| format!("urn:ibm:params:oauth:grant-type:{name}");
    let (apikey, assume, cr_token) = (grant("apikey"), grant("assume"), grant("cr-token"));
    let service = t.token(world.get("apikey_value")).await;
    let pod = world.issuer.token("ns", "sa", "pod", t.now().secs());
    let profile = ("profile_id", world.get("profile"));
    let became = format!("iam-{}", world.get("profile"));
    let services = t.server().router.services();
    let paths: Vec<Endpoint> =
        services.iter().flat_map(|s| s.endpoints.clone()).filter(|e| e.auth == Auth::Anonymous).collect();
    let mut refresh = world.get("refresh_token").to_owned();
    let mut left = BTreeMap::new();
    let logout = |e: &Endpoint| e.operation == "logout";
    for e in paths.iter().filter(|e| !e.events.is_empty() && !logout(e)) {
        let again = refresh.clone();
        for (action, fields, who) in [
            ("user-apikey", vec![("grant_type", &*apikey), ("apikey", t.api_key())], t.owner()),
            (
                "serviceid-apikey",
                vec![("grant_type", &*apikey), ("apikey", world.get("apikey_value"))],
                world.get("serviceid_iam"),
            ),
            (
                "computeresource-token",
                vec![("grant_type", &*cr_token), ("cr_token", &*pod), profile],
                &*became,
            ),
            (
                "trustedprofile-apikey",
                vec![("grant_type", &*assume), ("access_token", &*service), profile],
                &*became,
            ),
            (
                "user-refreshtoken",
                vec![("grant_type", "refresh_token"), ("refresh_token", &*again)],
                world.get("serviceid_iam"),
            ),
        ] {
            let bx = t.anon().with_header("authorization", "Basic Yng6Yng=");
            let r = bx.form(e.path, &fields).await;
            assert_eq!(r.status, 200, "{action}: {}", r.text);
            if action == "user-refreshtoken" {
                refresh = r.body["refresh_token"].as_str().unwrap().to_owned();
            }
            let action = format!("iam-identity.{action}.login");
            let found = events(&admin, &r).await;
            assert_eq!(actions(&found), [&*action], "{e:?}");
            let event = &found[0];
            assert_eq!((&event["outcome"], &event["severity"]), (&json!("success"), &json!("normal")));
            assert_eq!(event["initiator"]["id"], who, "{action}");
            assert_eq!(event["reason"]["reasonCode"], 200);
            assert!(Crn::parse(event["target"]["id"].as_str().unwrap()).is_ok(), "{event}");
            assert!(!event.to_string().contains(r.body["access_token"].as_str().unwrap()));
            *left.entry(action).or_insert(0) += 1;
        }
        let mut told: Vec<String> = left.keys().cloned().collect();
        let mut declared = declared(e);
        told.sort();
        declared.sort();
        assert_eq!(told, declared, "{e:?}");
    }
    assert!(left.values().all(|n| *n == 2), "{left:?}");
    // And the way out.
    let out = paths.iter().find(|e| logout(e)).unwrap();
    let bx = t.anon().with_header("authorization", "Basic Yng6Yng=");
    let r = bx.form(out.path, &[("refresh_token", &*refresh)]).await;
    let found = events(&admin, &r).await;
    assert_eq!((r.status, actions(&found)), (204, declared(out).iter().map(|a| &**a).collect()));
    assert_eq!(found[0]["initiator"]["id"], world.get("serviceid_iam"));
}
