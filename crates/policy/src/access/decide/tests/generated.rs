//! The index against a tiny obvious model, over generated worlds.

use super::*;
use proptest::prelude::*;
use proptest::sample::select;

const SUBJECTS: [&str; 4] = [
    USER,
    "IBMid-1",
    "iam-ServiceId-11111111-2222-4333-8444-000000000002",
    "AccessGroupId-11111111-2222-4333-8444-000000000003",
];
const SERVICES: [&str; 5] = ["secrets-manager", "kms", "iam-identity", "is", "avouch"];
const ACTIONS: [&str; 9] = [
    "secrets-manager.secret.read",
    "secrets-manager.secrets.list",
    "kms.secrets.wrap",
    "kms.secrets-metadata.read",
    "iam-identity.profile.get",
    "is.instance.instance.create",
    "avouch.account.read",
    "iam.policy.create",
    "resource-controller.instance.retrieve",
];
const CUSTOM: &str =
    "crn:v1:bluemix:public:iam-access-management::a/0123456789abcdef0123456789abcdef::customRole:Own";

fn roles() -> Vec<String> {
    let mut out: Vec<String> = ["Viewer", "Editor", "Administrator"].iter().map(|r| role(r)).collect();
    out.extend(["Reader", "Manager", "SecretsReader"].iter().map(|r| service_role(r)));
    out.push("crn:v1:bluemix:public:kms::::serviceRole:Reader".to_owned());
    out.push(CUSTOM.to_owned());
    out.push("crn:v1:bluemix:public:iam::::role:Nobody".to_owned());
    out
}

fn values() -> Vec<&'static str> {
    vec!["a", "b", "ab", "*", "", "11111111-2222-4333-8444-55555555abcd"]
}

fn op() -> impl Strategy<Value = Op> {
    let value = || select(values()).prop_map(str::to_owned);
    let pattern = || select(vec!["*", "a*", "?", "{{*}}", "ab", "*b"]).prop_map(str::to_owned);
    prop_oneof![
        12 => value().prop_map(Op::Equals),
        3 => pattern().prop_map(Op::Match),
        2 => any::<bool>().prop_map(Op::Exists),
        2 => prop::collection::vec(value(), 1..3).prop_map(Op::EqualsAnyOf),
        2 => prop::collection::vec(pattern(), 1..3).prop_map(Op::MatchAnyOf),
        1 => Just(Op::Unknown("stringLike".into())),
    ]
}

fn narrowing() -> impl Strategy<Value = Vec<Attr>> {
    let keys = vec![
        "serviceInstance",
        "resourceGroupId",
        "region",
        "resourceType",
        "resource",
        "keyRing",
        "instanceId",
        "zone",
    ];
    let weights = select(keys);
    prop::collection::vec((weights, op()), 0..4)
        .prop_map(|v| v.into_iter().map(|(k, op)| Attr { key: k.to_owned(), op }).collect())
}

fn anchor() -> impl Strategy<Value = Attr> {
    let attr = |k: &str, v: &str| Attr { key: k.to_owned(), op: Op::Equals(v.to_owned()) };
    prop_oneof![
        select(SERVICES.to_vec()).prop_map(move |s| attr("serviceName", s)),
        Just(attr("serviceType", "service")),
        Just(attr("serviceType", "platform_service")),
        Just(attr("service_group_id", "IAM")),
    ]
}

fn doc() -> impl Strategy<Value = PolicyDoc> {
    let day = json!({"key": "{{environment.attributes.day_of_week}}", "operator": "dayOfWeekAnyOf", "value": [4, 5]});
    let day = Rule::parse(&day, super::super::super::parse::Mode::Write).unwrap();
    let account = prop_oneof![9 => Just(ACCOUNT), 1 => Just("ffffffffffffffffffffffffffffffff")];
    let tags = prop::collection::vec(op().prop_map(|op| Tag { name: "t".into(), op }), 0..2);
    let tags = prop_oneof![5 => Just(Vec::new()), 1 => tags];
    let rule = prop_oneof![4 => Just(None), 1 => Just(Some(day))];
    // The first subject gets most policies, so that it is filed by equality.
    let subject = prop_oneof![5 => Just(SUBJECTS[0]), 3 => select(SUBJECTS.to_vec())];
    (subject, prop::collection::vec(select(roles()), 1..3), account, anchor(), narrowing(), tags, rule)
        .prop_map(|(subject, roles, account, anchor, mut narrowing, tags, rule)| {
            let mut resource = vec![Attr { key: "accountId".into(), op: Op::Equals(account.into()) }, anchor];
            resource.append(&mut narrowing);
            PolicyDoc {
                kind: PolicyType::Access,
                subject: Subject::IamId(subject.into()),
                roles,
                resource,
                tags,
                pattern: rule.as_ref().map(|_| "time-based-conditions:weekly:all-day".into()),
                rule,
                unknown: None,
            }
        })
}

fn request() -> impl Strategy<Value = (ResourceAttrs, &'static str)> {
    let maybe = || prop::option::of(select(values()));
    let keys =
        ["serviceInstance", "resourceGroupId", "region", "resourceType", "resource", "keyRing", "instanceId"];
    let service = select(SERVICES.to_vec());
    (service, prop::array::uniform7(maybe()), prop::option::of(select(values())), select(ACTIONS.to_vec()))
        .prop_map(move |(service, found, tag, action)| {
            let mut res = on(service);
            for (key, value) in keys.iter().zip(found) {
                if let Some(value) = value {
                    res = res.with(key, value);
                }
            }
            (res.tags(tag.map(|t| format!("t:{t}"))), action)
        })
}

// ---- the model: the rule of decision, written down once more without an index, numbers, masks or visitors

fn model_op(op: &Op, found: Option<&str>) -> bool {
    let glob = |p: &str, t: &str| glob(&p.replace("{{*}}", "\u{1}"), t);
    match op {
        Op::Exists(want) => found.is_some() == *want,
        Op::Equals(want) => found == Some(want.as_str()),
        Op::Match(p) => found.is_some_and(|f| glob(p, f)),
        Op::EqualsAnyOf(l) => found.is_some_and(|f| l.iter().any(|w| w == f)),
        Op::MatchAnyOf(l) => found.is_some_and(|f| l.iter().any(|p| glob(p, f))),
        Op::Unknown(_) => false,
    }
}

fn glob(p: &str, t: &str) -> bool {
    let Some(c) = p.chars().next() else { return t.is_empty() };
    let rest = &p[c.len_utf8()..];
    let mut tails = t.char_indices().map(|(i, _)| &t[i..]).chain([""]);
    match c {
        '*' => tails.any(|tail| glob(rest, tail)),
        _ => t.chars().next().is_some_and(|d| {
            (c == '?' || c == d || (c == '\u{1}' && d == '*')) && glob(rest, &t[d.len_utf8()..])
        }),
    }
}

fn model(doc: &PolicyDoc, subjects: &[&str], action: &str, res: &ResourceAttrs, now: Timestamp) -> bool {
    let Subject::IamId(subject) = &doc.subject else { return false };
    let attributes = doc.resource.iter().all(|a| {
        let Some(key) = Key::parse(&a.key) else { return false };
        let found = res.iter().find(|(k, _)| *k == key).map(|(_, v)| v);
        let id = ["resourceGroupId", "serviceInstance", "resource", "instanceId"].contains(&a.key.as_str());
        match &a.op {
            Op::Equals(v) if v == "*" && id => found.is_some(),
            op => model_op(op, found),
        }
    });
    let tags = doc.tags.iter().all(|t| match &t.op {
        Op::Equals(_) | Op::Match(_) => res
            .access_tags()
            .iter()
            .any(|have| have.strip_prefix(&format!("{}:", t.name)).is_some_and(|v| model_op(&t.op, Some(v)))),
        _ => false,
    });
    // 1970-01-01 was a Thursday: the rule of these worlds holds on Thursdays and Fridays.
    let rule = doc.rule.is_none() || now.secs().div_euclid(86_400).rem_euclid(7) < 2;
    let service = res.get(Key::SERVICE).unwrap();
    let role = doc.roles.iter().any(|r| {
        (r == CUSTOM
            && service == "kms"
            && ["kms.secrets.wrap", "kms.secrets-metadata.read"].contains(&action))
            || Catalogue::builtin().actions_of(r, service).contains(action)
    });
    subjects.contains(&subject.as_str()) && attributes && tags && rule && role
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn index_agrees_with_the_model(
        docs in prop::collection::vec(doc(), 1..60),
        replaced in prop::collection::vec((any::<prop::sample::Index>(), prop::option::of(doc())), 0..30),
        requests in prop::collection::vec((request(), 0..8i64, prop::sample::subsequence(SUBJECTS.to_vec(), 0..=4)), 1..25),
    ) {
        let mut ix = Index::new();
        ix.upsert_custom_role(CUSTOM, "kms", ["kms.secrets.wrap", "kms.secrets-metadata.read"]);
        let mut world: Vec<Option<PolicyDoc>> = docs.into_iter().map(Some).collect();
        for (n, doc) in (0u128..).zip(&world) {
            ix.upsert(&id(n), doc.as_ref().unwrap());
        }
        for (at, new) in replaced {
            let at = at.index(world.len());
            match &new {
                Some(doc) => ix.upsert(&id(at as u128), doc),
                None => ix.remove(&id(at as u128)),
            }
            world[at] = new;
        }
        prop_assert_eq!(ix.len(), world.iter().flatten().count());
        for ((res, action), day, subjects) in &requests {
            let now = Timestamp::from_secs(day * 86_400 + 3600);
            let mut want: Vec<PolicyId> = (0u128..)
                .zip(&world)
                .filter(|(_, d)| d.as_ref().is_some_and(|d| model(d, subjects, action, res, now)))
                .map(|(n, _)| id(n))
                .collect();
            want.sort();
            let got = ix.decide(subjects, action, res, now);
            prop_assert_eq!(&got.matched, &want);
            prop_assert_eq!(got.permitted, !want.is_empty());
            let reason = ix.explain(subjects, action, res, now);
            prop_assert_eq!(reason.result, got.permitted);
            let mut shown: Vec<&str> = reason.satisfied().collect();
            shown.sort_unstable();
            prop_assert_eq!(shown, want.iter().take(50).map(PolicyId::as_str).collect::<Vec<_>>());
            if got.permitted {
                prop_assert!(ix.reaches(subjects, res, now));
                prop_assert!(!ix.granted_roles(subjects, res, now).is_empty());
            }
        }
        for n in 0..world.len() {
            ix.remove(&id(n as u128));
        }
        prop_assert_eq!(ix.sizes(), (0, 0, 0));
    }
}
