//! JSON that holds payloads, and members of merge patches.

use std::io::{Result as Written, Write};

use avouch_gate::{Error, Response, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroize;

/// JSON whose texts are wiped when it is dropped. No `Debug` and no `Serialize`, like every type that holds a secret.
///
/// Buffers that others grow or send (the body of a request, of an answer) are out of its reach.
#[derive(Deserialize)]
pub struct SecretJson(Value);

impl SecretJson {
    /// Takes the value into custody.
    pub fn new(value: Value) -> Self {
        Self(value)
    }

    /// The value. Keep the borrow short and never format it.
    pub fn expose(&self) -> &Value {
        &self.0
    }

    /// Size of the text, without making one.
    pub fn size(&self) -> usize {
        size(&self.0)
    }

    /// The text, in one buffer that never moves.
    ///
    /// # Errors
    /// `Internal`, never in practice.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(self.size());
        serde_json::to_writer(&mut out, &self.0).map_err(|_| Error::internal("a payload is not JSON"))?;
        Ok(out)
    }
}

impl Drop for SecretJson {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(list) => list.iter_mut().for_each(wipe),
        Value::Object(map) => {
            for (mut name, mut value) in std::mem::take(map) {
                name.zeroize();
                wipe(&mut value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

struct Count(usize);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> Written<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Written<()> {
        Ok(())
    }
}

/// An answer that holds a payload: what it was made from is wiped.
///
/// # Errors
/// `Internal`, never in practice.
pub fn disclosed(status: u16, shown: Map<String, Value>) -> Result<Response> {
    Ok(Response::text(status, "application/json", SecretJson::new(Value::Object(shown)).bytes()?))
}

/// A member of a merge patch: absent is `None` (with `#[serde(default)]`), `null` is `Some(None)`.
///
/// # Errors
/// Those of the member's own type.
pub fn patched<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

/// An object; the derived readers would take the members from an array, by their order.
///
/// # Errors
/// Those of the object's own type.
pub fn object<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> std::result::Result<Option<T>, D::Error> {
    let map = Option::<Map<String, Value>>::deserialize(deserializer)?;
    map.map(|m| T::deserialize(Value::Object(m))).transpose().map_err(serde::de::Error::custom)
}

/// Size of a value as text, without making one.
pub fn size(value: &impl Serialize) -> usize {
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).map_or(usize::MAX, |()| count.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;
    use std::os::unix::fs::FileExt;

    #[test]
    fn texts_are_wiped_when_the_value_is_dropped() {
        let long = |c: &str| c.repeat(4096);
        let value = json!({"a": [{"b": long("canary-1")}], long("canary-2"): null});
        let texts: Vec<(u64, usize)> = [
            value["a"][0]["b"].as_str().unwrap(),
            value.as_object().unwrap().keys().next_back().unwrap().as_str(),
        ]
        .iter()
        .map(|t| (t.as_ptr() as u64, t.len()))
        .collect();
        let memory = std::fs::File::open("/proc/self/mem").unwrap();
        let seen = |(at, length): (u64, usize)| {
            let mut bytes = vec![0u8; length];
            let there = memory.read_exact_at(&mut bytes, at).is_ok();
            there && bytes.windows(6).any(|w| w == b"canary")
        };
        assert!(texts.iter().all(|t| seen(*t)));
        drop(SecretJson::new(value));
        assert!(!texts.iter().any(|t| seen(*t)));
    }

    #[test]
    fn text_has_the_size_that_was_told() {
        let value = SecretJson::new(json!({"a": "ä\u{0}\"", "b": [1, null, {"c": 1.5}]}));
        let bytes = value.bytes().unwrap();
        assert_eq!((bytes.len(), bytes.capacity()), (value.size(), value.size()));
        assert_eq!(&serde_json::from_slice::<Value>(&bytes).unwrap(), value.expose());
    }
}
