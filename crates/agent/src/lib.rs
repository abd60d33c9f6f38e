//! The privileged helper of an installation and its client: namespaces for instances, the sockets by which an instance
//! is told from all others, and the processes that run in it.
//!
//! The helper is one process with one thread. It opens sockets inside namespaces and passes them to the server, which
//! needs no privilege at all. Each instance has a first process of its own ([`init`]) that holds the namespaces, the
//! sockets and the workload; so the server or the helper may be killed and started again without any of them ending.
//!
//! It refuses to read anything that a workload wrote, to be reached by any path but its socket, and to send a packet of
//! its own to a link-local address.

pub mod agent;
pub mod args;
pub mod client;
pub mod error;
pub mod host;
mod init;
mod instance;
mod launcher;
mod layout;
pub mod netlink;
pub mod packet;
pub mod protocol;
mod record;
mod sys;
mod task;
pub mod user_data;

pub use agent::{Settings, run};
pub use client::Client;
pub use error::{Code, Error, Refusal, Result};

use launcher::check_name;
