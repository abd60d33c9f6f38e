//! `ks`: clusters whose service accounts are trusted. A cluster here is a registration: issuer and public keys.

pub mod clusters;
mod exec;
mod kubeconfig;
mod register;

use clap::Subcommand;

use crate::failure::Result;
use crate::session::Session;

/// Commands of `ks`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Registered clusters
    Cluster {
        #[command(subcommand)]
        command: Cluster,
    },
}

/// Commands of `ks cluster`.
#[derive(Debug, Subcommand)]
pub enum Cluster {
    #[command(flatten)]
    Records(clusters::Command),
    #[command(flatten)]
    Registration(register::Command),
}

/// Runs a command of `ks`.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    let Command::Cluster { command } = command;
    match command {
        Cluster::Records(c) => clusters::run(s, c).await,
        Cluster::Registration(c) => register::run(s, c).await,
    }
}
