//! Answers of the token service: tokens, discovery, errors, and the request to end tokens.

use serde::{Deserialize, Serialize};

/// A successful answer of the token endpoint.
///
/// ```
/// use avouch_wire::token::TokenResponse;
/// let answer = TokenResponse::bearer("a.b.c".into(), 1_746_523_054, 3600, "ibm openid");
/// let json = serde_json::to_value(&answer).unwrap();
/// assert_eq!(json["refresh_token"], "not_supported");
/// assert!(json.get("session_id").is_none());
/// ```
#[derive(Clone, Serialize, Deserialize)]
pub struct TokenResponse {
    /// Compact JWS.
    pub access_token: String,
    /// Opaque, or the literal `not_supported`.
    pub refresh_token: String,
    /// Always `Bearer`.
    pub token_type: String,
    /// Seconds from issue to expiry.
    pub expires_in: i64,
    /// Epoch seconds; equal to the `exp` claim.
    pub expiration: i64,
    /// `ibm openid`, or what was asked for.
    pub scope: String,
    /// Only with a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Only for the token exchange of RFC 8693.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_token_type: Option<String>,
}

/// What `refresh_token` says when there is none.
pub const NOT_SUPPORTED: &str = "not_supported";

impl TokenResponse {
    /// An answer without refresh token and session.
    pub fn bearer(access_token: String, expiration: i64, expires_in: i64, scope: &str) -> Self {
        Self {
            access_token,
            refresh_token: NOT_SUPPORTED.to_owned(),
            token_type: "Bearer".to_owned(),
            expires_in,
            expiration,
            scope: scope.to_owned(),
            session_id: None,
            issued_token_type: None,
        }
    }
}

impl std::fmt::Debug for TokenResponse {
    /// Never the tokens.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenResponse(expires at {})", self.expiration)
    }
}

/// `GET /identity/.well-known/openid-configuration`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Discovery {
    /// Issuer of access tokens, compared verbatim by verifiers.
    pub issuer: String,
    /// Start of a browser login.
    pub authorization_endpoint: String,
    /// Where tokens are asked for.
    pub token_endpoint: String,
    /// Public keys.
    pub jwks_uri: String,
    /// Page that shows a one-time passcode.
    pub passcode_endpoint: String,
    /// `code` and its like.
    pub response_types_supported: Vec<String>,
    /// Grants that are served.
    pub grant_types_supported: Vec<String>,
    /// `ibm`, `openid`.
    pub scopes_supported: Vec<String>,
    /// `public`.
    pub subject_types_supported: Vec<String>,
    /// Algorithms of tokens.
    pub id_token_signing_alg_values_supported: Vec<String>,
    /// Claims that tokens may carry.
    pub claims_supported: Vec<String>,
}

/// The error body of `/identity/*`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenError {
    /// `BXNIM0415E` and its like.
    pub error_code: String,
    /// Short text that clients show.
    pub error_message: String,
    /// Longer text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_details: Option<String>,
    /// About the request.
    pub context: ErrorContext,
}

/// `context` of [`TokenError`]; every value is a text.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct ErrorContext {
    pub request_id: String,
    pub request_type: String,
    pub user_agent: String,
    pub url: String,
    pub instance_id: String,
    pub thread_id: String,
    pub host: String,
    pub start_time: String,
    pub end_time: String,
    pub elapsed_time: String,
    pub locale: String,
    pub cluster_name: String,
}

/// `POST /avouch/v1/revocations`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevocationRequest {
    /// Whose tokens end.
    pub iam_id: String,
    /// Tokens issued before this time end (RFC 3339); absent: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_before: Option<String>,
}

/// A revocation in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Revocation {
    /// Whose tokens ended.
    pub iam_id: String,
    /// Account.
    pub account_id: String,
    /// Tokens issued before this time ended.
    pub issued_before: String,
}

/// A login session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Session {
    /// Session id.
    pub session_id: String,
    /// Who is logged in.
    pub iam_id: String,
    /// Account of the session.
    pub account_id: String,
    /// Client that opened it.
    pub client_id: String,
    /// When it began.
    pub created_at: String,
    /// When it was last used.
    pub last_used_at: String,
    /// When it ends.
    pub expires_at: String,
}

/// `GET /avouch/v1/sessions`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionList {
    /// Open sessions, newest first.
    pub sessions: Vec<Session>,
}
