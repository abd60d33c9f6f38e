//! Per-account pictures of policies, groups and roles, kept by revision, never by time.
//!
//! Before each decision the account's revision is compared; if it moved, the changed objects are read and applied in
//! place. So a request that starts after a change was answered is decided by the new state.

use std::collections::HashMap;
use std::sync::Arc;

use avouch_policy::access::{Decision, Index, ResourceAttrs};
use avouch_policy::reason::Reason;
use avouch_store::Tx;
use avouch_wire::ids::{AccountId, IamId};
use avouch_wire::time::Timestamp;
use parking_lot::{Mutex, RwLock};

use crate::app::App;
use crate::error::{Error, Result};
use crate::links::{AccessChange, ExternalAccess, ExternalState, IdentityState, InstanceInfo};

/// Above this many changed objects the whole account is read anew.
const INCREMENTAL: i64 = 10_000;
/// Changes that are kept of each account: a replica that lags behind further reads the account anew anyway.
const CHANGES_KEPT: i64 = INCREMENTAL;
/// So many more changes gather before they are forgotten, so that not each change costs a deletion.
const CHANGES_SPARE: i64 = 1000;
/// Accounts of one round.
const ROUND: i64 = 100;
/// Kinds of changes that the decision depends on.
const ACCESS_KINDS: &[&str] = &["policy", "member", "role", "group-settings", "access-settings"];

/// The public group.
pub const PUBLIC_GROUP: &str = "AccessGroupId-PublicAccess";

struct Picture {
    rev: i64,
    index: Index,
    groups: HashMap<String, Vec<String>>,
    public: bool,
    external: ExternalAccess,
    identities: HashMap<String, IdentityState>,
    instances: HashMap<String, InstanceInfo>,
}

impl Picture {
    fn empty() -> Self {
        Self {
            rev: -1,
            index: Index::new(),
            groups: HashMap::new(),
            public: true,
            external: ExternalAccess::default(),
            identities: HashMap::new(),
            instances: HashMap::new(),
        }
    }
}

/// One account's picture.
pub struct Account {
    picture: RwLock<Picture>,
    refresh: tokio::sync::Mutex<()>,
}

impl Account {
    fn new() -> Arc<Self> {
        Arc::new(Self { picture: RwLock::new(Picture::empty()), refresh: tokio::sync::Mutex::new(()) })
    }
}

/// Pictures of all accounts that were asked for.
#[derive(Default)]
pub struct AccessCache {
    accounts: Mutex<HashMap<AccountId, Arc<Account>>>,
    /// GUID → account, learnt from look-ups; an instance never changes its account.
    owners: RwLock<HashMap<String, AccountId>>,
}

impl std::fmt::Debug for AccessCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccessCache")
    }
}

impl App {
    /// The account's picture, as new as the store was when this was called.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn account(self: &Arc<Self>, id: &AccountId) -> Result<Arc<Account>> {
        let known = self.access.accounts.lock().get(id).cloned();
        let wanted = self.store.revision(id.as_str()).await?;
        let account = match known {
            Some(account) => account,
            // Nothing ever changed in it, so there is no such account: callers may ask for any, none is remembered.
            None if wanted == 0 => return Ok(Account::new()),
            None => self.access.accounts.lock().entry(id.clone()).or_insert_with(Account::new).clone(),
        };
        if account.picture.read().rev >= wanted {
            return Ok(account);
        }
        {
            let _one = account.refresh.lock().await;
            let have = account.picture.read().rev;
            if have < wanted {
                let (app, account_id) = (self.clone(), id.clone());
                let loaded = self.store.read(move |tx| load(&app, tx, &account_id, have)).await?;
                account.apply(loaded);
            }
        }
        Ok(account)
    }

    /// State of an identity in an account, from the picture.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn identity(self: &Arc<Self>, id: &AccountId, iam_id: &IamId) -> Result<IdentityState> {
        let account = self.account(id).await?;
        let rev = {
            let picture = account.picture.read();
            if let Some(state) = picture.identities.get(iam_id.as_str()) {
                return Ok(state.clone());
            }
            picture.rev
        };
        let (app, account_id, subject) = (self.clone(), id.clone(), iam_id.clone());
        let state = self.store.read(move |tx| app.links.identities.state(tx, &account_id, &subject)).await?;
        account.remember(rev, |p| {
            p.identities.insert(iam_id.as_str().to_owned(), state.clone());
        });
        Ok(state)
    }

    /// A service instance by GUID, from the picture of its account.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn instance(self: &Arc<Self>, guid: &str) -> Result<Option<InstanceInfo>> {
        let owner = self.access.owners.read().get(guid).cloned();
        if let Some(owner) = owner {
            let account = self.account(&owner).await?;
            if let Some(info) = account.picture.read().instances.get(guid) {
                return Ok(Some(info.clone()));
            }
        }
        let (app, wanted) = (self.clone(), guid.to_owned());
        let rev_source = self.clone();
        let found = self.store.read(move |tx| app.links.instances.instance(tx, &wanted)).await?;
        let Some(info) = found else { return Ok(None) };
        // The picture may have moved between the look-up and now: only what was read at its revision is remembered.
        let account = rev_source.account(&info.account).await?;
        let rev = account.picture.read().rev;
        let (app, wanted) = (self.clone(), guid.to_owned());
        let Some(info) = self.store.read(move |tx| app.links.instances.instance(tx, &wanted)).await? else {
            return Ok(None);
        };
        self.access.owners.write().insert(guid.to_owned(), info.account.clone());
        account.remember(rev, |p| {
            p.instances.insert(guid.to_owned(), info.clone());
        });
        Ok(Some(info))
    }
}

/// Forgets changes that no replica asks for any more.
///
/// # Errors
/// Those of the store.
pub async fn tick(app: &Arc<App>) -> Result<()> {
    forget(app, CHANGES_KEPT, CHANGES_SPARE).await
}

/// Forgets all but the newest `kept` changes of each account that has more than `spare` older ones.
///
/// # Errors
/// Those of the store.
pub async fn forget(app: &Arc<App>, kept: i64, spare: i64) -> Result<()> {
    for (account, rev) in app.store.read(move |tx| tx.forgettable_changes(kept, spare, ROUND)).await? {
        let of = account.clone();
        app.store.write_for(&account, move |tx| tx.forget_changes(&of, rev)).await?;
    }
    Ok(())
}

struct Loaded {
    rev: i64,
    whole: bool,
    changes: Vec<AccessChange>,
    identities: Vec<String>,
    instances: Vec<String>,
}

fn load(app: &App, tx: &mut Tx<'_>, account: &AccountId, have: i64) -> Result<Loaded> {
    let rev = tx.revision(account.as_str())?;
    if have >= 0 {
        let changed = tx.changes_since(account.as_str(), have, INCREMENTAL)?;
        let found = i64::try_from(changed.len()).unwrap_or(i64::MAX);
        // Each revision has its change. Where one is missing it was forgotten, and what it changed is not known.
        if found < INCREMENTAL && found == rev - have {
            let mut objects = Vec::new();
            let mut identities = Vec::new();
            let mut instances = Vec::new();
            for change in changed {
                match change.kind.as_str() {
                    "identity" => identities.push(change.object),
                    "instance" => instances.push(change.object),
                    kind if ACCESS_KINDS.contains(&kind) => objects.push((change.kind, change.object)),
                    _ => {}
                }
            }
            objects.sort();
            objects.dedup();
            let changes = if objects.is_empty() {
                Vec::new()
            } else {
                app.links.access.load(tx, account, Some(&objects))?
            };
            return Ok(Loaded { rev, whole: false, changes, identities, instances });
        }
    }
    let changes = app.links.access.load(tx, account, None)?;
    Ok(Loaded { rev, whole: true, changes, identities: Vec::new(), instances: Vec::new() })
}

impl Account {
    fn apply(&self, loaded: Loaded) {
        let mut p = self.picture.write();
        if loaded.rev <= p.rev {
            return;
        }
        if loaded.whole {
            *p = Picture::empty();
        }
        for change in loaded.changes {
            match change {
                AccessChange::Policy { id, doc: Some(doc) } => p.index.upsert(&id, &doc),
                AccessChange::Policy { id, doc: None } => p.index.remove(&id),
                AccessChange::Member { iam_id, groups } if groups.is_empty() => {
                    p.groups.remove(&iam_id);
                }
                AccessChange::Member { iam_id, groups } => {
                    p.groups.insert(iam_id, groups);
                }
                AccessChange::Role { crn, role: Some((service, actions)) } => {
                    p.index.upsert_custom_role(&crn, &service, &actions);
                }
                AccessChange::Role { crn, role: None } => p.index.remove_custom_role(&crn),
                AccessChange::PublicAccess(on) => p.public = on,
                AccessChange::External(external) => p.external = external,
            }
        }
        for id in loaded.identities {
            p.identities.remove(&id);
        }
        for id in loaded.instances {
            p.instances.remove(&id);
        }
        p.rev = loaded.rev;
    }

    /// Keeps something read at `rev`, unless the picture moved meanwhile.
    fn remember(&self, rev: i64, f: impl FnOnce(&mut Picture)) {
        let mut p = self.picture.write();
        if p.rev == rev {
            f(&mut p);
        }
    }

    /// What the account lets an identity of another account do, beyond what policies say.
    pub fn external(&self, iam_id: &IamId, home: &AccountId) -> ExternalState {
        self.picture.read().external.state(iam_id, home)
    }

    /// Decides; the subjects are the IAM id, its groups and the public group.
    pub fn decide(&self, iam_id: &str, action: &str, attrs: &ResourceAttrs, now: Timestamp) -> Decision {
        let p = self.picture.read();
        if let Some(source) = service_source(iam_id) {
            return p.index.decide_service(&source, action, attrs, now);
        }
        p.with_subjects(iam_id, |subjects| p.index.decide(subjects, action, attrs, now))
    }

    /// The same evaluation, told as a tree.
    pub fn explain(&self, iam_id: &str, action: &str, attrs: &ResourceAttrs, now: Timestamp) -> Reason {
        let p = self.picture.read();
        if let Some(source) = service_source(iam_id) {
            return p.index.explain_service(&source, action, attrs, now);
        }
        p.with_subjects(iam_id, |subjects| p.index.explain(subjects, action, attrs, now))
    }

    /// Roles, as policies name them, that `iam_id` holds on the target.
    pub fn granted_roles(&self, iam_id: &str, attrs: &ResourceAttrs, now: Timestamp) -> Vec<String> {
        let p = self.picture.read();
        p.with_subjects(iam_id, |subjects| p.index.granted_roles(subjects, attrs, now))
    }

    /// Whether `iam_id` may do anything at all on or inside what `attrs` describes.
    pub fn reaches(&self, iam_id: &str, attrs: &ResourceAttrs, now: Timestamp) -> bool {
        let p = self.picture.read();
        p.with_subjects(iam_id, |subjects| p.index.reaches(subjects, attrs, now))
    }
}

impl Picture {
    fn with_subjects<T>(&self, iam_id: &str, f: impl FnOnce(&[&str]) -> T) -> T {
        let mut subjects: Vec<&str> = vec![iam_id];
        if let Some(groups) = self.groups.get(iam_id) {
            subjects.extend(groups.iter().map(String::as_str));
        }
        if self.public {
            subjects.push(PUBLIC_GROUP);
        }
        f(&subjects)
    }
}

/// A service acting as itself (`crn-<CRN>`): authorizations decide, not access policies.
fn service_source(iam_id: &str) -> Option<ResourceAttrs> {
    let crn = avouch_wire::crn::Crn::parse(iam_id.strip_prefix("crn-")?).ok()?;
    ResourceAttrs::from_crn(&crn)
}

/// A decision handle over one account for many synchronous questions (list filters).
#[derive(Clone)]
pub struct Filter {
    pub(crate) account: Arc<Account>,
    pub(crate) iam_id: IamId,
    pub(crate) now: Timestamp,
    /// The account lets identities of the caller's account do nothing.
    pub(crate) shut_out: bool,
}

impl Filter {
    /// Whether the caller may do anything at all on or inside what `attrs` describes.
    pub fn reaches(&self, attrs: &ResourceAttrs) -> bool {
        !self.shut_out && self.account.reaches(self.iam_id.as_str(), attrs, self.now)
    }

    /// Whether the caller may do `action` on `attrs`.
    pub fn permits(&self, action: &str, attrs: &ResourceAttrs) -> bool {
        !self.shut_out && self.account.decide(self.iam_id.as_str(), action, attrs, self.now).permitted
    }
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Filter({})", self.iam_id)
    }
}

/// The answer of an identity that no longer lives.
pub(crate) fn dead_identity() -> Error {
    Error::new(crate::error::Kind::Unauthenticated, "The provided token is invalid.").reason("dead_identity")
}
