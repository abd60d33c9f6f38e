//! Policies on the wire, in both schemas.
//!
//! What the client wrote is echoed as it was written. A policy of the newer schema stands in lists of the older one as a
//! placeholder that says where to read it.

use avouch_policy::access::PolicyDoc;
use avouch_policy::roles::{Catalogue, Target};
use serde_json::{Map, Value, json};

use super::{Policy, Schema};
use crate::roles::CustomRole;

/// How much a client wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The policy.
    Plain,
    /// And when it last permitted something.
    LastPermit,
    /// And what its roles are called and allow.
    Display,
}

/// What rendering needs beside the policy.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Base of links.
    pub base: &'a str,
    /// How much is shown.
    pub format: Format,
    /// Custom roles of the account.
    pub custom: &'a [CustomRole],
}

/// A policy in the first schema; a placeholder where it was written in the second.
pub fn v1(p: &Policy, view: &View<'_>) -> Value {
    let mut out = Map::new();
    out.insert("id".into(), json!(p.id.as_str()));
    match p.schema {
        Schema::V1 => {
            for name in ["type", "description", "subjects"] {
                copy(&p.document, name, &mut out);
            }
            let doc = p.doc().ok();
            let roles = p.document.get("roles").and_then(Value::as_array).cloned().unwrap_or_default();
            let shown: Vec<Value> = roles.iter().map(|r| role(r, doc.as_ref(), view)).collect();
            out.insert("roles".into(), Value::Array(shown));
            copy(&p.document, "resources", &mut out);
        }
        Schema::V2 => {
            copy(&p.document, "type", &mut out);
            out.insert(
                "description".into(),
                json!("This policy was written in a newer version of the API. Follow its href to read it."),
            );
            out.insert(
                "subjects".into(),
                json!([{"attributes": [{"name": "iam_id", "value": "unsupported version"}]}]),
            );
            out.insert(
                "roles".into(),
                json!([{
                    "role_id": "crn:v1:bluemix:public:iam::::role:UnsupportedVersion",
                    "display_name": "Unsupported Version",
                    "description": "The roles of this policy are shown by the newer version of the API.",
                }]),
            );
            out.insert(
                "resources".into(),
                json!([{"attributes": [{"name": "accountId", "value": p.account.as_str()}]}]),
            );
        }
    }
    marks(p, view, &mut out);
    Value::Object(out)
}

/// A policy in the second schema, converted where it was written in the first.
pub fn v2(p: &Policy, view: &View<'_>) -> Value {
    let converted;
    let document = match p.schema {
        Schema::V2 => &p.document,
        Schema::V1 => {
            converted = upgraded(&p.document);
            &converted
        }
    };
    let mut out = Map::new();
    out.insert("id".into(), json!(p.id.as_str()));
    for name in ["type", "description", "subject", "resource", "pattern", "rule"] {
        copy(document, name, &mut out);
    }
    let mut control = document.get("control").cloned().unwrap_or_else(|| json!({}));
    if view.format == Format::Display {
        let doc = p.doc().ok();
        let list = control.get_mut("grant").and_then(|g| g.get_mut("roles")).and_then(Value::as_array_mut);
        for entry in list.into_iter().flatten() {
            *entry = role(entry, doc.as_ref(), view);
        }
    }
    out.insert("control".into(), control);
    marks(p, view, &mut out);
    Value::Object(out)
}

/// Where the policy is read.
pub fn href(p: &Policy, base: &str) -> String {
    format!("{base}/v{}/policies/{}", p.schema.number(), p.id)
}

fn marks(p: &Policy, view: &View<'_>, out: &mut Map<String, Value>) {
    out.insert("href".into(), json!(href(p, view.base)));
    out.insert("created_at".into(), json!(p.created_at.rfc3339_millis()));
    out.insert("created_by_id".into(), json!(p.created_by));
    out.insert("last_modified_at".into(), json!(p.modified_at.rfc3339_millis()));
    out.insert("last_modified_by_id".into(), json!(p.modified_by));
    out.insert("state".into(), json!(p.state.as_str()));
    if view.format == Format::LastPermit {
        let last = p.permitted.last_at.map(|at| json!(at.rfc3339_millis()));
        out.insert("last_permit_at".into(), last.unwrap_or(Value::Null));
        out.insert("last_permit_frequency".into(), json!(p.permitted.times));
    }
}

fn copy(from: &Value, name: &str, out: &mut Map<String, Value>) {
    if let Some(value) = from.get(name) {
        out.insert(name.to_owned(), value.clone());
    }
}

/// A role of a policy with its names, and in display format with its actions on the policy's target.
fn role(entry: &Value, doc: Option<&PolicyDoc>, view: &View<'_>) -> Value {
    let catalogue = Catalogue::builtin();
    let crn = entry.get("role_id").and_then(Value::as_str).unwrap_or_default();
    let mut out = Map::new();
    out.insert("role_id".into(), json!(crn));
    let own = view.custom.iter().find(|c| c.crn == crn);
    let names = own
        .map(|c| (c.display_name.as_str(), c.description.as_deref()))
        .or_else(|| catalogue.role(crn).map(|r| (r.display_name.as_str(), Some(r.description.as_str()))));
    if let Some((display_name, description)) = names {
        out.insert("display_name".into(), json!(display_name));
        if let Some(description) = description {
            out.insert("description".into(), json!(description));
        }
    }
    if view.format == Format::Display {
        let actions = match (own, doc) {
            (Some(own), _) => own.actions.clone(),
            (None, Some(doc)) => actions_on(crn, doc.target()),
            (None, None) => Vec::new(),
        };
        let shown: Vec<Value> = actions
            .iter()
            .map(|a| {
                let name = catalogue.action_display_name(a);
                json!({"id": a, "display_name": name, "description": name})
            })
            .collect();
        out.insert("actions".into(), Value::Array(shown));
    }
    Value::Object(out)
}

/// What a built-in role allows on a target.
pub fn actions_on(crn: &str, target: Target<'_>) -> Vec<String> {
    let catalogue = Catalogue::builtin();
    if let Target::Service(name) = target {
        return catalogue.actions_of(crn, name).iter().map(str::to_owned).collect();
    }
    let Some(role) = catalogue.role(crn) else { return Vec::new() };
    let views = catalogue.roles_for_target(target);
    let found = views.system_roles.into_iter().chain(views.service_roles).find(|v| v.crn == role.crn);
    found.map(|v| v.actions).unwrap_or_default()
}

/// A document of the first schema, written in the second.
fn upgraded(document: &Value) -> Value {
    let list = |from: Option<&Value>| -> Value {
        let items = from.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        items
            .iter()
            .map(|item| {
                json!({
                    "key": item.get("name").cloned().unwrap_or_default(),
                    "operator": item.get("operator").cloned().unwrap_or_else(|| json!("stringEquals")),
                    "value": item.get("value").cloned().unwrap_or_default(),
                })
            })
            .collect()
    };
    let part = |name: &str| -> Value {
        let Some(first) = document.get(name).and_then(|l| l.get(0)) else { return json!({}) };
        let mut out = Map::new();
        out.insert("attributes".into(), list(first.get("attributes")));
        if first.get("tags").is_some() {
            out.insert("tags".into(), list(first.get("tags")));
        }
        Value::Object(out)
    };
    let roles: Vec<Value> = document
        .get("roles")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|r| json!({"role_id": r.get("role_id").cloned().unwrap_or_default()}))
        .collect();
    let mut out = Map::new();
    for name in ["type", "description"] {
        copy(document, name, &mut out);
    }
    out.insert("subject".into(), part("subjects"));
    out.insert("resource".into(), part("resources"));
    out.insert("control".into(), json!({"grant": {"roles": roles}}));
    Value::Object(out)
}
