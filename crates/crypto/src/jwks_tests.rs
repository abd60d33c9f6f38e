#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::jws::SigningKey;
use crate::jws::tests::{key, rsa_jwk};
use proptest::prelude::*;
use serde_json::json;

fn with(jwk: &Value, member: &str, value: Value) -> Value {
    let mut jwk = jwk.clone();
    jwk[member] = value;
    jwk
}

fn without(jwk: &Value, member: &str) -> Value {
    let mut jwk = jwk.clone();
    jwk.as_object_mut().unwrap().remove(member);
    jwk
}

fn ec_jwk() -> Value {
    serde_json::to_value(key(Alg::ES256).jwk("ec")).unwrap()
}

#[test]
fn published_key_is_read_back() {
    for alg in Alg::ALL {
        let signing = key(alg);
        let jwk = serde_json::to_value(signing.jwk("kid 1")).unwrap();
        assert_eq!(
            (&jwk["alg"], &jwk["kid"], &jwk["use"]),
            (&json!(alg.name()), &json!("kid 1"), &json!("sig"))
        );
        assert!(PRIVATE_MEMBERS.iter().all(|member| jwk.get(member).is_none()));
        let read = VerifyingKey::from_jwk(&jwk).unwrap();
        assert_eq!(read.alg(), alg);
        assert!(read == signing.verifying_key().unwrap());
        assert_eq!(read.thumbprint(), signing.jwk("other").thumbprint());
        assert_eq!(serde_json::to_value(read.jwk("kid 1")).unwrap(), jwk);
    }
}

#[test]
fn thumbprint_is_that_of_the_standard() {
    // RFC 7638, section 3.1.
    let jwk = json!({
        "kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    });
    assert_eq!(
        VerifyingKey::from_jwk(&jwk).unwrap().thumbprint(),
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    );
}

#[test]
fn algorithm_belongs_to_the_key() {
    let rsa = rsa_jwk();
    assert_eq!(VerifyingKey::from_jwk(&without(&rsa, "alg")).unwrap().alg(), Alg::RS256);
    assert_eq!(VerifyingKey::from_jwk_as(&without(&rsa, "alg"), Alg::PS384).unwrap().alg(), Alg::PS384);
    assert_eq!(VerifyingKey::from_jwk_as(&rsa, Alg::PS384), Err(KeyError::Algorithm));
    assert_eq!(VerifyingKey::from_jwk(&without(&ec_jwk(), "alg")).unwrap().alg(), Alg::ES256);
    for name in ["none", "HS256", "rs256", "RS256 ", "", "EdDSA", "RSA-OAEP", "ES256"] {
        assert_eq!(
            VerifyingKey::from_jwk(&with(&rsa, "alg", json!(name))),
            Err(KeyError::Algorithm),
            "{name}"
        );
    }
    for name in ["RS256", "PS256", "ES384", "ES512"] {
        assert_eq!(
            VerifyingKey::from_jwk(&with(&ec_jwk(), "alg", json!(name))),
            Err(KeyError::Algorithm),
            "{name}"
        );
    }
    assert_eq!(VerifyingKey::from_jwk(&with(&rsa, "alg", json!(null))), Err(KeyError::Algorithm));
}

#[test]
fn weak_rsa_keys_are_refused() {
    let rsa = rsa_jwk();
    let modulus = |bytes: usize, first: u8, last: u8| {
        let mut n = vec![0xa5; bytes];
        n[0] = first;
        n[bytes - 1] = last;
        json!(base64url::encode(n))
    };
    let read = |n: Value| VerifyingKey::from_jwk(&with(&rsa, "n", n));
    assert_eq!(read(modulus(128, 0xff, 1)), Err(KeyError::RsaSize));
    assert_eq!(read(modulus(256, 0x7f, 1)), Err(KeyError::RsaSize), "2047 bits");
    assert_eq!(read(modulus(1025, 0x01, 1)), Err(KeyError::RsaSize), "8193 bits");
    assert_eq!(read(modulus(256, 0xff, 2)), Err(KeyError::RsaSize), "even");
    assert!(read(modulus(256, 0x80, 1)).is_ok());
    assert!(read(modulus(1024, 0xff, 1)).is_ok());
    assert_eq!(read(modulus(257, 0, 1)), Err(KeyError::Number("n")), "leading zero");
    assert_eq!(read(json!("")), Err(KeyError::Number("n")));
    for (e, why) in [
        ("Aw", "3"),
        ("AQ", "1"),
        ("AQAA", "65536"),
        ("AP8", "leading zero"),
        ("_w", "255"),
        ("AQAAAAE", "2^32+1"),
    ] {
        assert!(VerifyingKey::from_jwk(&with(&rsa, "e", json!(e))).is_err(), "{why}");
    }
    for e in ["AQAB=", "AQ AB", "+/", "AQ==", "AR"] {
        assert_eq!(VerifyingKey::from_jwk(&with(&rsa, "e", json!(e))), Err(KeyError::Number("e")), "{e}");
    }
    assert!(VerifyingKey::from_jwk(&with(&rsa, "e", json!("AQAD"))).is_ok(), "65539");
}

#[test]
fn points_off_the_curve_are_refused() {
    let ec = ec_jwk();
    let x = base64url::decode(ec["x"].as_str().unwrap()).unwrap();
    let mut moved = x.clone();
    moved[31] ^= 1;
    let read = |member: &str, bytes: &[u8]| {
        VerifyingKey::from_jwk(&with(&ec, member, json!(base64url::encode(bytes))))
    };
    assert_eq!(read("x", &moved), Err(KeyError::Point));
    assert_eq!(read("y", &x), Err(KeyError::Point));
    assert_eq!(read("x", &[0xff; 32]), Err(KeyError::Point), "not below the prime");
    assert_eq!(read("x", &x[1..]), Err(KeyError::Number("x")));
    assert_eq!(read("x", &[&[0], x.as_slice()].concat()), Err(KeyError::Number("x")));
    let zero =
        with(&with(&ec, "x", json!(base64url::encode([0; 32]))), "y", json!(base64url::encode([0; 32])));
    assert_eq!(VerifyingKey::from_jwk(&zero), Err(KeyError::Point));
    let bare = without(&ec, "alg");
    for curve in ["P-384", "P-521"] {
        assert_eq!(
            VerifyingKey::from_jwk(&with(&bare, "crv", json!(curve))),
            Err(KeyError::Number("x")),
            "{curve}"
        );
    }
    for curve in ["secp256k1", "P-224", "p-256", "Ed25519", ""] {
        assert_eq!(
            VerifyingKey::from_jwk(&with(&bare, "crv", json!(curve))),
            Err(KeyError::KeyType),
            "{curve}"
        );
    }
}

#[test]
fn keys_of_another_kind_or_use_are_refused() {
    let rsa = rsa_jwk();
    for member in PRIVATE_MEMBERS {
        assert_eq!(
            VerifyingKey::from_jwk(&with(&rsa, member, json!("AQAB"))),
            Err(KeyError::Private),
            "{member}"
        );
        assert_eq!(
            VerifyingKey::from_jwk(&with(&ec_jwk(), member, json!(null))),
            Err(KeyError::Private),
            "{member}"
        );
    }
    for kty in ["oct", "OKP", "rsa", ""] {
        assert_eq!(VerifyingKey::from_jwk(&with(&rsa, "kty", json!(kty))), Err(KeyError::KeyType), "{kty}");
    }
    assert_eq!(VerifyingKey::from_jwk(&with(&rsa, "use", json!("enc"))), Err(KeyError::Use));
    assert_eq!(VerifyingKey::from_jwk(&with(&rsa, "use", json!(null))), Err(KeyError::Use));
    assert_eq!(VerifyingKey::from_jwk(&with(&rsa, "key_ops", json!(["encrypt"]))), Err(KeyError::Use));
    assert!(VerifyingKey::from_jwk(&with(&rsa, "key_ops", json!(["verify"]))).is_ok());
    assert!(VerifyingKey::from_jwk(&without(&rsa, "use")).is_ok());
    assert_eq!(VerifyingKey::from_jwk(&without(&rsa, "n")), Err(KeyError::Member("n")));
    assert_eq!(VerifyingKey::from_jwk(&json!([])), Err(KeyError::NotAnObject));
    assert!(VerifyingKey::from_jwk(&with(&rsa, "x5c", json!(["ignored"]))).is_ok());
}

#[test]
fn set_keeps_usable_keys_and_tells_of_the_rest() {
    let (rsa, ec) = (rsa_jwk(), ec_jwk());
    let other = serde_json::to_value(SigningKey::generate(Alg::ES256).unwrap().jwk("ec")).unwrap();
    let document = json!({"keys": [
        rsa, ec, other, without(&ec, "kid"), with(&rsa, "d", json!("AQAB")), with(&rsa, "e", json!("Aw")),
        {"kty": "oct", "kid": "h", "k": "AA"}, with(&ec, "kid", json!(7)), 5,
    ]});
    let set = JwkSet::parse(document.to_string().as_bytes(), &JwksLimits::default()).unwrap();
    let kids: Vec<_> = set.keys.iter().map(|(kid, _)| kid.as_deref()).collect();
    assert_eq!(kids, [Some("rsa"), Some("ec"), Some("ec"), None]);
    let reasons: Vec<_> = set.warnings.iter().map(|warning| (warning.index, warning.reason)).collect();
    assert_eq!(
        reasons,
        [
            (4, KeyError::Private),
            (5, KeyError::RsaExponent),
            (6, KeyError::Private),
            (7, KeyError::Member("kid")),
            (8, KeyError::NotAnObject)
        ]
    );
    assert_eq!(set.candidates(Some("ec")).count(), 2, "one id, two keys: both are tried");
    assert_eq!(set.candidates(Some("EC")).count(), 0);
    assert_eq!(set.candidates(None).count(), 4);
}

#[test]
fn empty_or_broken_answer_is_an_error() {
    let parse = |text: &str| JwkSet::parse(text.as_bytes(), &JwksLimits::default());
    for text in
        ["", "{}", "[]", "<html></html>", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, r#"{"Keys":[]}"#]
    {
        assert_eq!(parse(text), Err(JwksError::NotASet), "{text}");
    }
    assert_eq!(parse(r#"{"keys":[]}"#), Err(JwksError::NoUsableKey(Vec::new())));
    assert!(
        matches!(parse(r#"{"keys":[{}]}"#), Err(JwksError::NoUsableKey(warnings)) if warnings.len() == 1)
    );
    assert_eq!(parse(&" ".repeat(512 * 1024 + 1)), Err(JwksError::TooLong));
    assert_eq!(parse(&json!({"keys": vec![json!({}); 65]}).to_string()), Err(JwksError::TooManyKeys));
}

#[test]
fn keys_beyond_the_limit_of_their_type_are_left_out() {
    let keys = [vec![rsa_jwk(); 20], vec![ec_jwk(); 3]].concat();
    let document = json!({"keys": keys});
    let set = JwkSet::parse(document.to_string().as_bytes(), &JwksLimits::default()).unwrap();
    assert_eq!((set.keys.len(), set.warnings.len()), (19, 4));
    assert!(set.warnings.iter().all(|warning| warning.reason == KeyError::TooMany));
}

proptest! {
    #[test]
    fn set_parser_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), n in "[A-Za-z0-9_-]{0,400}", e in "[A-Za-z0-9_-]{0,8}") {
        let _ = JwkSet::parse(&bytes, &JwksLimits::default());
        let _ = VerifyingKey::from_jwk(&json!({"kty": "RSA", "n": n, "e": e}));
        let _ = VerifyingKey::from_jwk(&json!({"kty": "EC", "crv": "P-256", "x": n, "y": e}));
    }
}
