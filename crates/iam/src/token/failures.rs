//! Where a failed login is told. Evidence that was verified and then refused goes into the trail of its account, durable
//! before the answer. What nobody can verify goes into the operator's trail, counted ([`avouch_gate::unverified`]).

use avouch_gate::unverified::Refusal;
use avouch_gate::{Ctx, Details, Error, Permit};
use serde_json::json;

/// A login that was refused.
#[derive(Debug)]
pub struct Refused {
    /// What the caller is told.
    pub error: Error,
    /// Where the refusal is told.
    pub told: Told,
}

/// Where a refusal is told.
#[derive(Debug)]
pub enum Told {
    /// Nowhere: the request was not a login at all (a parameter is missing), or the server is at fault.
    Nowhere,
    /// In the operator's trail: nobody knows who it was.
    Operator {
        /// Audit action of the login that was tried.
        action: &'static str,
        /// First characters of the hash of the evidence, to recognise it.
        evidence: Option<String>,
    },
    /// In the trails of these accounts.
    Accounts(Vec<(Permit, Details)>),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { error, told: Told::Nowhere }
    }
}

impl Refused {
    /// A refusal of evidence that nobody can verify.
    pub fn unverified(error: Error, action: &'static str) -> Self {
        Self { error, told: Told::Operator { action, evidence: None } }
    }
}

/// Tells a refusal where it belongs and returns what the caller is answered.
pub async fn record(ctx: &Ctx, client_id: &str, refused: Refused) -> Error {
    let Refused { error, told } = refused;
    let app = ctx.app();
    let reason = error.reason_label().unwrap_or("refused");
    let written = match told {
        Told::Nowhere => return error,
        Told::Operator { action, evidence } => {
            app.failures.failed(ctx.address(), ctx.now());
            app.metrics.refusal(reason);
            let refusal = Refusal { action, reason, status: 400, display: super::DISPLAY };
            let singly = app.unverified.note(app, ctx.address(), refusal, ctx.now()).await;
            if matches!(singly, Ok(true)) {
                let permit = refusal.permit(ctx.initiator());
                let mut details = failure(&error, client_id, action);
                details.decision.insert("stage".into(), json!("evidence"));
                details.decision.insert("reason".into(), json!(reason));
                if let Some(hash) = evidence {
                    details.decision.insert("evidence_sha256".into(), json!(hash));
                }
                ctx.record_soon(&permit, details).await
            } else {
                ctx.recorded();
                singly.map(drop)
            }
        }
        Told::Accounts(trails) => {
            app.failures.failed(ctx.address(), ctx.now());
            app.metrics.refusal(reason);
            let one = |(permit, mut details): (Permit, Details)| {
                let told = failure(&error, client_id, permit.action());
                details.status = told.status;
                details.failure = told.failure;
                details.action = told.action;
                details.request.extend(told.request);
                async move { ctx.record(&permit, details).await }
            };
            // At once: two trails take no longer than one, so that nobody sees by the time that there is another account.
            futures_util::future::join_all(trails.into_iter().map(one)).await.into_iter().collect()
        }
    };
    match written {
        Ok(()) => error,
        Err(unwritable) => unwritable,
    }
}

fn failure(error: &Error, client_id: &str, action: &str) -> Details {
    let mut details = Details {
        status: error.status_override().unwrap_or_else(|| error.kind().status()),
        failure: Some(error.message().to_owned()),
        action: Some(action.to_owned()),
        ..Details::default()
    };
    details.request("client_id", client_id);
    details
}
