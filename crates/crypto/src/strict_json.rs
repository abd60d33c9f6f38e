//! JSON from people and programs that nobody has vouched for yet.
//!
//! The usual reader keeps the last of two members with one name; another reader may keep the first, and then the one that
//! checks and the one that acts see different documents. This reader refuses such documents. It also refuses nesting and
//! objects beyond the given limits, text that is not UTF-8, lone surrogates, numbers that do not fit a double, and anything
//! after the value. Its errors never quote the input.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How much structure a document may have. Its size in bytes is for the caller to limit before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most arrays and objects inside one another; a plain object has depth 1. Values above 100 count as 100.
    pub max_depth: usize,
    /// Most members in any one object. The whole document may have eight times as many values (4096 at least), items of
    /// arrays among them.
    pub max_members: usize,
}

impl Limits {
    /// Most values of a whole document, items of arrays among them: what is read takes many times the room of its text.
    fn max_values(self) -> usize {
        self.max_members.saturating_mul(8).max(4096)
    }
}

impl Default for Limits {
    /// Depth 32, 1000 members: request bodies.
    fn default() -> Self {
        Limits { max_depth: 32, max_members: 1000 }
    }
}

/// Why a document was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are not UTF-8.
    #[error("the JSON text is not UTF-8")]
    NotUtf8,
    /// Not JSON, or a number that does not fit a double.
    #[error("the text is not valid JSON (line {line}, column {column})")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1 (0 at a line break).
        column: usize,
    },
    /// An object has two members of one name.
    #[error("a JSON object has two members with the same name")]
    DuplicateKey,
    /// More nesting than [`Limits::max_depth`].
    #[error("the JSON text is nested too deeply")]
    TooDeep,
    /// More members or values than [`Limits::max_members`] allows.
    #[error("the JSON text has too many members or items")]
    TooManyMembers,
}

/// Reads one document.
///
/// # Errors
/// [`Error`] when the document is not JSON or not strict.
///
/// ```
/// use avouch_crypto::strict_json::{parse, Error, Limits};
/// let limits = Limits { max_depth: 2, max_members: 10 };
/// assert_eq!(parse(br#"{"a":[1]}"#, limits).unwrap()["a"][0], 1);
/// assert_eq!(parse(br#"{"a":1,"\u0061":2}"#, limits), Err(Error::DuplicateKey));
/// assert_eq!(parse(br#"{"a":[[1]]}"#, limits), Err(Error::TooDeep));
/// ```
pub fn parse(bytes: &[u8], limits: Limits) -> Result<Value, Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::NotUtf8)?;
    let values_left = Cell::new(limits.max_values());
    let state = State { max_members: limits.max_members, values_left, refused: Cell::new(None) };
    // The reader below has a limit of its own at 128, kept well away so that ours speaks first.
    let seed = Seed { depth_left: limits.max_depth.min(100), state: &state };
    let mut reader = serde_json::Deserializer::from_str(text);
    seed.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value)).map_err(|error| {
        state.refused.get().unwrap_or(Error::Syntax { line: error.line(), column: error.column() })
    })
}

/// As [`parse`], but the document must be an object.
///
/// # Errors
/// As [`parse`]; any other value is [`Error::Syntax`] at line 1, column 1.
pub fn parse_object(bytes: &[u8], limits: Limits) -> Result<Map<String, Value>, Error> {
    match parse(bytes, limits)? {
        Value::Object(map) => Ok(map),
        _ => Err(Error::Syntax { line: 1, column: 1 }),
    }
}

struct State {
    max_members: usize,
    values_left: Cell<usize>,
    // The reason of the first refusal: the error type of the reader can only carry text.
    refused: Cell<Option<Error>>,
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    depth_left: usize,
    state: &'a State,
}

impl<'a> Seed<'a> {
    fn refuse<E: serde::de::Error>(&self, reason: Error) -> E {
        self.state.refused.set(Some(reason));
        E::custom("refused")
    }

    /// One more value of the document.
    fn value<E: serde::de::Error>(&self) -> Result<(), E> {
        match self.state.values_left.get().checked_sub(1) {
            Some(left) => {
                self.state.values_left.set(left);
                Ok(())
            }
            None => Err(self.refuse(Error::TooManyMembers)),
        }
    }

    fn inner<E: serde::de::Error>(&self) -> Result<Seed<'a>, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Seed { depth_left, state: self.state }),
            None => Err(self.refuse(Error::TooDeep)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number"))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(inner)? {
            self.value()?;
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(self.refuse(Error::DuplicateKey));
            }
            if map.len() >= self.state.max_members {
                return Err(self.refuse(Error::TooManyMembers));
            }
            self.value()?;
            let value = entries.next_value_seed(inner)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { max_depth: 8, max_members: 64 };

    fn read(text: &str) -> Result<Value, Error> {
        parse(text.as_bytes(), LIMITS)
    }

    #[test]
    fn repeated_names_are_refused_at_any_depth() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":2,"\u0061":3}"#,
            r#"{"x":[{"y":{"a":1,"a":2}}]}"#,
            r#"{"":1,"":2}"#,
            r#"{"a":{},"a":{"b":1}}"#,
        ] {
            assert_eq!(read(text), Err(Error::DuplicateKey), "{text}");
        }
        // Different names, however alike.
        assert!(read(r#"{"a":1,"A":2,"a ":3,"\u0430":4}"#).is_ok());
    }

    #[test]
    fn nesting_is_limited() {
        assert!(read(&format!("{}{}", "[".repeat(8), "]".repeat(8))).is_ok());
        assert_eq!(read(&format!("{}{}", "[".repeat(9), "]".repeat(9))), Err(Error::TooDeep));
        assert_eq!(read(&"[".repeat(1_000_000)), Err(Error::TooDeep));
        assert_eq!(read(&"{\"a\":".repeat(1_000_000)), Err(Error::TooDeep));
        assert!(parse(b"1", Limits { max_depth: 0, max_members: 0 }).is_ok());
        assert_eq!(parse(b"[]", Limits { max_depth: 0, max_members: 0 }), Err(Error::TooDeep));
        let wide = Limits { max_depth: usize::MAX, max_members: 1 };
        assert_eq!(parse("[".repeat(200).as_bytes(), wide), Err(Error::TooDeep));
    }

    #[test]
    fn members_are_limited() {
        let object = |n: usize| {
            format!("{{{}}}", (0..n).map(|i| format!("\"k{i}\":{i}")).collect::<Vec<_>>().join(","))
        };
        assert!(read(&object(64)).is_ok());
        assert_eq!(read(&object(65)), Err(Error::TooManyMembers));
    }

    #[test]
    fn values_of_the_whole_document_are_limited() {
        let objects = |n: usize| format!("[{}]", vec![r#"{"a":1}"#; n].join(","));
        assert!(read(&objects(2048)).is_ok());
        assert_eq!(read(&objects(2049)), Err(Error::TooManyMembers));
        for item in ["1", "[]", "{}", "[1,2]"] {
            assert_eq!(
                read(&format!("[{}]", vec![item; 5000].join(","))),
                Err(Error::TooManyMembers),
                "{item}"
            );
        }
        let many = Limits { max_depth: 8, max_members: 20_000 };
        assert!(parse(format!("[{}]", vec!["1"; 160_000].join(",")).as_bytes(), many).is_ok());
        assert!(parse(format!("[{}]", vec!["1"; 160_001].join(",")).as_bytes(), many).is_err());
        assert!(parse(b"[1]", Limits { max_depth: 1, max_members: usize::MAX }).is_ok());
    }

    #[test]
    fn text_that_is_not_json_is_refused() {
        assert_eq!(parse(b"\"\xff\"", LIMITS), Err(Error::NotUtf8));
        for text in [
            "",
            " ",
            "{",
            "{}x",
            "{} {}",
            "{a:1}",
            "{'a':1}",
            "[1,]",
            "{\"a\":1,}",
            "NaN",
            "Infinity",
            "01",
            "+1",
            ".5",
            "1.",
            "1e400",
            "-1e400",
            "\"\\ud800\"",
            "\"\u{0}\"",
            "\u{feff}{}",
            "// c\n{}",
            "nul",
            "True",
        ] {
            assert!(matches!(read(text), Err(Error::Syntax { .. })), "{text:?}");
        }
    }

    #[test]
    fn errors_do_not_quote_the_input() {
        for text in ["{\"CANARY\":1,\"CANARY\":2}", "CANARY", "{\"a\":\"CANARY", "[\"CANARY\" \"CANARY\"]"] {
            let error = read(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("CANARY"));
        }
    }

    #[test]
    fn object_is_demanded_where_wanted() {
        assert!(parse_object(b"{}", LIMITS).is_ok());
        for text in ["[]", "1", "\"{}\"", "null"] {
            assert!(parse_object(text.as_bytes(), LIMITS).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes, LIMITS);
        }

        #[test]
        fn json_like_text_is_read_as_the_usual_reader_does_or_refused(text in r#"[\[\]{}:,"a-c0-9.eE\\u+ -]{0,60}"#) {
            match (read(&text), serde_json::from_str::<Value>(&text)) {
                (Ok(ours), usual) => prop_assert_eq!(Some(ours), usual.ok()),
                (Err(Error::Syntax { .. }), usual) => prop_assert!(usual.is_err()),
                (Err(_), _) => {}
            }
        }
    }
}
