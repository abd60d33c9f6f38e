//! Asking the API server about a token (TokenReview): it knows whether the pod still lives, which no signature tells.
//!
//! It fails closed: no answer, no token. A good answer is remembered for ten seconds. So many questions wait for one API
//! server and for all of them together; beyond that the caller is told at once to come back.

use std::time::Duration;

use avouch_crypto::digest::sha256;
use avouch_crypto::strict_json::{self, Limits};
use avouch_gate::places::Places;
use avouch_gate::{Error, Result};
use avouch_policy::reason::Reason;
use avouch_wire::time::Timestamp;
use serde_json::{Map, Value, json};

use super::trace::Trace;
use super::{checks, keys_unavailable, unverifiable};
use crate::fetch::{Ask, FetchError, Fetcher};
use crate::registrations::Registration;

const PATH: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const WITHIN: Duration = Duration::from_secs(2);
const REMEMBERED_MS: i64 = 10_000;
const CAPACITY: u64 = 10_000;
/// Questions under way per registration, and overall.
const AT_ONCE: usize = 256;
const AT_ONCE_OVERALL: usize = 2048;

/// Good answers of a moment ago, by the hash of the token.
pub struct Reviews {
    good: moka::sync::Cache<([u8; 32], String, i64), Timestamp>,
    /// Questions under way, by registration.
    waiting: Places<String>,
}

impl Default for Reviews {
    fn default() -> Self {
        Self { good: moka::sync::Cache::new(CAPACITY), waiting: Places::new(AT_ONCE, AT_ONCE_OVERALL) }
    }
}

impl std::fmt::Debug for Reviews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reviews({})", self.good.entry_count())
    }
}

impl Reviews {
    /// Asks, unless a good answer is still remembered.
    #[allow(clippy::too_many_arguments)] // one caller, every one of another kind
    pub async fn ask(
        &self,
        fetcher: &Fetcher,
        r: &Registration,
        url: &str,
        token: &str,
        claims: &Map<String, Value>,
        now: Timestamp,
        trace: &mut Trace,
    ) -> Result<()> {
        let key = (sha256(token.as_bytes()), r.id.clone(), r.version);
        let fresh = |t: Timestamp| (0..REMEMBERED_MS).contains(&now.millis_since(t));
        if self.good.get(&key).is_some_and(fresh) {
            trace.pass("online", || Reason::check("online", true).detail("reviewed a moment ago"));
            return Ok(());
        }
        let Some(_place) = self.waiting.take(r.id.clone()) else {
            trace.fail("online", || Reason::check("online", false).detail("too many reviews are under way"));
            return Err(keys_unavailable(2).reason("review_busy"));
        };
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": token, "audiences": r.settings.audiences},
        });
        let ask = Ask {
            url: &format!("{}{PATH}", url.trim_end_matches('/')),
            ca_pem: r.settings.ca_pem.as_deref(),
            with_token: true,
            post: Some(body.to_string().into_bytes()),
            within: Some(WITHIN),
        };
        let verdict = match fetcher.fetch(&ask).await {
            Ok(answer) => judge(&answer.body, &r.settings.audiences, claims),
            Err(e) => Err(e),
        };
        match verdict {
            Ok(()) => {
                self.good.insert(key, now);
                trace.pass("online", || {
                    Reason::check("online", true).detail("the API server accepts the token")
                });
                Ok(())
            }
            Err(FetchError::Content(text)) => {
                trace.fail("online", || Reason::check("online", false).detail(text));
                Err(unverifiable("review_refused")
                    .details("The API server of the cluster does not accept the token."))
            }
            Err(e) => {
                trace.fail("online", || Reason::check("online", false).detail(e.to_string()));
                Err(unavailable(&e))
            }
        }
    }
}

fn unavailable(e: &FetchError) -> Error {
    keys_unavailable(2).reason("review_unavailable").cause(e)
}

/// What the API server says; `Content` when it says no.
fn judge(
    body: &[u8],
    audiences: &[String],
    claims: &Map<String, Value>,
) -> std::result::Result<(), FetchError> {
    let answer = strict_json::parse_object(body, Limits { max_depth: 16, max_members: 1024 })
        .map_err(|_| FetchError::Connect)?;
    let Some(status) = answer.get("status") else { return Err(FetchError::Connect) };
    if status.get("authenticated").and_then(Value::as_bool) != Some(true) {
        return Err(FetchError::Content("the API server does not accept the token"));
    }
    // A server that does not know audiences answers with its own.
    let named = status.get("audiences").and_then(Value::as_array);
    let ours =
        named.is_some_and(|n| n.iter().filter_map(Value::as_str).any(|a| audiences.iter().any(|w| w == a)));
    if !ours {
        return Err(FetchError::Content("the API server did not check the audience"));
    }
    let user = status.get("user");
    if user.and_then(|u| u.get("username")).and_then(Value::as_str) != checks::text(claims, "sub") {
        return Err(FetchError::Content("the API server names another subject"));
    }
    let reviewed = user
        .and_then(|u| u.get("extra"))
        .and_then(|e| e.get("authentication.kubernetes.io/pod-uid"))
        .and_then(|v| v.get(0))
        .and_then(Value::as_str);
    let stated = claims
        .get("kubernetes.io")
        .and_then(|k| k.get("pod"))
        .and_then(|p| p.get("uid"))
        .and_then(Value::as_str);
    match (reviewed, stated) {
        (Some(a), Some(b)) if a != b => Err(FetchError::Content("the API server names another pod")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn only_a_clear_yes_for_this_token_counts() {
        let claims = json!({"sub": "system:serviceaccount:a:b", "kubernetes.io": {"pod": {"uid": "u1"}}});
        let claims = claims.as_object().unwrap();
        let audiences = ["iam".to_owned()];
        let ask = |status: Value| judge(json!({"status": status}).to_string().as_bytes(), &audiences, claims);
        let good = json!({"authenticated": true, "audiences": ["iam"], "user": {"username": "system:serviceaccount:a:b"}});
        assert_eq!(ask(good.clone()), Ok(()));
        let with = |path: &str, v: Value| {
            let mut s = good.clone();
            *s.pointer_mut(path).unwrap() = v;
            ask(s)
        };
        assert!(with("/authenticated", json!(false)).is_err());
        assert!(with("/authenticated", json!("true")).is_err());
        assert!(with("/audiences", json!(["https://kubernetes"])).is_err());
        assert!(with("/audiences", json!([])).is_err());
        assert!(with("/user/username", json!("system:serviceaccount:a:c")).is_err());
        assert!(
            with(
                "/user",
                json!({"username": "system:serviceaccount:a:b",
            "extra": {"authentication.kubernetes.io/pod-uid": ["u2"]}})
            )
            .is_err()
        );
        assert!(
            with(
                "/user",
                json!({"username": "system:serviceaccount:a:b",
            "extra": {"authentication.kubernetes.io/pod-uid": ["u1"]}})
            )
            .is_ok()
        );
        assert_eq!(judge(b"{}", &audiences, claims), Err(FetchError::Connect));
        assert_eq!(judge(b"<html>", &audiences, claims), Err(FetchError::Connect));
    }
}
