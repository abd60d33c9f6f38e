//! `avouch server`: serves until it is told to stop.

use std::path::PathBuf;

use avouch_server::run::{self, Running};
use clap::Parser;

/// Starts the server.
#[derive(Debug, Parser)]
#[command(name = "avouch server", bin_name = "avouch server", about = "Start the server")]
pub struct Args {
    /// Folder of the embedded store, the key ring and bootstrap.env
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Address to listen on, instead of the configured one
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs `avouch server`.
pub fn main(args: Args) -> anyhow::Result<()> {
    run::seal_memory()?;
    let mut config = run::configuration(args.config.as_deref())?;
    if let Some(listen) = args.listen {
        config.listen = listen;
    }
    run::logging("avouch=info,warn");
    run::runtime()?.block_on(async {
        let Running { address, bootstrap, stopped, .. } =
            run::start(config, args.data.clone(), run::interrupted()).await?;
        if let Some(made) = bootstrap {
            eprintln!(
                "First start: account {} made, see {}",
                made.account,
                args.data.join("bootstrap.env").display()
            );
        }
        eprintln!("Avouch listens on {address}");
        stopped.await?
    })
}
