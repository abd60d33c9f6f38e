//! One strict view of a message's head. What two readers could understand differently is refused, before anybody looks at
//! who is asking: nothing behind such a message is read.

use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, IF_MATCH,
    TRANSFER_ENCODING,
};
use http::request::Parts;
use http::{Uri, Version};

use crate::error::{Error, Kind, Result};

/// What is said once or not at all.
const ONCE: [HeaderName; 6] =
    [AUTHORIZATION, HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONTENT_TYPE, IF_MATCH];

/// What the listener saw on the wire and the parsed head shows no longer: an extension of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ambiguous {
    /// The length is given more than once.
    Lengths,
    /// A length, and a transfer coding that has its own.
    LengthAndCoding,
    /// A line that ends otherwise than lines do.
    LineEnd,
    /// It stands behind a message after which nothing is read.
    Behind,
}

/// Refuses a head that could be understood in two ways.
///
/// # Errors
/// `Invalid` or `Missing`, naming the header.
pub fn check(head: &Parts) -> Result<()> {
    match head.extensions.get::<Ambiguous>() {
        None => {}
        Some(Ambiguous::Lengths) => return Err(twice(&CONTENT_LENGTH)),
        Some(Ambiguous::LengthAndCoding) => return Err(both()),
        Some(Ambiguous::LineEnd) => {
            return Err(Error::invalid("head", "A line of the request's head does not end as it must."));
        }
        Some(Ambiguous::Behind) => {
            return Err(Error::invalid("head", "Nothing is read behind the request before this one."));
        }
    }
    if let Some(name) = ONCE.iter().find(|name| head.headers.get_all(*name).iter().nth(1).is_some()) {
        return Err(twice(name));
    }
    framing(head.version, &head.headers)?;
    authority(head.version, &head.uri, head.headers.get(HOST))
}

/// Whether the connection has to end with the answer: HTTP/1.1 with a coded body, whose end the listener does not look for.
pub fn is_last(head: &Parts) -> bool {
    head.version < Version::HTTP_2 && head.headers.contains_key(TRANSFER_ENCODING)
}

fn framing(version: Version, headers: &HeaderMap) -> Result<()> {
    if let Some(coding) = headers.get(TRANSFER_ENCODING) {
        if headers.contains_key(CONTENT_LENGTH) {
            return Err(both());
        }
        if version != Version::HTTP_11 || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(invalid(&TRANSFER_ENCODING, "may only be 'chunked', in HTTP/1.1"));
        }
    }
    match headers.get(CONTENT_LENGTH).map(HeaderValue::as_bytes) {
        Some(length) if length.is_empty() || !length.iter().all(u8::is_ascii_digit) => {
            Err(invalid(&CONTENT_LENGTH, "must be one number"))
        }
        _ => Ok(()),
    }
}

/// The one who is meant: the target's authority and the header must be well-formed and the same.
fn authority(version: Version, uri: &Uri, host: Option<&HeaderValue>) -> Result<()> {
    let named = uri.authority().map(|authority| authority.as_str().as_bytes());
    let host = host.map(HeaderValue::as_bytes);
    if uri.scheme().is_some_and(|scheme| !["http", "https"].contains(&scheme.as_str())) {
        return Err(Error::invalid("target", "The scheme of the request target must be http or https."));
    }
    if version == Version::HTTP_11 && host.is_none() || version == Version::HTTP_2 && host.or(named).is_none()
    {
        return Err(Error::new(Kind::Missing, "The header 'host' is required.").field(HOST.as_str()));
    }
    if [named, host].into_iter().flatten().any(|text| !is_authority(text)) {
        return Err(invalid(&HOST, "must be a name or an address, with a port or without"));
    }
    match (named, host) {
        (Some(named), Some(host)) if !named.eq_ignore_ascii_case(host) => {
            Err(invalid(&HOST, "names another one than the request target"))
        }
        _ => Ok(()),
    }
}

/// `host[:port]`, where the host is a name, an IPv4 address or an IPv6 address in brackets; no user, no list.
fn is_authority(text: &[u8]) -> bool {
    let name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let (host, port) = match text.strip_prefix(b"[") {
        Some(rest) => match rest.iter().position(|b| *b == b']').and_then(|end| rest.split_at_checked(end)) {
            Some((address, behind)) => {
                let sound =
                    std::str::from_utf8(address).is_ok_and(|a| a.parse::<std::net::Ipv6Addr>().is_ok());
                (sound, behind.get(1..).unwrap_or_default())
            }
            None => return false,
        },
        None => {
            let end = text.iter().position(|b| *b == b':').unwrap_or(text.len());
            let (host, port) = text.split_at_checked(end).unwrap_or((text, b""));
            (!host.is_empty() && host.iter().all(name), port)
        }
    };
    let port = match port {
        [] => true,
        [b':', digits @ ..] => std::str::from_utf8(digits)
            .is_ok_and(|d| d.bytes().all(|b| b.is_ascii_digit()) && d.parse::<u16>().is_ok()),
        _ => false,
    };
    host && port
}

fn twice(name: &HeaderName) -> Error {
    Error::invalid(name.as_str().to_owned(), format!("The header '{name}' is given more than once."))
}

fn both() -> Error {
    invalid(&CONTENT_LENGTH, "does not go with 'transfer-encoding'")
}

fn invalid(name: &HeaderName, what: &str) -> Error {
    Error::invalid(name.as_str().to_owned(), format!("The header '{name}' {what}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(version: Version, target: &str, headers: &[(&'static str, &str)]) -> Parts {
        let mut request = http::Request::builder().version(version).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn who_is_meant_is_said_once_and_in_one_way() {
        let (old, one, two) = (Version::HTTP_10, Version::HTTP_11, Version::HTTP_2);
        for (version, target, host, good) in [
            (one, "/", "avouch", true),
            (one, "/", "avouch:2868", true),
            (one, "/", "127.0.0.1:2868", true),
            (one, "/", "[::1]:2868", true),
            (one, "http://avouch/", "Avouch", true),
            (two, "https://avouch/", "avouch", true),
            (one, "/", "", false),
            (one, "/", "a,b", false),
            (one, "/", "a b", false),
            (one, "/", "a@b", false),
            (one, "/", "a/b", false),
            (one, "/", "a:", false),
            (one, "/", "a:70000", false),
            (one, "/", "a:+80", false),
            (one, "/", "[::1", false),
            (one, "/", "[::1]x", false),
            (one, "/", "[]", false),
            (one, "http://avouch/", "other", false),
            (one, "http://avouch/", "avouch:80", false),
            (one, "http://user@avouch/", "user@avouch", false),
            (one, "ftp://avouch/", "avouch", false),
            (two, "https://avouch/", "other", false),
            (old, "http://avouch/", "other", false),
        ] {
            assert_eq!(check(&parts(version, target, &[("host", host)])).is_ok(), good, "{target} {host}");
        }
        for (version, target, good) in
            [(old, "/", true), (one, "/", false), (two, "/", false), (two, "https://avouch/", true)]
        {
            assert_eq!(check(&parts(version, target, &[])).is_ok(), good, "{version:?} {target}");
        }
    }

    #[test]
    fn where_a_message_ends_is_said_once_and_in_one_way() {
        for (headers, good) in [
            (&[("content-length", "5")][..], true),
            (&[("transfer-encoding", "Chunked")], true),
            (&[("content-length", "5"), ("content-length", "5")], false),
            (&[("content-length", "5"), ("transfer-encoding", "chunked")], false),
            (&[("content-length", "+5")], false),
            (&[("content-length", "5, 5")], false),
            (&[("content-length", "")], false),
            (&[("content-length", "0x5")], false),
            (&[("transfer-encoding", "gzip, chunked")], false),
            (&[("transfer-encoding", "chunked, chunked")], false),
            (&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], false),
            (&[("transfer-encoding", "identity")], false),
            (&[("authorization", "Bearer a"), ("authorization", "Bearer a")], false),
            (&[("if-match", "a"), ("if-match", "b")], false),
        ] {
            let headers = [&[("host", "avouch")], headers].concat();
            assert_eq!(check(&parts(Version::HTTP_11, "/", &headers)).is_ok(), good, "{headers:?}");
        }
        let coded = [("host", "avouch"), ("transfer-encoding", "chunked")];
        for version in [Version::HTTP_10, Version::HTTP_2] {
            assert!(check(&parts(version, "/", &coded)).is_err(), "{version:?}");
        }
        for seen in [Ambiguous::Lengths, Ambiguous::LengthAndCoding, Ambiguous::LineEnd, Ambiguous::Behind] {
            let mut head = parts(Version::HTTP_11, "/", &[("host", "avouch")]);
            head.extensions.insert(seen);
            assert!(check(&head).is_err(), "{seen:?}");
        }
    }
}
