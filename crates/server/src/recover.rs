//! A new API key for an account's owner who has none left: for whoever has the files of the server, who could read all of
//! it anyway. It leaves an event like everything else.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use avouch_crypto::rng;
use avouch_gate::access::OPERATING_ACCOUNT;
use avouch_gate::audit::{self, EventTarget, unasked};
use avouch_gate::config::Config;
use avouch_gate::{App, Error};
use avouch_platform::accounts::{self, Account};
use avouch_wire::ids::{AccountId, ApiKeyId};
use serde_json::json;

use crate::bootstrap::{by_the_server, told};
use crate::{Options, assemble};

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Whose owner; none: of the account that operates the deployment.
    pub account: Option<AccountId>,
    /// Write those of the owner's policies of the first start again that are gone.
    pub policies: bool,
    /// Where the key goes: a file that is not there yet.
    pub file: PathBuf,
}

/// Makes the key, and hands out the account with its owner.
///
/// # Errors
/// Texts for the operator; nothing was done then.
pub async fn owner_key(config: Config, data: PathBuf, wanted: Wanted) -> anyhow::Result<Account> {
    if config.store == "sqlite" && !data.join("avouch.db").exists() {
        bail!("{} holds no store", data.display());
    }
    let options = Options::new(config, data);
    let (options, store, keyring) = tokio::task::spawn_blocking(move || {
        let opened = assemble::open_store(&options);
        opened.map(|(store, keyring)| (options, store, keyring))
    })
    .await??;
    let closing = store.clone();
    let server = assemble::assemble(options, store, keyring).await?;
    let done = make_key(&server.app, wanted).await;
    closing.close().await;
    done
}

/// The same, on an open store.
///
/// # Errors
/// As [`owner_key`].
pub async fn make_key(app: &App, wanted: Wanted) -> anyhow::Result<Account> {
    let operating =
        app.store.read::<_, Error, _>(|tx| Ok(tx.system_value(OPERATING_ACCOUNT)?)).await.map_err(told)?;
    let operating = operating.and_then(|id| AccountId::parse(std::str::from_utf8(&id).ok()?).ok());
    let all = app.store.read(accounts::sql::all).await.map_err(told)?;
    let Some(id) = wanted.account.or_else(|| operating.clone()) else { bail!("there is no account yet") };
    let account = all.into_iter().find(|a| a.id == id).context("there is no such account")?;

    let source = app.rng.as_ref();
    let value = rng::token_urlsafe(source, 33);
    let key = (ApiKeyId::from_uuid(rng::uuid_v4(source)), avouch_iam::api_keys::digest_of(&value));
    let tag = avouch_gate::etag::tag(1, source);
    let count = if operating.as_ref() == Some(&account.id) { 3 } else { 2 };
    let policies: Vec<_> = (0..count).map(|_| rng::uuid_v4(source)).collect();
    let tags: Vec<String> = (0..count).map(|_| avouch_gate::etag::tag(1, source)).collect();
    let mut event = by_the_server(
        app,
        &account.id,
        &unasked::RECOVERED,
        EventTarget {
            id: format!(
                "crn:v1:{}:public:iam-identity::a/{}::apikey:{}",
                app.config.cname,
                account.id,
                key.0.as_str()
            ),
            name: NAME.into(),
            type_uri: "iam-identity/apikey".into(),
            resource_group: None,
        },
    );
    event.request.insert("iam_id".into(), json!(account.owner.as_str()));
    event.request.insert("policies".into(), json!(wanted.policies));

    // Durable before the key counts: it is known nowhere else.
    let text = json!({"name": NAME, "iam_id": account.owner.as_str(), "apikey": value.expose()}).to_string();
    write_private(&wanted.file, &text)
        .with_context(|| format!("{} cannot be written", wanted.file.display()))?;
    let (of, now) = (account.clone(), app.clock.now());
    let done = app
        .store
        .write(move |tx| {
            let owner = (&of.id, &of.owner);
            avouch_iam::api_keys::create_for_owner(tx, owner, (NAME, WHY), (&key.0, &key.1, &tag), now)?;
            if wanted.policies {
                avouch_iam::policies::create_owner(tx, &of.id, &of.owner, &policies, &tags, now)?;
            }
            audit::sql::insert(tx, &event)
        })
        .await;
    if let Err(e) = done {
        if e.is_unknown_outcome() {
            bail!("whether the key counts is not known: try the one in {}", wanted.file.display());
        }
        let _ = std::fs::remove_file(&wanted.file);
        return Err(told(e));
    }
    Ok(account)
}

const NAME: &str = "recovered";
const WHY: &str = "Made by 'avouch recover'";

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()
}
