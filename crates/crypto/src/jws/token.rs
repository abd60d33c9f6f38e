//! Reading tokens: first the form, then the signature, and claims only after both.

use serde_json::{Map, Value};

use super::Alg;
use crate::base64url;
use crate::jwks::VerifyingKey;
use crate::strict_json;

/// How large a token may be. Everything is checked before any decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenLimits {
    /// Bytes of the whole token.
    pub max_len: usize,
    /// Bytes of the encoded header.
    pub max_header_len: usize,
    /// Most arrays and objects inside one another, in header and payload.
    pub max_depth: usize,
    /// Most members of any one object: at the top these are the claims.
    pub max_members: usize,
}

impl Default for TokenLimits {
    /// 16 KiB, header 2 KiB, depth 8, 64 claims.
    fn default() -> Self {
        TokenLimits { max_len: 16 * 1024, max_header_len: 2 * 1024, max_depth: 8, max_members: 64 }
    }
}

/// Longest issuer and key id that are looked up, in bytes and characters.
const ISSUER_MAX: usize = 2048;
const KEY_ID_MAX: usize = 256;

/// Why a text is not a token that could be verified at all. Nothing of the text is part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Longer than allowed, as a whole or in its header.
    #[error("the token is too long")]
    TooLong,
    /// Not three parts, or an empty one.
    #[error("the token does not have three parts")]
    Parts,
    /// A part is not strict base64url.
    #[error("a part of the token is not valid base64url")]
    Encoding,
    /// Header or payload is not a strict JSON object within the limits.
    #[error("header or payload of the token: {0}")]
    Json(strict_json::Error),
    /// `alg` is missing, or is not the exact name of a known asymmetric algorithm.
    #[error("the algorithm of the token is not supported")]
    Algorithm,
    /// The header has `crit`, `zip`, `enc`, or `b64` other than true: things that would change how it must be read.
    #[error("the token has a header member that is not supported")]
    Header,
    /// `kid` is not a text of 1 to 256 printable characters.
    #[error("the key id of the token is not valid")]
    KeyId,
}

/// Why a well-formed token was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The token states another algorithm than the key has.
    #[error("the token was not made with the algorithm of the key")]
    Algorithm,
    /// The signature is not that of the key over this token.
    #[error("the signature of the token is not valid")]
    Signature,
}

/// A token whose form is right and whose claims nobody has vouched for. It gives away only what is needed to find a key.
pub struct UnverifiedToken {
    alg: Alg,
    header: Map<String, Value>,
    claims: Map<String, Value>,
    signing_input: String,
    signature: Vec<u8>,
}

/// Header and claims of a token whose signature was verified. Made only by [`UnverifiedToken::verify`].
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct VerifiedToken {
    /// The header as signed.
    pub header: Map<String, Value>,
    /// The claims as signed. Issuer, audience and times are not checked yet.
    pub claims: Map<String, Value>,
}

impl UnverifiedToken {
    /// Reads the compact form. No key is looked at and no signature is computed.
    ///
    /// # Errors
    /// [`ParseError`], see its variants.
    pub fn parse(text: &str, limits: &TokenLimits) -> Result<UnverifiedToken, ParseError> {
        if text.len() > limits.max_len {
            return Err(ParseError::TooLong);
        }
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(ParseError::Parts);
        };
        if header.is_empty() || payload.is_empty() || signature.is_empty() {
            return Err(ParseError::Parts);
        }
        if header.len() > limits.max_header_len {
            return Err(ParseError::TooLong);
        }
        let signed_len = header.len() + 1 + payload.len();
        let structure = strict_json::Limits { max_depth: limits.max_depth, max_members: limits.max_members };
        let object = |part: &str| {
            let bytes = base64url::decode(part).map_err(|_| ParseError::Encoding)?;
            strict_json::parse_object(&bytes, structure).map_err(ParseError::Json)
        };
        let header = object(header)?;
        // `jwk`, `jku`, `x5u`, `x5c` and `x5t` are not looked at anywhere: a token does not bring its own key.
        if ["crit", "zip", "enc"].iter().any(|name| header.contains_key(*name))
            || header.get("b64").is_some_and(|b64| *b64 != Value::Bool(true))
        {
            return Err(ParseError::Header);
        }
        let alg = header
            .get("alg")
            .and_then(Value::as_str)
            .and_then(|name| name.parse().ok())
            .ok_or(ParseError::Algorithm)?;
        match header.get("kid") {
            None => {}
            Some(Value::String(kid)) if !kid.is_empty() && avouch_wire::text::printable(kid, KEY_ID_MAX) => {}
            Some(_) => return Err(ParseError::KeyId),
        }
        let claims = object(payload)?;
        let signature = base64url::decode(signature).map_err(|_| ParseError::Encoding)?;
        let signing_input = text.get(..signed_len).unwrap_or_default().to_owned();
        Ok(UnverifiedToken { alg, header, claims, signing_input, signature })
    }

    /// The algorithm that the token states.
    pub fn alg(&self) -> Alg {
        self.alg
    }

    /// The key id that the token states, 1 to 256 printable characters.
    pub fn kid(&self) -> Option<&str> {
        self.header.get("kid").and_then(Value::as_str)
    }

    /// `typ` as the token states it.
    pub fn typ(&self) -> Option<&str> {
        self.header.get("typ").and_then(Value::as_str)
    }

    /// The issuer that the token states, for finding a registered issuer and nothing else. `None` when it is missing, not a
    /// text, or longer than 2048 bytes.
    pub fn unverified_issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str).filter(|issuer| issuer.len() <= ISSUER_MAX)
    }

    /// Claims that nobody has vouched for, for diagnosis by whoever holds the token. Never decide by them.
    pub fn unverified_claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// Checks the signature with this key.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn verify(self, key: &VerifyingKey) -> Result<VerifiedToken, VerifyError> {
        self.verify_any([key])
    }

    /// Checks the signature with each key until one fits: for tokens without `kid`, and for sets that use a `kid` twice. Limit
    /// the number of keys; each costs a verification.
    ///
    /// # Errors
    /// [`VerifyError::Signature`] when no key fits, [`VerifyError::Algorithm`] when none has the stated algorithm.
    pub fn verify_any<'a>(
        self,
        keys: impl IntoIterator<Item = &'a VerifyingKey>,
    ) -> Result<VerifiedToken, VerifyError> {
        self.verify_which(keys).map(|(_, token)| token)
    }

    /// As [`UnverifiedToken::verify_any`], and tells the place of the key that fitted: whose key it is decides who the token
    /// speaks for.
    ///
    /// # Errors
    /// As [`UnverifiedToken::verify_any`].
    pub fn verify_which<'a>(
        self,
        keys: impl IntoIterator<Item = &'a VerifyingKey>,
    ) -> Result<(usize, VerifiedToken), VerifyError> {
        let mut refused = VerifyError::Algorithm;
        for (place, key) in keys.into_iter().enumerate() {
            if key.alg() != self.alg {
                continue;
            }
            match key.verify_signature(self.signing_input.as_bytes(), &self.signature) {
                Ok(()) => return Ok((place, VerifiedToken { header: self.header, claims: self.claims })),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }
}

impl std::fmt::Debug for UnverifiedToken {
    /// Algorithm only: claims may be personal and the signature makes the token usable.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UnverifiedToken({})", self.alg)
    }
}

impl std::fmt::Debug for VerifiedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifiedToken")
            .field("claims", &self.claims.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
