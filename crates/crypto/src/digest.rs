//! Hashes, keyed hashes, and comparison in constant time.

use aws_lc_rs::{digest as lc, hmac};
use subtle::ConstantTimeEq;

/// SHA-256 of `data`.
///
/// ```
/// use avouch_crypto::digest::{hex, sha256};
/// assert!(hex(&sha256(b"abc")).starts_with("ba7816bf"));
/// ```
pub fn sha256(data: &[u8]) -> [u8; 32] {
    sha256_parts(&[data])
}

/// SHA-256 of the parts one after the other, without joining them first. The borders are not part of the hash.
pub fn sha256_parts(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = lc::Context::new(&lc::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0u8; 32];
    // INVARIANT: SHA-256 gives 32 bytes; copy_from_slice checks it.
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// HMAC-SHA-256 of `data` under `key`.
pub fn hmac_sha256(key: &[u8], data: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data);
    let mut out = [0u8; 32];
    // INVARIANT: an HMAC-SHA-256 tag has 32 bytes; copy_from_slice checks it.
    out.copy_from_slice(tag.as_ref());
    out
}

/// True when both are equal. The time taken depends on the lengths only; a difference in length is found at once.
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from(if n < 10 { b'0' + n } else { b'a' + n - 10 });
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

/// The bytes of a lower-case hexadecimal text; `None` for odd lengths and other characters.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let value = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(value(*high)? << 4 | value(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn known_answers() {
        assert_eq!(hex(&sha256(b"")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(sha256_parts(&[b"ab", b"", b"c"]), sha256(b"abc"));
        // RFC 4231, test case 2.
        assert_eq!(
            hex(&hmac_sha256(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn hexadecimal_round_trips_and_has_one_spelling() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unhex(&hex(&all)).unwrap(), all);
        for text in ["0", "0g", "AB", "0 ", "é0"] {
            assert_eq!(unhex(text), None, "{text}");
        }
    }

    #[test]
    fn comparison_looks_at_every_byte() {
        assert!(constant_time_eq(b"", b""));
        assert!(constant_time_eq(b"abc", b"abc"));
        assert!(!constant_time_eq(b"abc", b"abd"));
        assert!(!constant_time_eq(b"abc", b"ab"));
    }
}
