//! Kubernetes clusters and OpenID Connect issuers as sources of workload identity: their registration, their keys, and
//! the verification of the tokens that they sign.

mod containers;
mod errors;
pub mod evidence;
pub mod fetch;
pub mod keys;
pub mod registrations;

use std::sync::{Arc, OnceLock};

use avouch_crypto::rng;
use avouch_gate::config::Config;
use avouch_gate::links::GroupMembers;
use avouch_gate::{App, Error, Result, Service};
use avouch_store::Tx;
use avouch_wire::ids::AccountId;

use crate::evidence::Reviews;
use crate::fetch::Fetcher;
use crate::keys::guard::{Guards, Refreshes};
use crate::keys::registry::Registry;

/// Private state of this service, and the verifier of compute resource tokens.
#[derive(Debug)]
pub struct Kubernetes {
    /// Makes fetches within the settings of the server.
    pub fetcher: Fetcher,
    registry: Registry,
    guards: Guards,
    reviews: Reviews,
    refreshes: Refreshes,
    holder: OnceLock<String>,
}

impl Kubernetes {
    /// From the settings.
    ///
    /// # Errors
    /// `Internal` with a cause that names the setting at fault.
    pub fn new(config: &Config) -> Result<Self> {
        Ok(Self {
            fetcher: Fetcher::new(&config.fetch).map_err(Error::internal)?,
            registry: Registry::default(),
            guards: Guards::default(),
            reviews: Reviews::default(),
            refreshes: Refreshes::default(),
            holder: OnceLock::new(),
        })
    }

    /// The name of this replica in leases: no two processes share it.
    fn holder(&self, app: &App) -> String {
        self.holder.get_or_init(|| format!("{}-{}", app.config.node, rng::hex(app.rng.as_ref(), 8))).clone()
    }
}

impl GroupMembers for Kubernetes {
    fn any_in_group(&self, tx: &mut Tx<'_>, account: &AccountId, group: &str) -> Result<bool> {
        registrations::sql::any_in_group(tx, account, group)
    }
}

/// Registrations: `/avouch/v1/clusters` and `/avouch/v1/issuers`.
pub fn service() -> Service {
    let mut endpoints = registrations::cluster_endpoints();
    endpoints.extend(registrations::issuer_endpoints());
    Service {
        name: "containers-kubernetes",
        display: "Kubernetes Service",
        endpoints,
        render: errors::render,
    }
}

/// The published reads of clusters, and the refresh of a cluster's master.
pub fn containers_service() -> Service {
    Service {
        name: "containers",
        display: "Kubernetes Service",
        endpoints: containers::endpoints(),
        render: errors::render,
    }
}

/// One round of background work: keys are fetched anew.
///
/// # Errors
/// Those of the store.
pub async fn tick(app: &Arc<App>) -> Result<()> {
    let kubernetes = app.state::<Kubernetes>()?;
    keys::refresh::tick(app, &kubernetes).await
}
