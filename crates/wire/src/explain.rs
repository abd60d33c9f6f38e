//! Questions about decisions, and their answers.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `POST /avouch/v1/explain`: exactly one member.
///
/// ```
/// use avouch_wire::explain::ExplainRequest;
/// let asked: ExplainRequest = serde_json::from_str(r#"{"transaction_id": "t1"}"#).unwrap();
/// assert!(asked.trust.is_none());
/// ```
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// A past request, by the id in its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<String>,
    /// May this compute resource become this profile?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<TrustQuestion>,
    /// May this identity do that?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessQuestion>,
}

/// A question about trust: with a token, or with claims that a token might have.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustQuestion {
    /// Profile, by id, IAM id or CRN.
    pub profile_id: String,
    /// A compute resource token; never kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cr_token: Option<String>,
    /// Kind of compute resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cr_type: Option<String>,
    /// Its claims; `crn` names the compute resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<Map<String, Value>>,
    /// Clock for expiry, RFC 3339; rules are those of today.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// A question about access.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessQuestion {
    /// Who.
    pub iam_id: String,
    /// Account of the tokens that he comes with; by default this one if he lives in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// Which action.
    pub action: String,
    /// On what: `crn`, or `attributes` as policies name them.
    pub resource: AccessResource,
    /// Clock for time conditions, and when the identity's token was issued, RFC 3339; policies and revocations are those
    /// of today. Without it: now, with a new token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// The resource of a question about access.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessResource {
    /// A resource name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crn: Option<String>,
    /// Attributes by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Map<String, Value>>,
}

/// The answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExplainResponse {
    /// `permitted` or `refused`.
    pub decision: String,
    /// `evidence`, `trust`, `assume`, `login`, `refresh` or `access`.
    pub stage: String,
    /// One sentence.
    pub summary: String,
    /// The clock that was used, RFC 3339.
    pub at: String,
    /// Every check with what was wanted and found.
    pub tree: Value,
    /// For a past request: today's decision would be another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now_differs: Option<bool>,
}

/// A profile that a compute resource may become, or what a profile trusts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TrustEntry {
    /// Profile id.
    pub profile_id: String,
    /// Profile name.
    pub profile_name: String,
    /// `link`, `claim_rule` or `identity`.
    pub kind: String,
    /// Id of the link or rule; for identities their IAM id.
    pub id: String,
    /// Label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Kind of compute resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cr_type: Option<String>,
    /// One sentence: who may become the profile by it.
    pub trusts: String,
    /// Claims that decide and that the question does not fix.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// What is doubtful about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// `GET /avouch/v1/trust`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TrustList {
    /// By what a compute resource may become a profile.
    pub trust: Vec<TrustEntry>,
}
