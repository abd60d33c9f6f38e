#![allow(clippy::unwrap_used, clippy::expect_used)]
use std::sync::{Arc, OnceLock};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::jwks::VerifyingKey;
use crate::{base64url, digest, strict_json};

/// One key per algorithm for all tests; the RSA algorithms share one key, which is what makes confusion possible.
pub(crate) fn key(alg: Alg) -> Arc<SigningKey> {
    static KEYS: OnceLock<Vec<Arc<SigningKey>>> = OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        let rsa = SigningKey::generate(Alg::RS256).unwrap().to_pkcs8();
        let make = |alg: Alg| match alg.rsa() {
            Some(_) => SigningKey::from_pkcs8(rsa.expose(), alg).unwrap(),
            None => SigningKey::generate(alg).unwrap(),
        };
        Alg::ALL.into_iter().map(|alg| Arc::new(make(alg))).collect()
    });
    keys.iter().find(|key| key.alg() == alg).unwrap().clone()
}

pub(crate) fn rsa_jwk() -> Value {
    serde_json::to_value(key(Alg::RS256).jwk("rsa")).unwrap()
}

fn verifying(alg: Alg) -> VerifyingKey {
    key(alg).verifying_key().unwrap()
}

fn claims() -> Value {
    json!({"iss": "https://issuer.test", "sub": "a", "aud": "iam", "exp": 4_102_444_800u64})
}

fn parse(token: &str) -> Result<UnverifiedToken, ParseError> {
    UnverifiedToken::parse(token, &TokenLimits::default())
}

/// A token with any header and payload, signed by `sign`.
fn forge(header: &str, payload: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let input = format!("{}.{}", base64url::encode(header), base64url::encode(payload));
    let signature = sign(input.as_bytes());
    format!("{input}.{}", base64url::encode(signature))
}

fn with_header(header: &str) -> Result<UnverifiedToken, ParseError> {
    parse(&forge(header, &claims().to_string(), |input| key(Alg::ES256).sign(input)))
}

#[test]
fn token_of_each_algorithm_is_verified_by_its_key() {
    for alg in Alg::ALL {
        let token = compact(&key(alg), "k1", &claims());
        let read = parse(&token).unwrap();
        assert_eq!((read.alg(), read.kid(), read.typ()), (alg, Some("k1"), None));
        assert_eq!(read.unverified_issuer(), Some("https://issuer.test"));
        let verified = read.verify(&verifying(alg)).unwrap();
        assert_eq!(Value::Object(verified.claims), claims());
        assert_eq!(Value::Object(verified.header), json!({"kid": "k1", "alg": alg.name()}));
    }
    let typed = compact_typed(&key(Alg::ES256), "k\"1", "at+jwt", &claims());
    let read = parse(&typed).unwrap();
    assert_eq!((read.typ(), read.kid()), (Some("at+jwt"), Some("k\"1")));
}

#[test]
fn header_has_the_published_form() {
    let token = compact(&key(Alg::RS256), "202604101200-abcdef", &claims());
    let header = base64url::decode(token.split('.').next().unwrap()).unwrap();
    assert_eq!(header, br#"{"kid":"202604101200-abcdef","alg":"RS256"}"#);
}

/// Each name that a token may state × each algorithm it was really signed with × each key it may be held against.
#[test]
fn token_is_refused_unless_stated_used_and_stored_algorithm_agree() {
    for stated in Alg::ALL {
        for used in Alg::ALL {
            let header = format!(r#"{{"alg":"{stated}","kid":"k"}}"#);
            let token = forge(&header, &claims().to_string(), |input| key(used).sign(input));
            for stored in Alg::ALL {
                let verified = parse(&token).unwrap().verify(&verifying(stored));
                assert_eq!(verified.is_ok(), stated == used && used == stored, "{stated} {used} {stored}");
                if stated != stored {
                    assert_eq!(verified.unwrap_err(), VerifyError::Algorithm);
                }
            }
        }
    }
}

#[test]
fn names_of_other_algorithms_are_refused_before_any_key_is_used() {
    let names = [
        "none",
        "None",
        "NONE",
        "nOnE",
        "",
        "HS256",
        "HS384",
        "HS512",
        "hs256",
        "rs256",
        "Rs256",
        "RS256 ",
        " RS256",
        "RS256\\n",
        "RS256\\u0000",
        "ES256K",
        "EdDSA",
        "Ed25519",
        "RSA1_5",
        "RSA-OAEP",
        "dir",
        "A256KW",
        "A128GCM",
        "PBES2-HS256+A128KW",
        "RS1",
        "SHA256",
        "RS2\\u05256",
        "\\uff32S256",
        "HmacSHA256",
        "*",
    ];
    for name in names {
        for used in Alg::ALL {
            let token = forge(&format!(r#"{{"alg":"{name}"}}"#), &claims().to_string(), |input| {
                key(used).sign(input)
            });
            assert_eq!(parse(&token).unwrap_err(), ParseError::Algorithm, "{name}");
        }
    }
    for header in [
        "{}",
        r#"{"alg":null}"#,
        r#"{"alg":0}"#,
        r#"{"alg":["RS256"]}"#,
        r#"{"alg":{"alg":"RS256"}}"#,
        r#"{"ALG":"ES256"}"#,
        r#"{"header":{"alg":"ES256"}}"#,
    ] {
        assert_eq!(with_header(header).unwrap_err(), ParseError::Algorithm, "{header}");
    }
    // In the payload it means nothing.
    let payload = r#"{"alg":"ES256","iss":"x"}"#;
    assert_eq!(parse(&forge("{}", payload, |i| key(Alg::ES256).sign(i))).unwrap_err(), ParseError::Algorithm);
    // An escaped spelling of the same text is the same text.
    assert!(with_header(r#"{"alg":"\u0045S256"}"#).unwrap().verify(&verifying(Alg::ES256)).is_ok());
}

#[test]
fn public_key_is_no_hmac_secret() {
    let jwk = rsa_jwk();
    let number = |member: &str| base64url::decode(jwk[member].as_str().unwrap()).unwrap();
    let components = RsaPublicKeyComponents { n: number("n"), e: number("e") };
    let der = components
        .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
        .unwrap()
        .as_der()
        .unwrap()
        .as_ref()
        .to_vec();
    let body = base64::engine::general_purpose::STANDARD.encode(&der);
    let lines: Vec<_> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
    let secrets: Vec<Vec<u8>> = vec![
        pem.clone().into(),
        pem.trim().into(),
        pem.replace('\n', "\r\n").into(),
        format!(" {pem}").into(),
        format!("\n\n{pem}\n\n").into(),
        der,
        body.into(),
        jwk.to_string().into(),
        jwk["n"].as_str().unwrap().into(),
        number("n"),
        Vec::new(),
    ];
    for secret in secrets {
        let mac = |input: &[u8]| digest::hmac_sha256(&secret, input).to_vec();
        for name in ["HS256", "HS384", "HS512"] {
            let token = forge(&format!(r#"{{"alg":"{name}","kid":"rsa"}}"#), &claims().to_string(), mac);
            assert_eq!(parse(&token).unwrap_err(), ParseError::Algorithm);
        }
        for alg in Alg::ALL {
            let token = forge(&format!(r#"{{"alg":"{alg}","kid":"rsa"}}"#), &claims().to_string(), mac);
            assert_eq!(parse(&token).unwrap().verify(&verifying(alg)).unwrap_err(), VerifyError::Signature);
        }
    }
}

#[test]
fn key_that_a_token_brings_is_not_used() {
    let attacker = SigningKey::generate(Alg::ES256).unwrap();
    let jwk = serde_json::to_value(attacker.jwk("k")).unwrap();
    let header = json!({"alg": "ES256", "kid": "k", "jwk": jwk, "jku": "https://evil.test", "x5u": "https://evil.test",
        "x5c": ["AA"], "x5t": "AA"});
    let token = forge(&header.to_string(), &claims().to_string(), |input| attacker.sign(input));
    assert_eq!(parse(&token).unwrap().verify(&verifying(Alg::ES256)).unwrap_err(), VerifyError::Signature);
}

#[test]
fn header_members_that_change_the_reading_are_refused() {
    for member in [
        r#""crit":["exp"]"#,
        r#""crit":[]"#,
        r#""crit":null"#,
        r#""b64":false"#,
        r#""b64":null"#,
        r#""zip":"DEF""#,
        r#""enc":"A128GCM""#,
    ] {
        assert_eq!(
            with_header(&format!(r#"{{"alg":"ES256",{member}}}"#)).unwrap_err(),
            ParseError::Header,
            "{member}"
        );
    }
    assert!(with_header(r#"{"alg":"ES256","b64":true,"typ":"JWT","cty":"x"}"#).is_ok());
    let long = "k".repeat(257);
    for kid in ["7", "null", "\"\"", "[\"k\"]", "\"a\\nb\"", "\"\\u202e\"", &format!("\"{long}\"")] {
        assert_eq!(
            with_header(&format!(r#"{{"alg":"ES256","kid":{kid}}}"#)).unwrap_err(),
            ParseError::KeyId,
            "{kid}"
        );
    }
}

#[test]
fn repeated_names_are_refused_in_header_and_payload() {
    let duplicate = ParseError::Json(strict_json::Error::DuplicateKey);
    assert_eq!(with_header(r#"{"alg":"none","alg":"ES256"}"#).unwrap_err(), duplicate);
    assert_eq!(with_header(r#"{"alg":"ES256","kid":"a","k\u0069d":"b"}"#).unwrap_err(), duplicate);
    for payload in [
        r#"{"sub":"a","sub":"b"}"#,
        r#"{"aud":"a","aud":["b"]}"#,
        r#"{"kubernetes.io":{"namespace":"a","namespace":"b"}}"#,
    ] {
        let token = forge(r#"{"alg":"ES256"}"#, payload, |input| key(Alg::ES256).sign(input));
        assert_eq!(parse(&token).unwrap_err(), duplicate, "{payload}");
    }
}

#[test]
fn other_forms_are_refused() {
    let token = compact(&key(Alg::ES256), "k", &claims());
    let parts: Vec<_> = token.split('.').collect();
    let (h, p, s) = (parts[0], parts[1], parts[2]);
    for text in [
        String::new(),
        ".".into(),
        "..".into(),
        h.into(),
        format!("{h}.{p}"),
        format!("{h}.{p}."),
        format!(".{p}.{s}"),
        format!("{h}..{s}"),
        format!("{token}."),
        format!("{token}.{s}"),
        format!("{token}.{s}.{s}"),
        format!(".{token}"),
    ] {
        assert_eq!(parse(&text).unwrap_err(), ParseError::Parts, "{text}");
    }
    for text in [
        format!(" {token}"),
        format!("{token} "),
        format!("{token}\n"),
        format!("\t{token}"),
        format!("{h}=.{p}.{s}"),
        format!("{h}.{p}=.{s}"),
        format!("{h}.{p}.{s}=="),
        format!("{h}.{p}\n.{s}"),
        format!("{h}.{p}.{}+", &s[1..]),
        format!("{h}.{p}.{}/", &s[1..]),
        format!("{h}.{p}.é"),
    ] {
        assert_eq!(parse(&text).unwrap_err(), ParseError::Encoding, "{text}");
    }
    for object in ["[]", "null", "\"x\"", "1", "", "{", "{}x", "\u{feff}{}"] {
        let token = forge(r#"{"alg":"ES256"}"#, object, |input| key(Alg::ES256).sign(input));
        assert!(matches!(parse(&token), Err(ParseError::Json(_) | ParseError::Parts)), "{object}");
    }
    let json_form = json!({"payload": p, "protected": h, "signature": s}).to_string();
    assert!(parse(&json_form).is_err());
}

#[test]
fn size_is_checked_before_anything_else() {
    for text in [".".repeat(1 << 20), "a".repeat(1 << 20), format!("a.{}.a", "[".repeat(1 << 20))] {
        assert_eq!(parse(&text).unwrap_err(), ParseError::TooLong);
    }
    let nested = format!("{{\"a\":{}1{}}}", "[".repeat(9), "]".repeat(9));
    let token = forge(r#"{"alg":"ES256"}"#, &nested, |input| key(Alg::ES256).sign(input));
    assert_eq!(parse(&token).unwrap_err(), ParseError::Json(strict_json::Error::TooDeep));
    let many: serde_json::Map<_, _> = (0..65).map(|i| (format!("c{i}"), json!(i))).collect();
    let token = compact(&key(Alg::ES256), "k", &many);
    assert_eq!(parse(&token).unwrap_err(), ParseError::Json(strict_json::Error::TooManyMembers));
    let header = format!(r#"{{"alg":"ES256","x":"{}"}}"#, "x".repeat(2048));
    assert_eq!(with_header(&header).unwrap_err(), ParseError::TooLong);
    let issuer = compact(&key(Alg::ES256), "k", &json!({"iss": "x".repeat(2049)}));
    assert_eq!(parse(&issuer).unwrap().unverified_issuer(), None);
}

#[test]
fn trailing_bits_are_refused_in_every_part() {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut tried = 0;
    for alg in Alg::ALL {
        let token = compact(&key(alg), "k", &claims());
        for part in 0..3 {
            let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
            let (len, last) = (parts[part].len(), parts[part].pop().unwrap());
            if len.is_multiple_of(4) {
                continue;
            }
            let spare = if len % 4 == 2 { 16 } else { 4 };
            let value = ALPHABET.iter().position(|c| *c == last as u8).unwrap();
            for bits in 1..spare {
                let mut parts = parts.clone();
                parts[part].push(ALPHABET[value + bits] as char);
                assert_eq!(parse(&parts.join(".")).unwrap_err(), ParseError::Encoding);
                tried += 1;
            }
        }
    }
    assert!(tried > 50);
}

#[test]
fn raw_signatures_of_the_wrong_length_or_form_are_refused() {
    for alg in [Alg::ES256, Alg::ES384, Alg::ES512, Alg::RS256, Alg::PS256] {
        let good = key(alg).sign(b"input");
        let verify = |signature: &[u8]| verifying(alg).verify_signature(b"input", signature);
        assert!(verify(&good).is_ok());
        for len in (0..good.len()).chain([good.len() + 1, good.len() * 2]) {
            let mut other = good.clone();
            other.resize(len, 0);
            assert_eq!(verify(&other), Err(VerifyError::Signature), "{alg} {len}");
        }
        assert_eq!(verify(&[&[0], good.as_slice()].concat()), Err(VerifyError::Signature));
        assert_eq!(verify(&[&good[1..], &[0]].concat()), Err(VerifyError::Signature));
        assert_eq!(verify(&vec![0; good.len()]), Err(VerifyError::Signature), "all zero");
        assert_eq!(verify(&vec![0xff; good.len()]), Err(VerifyError::Signature));
    }
    // The same two numbers as DER.
    let raw = key(Alg::ES256).sign(b"input");
    let integer = |half: &[u8]| [&[2, 33, 0], half].concat();
    let der = [vec![0x30, 70], integer(&raw[..32]), integer(&raw[32..])].concat();
    assert_eq!(verifying(Alg::ES256).verify_signature(b"input", &der), Err(VerifyError::Signature));
}

#[test]
fn key_pair_survives_storage_and_other_kinds_are_refused() {
    for alg in Alg::ALL {
        let der = key(alg).to_pkcs8();
        let again = SigningKey::from_pkcs8(der.expose(), alg).unwrap();
        assert!(verifying(alg).verify_signature(b"x", &again.sign(b"x")).is_ok());
        for other in Alg::ALL {
            let fits = alg == other || (alg.rsa().is_some() && other.rsa().is_some());
            assert_eq!(SigningKey::from_pkcs8(der.expose(), other).is_ok(), fits, "{alg} {other}");
        }
        assert!(SigningKey::from_pkcs8(&der.expose()[1..], alg).is_err());
        assert_eq!(format!("{again:?}"), format!("SigningKey({alg})"));
    }
}

#[test]
fn any_of_several_keys_may_verify() {
    let other = SigningKey::generate(Alg::ES256).unwrap().verifying_key().unwrap();
    let token = compact(&key(Alg::ES256), "k", &claims());
    let keys = [verifying(Alg::RS256), other.clone(), verifying(Alg::ES256)];
    assert!(parse(&token).unwrap().verify_any(&keys).is_ok());
    assert_eq!(parse(&token).unwrap().verify_any([&other]).unwrap_err(), VerifyError::Signature);
    assert_eq!(parse(&token).unwrap().verify_any(&keys[..1]).unwrap_err(), VerifyError::Algorithm);
    assert_eq!(parse(&token).unwrap().verify_any([]).unwrap_err(), VerifyError::Algorithm);
}

#[test]
fn debug_and_errors_show_nothing_of_the_token() {
    let token = compact(&key(Alg::ES256), "k", &json!({"sub": "CANARY"}));
    let read = parse(&token).unwrap();
    assert!(!format!("{read:?}").contains("CANARY"));
    assert!(!format!("{:?}", read.verify(&verifying(Alg::ES256)).unwrap()).contains("CANARY"));
    let broken = forge(r#"{"alg":"ES256"}"#, r#"{"CANARY":CANARY}"#, |input| key(Alg::ES256).sign(input));
    let error = parse(&broken).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("CANARY"));
}

mod independent {
    //! Another implementation agrees about what we sign and signs what we accept.
    use super::*;
    use jsonwebtoken as jwt;

    const SHARED: [Alg; 8] =
        [Alg::RS256, Alg::RS384, Alg::RS512, Alg::PS256, Alg::PS384, Alg::PS512, Alg::ES256, Alg::ES384];

    fn name(alg: Alg) -> jwt::Algorithm {
        alg.name().parse().unwrap()
    }

    #[test]
    fn verifier_accepts_our_tokens() {
        for alg in SHARED {
            let jwk = serde_json::to_value(key(alg).jwk("k")).unwrap();
            let text = |member: &str| jwk[member].as_str().unwrap();
            let decoding = match alg.rsa() {
                Some(_) => jwt::DecodingKey::from_rsa_components(text("n"), text("e")).unwrap(),
                None => jwt::DecodingKey::from_ec_components(text("x"), text("y")).unwrap(),
            };
            let mut validation = jwt::Validation::new(name(alg));
            validation.set_audience(&["iam"]);
            let token = compact(&key(alg), "k", &claims());
            let read = jwt::decode::<Value>(&token, &decoding, &validation).unwrap();
            assert_eq!((read.claims, read.header.kid.as_deref()), (claims(), Some("k")), "{alg}");
        }
    }

    #[test]
    fn signer_makes_tokens_that_we_accept() {
        for alg in SHARED {
            let body = base64::engine::general_purpose::STANDARD.encode(key(alg).to_pkcs8().expose());
            let lines: Vec<_> =
                body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
            let pem =
                format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
            let encoding = match alg.rsa() {
                Some(_) => jwt::EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
                None => jwt::EncodingKey::from_ec_pem(pem.as_bytes()).unwrap(),
            };
            let token = jwt::encode(&jwt::Header::new(name(alg)), &claims(), &encoding).unwrap();
            assert!(parse(&token).unwrap().verify(&verifying(alg)).is_ok(), "{alg}");
        }
    }
}

proptest! {
    #[test]
    fn parser_never_panics(text in "\\PC{0,120}", parts in proptest::collection::vec("[A-Za-z0-9_.=-]{0,40}", 0..6)) {
        let _ = parse(&text);
        let _ = parse(&parts.join("."));
    }

    #[test]
    fn parser_never_panics_on_any_header_and_payload(header in r#"[{}\[\]":,a-z0-9ES \\u]{0,60}"#, payload in r#"\{[{}\[\]":,a-z0-9 ]{0,60}"#) {
        let _ = parse(&forge(&header, &payload, |_| vec![0; 64]));
        let _ = parse(&forge(r#"{"alg":"ES256"}"#, &payload, |_| vec![0; 64]));
    }

    #[test]
    fn any_other_text_than_the_signed_one_is_refused(at in any::<prop::sample::Index>(), with in "[A-Za-z0-9_.=-]{0,2}", es in any::<bool>()) {
        static TOKENS: OnceLock<[String; 2]> = OnceLock::new();
        let tokens = TOKENS.get_or_init(|| [Alg::RS256, Alg::ES256].map(|alg| compact(&key(alg), "k", &claims())));
        let (alg, token) = if es { (Alg::ES256, &tokens[1]) } else { (Alg::RS256, &tokens[0]) };
        let at = at.index(token.len());
        let changed = format!("{}{with}{}", &token[..at], &token[at + 1..]);
        let accepted = parse(&changed).ok().and_then(|read| read.verify(&verifying(alg)).ok()).is_some();
        prop_assert_eq!(accepted, changed == *token);
    }
}
