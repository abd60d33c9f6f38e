//! `avouch recover`: a new API key for an account's owner who has none left.

use std::path::PathBuf;

use avouch_server::recover::{Wanted, owner_key};
use avouch_server::run;
use avouch_wire::AccountId;
use clap::Parser;

/// Makes a new API key for the owner of an account, with the files of the server. An embedded store must not be in use:
/// stop the server first.
#[derive(Debug, Parser)]
#[command(name = "avouch recover", bin_name = "avouch recover")]
pub struct Args {
    /// Folder of the embedded store and the key ring
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Account; that which operates the deployment if it is left out
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
    /// Write those of the owner's policies of the first start again that are gone, too
    #[arg(long)]
    policies: bool,
    /// New file for the key (JSON, readable by its owner only)
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
}

/// Runs `avouch recover`.
pub fn main(args: Args) -> anyhow::Result<()> {
    run::seal_memory()?;
    let config = run::configuration(args.config.as_deref())?;
    run::logging("avouch=warn,warn");
    let wanted = Wanted { account: args.account, policies: args.policies, file: args.file.clone() };
    let account = run::runtime()?.block_on(owner_key(config, args.data, wanted))?;
    eprintln!(
        "A new API key of {}, owner of account {} ({}), is in {}.\nLog in with: avouch login --apikey @{}",
        account.owner,
        account.name,
        account.id,
        args.file.display(),
        args.file.display()
    );
    Ok(())
}
