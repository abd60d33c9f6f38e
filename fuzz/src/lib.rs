//! What is read from strangers, as functions from bytes: each must survive any input and hold the property that its
//! documentation names. libFuzzer drives them (`cargo xtask fuzz NAME`); the inputs it found worth keeping are in
//! `corpus/NAME`, and `tests/corpus.rs` replays them with the other tests.

#![allow(clippy::unwrap_used)] // a broken property is to end the process

use std::sync::LazyLock;

use avouch_crypto::jwks::{JwkSet, JwksLimits, VerifyingKey};
use avouch_crypto::jws::{Alg, SigningKey, TokenLimits, UnverifiedToken};
use avouch_crypto::strict_json;
use avouch_policy::access::{Index, PolicyDoc, ResourceAttrs};
use avouch_policy::claims;
use avouch_policy::rules::{Condition, parse_conditions};
use avouch_wire::Timestamp;
use avouch_wire::crn::Crn;
use avouch_wire::ids::{AccountId, PolicyId};
use serde_json::{Value, json};

/// A target by its name.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 8] = [
    ("token", token),
    ("key_set", key_set),
    ("strict_json", strict_json),
    ("crn", crn),
    ("policy", policy),
    ("claim_rule", claim_rule),
    ("wildcard", wildcard),
    ("time", time),
];

const ACCOUNT: &str = "11111111111111111111111111111111";

/// A text as a compact token: nothing that was not signed by the key is ever accepted.
pub fn token(data: &[u8]) {
    static KEYS: LazyLock<Vec<VerifyingKey>> = LazyLock::new(|| {
        let key = SigningKey::generate(Alg::ES256).unwrap();
        vec![key.verifying_key().unwrap()]
    });
    let Ok(text) = std::str::from_utf8(data) else { return };
    let limits = TokenLimits::default();
    let Ok(token) = UnverifiedToken::parse(text, &limits) else { return };
    assert_eq!(text.split('.').count(), 3);
    assert!(text.len() <= limits.max_len);
    for name in ["crit", "zip", "enc"] {
        assert!(!header(text).contains_key(name), "{name} was let through");
    }
    assert!(token.verify_any(KEYS.iter()).is_err(), "a forged token");
}

fn header(text: &str) -> serde_json::Map<String, Value> {
    let part = text.split('.').next().unwrap();
    let bytes = avouch_crypto::base64url::decode(part).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// A document as a key set: what is kept has a key id that can be found again, and no key of a symmetric kind.
pub fn key_set(data: &[u8]) {
    let limits = JwksLimits::default();
    let Ok(set) = JwkSet::parse(data, &limits) else { return };
    assert!(set.candidates(None).count() <= 2 * limits.max_per_type);
    for key in set.candidates(None) {
        assert!(key.alg().to_string().starts_with(['R', 'E', 'P']), "{}", key.alg());
        assert!(!key.thumbprint().is_empty());
    }
}

/// JSON read strictly is JSON as everybody reads it, only less of it.
pub fn strict_json(data: &[u8]) {
    let limits = strict_json::Limits::default();
    let Ok(value) = strict_json::parse(data, limits) else { return };
    let lax: Value = serde_json::from_slice(data).unwrap();
    assert_eq!(value, lax, "two readers disagree");
}

/// A name that is read is printed as it was meant, once and for all.
pub fn crn(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(name) = Crn::parse(text) else { return };
    let shown = name.to_string();
    assert!(shown.starts_with(text), "{shown:?} is not {text:?}");
    let again = Crn::parse(&shown).unwrap();
    assert_eq!(again, name);
    assert_eq!(again.to_string(), shown);
    assert!(!shown.contains(['\0', '\n', ' ']) && !shown.contains("//"));
    assert!(shown.split(['/', ':']).all(|part| part != ".." && part != "."));
}

/// A policy that is accepted is read back as the same policy, and is explained as it decides.
pub fn policy(data: &[u8]) {
    let Ok(body) = serde_json::from_slice::<Value>(data) else { return };
    let account = AccountId::parse(ACCOUNT).unwrap();
    let now = Timestamp::from_millis(1_800_000_000_000);
    let written = [PolicyDoc::from_v1(&body), PolicyDoc::from_v2(&body)];
    for doc in written.iter().flatten() {
        assert_eq!(PolicyDoc::stored(&body).as_ref(), Ok(doc));
    }
    let Ok(doc) = PolicyDoc::stored(&body) else { return };
    let mut index = Index::new();
    index.upsert(&PolicyId::parse("00000000-0000-4000-8000-000000000001").unwrap(), &doc);
    let resources = [
        ResourceAttrs::service(&account, "secrets-manager").instance("i").resource("secret-group", "g"),
        ResourceAttrs::service(&account, "iam-identity"),
    ];
    for resource in &resources {
        for action in ["secrets-manager.secret.read", "iam-identity.profile.get", "no.such.action"] {
            for subject in ["IBMid-1", "iam-Profile-00000000-0000-4000-8000-000000000001", "AccessGroupId-1"]
            {
                let decided = index.decide(&[subject], action, resource, now).permitted;
                assert_eq!(index.explain(&[subject], action, resource, now).result, decided);
                assert!(action != "no.such.action" || !decided, "an unknown action was permitted");
            }
        }
    }
}

/// Conditions and claims from `{"conditions": …, "claims": {…}}`: what is accepted is read back as the same condition;
/// a missing claim never satisfies one; the reason says what the decision says.
pub fn claim_rule(data: &[u8]) {
    let Ok(body) = serde_json::from_slice::<Value>(data) else { return };
    let claims = body.get("claims").and_then(Value::as_object).map(claims::from_json).unwrap_or_default();
    let Ok(conditions) = parse_conditions(body.get("conditions").unwrap_or(&json!(null))) else { return };
    assert!(!conditions.is_empty(), "a rule without conditions");
    for condition in &conditions {
        let stored = Condition::stored(condition.claim(), condition.operator(), condition.value());
        let claim = claims.get(condition.claim());
        let holds = condition.holds(claim);
        assert_eq!(stored.holds(claim), holds);
        assert_eq!(condition.check(claim).result, holds);
        assert!(!condition.holds(None), "a missing claim satisfied {}", condition.operator());
    }
}

/// `pattern NUL text`: the matcher agrees with the obvious one.
pub fn wildcard(data: &[u8]) {
    let Ok(both) = std::str::from_utf8(data) else { return };
    let Some((pattern, text)) = both.split_once('\0') else { return };
    // The obvious matcher takes exponential time, and escapes are not its business.
    if pattern.len() + text.len() > 40 || pattern.contains(['\\', '{']) || pattern.matches('*').count() > 5 {
        return;
    }
    let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    assert_eq!(avouch_policy::wildcard::matches(pattern, text), obvious(&p, &t), "{pattern:?} {text:?}");
}

fn obvious(pattern: &[char], text: &[char]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, rest) => rest.is_none(),
        (Some((&'*', rest)), None) => obvious(rest, text),
        (Some((&'*', rest)), Some((_, tail))) => obvious(rest, text) || obvious(pattern, tail),
        (Some((&'?', rest)), Some((_, tail))) => obvious(rest, tail),
        (Some((c, rest)), Some((d, tail))) => c == d && obvious(rest, tail),
        (Some(_), None) => false,
    }
}

/// A time that is read means the same moment when it is printed and read again.
pub fn time(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(at) = Timestamp::parse_iam(text) {
        assert_eq!(Timestamp::parse_iam(&at.iam()).unwrap().secs() / 60, at.secs().div_euclid(60));
    }
    if let Ok(at) = Timestamp::parse_rfc3339(text) {
        assert_eq!(Timestamp::parse_rfc3339(&at.rfc3339_secs()).unwrap().secs(), at.secs());
    }
}
