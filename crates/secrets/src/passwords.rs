//! Generated passwords.

use avouch_crypto::rng::Random;
use avouch_crypto::secret::SecretString;
use avouch_gate::{Error, Result};
use serde::{Deserialize, Serialize};

const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &[u8] = b"0123456789";
const SYMBOLS: &[u8] = b"!@#$%^&*()-_=+[]{}:,.?";

/// How passwords are made; lower-case letters are always included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// 12 to 256.
    pub length: i64,
    /// With digits.
    pub include_digits: bool,
    /// With symbols.
    pub include_symbols: bool,
    /// With upper-case letters.
    pub include_uppercase: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self { length: 32, include_digits: true, include_symbols: true, include_uppercase: true }
    }
}

/// Members of a policy that a request changes.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub struct Patch {
    length: Option<i64>,
    include_digits: Option<bool>,
    include_symbols: Option<bool>,
    include_uppercase: Option<bool>,
}

impl Policy {
    /// The policy with the given members changed.
    ///
    /// # Errors
    /// `Invalid` for a length that is not 12 to 256.
    pub fn with(mut self, patch: Patch) -> Result<Self> {
        self.length = patch.length.unwrap_or(self.length);
        self.include_digits = patch.include_digits.unwrap_or(self.include_digits);
        self.include_symbols = patch.include_symbols.unwrap_or(self.include_symbols);
        self.include_uppercase = patch.include_uppercase.unwrap_or(self.include_uppercase);
        if !(12..=256).contains(&self.length) {
            return Err(Error::invalid(
                "password_generation_policy.length",
                "The property 'password_generation_policy.length' must be 12 to 256.",
            ));
        }
        Ok(self)
    }

    /// A password with at least one character of each included class, without modulo bias.
    pub fn generate(self, rng: &dyn Random) -> SecretString {
        let mut classes = vec![LOWER];
        for (on, class) in
            [(self.include_uppercase, UPPER), (self.include_digits, DIGITS), (self.include_symbols, SYMBOLS)]
        {
            if on {
                classes.push(class);
            }
        }
        let all: Vec<u8> = classes.concat();
        let length = usize::try_from(self.length).unwrap_or(32).max(classes.len());
        loop {
            let bytes: Vec<u8> = (0..length).map(|_| pick(&all, rng)).collect();
            if classes.iter().all(|c| bytes.iter().any(|b| c.contains(b))) {
                return SecretString::new(bytes.iter().map(|b| char::from(*b)).collect());
            }
        }
    }
}

fn pick(from: &[u8], rng: &dyn Random) -> u8 {
    let fair = 256 - 256 % from.len();
    loop {
        let mut byte = [0u8; 1];
        rng.fill(&mut byte);
        let n = usize::from(byte[0]);
        if n < fair
            && let Some(b) = from.get(n % from.len())
        {
            return *b;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use avouch_crypto::rng::SystemRandom;

    #[test]
    fn passwords_have_the_asked_length_and_classes() {
        for length in [12, 32, 256] {
            let p = Policy { length, ..Policy::default() }.generate(&SystemRandom);
            let text = p.expose();
            assert_eq!(text.len() as i64, length);
            for class in [LOWER, UPPER, DIGITS, SYMBOLS] {
                assert!(text.bytes().any(|b| class.contains(&b)));
            }
        }
        let plain =
            Policy { include_digits: false, include_symbols: false, include_uppercase: false, length: 20 };
        assert!(plain.generate(&SystemRandom).expose().bytes().all(|b| LOWER.contains(&b)));
        assert!(Policy::default().with(Patch { length: Some(11), ..Patch::default() }).is_err());
    }
}
