//! Runs instances by the helper (`avouch agent`): what is wanted of them becomes namespaces, sockets and processes, and what
//! becomes of these is written down. Each step may be taken twice: a server that was killed finds its instances again.

mod exec;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use avouch_agent::client::{Client, Listeners};
use avouch_agent::error::{Code, Error as AgentError};
use avouch_agent::protocol::{
    BootFile, BootStep, Event, InstanceId, Limits, Metadata, Open, Program, Protocol, State, WorkloadSpec,
};
use avouch_agent::user_data;
use avouch_gate::http::Router;
use avouch_gate::{App, Result};
use avouch_vpc::instances::exec::Shells;
use avouch_vpc::instances::life::{self, Owned, Wake};
use avouch_vpc::instances::{Instance, Status};
use avouch_vpc::metadata::{Who, service};
use avouch_vpc::objects::Object;
use avouch_wire::ids::AccountId;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::Assembled;
use crate::listen::{self, Bound};

/// How long nobody need have woken us before we look.
const LOOK: Duration = Duration::from_secs(2);
/// How long until a helper that is not there is tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// Milliseconds that what runs in an instance has to end.
const GRACE: u64 = 10_000;
/// Instances that are worked on at a time.
const AT_ONCE: usize = 16;
/// The name under which an instance reaches this server.
const OWN_NAME: &str = "avouch.internal";

/// The listeners of an instance; they end when it is dropped.
struct Doors {
    #[allow(dead_code, reason = "held for its end")]
    open: watch::Sender<()>,
    /// How the metadata service is reached.
    metadata: Option<Metadata>,
}

struct Machines {
    server: Assembled,
    socket: PathBuf,
    /// What no instance may see.
    hide: Vec<PathBuf>,
    /// Instances whose namespaces are open, with their listeners.
    open: Mutex<HashMap<String, Doors>>,
    /// Instances that are worked on.
    busy: Mutex<HashSet<String>>,
    room: Arc<Semaphore>,
}

/// Starts running instances, where the settings name a helper.
pub fn start(server: &Assembled, data: &Path) {
    let config = &server.app.config;
    let socket = config.vpc.agent.clone();
    if socket.is_empty() {
        return;
    }
    if let Ok(shells) = server.app.state::<Shells>() {
        let _ = shells.0.set(Arc::new(exec::ByHelper::new(PathBuf::from(&socket))));
    }
    // What the server itself keeps secret is in no instance, whoever runs the helper.
    let secret = [data, Path::new(&config.keyring), Path::new(&config.tls_key)];
    let machines = Arc::new(Machines {
        server: server.clone(),
        socket: socket.into(),
        hide: secret.iter().filter_map(|path| std::fs::canonicalize(path).ok()).collect(),
        open: Mutex::default(),
        busy: Mutex::default(),
        room: Arc::new(Semaphore::new(AT_ONCE)),
    });
    tokio::spawn(async move {
        loop {
            if let Err(e) = machines.serve().await {
                tracing::warn!("instances wait for the helper: {e:#}");
            }
            tokio::time::sleep(AGAIN).await;
        }
    });
}

/// A call of the helper on a connection of its own: one that takes long holds up no other.
async fn ask<T: Send + 'static>(
    socket: PathBuf,
    call: impl FnOnce(&mut Client) -> avouch_agent::Result<T> + Send + 'static,
) -> std::result::Result<T, AgentError> {
    let done = tokio::task::spawn_blocking(move || {
        let mut client = Client::connect(&socket)?;
        call(&mut client)
    });
    done.await.unwrap_or_else(|_| Err(AgentError::Protocol("the call was given up".to_owned())))
}

fn named(id: &str) -> std::result::Result<InstanceId, AgentError> {
    InstanceId::new(id)
}

impl Machines {
    fn app(&self) -> &Arc<App> {
        &self.server.app
    }

    fn node(&self) -> &str {
        &self.app().config.node
    }

    /// Until the helper goes away.
    async fn serve(self: &Arc<Self>) -> anyhow::Result<()> {
        let (said, mut events) = mpsc::channel(64);
        let socket = self.socket.clone();
        // Connected before the instances are looked up: no end of one is missed.
        let mut listening =
            tokio::task::spawn_blocking(move || Client::connect(&socket)).await?.map_err(told)?;
        let layout = listening.host().layout;
        match layout {
            Some(layout) => tracing::info!("instances run in the layout {layout:?}"),
            None => tracing::warn!("the host allows no namespaces for instances: {}", why_not(&listening)),
        }
        std::thread::spawn(move || {
            while let Ok(event) = listening.event() {
                if said.blocking_send(event).is_err() {
                    break;
                }
            }
        });
        self.adopt().await?;
        let wake = self.app().state::<Wake>().map_err(crate::bootstrap::told)?;
        loop {
            self.look().await.map_err(crate::bootstrap::told)?;
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.hear(event).await.map_err(crate::bootstrap::told)?,
                    None => anyhow::bail!("the helper has ended"),
                },
                () = wake.0.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Instances of an earlier server, or of before the helper was started anew.
    async fn adopt(self: &Arc<Self>) -> anyhow::Result<()> {
        let known: HashSet<String> = ask(self.socket.clone(), Client::list)
            .await
            .map_err(told)?
            .into_iter()
            .map(String::from)
            .collect();
        let mut wanted = HashSet::new();
        for owned in life::all(self.app()).await.map_err(crate::bootstrap::told)? {
            if owned.instance.body.node != self.node() {
                continue;
            }
            wanted.insert(owned.instance.id.clone());
            let id = owned.instance.id.clone();
            if known.contains(&id) && !self.open.lock().contains_key(&id) {
                let name = named(&id).map_err(told)?;
                match ask(self.socket.clone(), move |client| client.sockets(&name)).await {
                    Ok((report, doors)) => {
                        self.let_in(&owned, report.metadata, doors);
                        match report.state {
                            State::Open | State::Running => {}
                            State::Stopped(_) => {
                                self.ended(&owned.account, &id, None).await.map_err(crate::bootstrap::told)?
                            }
                            State::Failed => {
                                let why = "It did not answer the helper any more.";
                                self.ended(&owned.account, &id, Some(why))
                                    .await
                                    .map_err(crate::bootstrap::told)?;
                            }
                        }
                    }
                    Err(e) => tracing::warn!(instance = id, "its sockets are not to be had: {e}"),
                }
            } else if !known.contains(&id) {
                self.open.lock().remove(&id);
                self.ended(&owned.account, &id, Some("The helper lost it."))
                    .await
                    .map_err(crate::bootstrap::told)?;
            }
        }
        for id in known.difference(&wanted) {
            // Of an instance that was deleted while nobody ran it.
            let name = named(id).map_err(told)?;
            self.open.lock().remove(id);
            let _ = ask(self.socket.clone(), move |client| client.close(&name)).await;
        }
        Ok(())
    }

    /// Something that ran does not run any more, and nobody asked for that. What runs in an instance may end by itself:
    /// then there is no reason.
    async fn ended(&self, account: &AccountId, id: &str, why: Option<&str>) -> Result<()> {
        let why = why.map(str::to_owned);
        life::change(self.app(), (account, id), move |o| {
            let ran = o.status == Status::Running;
            match &why {
                Some(why) if ran => life::failed(o, "stopped_by_host_failure", why),
                None if ran => o.status = Status::Stopped,
                _ => {}
            }
            ran
        })
        .await
        .map(drop)
    }

    async fn hear(self: &Arc<Self>, event: Event) -> Result<()> {
        let (id, lost) = match event {
            Event::Exited { instance, .. } => (instance, None),
            Event::Lost { instance, message } => (instance, Some(message)),
        };
        let id = id.as_str();
        if lost.is_some() {
            self.open.lock().remove(id);
        }
        match life::find(self.app(), id).await? {
            Some(owned) => self.ended(&owned.account, id, lost.as_deref()).await,
            None => Ok(()),
        }
    }

    /// Takes up whatever waits.
    async fn look(self: &Arc<Self>) -> Result<()> {
        for owned in life::all(self.app()).await? {
            let body = &owned.instance.body;
            let ours = body.node == self.node() || body.node.is_empty();
            let moved = body.status == Status::Running && self.doors_differ(&owned.instance);
            if ours && (moved || body.status.is_wish()) && self.busy.lock().insert(owned.instance.id.clone())
            {
                let machines = self.clone();
                tokio::spawn(async move {
                    let _room = machines.room.clone().acquire_owned().await;
                    let id = owned.instance.id.clone();
                    if let Err(e) = machines.work(&owned).await {
                        tracing::warn!(
                            instance = id,
                            cause = e.cause_text().unwrap_or(e.message()),
                            "no step done"
                        );
                    }
                    machines.busy.lock().remove(&id);
                });
            }
        }
        Ok(())
    }

    /// Takes steps until nothing more is wanted.
    async fn work(self: &Arc<Self>, owned: &Owned) -> Result<()> {
        let (account, id) = (&owned.account, owned.instance.id.as_str());
        while let Some(instance) = life::now(self.app(), account, id).await? {
            let owned = Owned { account: account.clone(), instance };
            match owned.instance.body.status {
                Status::Pending => self.claim(&owned).await?,
                Status::Starting => self.begin(&owned).await?,
                Status::Stopping => self.end(&owned, Status::Stopping, Status::Stopped).await?,
                Status::Restarting => self.end(&owned, Status::Restarting, Status::Starting).await?,
                Status::Deleting => return self.close(&owned).await,
                Status::Running if self.doors_differ(&owned.instance) => self.reopen(&owned).await?,
                Status::Running | Status::Stopped | Status::Failed => break,
            }
        }
        Ok(())
    }

    /// Whether the metadata service is wanted in another way than it is open.
    fn doors_differ(&self, o: &Object<Instance>) -> bool {
        self.open.lock().get(&o.id).is_some_and(|doors| doors.metadata != wanted_metadata(&o.body))
    }

    async fn reopen(self: &Arc<Self>, owned: &Owned) -> Result<()> {
        let wanted = wanted_metadata(&owned.instance.body);
        let id = named(&owned.instance.id).map_err(avouch_gate::Error::internal)?;
        let done = ask(self.socket.clone(), move |client| client.reopen(&id, wanted)).await;
        let (report, doors) = done.map_err(avouch_gate::Error::internal)?;
        self.let_in(owned, report.metadata, doors);
        Ok(())
    }

    /// From now on it is this replica's.
    async fn claim(&self, owned: &Owned) -> Result<()> {
        let node = self.node().to_owned();
        life::change(self.app(), (&owned.account, &owned.instance.id), move |o| {
            let free = o.status == Status::Pending && o.node.is_empty();
            if free {
                o.node.clone_from(&node);
                o.status = Status::Starting;
            }
            free
        })
        .await?;
        Ok(())
    }

    async fn begin(self: &Arc<Self>, owned: &Owned) -> Result<()> {
        let done = match self.opened(owned).await {
            Ok(()) => self.started(owned).await,
            Err(e) => Err(e),
        };
        let refusal = refusal(done)?;
        let node = self.node().to_owned();
        life::change(self.app(), (&owned.account, &owned.instance.id), move |o| {
            if o.status != Status::Starting {
                return false;
            }
            o.node.clone_from(&node);
            match &refusal {
                None => o.status = Status::Running,
                Some(why) => life::failed(o, "cannot_start", why),
            }
            true
        })
        .await?;
        Ok(())
    }

    /// Namespaces and sockets, if they are not there yet.
    async fn opened(self: &Arc<Self>, owned: &Owned) -> std::result::Result<(), AgentError> {
        let id = owned.instance.id.clone();
        if self.open.lock().contains_key(&id) {
            return Ok(());
        }
        let open = Open {
            instance: named(&id)?,
            metadata: wanted_metadata(&owned.instance.body),
            service_hosts: vec![OWN_NAME.to_owned()],
            hide: self.hide.clone(),
        };
        let (report, doors) = ask(self.socket.clone(), move |client| client.open(open)).await?;
        self.let_in(owned, report.metadata, doors);
        Ok(())
    }

    async fn started(&self, owned: &Owned) -> std::result::Result<(), AgentError> {
        let id = named(&owned.instance.id)?;
        let mut workload = self.workload(owned);
        let source = life::source(self.app(), owned).await;
        let source = source.map_err(|e| AgentError::Protocol(e.message().to_owned()))?;
        workload.root = source.map(|source| self.root(&source)).transpose()?;
        let begun = ask(self.socket.clone(), move |client| client.start(&id, workload)).await;
        begun.map(drop)
    }

    /// The root folder that the source of an image means.
    fn root(&self, source: &str) -> std::result::Result<PathBuf, AgentError> {
        let refused = |why: &str| Err(AgentError::refused(Code::BadRequest, format!("image: {why}")));
        let Some(name) = source.strip_prefix("rootfs:") else {
            return refused("only sources 'rootfs:NAME' can be started here");
        };
        let images = &self.app().config.vpc.images;
        if images.is_empty() {
            return refused("the setting 'vpc.images' names no folder of root folders");
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            return refused("'rootfs:' wants the name of one folder");
        }
        let folder = Path::new(images).join(name);
        if !folder.is_dir() {
            return refused("its root folder is not there");
        }
        Ok(folder)
    }

    fn workload(&self, owned: &Owned) -> WorkloadSpec {
        let body = &owned.instance.body;
        let mut steps = Vec::new();
        if !body.keys.is_empty() {
            let keys: String = body.keys.iter().map(|k| format!("{}\n", k.public_key.trim())).collect();
            steps.push(BootStep::File(BootFile {
                path: Path::new("/root").join(".ssh/authorized_keys"),
                content: BASE64_STANDARD.encode(keys),
                mode: 0o600,
                append: false,
            }));
        }
        match avouch_vpc::instances::user_data(self.app(), &owned.account, &owned.instance) {
            Ok(Some(text)) => match user_data::read(&text) {
                Ok(plan) => steps.extend(plan.steps),
                Err(e) => tracing::warn!(instance = owned.instance.id, "user data is not carried out: {e}"),
            },
            Ok(None) => {}
            Err(_) => tracing::error!(instance = owned.instance.id, "user data cannot be opened"),
        }
        WorkloadSpec {
            program: Program::Boot(steps),
            hostname: body.hostname.clone(),
            env: Vec::new(),
            root: None,
            limits: Limits::default(),
        }
    }

    /// Stops what runs; the namespaces stay.
    async fn end(self: &Arc<Self>, owned: &Owned, from: Status, to: Status) -> Result<()> {
        let grace = if owned.instance.body.force { 0 } else { GRACE };
        let stopped = match named(&owned.instance.id) {
            Ok(id) => ask(self.socket.clone(), move |client| client.stop(&id, grace)).await.map(drop),
            Err(e) => Err(e),
        };
        let refusal = refusal(stopped)?;
        life::change(self.app(), (&owned.account, &owned.instance.id), move |o| {
            if o.status != from {
                return false;
            }
            match &refusal {
                None => o.status = to,
                Some(why) => life::failed(o, "stopped_by_host_failure", why),
            }
            true
        })
        .await?;
        Ok(())
    }

    /// The listeners first, then all that runs, then the record.
    async fn close(self: &Arc<Self>, owned: &Owned) -> Result<()> {
        self.open.lock().remove(&owned.instance.id);
        if let Ok(id) = named(&owned.instance.id) {
            let closed = ask(self.socket.clone(), move |client| client.close(&id)).await;
            // Not open any more, or never: that is what was wanted.
            if let Err(e @ AgentError::Closed) = closed {
                return Err(avouch_gate::Error::internal(e));
            }
        }
        life::gone(self.app(), &owned.account, &owned.instance.id).await
    }

    /// Answers on the sockets of an instance until they are closed.
    fn let_in(&self, owned: &Owned, metadata: Option<Metadata>, doors: Listeners) {
        let (sender, stop) = watch::channel(());
        for (port, listener) in doors.services {
            // Without a certificate for the names that lead here.
            if port != 80 {
                continue;
            }
            let (server, stop) = (self.server.clone(), stop.clone());
            match bound(listener, &owned.instance) {
                Ok(bound) => {
                    tokio::spawn(listen::serve(bound, server, closed(stop)));
                }
                Err(e) => tracing::warn!(instance = owned.instance.id, "a socket cannot be used: {e}"),
            }
        }
        if let Some(listener) = doors.metadata {
            let who = Arc::new(Who::new(owned.account.clone(), owned.instance.id.clone()));
            match (Router::new(vec![service(&who)]), bound(listener, &owned.instance)) {
                (Ok(router), Ok(bound)) => {
                    let server = Assembled { app: self.app().clone(), router: Arc::new(router) };
                    tokio::spawn(listen::serve(bound, server, closed(stop)));
                }
                (Err(e), _) => tracing::error!("the paths of the metadata service: {e}"),
                (_, Err(e)) => tracing::warn!(instance = owned.instance.id, "a socket cannot be used: {e}"),
            }
        }
        let doors = Doors { open: sender, metadata };
        self.open.lock().insert(owned.instance.id.clone(), doors);
    }
}

/// How the metadata service of an instance is to be reached.
fn wanted_metadata(o: &Instance) -> Option<Metadata> {
    let hop_limit = u8::try_from(o.metadata_service.response_hop_limit).unwrap_or(1);
    o.metadata_service.enabled.then_some(Metadata { protocol: Protocol::Http, hop_limit })
}

/// Resolves when nobody holds the other end any more.
async fn closed(mut stop: watch::Receiver<()>) {
    while stop.changed().await.is_ok() {}
}

fn bound(listener: std::net::TcpListener, instance: &Object<Instance>) -> std::io::Result<Bound> {
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    Ok(Bound { listener, tls: None, address, peer: client_of(instance) })
}

/// What clients in an instance are known as: all of them come from the same address otherwise. Of the network for
/// documentation that nobody has: the first bits of the id.
fn client_of(instance: &Object<Instance>) -> Option<IpAddr> {
    let hex: String = instance.id.chars().filter(char::is_ascii_hexdigit).skip(4).take(24).collect();
    let bits = u128::from_str_radix(&hex, 16).ok()?;
    let prefix = u128::from(0x2001_0db8_u32) << 96;
    Some(IpAddr::V6((prefix | bits).into()))
}

/// Why the helper refused, if it did. That it could not be asked is no refusal: what is wanted stays wanted.
fn refusal(done: std::result::Result<(), AgentError>) -> Result<Option<String>> {
    match done {
        Ok(()) => Ok(None),
        Err(e @ AgentError::Refused(_)) => Ok(Some(e.to_string())),
        Err(e) => Err(avouch_gate::Error::internal(e)),
    }
}

fn told(e: AgentError) -> anyhow::Error {
    anyhow::anyhow!("{e}")
}

fn why_not(client: &Client) -> String {
    let each = client.host().layouts.iter().filter_map(|l| l.why_not.clone());
    each.collect::<Vec<_>>().join("; ")
}
