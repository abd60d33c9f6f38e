//! What must not get a token.

use avouch_crypto::{Alg, SigningKey, base64url, digest};
use avouch_testkit::{TestApp, TestIssuer};
use serde_json::{Value, json};

use crate::world::{CR_TOKEN, ISSUER, World, code, exchange, profile, register, text};

fn raw(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let input =
        format!("{}.{}", base64url::encode(header.to_string()), base64url::encode(claims.to_string()));
    format!("{input}.{}", base64url::encode(sign(input.as_bytes())))
}

#[tokio::test]
async fn the_algorithm_belongs_to_the_key() {
    let w = World::new().await;
    let claims = w.issuer.claims("team-a", "reader", "reader-0", w.now());
    let public = w.issuer.jwks()["keys"][0].to_string();
    let secrets: [&[u8]; 3] = [public.as_bytes(), b"", b"secret"];
    for alg in ["none", "None", "NONE", "HS256", "HS384", "HS512", "hs256", "es256", "ES256 ", "EdDSA", ""] {
        for secret in secrets {
            let header = json!({"alg": alg, "kid": w.issuer.kid});
            let r = w.exchange(&raw(&header, &claims, |i| digest::hmac_sha256(secret, i).to_vec())).await;
            assert_eq!(
                (r.status, &r.body["errorMessage"]),
                (400, &json!("cr_token could not be parsed")),
                "{alg}"
            );
        }
    }
    // An RSA signature under the id of an EC key, and the other way round.
    let rsa = SigningKey::generate(Alg::RS256).unwrap();
    let r = w.exchange(&raw(&json!({"alg": "RS256", "kid": w.issuer.kid}), &claims, |i| rsa.sign(i))).await;
    assert_eq!(
        (r.status, &r.body["errorMessage"]),
        (400, &json!("cr_token signature could not be validated"))
    );
    let empty = format!(
        "{}.",
        raw(&json!({"alg": "ES256", "kid": w.issuer.kid}), &claims, |_| vec![]).trim_end_matches('.')
    );
    assert_eq!(w.code(&empty).await, "BXNIM0407E");
}

#[tokio::test]
async fn a_key_that_the_token_brings_is_ignored() {
    let w = World::new().await;
    let mine = SigningKey::generate(Alg::ES256).unwrap();
    let claims = w.issuer.claims("team-a", "reader", "reader-0", w.now());
    for kid in [w.issuer.kid.as_str(), "mine"] {
        let header = json!({
            "alg": "ES256", "kid": kid, "jwk": mine.jwk("mine"), "jku": "https://127.0.0.1:1/keys",
            "x5u": "https://127.0.0.1:1/cert", "x5c": ["AAAA"],
        });
        let r = w.exchange(&raw(&header, &claims, |i| mine.sign(i))).await;
        assert_eq!((code(&r), r.status), ("BXNIM0407E".into(), 400));
    }
}

#[tokio::test]
async fn unknown_issuer_unknown_key_wrong_signature_revoked_key_and_disabled_cluster_look_alike() {
    let w = World::new().await;
    let texts = |r: avouch_testkit::TestResponse| {
        (
            r.status,
            r.body["errorCode"].clone(),
            r.body["errorMessage"].clone(),
            r.body["errorDetails"].clone(),
        )
    };
    let wanted = (400, json!("BXNIM0407E"), json!("cr_token signature could not be validated"), Value::Null);
    let stranger = TestIssuer::new("https://elsewhere.test");
    assert_eq!(texts(w.exchange(&stranger.token("team-a", "reader", "p", w.now())).await), wanted);
    let other_key = TestIssuer::new(ISSUER);
    assert_eq!(texts(w.exchange(&other_key.token("team-a", "reader", "p", w.now())).await), wanted);
    let mut same_kid = TestIssuer::new(ISSUER);
    same_kid.kid.clone_from(&w.issuer.kid);
    assert_eq!(texts(w.exchange(&same_kid.token("team-a", "reader", "p", w.now())).await), wanted);
    let instance = TestIssuer::new("VSI-CR_us-south");
    assert_eq!(texts(w.exchange(&instance.token("team-a", "reader", "p", w.now())).await), wanted);

    let token = w.token();
    assert_eq!(w.code(&token).await, "ok");
    let admin = w.admin.with_header("if-match", "*");
    let off = admin.patch(&w.path(), json!({"state": "disabled"})).await;
    assert_eq!(off.status, 200, "{}", off.body);
    assert_eq!(texts(w.exchange(&token).await), wanted);
    assert_eq!(admin.patch(&w.path(), json!({"state": "active"})).await.status, 200);
    assert_eq!(w.code(&token).await, "ok");
    let path = format!("{}/keys/{}/revoke", w.path(), w.issuer.kid);
    let revoked = w.admin.post(&path, Value::Null).await;
    assert_eq!((revoked.status, &revoked.body["keys"][0]["state"]), (200, &json!("revoked")));
    assert_eq!(texts(w.exchange(&token).await), wanted);
    assert_eq!(w.admin.delete(&w.path()).await.status, 204);
    assert_eq!(texts(w.exchange(&token).await), wanted);
}

#[tokio::test]
async fn the_issuer_is_compared_byte_for_byte() {
    let w = World::new().await;
    for issuer in [
        "https://kubernetes.default.svc.cluster.local/",
        "https://Kubernetes.default.svc.cluster.local",
        "https://kubernetes.default.svc.cluster.local:443",
        "https://kubernetes.default.svc.cluster",
        "https://kubernetes.default.svc.cluster.local.evil.test",
        " https://kubernetes.default.svc.cluster.local",
        "https://kubernetes.default.svc.cluster.l\u{3bf}cal",
        "",
    ] {
        assert_eq!(w.code(&w.forged(|c| c["iss"] = json!(issuer))).await, "BXNIM0407E", "{issuer}");
    }
    assert_eq!(w.code(&w.forged(|c| c["iss"] = json!([ISSUER]))).await, "BXNIM0407E");
    assert_eq!(
        w.code(&w.forged(|c| {
            c.as_object_mut().unwrap().remove("iss");
        }))
        .await,
        "BXNIM0407E"
    );
}

#[tokio::test]
async fn audience_life_and_clock_are_checked() {
    let w = World::new().await;
    let now = w.now();
    let set = |name: &'static str, v: Value| w.forged(move |c| c[name] = v);
    for audience in
        [json!("iam "), json!("IAM"), json!(["https://kubernetes.default.svc"]), json!([]), json!(null)]
    {
        assert_eq!(w.code(&set("aud", audience.clone())).await, "BXNIM0481E", "{audience}");
    }
    assert_eq!(
        w.code(&w.forged(|c| {
            c.as_object_mut().unwrap().remove("aud");
        }))
        .await,
        "BXNIM0481E"
    );
    assert_eq!(w.code(&set("aud", json!(["vault", "iam"]))).await, "ok");
    assert_eq!(w.code(&set("aud", json!("iam"))).await, "ok");
    assert_eq!(w.code(&set("exp", json!(now + 3601))).await, "BXNIM0480E");
    assert_eq!(w.code(&set("exp", json!(now + 365 * 86_400))).await, "BXNIM0480E");
    assert_eq!(w.code(&set("exp", json!((now + 600) * 1000))).await, "BXNIM0480E");
    assert_eq!(w.code(&set("exp", json!((now + 600).to_string()))).await, "BXNIM0407E");
    assert_eq!(w.code(&set("nbf", json!(now + 90))).await, "BXNIM0407E");
    assert_eq!(w.code(&set("iat", json!(now + 61))).await, "BXNIM0407E");
    assert_eq!(
        w.code(&w.forged(|c| c["kubernetes.io"]["warnafter"] = json!(now + 3000))).await,
        "BXNIM0480E"
    );
    assert_eq!(
        w.code(&w.forged(|c| {
            c.as_object_mut().unwrap().remove("exp");
        }))
        .await,
        "BXNIM0407E",
        "legacy"
    );
    let token = w.token();
    let details = w.exchange(&set("exp", json!(now + 7200))).await.body["errorDetails"].clone();
    assert!(
        details.as_str().unwrap().contains("7200") && details.as_str().unwrap().contains("expirationSeconds")
    );
    w.t.advance_secs(3600 + 59);
    assert_eq!(w.code(&token).await, "ok");
    w.t.advance_secs(1);
    assert_eq!(w.code(&token).await, "BXNIM0408E");
}

#[tokio::test]
async fn numbers_beyond_reason_are_no_panic() {
    let w = World::new().await;
    let claims = w.issuer.claims("team-a", "reader", "reader-0", w.now()).to_string();
    let kid = w.issuer.kid.clone();
    for number in
        ["1e400", "-1e400", "1e308", "9223372036854775808", "-9223372036854775808", "0.5", "1e-400", "NaN"]
    {
        let body = claims.replace(&format!("\"exp\":{}", w.now() + 3600), &format!("\"exp\":{number}"));
        assert_ne!(body, claims);
        let header = json!({"alg": "ES256", "kid": kid}).to_string();
        let input = format!("{}.{}", base64url::encode(header), base64url::encode(&body));
        // Signed by the right key all the same, so that the claims are looked at.
        let token = w.issuer.sign_raw(&input);
        let r = w.exchange(&token).await;
        assert_eq!((r.status, code(&r)), (400, "BXNIM0407E".into()), "{number}");
    }
}

#[tokio::test]
async fn names_follow_kubernetes_and_agree() {
    let w = World::new().await;
    for (sub, namespace, account) in [
        ("system:serviceaccount:team-b:reader", "team-a", "reader"),
        ("system:serviceaccount:team-a:reader", "team-b", "reader"),
        ("system:serviceaccount:team-a:reader", "team-a", "writer"),
        ("system:serviceaccount:team-a:b:reader", "team-a", "b:reader"),
        ("system:serviceaccount:Team-a:reader", "Team-a", "reader"),
        ("system:serviceaccount:te\u{430}m-a:reader", "te\u{430}m-a", "reader"),
        ("system:node:team-a:reader", "team-a", "reader"),
        ("team-a:reader", "team-a", "reader"),
        ("", "team-a", "reader"),
    ] {
        let token = w.forged(|c| {
            c["sub"] = json!(sub);
            c["kubernetes.io"]["namespace"] = json!(namespace);
            c["kubernetes.io"]["serviceaccount"]["name"] = json!(account);
        });
        assert_eq!(w.code(&token).await, "BXNIM0407E", "{sub}");
    }
    for broken in [json!(null), json!([]), json!("x"), json!({})] {
        assert_eq!(
            w.code(&w.forged(|c| c["kubernetes.io"] = broken.clone())).await,
            "BXNIM0407E",
            "{broken}"
        );
    }
}

#[tokio::test]
async fn doubled_members_are_refused() {
    let w = World::new().await;
    let claims = w.issuer.claims("team-a", "reader", "reader-0", w.now()).to_string();
    for extra in [
        r#"{"aud":["x"],"#,
        r#"{"sub":"system:serviceaccount:team-a:admin","#,
        r#"{"kubernetes.io":{},"#,
        r#"{"exp":1,"#,
        r#"{"i\u0073s":"x","#,
    ] {
        let body = format!("{extra}{}", &claims[1..]);
        let header = json!({"alg": "ES256", "kid": w.issuer.kid}).to_string();
        let input = format!("{}.{}", base64url::encode(header), base64url::encode(body));
        let r = w.exchange(&w.issuer.sign_raw(&input)).await;
        assert_eq!(
            (code(&r), &r.body["errorMessage"]),
            ("BXNIM0407E".into(), &json!("cr_token could not be parsed"))
        );
    }
}

#[tokio::test]
async fn the_bound_object_is_what_the_registration_wants() {
    let unbound = |c: &mut Value| {
        c["kubernetes.io"].as_object_mut().unwrap().remove("pod");
    };
    let secret = |c: &mut Value| {
        unbound(c);
        c["kubernetes.io"]["secret"] = json!({"name": "s", "uid": "u"});
    };
    let node = |c: &mut Value| {
        unbound(c);
        c["kubernetes.io"]["node"] = json!({"name": "n", "uid": "u"});
    };
    let any = World::new().await;
    assert_eq!(any.code(&any.forged(unbound)).await, "BXNIM0407E");
    assert_eq!(any.code(&any.forged(secret)).await, "BXNIM0407E");
    assert_eq!(any.code(&any.forged(node)).await, "ok");
    assert_eq!(
        any.code(&any.forged(|c| c["kubernetes.io"]["pod"] = json!({"name": "p"}))).await,
        "BXNIM0407E"
    );
    let pod = World::with(json!({"require_bound_object": "pod"})).await;
    assert_eq!(pod.code(&pod.forged(node)).await, "BXNIM0407E");
    assert_eq!(pod.code(&pod.token()).await, "ok");
    let none = World::with(json!({"require_bound_object": "none", "allow_secret_bound": true})).await;
    assert_eq!(none.code(&none.forged(unbound)).await, "ok");
    assert_eq!(none.code(&none.forged(secret)).await, "ok");
}

#[tokio::test]
async fn sizes_are_bounded_before_anything_is_decoded() {
    let w = World::new().await;
    for token in [".".repeat(30_000), "a".repeat(30_000), format!("a.{}.b", "e".repeat(20_000))] {
        assert_eq!(w.code(&token).await, "BXNIM0407E");
    }
    let form = format!("grant_type={CR_TOKEN}&cr_token={}", "a".repeat(1 << 20));
    let r =
        w.t.anon()
            .send("POST", "/identity/token", "application/x-www-form-urlencoded", form.into_bytes())
            .await;
    assert_eq!((r.status, code(&r)), (400, "BXNIM0407E".into()));
    let deep = w.forged(|c| {
        let mut v = json!(1);
        for _ in 0..20 {
            v = json!([v]);
        }
        c["x"] = v;
    });
    assert_eq!(w.code(&deep).await, "BXNIM0407E");
    let wide = w.forged(|c| (0..70).for_each(|n| c[format!("c{n}")] = json!(n)));
    assert_eq!(w.code(&wide).await, "BXNIM0407E");
}

#[tokio::test]
async fn two_clusters_of_one_issuer_are_told_apart_by_their_keys() {
    let w = World::new().await;
    let second = TestIssuer::new(ISSUER);
    let r = register(&w.admin, "c2", &second, json!({})).await;
    assert_eq!(r.status, 201, "{}", r.body);
    // The same service account of the other cluster.
    let token = second.token("team-a", "reader", "reader-0", w.now());
    let refused = w.exchange(&token).await;
    assert_eq!(code(&refused), "BXNIM0398E");
    assert!(text(&refused.body, "errorDetails").contains("c2:team-a:reader:reader-0"));
    assert_eq!(w.code(&w.token()).await, "ok");
    // The id of one cluster's key on a token of the other.
    let mut confused = TestIssuer::new("https://other.test");
    assert_eq!(register(&w.admin, "c3", &confused, json!({})).await.status, 201);
    confused.issuer = ISSUER.into();
    assert_eq!(w.code(&confused.token("team-a", "reader", "p", w.now())).await, "BXNIM0407E");
}

#[tokio::test]
async fn a_stranger_with_the_same_issuer_reaches_his_own_profiles_only() {
    let w = World::new().await;
    let outsider = w.t.outsider().await;
    let theirs = register(&outsider, "c1", &w.issuer, json!({})).await;
    assert_eq!(theirs.status, 409, "{}", theirs.body);
    assert!(!theirs.text.contains(w.id()) && !theirs.text.contains(w.t.account()));
    let own = TestIssuer::new(ISSUER);
    assert_eq!(register(&outsider, "c1", &own, json!({})).await.status, 201);
    let token = own.token("team-a", "reader", "reader-0", w.now());
    for selector in [
        ("profile_id", text(&w.profile, "id")),
        ("profile_crn", text(&w.profile, "crn")),
        ("profile_name", "builder"),
    ] {
        let r = exchange(&w.t, &token, &[selector]).await;
        assert_eq!(code(&r), "BXNIM0398E", "{selector:?}");
        assert!(!r.text.contains("builder") || selector.0 == "profile_name");
    }
    let unknown = "Profile-00000000-0000-4000-8000-000000000000";
    let none = exchange(&w.t, &token, &[("profile_id", unknown)]).await;
    let other = exchange(&w.t, &token, &[("profile_id", text(&w.profile, "id"))]).await;
    let blank = |r: &avouch_testkit::TestResponse, id: &str| text(&r.body, "errorDetails").replace(id, "X");
    assert_eq!(
        blank(&none, unknown),
        blank(&other, text(&w.profile, "id")),
        "unknown and not eligible look alike"
    );
}

#[tokio::test]
async fn a_token_does_not_travel_in_addresses() {
    let w = World::new().await;
    let query = format!("/identity/token?grant_type={CR_TOKEN}&profile_name=builder&cr_token={}", w.token());
    let r = w.t.anon().get(&query).await;
    assert_eq!((r.status, code(&r)), (405, "BXNIM0060E".into()));
}

#[tokio::test]
async fn a_registered_network_is_the_only_place_a_token_works_from() {
    let w = World::with(json!({"allowed_source_cidrs": ["203.0.113.0/24"]})).await;
    assert_eq!(w.code(&w.token()).await, "BXNIM0484E");
    let token = w.token();
    let fields = [("grant_type", CR_TOKEN), ("cr_token", token.as_str()), ("profile_name", "builder")];
    let inside = w.t.anon_from([203, 0, 113, 7].into()).form("/identity/token", &fields).await;
    assert_eq!(inside.status, 200, "{}", inside.body);
}

#[tokio::test]
async fn tokens_of_our_own_are_no_evidence() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    profile(&t, &admin, "builder").await;
    let own = TestIssuer::new("http://avouch.test/identity");
    assert_eq!(register(&admin, "c1", &own, json!({})).await.status, 400);
    let r = exchange(&t, admin.token(), &[("profile_name", "builder")]).await;
    assert_eq!(code(&r), "BXNIM0407E");
}
