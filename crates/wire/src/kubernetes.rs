//! Registrations of clusters and of OpenID Connect issuers, and what is answered about them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where the keys of an issuer come from: exactly one of `jwks`, `discovery_url` and `jwks_url`.
///
/// ```
/// use avouch_wire::kubernetes::KeySource;
/// let source: KeySource = serde_json::from_str(r#"{"jwks_url": "https://a.test/keys"}"#).unwrap();
/// assert_eq!(source.named(), 1);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySource {
    /// The key set itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Value>,
    /// Address of the discovery document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery_url: Option<String>,
    /// Address of the key set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
}

impl KeySource {
    /// How many sources are named.
    pub fn named(&self) -> usize {
        usize::from(self.jwks.is_some())
            + usize::from(self.discovery_url.is_some())
            + usize::from(self.jwks_url.is_some())
    }
}

/// A further issuer of the same cluster, with its own keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdditionalIssuer {
    /// `iss`, compared byte for byte.
    pub issuer: String,
    /// The key set itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Value>,
    /// Address of the discovery document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery_url: Option<String>,
    /// Address of the key set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
}

/// Narrows what the server may fetch for this registration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FetchPolicy {
    /// Hosts that a discovery document may name for its keys, beside its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_hosts: Vec<String>,
}

/// `POST /avouch/v1/clusters` and, without the members of Kubernetes, `POST /avouch/v1/issuers`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrationRequest {
    /// Name, unique in the account: 1 to 63 characters of a DNS label.
    pub name: String,
    /// `IKS_SA` or `ROKS_SA`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cr_type: Option<String>,
    /// Region; the server's by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Id of the resource group; the default group by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_group: Option<String>,
    /// `iss` of its tokens, compared byte for byte.
    pub issuer: String,
    /// At most 4 further issuers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub additional_issuers: Vec<AdditionalIssuer>,
    /// The key set itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Value>,
    /// Address of the discovery document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery_url: Option<String>,
    /// Address of the key set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// Certificates (PEM) trusted for fetches, beside those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
    /// `none`, or `bearer_file`: fetch with the token file that the server's configuration names for the origin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<String>,
    /// Audiences, one of which a token must name; `["iam"]` by default, required for issuers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audiences: Option<Vec<String>>,
    /// A token that names further audiences is refused.
    #[serde(default, skip_serializing_if = "is_false")]
    pub single_audience: bool,
    /// Longest life of a token, 60 to 3600 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_token_ttl: Option<i64>,
    /// Algorithms; RS256, ES256 and ES384 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_algs: Option<Vec<String>>,
    /// `none`, `pod` or `any` (default): the object that a token must be bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_bound_object: Option<String>,
    /// Tokens bound to a secret are accepted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_secret_bound: bool,
    /// `off` (default) or `token_review`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online_check: Option<String>,
    /// Address of the API server for `token_review`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_server_url: Option<String>,
    /// Must be the file that the server's configuration names for the API server's origin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewer_token_file: Option<String>,
    /// Networks (CIDR) that tokens may be presented from; empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_source_cidrs: Vec<String>,
    /// Issued tokens do not outlive the presented ones.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cr_token_cap: bool,
    /// `active` (default) or `disabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Narrows what is fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetch_policy: Option<FetchPolicy>,
    /// Register although the keys cannot be fetched now.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_unreachable: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants a reference
fn is_false(b: &bool) -> bool {
    !b
}

/// A key as it is told about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    /// Key id, if the issuer gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// RFC 7638 thumbprint.
    pub thumbprint: String,
    /// Algorithm.
    pub alg: String,
    /// Issuer that signs with it.
    pub issuer: String,
    /// When it was first seen.
    pub first_seen: String,
    /// When the issuer last published it.
    pub last_seen: String,
    /// `active`, `retiring` or `revoked`.
    pub state: String,
    /// When a retiring key stops to count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retires_at: Option<String>,
}

/// A registration as it is answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Registration {
    /// 20 lower-case characters for clusters, `Issuer-<uuid>` for issuers.
    pub id: String,
    /// CRN, used in links.
    pub crn: String,
    /// Name.
    pub name: String,
    /// Account.
    pub account_id: String,
    /// `IKS_SA`, `ROKS_SA` or `OIDC`.
    pub cr_type: String,
    /// Revision.
    pub entity_tag: String,
    /// `active` or `disabled`.
    pub state: String,
    /// Region, for clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Id of the resource group, for clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_group: Option<String>,
    /// Name of the resource group, for clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_group_name: Option<String>,
    /// The settings, as registered; key sets are told as `keys`.
    #[serde(flatten)]
    pub settings: serde_json::Map<String, Value>,
    /// Keys.
    pub keys: Vec<KeyView>,
    /// What is doubtful about the registration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// When keys were last fetched or uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_refresh: Option<String>,
    /// Why the last fetch failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When keys will be fetched next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_refresh: Option<String>,
    /// When it was registered.
    pub created_at: String,
    /// When it was last changed.
    pub modified_at: String,
}

/// `POST …/{id}/refresh`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RefreshResult {
    /// Key ids (or thumbprints) that are new.
    pub added: Vec<String>,
    /// Key ids that the issuer no longer publishes.
    pub missing: Vec<String>,
    /// Key ids that stayed.
    pub kept: Vec<String>,
    /// What was doubtful about the set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The registration after the refresh.
    pub registration: Registration,
}

/// `POST …/{id}/diagnose`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiagnoseRequest {
    /// The token; never kept.
    pub cr_token: String,
    /// Profile to test, by id, IAM id or CRN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_id: Option<String>,
}

/// Answer of `diagnose`: a tree of checks, never a token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DiagnoseResult {
    /// Whether an exchange would succeed as far as it was tested.
    pub result: bool,
    /// One line.
    pub summary: String,
    /// Checks of the token, in order.
    pub checks: Value,
    /// The decision on the profile, when one was asked for and the token passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Value>,
}
