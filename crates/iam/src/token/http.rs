//! Public reads of the token service: key set, discovery, and the profiles that a token may assume.

use avouch_gate::{Ctx, Error, Kind, Request, Response, Result};
use avouch_store::Tx;
use avouch_wire::token::Discovery;
use serde_json::json;

use super::client::Client;
use super::form::Form;
use super::issue::Grant;
use super::sessions::Session;
use super::{Tokens, assume, lookup, sessions};
use crate::signing_keys::JWKS_MAX_AGE_SECS;

/// Most profiles of one list.
const PROFILES: usize = 1000;

/// `GET` where a form must be posted: credentials do not belong into addresses.
pub async fn needs_post(_ctx: Ctx, _request: Request) -> Result<Response> {
    Err(Error::new(Kind::MethodNotAllowed, "The requested method is not supported: use POST.")
        .code("BXNIM0060E"))
}

/// The published keys.
pub async fn keys(ctx: Ctx, _request: Request) -> Result<Response> {
    let tokens = ctx.app().state::<Tokens>()?;
    let jwks = tokens.keys.jwks().await?;
    Ok(Response::text(200, "application/json", jwks).header("cache-control", &cacheable()))
}

fn cacheable() -> String {
    format!("public, max-age={JWKS_MAX_AGE_SECS}")
}

/// What clients discover.
pub async fn discovery(ctx: Ctx, _request: Request) -> Result<Response> {
    let config = &ctx.app().config;
    let origin = config.origin();
    let texts = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    let mut algs = texts(&["RS256"]);
    if config.token_alg != "RS256" {
        algs.push(config.token_alg.clone());
    }
    let document = Discovery {
        issuer: config.issuer(),
        authorization_endpoint: format!("{origin}/identity/authorize"),
        token_endpoint: format!("{origin}/identity/token"),
        jwks_uri: format!("{origin}/identity/keys"),
        passcode_endpoint: format!("{origin}/identity/passcode"),
        response_types_supported: texts(&["cloud_iam"]),
        grant_types_supported: Grant::ALL.iter().map(|g| g.urn().to_owned()).collect(),
        scopes_supported: texts(&["ibm", "openid"]),
        subject_types_supported: texts(&["public"]),
        id_token_signing_alg_values_supported: algs,
        claims_supported: texts(&[
            "iam_id",
            "id",
            "realmid",
            "jti",
            "identifier",
            "given_name",
            "family_name",
            "name",
            "email",
            "sub",
            "sub_type",
            "authn",
            "account",
            "iat",
            "exp",
            "iss",
            "grant_type",
            "scope",
            "client_id",
            "acr",
            "amr",
            "session_id",
            "session_exp_max",
            "unique_instance_crns",
        ]),
    };
    Ok(Response::json(200, &document)?.header("cache-control", &cacheable()))
}

/// Profiles that the presented token may assume, in all accounts.
pub async fn assumable_profiles(ctx: Ctx, request: Request) -> Result<Response> {
    let form = Form::read(&request)?;
    let caller = assume::presented(&ctx, form.required("access_token")?).await?;
    let (iam_id, account) = (caller.iam_id().clone(), caller.account().clone());
    let profiles = if assume::may_assume_at_all(&caller) {
        ctx.read(move |tx| lookup::assumable_by(tx, &iam_id, &account, PROFILES)).await?
    } else {
        Vec::new()
    };
    Response::json(200, &json!({"count": profiles.len(), "profiles": profiles}))
}

/// Ends the session of a refresh token for the client that it belongs to. What is no token, or of an ended session, is
/// answered alike: there is nothing left to end.
pub async fn logout(ctx: Ctx, request: Request) -> Result<Response> {
    let client = Client::of(&request)?.required()?;
    let hash = sessions::hash_of(Form::read(&request)?.required("refresh_token")?);
    let found = ctx
        .read(move |tx| {
            let Some(token) = sessions::token(tx, &hash)? else { return Ok(None) };
            sessions::get(tx, &token.session)
        })
        .await?;
    match found.filter(|session| session.client_id == client.id()) {
        Some(session) => super::refresh::logout(&ctx, &session).await?,
        None => ctx.recorded(),
    }
    Ok(Response::empty(204))
}

/// Keeps a session of the command line from falling asleep. Unknown sessions are told like ended ones, and one that is
/// over by the rule of a refresh does not wake up.
pub async fn keep_session(ctx: Ctx, request: Request) -> Result<Response> {
    let client = Client::of(&request)?.required()?;
    let id = request.param("session_id")?.to_owned();
    let (now, wanted) = (ctx.now(), id.clone());
    let open = move |tx: &mut Tx<'_>| -> Result<Option<Session>> {
        let Some(session) = sessions::get(tx, &wanted)? else { return Ok(None) };
        let ours = session.visible && session.client_id == client.id();
        Ok((ours && lookup::session_usable(tx, &session, now)?).then_some(session))
    };
    // Asked twice, so that an unknown id costs no write, and nothing that ends meanwhile is revived.
    if ctx.read(open.clone()).await?.is_none() {
        return Err(super::refresh::inactive());
    }
    // A mark of use like a counter, so it has no permit and no event: nothing is decided by it but how long the session
    // may rest, and never beyond its end.
    let touched = ctx
        .app()
        .store
        .write(move |tx| {
            let Some(session) = open(tx)? else { return Ok(false) };
            sessions::touch(tx, &session.id, now, session.expires_at)?;
            Ok::<_, Error>(true)
        })
        .await?;
    if !touched {
        return Err(super::refresh::inactive());
    }
    Response::json(200, &json!({"session_id": id, "state": "ACTIVE"}))
}
