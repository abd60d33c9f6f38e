//! Which program asks: the Basic header of the token endpoint. It proves nothing about an identity; it only decides
//! whether refresh tokens are handed out. It refuses clients that it does not know.

use avouch_crypto::digest::constant_time_eq;
use avouch_gate::{Error, Kind, Request, Result};
use base64::Engine;

/// The program that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// No Basic header: no refresh tokens.
    Default,
    /// `bx:bx`, the public client of the command line: refresh tokens and sessions.
    CommandLine,
}

impl Client {
    /// Reads the `Authorization` header. Another scheme than Basic says nothing about the client.
    ///
    /// # Errors
    /// `Invalid` with the published code for a client that is not known.
    pub fn of(request: &Request) -> Result<Self> {
        let Some(header) = request.header("authorization") else { return Ok(Client::Default) };
        let Some((scheme, value)) = header.split_once(' ') else { return Err(unknown()) };
        if !scheme.eq_ignore_ascii_case("basic") {
            return Ok(Client::Default);
        }
        let decoded =
            base64::engine::general_purpose::STANDARD.decode(value.trim()).map_err(|_| unknown())?;
        if constant_time_eq(&decoded, b"bx:bx") { Ok(Client::CommandLine) } else { Err(unknown()) }
    }

    /// `client_id` of tokens and events.
    pub fn id(self) -> &'static str {
        match self {
            Client::Default => "default",
            Client::CommandLine => "bx",
        }
    }

    /// Whether refresh tokens are handed out.
    pub fn refreshes(self) -> bool {
        self == Client::CommandLine
    }

    /// For grants that demand the header.
    ///
    /// # Errors
    /// `Unauthenticated` without one.
    pub fn required(self) -> Result<Self> {
        match self {
            Client::Default => {
                Err(Error::new(Kind::Unauthenticated, "No authorization header found").code("BXNIM0308E"))
            }
            other => Ok(other),
        }
    }
}

fn unknown() -> Error {
    Error::new(Kind::Invalid, "The provided client could not be found").code("BXNIM0310E")
}

/// The accounts that the resulting token may be of (`IBM-Cloud-Tenant`); `None`: any.
pub fn tenants(request: &Request) -> Option<Vec<String>> {
    let listed = request.headers.get_all("ibm-cloud-tenant");
    let mut names = Vec::new();
    let mut present = false;
    for value in listed {
        present = true;
        // A value that cannot be read names no account, so it admits none.
        let text = value.to_str().unwrap_or_default();
        names.extend(text.split(',').map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()));
    }
    present.then_some(names)
}
