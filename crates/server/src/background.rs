//! Work that no request waits for: key rotation, key fetching, expiry, retention. Each job is safe to run twice.

use std::sync::Arc;
use std::time::Duration;

use avouch_gate::App;

/// How often the jobs look for work.
const EVERY: Duration = Duration::from_secs(5);

/// How late the figures may be that are counted in memory.
const COUNTS_EVERY: Duration = Duration::from_secs(1);

/// Starts the jobs; they end with the runtime.
pub fn start(app: &Arc<App>) {
    let counting = app.clone();
    tokio::spawn(async move {
        let mut timer = tokio::time::interval(COUNTS_EVERY);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            timer.tick().await;
            counts(&counting).await;
        }
    });
    let app = app.clone();
    tokio::spawn(async move {
        let mut timer = tokio::time::interval(EVERY);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            timer.tick().await;
            tick(&app).await;
        }
    });
}

/// One round of every job; a failing job does not stop the others.
pub async fn tick(app: &Arc<App>) {
    report("signing keys", avouch_iam::signing_keys::tick(app).await);
    report("tokens", avouch_iam::token::tick(app).await);
    report("cluster keys", avouch_kubernetes::tick(app).await);
    report("secrets", avouch_secrets::tick(app).await);
    report("reclamations", avouch_platform::tick(app).await);
    report("API keys", avouch_iam::api_keys::purge::tick(app).await);
    report("policies", avouch_iam::access_source::tick(app).await);
    counts(app).await;
}

/// Writes down what is counted in memory; also the last thing that a server does.
pub async fn counts(app: &Arc<App>) {
    report("permits of policies", avouch_iam::policies::permits::flush(app).await);
}

fn report(job: &'static str, result: avouch_gate::Result<()>) {
    if let Err(e) = result {
        tracing::warn!(job, cause = e.cause_text().unwrap_or(e.message()), "background job failed");
    }
}
