//! A helper of a test's own, instances in it, and what can be done in them.

use avouch_agent::Client;
use avouch_agent::client::Listeners;
use avouch_agent::protocol::{
    Exit, InstanceId, Limits, Metadata, Open, Program, Protocol, Report, WorkloadSpec,
};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use tempfile::TempDir;

pub const HTTP: Option<Metadata> = Some(Metadata { protocol: Protocol::Http, hop_limit: 1 });
pub const METADATA: &str = "169.254.169.254:80";
pub const SERVICES: &str = "169.254.169.253:80";
/// No user of the host; owns nothing.
const NOBODY: u32 = 65_534;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Root, with the addresses in a companion namespace.
    Companion,
    /// Root, with the addresses on the instance's loopback.
    Own,
    /// Without any privilege.
    Rootless,
}

/// Runs `test` with a helper of each kind that this host allows.
pub fn each(test: impl Fn(&mut World)) {
    for kind in [Kind::Companion, Kind::Own, Kind::Rootless] {
        only(kind, &test);
    }
}

pub fn only(kind: Kind, test: impl Fn(&mut World)) {
    if kind != Kind::Rootless && !rustix::process::geteuid().is_root() {
        return missing(&format!("{kind:?}: the tests do not run as root"));
    }
    let mut world = World::new(kind, false);
    let why: Vec<String> = world.client.host().layouts.iter().filter_map(|l| l.why_not.clone()).collect();
    if world.client.host().layout.is_none() {
        return missing(&format!("{kind:?}: {}", why.join("; ")));
    }
    println!("with {kind:?}");
    test(&mut world);
}

pub fn missing(why: &str) {
    assert_ne!(
        std::env::var("AVOUCH_REQUIRE_NAMESPACES").as_deref(),
        Ok("1"),
        "this host does not allow {why}"
    );
    println!("NOT TESTED: this host does not allow {why}");
}

pub struct World {
    pub kind: Kind,
    pub client: Client,
    pub dir: TempDir,
    pub hidden: TempDir,
    program: PathBuf,
    helper: Child,
    /// Where the helper runs beside a decoy: asks it, and its answers.
    decoy: Option<(ChildStdin, BufReader<std::process::ChildStdout>)>,
    around: Option<PathBuf>,
}

impl World {
    pub fn new(kind: Kind, decoy: bool) -> World {
        let dir = TempDir::new().unwrap();
        let hidden = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::write(hidden.path().join("secret"), "of the installation").unwrap();
        // Copies, so that a user without rights reaches them.
        let program = copy(env!("CARGO_BIN_EXE_avouch-agent"), &dir);
        let around = decoy.then(|| copy(env!("CARGO_BIN_EXE_agent-probe"), &dir));
        for path in [dir.path(), hidden.path()] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
            if kind == Kind::Rootless && rustix::process::geteuid().is_root() {
                chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        let (helper, decoy) = spawn(kind, &program, &dir, &hidden, around.as_deref());
        let client = Client::connect(&dir.path().join("run/agent.sock")).unwrap();
        World { kind, client, dir, hidden, program, helper, decoy, around }
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("run/agent.sock")
    }

    pub fn connect(&self) -> Client {
        Client::connect(&self.socket()).unwrap()
    }

    /// The helper is killed without a chance to tidy up, and a new one takes its place.
    pub fn kill_and_start_again(&mut self) {
        self.helper.kill().unwrap();
        self.helper.wait().unwrap();
        (self.helper, self.decoy) =
            spawn(self.kind, &self.program, &self.dir, &self.hidden, self.around.as_deref());
        self.client = self.connect();
    }

    /// How many connections the decoy has seen.
    pub fn decoy(&mut self, word: &str) -> usize {
        let (ask, answers) = self.decoy.as_mut().unwrap();
        writeln!(ask, "{word}").unwrap();
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        line.trim().parse().unwrap()
    }

    pub fn open(&mut self, id: &str) -> Machine {
        self.open_with(id, HTTP)
    }

    pub fn open_with(&mut self, id: &str, metadata: Option<Metadata>) -> Machine {
        self.opened(id, metadata, Vec::new())
    }

    /// An instance that may not see these.
    pub fn open_hiding(&mut self, id: &str, hide: Vec<PathBuf>) -> Machine {
        self.opened(id, HTTP, hide)
    }

    fn opened(&mut self, id: &str, metadata: Option<Metadata>, hide: Vec<PathBuf>) -> Machine {
        let id = InstanceId::new(id).unwrap();
        let service_hosts = vec!["iam.cloud.ibm.com".to_owned(), "eu-de.iaas.cloud.ibm.com".to_owned()];
        let open = Open { instance: id.clone(), metadata, service_hosts, hide };
        let (report, listeners) = self.client.open(open).unwrap();
        Machine { id, report, listeners, socket: self.socket() }
    }

    /// An open instance that idles, with the probe in it.
    pub fn boot(&mut self, id: &str) -> Machine {
        self.boot_with(id, HTTP)
    }

    pub fn boot_with(&mut self, id: &str, metadata: Option<Metadata>) -> Machine {
        let machine = self.open_with(id, metadata);
        self.client.start(&machine.id, spec(Program::Boot(Vec::new()))).unwrap();
        machine.install_probe();
        machine
    }

    pub fn console(&self, id: &InstanceId) -> PathBuf {
        self.dir.path().join("state/instances").join(id.as_str()).join("console.log")
    }

    /// Waits until the console holds `text`.
    pub fn wait_for_console(&self, id: &InstanceId, text: &str) -> String {
        self.wait_until(id, |said| said.contains(text))
    }

    pub fn wait_until(&self, id: &InstanceId, enough: impl Fn(&str) -> bool) -> String {
        use rustix::fs::inotify;
        let path = self.console(id);
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
        inotify::add_watch(&watch, &path, inotify::WatchFlags::MODIFY).unwrap();
        loop {
            let said = fs::read_to_string(&path).unwrap();
            if enough(&said) {
                return said;
            }
            rustix::io::read(&watch, &mut [0u8; 4096][..]).unwrap();
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for id in self.client.list().unwrap_or_default() {
            let _ = self.client.close(&id);
        }
        if self.decoy.take().is_some() {
            // Its input has ended, so it ends the helper and itself.
            let _ = self.helper.wait();
        }
        let _ = self.helper.kill();
        let _ = self.helper.wait();
    }
}

pub fn copy(program: &str, dir: &TempDir) -> PathBuf {
    let to = dir.path().join(Path::new(program).file_name().unwrap());
    // Not by this process: a child of another test would inherit the file open for writing, and nobody could run it.
    assert!(Command::new("cp").arg(program).arg(&to).status().unwrap().success());
    to
}

type Decoy = Option<(ChildStdin, BufReader<std::process::ChildStdout>)>;

fn spawn(
    kind: Kind,
    program: &Path,
    dir: &TempDir,
    hidden: &TempDir,
    around: Option<&Path>,
) -> (Child, Decoy) {
    let mut command = match around {
        Some(probe) => {
            let mut command = Command::new(probe);
            command.arg("decoy").arg(program).stdin(Stdio::piped());
            command
        }
        None => Command::new(program),
    };
    command.arg("--socket").arg(dir.path().join("run/agent.sock"));
    command.arg("--state").arg(dir.path().join("state"));
    command.arg("--hide").arg(hidden.path());
    command.args(["--layout", if kind == Kind::Companion { "companion" } else { "own" }]);
    if kind == Kind::Rootless && rustix::process::geteuid().is_root() {
        command.args(["--server-uid", "0"]).uid(NOBODY).gid(NOBODY);
    }
    let (mut helper, said) = avouch_agent::client::launch(&mut command).unwrap();
    let decoy = helper.stdin.take().map(|ask| (ask, said));
    (helper, decoy)
}

/// One instance.
pub struct Machine {
    pub id: InstanceId,
    pub report: Report,
    pub listeners: Listeners,
    socket: PathBuf,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Output {
    pub exit: Exit,
    pub out: String,
    pub err: String,
}

impl Machine {
    /// Runs a program in it, with this input.
    pub fn run_with(&self, argv: &[&str], input: File) -> Output {
        let (mut out, out_end) = std::io::pipe().unwrap();
        let (mut err, err_end) = std::io::pipe().unwrap();
        let mut client = Client::connect(&self.socket).unwrap();
        let exit =
            client.exec(&self.id, argv, &[], [input.as_fd(), out_end.as_fd(), err_end.as_fd()]).unwrap();
        drop((out_end, err_end));
        let mut output = Output { exit, out: String::new(), err: String::new() };
        out.read_to_string(&mut output.out).unwrap();
        err.read_to_string(&mut output.err).unwrap();
        output
    }

    pub fn run(&self, argv: &[&str]) -> Output {
        self.run_with(argv, File::open("/dev/null").unwrap())
    }

    /// What a line for the shell prints; it must succeed.
    pub fn shell(&self, line: &str) -> String {
        let output = self.run(&["sh", "-c", line]);
        assert_eq!(output.exit, Exit::Status(0), "{line}: {output:?}");
        output.out.trim().to_owned()
    }

    /// What the probe answers.
    pub fn probe(&self, words: &[&str]) -> String {
        self.probe_at("/srv/probe", words)
    }

    pub fn probe_at(&self, place: &str, words: &[&str]) -> String {
        let output = self.run(&[&[place], words].concat());
        assert!(matches!(output.exit, Exit::Status(0 | 1)), "{words:?}: {output:?}");
        output.out.trim().to_owned()
    }

    pub fn install_probe(&self) {
        let probe = File::open(env!("CARGO_BIN_EXE_agent-probe")).unwrap();
        let output = self.run_with(&["sh", "-c", "cat >/srv/probe && chmod 755 /srv/probe"], probe);
        assert_eq!(output.exit, Exit::Status(0), "{output:?}");
    }

    /// Answers everybody who connects for metadata with this text.
    pub fn answer(&self, text: &str) -> Answering {
        answer(self.listeners.metadata.as_ref().unwrap(), text)
    }
}

pub struct Answering {
    listener: TcpListener,
    thread: Option<JoinHandle<()>>,
    count: Arc<AtomicUsize>,
}

/// Answers everybody who connects with this text, until dropped.
pub fn answer(listener: &TcpListener, text: &str) -> Answering {
    let (own, text) = (listener.try_clone().unwrap(), text.to_owned());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let thread = std::thread::spawn(move || {
        while let Ok((mut stream, _)) = own.accept() {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(text.as_bytes());
        }
    });
    Answering { listener: listener.try_clone().unwrap(), thread: Some(thread), count }
}

impl Answering {
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub fn spec(program: Program) -> WorkloadSpec {
    WorkloadSpec {
        program,
        hostname: "machine".to_owned(),
        env: Vec::new(),
        root: None,
        limits: Limits::default(),
    }
}

pub fn argv(words: &[&str]) -> Program {
    Program::Argv(words.iter().map(|&word| word.to_owned()).collect())
}
