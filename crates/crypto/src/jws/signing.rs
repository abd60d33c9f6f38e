//! Private keys and the tokens made with them.

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{EcdsaKeyPair, KeyPair, RsaKeyPair};
use serde::Serialize;

use super::Alg;
use crate::jwks::{Jwk, KeyError, PublicParts, VerifyingKey};
use crate::secret::SecretBytes;
use crate::{base64url, rng};

/// A private key with the one algorithm that it signs with. Parsed once: reading an RSA key again for each signature would
/// double the cost of a token.
///
/// ```
/// use avouch_crypto::{Alg, SigningKey};
/// let key = SigningKey::generate(Alg::ES256).unwrap();
/// let signature = key.sign(b"text");
/// assert!(key.verifying_key().unwrap().verify_signature(b"text", &signature).is_ok());
/// ```
pub struct SigningKey {
    alg: Alg,
    key: Key,
}

enum Key {
    Rsa(Box<RsaKeyPair>),
    Ec(Box<EcdsaKeyPair>),
}

impl SigningKey {
    /// A new key; RSA keys have 2048 bits. Takes about a tenth of a second for RSA: not for the path of a request.
    ///
    /// # Errors
    /// [`KeyError::Generate`] when the library fails.
    pub fn generate(alg: Alg) -> Result<SigningKey, KeyError> {
        let key = match alg.ec() {
            Some(ec) => EcdsaKeyPair::generate(ec.sign).map(|key| Key::Ec(Box::new(key))),
            None => RsaKeyPair::generate(KeySize::Rsa2048).map(|key| Key::Rsa(Box::new(key))),
        };
        key.map(|key| SigningKey { alg, key }).map_err(|_| KeyError::Generate)
    }

    /// Reads a private key in PKCS#8 (DER). The kind and curve must be those of `alg`.
    ///
    /// # Errors
    /// [`KeyError::Pkcs8`] when it is not such a key, [`KeyError::RsaSize`] outside 2048 to 8192 bits.
    pub fn from_pkcs8(der: &[u8], alg: Alg) -> Result<SigningKey, KeyError> {
        let key = match alg.ec() {
            Some(ec) => EcdsaKeyPair::from_pkcs8(ec.sign, der).map(|key| Key::Ec(Box::new(key))),
            None => RsaKeyPair::from_pkcs8(der).map(|key| Key::Rsa(Box::new(key))),
        }
        .map_err(|_| KeyError::Pkcs8)?;
        if let Key::Rsa(pair) = &key
            && !(256..=1024).contains(&pair.public_modulus_len())
        {
            return Err(KeyError::RsaSize);
        }
        Ok(SigningKey { alg, key })
    }

    /// The private key in PKCS#8 (DER), for sealing and storing.
    ///
    /// # Panics
    /// When the library cannot write a key that it made or read, which does not happen.
    pub fn to_pkcs8(&self) -> SecretBytes {
        let der = match &self.key {
            Key::Rsa(pair) => pair.as_der().map(|der| SecretBytes::from(der.as_ref())),
            Key::Ec(pair) => pair.to_pkcs8v1().map(|der| SecretBytes::from(der.as_ref())),
        };
        match der {
            Ok(der) => der,
            // INVARIANT: the key was complete when it was made or read.
            Err(_) => panic!("a private key cannot be encoded"),
        }
    }

    /// What this key signs with.
    pub fn alg(&self) -> Alg {
        self.alg
    }

    /// Signature of `signing_input` in the form of RFC 7518: for ECDSA the two numbers side by side, not DER.
    ///
    /// # Panics
    /// When the library fails to sign, which means a fault in memory or hardware: a faulty signature must not get out.
    pub fn sign(&self, signing_input: &[u8]) -> Vec<u8> {
        let signature = match (&self.key, self.alg.rsa()) {
            (Key::Rsa(pair), Some(rsa)) => {
                let mut out = vec![0u8; pair.public_modulus_len()];
                pair.sign(rsa.sign, &rng::library(), signing_input, &mut out).map(|()| out)
            }
            (Key::Ec(pair), _) => {
                pair.sign(&rng::library(), signing_input).map(|signature| signature.as_ref().to_vec())
            }
            // INVARIANT: constructors pair an RSA key with an RSA algorithm only.
            (Key::Rsa(_), None) => Err(aws_lc_rs::error::Unspecified),
        };
        match signature {
            Ok(signature) => signature,
            // INVARIANT: key and algorithm fit, and the buffer has the length of the modulus.
            Err(_) => panic!("signing failed"),
        }
    }

    /// The public half as it is published, with `use` = `sig` and this `kid`.
    pub fn jwk(&self, kid: &str) -> Jwk {
        self.public_parts().jwk(self.alg, kid)
    }

    /// The public half for verifying.
    ///
    /// # Errors
    /// [`KeyError`] when the public half is not acceptable as a verifying key.
    pub fn verifying_key(&self) -> Result<VerifyingKey, KeyError> {
        VerifyingKey::from_parts(self.public_parts(), self.alg)
    }

    fn public_parts(&self) -> PublicParts {
        match &self.key {
            Key::Rsa(pair) => {
                let public = pair.public_key();
                PublicParts::Rsa {
                    n: public.modulus().big_endian_without_leading_zero().to_vec(),
                    e: public.exponent().big_endian_without_leading_zero().to_vec(),
                }
            }
            // An uncompressed point: 4, then both coordinates.
            Key::Ec(pair) => PublicParts::Ec { point: pair.public_key().as_ref().to_vec() },
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.alg)
    }
}

/// A token in compact form with the header `{"kid":…,"alg":…}`.
///
/// # Panics
/// When `claims` cannot be written as JSON, which for our own structs and maps with text keys does not happen.
///
/// ```
/// use avouch_crypto::{Alg, SigningKey, TokenLimits, UnverifiedToken, jws};
/// let key = SigningKey::generate(Alg::ES256).unwrap();
/// let token = jws::compact(&key, "k1", &serde_json::json!({"iss": "https://issuer.test"}));
/// let read = UnverifiedToken::parse(&token, &TokenLimits::default()).unwrap();
/// assert_eq!((read.kid(), read.unverified_issuer()), (Some("k1"), Some("https://issuer.test")));
/// assert_eq!(read.verify(&key.verifying_key().unwrap()).unwrap().claims["iss"], "https://issuer.test");
/// ```
pub fn compact(key: &SigningKey, kid: &str, claims: &impl Serialize) -> String {
    build(key, Header { kid, alg: key.alg.name(), typ: None }, claims)
}

/// As [`compact`], with `typ` in the header, which tells kinds of tokens apart.
///
/// # Panics
/// As [`compact`].
pub fn compact_typed(key: &SigningKey, kid: &str, typ: &str, claims: &impl Serialize) -> String {
    build(key, Header { kid, alg: key.alg.name(), typ: Some(typ) }, claims)
}

#[derive(Serialize)]
struct Header<'a> {
    kid: &'a str,
    alg: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    typ: Option<&'a str>,
}

fn build(key: &SigningKey, header: Header<'_>, claims: &impl Serialize) -> String {
    let (Ok(header), Ok(claims)) = (serde_json::to_vec(&header), serde_json::to_vec(claims)) else {
        // INVARIANT: writing JSON to memory fails only for map keys that are not text, which no claim set of ours has.
        panic!("claims cannot be written as JSON");
    };
    let mut token = base64url::encode(header);
    token.push('.');
    token.push_str(&base64url::encode(claims));
    let signature = key.sign(token.as_bytes());
    token.push('.');
    token.push_str(&base64url::encode(signature));
    token
}
