//! The first start: one account, its owner with visible policies, a default resource group, an API key shown once.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use avouch_crypto::rng;
use avouch_crypto::secret::SecretString;
use avouch_gate::audit::{self, Event, EventTarget, Initiator};
use avouch_gate::{App, Error, Result};
use avouch_platform::accounts::Account;
use avouch_platform::users::User;
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

    /// Writes `bootstrap.env` (mode 0600) into the data folder; an existing file is not overwritten.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, data: &Path) -> std::io::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let mut file = options.open(data.join("bootstrap.env"))?;
        file.write_all(self.env().as_bytes())?;
        file.sync_all()
    }
}

/// Makes the first account unless there is one. Two replicas that start together make one between them.
///
/// # Errors
/// Those of the store.
pub async fn ensure(app: &Arc<App>) -> Result<Option<Bootstrap>> {
    let exists =
        app.store.read(|tx| Ok::<_, Error>(!avouch_platform::accounts::sql::all(tx)?.is_empty())).await?;
    if exists {
        return Ok(None);
    }
    let api_key = rng::token_urlsafe(app.rng.as_ref(), 33);
    let owner = format!("IBMid-{}", rng::hex(app.rng.as_ref(), 5).to_uppercase());
    let made = create_account(app, ("Avouch", true), &owner, "owner@avouch.test", &api_key).await;
    match made {
        Ok((account, iam_id, resource_group)) => Ok(Some(Bootstrap {
            url: app.config.origin(),
            account,
            iam_id,
            api_key,
            region: app.config.region.clone(),
            resource_group,
        })),
        // Another replica was faster.
        Err(e) if e.kind() == avouch_gate::Kind::Conflict => Ok(None),
        Err(e) => Err(e),
    }
}

/// Makes an account with its owner, the owner's policies, a default resource group and an API key, in one transaction.
/// `operator`: the owner runs this deployment too.
///
/// # Errors
/// `Conflict` when the first account is being made by somebody else.
pub async fn create_account(
    app: &Arc<App>,
    (name, operator): (&str, bool),
    owner: &str,
    email: &str,
    api_key: &SecretString,
) -> Result<(AccountId, IamId, String)> {
    let now = app.clock.now();
    let account = AccountId::parse(&rng::hex(app.rng.as_ref(), 16)).map_err(Error::internal)?;
    let iam_id = IamId::parse(owner).map_err(Error::internal)?;
    let group = rng::hex(app.rng.as_ref(), 16);
    let key_id = ApiKeyId::from_uuid(rng::uuid_v4(app.rng.as_ref()));
    let policies: Vec<_> = (0..3).map(|_| rng::uuid_v4(app.rng.as_ref())).collect();
    let tags: Vec<String> = (0..4).map(|_| avouch_gate::etag::tag(1, app.rng.as_ref())).collect();
    let event = started(app, &account, &iam_id);
    let value = avouch_iam::api_keys::digest_of(api_key);
    let (name, email) = (name.to_owned(), email.to_owned());
    let (a, i, g) = (account.clone(), iam_id.clone(), group.clone());
    app.store
        .write(move |tx| {
            // Whoever owns the first account runs this deployment; owners of further accounts run nothing but theirs.
            if operator && !avouch_platform::accounts::sql::all(tx)?.is_empty() {
                return Err(Error::new(avouch_gate::Kind::Conflict, "The first account exists already."));
            }
            let owned = if operator { policies.len() } else { policies.len().saturating_sub(1) };
            avouch_platform::accounts::sql::insert(
                tx,
                &Account {
                    id: a.clone(),
                    name: name.clone(),
                    owner: i.clone(),
                    state: "ACTIVE".into(),
                    created_at: now,
                },
            )?;
            avouch_platform::users::sql::insert(
                tx,
                &User {
                    account: a.clone(),
                    iam_id: i.clone(),
                    email: email.clone(),
                    first_name: "Account".into(),
                    last_name: "Owner".into(),
                    state: "ACTIVE".into(),
                    created_at: now,
                },
            )?;
            avouch_platform::resource_groups::create_default(tx, &a, &g, now)?;
            avouch_iam::api_keys::create_bootstrap(
                tx,
                (&a, &i),
                &key_id,
                &value,
                tags.first().map_or("1-0", |t| t),
                now,
            )?;
            avouch_iam::policies::create_owner(
                tx,
                &a,
                &i,
                policies.get(..owned).unwrap_or_default(),
                &tags,
                now,
            )?;
            audit::sql::insert(tx, &event)
        })
        .await?;
    Ok((account, iam_id, group))
}

fn started(app: &App, account: &AccountId, owner: &IamId) -> Event {
    Event {
        id: rng::uuid_v4(app.rng.as_ref()).to_string(),
        account: account.as_str().to_owned(),
        time: app.clock.now(),
        action: "avouch.account.create".into(),
        status: 201,
        locked: false,
        warning: None,
        initiator: Initiator {
            id: "avouch-bootstrap".into(),
            name: "Avouch".into(),
            type_uri: "service/security/clientid".into(),
            credential: "token".into(),
            ..Initiator::default()
        },
        target: EventTarget {
            id: format!("crn:v1:{}:public:avouch:global:a/{account}:::", app.config.cname),
            name: owner.as_str().to_owned(),
            type_uri: "avouch/account".into(),
            resource_group: None,
        },
        failure: None,
        correlation_id: rng::uuid_v4(app.rng.as_ref()).simple().to_string(),
        log_source: audit::log_source("avouch", "global", account, ""),
        data_event: false,
        request: serde_json::Map::new(),
        response: serde_json::Map::new(),
        decision: serde_json::Map::new(),
        node: app.config.node.clone(),
        service_display: "Avouch".into(),
    }
}
