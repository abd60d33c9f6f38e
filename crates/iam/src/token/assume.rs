//! Grant `assume`: a user, service ID or service that a profile names among its identities takes the profile's place.
//!
//! It refuses profile tokens: one profile does not become another.

use std::sync::Arc;

use avouch_gate::authn::Caller;
use avouch_gate::{Ctx, Details, Error, Kind, Permit, Result, Target};
use avouch_policy::access::ResourceAttrs;
use avouch_wire::ids::{AccountId, IamKind};
use avouch_wire::time::Timestamp;
use serde_json::{Map, json};

use super::compute::{Wanted, contradicts};
use super::failures::{Refused, Told};
use super::form::Form;
use super::issue::Admitted;
use super::lookup::{ProfileIdentity, TrustedProfile};
use super::subject::{Subject, assumed_authn};
use super::{Tokens, actions, type_uri};

/// The identity of a token that was presented in a form: verified like a bearer token, and alive.
///
/// # Errors
/// `Invalid` with the published code.
pub async fn presented(ctx: &Ctx, token: &str) -> Result<Caller> {
    let caller = ctx.app().authn.verify(token.trim(), ctx.now()).map_err(|e| match e.reason_label() {
        Some("expired") => invalid("BXNIM0408E", "The presented token is expired.", "access_token_expired"),
        _ => invalid("BXNIM0407E", "The presented token is invalid.", "access_token_invalid"),
    })?;
    if !ctx.app().lives(&caller).await? {
        return Err(invalid("BXNIM0407E", "The presented token is invalid.", "dead_identity"));
    }
    Ok(caller)
}

fn invalid(code: &'static str, message: &'static str, reason: &'static str) -> Error {
    Error::new(Kind::Invalid, message).code(code).reason(reason)
}

/// Whether a token of this kind may assume profiles at all.
pub fn may_assume_at_all(caller: &Caller) -> bool {
    caller.iam_id().kind() != IamKind::Profile
}

/// Whether a profile identity is the caller.
pub fn admits(identity: &ProfileIdentity, iam_id: &str, account: &AccountId) -> bool {
    identity.iam_id == iam_id
        && (identity.kind != "user"
            || identity.accounts.is_empty()
            || identity.accounts.iter().any(|a| a == account.as_str()))
}

/// Who the caller becomes.
pub async fn admit(ctx: &Ctx, tokens: &Tokens, form: &Form) -> Result<Admitted, Refused> {
    form.refuse(&["apikey", "cr_token", "refresh_token", "cookie", "subject_token"])?;
    let token = form.required("access_token")?;
    let wanted = Wanted::of(form)?;
    if wanted.by_name_only() && wanted.account().is_none() {
        return Err(Error::missing("account").into());
    }
    let caller = match presented(ctx, token).await {
        Ok(caller) => caller,
        Err(e) if e.kind() == Kind::Invalid => return Err(Refused::unverified(e, actions::ASSUME)),
        Err(e) => return Err(e.into()),
    };
    let named_in = wanted.account().unwrap_or(caller.account());
    let (profile, differs) = wanted.find(ctx, tokens, named_in).await?;
    let Some(profile) = profile else {
        return Err(not_eligible(ctx, &caller, &wanted, None, "profile_not_found"));
    };
    let iam_id = caller.iam_id();
    let named = profile.identities.iter().find(|i| admits(i, iam_id.as_str(), caller.account()));
    let (true, Some(named)) = (may_assume_at_all(&caller), named) else {
        return Err(not_eligible(ctx, &caller, &wanted, Some(&profile), "not_eligible"));
    };
    let mut decision = decision(&caller, Some(&profile));
    decision.insert("matched".into(), json!([format!("{}:{}", named.kind, named.iam_id)]));
    let admitted = Admitted {
        action: actions::ASSUME,
        subject: Subject::profile(&profile),
        account: profile.account.clone(),
        frozen: true,
        authn: assumed_authn(&caller),
        limits: profile.limits.clone(),
        cap: caller.claims.session_exp_max.map(Timestamp::from_secs),
        credential: "profile",
        target: (profile.crn.clone(), profile.name.clone()),
        decision,
        counted: vec![(profile.account.clone(), profile.id.as_str().to_owned())],
        api_key_id: String::new(),
        refreshed: None,
    };
    if let Some(parameter) = differs {
        return Err(admitted.refused(ctx, contradicts(parameter)));
    }
    if admitted.limits.second_factor && iam_id.kind() == IamKind::User {
        let error = Error::new(Kind::Invalid, "The account of the trusted profile requires a second factor.")
            .code("BXNIM0486E")
            .reason("second_factor_missing");
        return Err(admitted.refused(ctx, error));
    }
    Ok(admitted)
}

fn decision(caller: &Caller, profile: Option<&Arc<TrustedProfile>>) -> Map<String, serde_json::Value> {
    let mut d = Map::new();
    d.insert("stage".into(), json!("assume"));
    d.insert("iam_id".into(), json!(caller.iam_id().as_str()));
    d.insert("account".into(), json!(caller.account().as_str()));
    d.insert("evidence_jti".into(), json!(caller.claims.jti));
    if let Some(profile) = profile {
        d.insert("profile_id".into(), json!(profile.id.as_str()));
    }
    d
}

fn not_eligible(
    ctx: &Ctx,
    caller: &Caller,
    wanted: &Wanted,
    profile: Option<&Arc<TrustedProfile>>,
    reason: &'static str,
) -> Refused {
    let error = Error::new(Kind::Invalid, "Selected trusted profile not eligible.")
        .code("BXNIM0398E")
        .details(format!(
            "The token of '{}' may not assume the requested trusted profile; {}",
            caller.iam_id(),
            wanted.shown()
        ))
        .reason(reason);
    let mut initiator = ctx.initiator();
    initiator.id = caller.iam_id().as_str().to_owned();
    initiator.name = caller.name().to_owned();
    initiator.type_uri = avouch_gate::ctx::type_uri(caller.iam_id()).to_owned();
    initiator.credential = "token".into();
    let permit = |account: &AccountId, crn: String, name: String| {
        let attrs = ResourceAttrs::service(account, "iam-identity");
        let target = Target::global("iam-identity", account, attrs, crn)
            .named(name)
            .of_type(type_uri(actions::ASSUME));
        Permit::admitted(actions::ASSUME, target, initiator.clone())
    };
    let details = |known: Option<&Arc<TrustedProfile>>| {
        let mut d = decision(caller, known);
        d.insert("permitted".into(), json!(false));
        d.insert("reason_code".into(), json!(reason));
        d.insert("wanted".into(), json!(wanted.shown()));
        Details { decision: d, ..Details::default() }
    };
    let own = profile.filter(|p| p.account == *caller.account());
    let (crn, name) = own.map_or_else(Default::default, |p| (p.crn.clone(), p.name.clone()));
    let mut trails = vec![(permit(caller.account(), crn, name), details(own))];
    if let (Some(profile), None) = (profile, own) {
        trails.push((
            permit(&profile.account, profile.crn.clone(), profile.name.clone()),
            details(Some(profile)),
        ));
    }
    Refused { error, told: Told::Accounts(trails) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn users_may_be_pinned_to_accounts_and_others_are_matched_by_id() {
        let (a, b) = ("0123456789abcdef0123456789abcdef", "ffffffffffffffffffffffffffffffff");
        let account = |id: &str| AccountId::parse(id).unwrap();
        let user = |accounts: &[&str]| ProfileIdentity {
            kind: "user".into(),
            iam_id: "IBMid-1".into(),
            accounts: accounts.iter().map(|s| (*s).to_owned()).collect(),
        };
        assert!(admits(&user(&[]), "IBMid-1", &account(a)));
        assert!(admits(&user(&[a]), "IBMid-1", &account(a)));
        assert!(!admits(&user(&[b]), "IBMid-1", &account(a)));
        assert!(!admits(&user(&[a]), "IBMid-2", &account(a)));
        assert!(!admits(&user(&[a]), "ibmid-1", &account(a)));
    }
}
