//! Cases that need a process of their own: start and memory of a server, and decisions among many policies, whose
//! memory must not mix with anything else's. This program starts itself again for them.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use avouch_policy::bench_support;
use avouch_server::run;
use serde_json::{Value, json};

use crate::load::{Call, Connection};
use crate::{meter, world};

fn again(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    Ok(command)
}

/// Child: serves a folder until it is ended. Its lines: the address; the API key and the account if they were made.
pub fn serve(data: &Path, token_alg: &str) -> Result<()> {
    run::runtime()?.block_on(async {
        let running = run::start(world::config(token_alg), data.to_owned(), std::future::pending()).await?;
        println!("{}", running.address);
        println!("{}", running.bootstrap.as_ref().map_or("", |b| b.api_key.expose()));
        println!("{}", running.bootstrap.as_ref().map_or(String::new(), |b| b.account.to_string()));
        running.stopped.await?
    })
}

/// A server in a process of its own; ends with this value.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    /// Empty unless the folder was.
    pub api_key: String,
    /// Empty unless the folder was.
    pub account: String,
    /// Until it said that it listens.
    pub listening: Duration,
    /// Until it answered a request.
    pub answering: Duration,
    started: Instant,
}

impl Server {
    pub fn start(data: &Path) -> Result<Self> {
        Self::start_with(data, "RS256")
    }

    pub fn start_with(data: &Path, token_alg: &str) -> Result<Self> {
        let started = Instant::now();
        let data = data.to_str().context("the folder has a strange name")?;
        let mut child = again(&["serve", data, token_alg])?.spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let address: SocketAddr = lines.next().context("the server did not start")??.parse()?;
        let listening = started.elapsed();
        let mut line = || anyhow::Ok(lines.next().context("the server stopped")??);
        let (api_key, account) = (line()?, line()?);
        let (status, _) = Connection::open(address)?.call(&Call::get("/healthz"))?;
        ensure!(status == 200, "the server is not well");
        let answering = started.elapsed();
        Ok(Self { child, address, api_key, account, listening, answering, started })
    }

    /// Time from the start until the first token was there.
    pub fn first_token(&self) -> Result<Duration> {
        self.token(&self.api_key)?;
        Ok(self.since_start())
    }

    pub fn since_start(&self) -> Duration {
        self.started.elapsed()
    }

    pub fn token(&self, api_key: &str) -> Result<Arc<str>> {
        let (status, body) = Connection::open(self.address)?.call(&world::login(api_key))?;
        world::access_token(status, &body)
    }

    pub fn resident(&self) -> Result<u64> {
        meter::resident(&self.child.id().to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Child: decisions in a world of this many policies, and a look-up in a table of as many names as their limit.
pub fn decide(policies: usize) -> Result<()> {
    let start = Instant::now();
    let clock = || u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let resident = || meter::resident("self").unwrap_or_default();
    let figures = bench_support::measure(policies, &clock, &resident).context("nothing was measured")?;
    let (limit_p50, limit_p99) = look_ups(policies, &clock);
    println!(
        "{}",
        json!({
            "p50": figures.p50, "p99": figures.p99, "bytes": figures.bytes_per_policy, "permitted": figures.permitted,
            "change_p50": figures.change_p50, "change_max": figures.change_max,
            "limit_p50": limit_p50, "limit_p99": limit_p99,
        })
    );
    Ok(())
}

/// Time to find one of `names` texts of the length of an IAM id, in nanoseconds: (p50, p99).
fn look_ups(names: usize, clock: &dyn Fn() -> u64) -> (u64, u64) {
    let name = |n: usize| format!("iam-Profile-00000000-0000-4000-8000-{n:012}");
    let table: HashMap<String, usize> = (0..names).map(|n| (name(n), n)).collect();
    let mut times = Vec::new();
    for n in 0..100_000usize {
        let wanted = name(n.wrapping_mul(7919) % names);
        let before = clock();
        std::hint::black_box(table.get(&wanted));
        times.push(clock().saturating_sub(before));
    }
    times.sort_unstable();
    let at = |per_cent: usize| times.get(times.len() * per_cent / 100).copied().unwrap_or_default();
    (at(50), at(99))
}

/// Figures of [`decide`] from a process of its own.
pub fn decisions(policies: usize) -> Result<Value> {
    let output = again(&["decide", &policies.to_string()])?.output()?;
    ensure!(output.status.success(), "decisions among {policies} policies could not be measured");
    Ok(serde_json::from_slice(&output.stdout)?)
}
