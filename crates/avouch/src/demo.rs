//! `avouch demo`: the main job from nothing to proof. Ends 0 only if every step was as promised.

use avouch_server::run::{self, Running};
use clap::{Parser, ValueEnum};
use tokio::sync::oneshot;

use crate::isolated::Helper;
use crate::story::{self, Voice};

/// Plays the main job on a throw-away store.
#[derive(Debug, Parser)]
#[command(name = "avouch demo", bin_name = "avouch demo", about = "Play the main job on a throw-away store")]
pub struct Args {
    /// Fail where this cannot be shown
    #[arg(long, value_enum, value_name = "WHAT")]
    require: Option<Part>,
}

/// A part of the demo that some hosts do not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Workloads in namespaces of their own
    Instances,
}

/// Runs `avouch demo`.
pub fn main(args: Args) -> anyhow::Result<()> {
    run::seal_memory()?;
    let mut config = run::configuration(None)?;
    config.listen = "127.0.0.1:0".into();
    run::throw_away(&mut config);
    run::logging("error");
    let play = async {
        let data = tempfile::tempdir()?;
        let folder = data.path().to_owned();
        let helper = tokio::task::spawn_blocking(move || Helper::start(&folder)).await?;
        if let Ok(helper) = &helper {
            config.vpc.agent = helper.socket();
        }
        let (stop, stopping) = oneshot::channel::<()>();
        let stop_when = async {
            let _ = stopping.await;
        };
        let Running { bootstrap, stopped, .. } =
            run::start(config, data.path().join("data"), stop_when).await?;
        let made = bootstrap.ok_or_else(|| anyhow::anyhow!("the throw-away folder was not empty"))?;
        println!("Avouch demo: a workload without any credential proves itself and reads a secret.");
        println!("A server runs at {} on a throw-away store.", made.url);
        let world = story::build(&made, Voice::Aloud).await?;
        story::play(&made, &world, helper.as_ref().ok()).await?;
        if let Err(why) = &helper {
            println!(
                "\n== This host allows no workloads in namespaces of their own, so none were shown\n   {why}"
            );
            anyhow::ensure!(args.require != Some(Part::Instances), "no instances could be shown: {why}");
        }
        let _ = stop.send(());
        stopped.await??;
        println!();
        println!("Every step was as promised. To keep such a world running: avouch dev");
        Ok(())
    };
    run::runtime()?.block_on(async {
        tokio::select! {
            ended = play => ended,
            // What was made goes with its folder, whenever that is.
            () = run::interrupted() => anyhow::bail!("interrupted"),
        }
    })
}
