//! `iam authorization-polic…`: one service may use another. A published walk-through writes an access policy of a trusted
//! profile in this form; that line is understood and makes the access policy that it means.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::policy_flags::{Attribute, Flags, Parts, Version, attribute, document};
use super::{policies, profiles, roles};
use crate::api::{Api, Call, segment};
use crate::failure::{Result, usage};
use crate::input::{confirm, json_file};
use crate::output::cell;
use crate::resource::instances;
use crate::select::{self, Several};
use crate::session::Session;

/// Commands on authorizations.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Let one service use another
    AuthorizationPolicyCreate(Box<Create>),
    /// List authorizations
    AuthorizationPolicies,
    /// Show an authorization
    AuthorizationPolicy {
        #[arg(value_name = "POLICY_ID")]
        policy: String,
    },
    /// Delete an authorization
    AuthorizationPolicyDelete {
        #[arg(value_name = "POLICY_ID")]
        policy: String,
    },
}

#[derive(Debug, Args)]
pub struct Create {
    /// Source service, target service, roles
    #[arg(value_name = "SOURCE TARGET ROLES", num_args = 0..=3)]
    words: Vec<String>,
    /// The whole policy as JSON: file, @file or inline
    #[arg(long, value_name = "FILE|JSON")]
    file: Option<String>,
    /// Instance that is let in, by name
    #[arg(long, value_name = "NAME", conflicts_with = "source_service_instance_id")]
    source_service_instance_name: Option<String>,
    /// Instance that is let in, by GUID
    #[arg(long, value_name = "GUID")]
    source_service_instance_id: Option<String>,
    /// Account of what is let in, if it is another one
    #[arg(long, value_name = "ACCOUNT_ID")]
    source_service_account: Option<String>,
    /// Resource group of what is let in
    #[arg(long, value_name = "ID")]
    source_resource_group_id: Option<String>,
    /// Kind of what is let in
    #[arg(long, value_name = "TYPE")]
    source_resource_type: Option<String>,
    /// Id of what is let in
    #[arg(long, value_name = "ID")]
    source_resource: Option<String>,
    /// Instance that is opened, by name
    #[arg(
        long,
        value_name = "NAME",
        alias = "target-resource-instance-name",
        conflicts_with = "target_service_instance_id"
    )]
    target_service_instance_name: Option<String>,
    /// Instance that is opened, by GUID
    #[arg(long, value_name = "GUID")]
    target_service_instance_id: Option<String>,
    /// Resource group of what is opened
    #[arg(long, value_name = "ID")]
    target_resource_group_id: Option<String>,
    /// Kind of what is opened
    #[arg(long, value_name = "TYPE")]
    target_resource_type: Option<String>,
    /// Id of what is opened
    #[arg(long, value_name = "ID")]
    target_resource: Option<String>,
    // COMPAT: not options of the published command line, but written in a published walk-through.
    #[arg(long, hide = true)]
    source_service_name: Option<String>,
    #[arg(long, hide = true)]
    source_resource_instance_name: Option<String>,
}

/// Runs a command on authorizations.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::AuthorizationPolicyCreate(args) => create(s, *args).await,
        Command::AuthorizationPolicies => {
            let api = s.api().await?;
            s.out.progress("Listing authorizations");
            let all = all(&api).await?;
            s.out.list(&all, "No authorizations found.", &["Policy ID", "Source", "Target", "Roles"], |p| {
                vec![cell(p, "id"), policies::subject_text(p), policies::target(p), policies::roles(p)]
            })
        }
        Command::AuthorizationPolicy { policy } => {
            let api = s.api().await?;
            s.out.progress(format!("Getting authorization {policy}"));
            let found = find(&api, &policy).await?;
            details(s, &found)
        }
        Command::AuthorizationPolicyDelete { policy } => {
            confirm(s.force, &format!("Really delete authorization '{policy}'?"))?;
            let api = s.api().await?;
            s.out.progress(format!("Deleting authorization {policy}"));
            let found = find(&api, &policy).await?;
            api.send(Call::delete(format!("/v1/policies/{}", segment(&cell(&found, "id"))))).await?;
            s.out.ok();
            Ok(())
        }
    }
}

async fn all(api: &Api) -> Result<Vec<Value>> {
    let call = Call::get("/v2/policies")
        .query("account_id", api.account()?)
        .query("type", "authorization")
        .query("format", "display");
    api.list(call, "policies").await
}

async fn find(api: &Api, id: &str) -> Result<Value> {
    let found = select::named(&all(api).await?, "id", id, false);
    select::one(api, "authorization", id, found, Several::Fail)
}

fn details(s: &Session, policy: &Value) -> Result<()> {
    let rows = [
        ("Policy ID", cell(policy, "id")),
        ("Source", policies::subject_text(policy)),
        ("Target", policies::target(policy)),
        ("Roles", policies::roles(policy)),
        ("Created", cell(policy, "created_at")),
    ];
    s.out.object(policy, &rows)
}

async fn create(s: &mut Session, args: Create) -> Result<()> {
    if args.source_service_name.as_deref() == Some("iam-profile") {
        return profile_access(s, args).await;
    }
    if args.source_service_name.is_some() || args.source_resource_instance_name.is_some() {
        return Err(usage("--source-service-name: give the source service as the first word instead."));
    }
    if let Some(file) = &args.file {
        let body = json_file("--file", file)?;
        let api = s.api().await?;
        s.out.progress("Creating an authorization");
        let path = if super::policy_flags::version_of(&body) == Version::V2 {
            "/v2/policies"
        } else {
            "/v1/policies"
        };
        let made = api.send(Call::post(path).json(body)).await?.body;
        return details(s, &made);
    }
    let [source, target, names] = args.words.as_slice() else {
        return Err(usage("Wanted: iam authorization-policy-create SOURCE_SERVICE TARGET_SERVICE ROLES"));
    };
    let api = s.api().await?;
    s.out.progress(format!("Creating an authorization of {source} for {target}"));
    let account = api.account()?.to_owned();
    let names: Vec<String> = names.split(',').map(str::to_owned).collect();
    let source_account = args.source_service_account.clone().unwrap_or_else(|| account.clone());
    let mut subject = vec![attribute("accountId", source_account), attribute("serviceName", source)];
    let source_instance =
        instance(&api, source, args.source_service_instance_id, args.source_service_instance_name).await?;
    push(&mut subject, "serviceInstance", source_instance);
    push(&mut subject, "resourceGroupId", args.source_resource_group_id);
    push(&mut subject, "resourceType", args.source_resource_type);
    push(&mut subject, "resource", args.source_resource);
    let mut resource = vec![attribute("accountId", account), attribute("serviceName", target)];
    let target_instance =
        instance(&api, target, args.target_service_instance_id, args.target_service_instance_name).await?;
    push(&mut resource, "serviceInstance", target_instance);
    push(&mut resource, "resourceGroupId", args.target_resource_group_id);
    push(&mut resource, "resourceType", args.target_resource_type);
    push(&mut resource, "resource", args.target_resource);
    let roles = roles::resolve_authorization(&api, &names, source, target).await?;
    let parts =
        Parts { kind: "authorization", subject: &subject, target: &resource, tags: &[], roles: &roles };
    let made = api.send(Call::post("/v1/policies").json(document(Version::V1, &parts))).await?.body;
    details(s, &made)
}

fn push(all: &mut Vec<Attribute>, key: &str, value: Option<String>) {
    if let Some(value) = value {
        all.push(attribute(key, value));
    }
}

async fn instance(
    api: &Api,
    service: &str,
    id: Option<String>,
    name: Option<String>,
) -> Result<Option<String>> {
    match (id, name) {
        (Some(id), _) => Ok(Some(id)),
        (None, Some(name)) => Ok(Some(cell(&instances::of_service(api, &name, service).await?, "guid"))),
        (None, None) => Ok(None),
    }
}

/// COMPAT: `authorization-policy-create SERVICE ROLES --source-service-name iam-profile …` means an access policy.
async fn profile_access(s: &mut Session, args: Create) -> Result<()> {
    let (Some(service), Some(names)) = (args.words.first(), args.words.get(1)) else {
        return Err(usage(
            "Wanted: SERVICE ROLES --source-service-name iam-profile --source-resource-instance-name PROFILE",
        ));
    };
    let named = args.source_resource_instance_name.as_ref().or(args.source_service_instance_name.as_ref());
    let profile = named
        .or(args.source_service_instance_id.as_ref())
        .ok_or_else(|| usage("Missing required option --source-resource-instance-name."))?;
    let api = s.api().await?;
    s.out.progress(format!("Creating an access policy for trusted profile {profile}"));
    let found = profiles::find(&api, profile, Several::unless(s.force)).await?;
    let guid =
        instance(&api, service, args.target_service_instance_id, args.target_service_instance_name).await?;
    let flags = Flags {
        roles: names.split(',').map(str::to_owned).collect(),
        service_name: Some(service.clone()),
        service_instance: guid,
        resource_group_id: args.target_resource_group_id,
        resource_type: args.target_resource_type,
        resource: args.target_resource,
        ..Flags::default()
    };
    s.out.note(format!(
        "A trusted profile is no service: this makes an access policy of the profile. The usual command is\n  \
         iam trusted-profile-policy-create {profile} --roles {names} --service-name {service}{}",
        flags.service_instance.as_ref().map(|g| format!(" --service-instance {g}")).unwrap_or_default()
    ));
    let subject = attribute("iam_id", cell(&found, "iam_id"));
    let made = policies::send(s, &api, &subject, &flags).await?;
    details(s, &made)
}
