//! `iam access-group…`: groups. Their members are in `access_group_members`.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{profiles, put, service_ids};
use crate::api::{Api, Call, segment};
use crate::core::account;
use crate::failure::{Failure, Result, failed, usage};
use crate::input::confirm;
use crate::output::cell;
use crate::select::{self, Several};
use crate::session::Session;

/// Commands on access groups.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List access groups
    AccessGroups(List),
    /// Show an access group
    AccessGroup {
        #[arg(value_name = "NAME|ID")]
        group: String,
        /// Print the id only
        #[arg(long)]
        id: bool,
    },
    /// Create an access group
    AccessGroupCreate {
        name: String,
        /// Text about it
        #[arg(short, long)]
        description: Option<String>,
    },
    /// Change an access group
    AccessGroupUpdate(Update),
    /// Delete an access group and its policies
    AccessGroupDelete(Delete),
}

#[derive(Debug, Args)]
pub struct List {
    /// Only groups of this user
    #[arg(short, long, value_name = "USER", conflicts_with_all = ["service_id", "profile"])]
    user: Option<String>,
    /// Only groups of this service ID
    #[arg(short, long, value_name = "SERVICE_ID", conflicts_with = "profile")]
    service_id: Option<String>,
    /// Only groups of this trusted profile
    #[arg(short, long, value_name = "PROFILE")]
    profile: Option<String>,
}

#[derive(Debug, Args)]
pub struct Update {
    #[arg(value_name = "NAME|ID")]
    group: String,
    /// New name
    #[arg(short, long)]
    name: Option<String>,
    /// Text about it
    #[arg(short, long)]
    description: Option<String>,
}

#[derive(Debug, Args)]
pub struct Delete {
    #[arg(value_name = "NAME|ID", required_unless_present = "all")]
    group: Option<String>,
    /// Also if it has members
    #[arg(short, long)]
    recursive: bool,
    /// All groups
    #[arg(short, long, conflicts_with = "group")]
    all: bool,
}

/// Runs a command on access groups.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::AccessGroups(args) => list(s, args).await,
        Command::AccessGroup { group, id } => {
            let api = s.api().await?;
            s.out.progress(format!("Getting access group {group}"));
            let found = find(&api, &group, Several::unless(s.force)).await?;
            if id && s.out.table() {
                return s.out.line(&cell(&found, "id"));
            }
            details(s, &found)
        }
        Command::AccessGroupCreate { name, description } => {
            let api = s.api().await?;
            s.out.progress(format!("Creating access group {name}"));
            let mut body = Map::new();
            body.insert("name".into(), json!(name));
            put(&mut body, "description", description);
            let call = Call::post("/v2/groups").query("account_id", api.account()?).json(body.into());
            let made = api.send(call).await?.body;
            details(s, &made)
        }
        Command::AccessGroupUpdate(args) => update(s, args).await,
        Command::AccessGroupDelete(args) => delete(s, args).await,
    }
}

/// Path of a group.
pub fn path(group: &Value) -> String {
    format!("/v2/groups/{}", segment(&cell(group, "id")))
}

/// A group by id or name. Names of groups are the same in upper and lower case.
pub async fn find(api: &Api, wanted: &str, several: Several) -> Result<Value> {
    if select::prefixed(wanted, "AccessGroupId-") || wanted == "AccessGroupId-PublicAccess" {
        let found = api.send(Call::get(format!("/v2/groups/{}", segment(wanted)))).await;
        return match found {
            Err(e) if e.status() == Some(404) => Err(select::not_found(api, "access group", wanted)),
            other => Ok(other?.body),
        };
    }
    let all = api.list(groups(api)?, "groups").await?;
    select::one(api, "access group", wanted, select::named(&all, "name", wanted, true), several)
}

fn groups(api: &Api) -> Result<Call> {
    Ok(Call::get("/v2/groups").query("account_id", api.account()?).query("limit", "100"))
}

async fn list(s: &mut Session, args: List) -> Result<()> {
    let api = s.api().await?;
    s.out.progress("Listing access groups");
    let several = Several::unless(s.force);
    let member = if let Some(user) = &args.user {
        account::user_iam_id(&api, user).await?
    } else if let Some(service_id) = &args.service_id {
        cell(&service_ids::find(&api, service_id, several).await?, "iam_id")
    } else if let Some(profile) = &args.profile {
        cell(&profiles::find(&api, profile, several).await?, "iam_id")
    } else {
        String::new()
    };
    let all = api.list(groups(&api)?.query("iam_id", member), "groups").await?;
    s.out.list(&all, "No access groups found.", &["Name", "ID", "Description"], |g| {
        ["name", "id", "description"].map(|k| cell(g, k)).to_vec()
    })
}

fn details(s: &Session, group: &Value) -> Result<()> {
    let rows = [
        ("Name", cell(group, "name")),
        ("ID", cell(group, "id")),
        ("Description", cell(group, "description")),
        ("Created", cell(group, "created_at")),
        ("Created by", cell(group, "created_by_id")),
    ];
    s.out.object(group, &rows)
}

async fn update(s: &mut Session, args: Update) -> Result<()> {
    if args.name.is_none() && args.description.is_none() {
        return Err(usage("Nothing to change: give --name or --description."));
    }
    let api = s.api().await?;
    s.out.progress(format!("Updating access group {}", args.group));
    let found = find(&api, &args.group, Several::unless(s.force)).await?;
    let now = api.send(Call::get(path(&found))).await?;
    let mut body = Map::new();
    put(&mut body, "name", args.name);
    put(&mut body, "description", args.description);
    let changed = api.send(Call::patch(path(&found)).if_match(&now.etag).json(body.into())).await?.body;
    details(s, &changed)
}

async fn delete(s: &mut Session, args: Delete) -> Result<()> {
    let question = match &args.group {
        Some(group) => format!("Really delete access group '{group}'?"),
        None => "Really delete all access groups?".into(),
    };
    confirm(s.force, &question)?;
    let api = s.api().await?;
    let wanted = match &args.group {
        Some(group) => {
            s.out.progress(format!("Deleting access group {group}"));
            vec![find(&api, group, Several::unless(s.force)).await?]
        }
        None => {
            s.out.progress("Deleting all access groups");
            let all = api.list(groups(&api)?, "groups").await?;
            all.into_iter().filter(|g| g["id"] != "AccessGroupId-PublicAccess").collect()
        }
    };
    let mut refused = 0;
    for group in &wanted {
        let mut call = Call::delete(path(group));
        if args.recursive {
            call = call.query("force", "true");
        }
        match api.send(call).await.map_err(with_option) {
            Ok(_) => {}
            Err(e) if args.group.is_some() => return Err(e),
            Err(e) => {
                refused += 1;
                s.out.note(format!("{}: {}", cell(group, "name"), e.text()));
            }
        }
    }
    if refused > 0 {
        return Err(failed(format!("{refused} of {} access groups were not deleted.", wanted.len())));
    }
    s.out.ok();
    Ok(())
}

/// The server names the parameter of its interface; here it is an option, and `--force` is another one.
fn with_option(failure: Failure) -> Failure {
    match failure {
        Failure::Api(mut e) if e.code == "group_not_empty" => {
            e.message =
                "The access group has members or rules. Remove them first, or delete it with --recursive."
                    .into();
            Failure::Api(e)
        }
        other => other,
    }
}
