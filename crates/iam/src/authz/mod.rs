//! The decision as a service: may this subject do that to this resource?
//!
//! For enforcement points of other people's services. Whoever asks about others must be allowed to read policies on the
//! resource (`iam.policy.read`); everybody may ask about himself. One question that is not allowed refuses the whole call,
//! in the same words whether the account exists or not. Nothing is issued, and a token body that a subject is named by
//! proves nothing: it is read for its subject and for what speaks against the token, and nothing is granted to whoever sends
//! it.

pub mod http;
pub mod question;

use avouch_gate::Endpoint;

/// Most questions of one call.
pub const QUESTIONS_MAX: usize = 100;
/// Most resources of one bulk call.
pub const BULK_MAX: usize = 1000;
/// Seconds for which a client may reuse a permit.
///
/// COMPAT: 0 would say "not at all", but the published client reads 0 as absent and then keeps a permit for ten minutes.
pub const CACHE_SECONDS: u32 = 1;

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    http::endpoints()
}
