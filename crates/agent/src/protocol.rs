//! What is said between the server and the helper. One packet a message (see [`crate::packet`]); descriptors travel
//! beside the answer that names them, in the order of [`Report::sockets`].

use crate::error::{Code, Error, Refusal, Result};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// Both sides must speak the same version.
pub const VERSION: u32 = 1;

/// Where an instance finds its metadata service, and the services of the installation.
pub const METADATA_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
pub const SERVICE_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);
/// The published name of the metadata service, which the hosts file of every instance knows.
pub const METADATA_NAME: &str = "api.metadata.cloud.ibm.com";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Chosen by the caller; its answer carries the same number.
    pub id: u64,
    pub request: Request,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The first request of a connection. Answer: [`Answer::Host`].
    Hello { version: u32 },
    /// Makes the namespaces and the listening sockets. Answer: [`Answer::Report`] with the sockets.
    Open(Open),
    /// Another protocol, another hop limit, or no metadata service. Answer: [`Answer::Report`] with the sockets.
    Reopen { instance: InstanceId, metadata: Option<Metadata> },
    /// Answer: [`Answer::Report`]; the end comes as an [`Event`].
    Start { instance: InstanceId, workload: WorkloadSpec },
    /// Asks the workload to end, and ends everything in the instance when it has or when the time is up.
    /// Answer: [`Answer::Report`], when nothing of it runs any more.
    Stop { instance: InstanceId, grace_ms: u64 },
    /// Ends everything in the instance at once. Answer: [`Answer::Report`].
    Kill { instance: InstanceId },
    /// The workload, then the sockets, then the namespaces. The id is never used again. Answer: [`Answer::Done`].
    Close { instance: InstanceId },
    /// Answer: [`Answer::Instances`].
    List,
    /// The sockets of an instance once more. Answer: [`Answer::Report`] with the sockets.
    Sockets { instance: InstanceId },
    /// Runs a program in the instance on the three descriptors beside this message (standard input, output, error).
    /// Answer: [`Answer::Exit`], when it has ended. It is killed when the connection closes before.
    Exec { instance: InstanceId, argv: Vec<String>, env: Vec<(String, String)> },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Message {
    Reply { id: u64, answer: Answer },
    Refusal { id: u64, refusal: Refusal },
    Event(Event),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    Host(HostReport),
    Report(Report),
    Instances(Vec<InstanceId>),
    Exit(Exit),
    Done,
}

/// Sent to every connection that said hello.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// The workload ended, by itself or because it was asked to.
    Exited { instance: InstanceId, exit: Exit },
    /// The namespaces of the instance are gone without having been closed.
    Lost { instance: InstanceId, message: String },
}

/// Names one instance, once: letters, digits, `-` and `_`, at most 64.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId(String);

impl InstanceId {
    pub fn new(id: impl Into<String>) -> Result<InstanceId> {
        let id = id.into();
        let fine = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        if id.is_empty() || id.len() > 64 || !id.bytes().all(fine) {
            return Err(Error::refused(Code::BadRequest, "instance: 1 to 64 letters, digits, `-` and `_`"));
        }
        Ok(InstanceId(id))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for InstanceId {
    type Error = Error;

    fn try_from(id: String) -> Result<InstanceId> {
        InstanceId::new(id)
    }
}

impl From<InstanceId> for String {
    fn from(id: InstanceId) -> String {
        id.0
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Open {
    pub instance: InstanceId,
    /// `None`: the metadata service is off and nothing listens.
    pub metadata: Option<Metadata>,
    /// Names that lead to the services' address.
    pub service_hosts: Vec<String>,
    /// Files and folders of the server that the instance may not see, beside those that the helper hides itself.
    #[serde(default)]
    pub hide: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    pub protocol: Protocol,
    /// Time to live of what the metadata service answers, 1 to 64.
    pub hop_limit: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    Http,
    Https,
}

impl Protocol {
    pub fn port(self) -> u16 {
        match self {
            Protocol::Http => 80,
            Protocol::Https => 443,
        }
    }
}

/// What runs in an instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadSpec {
    pub program: Program,
    pub hostname: String,
    pub env: Vec<(String, String)>,
    /// A folder of the host to be the root of the file system; the host's own, read-only, where there is none. Decided
    /// at the first start.
    pub root: Option<PathBuf>,
    pub limits: Limits,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Program {
    /// One program; the instance stops when it ends.
    Argv(Vec<String>),
    /// A machine without a program of its own: carries out the steps at its first start, then idles until stopped.
    Boot(Vec<BootStep>),
}

/// A step of a first boot, as [`crate::user_data`] reads it from user data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum BootStep {
    /// An executable text beginning with `#!`.
    Script(String),
    /// One command, by its arguments.
    Command(Vec<String>),
    /// One line for the shell.
    Shell(String),
    Hostname(String),
    File(BootFile),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootFile {
    pub path: PathBuf,
    /// Base64.
    pub content: String,
    pub mode: u32,
    pub append: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub open_files: u64,
    pub processes: u64,
    /// Of each private folder (`/tmp`, `/run`, `/root`, …), in MiB.
    pub scratch_mb: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { open_files: 65_536, processes: 4096, scratch_mb: 256 }
    }
}

/// What the helper knows of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    pub instance: InstanceId,
    pub state: State,
    pub layout: Layout,
    pub metadata: Option<Metadata>,
    /// In the order of the descriptors, where the answer carries them.
    pub sockets: Vec<Socket>,
    /// The first process of the instance, as the host counts.
    pub init: i32,
    /// What the instance does not have, in words.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum State {
    /// Never started.
    Open,
    Running,
    Stopped(Exit),
    /// Its namespaces are gone, or were left half made.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Socket {
    pub service: Service,
    pub port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// Who connects is the instance.
    Metadata,
    /// Who connects is nobody yet: an ordinary address of the installation.
    Services,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Exit {
    Status(i32),
    Signal(i32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// The addresses are on the far side of a link, in a namespace that the workload cannot enter. Wants root.
    Companion,
    /// The addresses are on the instance's own loopback. Wants no privilege; the hop limit has no effect.
    Own,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostReport {
    pub version: u32,
    /// The user the helper runs as.
    pub uid: u32,
    /// The layout in use, where the host allows one.
    pub layout: Option<Layout>,
    pub layouts: Vec<Ability<Layout>>,
    pub launchers: Vec<Ability<Launcher>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ability<T> {
    pub what: T,
    /// Why the host does not allow it; names the setting where one is known.
    pub why_not: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Launcher {
    /// Processes in namespaces of their own.
    Process,
}
