//! `is`: VPC infrastructure. One file per kind of object; what they do alike is here.

mod floating_ips;
mod images;
mod instances;
mod interfaces;
mod keys;
mod places;
mod security_groups;
mod subnets;
mod vpcs;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::api::{Api, Call, segment};
use crate::failure::{Result, usage};
use crate::input::confirm;
use crate::output::cell;
use crate::resource::groups;
use crate::select::{self, Several};
use crate::session::Session;

/// The published version of the interface that the commands speak.
const VERSION: &str = "2025-08-26";

/// Commands of `is`.
#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(flatten)]
    Places(places::Command),
    #[command(flatten)]
    Vpcs(vpcs::Command),
    #[command(flatten)]
    Subnets(subnets::Command),
    #[command(flatten)]
    Keys(keys::Command),
    #[command(flatten)]
    Images(images::Command),
    #[command(flatten)]
    SecurityGroups(security_groups::Command),
    #[command(flatten)]
    Interfaces(interfaces::Command),
    #[command(flatten)]
    FloatingIps(floating_ips::Command),
    #[command(flatten)]
    Instances(instances::Command),
}

/// Runs a command of `is`.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::Places(c) => places::run(s, c).await,
        Command::Vpcs(c) => vpcs::run(s, c).await,
        Command::Subnets(c) => subnets::run(s, c).await,
        Command::Keys(c) => keys::run(s, c).await,
        Command::Images(c) => images::run(s, c).await,
        Command::SecurityGroups(c) => security_groups::run(s, c).await,
        Command::Interfaces(c) => interfaces::run(s, c).await,
        Command::FloatingIps(c) => floating_ips::run(s, c).await,
        Command::Instances(c) => instances::run(s, c).await,
    }
}

/// A kind of objects.
struct Kind {
    /// One of them, for people.
    one: &'static str,
    /// Several.
    several: &'static str,
    /// Collection: path below `/v1` and array in the answer.
    path: &'static str,
    /// Columns of a list: title and field.
    columns: &'static [(&'static str, &'static str)],
    /// Rows of one object beside id and name.
    rows: &'static [(&'static str, &'static str)],
}

/// Where a new object goes; the targeted group if nothing says.
#[derive(Debug, Args)]
struct Group {
    /// Resource group: id
    #[arg(long, value_name = "ID", conflicts_with = "resource_group_name")]
    resource_group_id: Option<String>,
    /// Resource group: name
    #[arg(long, value_name = "NAME")]
    resource_group_name: Option<String>,
}

impl Group {
    async fn put(self, s: &Session, api: &Api, body: &mut Map<String, Value>) -> Result<()> {
        let targeted = s.state.config.resource_group.guid.clone();
        let id = match (self.resource_group_id, self.resource_group_name) {
            (Some(id), _) => id,
            (None, Some(name)) => cell(&groups::find(api, &name).await?, "id"),
            (None, None) if targeted.is_empty() => return Ok(()),
            (None, None) => targeted,
        };
        body.insert("resource_group".into(), json!({"id": id}));
        Ok(())
    }
}

/// Objects of a command that takes several.
#[derive(Debug, Args)]
struct Names {
    #[arg(value_name = "NAME|ID", required = true)]
    names: Vec<String>,
}

/// A new name.
#[derive(Debug, Args)]
struct Rename {
    #[arg(value_name = "NAME|ID")]
    object: String,
    /// New name
    #[arg(long)]
    name: String,
}

/// A call that says what every call must say.
fn versioned(call: Call) -> Call {
    call.query("version", VERSION).query("generation", "2")
}

fn path(kind: &Kind, id: &str) -> String {
    format!("/v1/{}/{}", kind.path, segment(id))
}

fn path_of(kind: &Kind, object: &Value) -> String {
    path(kind, &cell(object, "id"))
}

/// True for ids: the prefix of a region or zone, and a UUID.
fn is_id(text: &str) -> bool {
    text.split_once(['-', '_']).is_some_and(|(prefix, uuid)| prefix.len() == 4 && select::uuid(uuid))
}

async fn all(api: &Api, kind: &Kind, filters: &[(&str, String)]) -> Result<Vec<Value>> {
    let mut call = versioned(Call::get(format!("/v1/{}", kind.path)));
    for (name, value) in filters {
        call = call.query(name, value.as_str());
    }
    api.list(call.query("limit", "100"), kind.path).await
}

/// An object by id, CRN or name.
async fn find(api: &Api, kind: &Kind, wanted: &str, several: Several) -> Result<Value> {
    find_among(api, kind, wanted, (several, &[])).await
}

async fn find_among(
    api: &Api,
    kind: &Kind,
    wanted: &str,
    (several, filters): (Several, &[(&str, String)]),
) -> Result<Value> {
    let wanted = select::id_of_crn(wanted);
    if is_id(wanted) {
        return match api.send(versioned(Call::get(path(kind, wanted)))).await {
            Err(e) if e.status() == Some(404) => Err(select::not_found(api, kind.one, wanted)),
            other => Ok(other?.body),
        };
    }
    let found = select::named(&all(api, kind, filters).await?, "name", wanted, false);
    select::one(api, kind.one, wanted, found, several)
}

async fn list(s: &mut Session, kind: &Kind, filters: &[(&str, String)]) -> Result<()> {
    let api = s.api().await?;
    s.out.progress(format!("Listing {}", kind.several));
    show_all(s, kind, &all(&api, kind, filters).await?)
}

fn show_all(s: &Session, kind: &Kind, all: &[Value]) -> Result<()> {
    let titles: Vec<&str> = ["ID", "Name"].into_iter().chain(kind.columns.iter().map(|(t, _)| *t)).collect();
    s.out.list(all, &format!("No {} found.", kind.several), &titles, |o| {
        ["id", "name"].into_iter().chain(kind.columns.iter().map(|(_, f)| *f)).map(|f| field(o, f)).collect()
    })
}

async fn show(s: &mut Session, kind: &Kind, wanted: &str) -> Result<()> {
    let api = s.api().await?;
    s.out.progress(format!("Getting {} {wanted}", kind.one));
    let found = find(&api, kind, wanted, Several::unless(s.force)).await?;
    details(s, kind, &found)
}

fn details(s: &Session, kind: &Kind, object: &Value) -> Result<()> {
    let rows: Vec<(&str, String)> = [("ID", "id"), ("Name", "name"), ("CRN", "crn")]
        .iter()
        .chain(kind.rows)
        .map(|(title, path)| (*title, field(object, path)))
        .collect();
    s.out.object(object, &rows)
}

/// A field as people read it: objects that are referred to by their name.
fn field(object: &Value, path: &str) -> String {
    match path.split_once('*') {
        // `list*field`: this of each.
        Some((list, inner)) => {
            let all = object[list].as_array().into_iter().flatten().map(|o| cell(o, inner));
            all.collect::<Vec<_>>().join(", ")
        }
        None => cell(object, path),
    }
}

async fn create(s: &Session, api: &Api, kind: &Kind, body: Map<String, Value>) -> Result<()> {
    let call = versioned(Call::post(format!("/v1/{}", kind.path))).json(body.into());
    details(s, kind, &api.send(call).await?.body)
}

async fn change(s: &mut Session, kind: &Kind, wanted: &str, body: Map<String, Value>) -> Result<()> {
    if body.is_empty() {
        return Err(usage("Nothing to change."));
    }
    let api = s.api().await?;
    s.out.progress(format!("Updating {} {wanted}", kind.one));
    let found = find(&api, kind, wanted, Several::unless(s.force)).await?;
    let changed = api.send(versioned(Call::patch(path_of(kind, &found))).merge(body.into())).await?.body;
    details(s, kind, &changed)
}

async fn rename(s: &mut Session, kind: &Kind, args: Rename) -> Result<()> {
    let mut body = Map::new();
    body.insert("name".into(), json!(args.name));
    change(s, kind, &args.object, body).await
}

/// Deletes each; ends with the first that cannot be.
async fn delete(s: &mut Session, kind: &Kind, args: &Names) -> Result<()> {
    confirm(s.force, &format!("Really delete {} '{}'?", kind.one, args.names.join("', '")))?;
    let api = s.api().await?;
    let several = Several::unless(s.force);
    for name in &args.names {
        s.out.progress(format!("Deleting {} {name}", kind.one));
        let found = find(&api, kind, name, several).await?;
        api.send(versioned(Call::delete(path_of(kind, &found)))).await?;
        s.out.ok();
        s.out.note(format!("{} {name} is deleted.", kind.one));
    }
    Ok(())
}

/// `{"id": …}` of an object by name or id.
async fn reference(api: &Api, kind: &Kind, wanted: &str, several: Several) -> Result<Value> {
    Ok(json!({"id": cell(&find(api, kind, wanted, several).await?, "id")}))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn ids_are_told_from_names() {
        for id in [
            "r006-b9ebf1d8-a674-42e8-898e-0fcb08994f66",
            "0717-b9ebf1d8-a674-42e8-898e-0fcb08994f66",
            "0717_b9ebf1d8-a674-42e8-898e-0fcb08994f66",
        ] {
            assert!(is_id(id), "{id}");
        }
        for name in ["my-vpc", "r006-vpc", "b9ebf1d8-a674-42e8-898e-0fcb08994f66", ""] {
            assert!(!is_id(name), "{name}");
        }
    }

    #[test]
    fn fields_reach_into_lists() {
        let object = json!({"zone": {"name": "z"}, "rules": [{"id": "a"}, {"id": "b"}]});
        assert_eq!((field(&object, "zone.name"), field(&object, "rules*id")), ("z".into(), "a, b".into()));
        assert_eq!(field(&object, "none*id"), "");
    }
}
