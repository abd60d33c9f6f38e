//! The decision of a past request, from what its event kept, asked again of the rules of today.

use avouch_gate::audit::sql::{self, Filter, Stored};
use avouch_gate::{Ctx, Error, Result};
use avouch_policy::access::ResourceAttrs;
use avouch_policy::reason::Reason;
use avouch_wire::explain::ExplainResponse;
use avouch_wire::ids::{AccountId, IamId};
use avouch_wire::time::Timestamp;
use serde_json::{Map, Value};

use super::{
    access_answer, answer, find, judge, may_see_access, may_see_profile, not_found, trust_answer, words,
};
use crate::authz::question::Subject;
use crate::token::compute::{recorded_identity, recorded_reason};

/// Events of one transaction id that are looked at. Clients choose the id, and may use one for many requests.
const EVENTS: i64 = 1000;

/// Explains the request with this transaction id, in the caller's own account.
pub async fn explain(ctx: &Ctx, id: &str) -> Result<ExplainResponse> {
    let account = ctx.caller()?.account().clone();
    // A caller may ask at once after the answer.
    ctx.app().audit.flush().await?;
    let filter = Filter { equal: vec![("correlation_id", id.to_owned())], ..Filter::default() };
    let trail = account.to_string();
    let rows = ctx.read(move |tx| sql::list(tx, &trail, &filter, None, EVENTS)).await?;
    let read = |row: Stored| {
        let event = serde_json::from_str::<Value>(&row.body).ok()?;
        let decision = event.pointer("/avouch/decision")?.clone();
        Some((Timestamp::from_millis(row.time), event, decision))
    };
    let mut events: Vec<_> = rows.into_iter().filter_map(read).collect();
    // What was refused is what somebody asks about: nothing that was permitted under the same id hides it.
    events.sort_by_key(|(_, _, decision)| decision.get("permitted") != Some(&Value::Bool(false)));
    for (then, event, decision) in &events {
        let (then, decision) = (*then, decision);
        match decision.get("stage").and_then(Value::as_str) {
            Some("trust") => return trust(ctx, &account, decision, then).await,
            Some("access") => {
                let mut out = access(ctx, &account, decision, then).await?;
                // What is permitted may still be impossible: the policies are not to blame.
                let failure = event.pointer("/reason/reasonForFailure").and_then(Value::as_str);
                let failure = failure.filter(|text| !text.is_empty());
                if let (Some(failure), "permitted") = (failure, out.decision.as_str()) {
                    out.summary.push_str(&format!(" The request failed for another reason: {failure}"));
                }
                return Ok(out);
            }
            Some(stage) => return recorded(ctx, &account, stage, decision, then).await,
            None => {}
        }
    }
    Err(not_found())
}

async fn trust(ctx: &Ctx, account: &AccountId, decision: &Value, then: Timestamp) -> Result<ExplainResponse> {
    let profile_id = decision.get("profile_id").and_then(Value::as_str);
    let Some(identity) = recorded_identity(decision, account) else {
        return recorded(ctx, account, "trust", decision, then).await;
    };
    let profile = match profile_id {
        Some(id) => find(ctx, account, id).await?,
        None => None,
    };
    let Some(profile) = profile else { return recorded(ctx, account, "trust", decision, then).await };
    may_see_profile(ctx, &profile).await?;
    let permitted_then = decision.get("permitted") != Some(&Value::Bool(false));
    let permitted_now = judge(&identity, &profile).0;
    let mut out = trust_answer(&profile, &identity, then)?;
    if permitted_then != permitted_now {
        // The rules have changed: what was decided then is told, and that today would differ.
        if let Some(tree) = recorded_reason(decision) {
            out = answer(
                permitted_then,
                "trust",
                format!(
                    "{} was refused as profile '{}'; today it would not be.",
                    identity.display, profile.name
                ),
                then,
                &tree,
            )?;
        }
        out.decision = if permitted_then { "permitted" } else { "refused" }.into();
    }
    out.now_differs = Some(permitted_then != permitted_now);
    Ok(out)
}

async fn access(
    ctx: &Ctx,
    account: &AccountId,
    decision: &Value,
    then: Timestamp,
) -> Result<ExplainResponse> {
    let text = |name: &str| decision.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let owner = AccountId::parse(&text("account")).ok();
    if owner.as_ref() != Some(account) {
        return Err(not_found());
    }
    let attrs = attributes(account, decision.get("attributes").and_then(Value::as_object));
    may_see_access(ctx, account, &attrs).await?;
    let (iam_id, action) = (text("iam_id"), text("action"));
    let permitted_then = decision.get("permitted") != Some(&Value::Bool(false));
    let id = IamId::parse(&iam_id).map_err(|_| not_found())?;
    let home = AccountId::parse(&text("home")).unwrap_or_else(|_| account.clone());
    let subject = Subject::new(id, Some(home), None);
    let mut out = access_answer(ctx, account, (subject, &action), &attrs, then).await?;
    let permitted_now = out.decision == "permitted";
    if permitted_then != permitted_now {
        let (was, be) =
            if permitted_then { ("permitted", "would not be") } else { ("refused", "would be permitted") };
        out.summary = format!("{iam_id} was {was} {action}; by the policies of today it {be}.");
        if permitted_then {
            // What permits nothing any more is told by the ids that the event kept.
            let policies = decision.get("policies").and_then(Value::as_array);
            let children = policies.into_iter().flatten().filter_map(Value::as_str);
            let children =
                children.map(|id| Reason::check("policy", true).with_id(id).detail("permitted it then"));
            let tree = Reason::group("access", true).with_children(children.collect());
            out.tree = serde_json::to_value(&tree).map_err(Error::internal)?;
        }
        out.decision = if permitted_then { "permitted" } else { "refused" }.into();
    }
    out.now_differs = Some(permitted_then != permitted_now);
    Ok(out)
}

/// Attributes as an event or a question names them.
pub fn attributes(account: &AccountId, given: Option<&Map<String, Value>>) -> ResourceAttrs {
    let text = |name: &str| given.and_then(|g| g.get(name)).and_then(Value::as_str);
    let mut attrs = ResourceAttrs::service(account, text("serviceName").unwrap_or_default());
    for (name, value) in given.into_iter().flatten() {
        match (name.as_str(), value) {
            // They follow from the account and the service.
            ("accountId" | "serviceName" | "serviceType" | "service_group_id", _) => {}
            ("tags", Value::Array(tags)) => {
                attrs = attrs.tags(tags.iter().filter_map(Value::as_str).map(str::to_owned));
            }
            (name, Value::String(value)) => attrs = attrs.with(name, value),
            _ => {}
        }
    }
    attrs
}

/// Stages that no rule of today can be asked about: evidence that was refused, logins, profiles that are gone.
async fn recorded(
    ctx: &Ctx,
    account: &AccountId,
    stage: &str,
    decision: &Value,
    then: Timestamp,
) -> Result<ExplainResponse> {
    let attrs = ResourceAttrs::service(account, "iam-identity");
    may_see_access(ctx, account, &attrs).await?;
    let text = |name: &str| decision.get(name).and_then(Value::as_str);
    let permitted = decision.get("permitted") != Some(&Value::Bool(false));
    let why = text("reason_code").filter(|_| !permitted).map(words::of_reason);
    let mut tree = Reason::check(stage.to_owned(), permitted).with_name(text("display"));
    if let Some(why) = why {
        tree = tree.detail(why.to_owned());
    }
    if let Some(wanted) = text("wanted") {
        tree = tree.wanted(wanted);
    }
    let verdict = if permitted { "was permitted" } else { "was refused" };
    let who = text("display").or_else(|| text("iam_id")).unwrap_or("The caller");
    let why = why.map(|w| format!(": {w}")).unwrap_or_default();
    let wanted = text("wanted").map(|w| format!(" Asked for: {w}.")).unwrap_or_default();
    let detail = text("detail").map(|d| format!(" {d}")).unwrap_or_default();
    answer(permitted, stage, format!("{who} {verdict}{why}.{wanted}{detail}"), then, &tree)
}
