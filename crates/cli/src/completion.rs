//! `completion SHELL`: the script that makes a shell complete commands and options.

use clap_complete::Shell;

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
    clap_complete::generate(args.shell, &mut crate::args::command(), "avouch", &mut script);
    print(&String::from_utf8_lossy(&script))
}
