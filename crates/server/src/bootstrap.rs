//! The first start: one account, its owner with visible policies, a default resource group, an API key shown once.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use avouch_crypto::rng;
use avouch_crypto::secret::SecretString;
use avouch_gate::access::OPERATING_ACCOUNT;
use avouch_gate::audit::unasked::Unasked;
use avouch_gate::audit::{self, Event, EventTarget, Initiator};
use avouch_gate::{App, Error, Result};
use avouch_platform::accounts::Account;
use avouch_platform::users::User;
use avouch_store::Tx;
use avouch_wire::ids::{AccountId, ApiKeyId, IamId};

/// What the first start made; the API key is known only then.
pub struct Bootstrap {
    /// Origin of the server.
    pub url: String,
    /// Account id.
    pub account: AccountId,
    /// Owner.
    pub iam_id: IamId,
    /// The owner's API key.
    pub api_key: SecretString,
    /// Region.
    pub region: String,
    /// Id of the default resource group.
    pub resource_group: String,
}

impl std::fmt::Debug for Bootstrap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bootstrap({})", self.account)
    }
}

impl Bootstrap {
    /// Fresh ids and a fresh key for an account to be made.
    ///
    /// # Errors
    /// None that a working source of random values allows.
    pub fn draw(app: &App) -> Result<Self> {
        let rng = app.rng.as_ref();
        let owner = format!("IBMid-{}", rng::hex(rng, 5).to_uppercase());
        Ok(Self {
            url: app.config.origin(),
            account: AccountId::parse(&rng::hex(rng, 16)).map_err(Error::internal)?,
            iam_id: IamId::parse(&owner).map_err(Error::internal)?,
            api_key: rng::token_urlsafe(rng, 33),
            region: app.config.region.clone(),
            resource_group: rng::hex(rng, 16),
        })
    }

    /// The values as `NAME=value` lines, for a shell or the SDKs' credentials file.
    pub fn env(&self) -> String {
        format!(
            "AVOUCH_URL={}\nACCOUNT_ID={}\nIAM_ID={}\nIAM_APIKEY={}\nREGION={}\nRESOURCE_GROUP_ID={}\n",
            self.url,
            self.account,
            self.iam_id,
            self.api_key.expose(),
            self.region,
            self.resource_group
        )
    }
}

/// Name and description of an owner's first API key.
const FIRST_KEY: (&str, &str) = ("bootstrap", "Made at the first start");

/// Where the values of the first start are kept for the owner.
struct EnvFile {
    folder: PathBuf,
}

impl EnvFile {
    fn path(&self) -> PathBuf {
        self.folder.join("bootstrap.env")
    }

    /// What it is called until the account is committed.
    fn draft(&self) -> PathBuf {
        self.folder.join("bootstrap.env.new")
    }

    /// Makes the values durable before the account is: a process that dies in between must not take the only key of the
    /// account with it.
    fn prepare(&self, made: &Bootstrap) -> anyhow::Result<()> {
        if self.path().exists() {
            bail!("{} is of another deployment: move it away", self.path().display());
        }
        self.write_draft(&made.env())?;
        self.sync()
    }

    /// Gives the file its name. Does nothing if there is no draft, so a start after a crash may call it again.
    fn publish(&self, account_exists: impl Fn(&AccountId) -> bool) -> anyhow::Result<()> {
        let Ok(draft) = std::fs::read_to_string(self.draft()) else { return Ok(()) };
        let account = draft.lines().find_map(|l| l.strip_prefix("ACCOUNT_ID="));
        let ours = account.and_then(|id| AccountId::parse(id).ok()).is_some_and(|id| account_exists(&id));
        if ours && !self.path().exists() {
            std::fs::rename(self.draft(), self.path())?;
        } else {
            std::fs::remove_file(self.draft())?;
        }
        self.sync()
    }

    /// Writes the address that the server has now in place of the one that it had, if the file is of one of its accounts.
    /// Nothing else in it changes.
    fn readdress(&self, url: &str, account_exists: impl Fn(&AccountId) -> bool) -> anyhow::Result<()> {
        let Ok(text) = std::fs::read_to_string(self.path()) else { return Ok(()) };
        let value = |name: &str| text.lines().find_map(|l| l.strip_prefix(name));
        let account = value("ACCOUNT_ID=").and_then(|id| AccountId::parse(id).ok());
        let old = value("AVOUCH_URL=").filter(|old| *old != url);
        let (true, Some(old)) = (account.is_some_and(|id| account_exists(&id)), old) else { return Ok(()) };
        let fresh = text.replacen(&format!("AVOUCH_URL={old}\n"), &format!("AVOUCH_URL={url}\n"), 1);
        self.write_draft(&fresh)?;
        std::fs::rename(self.draft(), self.path())?;
        self.sync()
    }

    fn write_draft(&self, text: &str) -> anyhow::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create(true).truncate(true), 0o600);
        let mut file = options.open(self.draft())?;
        file.write_all(text.as_bytes())?;
        Ok(file.sync_all()?)
    }

    fn sync(&self) -> anyhow::Result<()> {
        Ok(std::fs::File::open(&self.folder)?.sync_all()?)
    }
}

/// Makes the first account unless there is one. Two replicas that start together make one between them. `folder`: where
/// `bootstrap.env` (mode 0600) is written, before the account counts.
///
/// # Errors
/// Those of the store and of the file system, as texts for the operator.
pub async fn ensure(app: &Arc<App>, folder: Option<&Path>) -> anyhow::Result<Option<Bootstrap>> {
    let file = folder.map(|folder| EnvFile { folder: folder.to_owned() });
    let publish = async |file: &EnvFile| {
        let known = app.store.read(avouch_platform::accounts::sql::all).await.map_err(told)?;
        file.publish(|id| known.iter().any(|a| a.id == *id)).context("cannot write bootstrap.env")
    };
    let known = app.store.read(avouch_platform::accounts::sql::all).await.map_err(told)?;
    if let Some(first) = known.first() {
        operating(app, first.id.clone()).await.map_err(told)?;
        if let Some(file) = &file {
            publish(file).await?;
            let url = app.config.origin();
            if let Err(e) = file.readdress(&url, |id| known.iter().any(|a| a.id == *id)) {
                tracing::warn!("the address in bootstrap.env is not the server's: it cannot be written: {e}");
            }
        }
        return Ok(None);
    }
    let made = Bootstrap::draw(app).map_err(told)?;
    if let Some(file) = &file {
        file.prepare(&made).context("cannot write bootstrap.env")?;
    }
    let created = create_account(app, ("Avouch", true), "owner@avouch.test", &made).await;
    if let Some(file) = &file {
        publish(file).await?;
    }
    match created {
        Ok(()) => Ok(Some(made)),
        // Another replica was faster.
        Err(e) if e.kind() == avouch_gate::Kind::Conflict => Ok(None),
        Err(e) => Err(told(e)),
    }
}

/// Stores of versions that kept no such value are operated by their oldest account.
async fn operating(app: &Arc<App>, oldest: AccountId) -> Result<()> {
    if app.store.read::<_, Error, _>(|tx| Ok(tx.system_value(OPERATING_ACCOUNT)?)).await?.is_some() {
        return Ok(());
    }
    app.store
        .write(move |tx| match tx.system_value(OPERATING_ACCOUNT)? {
            Some(_) => Ok(()),
            None => Ok::<_, Error>(tx.set_system_value(OPERATING_ACCOUNT, oldest.as_str().as_bytes())?),
        })
        .await
}

/// An error as a text for the operator.
pub fn told(e: Error) -> anyhow::Error {
    anyhow::anyhow!("{}", e.cause_text().unwrap_or(e.message()))
}

/// An account to be made: its owner, the owner's policies, a default resource group and an API key, all drawn before the
/// transaction.
pub struct Founding {
    account: Account,
    owner: User,
    group: String,
    key: (ApiKeyId, String),
    policies: Vec<uuid::Uuid>,
    tags: Vec<String>,
    /// The owner runs this deployment too.
    operator: bool,
    event: Event,
}

impl Founding {
    /// `operator`: the owner runs this deployment too.
    pub fn new(app: &App, (name, operator): (&str, bool), email: &str, made: &Bootstrap) -> Self {
        let now = app.clock.now();
        let rng = app.rng.as_ref();
        Self {
            account: Account {
                id: made.account.clone(),
                name: name.to_owned(),
                owner: made.iam_id.clone(),
                state: "ACTIVE".into(),
                created_at: now,
            },
            owner: User {
                account: made.account.clone(),
                iam_id: made.iam_id.clone(),
                email: email.to_owned(),
                first_name: "Account".into(),
                last_name: "Owner".into(),
                state: "ACTIVE".into(),
                made_here: true,
                created_at: now,
            },
            group: made.resource_group.clone(),
            key: (ApiKeyId::from_uuid(rng::uuid_v4(rng)), avouch_iam::api_keys::digest_of(&made.api_key)),
            // The last one is the operator's.
            policies: (0..if operator { 3 } else { 2 }).map(|_| rng::uuid_v4(rng)).collect(),
            tags: (0..4).map(|_| avouch_gate::etag::tag(1, rng)).collect(),
            operator,
            event: started(app, &made.account, &made.iam_id),
        }
    }

    /// The account as it will be.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Writes all of it, with an event in the trail of the new account.
    ///
    /// # Errors
    /// `Conflict` when the first account is being made by somebody else.
    pub fn write(&self, tx: &mut Tx<'_>) -> Result<()> {
        let (id, owner, now) = (&self.account.id, &self.owner.iam_id, self.account.created_at);
        if self.operator {
            // Whoever owns the first account runs this deployment; owners of further accounts run nothing but theirs.
            if !avouch_platform::accounts::sql::all(tx)?.is_empty() {
                return Err(Error::new(avouch_gate::Kind::Conflict, "The first account exists already."));
            }
            tx.set_system_value(OPERATING_ACCOUNT, id.as_str().as_bytes())?;
        }
        avouch_platform::accounts::sql::insert(tx, &self.account)?;
        avouch_platform::users::sql::insert(tx, &self.owner)?;
        avouch_platform::resource_groups::create_default(tx, id, &self.group, now)?;
        let tag = self.tags.first().map_or("1-0", |t| t);
        avouch_iam::api_keys::create_for_owner(
            tx,
            (id, owner),
            FIRST_KEY,
            (&self.key.0, &self.key.1, tag),
            now,
        )?;
        avouch_iam::policies::create_owner(tx, id, owner, &self.policies, &self.tags, now)?;
        audit::sql::insert(tx, &self.event)
    }
}

/// Makes an account in a transaction of its own.
///
/// # Errors
/// As [`Founding::write`].
pub async fn create_account(
    app: &Arc<App>,
    named: (&str, bool),
    email: &str,
    made: &Bootstrap,
) -> Result<()> {
    let founding = Founding::new(app, named, email, made);
    app.store.write(move |tx| founding.write(tx)).await
}

fn started(app: &App, account: &AccountId, owner: &IamId) -> Event {
    let target = EventTarget {
        id: format!("crn:v1:{}:public:avouch:global:a/{account}:::", app.config.cname),
        name: owner.as_str().to_owned(),
        type_uri: "avouch/account".into(),
        resource_group: None,
    };
    by_the_server(app, account, &audit::unasked::FIRST_ACCOUNT, target)
}

/// An event of what the server does by itself before it answers anybody.
pub fn by_the_server(app: &App, account: &AccountId, what: &Unasked, target: EventTarget) -> Event {
    let service = what.action().split('.').next().unwrap_or_default();
    Event {
        id: rng::uuid_v4(app.rng.as_ref()).to_string(),
        account: account.as_str().to_owned(),
        time: app.clock.now(),
        action: what.action().into(),
        status: 201,
        locked: false,
        warning: None,
        initiator: Initiator {
            id: format!("avouch-{}", what.by()),
            name: "Avouch".into(),
            type_uri: "service/security/clientid".into(),
            credential: "token".into(),
            ..Initiator::default()
        },
        target,
        failure: None,
        correlation_id: rng::uuid_v4(app.rng.as_ref()).simple().to_string(),
        log_source: audit::log_source(service, "global", account, ""),
        data_event: false,
        request: serde_json::Map::new(),
        response: serde_json::Map::new(),
        decision: serde_json::Map::new(),
        node: app.config.node.clone(),
        service_display: "Avouch".into(),
    }
}
