//! Values that must not be seen: wiped when dropped, and without any textual form.
//!
//! [`Secret`] has no `Display` and no `Serialize`; its `Debug` prints the same fixed word for every value. The only way to the
//! value is [`Secret::expose`], which is easy to search for.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// A value that is wiped when it is dropped and that cannot be printed or serialised.
///
/// ```
/// use avouch_crypto::SecretString;
/// let key = SecretString::from("s3cret".to_owned());
/// assert_eq!(format!("{key:?}"), "[secret]");
/// assert_eq!(key.expose(), "s3cret");
/// ```
#[derive(Clone, Default)]
pub struct Secret<T: Zeroize>(T);

/// Secret text, such as an API key or a token.
pub type SecretString = Secret<String>;

/// Secret bytes, such as a private key or a decrypted payload.
pub type SecretBytes = Secret<Vec<u8>>;

impl<T: Zeroize> Secret<T> {
    /// Takes the value into custody. Copies made before are not found and not wiped.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value. Keep the borrow short and never format it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize + Default> Secret<T> {
    /// Gives the value away, with the duty to wipe it.
    pub fn into_inner(mut self) -> T {
        std::mem::take(&mut self.0)
    }
}

impl<T: Zeroize + AsRef<[u8]>> Secret<T> {
    /// Compares without telling by its duration where the values differ (it does tell whether the lengths do).
    pub fn same_as(&self, other: &[u8]) -> bool {
        self.0.as_ref().ct_eq(other).into()
    }
}

impl SecretBytes {
    /// The bytes as text, when they are UTF-8; otherwise the bytes come back.
    ///
    /// # Errors
    /// The same secret, unchanged, when it is not UTF-8.
    pub fn into_string(self) -> Result<SecretString, SecretBytes> {
        String::from_utf8(self.into_inner()).map(Secret).map_err(|error| Secret(error.into_bytes()))
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<T: Zeroize> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl From<&str> for SecretString {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl From<&[u8]> for SecretBytes {
    fn from(value: &[u8]) -> Self {
        Self(value.to_owned())
    }
}

impl<'de> Deserialize<'de> for SecretString {
    /// Takes a string. The error for anything else says so and does not repeat what was found, which the derived errors would.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        macro_rules! refuse {
            ($($method:ident: $type:ty),*) => {$(
                fn $method<E: serde::de::Error>(self, _: $type) -> Result<Self::Value, E> {
                    Err(E::custom("expected a string"))
                }
            )*};
        }

        impl<'de> Visitor<'de> for Text {
            type Value = SecretString;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(text.into())
            }
            fn visit_string<E: serde::de::Error>(self, text: String) -> Result<Self::Value, E> {
                Ok(text.into())
            }
            refuse!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_bytes: &[u8]);
            fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
                Err(E::custom("expected a string"))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
                Err(A::Error::custom("expected a string"))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
                Err(A::Error::custom("expected a string"))
            }
        }

        // Not `deserialize_str`: there the deserialiser itself words the error and quotes the value.
        deserializer.deserialize_any(Text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn debug_never_shows_the_value() {
        #[derive(Debug)]
        #[allow(dead_code)]
        struct Row {
            key: SecretString,
            bytes: SecretBytes,
        }
        let row = Row { key: "CANARY".into(), bytes: b"CANARY".as_slice().into() };
        assert!(!format!("{row:?} {row:#?}").contains("CANARY"));
        assert!(!format!("{:?}", row.bytes).contains("67"));
    }

    #[test]
    fn value_is_wiped_when_dropped() {
        let canary: Vec<u8> = (0..4096u32).map(|i| (i * 7 + 13) as u8).collect();
        let secret = SecretBytes::from(canary.as_slice());
        let address = secret.expose().as_ptr() as u64;
        let memory = std::fs::File::open("/proc/self/mem").unwrap();
        let mut seen = vec![0u8; canary.len()];
        memory.read_exact_at(&mut seen, address).unwrap();
        assert_eq!(seen, canary);
        drop(secret);
        seen.fill(0);
        if memory.read_exact_at(&mut seen, address).is_ok() {
            assert!(!seen.windows(64).any(|w| canary.windows(64).any(|c| c == w)));
        }
    }

    #[test]
    fn comparison_is_by_value() {
        let key = SecretString::from("abc");
        assert!(key.same_as(b"abc"));
        assert!(!key.same_as(b"abd"));
        assert!(!key.same_as(b"abcd"));
    }

    #[test]
    fn wrong_json_type_is_refused_without_quoting_it() {
        for json in ["7239481", "-7239481", "7239481.5", "[7239481]", "{\"7239481\":7239481}", "true", "null"]
        {
            let error = serde_json::from_str::<SecretString>(json).unwrap_err().to_string();
            assert!(error.contains("expected a string") && !error.contains("7239481"), "{error}");
            let value: serde_json::Value = serde_json::from_str(json).unwrap();
            let error = serde_json::from_value::<SecretString>(value).unwrap_err().to_string();
            assert!(error.contains("expected a string") && !error.contains("7239481"), "{error}");
        }
        assert_eq!(serde_json::from_str::<SecretString>("\"a\\n\"").unwrap().expose(), "a\n");
    }

    #[test]
    fn bytes_become_text_only_when_utf8() {
        assert_eq!(SecretBytes::from(b"abc".as_slice()).into_string().unwrap().expose(), "abc");
        assert_eq!(SecretBytes::from([0xff].as_slice()).into_string().unwrap_err().expose(), &[0xff]);
    }
}
