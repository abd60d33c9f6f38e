#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::super::doc::{Attr, Op, PolicyDoc, PolicyType, Subject, Tag};
use super::super::rule::Rule;
use super::*;
use avouch_wire::AccountId;
use serde_json::{Value, json};

mod generated;

const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";
const IAM: &str = "crn:v1:bluemix:public:iam::::";
const USER: &str = "iam-Profile-11111111-2222-4333-8444-000000000001";

fn account() -> AccountId {
    AccountId::parse(ACCOUNT).unwrap()
}

fn id(n: u128) -> PolicyId {
    PolicyId::from_uuid(uuid::Uuid::from_u128(n))
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

fn service_role(name: &str) -> String {
    format!("{IAM}serviceRole:{name}")
}

fn role(name: &str) -> String {
    format!("{IAM}role:{name}")
}

/// A policy of the second schema for [`USER`]; attributes are `key=value` (equals) or JSON.
fn policy(roles: &[String], attributes: Value) -> Value {
    let mut list = vec![json!({"key": "accountId", "operator": "stringEquals", "value": ACCOUNT})];
    list.extend(attributes.as_array().unwrap().iter().map(|a| match a {
        Value::String(s) => {
            let (key, value) = s.split_once('=').unwrap();
            json!({"key": key, "operator": "stringEquals", "value": value})
        }
        other => other.clone(),
    }));
    let roles: Vec<Value> = roles.iter().map(|r| json!({"role_id": r})).collect();
    json!({
        "type": "access",
        "subject": {"attributes": [{"key": "iam_id", "operator": "stringEquals", "value": USER}]},
        "control": {"grant": {"roles": roles}},
        "resource": {"attributes": list},
    })
}

fn index_of(policies: &[Value]) -> Index {
    let mut index = Index::new();
    for (n, p) in (1u128..).zip(policies) {
        let doc = PolicyDoc::from_v2(p).unwrap_or_else(|e| panic!("{e}"));
        super::super::validate(&doc, Catalogue::builtin(), index.custom_roles())
            .unwrap_or_else(|e| panic!("{e}"));
        index.upsert(&id(n), &doc);
    }
    index
}

/// The decision, after checking that the explanation says the same.
fn decides(index: &Index, subjects: &[&str], action: &str, res: &ResourceAttrs, now: Timestamp) -> bool {
    let decision = index.decide(subjects, action, res, now);
    let reason = index.explain(subjects, action, res, now);
    assert_eq!(decision.permitted, reason.result, "{reason:?}");
    assert_eq!(decision.permitted, !decision.matched.is_empty());
    let shown: Vec<&str> = reason.satisfied().collect();
    assert_eq!(decision.matched.iter().map(PolicyId::as_str).collect::<Vec<_>>(), shown);
    if !decision.permitted && !reason.children.is_empty() {
        assert!(reason.first_failure().is_some());
    }
    decision.permitted
}

fn permitted(index: &Index, action: &str, res: &ResourceAttrs) -> bool {
    decides(index, &[USER], action, res, at("2026-11-20T12:00:00Z"))
}

fn on(service: &str) -> ResourceAttrs {
    ResourceAttrs::service(&account(), service)
}

// ---- the published decision matrix

#[test]
fn secrets_reader_reads_secrets_of_every_instance() {
    let ix = index_of(&[policy(&[service_role("SecretsReader")], json!(["serviceName=secrets-manager"]))]);
    for instance in ["i1", "i2"] {
        assert!(permitted(&ix, "secrets-manager.secret.read", &on("secrets-manager").instance(instance)));
    }
}

#[test]
fn reader_reads_metadata_only() {
    let ix = index_of(&[policy(&[service_role("Reader")], json!(["serviceName=secrets-manager"]))]);
    let res = on("secrets-manager").instance("i");
    assert!(!permitted(&ix, "secrets-manager.secret.read", &res));
    assert!(permitted(&ix, "secrets-manager.secret-metadata.read", &res));
}

#[test]
fn policy_on_a_secret_group_covers_that_group_only() {
    let attrs = json!([
        "serviceName=secrets-manager",
        "serviceInstance=I",
        "resourceType=secret-group",
        "resource=G"
    ]);
    let ix = index_of(&[policy(&[service_role("SecretsReader")], attrs)]);
    let instance = on("secrets-manager").instance("I");
    assert!(permitted(&ix, "secrets-manager.secret.read", &instance.clone().resource("secret-group", "G")));
    assert!(!permitted(&ix, "secrets-manager.secret.read", &instance.clone().resource("secret-group", "H")));
    assert!(!permitted(&ix, "secrets-manager.secrets.list", &instance));
    assert!(!permitted(
        &ix,
        "secrets-manager.secret.read",
        &on("secrets-manager").instance("J").resource("secret-group", "G")
    ));
}

#[test]
fn all_services_and_account_management_never_cover_each_other() {
    let ix = index_of(&[policy(&[role("Viewer")], json!(["serviceType=service"]))]);
    assert!(!permitted(&ix, "iam-identity.profile.get", &on("iam-identity")));
    assert!(permitted(&ix, "containers-kubernetes.cluster.read", &on("containers-kubernetes")));
    let ix = index_of(&[policy(&[role("Administrator")], json!(["serviceType=platform_service"]))]);
    assert!(!permitted(&ix, "secrets-manager.secret-group.read", &on("secrets-manager")));
    assert!(!permitted(&ix, "resource-controller.instance.create", &on("secrets-manager")));
    assert!(permitted(&ix, "iam-identity.profile.create", &on("iam-identity")));
}

#[test]
fn policy_on_a_resource_group_covers_what_is_in_it() {
    let ix = index_of(&[policy(&[service_role("Manager")], json!(["resourceGroupId=X"]))]);
    let kms = |group| on("kms").instance("i").resource_group(group);
    assert!(permitted(&ix, "kms.secrets.wrap", &kms("X")));
    assert!(!permitted(&ix, "kms.secrets.wrap", &kms("Y")));
    assert!(!permitted(&ix, "kms.secrets.wrap", &on("kms").instance("i")));
}

#[test]
fn a_star_on_the_id_of_a_kind_covers_creating_that_kind() {
    for star in [
        json!("instanceId=*"),
        json!({"key": "instanceId", "operator": "stringMatch", "value": "*"}),
        json!({"key": "instanceId", "operator": "stringExists", "value": true}),
    ] {
        let ix = index_of(&[policy(&[role("Editor")], json!(["serviceName=is", star]))]);
        assert!(permitted(&ix, "is.instance.instance.create", &on("is").new_object("instanceId")));
        assert!(!permitted(&ix, "is.vpc.vpc.create", &on("is").new_object("vpcId")));
    }
    let ix = index_of(&[policy(&[role("Editor")], json!(["serviceName=is", "instanceId=one"]))]);
    assert!(!permitted(&ix, "is.instance.instance.create", &on("is").new_object("instanceId")));
    assert!(permitted(&ix, "is.instance.instance.update", &on("is").with("instanceId", "one")));
}

#[test]
fn operator_on_identity_deletes_profiles_but_creates_none() {
    let ix = index_of(&[policy(&[role("Operator")], json!(["serviceName=iam-identity"]))]);
    assert!(permitted(&ix, "iam-identity.profile.delete", &on("iam-identity").resource("profile", "p")));
    assert!(!permitted(&ix, "iam-identity.profile.create", &on("iam-identity")));
}

#[test]
fn weekly_hours_end_on_the_second() {
    let mut p = policy(&[role("Viewer")], json!(["serviceType=service"]));
    p["pattern"] = json!("time-based-conditions:weekly:custom-hours");
    p["rule"] = json!({"operator": "and", "conditions": [
        {"key": "{{environment.attributes.day_of_week}}", "operator": "dayOfWeekAnyOf",
         "value": ["1-05:00", "2-05:00", "3-05:00", "4-05:00", "5-05:00"]},
        {"key": "{{environment.attributes.current_time}}", "operator": "timeGreaterThanOrEquals", "value": "09:00:00-05:00"},
        {"key": "{{environment.attributes.current_time}}", "operator": "timeLessThanOrEquals", "value": "17:00:00-05:00"}]});
    let ix = index_of(&[p]);
    let action = "containers-kubernetes.cluster.read";
    let res = on("containers-kubernetes");
    assert!(decides(&ix, &[USER], action, &res, at("2026-11-20T21:59:59Z")));
    assert!(decides(&ix, &[USER], action, &res, at("2026-11-20T22:00:00Z")));
    assert!(!decides(&ix, &[USER], action, &res, at("2026-11-20T22:00:01Z")));
}

#[test]
fn escaped_wildcards_are_literal() {
    let attr = json!({"key": "resource", "operator": "stringMatch", "value": "dev-{{*}}-?"});
    let attrs = json!(["serviceName=secrets-manager", "resourceType=secret-group", attr]);
    let ix = index_of(&[policy(&[service_role("Reader")], attrs)]);
    let group = |g| on("secrets-manager").instance("i").resource("secret-group", g);
    assert!(permitted(&ix, "secrets-manager.secret-group.read", &group("dev-*-a")));
    assert!(!permitted(&ix, "secrets-manager.secret-group.read", &group("dev-x-a")));
}

#[test]
fn leaving_a_group_takes_its_policies_away_at_once() {
    let mut p = policy(&[service_role("Reader")], json!(["serviceName=kms"]));
    let group = "AccessGroupId-11111111-2222-4333-8444-000000000009";
    p["subject"]["attributes"][0] =
        json!({"key": "access_group_id", "operator": "stringEquals", "value": group});
    let ix = index_of(&[p]);
    let now = Timestamp::from_secs(0);
    assert!(decides(&ix, &[USER, group], "kms.secrets.wrap", &on("kms"), now));
    assert!(!decides(&ix, &[USER], "kms.secrets.wrap", &on("kms"), now));
    let reason = ix.explain(&[USER, group], "kms.secrets.wrap", &on("kms"), now);
    assert_eq!(reason.children[0].claim.as_deref(), Some("access_group_id"));
    assert_eq!(reason.children[0].found.as_deref(), Some(group));
}

#[test]
fn a_deleted_policy_denies_and_a_restored_one_permits() {
    let p = policy(&[service_role("Reader")], json!(["serviceName=kms"]));
    let mut ix = index_of(std::slice::from_ref(&p));
    assert!(permitted(&ix, "kms.secrets.wrap", &on("kms")));
    ix.remove(&id(1));
    assert!(!permitted(&ix, "kms.secrets.wrap", &on("kms")));
    ix.upsert(&id(1), &PolicyDoc::stored(&p).unwrap());
    assert!(permitted(&ix, "kms.secrets.wrap", &on("kms")));
}

#[test]
fn a_custom_role_adds_its_own_actions_only() {
    let custom = format!("crn:v1:bluemix:public:iam-access-management::a/{ACCOUNT}::customRole:Rotator");
    let p = policy(&[service_role("Reader"), custom.clone()], json!(["serviceName=secrets-manager"]));
    let mut ix = Index::new();
    ix.upsert(&id(1), &PolicyDoc::from_v2(&p).unwrap());
    let res = on("secrets-manager").instance("i");
    assert!(!permitted(&ix, "secrets-manager.secret.rotate", &res), "the role does not exist yet");
    ix.upsert_custom_role(&custom, "secrets-manager", ["secrets-manager.secret.rotate"]);
    assert!(permitted(&ix, "secrets-manager.secret.rotate", &res));
    assert!(!permitted(&ix, "secrets-manager.secret.read", &res));
    assert!(!permitted(&ix, "secrets-manager.secret.rotate", &on("kms")));
    ix.upsert_custom_role(&custom, "secrets-manager", ["secrets-manager.secret.import"]);
    assert!(!permitted(&ix, "secrets-manager.secret.rotate", &res));
    ix.upsert_custom_role(&custom, "kms", ["secrets-manager.secret.rotate", "kms.secrets-metadata.read"]);
    assert!(
        !permitted(&ix, "secrets-manager.secret.rotate", &res),
        "a custom role works for its own service only"
    );
    ix.remove_custom_role(&custom);
    assert!(!permitted(&ix, "secrets-manager.secret.rotate", &res));
    assert!(permitted(&ix, "secrets-manager.secret-metadata.read", &res));
}

// ---- further rules

#[test]
fn policies_of_another_account_do_not_count() {
    let ix = index_of(&[policy(&[service_role("Manager")], json!(["serviceName=kms"]))]);
    let other = AccountId::parse("ffffffffffffffffffffffffffffffff").unwrap();
    assert!(!permitted(&ix, "kms.secrets.wrap", &ResourceAttrs::service(&other, "kms").instance("i")));
}

#[test]
fn resource_groups_themselves_need_their_own_policy() {
    let inside =
        index_of(&[policy(&[role("Administrator")], json!(["resourceGroupId=X", "serviceType=service"]))]);
    let object = ResourceAttrs::resource_group_object(&account(), Some("X"));
    assert!(!permitted(&inside, "resource-controller.group.retrieve", &object));
    let own = index_of(&[policy(&[role("Viewer")], json!(["resourceType=resource-group", "resource=X"]))]);
    assert!(permitted(&own, "resource-controller.group.retrieve", &object));
    assert!(!permitted(&own, "resource-controller.group.update", &object));
    assert!(!permitted(
        &own,
        "resource-controller.group.retrieve",
        &ResourceAttrs::resource_group_object(&account(), Some("Y"))
    ));
    let all = index_of(&[policy(&[role("Editor")], json!(["serviceType=platform_service"]))]);
    assert!(permitted(
        &all,
        "resource-controller.group.create",
        &ResourceAttrs::resource_group_object(&account(), None)
    ));
}

#[test]
fn account_management_is_never_in_a_resource_group() {
    let ix = index_of(&[policy(&[role("Administrator")], json!(["resourceGroupId=X"]))]);
    assert!(!permitted(&ix, "iam-identity.profile.create", &on("iam-identity").resource_group("X")));
}

#[test]
fn the_operators_service_is_not_one_of_all_services() {
    for kind in ["service", "platform_service"] {
        let ix = index_of(&[policy(&[role("Administrator")], json!([format!("serviceType={kind}")]))]);
        assert!(!permitted(&ix, "avouch.account.create", &on("avouch")));
    }
    let ix = index_of(&[policy(&[role("Administrator")], json!(["serviceName=avouch"]))]);
    assert!(permitted(&ix, "avouch.account.create", &on("avouch")));
}

#[test]
fn access_tags_must_all_be_attached() {
    let mut p = policy(&[role("Viewer")], json!(["serviceType=service"]));
    p["resource"]["tags"] = json!([
        {"key": "project", "operator": "stringEquals", "value": "prototype"},
        {"key": "env", "operator": "stringMatch", "value": "dev*"}]);
    let ix = index_of(&[p]);
    let action = "resource-controller.instance.retrieve";
    let res = || on("kms").instance("i");
    assert!(permitted(&ix, action, &res().tags(["project:prototype", "env:dev-1", "x:y"])));
    assert!(!permitted(&ix, action, &res().tags(["project:prototype"])));
    assert!(!permitted(&ix, action, &res().tags(["project:prototype", "env:prod"])));
    assert!(!permitted(&ix, action, &res().tags(["project", "env"])));
    assert!(!permitted(&ix, action, &res()));
}

#[test]
fn roles_in_the_namespace_of_a_service_are_accepted() {
    let crn = "crn:v1:bluemix:public:secrets-manager::::serviceRole:Reader".to_owned();
    let ix = index_of(&[policy(&[crn], json!(["serviceName=secrets-manager"]))]);
    assert!(permitted(&ix, "secrets-manager.secrets.list", &on("secrets-manager")));
}

#[test]
fn both_spellings_of_an_action_are_decided_alike() {
    let ix = index_of(&[policy(&[service_role("Reader")], json!(["serviceName=kms"]))]);
    assert!(permitted(&ix, "kms.secrets.readmetadata", &on("kms")));
    assert!(permitted(&ix, "kms.secrets-metadata.read", &on("kms")));
}

#[test]
fn policies_of_a_later_version_permit_nothing() {
    let good = policy(&[service_role("Reader")], json!(["serviceName=kms"]));
    let change = |f: &dyn Fn(&mut Value)| {
        let mut p = good.clone();
        f(&mut p);
        p
    };
    let cases = [
        change(&|p| p["resource"]["attributes"][1]["operator"] = json!("stringLike")),
        change(&|p| p["resource"]["attributes"][1]["key"] = json!("serviceFamily")),
        change(&|p| p["resource"]["attributes"][1]["negate"] = json!(false)),
        change(&|p| {
            p["resource"]["attributes"]
                .as_array_mut()
                .unwrap()
                .push(json!({"key": "zone", "operator": "stringExists", "value": false}))
        }),
        change(&|p| p["resource"]["exclude"] = json!([])),
        change(&|p| {
            p["resource"]["tags"] = json!([{"key": "a", "operator": "stringExists", "value": false}])
        }),
        change(&|p| p["conditions"] = json!([])),
        change(&|p| p["control"]["deny"] = json!({})),
        change(&|p| p["pattern"] = json!("time-based-conditions:daily")),
        change(
            &|p| p["rule"] = json!({"key": "{{environment.attributes.day_of_week}}", "operator": "dayOfWeekAnyOf", "value": [1]}),
        ),
        change(&|p| {
            p["pattern"] = json!("network-based-conditions");
            p["rule"] = json!({"key": "{{environment.attributes.day_of_week}}", "operator": "dayOfWeekAnyOf", "value": [1, 2, 3, 4, 5, 6, 7]});
        }),
        change(&|p| {
            p["pattern"] = json!("attribute-based-condition:resource:literal-and-wildcard");
            p["rule"] = json!({"operator": "or", "conditions": [
                {"key": "{{resource.attributes.zone}}", "operator": "stringExists", "value": false},
                {"key": "{{resource.attributes.resource}}", "operator": "stringSounds", "value": "a"}]});
        }),
    ];
    let mut ix = Index::new();
    for (n, p) in (1u128..).zip(&cases) {
        assert!(
            PolicyDoc::from_v2(p)
                .and_then(|d| super::super::validate(&d, Catalogue::builtin(), ix.custom_roles()))
                .is_err(),
            "{p}"
        );
        ix.upsert(&id(n), &PolicyDoc::stored(p).unwrap_or_else(|e| panic!("{e} {p}")));
    }
    assert_eq!(ix.len(), cases.len());
    for day in 0..8 {
        let now = Timestamp::from_secs(day * 86_400);
        let reason = ix.explain(&[USER], "kms.secrets.wrap", &on("kms"), now);
        assert_eq!(
            ix.decide(&[USER], "kms.secrets.wrap", &on("kms"), now),
            Decision::default(),
            "{reason:?}"
        );
    }
}

#[test]
fn an_unknown_role_grants_nothing() {
    let p = policy(&[service_role("Superuser"), "nonsense".to_owned()], json!(["serviceName=kms"]));
    let mut ix = Index::new();
    ix.upsert(&id(1), &PolicyDoc::stored(&p).unwrap());
    assert!(!permitted(&ix, "kms.secrets.wrap", &on("kms")));
}

#[test]
fn denial_names_the_nearest_policy_and_what_it_misses() {
    let ix = index_of(&[
        policy(&[service_role("Reader")], json!(["serviceName=secrets-manager"])),
        policy(
            &[service_role("SecretsReader")],
            json!([
                "serviceName=secrets-manager",
                "serviceInstance=I",
                "resourceType=secret-group",
                "resource=G"
            ]),
        ),
        policy(&[service_role("Manager")], json!(["serviceName=kms"])),
    ]);
    let res = on("secrets-manager").instance("I").resource("secret-group", "H");
    let reason = ix.explain(&[USER], "secrets-manager.secret.read", &res, Timestamp::from_secs(0));
    assert!(!reason.result && reason.children.len() == 3);
    assert_eq!(reason.children[0].id.as_deref(), Some(id(2).as_str()));
    let miss = reason.children[0].first_failure().unwrap();
    assert_eq!(
        (miss.claim.as_deref(), miss.wanted.as_deref(), miss.found.as_deref()),
        (Some("resource"), Some("G"), Some("H"))
    );
    assert!(reason.detail.unwrap().contains("resource"));
    let none = ix.explain(&["IBMid-nobody"], "kms.secrets.wrap", &on("kms"), Timestamp::from_secs(0));
    assert!(!none.result && none.children.is_empty());
}

#[test]
fn reach_tells_forbidden_from_not_found() {
    let attrs = json!([
        "serviceName=secrets-manager",
        "serviceInstance=I",
        "resourceType=secret-group",
        "resource=G"
    ]);
    let ix = index_of(&[policy(&[service_role("SecretsReader")], attrs)]);
    let now = Timestamp::from_secs(0);
    assert!(ix.reaches(&[USER], &on("secrets-manager").instance("I"), now));
    assert!(!ix.reaches(&[USER], &on("secrets-manager").instance("J"), now));
    assert!(!ix.reaches(&[USER], &on("kms").instance("I"), now));
    assert!(!ix.reaches(&["IBMid-nobody"], &on("secrets-manager").instance("I"), now));
    let group = on("secrets-manager").instance("I").resource("secret-group", "G");
    assert_eq!(ix.granted_roles(&[USER], &group, now), [service_role("SecretsReader")]);
    assert!(ix.granted_roles(&[USER], &on("secrets-manager").instance("I"), now).is_empty());
}

// ---- authorizations

fn authorization(source: Value, target: Value, role: &str) -> PolicyDoc {
    let body = json!({"type": "authorization",
        "subjects": [{"attributes": source}], "roles": [{"role_id": role}], "resources": [{"attributes": target}]});
    let doc = PolicyDoc::from_v1(&body).unwrap();
    super::super::validate(&doc, Catalogue::builtin(), &super::super::CustomRoles::default()).unwrap();
    doc
}

fn named(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(n, v)| json!({"name": n, "value": v})).collect()
}

#[test]
fn authorizations_serve_the_named_service_only() {
    let mut ix = Index::new();
    let sm = named(&[("accountId", ACCOUNT), ("serviceName", "secrets-manager"), ("serviceInstance", "S")]);
    let kms = named(&[("accountId", ACCOUNT), ("serviceName", "kms"), ("serviceInstance", "K")]);
    ix.upsert(&id(1), &authorization(sm, kms, &service_role("Reader")));
    let any_group = named(&[("accountId", ACCOUNT), ("resourceGroupId", "*")]);
    let logs = named(&[("accountId", ACCOUNT), ("serviceName", "logs")]);
    ix.upsert(&id(2), &authorization(any_group, logs, "crn:v1:bluemix:public:logs::::serviceRole:Sender"));
    let now = Timestamp::from_secs(0);
    let source = |i: &str| on("secrets-manager").instance(i);
    let wraps = |source: &ResourceAttrs, target: &ResourceAttrs| {
        let decision = ix.decide_service(source, "kms.secrets.wrap", target, now);
        assert_eq!(decision.permitted, ix.explain_service(source, "kms.secrets.wrap", target, now).result);
        decision.permitted
    };
    assert!(wraps(&source("S"), &on("kms").instance("K")));
    assert!(!wraps(&source("T"), &on("kms").instance("K")));
    assert!(!wraps(&source("S"), &on("kms").instance("L")));
    assert!(!wraps(&on("codeengine").instance("S"), &on("kms").instance("K")));
    assert!(!ix.decide_service(&source("S"), "kms.secrets.create", &on("kms").instance("K"), now).permitted);
    let send = |s: &ResourceAttrs| {
        ix.decide_service(s, "logs.data-ingress.send", &on("logs").instance("L"), now).permitted
    };
    assert!(send(&on("atracker").instance("A").resource_group("g")));
    assert!(!send(&on("atracker").instance("A")));
    // No caller passes for a service.
    for subject in ["\0secrets-manager", "secrets-manager", "", "\0"] {
        assert!(!ix.decide(&[subject], "kms.secrets.wrap", &on("kms").instance("K"), now).permitted);
        assert!(!ix.explain(&[subject], "kms.secrets.wrap", &on("kms").instance("K"), now).result);
        assert!(!ix.reaches(&[subject], &on("kms").instance("K"), now));
    }
}

// ---- who may write a policy

#[test]
fn writing_a_policy_needs_the_right_on_all_that_it_covers() {
    let create = |mine: Value, wanted: Value| {
        let ix = index_of(&[policy(&[role("Administrator")], mine)]);
        let doc = PolicyDoc::from_v2(&policy(&[role("Viewer")], wanted)).unwrap();
        let targets = doc.target_requests();
        !targets.is_empty() && targets.iter().all(|t| permitted(&ix, "iam.policy.create", t))
    };
    let one = || json!(["serviceName=kms", "serviceInstance=I"]);
    assert!(create(one(), one()));
    assert!(create(json!(["serviceName=kms"]), one()));
    assert!(create(json!(["serviceType=service"]), one()));
    assert!(!create(one(), json!(["serviceName=kms"])));
    assert!(!create(one(), json!(["serviceName=kms", "serviceInstance=*"])));
    assert!(!create(
        one(),
        json!(["serviceName=kms", {"key": "serviceInstance", "operator": "stringMatch", "value": "I"}])
    ));
    assert!(!create(
        one(),
        json!(["serviceName=kms", {"key": "serviceInstance", "operator": "stringEqualsAnyOf", "value": ["I"]}])
    ));
    assert!(!create(json!(["serviceName=kms"]), json!(["serviceType=service"])));
    assert!(create(json!(["resourceGroupId=X"]), json!(["resourceGroupId=X"])));
    assert!(create(json!(["serviceType=service"]), json!(["resourceGroupId=X"])));
    assert!(!create(json!(["resourceGroupId=X"]), json!(["resourceGroupId=Y"])));
    assert!(create(json!(["serviceType=platform_service"]), json!(["service_group_id=IAM"])));
    assert!(!create(json!(["serviceName=iam-identity"]), json!(["service_group_id=IAM"])));
    assert!(create(
        json!(["serviceType=platform_service"]),
        json!(["resourceType=resource-group", "resource=X"])
    ));
    assert!(!create(json!(["resourceGroupId=X"]), json!(["resourceType=resource-group", "resource=X"])));
    assert!(!create(json!(["serviceType=platform_service"]), json!(["serviceName=avouch"])));
    // All services of the account need account management too.
    assert!(!create(json!(["serviceType=service"]), json!(["serviceType=service"])));
    let ix = index_of(&[
        policy(&[role("Administrator")], json!(["serviceType=service"])),
        policy(&[role("Administrator")], json!(["serviceType=platform_service"])),
    ]);
    let doc = PolicyDoc::from_v2(&policy(&[role("Viewer")], json!(["serviceType=service"]))).unwrap();
    assert!(doc.target_requests().iter().all(|t| permitted(&ix, "iam.policy.create", t)));
}

#[test]
fn a_right_on_what_has_no_resource_is_none_on_everything() {
    let mine = json!(["serviceName=kms", {"key": "resource", "operator": "stringExists", "value": false}]);
    let ix = index_of(&[policy(&[role("Administrator")], mine.clone())]);
    let target =
        |wanted: Value| PolicyDoc::from_v2(&policy(&[role("Viewer")], wanted)).unwrap().target_requests();
    let wide = json!(["serviceName=kms", {"key": "resource", "operator": "stringMatch", "value": "*"}]);
    assert!(!target(wide).iter().any(|t| permitted(&ix, "iam.policy.create", t)));
    assert!(!target(json!(["serviceName=kms"])).iter().any(|t| permitted(&ix, "iam.policy.create", t)));
    assert!(target(mine).iter().all(|t| permitted(&ix, "iam.policy.create", t)));
}

#[test]
fn changes_leave_nothing_behind() {
    let mut ix = Index::new();
    for round in 0..3 {
        for n in 0..40u128 {
            let attrs = json!([
                "serviceName=kms",
                format!("serviceInstance=i{}", n % 7),
                format!("resource=r{n}-{round}")
            ]);
            ix.upsert(&id(n), &PolicyDoc::from_v2(&policy(&[service_role("Reader")], attrs)).unwrap());
        }
        assert_eq!(ix.len(), 40);
        for n in 0..40u128 {
            let res = on("kms").instance(&format!("i{}", n % 7)).resource("key", &format!("r{n}-{round}"));
            assert_eq!(
                ix.decide(&[USER], "kms.secrets.wrap", &res, Timestamp::from_secs(0)).matched,
                [id(n)]
            );
        }
    }
    for n in 0..40u128 {
        assert!(ix.contains(&id(n)));
        ix.remove(&id(n));
        ix.remove(&id(n));
    }
    assert!(ix.is_empty());
    assert_eq!(ix.sizes(), (0, 0, 0));
}
