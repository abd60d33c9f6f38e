//! An administrator of one thing changes nothing of another, by whatever verb and whatever field; and what creation refuses,
//! replacement and change refuse too.

use std::collections::BTreeMap;

use avouch_testkit::{Client, TestApp};
use serde_json::{Value, json};

use crate::world::World;

/// A way to write, a right body, and what each field may be set to that is right in itself.
struct Write {
    method: &'static str,
    path: String,
    base: Value,
    fields: Vec<(&'static str, Value)>,
}

fn write(
    method: &'static str,
    path: impl Into<String>,
    base: Value,
    fields: &[(&'static str, Value)],
) -> Write {
    Write { method, path: path.into(), base, fields: fields.to_vec() }
}

fn policy(world: &World, subject: &str, role: &str) -> Value {
    let attribute = |key: &str, value: &str| json!({"key": key, "operator": "stringEquals", "value": value});
    json!({"type": "access",
        "subject": {"attributes": [attribute("iam_id", subject)]},
        "control": {"grant": {"roles": [{"role_id": format!("crn:v1:bluemix:public:iam::::role:{role}")}]}},
        "resource": {"attributes": [attribute("accountId", world.get("account")), attribute("serviceName", "kms")]}})
}

/// Every write on profiles, links, rules, identities, policies, roles, groups, service IDs and API keys, with every field
/// that it may set.
fn writes(world: &World, me: &str) -> Vec<Write> {
    let account = world.get("account");
    let at = |path: &str, name: &str| path.replace("{}", world.get(name));
    let condition =
        |v: &str| json!([{"claim": "namespace", "operator": "EQUALS", "value": format!("\"{v}\"")}]);
    let rule = json!({"type": "Profile-CR", "cr_type": "IKS_SA", "conditions": condition("x")});
    let rule_fields = [
        ("name", json!("n")),
        ("conditions", condition("y")),
        ("cr_type", json!("ROKS_SA")),
        ("expiration", json!(60)),
    ];
    let link = json!({"cr_type": "IKS_SA",
        "link": {"crn": world.get("cluster_crn"), "namespace": "n7", "name": "sa"}});
    let mut tampered = policy(world, me, "Administrator");
    tampered["description"] = json!("d");
    let v1 = |iam_id: &str| {
        json!({"type": "access", "subjects": [{"attributes": [{"name": "iam_id", "value": iam_id}]}],
            "roles": [{"role_id": "crn:v1:bluemix:public:iam::::role:Administrator"}],
            "resources": [{"attributes": [{"name": "accountId", "value": account}, {"name": "serviceName", "value": "kms"}]}]})
    };
    let actions = json!(["iam-groups.groups.delete"]);
    let role = json!({"name": "Power", "display_name": "Power", "account_id": account, "service_name": "iam-groups",
        "actions": actions});
    let group_rule = json!({"name": "r", "expiration": 12, "realm_name": "https://idp.test",
        "conditions": [{"claim": "c", "operator": "EQUALS", "value": "v"}]});
    let texts = [("name", json!("n7")), ("description", json!("d7"))];
    let key_fields = [
        ("name", json!("n7")),
        ("description", json!("d7")),
        ("expires_at", json!("2027-01-01T00:00+0000")),
        ("support_sessions", json!(true)),
        ("action_when_leaked", json!("delete")),
    ];
    let profile = |rest: &str| format!("{}{rest}", at("/v1/profiles/{}", "profile"));
    let group = |rest: &str| format!("{}{rest}", at("/v2/groups/{}", "group"));
    vec![
        write("POST", "/v1/profiles", json!({"name": "n8", "account_id": account}), &texts),
        write("PUT", profile(""), json!({}), &texts),
        write("DELETE", profile(""), Value::Null, &[]),
        write("POST", profile("/rules"), rule.clone(), &rule_fields),
        write("PUT", format!("{}/{}", profile("/rules"), world.get("rule")), rule, &rule_fields),
        write("DELETE", format!("{}/{}", profile("/rules"), world.get("rule")), Value::Null, &[]),
        write("POST", profile("/links"), link, &[("name", json!("l"))]),
        write("DELETE", format!("{}/{}", profile("/links"), world.get("link")), Value::Null, &[]),
        write(
            "PUT",
            profile("/identities"),
            json!({"identities": [
            {"type": "serviceid", "identifier": me.trim_start_matches("iam-"), "iam_id": me}]}),
            &[],
        ),
        write(
            "POST",
            profile("/identities/serviceid"),
            json!({"type": "serviceid", "identifier": me.trim_start_matches("iam-")}),
            &[("description", json!("d"))],
        ),
        write(
            "PUT",
            at("/v1/serviceids/{}", "serviceid"),
            json!({}),
            &[("name", json!("n7")), ("description", json!("d7")), ("unique_instance_crns", json!([]))],
        ),
        write("DELETE", at("/v1/serviceids/{}", "serviceid"), Value::Null, &[]),
        write("POST", at("/v1/serviceids/{}/lock", "serviceid"), json!({}), &[]),
        write("DELETE", at("/v1/serviceids/{}/lock", "serviceid"), Value::Null, &[]),
        write(
            "POST",
            "/v1/apikeys",
            json!({"name": "k", "iam_id": world.get("serviceid_iam")}),
            &[("description", json!("d7")), ("store_value", json!(true)), ("apikey", json!("v".repeat(40)))],
        ),
        write("POST", "/v1/apikeys", json!({"name": "k", "iam_id": world.get("owner")}), &[]),
        write("PUT", at("/v1/apikeys/{}", "apikey"), json!({}), &key_fields),
        write("POST", at("/v1/apikeys/{}/lock", "apikey"), json!({}), &[]),
        write("POST", at("/v1/apikeys/{}/disable", "apikey"), json!({}), &[]),
        write("DELETE", at("/v1/apikeys/{}/disable", "apikey"), Value::Null, &[]),
        write("DELETE", at("/v1/apikeys/{}", "apikey"), Value::Null, &[]),
        write("POST", "/v2/policies", policy(world, me, "Administrator"), &[("description", json!("d"))]),
        write("PUT", at("/v2/policies/{}", "policy"), tampered, &[("description", json!("e"))]),
        write("DELETE", at("/v2/policies/{}", "policy"), Value::Null, &[]),
        write("POST", "/v1/policies", v1(me), &[("description", json!("d"))]),
        write("PUT", at("/v1/policies/{}", "policy"), v1(me), &[("description", json!("d"))]),
        write("PATCH", at("/v1/policies/{}", "policy"), json!({"state": "active"}), &[]),
        write("POST", "/v2/roles", role, &[("description", json!("d"))]),
        write(
            "PUT",
            at("/v2/roles/{}", "role"),
            json!({"display_name": "Listing", "actions": actions}),
            &[("description", json!("d")), ("display_name", json!("D"))],
        ),
        write("DELETE", at("/v2/roles/{}", "role"), Value::Null, &[]),
        write("POST", format!("/v2/groups?account_id={account}"), json!({"name": "n8"}), &texts),
        write("PATCH", group(""), json!({}), &texts),
        write("DELETE", group("?force=true"), Value::Null, &[]),
        write("PUT", group("/members"), json!({"members": [{"iam_id": me, "type": "service"}]}), &[]),
        write("POST", group("/rules"), group_rule.clone(), &[("name", json!("s")), ("expiration", json!(1))]),
        write(
            "PUT",
            format!("{}/{}", group("/rules"), world.get("group_rule")),
            group_rule,
            &[("name", json!("s")), ("expiration", json!(1)), ("realm_name", json!("https://evil.test"))],
        ),
        write(
            "PATCH",
            format!("/v1/accounts/{account}/settings/access_management"),
            json!({"external_account_identity_interaction": {"identity_types": {}}}),
            &[],
        ),
        write(
            "PUT",
            format!("/v1/accounts/{account}/settings/identity"),
            json!({}),
            &[
                ("mfa", json!("NONE")),
                ("allowed_ip_addresses", json!("")),
                ("restrict_create_service_id", json!("NOT_RESTRICTED")),
                ("system_access_token_expiration_in_seconds", json!("3600")),
            ],
        ),
        write(
            "POST",
            "/avouch/v1/users",
            json!({"email": "mallory@avouch.test"}),
            &[("iam_id", json!("IBMid-0A"))],
        ),
        write("POST", "/avouch/v1/revocations", json!({"iam_id": world.get("owner")}), &[]),
    ]
}

async fn granted(
    t: &TestApp,
    admin: &Client,
    name: &str,
    role: &str,
    more: &[(&str, &str)],
) -> (Client, String) {
    let (client, iam_id) = t.service_id(name).await;
    let attribute = |key: &str, value: &str| json!({"key": key, "operator": "stringEquals", "value": value});
    let mut attributes = vec![attribute("accountId", t.account())];
    attributes.extend(more.iter().map(|(key, value)| attribute(key, value)));
    t.grant(admin, &iam_id, &format!("crn:v1:bluemix:public:iam::::role:{role}"), Value::Array(attributes))
        .await;
    (client, iam_id)
}

/// What the owner sees of the objects that are written to.
async fn picture(admin: &Client, world: &World) -> BTreeMap<String, Value> {
    let mut out = BTreeMap::new();
    let profile = format!("/v1/profiles/{}", world.get("profile"));
    for path in [
        profile.clone(),
        format!("{profile}/rules"),
        format!("{profile}/links"),
        format!("{profile}/identities"),
        format!("/v1/profiles?account_id={}", world.get("account")),
        format!("/v1/serviceids/{}", world.get("serviceid")),
        "/v1/apikeys?scope=account&type=serviceid".to_owned(),
        format!("/v2/policies?account_id={}", world.get("account")),
        format!("/v2/roles?account_id={}", world.get("account")),
        format!("/v2/groups?account_id={}", world.get("account")),
        format!("/v2/groups/{}/members", world.get("group")),
        format!("/v2/groups/{}/rules", world.get("group")),
        format!("/v1/accounts/{}/settings/identity", world.get("account")),
        format!("/v2/accounts/{}/users", world.get("account")),
    ] {
        let r = admin.get(&path).await;
        assert_eq!(r.status, 200, "{path}: {}", r.text);
        let mut body = r.body;
        if let Some(members) = body.as_object_mut() {
            members.remove("context");
        }
        out.insert(path, body);
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn who_administers_something_else_is_refused_by_every_verb_and_every_field() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let world = World::build(&t, &admin).await;
    let other = admin.post("/v1/profiles", json!({"name": "other", "account_id": t.account()})).await;
    let other = other.body["id"].as_str().unwrap().to_owned();
    let of_profile = [("serviceName", "iam-identity"), ("resourceType", "profile"), ("resource", &*other)];
    let weaker = [
        granted(&t, &admin, "of-kms", "Administrator", &[("serviceName", "kms")]).await,
        granted(&t, &admin, "of-secrets", "Administrator", &[("serviceName", "secrets-manager")]).await,
        granted(&t, &admin, "of-a-profile", "Administrator", &of_profile).await,
    ];
    // Service IDs may make service IDs and keys of their own; what they may do to others is what is asked.
    for (n, (client, me)) in weaker.iter().enumerate() {
        let before = picture(&admin, &world).await;
        let mut asked = 0;
        for w in writes(&world, me) {
            // Whoever administers kms may grant what he has on it, and read its policies.
            if n == 0 && w.path.contains("/policies") {
                continue;
            }
            let mut bodies = vec![w.base.clone()];
            for (field, value) in &w.fields {
                let mut body = w.base.clone();
                body[*field] = value.clone();
                bodies.push(body);
            }
            let any = client.with_header("if-match", "*");
            for body in bodies {
                let r = any.json(w.method, &w.path, body.clone()).await;
                asked += 1;
                assert!(
                    [403, 404].contains(&r.status),
                    "{n}: {} {} {body}: {} {}",
                    w.method,
                    w.path,
                    r.status,
                    r.text
                );
                // The right answer does not depend on whether the tag is right.
                let stale = client.with_header("if-match", "1-0").json(w.method, &w.path, body).await;
                assert_eq!(stale.status, r.status, "{} {}", w.method, w.path);
            }
        }
        assert!(asked > 60, "{asked}");
        assert_eq!(picture(&admin, &world).await, before);
    }
    // The same writes are right when the owner sends them, so that it is the caller who was refused.
    let (_, me) = &weaker[1];
    let any = admin.with_header("if-match", "*");
    let mut all = writes(&world, me);
    // What ends the owner's own token last, after the deletions, the deepest of them first.
    all.sort_by_key(|w| (w.path.contains("/revocations"), w.method == "DELETE", usize::MAX - w.path.len()));
    for w in all {
        // One v2 policy is no v1 policy, and a deleted policy is what can be restored.
        let of_v2 = w.path.starts_with("/v1/policies/");
        let r = any.json(w.method, &w.path, w.base.clone()).await;
        assert!(of_v2 || ![401, 403].contains(&r.status), "{} {}: {}", w.method, w.path, r.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_creation_refuses_replacement_and_change_refuse_too() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let world = World::build(&t, &admin).await;
    let any = admin.with_header("if-match", "*");
    let (_, me) = t.service_id("me").await;
    let long = "x".repeat(2000);
    let wrong: BTreeMap<&str, Vec<Value>> = BTreeMap::from([
        ("name", vec![json!(""), json!(long), json!("a\u{202e}b"), json!(7), json!("a ")]),
        ("description", vec![json!(long), json!("a\u{0}b"), json!(["x"])]),
        (
            "conditions",
            vec![
                json!([]),
                json!("x"),
                json!([{"claim": "a", "operator": "LIKE", "value": "\"b\""}]),
                json!([{"claim": "", "operator": "EQUALS", "value": "\"b\""}]),
            ],
        ),
        ("cr_type", vec![json!("NONE"), json!(1)]),
        ("expiration", vec![json!(-1), json!("x")]),
        ("expires_at", vec![json!("soon"), json!(5)]),
        ("display_name", vec![json!(""), json!(long), json!("a\u{200b}")]),
        (
            "actions",
            vec![
                json!([]),
                json!(["kms.secrets.read"]),
                json!(["iam-groups.groups.read", "iam-groups.groups.read"]),
            ],
        ),
        ("unique_instance_crns", vec![json!(["x"]), json!("x")]),
        ("realm_name", vec![json!(""), json!(1)]),
        ("type", vec![json!("other"), json!(1)]),
        (
            "subject",
            vec![json!({}), json!({"attributes": [{"key": "x", "operator": "stringEquals", "value": "y"}]})],
        ),
        (
            "control",
            vec![json!({}), json!({"grant": {"roles": []}}), json!({"grant": {"roles": [{"role_id": "x"}]}})],
        ),
        ("resource", vec![json!({}), json!({"attributes": []})]),
        ("support_sessions", vec![json!("x")]),
    ]);
    let mut refused = 0;
    for w in writes(&world, &me) {
        let fields: Vec<&str> = match w.path.as_str() {
            _ if w.method == "DELETE" || w.base.is_null() => continue,
            p if p.contains("/lock") || p.contains("/disable") || p.contains("/identities") => continue,
            p if p.contains("/members") || p.contains("/settings") || p.contains("/users") => continue,
            p if p.contains("/revocations") || p.starts_with("/v1/policies") || p.contains("/links") => {
                continue;
            }
            p if p.starts_with("/v2/groups/") && p.contains("/rules") => {
                vec!["name", "conditions", "expiration", "realm_name"]
            }
            p if p.contains("/rules") => vec!["name", "conditions", "cr_type", "type"],
            p if p.contains("/policies") => vec!["type", "subject", "control", "resource", "description"],
            p if p.contains("/roles") => vec!["display_name", "description", "actions"],
            p if p.contains("/apikeys") => vec!["name", "description", "expires_at"],
            p if p.contains("/serviceids") => vec!["name", "description", "unique_instance_crns"],
            _ => vec!["name", "description"],
        };
        for field in fields {
            for value in &wrong[field] {
                // A group's rule may have no name, and an API key may have any text of a date that was.
                if field == "name" && w.path.contains("/rules") && (value == "" || value == "a ") {
                    continue;
                }
                let mut body = w.base.clone();
                body[field] = value.clone();
                let r = any.json(w.method, &w.path, body).await;
                assert_eq!(r.status, 400, "{} {} {field} {value}: {}", w.method, w.path, r.text);
                refused += 1;
            }
        }
    }
    assert!(refused > 120, "{refused}");
}
