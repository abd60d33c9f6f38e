//! Commands of the first level: session, targets, settings.

pub mod account;
pub mod login;
pub mod settings;
pub mod target;

use clap::Subcommand;

use crate::failure::Result;
use crate::session::Session;

/// Commands of the first level.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set or show the address of the server
    Api(settings::Api),
    /// Log in
    Login(Box<login::Args>),
    /// End the session
    Logout,
    /// Set or show account, region and resource group
    Target(target::Args),
    /// List regions
    Regions,
    /// Print the version
    #[command(visible_alias = "v")]
    Version,
    /// Set one setting of the command line
    Config(settings::Config),
    /// Nothing to update: the program is one file
    Update,
    /// Plug-ins: all are built in
    Plugin {
        #[command(subcommand)]
        command: settings::Plugin,
    },
}

/// Runs a command of the first level.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::Api(args) => settings::api(s, args).await,
        Command::Login(args) => login::run(s, *args).await,
        Command::Logout => login::logout(s).await,
        Command::Target(args) => target::run(s, args).await,
        Command::Regions => settings::regions(s),
        Command::Version => settings::version(&s.out),
        Command::Config(args) => settings::config(s, args),
        Command::Update => {
            s.out.note("This program is replaced as a whole; there is nothing to update.");
            Ok(())
        }
        Command::Plugin { command } => settings::plugin(s, &command),
    }
}
