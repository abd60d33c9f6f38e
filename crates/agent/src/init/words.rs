//! What the helper and the first process of an instance say to each other.

use crate::error::Refusal;
use crate::protocol::{Exit, InstanceId, Layout, Metadata, Socket, State, WorkloadSpec};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    pub sequence: u64,
    pub what: What,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum What {
    /// Everything: the status, the sockets, and the companion namespace where there is one.
    Report,
    /// Holds these sockets instead of those it has, and the companion namespace (the last descriptor).
    Hold {
        sockets: Vec<Socket>,
        metadata: Option<Metadata>,
    },
    /// Opens the sockets of its own namespace as this asks.
    Listen {
        metadata: Option<Metadata>,
    },
    Start(WorkloadSpec),
    Stop {
        grace_ms: u64,
    },
    Kill,
    Exec {
        argv: Vec<String>,
        env: Vec<(String, String)>,
    },
    /// From now on it outlives its helper: there is a record of it.
    Stay,
    /// Kills the program that this order started.
    EndExec {
        order: u64,
    },
    Quit,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Said {
    Done { sequence: u64, status: Status },
    Refused { sequence: u64, refusal: Refusal },
    ExecEnded { sequence: u64, exit: Exit },
    Exited { status: Status, exit: Exit },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    pub instance: InstanceId,
    pub layout: Layout,
    pub state: State,
    pub metadata: Option<Metadata>,
    /// In the order of the descriptors, where they are beside the message.
    pub sockets: Vec<Socket>,
    /// Whether the descriptor of a companion namespace comes last.
    pub companion: bool,
}
