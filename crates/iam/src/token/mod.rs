//! The token service: evidence or a credential in, an access token of one hour out.
//!
//! Order of every request: limits, form, evidence, restrictions of the account, a place to sign, signature, event, answer.
//! It refuses to answer with a token whose event is not committed, to fall back to a weaker grant, and to tell a stranger
//! why a profile was not given to him.

pub mod activity;
pub(crate) mod api_key;
mod assume;
pub mod by_channel;
mod client;
pub(crate) mod compute;
pub(crate) mod errors;
mod failures;
mod form;
mod http;
mod issue;
pub mod limits;
pub mod lookup;
mod refresh;
pub mod sessions;
mod subject;
pub mod trust;

use std::sync::Arc;

use avouch_gate::unverified::type_uri;
use avouch_gate::{App, Endpoint, Result, Service};

use self::trust::TrustCache;
use crate::signing_keys::SigningKeys;

/// Name of the service in audit messages.
pub const DISPLAY: &str = "IAM Identity Service";

/// Largest form, bytes.
const FORM_LIMIT: usize = 32 * 1024;
/// Largest token in a form, bytes.
const TOKEN_LIMIT: usize = 16 * 1024;
/// What `scope` says where nothing is asked for.
const SCOPE: &str = "ibm openid";
/// Sessions are forgotten this long after their end.
const FORGET_AFTER_SECS: i64 = 7 * 24 * 3600;

/// Private state of the token service.
#[derive(Debug, Default)]
pub struct Tokens {
    /// Signing keys and threads.
    pub keys: SigningKeys,
    /// Profiles in memory.
    pub trust: TrustCache,
}

impl Tokens {
    /// Fresh state: starts the signing threads.
    pub fn new() -> Self {
        Self::default()
    }
}

/// Housekeeping: counted refusals are told, old sessions forgotten.
///
/// # Errors
/// Those of the store.
pub async fn tick(app: &Arc<App>) -> Result<()> {
    app.unverified.tick(app).await?;
    let before = app.clock.now().plus_secs(-FORGET_AFTER_SECS);
    app.store.write(move |tx| sessions::purge(tx, before)).await
}

/// Audit actions of logins.
pub(crate) mod actions {
    pub const USER_KEY: &str = "iam-identity.user-apikey.login";
    pub const SERVICE_KEY: &str = "iam-identity.serviceid-apikey.login";
    pub const COMPUTE: &str = "iam-identity.computeresource-token.login";
    pub const ASSUME: &str = "iam-identity.trustedprofile-apikey.login";
    pub const REFRESH: &str = "iam-identity.user-refreshtoken.login";
}

const LOGINS: &[&str] =
    &[actions::USER_KEY, actions::SERVICE_KEY, actions::COMPUTE, actions::ASSUME, actions::REFRESH];

/// The endpoints of the token service.
pub fn service() -> Service {
    let token = |path, operation| {
        Endpoint::post(path, operation, issue::issue)
            .anonymous()
            .events("iam-identity/token", LOGINS)
            .body_limit(FORM_LIMIT)
    };
    Service {
        name: "iam-token",
        display: DISPLAY,
        endpoints: vec![
            token("/identity/token", "get_token"),
            token("/oidc/token", "get_token_alias"),
            Endpoint::get("/identity/token", "token_needs_post", http::needs_post).anonymous(),
            Endpoint::get("/oidc/token", "token_alias_needs_post", http::needs_post).anonymous(),
            Endpoint::get("/identity/keys", "list_keys", http::keys).anonymous(),
            Endpoint::get("/identity/.well-known/openid-configuration", "discovery", http::discovery)
                .anonymous(),
            Endpoint::post("/identity/profiles", "list_assumable_profiles", http::assumable_profiles)
                .anonymous()
                .effect(avouch_gate::Effect::Read)
                .body_limit(FORM_LIMIT),
            Endpoint::get("/identity/profiles", "list_assumable_profiles_by_query", http::assumable_profiles)
                .anonymous(),
            Endpoint::post("/avouch/v1/logout", "logout", http::logout)
                .anonymous()
                .protective(true)
                .body_limit(FORM_LIMIT)
                .events("iam-identity/session", &["iam-identity.user.logout"]),
            Endpoint::patch("/v1/sessions/{session_id}/state", "update_session_state", http::keep_session)
                .anonymous()
                .effect(avouch_gate::Effect::Read)
                .body_limit(FORM_LIMIT),
        ],
        render: errors::render,
    }
}
