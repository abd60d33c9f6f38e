//! What can go wrong: a step of the kernel's, a refusal with a word for programs, or a peer that broke the protocol.

use serde::{Deserialize, Serialize};
use std::io;

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{step}: {cause}")]
    Io { step: String, cause: io::Error },
    #[error("{}", .0.message)]
    Refused(Refusal),
    #[error("{0}")]
    Protocol(String),
    #[error("the other side has closed the connection")]
    Closed,
}

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    pub code: Code,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Not a message of this protocol, or one before `hello`.
    BadRequest,
    /// No instance of that id is open.
    NotFound,
    /// The id is open already, or was closed and is never used again.
    Conflict,
    /// The instance is not in a state that allows it.
    WrongState,
    /// The host does not allow it; the message names the kernel setting where one is known.
    Host,
    /// The program cannot be started.
    Program,
}

impl Error {
    pub fn refused(code: Code, message: impl Into<String>) -> Error {
        Error::Refused(Refusal { code, message: message.into() })
    }

    pub fn into_refusal(self) -> Refusal {
        match self {
            Error::Refused(refusal) => refusal,
            other => Refusal { code: Code::Host, message: other.to_string() },
        }
    }
}

/// Names the step that failed.
pub trait Step<T> {
    fn step(self, step: impl Into<String>) -> Result<T>;
}

impl<T, E: Into<io::Error>> Step<T> for std::result::Result<T, E> {
    fn step(self, step: impl Into<String>) -> Result<T> {
        self.map_err(|cause| Error::Io { step: step.into(), cause: cause.into() })
    }
}
