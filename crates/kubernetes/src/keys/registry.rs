//! Registrations by issuer, with parsed keys, in memory.
//!
//! An entry counts for the revisions it was read at, never for a time: a registration, a revoked key or a deletion that
//! was answered is seen by every exchange that starts after it. Keys are parsed once per version of a registration.

use std::sync::Arc;

use avouch_crypto::VerifyingKey;
use avouch_gate::{App, Error, Result};
use avouch_policy::rules::CrType;
use avouch_wire::crn::Crn;
use avouch_wire::ids::AccountId;
use avouch_wire::time::Timestamp;

use super::merge::Key;
use crate::registrations::{Registration, sql};

/// Issuers kept at most.
const CAPACITY: u64 = 20_000;
/// Fetched keys count this long after the last good fetch, seconds.
pub const STALE_AFTER: i64 = 24 * 3600;

/// A key that verifies, and how long it counts.
pub struct LoadedKey {
    /// Issuer that signs with it.
    pub issuer: String,
    /// Key id; empty: none.
    pub kid: String,
    /// The key, parsed.
    pub key: VerifyingKey,
    /// As stored.
    pub stored: Key,
}

/// A registration as verification needs it.
pub struct Loaded {
    /// As stored.
    pub registration: Registration,
    /// CRN of its evidence.
    pub crn: Crn,
    /// Name of the resource group of a cluster.
    pub resource_group_name: Option<String>,
    /// All keys of all its issuers that can count.
    pub keys: Arc<Vec<LoadedKey>>,
}

impl Loaded {
    /// Whether fetched keys are too old to be trusted.
    pub fn stale(&self, now: Timestamp) -> bool {
        self.registration.settings.remote()
            && self.registration.last_refresh.is_none_or(|at| now > at.plus_secs(STALE_AFTER))
    }

    /// Type of its evidence.
    pub fn cr_type(&self) -> CrType {
        self.registration.cr_type
    }
}

/// What answers for an issuer.
pub struct Entry {
    rev: i64,
    account_revs: Vec<(AccountId, i64)>,
    /// Registrations, of any account.
    pub registrations: Vec<Arc<Loaded>>,
}

impl Entry {
    /// Whether any registration knows this key id, in whatever state.
    pub fn has_key(&self, issuer: &str, kid: &str) -> bool {
        self.registrations.iter().any(|l| l.keys.iter().any(|k| k.issuer == issuer && k.kid == kid))
    }
}

/// Issuers in memory.
pub struct Registry {
    entries: moka::sync::Cache<String, Arc<Entry>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registry({})", self.entries.entry_count())
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self { entries: moka::sync::Cache::new(CAPACITY) }
    }
}

impl Registry {
    /// What answers for `issuer` now; nothing for an unknown one, without any network.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn entry(&self, app: &Arc<App>, issuer: &str) -> Result<Arc<Entry>> {
        let wanted = app.store.revision(AccountId::operator().as_str()).await?;
        let present = self.entries.get(issuer);
        if let Some(entry) = &present
            && entry.rev >= wanted
            && self.same_accounts(app, entry).await?
        {
            return Ok(entry.clone());
        }
        self.reload(app, issuer, present).await
    }

    /// Reads an issuer anew, whatever the revisions say; keys of unchanged registrations are not parsed again.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn reload(
        &self,
        app: &Arc<App>,
        issuer: &str,
        present: Option<Arc<Entry>>,
    ) -> Result<Arc<Entry>> {
        let (reader, wanted_issuer) = (app.clone(), issuer.to_owned());
        let entry = app
            .store
            .read(move |tx| {
                let rev = tx.revision(AccountId::operator().as_str())?;
                let mut registrations = Vec::new();
                let mut account_revs: Vec<(AccountId, i64)> = Vec::new();
                for registration in sql::of_issuer(tx, &wanted_issuer)? {
                    let account = registration.account.clone();
                    if !account_revs.iter().any(|(a, _)| *a == account) {
                        account_revs.push((account.clone(), tx.revision(account.as_str())?));
                    }
                    let group = match registration.resource_group.as_str() {
                        "" => None,
                        id => reader.links.groups.resource_group(tx, &account, Some(id))?.map(|g| g.name),
                    };
                    let known = present.as_ref().and_then(|e| {
                        e.registrations.iter().find(|l| {
                            l.registration.id == registration.id
                                && l.registration.version == registration.version
                        })
                    });
                    let keys = match known {
                        Some(loaded) => loaded.keys.clone(),
                        None => Arc::new(parse(sql::keys(tx, &registration.id)?)),
                    };
                    registrations.push(Arc::new(Loaded {
                        crn: registration.crn(&reader.config.cname)?,
                        resource_group_name: group,
                        keys,
                        registration,
                    }));
                }
                Ok::<_, Error>(Entry { rev, account_revs, registrations })
            })
            .await?;
        let entry = Arc::new(entry);
        self.entries.insert(issuer.to_owned(), entry.clone());
        Ok(entry)
    }

    async fn same_accounts(&self, app: &Arc<App>, entry: &Entry) -> Result<bool> {
        for (account, rev) in &entry.account_revs {
            if app.store.revision(account.as_str()).await? > *rev {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Parses stored keys. One that cannot be parsed any more is left out: it was parsed before it was stored.
fn parse(stored: Vec<Key>) -> Vec<LoadedKey> {
    stored
        .into_iter()
        .filter_map(|stored| {
            let jwk = serde_json::from_str(&stored.jwk).ok()?;
            let key = VerifyingKey::from_jwk(&jwk).ok()?;
            Some(LoadedKey { issuer: stored.issuer.clone(), kid: stored.kid.clone(), key, stored })
        })
        .collect()
}
