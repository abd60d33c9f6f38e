//! `iam role…`: which roles there are, roles of one's own, and role names turned into ids for policies.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::put;
use crate::api::{Api, Call, segment};
use crate::failure::{Result, failed, usage};
use crate::input::confirm;
use crate::output::{cell, printable};
use crate::select::{self, Several};
use crate::session::Session;

/// COMPAT: the published command line's name for all of account management.
const ACCOUNT_MANAGEMENT: &str = "allacctmgmtroles";

/// Commands on roles.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List roles, of one service or of all
    Roles(List),
    /// Show a custom role
    Role(One),
    /// Create a custom role
    RoleCreate {
        name: String,
        /// Name that people see
        #[arg(long, value_name = "TEXT")]
        display_name: String,
        /// Service whose actions the role permits
        #[arg(long, value_name = "SERVICE")]
        service_name: String,
        /// Actions that the role permits
        #[arg(short, long, value_delimiter = ',', required = true)]
        actions: Vec<String>,
        /// Text about it
        #[arg(short, long)]
        description: Option<String>,
    },
    /// Change a custom role
    RoleUpdate {
        #[command(flatten)]
        role: One,
        /// Name that people see
        #[arg(long, value_name = "TEXT")]
        display_name: Option<String>,
        /// Actions that the role permits, in place of the ones it has
        #[arg(short, long, value_delimiter = ',')]
        actions: Vec<String>,
        /// Text about it
        #[arg(short, long)]
        description: Option<String>,
    },
    /// Delete a custom role
    RoleDelete(One),
}

#[derive(Debug, Args)]
pub struct One {
    #[arg(value_name = "NAME|ID")]
    role: String,
}

#[derive(Debug, Args)]
pub struct List {
    /// Only roles for this service; 'allacctmgmtroles' for account management
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    /// Kept for scripts; the roles of a service are the same for all its resources
    #[arg(long, value_name = "TYPE", requires = "service")]
    resource_type: Option<String>,
    /// Roles for authorizing this service
    #[arg(long, value_name = "SERVICE", requires = "service")]
    source_service: Option<String>,
    /// Only these, with their actions
    #[arg(long, value_delimiter = ',')]
    roles: Vec<String>,
}

/// Runs a command on roles.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::Roles(args) => list(s, args).await,
        Command::Role(one) => {
            let api = s.api().await?;
            s.out.progress(format!("Getting role {}", one.role));
            let role = find(&api, &one.role, Several::unless(s.force)).await?;
            details(s, &role)
        }
        Command::RoleCreate { name, display_name, service_name, actions, description } => {
            let api = s.api().await?;
            s.out.progress(format!("Creating role {name}"));
            let mut body = Map::new();
            body.insert("name".into(), json!(name));
            body.insert("display_name".into(), json!(display_name));
            body.insert("account_id".into(), json!(api.account()?));
            body.insert("service_name".into(), json!(service_name));
            body.insert("actions".into(), json!(actions));
            put(&mut body, "description", description);
            let made = api.send(Call::post("/v2/roles").json(body.into())).await?.body;
            details(s, &made)
        }
        Command::RoleUpdate { role, display_name, actions, description } => {
            if display_name.is_none() && actions.is_empty() && description.is_none() {
                return Err(usage("Nothing to change."));
            }
            let api = s.api().await?;
            s.out.progress(format!("Updating role {}", role.role));
            let found = find(&api, &role.role, Several::unless(s.force)).await?;
            let now = api.send(Call::get(path(&found))).await?;
            let mut body = Map::new();
            for key in ["display_name", "actions", "description"] {
                if let Some(value) = now.body.get(key) {
                    body.insert(key.into(), value.clone());
                }
            }
            put(&mut body, "display_name", display_name);
            put(&mut body, "description", description);
            if !actions.is_empty() {
                body.insert("actions".into(), json!(actions));
            }
            let changed = api.send(Call::put(path(&found)).if_match(&now.etag).json(body.into())).await?.body;
            details(s, &changed)
        }
        Command::RoleDelete(one) => {
            confirm(s.force, &format!("Really delete role '{}'?", one.role))?;
            let api = s.api().await?;
            s.out.progress(format!("Deleting role {}", one.role));
            let found = find(&api, &one.role, Several::unless(s.force)).await?;
            api.send(Call::delete(path(&found))).await?;
            s.out.ok();
            Ok(())
        }
    }
}

fn path(role: &Value) -> String {
    format!("/v2/roles/{}", segment(&cell(role, "id")))
}

/// Service, platform and custom roles, in this order: a name that several have means the built-in one.
async fn all(api: &Api, call: Call) -> Result<Vec<Value>> {
    let answer = api.send(call).await?.body;
    let kinds = [("service_roles", "service"), ("system_roles", "platform"), ("custom_roles", "custom")];
    let mut roles = Vec::new();
    for (key, kind) in kinds {
        for role in answer[key].as_array().into_iter().flatten() {
            let mut role = role.clone();
            if let Some(fields) = role.as_object_mut() {
                fields.insert("type".into(), json!(kind));
            }
            roles.push(role);
        }
    }
    Ok(roles)
}

fn query(api: &Api, service: Option<&str>) -> Result<Call> {
    let call = Call::get("/v2/roles").query("account_id", api.account()?);
    Ok(match service {
        Some(ACCOUNT_MANAGEMENT) | None => call,
        Some(service) => call.query("service_name", service),
    })
}

async fn list(s: &mut Session, args: List) -> Result<()> {
    let api = s.api().await?;
    let service = args.service.as_deref();
    s.out.progress("Listing roles");
    let mut call = query(&api, service)?;
    if let Some(source) = args.source_service {
        call = call.query("policy_type", "authorization").query("source_service_name", source);
    }
    let mut roles = all(&api, call).await?;
    if service == Some(ACCOUNT_MANAGEMENT) {
        roles.retain(|r| r["type"] == "platform");
    }
    if let Some(unknown) = service.and_then(|name| unknown_service(&roles, name)) {
        return Err(failed(unknown));
    }
    if args.roles.is_empty() {
        return s.out.list(
            &roles,
            "No roles found.",
            &["Display name", "Type", "Role ID", "Description"],
            |r| ["display_name", "type", "crn", "description"].map(|k| cell(r, k)).to_vec(),
        );
    }
    let wanted: Result<Vec<Value>> = args.roles.iter().map(|name| pick(&roles, name, service)).collect();
    s.out.list(&wanted?, "No roles found.", &["Display name", "Actions"], |r| {
        vec![cell(r, "display_name"), cell(r, "actions")]
    })
}

/// What to say of a service that has no role because there is no such service.
fn unknown_service(roles: &[Value], service: &str) -> Option<String> {
    let all = avouch_wire::catalog::services();
    if !roles.is_empty() || all.iter().any(|s| s.name == service) {
        return None;
    }
    // The catalogue's own test services have a name that begins like this.
    let names: Vec<&str> = all.iter().map(|s| s.name).filter(|n| !n.starts_with("avouch-")).collect();
    Some(format!("There is no service '{}'. Services are: {}.", printable(service), names.join(", ")))
}

/// A role by id, name or display name.
fn pick(roles: &[Value], wanted: &str, service: Option<&str>) -> Result<Value> {
    let squeezed = |t: &str| t.replace(' ', "").to_lowercase();
    let name = |r: &Value| cell(r, "crn").rsplit(':').next().unwrap_or_default().to_owned();
    let tests: [&dyn Fn(&Value) -> bool; 4] = [
        &|r| r["display_name"] == wanted,
        &|r| r["name"] == wanted || name(r) == wanted,
        &|r| squeezed(&cell(r, "display_name")) == squeezed(wanted),
        &|r| squeezed(&name(r)) == squeezed(wanted),
    ];
    if let Some(role) = tests.iter().find_map(|test| roles.iter().find(|r| test(r))) {
        return Ok(role.clone());
    }
    if let Some(unknown) = service.and_then(|name| unknown_service(roles, name)) {
        return Err(failed(unknown));
    }
    let known: Vec<String> = roles.iter().map(|r| cell(r, "display_name")).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let of = service.map_or_else(|| "all services".to_owned(), |name| format!("service '{name}'"));
    Err(failed(format!("Role '{wanted}' is not defined for {of}.\nValid roles are: {known}")))
}

/// Ids of roles for a policy on `service`, or on all services.
pub async fn resolve(api: &Api, names: &[String], service: Option<&str>) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    let mut known: Option<Vec<Value>> = None;
    for name in names.iter().map(|n| n.trim()) {
        if name.starts_with("crn:") {
            ids.push(name.to_owned());
            continue;
        }
        if known.is_none() {
            known = Some(all(api, query(api, service)?).await?);
        }
        ids.push(cell(&pick(known.as_deref().unwrap_or_default(), name, service)?, "crn"));
    }
    Ok(ids)
}

/// Ids of roles for an authorization between two services.
pub async fn resolve_authorization(
    api: &Api,
    names: &[String],
    source: &str,
    target: &str,
) -> Result<Vec<String>> {
    let call =
        query(api, Some(target))?.query("policy_type", "authorization").query("source_service_name", source);
    let known = all(api, call).await?;
    names
        .iter()
        .map(|n| n.trim())
        .map(|n| {
            if n.starts_with("crn:") {
                Ok(n.to_owned())
            } else {
                Ok(cell(&pick(&known, n, Some(target))?, "crn"))
            }
        })
        .collect()
}

async fn find(api: &Api, wanted: &str, several: Several) -> Result<Value> {
    let call = Call::get("/v2/roles").query("account_id", api.account()?);
    let answer = api.send(call).await?.body;
    let roles = answer["custom_roles"].as_array().cloned().unwrap_or_default();
    let field = if select::uuid(wanted) { "id" } else { "name" };
    let mut found = select::named(&roles, field, wanted, false);
    if found.is_empty() {
        found = select::named(&roles, "display_name", wanted, false);
    }
    select::one(api, "custom role", wanted, found, several)
}

fn details(s: &Session, role: &Value) -> Result<()> {
    let rows = [
        ("Name", cell(role, "name")),
        ("Display name", cell(role, "display_name")),
        ("ID", cell(role, "id")),
        ("CRN", cell(role, "crn")),
        ("Service", cell(role, "service_name")),
        ("Description", cell(role, "description")),
        (
            "Actions",
            role["actions"]
                .as_array()
                .into_iter()
                .flatten()
                .map(crate::output::show)
                .collect::<Vec<_>>()
                .join("\n"),
        ),
    ];
    s.out.object(role, &rows)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn roles() -> Vec<Value> {
        vec![
            json!({"display_name": "SecretsReader", "crn": "crn:v1:bluemix:public:secrets-manager::::serviceRole:SecretsReader"}),
            json!({"display_name": "Content Reader", "crn": "crn:v1:bluemix:public:x::::serviceRole:ContentReader"}),
            json!({"display_name": "Viewer", "crn": "crn:v1:bluemix:public:iam::::role:Viewer"}),
        ]
    }

    #[test]
    fn roles_are_found_by_what_people_see() {
        for (wanted, end) in [
            ("Content Reader", "ContentReader"),
            ("contentreader", "ContentReader"),
            ("secretsreader", "SecretsReader"),
            ("Viewer", "Viewer"),
        ] {
            assert!(cell(&pick(&roles(), wanted, None).unwrap(), "crn").ends_with(end), "{wanted}");
        }
    }

    #[test]
    fn unknown_roles_are_told_with_those_that_exist() {
        let e = pick(&roles(), "Boss", Some("kms")).unwrap_err().text();
        assert!(e.contains("service 'kms'") && e.contains("SecretsReader, Content Reader, Viewer"), "{e}");
        let e = pick(&[], "Boss", Some("secret-manager")).unwrap_err().text();
        assert!(e.contains("no service 'secret-manager'") && e.contains("secrets-manager"), "{e}");
    }
}
