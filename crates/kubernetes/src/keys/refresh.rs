//! Fetching the keys of a registration and keeping them.
//!
//! A failed or empty answer never takes a key away. Fetches happen in the background, and on the path of a request only
//! for an unknown key id and within the limits of [`super::guard`].

use std::sync::Arc;
use std::time::Duration;

use avouch_gate::audit::sql as audit_sql;
use avouch_gate::ctx::background_event;
use avouch_gate::{App, Details, Error, Kind as ErrorKind, Permit, Result};
use avouch_store::Tx;
use avouch_wire::time::Timestamp;
use serde_json::json;
use tokio::task::JoinSet;

use super::guard::Decision;
use super::merge::{Patience, merge};
use super::registry::STALE_AFTER;
use crate::Kubernetes;
use crate::evidence::LEEWAY_SECS;
use crate::fetch::FetchError;
use crate::fetch::document::{self, Fetched, Manner, ParsedSet};
use crate::registrations::{Registration, Source, sql};

/// Longest time between two fetches, seconds.
const INTERVAL: i64 = 900;
/// Shortest time between two fetches, whatever the issuer says.
const SHORTEST: i64 = 60;
/// Registrations fetched in one round of the background job, and at the same time.
const ROUND: i64 = 64;
const PARALLEL: usize = 8;
/// Registrations fetched for one unknown key id.
const PER_UNKNOWN: usize = 16;
/// A request waits this long for a fetch.
const WAIT: Duration = Duration::from_secs(2);
const LEASE_MS: i64 = 60_000;

/// What was fetched for one issuer of a registration.
#[derive(Debug)]
pub struct Answered {
    /// The issuer.
    pub issuer: String,
    /// Its source at the time of the fetch.
    pub source: Source,
    /// Keys, or why not.
    pub result: std::result::Result<Fetched, FetchError>,
}

/// How a refresh ended.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Labels of new keys.
    pub added: Vec<String>,
    /// Labels of known keys that were not published.
    pub missing: Vec<String>,
    /// Labels of keys that stayed.
    pub kept: Vec<String>,
    /// Labels of keys that another registration has.
    pub left_out: Vec<String>,
    /// What was doubtful.
    pub warnings: Vec<String>,
    /// Another set of keys counts.
    pub changed: bool,
    /// Why a source did not answer.
    pub error: Option<FetchError>,
}

/// Patience with keys that are not published any more.
pub fn patience(r: &Registration, answers: i64) -> Patience {
    Patience { answers, grace_secs: r.settings.max_token_ttl + LEEWAY_SECS }
}

/// Fetches every remote issuer of a registration; touches no store.
pub async fn fetch_all(k: &Kubernetes, r: &Registration) -> Vec<Answered> {
    let mut answers = Vec::new();
    for issuer in &r.settings.issuers {
        let Some(remote) = issuer.source.remote() else { continue };
        let manner = Manner {
            issuer: &issuer.issuer,
            ca_pem: r.settings.ca_pem.as_deref(),
            with_token: r.settings.with_token,
            allowed_hosts: &r.settings.allowed_hosts,
        };
        let result = document::fetch(&k.fetcher, &remote, &manner).await;
        answers.push(Answered { issuer: issuer.issuer.clone(), source: issuer.source.clone(), result });
    }
    answers
}

/// When to fetch next: what the issuer allows, at most the interval, a fifth earlier or later so that registrations
/// spread out.
pub fn next_refresh(app: &App, now: Timestamp, answers: &[Answered]) -> Timestamp {
    let ages = answers.iter().map(|a| match &a.result {
        Ok(fetched) => fetched.max_age.unwrap_or(INTERVAL).clamp(SHORTEST, INTERVAL),
        Err(_) => SHORTEST,
    });
    let base = ages.min().unwrap_or(INTERVAL) * 1000;
    let mut random = [0u8; 2];
    app.rng.fill(&mut random);
    let fifth = base / 5;
    let offset = i64::from(u16::from_le_bytes(random)) % (2 * fifth + 1) - fifth;
    now.plus_millis(base + offset)
}

/// Applies answers to the stored keys, unless those of a fetch that began later were: an older answer would bring keys
/// back that a newer one did not have. The registration is read again: it may have changed while the fetch ran.
///
/// # Errors
/// `NotFound` when the registration is gone.
pub fn apply(
    tx: &mut Tx<'_>,
    r: &Registration,
    answers: &[Answered],
    (began, now): (Timestamp, Timestamp),
    next: Timestamp,
) -> Result<Outcome> {
    let Some(present) = sql::get(tx, &r.account, r.kind, &r.id)? else {
        return Err(Error::not_found(r.kind.shown(), &r.id));
    };
    let mut outcome = Outcome::default();
    // A later time than the present one is of a clock that was set back since.
    if present.last_refresh.is_some_and(|last| began < last && last <= now) {
        outcome.warnings.push("another fetch, which began later, was quicker: its keys are kept".into());
        return Ok(outcome);
    }
    let known = sql::keys(tx, &r.id)?;
    let mut good = !answers.is_empty();
    for answer in answers {
        let same =
            present.settings.issuers.iter().any(|i| i.issuer == answer.issuer && i.source == answer.source);
        if !same {
            continue;
        }
        match &answer.result {
            Ok(fetched) => {
                let of_issuer: Vec<_> =
                    known.iter().filter(|key| key.issuer == answer.issuer).cloned().collect();
                let merged = merge(&of_issuer, &fetched.set.keys, &answer.issuer, now, patience(&present, 2));
                outcome.left_out.extend(sql::settle_keys(tx, &present, &answer.issuer, &merged.keys)?);
                outcome.added.extend(merged.added);
                outcome.missing.extend(merged.missing);
                outcome.kept.extend(merged.kept);
                outcome.warnings.extend(fetched.set.warnings.iter().cloned());
                outcome.changed |= merged.changed;
            }
            Err(e) => {
                good = false;
                outcome.error = Some(e.clone());
            }
        }
    }
    if outcome.changed {
        sql::raise(tx, &present)?;
    }
    outcome.warnings.extend(outcome.left_out.iter().map(|label| {
        format!("the key '{label}' is not used: another registration of the issuer has it or its id")
    }));
    let taken = (!outcome.left_out.is_empty()).then(|| sql::collision().message().to_owned());
    let error = outcome.error.as_ref().map(ToString::to_string).or(taken);
    sql::note_refresh(tx, &r.id, good.then_some(began), error.as_deref(), Some(next))?;
    Ok(outcome)
}

/// Puts uploaded keys of one issuer beside the known ones.
///
/// # Errors
/// `Conflict` when another registration has one of them.
pub fn upload(
    tx: &mut Tx<'_>,
    r: &Registration,
    issuer: &str,
    set: &ParsedSet,
    now: Timestamp,
) -> Result<()> {
    let known: Vec<_> = sql::keys(tx, &r.id)?.into_iter().filter(|key| key.issuer == issuer).collect();
    let merged = merge(&known, &set.keys, issuer, now, patience(r, 1));
    sql::put_keys(tx, &r.id, issuer, &merged.keys)
}

/// Fetches and keeps, outside of any request; a change of keys and every alarm leave an event. True when every source
/// answered.
///
/// # Errors
/// Those of the store.
pub async fn run(app: &Arc<App>, k: &Kubernetes, r: &Registration) -> Result<bool> {
    let began = app.clock.now();
    let answers = Arc::new(fetch_all(k, r).await);
    let now = app.clock.now();
    let next = next_refresh(app, now, &answers);
    let failed = answers.iter().find_map(|a| a.result.as_ref().err().cloned());
    let event = |status: u16, error: Option<&str>| {
        let permit = Permit::system(r.kind.refresh_event(), r.target(&app.config.cname));
        let details = Details { status, failure: error.map(str::to_owned), ..Details::default() };
        background_event(app, now, "Kubernetes Service", &permit, details)
    };
    let success = event(200, None);
    let (registration, applied) = (r.clone(), answers.clone());
    let result = app
        .store
        .write(move |tx| {
            let outcome = apply(tx, &registration, &applied, (began, now), next)?;
            if outcome.changed {
                let mut event = success.clone();
                event.response.insert("added".into(), json!(outcome.added));
                event.response.insert("missing".into(), json!(outcome.missing));
                audit_sql::insert(tx, &event)?;
            }
            Ok::<_, Error>(outcome)
        })
        .await;
    match result {
        Ok(outcome) if outcome.left_out.is_empty() => {}
        Ok(_) => {
            let told = sql::collision();
            if r.last_error.as_deref() != Some(told.message()) {
                // Somebody else registered these keys first: the owner of the cluster must hear of it.
                app.audit.durable(event(409, Some(told.message())), Vec::new()).await?;
            }
        }
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    }
    if let Some(error) = failed {
        let stale = r.last_refresh.is_none_or(|at| now > at.plus_secs(STALE_AFTER));
        let news = r.last_error.as_deref() != Some(&error.to_string());
        if (stale || error.is_refused()) && news {
            let status = if error.is_refused() { 403 } else { 503 };
            app.audit.durable(event(status, Some(&error.to_string())), Vec::new()).await?;
        }
        return Ok(false);
    }
    Ok(true)
}

/// One round of the background job: registrations whose time has come, each fetched by one replica.
///
/// # Errors
/// Those of the store.
pub async fn tick(app: &Arc<App>, k: &Arc<Kubernetes>) -> Result<()> {
    let now = app.clock.now();
    let latest = now.plus_secs(2 * INTERVAL);
    let mut due = app.store.read(move |tx| sql::due(tx, now, latest, ROUND)).await?.into_iter();
    let mut running: JoinSet<Result<bool>> = JoinSet::new();
    loop {
        while running.len() < PARALLEL
            && let Some(r) = due.next()
        {
            let (app, k) = (app.clone(), k.clone());
            running.spawn(async move {
                let (name, holder) = (format!("registration:{}", r.id), k.holder(&app));
                let lease = app
                    .store
                    .write(move |tx| {
                        Ok::<_, Error>(tx.acquire_lease(&name, &holder, now.millis(), LEASE_MS)?)
                    })
                    .await?;
                if lease.is_none() { Ok(false) } else { run(&app, &k, &r).await }
            });
        }
        match running.join_next().await {
            None => return Ok(()),
            Some(Ok(Ok(_))) => {}
            Some(Ok(Err(e))) => {
                tracing::warn!(cause = e.cause_text().unwrap_or(e.message()), "keys could not be kept");
            }
            Some(Err(e)) => tracing::warn!(cause = %e, "a fetch of keys ended early"),
        }
    }
}

/// What came of looking for an unknown key id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// The keys were fetched anew: look again.
    Fetched,
    /// There is no such key.
    Unknown,
    /// The source did not answer in time, or must not be asked yet.
    Later(u32),
}

/// Looks for an unknown key id at the sources of an issuer, within the limits.
///
/// # Errors
/// Those of the store.
pub async fn search(
    app: &Arc<App>,
    k: &Arc<Kubernetes>,
    issuer: &str,
    kid: &str,
    mut candidates: Vec<Registration>,
) -> Result<Search> {
    if candidates.is_empty() {
        return Ok(Search::Unknown);
    }
    let whole = candidates.len() <= PER_UNKNOWN;
    if !whole {
        // Many clusters share a default issuer: which of them are asked is chance, so that each has its turn.
        let mut random = [0u8; 4];
        app.rng.fill(&mut random);
        let by = usize::try_from(u32::from_le_bytes(random)).unwrap_or(0) % candidates.len();
        candidates.rotate_left(by);
    }
    let now = app.clock.now();
    let mut hear = match k.guards.decide(issuer, kid, now) {
        Decision::Unknown => return Ok(Search::Unknown),
        Decision::Later(wait) => return Ok(Search::Later(wait)),
        Decision::Wait(hear) => hear,
        Decision::Fetch(say, hear) => {
            // Whoever looked before the last fetch ended finds the key now, without another fetch.
            if k.registry.entry(app, issuer).await?.has_key(issuer, kid) {
                let _ = say.send(Some(true));
                return Ok(Search::Fetched);
            }
            let (app, k) = (app.clone(), k.clone());
            // Beside the request: who waits may go away, the fetch goes on.
            tokio::spawn(async move {
                let mut running: JoinSet<bool> = JoinSet::new();
                for r in candidates.into_iter().take(PER_UNKNOWN) {
                    let (app, k) = (app.clone(), k.clone());
                    running.spawn(async move { run(&app, &k, &r).await.unwrap_or(false) });
                }
                let mut all = true;
                while let Some(one) = running.join_next().await {
                    all &= one.unwrap_or(false);
                }
                // Where not everybody was asked, the key may be with one of the others.
                let _ = say.send(Some(all && whole));
            });
            hear
        }
    };
    let ended = tokio::time::timeout(WAIT, async {
        loop {
            if let Some(all) = *hear.borrow_and_update() {
                return Some(all);
            }
            if hear.changed().await.is_err() {
                return *hear.borrow();
            }
        }
    })
    .await;
    match ended {
        Ok(Some(true)) => Ok(Search::Fetched),
        // Some sources answered; the key may be among theirs.
        Ok(Some(false)) | Ok(None) => Ok(Search::Later(5)),
        Err(_) => Ok(Search::Later(2)),
    }
}
