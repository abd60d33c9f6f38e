//! `resource group…`.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::api::{Api, Call, segment};
use crate::failure::{Result, failed};
use crate::input::confirm;
use crate::output::{cell, printable};
use crate::select::{self, Several};
use crate::session::Session;

/// Commands on resource groups.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List resource groups
    Groups {
        /// Only the default group
        #[arg(long)]
        default: bool,
    },
    /// Show a resource group
    Group {
        #[arg(value_name = "NAME|ID")]
        group: String,
        /// Print the id only
        #[arg(long)]
        id: bool,
    },
    /// Create a resource group
    GroupCreate { name: String },
    /// Rename a resource group
    GroupUpdate {
        #[arg(value_name = "NAME|ID")]
        group: String,
        /// New name
        #[arg(short, long)]
        name: String,
    },
    /// Delete an empty resource group
    GroupDelete {
        #[arg(value_name = "NAME|ID")]
        group: String,
    },
}

/// Runs a command on resource groups.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::Groups { default } => {
            let api = s.api().await?;
            s.out.progress("Retrieving resource groups");
            let mut all = all(&api).await?;
            all.retain(|g| !default || g["default"] == true);
            s.out.list(&all, "No resource groups found.", &["Name", "ID", "Default Group", "State"], |g| {
                ["name", "id", "default", "state"].map(|k| cell(g, k)).to_vec()
            })
        }
        Command::Group { group, id } => {
            let api = s.api().await?;
            s.out.progress(format!("Retrieving resource group {group}"));
            let found = find(&api, &group).await?;
            if id && s.out.table() {
                return s.out.line(&cell(&found, "id"));
            }
            details(s, &found)
        }
        Command::GroupCreate { name } => {
            let api = s.api().await?;
            s.out.progress(format!("Creating resource group {name}"));
            let body = json!({"name": name, "account_id": api.account()?});
            let made = api.send(Call::post("/v2/resource_groups").json(body)).await?.body;
            // The answer has id and CRN only.
            let whole = api.send(Call::get(path(&made))).await.map_or(made, |reply| reply.body);
            details(s, &whole)
        }
        Command::GroupUpdate { group, name } => {
            let api = s.api().await?;
            s.out.progress(format!("Updating resource group {group}"));
            let found = find(&api, &group).await?;
            let changed = api.send(Call::patch(path(&found)).json(json!({"name": name}))).await?.body;
            details(s, &changed)
        }
        Command::GroupDelete { group } => {
            confirm(s.force, &format!("Really delete resource group '{group}'?"))?;
            let api = s.api().await?;
            s.out.progress(format!("Deleting resource group {group}"));
            let found = find(&api, &group).await?;
            api.send(Call::delete(path(&found))).await?;
            s.out.ok();
            Ok(())
        }
    }
}

fn path(group: &Value) -> String {
    format!("/v2/resource_groups/{}", segment(&cell(group, "id")))
}

/// All groups of the account.
pub async fn all(api: &Api) -> Result<Vec<Value>> {
    api.list(Call::get("/v2/resource_groups").query("account_id", api.account()?), "resources").await
}

/// A group by id or name. Names are unique whatever their case: published scripts write `default` for `Default`.
pub async fn find(api: &Api, wanted: &str) -> Result<Value> {
    let all = all(api).await?;
    let mut found = select::named(&all, "id", wanted, false);
    if found.is_empty() {
        found = select::named(&all, "name", wanted, true);
    }
    if found.is_empty() && all.is_empty() {
        return Err(failed(format!(
            "Resource group '{}' was not found: you may not see any resource group. Go on without -g, or ask whoever \
             administers the account for a policy with role Viewer on it (--resource-type resource-group --resource ID).",
            printable(wanted)
        )));
    }
    select::one(api, "resource group", wanted, found, Several::Fail)
}

/// The account's default group.
pub async fn default(api: &Api) -> Result<Value> {
    let found = all(api).await?.into_iter().filter(|g| g["default"] == true).collect();
    select::one(api, "resource group", "Default", found, Several::Fail)
}

fn details(s: &Session, group: &Value) -> Result<()> {
    let rows = [
        ("Name", cell(group, "name")),
        ("Account ID", cell(group, "account_id")),
        ("ID", cell(group, "id")),
        ("CRN", cell(group, "crn")),
        ("Default Resource Group", cell(group, "default")),
        ("State", cell(group, "state")),
    ];
    s.out.object(group, &rows)
}
