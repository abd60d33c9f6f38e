//! Signed tokens: making them and reading them.
//!
//! The algorithm belongs to the key. A token only states which algorithm it was made with, and it is refused unless the key
//! that should verify it says the same. There is no symmetric algorithm, no unsigned token, no encryption, no compression, and
//! no header member that brings or names a key.

mod signing;
mod token;

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature as lc;

pub use signing::{SigningKey, compact, compact_typed};
pub use token::{ParseError, TokenLimits, UnverifiedToken, VerifiedToken, VerifyError};

/// A signature algorithm of RFC 7518. Only asymmetric ones exist here.
///
/// ```
/// use avouch_crypto::Alg;
/// assert_eq!("ES256".parse(), Ok(Alg::ES256));
/// for name in ["none", "HS256", "es256", "ES256 ", ""] {
///     assert!(name.parse::<Alg>().is_err());
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Alg {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// RSASSA-PSS with SHA-384.
    PS384,
    /// RSASSA-PSS with SHA-512.
    PS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// ECDSA on P-521 with SHA-512.
    ES512,
}

/// The text is not the exact name of an algorithm of [`Alg`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a known signature algorithm")]
pub struct UnknownAlg;

impl Alg {
    /// All of them.
    pub const ALL: [Alg; 9] = [
        Alg::RS256,
        Alg::RS384,
        Alg::RS512,
        Alg::PS256,
        Alg::PS384,
        Alg::PS512,
        Alg::ES256,
        Alg::ES384,
        Alg::ES512,
    ];

    /// The name in `alg`.
    pub const fn name(self) -> &'static str {
        match self {
            Alg::RS256 => "RS256",
            Alg::RS384 => "RS384",
            Alg::RS512 => "RS512",
            Alg::PS256 => "PS256",
            Alg::PS384 => "PS384",
            Alg::PS512 => "PS512",
            Alg::ES256 => "ES256",
            Alg::ES384 => "ES384",
            Alg::ES512 => "ES512",
        }
    }

    /// Parameters of an RSA algorithm, `None` for the elliptic curves.
    pub(crate) fn rsa(self) -> Option<Rsa> {
        let (verify, sign): (&'static lc::RsaParameters, &'static dyn lc::RsaEncoding) = match self {
            Alg::RS256 => (&lc::RSA_PKCS1_2048_8192_SHA256, &lc::RSA_PKCS1_SHA256),
            Alg::RS384 => (&lc::RSA_PKCS1_2048_8192_SHA384, &lc::RSA_PKCS1_SHA384),
            Alg::RS512 => (&lc::RSA_PKCS1_2048_8192_SHA512, &lc::RSA_PKCS1_SHA512),
            Alg::PS256 => (&lc::RSA_PSS_2048_8192_SHA256, &lc::RSA_PSS_SHA256),
            Alg::PS384 => (&lc::RSA_PSS_2048_8192_SHA384, &lc::RSA_PSS_SHA384),
            Alg::PS512 => (&lc::RSA_PSS_2048_8192_SHA512, &lc::RSA_PSS_SHA512),
            Alg::ES256 | Alg::ES384 | Alg::ES512 => return None,
        };
        Some(Rsa { verify, sign })
    }

    /// Parameters of an elliptic-curve algorithm, `None` for RSA.
    pub(crate) fn ec(self) -> Option<Ec> {
        Some(match self {
            Alg::ES256 => Ec {
                curve: "P-256",
                field_len: 32,
                verify: &lc::ECDSA_P256_SHA256_FIXED,
                sign: &lc::ECDSA_P256_SHA256_FIXED_SIGNING,
            },
            Alg::ES384 => Ec {
                curve: "P-384",
                field_len: 48,
                verify: &lc::ECDSA_P384_SHA384_FIXED,
                sign: &lc::ECDSA_P384_SHA384_FIXED_SIGNING,
            },
            Alg::ES512 => Ec {
                curve: "P-521",
                field_len: 66,
                verify: &lc::ECDSA_P521_SHA512_FIXED,
                sign: &lc::ECDSA_P521_SHA512_FIXED_SIGNING,
            },
            _ => return None,
        })
    }
}

pub(crate) struct Rsa {
    pub verify: &'static lc::RsaParameters,
    pub sign: &'static dyn lc::RsaEncoding,
}

pub(crate) struct Ec {
    pub curve: &'static str,
    /// Bytes of one coordinate, and of each half of a signature.
    pub field_len: usize,
    pub verify: &'static lc::EcdsaVerificationAlgorithm,
    pub sign: &'static lc::EcdsaSigningAlgorithm,
}

impl fmt::Display for Alg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Alg {
    type Err = UnknownAlg;

    /// Takes the exact name only: no folding of case, no trimming.
    fn from_str(name: &str) -> Result<Self, UnknownAlg> {
        Alg::ALL.into_iter().find(|alg| alg.name() == name).ok_or(UnknownAlg)
    }
}

#[cfg(test)]
pub(crate) mod tests;
