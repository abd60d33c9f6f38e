//! Why a decision came out as it did: for a past request, for evidence, for a question about access.
//!
//! The code that enforces also explains. Only those who may read the profile (trust) or the policies on the target
//! (access) of their own account get an answer; for everybody else the thing does not exist.

mod http;
mod transaction;
mod trust;
mod words;

use async_trait::async_trait;
use avouch_gate::links::{Life, TrustExplainer};
use avouch_gate::{Ctx, Endpoint, Error, Kind, Result, Target};
use avouch_policy::access::ResourceAttrs;
use avouch_policy::reason::Reason;
use avouch_policy::roles::Catalogue;
use avouch_policy::rules::{ComputeIdentity, match_profile};
use avouch_wire::explain::ExplainResponse;
use avouch_wire::ids::AccountId;
use avouch_wire::time::Timestamp;

use crate::authz::question::{Standing, Subject, standing};
use crate::token::lookup::{self, TrustedProfile};
use crate::token::trust::Selector;

/// What explaining trust demands, on the profile.
const PROFILE_GET: &str = "iam-identity.profile.get";
/// What explaining access demands, on the target.
const POLICY_READ: &str = "iam.policy.read";

/// Explains trust to the services that verify evidence.
#[derive(Debug, Clone, Copy)]
pub struct Explainer;

#[async_trait]
impl TrustExplainer for Explainer {
    async fn explain_trust(
        &self,
        ctx: &Ctx,
        account: &AccountId,
        identity: &ComputeIdentity,
        profile: &str,
    ) -> Result<Option<Reason>> {
        let Some(profile) = find(ctx, account, profile).await? else { return Ok(None) };
        may_see_profile(ctx, &profile).await?;
        Ok(Some(judge(identity, &profile).1))
    }
}

/// A profile of the account, by id, IAM id or CRN.
async fn find(ctx: &Ctx, account: &AccountId, text: &str) -> Result<Option<TrustedProfile>> {
    let id = match Selector::of_id(text) {
        Some(Selector::Id(id)) => id,
        Some(Selector::Crn(of, id)) if of == *account => id,
        _ => return Ok(None),
    };
    let account = account.clone();
    ctx.read(move |tx| lookup::profile_by_id(tx, &account, &id)).await
}

/// The decision of the token service.
fn judge(identity: &ComputeIdentity, profile: &TrustedProfile) -> (bool, Reason) {
    match_profile(identity, &profile.account, &profile.links, &profile.rules)
}

fn profile_attrs(profile: &TrustedProfile) -> ResourceAttrs {
    ResourceAttrs::service(&profile.account, "iam-identity").resource("profile", profile.id.as_str())
}

/// Decides whether the caller may see whom the profile trusts.
async fn may_see_profile(ctx: &Ctx, profile: &TrustedProfile) -> Result<()> {
    let attrs = profile_attrs(profile);
    let target = Target::global("iam-identity", &profile.account, attrs, &profile.crn).named(&profile.name);
    ctx.authorize(PROFILE_GET, &target).await.map(|_| ()).map_err(hidden)
}

/// Decides whether the caller may see who may do what on the target.
async fn may_see_access(ctx: &Ctx, account: &AccountId, attrs: &ResourceAttrs) -> Result<()> {
    let target = Target::global("iam-am", account, attrs.clone(), "");
    ctx.authorize(POLICY_READ, &target).await.map(|_| ()).map_err(hidden)
}

fn not_found() -> Error {
    Error::new(Kind::NotFound, "There is nothing to explain, or you may not see it.")
}

fn hidden(e: Error) -> Error {
    if matches!(e.kind(), Kind::Forbidden | Kind::NotFound) { not_found() } else { e }
}

/// The answer about trust.
fn trust_answer(
    profile: &TrustedProfile,
    identity: &ComputeIdentity,
    at: Timestamp,
) -> Result<ExplainResponse> {
    let (permitted, tree) = judge(identity, profile);
    let summary = if permitted {
        let by: Vec<String> = tree.satisfied().map(ToString::to_string).collect();
        format!("{} may become profile '{}': {} matches.", identity.display, profile.name, by.join(", "))
    } else if profile.links.is_empty() && profile.rules.is_empty() {
        format!(
            "Profile '{}' has no link and no claim rule, so no compute resource may become it.",
            profile.name
        )
    } else {
        match tree.first_failure().and_then(|f| f.claim.as_ref().map(|c| (c, f))) {
            Some((claim, f)) => format!(
                "{} may not become profile '{}': no link or rule matches; the nearest wants {claim} {}, found {}.",
                identity.display,
                profile.name,
                f.wanted.as_deref().unwrap_or("something else"),
                f.found.as_deref().unwrap_or("nothing"),
            ),
            None => format!(
                "{} may not become profile '{}': no link or rule matches.",
                identity.display, profile.name
            ),
        }
    };
    answer(permitted, "trust", summary, at, &tree)
}

/// The answer about access, from the decision itself.
async fn access_answer(
    ctx: &Ctx,
    account: &AccountId,
    (subject, action): (Subject, &str),
    attrs: &ResourceAttrs,
    at: Timestamp,
) -> Result<ExplainResponse> {
    // Whether an identity of another account lives is that account's business.
    let foreign = subject.home.as_ref().is_some_and(|home| home != account);
    let found = if foreign { Standing::known(Life::Lives) } else { standing(ctx, &subject, account).await? };
    let picture = ctx.app().account(account).await?;
    let mut tree = picture.explain(&subject.asker(account, found), action, attrs, at);
    if !foreign && !found.unknown {
        let lives = found.life == Life::Lives;
        let check = Reason::check("identity", lives).with_id(subject.id.as_str());
        let check = match found.life {
            Life::Lives => check,
            Life::Gone => check.detail(
                "there is no such identity in the account, or it is not active: its tokens are refused",
            ),
            Life::Stale => check.detail("its tokens of that time were revoked; those of today count"),
        };
        tree.result &= lives;
        tree.children.insert(0, check);
    }
    let iam_id = subject.id.as_str();
    let unknown = if tree.result { None } else { unknown_action(action) };
    if let Some(unknown) = &unknown {
        let check = Reason::check("action", false).with_name(Some(action)).detail(unknown.clone());
        tree.children.insert(0, check);
    }
    let summary = if tree.result {
        format!("{iam_id} may do {action}: a policy permits it.")
    } else if let Some(unknown) = unknown {
        format!("{iam_id} may not do {action}: {unknown}.")
    } else if found.life == Life::Gone {
        format!("{iam_id} may not do {action}: it is deleted or not active, so its tokens are refused.")
    } else if found.life == Life::Stale {
        format!("{iam_id} may not do {action} with a token of that time: it was revoked.")
    } else if !tree.children.iter().any(|c| c.kind == "policy") {
        let unknown = if found.unknown { " No such identity lives in this account." } else { "" };
        format!("{iam_id} may not do {action}: no policy names it or a group it is in.{unknown}")
    } else {
        let near = tree.first_failure();
        let why = near.map_or_else(String::new, |f| match (&f.claim, &f.wanted) {
            (Some(claim), Some(wanted)) => format!(
                "; the nearest wants {claim} {wanted}, found {}",
                f.found.as_deref().unwrap_or("nothing")
            ),
            _ => f.detail.as_deref().map(|d| format!("; {d}")).unwrap_or_default(),
        });
        format!("{iam_id} may not do {action}: none of its policies permits it here{why}.")
    };
    answer(tree.result, "access", summary, at, &tree)
}

/// What to say of an action that nothing here asks for, so that no policy ever permits it.
fn unknown_action(action: &str) -> Option<String> {
    let catalogue = Catalogue::builtin();
    if catalogue.knows(action) {
        return None;
    }
    let near = catalogue.near(action);
    let near =
        if near.is_empty() { String::new() } else { format!("; similar ones are {}", near.join(", ")) };
    Some(format!("no such action is known{near}"))
}

fn answer(
    permitted: bool,
    stage: &str,
    summary: String,
    at: Timestamp,
    tree: &Reason,
) -> Result<ExplainResponse> {
    Ok(ExplainResponse {
        decision: if permitted { "permitted" } else { "refused" }.into(),
        stage: stage.into(),
        summary,
        at: at.rfc3339_millis(),
        tree: serde_json::to_value(tree).map_err(Error::internal)?,
        now_differs: None,
    })
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    let mut endpoints = vec![
        Endpoint::post("/avouch/v1/explain", "explain", http::explain)
            .actions(&[PROFILE_GET, POLICY_READ])
            .events("iam-am/explanation", &["iam-am.explanation.read"])
            .effect(avouch_gate::Effect::Read)
            .body_limit(64 * 1024),
        Endpoint::get("/avouch/v1/trust", "list_trust", trust::list).actions(&[PROFILE_GET]),
    ];
    endpoints.extend(crate::revocations::endpoints());
    endpoints
}
