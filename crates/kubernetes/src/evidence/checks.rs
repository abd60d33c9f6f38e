//! Checks on the claims of a token whose signature is right.

use std::net::IpAddr;

use avouch_gate::{Error, Kind as ErrorKind, Result};
use avouch_policy::claims::{self, ClaimValue, Claims};
use avouch_policy::reason::Reason;
use avouch_policy::rules::ComputeIdentity;
use avouch_wire::text as texts;
use avouch_wire::time::Timestamp;
use serde_json::{Map, Value};

use super::trace::Trace;
use super::{LEEWAY_SECS, unparsable};
use crate::keys::registry::Loaded;
use crate::registrations::{BoundObject, Kind, Settings};

/// Numbers from here on cannot be told apart as doubles.
const EXACT: f64 = 9_007_199_254_740_992.0;
const SUBJECT_MAX: usize = 512;
const DEPTH: usize = 4;

/// A claim that is a text.
pub fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name).and_then(Value::as_str)
}

/// The issuer once more, now from the signed claims.
pub fn issuer(claims: &Map<String, Value>, wanted: &str, trace: &mut Trace) -> Result<()> {
    if text(claims, "iss") == Some(wanted) {
        return Ok(());
    }
    trace.fail("issuer", || Reason::check("issuer", false).on("iss").wanted(wanted));
    Err(unparsable("issuer"))
}

/// One of the registered audiences must be named, exactly.
pub fn audience(claims: &Map<String, Value>, settings: &Settings, trace: &mut Trace) -> Result<()> {
    let named: Option<Vec<&str>> = match claims.get("aud") {
        Some(Value::String(one)) => Some(vec![one.as_str()]),
        Some(Value::Array(many)) => many.iter().map(Value::as_str).collect(),
        _ => None,
    };
    let found = named.as_ref().map(|n| n.join(", "));
    let named = named.unwrap_or_default();
    let fits = named.iter().any(|a| settings.audiences.iter().any(|w| w == a));
    let single = !settings.single_audience || named.len() == 1;
    let wanted = settings.audiences.join(", ");
    let reason = || {
        let reason = Reason::check("audience", fits && single)
            .on("aud")
            .operator("IN")
            .wanted(&wanted)
            .found_opt(found);
        if fits && !single { reason.detail("further audiences are not allowed") } else { reason }
    };
    if fits && single {
        trace.pass("audience", reason);
        return Ok(());
    }
    trace.fail("audience", reason);
    Err(Error::new(ErrorKind::Invalid, "The audience of cr_token is not accepted.")
        .code("BXNIM0481E")
        .details(format!("The token must name one of these audiences: {wanted}."))
        .reason("audience"))
}

/// A time of a token, in whole seconds.
fn seconds(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let number = value.as_f64().filter(|f| f.is_finite() && (0.0..EXACT).contains(f));
    match (value.as_i64(), number) {
        (Some(whole), Some(_)) => Ok(Some(whole)),
        #[allow(clippy::cast_possible_truncation)] // within the exact range
        (None, Some(decimal)) => Ok(Some(decimal.floor() as i64)),
        _ => Err(unparsable("time_claim")),
    }
}

/// Life and age. Returns the expiry.
pub fn times(
    claims: &Map<String, Value>,
    settings: &Settings,
    at: Timestamp,
    trace: &mut Trace,
) -> Result<i64> {
    let now = at.secs();
    let read = |name| seconds(claims, name);
    let (exp, iat, nbf) = match (read("exp"), read("iat"), read("nbf")) {
        (Ok(Some(exp)), Ok(Some(iat)), Ok(nbf)) if exp > iat => (exp, iat, nbf),
        _ => {
            trace.fail("times", || {
                Reason::check("times", false)
                    .on("exp")
                    .detail("'exp' and 'iat' must be times in seconds, 'exp' the later")
            });
            return Err(unparsable("time_claim"));
        }
    };
    let server = at.rfc3339_secs();
    if now >= exp + LEEWAY_SECS {
        trace.fail("times", || {
            Reason::check("times", false).on("exp").found(exp.to_string()).wanted(format!("> {now}"))
        });
        let end = Timestamp::from_secs(exp).rfc3339_secs();
        return Err(Error::new(ErrorKind::Invalid, "cr_token is expired")
            .code("BXNIM0408E")
            .details(format!("The token expired at {end}; the time of the server is {server}."))
            .reason("expired"));
    }
    for (name, value) in [("nbf", nbf), ("iat", Some(iat))] {
        if let Some(value) = value
            && now < value - LEEWAY_SECS
        {
            trace.fail("times", || {
                let ahead = value - now;
                Reason::check("times", false)
                    .on(name)
                    .found(value.to_string())
                    .wanted(format!("<= {now}"))
                    .detail(format!(
                        "the clock of the issuer is {ahead} s ahead; {LEEWAY_SECS} s are tolerated"
                    ))
            });
            return Err(Error::new(ErrorKind::Invalid, "cr_token is not valid yet")
                .code("BXNIM0407E")
                .details(format!(
                    "'{name}' of the token lies in the future; the time of the server is {server}."
                ))
                .reason("not_yet_valid"));
        }
    }
    let (life, allowed) = (exp - iat, settings.max_token_ttl);
    let reason = |ok: bool| {
        Reason::check("lifetime", ok).on("exp").wanted(format!("<= {allowed}")).found(life.to_string())
    };
    let extended = claims.get("kubernetes.io").and_then(|k| k.get("warnafter")).is_some();
    if life > allowed || extended {
        trace.fail("times", || {
            if extended { reason(false).detail("an extended token ('warnafter')") } else { reason(false) }
        });
        return Err(Error::new(ErrorKind::Invalid, "The lifetime of cr_token is too long.")
            .code("BXNIM0480E")
            .details(format!(
                "The token lives for {life} seconds, at most {allowed} are allowed: set expirationSeconds to {allowed} or less."
            ))
            .reason("lifetime"));
    }
    trace.pass("times", || reason(true));
    Ok(exp)
}

/// `system:serviceaccount:<namespace>:<service account>`, by the naming rules of Kubernetes.
fn service_account(claims: &Map<String, Value>) -> Option<(&str, &str)> {
    let rest = text(claims, "sub")?.strip_prefix("system:serviceaccount:")?;
    let (namespace, name) = rest.split_once(':')?;
    (texts::dns_label(namespace) && texts::dns_subdomain(name)).then_some((namespace, name))
}

struct Bound<'a> {
    name: &'a str,
    uid: &'a str,
}

/// A member like `pod` with its name and UID; `Err` when it is there and lacks one.
fn bound<'a>(kubernetes: &'a Map<String, Value>, member: &str) -> Result<Option<Bound<'a>>> {
    let Some(value) = kubernetes.get(member) else { return Ok(None) };
    let part = |n: &str| value.get(n).and_then(Value::as_str).filter(|t| !t.is_empty() && t.len() <= 253);
    match (part("name"), part("uid")) {
        (Some(name), Some(uid)) if texts::dns_subdomain(name) && texts::printable(uid, 253) => {
            Ok(Some(Bound { name, uid }))
        }
        _ => Err(unparsable("bound_object")),
    }
}

/// Service account and bound object of a Kubernetes token.
pub fn pod(loaded: &Loaded, claims: &Map<String, Value>, trace: &mut Trace) -> Result<ComputeIdentity> {
    let empty = Map::new();
    let kubernetes = claims.get("kubernetes.io").and_then(Value::as_object).unwrap_or(&empty);
    let nested = |object: &str, member: &str| {
        kubernetes.get(object).and_then(|o| o.get(member)).and_then(Value::as_str)
    };
    let subject = service_account(claims);
    let stated = (kubernetes.get("namespace").and_then(Value::as_str), nested("serviceaccount", "name"));
    let Some((namespace, name)) = subject.filter(|(ns, sa)| stated == (Some(*ns), Some(*sa))) else {
        trace.fail("subject", || {
            Reason::check("subject", false)
                .on("sub")
                .found_opt(text(claims, "sub"))
                .wanted("system:serviceaccount:<namespace>:<name>")
                .detail("'sub' must name the service account that 'kubernetes.io' names")
        });
        return Err(unparsable("subject"));
    };
    trace.pass("subject", || Reason::check("subject", true).on("sub").found(format!("{namespace}/{name}")));
    let settings = &loaded.registration.settings;
    let (pod, secret) = match (bound(kubernetes, "pod"), bound(kubernetes, "secret")) {
        (Ok(pod), Ok(secret)) => (pod, secret),
        _ => {
            trace.fail("bound_object", || {
                Reason::check("bound_object", false).detail("a bound object lacks name or uid")
            });
            return Err(unparsable("bound_object"));
        }
    };
    // The node of a pod may be told without its UID.
    let node = nested("node", "name").filter(|n| texts::dns_subdomain(n));
    let met = match settings.require_bound_object {
        BoundObject::None => true,
        BoundObject::Pod => pod.is_some(),
        BoundObject::Any => {
            pod.is_some() || secret.is_some() || (node.is_some() && nested("node", "uid").is_some())
        }
    };
    let secret_ok = secret.is_none() || settings.allow_secret_bound;
    let found = [pod.as_ref().map(|_| "pod"), secret.as_ref().map(|_| "secret"), node.map(|_| "node")]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ");
    let reason = || {
        let wanted = match settings.require_bound_object {
            BoundObject::None => "none",
            BoundObject::Pod => "pod",
            BoundObject::Any => "any",
        };
        let reason = Reason::check("bound_object", met && secret_ok).wanted(wanted).found(found);
        if secret_ok { reason } else { reason.detail("tokens bound to a secret are not allowed") }
    };
    if !met || !secret_ok {
        trace.fail("bound_object", reason);
        return Err(unparsable("bound_object"));
    }
    trace.pass("bound_object", reason);
    let r = &loaded.registration;
    let mut out = Claims::new();
    out.set("namespace", namespace)
        .set("name", name)
        .set("service_instance", r.id.as_str())
        .set("location", r.region.as_str())
        .set("resource_group_id", r.resource_group.as_str())
        .set("cluster_name", r.name.as_str());
    out.set_opt("resource_group_name", loaded.resource_group_name.as_deref())
        .set_opt("pod", pod.as_ref().map(|p| p.name))
        .set_opt("pod_uid", pod.as_ref().map(|p| p.uid))
        .set_opt("node", node)
        .set_opt("service_account_uid", nested("serviceaccount", "uid"))
        .set_opt("audience", claims.get("aud").and_then(ClaimValue::from_json));
    Ok(ComputeIdentity {
        cr_type: loaded.cr_type(),
        crn: loaded.crn.clone(),
        display: display(loaded, claims),
        account: r.account.clone(),
        claims: out,
    })
}

/// Subject of a token of an OpenID Connect issuer.
pub fn subject(loaded: &Loaded, claims: &Map<String, Value>, trace: &mut Trace) -> Result<ComputeIdentity> {
    let sub = text(claims, "sub").filter(|s| !s.is_empty() && texts::printable(s, SUBJECT_MAX));
    if sub.is_none() {
        trace.fail("subject", || {
            Reason::check("subject", false).on("sub").detail("'sub' must be printable text")
        });
        return Err(unparsable("subject"));
    }
    trace.pass("subject", || Reason::check("subject", true).on("sub").found_opt(sub));
    Ok(ComputeIdentity {
        cr_type: loaded.cr_type(),
        crn: loaded.crn.clone(),
        display: display(loaded, claims),
        account: loaded.registration.account.clone(),
        claims: claims::from_json_nested(claims, DEPTH),
    })
}

/// The name of the compute resource for people: `<cluster>:<namespace>:<service account>:<pod>`, or `<issuer>:<sub>`.
pub fn display(loaded: &Loaded, claims: &Map<String, Value>) -> String {
    let name = &loaded.registration.name;
    match loaded.registration.kind {
        Kind::Cluster => {
            let pod = claims
                .get("kubernetes.io")
                .and_then(|k| k.get("pod"))
                .and_then(|p| p.get("name"))
                .and_then(Value::as_str)
                .filter(|p| texts::dns_subdomain(p))
                .unwrap_or_default();
            match service_account(claims) {
                Some((namespace, account)) => format!("{name}:{namespace}:{account}:{pod}"),
                None => name.clone(),
            }
        }
        Kind::Issuer => match text(claims, "sub").filter(|s| texts::printable(s, SUBJECT_MAX)) {
            Some(sub) => format!("{name}:{sub}"),
            None => name.clone(),
        },
    }
}

/// Where the token was presented from.
pub fn address(settings: &Settings, address: IpAddr, trace: &mut Trace) -> Result<()> {
    if settings.allowed_source_cidrs.is_empty() {
        return Ok(());
    }
    let plain = match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    let inside = settings.allowed_source_cidrs.iter().any(|net| net.contains(&plain));
    let reason = || {
        let nets: Vec<String> = settings.allowed_source_cidrs.iter().map(ToString::to_string).collect();
        Reason::check("source_address", inside)
            .operator("IN")
            .wanted(nets.join(", "))
            .found(plain.to_string())
    };
    if inside {
        trace.pass("source_address", reason);
        return Ok(());
    }
    trace.fail("source_address", reason);
    Err(Error::new(ErrorKind::Invalid, "Tokens of this cluster are not accepted from this address.")
        .code("BXNIM0484E")
        .reason("source_address"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use serde_json::json;

    fn map(v: Value) -> Map<String, Value> {
        v.as_object().cloned().unwrap()
    }

    fn settings() -> Settings {
        Settings {
            issuers: Vec::new(),
            ca_pem: None,
            with_token: false,
            audiences: vec!["iam".into()],
            single_audience: false,
            max_token_ttl: 3600,
            allowed_algs: Vec::new(),
            require_bound_object: BoundObject::Any,
            allow_secret_bound: false,
            token_review: None,
            allowed_source_cidrs: Vec::new(),
            cr_token_cap: false,
            allowed_hosts: Vec::new(),
        }
    }

    #[test]
    fn audience_is_compared_exactly() {
        let check = |aud: Value| audience(&map(json!({"aud": aud})), &settings(), &mut Trace::off());
        assert!(check(json!("iam")).is_ok());
        assert!(check(json!(["other", "iam"])).is_ok());
        for bad in [
            json!("iam "),
            json!("IAM"),
            json!("ia"),
            json!([]),
            json!(null),
            json!({"iam": 1}),
            json!(["iam", 7]),
            json!("https://iam"),
        ] {
            assert!(check(bad.clone()).is_err(), "{bad}");
        }
        assert!(audience(&Map::new(), &settings(), &mut Trace::off()).is_err());
        let single = Settings { single_audience: true, ..settings() };
        assert!(audience(&map(json!({"aud": ["other", "iam"]})), &single, &mut Trace::off()).is_err());
        assert!(audience(&map(json!({"aud": ["iam"]})), &single, &mut Trace::off()).is_ok());
    }

    #[test]
    fn times_are_checked_to_the_second() {
        let now = 1_760_000_000;
        let at = Timestamp::from_secs(now);
        let code = |claims: Value| match times(&map(claims), &settings(), at, &mut Trace::off()) {
            Ok(_) => "ok".to_owned(),
            Err(e) => {
                format!("{} {}", e.code_override().unwrap_or_default(), e.reason_label().unwrap_or_default())
            }
        };
        assert_eq!(code(json!({"iat": now, "exp": now + 3600})), "ok");
        assert_eq!(code(json!({"iat": now, "exp": now + 3601})), "BXNIM0480E lifetime");
        assert_eq!(code(json!({"iat": now, "exp": now + 3607})), "BXNIM0480E lifetime");
        assert_eq!(code(json!({"iat": now - 3600, "exp": now - 59})), "ok");
        assert_eq!(code(json!({"iat": now - 3660, "exp": now - 60})), "BXNIM0408E expired");
        assert_eq!(code(json!({"iat": now + 60, "exp": now + 660})), "ok");
        assert_eq!(code(json!({"iat": now + 61, "exp": now + 660})), "BXNIM0407E not_yet_valid");
        assert_eq!(code(json!({"iat": now, "nbf": now + 90, "exp": now + 660})), "BXNIM0407E not_yet_valid");
        assert_eq!(
            code(json!({"iat": now, "exp": now + 600, "kubernetes.io": {"warnafter": now}})),
            "BXNIM0480E lifetime"
        );
        assert_eq!(code(json!({"iat": now as f64 + 0.5, "exp": now as f64 + 600.25})), "ok");
        for broken in [
            json!({"iat": now}),
            json!({"exp": now + 60}),
            json!({"iat": now, "exp": now}),
            json!({"iat": now, "exp": now - 1}),
            json!({"iat": now, "exp": (now + 60).to_string()}),
            json!({"iat": now, "exp": null}),
            json!({"iat": now, "exp": 1e300}),
            json!({"iat": -5, "exp": now + 60}),
            json!({"iat": now, "exp": true}),
            json!({"iat": now, "exp": [now]}),
        ] {
            assert_eq!(code(broken.clone()), "BXNIM0407E time_claim", "{broken}");
        }
        // In milliseconds.
        assert_ne!(code(json!({"iat": now * 1000, "exp": (now + 600) * 1000})), "ok");
        assert_ne!(code(json!({"iat": now, "exp": (now + 600) * 1000})), "ok");
    }

    #[test]
    fn subject_splits_in_one_way_only() {
        let parts =
            |sub: &str| service_account(&map(json!({"sub": sub}))).map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(parts("system:serviceaccount:a:b.c"), Some(("a".into(), "b.c".into())));
        for bad in [
            "system:serviceaccount:a:b:c",
            "system:serviceaccount:a",
            "system:serviceaccount::b",
            "system:serviceaccount:a:",
            "system:serviceaccount:A:b",
            "system:serviceaccount:a:B",
            "system:serviceaccount:a.b:c",
            "serviceaccount:a:b",
            "system:serviceaccount:\u{0430}:b",
            "system:serviceaccount:a:b ",
            " system:serviceaccount:a:b",
            "system:serviceaccount:a/..:b",
        ] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }
}
