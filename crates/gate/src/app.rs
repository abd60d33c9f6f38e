//! What all requests share: store, clock, keys, caches, and the seams between services.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

use avouch_crypto::envelope::KeyRing;
use avouch_crypto::rng::Random;
use avouch_policy::roles::Catalogue;
use avouch_store::Store;

use crate::access::AccessCache;
use crate::audit::writer::AuditWriter;
use crate::authn::Authenticator;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::bodies::Bodies;
use crate::links::{
    AccessCleaner, AccessSource, ComputeExchange, EvidenceVerifier, GroupMembers, IdentitySource,
    InstanceHooks, InstanceSource, ProfileLinker, ResourceGroupSource, TrustExplainer,
};
use crate::metrics::Metrics;
use crate::permits::PermitCounts;
use crate::rate::FailureLimiter;
use crate::room::Room;
use crate::unverified::Unverified;

/// The seams, filled by `server`.
pub struct Links {
    /// Policies, groups, roles.
    pub access: Arc<dyn AccessSource>,
    /// Liveness of identities.
    pub identities: Arc<dyn IdentitySource>,
    /// Resource groups.
    pub groups: Arc<dyn ResourceGroupSource>,
    /// Service instances.
    pub instances: Arc<dyn InstanceSource>,
    /// Reactions to instances that come and go.
    pub hooks: Vec<Arc<dyn InstanceHooks>>,
    /// Services whose objects are in resource groups, beside the instances.
    pub members: Vec<Arc<dyn GroupMembers>>,
    /// Ends access to removed instances, and of removed users.
    pub cleaner: Arc<dyn AccessCleaner>,
    /// Links profiles to virtual servers.
    pub linker: Arc<dyn ProfileLinker>,
    /// Gives tokens of profiles to compute resources that are known by their channel.
    pub exchange: Arc<dyn ComputeExchange>,
    /// Verifies compute resource tokens.
    pub evidence: Arc<dyn EvidenceVerifier>,
    /// Explains trust to the services that verify evidence.
    pub trust: Arc<dyn TrustExplainer>,
}

/// Shared state of the server.
pub struct App {
    /// Settings.
    pub config: Config,
    /// The store.
    pub store: Store,
    /// Wall clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Random>,
    /// Envelope keys.
    pub keyring: Arc<KeyRing>,
    /// Verifies bearer tokens.
    pub authn: Authenticator,
    /// Roles and actions.
    pub catalogue: &'static Catalogue,
    /// Per-account pictures of who may do what.
    pub access: AccessCache,
    /// Group-committed audit writer.
    pub audit: AuditWriter,
    /// Seams between services.
    pub links: Links,
    /// Limits failed exchanges per address.
    pub failures: FailureLimiter,
    /// Refusals of what nobody can verify, until they are told.
    pub unverified: Unverified,
    /// Counters.
    pub metrics: Metrics,
    /// Room on the disk of the store.
    pub room: Room,
    /// Room for the bodies of requests.
    pub bodies: Arc<Bodies>,
    /// Permits by policy that are not written down yet.
    pub permits: PermitCounts,
    states: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("App")
    }
}

/// What [`App::new`] is made of.
pub struct Parts {
    /// Settings.
    pub config: Config,
    /// The store, migrated.
    pub store: Store,
    /// Wall clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Random>,
    /// Envelope keys.
    pub keyring: Arc<KeyRing>,
    /// Seams between services.
    pub links: Links,
    /// Private state of services, by type.
    pub states: Vec<Arc<dyn Any + Send + Sync>>,
}

impl App {
    /// Assembles the shared state; needs a running tokio runtime for the audit writer.
    pub fn new(parts: Parts) -> Arc<Self> {
        let states = parts.states.into_iter().map(|s| ((*s).type_id(), s)).collect();
        Arc::new(Self {
            authn: Authenticator::new(parts.config.issuer(), parts.clock.clone()),
            catalogue: Catalogue::builtin(),
            access: AccessCache::default(),
            audit: AuditWriter::start(parts.store.clone()),
            failures: FailureLimiter::new(parts.config.limits.failed_exchanges_per_minute),
            unverified: Unverified::default(),
            metrics: Metrics::new(),
            permits: PermitCounts::default(),
            room: Room::new(parts.store.folder()),
            bodies: Bodies::new(parts.config.limits.large_bodies_bytes),
            config: parts.config,
            store: parts.store,
            clock: parts.clock,
            rng: parts.rng,
            keyring: parts.keyring,
            links: parts.links,
            states,
        })
    }

    /// Private state of a service, registered at start.
    ///
    /// # Errors
    /// `Internal` when nothing of that type was registered, which is a defect of the assembly.
    pub fn state<T: Any + Send + Sync>(&self) -> crate::error::Result<Arc<T>> {
        self.states
            .get(&TypeId::of::<T>())
            .cloned()
            .and_then(|s| s.downcast::<T>().ok())
            .ok_or_else(|| crate::error::Error::internal(format!("no state {}", std::any::type_name::<T>())))
    }
}
