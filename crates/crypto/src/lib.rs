//! Cryptography of the house: what signs, verifies, encrypts and compares, and what reads input that nobody has vouched for.
//!
//! One provider (aws-lc-rs) stands below all of it. Keys are parsed once and then used; the algorithm is a property of the key
//! and never of the message. Key material has no textual form outside [`secret::Secret::expose`].
//!
//! What it refuses: symmetric and unsigned tokens, algorithms chosen by a token, private keys where public ones belong, JSON
//! that two readers could read differently, and key files that others may read.

pub mod base64url;
pub mod digest;
pub mod envelope;
pub mod jwks;
pub mod jws;
pub mod rng;
pub mod secret;
pub mod strict_json;

pub use envelope::KeyRing;
pub use jwks::{JwkSet, VerifyingKey};
pub use jws::{Alg, SigningKey, TokenLimits, UnverifiedToken, VerifiedToken};
pub use rng::{Random, SystemRandom};
pub use secret::{Secret, SecretBytes, SecretString};
