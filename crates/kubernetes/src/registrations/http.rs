//! Requests on registrations: clusters and issuers alike, told apart by [`Kind`].

use std::sync::Arc;

use avouch_crypto::rng;
use avouch_gate::{App, Ctx, Error, Kind as ErrorKind, Permit, Request, Response, Result, etag};
use avouch_store::Tx;
use avouch_wire::ids::{AccountId, IssuerId};
use avouch_wire::kubernetes::{
    DiagnoseRequest, DiagnoseResult, KeyView, RefreshResult, Registration as View, RegistrationRequest,
};
use avouch_wire::text;
use serde_json::{Map, Value, json};

use super::rules::{self, Checked, Given};
use super::{Kind, Registration, Source, Verb, new_target, sql};
use crate::Kubernetes;
use crate::keys::merge::{Key, KeyState, merge};
use crate::keys::refresh::{self, Answered, patience};

/// Characters of a cluster id.
const ID_ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
const PAGE: i64 = 100;

/// `POST` on the collection.
pub async fn create(ctx: Ctx, request: Request, kind: Kind) -> Result<Response> {
    let app = ctx.app().clone();
    let k = app.state::<Kubernetes>()?;
    let body: RegistrationRequest = request.json()?;
    let account = ctx.caller()?.account().clone();
    let (region, group) = match kind {
        Kind::Cluster => {
            (region(&ctx, body.region.as_deref())?, group(&ctx, &account, body.resource_group.clone()).await?)
        }
        Kind::Issuer => (String::new(), (String::new(), None)),
    };
    let name: String = body.name.chars().take(63).collect();
    let target = new_target(kind, &account, &region, &group.0, &name);
    ctx.authorize(kind.action(Verb::Create), &target).await?;
    let checked = rules::check(kind, body, None, &k.fetcher, &app.config.issuer())?;
    let now = ctx.now();
    let id = match kind {
        Kind::Cluster => cluster_id(&ctx),
        Kind::Issuer => IssuerId::from_uuid(ctx.uuid()).into_string(),
    };
    let mut r = Registration {
        id,
        account,
        kind,
        name: checked.name.clone(),
        cr_type: checked.cr_type,
        region,
        resource_group: group.0,
        active: checked.active,
        settings: checked.settings.clone(),
        etag: etag::tag(1, app.rng.as_ref()),
        version: 1,
        last_refresh: None,
        last_error: None,
        next_refresh: None,
        created_at: now,
        modified_at: now,
    };
    let answers = fetched(&ctx, &k, &mut r, &checked, &[]).await?;
    // Whoever asks may own a source that is slow to answer: his right is that of now.
    ctx.resume().await?;
    let permit = ctx.authorize(kind.action(Verb::Create), &target).await?;
    let now = ctx.now();
    (r.created_at, r.modified_at) = (now, now);
    let crn = r.crn(&app.config.cname)?.to_string();
    let warnings = warnings(&checked, &answers);
    let (given, cname) = (Arc::new(checked), crn.clone());
    let (stored, shared) = (r.clone(), app.clone());
    let keys = ctx
        .write(permit, move |tx, event| {
            event.status = 201;
            event.target(cname.clone(), stored.name.clone());
            describe(&stored, event);
            still_in_group(&shared, tx, &stored)?;
            sql::insert(tx, &stored)?;
            put_all_keys(tx, &stored, &given, &answers, &[], now)?;
            sql::keys(tx, &stored.id)
        })
        .await?;
    forget(&k, &r);
    let view = view(&k, &r, &keys, group.1, crn, warnings);
    Ok(Response::json(201, &view)?.etag(&r.etag))
}

/// `GET` of the collection: what the caller may see of it.
pub async fn list(ctx: Ctx, request: Request, kind: Kind) -> Result<Response> {
    let limit = request.query_int("limit", 1, PAGE)?.unwrap_or(50);
    let start = request.query("start")?.unwrap_or_default();
    let name = request.query("name")?;
    let (views, more) = match name {
        Some(name) => {
            let account = ctx.caller()?.account().clone();
            let found = ctx.read(move |tx| sql::by_name(tx, &account, kind, &name)).await?;
            (shown(&ctx, kind, found.into_iter().collect()).await?, None)
        }
        None => readable(&ctx, kind, start, limit).await?,
    };
    let (path, member) = match kind {
        Kind::Cluster => ("clusters", "clusters"),
        Kind::Issuer => ("issuers", "issuers"),
    };
    let mut body = Map::new();
    body.insert("limit".into(), json!(limit));
    if let Some(last) = more {
        let href = format!("{}/avouch/v1/{path}?limit={limit}&start={last}", request.origin);
        body.insert("next".into(), json!({"href": href, "start": last}));
    }
    body.insert(member.into(), json!(views));
    Response::json(200, &body)
}

/// Registrations of the caller's account that he may read, after `start`, and the id to go on from.
pub async fn readable(
    ctx: &Ctx,
    kind: Kind,
    start: String,
    limit: i64,
) -> Result<(Vec<View>, Option<String>)> {
    let account = ctx.caller()?.account().clone();
    let mut views: Vec<View> = Vec::new();
    let mut scanned = start;
    // Pages hold what the caller may see, so the store is read until the page is full.
    loop {
        let (of, after) = (account.clone(), scanned.clone());
        let rows = ctx.read(move |tx| sql::list(tx, &of, kind, &after, PAGE)).await?;
        let ended = i64::try_from(rows.len()).unwrap_or(0) < PAGE;
        if let Some(last) = rows.last() {
            scanned.clone_from(&last.id);
        }
        for view in shown(ctx, kind, rows).await? {
            if i64::try_from(views.len()).unwrap_or(0) == limit {
                let last = views.last().map(|v| v.id.clone());
                return Ok((views, last));
            }
            views.push(view);
        }
        if ended {
            return Ok((views, None));
        }
    }
}

/// Those of the registrations that the caller may read, as they are shown.
async fn shown(ctx: &Ctx, kind: Kind, rows: Vec<Registration>) -> Result<Vec<View>> {
    let app = ctx.app().clone();
    let k = app.state::<Kubernetes>()?;
    let filter = ctx.filter(ctx.caller()?.account()).await?;
    let cname = app.config.cname.clone();
    let permitted = move |r: &Registration| filter.permits(kind.action(Verb::Read), &r.target(&cname).attrs);
    let (reader, mine) = (app.clone(), rows.into_iter().filter(permitted).collect::<Vec<_>>());
    let rows = ctx
        .read(move |tx| {
            mine.iter()
                .map(|r| Ok((r.clone(), sql::keys(tx, &r.id)?, group_name(&reader, tx, r)?)))
                .collect::<Result<Vec<_>>>()
        })
        .await?;
    rows.into_iter()
        .map(|(r, keys, group)| {
            let crn = r.crn(&app.config.cname)?.to_string();
            Ok(view(&k, &r, &keys, group, crn, Vec::new()))
        })
        .collect()
}

/// `GET` of one.
pub async fn get(ctx: Ctx, request: Request, kind: Kind) -> Result<Response> {
    let r = load(&ctx, kind, request.param("id")?).await?;
    authorize(&ctx, &r, Verb::Read).await?;
    answer(&ctx, r, 200).await
}

/// `PATCH`: what is not named stays.
pub async fn update(ctx: Ctx, request: Request, kind: Kind) -> Result<Response> {
    let k = ctx.app().state::<Kubernetes>()?;
    let r = load(&ctx, kind, request.param("id")?).await?;
    authorize(&ctx, &r, Verb::Update).await?;
    let body = rules::patched(&rules::as_request(&r, &k.fetcher), request.json_value()?)?;
    change(ctx, request, r, body).await
}

/// `PUT`: what is not named takes its default; uploaded keys stay unless a key source is named.
pub async fn replace(ctx: Ctx, request: Request, kind: Kind) -> Result<Response> {
    let r = load(&ctx, kind, request.param("id")?).await?;
    authorize(&ctx, &r, Verb::Update).await?;
    let body: RegistrationRequest = request.json()?;
    change(ctx, request, r, body).await
}

async fn change(
    ctx: Ctx,
    request: Request,
    old: Registration,
    body: RegistrationRequest,
) -> Result<Response> {
    let app = ctx.app().clone();
    let k = app.state::<Kubernetes>()?;
    let if_match = request.if_match()?;
    etag::check(&if_match, &old.etag)?;
    if body.region.as_ref().is_some_and(|region| *region != old.region) {
        return Err(Error::invalid("region", "The region is part of the CRN and cannot be changed."));
    }
    let group = match (old.kind, body.resource_group.clone()) {
        (Kind::Cluster, Some(id)) if id != old.resource_group => group(&ctx, &old.account, Some(id)).await?.0,
        _ => old.resource_group.clone(),
    };
    may_move(&ctx, &old, &group).await?;
    let checked = rules::check(old.kind, body, Some(&old), &k.fetcher, &app.config.issuer())?;
    if checked.cr_type != old.cr_type {
        return Err(Error::invalid("cr_type", "The type is part of the CRN and cannot be changed."));
    }
    let now = ctx.now();
    let next: i64 = old.etag.split('-').next().and_then(|n| n.parse().ok()).unwrap_or(0) + 1;
    let mut r = Registration {
        name: checked.name.clone(),
        resource_group: group,
        active: checked.active,
        settings: checked.settings.clone(),
        etag: etag::tag(next, app.rng.as_ref()),
        version: old.version + 1,
        modified_at: now,
        ..old.clone()
    };
    let unchanged: Vec<String> = r
        .settings
        .issuers
        .iter()
        .filter(|i| old.settings.issuers.contains(i))
        .map(|i| i.issuer.clone())
        .collect();
    let answers = fetched(&ctx, &k, &mut r, &checked, &unchanged).await?;
    // As in `create`. What is written goes out from `old`, so nothing may have changed since, whatever `If-Match` admits.
    ctx.resume().await?;
    let permit = authorize(&ctx, &load(&ctx, old.kind, &old.id).await?, Verb::Update).await?;
    may_move(&ctx, &old, &r.resource_group).await?;
    let now = ctx.now();
    r.modified_at = now;
    let crn = r.crn(&app.config.cname)?.to_string();
    let (stored, target, given) = (r.clone(), crn.clone(), Arc::new(checked));
    let shared = app.clone();
    ctx.write(permit, move |tx, event| {
        let present = sql::get(tx, &stored.account, stored.kind, &stored.id)?
            .ok_or_else(|| Error::not_found(stored.kind.shown(), &stored.id))?;
        etag::check(&old.etag, &present.etag)?;
        event.target(target.clone(), stored.name.clone());
        describe(&stored, event);
        still_in_group(&shared, tx, &stored)?;
        let stored = Registration { version: present.version + 1, ..stored.clone() };
        sql::update(tx, &stored)?;
        let issuers: Vec<String> = stored.settings.issuers.iter().map(|i| i.issuer.clone()).collect();
        sql::forget_other_issuers(tx, &stored.id, &issuers)?;
        put_all_keys(tx, &stored, &given, &answers, &unchanged, now)
    })
    .await?;
    forget(&k, &r);
    let r = load(&ctx, r.kind, &r.id).await?;
    answer(&ctx, r, 200).await
}

/// Claim rules look at the group: who moves a cluster there decides about it as one who makes it there.
async fn may_move(ctx: &Ctx, old: &Registration, group: &str) -> Result<()> {
    if group != old.resource_group {
        for verb in [Verb::Update, Verb::Create] {
            let there = new_target(old.kind, &old.account, &old.region, group, &old.name);
            ctx.authorize(old.kind.action(verb), &there).await?;
        }
    }
    Ok(())
}

/// `DELETE`: every exchange fails at once; links stay and point to nothing.
pub async fn delete(ctx: Ctx, request: Request, kind: Kind) -> Result<Response> {
    let r = load(&ctx, kind, request.param("id")?).await?;
    let permit = authorize(&ctx, &r, Verb::Delete).await?;
    ctx.write(permit, move |tx, event| {
        event.status = 204;
        sql::delete(tx, &r)
    })
    .await?;
    Ok(Response::empty(204))
}

/// `POST …/refresh`.
pub async fn refresh(ctx: Ctx, request: Request, kind: Kind) -> Result<Response> {
    let r = load(&ctx, kind, request.param("id")?).await?;
    let outcome = refresh_now(&ctx, &r).await?;
    let r = load(&ctx, kind, &r.id).await?;
    let result = RefreshResult {
        added: outcome.added,
        missing: outcome.missing,
        kept: outcome.kept,
        warnings: outcome.warnings,
        registration: view_of(&ctx, &r).await?,
    };
    Response::json(200, &result)
}

/// Fetches the keys of a registration for whoever may operate it.
///
/// # Errors
/// `RateLimited`, or `Unavailable` when a source does not answer; that it was tried is on record.
pub async fn refresh_now(ctx: &Ctx, r: &Registration) -> Result<refresh::Outcome> {
    let app = ctx.app().clone();
    let k = app.state::<Kubernetes>()?;
    authorize(ctx, r, Verb::Operate).await?;
    if let Some(wait) = k.refreshes.take(&r.id, ctx.now()) {
        return Err(
            Error::new(ErrorKind::RateLimited, "The keys were refreshed too often.").retry_after(wait)
        );
    }
    let began = ctx.now();
    let answers = Arc::new(refresh::fetch_all(&k, r).await);
    ctx.resume().await?;
    let permit = authorize(ctx, &load(ctx, r.kind, &r.id).await?, Verb::Operate).await?;
    let now = ctx.now();
    let next = refresh::next_refresh(&app, now, &answers);
    let (stored, applied) = (r.clone(), answers.clone());
    let outcome = ctx
        .write(permit, move |tx, event| {
            let mut outcome = if applied.is_empty() {
                refresh::Outcome::default()
            } else {
                refresh::apply(tx, &stored, &applied, (began, now), next)?
            };
            event.response("added", json!(outcome.added));
            event.response("missing", json!(outcome.missing));
            if let Some(e) = &outcome.error {
                event.status = if e.is_refused() { 403 } else { 503 };
                event.failure = Some(e.to_string());
            }
            if applied.is_empty() {
                outcome.warnings.push("the keys are uploaded: there is nothing to fetch".into());
            }
            Ok(outcome)
        })
        .await?;
    forget(&k, r);
    match outcome.error {
        None => Ok(outcome),
        Some(e) if e.is_refused() => Err(rules::refused("discovery_url", &e)),
        Some(e) => Err(Error::unavailable(format!("The keys cannot be fetched: {e}.")).code("key_source")),
    }
}

/// `POST …/keys/{kid}/revoke`: the key is refused from now on, whatever the issuer publishes.
pub async fn revoke(ctx: Ctx, request: Request, kind: Kind) -> Result<Response> {
    let r = load(&ctx, kind, request.param("id")?).await?;
    let kid = request.param("kid")?.to_owned();
    let permit = authorize(&ctx, &r, Verb::Update).await?;
    let (stored, named) = (r.clone(), kid.clone());
    ctx.write(permit, move |tx, event| {
        event.request("kid", named.clone());
        let keys = sql::keys(tx, &stored.id)?;
        let named = |key: &Key| key.kid == named || key.thumbprint == named;
        let thumbprints: Vec<String> =
            keys.iter().filter(|k| named(k)).map(|k| k.thumbprint.clone()).collect();
        if thumbprints.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, "The registration has no such key."));
        }
        for issuer in &stored.settings.issuers {
            let mut of_issuer: Vec<Key> =
                keys.iter().filter(|k| k.issuer == issuer.issuer).cloned().collect();
            // The same key may stand under several ids.
            for key in of_issuer.iter_mut().filter(|k| thumbprints.contains(&k.thumbprint)) {
                key.state = KeyState::Revoked;
                key.retires_at = None;
            }
            sql::put_keys(tx, &stored.id, &issuer.issuer, &of_issuer)?;
        }
        sql::raise(tx, &stored)
    })
    .await?;
    let r = load(&ctx, kind, &r.id).await?;
    answer(&ctx, r, 200).await
}

/// `POST …/diagnose`: every check with what was compared. Issues nothing.
pub async fn diagnose(ctx: Ctx, request: Request, kind: Kind) -> Result<Response> {
    let app = ctx.app().clone();
    let r = load(&ctx, kind, request.param("id")?).await?;
    authorize(&ctx, &r, Verb::Operate).await?;
    let body: DiagnoseRequest = request.json()?;
    let (checks, evidence) = app.links.evidence.inspect(&ctx, &body.cr_token, ctx.now()).await?;
    let crn = r.crn(&app.config.cname)?;
    let own = evidence.filter(|e| e.identity.crn == crn);
    let mut result = checks.result && own.is_some();
    let mut summary = match (&own, checks.result) {
        (Some(e), _) => format!("The token proves '{}'.", e.identity.display),
        (None, true) => "The token is valid, but of another registration of the account.".to_owned(),
        (None, false) => {
            let failed = checks.first_failure().and_then(|f| f.name.clone()).unwrap_or_default();
            format!("The token is refused at the check '{failed}'.")
        }
    };
    let mut trust = None;
    if let (Some(evidence), Some(profile)) = (&own, &body.profile_id) {
        match app.links.trust.explain_trust(&ctx, &r.account, &evidence.identity, profile).await? {
            Some(tree) => {
                result = result && tree.result;
                summary.push_str(if tree.result {
                    " It may become the profile."
                } else {
                    " The profile does not trust it."
                });
                trust = Some(json!(tree));
            }
            None => {
                result = false;
                summary.push_str(" The account has no such profile.");
            }
        }
    }
    Response::json(200, &DiagnoseResult { result, summary, checks: json!(checks), trust })
}

/// The registration of the caller's account with this id.
///
/// # Errors
/// `NotFound`, for those of other accounts alike.
pub async fn load(ctx: &Ctx, kind: Kind, id: &str) -> Result<Registration> {
    let account = ctx.caller()?.account().clone();
    let wanted = id.to_owned();
    let found = ctx.read(move |tx| sql::get(tx, &account, kind, &wanted)).await?;
    found.ok_or_else(|| Error::not_found(kind.shown(), id))
}

async fn authorize(ctx: &Ctx, r: &Registration, verb: Verb) -> Result<Permit> {
    ctx.authorize(r.kind.action(verb), &r.target(&ctx.app().config.cname)).await
}

/// Fetches what has to be fetched before the registration is written, and plans the next fetch.
async fn fetched(
    ctx: &Ctx,
    k: &Kubernetes,
    r: &mut Registration,
    checked: &Checked,
    unchanged: &[String],
) -> Result<Arc<Vec<Answered>>> {
    let mut probe = r.clone();
    probe.settings.issuers.retain(|i| !unchanged.contains(&i.issuer));
    let answers = refresh::fetch_all(k, &probe).await;
    r.last_error = None;
    for answer in &answers {
        let Err(e) = &answer.result else { continue };
        if !checked.allow_unreachable || e.is_refused() {
            let field =
                if matches!(answer.source, Source::JwksUrl(_)) { "jwks_url" } else { "discovery_url" };
            return Err(rules::refused(field, e));
        }
        r.last_error = Some(e.to_string());
    }
    let uploaded = checked.given.iter().any(|g| matches!(g, Given::Keys(_)));
    if uploaded || (!answers.is_empty() && r.last_error.is_none()) {
        r.last_refresh = Some(ctx.now());
    }
    r.next_refresh = r.settings.remote().then(|| refresh::next_refresh(ctx.app(), ctx.now(), &answers));
    Ok(Arc::new(answers))
}

/// Writes the keys of every issuer. Where the source of keys is another one now, the old keys go at once.
#[allow(clippy::too_many_arguments, reason = "each is a value of its own, and there is one caller")]
fn put_all_keys(
    tx: &mut Tx<'_>,
    r: &Registration,
    checked: &Checked,
    answers: &[Answered],
    unchanged: &[String],
    now: avouch_wire::time::Timestamp,
) -> Result<()> {
    for (issuer, given) in r.settings.issuers.iter().zip(&checked.given) {
        let same_source = unchanged.contains(&issuer.issuer);
        let answer = answers.iter().find(|a| a.issuer == issuer.issuer).map(|a| &a.result);
        let set = match (given, answer) {
            (Given::Keys(set), _) if same_source => {
                refresh::upload(tx, r, &issuer.issuer, set, now)?;
                continue;
            }
            (Given::Nothing, _) if same_source => continue,
            (Given::Keys(set), _) => set.keys.as_slice(),
            (Given::Nothing, Some(Ok(fetched))) => fetched.set.keys.as_slice(),
            (Given::Nothing, _) => &[],
        };
        let revoked: Vec<Key> = sql::keys(tx, &r.id)?
            .into_iter()
            .filter(|key| key.issuer == issuer.issuer && key.state == KeyState::Revoked)
            .collect();
        let merged = merge(&revoked, set, &issuer.issuer, now, patience(r, 1));
        sql::put_keys(tx, &r.id, &issuer.issuer, &merged.keys)?;
    }
    Ok(())
}

fn describe(r: &Registration, event: &mut avouch_gate::Details) {
    event.request("name", r.name.clone());
    event.request("issuers", json!(r.settings.issuers.iter().map(|i| i.issuer.as_str()).collect::<Vec<_>>()));
    event.request("audiences", json!(r.settings.audiences));
    event.request("state", if r.active { "active" } else { "disabled" });
    let source = match r.settings.issuers.first().map(|i| &i.source) {
        Some(Source::Inline) | None => "jwks",
        Some(Source::DiscoveryUrl(_)) => "discovery_url",
        Some(Source::JwksUrl(_)) => "jwks_url",
    };
    event.request("key_source", source);
}

fn warnings(checked: &Checked, answers: &[Answered]) -> Vec<String> {
    let fetched =
        answers.iter().filter_map(|a| a.result.as_ref().ok()).flat_map(|f| f.set.warnings.iter().cloned());
    let failed = answers
        .iter()
        .filter_map(|a| a.result.as_ref().err())
        .map(|e| format!("the keys were not fetched: {e}"));
    checked.warnings.iter().cloned().chain(fetched).chain(failed).collect()
}

/// Key ids that were not found before may be there now.
fn forget(k: &Kubernetes, r: &Registration) {
    for issuer in &r.settings.issuers {
        k.guards.forget(&issuer.issuer);
    }
}

fn region(ctx: &Ctx, given: Option<&str>) -> Result<String> {
    let region = given.unwrap_or(&ctx.app().config.region);
    if text::dns_label(region) {
        Ok(region.to_owned())
    } else {
        Err(Error::invalid("region", "The property 'region' is not valid."))
    }
}

/// Id and name of the resource group: the named one, or the default one.
async fn group(ctx: &Ctx, account: &AccountId, id: Option<String>) -> Result<(String, Option<String>)> {
    let (app, account, named) = (ctx.app().clone(), account.clone(), id.is_some());
    let found = ctx.read(move |tx| app.links.groups.resource_group(tx, &account, id.as_deref())).await?;
    match found {
        Some(group) => Ok((group.id, Some(group.name))),
        None if named => Err(no_group()),
        None => Ok((String::new(), None)),
    }
}

fn no_group() -> Error {
    Error::invalid("resource_group", "The account has no resource group of that id.")
}

/// The group may have been deleted since it was looked up: nothing kept it then.
fn still_in_group(app: &App, tx: &mut Tx<'_>, r: &Registration) -> Result<()> {
    if !r.resource_group.is_empty() && group_name(app, tx, r)?.is_none() {
        return Err(no_group());
    }
    Ok(())
}

fn group_name(app: &App, tx: &mut Tx<'_>, r: &Registration) -> Result<Option<String>> {
    if r.resource_group.is_empty() {
        return Ok(None);
    }
    Ok(app.links.groups.resource_group(tx, &r.account, Some(&r.resource_group))?.map(|g| g.name))
}

async fn keys_and_group(ctx: &Ctx, r: &Registration) -> Result<(Vec<Key>, Option<String>)> {
    let (app, r) = (ctx.app().clone(), r.clone());
    ctx.read(move |tx| Ok((sql::keys(tx, &r.id)?, group_name(&app, tx, &r)?))).await
}

/// The registration as it is answered.
pub async fn view_of(ctx: &Ctx, r: &Registration) -> Result<View> {
    let k = ctx.app().state::<Kubernetes>()?;
    let (keys, group) = keys_and_group(ctx, r).await?;
    let crn = r.crn(&ctx.app().config.cname)?.to_string();
    Ok(view(&k, r, &keys, group, crn, Vec::new()))
}

async fn answer(ctx: &Ctx, r: Registration, status: u16) -> Result<Response> {
    Ok(Response::json(status, &view_of(ctx, &r).await?)?.etag(&r.etag))
}

/// `c` and 19 characters, like the ids of the published service.
fn cluster_id(ctx: &Ctx) -> String {
    let hex = rng::hex(ctx.app().rng.as_ref(), 19);
    let digits = hex.as_bytes().chunks(2).map(|pair| {
        let byte = pair.iter().fold(0u8, |n, c| n << 4 | char::from(*c).to_digit(16).map_or(0, |d| d as u8));
        // INVARIANT: a remainder of 32 is a place of the alphabet.
        char::from(ID_ALPHABET.get(usize::from(byte % 32)).copied().unwrap_or(b'0'))
    });
    std::iter::once('c').chain(digits).collect()
}

#[allow(clippy::too_many_arguments, reason = "each is a value of its own, and there is one caller")]
fn view(
    k: &Kubernetes,
    r: &Registration,
    keys: &[Key],
    resource_group_name: Option<String>,
    crn: String,
    warnings: Vec<String>,
) -> View {
    let mut settings = match json!(rules::as_request(r, &k.fetcher)) {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    for told_elsewhere in ["name", "cr_type", "region", "resource_group", "state"] {
        settings.remove(told_elsewhere);
    }
    let cluster = r.kind == Kind::Cluster;
    View {
        id: r.id.clone(),
        crn,
        name: r.name.clone(),
        account_id: r.account.as_str().to_owned(),
        cr_type: r.cr_type.as_str().to_owned(),
        entity_tag: r.etag.clone(),
        state: if r.active { "active" } else { "disabled" }.to_owned(),
        region: cluster.then(|| r.region.clone()),
        resource_group: cluster.then(|| r.resource_group.clone()),
        resource_group_name,
        settings,
        keys: keys
            .iter()
            .map(|key| KeyView {
                kid: Some(key.kid.clone()).filter(|kid| !kid.is_empty()),
                thumbprint: key.thumbprint.clone(),
                alg: key.alg.clone(),
                issuer: key.issuer.clone(),
                first_seen: key.first_seen.rfc3339_millis(),
                last_seen: key.last_seen.rfc3339_millis(),
                state: key.state.as_str().to_owned(),
                retires_at: key.retires_at.map(|at| at.rfc3339_millis()),
            })
            .collect(),
        warnings,
        last_refresh: r.last_refresh.map(|at| at.rfc3339_millis()),
        last_error: r.last_error.clone(),
        next_refresh: r.next_refresh.map(|at| at.rfc3339_millis()),
        created_at: r.created_at.rfc3339_millis(),
        modified_at: r.modified_at.rfc3339_millis(),
    }
}
