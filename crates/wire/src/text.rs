//! Checks on text that people choose: names, descriptions, anything that is stored and shown again.
//!
//! They answer yes or no. Nothing is trimmed or normalised by a check: what was checked is what is stored. What is unique in
//! whatever case is compared by its [`key`].

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// True when `s` is not longer than `max` characters and holds no control, format or separator characters that could hide
/// or reorder text on a screen or split a log line. Line feeds and tabs are control characters and are refused.
/// The empty text is printable; demand a minimum with [`name`].
///
/// ```
/// assert!(avouch_wire::text::printable("Bauhütte 7", 20));
/// assert!(!avouch_wire::text::printable("two\nlines", 20));
/// assert!(!avouch_wire::text::printable("too long", 3));
/// ```
pub fn printable(s: &str, max: usize) -> bool {
    within(s, max) && s.chars().all(visible)
}

/// As [`printable`], but line feeds, carriage returns and tabs are allowed. For descriptions.
pub fn printable_multiline(s: &str, max: usize) -> bool {
    within(s, max) && s.chars().all(|c| matches!(c, '\n' | '\r' | '\t') || visible(c))
}

/// A display name: printable, not empty, at most `max` characters, no white space at either end, and composed (NFC), so
/// that no two names are one text in two spellings.
///
/// ```
/// assert!(avouch_wire::text::name("Bauh\u{fc}tte", 20));
/// assert!(!avouch_wire::text::name("Bauhu\u{308}tte", 20));
/// assert!(!avouch_wire::text::name("tail ", 20));
/// ```
pub fn name(s: &str, max: usize) -> bool {
    !s.is_empty() && s.trim().len() == s.len() && printable(s, max) && is_nfc(s)
}

/// What two texts have in common that differ only in case, width or composition. For comparing and for unique indexes,
/// never for showing.
///
/// ```
/// use avouch_wire::text::key;
/// assert_eq!(key("Admins"), key("ADMINS"));
/// assert_eq!(key("Admins"), key("\u{ff21}\u{ff44}\u{ff4d}\u{ff49}\u{ff4e}\u{ff53}"));
/// assert_ne!(key("Admins"), key("Admin"));
/// ```
pub fn key(s: &str) -> String {
    // Composing may give capitals and small letters may want composing.
    s.nfkc().collect::<String>().to_lowercase().nfkc().collect()
}

/// How many letters have to be changed, added or left out to make one text the other. For guessing what was meant.
///
/// ```
/// use avouch_wire::text::edit_distance;
/// assert_eq!(edit_distance("read", "raed"), 2);
/// assert_eq!(edit_distance("read", "reads"), 1);
/// ```
pub fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, cb) in row.iter_mut().skip(1).zip(&b) {
            let best = (diagonal + usize::from(ca != *cb)).min(left + 1).min(*cell + 1);
            diagonal = *cell;
            *cell = best;
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

/// A DNS label: 1 to 63 of `a-z`, `0-9`, `-`, with a letter or digit at both ends.
///
/// ```
/// assert!(avouch_wire::text::dns_label("kube-system"));
/// assert!(!avouch_wire::text::dns_label("Kube"));
/// assert!(!avouch_wire::text::dns_label("-a"));
/// ```
pub fn dns_label(s: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = s.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) => {
            bytes.len() <= 63
                && alnum(*first)
                && alnum(*last)
                && bytes.iter().all(|b| alnum(*b) || *b == b'-')
        }
        _ => false,
    }
}

/// A DNS subdomain: labels joined by dots, at most 253 characters.
pub fn dns_subdomain(s: &str) -> bool {
    s.len() <= 253 && s.split('.').all(dns_label)
}

/// Exactly `len` lower-case hexadecimal digits.
pub fn lower_hex(s: &str, len: usize) -> bool {
    s.len() == len && s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// A UUID in its one canonical spelling: 36 characters, lower-case, hyphens at 8, 13, 18 and 23.
///
/// ```
/// assert!(avouch_wire::text::uuid("6e1f7ea6-0000-4000-8000-000000000001"));
/// assert!(!avouch_wire::text::uuid("6E1F7EA6-0000-4000-8000-000000000001"));
/// ```
pub fn uuid(s: &str) -> bool {
    s.len() == 36
        && s.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
        })
}

/// Decodes percent escapes of one path segment exactly once. Refuses malformed escapes and escapes that do not give UTF-8;
/// a decoded `%` survives here and is refused later by the grammar of whatever the segment names.
///
/// ```
/// use avouch_wire::text::decode_segment;
/// assert_eq!(decode_segment("crn%3Av1").as_deref(), Some("crn:v1"));
/// assert_eq!(decode_segment("100%"), None);
/// assert_eq!(decode_segment("%ff"), None);
/// ```
pub fn decode_segment(s: &str) -> Option<String> {
    let mut rest = s.bytes();
    while let Some(b) = rest.next() {
        if b == b'%' {
            let escape = (rest.next()?, rest.next()?);
            if !escape.0.is_ascii_hexdigit() || !escape.1.is_ascii_hexdigit() {
                return None;
            }
        }
    }
    percent_encoding::percent_decode_str(s).decode_utf8().ok().map(|text| text.into_owned())
}

fn within(s: &str, max: usize) -> bool {
    // Counting characters of a text that is far too long would be work for nothing.
    s.len() <= max.saturating_mul(4) && s.chars().count() <= max
}

fn visible(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn text_that_hides_or_reorders_is_not_printable() {
        for s in ["a\u{202e}b", "a\u{200b}b", "\u{feff}a", "a\u{2028}b", "a\0b", "a\u{7f}b", "a\u{85}b"] {
            assert!(!printable(s, 100), "{s:?}");
        }
        assert!(printable("", 0));
        assert!(printable_multiline("a\r\n\tb", 10));
        assert!(!printable_multiline("a\u{1b}[31m", 10));
    }

    #[test]
    fn name_has_no_white_space_at_its_ends() {
        assert!(name("a b", 5));
        for s in ["", " a", "a ", "\u{a0}a", "a\u{3000}"] {
            assert!(!name(s, 5), "{s:?}");
        }
    }

    #[test]
    fn dns_names_follow_the_label_rules() {
        assert!(dns_label("0"));
        assert!(dns_label(&"a".repeat(63)));
        assert!(!dns_label(&"a".repeat(64)));
        assert!(!dns_label(""));
        assert!(!dns_label("a_b"));
        assert!(dns_subdomain("a.b-c.d0"));
        assert!(!dns_subdomain("a..b"));
        assert!(!dns_subdomain("a."));
    }

    #[test]
    fn segment_is_decoded_once_only() {
        assert_eq!(decode_segment("a%252fb").as_deref(), Some("a%2fb"));
        assert_eq!(decode_segment("a%2"), None);
        assert_eq!(decode_segment("a%+1"), None);
        assert_eq!(decode_segment("é%C3%A9").as_deref(), Some("éé"));
    }
}
