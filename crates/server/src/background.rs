//! Work that no request waits for: key rotation, key fetching, expiry, retention. Each job is safe to run twice.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use avouch_gate::{App, Result};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

/// How often the jobs look for work.
const EVERY: Duration = Duration::from_secs(5);

/// How late the figures may be that are counted in memory.
const COUNTS_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked whether changes of accounts can be forgotten: nothing waits for that.
const CHANGES_EVERY: Duration = Duration::from_secs(300);

type Job = (&'static str, Duration, for<'a> fn(&'a Arc<App>) -> BoxFuture<'a, Result<()>>);

/// Every job, how often it looks for work, and what it does.
const JOBS: [Job; 11] = [
    ("disk", COUNTS_EVERY, |app| avouch_gate::room::tick(app).boxed()),
    ("signing keys", EVERY, |app| avouch_iam::signing_keys::tick(app).boxed()),
    ("tokens", EVERY, |app| avouch_iam::token::tick(app).boxed()),
    ("cluster keys", EVERY, |app| avouch_kubernetes::tick(app).boxed()),
    ("secrets", EVERY, |app| avouch_secrets::tick(app).boxed()),
    ("reclamations", EVERY, |app| avouch_platform::tick(app).boxed()),
    ("instances", EVERY, |app| avouch_vpc::instances::life::tick(app).boxed()),
    ("API keys", EVERY, |app| avouch_iam::api_keys::purge::tick(app).boxed()),
    ("old changes", CHANGES_EVERY, |app| avouch_gate::access::tick(app).boxed()),
    ("policies", EVERY, |app| avouch_iam::access_source::tick(app).boxed()),
    ("permits of policies", COUNTS_EVERY, |app| avouch_iam::policies::permits::flush(app).boxed()),
];

/// Starts the jobs, each in a loop of its own, so that a slow one holds up no other; they end with the runtime.
pub fn start(app: &Arc<App>) {
    for job in JOBS {
        let app = app.clone();
        tokio::spawn(async move {
            let mut timer = tokio::time::interval(job.1);
            timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                timer.tick().await;
                round(&app, job).await;
            }
        });
    }
}

/// One round of every job; a failing job does not stop the others.
pub async fn tick(app: &Arc<App>) {
    for job in JOBS {
        round(app, job).await;
    }
}

/// Writes down what is counted in memory: the last thing that a server does.
pub async fn counts(app: &Arc<App>) {
    for job in JOBS.into_iter().filter(|job| job.1 == COUNTS_EVERY) {
        round(app, job).await;
    }
}

/// One round of one job. A panic ends the round, not the job.
async fn round(app: &Arc<App>, (name, _, run): Job) {
    match AssertUnwindSafe(run(app)).catch_unwind().await {
        Ok(result) => report(name, result),
        Err(_) => {
            app.metrics.panic();
            tracing::error!(job = name, "background job panicked");
        }
    }
}

fn report(job: &'static str, result: Result<()>) {
    if let Err(e) = result {
        tracing::warn!(job, cause = e.cause_text().unwrap_or(e.message()), "background job failed");
    }
}
