//! Requests for explanations.

use avouch_gate::{Ctx, Error, Request, Response, Result};
use avouch_policy::access::ResourceAttrs;
use avouch_policy::claims::{self, Claims};
use avouch_policy::reason::Reason;
use avouch_policy::rules::{ComputeIdentity, CrType};
use avouch_wire::crn::Crn;
use avouch_wire::explain::{AccessQuestion, ExplainRequest, ExplainResponse, TrustQuestion};
use avouch_wire::ids::{AccountId, IamId};
use avouch_wire::time::Timestamp;
use serde_json::Value;

use super::transaction::{self, attributes};
use super::{access_answer, answer, find, may_see_access, may_see_profile, not_found, trust_answer};
use crate::authz::question::{Subject, Token};

pub async fn explain(ctx: Ctx, request: Request) -> Result<Response> {
    let asked: ExplainRequest = request.json()?;
    let out = match (asked.transaction_id, asked.trust, asked.access) {
        (Some(id), None, None) => transaction::explain(&ctx, &id).await?,
        (None, Some(question), None) => trust_question(&ctx, question).await?,
        (None, None, Some(question)) => access_question(&ctx, question).await?,
        _ => {
            return Err(Error::invalid(
                "body",
                "Exactly one of 'transaction_id', 'trust' and 'access' must be given.",
            ));
        }
    };
    Response::json(200, &out)
}

fn clock(ctx: &Ctx, at: Option<&str>) -> Result<Timestamp> {
    match at {
        None => Ok(ctx.now()),
        Some(text) => Timestamp::parse_rfc3339(text)
            .map_err(|_| Error::invalid("at", "The property 'at' is not a time.")),
    }
}

async fn trust_question(ctx: &Ctx, question: TrustQuestion) -> Result<ExplainResponse> {
    let account = ctx.caller()?.account().clone();
    let at = clock(ctx, question.at.as_deref())?;
    let profile = find(ctx, &account, &question.profile_id).await?.ok_or_else(not_found)?;
    may_see_profile(ctx, &profile).await?;
    let identity = match (&question.cr_token, &question.cr_type) {
        (Some(token), None) => {
            let (tree, evidence) = ctx.app().links.evidence.inspect(ctx, token.trim(), at).await?;
            match evidence {
                Some(evidence) => evidence.identity,
                None => return evidence_refused(&tree, at),
            }
        }
        (None, Some(cr_type)) => {
            let given = question.claims.clone().unwrap_or_default();
            supposed(&account, cr_type, &given)?
        }
        _ => {
            return Err(Error::invalid(
                "trust",
                "Either 'cr_token' or 'cr_type' with 'claims' must be given.",
            ));
        }
    };
    trust_answer(&profile, &identity, at)
}

fn evidence_refused(tree: &Reason, at: Timestamp) -> Result<ExplainResponse> {
    let failed = tree.children.iter().find(|c| !c.result);
    let summary = match failed {
        Some(check) => format!(
            "The token fails the check '{}'{}.",
            check.name.as_deref().unwrap_or(&check.kind),
            check.detail.as_deref().map(|d| format!(": {d}")).unwrap_or_default()
        ),
        None => "The token was refused.".to_owned(),
    };
    answer(false, "evidence", summary, at, tree)
}

/// A compute resource that somebody imagines.
fn supposed(
    account: &AccountId,
    cr_type: &str,
    given: &serde_json::Map<String, Value>,
) -> Result<ComputeIdentity> {
    let bad = |field: &'static str| Error::invalid(field, format!("The property '{field}' is not valid."));
    let cr_type = CrType::parse(cr_type).ok_or_else(|| bad("cr_type"))?;
    let crn = given.get("crn").and_then(Value::as_str).ok_or_else(|| Error::missing("claims.crn"))?;
    let crn = Crn::parse(crn).map_err(|_| bad("claims.crn"))?;
    let claims: Claims = claims::from_json(given);
    let text = |name: &str| claims.text(name).unwrap_or_default().to_owned();
    let display = format!("{}:{}:{}", crn.instance(), text("namespace"), text("name"));
    Ok(ComputeIdentity {
        cr_type,
        account: crn.account().unwrap_or_else(|| account.clone()),
        crn,
        display,
        claims,
    })
}

async fn access_question(ctx: &Ctx, question: AccessQuestion) -> Result<ExplainResponse> {
    let own = ctx.caller()?.account().clone();
    let at = clock(ctx, question.at.as_deref())?;
    let iam_id = IamId::parse(&question.iam_id)
        .map_err(|_| Error::invalid("iam_id", "The property 'iam_id' is not an IAM id."))?;
    let attrs = match (&question.resource.crn, &question.resource.attributes) {
        (Some(text), None) => {
            let bad =
                || Error::invalid("resource.crn", "The property 'resource.crn' is not a CRN of an account.");
            let crn = Crn::parse(text).map_err(|_| bad())?;
            if crn.account().as_ref() != Some(&own) {
                return Err(not_found());
            }
            complete(ctx, &own, ResourceAttrs::from_crn(&crn).ok_or_else(bad)?, crn.instance()).await?
        }
        (None, Some(given)) => {
            if given.get("accountId").and_then(Value::as_str).is_some_and(|a| a != own.as_str()) {
                return Err(not_found());
            }
            let instance = given.get("serviceInstance").and_then(Value::as_str).unwrap_or_default();
            complete(ctx, &own, attributes(&own, Some(given)), instance).await?
        }
        _ => return Err(Error::invalid("resource", "Either 'crn' or 'attributes' must be given.")),
    };
    may_see_access(ctx, &own, &attrs).await?;
    let bad = |_| Error::invalid("account_id", "The property 'account_id' is not an account id.");
    let home = question.account_id.as_deref().map(AccountId::parse).transpose().map_err(bad)?;
    // Who asks about a time asks about a token of that time.
    let token = question.at.is_some().then_some(Token { sound: true, issued: Some(at) });
    let subject = Subject::new(iam_id, home, token);
    access_answer(ctx, &own, (subject, &question.action), &attrs, at).await
}

/// Adds what the services add to a request: resource group and tags of the instance.
async fn complete(
    ctx: &Ctx,
    account: &AccountId,
    attrs: ResourceAttrs,
    instance: &str,
) -> Result<ResourceAttrs> {
    if instance.is_empty() {
        return Ok(attrs);
    }
    Ok(match ctx.app().instance(instance).await?.filter(|info| info.account == *account) {
        Some(info) => attrs.resource_group(&info.resource_group).region(&info.region).tags(info.tags),
        None => attrs,
    })
}
