//! `resource plans`: services and plans that can be instantiated. The table is part of the program.

use avouch_wire::catalog::{self, Placement};
use clap::Subcommand;
use serde_json::{Value, json};

use crate::failure::Result;
use crate::output::cell;
use crate::session::Session;

/// Commands on plans.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List services and plans
    Plans {
        /// Only this service
        #[arg(long, value_name = "SERVICE")]
        service: Option<String>,
    },
}

/// Lists plans.
pub fn run(s: &Session, command: &Command) -> Result<()> {
    let Command::Plans { service } = command;
    let all: Vec<Value> = catalog::plans()
        .iter()
        .filter(|p| service.as_ref().is_none_or(|s| s == p.service))
        .map(|p| {
            let location = if p.placement == Placement::Global { "global" } else { "region" };
            json!({"service": p.service, "name": p.name, "id": p.id, "location": location, "reclamation": p.reclamation})
        })
        .collect();
    s.out.list(&all, "No plans found.", &["Service", "Plan", "Plan ID", "Location", "Reclamation"], |p| {
        ["service", "name", "id", "location", "reclamation"].map(|k| cell(p, k)).to_vec()
    })
}
