//! Getting the keys of an issuer from where its registration says.

use avouch_crypto::jwks::{JwkSet, JwksError, JwksLimits, KeyError};
use avouch_crypto::strict_json::{self, Limits};
use serde_json::Value;

use super::client::{Ask, FetchError, Fetcher, host_of};

/// Where to fetch the keys of one issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    /// The discovery document, which names the key set.
    Discovery(String),
    /// The key set.
    Keys(String),
}

/// What a fetch needs to know of the registration.
#[derive(Debug, Clone, Copy)]
pub struct Manner<'a> {
    /// `iss`, which the discovery document must state byte for byte.
    pub issuer: &'a str,
    /// Certificates trusted beside those of the system.
    pub ca_pem: Option<&'a str>,
    /// Send the token that is configured for the origin.
    pub with_token: bool,
    /// Further hosts that a discovery document may name.
    pub allowed_hosts: &'a [String],
}

/// A fetched key set.
#[derive(Debug)]
pub struct Fetched {
    /// Usable keys, with their JSON.
    pub set: ParsedSet,
    /// How long the answer may be kept, seconds.
    pub max_age: Option<i64>,
}

/// A key set, parsed, with the JSON of each usable key.
#[derive(Debug)]
pub struct ParsedSet {
    /// Key id, key, and its public JSON.
    pub keys: Vec<PublicKey>,
    /// Texts about keys that were left out.
    pub warnings: Vec<String>,
}

/// One usable key.
#[derive(Debug, Clone)]
pub struct PublicKey {
    /// Key id; empty: none.
    pub kid: String,
    /// RFC 7638 thumbprint.
    pub thumbprint: String,
    /// Name of the algorithm.
    pub alg: String,
    /// The key as we publish and store it: our own members only, never those that came along.
    pub jwk: String,
}

/// Reads a key set.
///
/// # Errors
/// A fixed text.
pub fn parse(bytes: &[u8]) -> Result<ParsedSet, &'static str> {
    let set = JwkSet::parse(bytes, &JwksLimits::default()).map_err(|e| match e {
        JwksError::TooLong => "the key set is too long",
        JwksError::NotASet => "the answer is not a key set",
        JwksError::TooManyKeys => "the key set has too many keys",
        JwksError::NoUsableKey(w) if w.iter().any(|w| w.reason == KeyError::Private) => {
            "the key set discloses a private key: replace that key, it must be considered lost"
        }
        JwksError::NoUsableKey(_) => "the key set has no usable key",
    })?;
    let warnings = set.warnings.iter().map(ToString::to_string).collect();
    let keys = set
        .keys
        .into_iter()
        .filter_map(|(kid, key)| {
            let kid = kid.unwrap_or_default();
            let jwk = serde_json::to_string(&key.jwk(&kid)).ok()?;
            Some(PublicKey { thumbprint: key.thumbprint(), alg: key.alg().name().to_owned(), jwk, kid })
        })
        .collect();
    Ok(ParsedSet { keys, warnings })
}

/// Fetches the keys.
///
/// # Errors
/// [`FetchError`].
pub async fn fetch(fetcher: &Fetcher, remote: &Remote, manner: &Manner<'_>) -> Result<Fetched, FetchError> {
    let ask = |url| Ask { url, ca_pem: manner.ca_pem, with_token: manner.with_token, ..Ask::default() };
    let (url, max_age) = match remote {
        Remote::Keys(url) => (url.clone(), None),
        Remote::Discovery(url) => {
            let answer = fetcher.fetch(&ask(url)).await?;
            (keys_address(&answer.body, url, manner)?, answer.max_age)
        }
    };
    // The token goes to the origin that it is configured for, which a discovery document cannot change.
    let with_token = manner.with_token && fetcher.token_file(&url).is_some();
    let answer = fetcher.fetch(&Ask { with_token, ..ask(&url) }).await?;
    let set = parse(&answer.body).map_err(FetchError::Content)?;
    Ok(Fetched { set, max_age: [max_age, answer.max_age].into_iter().flatten().min() })
}

/// The address of the key set that a discovery document names.
fn keys_address(body: &[u8], own: &str, manner: &Manner<'_>) -> Result<String, FetchError> {
    let limits = Limits { max_depth: 8, max_members: 256 };
    let document = strict_json::parse_object(body, limits)
        .map_err(|_| FetchError::Content("the answer is not a discovery document"))?;
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    if text("issuer") != Some(manner.issuer) {
        return Err(FetchError::Content(
            "the discovery document states another issuer than the registered one",
        ));
    }
    let keys = text("jwks_uri").ok_or(FetchError::Content("the discovery document names no key set"))?;
    let host = host_of(keys)
        .ok_or(FetchError::Content("the discovery document names a key set that is not https"))?;
    let known = host_of(own).is_some_and(|h| h == host)
        || manner.allowed_hosts.iter().any(|h| h.eq_ignore_ascii_case(&host));
    if !known {
        return Err(FetchError::Content(
            "the discovery document names a key set on another host; list it in 'fetch_policy.allowed_hosts'",
        ));
    }
    Ok(keys.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;
    use avouch_crypto::{Alg, SigningKey};
    use serde_json::json;

    fn manner<'a>(issuer: &'a str, hosts: &'a [String]) -> Manner<'a> {
        Manner { issuer, ca_pem: None, with_token: false, allowed_hosts: hosts }
    }

    #[test]
    fn discovery_document_must_state_the_issuer_byte_for_byte() {
        let own = "https://a.test/.well-known/openid-configuration";
        let body =
            |issuer: &str, keys: &str| json!({"issuer": issuer, "jwks_uri": keys}).to_string().into_bytes();
        let good = body("https://a.test", "https://a.test/openid/v1/jwks");
        assert_eq!(
            keys_address(&good, own, &manner("https://a.test", &[])).unwrap(),
            "https://a.test/openid/v1/jwks"
        );
        for other in ["https://a.test/", "https://A.test", "https://a.test:443", "a.test", "https://a.test "]
        {
            assert!(keys_address(&good, own, &manner(other, &[])).is_err(), "{other}");
        }
        for keys in ["http://a.test/k", "https://b.test/k", "file:///k", "/k"] {
            assert!(
                keys_address(&body("https://a.test", keys), own, &manner("https://a.test", &[])).is_err(),
                "{keys}"
            );
        }
        let hosts = ["b.test".to_owned()];
        let far = body("https://a.test", "https://b.test/k");
        assert!(keys_address(&far, own, &manner("https://a.test", &hosts)).is_ok());
        assert!(keys_address(b"<html>", own, &manner("https://a.test", &[])).is_err());
    }

    #[test]
    fn stored_key_has_our_members_only_and_a_private_one_is_never_kept() {
        let key = SigningKey::generate(Alg::ES256).unwrap();
        let mut jwk = serde_json::to_value(key.jwk("k1")).unwrap();
        jwk["note"] = json!("anything");
        let set = parse(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap();
        assert!(!set.keys[0].jwk.contains("note"));
        jwk["d"] = json!("c2VjcmV0");
        let error = parse(json!({"keys": [jwk.clone()]}).to_string().as_bytes()).unwrap_err();
        assert!(error.contains("private"));
        let other = SigningKey::generate(Alg::ES256).unwrap();
        let set = parse(json!({"keys": [jwk, other.jwk("k2")]}).to_string().as_bytes()).unwrap();
        assert_eq!((set.keys.len(), set.warnings.len()), (1, 1));
        assert!(!format!("{set:?}").contains("c2VjcmV0"));
    }

    #[test]
    fn an_empty_or_foreign_answer_is_no_key_set() {
        for body in ["{}", "<html></html>", r#"{"keys":[]}"#, "[]", "", r#"{"keys":{}}"#] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
