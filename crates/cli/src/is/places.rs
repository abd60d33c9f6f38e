//! `is regions`, `is zones`, `is target`: where things are.

use clap::Subcommand;
use serde_json::Value;

use super::versioned;
use crate::api::{Call, segment};
use crate::failure::{Result, usage};
use crate::output::cell;
use crate::session::Session;

/// Commands on places.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List regions: a deployment has one
    Regions,
    /// List the zones of a region
    Zones {
        /// Region; the deployment's own if it is left out
        region: Option<String>,
    },
    /// Kept for scripts: there is one generation
    Target {
        /// Generation
        #[arg(long = "gen", value_name = "N")]
        generation: Option<u8>,
    },
}

/// Runs a command on places.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::Target { generation: None | Some(2) } => {
            s.out.ok();
            s.out.note("The generation is 2.");
            Ok(())
        }
        Command::Target { .. } => Err(usage("--gen: only generation 2 is there.")),
        Command::Regions => {
            let api = s.api().await?;
            s.out.progress("Listing regions");
            let all = list(&api.send(versioned(Call::get("/v1/regions"))).await?.body, "regions");
            s.out.list(&all, "No regions found.", &["Name", "Endpoint", "Status"], |r| {
                ["name", "endpoint", "status"].map(|f| cell(r, f)).to_vec()
            })
        }
        Command::Zones { region } => {
            let api = s.api().await?;
            s.out.progress("Listing zones");
            let region = match region {
                Some(region) => region,
                None => {
                    let all = api.send(versioned(Call::get("/v1/regions"))).await?.body;
                    cell(&all, "regions.0.name")
                }
            };
            let path = format!("/v1/regions/{}/zones", segment(&region));
            let all = list(&api.send(versioned(Call::get(path))).await?.body, "zones");
            s.out.list(&all, "No zones found.", &["Name", "Region", "Status"], |z| {
                ["name", "region.name", "status"].map(|f| cell(z, f)).to_vec()
            })
        }
    }
}

fn list(answer: &Value, name: &str) -> Vec<Value> {
    answer[name].as_array().cloned().unwrap_or_default()
}
