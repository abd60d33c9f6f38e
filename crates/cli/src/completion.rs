//! `completion SHELL`: the script that makes a shell complete commands and options.

use clap_complete::Shell;

use crate::args::SERVER;
use crate::failure::Result;
use crate::output::print;

/// Arguments of `completion`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
pub fn run(args: &Args) -> Result<()> {
    let mut script = Vec::new();
    let server = SERVER.iter().map(|(name, about)| clap::Command::new(*name).about(*about));
    let mut tree = crate::args::command().subcommands(server);
    clap_complete::generate(args.shell, &mut tree, "avouch", &mut script);
    print(&String::from_utf8_lossy(&script))
}
