//! Grant `apikey`: a user or service ID logs in with its key. An unknown and a deleted key are one and the same to the
//! caller.

use avouch_gate::{Ctx, Error, Kind};
use avouch_wire::ids::{IamId, IamKind};
use serde_json::{Map, json};

use super::actions;
use super::failures::Refused;
use super::form::Form;
use super::issue::Admitted;
use super::lookup::{self, KeyFacts};
use super::subject::Subject;

/// Longest key that is looked up.
const KEY_MAX: usize = 1024;

/// Who the key stands for.
pub async fn admit(ctx: &Ctx, form: &Form) -> Result<Admitted, Refused> {
    form.refuse(&["cr_token", "access_token", "refresh_token", "subject_token"])?;
    let value = form.required("apikey")?;
    if value.len() > KEY_MAX {
        return Err(not_found("apikey_malformed"));
    }
    let digest = lookup::key_digest(value);
    let app = ctx.app().clone();
    let Some(login) = ctx.read(move |tx| lookup::key_login(&app, tx, &digest)).await? else {
        return Err(not_found("apikey_unknown"));
    };
    let KeyFacts { id, name, account, iam_id, disabled, expires_at } = login.key;
    let alive = login.subject.is_some();
    let subject = login.subject.unwrap_or_else(|| Subject::Gone(iam_id.clone()));
    let of_user = iam_id.kind() == IamKind::User;
    let mut decision = Map::new();
    decision.insert("stage".into(), json!("login"));
    decision.insert("iam_id".into(), json!(iam_id.as_str()));
    decision.insert("api_key_id".into(), json!(id.as_str()));
    let admitted = Admitted {
        action: if of_user { actions::USER_KEY } else { actions::SERVICE_KEY },
        account: account.clone(),
        frozen: true,
        authn: subject.as_authn(),
        limits: login.limits,
        cap: None,
        credential: if of_user { "apikey" } else { "apikey-serviceid" },
        target: (key_crn(ctx, &account, &iam_id, id.as_str()), name),
        decision,
        counted: vec![(account.clone(), id.as_str().to_owned()), (account, counted_id(&iam_id))],
        api_key_id: id.as_str().to_owned(),
        refreshed: None,
        subject,
    };
    let refuse = |message: &'static str, code: &'static str, reason: &'static str| {
        admitted.refused(ctx, Error::new(Kind::Invalid, message).code(code).reason(reason))
    };
    if disabled {
        return Err(refuse("The provided API key is disabled.", "BXNIM0482E", "apikey_disabled"));
    }
    if expires_at.is_some_and(|at| ctx.now() >= at) {
        return Err(refuse("The provided API key is expired.", "BXNIM0483E", "apikey_expired"));
    }
    if !alive {
        return Err(refuse("Provided API key could not be found.", "BXNIM0415E", "owner_gone"));
    }
    Ok(admitted)
}

/// The id under which uses of an identity are counted: its own, without the realm of service IDs.
pub fn counted_id(iam_id: &IamId) -> String {
    iam_id.as_str().strip_prefix("iam-").unwrap_or(iam_id.as_str()).to_owned()
}

fn key_crn(ctx: &Ctx, account: &avouch_wire::ids::AccountId, owner: &IamId, id: &str) -> String {
    let cname = &ctx.app().config.cname;
    format!("crn:v1:{cname}:public:iam-identity::a/{account}:{owner}:apikey:{id}")
}

fn not_found(reason: &'static str) -> Refused {
    let error =
        Error::new(Kind::Invalid, "Provided API key could not be found.").code("BXNIM0415E").reason(reason);
    Refused::unverified(error, actions::USER_KEY)
}
