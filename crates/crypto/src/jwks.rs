//! Public keys: reading them from sets that others publish, and publishing ours.
//!
//! What it refuses: key types other than RSA and EC, RSA keys outside 2048 to 8192 bits or with an exponent that is even or below
//! 65537, points that are not on their curve, coordinates of the wrong length, keys meant for encryption, and anything with a
//! private member, which has no place in a public set and whose owner should know.

use std::fmt;

use aws_lc_rs::signature::{ParsedPublicKey, RsaPublicKeyComponents};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::jws::{Alg, VerifyError};
use crate::strict_json::{self, Limits};
use crate::{base64url, digest};

/// A JSON Web Key as it was read.
pub type JwkValue = Value;

/// Members that only a private or symmetric key has.
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
const KEY_ID_MAX: usize = 256;

/// Why a key was refused. Nothing of the key is part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a JSON object.
    #[error("a key is not a JSON object")]
    NotAnObject,
    /// A member is missing or not a text.
    #[error("a key has no valid member {0}")]
    Member(&'static str),
    /// A number is not strict base64url, or has the wrong length or leading zeros.
    #[error("member {0} of a key is not a valid number")]
    Number(&'static str),
    /// `kty` is neither `RSA` nor `EC`, or the curve is not one of P-256, P-384 and P-521.
    #[error("the key type is not supported")]
    KeyType,
    /// `alg` is not a known asymmetric algorithm, or does not fit the key.
    #[error("the algorithm of a key is not supported or does not fit the key")]
    Algorithm,
    /// `use` or `key_ops` say that the key does not verify signatures.
    #[error("the key is not meant for signatures")]
    Use,
    /// The set gives away a private or symmetric key.
    #[error("the key has a private member: it must be considered disclosed")]
    Private,
    /// An RSA modulus outside 2048 to 8192 bits, or an even one.
    #[error("an RSA key must have 2048 to 8192 bits")]
    RsaSize,
    /// An RSA exponent that is even, below 65537, or above 32 bits.
    #[error("the exponent of an RSA key must be odd and at least 65537")]
    RsaExponent,
    /// The point is not on the curve.
    #[error("the key is not a point of its curve")]
    Point,
    /// A private key that is not PKCS#8 of the wanted kind.
    #[error("not a PKCS#8 private key of the wanted kind")]
    Pkcs8,
    /// The library could not make a key.
    #[error("the key could not be made")]
    Generate,
    /// More usable keys of this kind than are kept.
    #[error("the set has more keys of this kind than are used")]
    TooMany,
}

/// The numbers of a public key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum PublicParts {
    /// Modulus and exponent, big-endian without leading zeros.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// Uncompressed point: 4, x, y.
    Ec { point: Vec<u8> },
}

impl PublicParts {
    pub(crate) fn jwk(&self, alg: Alg, kid: &str) -> Jwk {
        let mut jwk =
            Jwk { kty: "RSA", alg: alg.name(), kid: kid.to_owned(), usage: "sig", ..Jwk::default() };
        match self {
            PublicParts::Rsa { n, e } => {
                jwk.n = Some(base64url::encode(n));
                jwk.e = Some(base64url::encode(e));
            }
            PublicParts::Ec { .. } => {
                let (x, y) = self.coordinates();
                jwk.kty = "EC";
                jwk.crv = alg.ec().map(|ec| ec.curve);
                jwk.x = Some(base64url::encode(x));
                jwk.y = Some(base64url::encode(y));
            }
        }
        jwk
    }

    fn coordinates(&self) -> (&[u8], &[u8]) {
        match self {
            PublicParts::Ec { point } => {
                let both = point.get(1..).unwrap_or_default();
                both.split_at_checked(both.len() / 2).unwrap_or_default()
            }
            PublicParts::Rsa { .. } => (&[], &[]),
        }
    }
}

/// A public key as it is published. Its JSON has exactly the members that it should have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Jwk {
    kty: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<String>,
    alg: &'static str,
    kid: String,
    #[serde(rename = "use")]
    usage: &'static str,
}

impl Jwk {
    /// Key id.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// SHA-256 thumbprint of RFC 7638 in base64url: the same for the same key, whatever its `kid`, `alg` and `use`.
    pub fn thumbprint(&self) -> String {
        let text = |member: &Option<String>| member.clone().unwrap_or_default();
        // Members in the order of their names, no white space; base64url needs no escapes.
        let canonical = match self.crv {
            Some(crv) => {
                format!(r#"{{"crv":"{crv}","kty":"EC","x":"{}","y":"{}"}}"#, text(&self.x), text(&self.y))
            }
            None => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, text(&self.e), text(&self.n)),
        };
        base64url::encode(digest::sha256(canonical.as_bytes()))
    }
}

/// A public key with the one algorithm that it verifies. Parsed once.
#[derive(Clone)]
pub struct VerifyingKey {
    alg: Alg,
    parts: PublicParts,
    key: ParsedPublicKey,
    signature_len: usize,
}

impl VerifyingKey {
    /// Reads a key. Its algorithm is its member `alg`; without one it is given by the curve, and RS256 for RSA.
    ///
    /// # Errors
    /// [`KeyError`], see its variants.
    ///
    /// ```
    /// use avouch_crypto::{Alg, SigningKey, VerifyingKey};
    /// let jwk = serde_json::to_value(SigningKey::generate(Alg::ES384).unwrap().jwk("k")).unwrap();
    /// assert_eq!(VerifyingKey::from_jwk(&jwk).unwrap().alg(), Alg::ES384);
    /// ```
    pub fn from_jwk(jwk: &JwkValue) -> Result<VerifyingKey, KeyError> {
        read(jwk, None)
    }

    /// As [`VerifyingKey::from_jwk`], with the algorithm stated by whoever registered the key. A member `alg` must not
    /// contradict.
    ///
    /// # Errors
    /// [`KeyError`], see its variants.
    pub fn from_jwk_as(jwk: &JwkValue, alg: Alg) -> Result<VerifyingKey, KeyError> {
        read(jwk, Some(alg))
    }

    pub(crate) fn from_parts(parts: PublicParts, alg: Alg) -> Result<VerifyingKey, KeyError> {
        let (key, signature_len) = match (&parts, alg.rsa(), alg.ec()) {
            (PublicParts::Rsa { n, e }, Some(rsa), _) => {
                check_rsa(n, e)?;
                let components = RsaPublicKeyComponents { n, e };
                let key = components.to_parsed_public_key(rsa.verify).map_err(|_| KeyError::RsaSize)?;
                (key, n.len())
            }
            (PublicParts::Ec { point }, _, Some(ec)) => {
                let key = ParsedPublicKey::new(ec.verify, point).map_err(|_| KeyError::Point)?;
                (key, 2 * ec.field_len)
            }
            _ => return Err(KeyError::Algorithm),
        };
        Ok(VerifyingKey { alg, parts, key, signature_len })
    }

    /// What this key verifies.
    pub fn alg(&self) -> Alg {
        self.alg
    }

    /// Checks a signature in the form of RFC 7518 over `signing_input`.
    ///
    /// # Errors
    /// [`VerifyError::Signature`].
    pub fn verify_signature(&self, signing_input: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        if signature.len() != self.signature_len {
            return Err(VerifyError::Signature);
        }
        self.key.verify_sig(signing_input, signature).map_err(|_| VerifyError::Signature)
    }

    /// The key as it is published, with this `kid`.
    pub fn jwk(&self, kid: &str) -> Jwk {
        self.parts.jwk(self.alg, kid)
    }

    /// SHA-256 thumbprint of RFC 7638 in base64url, see [`Jwk::thumbprint`].
    pub fn thumbprint(&self) -> String {
        self.jwk("").thumbprint()
    }
}

impl PartialEq for VerifyingKey {
    fn eq(&self, other: &Self) -> bool {
        self.alg == other.alg && self.parts == other.parts
    }
}

impl Eq for VerifyingKey {}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({} {})", self.alg, self.thumbprint())
    }
}

fn read(jwk: &JwkValue, wanted: Option<Alg>) -> Result<VerifyingKey, KeyError> {
    let jwk = jwk.as_object().ok_or(KeyError::NotAnObject)?;
    if PRIVATE_MEMBERS.iter().any(|member| jwk.contains_key(*member)) {
        return Err(KeyError::Private);
    }
    let usage_ok = jwk.get("use").is_none_or(|usage| usage == "sig");
    let operations_ok = jwk.get("key_ops").is_none_or(|ops| {
        ops.as_array().is_some_and(|ops| ops.iter().any(|operation| operation == "verify"))
    });
    if !usage_ok || !operations_ok {
        return Err(KeyError::Use);
    }
    let stated = match jwk.get("alg") {
        None => None,
        Some(Value::String(name)) => Some(name.parse().map_err(|_| KeyError::Algorithm)?),
        Some(_) => return Err(KeyError::Algorithm),
    };
    if let (Some(stated), Some(wanted)) = (stated, wanted)
        && stated != wanted
    {
        return Err(KeyError::Algorithm);
    }
    let alg = stated.or(wanted);
    match text(jwk, "kty")? {
        "RSA" => {
            let parts = PublicParts::Rsa { n: number(jwk, "n")?, e: number(jwk, "e")? };
            VerifyingKey::from_parts(parts, alg.unwrap_or(Alg::RS256))
        }
        "EC" => {
            let curve = text(jwk, "crv")?;
            let by_curve = Alg::ALL
                .into_iter()
                .find_map(|alg| alg.ec().filter(|ec| ec.curve == curve).map(|ec| (alg, ec.field_len)));
            let (of_curve, field_len) = by_curve.ok_or(KeyError::KeyType)?;
            if alg.is_some_and(|alg| alg != of_curve) {
                return Err(KeyError::Algorithm);
            }
            let mut point = vec![4];
            for member in ["x", "y"] {
                let coordinate =
                    base64url::decode(text(jwk, member)?).map_err(|_| KeyError::Number(member))?;
                if coordinate.len() != field_len {
                    return Err(KeyError::Number(member));
                }
                point.extend_from_slice(&coordinate);
            }
            VerifyingKey::from_parts(PublicParts::Ec { point }, of_curve)
        }
        _ => Err(KeyError::KeyType),
    }
}

fn text<'a>(jwk: &'a Map<String, Value>, member: &'static str) -> Result<&'a str, KeyError> {
    jwk.get(member).and_then(Value::as_str).ok_or(KeyError::Member(member))
}

/// A positive number without leading zeros.
fn number(jwk: &Map<String, Value>, member: &'static str) -> Result<Vec<u8>, KeyError> {
    let bytes = base64url::decode(text(jwk, member)?).map_err(|_| KeyError::Number(member))?;
    if bytes.first().is_none_or(|first| *first == 0) { Err(KeyError::Number(member)) } else { Ok(bytes) }
}

fn check_rsa(n: &[u8], e: &[u8]) -> Result<(), KeyError> {
    let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
    if !(2048..=8192).contains(&bits) || n.last().is_none_or(|last| last % 2 == 0) {
        return Err(KeyError::RsaSize);
    }
    let exponent = e.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    if e.len() > 4 || exponent < 65537 || exponent % 2 == 0 {
        return Err(KeyError::RsaExponent);
    }
    Ok(())
}

/// How large a set may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JwksLimits {
    /// Bytes of the document.
    pub max_len: usize,
    /// Members of `keys`.
    pub max_keys: usize,
    /// Usable keys of each type, RSA and EC, that are kept.
    pub max_per_type: usize,
}

impl Default for JwksLimits {
    /// 512 KiB, 64 keys, 16 of each type.
    fn default() -> Self {
        JwksLimits { max_len: 512 * 1024, max_keys: 64, max_per_type: 16 }
    }
}

/// Why a document is not a set of keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    /// Longer than [`JwksLimits::max_len`].
    #[error("the key set is too long")]
    TooLong,
    /// Not a strict JSON object with an array `keys`.
    #[error("the document is not a key set")]
    NotASet,
    /// More keys than [`JwksLimits::max_keys`].
    #[error("the key set has too many keys")]
    TooManyKeys,
    /// No key could be used; the reasons are inside.
    #[error("the key set has no usable key")]
    NoUsableKey(Vec<KeyWarning>),
}

/// A key of a set that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyWarning {
    /// Place in `keys`, from 0.
    pub index: usize,
    /// Its key id, when it has a valid one.
    pub kid: Option<String>,
    /// Why it was left out.
    pub reason: KeyError,
}

impl fmt::Display for KeyWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {}: {}", self.index, self.reason)
    }
}

/// The usable keys of a published set, in its order, and what was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwkSet {
    /// Key id and key. One id may stand for several keys; all are to be tried.
    pub keys: Vec<(Option<String>, VerifyingKey)>,
    /// Keys that were left out.
    pub warnings: Vec<KeyWarning>,
}

impl JwkSet {
    /// Reads a set. Keys that cannot be used are left out with a warning; a set without any usable key is an error, so that an
    /// empty or broken answer never replaces good keys.
    ///
    /// # Errors
    /// [`JwksError`], see its variants.
    pub fn parse(bytes: &[u8], limits: &JwksLimits) -> Result<JwkSet, JwksError> {
        if bytes.len() > limits.max_len {
            return Err(JwksError::TooLong);
        }
        let document = strict_json::parse_object(bytes, Limits { max_depth: 8, max_members: 64 });
        let document = document.map_err(|_| JwksError::NotASet)?;
        let entries = document.get("keys").and_then(Value::as_array).ok_or(JwksError::NotASet)?;
        if entries.len() > limits.max_keys {
            return Err(JwksError::TooManyKeys);
        }
        let mut set = JwkSet { keys: Vec::new(), warnings: Vec::new() };
        for (index, entry) in entries.iter().enumerate() {
            let (kid, key) = match key_id(entry) {
                Ok(kid) => (kid, VerifyingKey::from_jwk(entry)),
                // A private member is the worse news.
                Err(error) => (None, VerifyingKey::from_jwk(entry).and(Err(error))),
            };
            let key = key.and_then(|key| {
                let is_rsa = key.alg().rsa().is_some();
                let same_type =
                    set.keys.iter().filter(|(_, other)| other.alg().rsa().is_some() == is_rsa).count();
                if same_type < limits.max_per_type { Ok(key) } else { Err(KeyError::TooMany) }
            });
            match key {
                Ok(key) => set.keys.push((kid, key)),
                Err(reason) => set.warnings.push(KeyWarning { index, kid, reason }),
            }
        }
        if set.keys.is_empty() { Err(JwksError::NoUsableKey(set.warnings)) } else { Ok(set) }
    }

    /// The keys of this id; without an id all keys.
    pub fn candidates<'a>(&'a self, kid: Option<&'a str>) -> impl Iterator<Item = &'a VerifyingKey> {
        self.keys.iter().filter(move |(own, _)| kid.is_none() || own.as_deref() == kid).map(|(_, key)| key)
    }
}

fn key_id(jwk: &JwkValue) -> Result<Option<String>, KeyError> {
    match jwk.get("kid") {
        None => Ok(None),
        Some(Value::String(kid)) if !kid.is_empty() && avouch_wire::text::printable(kid, KEY_ID_MAX) => {
            Ok(Some(kid.clone()))
        }
        Some(_) => Err(KeyError::Member("kid")),
    }
}

#[cfg(test)]
#[path = "jwks_tests.rs"]
mod tests;
