//! What takes minutes: a million tokens, a million objects.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::load::{Call, Connection, Load};
use crate::table::{Table, mebibytes, millis};
use crate::{FEW, MANY, child, world};

const MILLION: u64 = 1_000_000;
/// Of load, between two looks at how much was done.
const PART: Duration = Duration::from_secs(5);

/// Memory of a server that issued a million tokens.
pub fn tokens(data: &Path, table: &mut Table) -> Result<()> {
    let server = child::Server::start_with(data, "ES256")?;
    let form = world::login(&server.api_key);
    let issued = repeat(&server, MILLION, Load::new(FEW, PART), move |_| form.clone())?;
    let note = format!("resident, {issued} issued");
    table.plain("memory after many tokens", mebibytes(server.resident()?), "60 MiB", &note);
    Ok(())
}

/// Start on a store with a million objects, half of them profiles, half policies, after the server was killed.
pub fn objects(data: &Path, table: &mut Table) -> Result<()> {
    let (api_key, made) = {
        let server = child::Server::start(data)?;
        let admin = server.token(&server.api_key)?;
        let load = Load::new(MANY, PART).expecting(201);
        let account = server.account.clone();
        let next = {
            let (account, admin) = (account.clone(), admin.clone());
            move |n| world::profile(&account, n).bearer(&admin)
        };
        let profiles = repeat(&server, MILLION / 2, load, next)?;
        let next = {
            let account = account.clone();
            move |n| world::policy(&account, n).bearer(&admin)
        };
        let policies = repeat(&server, MILLION / 2, load, next)?;
        (server.api_key.clone(), format!("{profiles} profiles, {policies} policies"))
    };
    let server = child::Server::start(data)?;
    table.plain("start to listening, many objects", millis(server.listening), "1000 ms", &made);
    let token = server.token(&api_key)?;
    table.plain("start to first token, many objects", millis(server.since_start()), "", "");
    let asked = Instant::now();
    let list = Call::get("/avouch/v1/clusters").bearer(&token);
    let (status, body) = Connection::open(server.address)?.call(&list)?;
    ensure!(status == 200, "no list: {status} {}", String::from_utf8_lossy(&body));
    table.plain(
        "first decision, many objects",
        millis(asked.elapsed()),
        "",
        "the policies of the account are read",
    );
    table.plain("memory, many objects", mebibytes(server.resident()?), "", "resident, with those policies");
    Ok(())
}

/// Load until so many were done; `next` gets a number that does not come twice.
fn repeat<F>(server: &child::Server, times: u64, load: Load, next: F) -> Result<u64>
where
    F: Fn(u64) -> Call + Send + Sync + 'static,
{
    let (next, count) = (Arc::new(next), Arc::new(AtomicU64::new(0)));
    let mut done = 0;
    while done < times {
        let (next, count) = (next.clone(), count.clone());
        let numbered = move |_| next(count.fetch_add(1, Ordering::Relaxed));
        done += load.outside(server.address, numbered)?.operations;
    }
    Ok(done)
}
