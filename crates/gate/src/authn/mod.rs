//! Who is calling: the bearer token, verified offline, then checked for life at each request.
//!
//! Signatures are verified once per token (the cache key is the SHA-256 of the whole token); that the identity still
//! lives and was not revoked is checked every time, so deleting a profile ends its tokens here at once.

use std::collections::HashMap;
use std::sync::Arc;

use avouch_crypto::digest::sha256;
use avouch_crypto::jwks::VerifyingKey;
use avouch_crypto::jws::{TokenLimits, UnverifiedToken};
use avouch_wire::ids::{AccountId, IamId};
use avouch_wire::time::Timestamp;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::Clock;
use crate::error::{Error, Kind, Result};

/// Leeway for clocks of other replicas, seconds.
const LEEWAY_SECS: i64 = 30;
/// Longest bearer token that is looked at, bytes.
const MAX_TOKEN: usize = 16 * 1024;

/// The identity behind a token: itself for users and service IDs, the compute resource for profiles.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Authn {
    /// Subject.
    pub sub: String,
    /// IAM id; `crn-` + CRN for compute resources.
    pub iam_id: String,
    /// `CRN`, `ServiceId`, or absent for users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_type: Option<String>,
    /// Display name; for clusters `cluster:namespace:service account:pod`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Given name of a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_name: Option<String>,
    /// Family name of a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family_name: Option<String>,
    /// E-mail of a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// Account member of a token.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct TokenAccount {
    /// Always true in tokens of ours.
    pub valid: bool,
    /// Account id.
    pub bss: AccountId,
    /// The token is pinned to the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<bool>,
}

/// Claims of an IAM access token, in the published names.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct TokenClaims {
    /// IAM id of the subject.
    pub iam_id: IamId,
    /// Same as `iam_id`.
    pub id: IamId,
    /// `IBMid`, `iam`.
    pub realmid: String,
    /// Session, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Hard end of the session, epoch seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_exp_max: Option<i64>,
    /// Token id.
    pub jti: String,
    /// Id without the realm.
    pub identifier: String,
    /// Given name of a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_name: Option<String>,
    /// Family name of a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family_name: Option<String>,
    /// Display name of the subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// E-mail of a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Subject.
    pub sub: String,
    /// `Profile`, `ServiceId`, `CRN`; absent for users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_type: Option<String>,
    /// Copied from the service ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_instance_crns: Option<Vec<String>>,
    /// The identity behind the subject.
    pub authn: Authn,
    /// Account that the token acts in.
    pub account: TokenAccount,
    /// Issued at, epoch seconds.
    pub iat: i64,
    /// Expires at, epoch seconds.
    pub exp: i64,
    /// Issuer: `<public url>/identity`.
    pub iss: String,
    /// Grant that issued it.
    pub grant_type: String,
    /// `ibm openid`.
    pub scope: String,
    /// `default` or the Basic client.
    pub client_id: String,
    /// Always 1.
    pub acr: i64,
    /// Authentication methods.
    pub amr: Vec<String>,
}

/// A proven caller.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Claims of the token.
    pub claims: Arc<TokenClaims>,
    /// SHA-256 of the token, for explain and revocation; never the token.
    pub token_hash: [u8; 32],
}

impl Caller {
    /// IAM id of the subject.
    pub fn iam_id(&self) -> &IamId {
        &self.claims.iam_id
    }

    /// Account that the token acts in.
    pub fn account(&self) -> &AccountId {
        &self.claims.account.bss
    }

    /// When the token was issued, to the second.
    pub fn issued_at(&self) -> Timestamp {
        Timestamp::from_secs(self.claims.iat)
    }

    /// Display name for audit.
    pub fn name(&self) -> &str {
        self.claims.email.as_deref().or(self.claims.name.as_deref()).unwrap_or_default()
    }
}

/// Keys that verify access tokens, by key id, with the time after which a key no longer counts.
#[derive(Default)]
pub struct TokenKeys {
    /// `kid` → key.
    pub keys: HashMap<String, TokenKey>,
}

/// One key of [`TokenKeys`].
pub struct TokenKey {
    /// The public key.
    pub key: VerifyingKey,
    /// The key verifies nothing after this time.
    pub retired_at: Option<Timestamp>,
}

impl std::fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenKeys({})", self.keys.len())
    }
}

struct Cached {
    claims: Arc<TokenClaims>,
    kid: String,
    /// By the steady clock: the token does not count longer when the wall clock is set back.
    until: i64,
}

/// Verifies access tokens, with a cache by full hash.
pub struct Authenticator {
    issuer: String,
    clock: Arc<dyn Clock>,
    keys: arc_swap::ArcSwap<TokenKeys>,
    cache: moka::sync::Cache<[u8; 32], Arc<Cached>>,
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authenticator")
    }
}

impl Authenticator {
    /// `issuer` is compared byte for byte.
    pub fn new(issuer: String, clock: Arc<dyn Clock>) -> Self {
        Self {
            issuer,
            clock,
            keys: arc_swap::ArcSwap::from_pointee(TokenKeys::default()),
            cache: moka::sync::Cache::new(20_000),
        }
    }

    /// Replaces the keys; a token whose key is gone is refused from now on, cached or not.
    pub fn set_keys(&self, keys: TokenKeys) {
        self.keys.store(Arc::new(keys));
    }

    /// The caller that a request's headers prove.
    ///
    /// # Errors
    /// `Unauthenticated` (label `no_token`, `bad_token`, `expired`), `Invalid` for a doubled header.
    pub fn caller(&self, headers: &HeaderMap, now: Timestamp) -> Result<Caller> {
        let mut all = headers.get_all(AUTHORIZATION).iter();
        let Some(first) = all.next() else { return Err(no_token()) };
        if all.next().is_some() {
            return Err(Error::invalid(
                "Authorization",
                "The header 'Authorization' is given more than once.",
            ));
        }
        let text = first.to_str().map_err(|_| bad_token())?.trim();
        let (scheme, token) = text.split_once(' ').ok_or_else(bad_token)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(bad_token());
        }
        self.verify(token.trim(), now)
    }

    /// Verifies one access token of ours.
    ///
    /// # Errors
    /// `Unauthenticated`.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Caller> {
        if token.is_empty() || token.len() > MAX_TOKEN {
            return Err(bad_token());
        }
        let hash = sha256(token.as_bytes());
        if let Some(cached) = self.cache.get(&hash) {
            // Kept as it is: verified anew, it would have a new end.
            if self.clock.steady() >= cached.until {
                return Err(expired());
            }
            if !self.key_counts(&cached.kid, now) || now.secs() >= cached.claims.exp {
                self.cache.invalidate(&hash);
                return Err(expired());
            }
            return Ok(Caller { claims: cached.claims.clone(), token_hash: hash });
        }
        let unverified = UnverifiedToken::parse(token, &TokenLimits::default()).map_err(|_| bad_token())?;
        let kid = unverified.kid().unwrap_or_default().to_owned();
        if !self.key_counts(&kid, now) {
            return Err(bad_token());
        }
        let keys = self.keys.load();
        let key = keys.keys.get(&kid).ok_or_else(bad_token)?;
        // Ours carry no type; a typed token is one of another kind.
        if unverified.typ().is_some() {
            return Err(bad_token());
        }
        let verified = unverified.verify(&key.key).map_err(|_| bad_token())?;
        self.heed(&verified.claims, now)?;
        let claims: TokenClaims =
            serde_json::from_value(Value::Object(verified.claims)).map_err(|_| bad_token())?;
        let claims = Arc::new(claims);
        let left = claims.exp.saturating_sub(now.secs()).saturating_mul(1000);
        let until = self.clock.steady().saturating_add(left);
        self.cache.insert(hash, Arc::new(Cached { claims: claims.clone(), kid, until }));
        Ok(Caller { claims, token_hash: hash })
    }

    /// Refuses claims that our access tokens do not have, or no longer. Nothing is proven by it, and since when a token
    /// counts is asked only of one that tells.
    ///
    /// # Errors
    /// `Unauthenticated`.
    pub fn heed(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<()> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let time = |name: &str| claims.get(name).map(|at| at.as_i64().ok_or_else(bad_token)).transpose();
        let begins = time("nbf")?.max(time("iat")?);
        let account = claims.get("account").and_then(Value::as_object).ok_or_else(bad_token)?;
        // An access token names no audience: whatever else our keys sign is meant for the one that it names.
        let sound = !claims.contains_key("aud")
            && text("iss") == Some(self.issuer.as_str())
            && text("id").is_some()
            && text("id") == text("iam_id")
            && begins.is_none_or(|at| at <= now.secs() + LEEWAY_SECS)
            && account.get("valid") == Some(&Value::Bool(true))
            && account.get("bss").is_some_and(Value::is_string);
        if !sound {
            return Err(bad_token());
        }
        if now.secs() >= time("exp")?.ok_or_else(bad_token)? {
            return Err(expired());
        }
        Ok(())
    }

    fn key_counts(&self, kid: &str, now: Timestamp) -> bool {
        let keys = self.keys.load();
        keys.keys.get(kid).is_some_and(|k| k.retired_at.is_none_or(|at| now < at))
    }
}

fn no_token() -> Error {
    Error::new(Kind::Unauthenticated, "No authorization header found.").reason("no_token")
}

fn bad_token() -> Error {
    Error::new(Kind::Unauthenticated, "The provided token is invalid.").reason("bad_token")
}

fn expired() -> Error {
    Error::new(Kind::Unauthenticated, "The provided token is expired.").reason("expired")
}
