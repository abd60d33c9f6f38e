//! The helper itself: one loop over its socket, its connections and the first processes of the instances.

use crate::error::{Code, Error, Refusal, Result, Step};
use crate::host;
use crate::init::Birth;
use crate::init::words::{Said, What};
use crate::instance::{Instance, Then, Waiting, free_slot};
use crate::packet::{Channel, Received, readable};
use crate::protocol::{
    Answer, BootStep, Call, Event, HostReport, InstanceId, Layout, Message, Metadata, Open, Program, Request,
    State, VERSION, WorkloadSpec,
};
use crate::record::{Folder, private_folder, remove};
use crate::{check_name, record, sys};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Uid, chownat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, accept_with, bind, listen, socket_with, sockopt};
use rustix::process::{Signal, geteuid, pidfd_send_signal, set_child_subreaper, setsid};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MOST_CONNECTIONS: usize = 64;
const MOST_INSTANCES: usize = 1000;
const MOST_WORDS: usize = 1024;
const MOST_HIDDEN: usize = 64;
/// How long a process may take to end that was killed.
const ENDS: Duration = Duration::from_secs(5);

/// How a helper is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The path of its socket, in a folder of its own.
    pub socket: PathBuf,
    /// Its folder.
    pub state: PathBuf,
    /// The user whose processes may ask, besides the helper's own.
    pub server_uid: Option<u32>,
    /// The layout to use; the best that the host allows, where none is named.
    pub layout: Option<Layout>,
    /// More files and folders that no instance may see, such as the server's data.
    pub hidden: Vec<PathBuf>,
}

struct Agent {
    settings: Settings,
    folder: Folder,
    listener: OwnedFd,
    clients: BTreeMap<u64, Client>,
    next_client: u64,
    instances: BTreeMap<InstanceId, Instance>,
    host: Option<HostReport>,
}

struct Client {
    channel: Channel,
    welcome: bool,
}

/// Runs until it is killed. `ready` is called when requests are answered.
pub fn run(mut settings: Settings, ready: impl FnOnce()) -> Result<()> {
    sys::only_one_thread()?;
    sys::keep_nothing_over_exec().step("close_range")?;
    // Whoever started the helper may end, and its terminal with it.
    let _ = setsid();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    set_child_subreaper(Some(rustix::process::getpid())).step("become a subreaper")?;
    sys::all_descriptors().step("raise the limit of open files")?;
    let folder = Folder::open(&settings.state)?;
    // As they really are: a name that leads there by a link would be looked up in another root.
    settings.hidden = settings.hidden.iter().map(|path| real(path)).collect::<Result<_>>()?;
    settings.hidden.push(folder.path().to_owned());
    let (listener, socket_folder) = open_socket(&settings)?;
    settings.hidden.push(socket_folder);
    settings.hidden.extend(std::env::var_os("HOME").and_then(|home| real(Path::new(&home)).ok()));
    let mut agent = Agent {
        settings,
        folder,
        listener,
        clients: BTreeMap::new(),
        next_client: 1,
        instances: BTreeMap::new(),
        host: None,
    };
    agent.adopt_all()?;
    ready();
    loop {
        agent.turn()?;
    }
}

fn open_socket(settings: &Settings) -> Result<(OwnedFd, PathBuf)> {
    let missing = || Error::Protocol("socket: wants a path with a folder".to_owned());
    let folder = settings.socket.parent().filter(|f| f.parent().is_some()).ok_or_else(missing)?;
    let name = settings.socket.file_name().and_then(|name| name.to_str()).ok_or_else(missing)?;
    own_folder(folder, settings.server_uid.filter(|_| geteuid().is_root()))?;
    remove(&settings.socket)?;
    let socket =
        socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).step("socket")?;
    // Private from the start, and never by a path that somebody else could lead elsewhere.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let bound = bind(&socket, &record::near(folder, name)?.1);
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    bound.step("bind the socket")?;
    if let Some(uid) = settings.server_uid.filter(|_| geteuid().is_root()) {
        let parent = std::fs::File::open(folder).step("open the folder of the socket")?;
        chownat(&parent, name, Some(Uid::from_raw(uid)), None, AtFlags::SYMLINK_NOFOLLOW)
            .step("give the socket to the server's user")?;
    }
    listen(&socket, 64).step("listen")?;
    Ok((socket, folder.canonicalize().step("socket folder")?))
}

/// A path without links. The root itself cannot be hidden.
fn real(path: &Path) -> Result<PathBuf> {
    let real = path.canonicalize().step(format!("hide {}", path.display()))?;
    match real.parent() {
        Some(_) => Ok(real),
        None => Err(Error::Protocol("hide: not the root folder".to_owned())),
    }
}

/// The folder of the socket. It is the helper's: whoever could write in it could lead the helper elsewhere.
fn own_folder(folder: &Path, server: Option<u32>) -> Result<()> {
    if server.is_some() && !folder.exists() {
        private_folder(folder)?;
        // The server's user passes through, and sees no more.
        let passed = std::fs::Permissions::from_mode(0o711);
        return std::fs::set_permissions(folder, passed).step("let the server's user through");
    }
    private_folder(folder)
}

impl Agent {
    /// The instances of an earlier helper.
    fn adopt_all(&mut self) -> Result<()> {
        for id in self.folder.instances()? {
            let record = match self.folder.read(&id) {
                Ok(record) => record,
                // Its first process ended itself: it was never told to stay.
                Err(e) => {
                    log(&format!("instance {}: was never made: {e}", id.as_str()));
                    continue;
                }
            };
            let Some(process) = self.folder.alive(&record)? else {
                // Without its first process nothing is left of an instance: its id may be opened again.
                log(&format!("instance {}: its first process has ended", id.as_str()));
                continue;
            };
            let instance = match Instance::adopt(&self.folder, &id, &record) {
                Ok(instance) => instance,
                // Nobody runs on whom nobody answers for; its ids stay taken until it is closed.
                Err(e) => {
                    log(&format!("instance {}: does not answer and is ended: {e}", id.as_str()));
                    let _ = pidfd_send_signal(&process, Signal::KILL);
                    readable(&process, ENDS)?;
                    Instance::dead(&id, &record)?
                }
            };
            self.instances.insert(id, instance);
        }
        Ok(())
    }

    /// Waits for something and deals with it.
    fn turn(&mut self) -> Result<()> {
        enum Source {
            Listener,
            Client(u64),
            Order(InstanceId),
            End(InstanceId),
        }
        let mut sources = vec![Source::Listener];
        let mut fds = vec![PollFd::new(&self.listener, PollFlags::IN)];
        for (number, client) in &self.clients {
            sources.push(Source::Client(*number));
            fds.push(PollFd::new(&client.channel, PollFlags::IN));
        }
        for (id, instance) in &self.instances {
            if let Some(live) = &instance.live {
                sources.push(Source::Order(id.clone()));
                fds.push(PollFd::new(&live.channel, PollFlags::IN));
                sources.push(Source::End(id.clone()));
                fds.push(PollFd::new(&live.pidfd, PollFlags::IN));
            }
        }
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(()),
            Err(e) => return Err(e).step("poll"),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        for source in sources.into_iter().zip(ready).filter_map(|(source, ready)| ready.then_some(source)) {
            match source {
                Source::Listener => self.welcome(),
                Source::Client(number) => self.listen_to(number),
                Source::Order(id) => self.hear(&id),
                Source::End(id) => self.bury(&id),
            }
        }
        Ok(())
    }

    fn welcome(&mut self) {
        let Ok(socket) = accept_with(&self.listener, SocketFlags::CLOEXEC) else { return };
        let peer = sockopt::socket_peercred(&socket).map(|peer| peer.uid.as_raw());
        let known = peer.is_ok_and(|uid| uid == geteuid().as_raw() || Some(uid) == self.settings.server_uid);
        if known && self.clients.len() < MOST_CONNECTIONS {
            self.clients.insert(self.next_client, Client { channel: Channel::new(socket), welcome: false });
            self.next_client += 1;
        }
    }

    fn listen_to(&mut self, number: u64) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        match client.channel.receive::<Call>() {
            Ok(Received::Message(Call { id, request }, fds)) => {
                if let Err(e) = self.serve(number, id, request, fds) {
                    self.refuse(number, id, e.into_refusal());
                }
            }
            Ok(Received::Garbage(why)) => {
                self.refuse(number, 0, Refusal { code: Code::BadRequest, message: why })
            }
            Ok(Received::Closed) | Err(_) => self.forget(number),
        }
    }

    fn serve(&mut self, client: u64, call: u64, request: Request, fds: Vec<OwnedFd>) -> Result<()> {
        let welcome = self.clients.get(&client).is_some_and(|c| c.welcome);
        let wait = |then| Waiting { client, call, then };
        if !welcome && !matches!(request, Request::Hello { .. }) {
            return Err(Error::refused(Code::BadRequest, "request: hello comes first"));
        }
        match request {
            Request::Hello { version } => self.hello(client, call, version),
            Request::Open(open) => self.open(client, call, open),
            Request::Reopen { instance, metadata } => {
                check_metadata(metadata)?;
                let instance = self.live(&instance)?;
                let layout = instance.status.layout;
                let live = instance.live.as_mut().ok_or(Error::Closed)?;
                match layout {
                    Layout::Companion => live.reopen_companion(metadata, wait(Then::Sockets)),
                    Layout::Own => live.order(What::Listen { metadata }, &[], wait(Then::Sockets)),
                }
            }
            Request::Start { instance, workload } => {
                check_workload(&workload)?;
                self.order(&instance, What::Start(workload), &[], wait(Then::Report))
            }
            Request::Stop { instance, grace_ms } => {
                self.order(&instance, What::Stop { grace_ms }, &[], wait(Then::Report))
            }
            Request::Kill { instance } => self.order(&instance, What::Kill, &[], wait(Then::Report)),
            Request::Close { instance } => self.close(&instance, wait(Then::Close)),
            Request::List => {
                let known = self.instances.keys().cloned().collect();
                self.answer(client, call, Answer::Instances(known));
                Ok(())
            }
            Request::Sockets { instance } => {
                self.known(&instance)?;
                self.report(client, call, &instance, true);
                Ok(())
            }
            Request::Exec { instance, argv, env } => {
                check_words(&argv, &env)?;
                self.order(&instance, What::Exec { argv, env }, &fds, wait(Then::Exec))
            }
        }
    }

    fn hello(&mut self, client: u64, call: u64, version: u32) -> Result<()> {
        if version != VERSION {
            return Err(Error::refused(Code::BadRequest, format!("version: this helper speaks {VERSION}")));
        }
        if self.host.is_none() {
            self.host = Some(host::report(&self.settings, &self.folder));
        }
        if let Some(client) = self.clients.get_mut(&client) {
            client.welcome = true;
        }
        if let Some(host) = self.host.clone() {
            self.answer(client, call, Answer::Host(host));
        }
        Ok(())
    }

    fn open(&mut self, client: u64, call: u64, open: Open) -> Result<()> {
        check_metadata(open.metadata)?;
        open.service_hosts.iter().try_for_each(|name| check_name("service_hosts", name))?;
        if open.hide.len() > MOST_HIDDEN || !open.hide.iter().all(|path| path.is_absolute()) {
            return Err(Error::refused(Code::BadRequest, "hide: at most 64 absolute paths"));
        }
        let mut hidden = self.settings.hidden.clone();
        for path in &open.hide {
            let real = real(path);
            hidden
                .push(real.map_err(|_| Error::refused(Code::BadRequest, "hide: a path that is not there"))?);
        }
        let id = open.instance;
        if self.folder.is_closed(&id) || self.instances.get(&id).is_some_and(|i| i.live.is_some()) {
            return Err(Error::refused(Code::Conflict, "instance: the id is in use, or was"));
        }
        if self.instances.len() >= MOST_INSTANCES || open.service_hosts.len() > MOST_WORDS {
            return Err(Error::refused(Code::Host, "instance: too many"));
        }
        let layout = self.host.as_ref().and_then(|host| host.layout);
        let layout = layout.ok_or_else(|| Error::refused(Code::Host, self.no_layout()))?;
        let slot = if geteuid().is_root() {
            let free = free_slot(self.instances.values());
            Some(free.ok_or_else(|| Error::refused(Code::Host, "instance: no range of user ids is free"))?)
        } else {
            None
        };
        let birth = Birth {
            instance: id.clone(),
            layout,
            metadata: open.metadata,
            service_hosts: open.service_hosts,
            hidden,
            first_id: None,
        };
        let instance = Instance::make(&self.folder, birth, slot)?;
        self.instances.insert(id.clone(), instance);
        self.report(client, call, &id, true);
        Ok(())
    }

    fn no_layout(&self) -> String {
        let why = |host: &HostReport| {
            let each = host.layouts.iter().filter_map(|l| l.why_not.clone());
            each.collect::<Vec<_>>().join("; ")
        };
        format!("this host allows no namespaces: {}", self.host.as_ref().map(why).unwrap_or_default())
    }

    fn close(&mut self, id: &InstanceId, waiting: Waiting) -> Result<()> {
        let Some(instance) = self.instances.get_mut(id) else {
            return Err(Error::refused(Code::NotFound, "instance: is not open"));
        };
        if let Some(live) = &mut instance.live {
            // Who does not obey is killed, and everything of the instance with it.
            if live.order(What::Quit, &[], waiting).is_err() {
                let _ = pidfd_send_signal(&live.pidfd, Signal::KILL);
                live.waiting.insert(0, waiting);
            }
            return Ok(());
        }
        self.instances.remove(id);
        self.folder.close(id)?;
        self.answer(waiting.client, waiting.call, Answer::Done);
        Ok(())
    }

    /// The first process said something.
    fn hear(&mut self, id: &InstanceId) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        let Some(live) = &mut instance.live else { return };
        match live.channel.receive::<Said>() {
            Ok(Received::Message(Said::Done { sequence, status }, fds)) => {
                if !fds.is_empty() && status.layout == Layout::Own {
                    live.sockets = crate::layout::Sockets::of(status.sockets.clone(), fds);
                }
                instance.status = status;
                let closing = live.waiting.get(&sequence).is_some_and(|w| w.then == Then::Close);
                // A close is answered when the process is gone.
                if !closing && let Some(w) = live.waiting.remove(&sequence) {
                    self.report(w.client, w.call, id, w.then == Then::Sockets);
                }
            }
            Ok(Received::Message(Said::Refused { sequence, refusal }, _)) => {
                if let Some(w) = live.waiting.remove(&sequence) {
                    self.refuse(w.client, w.call, refusal);
                }
            }
            Ok(Received::Message(Said::ExecEnded { sequence, exit }, _)) => {
                if let Some(w) = live.waiting.remove(&sequence) {
                    self.answer(w.client, w.call, Answer::Exit(exit));
                }
            }
            Ok(Received::Message(Said::Exited { status, exit }, _)) => {
                instance.status = status;
                self.announce(&Event::Exited { instance: id.clone(), exit });
            }
            // Its end shows on the pidfd. Until then an instance that cannot be ordered about is ended.
            Ok(Received::Garbage(_) | Received::Closed) | Err(_) => {
                let _ = pidfd_send_signal(&live.pidfd, Signal::KILL);
                self.bury(id);
            }
        }
    }

    /// The first process has ended.
    fn bury(&mut self, id: &InstanceId) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        if instance.live.is_none() {
            return;
        }
        let waiting = instance.end();
        instance.status.state = State::Failed;
        let (closing, others): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|w| w.then == Then::Close);
        for w in others {
            let refusal = Refusal { code: Code::WrongState, message: "instance: has ended".to_owned() };
            self.refuse(w.client, w.call, refusal);
        }
        if closing.is_empty() {
            let message = "its first process has ended".to_owned();
            self.announce(&Event::Lost { instance: id.clone(), message });
            return;
        }
        self.instances.remove(id);
        let closed = self.folder.close(id);
        for w in closing {
            match &closed {
                Ok(()) => self.answer(w.client, w.call, Answer::Done),
                Err(e) => {
                    let refusal = Refusal { code: Code::Host, message: e.to_string() };
                    self.refuse(w.client, w.call, refusal);
                }
            }
        }
    }

    fn known(&mut self, id: &InstanceId) -> Result<&mut Instance> {
        self.instances.get_mut(id).ok_or_else(|| Error::refused(Code::NotFound, "instance: is not open"))
    }

    fn live(&mut self, id: &InstanceId) -> Result<&mut Instance> {
        let instance = self.known(id)?;
        if instance.live.is_none() {
            return Err(Error::refused(Code::WrongState, "instance: has failed; open it again or close it"));
        }
        Ok(instance)
    }

    fn order(&mut self, id: &InstanceId, what: What, fds: &[OwnedFd], waiting: Waiting) -> Result<()> {
        self.live(id)?.live.as_mut().ok_or(Error::Closed)?.order(what, fds, waiting)
    }

    fn report(&mut self, client: u64, call: u64, id: &InstanceId, with_sockets: bool) {
        let Some(instance) = self.instances.get(id) else { return };
        let message = Message::Reply { id: call, answer: Answer::Report(instance.report()) };
        let fds = match &instance.live {
            Some(live) if with_sockets => live.sockets.fds(),
            _ => Vec::new(),
        };
        let sent = self.clients.get(&client).map(|c| c.channel.send(&message, &fds));
        if matches!(sent, Some(Err(_))) {
            self.forget(client);
        }
    }

    fn answer(&mut self, client: u64, call: u64, answer: Answer) {
        self.say(client, &Message::Reply { id: call, answer });
    }

    fn refuse(&mut self, client: u64, call: u64, refusal: Refusal) {
        self.say(client, &Message::Refusal { id: call, refusal });
    }

    fn announce(&mut self, event: &Event) {
        let numbers: Vec<u64> =
            self.clients.iter().filter(|(_, c)| c.welcome).map(|(number, _)| *number).collect();
        for number in numbers {
            self.say(number, &Message::Event(event.clone()));
        }
    }

    fn say(&mut self, client: u64, message: &Message) {
        let sent = self.clients.get(&client).map(|c| c.channel.send(message, &[]));
        if matches!(sent, Some(Err(_))) {
            self.forget(client);
        }
    }

    /// A connection is gone: so are the programs that it ran.
    fn forget(&mut self, client: u64) {
        self.clients.remove(&client);
        for live in self.instances.values_mut().filter_map(|i| i.live.as_mut()) {
            let of_it = |w: &Waiting| w.client == client && w.then == Then::Exec;
            let ended: Vec<u64> =
                live.waiting.iter().filter(|(_, w)| of_it(w)).map(|(sequence, _)| *sequence).collect();
            for order in ended {
                live.waiting.remove(&order);
                let _ = live.tell(What::EndExec { order }, &[]);
            }
        }
    }
}

fn check_metadata(metadata: Option<Metadata>) -> Result<()> {
    if metadata.is_some_and(|m| !(1..=64).contains(&m.hop_limit)) {
        return Err(Error::refused(Code::BadRequest, "hop_limit: from 1 to 64"));
    }
    Ok(())
}

fn check_workload(workload: &WorkloadSpec) -> Result<()> {
    check_hostname(&workload.hostname)?;
    if workload.root.as_ref().is_some_and(|root| !root.is_absolute()) {
        return Err(Error::refused(Code::BadRequest, "root: wants an absolute path"));
    }
    match &workload.program {
        Program::Argv(argv) => check_words(argv, &workload.env),
        Program::Boot(steps) => {
            let named = steps.iter().filter_map(|step| match step {
                BootStep::Hostname(name) => Some(name),
                _ => None,
            });
            for name in named {
                check_hostname(name)?;
            }
            check_words(&["boot".to_owned()], &workload.env)
        }
    }
}

fn check_hostname(name: &str) -> Result<()> {
    check_name("hostname", name)?;
    if name.len() > 64 {
        return Err(Error::refused(Code::BadRequest, "hostname: at most 64 letters"));
    }
    Ok(())
}

fn check_words(argv: &[String], env: &[(String, String)]) -> Result<()> {
    if argv.first().is_none_or(String::is_empty)
        || argv.len() > MOST_WORDS
        || argv.iter().any(|w| w.contains('\0'))
    {
        return Err(Error::refused(Code::BadRequest, "argv: from 1 to 1024 words, the first not empty"));
    }
    let fine = |(name, value): &(String, String)| {
        !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
    };
    if env.len() > MOST_WORDS || !env.iter().all(fine) {
        return Err(Error::refused(Code::BadRequest, "env: at most 1024 names with values"));
    }
    Ok(())
}

/// To the standard error, which may be gone.
fn log(text: &str) {
    let _ = writeln!(std::io::stderr(), "avouch agent: {text}");
}
