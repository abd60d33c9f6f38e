//! The helper's command line.

use crate::agent::{Settings, run};
use crate::protocol::Layout;
use clap::Parser;
use std::io::Write;
use std::path::PathBuf;

/// Run the helper that makes the namespaces of instances, opens their sockets and starts what runs in them
#[derive(Debug, Parser)]
#[command(name = "avouch agent", bin_name = "avouch agent")]
pub struct Args {
    /// Path of the socket on which the server asks; its folder is made when it is missing
    #[arg(long, default_value = "/run/avouch/agent.sock")]
    socket: PathBuf,
    /// Folder in which the helper keeps what it must find again
    #[arg(long, default_value = "/var/lib/avouch-agent")]
    state: PathBuf,
    /// User id of the server, where it is not the helper's own
    #[arg(long)]
    server_uid: Option<u32>,
    /// How instances reach their metadata service; the best that the host allows, when absent
    #[arg(long, value_parser = layout)]
    layout: Option<Layout>,
    /// A file or folder that no instance may see; may be repeated
    #[arg(long)]
    hide: Vec<PathBuf>,
}

fn layout(word: &str) -> Result<Layout, String> {
    match word {
        "companion" => Ok(Layout::Companion),
        "own" => Ok(Layout::Own),
        _ => Err("companion or own".to_owned()),
    }
}

/// Runs the helper until it is killed. Says on the standard output when it is ready.
pub fn main(args: Args) -> crate::Result<()> {
    let place = args.socket.display().to_string();
    let settings = Settings {
        socket: args.socket,
        state: args.state,
        server_uid: args.server_uid,
        layout: args.layout,
        hidden: args.hide,
    };
    run(settings, || {
        let mut out = std::io::stdout();
        let _ = writeln!(out, "listening on {place}").and_then(|()| out.flush());
    })
}
