//! Base64 with the URL-safe alphabet and without padding, as tokens and keys use it.
//!
//! Decoding is strict: padding, white space, characters of the other alphabet, and non-zero trailing bits are refused, so that
//! each byte sequence has exactly one spelling.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The text does not spell any bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not valid base64url")]
pub struct Base64Error;

/// The one spelling of `bytes`.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes that `text` spells.
///
/// # Errors
/// [`Base64Error`] for anything but the one spelling.
///
/// ```
/// use avouch_crypto::base64url::decode;
/// assert_eq!(decode("AQAB").unwrap(), [1, 0, 1]);
/// assert!(decode("AQ==").is_err());
/// assert!(decode("AR").is_err()); // trailing bits
/// ```
pub fn decode(text: impl AsRef<[u8]>) -> Result<Vec<u8>, Base64Error> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Base64Error)
}
