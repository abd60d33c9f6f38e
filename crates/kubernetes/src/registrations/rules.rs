//! What a registration may say: from the request to settings, the same for create, replace and patch.

use avouch_crypto::Alg;
use avouch_gate::{Error, Result};
use avouch_policy::rules::CrType;
use avouch_wire::kubernetes::{AdditionalIssuer, FetchPolicy, KeySource, RegistrationRequest};
use avouch_wire::text;
use serde_json::{Map, Value, json};

use super::{BoundObject, IssuerSettings, Kind, Registration, Settings, Source};
use crate::fetch::document::{self, ParsedSet};
use crate::fetch::{FetchError, Fetcher, certificates};

const ISSUER_MAX: usize = 2048;
const ADDITIONAL: usize = 4;
const AUDIENCES: usize = 4;
const CIDRS: usize = 32;
const DEFAULT_ALGS: [Alg; 3] = [Alg::RS256, Alg::ES256, Alg::ES384];
/// Tokens of this issuer have no expiry and no audience.
const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";
/// Instance identity tokens are exchanged on their own channel only.
const INSTANCE_ISSUERS: &str = "VSI-CR_";

/// Keys that came with a request, by issuer.
#[derive(Debug)]
pub enum Given {
    /// Uploaded keys.
    Keys(ParsedSet),
    /// Nothing was uploaded: the stored keys stay, or they are fetched.
    Nothing,
}

/// A request that holds.
#[derive(Debug)]
pub struct Checked {
    /// Name.
    pub name: String,
    /// Type.
    pub cr_type: CrType,
    /// Whether tokens are accepted.
    pub active: bool,
    /// Settings.
    pub settings: Settings,
    /// Keys that came along, one entry per issuer of the settings.
    pub given: Vec<Given>,
    /// Register although keys cannot be fetched.
    pub allow_unreachable: bool,
    /// What is doubtful.
    pub warnings: Vec<String>,
}

/// Checks a request.
///
/// # Errors
/// `Invalid` or `Missing`, naming the field.
pub fn check(
    kind: Kind,
    request: RegistrationRequest,
    existing: Option<&Registration>,
    fetcher: &Fetcher,
    own_issuer: &str,
) -> Result<Checked> {
    let mut warnings = Vec::new();
    if !text::dns_label(&request.name) {
        return Err(Error::invalid("name", "The property 'name' must be a DNS label of 1 to 63 characters."));
    }
    if kind == Kind::Issuer {
        only_clusters(&request)?;
    }
    let cr_type = match (kind, request.cr_type.as_deref()) {
        (Kind::Issuer, None | Some("OIDC")) => CrType::Oidc,
        (Kind::Issuer, Some(_)) => {
            return Err(Error::invalid("cr_type", "The property 'cr_type' of an issuer is OIDC."));
        }
        (Kind::Cluster, Some("IKS_SA")) => CrType::IksSa,
        (Kind::Cluster, Some("ROKS_SA")) => CrType::RoksSa,
        (Kind::Cluster, None) => return Err(Error::missing("cr_type")),
        (Kind::Cluster, Some(_)) => {
            return Err(Error::invalid("cr_type", "The property 'cr_type' must be IKS_SA or ROKS_SA."));
        }
    };
    let active = match request.state.as_deref() {
        None | Some("active") => true,
        Some("disabled") => false,
        Some(_) => return Err(Error::invalid("state", "The property 'state' must be active or disabled.")),
    };
    if request.additional_issuers.len() > ADDITIONAL {
        return Err(Error::invalid("additional_issuers", "At most 4 additional issuers are allowed."));
    }
    let mut issuers = Vec::new();
    let mut given = Vec::new();
    let first = AdditionalIssuer {
        issuer: request.issuer.clone(),
        jwks: request.jwks.clone(),
        discovery_url: request.discovery_url.clone(),
        jwks_url: request.jwks_url.clone(),
    };
    for (n, entry) in std::iter::once(first).chain(request.additional_issuers.iter().cloned()).enumerate() {
        let field = if n == 0 { "issuer" } else { "additional_issuers" };
        check_issuer(&entry.issuer, field, own_issuer)?;
        if issuers.iter().any(|i: &IssuerSettings| i.issuer == entry.issuer) {
            return Err(Error::invalid(field, "An issuer is given twice."));
        }
        let kept = existing
            .and_then(|r| r.settings.issuers.iter().find(|i| i.issuer == entry.issuer))
            .is_some_and(|i| i.source == Source::Inline);
        let issuer = entry.issuer.clone();
        let (source, keys) = source(entry, kept, fetcher, &mut warnings)?;
        issuers.push(IssuerSettings { issuer, source });
        given.push(keys);
    }
    let settings = Settings {
        issuers,
        ca_pem: match request.ca_pem.filter(|p| !p.trim().is_empty()) {
            Some(pem) => {
                certificates(&pem).map_err(|e| Error::invalid("ca_pem", e.to_string()))?;
                Some(pem)
            }
            None => None,
        },
        with_token: match request.auth.as_deref() {
            None | Some("none") => false,
            Some("bearer_file") => true,
            Some(_) => {
                return Err(Error::invalid("auth", "The property 'auth' must be none or bearer_file."));
            }
        },
        audiences: audiences(kind, request.audiences)?,
        single_audience: request.single_audience,
        max_token_ttl: match request.max_token_ttl.unwrap_or(3600) {
            n @ 60..=3600 => n,
            _ => {
                return Err(Error::invalid(
                    "max_token_ttl",
                    "The property 'max_token_ttl' must be 60 to 3600.",
                ));
            }
        },
        allowed_algs: algorithms(request.allowed_algs)?,
        require_bound_object: match request.require_bound_object.as_deref() {
            None | Some("any") => BoundObject::Any,
            Some("pod") => BoundObject::Pod,
            Some("none") => BoundObject::None,
            Some(_) => {
                return Err(Error::invalid(
                    "require_bound_object",
                    "The property 'require_bound_object' must be none, pod or any.",
                ));
            }
        },
        allow_secret_bound: request.allow_secret_bound,
        token_review: review(
            request.online_check.as_deref(),
            request.api_server_url,
            request.reviewer_token_file.as_deref(),
            fetcher,
        )?,
        allowed_source_cidrs: networks(&request.allowed_source_cidrs)?,
        cr_token_cap: request.cr_token_cap,
        allowed_hosts: hosts(request.fetch_policy)?,
    };
    if settings.with_token {
        for issuer in &settings.issuers {
            let (Source::DiscoveryUrl(url) | Source::JwksUrl(url)) = &issuer.source else { continue };
            if fetcher.token_file(url).is_none() {
                return Err(Error::invalid("auth", FetchError::NoTokenFile.to_string()));
            }
        }
    }
    if kind == Kind::Cluster && settings.require_bound_object == BoundObject::None {
        warnings.push("tokens without a bound object live on when the pod that used them is gone".into());
    }
    Ok(Checked {
        name: request.name,
        cr_type,
        active,
        settings,
        given,
        allow_unreachable: request.allow_unreachable,
        warnings,
    })
}

fn only_clusters(request: &RegistrationRequest) -> Result<()> {
    let present = [
        ("region", request.region.is_some()),
        ("resource_group", request.resource_group.is_some()),
        ("additional_issuers", !request.additional_issuers.is_empty()),
        ("require_bound_object", request.require_bound_object.is_some()),
        ("allow_secret_bound", request.allow_secret_bound),
        ("online_check", request.online_check.is_some()),
        ("api_server_url", request.api_server_url.is_some()),
        ("reviewer_token_file", request.reviewer_token_file.is_some()),
    ];
    match present.iter().find(|(_, given)| *given) {
        Some((field, _)) => {
            Err(Error::invalid(*field, format!("The property '{field}' is for clusters only.")))
        }
        None => Ok(()),
    }
}

fn check_issuer(issuer: &str, field: &'static str, own: &str) -> Result<()> {
    let printable =
        text::printable(issuer, ISSUER_MAX) && !issuer.is_empty() && !issuer.chars().any(char::is_whitespace);
    if !printable {
        return Err(Error::invalid(
            field,
            "An issuer must be 1 to 2048 printable characters without spaces.",
        ));
    }
    let authority =
        issuer.split_once("://").map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or(rest));
    if authority.is_some_and(|a| a.contains('@')) {
        // It would be shown in answers and in the trail.
        return Err(Error::invalid(field, "An issuer must not carry a user name or password."));
    }
    if issuer == LEGACY_ISSUER {
        return Err(Error::invalid(
            field,
            "Tokens of the legacy issuer neither expire nor name an audience: not accepted.",
        ));
    }
    if issuer == own || issuer.starts_with(INSTANCE_ISSUERS) {
        return Err(Error::invalid(field, "This issuer is reserved."));
    }
    Ok(())
}

fn source(
    entry: AdditionalIssuer,
    kept: bool,
    fetcher: &Fetcher,
    warnings: &mut Vec<String>,
) -> Result<(Source, Given)> {
    let named = KeySource {
        jwks: entry.jwks.clone(),
        discovery_url: entry.discovery_url.clone(),
        jwks_url: entry.jwks_url.clone(),
    };
    match (entry.jwks, entry.discovery_url, entry.jwks_url) {
        (Some(jwks), None, None) => {
            let set = document::parse(jwks.to_string().as_bytes()).map_err(|e| Error::invalid("jwks", e))?;
            warnings.extend(set.warnings.iter().cloned());
            Ok((Source::Inline, Given::Keys(set)))
        }
        (None, Some(url), None) => {
            fetcher.check_address(&url).map_err(|e| refused("discovery_url", &e))?;
            Ok((Source::DiscoveryUrl(url), Given::Nothing))
        }
        (None, None, Some(url)) => {
            fetcher.check_address(&url).map_err(|e| refused("jwks_url", &e))?;
            Ok((Source::JwksUrl(url), Given::Nothing))
        }
        (None, None, None) if kept => Ok((Source::Inline, Given::Nothing)),
        _ => Err(Error::invalid(
            "jwks",
            if named.named() == 0 {
                "One of the properties 'jwks', 'discovery_url' and 'jwks_url' is required."
            } else {
                "Only one of the properties 'jwks', 'discovery_url' and 'jwks_url' is allowed."
            },
        )),
    }
}

/// A fetch that failed, as an answer to whoever asked for it. What the settings refuse is told as forbidden, which also
/// makes the event critical.
pub fn refused(field: &'static str, e: &FetchError) -> Error {
    let error = Error::invalid(field, format!("The keys cannot be fetched: {e}.")).code("key_source");
    if e.is_refused() { error.with_status(403).reason("fetch_refused") } else { error }
}

fn audiences(kind: Kind, given: Option<Vec<String>>) -> Result<Vec<String>> {
    let list = match (given, kind) {
        (Some(list), _) => list,
        (None, Kind::Cluster) => vec!["iam".to_owned()],
        (None, Kind::Issuer) => return Err(Error::missing("audiences")),
    };
    let good = (1..=AUDIENCES).contains(&list.len())
        && list.iter().all(|a| !a.is_empty() && text::printable(a, 255) && a.trim() == a);
    if good {
        Ok(list)
    } else {
        Err(Error::invalid("audiences", "1 to 4 audiences of printable text are required."))
    }
}

fn algorithms(given: Option<Vec<String>>) -> Result<Vec<String>> {
    let Some(list) = given else { return Ok(DEFAULT_ALGS.iter().map(|a| a.name().to_owned()).collect()) };
    if list.is_empty() || list.iter().any(|name| name.parse::<Alg>().is_err()) {
        let known: Vec<&str> = Alg::ALL.iter().map(|a| a.name()).collect();
        return Err(Error::invalid("allowed_algs", format!("Algorithms are: {}.", known.join(", "))));
    }
    Ok(list)
}

fn review(
    online: Option<&str>,
    url: Option<String>,
    file: Option<&str>,
    fetcher: &Fetcher,
) -> Result<Option<String>> {
    match online {
        None | Some("off") => Ok(None),
        Some("token_review") => {
            let url = url.ok_or_else(|| Error::missing("api_server_url"))?;
            fetcher.check_address(&url).map_err(|e| refused("api_server_url", &e))?;
            // Paths come from the server's configuration only; the request may repeat the path, not choose it.
            let configured = fetcher.token_file(&url);
            let same = file.is_none_or(|f| configured.is_some_and(|c| c.as_os_str() == f));
            if configured.is_none() || !same {
                return Err(Error::invalid("reviewer_token_file", FetchError::NoTokenFile.to_string()));
            }
            Ok(Some(url))
        }
        Some(_) => {
            Err(Error::invalid("online_check", "The property 'online_check' must be off or token_review."))
        }
    }
}

fn networks(given: &[String]) -> Result<Vec<ipnet::IpNet>> {
    let bad =
        || Error::invalid("allowed_source_cidrs", "At most 32 networks such as 10.0.0.0/8 are allowed.");
    if given.len() > CIDRS {
        return Err(bad());
    }
    given.iter().map(|c| c.parse().map_err(|_| bad())).collect()
}

fn hosts(policy: Option<FetchPolicy>) -> Result<Vec<String>> {
    let list = policy.unwrap_or_default().allowed_hosts;
    if list.len() > 16
        || list.iter().any(|h| !text::dns_subdomain(h) && h.parse::<std::net::IpAddr>().is_err())
    {
        return Err(Error::invalid(
            "fetch_policy",
            "The property 'allowed_hosts' must be at most 16 host names.",
        ));
    }
    Ok(list)
}

/// The request that would make this registration, without uploaded keys: the base of a patch, and what answers show.
pub fn as_request(r: &Registration, fetcher: &Fetcher) -> RegistrationRequest {
    let s = &r.settings;
    let urls = |source: &Source| match source {
        Source::Inline => (None, None),
        Source::DiscoveryUrl(url) => (Some(url.clone()), None),
        Source::JwksUrl(url) => (None, Some(url.clone())),
    };
    let (discovery_url, jwks_url) = s.issuers.first().map(|i| urls(&i.source)).unwrap_or_default();
    let cluster = r.kind == Kind::Cluster;
    RegistrationRequest {
        name: r.name.clone(),
        cr_type: Some(r.cr_type.as_str().to_owned()),
        region: cluster.then(|| r.region.clone()),
        resource_group: cluster.then(|| r.resource_group.clone()),
        issuer: s.issuers.first().map(|i| i.issuer.clone()).unwrap_or_default(),
        additional_issuers: s
            .issuers
            .iter()
            .skip(1)
            .map(|i| {
                let (discovery_url, jwks_url) = urls(&i.source);
                AdditionalIssuer { issuer: i.issuer.clone(), jwks: None, discovery_url, jwks_url }
            })
            .collect(),
        jwks: None,
        discovery_url,
        jwks_url,
        ca_pem: s.ca_pem.clone(),
        auth: s.with_token.then(|| "bearer_file".to_owned()),
        audiences: Some(s.audiences.clone()),
        single_audience: s.single_audience,
        max_token_ttl: Some(s.max_token_ttl),
        allowed_algs: Some(s.allowed_algs.clone()),
        require_bound_object: cluster.then(|| {
            match s.require_bound_object {
                BoundObject::None => "none",
                BoundObject::Pod => "pod",
                BoundObject::Any => "any",
            }
            .to_owned()
        }),
        allow_secret_bound: s.allow_secret_bound,
        online_check: cluster
            .then(|| if s.token_review.is_some() { "token_review" } else { "off" }.to_owned()),
        reviewer_token_file: s
            .token_review
            .as_deref()
            .and_then(|url| fetcher.token_file(url))
            .map(|p| p.display().to_string()),
        api_server_url: s.token_review.clone(),
        allowed_source_cidrs: s.allowed_source_cidrs.iter().map(ToString::to_string).collect(),
        cr_token_cap: s.cr_token_cap,
        state: Some(if r.active { "active" } else { "disabled" }.to_owned()),
        fetch_policy: (!s.allowed_hosts.is_empty())
            .then(|| FetchPolicy { allowed_hosts: s.allowed_hosts.clone() }),
        allow_unreachable: false,
    }
}

/// Lays a patch over the present request. A key source in the patch replaces the present one of whatever kind; `null`
/// takes a member away.
///
/// # Errors
/// `Invalid` when the patch is no object or the result has not the expected shape.
pub fn patched(base: &RegistrationRequest, patch: Value) -> Result<RegistrationRequest> {
    let Value::Object(patch) = patch else {
        return Err(Error::invalid("body", "The request body must be an object."));
    };
    let mut merged = match json!(base) {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    const SOURCES: [&str; 3] = ["jwks", "discovery_url", "jwks_url"];
    if SOURCES.iter().any(|s| patch.get(*s).is_some_and(|v| !v.is_null())) {
        for source in SOURCES {
            merged.remove(source);
        }
    }
    for (name, value) in patch {
        if value.is_null() {
            merged.remove(&name);
        } else {
            merged.insert(name, value);
        }
    }
    avouch_gate::http::request::from_value(Value::Object(merged))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;
    use avouch_crypto::SigningKey;

    fn fetcher() -> Fetcher {
        Fetcher::new(&avouch_gate::config::Fetch::default()).unwrap()
    }

    fn request(change: impl FnOnce(&mut Value)) -> Result<Checked> {
        let key = SigningKey::generate(Alg::ES256).unwrap();
        let mut body = json!({"name": "c1", "cr_type": "IKS_SA", "issuer": "https://k.test", "jwks": {"keys": [key.jwk("k")]}});
        change(&mut body);
        let kind = if body["cr_type"] == "OIDC" { Kind::Issuer } else { Kind::Cluster };
        let parsed = avouch_gate::http::request::from_value(body)?;
        check(kind, parsed, None, &fetcher(), "https://avouch.test/identity")
    }

    fn field(result: Result<Checked>) -> String {
        result.unwrap_err().field_name().unwrap_or_default().to_owned()
    }

    #[test]
    fn defaults_are_the_published_ones() {
        let c = request(|_| {}).unwrap();
        assert_eq!(c.settings.audiences, ["iam"]);
        assert_eq!(c.settings.max_token_ttl, 3600);
        assert_eq!(c.settings.allowed_algs, ["RS256", "ES256", "ES384"]);
        assert_eq!(c.settings.require_bound_object, BoundObject::Any);
        assert!(c.active && !c.settings.remote());
    }

    #[test]
    fn every_value_outside_its_range_is_refused_by_name() {
        let set = |name: &'static str, value: Value| field(request(|b| b[name] = value));
        assert_eq!(set("name", json!("A b")), "name");
        assert_eq!(set("cr_type", json!("VSI")), "cr_type");
        for issuer in [
            "",
            "a b",
            "kubernetes/serviceaccount",
            "VSI-CR_us-south",
            "https://avouch.test/identity",
            "x\u{0}",
        ] {
            assert_eq!(set("issuer", json!(issuer)), "issuer", "{issuer}");
        }
        for ttl in [0, 59, 3601, -1] {
            assert_eq!(set("max_token_ttl", json!(ttl)), "max_token_ttl");
        }
        for algs in [json!([]), json!(["none"]), json!(["HS256"]), json!(["rs256"])] {
            assert_eq!(set("allowed_algs", algs), "allowed_algs");
        }
        for audiences in [json!([]), json!(["iam "]), json!([""]), json!(["a", "b", "c", "d", "e"])] {
            assert_eq!(set("audiences", audiences), "audiences");
        }
        assert_eq!(set("issuer", json!("https://u:p@a.test")), "issuer", "it would be shown");
        assert_eq!(set("discovery_url", json!("https://a.test/x")), "jwks", "two sources");
        assert_eq!(field(request(|b| b["jwks"] = Value::Null)), "jwks", "no source");
        assert_eq!(set("ca_pem", json!("nonsense")), "ca_pem");
        assert_eq!(set("allowed_source_cidrs", json!(["10.0.0.0/33"])), "allowed_source_cidrs");
        assert_eq!(set("state", json!("gone")), "state");
        assert_eq!(set("online_check", json!("token_review")), "api_server_url");
    }

    #[test]
    fn addresses_that_the_settings_refuse_are_forbidden() {
        for url in ["https://169.254.169.254/keys", "https://127.0.0.1/keys", "https://10.0.0.1/keys"] {
            let e = request(|b| {
                b["jwks"] = Value::Null;
                b["jwks_url"] = json!(url);
            })
            .unwrap_err();
            assert_eq!((e.status_override(), e.field_name()), (Some(403), Some("jwks_url")), "{url}");
        }
    }

    #[test]
    fn a_token_file_is_never_chosen_by_a_request() {
        let e = request(|b| {
            b["online_check"] = json!("token_review");
            b["api_server_url"] = json!("https://203.0.113.5:6443");
            b["reviewer_token_file"] = json!("/etc/shadow");
        })
        .unwrap_err();
        assert_eq!(e.field_name(), Some("reviewer_token_file"));
    }

    #[test]
    fn an_issuer_has_no_members_of_kubernetes() {
        let issuer = |b: &mut Value| {
            b["cr_type"] = json!("OIDC");
            b["audiences"] = json!(["iam"]);
        };
        assert_eq!(request(issuer).unwrap().cr_type, CrType::Oidc);
        let with = |name: &'static str, v: Value| {
            field(request(|b| {
                issuer(b);
                b[name] = v;
            }))
        };
        assert_eq!(with("require_bound_object", json!("pod")), "require_bound_object");
        assert_eq!(with("audiences", Value::Null), "audiences");
    }

    #[test]
    fn a_patch_replaces_the_key_source_and_keeps_the_rest() {
        let base = RegistrationRequest {
            name: "c1".into(),
            issuer: "https://k.test".into(),
            discovery_url: Some("https://a.test/d".into()),
            max_token_ttl: Some(600),
            ..RegistrationRequest::default()
        };
        let p = patched(&base, json!({"jwks_url": "https://a.test/k", "max_token_ttl": null})).unwrap();
        assert_eq!((p.discovery_url, p.jwks_url.as_deref()), (None, Some("https://a.test/k")));
        assert_eq!(p.max_token_ttl, None);
        assert_eq!(p.issuer, "https://k.test");
        assert!(patched(&base, json!({"no_such": 1})).is_err());
        assert!(patched(&base, json!([])).is_err());
    }
}
