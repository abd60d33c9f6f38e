//! Verifying compute resource tokens of registered clusters and issuers: every check, in one order, in one place.
//!
//! Nothing of a token is believed before its signature; its issuer and key id only find keys. It refuses to let a token
//! choose its algorithm or bring a key, and to tell the caller which of issuer, key and signature was wrong.

mod checks;
mod review;
mod trace;

use std::sync::Arc;

use async_trait::async_trait;
use avouch_crypto::{Alg, TokenLimits, UnverifiedToken};
use avouch_gate::links::{Evidence, EvidenceVerifier, KnownEvidence, RefusedEvidence};
use avouch_gate::{App, Ctx, Error, Kind as ErrorKind, Result};
use avouch_policy::reason::Reason;
use avouch_wire::ids::AccountId;
use avouch_wire::time::Timestamp;
use serde_json::{Map, Value};

use self::trace::Trace;
use crate::Kubernetes;
use crate::keys::refresh::{Search, search};
use crate::keys::registry::{Entry, Loaded};
use crate::registrations::Kind;

pub use review::Reviews;

/// How far the clocks of issuers and servers may differ, seconds.
pub const LEEWAY_SECS: i64 = 60;
/// Keys tried for one token at most.
const TRIED: usize = 16;

/// A token whose signature is right.
struct Signed {
    loaded: Arc<Loaded>,
    issuer: String,
    kid: Option<String>,
    /// Of the key that verified it.
    thumbprint: String,
    claims: Map<String, Value>,
}

pub(crate) fn unparsable(reason: &'static str) -> Error {
    Error::new(ErrorKind::Invalid, "cr_token could not be parsed").code("BXNIM0407E").reason(reason)
}

/// One text for unknown issuer, unknown key, wrong signature, revoked key and disabled registration.
pub(crate) fn unverifiable(reason: &'static str) -> Error {
    Error::new(ErrorKind::Invalid, "cr_token signature could not be validated")
        .code("BXNIM0407E")
        .reason(reason)
}

fn keys_unavailable(wait: u32) -> Error {
    Error::new(ErrorKind::Unavailable, "The keys of the token's issuer cannot be fetched at the moment.")
        .code("BXNIM0490E")
        .retry_after(wait.max(1))
        .reason("keys_unavailable")
}

#[async_trait]
impl EvidenceVerifier for Kubernetes {
    async fn verify(&self, ctx: &Ctx, cr_token: &str) -> Result<Evidence, RefusedEvidence> {
        self.run(ctx, cr_token, ctx.now(), None, &mut Trace::off()).await
    }

    async fn inspect(&self, ctx: &Ctx, cr_token: &str, at: Timestamp) -> Result<(Reason, Option<Evidence>)> {
        let account = ctx.caller()?.account().clone();
        let mut trace = Trace::on();
        match self.run(ctx, cr_token.trim(), at, Some(&account), &mut trace).await {
            Ok(evidence) => Ok((trace.tree(true), Some(evidence))),
            Err(refused) if refused.error.kind() == ErrorKind::Internal => Err(refused.error),
            Err(refused) => {
                trace.refused(&refused.error);
                Ok((trace.tree(false), None))
            }
        }
    }
}

impl Kubernetes {
    /// Every check in order. `only`: registrations of other accounts are as good as unknown.
    #[allow(clippy::too_many_arguments, reason = "each is a value of its own, and there is one caller")]
    async fn run(
        &self,
        ctx: &Ctx,
        token: &str,
        at: Timestamp,
        only: Option<&AccountId>,
        trace: &mut Trace,
    ) -> Result<Evidence, RefusedEvidence> {
        let parsed = UnverifiedToken::parse(token, &TokenLimits::default()).map_err(|e| {
            trace.fail("form", || Reason::check("form", false).detail(e.to_string()));
            unparsable("malformed")
        })?;
        trace.pass("form", || Reason::check("form", true).on("alg").found(parsed.alg().name()));
        let signed = self.signature(ctx.app(), parsed, at, only, trace).await?;
        let known = KnownEvidence {
            account: signed.loaded.registration.account.clone(),
            crn: signed.loaded.crn.clone(),
            display: checks::display(&signed.loaded, &signed.claims),
            cr_type: signed.loaded.cr_type(),
            jti: checks::text(&signed.claims, "jti").map(str::to_owned),
        };
        let refuse = |error: Error| RefusedEvidence { error, known: Some(Box::new(known.clone())) };
        let r = &signed.loaded.registration;
        checks::issuer(&signed.claims, &signed.issuer, trace).map_err(refuse)?;
        checks::audience(&signed.claims, &r.settings, trace).map_err(refuse)?;
        let exp = checks::times(&signed.claims, &r.settings, at, trace).map_err(refuse)?;
        let identity = match r.kind {
            Kind::Cluster => checks::pod(&signed.loaded, &signed.claims, trace),
            Kind::Issuer => checks::subject(&signed.loaded, &signed.claims, trace),
        }
        .map_err(refuse)?;
        checks::address(&r.settings, ctx.address(), trace).map_err(refuse)?;
        if let Some(url) = &r.settings.token_review {
            // Whatever time is supposed, the API server answers for the present one.
            let now = ctx.app().clock.now();
            self.reviews
                .ask(&self.fetcher, r, url, token, &signed.claims, now, trace)
                .await
                .map_err(refuse)?;
            if !self.still(ctx.app(), &signed).await.map_err(refuse)? {
                trace.fail("key", || {
                    key_reason(false, signed.kid.as_deref())
                        .detail("the registration or its keys changed while the API server was asked")
                });
                return Err(refuse(unverifiable("no_usable_key")));
            }
        }
        Ok(Evidence {
            identity,
            jti: known.jti.clone(),
            kid: signed.kid,
            cap: r.settings.cr_token_cap.then(|| Timestamp::from_secs(exp)),
        })
    }

    /// Whether registration and key count as they did: to ask an API server takes time.
    async fn still(&self, app: &Arc<App>, signed: &Signed) -> Result<bool> {
        let entry = self.registry.entry(app, &signed.issuer).await?;
        let (known, now) = (&signed.loaded.registration, app.clock.now());
        Ok(registrations(&entry, None).iter().any(|l| {
            let r = &l.registration;
            r.id == known.id
                && r.active
                && r.settings == known.settings
                && l.keys
                    .iter()
                    .any(|key| key.stored.thumbprint == signed.thumbprint && key.stored.counts(now))
        }))
    }

    /// Finds the key by issuer and key id, and verifies.
    #[allow(clippy::too_many_arguments, reason = "each is a value of its own, and there is one caller")]
    async fn signature(
        &self,
        app: &Arc<App>,
        token: UnverifiedToken,
        at: Timestamp,
        only: Option<&AccountId>,
        trace: &mut Trace,
    ) -> Result<Signed, RefusedEvidence> {
        let Some(issuer) = token.unverified_issuer().map(str::to_owned) else {
            trace.fail("issuer", || {
                Reason::check("issuer", false).on("iss").detail("the token states no issuer")
            });
            return Err(unverifiable("no_issuer").into());
        };
        let kid = token.kid().map(str::to_owned);
        let mut entry = self.registry.entry(app, &issuer).await?;
        let mut usable = registrations(&entry, only);
        if usable.is_empty() {
            let hint = if trace.is_on() { self.slash_hint(app, &issuer, only).await? } else { None };
            trace.fail("issuer", || {
                let reason = Reason::check("issuer", false).on("iss").found(issuer.clone());
                reason.detail(hint.unwrap_or("no registration of the account has this issuer"))
            });
            return Err(unverifiable("unknown_issuer").into());
        }
        trace.pass("issuer", || {
            let names: Vec<&str> = usable.iter().map(|l| l.registration.name.as_str()).collect();
            Reason::check("issuer", true).on("iss").found(issuer.clone()).detail(names.join(", "))
        });
        if !has_key(&usable, &issuer, kid.as_deref())
            && let Some(kid) = &kid
        {
            let candidates = usable
                .iter()
                .filter(|l| l.registration.active && l.registration.settings.remote())
                .map(|l| l.registration.clone())
                .collect();
            let state = app.state::<Kubernetes>()?;
            let searched = search(app, &state, &issuer, kid, candidates).await?;
            if searched != Search::Unknown {
                entry = self.registry.entry(app, &issuer).await?;
                usable = registrations(&entry, only);
            }
            if !has_key(&usable, &issuer, Some(kid)) {
                trace.fail("key", || key_reason(false, Some(kid)).detail("the issuer has no such key"));
                return Err(match searched {
                    Search::Later(wait) => keys_unavailable(wait).into(),
                    Search::Fetched => {
                        self.guards.not_found(&issuer, kid, app.clock.now());
                        unverifiable("unknown_key").into()
                    }
                    Search::Unknown => unverifiable("unknown_key").into(),
                });
            }
        }
        let alg = token.alg();
        let mut candidates = Vec::new();
        let mut stale = false;
        for loaded in &usable {
            if !loaded.registration.active || !allows(loaded, alg) {
                continue;
            }
            if loaded.stale(at) && self.still_stale(app, loaded, at).await? {
                stale = true;
                continue;
            }
            for key in loaded.keys.iter() {
                let named = kid.as_deref().is_none_or(|kid| key.kid == kid);
                if key.issuer == issuer && named && key.stored.counts(at) && key.key.alg() == alg {
                    candidates.push((loaded.clone(), key));
                }
            }
        }
        candidates.truncate(TRIED);
        if candidates.is_empty() {
            trace.fail("key", || {
                key_reason(false, kid.as_deref()).detail(
                    "no key of this id and algorithm counts: revoked, retired, disabled or not allowed",
                )
            });
            return Err(if stale { keys_unavailable(60) } else { unverifiable("no_usable_key") }.into());
        }
        trace.pass("key", || key_reason(true, kid.as_deref()));
        let verified = token.verify_which(candidates.iter().map(|(_, key)| &key.key));
        match verified {
            Ok((place, verified)) => {
                trace.pass("signature", || Reason::check("signature", true).operator(alg.name()));
                let (loaded, thumbprint) = candidates
                    .get(place)
                    .map(|(loaded, key)| (Arc::clone(loaded), key.stored.thumbprint.clone()))
                    .ok_or_else(|| Error::internal("no such candidate"))?;
                Ok(Signed { loaded, issuer, kid, thumbprint, claims: verified.claims })
            }
            Err(_) => {
                trace.fail("signature", || Reason::check("signature", false).operator(alg.name()));
                Err(unverifiable("signature").into())
            }
        }
    }

    /// Fetches note their time without raising a revision, so the time is read again before keys are given up.
    async fn still_stale(&self, app: &Arc<App>, loaded: &Loaded, at: Timestamp) -> Result<bool> {
        let r = loaded.registration.clone();
        let present =
            app.store.read(move |tx| crate::registrations::sql::get(tx, &r.account, r.kind, &r.id)).await?;
        Ok(present.is_none_or(|r| {
            r.last_refresh.is_none_or(|t| at > t.plus_secs(crate::keys::registry::STALE_AFTER))
        }))
    }

    /// Issuers are compared byte for byte; a slash at the end is what people get wrong.
    async fn slash_hint(
        &self,
        app: &Arc<App>,
        issuer: &str,
        only: Option<&AccountId>,
    ) -> Result<Option<&'static str>> {
        let other = match issuer.strip_suffix('/') {
            Some(bare) => bare.to_owned(),
            None => format!("{issuer}/"),
        };
        let entry = self.registry.entry(app, &other).await?;
        Ok((!registrations(&entry, only).is_empty())
            .then_some("the registered issuer and that of the token differ by a slash at the end"))
    }
}

fn registrations(entry: &Entry, only: Option<&AccountId>) -> Vec<Arc<Loaded>> {
    entry
        .registrations
        .iter()
        .filter(|l| only.is_none_or(|a| l.registration.account == *a))
        .cloned()
        .collect()
}

/// Whether the key id is known, revoked and retired keys included: they need no fetch to be refused.
fn has_key(usable: &[Arc<Loaded>], issuer: &str, kid: Option<&str>) -> bool {
    let fits =
        |l: &Arc<Loaded>| l.keys.iter().any(|k| k.issuer == issuer && kid.is_none_or(|kid| k.kid == kid));
    usable.iter().any(fits)
}

fn allows(loaded: &Loaded, alg: Alg) -> bool {
    loaded.registration.settings.allowed_algs.iter().any(|a| a == alg.name())
}

fn key_reason(result: bool, kid: Option<&str>) -> Reason {
    Reason::check("key", result).on("kid").found_opt(kid)
}
