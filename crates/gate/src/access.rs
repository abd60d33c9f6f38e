//! Per-account pictures of policies, groups and roles, kept by revision, never by time.
//!
//! Before each decision the account's revision is compared; if it moved, the changed objects are read and applied in
//! place. So a request that starts after a change was answered is decided by the new state.

use std::collections::HashMap;
use std::sync::Arc;

use avouch_policy::access::{Decision, Index, Key, ResourceAttrs};
use avouch_policy::reason::Reason;
use avouch_store::Tx;
use avouch_wire::ids::{AccountId, IamId, IamKind};
use avouch_wire::time::Timestamp;
use parking_lot::{Mutex, RwLock};

use crate::app::App;
use crate::authn::Caller;
use crate::error::{Error, Result};
use crate::links::{AccessChange, ExternalAccess, ExternalState, IdentityState, InstanceInfo, Life};

/// After this many changes the whole account is read anew, so nobody asks what they were.
const INCREMENTAL: i64 = 10_000;
/// Changes that are kept of each account: a replica that lags behind further reads the account anew anyway.
const CHANGES_KEPT: i64 = INCREMENTAL;
/// So many more changes gather before they are forgotten, so that not each change costs a deletion; and so many are
/// forgotten in one transaction.
const CHANGES_SPARE: i64 = 1000;
/// Accounts of one round.
const ROUND: i64 = 100;
/// Kinds of changes that the decision depends on.
const ACCESS_KINDS: &[&str] = &["policy", "member", "role", "group-settings", "access-settings"];

/// The service of this deployment itself. What its owner grants in an account makes nobody operate the deployment but in
/// the account that does.
pub const OPERATOR_SERVICE: &str = "avouch";

/// The system value that names the account whose policies decide about [`OPERATOR_SERVICE`].
pub const OPERATING_ACCOUNT: &str = "operating_account";

/// The public group.
pub const PUBLIC_GROUP: &str = "AccessGroupId-PublicAccess";

struct Picture {
    rev: i64,
    index: Index,
    groups: HashMap<String, Vec<String>>,
    public: bool,
    /// The account operates this deployment.
    operating: bool,
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
            operating: false,
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

    /// Whether a token still counts: its identity lives and was not revoked, nor was who assumed a profile with it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn lives(self: &Arc<Self>, caller: &Caller) -> Result<bool> {
        let (account, issued, now) = (caller.account(), Some(caller.issued_at()), self.clock.now());
        if self.identity(account, caller.iam_id()).await?.life(issued, now) != Life::Lives {
            return Ok(false);
        }
        let behind = &caller.claims.authn.iam_id;
        match IamId::parse(behind) {
            Ok(behind) if behind != *caller.iam_id() && behind.kind() != IamKind::Crn => {
                Ok(!self.identity(account, &behind).await?.ended(issued, now))
            }
            _ => Ok(true),
        }
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
        while forget_some(app, &account, rev).await? {}
    }
    Ok(())
}

async fn forget_some(app: &App, account: &str, rev: i64) -> Result<bool> {
    let of = account.to_owned();
    let forgotten =
        app.store.write_for(account, move |tx| tx.forget_changes(&of, rev, CHANGES_SPARE)).await?;
    Ok(forgotten > 0)
}

struct Loaded {
    rev: i64,
    content: Content,
}

enum Content {
    Whole(Box<Picture>),
    Changed { changes: Vec<AccessChange>, identities: Vec<String>, instances: Vec<String> },
}

fn load(app: &App, tx: &mut Tx<'_>, account: &AccountId, have: i64) -> Result<Loaded> {
    let rev = tx.revision(account.as_str())?;
    let changed = match have {
        0.. if rev - have < INCREMENTAL => tx.changes_since(account.as_str(), have)?,
        _ => Vec::new(),
    };
    // Each revision has its change. Where one is missing it was forgotten, and what it changed is not known.
    if have >= 0 && i64::try_from(changed.len()).is_ok_and(|found| found == rev - have) {
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
        let mut changes = Vec::new();
        if !objects.is_empty() {
            app.links.access.load(tx, account, Some(&objects), &mut |change| changes.push(change))?;
        }
        return Ok(Loaded { rev, content: Content::Changed { changes, identities, instances } });
    }
    let mut picture = Box::new(Picture::empty());
    picture.operating =
        tx.system_value(OPERATING_ACCOUNT)?.is_some_and(|id| id == account.as_str().as_bytes());
    app.links.access.load(tx, account, None, &mut |change| picture.change(change))?;
    Ok(Loaded { rev, content: Content::Whole(picture) })
}

impl Account {
    fn apply(&self, loaded: Loaded) {
        let mut p = self.picture.write();
        if loaded.rev <= p.rev {
            return;
        }
        match loaded.content {
            Content::Whole(picture) => *p = *picture,
            Content::Changed { changes, identities, instances } => {
                changes.into_iter().for_each(|change| p.change(change));
                for id in identities {
                    p.identities.remove(&id);
                }
                for id in instances {
                    p.instances.remove(&id);
                }
            }
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

    /// Whether somebody may do something: the policies, and what the account lets identities of other accounts do.
    pub fn judge(&self, who: &Asker<'_>, action: &str, attrs: &ResourceAttrs, now: Timestamp) -> Verdict {
        let decision = self.decide(who.iam_id.as_str(), action, attrs, now);
        let external = self.external(who);
        Verdict { permitted: decision.permitted && external != ExternalState::Limited, decision, external }
    }

    /// [`Account::judge`], told as a tree.
    pub fn explain(&self, who: &Asker<'_>, action: &str, attrs: &ResourceAttrs, now: Timestamp) -> Reason {
        let mut tree = self.told(who.iam_id.as_str(), action, attrs, now);
        if who.home == Home::Own {
            return tree;
        }
        let let_in = self.external(who) != ExternalState::Limited;
        let mut check =
            Reason::check("external_access", let_in).on("account").wanted("an account that is let in");
        check = match who.home {
            Home::Other(home) => check.found(home.as_str()),
            _ => check.found("an identity that does not live in this one"),
        };
        if !let_in {
            check = check
                .detail("the account lets identities of other accounts do nothing, whatever policies say");
        }
        tree.result &= let_in;
        tree.children.insert(0, check);
        tree
    }

    /// What the account lets an identity of another account do, beyond what policies say.
    pub fn external(&self, who: &Asker<'_>) -> ExternalState {
        let home = match who.home {
            Home::Own => return ExternalState::Enabled,
            Home::Other(home) => Some(home),
            Home::Unknown => None,
        };
        self.picture.read().external.state(who.iam_id, home)
    }

    /// What the policies say; the subjects are the IAM id, its groups and the public group.
    pub(crate) fn decide(
        &self,
        iam_id: &str,
        action: &str,
        attrs: &ResourceAttrs,
        now: Timestamp,
    ) -> Decision {
        let p = self.picture.read();
        if !p.decides(attrs) {
            return Decision::default();
        }
        if let Some(source) = service_source(iam_id) {
            return p.index.decide_service(&source, action, attrs, now);
        }
        p.with_subjects(iam_id, |subjects| p.index.decide(subjects, action, attrs, now))
    }

    fn told(&self, iam_id: &str, action: &str, attrs: &ResourceAttrs, now: Timestamp) -> Reason {
        let p = self.picture.read();
        let mut tree = match service_source(iam_id) {
            Some(source) => p.index.explain_service(&source, action, attrs, now),
            None => p.with_subjects(iam_id, |subjects| p.index.explain(subjects, action, attrs, now)),
        };
        if !p.decides(attrs) {
            let check = Reason::check("operating_account", false).on("account");
            tree.result = false;
            tree.children.insert(0, check.detail("policies of another account operate this deployment"));
        }
        tree
    }

    /// Roles, as policies name them, that `iam_id` holds on the target.
    pub fn granted_roles(&self, iam_id: &str, attrs: &ResourceAttrs, now: Timestamp) -> Vec<String> {
        let p = self.picture.read();
        if !p.decides(attrs) {
            return Vec::new();
        }
        p.with_subjects(iam_id, |subjects| p.index.granted_roles(subjects, attrs, now))
    }

    /// Whether `iam_id` may do anything at all on or inside what `attrs` describes.
    pub fn reaches(&self, iam_id: &str, attrs: &ResourceAttrs, now: Timestamp) -> bool {
        let p = self.picture.read();
        p.decides(attrs) && p.with_subjects(iam_id, |subjects| p.index.reaches(subjects, attrs, now))
    }
}

impl Picture {
    /// Whether the account's policies decide about this at all.
    fn decides(&self, attrs: &ResourceAttrs) -> bool {
        self.operating || attrs.get(Key::SERVICE) != Some(OPERATOR_SERVICE)
    }

    fn change(&mut self, change: AccessChange) {
        match change {
            AccessChange::Policy { id, doc: Some(doc) } => self.index.upsert(&id, &doc),
            AccessChange::Policy { id, doc: None } => self.index.remove(&id),
            AccessChange::Member { iam_id, groups } if groups.is_empty() => {
                self.groups.remove(&iam_id);
            }
            AccessChange::Member { iam_id, groups } => {
                self.groups.insert(iam_id, groups);
            }
            AccessChange::Role { crn, role: Some((service, actions)) } => {
                self.index.upsert_custom_role(&crn, &service, &actions);
            }
            AccessChange::Role { crn, role: None } => self.index.remove_custom_role(&crn),
            AccessChange::PublicAccess(on) => self.public = on,
            AccessChange::External(external) => self.external = external,
        }
    }

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

/// Which account somebody's tokens are of, as seen from the account that decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home<'a> {
    /// This one.
    Own,
    /// Another one.
    Other(&'a AccountId),
    /// Another one, nobody said which.
    Unknown,
}

impl<'a> Home<'a> {
    /// `home` as seen from `account`.
    pub fn seen_from(account: &AccountId, home: &'a AccountId) -> Self {
        if home == account { Home::Own } else { Home::Other(home) }
    }
}

/// Somebody who wants to do something in an account.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// Who.
    pub iam_id: &'a IamId,
    /// Where his tokens are from.
    pub home: Home<'a>,
}

/// What was decided, and by what.
#[derive(Debug)]
pub struct Verdict {
    /// Whether he may.
    pub permitted: bool,
    /// What the policies say.
    pub decision: Decision,
    /// What the account lets him do beyond them.
    pub external: ExternalState,
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
