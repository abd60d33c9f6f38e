//! Audit events: rows of the same store, written with the change they tell of, or durable before the answer.
//!
//! An event is built from an allow-list of fields; what is not named here is never recorded. Tokens, payloads and keys
//! have no place in it.

pub mod severity;
pub mod sql;
pub mod writer;

use avouch_wire::ids::AccountId;
use avouch_wire::time::Timestamp;
use serde_json::{Map, Value, json};

pub use severity::Severity;

/// Longest text of a field taken from a request.
const TEXT_CAP: usize = 256;
/// Largest event, bytes; beyond it the request and response data are left out.
const EVENT_CAP: usize = 16 * 1024;

/// The account of events that belong to nobody: unverifiable evidence, unknown keys.
pub const OPERATOR_ACCOUNT: &str = "00000000000000000000000000000000";

/// Who acted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Initiator {
    /// IAM id.
    pub id: String,
    /// Display name.
    pub name: String,
    /// `service/security/account/profile` and its like.
    pub type_uri: String,
    /// `token`, `profile`, `apikey`, …
    pub credential: String,
    /// The identity behind a profile.
    pub authn_id: Option<String>,
    /// Its display name.
    pub authn_name: Option<String>,
    /// Client address; empty when the platform acts.
    pub address: String,
    /// User agent.
    pub agent: String,
}

/// On what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventTarget {
    /// Full CRN.
    pub id: String,
    /// Display name.
    pub name: String,
    /// `service/object`.
    pub type_uri: String,
    /// CRN of the resource group, if it has one.
    pub resource_group: Option<String>,
}

/// One audit event before it becomes a row.
#[derive(Debug, Clone)]
pub struct Event {
    /// UUID version 7.
    pub id: String,
    /// Account whose trail it is.
    pub account: String,
    /// When it was decided.
    pub time: Timestamp,
    /// `service.object.verb`.
    pub action: String,
    /// HTTP status of the answer.
    pub status: u16,
    /// Whether the object was locked.
    pub locked: bool,
    /// Something to notice, told in the message.
    pub warning: Option<String>,
    /// Who.
    pub initiator: Initiator,
    /// On what.
    pub target: EventTarget,
    /// Why it failed, in public words.
    pub failure: Option<String>,
    /// Request id.
    pub correlation_id: String,
    /// CRN of the service instance that emits it.
    pub log_source: String,
    /// Touches customer data.
    pub data_event: bool,
    /// Allow-listed fields of the request.
    pub request: Map<String, Value>,
    /// Allow-listed fields of the answer.
    pub response: Map<String, Value>,
    /// What led to the decision: policy ids, first failing condition, token id. Ours.
    pub decision: Map<String, Value>,
    /// Name of the replica.
    pub node: String,
    /// Display name of the service, for the message.
    pub service_display: String,
}

impl Event {
    /// `success` or `failure`.
    pub fn outcome(&self) -> &'static str {
        if self.status < 400 { "success" } else { "failure" }
    }

    /// By the table of severities.
    pub fn severity(&self) -> Severity {
        match severity::of(&self.action, self.status, self.locked) {
            Severity::Normal if self.warning.is_some() => Severity::Warning,
            severity => severity,
        }
    }

    /// First segment of the action.
    pub fn service(&self) -> &str {
        self.action.split('.').next().unwrap_or_default()
    }

    /// The stored body: one JSON object, with members in a fixed order.
    pub fn body(&self) -> String {
        let mut body = self.compose(&self.request, &self.response);
        if body.len() > EVENT_CAP {
            let mut note = Map::new();
            note.insert("note".into(), json!("left out for size"));
            body = self.compose(&note, &note);
        }
        body
    }

    fn compose(&self, request: &Map<String, Value>, response: &Map<String, Value>) -> String {
        let failed = self.status >= 400;
        let mut parts = self.action.split('.');
        let verb = parts.next_back().unwrap_or_default();
        let object = parts.next_back().unwrap_or_default();
        let mut message = format!("{}: {verb} {object} {}", self.service_display, clip(&self.target.name));
        if let Some(warning) = &self.warning {
            message.push_str(": ");
            message.push_str(&clip(warning));
        }
        if failed {
            message.push_str(" -failure");
        }
        let mut initiator = Map::new();
        initiator.insert("id".into(), json!(self.initiator.id));
        initiator.insert("name".into(), json!(clip(&self.initiator.name)));
        if let Some(id) = &self.initiator.authn_id {
            initiator.insert("authnId".into(), json!(id));
        }
        if let Some(name) = &self.initiator.authn_name {
            initiator.insert("authnName".into(), json!(clip(name)));
        }
        initiator.insert("typeURI".into(), json!(self.initiator.type_uri));
        initiator.insert("credential".into(), json!({"type": self.initiator.credential}));
        let address_type = if self.initiator.address.contains(':') { "IPv6" } else { "IPv4" };
        initiator.insert(
            "host".into(),
            json!({
                "address": self.initiator.address,
                "addressType": address_type,
                "agent": clip(&self.initiator.agent),
            }),
        );
        let mut target = Map::new();
        target.insert("id".into(), json!(self.target.id));
        target.insert("name".into(), json!(clip(&self.target.name)));
        target.insert("typeURI".into(), json!(self.target.type_uri));
        if let Some(group) = &self.target.resource_group {
            target.insert("resourceGroupId".into(), json!(group));
        }
        let mut reason = Map::new();
        reason.insert("reasonCode".into(), json!(self.status));
        reason.insert("reasonType".into(), json!(reason_type(self.status)));
        if failed {
            reason.insert(
                "reasonForFailure".into(),
                json!(self.failure.as_deref().map(clip).unwrap_or_default()),
            );
        }
        let mut body = Map::new();
        body.insert("eventTime".into(), json!(self.time.event()));
        body.insert("id".into(), json!(self.id));
        body.insert("action".into(), json!(self.action));
        body.insert("outcome".into(), json!(self.outcome()));
        body.insert("message".into(), json!(message));
        body.insert("severity".into(), json!(self.severity().as_str()));
        body.insert("initiator".into(), Value::Object(initiator));
        body.insert("target".into(), Value::Object(target));
        body.insert("reason".into(), Value::Object(reason));
        body.insert("observer".into(), json!({"name": "ActivityTracker"}));
        body.insert("dataEvent".into(), json!(self.data_event));
        body.insert("correlationId".into(), json!(self.correlation_id));
        body.insert("logSourceCRN".into(), json!(self.log_source));
        body.insert("saveServiceCopy".into(), json!(true));
        if !request.is_empty() {
            body.insert("requestData".into(), Value::Object(request.clone()));
        }
        if !response.is_empty() {
            body.insert("responseData".into(), Value::Object(response.clone()));
        }
        let mut ours = Map::new();
        ours.insert("node".into(), json!(self.node));
        if !self.decision.is_empty() {
            ours.insert("decision".into(), Value::Object(self.decision.clone()));
        }
        body.insert("avouch".into(), Value::Object(ours));
        Value::Object(body).to_string()
    }
}

/// Caps a text that came from a request; JSON escapes control characters.
pub fn clip(text: &str) -> String {
    text.chars().take(TEXT_CAP).collect()
}

/// CRN of the service as an emitter in `location` (`global` for IAM and the resource controller).
pub fn log_source(service: &str, location: &str, account: &AccountId, instance: &str) -> String {
    format!("crn:v1:bluemix:public:{service}:{location}:a/{account}:{instance}::")
}

fn reason_type(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Unknown")
}
