//! `iam api-key…` (keys of the caller) and `iam service-api-key…` (keys of a service ID). A key's value is shown or
//! written to a file once, when it is made.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::{put, service_ids};
use crate::api::{Api, Call, segment};
use crate::core::account;
use crate::failure::{Result, failed, usage};
use crate::input::{confirm, word};
use crate::output::cell;
use crate::select::{self, Several};
use crate::session::Session;
use crate::unbroken::{Unbroken, fill, reserve};

/// Commands on API keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List one's own API keys
    ApiKeys {
        /// Print ids only
        #[arg(long)]
        uuid: bool,
    },
    /// Show one of one's own API keys
    ApiKey(Own),
    /// Create an API key for oneself, or the first one of a user who was added
    ApiKeyCreate {
        name: String,
        /// Make the first key of this user (e-mail or IAM id), who holds nothing yet
        #[arg(long, value_name = "USER")]
        user: Option<String>,
        #[command(flatten)]
        new: New,
    },
    /// Change one of one's own API keys
    ApiKeyUpdate {
        #[command(flatten)]
        key: Own,
        #[command(flatten)]
        change: Change,
    },
    /// Delete one of one's own API keys
    ApiKeyDelete(Own),
    /// Keep an API key from being changed
    ApiKeyLock(Own),
    /// Let an API key be changed again
    ApiKeyUnlock(Own),
    /// Let nobody log in with an API key
    ApiKeyDisable(Own),
    /// Let an API key log in again
    ApiKeyEnable(Own),
    /// List the API keys of a service ID
    ServiceApiKeys {
        #[arg(value_name = "SERVICE_ID", required_unless_present = "all")]
        service_id: Option<String>,
        /// Those of all service IDs
        #[arg(short, long, conflicts_with = "service_id")]
        all: bool,
        /// Print ids only
        #[arg(long)]
        uuid: bool,
    },
    /// Show an API key of a service ID
    ServiceApiKey(Foreign),
    /// Create an API key for a service ID
    ServiceApiKeyCreate {
        name: String,
        #[arg(value_name = "SERVICE_ID")]
        service_id: String,
        #[command(flatten)]
        new: New,
    },
    /// Change an API key of a service ID
    ServiceApiKeyUpdate {
        #[command(flatten)]
        key: Foreign,
        #[command(flatten)]
        change: Change,
    },
    /// Delete an API key of a service ID
    ServiceApiKeyDelete(Foreign),
    /// Keep an API key of a service ID from being changed
    ServiceApiKeyLock(Foreign),
    /// Let an API key of a service ID be changed again
    ServiceApiKeyUnlock(Foreign),
    /// Let nobody log in with an API key of a service ID
    ServiceApiKeyDisable(Foreign),
    /// Let an API key of a service ID log in again
    ServiceApiKeyEnable(Foreign),
}

#[derive(Debug, Args)]
pub struct Own {
    #[arg(value_name = "KEY_NAME|KEY_ID")]
    key: String,
}

#[derive(Debug, Args)]
pub struct Foreign {
    #[arg(value_name = "KEY_NAME|KEY_ID")]
    key: String,
    #[arg(value_name = "SERVICE_ID")]
    service_id: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "UPPER")]
enum Leaked {
    /// Leave it
    None,
    /// Disable the key
    Disable,
    /// Delete the key
    Delete,
}

impl Leaked {
    fn as_str(self) -> &'static str {
        match self {
            Leaked::None => "none",
            Leaked::Disable => "disable",
            Leaked::Delete => "delete",
        }
    }
}

#[derive(Debug, Args)]
pub struct New {
    /// Text about it
    #[arg(short, long)]
    description: Option<String>,
    /// Write the key to this file (JSON, readable by the owner only) instead of showing it
    #[arg(long, value_name = "FILE")]
    file: Option<String>,
    /// Lock it at once
    #[arg(long)]
    lock: bool,
    /// What happens when the key is found in public
    #[arg(long, value_enum, ignore_case = true, default_value = "DISABLE")]
    action_if_leaked: Leaked,
    /// When the key ends (yyyy-MM-ddTHH:mm+0000)
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// A value of one's own choice: text or @file
    #[arg(long, value_name = "VALUE|@FILE", allow_hyphen_values = true)]
    api_key_value: Option<String>,
}

#[derive(Debug, Args)]
pub struct Change {
    /// New name
    #[arg(short, long)]
    name: Option<String>,
    /// Text about it
    #[arg(short, long)]
    description: Option<String>,
    /// What happens when the key is found in public
    #[arg(long, value_enum, ignore_case = true)]
    action_if_leaked: Option<Leaked>,
    /// When the key ends (yyyy-MM-ddTHH:mm+0000)
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
}

/// Whose key.
enum Owner {
    Caller,
    User(String),
    ServiceId(String),
}

/// What is done to a key.
#[derive(Clone, Copy)]
enum Act {
    Delete,
    Lock,
    Unlock,
    Disable,
    Enable,
}

impl From<Own> for (String, Owner) {
    fn from(own: Own) -> Self {
        (own.key, Owner::Caller)
    }
}

impl From<Foreign> for (String, Owner) {
    fn from(foreign: Foreign) -> Self {
        (foreign.key, Owner::ServiceId(foreign.service_id))
    }
}

/// Runs a command on API keys.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::ApiKeys { uuid } => list(s, Some(Owner::Caller), uuid).await,
        Command::ServiceApiKeys { service_id, uuid, .. } => {
            list(s, service_id.map(Owner::ServiceId), uuid).await
        }
        Command::ApiKey(key) => show(s, key.into()).await,
        Command::ServiceApiKey(key) => show(s, key.into()).await,
        Command::ApiKeyCreate { name, user, new } => {
            create(s, name, user.map_or(Owner::Caller, Owner::User), new).await
        }
        Command::ServiceApiKeyCreate { name, service_id, new } => {
            create(s, name, Owner::ServiceId(service_id), new).await
        }
        Command::ApiKeyUpdate { key, change } => update(s, key.into(), change).await,
        Command::ServiceApiKeyUpdate { key, change } => update(s, key.into(), change).await,
        Command::ApiKeyDelete(key) => act(s, key.into(), Act::Delete).await,
        Command::ServiceApiKeyDelete(key) => act(s, key.into(), Act::Delete).await,
        Command::ApiKeyLock(key) => act(s, key.into(), Act::Lock).await,
        Command::ServiceApiKeyLock(key) => act(s, key.into(), Act::Lock).await,
        Command::ApiKeyUnlock(key) => act(s, key.into(), Act::Unlock).await,
        Command::ServiceApiKeyUnlock(key) => act(s, key.into(), Act::Unlock).await,
        Command::ApiKeyDisable(key) => act(s, key.into(), Act::Disable).await,
        Command::ServiceApiKeyDisable(key) => act(s, key.into(), Act::Disable).await,
        Command::ApiKeyEnable(key) => act(s, key.into(), Act::Enable).await,
        Command::ServiceApiKeyEnable(key) => act(s, key.into(), Act::Enable).await,
    }
}

async fn iam_id(api: &Api, owner: &Owner, several: Several) -> Result<String> {
    match owner {
        Owner::Caller => Ok(api.claims.iam_id.clone()),
        Owner::User(wanted) => account::user_iam_id(api, wanted).await,
        Owner::ServiceId(wanted) => Ok(cell(&service_ids::find(api, wanted, several).await?, "iam_id")),
    }
}

async fn keys(api: &Api, iam_id: &str) -> Result<Vec<Value>> {
    let call = Call::get("/v1/apikeys").query("account_id", api.account()?).query("iam_id", iam_id);
    api.list(call.query("pagesize", "100"), "apikeys").await
}

async fn find(api: &Api, wanted: &str, owner: &Owner, several: Several) -> Result<Value> {
    pick(api, wanted, &keys(api, &iam_id(api, owner, several).await?).await?, several)
}

/// True when the owner has a key beside this one that can be used.
fn others_work(all: &[Value], key: &Value) -> bool {
    all.iter().any(|k| k["id"] != key["id"] && k["disabled"] != true)
}

fn pick(api: &Api, wanted: &str, all: &[Value], several: Several) -> Result<Value> {
    let field = if select::prefixed(wanted, "ApiKey-") { "id" } else { "name" };
    select::one(api, "API key", wanted, select::named(all, field, wanted, false), several)
}

async fn list(s: &mut Session, owner: Option<Owner>, uuid: bool) -> Result<()> {
    let api = s.api().await?;
    s.out.progress("Listing API keys");
    let all = match owner {
        Some(owner) => keys(&api, &iam_id(&api, &owner, Several::unless(s.force)).await?).await?,
        None => {
            let call = Call::get("/v1/apikeys").query("account_id", api.account()?).query("scope", "account");
            api.list(call.query("type", "serviceid").query("pagesize", "100"), "apikeys").await?
        }
    };
    if uuid && s.out.table() {
        return all.iter().try_for_each(|k| s.out.line(&cell(k, "id")));
    }
    s.out.list(&all, "No API keys found.", &["Name", "Description", "Created At", "ID", "State"], |k| {
        let mut row = ["name", "description", "created_at", "id"].map(|f| cell(k, f)).to_vec();
        row.push(state(k));
        row
    })
}

fn state(key: &Value) -> String {
    let words = [("locked", key["locked"] == true), ("disabled", key["disabled"] == true)];
    let words: Vec<&str> = words.iter().filter(|(_, on)| *on).map(|(w, _)| *w).collect();
    if words.is_empty() { "active".into() } else { words.join(", ") }
}

async fn show(s: &mut Session, (name, owner): (String, Owner)) -> Result<()> {
    let api = s.api().await?;
    s.out.progress(format!("Getting API key {name}"));
    let key = find(&api, &name, &owner, Several::unless(s.force)).await?;
    details(s, &key, String::new())
}

fn details(s: &Session, key: &Value, value: String) -> Result<()> {
    s.out.object(key, &rows(key, value))
}

fn rows(key: &Value, value: String) -> [(&'static str, String); 9] {
    [
        ("ID", cell(key, "id")),
        ("Name", cell(key, "name")),
        ("Description", cell(key, "description")),
        ("Owner", cell(key, "iam_id")),
        ("API Key", value),
        ("Action if leaked", cell(key, "action_when_leaked")),
        ("State", state(key)),
        ("Created At", cell(key, "created_at")),
        ("Expires At", cell(key, "expires_at")),
    ]
}

/// Deletes a key whose value nobody will ever know; says what became of it.
async fn undone(api: &Api, key: &Value) -> String {
    match api.send(Call::delete(path(key))).await {
        Ok(_) => "The key was deleted again.".to_owned(),
        Err(_) => format!("API key {} was created and its value is lost: delete it.", cell(key, "id")),
    }
}

async fn create(s: &mut Session, name: String, owner: Owner, new: New) -> Result<()> {
    let api = s.api().await?;
    s.out.progress(format!("Creating API key {name}"));
    let mut body = Map::new();
    body.insert("name".into(), json!(name));
    body.insert("iam_id".into(), json!(iam_id(&api, &owner, Several::unless(s.force)).await?));
    body.insert("account_id".into(), json!(api.account()?));
    body.insert("action_when_leaked".into(), json!(new.action_if_leaked.as_str()));
    put(&mut body, "description", new.description);
    put(&mut body, "expires_at", new.expires_at);
    if let Some(value) = &new.api_key_value {
        body.insert("apikey".into(), json!(word(value)?));
    }
    let mut call = Call::post("/v1/apikeys").json(body.into());
    if new.lock {
        call = call.header("entity-lock", "true");
    }
    let mut unbroken = Unbroken::begin()?;
    let place = match &new.file {
        Some(file) => Some((file, reserve(file, s.force)?)),
        None => None,
    };
    let key = unbroken.run(api.send(call)).await?.body;
    if cell(&key, "apikey").is_empty() {
        return Err(failed("The server answered without an API key."));
    }
    let kept = if unbroken.broken() {
        Err(failed("Interrupted."))
    } else if let Some((file, place)) = place {
        let content = json!({"name": key["name"], "description": cell(&key, "description"),
            "createdAt": key["created_at"], "apikey": key["apikey"]});
        fill(place, file, &content)
    } else {
        s.out.note("The API key is shown this once and cannot be read again.");
        s.out.once(&key, &rows(&key, cell(&key, "apikey")))
    };
    if let Err(e) = kept {
        return Err(failed(format!("{} {}", e.text(), unbroken.run(undone(&api, &key)).await)));
    }
    let Some(file) = &new.file else { return Ok(()) };
    s.out.note(format!("The API key is in {file}."));
    let mut shown = key;
    if let Some(fields) = shown.as_object_mut() {
        fields.remove("apikey");
    }
    details(s, &shown, format!("in {file}"))
}

async fn update(s: &mut Session, (name, owner): (String, Owner), change: Change) -> Result<()> {
    let mut body = Map::new();
    put(&mut body, "name", change.name);
    put(&mut body, "description", change.description);
    put(&mut body, "action_when_leaked", change.action_if_leaked.map(Leaked::as_str));
    put(&mut body, "expires_at", change.expires_at);
    if body.is_empty() {
        return Err(usage("Nothing to change."));
    }
    let api = s.api().await?;
    s.out.progress(format!("Updating API key {name}"));
    let key = find(&api, &name, &owner, Several::unless(s.force)).await?;
    let call = Call::put(path(&key)).if_match(&cell(&key, "entity_tag")).json(body.into());
    let changed = api.send(call).await?.body;
    details(s, &changed, String::new())
}

fn path(key: &Value) -> String {
    format!("/v1/apikeys/{}", segment(&cell(key, "id")))
}

async fn act(s: &mut Session, (name, owner): (String, Owner), act: Act) -> Result<()> {
    let (verb, doing) = match act {
        Act::Delete => ("delete", "Deleting"),
        Act::Lock => ("lock", "Locking"),
        Act::Unlock => ("unlock", "Unlocking"),
        Act::Disable => ("disable", "Disabling"),
        Act::Enable => ("enable", "Enabling"),
    };
    let api = s.api().await?;
    let several = Several::unless(s.force);
    let all = keys(&api, &iam_id(&api, &owner, several).await?).await?;
    let key = pick(&api, &name, &all, several)?;
    if matches!((act, &owner), (Act::Delete | Act::Disable, Owner::Caller)) && !others_work(&all, &key) {
        s.out.note("WARNING: this is the last API key that its owner can log in with.");
    }
    confirm(s.force, &format!("Really {verb} API key '{name}'?"))?;
    s.out.progress(format!("{doing} API key {name}"));
    let path = path(&key);
    let call = match act {
        Act::Delete => Call::delete(path),
        Act::Lock => Call::post(format!("{path}/lock")),
        Act::Unlock => Call::delete(format!("{path}/lock")),
        Act::Disable => Call::post(format!("{path}/disable")),
        Act::Enable => Call::delete(format!("{path}/disable")),
    };
    api.send(call).await?;
    s.out.ok();
    Ok(())
}
