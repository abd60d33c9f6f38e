//! The one source of random values.
//!
//! Code that needs randomness takes a [`Random`], so that a test can repeat a run. Only [`SystemRandom`] exists in the product.

use uuid::Uuid;
use zeroize::Zeroizing;

use crate::secret::SecretString;
use crate::{base64url, digest};

/// A source of random bytes fit for keys.
///
/// ```
/// use avouch_crypto::rng::{self, SystemRandom};
/// let id = rng::uuid_v4(&SystemRandom);
/// assert_eq!(id.get_version_num(), 4);
/// assert_eq!(rng::hex(&SystemRandom, 16).len(), 32);
/// ```
pub trait Random: Send + Sync {
    /// Fills the whole buffer.
    ///
    /// # Panics
    /// When the system cannot give random bytes: there is no safe way on.
    fn fill(&self, out: &mut [u8]);
}

/// The generator of the cryptographic library, seeded by the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    // This is the place that the ban on the raw call points to.
    #[allow(clippy::disallowed_methods)]
    fn fill(&self, out: &mut [u8]) {
        if aws_lc_rs::rand::fill(out).is_err() {
            // INVARIANT: no key, id or nonce is ever made of anything but random bytes, so a failed source ends the request.
            panic!("the system random source failed");
        }
    }
}

/// A random UUID, version 4.
pub fn uuid_v4(rng: &dyn Random) -> Uuid {
    let mut bytes = [0u8; 16];
    rng.fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// A UUID, version 7, of this time (epoch milliseconds): such ids sort by their time.
pub fn uuid_v7(rng: &dyn Random, millis: i64) -> Uuid {
    let mut random = [0u8; 10];
    rng.fill(&mut random);
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(millis).unwrap_or(0), &random).into_uuid()
}

/// `n_bytes` random bytes in lower-case hexadecimal: twice as many characters.
pub fn hex(rng: &dyn Random, n_bytes: usize) -> String {
    let mut bytes = Zeroizing::new(vec![0u8; n_bytes]);
    rng.fill(&mut bytes);
    digest::hex(&bytes)
}

/// `n_bytes` random bytes in base64url, for keys and tokens that are given away once: 32 bytes make 43 characters.
pub fn token_urlsafe(rng: &dyn Random, n_bytes: usize) -> SecretString {
    let mut bytes = Zeroizing::new(vec![0u8; n_bytes]);
    rng.fill(&mut bytes);
    SecretString::new(base64url::encode(&*bytes))
}

/// The same generator in the shape that signing functions of the library want.
#[allow(clippy::disallowed_methods)]
pub(crate) fn library() -> aws_lc_rs::rand::SystemRandom {
    aws_lc_rs::rand::SystemRandom::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u8);
    impl Random for Fixed {
        fn fill(&self, out: &mut [u8]) {
            out.fill(self.0);
        }
    }

    #[test]
    fn helpers_draw_from_the_given_source() {
        assert_eq!(uuid_v4(&Fixed(0)).to_string(), "00000000-0000-4000-8000-000000000000");
        assert_eq!(hex(&Fixed(0xab), 3), "ababab");
        assert_eq!(token_urlsafe(&Fixed(0), 3).expose(), "AAAA");
    }

    #[test]
    fn system_source_does_not_repeat() {
        let rng: &dyn Random = &SystemRandom;
        assert_ne!(uuid_v4(rng), uuid_v4(rng));
        assert_ne!(token_urlsafe(rng, 32).expose(), token_urlsafe(rng, 32).expose());
        assert_eq!(token_urlsafe(rng, 32).expose().len(), 43);
    }
}
