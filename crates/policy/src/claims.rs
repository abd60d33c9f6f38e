//! Claims of a compute resource or a federated login, in the one form that conditions look at.
//!
//! A claim is a text or a list of texts. Numbers and booleans become their JSON text; nothing else is converted. `null`,
//! objects, empty arrays and arrays that hold anything but scalars count as *missing*, so no operator, not even a negated
//! one, can hold on them. Duplicate keys never get here: the strict JSON parser refuses the token.

use serde_json::{Map, Number, Value};
use std::collections::BTreeMap;

/// The value of one claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimValue {
    Text(String),
    /// At least one element.
    List(Vec<String>),
}

impl ClaimValue {
    /// The claim form of a JSON value; `None` if it counts as missing.
    ///
    /// ```
    /// use avouch_policy::claims::ClaimValue;
    /// use serde_json::json;
    /// assert_eq!(ClaimValue::from_json(&json!(true)), Some(ClaimValue::Text("true".into())));
    /// assert_eq!(ClaimValue::from_json(&json!([])), None);
    /// assert_eq!(ClaimValue::from_json(&json!({"a": 1})), None);
    /// ```
    pub fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::Array(items) if !items.is_empty() => {
                items.iter().map(scalar).collect::<Option<Vec<_>>>().map(Self::List)
            }
            other => scalar(other).map(Self::Text),
        }
    }

    /// For people: the text, or the list as JSON.
    pub fn display(&self) -> String {
        match self {
            Self::Text(t) => t.clone(),
            Self::List(items) => Value::from(items.clone()).to_string(),
        }
    }
}

impl From<&str> for ClaimValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for ClaimValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// The text of a scalar. Numbers that a double cannot hold exactly have no dependable text, so they count as missing.
pub(crate) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(s) => Some(s.clone()),
        Value::Bool(b) => Some(b.to_string()),
        Value::Number(n) => exact(n).then(|| n.to_string()),
        _ => None,
    }
}

fn exact(n: &Number) -> bool {
    const LIMIT: f64 = 9_007_199_254_740_992.0; // 2^53
    n.is_i64() || n.is_u64() || n.as_f64().is_some_and(|f| f.abs() < LIMIT)
}

/// Claims by name; names are case-sensitive.
///
/// ```
/// use avouch_policy::claims::Claims;
/// let mut claims = Claims::new();
/// claims.set("namespace", "team-a");
/// assert!(claims.get("namespace").is_some() && claims.get("Namespace").is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims(BTreeMap<String, ClaimValue>);

impl Claims {
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a claim, replacing what was there.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<ClaimValue>) -> &mut Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// Sets a claim if there is a value; otherwise makes sure that it is missing.
    pub fn set_opt(&mut self, name: &str, value: Option<impl Into<ClaimValue>>) -> &mut Self {
        match value {
            Some(v) => {
                self.0.insert(name.to_owned(), v.into());
            }
            None => {
                self.0.remove(name);
            }
        }
        self
    }

    pub fn get(&self, name: &str) -> Option<&ClaimValue> {
        self.0.get(name)
    }

    /// The claim if it is a single text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(ClaimValue::Text(t)) => Some(t),
            _ => None,
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &ClaimValue)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: Into<String>, V: Into<ClaimValue>> FromIterator<(N, V)> for Claims {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(items: I) -> Self {
        Self(items.into_iter().map(|(n, v)| (n.into(), v.into())).collect())
    }
}

/// The top-level claims of a JSON object; nested objects count as missing.
pub fn from_json(object: &Map<String, Value>) -> Claims {
    object.iter().filter_map(|(k, v)| ClaimValue::from_json(v).map(|v| (k.clone(), v))).collect()
}

/// All claims of a JSON object, members of nested objects by dot path (`kubernetes.io` style names keep their own dots).
///
/// Two members that end up under one name would let a token choose which of them a condition sees, so both are dropped.
pub fn from_json_nested(object: &Map<String, Value>, max_depth: usize) -> Claims {
    let mut seen: BTreeMap<String, Option<ClaimValue>> = BTreeMap::new();
    collect(object, "", max_depth, &mut seen);
    Claims(seen.into_iter().filter_map(|(k, v)| v.map(|v| (k, v))).collect())
}

fn collect(
    object: &Map<String, Value>,
    prefix: &str,
    depth: usize,
    out: &mut BTreeMap<String, Option<ClaimValue>>,
) {
    for (key, value) in object {
        let name = format!("{prefix}{key}");
        match value {
            Value::Object(inner) => {
                // The object itself occupies its name, so that a literal member of the same name collides with it.
                out.entry(name.clone()).and_modify(|v| *v = None).or_insert(None);
                if depth > 0 {
                    collect(inner, &format!("{name}."), depth - 1, out);
                }
            }
            other => {
                let claim = ClaimValue::from_json(other);
                out.entry(name).and_modify(|v| *v = None).or_insert(claim);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use serde_json::json;

    fn object(v: Value) -> Map<String, Value> {
        v.as_object().unwrap().clone()
    }

    #[test]
    fn only_numbers_and_booleans_become_text() {
        let c = from_json(&object(
            json!({"n": 7, "f": 1.5, "b": false, "s": "x", "null": null, "o": {"a": 1}, "e": [], "m": [1, "a", true], "bad": [[1]], "nul": [null]}),
        ));
        assert_eq!(c.text("n"), Some("7"));
        assert_eq!(c.text("f"), Some("1.5"));
        assert_eq!(c.text("b"), Some("false"));
        assert_eq!(c.get("m"), Some(&ClaimValue::List(vec!["1".into(), "a".into(), "true".into()])));
        for missing in ["null", "o", "e", "bad", "nul", "absent"] {
            assert_eq!(c.get(missing), None, "{missing}");
        }
    }

    #[test]
    fn numbers_that_lose_digits_are_missing() {
        let v: Value =
            serde_json::from_str(r#"{"a": 184467440737095516170, "b": 1e300, "c": 18446744073709551615}"#)
                .unwrap();
        let c = from_json(&object(v));
        assert_eq!((c.get("a"), c.get("b")), (None, None));
        assert_eq!(c.text("c"), Some("18446744073709551615"));
    }

    #[test]
    fn nested_claims_have_dot_paths_and_collisions_vanish() {
        let c =
            from_json_nested(&object(json!({"a": {"b": "inner", "c": 1}, "a.b": "literal", "x": "y"})), 4);
        assert_eq!(c.get("a.b"), None);
        assert_eq!(c.text("a.c"), Some("1"));
        assert_eq!(c.text("x"), Some("y"));
        assert_eq!(c.get("a"), None);
    }
}
