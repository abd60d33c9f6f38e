//! One condition of a claim rule: a claim, an operator, and a value that is JSON in a string.

use crate::claims::{ClaimValue, scalar};
use crate::reason::Reason;
use serde_json::Value;

/// Most conditions that one rule may have. The published services name no figure; this one bounds the work of an exchange.
pub const MAX_CONDITIONS: usize = 20;
const MAX_TEXT: usize = 1024;

/// Published operators of claim rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operator {
    Equals,
    NotEquals,
    EqualsIgnoreCase,
    NotEqualsIgnoreCase,
    Contains,
    In,
}

impl Operator {
    pub const ALL: [Operator; 6] = [
        Self::Equals,
        Self::NotEquals,
        Self::EqualsIgnoreCase,
        Self::NotEqualsIgnoreCase,
        Self::Contains,
        Self::In,
    ];

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|o| o.as_str() == text)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equals => "EQUALS",
            Self::NotEquals => "NOT_EQUALS",
            Self::EqualsIgnoreCase => "EQUALS_IGNORE_CASE",
            Self::NotEqualsIgnoreCase => "NOT_EQUALS_IGNORE_CASE",
            Self::Contains => "CONTAINS",
            Self::In => "IN",
        }
    }
}

/// Why a condition is refused. Names the member, never its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct ConditionError {
    /// Path of the member, such as `conditions[1].operator`.
    pub field: String,
    pub problem: &'static str,
    /// The member is absent or empty, as opposed to wrong.
    pub missing: bool,
}

/// What the claim is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    One(Operator, String),
    /// Only for `IN`; not empty.
    Members(Vec<String>),
    /// Stored by a later version, or damaged: never holds.
    Never(&'static str),
}

/// One condition, its value already read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    claim: String,
    operator: String,
    value: String,
    test: Test,
}

impl Condition {
    /// A condition for a rule that is being written.
    ///
    /// `value` is JSON in a string (`"\"team-a\""`, `"[\"a\",\"b\"]"`, `"true"`). Text that is not JSON stands for itself.
    ///
    /// ```
    /// use avouch_policy::rules::{Condition, Operator};
    /// assert!(Condition::new("name", Operator::Equals, "bare-word").is_ok());
    /// assert!(Condition::new("name", Operator::Contains, "[\"a\"]").is_err());
    /// assert!(Condition::new("name", Operator::In, "[]").is_err());
    /// ```
    pub fn new(claim: &str, operator: Operator, value: &str) -> Result<Self, ConditionError> {
        let refuse =
            |field: &str, problem| Err(ConditionError { field: field.to_owned(), problem, missing: false });
        if claim.is_empty() {
            return Err(ConditionError {
                field: "claim".into(),
                problem: "must not be empty",
                missing: true,
            });
        }
        if claim.len() > MAX_TEXT || claim.chars().any(char::is_control) {
            return refuse("claim", "too long or not printable");
        }
        if value.len() > 4 * MAX_TEXT {
            return refuse("value", "too long");
        }
        match read(operator, value) {
            Ok(test) => Ok(Self {
                claim: claim.to_owned(),
                operator: operator.as_str().to_owned(),
                value: value.to_owned(),
                test,
            }),
            Err(problem) => refuse("value", problem),
        }
    }

    /// A condition as it was stored. What this version does not understand becomes a condition that never holds.
    pub fn stored(claim: &str, operator: &str, value: &str) -> Self {
        let test = match Operator::parse(operator) {
            None => Test::Never("unknown operator"),
            Some(_) if claim.is_empty() => Test::Never("no claim named"),
            Some(op) => read(op, value).unwrap_or_else(Test::Never),
        };
        Self { claim: claim.to_owned(), operator: operator.to_owned(), value: value.to_owned(), test }
    }

    /// Whether nothing but the empty text is wanted.
    pub(super) fn wants_nothing(&self) -> bool {
        match &self.test {
            Test::One(_, wanted) => wanted.is_empty(),
            Test::Members(wanted) => wanted.iter().all(String::is_empty),
            Test::Never(_) => false,
        }
    }

    pub fn claim(&self) -> &str {
        &self.claim
    }

    pub fn operator(&self) -> &str {
        &self.operator
    }

    /// The value as it was written.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether the claim satisfies the condition. A missing claim satisfies none.
    pub fn holds(&self, claim: Option<&ClaimValue>) -> bool {
        let Some(claim) = claim else { return false };
        match &self.test {
            Test::Never(_) => false,
            Test::Members(members) => elements(claim).iter().any(|e| members.contains(e)),
            Test::One(op, wanted) => one(*op, wanted, claim),
        }
    }

    /// The same as a node of the reason tree.
    pub fn check(&self, claim: Option<&ClaimValue>) -> Reason {
        let node = Reason::check("condition", self.holds(claim))
            .on(&self.claim)
            .operator(self.operator.clone())
            .wanted(&self.value)
            .found_opt(claim.map(ClaimValue::display));
        match (&self.test, claim) {
            (Test::Never(why), _) => node.detail(*why),
            (_, None) => node.detail("the claim is missing"),
            _ => node,
        }
    }
}

fn elements(claim: &ClaimValue) -> &[String] {
    match claim {
        ClaimValue::Text(t) => std::slice::from_ref(t),
        ClaimValue::List(items) => items,
    }
}

fn one(op: Operator, wanted: &str, claim: &ClaimValue) -> bool {
    let equal: fn(&str, &str) -> bool = match op {
        Operator::EqualsIgnoreCase | Operator::NotEqualsIgnoreCase => same_ignoring_case,
        _ => |a, b| a == b,
    };
    let all = elements(claim);
    match op {
        // A list equals only if it is a list of just that one element.
        Operator::Equals | Operator::EqualsIgnoreCase => matches!(all, [only] if equal(only, wanted)),
        // Plain negation would admit ["admins", "x"] under NOT_EQUALS admins.
        Operator::NotEquals | Operator::NotEqualsIgnoreCase => {
            !all.is_empty() && !all.iter().any(|e| equal(e, wanted))
        }
        Operator::Contains => match claim {
            ClaimValue::Text(t) => t.contains(wanted),
            ClaimValue::List(items) => items.iter().any(|e| e == wanted),
        },
        Operator::In => all.iter().any(|e| e == wanted),
    }
}

/// Reads the stringified JSON of a value.
fn read(op: Operator, value: &str) -> Result<Test, &'static str> {
    let parsed: Value = match serde_json::from_str(value) {
        Ok(v) => v,
        // COMPAT: command lines and manuals send bare words.
        Err(_) => Value::String(value.to_owned()),
    };
    match (&parsed, op) {
        (Value::Array(items), Operator::In) => {
            let members = items.iter().map(text).collect::<Option<Vec<_>>>();
            match members {
                Some(m) if m.is_empty() => Err("the list must not be empty"),
                Some(m) => Ok(Test::Members(m)),
                None => Err("the list must hold strings, numbers or booleans"),
            }
        }
        (Value::Array(_), _) => Err("only IN takes a list"),
        (Value::Null | Value::Object(_), _) => Err("must be a string, a number, a boolean or a list"),
        (v, _) => {
            let wanted = text(v).ok_or("the number is too large to be compared")?;
            // Every text contains the empty one.
            if op == Operator::Contains && wanted.is_empty() {
                return Err("must not be empty for CONTAINS");
            }
            Ok(Test::One(op, wanted))
        }
    }
}

fn text(v: &Value) -> Option<String> {
    scalar(v)
}

/// Equality by Unicode simple case folding, character by character; nothing is normalised or trimmed.
fn same_ignoring_case(a: &str, b: &str) -> bool {
    let (mut a, mut b) = (a.chars(), b.chars());
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(x), Some(y)) if x == y || fold(x) == fold(y) => {}
            _ => return false,
        }
    }
}

/// Simple case folding from the two mappings of the standard library: up, then down, each only where it is one character.
fn fold(c: char) -> char {
    // The dotless i has no simple folding; by the mappings it would equal the Latin i.
    if c == '\u{131}' {
        return c;
    }
    let single = |mut it: &mut dyn Iterator<Item = char>, or: char| match ((&mut it).next(), it.next()) {
        (Some(one), None) => one,
        _ => or,
    };
    let up = single(&mut c.to_uppercase(), c);
    single(&mut up.to_lowercase(), up)
}

/// The conditions of a rule from its JSON, checked for a write.
///
/// ```
/// use avouch_policy::rules::parse_conditions;
/// let ok = serde_json::json!([{"claim": "name", "operator": "EQUALS", "value": "\"sa\""}]);
/// assert_eq!(parse_conditions(&ok).unwrap().len(), 1);
/// let bad = serde_json::json!([{"claim": "name", "operator": "LIKE", "value": "\"sa\""}]);
/// assert_eq!(parse_conditions(&bad).unwrap_err().field, "conditions[0].operator");
/// ```
pub fn parse_conditions(value: &Value) -> Result<Vec<Condition>, ConditionError> {
    let err = |field: String, problem, missing| ConditionError { field, problem, missing };
    let items = match value {
        Value::Array(items) => items,
        Value::Null => return Err(err("conditions".into(), "required", true)),
        _ => return Err(err("conditions".into(), "must be a list", false)),
    };
    if items.is_empty() {
        return Err(err("conditions".into(), "must not be empty", true));
    }
    if items.len() > MAX_CONDITIONS {
        return Err(err("conditions".into(), "too many", false));
    }
    let mut out = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        let at = |name: &str| format!("conditions[{i}].{name}");
        let member = |name: &'static str| match item.get(name) {
            Some(Value::String(s)) => Ok(s.as_str()),
            None | Some(Value::Null) => Err(err(at(name), "required", true)),
            Some(_) => Err(err(at(name), "must be a string", false)),
        };
        let (claim, operator, value) = (member("claim")?, member("operator")?, member("value")?);
        let operator = Operator::parse(operator)
            .ok_or_else(|| err(at("operator"), "unknown operator", operator.is_empty()))?;
        let condition = Condition::new(claim, operator, value)
            .map_err(|e| ConditionError { field: at(&e.field), ..e })?;
        out.push(condition);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn case_folding_is_simple_folding() {
        for (a, b, want) in [
            ("Straße", "STRAßE", true),
            ("ß", "SS", false),
            ("ß", "ẞ", true),
            ("ΣΑΣ", "σας", true),
            ("admın", "ADMIN", false),
            ("İ", "i", false),
            ("İ", "i̇", false),
            ("ſ", "S", true),
            ("k", "\u{212a}", true),
            ("a", "ａ", false),
            ("a ", "a", false),
        ] {
            assert_eq!(same_ignoring_case(a, b), want, "{a} {b}");
            assert_eq!(same_ignoring_case(b, a), want, "{b} {a}");
        }
    }

    #[test]
    fn bad_values_are_refused_on_write_and_never_hold_when_stored() {
        let cases = [
            (Operator::In, "[]"),
            (Operator::In, "[null]"),
            (Operator::In, "[[\"a\"]]"),
            (Operator::In, "{}"),
            (Operator::Equals, "[\"a\"]"),
            (Operator::NotEquals, "[\"a\"]"),
            (Operator::Contains, "[\"a\"]"),
            (Operator::Contains, ""),
            (Operator::Contains, "\"\""),
            (Operator::Equals, "null"),
            (Operator::NotEquals, "{\"a\":1}"),
            (Operator::NotEquals, "1e300"),
        ];
        for (op, value) in cases {
            assert!(Condition::new("c", op, value).is_err(), "{op:?} {value}");
            let stored = Condition::stored("c", op.as_str(), value);
            for claim in ["", "a", "null", "[\"a\"]"] {
                assert!(!stored.holds(Some(&claim.into())), "{op:?} {value} {claim}");
            }
        }
    }

    #[test]
    fn unknown_operators_are_refused_on_write_and_never_hold_when_stored() {
        for op in ["", "equals", "LIKE", "NOT_IN", "EQUALS "] {
            assert_eq!(Operator::parse(op), None);
            assert!(!Condition::stored("c", op, "\"a\"").holds(Some(&"a".into())));
            let body = json!([{"claim": "c", "operator": op, "value": "\"a\""}]);
            assert_eq!(parse_conditions(&body).unwrap_err().field, "conditions[0].operator");
        }
    }

    #[test]
    fn malformed_condition_lists_name_their_field() {
        for (body, field) in [
            (json!(null), "conditions"),
            (json!({}), "conditions"),
            (json!([]), "conditions"),
            (json!([1]), "conditions[0].claim"),
            (json!([{"operator": "EQUALS", "value": "a"}]), "conditions[0].claim"),
            (json!([{"claim": "", "operator": "EQUALS", "value": "a"}]), "conditions[0].claim"),
            (json!([{"claim": "c", "operator": "EQUALS"}]), "conditions[0].value"),
            (json!([{"claim": "c", "operator": "EQUALS", "value": 3}]), "conditions[0].value"),
            (
                json!([{"claim": "c", "operator": "EQUALS", "value": "3"}, {"claim": "c", "operator": "IN", "value": "[]"}]),
                "conditions[1].value",
            ),
        ] {
            assert_eq!(parse_conditions(&body).unwrap_err().field, field, "{body}");
        }
    }
}
