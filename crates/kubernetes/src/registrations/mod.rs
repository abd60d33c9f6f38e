//! Registrations: which issuers of compute resource tokens an account trusts, and by which keys.
//!
//! A registration is a Kubernetes cluster or an OpenID Connect issuer. It refuses keys that another registration of the
//! same issuer has: tokens of default issuers, which all clusters share, are told apart by their keys alone.

pub mod http;
pub mod rules;
pub mod sql;

use avouch_gate::audit;
use avouch_gate::audit::unasked::{self, Unasked};
use avouch_gate::{Endpoint, Target};
use avouch_policy::access::ResourceAttrs;
use avouch_policy::rules::CrType;
use avouch_wire::crn::Crn;
use avouch_wire::ids::AccountId;
use avouch_wire::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fetch::document::Remote;

/// What is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A Kubernetes or OpenShift cluster.
    Cluster,
    /// An OpenID Connect issuer, such as a CI system.
    Issuer,
}

impl Kind {
    /// The word in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Cluster => "cluster",
            Kind::Issuer => "issuer",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Kind::Cluster, Kind::Issuer].into_iter().find(|k| k.as_str() == text)
    }

    /// How people call it.
    pub fn shown(self) -> &'static str {
        match self {
            Kind::Cluster => "Cluster",
            Kind::Issuer => "Issuer",
        }
    }

    /// IAM action of a verb.
    pub fn action(self, verb: Verb) -> &'static str {
        match (self, verb) {
            (Kind::Cluster, Verb::Create) => "containers-kubernetes.cluster.create",
            (Kind::Cluster, Verb::Read) => "containers-kubernetes.cluster.read",
            (Kind::Cluster, Verb::Update) => "containers-kubernetes.cluster.update",
            (Kind::Cluster, Verb::Delete) => "containers-kubernetes.cluster.delete",
            (Kind::Cluster, Verb::Operate) => "containers-kubernetes.cluster.operate",
            (Kind::Issuer, Verb::Create) => "iam-identity.idp.create",
            (Kind::Issuer, Verb::Read) => "iam-identity.idp.get",
            (Kind::Issuer, Verb::Update) => "iam-identity.idp.update",
            (Kind::Issuer, Verb::Delete) => "iam-identity.idp.delete",
            (Kind::Issuer, Verb::Operate) => "iam-identity.idp.test",
        }
    }

    /// Type of the audit target.
    pub fn target_type(self) -> &'static str {
        match self {
            Kind::Cluster => "containers-kubernetes/cluster",
            Kind::Issuer => "iam-identity/issuer",
        }
    }

    /// The event of a background refresh.
    pub fn refresh_event(self) -> &'static Unasked {
        match self {
            Kind::Cluster => &unasked::CLUSTER_KEYS,
            Kind::Issuer => &unasked::ISSUER_KEYS,
        }
    }
}

/// What is done with a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Verb {
    Create,
    Read,
    Update,
    Delete,
    Operate,
}

/// Where the keys of one issuer come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Uploaded; never fetched.
    Inline,
    /// The discovery document.
    DiscoveryUrl(String),
    /// The key set.
    JwksUrl(String),
}

impl Source {
    /// Where to fetch; `None`: nowhere.
    pub fn remote(&self) -> Option<Remote> {
        match self {
            Source::Inline => None,
            Source::DiscoveryUrl(url) => Some(Remote::Discovery(url.clone())),
            Source::JwksUrl(url) => Some(Remote::Keys(url.clone())),
        }
    }
}

/// An issuer of a registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerSettings {
    /// `iss`, compared byte for byte.
    pub issuer: String,
    /// Where its keys come from.
    pub source: Source,
}

impl IssuerSettings {
    /// Whether the keys come from the issuer's own origin, so that it says itself what they are.
    pub fn speaks_for_itself(&self) -> bool {
        let (Source::DiscoveryUrl(url) | Source::JwksUrl(url)) = &self.source else { return false };
        origin(url).is_some_and(|of| origin(&self.issuer) == Some(of))
    }
}

/// Host and port of an `https` address, in small letters.
fn origin(url: &str) -> Option<String> {
    let authority = url.strip_prefix("https://")?.split(['/', '?', '#']).next()?;
    (!authority.is_empty()).then(|| authority.to_ascii_lowercase())
}

/// The object that tokens of a cluster must be bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BoundObject {
    /// None is needed.
    None,
    /// A pod.
    Pod,
    /// Any object that Kubernetes binds to.
    Any,
}

/// The settings of a registration; stored as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The issuer, then the further ones.
    pub issuers: Vec<IssuerSettings>,
    /// Certificates (PEM) trusted for fetches, beside those of the system.
    pub ca_pem: Option<String>,
    /// Fetch with the token that is configured for the origin.
    pub with_token: bool,
    /// Audiences, one of which a token must name.
    pub audiences: Vec<String>,
    /// No further audience may be named.
    pub single_audience: bool,
    /// Longest life of a token, seconds.
    pub max_token_ttl: i64,
    /// Names of algorithms.
    pub allowed_algs: Vec<String>,
    /// The object that tokens must be bound to.
    pub require_bound_object: BoundObject,
    /// Tokens bound to a secret are accepted.
    pub allow_secret_bound: bool,
    /// API server that is asked about each token.
    pub token_review: Option<String>,
    /// Networks that tokens may be presented from; empty: any.
    pub allowed_source_cidrs: Vec<ipnet::IpNet>,
    /// Issued tokens do not outlive the presented ones.
    pub cr_token_cap: bool,
    /// Hosts that a discovery document may name, beside its own.
    pub allowed_hosts: Vec<String>,
}

impl Settings {
    /// Whether keys of any issuer are fetched.
    pub fn remote(&self) -> bool {
        self.issuers.iter().any(|i| i.source != Source::Inline)
    }
}

/// A registration as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Id.
    pub id: String,
    /// Account.
    pub account: AccountId,
    /// What is registered.
    pub kind: Kind,
    /// Name, unique in the account.
    pub name: String,
    /// Type in links, rules and evidence.
    pub cr_type: CrType,
    /// Region of a cluster.
    pub region: String,
    /// Resource group of a cluster.
    pub resource_group: String,
    /// Tokens are accepted.
    pub active: bool,
    /// Settings.
    pub settings: Settings,
    /// Revision.
    pub etag: String,
    /// Raised with every change that counts for verification.
    pub version: i64,
    /// When keys were last fetched or uploaded.
    pub last_refresh: Option<Timestamp>,
    /// Why the last fetch failed.
    pub last_error: Option<String>,
    /// When keys are fetched next.
    pub next_refresh: Option<Timestamp>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub modified_at: Timestamp,
}

impl Registration {
    /// The CRN that links name and tokens carry.
    ///
    /// # Errors
    /// `Internal` for an id or region outside the grammar, which is never stored.
    pub fn crn(&self, cname: &str) -> avouch_gate::Result<Crn> {
        let crn = match self.kind {
            Kind::Cluster => {
                let service = if self.cr_type == CrType::RoksSa {
                    "containers-openshift"
                } else {
                    "containers-kubernetes"
                };
                Crn::cluster(service, &self.region, &self.account, &self.id)
            }
            Kind::Issuer => Crn::service_instance("iam-identity", "", &self.account, "")
                .and_then(|c| c.with_resource("issuer", &self.id)),
        };
        crn.and_then(|c| c.with_cname(cname)).map_err(avouch_gate::Error::internal)
    }

    /// What decisions and events see.
    pub fn target(&self, cname: &str) -> Target {
        let crn = self.crn(cname).map(|c| c.to_string()).unwrap_or_default();
        match self.kind {
            Kind::Cluster => Target {
                account: self.account.clone(),
                attrs: cluster_attrs(&self.account, &self.region, &self.resource_group).instance(&self.id),
                crn,
                name: self.name.clone(),
                type_uri: self.kind.target_type().into(),
                resource_group: Crn::resource_group(&self.account, &self.resource_group)
                    .ok()
                    .map(|c| c.to_string()),
                log_source: audit::log_source("containers-kubernetes", &self.region, &self.account, &self.id),
            },
            Kind::Issuer => {
                let attrs =
                    ResourceAttrs::service(&self.account, "iam-identity").resource("issuer", &self.id);
                Target::global("iam-identity", &self.account, attrs, crn)
                    .named(self.name.clone())
                    .of_type(self.kind.target_type())
            }
        }
    }
}

fn cluster_attrs(account: &AccountId, region: &str, resource_group: &str) -> ResourceAttrs {
    // Clusters of both kinds are decided as clusters of the one service that has roles for them.
    ResourceAttrs::service(account, "containers-kubernetes").region(region).resource_group(resource_group)
}

/// The target of a registration that does not exist yet.
pub fn new_target(kind: Kind, account: &AccountId, region: &str, resource_group: &str, name: &str) -> Target {
    match kind {
        Kind::Cluster => Target {
            account: account.clone(),
            attrs: cluster_attrs(account, region, resource_group),
            crn: String::new(),
            name: name.to_owned(),
            type_uri: kind.target_type().into(),
            resource_group: Crn::resource_group(account, resource_group).ok().map(|c| c.to_string()),
            log_source: audit::log_source("containers-kubernetes", region, account, ""),
        },
        Kind::Issuer => {
            let attrs = ResourceAttrs::service(account, "iam-identity").resource_type("issuer");
            Target::global("iam-identity", account, attrs, "").named(name).of_type(kind.target_type())
        }
    }
}

/// Endpoints of clusters.
pub fn cluster_endpoints() -> Vec<Endpoint> {
    const TYPE: &str = "containers-kubernetes/cluster";
    const READ: &[&str] = &["containers-kubernetes.cluster.read"];
    const UPDATE: &[&str] = &["containers-kubernetes.cluster.update"];
    const OPERATE: &[&str] = &["containers-kubernetes.cluster.operate"];
    const K: Kind = Kind::Cluster;
    vec![
        Endpoint::post("/avouch/v1/clusters", "register_cluster", |c, r| http::create(c, r, K))
            .actions(&["containers-kubernetes.cluster.create"])
            .events(TYPE, &["iam-identity.cluster.register"]),
        Endpoint::get("/avouch/v1/clusters", "list_registered_clusters", |c, r| http::list(c, r, K))
            .actions(READ),
        Endpoint::get("/avouch/v1/clusters/{id}", "get_registered_cluster", |c, r| http::get(c, r, K))
            .actions(READ),
        Endpoint::patch("/avouch/v1/clusters/{id}", "update_cluster", |c, r| http::update(c, r, K))
            .actions(UPDATE)
            .events(TYPE, &["iam-identity.cluster.update"]),
        Endpoint::put("/avouch/v1/clusters/{id}", "replace_cluster", |c, r| http::replace(c, r, K))
            .actions(UPDATE)
            .events(TYPE, &["iam-identity.cluster.update"]),
        Endpoint::delete("/avouch/v1/clusters/{id}", "delete_cluster", |c, r| http::delete(c, r, K))
            .actions(&["containers-kubernetes.cluster.delete"])
            .events(TYPE, &["iam-identity.cluster.delete"]),
        Endpoint::post("/avouch/v1/clusters/{id}/refresh", "refresh_cluster", |c, r| http::refresh(c, r, K))
            .actions(OPERATE)
            .events(TYPE, &["iam-identity.cluster.refresh"]),
        Endpoint::post("/avouch/v1/clusters/{id}/keys/{kid}/revoke", "revoke_cluster_key", |c, r| {
            http::revoke(c, r, K)
        })
        .protective(true)
        .actions(UPDATE)
        .events(TYPE, &["iam-identity.cluster-key.revoke"]),
        Endpoint::post("/avouch/v1/clusters/{id}/diagnose", "diagnose_cluster", |c, r| {
            http::diagnose(c, r, K)
        })
        .actions(OPERATE)
        .events(TYPE, &["iam-identity.cluster.diagnose"])
        .effect(avouch_gate::Effect::Read),
    ]
}

/// Endpoints of issuers.
pub fn issuer_endpoints() -> Vec<Endpoint> {
    const TYPE: &str = "iam-identity/issuer";
    const READ: &[&str] = &["iam-identity.idp.get"];
    const UPDATE: &[&str] = &["iam-identity.idp.update"];
    const OPERATE: &[&str] = &["iam-identity.idp.test"];
    const K: Kind = Kind::Issuer;
    vec![
        Endpoint::post("/avouch/v1/issuers", "register_issuer", |c, r| http::create(c, r, K))
            .actions(&["iam-identity.idp.create"])
            .events(TYPE, &["iam-identity.issuer.register"]),
        Endpoint::get("/avouch/v1/issuers", "list_issuers", |c, r| http::list(c, r, K)).actions(READ),
        Endpoint::get("/avouch/v1/issuers/{id}", "get_issuer", |c, r| http::get(c, r, K)).actions(READ),
        Endpoint::patch("/avouch/v1/issuers/{id}", "update_issuer", |c, r| http::update(c, r, K))
            .actions(UPDATE)
            .events(TYPE, &["iam-identity.issuer.update"]),
        Endpoint::put("/avouch/v1/issuers/{id}", "replace_issuer", |c, r| http::replace(c, r, K))
            .actions(UPDATE)
            .events(TYPE, &["iam-identity.issuer.update"]),
        Endpoint::delete("/avouch/v1/issuers/{id}", "delete_issuer", |c, r| http::delete(c, r, K))
            .actions(&["iam-identity.idp.delete"])
            .events(TYPE, &["iam-identity.issuer.delete"]),
        Endpoint::post("/avouch/v1/issuers/{id}/refresh", "refresh_issuer", |c, r| http::refresh(c, r, K))
            .actions(OPERATE)
            .events(TYPE, &["iam-identity.issuer.refresh"]),
        Endpoint::post("/avouch/v1/issuers/{id}/keys/{kid}/revoke", "revoke_issuer_key", |c, r| {
            http::revoke(c, r, K)
        })
        .protective(true)
        .actions(UPDATE)
        .events(TYPE, &["iam-identity.issuer-key.revoke"]),
        Endpoint::post("/avouch/v1/issuers/{id}/diagnose", "diagnose_issuer", |c, r| http::diagnose(c, r, K))
            .actions(OPERATE)
            .events(TYPE, &["iam-identity.issuer.diagnose"])
            .effect(avouch_gate::Effect::Read),
    ]
}
