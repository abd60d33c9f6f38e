//! Reads policies of both published schemas into [`PolicyDoc`].
//!
//! [`PolicyDoc::from_v1`] and [`PolicyDoc::from_v2`] are for policies that are being written: anything that is not known is
//! refused. [`PolicyDoc::stored`] is for policies that were accepted once: what this version does not know makes the policy
//! permit nothing, and the rest is still shown.

use super::doc::{Attr, Invalid, Op, PolicyDoc, PolicyType, Subject, Tag};
use super::rule::Rule;
use serde_json::{Map, Value};

const MAX_VALUE: usize = 1000;
const MAX_LIST: usize = 10;
const MAX_ATTRIBUTES: usize = 40;

/// Members that replies carry beside the policy itself; clients send them back.
const REPLY_MEMBERS: [&str; 13] = [
    "id",
    "href",
    "description",
    "created_at",
    "created_by_id",
    "last_modified_at",
    "last_modified_by_id",
    "state",
    "template",
    "last_permit_at",
    "last_permit_frequency",
    "transaction_id",
    "version",
];

/// Whether a policy is being written or read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Write,
    Stored,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Schema {
    V1,
    V2,
}

impl Schema {
    fn key(self) -> &'static str {
        if self == Self::V1 { "name" } else { "key" }
    }
}

impl PolicyDoc {
    /// A policy of the first schema, as a client sends it.
    ///
    /// ```
    /// use avouch_policy::access::PolicyDoc;
    /// let body = serde_json::json!({"type": "access",
    ///   "subjects": [{"attributes": [{"name": "iam_id", "value": "IBMid-1"}]}],
    ///   "roles": [{"role_id": "crn:v1:bluemix:public:iam::::role:Viewer"}],
    ///   "resources": [{"attributes": [{"name": "accountId", "value": "a"}, {"name": "serviceName", "value": "kms", "operator": "stringLike"}]}]});
    /// assert_eq!(PolicyDoc::from_v1(&body).unwrap_err().field, "resources[0].attributes[1].operator");
    /// ```
    pub fn from_v1(body: &Value) -> Result<Self, Invalid> {
        Reader { schema: Schema::V1, mode: Mode::Write, unknown: None }.policy(body)
    }

    /// A policy of the second schema, as a client sends it.
    pub fn from_v2(body: &Value) -> Result<Self, Invalid> {
        Reader { schema: Schema::V2, mode: Mode::Write, unknown: None }.policy(body)
    }

    /// A policy as it was stored, of either schema. Fails only if it is so damaged that nobody could say whom it is for.
    pub fn stored(body: &Value) -> Result<Self, Invalid> {
        let schema = if body.get("subjects").is_some() { Schema::V1 } else { Schema::V2 };
        Reader { schema, mode: Mode::Stored, unknown: None }.policy(body)
    }
}

struct Reader {
    schema: Schema,
    mode: Mode,
    unknown: Option<&'static str>,
}

impl Reader {
    /// Refuses when writing; when reading back, remembers that the policy cannot be evaluated.
    fn unknown(&mut self, field: String, problem: &'static str) -> Result<(), Invalid> {
        if self.mode == Mode::Write {
            return Err(Invalid::new(field, problem));
        }
        self.unknown.get_or_insert(problem);
        Ok(())
    }

    fn policy(mut self, body: &Value) -> Result<PolicyDoc, Invalid> {
        let body = body.as_object().ok_or_else(|| Invalid::new("body", "must be an object"))?;
        let own: &[&str] = match self.schema {
            Schema::V1 => &["type", "subjects", "roles", "resources"],
            Schema::V2 => &["type", "subject", "control", "resource", "pattern", "rule"],
        };
        for name in body.keys() {
            if !own.contains(&name.as_str()) && !REPLY_MEMBERS.contains(&name.as_str()) {
                self.unknown(name.clone(), "is not a known member")?;
            }
        }
        let kind = body.get("type").and_then(Value::as_str).and_then(PolicyType::parse);
        let kind = kind.ok_or_else(|| Invalid::new("type", "must be access or authorization"))?;
        let (subject_path, subject) = self.part(body, "subject")?;
        let subject = self.subject(kind, &subject_path, subject)?;
        let (resource_path, resource) = self.part(body, "resource")?;
        self.members(&resource_path, resource, &["attributes", "tags"])?;
        let tags = match resource.get("tags") {
            None => Vec::new(),
            Some(tags) => self.tags(tags, &format!("{resource_path}.tags"))?,
        };
        let list = resource.get("attributes").unwrap_or(&Value::Null);
        let resource = self.attributes(list, &format!("{resource_path}.attributes"))?;
        let roles = self.roles(body)?;
        let (pattern, rule) = self.rule(body)?;
        Ok(PolicyDoc { kind, subject, roles, resource, tags, pattern, rule, unknown: self.unknown })
    }

    /// The subject or resource: one object, in the first schema the only element of a list.
    fn part<'v>(
        &self,
        body: &'v Map<String, Value>,
        name: &str,
    ) -> Result<(String, &'v Map<String, Value>), Invalid> {
        let (path, value) = match self.schema {
            Schema::V1 => {
                let list = format!("{name}s");
                let items = body.get(&list).and_then(Value::as_array);
                match items.map(Vec::as_slice) {
                    Some([only]) => (format!("{list}[0]"), Some(only)),
                    _ => return Err(Invalid::new(list, "must be a list of exactly one element")),
                }
            }
            Schema::V2 => (name.to_owned(), body.get(name)),
        };
        match value.and_then(Value::as_object) {
            Some(object) => Ok((path, object)),
            None => Err(Invalid::new(path, "required, must be an object")),
        }
    }

    fn members(&mut self, path: &str, object: &Map<String, Value>, known: &[&str]) -> Result<(), Invalid> {
        for name in object.keys() {
            if !known.contains(&name.as_str()) {
                self.unknown(format!("{path}.{name}"), "is not a known member")?;
            }
        }
        Ok(())
    }

    fn subject(
        &mut self,
        kind: PolicyType,
        path: &str,
        subject: &Map<String, Value>,
    ) -> Result<Subject, Invalid> {
        self.members(path, subject, &["attributes"])?;
        let at = format!("{path}.attributes");
        let attrs = self.attributes(subject.get("attributes").unwrap_or(&Value::Null), &at)?;
        if kind == PolicyType::Authorization {
            return Ok(Subject::Service(attrs));
        }
        let refuse = || Invalid::new(&at, "must hold exactly one of iam_id and access_group_id");
        let [only] = attrs.as_slice() else { return Err(refuse()) };
        match (only.key.as_str(), &only.op) {
            ("iam_id", Op::Equals(id)) => Ok(Subject::IamId(id.clone())),
            ("access_group_id", Op::Equals(id)) => Ok(Subject::AccessGroup(id.clone())),
            ("iam_id" | "access_group_id", _) => {
                Err(Invalid::new(format!("{at}[0].operator"), "must be stringEquals"))
            }
            _ => Err(refuse()),
        }
    }

    fn attributes(&mut self, list: &Value, path: &str) -> Result<Vec<Attr>, Invalid> {
        let items = list.as_array().filter(|l| !l.is_empty() && l.len() <= MAX_ATTRIBUTES);
        let items = items.ok_or_else(|| Invalid::new(path, "must be a list of 1 to 40 attributes"))?;
        let mut out: Vec<Attr> = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            let (key, op) = self.entry(item, &format!("{path}[{i}]"))?;
            if out.iter().any(|a| a.key == key) {
                self.unknown(format!("{path}[{i}].{}", self.schema.key()), "stands twice")?;
            }
            out.push(Attr { key, op });
        }
        Ok(out)
    }

    fn tags(&mut self, list: &Value, path: &str) -> Result<Vec<Tag>, Invalid> {
        let items = list.as_array().filter(|l| l.len() <= MAX_ATTRIBUTES);
        let items = items.ok_or_else(|| Invalid::new(path, "must be a list of tags"))?;
        let mut out = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            let at = format!("{path}[{i}]");
            let (name, op) = self.entry(item, &at)?;
            if !matches!(op, Op::Equals(_) | Op::Match(_)) {
                self.unknown(format!("{at}.operator"), "tags take stringEquals and stringMatch")?;
            }
            out.push(Tag { name, op });
        }
        Ok(out)
    }

    /// One attribute or tag: its key and what it must be.
    fn entry(&mut self, item: &Value, path: &str) -> Result<(String, Op), Invalid> {
        let object = item.as_object().ok_or_else(|| Invalid::new(path, "must be an object"))?;
        let key_name = self.schema.key();
        self.members(path, object, &[key_name, "operator", "value"])?;
        let key = object.get(key_name).and_then(Value::as_str).filter(|k| !k.is_empty());
        let key =
            key.ok_or_else(|| Invalid::new(format!("{path}.{key_name}"), "required, must be a string"))?;
        let operator = match (object.get("operator"), self.schema) {
            (Some(Value::String(s)), _) => s.as_str(),
            (None, Schema::V1) => "stringEquals",
            _ => return Err(Invalid::new(format!("{path}.operator"), "required, must be a string")),
        };
        let v2_only = !matches!(operator, "stringEquals" | "stringMatch");
        let op = match operator_value(operator, object.get("value").unwrap_or(&Value::Null)) {
            Ok(op) if self.schema == Schema::V2 || !v2_only => op,
            Ok(_) => {
                self.unknown(format!("{path}.operator"), "is not an operator of this schema")?;
                Op::Unknown(operator.to_owned())
            }
            Err((member, problem)) => {
                self.unknown(format!("{path}.{member}"), problem)?;
                Op::Unknown(operator.to_owned())
            }
        };
        Ok((key.to_owned(), op))
    }

    fn roles(&mut self, body: &Map<String, Value>) -> Result<Vec<String>, Invalid> {
        let (path, list) = match self.schema {
            Schema::V1 => ("roles", body.get("roles")),
            Schema::V2 => {
                let object = |v: Option<&'_ Value>, path| {
                    v.and_then(Value::as_object)
                        .cloned()
                        .ok_or_else(|| Invalid::new(path, "required, must be an object"))
                };
                let control = object(body.get("control"), "control")?;
                self.members("control", &control, &["grant"])?;
                let grant = object(control.get("grant"), "control.grant")?;
                self.members("control.grant", &grant, &["roles"])?;
                let list = body.get("control").and_then(|c| c.get("grant")).and_then(|g| g.get("roles"));
                ("control.grant.roles", list)
            }
        };
        let items = list.and_then(Value::as_array).filter(|l| !l.is_empty() && l.len() <= MAX_ATTRIBUTES);
        let items = items.ok_or_else(|| Invalid::new(path, "must be a list of 1 to 40 roles"))?;
        let mut out: Vec<String> = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            let role =
                item.get("role_id").and_then(Value::as_str).filter(|r| !r.is_empty() && r.len() <= MAX_VALUE);
            match role {
                Some(role) => out.push(role.to_owned()),
                None => {
                    return Err(Invalid::new(format!("{path}[{i}].role_id"), "required, must be a string"));
                }
            }
        }
        Ok(out)
    }

    fn rule(&mut self, body: &Map<String, Value>) -> Result<(Option<String>, Option<Rule>), Invalid> {
        let present = |name: &str| body.get(name).filter(|v| !v.is_null());
        match (present("pattern"), present("rule")) {
            (None, None) => Ok((None, None)),
            (Some(Value::String(pattern)), Some(rule)) => match Rule::parse(rule, self.mode) {
                Ok(rule) => {
                    if let Err(e) = rule.check_pattern(pattern) {
                        self.unknown(e.field, e.problem)?;
                    }
                    Ok((Some(pattern.clone()), Some(rule)))
                }
                Err(e) => {
                    self.unknown(e.field, e.problem)?;
                    Ok((Some(pattern.clone()), None))
                }
            },
            (None, Some(_)) => self.unknown("pattern".into(), "required with rule").map(|()| (None, None)),
            (Some(_), None) => self.unknown("rule".into(), "required with pattern").map(|()| (None, None)),
            (Some(_), Some(_)) => self.unknown("pattern".into(), "must be a string").map(|()| (None, None)),
        }
    }
}

/// Reads operator and value of an attribute; on failure the member and what is wrong with it.
pub(super) fn operator_value(operator: &str, value: &Value) -> Result<Op, (&'static str, &'static str)> {
    let text = |empty_too: bool| {
        let text = match value {
            Value::String(s) => s.clone(),
            Value::Bool(b) => b.to_string(),
            Value::Number(n) => n.to_string(),
            _ => return Err(("value", "must be a string")),
        };
        checked(text, empty_too)
    };
    let list = |empty_too: bool| {
        let items = value.as_array().filter(|l| !l.is_empty() && l.len() <= MAX_LIST);
        let items = items.ok_or(("value", "must be a list of 1 to 10 strings"))?;
        items
            .iter()
            .map(|v| match v {
                Value::String(s) => checked(s.clone(), empty_too),
                _ => Err(("value", "must be a list of 1 to 10 strings")),
            })
            .collect::<Result<Vec<_>, _>>()
    };
    match operator {
        "stringEquals" => text(false).map(Op::Equals),
        "stringMatch" => text(false).map(Op::Match),
        "stringExists" => match value {
            Value::Bool(b) => Ok(Op::Exists(*b)),
            Value::String(s) if s == "true" => Ok(Op::Exists(true)),
            Value::String(s) if s == "false" => Ok(Op::Exists(false)),
            _ => Err(("value", "must be true or false")),
        },
        // The empty text matches an attribute that is present and empty.
        "stringEqualsAnyOf" => list(true).map(Op::EqualsAnyOf),
        "stringMatchAnyOf" => list(false).map(Op::MatchAnyOf),
        _ => Err(("operator", "is not a known operator")),
    }
}

fn checked(text: String, empty_too: bool) -> Result<String, (&'static str, &'static str)> {
    if text.is_empty() && !empty_too {
        return Err(("value", "must not be empty"));
    }
    if text.chars().count() > MAX_VALUE {
        return Err(("value", "must have at most 1000 characters"));
    }
    if text.chars().any(char::is_control) {
        return Err(("value", "must not hold control characters"));
    }
    Ok(text)
}
