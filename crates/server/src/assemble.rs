//! Wires the services to each other and to the store. The one place that knows them all.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;

use avouch_crypto::envelope::KeyRing;
use avouch_crypto::rng::{Random, SystemRandom};
use avouch_gate::app::{Links, Parts};
use avouch_gate::clock::{Clock, SystemClock};
use avouch_gate::config::Config;
use avouch_gate::http::Router;
use avouch_gate::links::{IdentitySource, IdentityState, Person};
use avouch_gate::{App, Service};
use avouch_store::{Store, StoreConfig, Target, Tx};
use avouch_wire::ids::{AccountId, IamId, IamKind};

use crate::system;

/// Under which name the store remembers the key that it was sealed under.
const KEYRING: &str = "keyring";
const WRONG_KEYRING: &str =
    "the key ring is not the one that this store was sealed under: put the right key file back";

/// What a server is made of.
pub struct Options {
    /// Settings.
    pub config: Config,
    /// Folder of the embedded store, key ring and `bootstrap.env`.
    pub data: PathBuf,
    /// Where the rows live; `None`: as the settings say.
    pub store: Option<StoreConfig>,
    /// Wall clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Random>,
}

impl Options {
    /// A server on the clock and randomness of the machine.
    pub fn new(config: Config, data: PathBuf) -> Self {
        Self {
            config,
            data,
            store: None,
            clock: Arc::new(SystemClock::default()),
            rng: Arc::new(SystemRandom),
        }
    }
}

/// A server that can answer.
#[derive(Debug, Clone)]
pub struct Assembled {
    /// Shared state.
    pub app: Arc<App>,
    /// Endpoint table.
    pub router: Arc<Router>,
}

/// Every service that this server speaks, in the order of the documents.
pub fn services() -> Vec<Service> {
    vec![
        system::service(),
        avouch_iam::token_service(),
        avouch_iam::identity_service(),
        avouch_iam::policy_service(),
        avouch_iam::groups_service(),
        avouch_iam::explain_service(),
        avouch_kubernetes::service(),
        avouch_kubernetes::containers_service(),
        avouch_secrets::service(),
        avouch_platform::resource_service(),
        avouch_platform::resource_manager_service(),
        avouch_platform::accounts_service(),
        avouch_platform::audit_service(),
        avouch_vpc::service(),
    ]
}

/// Opens the store and its key ring. Opening a store waits, so this must run where waiting is allowed: in a runtime's
/// `spawn_blocking`.
///
/// # Errors
/// Texts for the operator: a folder in use, a database that is too new, a key file that others may read.
pub fn open_store(options: &Options) -> anyhow::Result<(Store, Arc<KeyRing>)> {
    let named = options.config.store.as_str();
    if options.store.is_none() && named != "sqlite" && !named.starts_with("postgres") {
        // Not repeated: it may hold a password.
        anyhow::bail!("store: neither 'sqlite' nor a postgres:// address");
    }
    let readers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let config = options.store.clone().unwrap_or_else(|| {
        let target = if options.config.store.starts_with("postgres") {
            Target::Postgres(options.config.store.clone())
        } else {
            Target::Sqlite(options.data.clone())
        };
        StoreConfig { target, readers: readers.max(2) * 2 }
    });
    // Nobody else has business in it. A folder that is there already keeps its mode: an administrator chose it.
    std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
        .recursive(true)
        .create(&options.data)
        .map_err(|e| anyhow::anyhow!("cannot use the data folder {}: {e}", options.data.display()))?;
    let store = Store::open(&config)?;
    let file = if options.config.keyring.is_empty() {
        options.data.join("keyring")
    } else {
        PathBuf::from(&options.config.keyring)
    };
    // A store that remembers a key has a key file somewhere: a new one here would only be in its way. In this order,
    // since another replica at its first start makes the file and then lets the store remember it.
    if remembers_a_key(&store)? && !file.try_exists()? {
        anyhow::bail!(WRONG_KEYRING);
    }
    let keyring = KeyRing::open_or_create(&file, options.rng.clone())?;
    Ok((store, Arc::new(keyring)))
}

fn remembers_a_key(store: &Store) -> anyhow::Result<bool> {
    let known = store.read::<_, avouch_store::Error, _>(|tx| tx.system_value(KEYRING));
    Ok(tokio::runtime::Handle::try_current()?.block_on(known)?.is_some())
}

/// Builds the server on an open store.
///
/// # Errors
/// When two endpoints claim the same method and path, or the signing keys cannot be loaded.
pub async fn assemble(options: Options, store: Store, keyring: Arc<KeyRing>) -> anyhow::Result<Assembled> {
    keyring_belongs(&store, &keyring).await?;
    let kubernetes = avouch_kubernetes::Kubernetes::new(&options.config)
        .map_err(|e| anyhow::anyhow!("{}", e.cause_text().unwrap_or(e.message())))?;
    let kubernetes = Arc::new(kubernetes);
    avouch_vpc::place::check(&options.config).map_err(|e| anyhow::anyhow!(e))?;
    let tokens = Arc::new(avouch_iam::token::Tokens::new());
    let links_per_profile = options.config.limits.links_per_profile;
    let wake = Arc::new(avouch_vpc::instances::life::Wake::default());
    let identity = Arc::new(avouch_vpc::metadata::identity::Keys::default());
    let shells = Arc::new(avouch_vpc::instances::exec::Shells::default());
    let states: Vec<Arc<dyn Any + Send + Sync>> = vec![kubernetes.clone(), tokens, wake, identity, shells];
    let app = App::new(Parts {
        config: options.config,
        store,
        clock: options.clock,
        rng: options.rng,
        keyring,
        links: Links {
            access: Arc::new(avouch_iam::access_source::Access),
            identities: Arc::new(Identities),
            groups: Arc::new(avouch_platform::resource_groups::ResourceGroups),
            instances: Arc::new(avouch_platform::instances::Instances),
            hooks: vec![Arc::new(avouch_secrets::Hooks)],
            members: vec![kubernetes.clone(), Arc::new(avouch_vpc::Vpc)],
            cleaner: Arc::new(avouch_iam::access_source::Access),
            linker: Arc::new(avouch_iam::links::servers::Linker { limit: links_per_profile }),
            exchange: Arc::new(avouch_iam::token::by_channel::Exchange),
            evidence: kubernetes,
            trust: Arc::new(avouch_iam::explain::Explainer),
        },
        states,
    });
    let router = Router::new(services()).map_err(|e| anyhow::anyhow!("endpoint table: {e}"))?;
    avouch_iam::signing_keys::start(&app)
        .await
        .map_err(|e| anyhow::anyhow!("signing keys: {}", e.cause_text().unwrap_or(e.message())))?;
    Ok(Assembled { app, router: Arc::new(router) })
}

/// A lost or exchanged key file would start with a fresh key and find nothing that it can open: the store remembers
/// which key it was sealed under.
async fn keyring_belongs(store: &Store, keyring: &Arc<KeyRing>) -> anyhow::Result<()> {
    let active = keyring.active_id();
    let known: Option<Vec<u8>> = store
        .write::<_, avouch_store::Error, _>(move |tx| {
            let known = tx.system_value(KEYRING)?;
            if known.is_none() {
                tx.set_system_value(KEYRING, active.to_string().as_bytes())?;
            }
            Ok(known)
        })
        .await?;
    let Some(known) = known else { return Ok(()) };
    let id = std::str::from_utf8(&known).ok().and_then(|t| t.parse().ok());
    if id.is_none_or(|id| !keyring.contains(id)) {
        anyhow::bail!(WRONG_KEYRING);
    }
    Ok(())
}

/// Users live in `platform`, profiles and service IDs in `iam`; a service acting as itself lives as long as its CRN
/// is trusted by an authorization.
struct Identities;

impl IdentitySource for Identities {
    fn state(
        &self,
        tx: &mut Tx<'_>,
        account: &AccountId,
        iam_id: &IamId,
    ) -> avouch_gate::Result<IdentityState> {
        match iam_id.kind() {
            IamKind::User => {
                let mut state = avouch_platform::users::state(tx, account, iam_id)?;
                state.revoked_before = avouch_iam::states::revoked_before(tx, account, iam_id)?;
                Ok(state)
            }
            _ => avouch_iam::states::state(tx, account, iam_id),
        }
    }

    fn person(
        &self,
        tx: &mut Tx<'_>,
        account: &AccountId,
        iam_id: &IamId,
    ) -> avouch_gate::Result<Option<Person>> {
        match iam_id.kind() {
            IamKind::User => avouch_platform::users::person(tx, account, iam_id),
            _ => Ok(None),
        }
    }

    fn member_elsewhere(
        &self,
        tx: &mut Tx<'_>,
        account: &AccountId,
        iam_id: &IamId,
    ) -> avouch_gate::Result<bool> {
        avouch_platform::users::sql::elsewhere(tx, account, iam_id)
    }
}
