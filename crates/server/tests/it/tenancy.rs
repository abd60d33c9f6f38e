//! Two accounts on one server: the ids of one are to the other what ids that never were are.

use std::collections::BTreeMap;

use avouch_gate::Auth;
use avouch_gate::http::endpoint::Endpoint;
use avouch_testkit::{Client, TestApp, TestResponse};
use serde_json::{Value, json};

use crate::world::World;

/// Which object of the world a path parameter names; `None` for words like `version`.
pub fn object(template: &str, parameter: &str) -> Option<&'static str> {
    if crate::world_vpc::is_vpc(template) {
        return crate::world_vpc::object(template, parameter).filter(|o| !o.is_empty());
    }
    Some(match parameter {
        "account_id" => "account",
        "access_group_id" => "group",
        "rule_id" => "group_rule",
        "role_id" => "role",
        "policy_id" => "policy",
        "rule" => "rule",
        "link" => "link",
        "instance" => "instance",
        "identifier" => "serviceid",
        "iam_id" if template.contains("/users/") => "user",
        "iam_id" => "serviceid_iam",
        "kid" => "kid",
        "id" | "id_or_name" => match template {
            _ if template.contains("/secrets/{id}") => "secret",
            _ if template.contains("/secret_groups/{id}") => "secret_group",
            _ if template.contains("/clusters/") => "cluster",
            _ if template.contains("/issuers/") => "issuer",
            _ if template.contains("/profiles/") => "profile",
            _ if template.contains("/serviceids/") => "serviceid",
            _ if template.contains("/serviceid_groups/") => "serviceid_group",
            _ if template.contains("/apikeys/") => "apikey",
            _ if template.contains("/policies/") => "policy",
            _ if template.contains("/resource_instances/") => "instance",
            _ if template.contains("/resource_groups/") => "resource_group",
            _ if template.contains("/reclamations/") => "reclamation",
            _ if template.contains("/audit/events/") => "event",
            // The same for everybody.
            _ if template.contains("/quota_definitions/") => return None,
            _ => panic!("no object for {template}"),
        },
        "version" | "kind" | "identity_type" | "action" | "group_name" | "secret_type" | "name" | "task" => {
            return None;
        }
        _ => panic!("no object for {{{parameter}}} of {template}"),
    })
}

/// What stands for a parameter that names no object.
pub fn word(parameter: &str) -> &'static str {
    match parameter {
        "version" => "current",
        "kind" | "identity_type" => "serviceid",
        "action" => "restore",
        "group_name" => "default",
        "secret_type" => "arbitrary",
        "name" => "db",
        _ => "00000000-0000-4000-8000-00000000dead",
    }
}

/// An id of the same form that nothing has: one that differs in the last places of each part that is long enough to be
/// chosen at random.
pub fn never(id: &str) -> String {
    let turned = |part: &str| {
        let keep = part.len().saturating_sub(4);
        let turn = |c: char| match c {
            '0'..='8' | 'a'..='e' | 'A'..='E' => char::from(c as u8 + 1),
            '9' => '0',
            'f' => 'a',
            'F' => 'A',
            'g'..='z' => 'h',
            other => other,
        };
        part.char_indices().map(|(i, c)| if i < keep { c } else { turn(c) }).collect::<String>()
    };
    let parts: Vec<String> = id
        .split([':', '/'])
        .map(|part| if part.len() >= 16 || !id.contains(':') { turned(part) } else { part.to_owned() })
        .collect();
    // The separators stand where they stood.
    let mut separators = id.chars().filter(|c| [':', '/'].contains(c));
    let mut out = String::new();
    for part in parts {
        out.push_str(&part);
        out.extend(separators.next());
    }
    assert_ne!(out, id);
    out
}

#[test]
fn an_id_that_never_was_has_the_form_of_a_real_one() {
    for (id, other) in [
        ("0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abdefa"),
        (
            "iam-ServiceId-6e1f7ea6-0000-4000-8000-000000000009",
            "iam-ServiceId-6e1f7ea6-0000-4000-8000-000000001110",
        ),
        (
            "crn:v1:bluemix:public:is:us-south:a/0123456789abcdef0123456789abcdef::x:y",
            "crn:v1:bluemix:public:is:us-south:a/0123456789abcdef0123456789abdefa::x:y",
        ),
    ] {
        assert_eq!(never(id), other);
    }
}

fn text_without(value: &Value, ids: &[&str]) -> String {
    fn strip(value: &Value) -> Value {
        match value {
            Value::Object(members) => members
                .iter()
                .filter(|(name, _)| !matches!(name.as_str(), "trace" | "transaction_id" | "transactionId"))
                .map(|(name, inner)| (name.clone(), strip(inner)))
                .collect(),
            Value::Array(items) => items.iter().map(strip).collect(),
            other => other.clone(),
        }
    }
    let mut text = strip(value).to_string();
    for id in ids {
        text = text.replace(id, "<id>");
        // Messages show an identity by its id without the realm.
        text = text.replace(id.strip_prefix("iam-").unwrap_or(id), "<id>");
    }
    text
}

/// All that a caller can tell an answer by: status, body and headers, without the id that he sent and the transaction.
fn told(r: &TestResponse, ids: &[&str], transaction: &str) -> (u16, String, String) {
    let mut headers: Vec<String> = r
        .headers
        .iter()
        .filter(|(name, _)| *name != "transaction-id" && *name != "content-length")
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or("?")))
        .collect();
    headers.sort();
    let body = if r.body.is_null() { Value::String(r.text.clone()) } else { r.body.clone() };
    (
        r.status,
        text_without(&body, ids).replace(transaction, "<transaction>"),
        headers.join("\n").replace(transaction, "<transaction>"),
    )
}

async fn ask(client: &Client, e: &Endpoint, path: &str, body: &Value) -> TestResponse {
    ask_as(client, e, path, body, "t1").await
}

async fn ask_as(client: &Client, e: &Endpoint, path: &str, body: &Value, transaction: &str) -> TestResponse {
    let body =
        if ["GET", "HEAD", "DELETE"].contains(&e.method.as_str()) { Value::Null } else { body.clone() };
    let client = client.with_header("if-match", "*").with_header("transaction-id", transaction);
    client.json(e.method.as_str(), path, body).await
}

/// A body that is right, so that what is answered is about the ids of the path.
pub fn body_of(own: &World, operation: &str) -> Value {
    let attribute = |key: &str, value: &str| json!({"key": key, "operator": "stringEquals", "value": value});
    let role = json!([{"role_id": "crn:v1:bluemix:public:iam::::role:Viewer"}]);
    let iam_id = own.get("serviceid_iam");
    match operation {
        "replace_v2_policy" => json!({"type": "access",
            "subject": {"attributes": [attribute("iam_id", iam_id)]}, "control": {"grant": {"roles": role}},
            "resource": {"attributes": [attribute("accountId", own.get("account")), attribute("serviceName", "kms")]}}),
        "replace_policy" => json!({"type": "access",
            "subjects": [{"attributes": [{"name": "iam_id", "value": iam_id}]}], "roles": role,
            "resources": [{"attributes": [{"name": "accountId", "value": own.get("account")},
                {"name": "serviceName", "value": "kms"}]}]}),
        "update_policy_state" => json!({"state": "active"}),
        "replace_role" => json!({"display_name": "Reading", "actions": ["iam-groups.groups.read"]}),
        "update_access_management_settings" | "update_settings" => {
            json!({"external_account_identity_interaction": {
            "identity_types": {"user": {"state": "limited", "external_allowed_accounts": []}}}})
        }
        "add_member_to_multiple_access_groups" => {
            json!({"type": "service", "groups": [never(own.get("group"))]})
        }
        "add_members_to_access_group" => json!({"members": [{"iam_id": iam_id, "type": "service"}]}),
        "remove_members_from_access_group" => json!({"members": [iam_id]}),
        "add_access_group_rule" | "replace_access_group_rule" => json!({"name": "r2", "expiration": 12,
            "realm_name": "https://idp.test", "conditions": [{"claim": "c", "operator": "EQUALS", "value": "v"}]}),
        _ => own.body(operation),
    }
}

/// The path with every parameter filled in, objects as `id` has them, and the query that it cannot do without.
pub fn filled(world: &World, template: &str, id: &dyn Fn(&str) -> String) -> String {
    let parts: Vec<String> = template
        .split('/')
        .map(|part| match part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
            Some(p) => object(template, p).map_or_else(|| word(p).to_owned(), |o| id(world.get(o))),
            None => part.to_owned(),
        })
        .collect();
    parts.join("/") + &world.query(template)
}

struct Accounts {
    t: TestApp,
    a: (Client, World),
    b: (Client, World),
}

/// Two accounts, each with one of everything.
async fn accounts() -> Accounts {
    let t = TestApp::new().await;
    let (a, b) = (t.admin().await, t.outsider().await);
    let (a, b) = ((a.clone(), World::build(&t, &a).await), (b.clone(), World::build(&t, &b).await));
    Accounts { t, a, b }
}

fn bearers(t: &TestApp) -> Vec<Endpoint> {
    let services = t.server().router.services();
    services.iter().flat_map(|s| s.endpoints.clone()).filter(|e| e.auth == Auth::Bearer).collect()
}

/// The trail of the caller's account, by transaction.
async fn trail(client: &Client) -> BTreeMap<String, Vec<Value>> {
    let mut out: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("/avouch/v1/audit/events?limit=200{cursor}")).await;
        assert_eq!(page.status, 200, "{}", page.text);
        for event in page.body["events"].as_array().unwrap() {
            let transaction = event["correlationId"].as_str().unwrap_or_default().to_owned();
            out.entry(transaction).or_default().push(event.clone());
        }
        match page.body["next"].as_str().or(page.body["cursor"].as_str()) {
            Some(next) => cursor = format!("&cursor={}", next.rsplit("cursor=").next().unwrap_or(next)),
            None => return out,
        }
    }
}

/// An event without what every event has for itself, and without the ids that the caller sent.
fn event(event: &Value, ids: &[&str]) -> String {
    let mut event = event.clone();
    for own in ["id", "correlationId", "eventTime"] {
        event.as_object_mut().unwrap().remove(own);
    }
    text_without(&event, ids)
}

/// Everything that the owner of an account can read in it, but for counters of use and the trail itself.
async fn everything(t: &TestApp, admin: &Client, world: &World) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for e in bearers(t) {
        if e.method != "GET" || e.path.contains("/audit/") {
            continue;
        }
        let path = filled(world, e.path, &str::to_owned);
        out.insert(path.clone(), ask(admin, &e, &path, &Value::Null).await.text);
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_another_account_and_ids_that_never_were_are_answered_alike_at_every_endpoint() {
    let Accounts { t, a, b } = accounts().await;
    let (admin, stranger) = (&a.0, &b.0);
    // Once to leave the marks that reading leaves, once to remember.
    everything(&t, admin, &a.1).await;
    everything(&t, stranger, &b.1).await;
    let before = (everything(&t, admin, &a.1).await, everything(&t, stranger, &b.1).await);
    let counted = async || -> Vec<String> {
        let metrics = t.anon().get("/metrics").await.text;
        metrics.lines().filter(|l| l.contains("refusal")).map(str::to_owned).collect()
    };
    let refusals = counted().await;
    let mut asked = 0;
    let mut found = Vec::new();
    let mut sent = Vec::new();
    for e in bearers(&t) {
        let parameters: Vec<&str> = e
            .path
            .split('/')
            .filter_map(|part| part.strip_prefix('{').and_then(|p| p.strip_suffix('}')))
            .filter(|p| object(e.path, p).is_some())
            .collect();
        let body = body_of(&b.1, e.operation);
        // Each set of parameters that may be foreign while the others are the caller's own.
        for foreign in 1..(1_u32 << parameters.len()) {
            let fill = |id: &dyn Fn(&str) -> String| {
                let mut at = 0;
                let parts: Vec<String> = e
                    .path
                    .split('/')
                    .map(|part| match part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
                        Some(p) => match object(e.path, p) {
                            Some(o) => {
                                at += 1;
                                if foreign >> (at - 1) & 1 == 1 { id(o) } else { b.1.get(o).to_owned() }
                            }
                            None => word(p).to_owned(),
                        },
                        None => part.to_owned(),
                    })
                    .collect();
                parts.join("/") + &b.1.query(e.path)
            };
            let theirs = fill(&|o| a.1.get(o).to_owned());
            let nobodys = fill(&|o| never(a.1.get(o)));
            let (known, unknown): (Vec<String>, Vec<String>) = parameters
                .iter()
                .map(|p| object(e.path, p).unwrap())
                .map(|o| (a.1.get(o).to_owned(), never(a.1.get(o))))
                .unzip();
            let transactions = (format!("known-{asked}"), format!("never-{asked}"));
            let one = ask_as(stranger, &e, &theirs, &body, &transactions.0).await;
            let other = ask_as(stranger, &e, &nobodys, &body, &transactions.1).await;
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let unknown: Vec<&str> = unknown.iter().map(String::as_str).collect();
            let (one, other) = (told(&one, &known, &transactions.0), told(&other, &unknown, &transactions.1));
            sent.push((transactions, known.join(" "), unknown.join(" ")));
            asked += 1;
            // Calls on several objects answer for each of them.
            if one != other || ![404, 207].contains(&one.0) {
                found.push(format!("{} {}\n  {one:?}\n  {other:?}", e.method, e.path));
            }
        }
    }
    assert!(found.is_empty(), "{} of {asked}:\n{}", found.len(), found.join("\n"));
    assert!(asked > 120, "{asked}");
    let after = (everything(&t, admin, &a.1).await, everything(&t, stranger, &b.1).await);
    for (before, after) in [(&before.0, &after.0), (&before.1, &after.1)] {
        for (path, text) in before {
            let now = serde_json::from_str(&after[path]).unwrap_or(Value::Null);
            let was = serde_json::from_str(text).unwrap_or(Value::Null);
            assert_eq!(text_without(&now, &[]), text_without(&was, &[]), "{path}");
        }
    }
    assert_eq!(counted().await, refusals, "counters that anybody may read tell them apart");
    let trail = trail(stranger).await;
    let nothing = Vec::new();
    for ((known, never), theirs, nobodys) in &sent {
        let told = |transaction: &str, ids: &str| -> Vec<String> {
            let ids: Vec<&str> = ids.split(' ').collect();
            trail.get(transaction).unwrap_or(&nothing).iter().map(|e| event(e, &ids)).collect()
        };
        assert_eq!(
            told(known, theirs),
            told(never, nobodys),
            "{theirs}: the caller's own trail tells them apart"
        );
    }
    assert!(trail.keys().filter(|t| t.starts_with("known-")).count() > 100, "{}", trail.len());
    // Who tried is not told to the owner of what he tried.
    let stranger_id = b.1.get("owner");
    let seen = t.events(&[("initiator_id", stranger_id)]).await;
    assert!(seen.is_empty(), "{seen:?}");
}

/// Ids that say whose they are.
const OWN: [&str; 17] = [
    "account",
    "apikey",
    "cluster",
    "event",
    "group",
    "instance",
    "issuer",
    "link",
    "owner",
    "policy",
    "profile",
    "resource_group",
    "role",
    "rule",
    "secret",
    "serviceid",
    "user",
];

/// What lists are filtered by, and what of the other account to ask for.
const FILTERS: [(&str, &str); 20] = [
    ("account_id", "account"),
    ("iam_id", "serviceid_iam"),
    ("iam_id", "owner"),
    ("profile_id", "profile"),
    ("access_group_id", "group"),
    ("group_id", "serviceid_group"),
    ("resource_group_id", "resource_group"),
    ("resource_instance_id", "instance"),
    ("guid", "instance"),
    ("name", "profile"),
    ("search", "secret"),
    ("search", "group"),
    ("groups", "secret_group"),
    ("crn", "cluster_crn"),
    ("id", "instance"),
    ("start", "policy"),
    ("_start", "user"),
    ("initiator_id", "owner"),
    ("correlation_id", "event"),
    ("service_group_id", "role"),
];

#[tokio::test(flavor = "multi_thread")]
async fn lists_show_nothing_of_another_account_whatever_they_are_filtered_by() {
    let Accounts { t, a, b } = accounts().await;
    let mut lists = 0;
    let mut endpoints = bearers(&t);
    // The trail first: later it tells what the caller himself has asked for.
    endpoints.sort_by_key(|e| !e.path.contains("/audit/"));
    for e in endpoints {
        if e.method != "GET" {
            continue;
        }
        let own = b.1.path(e.path);
        // Only what names no object, or the caller's own instance or account.
        if e.path.contains('{') && !["{instance}", "{account_id}"].iter().any(|p| e.path.contains(p)) {
            continue;
        }
        lists += 1;
        let mut queries = vec![b.1.query(e.path).trim_start_matches('?').to_owned()];
        for (parameter, name) in FILTERS {
            let id = a.1.get(name);
            queries.push(format!("{parameter}={id}"));
            for account in [a.1.get("account"), b.1.get("account")] {
                queries.push(format!("account_id={account}&{parameter}={id}"));
            }
        }
        queries.push("scope=account&type=user".into());
        queries.push("scope=account&type=serviceid".into());
        queries.push("trail=operator".into());
        for query in queries {
            let r = b.0.get(&format!("{own}?{query}")).await;
            assert!(r.status < 500, "{own}?{query}: {}", r.text);
            for name in OWN {
                let id = a.1.get(name);
                // What the caller sent himself may come back (`first`, `start`, an error's subject).
                let sent = query.contains(id);
                assert!(sent || !r.text.contains(id), "{own}?{query} shows {name}: {}", r.text);
            }
            if query.contains(a.1.get("account")) && r.status == 200 {
                let empty = text_without(&r.body, &[]);
                for (name, array) in r.body.as_object().into_iter().flatten() {
                    let none = array.as_array().is_none_or(|items| {
                        items.iter().all(|i| !i.to_string().contains(a.1.get("account")))
                    });
                    assert!(none, "{own}?{query}: {name}: {empty}");
                }
            }
        }
    }
    assert!(lists > 30, "{lists}");
    // The same lists do show what is the caller's own.
    let own = b.0.get(&format!("/v1/profiles?account_id={}", b.1.get("account"))).await;
    assert!(own.text.contains(b.1.get("profile")), "{}", own.text);
}

/// Method, path, the object of the world that the body names, and the body with its id.
type Case = (&'static str, String, &'static str, Box<dyn Fn(&str) -> Value>);

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_name_objects_of_another_account_are_answered_like_unknown_ones() {
    let Accounts { t, a, b } = accounts().await;
    let _ = &t;
    let stranger = &b.0;
    let (own, account) = (&b.1, b.1.get("account"));
    let sm = format!("/secrets-manager/{}/api/v2", own.get("instance"));
    let profile = own.get("profile");
    let policy = |key: &str, value: &str| {
        json!({"type": "access",
            "subject": {"attributes": [{"key": "iam_id", "operator": "stringEquals", "value": own.get("serviceid_iam")}]},
            "control": {"grant": {"roles": [{"role_id": "crn:v1:bluemix:public:iam::::role:Viewer"}]}},
            "resource": {"attributes": [
                {"key": "accountId", "operator": "stringEquals", "value": account},
                {"key": "serviceName", "operator": "stringEquals", "value": "secrets-manager"},
                {"key": key, "operator": "stringEquals", "value": value}]}})
    };
    let link =
        |crn: &str| json!({"cr_type": "IKS_SA", "link": {"crn": crn, "namespace": "n9", "name": "sa"}});
    let mut cases: Vec<Case> = Vec::new();
    for (method, path, name) in [
        ("POST", "/v1/profiles", "account"),
        ("POST", "/v1/serviceids", "account"),
        ("POST", "/v1/serviceid_groups", "account"),
        ("POST", "/v2/resource_groups", "account"),
    ] {
        let body = |id: &str| json!({"name": "x9", "account_id": id});
        cases.push((method, path.into(), name, Box::new(body)));
    }
    let in_group = {
        let account = account.to_owned();
        move |id: &str| json!({"account_id": account, "name": "x8", "group_id": id})
    };
    cases.push(("POST", "/v1/serviceids".into(), "serviceid_group", Box::new(in_group)));
    cases.push((
        "POST",
        "/v2/resource_instances".into(),
        "resource_group",
        Box::new(|id: &str| {
            json!({"name": "i9", "target": "us-south", "resource_group": id,
                "resource_plan_id": "7713c3a8-3be8-4a9a-81bb-ee822fcaac3d"})
        }),
    ));
    cases.push((
        "POST",
        format!("{sm}/secrets"),
        "secret_group",
        Box::new(|id: &str| {
            json!({"secret_type": "arbitrary", "name": "n9", "payload": "x", "secret_group_id": id})
        }),
    ));
    cases.push(("POST", format!("/v1/profiles/{profile}/links"), "cluster_crn", Box::new(link)));
    cases.push((
        "POST",
        format!("/v1/profiles/{profile}/identities/serviceid"),
        "serviceid",
        Box::new(|id: &str| json!({"type": "serviceid", "identifier": id})),
    ));
    cases.push((
        "POST",
        "/v1/apikeys".into(),
        "serviceid_iam",
        Box::new(|id: &str| json!({"name": "k9", "iam_id": id})),
    ));
    cases.push((
        "POST",
        "/avouch/v1/explain".into(),
        "serviceid_iam",
        Box::new({
            let account = account.to_owned();
            move |id: &str| {
                json!({"access": {"iam_id": id, "action": "kms.secrets.list",
                    "resource": {"attributes": {"accountId": account, "serviceName": "kms"}}}})
            }
        }),
    ));
    cases.push((
        "POST",
        "/avouch/v1/explain".into(),
        "profile",
        Box::new(|id: &str| json!({"trust": {"profile_id": id, "cr_token": "x.y.z"}})),
    ));
    cases.push((
        "POST",
        "/avouch/v1/revocations".into(),
        "serviceid_iam",
        Box::new(|id: &str| json!({"iam_id": id})),
    ));
    cases.push((
        "PUT",
        "/v1/clusters/one/masters".into(),
        "cluster",
        Box::new(|id: &str| json!({"cluster": id, "action": "refresh"})),
    ));
    cases.push((
        "PUT",
        format!("/v2/groups/{}/members", own.get("group")),
        "serviceid_iam",
        Box::new(|id: &str| json!({"members": [{"iam_id": id, "type": "service"}]})),
    ));
    cases.push((
        "POST",
        format!("/v2/groups/{}/members/delete", own.get("group")),
        "profile",
        Box::new(|id: &str| json!({"members": [format!("iam-{id}")]})),
    ));
    let shown = policy("serviceInstance", "?");
    cases.push((
        "POST",
        "/v2/policies".into(),
        "instance",
        Box::new(move |id: &str| {
            let mut body = shown.clone();
            body["resource"]["attributes"][2]["value"] = json!(id);
            body
        }),
    ));
    everything(&t, &a.0, &a.1).await;
    let before = everything(&t, &a.0, &a.1).await;
    for (method, path, name, body) in &cases {
        let theirs = a.1.get(name);
        let nobodys = never(theirs);
        let one = stranger.with_header("transaction-id", "t1").json(method, path, body(theirs)).await;
        let other = stranger.with_header("transaction-id", "t1").json(method, path, body(&nobodys)).await;
        let varying = ["id", "crn", "href", "created_at", "entity_tag"];
        let reduced = |r: &TestResponse, id: &str| {
            let mut value = r.body.clone();
            if let (200..300, Some(members)) = (r.status, value.as_object_mut()) {
                members.retain(|name, _| !varying.contains(&name.as_str()));
            }
            (r.status, text_without(&value, &[id]))
        };
        assert_eq!(reduced(&one, theirs), reduced(&other, &nobodys), "{method} {path} {name}");
    }
    let after = everything(&t, &a.0, &a.1).await;
    for (path, text) in &before {
        let now = serde_json::from_str(&after[path]).unwrap_or(Value::Null);
        let was = serde_json::from_str(text).unwrap_or(Value::Null);
        assert_eq!(text_without(&now, &[]), text_without(&was, &[]), "{path}");
    }
    // A revocation in one account ends nothing in the other.
    let key = a.1.get("apikey_value");
    assert_eq!(t.bearer(&t.token(key).await).get("/v1/apikeys").await.status, 200);
}
