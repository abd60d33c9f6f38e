//! Rules of network ACLs.

use avouch_gate::Result;
use avouch_wire::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::call::Call;
use crate::errors::{name_taken, no_such};
use crate::fields::{Change, Fields};
use crate::names;
use crate::traffic::{Changes, Form, Traffic};

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    pub id: String,
    pub name: String,
    pub allow: bool,
    pub inbound: bool,
    pub source: String,
    pub destination: String,
    pub traffic: Traffic,
    pub created_at: i64,
}

/// A patch of a rule.
#[derive(Debug, Clone)]
pub struct Patch {
    name: Option<String>,
    allow: Option<bool>,
    inbound: Option<bool>,
    source: Option<String>,
    destination: Option<String>,
    before: Change<(String, String)>,
    traffic: Changes,
}

fn allow(fields: &mut Fields) -> Result<Option<bool>> {
    Ok(fields.word("action", &["allow", "deny"])?.map(|a| a == "allow"))
}

fn inbound(fields: &mut Fields) -> Result<Option<bool>> {
    Ok(fields.word("direction", &["inbound", "outbound"])?.map(|d| d == "inbound"))
}

/// A network, or a single address.
fn range(fields: &mut Fields, name: &str) -> Result<Option<String>> {
    let Some(text) = fields.text(name)? else { return Ok(None) };
    let network = text.parse::<ipnet::Ipv4Net>().is_ok_and(|n| n.trunc() == n);
    if network || text.parse::<std::net::Ipv4Addr>().is_ok() {
        return Ok(Some(text));
    }
    let name = fields.name(name);
    let what = format!("The property '{name}' must be an IPv4 address or network.");
    Err(avouch_gate::Error::invalid(name, what))
}

/// Full name of the member and id of the rule that another one goes before.
fn before(fields: &mut Fields, name: &str) -> Result<Option<(String, String)>> {
    let identity = fields.identity(name)?;
    Ok(identity.map(|i| (i.field.clone(), i.id().to_owned())))
}

impl Rule {
    /// The rules of an ACL that a VPC comes with: all traffic, both ways.
    pub fn defaults(call: &Call) -> Vec<Rule> {
        let rule = |inbound| Rule {
            id: call.id(None),
            name: call.drawn_name(),
            allow: true,
            inbound,
            source: "0.0.0.0/0".into(),
            destination: "0.0.0.0/0".into(),
            traffic: Traffic::any(),
            created_at: call.ctx.now().millis(),
        };
        vec![rule(true), rule(false)]
    }

    /// Reads a new rule, and where it goes.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn read(call: &Call, mut fields: Fields) -> Result<(Self, Option<(String, String)>)> {
        let (allow, inbound) = (allow(&mut fields)?, inbound(&mut fields)?);
        let (source, destination) = (range(&mut fields, "source")?, range(&mut fields, "destination")?);
        fields.word("ip_version", &["ipv4"])?;
        let rule = Self {
            id: call.id(None),
            name: call.name(&mut fields)?,
            allow: fields.must("action", allow)?,
            inbound: fields.must("direction", inbound)?,
            source: fields.must("source", source)?,
            destination: fields.must("destination", destination)?,
            traffic: Traffic::read(&mut fields, Form::NetworkAcl)?,
            created_at: call.ctx.now().millis(),
        };
        let before = before(&mut fields, "before")?;
        fields.done()?;
        Ok((rule, before))
    }

    /// A copy for another ACL.
    #[must_use]
    pub fn copied(&self, call: &Call) -> Self {
        Self { id: call.id(None), created_at: call.ctx.now().millis(), ..self.clone() }
    }

    fn render(&self, acl: &str, next: Option<&Rule>) -> Value {
        let mut out = Map::new();
        if let Some(next) = next {
            let next = json!({"href": format!("{acl}/rules/{}", next.id), "id": next.id, "name": next.name});
            out.insert("before".into(), next);
        }
        for (name, value) in [
            ("action", json!(if self.allow { "allow" } else { "deny" })),
            ("created_at", json!(Timestamp::from_millis(self.created_at).rfc3339_millis())),
            ("destination", json!(self.destination)),
            ("direction", json!(if self.inbound { "inbound" } else { "outbound" })),
            ("href", json!(format!("{acl}/rules/{}", self.id))),
            ("id", json!(self.id)),
            ("ip_version", json!("ipv4")),
            ("name", json!(self.name)),
            ("source", json!(self.source)),
        ] {
            out.insert(name.into(), value);
        }
        self.traffic.render(Form::NetworkAcl, &mut out);
        Value::Object(out)
    }
}

/// The published shapes, each with the rule that comes next.
pub fn render_all(rules: &[Rule], acl: &str) -> Vec<Value> {
    rules.iter().enumerate().map(|(n, rule)| rule.render(acl, rules.get(n + 1))).collect()
}

/// Puts a rule before another one, or at the end.
///
/// # Errors
/// `Invalid` when the other one is not there or the name is taken.
pub fn put(rules: &mut Vec<Rule>, rule: Rule, before: Option<&(String, String)>) -> Result<()> {
    if rules.iter().any(|r| r.name == rule.name) {
        return Err(name_taken());
    }
    let at = match before {
        None => rules.len(),
        Some((field, id)) => {
            rules.iter().position(|r| r.id == *id).ok_or_else(|| no_such(field.clone(), "rule"))?
        }
    };
    rules.insert(at, rule);
    Ok(())
}

impl Patch {
    /// Reads a patch.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn read(mut fields: Fields) -> Result<Self> {
        let patch = Self {
            name: names::read(&mut fields)?,
            allow: allow(&mut fields)?,
            inbound: inbound(&mut fields)?,
            source: range(&mut fields, "source")?,
            destination: range(&mut fields, "destination")?,
            before: fields.change("before", before)?,
            traffic: Changes::read(&mut fields, Form::NetworkAcl)?,
        };
        fields.done()?;
        Ok(patch)
    }

    /// Changes the rule with that id; false when there is none.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn apply(&self, rules: &mut Vec<Rule>, id: &str) -> Result<bool> {
        let Some(at) = rules.iter().position(|r| r.id == id) else { return Ok(false) };
        let mut rule = rules.remove(at);
        names::set(&mut rule.name, self.name.as_ref());
        rule.allow = self.allow.unwrap_or(rule.allow);
        rule.inbound = self.inbound.unwrap_or(rule.inbound);
        names::set(&mut rule.source, self.source.as_ref());
        names::set(&mut rule.destination, self.destination.as_ref());
        rule.traffic.patch(&self.traffic, Form::NetworkAcl)?;
        match &self.before {
            Change::Set(before) => put(rules, rule, Some(before))?,
            Change::Remove => put(rules, rule, None)?,
            Change::Keep => {
                if rules.iter().any(|r| r.name == rule.name) {
                    return Err(name_taken());
                }
                rules.insert(at, rule);
            }
        }
        Ok(true)
    }
}
