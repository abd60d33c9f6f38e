//! Grant `refresh_token`: a login goes on, perhaps in another account of the same user.
//!
//! A refresh token works once. It refuses one that was used before, and then ends the whole session, because somebody
//! else has it too.

use avouch_gate::audit::{Initiator, unasked};
use avouch_gate::ctx::type_uri;
use avouch_gate::{Ctx, Details, Error, Kind, Permit, Result, Target};
use avouch_policy::access::ResourceAttrs;
use avouch_wire::ids::{AccountId, IamKind};
use serde_json::{Map, json};

use super::actions;
use super::api_key::counted_id;
use super::client::Client;
use super::failures::Refused;
use super::form::Form;
use super::issue::Admitted;
use super::lookup;
use super::sessions::{self, RefreshToken, Session};
use super::subject::Subject;

const TOKEN_MAX: usize = 512;

/// Reason of a refusal: the token was used before.
pub const REUSED: &str = "refresh_reused";

/// The token is unknown, of another kind, of another client, or was used before.
pub fn invalid(reason: &'static str) -> Error {
    Error::new(Kind::Invalid, "The provided refresh token is invalid.").code("BXNIM0407E").reason(reason)
}

/// The session was ended.
pub fn inactive() -> Error {
    Error::new(Kind::Unauthenticated, "The session is not active.")
        .code("BXNIM0439E")
        .reason("session_inactive")
}

fn expired() -> Error {
    Error::new(Kind::Invalid, "The provided refresh token is expired.")
        .code("BXNIM0408E")
        .reason("refresh_expired")
}

fn too_much() -> Error {
    Error::invalid("scope", "The property 'scope' asks for more than the login was given.")
        .reason("scope_wider")
}

/// Whether every scope that is asked for was given before: a refresh may leave scopes out, and never adds any.
fn within(asked: &str, given: &str) -> bool {
    asked.split_ascii_whitespace().all(|scope| given.split_ascii_whitespace().any(|g| g == scope))
}

struct Known {
    token: RefreshToken,
    session: Session,
    subject: Option<Subject>,
    usable: bool,
    limits: super::limits::LoginLimits,
}

/// Whose login goes on.
pub async fn admit(ctx: &Ctx, form: &Form, client: Client) -> Result<Admitted, Refused> {
    form.refuse(&[
        "apikey",
        "cr_token",
        "access_token",
        "subject_token",
        "profile_id",
        "profile_crn",
        "profile_name",
    ])?;
    let value = form.required("refresh_token")?;
    if value.len() > TOKEN_MAX {
        return Err(Refused::unverified(invalid("refresh_malformed"), actions::REFRESH));
    }
    let asked_account =
        match form.get("account").or(form.get("bss_account")) {
            Some(text) => Some(AccountId::parse(text).map_err(|_| {
                Error::invalid("account", "The property 'account' is not a valid account id.")
            })?),
            None => None,
        };
    let hash = sessions::hash_of(value);
    let Some(known) = load(ctx, &hash, asked_account).await? else {
        return Err(Refused::unverified(invalid("refresh_unknown"), actions::REFRESH));
    };
    let Known { token, session, subject, usable, limits } = known;
    let account = limits_account(form, &session);
    // A refusal is told where the login began: naming an account must not write into its trail.
    let home = session.account.clone();
    let mut decision = Map::new();
    decision.insert("stage".into(), json!("refresh"));
    decision.insert("session".into(), json!(session.id));
    let gone = subject.is_none();
    let subject = subject.unwrap_or_else(|| Subject::Gone(session.iam_id.clone()));
    let now = ctx.now();
    // The account that the login goes on in may let sessions rest for less than the one where it began.
    let idle = session.idle(&limits, now);
    let wider = form.get("scope").is_some_and(|asked| !within(asked, &session.scope));
    let mut admitted = Admitted {
        action: actions::REFRESH,
        authn: subject.as_authn(),
        frozen: session.iam_id.kind() != IamKind::User,
        limits,
        cap: None,
        credential: "token",
        target: (String::new(), session.id.clone()),
        decision,
        counted: vec![(account.clone(), counted_id(&session.iam_id))],
        api_key_id: session.api_key_id.clone(),
        account: home,
        subject,
        refreshed: Some((hash, session)),
    };
    let session = admitted.refreshed.as_ref().map(|(_, s)| s);
    if session.is_some_and(|s| s.client_id != client.id()) {
        return Err(admitted.refused(ctx, invalid("refresh_other_client")));
    }
    if token.used_at.is_some() {
        return Err(reused(ctx, &admitted).await?);
    }
    if idle || !usable {
        return Err(admitted.refused(ctx, inactive()));
    }
    if now >= token.expires_at {
        return Err(admitted.refused(ctx, expired()));
    }
    if gone {
        return Err(admitted.refused(ctx, invalid("owner_gone")));
    }
    if wider {
        return Err(admitted.refused(ctx, too_much()));
    }
    admitted.account = account;
    Ok(admitted)
}

/// The account of the new token; whether the user is in it is seen by his state there.
fn limits_account(form: &Form, session: &Session) -> AccountId {
    form.get("account")
        .or(form.get("bss_account"))
        .and_then(|a| AccountId::parse(a).ok())
        .unwrap_or_else(|| session.account.clone())
}

async fn load(ctx: &Ctx, hash: &str, asked: Option<AccountId>) -> Result<Option<Known>> {
    let (app, hash, now) = (ctx.app().clone(), hash.to_owned(), ctx.now());
    ctx.read(move |tx| {
        let Some(token) = sessions::token(tx, &hash)? else { return Ok(None) };
        let Some(session) = sessions::get(tx, &token.session)? else { return Ok(None) };
        let account = asked.clone().unwrap_or_else(|| session.account.clone());
        let subject = lookup::subject(&app, tx, &account, &session.iam_id)?;
        let usable = lookup::session_usable(tx, &session, now)?;
        let limits = lookup::limits(tx, &account)?;
        Ok(Some(Known { token, session, subject, usable, limits }))
    })
    .await
}

/// The refusal of a token that came twice, told where the login began; its session is over.
pub async fn reused(ctx: &Ctx, admitted: &Admitted) -> Result<Refused> {
    let Some((_, session)) = &admitted.refreshed else {
        return Err(Error::internal("no refresh token was admitted"));
    };
    end(ctx, session).await?;
    Ok(admitted.refused_in(ctx, &session.account, invalid(REUSED)))
}

/// Ends the session because its owner asks for it.
pub async fn logout(ctx: &Ctx, session: &Session) -> Result<()> {
    let attrs = ResourceAttrs::service(&session.account, "iam-identity");
    let target = Target::global("iam-identity", &session.account, attrs, "")
        .named(session.id.clone())
        .of_type("iam-identity/session");
    // Whoever has the token is its owner, as at a refresh; nothing but his own session ends.
    let initiator = Initiator {
        id: session.iam_id.as_str().to_owned(),
        type_uri: type_uri(&session.iam_id).to_owned(),
        credential: "refresh_token".to_owned(),
        address: ctx.address().to_string(),
        agent: ctx.agent().to_owned(),
        ..Initiator::default()
    };
    let permit = Permit::admitted("iam-identity.user.logout", target, initiator);
    let (id, by, now) = (session.id.clone(), session.iam_id.clone(), ctx.now());
    ctx.write(permit, move |tx, details| {
        details.status = 204;
        details.request("iam_id", by.as_str());
        sessions::end(tx, &id, now)
    })
    .await
}

async fn end(ctx: &Ctx, session: &Session) -> Result<()> {
    let attrs = ResourceAttrs::service(&session.account, "iam-identity");
    let target = Target::global("iam-identity", &session.account, attrs, "")
        .named(session.id.clone())
        .of_type("iam-identity/session");
    let permit = Permit::system(&unasked::SESSION_ENDED, target);
    let (id, now) = (session.id.clone(), ctx.now());
    ctx.write(permit, move |tx, details| {
        // A commit that failed before this may have left the details of its login.
        *details = Details::default();
        details.action(unasked::SESSION_ENDED.action());
        details.request("reason", REUSED);
        sessions::end(tx, &id, now)
    })
    .await
}
