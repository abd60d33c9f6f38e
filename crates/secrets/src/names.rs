//! What clients may call things. The published pattern for names is exponential as a regular expression, so it is
//! checked by a scan.

use avouch_gate::{Error, Result};
use serde_json::{Map, Value};

/// Largest custom metadata, bytes of JSON.
const METADATA: usize = 10 * 1024;

/// Checks a name: letters, digits, `_` anywhere; `-` and `.` only inside; the last character a letter or digit.
///
/// # Errors
/// `Missing` or `Invalid`.
pub fn name(text: Option<&str>, min: usize, max: usize) -> Result<&str> {
    let text = text.filter(|t| !t.is_empty()).ok_or_else(|| Error::missing("name"))?;
    let bytes = text.as_bytes();
    let good = (min..=max).contains(&bytes.len())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        && bytes.first().is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric);
    if good {
        return Ok(text);
    }
    Err(Error::invalid(
        "name",
        format!(
            "The property 'name' must have {min} to {max} letters, digits, '_', '-' or '.', and end with a letter or digit."
        ),
    ))
}

/// Checks a description: at most 1024 characters, and no control characters but those that lay out text.
///
/// # Errors
/// `Invalid`.
pub fn description(text: Option<&str>) -> Result<()> {
    let Some(text) = text else { return Ok(()) };
    if text.chars().count() > 1024 {
        return Err(Error::invalid("description", "The property 'description' is too long."));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(Error::invalid("description", "The property 'description' holds a control character."));
    }
    Ok(())
}

/// Checks labels: at most 30, each of 2 to 64 characters.
///
/// # Errors
/// `Invalid`.
pub fn labels(labels: &[String]) -> Result<()> {
    let good = |l: &String| (2..=64).contains(&l.chars().count()) && !l.chars().any(char::is_control);
    if labels.len() > 30 || !labels.iter().all(good) {
        return Err(Error::invalid(
            "labels",
            "The property 'labels' holds at most 30 labels of 2 to 64 characters.",
        ));
    }
    Ok(())
}

/// Checks custom metadata.
///
/// # Errors
/// `Invalid` beyond 10 KB.
pub fn metadata(field: &'static str, value: Option<&Map<String, Value>>) -> Result<()> {
    let size = value.map_or(0, crate::json::size);
    if size > METADATA {
        return Err(Error::invalid(field, format!("The property '{field}' is larger than 10 KB.")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_by_a_scan() {
        for good in ["db", "a.b-c_d9", "_x", "A1"] {
            assert!(name(Some(good), 2, 64).is_ok(), "{good}");
        }
        let long = "a".repeat(65);
        for bad in ["", "a", "-a", "a-", ".a", "a b", "a/b", "ä1", "a\u{0}b", long.as_str()] {
            assert!(name(Some(bad), 2, 64).is_err(), "{bad}");
        }
        assert!(name(None, 2, 64).is_err());
    }
}
