//! `avouch dev`: a server on a throw-away folder, with the world of the demo in it, until it is interrupted.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use avouch_server::run::{self, Running};
use clap::Parser;

use crate::story::{self, Voice};

/// The pod's token lives for an hour, and is renewed like a real one before it ends.
const RENEWAL: Duration = Duration::from_secs(40 * 60);

/// Starts a throw-away server with something in it.
#[derive(Debug, Parser)]
#[command(
    name = "avouch dev",
    bin_name = "avouch dev",
    about = "Start a throw-away server with a ready-made world"
)]
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
    run::throw_away(&mut config);
    // A developer's clusters are on his own machine.
    if config.fetch.allow.is_empty() {
        config.fetch.allow =
            ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"].map(str::to_owned).to_vec();
    }
    run::logging("avouch=warn,error");
    run::runtime()?.block_on(async {
        let data = tempfile::tempdir()?;
        let begin = async {
            let Running { bootstrap, stopped, .. } =
                run::start(config, data.path().to_owned(), run::interrupted()).await?;
            let made = bootstrap.ok_or_else(|| anyhow::anyhow!("the throw-away folder was not empty"))?;
            let world = story::build(&made, Voice::Quiet).await?;
            anyhow::Ok((stopped, made, world))
        };
        let (stopped, made, world) = tokio::select! {
            begun = begin => begun?,
            () = run::interrupted() => return Ok(()),
        };
        let token_file = data.path().join("sa-token");
        world.project(&token_file)?;
        // A session here is none of the person's others, and goes with the folder.
        let home = data.path().join("home");
        let env =
            made.env() + &world.env(&made.url, &token_file) + &format!("IBMCLOUD_HOME={}\n", home.display());
        let file = data.path().join("dev.env");
        write_private(&file, &env).context("cannot write dev.env")?;
        print!("{env}");
        eprint!("{}", next(&file));
        let renewing = async {
            loop {
                tokio::time::sleep(RENEWAL).await;
                world.project(&token_file)?;
            }
        };
        tokio::select! {
            ended = stopped => ended?,
            failed = renewing => failed,
        }
    })
}

/// Lines that can be pasted into another terminal as they are.
fn next(env: &Path) -> String {
    let avouch = std::env::args().next().unwrap_or_else(|| "avouch".into());
    let lines = [
        format!("set -a; . {}; set +a", env.display()),
        format!("{avouch} login -a \"$AVOUCH_URL\" --apikey \"$IAM_APIKEY\" -r \"$REGION\""),
        format!("{avouch} iam trusted-profile-links \"$IAM_PROFILE_NAME\""),
        format!(
            "{avouch} login -a \"$AVOUCH_URL\" --cr-token \"@$CR_TOKEN_FILENAME\" --profile \"$IAM_PROFILE_NAME\""
        ),
        format!("{avouch} sm secret --id \"$SECRET_ID\""),
    ];
    format!(
        "\nEverything here is gone when this program ends (Ctrl-C). Try next, in another terminal, as the owner and as a pod:\n  {}\n",
        lines.join("\n  ")
    )
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}
