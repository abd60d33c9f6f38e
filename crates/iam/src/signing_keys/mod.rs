//! Keys that sign access tokens: made ahead of their use, stored sealed, rotated without a gap, published as a key set.
//!
//! It refuses to hand a private key to anybody but the signing threads, and to sign with a key that was not published.

mod plan;
mod pool;
mod sql;

use std::sync::Arc;
use std::time::Duration;

use avouch_crypto::jws::{Alg, SigningKey};
use avouch_crypto::rng;
use avouch_gate::audit::{
    OPERATOR_ACCOUNT, sql as audit_sql,
    unasked::{self, Unasked},
};
use avouch_gate::authn::{TokenKey, TokenKeys};
use avouch_gate::ctx::background_event;
use avouch_gate::{App, Details, Error, Permit, Result, Target};
use avouch_policy::access::ResourceAttrs;
use avouch_wire::ids::AccountId;
use avouch_wire::time::Timestamp;
use parking_lot::RwLock;
use serde_json::json;
use tokio::sync::Notify;

use self::plan::Times;
use self::sql::StoredKey;
use crate::token::Tokens;

pub use pool::{Pool, Slot};

/// How long verifiers may keep our key set.
pub const JWKS_MAX_AGE_SECS: i64 = 900;
/// The first token of a fresh server waits this long for its key at most.
const FIRST_KEY_WAIT: Duration = Duration::from_secs(10);

/// A private key and its id.
pub struct ActiveKey {
    /// `kid`.
    pub kid: String,
    /// The key, parsed once.
    pub key: SigningKey,
}

impl std::fmt::Debug for ActiveKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ActiveKey({})", self.kid)
    }
}

/// The keys as this replica has loaded them.
struct Loaded {
    times: Vec<Times>,
    keys: Vec<Arc<ActiveKey>>,
    jwks: bytes::Bytes,
}

/// Loaded keys and the threads that sign with them.
pub struct SigningKeys {
    loaded: RwLock<Option<Arc<Loaded>>>,
    ready: Notify,
    /// The signing threads.
    pub pool: Pool,
}

impl Default for SigningKeys {
    fn default() -> Self {
        Self { loaded: RwLock::new(None), ready: Notify::new(), pool: Pool::start() }
    }
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKeys")
    }
}

impl SigningKeys {
    async fn loaded(&self) -> Result<Arc<Loaded>> {
        let wait = async {
            loop {
                let ready = self.ready.notified();
                tokio::pin!(ready);
                ready.as_mut().enable();
                if let Some(loaded) = self.loaded.read().clone() {
                    return loaded;
                }
                ready.await;
            }
        };
        tokio::time::timeout(FIRST_KEY_WAIT, wait)
            .await
            .map_err(|_| Error::unavailable("The signing keys are not ready yet."))
    }

    /// The key that signs at `now`.
    ///
    /// # Errors
    /// `Unavailable` while the very first key is being made.
    pub async fn active(&self, now: Timestamp) -> Result<Arc<ActiveKey>> {
        let loaded = self.loaded().await?;
        plan::active(&loaded.times, now)
            .and_then(|i| loaded.keys.get(i).cloned())
            .ok_or_else(|| Error::internal("no signing key"))
    }

    /// The published key set, as JSON.
    ///
    /// # Errors
    /// `Unavailable` while the very first key is being made.
    pub async fn jwks(&self) -> Result<bytes::Bytes> {
        Ok(self.loaded().await?.jwks.clone())
    }
}

/// Loads the keys; on the first start a key is made beside the start of the server, and the first request waits for it.
/// One of several replicas has its keys before it serves.
///
/// # Errors
/// Those of the store and of the key ring.
pub async fn start(app: &Arc<App>) -> Result<()> {
    algorithm(app)?;
    let stored = app.store.read(sql::all).await?;
    if stored.is_empty() {
        // Another replica may hand out tokens already, and without keys this one would call them forged.
        if app.config.store.starts_with("postgres") {
            return tick(app).await;
        }
        let app = app.clone();
        tokio::spawn(async move {
            if let Err(e) = tick(&app).await {
                tracing::error!(
                    cause = e.cause_text().unwrap_or(e.message()),
                    "the first signing key could not be made"
                );
            }
        });
        return Ok(());
    }
    install(app, stored)
}

/// Rotates when it is time and loads what other replicas made.
///
/// # Errors
/// Those of the store and of the key ring.
pub async fn tick(app: &Arc<App>) -> Result<()> {
    let alg = algorithm(app)?;
    let now = app.clock.now();
    let times = app.store.read(sql::times).await?;
    let planned = plan::plan(&times, alg.name(), now);
    if let Some(active_at) = planned.create {
        create(app, alg, now, active_at).await?;
    }
    if !planned.delete.is_empty() {
        let gone: Vec<Times> =
            times.iter().filter(|key| planned.delete.contains(&key.kid)).cloned().collect();
        let shared = app.clone();
        app.store
            .write(move |tx| {
                for key in &gone {
                    if sql::delete(tx, &key.kid)? {
                        audit_sql::insert(tx, &told(&shared, now, &unasked::SIGNING_KEY_GONE, key)?)?;
                    }
                }
                Ok::<_, Error>(())
            })
            .await?;
    }
    let tokens = app.state::<Tokens>()?;
    let known = tokens.keys.loaded.read().as_ref().map(|l| l.times.clone());
    let stored_times = app.store.read(sql::times).await?;
    if known.as_deref() != Some(&stored_times) {
        let stored = app.store.read(sql::all).await?;
        install(app, stored)?;
    }
    Ok(())
}

fn algorithm(app: &App) -> Result<Alg> {
    match app.config.token_alg.as_str() {
        "RS256" => Ok(Alg::RS256),
        "ES256" => Ok(Alg::ES256),
        _ => Err(Error::internal("token_alg must be RS256 or ES256")),
    }
}

/// Makes a key, unless another replica made one meanwhile.
async fn create(app: &Arc<App>, alg: Alg, now: Timestamp, active_at: Timestamp) -> Result<()> {
    let key = tokio::task::spawn_blocking(move || SigningKey::generate(alg))
        .await
        .map_err(Error::internal)?
        .map_err(Error::internal)?;
    let kid = kid(app, now);
    let sealed = app.keyring.seal(&aad(&kid), key.to_pkcs8().expose());
    let jwk = serde_json::to_string(&key.jwk(&kid)).map_err(Error::internal)?;
    let stored =
        StoredKey { times: Times { kid, alg: alg.name().to_owned(), created_at: now, active_at }, sealed };
    let event = told(app, now, &unasked::SIGNING_KEY, &stored.times)?;
    app.store
        .write(move |tx| {
            let present = sql::times(tx)?;
            if plan::plan(&present, alg.name(), now).create.is_none() {
                return Ok(());
            }
            sql::insert(tx, &stored, &jwk)?;
            audit_sql::insert(tx, &event)
        })
        .await
}

/// `yyyymmddHHMM-` and 6 random characters: two keys of one minute differ, and a key id cannot be foreseen.
fn kid(app: &App, now: Timestamp) -> String {
    format!("{}-{}", now.compact_minute(), rng::hex(app.rng.as_ref(), 3))
}

fn aad(kid: &str) -> Vec<u8> {
    format!("signing-key:{kid}").into_bytes()
}

/// The event of a key that came or went.
fn told(
    app: &App,
    now: Timestamp,
    event: &'static Unasked,
    key: &Times,
) -> Result<avouch_gate::audit::Event> {
    let account = AccountId::parse(OPERATOR_ACCOUNT).map_err(Error::internal)?;
    let attrs = ResourceAttrs::service(&account, "iam-identity");
    let crn = format!(
        "crn:v1:{}:public:iam-identity:global:a/{account}::signing-key:{}",
        app.config.cname, key.kid
    );
    let target = Target::global("iam-identity", &account, attrs, crn)
        .named(key.kid.clone())
        .of_type("iam-identity/signing-key");
    let permit = Permit::system(event, target);
    let mut details = Details::default();
    details.response("kid", key.kid.clone());
    details.response("alg", key.alg.clone());
    details.response("active_at", key.active_at.rfc3339_millis());
    Ok(background_event(app, now, crate::token::DISPLAY, &permit, details))
}

/// Makes the keys of the store those of this replica: for signing, for verifying and for publishing.
fn install(app: &Arc<App>, stored: Vec<StoredKey>) -> Result<()> {
    if stored.is_empty() {
        return Ok(());
    }
    let times: Vec<Times> = stored.iter().map(|k| k.times.clone()).collect();
    let mut keys = Vec::with_capacity(stored.len());
    let mut verifying = TokenKeys::default();
    let mut published = Vec::with_capacity(stored.len());
    for (index, row) in stored.iter().enumerate() {
        let kid = &row.times.kid;
        let alg: Alg = row.times.alg.parse().map_err(Error::internal)?;
        let der = app.keyring.open(&aad(kid), &row.sealed).map_err(Error::internal)?;
        let key = SigningKey::from_pkcs8(der.expose(), alg).map_err(Error::internal)?;
        let public = key.verifying_key().map_err(Error::internal)?;
        published.push(serde_json::to_value(key.jwk(kid)).map_err(Error::internal)?);
        verifying
            .keys
            .insert(kid.clone(), TokenKey { key: public, retired_at: plan::retired_at(&times, index) });
        keys.push(Arc::new(ActiveKey { kid: kid.clone(), key }));
    }
    let jwks = serde_json::to_vec(&json!({"keys": published})).map_err(Error::internal)?;
    app.authn.set_keys(verifying);
    let tokens = app.state::<Tokens>()?;
    *tokens.keys.loaded.write() = Some(Arc::new(Loaded { times, keys, jwks: jwks.into() }));
    tokens.keys.ready.notify_waiters();
    Ok(())
}
