//! `resource service-instance…`.

use avouch_wire::catalog;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::groups;
use crate::api::{Api, Call, segment};
use crate::failure::{Result, failed, usage};
use crate::input::{confirm, json as json_value};
use crate::output::cell;
use crate::select::{self, Several};
use crate::session::Session;

/// Commands on service instances.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List service instances
    ServiceInstances(List),
    /// Show a service instance
    ServiceInstance(Show),
    /// Create a service instance
    ServiceInstanceCreate(Box<Create>),
    /// Change a service instance
    ServiceInstanceUpdate(Update),
    /// Delete a service instance
    ServiceInstanceDelete {
        #[arg(value_name = "NAME|ID")]
        instance: String,
        /// With its keys
        #[arg(long)]
        recursive: bool,
    },
    /// Keep a service instance from being changed
    ServiceInstanceLock {
        #[arg(value_name = "NAME|ID")]
        instance: String,
    },
    /// Let a service instance be changed again
    ServiceInstanceUnlock {
        #[arg(value_name = "NAME|ID")]
        instance: String,
    },
}

#[derive(Debug, Args)]
pub struct List {
    /// Only instances of this service
    #[arg(long, value_name = "SERVICE")]
    service_name: Option<String>,
    /// Only in this region
    #[arg(long, value_name = "REGION")]
    location: Option<String>,
    /// Only this type of instance
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only instances of this resource group
    #[arg(short = 'g', value_name = "GROUP", conflicts_with = "all_resource_groups")]
    group: Option<String>,
    /// Not only of the targeted resource group
    #[arg(long)]
    all_resource_groups: bool,
    /// More columns
    #[arg(long)]
    long: bool,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Leave out the first so many
    #[arg(long, value_name = "N", default_value_t = 0)]
    offset: usize,
}

#[derive(Debug, Args)]
pub struct Show {
    #[arg(value_name = "NAME|ID")]
    instance: String,
    /// Only in this region
    #[arg(long, value_name = "REGION")]
    location: Option<String>,
    /// Only of this resource group: name or id
    #[arg(short = 'g', value_name = "GROUP")]
    group: Option<String>,
    /// Print CRN and GUID only
    #[arg(long)]
    id: bool,
    /// Print the CRN only
    #[arg(long, conflicts_with = "id")]
    crn: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Endpoints {
    Public,
    Private,
    PublicAndPrivate,
}

impl Endpoints {
    fn as_str(self) -> &'static str {
        match self {
            Endpoints::Public => "public",
            Endpoints::Private => "private",
            Endpoints::PublicAndPrivate => "public-and-private",
        }
    }
}

#[derive(Debug, Args)]
pub struct Create {
    name: String,
    #[arg(value_name = "SERVICE")]
    service: String,
    /// Name or id of the plan
    #[arg(value_name = "PLAN")]
    plan: String,
    #[arg(value_name = "LOCATION")]
    location: String,
    /// CRN of a deployment instead of the location
    #[arg(short, long, value_name = "CRN")]
    deployment: Option<String>,
    /// Parameters of the service
    #[arg(short, long, value_name = "JSON|@FILE")]
    parameters: Option<String>,
    /// Resource group: name or id
    #[arg(short = 'g', long = "resource-group", value_name = "GROUP")]
    group: Option<String>,
    /// Kept for scripts; there is one address
    #[arg(long, value_enum)]
    service_endpoints: Option<Endpoints>,
    /// May be deleted by clean-up
    #[arg(long)]
    allow_cleanup: bool,
    /// Lock it at once
    #[arg(long)]
    lock: bool,
    /// Kept for scripts
    #[arg(long, value_name = "ID")]
    subscription: Option<String>,
}

#[derive(Debug, Args)]
pub struct Update {
    #[arg(value_name = "NAME|ID")]
    instance: String,
    /// New name
    #[arg(short, long)]
    name: Option<String>,
    /// Plan, by id
    #[arg(long, value_name = "PLAN_ID")]
    service_plan_id: Option<String>,
    /// Parameters of the service
    #[arg(short, long, value_name = "JSON|@FILE")]
    parameters: Option<String>,
    /// Kept for scripts; there is one address
    #[arg(long, value_enum)]
    service_endpoints: Option<Endpoints>,
}

const BASE: &str = "/v2/resource_instances";

/// Runs a command on service instances.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::ServiceInstances(args) => list(s, args).await,
        Command::ServiceInstance(args) => show(s, args).await,
        Command::ServiceInstanceCreate(args) => create(s, *args).await,
        Command::ServiceInstanceUpdate(args) => update(s, args).await,
        Command::ServiceInstanceDelete { instance, recursive } => {
            confirm(s.force, &format!("Really delete service instance '{instance}'?"))?;
            let api = s.api().await?;
            s.out.progress(format!("Deleting service instance {instance}"));
            let found = find(&api, &instance, Several::unless(s.force)).await?;
            let mut call = Call::delete(path(&found));
            if recursive {
                call = call.query("recursive", "true");
            }
            api.send(call).await?;
            s.out.ok();
            Ok(())
        }
        Command::ServiceInstanceLock { instance } => {
            confirm(s.force, &format!("Really lock service instance '{instance}'?"))?;
            let api = s.api().await?;
            s.out.progress(format!("Locking service instance {instance}"));
            let found = find(&api, &instance, Several::unless(s.force)).await?;
            let changed = api.send(Call::post(format!("{}/lock", path(&found)))).await?.body;
            details(s, &changed)
        }
        Command::ServiceInstanceUnlock { instance } => {
            confirm(s.force, &format!("Really unlock service instance '{instance}'?"))?;
            let api = s.api().await?;
            s.out.progress(format!("Unlocking service instance {instance}"));
            let found = find(&api, &instance, Several::unless(s.force)).await?;
            let changed = api.send(Call::delete(format!("{}/lock", path(&found)))).await?.body;
            details(s, &changed)
        }
    }
}

fn path(instance: &Value) -> String {
    format!("{BASE}/{}", segment(&cell(instance, "guid")))
}

fn service(instance: &Value) -> String {
    cell(instance, "crn").split(':').nth(4).unwrap_or_default().to_owned()
}

fn location(instance: &Value) -> String {
    match cell(instance, "region_id") {
        region if region.is_empty() => cell(instance, "crn").split(':').nth(5).unwrap_or_default().to_owned(),
        region => region,
    }
}

fn base() -> Call {
    Call::get(BASE).query("limit", "100")
}

/// Instances of a name, GUID or CRN.
async fn matching(api: &Api, wanted: &str) -> Result<Vec<Value>> {
    if select::uuid(wanted) || wanted.starts_with("crn:") {
        return match api.send(Call::get(format!("{BASE}/{}", segment(wanted)))).await {
            Ok(reply) => Ok(vec![reply.body]),
            Err(e) if e.status() == Some(404) => Ok(Vec::new()),
            Err(e) => Err(e),
        };
    }
    let all = api.list(base().query("name", wanted), "resources").await?;
    Ok(select::named(&all, "name", wanted, false))
}

/// The instance of a name, GUID or CRN.
pub async fn find(api: &Api, wanted: &str, several: Several) -> Result<Value> {
    select::one(api, "service instance", wanted, matching(api, wanted).await?, several)
}

/// The instance of a service, by name, GUID or CRN.
pub async fn of_service(api: &Api, wanted: &str, name: &str) -> Result<Value> {
    let found = matching(api, wanted).await?.into_iter().filter(|i| service(i) == name).collect();
    select::one(api, &format!("{name} instance"), wanted, found, Several::Ask)
}

/// All instances of a service.
pub async fn all_of_service(api: &Api, name: &str) -> Result<Vec<Value>> {
    Ok(api.list(base(), "resources").await?.into_iter().filter(|i| service(i) == name).collect())
}

async fn list(s: &mut Session, args: List) -> Result<()> {
    let api = s.api().await?;
    s.out.progress("Retrieving service instances");
    let group = match &args.group {
        Some(wanted) => Some(cell(&groups::find(&api, wanted).await?, "id")),
        None if args.all_resource_groups => None,
        None => Some(s.state.config.resource_group.guid.clone()).filter(|id| !id.is_empty()),
    };
    let kind = args.kind.filter(|k| k != "all");
    let all =
        api.list(base().query_opt("resource_group_id", group).query_opt("type", kind), "resources").await?;
    let fits = |i: &Value| {
        args.service_name.as_ref().is_none_or(|n| service(i) == *n)
            && args.location.as_ref().is_none_or(|l| location(i) == *l)
    };
    let all: Vec<Value> =
        all.into_iter().filter(fits).skip(args.offset).take(args.limit.unwrap_or(usize::MAX)).collect();
    let mut columns = vec!["Name", "Location", "State", "Type"];
    if args.long {
        columns.extend(["GUID", "Service", "Plan", "Resource Group ID", "CRN"]);
    }
    s.out.list(&all, "No service instances found.", &columns, |i| {
        let mut row = vec![cell(i, "name"), location(i), cell(i, "state"), cell(i, "type")];
        if args.long {
            row.extend([cell(i, "guid"), service(i), plan(i), cell(i, "resource_group_id"), cell(i, "crn")]);
        }
        row
    })
}

async fn show(s: &mut Session, args: Show) -> Result<()> {
    let api = s.api().await?;
    s.out.progress(format!("Retrieving service instance {}", args.instance));
    let group = match &args.group {
        Some(wanted) => Some(cell(&groups::find(&api, wanted).await?, "id")),
        None => None,
    };
    let fits = |i: &Value| {
        group.as_ref().is_none_or(|g| i["resource_group_id"] == g.as_str())
            && args.location.as_ref().is_none_or(|l| location(i) == *l)
    };
    let found = matching(&api, &args.instance).await?.into_iter().filter(fits).collect();
    let instance = select::one(&api, "service instance", &args.instance, found, Several::unless(s.force))?;
    if !s.out.table() {
        // COMPAT: published scripts read the first element.
        return s.out.data(&json!([instance]));
    }
    if args.crn {
        return s.out.line(&cell(&instance, "crn"));
    }
    if args.id {
        return s.out.line(&format!("{}  {}", cell(&instance, "crn"), cell(&instance, "guid")));
    }
    details(s, &instance)
}

fn plan(instance: &Value) -> String {
    let id = cell(instance, "resource_plan_id");
    catalog::plan(&id).map_or(id, |p| p.name.to_owned())
}

fn details(s: &Session, i: &Value) -> Result<()> {
    let rows = [
        ("Name", cell(i, "name")),
        ("ID", cell(i, "id")),
        ("GUID", cell(i, "guid")),
        ("Location", location(i)),
        ("Service Name", service(i)),
        ("Service Plan Name", plan(i)),
        ("Resource Group ID", cell(i, "resource_group_id")),
        ("State", cell(i, "state")),
        ("Type", cell(i, "type")),
        ("Locked", cell(i, "locked")),
        ("Created at", cell(i, "created_at")),
        ("Created by", cell(i, "created_by")),
        ("Updated at", cell(i, "updated_at")),
        (
            "Last Operation",
            format!("{} {}", cell(i, "last_operation.type"), cell(i, "last_operation.state"))
                .trim()
                .to_owned(),
        ),
    ];
    s.out.object(i, &rows)
}

fn parameters(parameters: Option<&str>, endpoints: Option<Endpoints>) -> Result<Option<Value>> {
    let mut all = match parameters {
        Some(text) => match json_value("--parameters", text)? {
            Value::Object(all) => all,
            _ => return Err(usage("--parameters: not a JSON object.")),
        },
        None => Map::new(),
    };
    if let Some(endpoints) = endpoints {
        all.insert("service-endpoints".into(), json!(endpoints.as_str()));
    }
    Ok((!all.is_empty()).then_some(Value::Object(all)))
}

async fn create(s: &mut Session, args: Create) -> Result<()> {
    let plan = plan_id(&args.service, &args.plan)?;
    let parameters = parameters(args.parameters.as_deref(), args.service_endpoints)?;
    let api = s.api().await?;
    s.out.progress(format!("Creating service instance {}", args.name));
    let group = match &args.group {
        Some(wanted) => cell(&groups::find(&api, wanted).await?, "id"),
        None if !s.state.config.resource_group.guid.is_empty() => s.state.config.resource_group.guid.clone(),
        None => cell(&groups::default(&api).await?, "id"),
    };
    warn_of_namesakes(s, &api, &args.name).await;
    let mut body = Map::new();
    body.insert("name".into(), json!(args.name));
    body.insert("target".into(), json!(args.deployment.unwrap_or(args.location)));
    body.insert("resource_group".into(), json!(group));
    body.insert("resource_plan_id".into(), json!(plan));
    if let Some(parameters) = parameters {
        body.insert("parameters".into(), parameters);
    }
    if args.allow_cleanup {
        body.insert("allow_cleanup".into(), json!(true));
    }
    let mut call = Call::post(BASE).json(body.into());
    if args.lock {
        call = call.header("entity-lock", "true");
    }
    let made = api.send(call).await?.body;
    details(s, &made)
}

/// Names need not be unique, so it is made all the same; whoever ran a script twice should know.
async fn warn_of_namesakes(s: &Session, api: &Api, name: &str) {
    // Who may create and not list is not kept from creating.
    let all = api.list(base().query("name", name), "resources").await.unwrap_or_default();
    let same = select::named(&all, "name", name, false);
    if !same.is_empty() {
        let guids: Vec<String> = same.iter().map(|i| cell(i, "guid")).collect();
        s.out.note(format!(
            "WARNING: there is a service instance of this name already ({}). Another one is made; tell them apart by GUID.",
            guids.join(", ")
        ));
    }
}

fn plan_id(service: &str, plan: &str) -> Result<String> {
    if select::uuid(plan) {
        return Ok(plan.to_owned());
    }
    if let Some(found) = catalog::plan_by_name(service, plan) {
        return Ok(found.id.to_owned());
    }
    let plans: Vec<&str> = catalog::plans().iter().filter(|p| p.service == service).map(|p| p.name).collect();
    if plans.is_empty() {
        return Err(failed(format!("Service '{service}' has no plans here. See 'resource plans'.")));
    }
    Err(failed(format!("Service '{service}' has no plan '{plan}'. Its plans are: {}.", plans.join(", "))))
}

async fn update(s: &mut Session, args: Update) -> Result<()> {
    let mut body = Map::new();
    if let Some(name) = args.name {
        body.insert("name".into(), json!(name));
    }
    if let Some(plan) = args.service_plan_id {
        body.insert("resource_plan_id".into(), json!(plan));
    }
    if let Some(parameters) = parameters(args.parameters.as_deref(), args.service_endpoints)? {
        body.insert("parameters".into(), parameters);
    }
    if body.is_empty() {
        return Err(usage("Nothing to change."));
    }
    let api = s.api().await?;
    s.out.progress(format!("Updating service instance {}", args.instance));
    let found = find(&api, &args.instance, Several::unless(s.force)).await?;
    let changed = api.send(Call::patch(path(&found)).json(body.into())).await?.body;
    details(s, &changed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn plans_go_by_name_or_id() {
        assert_eq!(plan_id("secrets-manager", "standard").unwrap(), "7713c3a8-3be8-4a9a-81bb-ee822fcaac3d");
        let id = "00000000-0000-4000-8000-000000000000";
        assert_eq!(plan_id("anything", id).unwrap(), id);
        assert!(plan_id("secrets-manager", "gold").unwrap_err().text().contains("trial, standard"));
        assert!(plan_id("nothing", "gold").is_err());
    }

    #[test]
    fn endpoints_are_a_parameter() {
        let both = parameters(Some(r#"{"a":1}"#), Some(Endpoints::PublicAndPrivate)).unwrap().unwrap();
        assert_eq!(both, json!({"a": 1, "service-endpoints": "public-and-private"}));
        assert!(parameters(None, None).unwrap().is_none());
        assert!(parameters(Some("[]"), None).is_err());
    }

    #[test]
    fn service_and_location_are_read_from_the_crn() {
        let i = json!({"crn": "crn:v1:bluemix:public:secrets-manager:us-south:a/0:g::"});
        assert_eq!((service(&i).as_str(), location(&i).as_str()), ("secrets-manager", "us-south"));
    }
}
