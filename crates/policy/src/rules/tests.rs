#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::claims;
use serde_json::{Value, json};

const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "ffffffffffffffffffffffffffffffff";
const UUID: &str = "11111111-2222-4333-8444-555555555555";

fn account(id: &str) -> AccountId {
    AccountId::parse(id).unwrap()
}

fn cluster_crn(id: &str) -> Crn {
    Crn::parse(&format!("crn:v1:bluemix:public:containers-kubernetes:us-south:a/{ACCOUNT}:{id}::")).unwrap()
}

fn pod() -> ComputeIdentity {
    let pairs = [
        ("namespace", "team-a"),
        ("name", "reader"),
        ("pod", "reader-7f9"),
        ("crn", "forged"),
        ("account_id", OTHER),
    ];
    ComputeIdentity {
        cr_type: CrType::IksSa,
        crn: cluster_crn("c1"),
        display: "one:team-a:reader:reader-7f9".into(),
        account: account(ACCOUNT),
        claims: pairs.into_iter().collect(),
    }
}

fn link() -> Link {
    Link {
        id: LinkId::parse(&format!("Link-{UUID}")).unwrap(),
        label: None,
        cr_type: CrType::IksSa,
        crn: cluster_crn("c1"),
        is_cross_account: false,
        namespace: Some("team-a".into()),
        name: Some("reader".into()),
        component_type: None,
        component_name: None,
    }
}

fn rule(cr_type: CrType, conditions: &[(&str, Operator, &str)]) -> ClaimRule {
    ClaimRule {
        id: ClaimRuleId::parse(&format!("ClaimRule-{UUID}")).unwrap(),
        name: Some("a rule".into()),
        cr_type,
        conditions: conditions.iter().map(|(c, o, v)| Condition::new(c, *o, v).unwrap()).collect(),
    }
}

fn admits(identity: &ComputeIdentity, links: &[Link], rules: &[ClaimRule]) -> bool {
    let (answer, reason) = match_profile(identity, &account(ACCOUNT), links, rules);
    assert_eq!(answer, reason.result, "the tree says the same");
    answer
}

#[test]
fn link_matches_its_service_account_only() {
    assert!(admits(&pod(), &[link()], &[]));
    assert!(admits(&pod(), &[Link { cr_type: CrType::RoksSa, ..link() }], &[]));
    let unmatched = [
        Link { namespace: Some("team-b".into()), ..link() },
        Link { namespace: Some("TEAM-A".into()), ..link() },
        Link { name: Some("reader-7f9".into()), ..link() },
        Link { name: Some("*".into()), ..link() },
        Link { namespace: None, ..link() },
        Link { name: None, ..link() },
        Link { name: Some(String::new()), ..link() },
        Link { crn: cluster_crn("c2"), ..link() },
        Link { cr_type: CrType::Ce, ..link() },
        Link { component_name: Some("app".into()), ..link() },
    ];
    for l in unmatched {
        assert!(!admits(&pod(), std::slice::from_ref(&l), &[]), "{l:?}");
    }
}

#[test]
fn trailing_colons_of_a_linked_crn_do_not_matter() {
    let text = format!("crn:v1:bluemix:public:containers-kubernetes:us-south:a/{ACCOUNT}:c1");
    if let Ok(short) = Crn::parse(&text) {
        assert!(admits(&pod(), &[Link { crn: short, ..link() }], &[]));
    }
}

#[test]
fn compute_resources_of_another_account_need_a_cross_account_link() {
    let foreign = ComputeIdentity { account: account(OTHER), ..pod() };
    assert!(!admits(&foreign, &[link()], &[]));
    assert!(admits(&foreign, &[Link { is_cross_account: true, ..link() }], &[]));
    let any = rule(CrType::IksSa, &[("namespace", Operator::Equals, "team-a")]);
    assert!(admits(&pod(), &[], std::slice::from_ref(&any)));
    assert!(!admits(&foreign, &[], &[any]));
}

#[test]
fn code_engine_and_issuer_links_need_their_parts() {
    let ce = ComputeIdentity {
        cr_type: CrType::Ce,
        claims: [("component_type", "application"), ("component_name", "shop")].into_iter().collect(),
        ..pod()
    };
    let bare = Link { cr_type: CrType::Ce, namespace: None, name: None, ..link() };
    let full = Link {
        component_type: Some("application".into()),
        component_name: Some("shop".into()),
        ..bare.clone()
    };
    assert!(admits(&ce, std::slice::from_ref(&full), &[]));
    assert!(!admits(&ce, std::slice::from_ref(&bare), &[]));
    assert_eq!(bare.missing_part(), Some(LinkPart::ComponentType));
    assert_eq!(full.missing_part(), None);

    let ci = ComputeIdentity {
        cr_type: CrType::Oidc,
        claims: [("sub", "repo:org/app:ref:refs/heads/main"), ("name", "x")].into_iter().collect(),
        ..pod()
    };
    let oidc = |sub: Option<&str>| Link {
        cr_type: CrType::Oidc,
        namespace: None,
        name: sub.map(str::to_owned),
        ..link()
    };
    assert!(admits(&ci, &[oidc(Some("repo:org/app:ref:refs/heads/main"))], &[]));
    assert!(!admits(&ci, &[oidc(Some("repo:org/*"))], &[]));
    assert!(!admits(&ci, &[oidc(Some("x"))], &[]));
    assert!(!admits(&ci, &[oidc(None)], &[]));
}

#[test]
fn an_instance_link_needs_only_the_crn() {
    let vsi = ComputeIdentity { cr_type: CrType::Vsi, claims: Claims::new(), ..pod() };
    assert!(admits(&vsi, &[Link { cr_type: CrType::Vsi, namespace: None, name: None, ..link() }], &[]));
}

#[test]
fn rules_compare_the_type_strictly() {
    let c = [("namespace", Operator::Equals, "\"team-a\"")];
    assert!(admits(&pod(), &[], &[rule(CrType::IksSa, &c)]));
    assert!(!admits(&pod(), &[], &[rule(CrType::RoksSa, &c)]));
}

#[test]
fn rule_without_conditions_never_matches() {
    assert!(!admits(&pod(), &[], &[rule(CrType::IksSa, &[])]));
    assert!(!admits(&pod(), &[], &[]));
}

#[test]
fn our_own_claims_cannot_be_forged() {
    let own = cluster_crn("c1").to_string();
    assert!(admits(&pod(), &[], &[rule(CrType::IksSa, &[("crn", Operator::Equals, &own)])]));
    assert!(!admits(&pod(), &[], &[rule(CrType::IksSa, &[("crn", Operator::Equals, "forged")])]));
    assert!(!admits(&pod(), &[], &[rule(CrType::IksSa, &[("account_id", Operator::Equals, OTHER)])]));
}

#[test]
fn all_conditions_of_a_rule_and_any_rule_of_a_profile() {
    let both = |ns: &str| {
        rule(
            CrType::IksSa,
            &[("namespace", Operator::Equals, ns), ("name", Operator::In, "[\"reader\",\"w\"]")],
        )
    };
    assert!(admits(&pod(), &[], &[both("team-a")]));
    assert!(!admits(&pod(), &[], &[both("team-b")]));
    assert!(admits(&pod(), &[], &[both("team-b"), both("team-a")]));
    let (_, reason) = match_profile(&pod(), &account(ACCOUNT), &[], &[both("team-b")]);
    let first = reason.first_failure().unwrap();
    assert_eq!((first.claim.as_deref(), first.found.as_deref()), (Some("namespace"), Some("team-a")));
}

/// What each operator must say for each shape of claim, written down from the published table and not from the code.
/// `wanted` is always the text "a" (for IN the list ["a","b"]).
fn expected(op: Operator, claim: &Value) -> bool {
    let text = |v: &Value| match v {
        Value::String(s) => Some(s.clone()),
        Value::Bool(b) => Some(b.to_string()),
        Value::Number(n) => Some(n.to_string()),
        _ => None,
    };
    let list: Option<Vec<String>> = match claim {
        Value::Array(items) if items.is_empty() => None,
        Value::Array(items) => items.iter().map(text).collect(),
        v => text(v).map(|t| vec![t]),
    };
    let Some(list) = list else { return false };
    let is_array = claim.is_array();
    let ci = |s: &String| s.to_lowercase() == "a";
    match op {
        Operator::Equals => list.len() == 1 && list[0] == "a",
        Operator::NotEquals => list.iter().all(|s| s != "a"),
        Operator::EqualsIgnoreCase => list.len() == 1 && ci(&list[0]),
        Operator::NotEqualsIgnoreCase => !list.iter().any(ci),
        Operator::Contains if is_array => list.iter().any(|s| s == "a"),
        Operator::Contains => list[0].contains('a'),
        Operator::In => list.iter().any(|s| s == "a" || s == "b"),
    }
}

#[test]
fn claim_shapes_against_operators() {
    let scalars = [
        json!("a"),
        json!("A"),
        json!("b"),
        json!("ab"),
        json!(""),
        json!(" a"),
        json!("a\u{0}"),
        json!("\"a\""),
        json!("*"),
        json!(0),
        json!(1),
        json!(-1.5),
        json!(true),
        json!(false),
    ];
    let mut shapes: Vec<Value> = scalars.to_vec();
    shapes.extend(scalars.iter().map(|s| json!([s])));
    shapes.extend(scalars.iter().map(|s| json!([s, "x"])));
    shapes.extend([
        json!(null),
        json!({}),
        json!({"a": "a"}),
        json!([]),
        json!([[]]),
        json!([["a"]]),
        json!([null]),
        json!(["a", null]),
        json!(["a", {"b": 1}]),
        json!(["a", "a"]),
        json!(["x", "y"]),
    ]);
    // Every pair, in either order.
    for one in &scalars {
        shapes.extend(scalars.iter().map(|other| json!([one, other])));
    }
    assert!(shapes.len() >= 200, "{}", shapes.len());
    for shape in &shapes {
        let claims = claims::from_json(json!({"c": shape}).as_object().unwrap());
        for op in Operator::ALL {
            let value = if op == Operator::In { "[\"a\",\"b\"]" } else { "\"a\"" };
            let c = Condition::new("c", op, value).unwrap();
            assert_eq!(c.holds(claims.get("c")), expected(op, shape), "{} on {shape}", op.as_str());
            assert_eq!(c.check(claims.get("c")).result, expected(op, shape));
            assert!(!c.holds(claims.get("missing")), "a missing claim satisfies nothing");
        }
    }
}

#[test]
fn values_are_stringified_json_or_bare_words() {
    for (value, claim, want) in [
        ("\"a\"", json!("a"), true),
        ("a", json!("a"), true),
        ("true", json!(true), true),
        ("true", json!("true"), true),
        ("\"true\"", json!(true), true),
        ("1", json!(1), true),
        ("1", json!("1"), true),
        ("1", json!(1.0), false),
        ("team a", json!("team a"), true),
        ("\"unclosed", json!("\"unclosed"), true),
        ("", json!(""), true),
    ] {
        let claims = claims::from_json(json!({"c": claim}).as_object().unwrap());
        let c = Condition::new("c", Operator::Equals, value).unwrap();
        assert_eq!(c.holds(claims.get("c")), want, "{value} on {claim}");
    }
    let one = Condition::new("c", Operator::In, "\"a\"").unwrap();
    assert!(one.holds(Some(&"a".into())) && !one.holds(Some(&"ab".into())));
}

/// Rules as people write them, each with a word of every warning that it must bring, and of no other.
#[test]
fn wide_rules_are_warned_about() {
    use Operator::{Contains, Equals, EqualsIgnoreCase, In, NotEquals, NotEqualsIgnoreCase};
    const CLUSTER: &str = "every cluster";
    const ACCOUNTS: &str = "every service account";
    const POD: &str = "no proof of identity";
    const ISSUER: &str = "every registered issuer";
    const ANYBODY: &str = "whoever gets a token";
    const OWNER: &str = "every repository of the owner";
    const NAMED: &str = "by name";
    const PULL: &str = "admits pull requests";
    const GLOB: &str = "no wildcards";
    const EXCLUDES: &str = "only excludes";
    const PROJECT: &str = "every project";
    const EMPTY: &str = "an empty value";
    const MANY: &str = "many instances";
    let crn = ("crn", Equals, "crn:v1:x");
    let iss = ("iss", Equals, "https://ci.test");
    let id = ("repository_id", Equals, "7");
    type Case<'a> = (CrType, Vec<(&'a str, Operator, &'a str)>, &'a [&'a str]);
    let cases: Vec<Case<'_>> = vec![
        // Clusters.
        (CrType::IksSa, vec![crn, ("namespace", Equals, "shop")], &[]),
        (CrType::IksSa, vec![("service_instance", In, r#"["c1","c2"]"#), ("namespace", In, r#"["a"]"#)], &[]),
        (CrType::RoksSa, vec![crn, ("namespace", EqualsIgnoreCase, "shop")], &[]),
        (CrType::IksSa, vec![("namespace", Equals, "shop")], &[CLUSTER]),
        (CrType::RoksSa, vec![("namespace", Equals, "shop")], &[CLUSTER]),
        (CrType::IksSa, vec![crn], &[ACCOUNTS]),
        (CrType::IksSa, vec![crn, ("name", Equals, "default")], &[ACCOUNTS]),
        (CrType::IksSa, vec![crn, ("namespace", Contains, "shop")], &[ACCOUNTS]),
        (CrType::IksSa, vec![crn, ("namespace", NotEquals, "kube-system")], &[ACCOUNTS]),
        (CrType::IksSa, vec![("pod", Contains, "x")], &[CLUSTER, ACCOUNTS, POD]),
        (CrType::IksSa, vec![crn, ("namespace", Equals, "shop"), ("pod", Equals, "api-0")], &[POD]),
        (CrType::IksSa, vec![crn, ("namespace", Equals, "team-*")], &[GLOB]),
        (CrType::IksSa, vec![("namespace", NotEquals, "x")], &[CLUSTER, ACCOUNTS, EXCLUDES]),
        (
            CrType::IksSa,
            vec![("namespace", NotEquals, "x"), ("name", NotEqualsIgnoreCase, "y")],
            &[CLUSTER, ACCOUNTS, EXCLUDES],
        ),
        // Issuers of jobs, which the whole world shares.
        (CrType::Oidc, vec![crn, id], &[]),
        (CrType::Oidc, vec![iss, id, ("ref", Equals, "refs/heads/main")], &[]),
        (CrType::Oidc, vec![crn, ("sub", Equals, "repo:org/app:ref:refs/heads/main")], &[]),
        (CrType::Oidc, vec![crn, ("sub", Equals, "repo:org/app:environment:prod")], &[]),
        (CrType::Oidc, vec![crn, ("project_id", Equals, "4"), ("ref_protected", Equals, "true")], &[]),
        (CrType::Oidc, vec![id], &[ISSUER]),
        (CrType::Oidc, vec![crn, ("sub", Equals, "repo:org/*")], &[GLOB]),
        (CrType::Oidc, vec![crn, ("sub", Contains, "repo:org/")], &[ANYBODY]),
        (CrType::Oidc, vec![crn, ("sub", Contains, "repo:org/*")], &[ANYBODY, GLOB]),
        (CrType::Oidc, vec![crn, ("ref", Equals, "refs/heads/main")], &[ANYBODY]),
        (CrType::Oidc, vec![crn, ("environment", Equals, "prod")], &[ANYBODY]),
        (CrType::Oidc, vec![crn, ("job_workflow_ref", Equals, "org/w/.github/workflows/x@v1")], &[ANYBODY]),
        (CrType::Oidc, vec![crn, ("repository_owner", Equals, "org")], &[OWNER]),
        (CrType::Oidc, vec![crn, ("namespace_path", Equals, "org")], &[OWNER]),
        (CrType::Oidc, vec![crn, ("repository", Equals, "org/app")], &[NAMED]),
        (CrType::Oidc, vec![crn, ("project_path", Equals, "org/app")], &[NAMED]),
        (CrType::Oidc, vec![crn, ("sub", Equals, "repo:org/app:pull_request")], &[PULL]),
        (CrType::Oidc, vec![crn, id, ("event_name", Equals, "pull_request_target")], &[PULL]),
        (CrType::Oidc, vec![crn, id, ("ref", Contains, "refs/pull/")], &[PULL]),
        (CrType::Oidc, vec![crn, id, ("event_name", In, r#"["push","pull_request"]"#)], &[PULL]),
        (CrType::Oidc, vec![crn, id, ("event_name", NotEquals, "pull_request")], &[]),
        (CrType::Oidc, vec![crn, ("sub", NotEquals, "pull_request")], &[ANYBODY]),
        (CrType::Oidc, vec![("sub", NotEquals, "x")], &[ISSUER, ANYBODY, EXCLUDES]),
        // The rest.
        (CrType::Ce, vec![("service_instance", Equals, "p1")], &[]),
        (CrType::Ce, vec![("component_type", Equals, "job")], &[PROJECT]),
        (CrType::Vsi, vec![("vpc_id", Equals, "v")], &[]),
        (CrType::Vsi, vec![("location", Equals, "us-south")], &[MANY]),
        (CrType::Bms, vec![("crn", NotEquals, "x")], &[MANY, EXCLUDES]),
        (CrType::Pvs, vec![("service_instance", Equals, "w")], &[]),
        // What can hardly be meant.
        (CrType::IksSa, vec![crn, ("namespace", Equals, "")], &[EMPTY]),
        (CrType::IksSa, vec![crn, ("namespace", In, r#"[""]"#)], &[EMPTY]),
        (CrType::IksSa, vec![crn, ("namespace", In, r#"["", "a"]"#)], &[]),
        (CrType::IksSa, vec![crn, ("namespace", Equals, "a"), ("node", NotEquals, "")], &[]),
        (CrType::IksSa, vec![crn, ("namespace", Equals, "a"), ("nmae", Equals, "api")], &["no claim 'nmae'"]),
        (CrType::IksSa, vec![crn, ("namespace", Equals, "a"), ("Pod", Equals, "x")], &["no claim 'Pod'"]),
        (CrType::Ce, vec![crn, ("namespace", Equals, "a")], &["no claim 'namespace' of CE"]),
        (CrType::Vsi, vec![crn, ("component_name", Equals, "a")], &["no claim 'component_name'"]),
    ];
    assert!(cases.len() >= 40);
    for (cr_type, conditions, want) in cases {
        let read: Vec<Condition> =
            conditions.iter().map(|(claim, op, v)| Condition::new(claim, *op, v).unwrap()).collect();
        let found = lint(cr_type, &read);
        assert_eq!(found.len(), want.len(), "{} {conditions:?}: {found:?}", cr_type.as_str());
        for word in want {
            assert!(found.iter().any(|w| w.contains(word)), "{conditions:?} wants {word}: {found:?}");
        }
    }
}
