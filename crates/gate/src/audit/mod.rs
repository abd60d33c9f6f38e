//! Audit events: rows of the same store, written with the change they tell of, or durable before the answer.
//!
//! An event is built from an allow-list of fields; what is not named here is never recorded. Tokens, payloads and keys
//! have no place in it.

pub mod severity;
pub mod sql;
pub mod unasked;
pub mod writer;

use avouch_wire::ids::AccountId;
use avouch_wire::time::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};

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
    ///
    /// # Errors
    /// None that the types of an event allow.
    pub fn body(&self) -> Result<String> {
        let body = self.compose(&self.request, &self.response)?;
        if body.len() <= EVENT_CAP {
            return Ok(body);
        }
        let mut note = Map::new();
        note.insert("note".into(), json!("left out for size"));
        self.compose(&note, &note)
    }

    fn compose(&self, request: &Map<String, Value>, response: &Map<String, Value>) -> Result<String> {
        let failed = self.status >= 400;
        let mut parts = self.action.split('.');
        let verb = parts.next_back().unwrap_or_default();
        let object = parts.next_back().unwrap_or_default();
        let name = clip(&self.target.name);
        let mut message = format!("{}: {verb} {object} {name}", self.service_display);
        if let Some(warning) = &self.warning {
            message.push_str(": ");
            message.push_str(clip(warning));
        }
        if failed {
            message.push_str(" -failure");
        }
        let who = &self.initiator;
        let body = Body {
            event_time: self.time.event(),
            id: &self.id,
            action: &self.action,
            outcome: self.outcome(),
            message,
            severity: self.severity().as_str(),
            initiator: InitiatorBody {
                id: &who.id,
                name: clip(&who.name),
                authn_id: who.authn_id.as_deref(),
                authn_name: who.authn_name.as_deref().map(clip),
                type_uri: &who.type_uri,
                credential: CredentialBody { kind: &who.credential },
                host: HostBody {
                    address: &who.address,
                    address_type: if who.address.contains(':') { "IPv6" } else { "IPv4" },
                    agent: clip(&who.agent),
                },
            },
            target: TargetBody {
                id: &self.target.id,
                name,
                type_uri: &self.target.type_uri,
                resource_group_id: self.target.resource_group.as_deref(),
            },
            reason: ReasonBody {
                reason_code: self.status,
                reason_type: reason_type(self.status),
                reason_for_failure: failed.then(|| self.failure.as_deref().map(clip).unwrap_or_default()),
            },
            observer: ObserverBody { name: "ActivityTracker" },
            data_event: self.data_event,
            correlation_id: &self.correlation_id,
            log_source: &self.log_source,
            save_service_copy: true,
            request_data: request,
            response_data: response,
            avouch: OursBody { node: &self.node, decision: &self.decision },
        };
        serde_json::to_string(&body).map_err(Error::internal)
    }
}

/// The published body, in the order of its members.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    event_time: String,
    id: &'a str,
    action: &'a str,
    outcome: &'static str,
    message: String,
    severity: &'static str,
    initiator: InitiatorBody<'a>,
    target: TargetBody<'a>,
    reason: ReasonBody<'a>,
    observer: ObserverBody,
    data_event: bool,
    correlation_id: &'a str,
    #[serde(rename = "logSourceCRN")]
    log_source: &'a str,
    save_service_copy: bool,
    #[serde(skip_serializing_if = "Map::is_empty")]
    request_data: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    response_data: &'a Map<String, Value>,
    avouch: OursBody<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InitiatorBody<'a> {
    id: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    authn_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authn_name: Option<&'a str>,
    #[serde(rename = "typeURI")]
    type_uri: &'a str,
    credential: CredentialBody<'a>,
    host: HostBody<'a>,
}

#[derive(Serialize)]
struct CredentialBody<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HostBody<'a> {
    address: &'a str,
    address_type: &'static str,
    agent: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TargetBody<'a> {
    id: &'a str,
    name: &'a str,
    #[serde(rename = "typeURI")]
    type_uri: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_group_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReasonBody<'a> {
    reason_code: u16,
    reason_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_for_failure: Option<&'a str>,
}

#[derive(Serialize)]
struct ObserverBody {
    name: &'static str,
}

#[derive(Serialize)]
struct OursBody<'a> {
    node: &'a str,
    #[serde(skip_serializing_if = "Map::is_empty")]
    decision: &'a Map<String, Value>,
}

/// Caps a text that came from a request; JSON escapes control characters.
pub fn clip(text: &str) -> &str {
    text.char_indices().nth(TEXT_CAP).map_or(text, |(end, _)| text.get(..end).unwrap_or(text))
}

/// CRN of the service as an emitter in `location` (`global` for IAM and the resource controller).
pub fn log_source(service: &str, location: &str, account: &AccountId, instance: &str) -> String {
    format!("crn:v1:bluemix:public:{service}:{location}:a/{account}:{instance}::")
}

fn reason_type(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Unknown")
}
