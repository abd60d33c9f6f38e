//! A request as a handler sees it: routed, limited in size, with its caller already proven.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::de::DeserializeOwned;

use avouch_crypto::strict_json;

use crate::error::{Error, Kind, Result};

/// Deepest JSON that is read.
const JSON_DEPTH: usize = 32;
/// Most members of one object of a body; the body may hold eight times as many values.
const JSON_MEMBERS: usize = 20_000;

/// The request of one endpoint.
#[derive(Debug, Clone)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Path, still percent-encoded, without the query.
    pub path: String,
    /// Raw query string, without `?`.
    pub query: String,
    /// Headers.
    pub headers: HeaderMap,
    /// Whole body.
    pub body: Bytes,
    pub(crate) params: Vec<(String, String)>,
    /// `scheme://host[:port]` under which links are rendered.
    pub origin: String,
}

impl Request {
    /// A path parameter, decoded exactly once after routing.
    ///
    /// # Errors
    /// `NotFound` when the text could not be an id: NUL, control characters, `..`, `//` or a second encoding.
    pub fn param(&self, name: &str) -> Result<&str> {
        self.params
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
            .ok_or_else(|| Error::internal(format!("no path parameter {name}")))
    }

    /// The parameters of the query, decoded, in order.
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        form_urlencoded::parse(self.query.as_bytes())
    }

    /// A query parameter; an empty value counts as absent.
    ///
    /// # Errors
    /// `Invalid` when it is given more than once.
    pub fn query(&self, name: &'static str) -> Result<Option<String>> {
        let mut found = None;
        for (k, v) in self.query_pairs() {
            if k == name {
                if found.is_some() {
                    return Err(Error::invalid(
                        name,
                        format!("The query parameter '{name}' is given more than once."),
                    ));
                }
                found = Some(v.into_owned());
            }
        }
        Ok(found.filter(|v| !v.is_empty()))
    }

    /// A query parameter that must be there.
    ///
    /// # Errors
    /// `Missing`, or `Invalid` when given twice.
    pub fn query_required(&self, name: &'static str) -> Result<String> {
        self.query(name)?.ok_or_else(|| {
            Error::new(Kind::Missing, format!("The query parameter '{name}' is required.")).field(name)
        })
    }

    /// A boolean query parameter: `true` or `false`.
    ///
    /// # Errors
    /// `Invalid` for anything else.
    pub fn query_bool(&self, name: &'static str) -> Result<Option<bool>> {
        match self.query(name)?.as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => {
                Err(Error::invalid(name, format!("The query parameter '{name}' must be 'true' or 'false'.")))
            }
        }
    }

    /// An integer query parameter within bounds.
    ///
    /// # Errors
    /// `Invalid` when it is no integer or out of bounds.
    pub fn query_int(&self, name: &'static str, min: i64, max: i64) -> Result<Option<i64>> {
        let Some(text) = self.query(name)? else { return Ok(None) };
        match text.parse::<i64>() {
            Ok(n) if (min..=max).contains(&n) => Ok(Some(n)),
            _ => Err(Error::invalid(
                name,
                format!("The query parameter '{name}' must be a number from {min} to {max}."),
            )),
        }
    }

    /// A header as text; absent, empty or unprintable is `None`.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim).filter(|v| !v.is_empty())
    }

    /// `If-Match`, without an optional `W/` and quotes.
    ///
    /// # Errors
    /// `Missing` when the header is absent.
    pub fn if_match(&self) -> Result<String> {
        let raw = self.header("if-match").ok_or_else(|| {
            Error::new(Kind::Missing, "The header 'If-Match' is required.").field("If-Match")
        })?;
        let raw = raw.strip_prefix("W/").unwrap_or(raw);
        Ok(raw.trim_matches('"').to_owned())
    }

    /// The body as a JSON object of the wanted shape.
    ///
    /// # Errors
    /// `Invalid` naming where the body departs from the shape; the text never repeats what was sent.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        let value = self.json_value()?;
        // The derived readers would take the members from an array, by their order.
        if !value.is_object() {
            return Err(Error::invalid("body", "The request body must be a JSON object."));
        }
        from_value(value)
    }

    /// The body as any JSON, with duplicate keys refused.
    ///
    /// # Errors
    /// `Invalid` when it is empty, not JSON, too deep, or holds a key twice.
    pub fn json_value(&self) -> Result<serde_json::Value> {
        if self.body.is_empty() {
            return Err(Error::invalid("body", "The request body is missing."));
        }
        let limits = strict_json::Limits { max_depth: JSON_DEPTH, max_members: JSON_MEMBERS };
        strict_json::parse(&self.body, limits).map_err(|_| {
            Error::invalid(
                "body",
                "The request body is not valid JSON, is nested too deep, holds too much or holds a key twice.",
            )
        })
    }
}

/// Reads a JSON value as `T`, with an error that names the place and not the value.
///
/// # Errors
/// `Invalid` naming the field where serde could tell it.
pub fn from_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T> {
    serde_json::from_value(value).map_err(|e| {
        let text = e.to_string();
        let (field, message) = explain(&text);
        Error::invalid(field, message)
    })
}

/// Serde's texts may quote the value (`invalid type: string "…"`); only the names of our own fields are kept.
fn explain(text: &str) -> (String, String) {
    let quoted =
        |prefix: &str| text.strip_prefix(prefix).and_then(|rest| rest.split('`').next()).map(str::to_owned);
    if let Some(field) = quoted("missing field `") {
        let message = format!("The property '{field}' is missing.");
        return (field, message);
    }
    if let Some(field) = quoted("duplicate field `") {
        let message = format!("The property '{field}' is given twice.");
        return (field, message);
    }
    // "invalid type: <what was sent>, expected <what we wanted>": only our half is repeated.
    if let Some((_, wanted)) = text.rsplit_once(", expected ")
        && text.starts_with("invalid ")
        && wanted.len() < 120
        && wanted.is_ascii()
    {
        return (
            "body".into(),
            format!("The request body has a value of the wrong kind: expected {wanted}."),
        );
    }
    ("body".into(), "The request body does not have the expected shape.".into())
}

/// Decodes one path segment exactly once and refuses what no id of ours can hold.
pub(crate) fn decode_segment(raw: &str) -> Option<String> {
    let text = percent_encoding::percent_decode_str(raw).decode_utf8().ok()?.into_owned();
    if text.is_empty() || text.len() > 1024 || text.chars().any(char::is_control) {
        return None;
    }
    let encoded_again = text
        .as_bytes()
        .windows(3)
        .any(|w| matches!(w, [b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()));
    if encoded_again || text.contains("//") || text.split('/').any(|part| part == ".." || part == ".") {
        return None;
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_decoded_exactly_once() {
        assert_eq!(decode_segment("crn%3Av1%3Aa%2Fb").as_deref(), Some("crn:v1:a/b"));
        for bad in ["%2e%2e", "a%2F..%2Fb", "a%00b", "%252e", "a%2F%2Fb", "%ff", ""] {
            assert_eq!(decode_segment(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_shape_error_names_the_field_and_not_the_value() {
        #[derive(serde::Deserialize, Debug)]
        #[allow(dead_code)]
        struct Shape {
            name: String,
        }
        let e = from_value::<Shape>(serde_json::json!({"name": {"canary-7f": "canary-7f"}})).unwrap_err();
        assert!(!e.message().contains("canary"), "{}", e.message());
        let e = from_value::<Shape>(serde_json::json!({})).unwrap_err();
        assert_eq!(e.field_name(), Some("name"));
        let e = from_value::<Vec<u8>>(serde_json::json!("canary, expected canary")).unwrap_err();
        assert!(!e.message().contains("canary, "), "{}", e.message());
    }
}
