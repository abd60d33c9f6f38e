//! Starts a server from settings: what `server`, `dev`, `demo` and tests that need a socket share.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use avouch_gate::audit::{OPERATOR_ACCOUNT, unasked};
use avouch_gate::config::Config;
use avouch_gate::ctx::background_event;
use avouch_gate::{App, Details, Error, Permit, Target};
use avouch_policy::access::ResourceAttrs;
use avouch_wire::ids::AccountId;
use tokio::task::JoinHandle;

use crate::{Assembled, Bootstrap, Options, assemble, background, bootstrap, listen, machines};

/// A server that answers.
#[derive(Debug)]
pub struct Running {
    /// Address, with the port that was given.
    pub address: SocketAddr,
    /// What the first start made; `None` on later starts.
    pub bootstrap: Option<Bootstrap>,
    /// The server.
    pub server: Assembled,
    /// Ends when the server has stopped.
    pub stopped: JoinHandle<anyhow::Result<()>>,
}

/// Settings from a file and the environment.
///
/// # Errors
/// A text that names the key at fault.
pub fn configuration(file: Option<&Path>) -> anyhow::Result<Config> {
    let mut ours = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| name.starts_with("AVOUCH_")) else { continue };
        let value = value.into_string().map_err(|_| anyhow::anyhow!("{name} is not UTF-8"))?;
        ours.push((name.to_owned(), value));
    }
    Config::load(file, ours).map_err(|e| anyhow::anyhow!(e))
}

/// Settings for a server that is gone afterwards: whatever the environment says, it touches no store, key file or address of
/// one that stays.
pub fn throw_away(config: &mut Config) {
    let fresh = Config::default();
    config.store = fresh.store;
    config.keyring = fresh.keyring;
    config.public_url = fresh.public_url;
    config.tls_cert = fresh.tls_cert;
    config.tls_key = fresh.tls_key;
}

/// Keeps what is in memory in memory: no core file is written when the process dies, and no other process of the same
/// user may look into it. For programs that hold secrets, before they hold any.
///
/// # Errors
/// When the system refuses; better no server than one that would leave its keys in a file.
pub fn seal_memory() -> anyhow::Result<()> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
        .context("core files cannot be switched off")?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("the process cannot be made undumpable")
}

/// What the process may hold open at a time, once it has taken all that it is allowed.
///
/// # Errors
/// When the system refuses.
pub fn descriptors() -> std::io::Result<u64> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// A write beyond the size that a file may have is refused, as on a full disk, and not the end of the process.
fn outlive_file_limits() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).map(drop)
}

/// Logs to standard error; `RUST_LOG` overrides the given filter.
pub fn logging(filter: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(filter));
    // A log that nobody takes (a full disk, a reader that is gone) is lost. By default its loss is told to standard error,
    // and where that is what fails, the task ends that wanted to log.
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = log.log_internal_errors(false).try_init();
}

/// A runtime with a thread for each core.
///
/// # Errors
/// When the system gives no threads.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// Resolves when the process is asked to end.
pub async fn interrupted() {
    use tokio::signal::unix::SignalKind;
    let told = async |kind| match tokio::signal::unix::signal(kind) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = told(SignalKind::interrupt()) => {}
        () = told(SignalKind::terminate()) => {}
        () = told(SignalKind::hangup()) => {}
    }
}

/// Tells the operator's trail that this replica starts: between two of these, what is missing was not recorded.
async fn started(app: &Arc<App>) -> anyhow::Result<()> {
    let told = || {
        let account = AccountId::parse(OPERATOR_ACCOUNT).map_err(Error::internal)?;
        let attrs = ResourceAttrs::service(&account, "avouch");
        let target = Target::global("avouch", &account, attrs, "")
            .named(app.config.node.clone())
            .of_type("avouch/server");
        let permit = Permit::system(&unasked::START, target);
        let mut details = Details::default();
        details.response("version", env!("CARGO_PKG_VERSION")).response("node", app.config.node.clone());
        Ok::<_, Error>(background_event(app, app.clock.now(), "Avouch", &permit, details))
    };
    let told = told().map_err(|e| anyhow::anyhow!("{e:?}"))?;
    // A server that cannot write answers what needs no event, and says that it is not ready.
    if app.audit.durable(told, Vec::new()).await.is_err() {
        tracing::error!("the start could not be recorded");
    }
    Ok(())
}

/// Binds, opens the store, makes the first account where there is none, and serves until `stop` resolves.
///
/// # Errors
/// Texts for the operator.
pub async fn start(
    mut config: Config,
    data: PathBuf,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<Running> {
    outlive_file_limits().context("signals cannot be handled")?;
    let bound = listen::bind(&config).await?;
    // Links and issuer must name the port that was really given.
    config.listen = bound.address.to_string();
    let folder = data.clone();
    let options = Options::new(config, data);
    let (options, store, keyring) = tokio::task::spawn_blocking(move || {
        let opened = assemble::open_store(&options);
        opened.map(|(store, keyring)| (options, store, keyring))
    })
    .await??;
    let server = assemble::assemble(options, store, keyring).await?;
    let made =
        bootstrap::ensure(&server.app, Some(&folder)).await.context("the first account could not be made")?;
    started(&server.app).await?;
    background::start(&server.app);
    machines::start(&server, &folder);
    let address = bound.address;
    let serving = listen::serve(bound, server.clone(), stop);
    let app = server.app.clone();
    let stopped = tokio::spawn(async move {
        let ended = serving.await;
        background::counts(&app).await;
        ended
    });
    Ok(Running { address, bootstrap: made, server, stopped })
}
