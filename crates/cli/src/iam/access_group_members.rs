//! `iam access-group-user…`, `access-group-service-id…`, `access-group-trusted-profile…`: who is in a group.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{access_groups, profiles, service_ids};
use crate::api::{Api, Call, segment};
use crate::core::account;
use crate::failure::{Failure, Result, failed, usage};
use crate::input::confirm;
use crate::output::cell;
use crate::select::Several;
use crate::session::Session;

/// Members of a call at most.
const BATCH: usize = 50;

/// Commands on members.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the users of an access group
    AccessGroupUsers(Group),
    /// Add users to an access group
    AccessGroupUserAdd(Members),
    /// Remove a user from an access group
    AccessGroupUserRemove(One),
    /// Remove a user from all access groups
    AccessGroupUserPurge(Member),
    /// List the service IDs of an access group
    AccessGroupServiceIds(Group),
    /// Add service IDs to an access group
    AccessGroupServiceIdAdd(Members),
    /// Remove a service ID from an access group
    AccessGroupServiceIdRemove(One),
    /// Remove a service ID from all access groups
    AccessGroupServiceIdPurge(Member),
    /// List the trusted profiles of an access group
    AccessGroupTrustedProfiles(Group),
    /// Add trusted profiles to an access group
    AccessGroupTrustedProfileAdd(Members),
    /// Remove a trusted profile from an access group
    AccessGroupTrustedProfileRemove(One),
    /// Remove a trusted profile from all access groups
    AccessGroupTrustedProfilePurge(Member),
}

#[derive(Debug, Args)]
pub struct Group {
    #[arg(value_name = "GROUP")]
    group: String,
}

#[derive(Debug, Args)]
pub struct Members {
    #[arg(value_name = "GROUP")]
    group: String,
    #[arg(value_name = "MEMBER")]
    members: Vec<String>,
    /// IAM ids instead of names
    #[arg(long, value_delimiter = ',', value_name = "IAM_ID")]
    iam_ids: Vec<String>,
}

#[derive(Debug, Args)]
pub struct One {
    #[arg(value_name = "GROUP")]
    group: String,
    #[arg(value_name = "MEMBER")]
    member: String,
}

#[derive(Debug, Args)]
pub struct Member {
    #[arg(value_name = "MEMBER")]
    member: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    User,
    ServiceId,
    Profile,
}

impl Kind {
    fn on_the_wire(self) -> &'static str {
        match self {
            Kind::User => "user",
            Kind::ServiceId => "service",
            Kind::Profile => "profile",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Kind::User => "users",
            Kind::ServiceId => "service IDs",
            Kind::Profile => "trusted profiles",
        }
    }
}

/// Runs a command on members.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    use Kind::{Profile, ServiceId, User};
    match command {
        Command::AccessGroupUsers(a) => list(s, User, a).await,
        Command::AccessGroupServiceIds(a) => list(s, ServiceId, a).await,
        Command::AccessGroupTrustedProfiles(a) => list(s, Profile, a).await,
        Command::AccessGroupUserAdd(a) => add(s, User, a).await,
        Command::AccessGroupServiceIdAdd(a) => add(s, ServiceId, a).await,
        Command::AccessGroupTrustedProfileAdd(a) => add(s, Profile, a).await,
        Command::AccessGroupUserRemove(a) => remove(s, User, a).await,
        Command::AccessGroupServiceIdRemove(a) => remove(s, ServiceId, a).await,
        Command::AccessGroupTrustedProfileRemove(a) => remove(s, Profile, a).await,
        Command::AccessGroupUserPurge(a) => purge(s, User, a).await,
        Command::AccessGroupServiceIdPurge(a) => purge(s, ServiceId, a).await,
        Command::AccessGroupTrustedProfilePurge(a) => purge(s, Profile, a).await,
    }
}

async fn iam_id(api: &Api, kind: Kind, name: &str, several: Several) -> Result<String> {
    match kind {
        Kind::User => account::user_iam_id(api, name).await,
        Kind::ServiceId => Ok(cell(&service_ids::find(api, name, several).await?, "iam_id")),
        Kind::Profile => Ok(cell(&profiles::find(api, name, several).await?, "iam_id")),
    }
}

async fn list(s: &mut Session, kind: Kind, args: Group) -> Result<()> {
    let api = s.api().await?;
    s.out.progress(format!("Listing {} of access group {}", kind.words(), args.group));
    let group = access_groups::find(&api, &args.group, Several::unless(s.force)).await?;
    let call = Call::get(format!("{}/members", access_groups::path(&group)))
        .query("type", kind.on_the_wire())
        .query("verbose", "true")
        .query("limit", "100");
    let members = api.list(call, "members").await?;
    // The server may answer with all types.
    let all: Vec<Value> =
        members.into_iter().filter(|m| m["type"] == kind.on_the_wire() || m["type"].is_null()).collect();
    s.out.list(&all, &format!("No {} found.", kind.words()), &["IAM ID", "Name", "Email", "Added"], |m| {
        ["iam_id", "name", "email", "created_at"].map(|k| cell(m, k)).to_vec()
    })
}

async fn add(s: &mut Session, kind: Kind, args: Members) -> Result<()> {
    if args.members.is_empty() && args.iam_ids.is_empty() {
        return Err(usage("Nobody to add: give names or --iam-ids."));
    }
    let api = s.api().await?;
    s.out.progress(format!("Adding {} to access group {}", kind.words(), args.group));
    let several = Several::unless(s.force);
    let group = access_groups::find(&api, &args.group, several).await?;
    let mut ids = args.iam_ids;
    for name in &args.members {
        ids.push(iam_id(&api, kind, name, several).await?);
    }
    let mut results = Vec::new();
    for batch in ids.chunks(BATCH) {
        let members: Vec<Value> =
            batch.iter().map(|id| json!({"iam_id": id, "type": kind.on_the_wire()})).collect();
        let call =
            Call::put(format!("{}/members", access_groups::path(&group))).json(json!({"members": members}));
        let answer = api.send(call).await?.body;
        results.extend(answer["members"].as_array().cloned().unwrap_or_default());
    }
    outcome(s, &results, "iam_id")
}

async fn remove(s: &mut Session, kind: Kind, args: One) -> Result<()> {
    confirm(s.force, &format!("Really remove '{}' from access group '{}'?", args.member, args.group))?;
    let api = s.api().await?;
    s.out.progress(format!("Removing {} from access group {}", args.member, args.group));
    let several = Several::unless(s.force);
    let group = access_groups::find(&api, &args.group, several).await?;
    let id = iam_id(&api, kind, &args.member, several).await?;
    api.send(Call::delete(format!("{}/members/{}", access_groups::path(&group), segment(&id)))).await?;
    s.out.ok();
    Ok(())
}

async fn purge(s: &mut Session, kind: Kind, args: Member) -> Result<()> {
    confirm(s.force, &format!("Really remove '{}' from all access groups?", args.member))?;
    let api = s.api().await?;
    s.out.progress(format!("Removing {} from all access groups", args.member));
    let id = iam_id(&api, kind, &args.member, Several::unless(s.force)).await?;
    let path = format!("/v2/groups/_allgroups/members/{}", segment(&id));
    let answer = api.send(Call::delete(path).query("account_id", api.account()?)).await?.body;
    outcome(s, answer["groups"].as_array().map_or(&[], Vec::as_slice), "access_group_id")
}

fn is_refused(result: &Value) -> bool {
    result["status_code"].as_i64().unwrap_or(200) >= 300
}

/// A line for each item that was done; a failure if any was refused.
fn outcome(s: &Session, results: &[Value], key: &str) -> Result<()> {
    let refused: Vec<String> = results
        .iter()
        .filter(|r| is_refused(r))
        .map(|r| format!("{}: {}", cell(r, key), cell(r, "errors.0.message")))
        .collect();
    if !s.out.table() {
        s.out.data(&Value::Array(results.to_vec()))?;
    }
    if refused.is_empty() {
        s.out.ok();
    }
    if s.out.table() {
        results.iter().filter(|r| !is_refused(r)).try_for_each(|r| s.out.line(&cell(r, key)))?;
    }
    if refused.is_empty() {
        return Ok(());
    }
    Err::<(), Failure>(failed(format!(
        "{} of {} were refused:\n{}",
        refused.len(),
        results.len(),
        refused.join("\n")
    )))
}
