//! `account`: the account of the session and its users.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::api::{Api, Call, segment};
use crate::failure::{Result, failed};
use crate::input::confirm;
use crate::output::cell;
use crate::select;
use crate::session::Session;
use crate::state::Named;
use crate::unbroken::{Unbroken, fill, reserve};

/// Commands of `account`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the targeted account
    Show,
    /// List the accounts of the caller
    List,
    /// Make an account (operator of the deployment); its owner's API key is shown once
    Create {
        /// Name
        name: String,
        /// E-mail address of the owner
        #[arg(long, value_name = "EMAIL")]
        owner_email: String,
        /// Write the owner's API key to this new file (JSON, readable by its owner only) instead of showing it
        #[arg(long, value_name = "FILE")]
        file: Option<String>,
    },
    /// List the users of the account
    Users,
    /// Add a user to the account
    UserAdd {
        /// E-mail address
        email: String,
        /// Given name
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        first_name: String,
        /// Family name
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        last_name: String,
    },
    /// Let a user of the account do nothing
    UserDisable {
        /// E-mail address or IAM id
        user: String,
    },
    /// Let a disabled user act again
    UserEnable {
        /// E-mail address or IAM id
        user: String,
    },
    /// Take a user out of the account, with the user's API keys, policies and sessions
    UserRemove {
        /// E-mail address or IAM id
        user: String,
        /// Do not ask
        #[arg(short, long)]
        force: bool,
    },
}

/// Runs a command of `account`.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    let api = s.api().await?;
    match command {
        Command::Show => {
            let id = api.account()?.to_owned();
            s.out.progress("Retrieving account");
            let all = accounts(&api).await?;
            let found = all.into_iter().filter(|a| a["id"] == id.as_str()).collect();
            let account = select::one(&api, "account", &id, found, select::Several::Fail)?;
            let rows = [
                ("Account Name", cell(&account, "name")),
                ("Account ID", cell(&account, "id")),
                ("Account Status", cell(&account, "state")),
                ("Account Owner", cell(&account, "owner_iam_id")),
                ("Created", cell(&account, "created_at")),
            ];
            s.out.object(&account, &rows)
        }
        Command::List => {
            s.out.progress("Retrieving accounts");
            let all = accounts(&api).await?;
            s.out.list(&all, "No accounts found.", &["Account ID", "Name", "State", "Owner"], |a| {
                ["id", "name", "state", "owner_iam_id"].map(|k| cell(a, k)).to_vec()
            })
        }
        Command::Create { name, owner_email, file } => create(s, &api, &name, &owner_email, file).await,
        Command::Users => {
            s.out.progress("Listing users of the account");
            let all = users(&api).await?;
            s.out.list(
                &all,
                "No users found.",
                &["User ID", "IAM ID", "State", "First Name", "Last Name"],
                |u| ["user_id", "iam_id", "state", "firstname", "lastname"].map(|k| cell(u, k)).to_vec(),
            )
        }
        Command::UserAdd { email, first_name, last_name } => {
            s.out.progress(format!("Adding user {email}"));
            let body = json!({
                "email": email, "account_id": api.account()?, "first_name": first_name, "last_name": last_name,
            });
            let user = api.send(Call::post("/avouch/v1/users").json(body)).await?.body;
            s.out.object(&user, &[("User ID", cell(&user, "user_id")), ("IAM ID", cell(&user, "iam_id"))])
        }
        Command::UserDisable { user } => state(s, &api, &user, "DISABLED_CLASSIC_INFRASTRUCTURE").await,
        Command::UserEnable { user } => state(s, &api, &user, "ACTIVE").await,
        Command::UserRemove { user, force } => {
            let path = user_path(&api, &user).await?;
            confirm(force, &format!("Really remove user '{user}' from the account?"))?;
            s.out.progress(format!("Removing user {user}"));
            api.send(Call::delete(path)).await?;
            s.out.ok();
            s.out.note(format!("User {user} is removed."));
            Ok(())
        }
    }
}

/// Makes an account. It cannot be taken back, so its key is kept even if somebody interrupts.
async fn create(s: &Session, api: &Api, name: &str, email: &str, file: Option<String>) -> Result<()> {
    s.out.progress(format!("Creating account {name}"));
    let mut unbroken = Unbroken::begin()?;
    let place = file.as_deref().map(|file| Ok((file, reserve(file, false)?))).transpose()?;
    let call = Call::post("/avouch/v1/accounts").json(json!({"name": name, "owner_email": email}));
    let mut made = unbroken.run(api.send(call)).await?.body;
    let rows = |made: &Value, key: String| {
        [
            ("Account ID", cell(made, "id")),
            ("Account Name", cell(made, "name")),
            ("Owner", cell(&made["owner"], "email")),
            ("Owner IAM ID", cell(&made["owner"], "iam_id")),
            ("API Key", key),
        ]
    };
    let key = cell(&made["owner"], "apikey");
    let kept = match place {
        Some((file, place)) => fill(place, file, &json!({"name": "owner", "apikey": key})),
        None => s.out.once(&made, &rows(&made, key)),
    };
    kept.map_err(|e| {
        let id = cell(&made, "id");
        failed(format!("{} Account {id} was made, and the API key of its owner is lost.", e.text()))
    })?;
    let Some(file) = file else { return Ok(()) };
    if let Some(owner) = made["owner"].as_object_mut() {
        owner.remove("apikey");
    }
    s.out.object(&made, &rows(&made, format!("in {file}")))
}

async fn state(s: &Session, api: &Api, user: &str, state: &str) -> Result<()> {
    let path = user_path(api, user).await?;
    s.out.progress(format!("Changing the state of user {user}"));
    api.send(Call::patch(path).json(json!({"state": state}))).await?;
    s.out.ok();
    s.out.note(format!("User {user} is {}.", if state == "ACTIVE" { "enabled" } else { "disabled" }));
    Ok(())
}

async fn user_path(api: &Api, user: &str) -> Result<String> {
    let iam_id = user_iam_id(api, user).await?;
    Ok(format!("/v2/accounts/{}/users/{}", segment(api.account()?), segment(&iam_id)))
}

async fn accounts(api: &Api) -> Result<Vec<Value>> {
    api.list(Call::get("/avouch/v1/accounts"), "accounts").await
}

/// The users of the session's account.
pub async fn users(api: &Api) -> Result<Vec<Value>> {
    let path = format!("/v2/accounts/{}/users", segment(api.account()?));
    api.list(Call::get(path).query("limit", "100"), "resources").await
}

/// The IAM id of a user, by e-mail or IAM id.
pub async fn user_iam_id(api: &Api, user: &str) -> Result<String> {
    if user.starts_with("IBMid-") {
        return Ok(user.to_owned());
    }
    let all = users(api).await?;
    let mut found = select::named(&all, "user_id", user, true);
    if found.is_empty() {
        found = select::named(&all, "email", user, true);
    }
    Ok(cell(&select::one(api, "user", user, found, select::Several::Ask)?, "iam_id"))
}

/// Account of the session; without a name if it may not be read.
pub async fn own(api: &Api) -> Named {
    let id = api.claims.account.clone();
    let all = accounts(api).await.unwrap_or_default();
    let name = all.iter().find(|a| a["id"] == id.as_str()).map(|a| cell(a, "name")).unwrap_or_default();
    Named { guid: id, name }
}

/// Id of an account, by id or name.
pub async fn find(api: &Api, wanted: &str) -> Result<String> {
    if avouch_wire::AccountId::parse(wanted).is_ok() {
        return Ok(wanted.to_owned());
    }
    let found = select::named(&accounts(api).await?, "name", wanted, false);
    Ok(cell(&select::one(api, "account", wanted, found, select::Several::Ask)?, "id"))
}
