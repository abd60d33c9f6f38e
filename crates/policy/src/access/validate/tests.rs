#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use serde_json::{Value, json};

const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

fn eq(key: &str, value: &str) -> Value {
    json!({"key": key, "operator": "stringEquals", "value": value})
}

fn body(role: &str, attributes: Vec<Value>) -> Value {
    let mut list = vec![eq("accountId", ACCOUNT)];
    list.extend(attributes);
    json!({"type": "access",
        "subject": {"attributes": [eq("iam_id", "IBMid-550000ABCD")]},
        "control": {"grant": {"roles": [{"role_id": format!("crn:v1:bluemix:public:iam::::{role}")}]}},
        "resource": {"attributes": list}})
}

/// The field that is refused; empty if the policy is accepted.
fn problem(body: &Value) -> String {
    let doc =
        if body.get("subjects").is_some() { PolicyDoc::from_v1(body) } else { PolicyDoc::from_v2(body) };
    doc.and_then(|d| validate(&d, Catalogue::builtin(), &CustomRoles::default()))
        .err()
        .map(|e| e.field)
        .unwrap_or_default()
}

fn with(change: impl Fn(&mut Value)) -> Value {
    let mut b = body("role:Viewer", vec![eq("serviceName", "kms")]);
    change(&mut b);
    b
}

#[test]
fn published_shapes_are_accepted() {
    let viewer = |attrs| problem(&body("role:Viewer", attrs));
    for attrs in [
        vec![eq("serviceType", "service")],
        vec![eq("serviceType", "platform_service")],
        vec![eq("service_group_id", "IAM")],
        vec![eq("resourceGroupId", "g")],
        vec![eq("resourceGroupId", "*"), eq("serviceType", "service")],
        vec![eq("resourceType", "resource-group")],
        vec![eq("resourceType", "resource-group"), eq("resource", "g")],
        vec![eq("serviceName", "is"), eq("vpcId", "*")],
        vec![eq("serviceName", "iam-groups")],
        vec![
            eq("serviceName", "kms"),
            eq("serviceInstance", "i"),
            eq("keyRing", "r"),
            eq("region", "anywhere-1"),
        ],
        vec![eq("serviceName", "cloud-object-storage"), eq("geography", "eu")],
        vec![
            eq("serviceName", "kms"),
            json!({"key": "resource", "operator": "stringEqualsAnyOf", "value": ["", "a"]}),
        ],
        vec![
            eq("serviceName", "kms"),
            json!({"key": "resource", "operator": "stringExists", "value": "true"}),
        ],
    ] {
        assert_eq!(viewer(attrs.clone()), "", "{attrs:?}");
    }
    assert_eq!(problem(&with(|b| b["description"] = json!("text"))), "");
    let echoed = with(|b| {
        for (k, v) in [
            ("id", "x"),
            ("href", "x"),
            ("state", "active"),
            ("created_at", "x"),
            ("last_modified_by_id", "x"),
        ] {
            b[k] = json!(v);
        }
        b["control"]["grant"]["roles"][0]["display_name"] = json!("Viewer");
    });
    assert_eq!(problem(&echoed), "", "what a reply carries may be sent back");
    let v1 = json!({"type": "access",
        "subjects": [{"attributes": [{"name": "access_group_id", "value": "AccessGroupId-11111111-2222-4333-8444-000000000009"}]}],
        "roles": [{"role_id": "crn:v1:bluemix:public:iam::::serviceRole:Reader"}],
        "resources": [{"attributes": [{"name": "accountId", "value": ACCOUNT}, {"name": "serviceName", "value": "kms"},
            {"name": "serviceInstance", "value": "a*", "operator": "stringMatch"}]}]});
    assert_eq!(problem(&v1), "");
}

#[test]
fn refusals_name_their_field() {
    let cases = [
        (with(|b| b["type"] = json!("deny")), "type"),
        (with(|b| b["type"] = json!(null)), "type"),
        (with(|b| b["subject"] = json!(null)), "subject"),
        (with(|b| b["subject"]["attributes"] = json!([])), "subject.attributes"),
        (with(|b| b["subject"]["attributes"][0]["key"] = json!("user")), "subject.attributes"),
        (
            with(|b| b["subject"]["attributes"][0]["operator"] = json!("stringMatch")),
            "subject.attributes[0].operator",
        ),
        (with(|b| b["subject"]["attributes"][0]["value"] = json!("")), "subject.attributes[0].value"),
        (with(|b| b["subject"]["attributes"][0]["value"] = json!("a\nb")), "subject.attributes[0].value"),
        (
            with(|b| b["subject"]["attributes"][0]["value"] = json!("AccessGroupId-PublicAccess")),
            "subject.iam_id",
        ),
        (
            with(|b| {
                b["subject"]["attributes"] =
                    json!([eq("iam_id", "IBMid-1"), eq("access_group_id", "AccessGroupId-PublicAccess")])
            }),
            "subject.attributes",
        ),
        (
            with(|b| b["subject"]["attributes"][0] = eq("access_group_id", "developers")),
            "subject.access_group_id",
        ),
        (with(|b| b["control"] = json!({})), "control.grant"),
        (with(|b| b["control"]["grant"]["roles"] = json!([])), "control.grant.roles"),
        (with(|b| b["control"]["grant"]["roles"] = json!([{"role": "x"}])), "control.grant.roles[0].role_id"),
        (with(|b| b["control"]["grant"]["roles"][0]["role_id"] = json!("Viewer")), "roles[0]"),
        (with(|b| b["control"]["grant"]["unless"] = json!([])), "control.grant.unless"),
        (with(|b| b["resource"]["attributes"] = json!([])), "resource.attributes"),
        (with(|b| b["resource"]["attributes"] = json!([eq("serviceName", "kms")])), "resource.attributes"),
        (with(|b| b["resource"]["attributes"] = json!([eq("accountId", ACCOUNT)])), "resource.attributes"),
        (with(|b| b["resource"]["attributes"][0] = eq("accountId", "mine")), "attributes.accountId"),
        (
            with(|b| b["resource"]["attributes"][1] = eq("serviceName", "no-such-service")),
            "attributes.serviceName",
        ),
        (
            with(|b| b["resource"]["attributes"][1]["operator"] = json!("stringMatch")),
            "attributes.serviceName",
        ),
        (
            with(|b| b["resource"]["attributes"][1]["operator"] = json!("stringLike")),
            "resource.attributes[1].operator",
        ),
        (
            with(|b| {
                b["resource"]["attributes"][1].as_object_mut().unwrap().remove("operator").map_or((), drop)
            }),
            "resource.attributes[1].operator",
        ),
        (
            with(|b| b["resource"]["attributes"][1]["value"] = json!("x".repeat(1001))),
            "resource.attributes[1].value",
        ),
        (with(|b| b["resource"]["attributes"][1]["value"] = json!(["kms"])), "resource.attributes[1].value"),
        (with(|b| b["resource"]["attributes"][1]["not"] = json!(true)), "resource.attributes[1].not"),
        (with(|b| b["resource"]["attributes"][1]["key"] = json!("accountId")), "resource.attributes[1].key"),
        (with(|b| b["resources"] = json!([])), "resources"),
        (with(|b| b["condition"] = json!({})), "condition"),
        (with(|b| b["pattern"] = json!("time-based-conditions:once")), "rule"),
        (with(|b| b["rule"] = json!({})), "pattern"),
        (with(|b| b["resource"]["tags"] = json!([eq("project", "x")])), "resource.tags"),
        (
            body("role:Viewer", vec![eq("serviceName", "kms"), eq("service_group_id", "IAM")]),
            "attributes.service_group_id",
        ),
        (
            body("role:Viewer", vec![eq("serviceName", "kms"), eq("serviceType", "platform_service")]),
            "attributes.serviceType",
        ),
        (body("role:Viewer", vec![eq("serviceType", "services")]), "attributes.serviceType"),
        (body("role:Viewer", vec![eq("service_group_id", "ALL")]), "attributes.service_group_id"),
        (body("role:Viewer", vec![eq("serviceName", "kms"), eq("vpcId", "v")]), "attributes.vpcId"),
        (body("role:Viewer", vec![eq("serviceName", "kms"), eq("zone", "z")]), "attributes.zone"),
        (body("role:Viewer", vec![eq("serviceType", "service"), eq("keyRing", "r")]), "attributes.keyRing"),
        (
            body("role:Viewer", vec![eq("serviceName", "kms"), eq("country", "atlantis")]),
            "attributes.country",
        ),
        (body("role:Operator", vec![eq("serviceName", "iam-groups")]), "roles[0]"),
        (body("role:Operator", vec![eq("resourceType", "resource-group")]), "roles[0]"),
        (body("serviceRole:Reader", vec![eq("serviceType", "platform_service")]), "roles[0]"),
        (body("serviceRole:SecretsReader", vec![eq("serviceName", "kms")]), "roles[0]"),
        (body("serviceRole:SecretsReader", vec![eq("serviceType", "service")]), "roles[0]"),
        (body("role:AuthorizationDelegator", vec![eq("serviceName", "kms")]), "roles[0]"),
    ];
    for (b, field) in cases {
        assert_eq!(problem(&b), field, "{b}");
    }
}

#[test]
fn errors_never_carry_the_value() {
    let secret = "hunter2-hunter2";
    let b = with(|b| b["resource"]["attributes"][1]["value"] = json!(secret));
    let doc = PolicyDoc::from_v2(&b).unwrap();
    let error = validate(&doc, Catalogue::builtin(), &CustomRoles::default()).unwrap_err();
    assert!(!error.to_string().contains(secret));
}

#[test]
fn the_first_schema_has_no_later_operators() {
    let b = json!({"type": "access",
        "subjects": [{"attributes": [{"name": "iam_id", "value": "IBMid-1"}]}],
        "roles": [{"role_id": "crn:v1:bluemix:public:iam::::role:Viewer"}],
        "resources": [{"attributes": [{"name": "accountId", "value": ACCOUNT},
            {"name": "serviceName", "value": true, "operator": "stringExists"}]}]});
    assert_eq!(problem(&b), "resources[0].attributes[1].operator");
}

#[test]
fn tags_are_for_all_services_only() {
    let tagged = |attrs: Vec<Value>| {
        let mut b = body("role:Viewer", attrs);
        b["resource"]["tags"] = json!([eq("project", "prototype")]);
        problem(&b)
    };
    assert_eq!(tagged(vec![eq("serviceType", "service")]), "");
    assert_eq!(tagged(vec![eq("serviceType", "service"), eq("region", "us-south")]), "resource.tags");
    assert_eq!(tagged(vec![eq("serviceType", "service"), eq("resourceGroupId", "g")]), "resource.tags");
    assert_eq!(tagged(vec![eq("serviceType", "platform_service")]), "resource.tags");
}

#[test]
fn custom_roles_fit_their_own_service_only() {
    let crn = format!("crn:v1:bluemix:public:iam-access-management::a/{ACCOUNT}::customRole:Own");
    let mut custom = CustomRoles::default();
    custom.upsert(&crn, "kms", ["kms.secrets.wrap"]);
    let check = |service: &str, custom: &CustomRoles| {
        let mut b = body("role:Viewer", vec![eq("serviceName", service)]);
        b["control"]["grant"]["roles"] = json!([{"role_id": crn}]);
        validate(&PolicyDoc::from_v2(&b).unwrap(), Catalogue::builtin(), custom).err().map(|e| e.field)
    };
    assert_eq!(check("kms", &custom), None);
    assert_eq!(check("secrets-manager", &custom).as_deref(), Some("roles[0]"));
    assert_eq!(check("kms", &CustomRoles::default()).as_deref(), Some("roles[0]"));
}

#[test]
fn authorizations_need_both_sides() {
    let base = json!({"type": "authorization",
        "subject": {"attributes": [eq("accountId", ACCOUNT), eq("serviceName", "secrets-manager")]},
        "control": {"grant": {"roles": [{"role_id": "crn:v1:bluemix:public:iam::::serviceRole:Reader"}]}},
        "resource": {"attributes": [eq("accountId", ACCOUNT), eq("serviceName", "kms")]}});
    assert_eq!(problem(&base), "");
    let change = |f: &dyn Fn(&mut Value)| {
        let mut b = base.clone();
        f(&mut b);
        problem(&b)
    };
    assert_eq!(
        change(&|b| b["subject"]["attributes"] = json!([eq("serviceName", "kms")])),
        "subject.attributes"
    );
    assert_eq!(
        change(&|b| b["subject"]["attributes"] = json!([eq("accountId", ACCOUNT)])),
        "subject.attributes"
    );
    assert_eq!(change(&|b| b["subject"]["attributes"][1] = eq("iam_id", "IBMid-1")), "attributes.iam_id");
    assert_eq!(
        change(&|b| b["subject"]["attributes"][1] = eq("serviceName", "nowhere")),
        "attributes.serviceName"
    );
    assert_eq!(
        change(&|b| b["resource"]["attributes"][1] = eq("serviceType", "service")),
        "attributes.serviceType"
    );
    assert_eq!(
        change(&|b| b["resource"]["attributes"] = json!([eq("accountId", ACCOUNT)])),
        "resource.attributes"
    );
    assert_eq!(
        change(&|b| b["control"]["grant"]["roles"][0]["role_id"] =
            json!("crn:v1:bluemix:public:secrets-manager::::serviceRole:SecretsReader")),
        "roles[0]"
    );
    let any_group = json!({"key": "resourceGroupId", "operator": "stringExists", "value": true});
    assert_eq!(change(&|b| b["subject"]["attributes"][1] = any_group.clone()), "");
    let delegator = "crn:v1:bluemix:public:iam::::role:AuthorizationDelegator";
    assert_eq!(change(&|b| b["control"]["grant"]["roles"][0]["role_id"] = json!(delegator)), "");
    let member = "crn:v1:bluemix:public:iam-groups::::serviceRole:MemberManage";
    let groups = change(&|b| {
        b["resource"]["attributes"][1] = eq("serviceName", "iam-groups");
        b["control"]["grant"]["roles"][0]["role_id"] = json!(member);
    });
    assert_eq!(groups, "");
}

#[test]
fn equal_policies_have_the_same_canonical_text() {
    let doc = |b: &Value| {
        if b.get("subjects").is_some() { PolicyDoc::from_v1(b) } else { PolicyDoc::from_v2(b) }.unwrap()
    };
    let v2 = with(|_| ());
    let turned = with(|b| b["resource"]["attributes"].as_array_mut().unwrap().reverse());
    let v1 = json!({"type": "access",
        "subjects": [{"attributes": [{"name": "iam_id", "value": "IBMid-550000ABCD"}]}],
        "roles": [{"role_id": "crn:v1:bluemix:public:iam::::role:Viewer"}],
        "resources": [{"attributes": [{"name": "serviceName", "value": "kms"}, {"name": "accountId", "value": ACCOUNT}]}]});
    assert_eq!(doc(&v2).canonical(), doc(&turned).canonical());
    assert_eq!(doc(&v2).canonical(), doc(&v1).canonical());
    for other in [
        with(|b| b["subject"]["attributes"][0]["value"] = json!("IBMid-2")),
        with(|b| b["resource"]["attributes"][1]["operator"] = json!("stringMatch")),
        with(|b| {
            b["control"]["grant"]["roles"][0]["role_id"] = json!("crn:v1:bluemix:public:iam::::role:Editor")
        }),
    ] {
        assert_ne!(doc(&v2).canonical(), doc(&other).canonical());
    }
}
