//! `POST /avouch/v1/revocations` and `GET /avouch/v1/sessions`.

use avouch_gate::{Ctx, Endpoint, Error, Request, Response, Result, Target};
use avouch_policy::access::ResourceAttrs;
use avouch_store::Tx;
use avouch_wire::crn::Crn;
use avouch_wire::ids::{AccountId, IamId, IamKind};
use avouch_wire::time::Timestamp;
use avouch_wire::token::{Revocation, RevocationRequest, Session, SessionList};

use super::sql;
use crate::token::api_key::counted_id;
use crate::token::{activity, sessions};

/// What ends the tokens of a profile, of a service ID, and of anybody else.
const OF_PROFILE: &str = "iam-identity.profile.revoke_session";
const OF_SERVICE_ID: &str = "iam-identity.serviceid.update";
const OF_OTHERS: &str = "iam-identity.session.manage";
const LIST: &str = "iam-identity.profile.get_session";

/// Seconds by which clocks may be wrong: as long as a token lives. A revocation ends what was issued by such a clock, and
/// the identity logs in again when that time has come.
const CLOCKS_DIFFER: i64 = 3600;

/// The endpoints.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post("/avouch/v1/revocations", "create_revocation", create)
            .protective(true)
            .actions(&[OF_PROFILE, OF_SERVICE_ID, OF_OTHERS])
            .events("iam-identity/session", &["iam-identity.session.revoke"]),
        Endpoint::get("/avouch/v1/sessions", "list_sessions", list).actions(&[LIST]),
    ]
}

/// The identity as a target in the caller's account.
fn target(account: &AccountId, iam_id: &IamId) -> Target {
    let attrs = ResourceAttrs::service(account, "iam-identity");
    let (attrs, crn) = match (iam_id.as_profile(), iam_id.as_service_id()) {
        (Some(id), _) => (attrs.resource("profile", id.as_str()), Crn::profile(account, &id).to_string()),
        (_, Some(id)) => {
            (attrs.resource("serviceid", id.as_str()), Crn::service_id(account, &id).to_string())
        }
        _ => (attrs, String::new()),
    };
    Target::global("iam-identity", account, attrs, crn).named(iam_id.as_str())
}

async fn create(ctx: Ctx, request: Request) -> Result<Response> {
    let body: RevocationRequest = request.json()?;
    let iam_id = IamId::parse(&body.iam_id)
        .map_err(|_| Error::invalid("iam_id", "The property 'iam_id' is not a valid IAM id."))?;
    let now = ctx.now();
    let asked = match &body.issued_before {
        None => None,
        Some(text) => Some(Timestamp::parse_rfc3339(text).ok().filter(|at| *at <= now).ok_or_else(|| {
            Error::invalid(
                "issued_before",
                "The property 'issued_before' must be a time (RFC 3339) that is past.",
            )
        })?),
    };
    let account = ctx.caller()?.account().clone();
    let action = match iam_id.kind() {
        IamKind::Profile => OF_PROFILE,
        IamKind::ServiceId => OF_SERVICE_ID,
        _ => OF_OTHERS,
    };
    let target = target(&account, &iam_id);
    let permit = ctx.authorize(action, &target).await?;
    // Only an identity of this account has tokens here; a dead one may still be named, so that its tokens end for good.
    let by = ctx.caller()?.iam_id().clone();
    let (a, i) = (account.clone(), iam_id.clone());
    let in_force = ctx
        .write(permit, move |tx, details| {
            details.request("iam_id", i.as_str());
            let issued_before = match asked {
                Some(at) => at,
                None => up_to_now(tx, &a, &i, now)?,
            };
            details.request("issued_before", issued_before.rfc3339_millis());
            details.status = 201;
            let in_force = sql::put(tx, &a, &i, issued_before, (now, by.as_str()))?;
            if asked.is_none() {
                sessions::end_all(tx, &a, &i, now)?;
            }
            tx.changed(a.as_str(), "identity", i.as_str())?;
            Ok(in_force)
        })
        .await?;
    Response::json(
        201,
        &Revocation {
            iam_id: iam_id.as_str().to_owned(),
            account_id: account.as_str().to_owned(),
            issued_before: in_force.rfc3339_millis(),
        },
    )
}

/// Later than every token of the identity that there is. A replica whose clock runs ahead dates tokens by that clock, and
/// notes the last one in their commit; so does one whose clock was set back since. It counts as
/// far as clocks may be wrong.
fn up_to_now(tx: &mut Tx<'_>, account: &AccountId, iam_id: &IamId, now: Timestamp) -> Result<Timestamp> {
    let id = match iam_id.as_profile() {
        Some(profile) => profile.as_str().to_owned(),
        None => counted_id(iam_id),
    };
    let last = activity::of(tx, account, &id)?.last_authn.filter(|at| *at <= now.plus_secs(CLOCKS_DIFFER));
    // Tokens count by the second: those of the present one end too.
    Ok(last.map_or(now, |at| at.max(now)).plus_millis(1))
}

async fn list(ctx: Ctx, request: Request) -> Result<Response> {
    let text = match (request.query("profile_id")?, request.query("iam_id")?) {
        (Some(id), None) => format!("iam-{}", id.strip_prefix("iam-").unwrap_or(&id)),
        (None, Some(id)) => id,
        _ => {
            return Err(Error::invalid(
                "profile_id",
                "Exactly one of 'profile_id' and 'iam_id' is required.",
            ));
        }
    };
    let iam_id = IamId::parse(&text)
        .map_err(|_| Error::invalid("profile_id", "The query parameter 'profile_id' is not a valid id."))?;
    let account = ctx.caller()?.account().clone();
    ctx.authorize(LIST, &target(&account, &iam_id)).await?;
    let now = ctx.now();
    let found = ctx.read(move |tx| sessions::list(tx, &account, &iam_id, now)).await?;
    let sessions = found
        .into_iter()
        .map(|s| Session {
            session_id: s.id,
            iam_id: s.iam_id.into_string(),
            account_id: s.account.into_string(),
            client_id: s.client_id,
            created_at: s.created_at.rfc3339_millis(),
            last_used_at: s.last_used_at.rfc3339_millis(),
            expires_at: s.expires_at.rfc3339_millis(),
        })
        .collect();
    Response::json(200, &SessionList { sessions })
}
