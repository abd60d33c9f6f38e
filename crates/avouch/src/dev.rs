//! `avouch dev`: a server on a throw-away folder, with the world of the demo in it, until it is interrupted.

use avouch_server::run::{self, Running};
use clap::Parser;

use crate::story::{self, Voice};

/// Starts a throw-away server with something in it.
#[derive(Debug, Parser)]
#[command(name = "avouch dev", bin_name = "avouch dev", about = "Start a throw-away server with a ready-made world")]
pub struct Args {
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:2868")]
    listen: String,
}

/// Runs `avouch dev`.
pub fn main(args: Args) -> anyhow::Result<()> {
    run::seal_memory()?;
    let mut config = run::configuration(None)?;
    config.listen = args.listen;
    // A developer's clusters are on his own machine.
    if config.fetch.allow.is_empty() {
        config.fetch.allow =
            ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"].map(str::to_owned).to_vec();
    }
    run::logging("avouch=warn,error");
    run::runtime()?.block_on(async {
        let data = tempfile::tempdir()?;
        let Running { bootstrap, stopped, .. } =
            run::start(config, data.path().to_owned(), run::interrupted()).await?;
        let made = bootstrap.ok_or_else(|| anyhow::anyhow!("the throw-away folder was not empty"))?;
        let world = story::build(&made, Voice::Quiet).await?;
        print!("{}", made.env());
        print!("{}", world.env(data.path())?);
        eprintln!();
        eprintln!("Everything here is gone when this program ends (Ctrl-C). Try:");
        eprintln!("  avouch login -a {} --apikey \"$IAM_APIKEY\" -r {}", made.url, made.region);
        eprintln!(
            "  avouch login -a {} --cr-token @$CR_TOKEN_FILENAME --profile {}",
            made.url, world.profile_name
        );
        stopped.await?
    })
}
