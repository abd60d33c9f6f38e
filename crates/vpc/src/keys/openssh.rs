//! Public keys in the form of `authorized_keys`: RSA of 2048 or 4096 bits, and Ed25519. All else is refused.

use avouch_crypto::digest;
use avouch_gate::{Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

/// Longest line that is read.
const LONGEST: usize = 8 * 1024;

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// `rsa` or `ed25519`.
    pub kind: &'static str,
    /// Bits.
    pub length: i64,
    /// `SHA256:` and the digest of the key, unpadded.
    pub fingerprint: String,
}

fn wrong(what: &'static str) -> Error {
    Error::invalid("public_key", what)
}

/// Reads a line; what stands behind the key is a comment.
///
/// # Errors
/// `Invalid`.
pub fn read(line: &str) -> Result<PublicKey> {
    const FORM: &str = "The property 'public_key' must be one key as 'ssh-rsa …' or 'ssh-ed25519 …'.";
    let line = line.trim();
    if line.len() > LONGEST || line.contains(['\n', '\r', '\0']) {
        return Err(wrong(FORM));
    }
    let mut words = line.split_ascii_whitespace();
    let (Some(name), Some(blob)) = (words.next(), words.next()) else { return Err(wrong(FORM)) };
    let blob = STANDARD.decode(blob).map_err(|_| wrong(FORM))?;
    let mut rest = blob.as_slice();
    let mut part = || -> Option<&[u8]> {
        let (size, behind) = rest.split_first_chunk::<4>()?;
        let (part, behind) = behind.split_at_checked(usize::try_from(u32::from_be_bytes(*size)).ok()?)?;
        rest = behind;
        Some(part)
    };
    if part() != Some(name.as_bytes()) {
        return Err(wrong(FORM));
    }
    let (kind, length) = match name {
        "ssh-ed25519" => {
            let key = part().ok_or_else(|| wrong(FORM))?;
            if key.len() != 32 {
                return Err(wrong(FORM));
            }
            ("ed25519", 256)
        }
        "ssh-rsa" => {
            let exponent = part().ok_or_else(|| wrong(FORM))?;
            let modulus = part().ok_or_else(|| wrong(FORM))?;
            let bits = bits(modulus);
            if bits != 2048 && bits != 4096 {
                return Err(wrong(
                    "The property 'public_key' must have 2048 or 4096 bits when it is an RSA key.",
                ));
            }
            if exponent.last().is_none_or(|b| b % 2 == 0) || modulus.last().is_none_or(|b| b % 2 == 0) {
                return Err(wrong(FORM));
            }
            ("rsa", bits)
        }
        _ => return Err(wrong("The property 'public_key' must be an RSA or Ed25519 key.")),
    };
    if !rest.is_empty() {
        return Err(wrong(FORM));
    }
    let fingerprint = format!("SHA256:{}", STANDARD_NO_PAD.encode(digest::sha256(&blob)));
    Ok(PublicKey { kind, length, fingerprint })
}

/// Length of a number without the zeros in front.
fn bits(number: &[u8]) -> i64 {
    let mut number = number.iter().skip_while(|b| **b == 0);
    let Some(first) = number.next() else { return 0 };
    i64::from(8 - first.leading_zeros()) + 8 * i64::try_from(number.count()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIgUt7UGm1B1E87a6GfWkkdT3J1f4fMDJ8FEmTBiwNfN";

    fn rsa(bytes: usize) -> String {
        let mut modulus = vec![0xc3_u8; bytes];
        modulus.insert(0, 0);
        let mut blob = Vec::new();
        for part in [b"ssh-rsa".as_slice(), &[1, 0, 1], &modulus] {
            blob.extend_from_slice(&u32::try_from(part.len()).unwrap().to_be_bytes());
            blob.extend_from_slice(part);
        }
        format!("ssh-rsa {}", STANDARD.encode(blob))
    }

    #[test]
    fn keys_that_instances_take_are_read_whatever_their_comment() {
        let key = read(ED25519).unwrap();
        assert_eq!((key.kind, key.length), ("ed25519", 256));
        assert!(key.fingerprint.starts_with("SHA256:") && key.fingerprint.len() == 50, "{key:?}");
        assert_eq!(read(&format!(" {ED25519} me@host and more\n")).unwrap(), key);
        for (bytes, length) in [(256, 2048), (512, 4096)] {
            assert_eq!((read(&rsa(bytes)).unwrap().kind, read(&rsa(bytes)).unwrap().length), ("rsa", length));
        }
    }

    #[test]
    fn other_keys_and_what_is_no_key_are_refused() {
        let short = ED25519.trim_end_matches("iwNfN");
        for bad in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 !!!",
            "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY=",
            short,
            &ED25519.replace("ssh-ed25519 ", "ssh-rsa "),
            &format!("{ED25519}\n{ED25519}"),
            &rsa(128),
            &rsa(384),
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
