//! Measures the assembled server on the embedded store, each figure beside its own limit of the same run: what a core
//! signs, what the disk confirms, what a server that does nothing answers. It is no test: it passes no judgement, and
//! refuses to give the speed of wrong answers.
//!
//! `bench [GROUP]` runs the usual groups of cases, or one: `tokens`, `keys`, `secrets`, `writes`, `metadata`, `postgres` (where
//! `AVOUCH_TEST_POSTGRES` names a server), `decisions`, `process`; and by name only, since it takes minutes, `scale`.

use mimalloc::MiMalloc;
use zeroizing_alloc::ZeroAlloc;

/// As in the program.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc);

mod child;
mod limits;
mod load;
mod machines;
mod meter;
mod scale;
mod table;
mod world;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use avouch_crypto::jws::Alg;
use avouch_gate::config::Config;
use avouch_server::run;
use avouch_store::{Engine, Target, testing};

use load::{Call, Load, call};
use meter::Outcome;
use table::{Table, mebibytes, millis};
use world::World;

const TIME: Duration = Duration::from_secs(4);
const GROUPS: [&str; 8] =
    ["tokens", "keys", "secrets", "writes", "metadata", "postgres", "decisions", "process"];
const SCALE: &str = "scale";
/// Requests under way where the disk is waited for.
const MANY: usize = 64;
/// Connections where time counts.
const FEW: usize = 16;
/// Rows in a commit of the limit for durable cases.
const GROUPED: u32 = 32;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["serve", data, token_alg] => child::serve(Path::new(data), token_alg),
        ["decide", policies] => child::decide(policies.parse()?),
        [] => all(&GROUPS),
        [group] if GROUPS.contains(group) || *group == SCALE => all(&[group]),
        _ => bail!("bench [{}|{SCALE}]", GROUPS.join("|")),
    }
}

fn all(groups: &[&str]) -> Result<()> {
    let started = Instant::now();
    run::logging("error");
    let folder = tempfile::tempdir()?;
    let mut table = Table::default();
    eprintln!("limits");
    let rsa = limits::signatures(Alg::RS256)?;
    let ec = limits::signatures(Alg::ES256)?;
    let flushes = limits::flushes(folder.path())?;
    let single = limits::rows(folder.path(), 1)?;
    let grouped = limits::rows(folder.path(), GROUPED)?;
    table.plain("RS256 signature", format!("{rsa:.0}/s of one core"), "", "limit of tokens");
    table.plain(
        "ES256 signature",
        format!("{ec:.0}/s of one core"),
        "",
        "limit of tokens where ES256 is set",
    );
    table.plain("flush of 4 KiB", format!("{flushes:.0}/s"), "", "what the disk confirms one by one");
    table.plain("SQLite commit of one row", format!("{single:.0}/s"), "", "limit without group commit");
    table.plain("SQLite rows, 32 a commit", format!("{grouped:.0}/s"), "", "limit of audited cases");
    eprintln!("cases");
    let limits = Limits { rsa, ec, single, grouped };
    run::runtime()?.block_on(served(groups, folder.path(), &limits, &mut table))?;
    if groups.contains(&"postgres") {
        postgres(folder.path(), &limits, &mut table)?;
    }
    if groups.contains(&"decisions") {
        decisions(&mut table)?;
    }
    if groups.contains(&"process") {
        process(folder.path(), &mut table)?;
    }
    if groups.contains(&SCALE) {
        scale::tokens(&folder.path().join("tokens"), &mut table)?;
        scale::objects(&folder.path().join("objects"), &mut table)?;
    }
    table.print();
    eprintln!("{:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

struct Limits {
    rsa: f64,
    ec: f64,
    single: f64,
    grouped: f64,
}

/// The cases of a server in this process.
async fn served(groups: &[&str], folder: &Path, limits: &Limits, table: &mut Table) -> Result<()> {
    let wanted = |group: &str| groups.contains(&group);
    if !["tokens", "keys", "secrets", "writes", "metadata"].into_iter().any(wanted) {
        return Ok(());
    }
    let world = World::new(folder.join("rsa"), world::config("RS256")).await?;
    if wanted("tokens") {
        tokens(&world, limits, table).await?;
        let other = World::new(folder.join("ec"), world::config("ES256")).await?;
        token_of(
            &other,
            ("token by API key, ES256", "ES256 signatures", limits.ec),
            "wanted 8000/s of one core",
            table,
        )
        .await?;
    }
    if wanted("keys") {
        keys(&world, table).await?;
    }
    if wanted("secrets") {
        let note = "wanted 10000/s of one core, p99 < 10 ms";
        let limit = ("rows, 32 a commit", limits.grouped);
        table.disk("secret read by id", &secret_reads(&world).await?, limit, note);
    }
    if wanted("writes") {
        let write = writes(&world).await?;
        let note = format!("{:.1} x single commits; wanted 5000/s", write.rate() / limits.single);
        table.disk("audited write (profile)", &write, ("rows, 32 a commit", limits.grouped), &note);
    }
    if wanted("metadata") {
        let machines = machines::Machines::new(&world).await?;
        let outcome = machines.tokens(Load::new(MANY, TIME)).await?;
        let note = "wanted 12000/s of one core";
        table.core("identity token of an instance", &outcome, ("ES256 signatures", limits.ec), note);
        let outcome = machines.documents(Load::new(MANY, TIME)).await?;
        let note = "wanted 18000/s of one core";
        table.core("document of an instance", &outcome, ("ES256 signatures", limits.ec), note);
    }
    Ok(())
}

async fn secret_reads(world: &World) -> Result<Outcome> {
    let (path, pod) = (world.secret.clone(), world.pod.clone());
    let next = move |_| Call::get(path.clone()).bearer(&pod);
    Load::new(MANY, TIME).inside(&world.running.server, next).await
}

async fn writes(world: &World) -> Result<Outcome> {
    Load::new(MANY, TIME).expecting(201).inside(&world.running.server, world.profiles()).await
}

/// The cases that wait for the store, on PostgreSQL: figures without a target, beside the same limits.
fn postgres(folder: &Path, limits: &Limits, table: &mut Table) -> Result<()> {
    if testing::postgres_url().is_none() {
        table.plain("on PostgreSQL", "not measured".into(), "", "AVOUCH_TEST_POSTGRES names no server");
        return Ok(());
    }
    let (place, _home) = testing::home(Engine::Postgres)?;
    let Target::Postgres(address) = place.target else { bail!("no address of a database") };
    let config = Config { store: address, ..world::config("RS256") };
    run::runtime()?.block_on(async {
        let world = World::new(folder.join("postgres"), config).await?;
        let form = world::login(&world.api_key);
        let tokens = Load::new(FEW, TIME).inside(&world.running.server, move |_| form.clone()).await?;
        let signatures = ("RS256 signatures", limits.rsa);
        let note = "without the time of the PostgreSQL server";
        table.core("token by API key, PostgreSQL", &tokens, signatures, note);
        let outcome = Load::new(FEW, TIME).inside(&world.running.server, world.exchanges()).await?;
        table.core("token by cr-token, PostgreSQL", &outcome, signatures, note);
        let rows = ("rows, 32 a commit", limits.grouped);
        table.disk("secret read by id, PostgreSQL", &secret_reads(&world).await?, rows, note);
        table.disk("audited write, PostgreSQL", &writes(&world).await?, rows, note);
        Ok(())
    })
}

async fn token_of(
    world: &World,
    (case, what, limit): (&str, &str, f64),
    note: &str,
    table: &mut Table,
) -> Result<()> {
    let form = world::login(&world.api_key);
    let outcome = Load::new(FEW, TIME).inside(&world.running.server, move |_| form.clone()).await?;
    table.core(case, &outcome, (what, limit), note);
    Ok(())
}

async fn tokens(world: &World, limits: &Limits, table: &mut Table) -> Result<()> {
    let (what, wanted) = ("RS256 signatures", "wanted at most 100 us over the limit");
    token_of(world, ("token by API key", what, limits.rsa), wanted, table).await?;
    let outcome = Load::new(FEW, TIME).inside(&world.running.server, world.exchanges()).await?;
    table.core("token by cr-token", &outcome, (what, limits.rsa), wanted);
    let (address, next) = (world.running.address, world.exchanges());
    let load = Load::new(FEW, TIME);
    let outcome = tokio::task::spawn_blocking(move || load.outside(address, next)).await??;
    table.core("the same over 16 connections", &outcome, (what, limits.rsa), "p99 < 30 ms wanted");
    Ok(())
}

/// Published documents beside a route of the same size that does nothing, over connections.
async fn keys(world: &World, table: &mut Table) -> Result<()> {
    for (case, path) in
        [("JWKS", "/identity/keys"), ("discovery", "/identity/.well-known/openid-configuration")]
    {
        let (status, body) = call(&world.running.server, &Call::get(path)).await?;
        ensure!(status == 200, "{path}: {status}");
        let bare = limits::bare_route(body.len()).await?;
        let (load, address) = (Load::new(FEW, TIME / 2), world.running.address);
        let next = move |_| Call::get(path);
        let limit = tokio::task::spawn_blocking(move || load.outside(bare, next)).await??;
        let outcome = tokio::task::spawn_blocking(move || load.outside(address, next)).await??;
        table.core(
            case,
            &outcome,
            ("bare route", limit.per_core()),
            "over 16 connections; wanted 20000/s of one core",
        );
    }
    Ok(())
}

fn decisions(table: &mut Table) -> Result<()> {
    for policies in [10_000, 1_000_000] {
        let figures = child::decisions(policies)?;
        let number = |name: &str| figures[name].as_u64().with_context(|| format!("no {name}"));
        let micros = |name: &str| Ok::<_, anyhow::Error>(number(name)? as f64 / 1000.0);
        table.row([
            format!("decision among {policies} policies"),
            format!("{:.2} us", micros("p50")?),
            format!("one look-up {:.2} us", micros("limit_p50")?),
            format!("{:.1}", micros("p50")? / micros("limit_p50")?),
            format!("{:.2} us", micros("p50")?),
            format!("{:.2} us", micros("p99")?),
            format!(
                "{} B a policy; a change {:.1} us, longest {:.1} ms; wanted p50 2 us, p99 10 us, 300 B",
                number("bytes")?,
                micros("change_p50")?,
                micros("change_max")? / 1000.0
            ),
        ]);
    }
    Ok(())
}

/// Start and memory of a server in a process of its own.
fn process(folder: &Path, table: &mut Table) -> Result<()> {
    let data = folder.join("process");
    let (mut listening, mut first) = (Vec::new(), Vec::new());
    for n in 0..5 {
        let server = child::Server::start(&folder.join(format!("start-{n}")))?;
        listening.push(server.listening);
        first.push(server.first_token()?);
    }
    listening.sort_unstable();
    first.sort_unstable();
    let middle = |times: &[Duration]| times.get(times.len() / 2).copied().unwrap_or_default();
    table.plain(
        "start to listening, empty",
        millis(middle(&listening)),
        "50 ms",
        "process start, store and first account made",
    );
    table.plain(
        "start to first token, empty",
        millis(middle(&first)),
        "200 ms",
        "with the first signing key made",
    );

    let server = child::Server::start(&data)?;
    table.plain("memory, idle", mebibytes(server.resident()?), "20 MiB", "resident, before any token");
    let form = world::login(&server.api_key);
    let mut so_far = 0;
    for part in 1..=3 {
        let form = form.clone();
        so_far += Load::new(FEW, TIME).outside(server.address, move |_| form.clone())?.operations;
        let case = format!("memory, part {part} of tokens");
        table.plain(
            &case,
            mebibytes(server.resident()?),
            "60 MiB",
            &format!("resident after {so_far} tokens"),
        );
    }
    drop(server);
    let again = child::Server::start(&data)?;
    let note = format!("on a store with {so_far} events; answers after {}", millis(again.answering));
    table.plain("start to listening, used store", millis(again.listening), "50 ms", &note);
    Ok(())
}
