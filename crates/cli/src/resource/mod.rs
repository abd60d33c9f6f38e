//! `resource`: resource groups, service instances, reclamations, plans.

pub mod groups;
pub mod instances;
mod plans;
mod reclamations;

use clap::Subcommand;

use crate::failure::Result;
use crate::session::Session;

/// Commands of `resource`.
#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(flatten)]
    Groups(groups::Command),
    #[command(flatten)]
    Instances(instances::Command),
    #[command(flatten)]
    Reclamations(reclamations::Command),
    #[command(flatten)]
    Plans(plans::Command),
}

/// Runs a command of `resource`.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::Groups(c) => groups::run(s, c).await,
        Command::Instances(c) => instances::run(s, c).await,
        Command::Reclamations(c) => reclamations::run(s, c).await,
        Command::Plans(c) => plans::run(s, &c),
    }
}
