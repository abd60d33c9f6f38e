//! `iam trusted-profile-polic…`, `service-polic…`, `user-polic…`, `access-group-polic…`: one set of commands for
//! four kinds of subjects.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::policy_flags::{Attribute, Flags, Version, attribute, version_of};
use super::{access_groups, profiles, service_ids};
use crate::api::{Api, Call, Reply, segment};
use crate::core::account;
use crate::failure::{Result, usage};
use crate::input::confirm;
use crate::output::cell;
use crate::select::{self, Several};
use crate::session::Session;

/// Commands on access policies.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the policies of a trusted profile
    TrustedProfilePolicies(List),
    /// Show a policy of a trusted profile
    TrustedProfilePolicy(One),
    /// Give a trusted profile access
    TrustedProfilePolicyCreate(Create),
    /// Change a policy of a trusted profile
    TrustedProfilePolicyUpdate(Update),
    /// Delete a policy of a trusted profile
    TrustedProfilePolicyDelete(One),
    /// List the policies of a service ID
    ServicePolicies(List),
    /// Show a policy of a service ID
    ServicePolicy(One),
    /// Give a service ID access
    ServicePolicyCreate(Create),
    /// Change a policy of a service ID
    ServicePolicyUpdate(Update),
    /// Delete a policy of a service ID
    ServicePolicyDelete(One),
    /// List the policies of a user
    UserPolicies(List),
    /// Show a policy of a user
    UserPolicy(One),
    /// Give a user access
    UserPolicyCreate(Create),
    /// Change a policy of a user
    UserPolicyUpdate(Update),
    /// Delete a policy of a user
    UserPolicyDelete(One),
    /// List the policies of an access group
    AccessGroupPolicies(List),
    /// Show a policy of an access group
    AccessGroupPolicy(One),
    /// Give an access group access
    AccessGroupPolicyCreate(Create),
    /// Change a policy of an access group
    AccessGroupPolicyUpdate(Update),
    /// Delete a policy of an access group
    AccessGroupPolicyDelete(One),
}

#[derive(Debug, Args)]
pub struct List {
    #[arg(value_name = "SUBJECT")]
    subject: String,
    /// Form of the policies
    #[arg(long, value_enum, ignore_case = true, default_value = "v2")]
    api_version: Version,
}

#[derive(Debug, Args)]
pub struct One {
    #[arg(value_name = "SUBJECT")]
    subject: String,
    #[arg(value_name = "POLICY_ID")]
    policy: String,
    /// Kept for scripts; a policy is found in either form
    #[arg(long, value_enum, ignore_case = true)]
    api_version: Option<Version>,
}

#[derive(Debug, Args)]
pub struct Create {
    #[arg(value_name = "SUBJECT")]
    subject: String,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Args)]
pub struct Update {
    #[arg(value_name = "SUBJECT")]
    subject: String,
    #[arg(value_name = "POLICY_ID")]
    policy: String,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Profile,
    ServiceId,
    User,
    Group,
}

/// Runs a command on access policies.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::TrustedProfilePolicies(a) => list(s, Kind::Profile, a).await,
        Command::ServicePolicies(a) => list(s, Kind::ServiceId, a).await,
        Command::UserPolicies(a) => list(s, Kind::User, a).await,
        Command::AccessGroupPolicies(a) => list(s, Kind::Group, a).await,
        Command::TrustedProfilePolicy(a) => show(s, Kind::Profile, a).await,
        Command::ServicePolicy(a) => show(s, Kind::ServiceId, a).await,
        Command::UserPolicy(a) => show(s, Kind::User, a).await,
        Command::AccessGroupPolicy(a) => show(s, Kind::Group, a).await,
        Command::TrustedProfilePolicyCreate(a) => create(s, Kind::Profile, a).await,
        Command::ServicePolicyCreate(a) => create(s, Kind::ServiceId, a).await,
        Command::UserPolicyCreate(a) => create(s, Kind::User, a).await,
        Command::AccessGroupPolicyCreate(a) => create(s, Kind::Group, a).await,
        Command::TrustedProfilePolicyUpdate(a) => update(s, Kind::Profile, a).await,
        Command::ServicePolicyUpdate(a) => update(s, Kind::ServiceId, a).await,
        Command::UserPolicyUpdate(a) => update(s, Kind::User, a).await,
        Command::AccessGroupPolicyUpdate(a) => update(s, Kind::Group, a).await,
        Command::TrustedProfilePolicyDelete(a) => delete(s, Kind::Profile, a).await,
        Command::ServicePolicyDelete(a) => delete(s, Kind::ServiceId, a).await,
        Command::UserPolicyDelete(a) => delete(s, Kind::User, a).await,
        Command::AccessGroupPolicyDelete(a) => delete(s, Kind::Group, a).await,
    }
}

/// The attribute by which policies name the subject.
async fn subject(api: &Api, kind: Kind, wanted: &str, several: Several) -> Result<Attribute> {
    Ok(match kind {
        Kind::Profile => attribute("iam_id", cell(&profiles::find(api, wanted, several).await?, "iam_id")),
        Kind::ServiceId => {
            attribute("iam_id", cell(&service_ids::find(api, wanted, several).await?, "iam_id"))
        }
        Kind::User => attribute("iam_id", account::user_iam_id(api, wanted).await?),
        Kind::Group => {
            attribute("access_group_id", cell(&access_groups::find(api, wanted, several).await?, "id"))
        }
    })
}

async fn list(s: &mut Session, kind: Kind, args: List) -> Result<()> {
    let api = s.api().await?;
    s.out.progress(format!("Listing policies of {}", args.subject));
    let subject = subject(&api, kind, &args.subject, Several::unless(s.force)).await?;
    let path = if args.api_version == Version::V1 { "/v1/policies" } else { "/v2/policies" };
    let call = Call::get(path)
        .query("account_id", api.account()?)
        .query(&subject.key, subject.value.as_str())
        .query("type", "access")
        .query("format", "display");
    let all = api.list(call, "policies").await?;
    s.out.list(&all, "No policies found.", &["Policy ID", "Roles", "Resources"], row)
}

/// Policy id, roles, resources.
pub fn row(policy: &Value) -> Vec<String> {
    vec![cell(policy, "id"), roles(policy), target(policy)]
}

/// Names of the roles.
pub fn roles(policy: &Value) -> String {
    let v2 = &policy["control"]["grant"]["roles"];
    let all = if v2.is_array() { v2 } else { &policy["roles"] };
    let names = all.as_array().into_iter().flatten().map(|r| match cell(r, "display_name") {
        name if name.is_empty() => select::id_of_crn(&cell(r, "role_id")).to_owned(),
        name => name,
    });
    names.collect::<Vec<_>>().join(", ")
}

/// Attributes of the target, the account left out.
pub fn target(policy: &Value) -> String {
    let one = if policy["resource"].is_object() { &policy["resource"] } else { &policy["resources"][0] };
    attributes(one)
}

/// Attributes of the subject.
pub fn subject_text(policy: &Value) -> String {
    let one = if policy["subject"].is_object() { &policy["subject"] } else { &policy["subjects"][0] };
    attributes(one)
}

fn attributes(one: &Value) -> String {
    let part = |a: &Value| {
        let key = [cell(a, "key"), cell(a, "name")].concat();
        (key != "accountId").then(|| match a["operator"].as_str() {
            Some("stringExists") => format!("{key}=*"),
            _ => format!("{key}={}", cell(a, "value")),
        })
    };
    let plain = one["attributes"].as_array().into_iter().flatten().filter_map(part);
    let tags = one["tags"].as_array().into_iter().flatten().filter_map(part).map(|t| format!("tag {t}"));
    plain.chain(tags).collect::<Vec<_>>().join(", ")
}

fn details(s: &Session, policy: &Value) -> Result<()> {
    let rows = [
        ("Policy ID", cell(policy, "id")),
        ("Subject", subject_text(policy)),
        ("Roles", roles(policy)),
        ("Resources", target(policy)),
        ("Condition", if policy["rule"].is_null() { String::new() } else { policy["rule"].to_string() }),
        ("Description", cell(policy, "description")),
        ("State", cell(policy, "state")),
        ("Created", cell(policy, "created_at")),
    ];
    s.out.object(policy, &rows)
}

/// A policy of this subject, in the form that it is kept in.
async fn get(api: &Api, subject: &Attribute, id: &str, version: Version) -> Result<(Reply, String)> {
    let id = segment(id);
    let paths = [format!("/v1/policies/{id}"), format!("/v2/policies/{id}")];
    let start = usize::from(version == Version::V2);
    for path in paths.into_iter().skip(start) {
        match api.send(Call::get(path.as_str())).await {
            Err(e) if e.status() == Some(404) => {}
            Err(e) => return Err(e),
            Ok(reply) => {
                let owner = subject_text(&reply.body);
                let wanted = format!("{}={}", subject.key, subject.value);
                if owner.split(", ").any(|part| part == wanted) {
                    return Ok((reply, path));
                }
            }
        }
    }
    Err(select::not_found(api, "policy", &id))
}

async fn show(s: &mut Session, kind: Kind, one: One) -> Result<()> {
    let api = s.api().await?;
    s.out.progress(format!("Getting policy {} of {}", one.policy, one.subject));
    let subject = subject(&api, kind, &one.subject, Several::unless(s.force)).await?;
    let (reply, _) = get(&api, &subject, &one.policy, one.api_version.unwrap_or(Version::V2)).await?;
    details(s, &reply.body)
}

async fn create(s: &mut Session, kind: Kind, args: Create) -> Result<()> {
    if args.flags.file.is_none() && args.flags.roles.is_empty() {
        return Err(usage("Missing required option --roles (or --file)."));
    }
    let api = s.api().await?;
    s.out.progress(format!("Creating a policy for {}", args.subject));
    let subject = subject(&api, kind, &args.subject, Several::unless(s.force)).await?;
    let made = send(s, &api, &subject, &args.flags).await?;
    details(s, &made)
}

/// Creates an access policy of a subject.
pub async fn send(s: &Session, api: &Api, subject: &Attribute, flags: &Flags) -> Result<Value> {
    let wanted = flags.api_version.unwrap_or_default();
    let body = flags.document(api, &s.out, std::slice::from_ref(subject), wanted).await?;
    let path = if version_of(&body) == Version::V2 { "/v2/policies" } else { "/v1/policies" };
    Ok(api.send(Call::post(path).json(body)).await?.body)
}

async fn update(s: &mut Session, kind: Kind, args: Update) -> Result<()> {
    let flags = &args.flags;
    if flags.file.is_none() && flags.roles.is_empty() && !flags.has_target() {
        return Err(usage("Nothing to change."));
    }
    let api = s.api().await?;
    s.out.progress(format!("Updating policy {} of {}", args.policy, args.subject));
    let subject = subject(&api, kind, &args.subject, Several::unless(s.force)).await?;
    let (now, path) = get(&api, &subject, &args.policy, flags.api_version.unwrap_or_default()).await?;
    let version = if path.starts_with("/v2/") { Version::V2 } else { Version::V1 };
    let body = match flags.whole_document()? {
        Some(_) => flags.document(&api, &s.out, &[subject], version).await?,
        None => changed(&api, s, flags, &now.body, version).await?,
    };
    let done = api.send(Call::put(path).if_match(&now.etag).json(body)).await?.body;
    details(s, &done)
}

/// What the options say, the rest as it is.
async fn changed(api: &Api, s: &Session, flags: &Flags, now: &Value, version: Version) -> Result<Value> {
    let keep: &[&str] = match version {
        Version::V1 => &["type", "subjects", "resources", "description"],
        Version::V2 => &["type", "subject", "resource", "description", "pattern", "rule"],
    };
    let mut body = json!({});
    for key in keep {
        if let Some(value) = now.get(*key) {
            body[*key] = value.clone();
        }
    }
    let old = if version == Version::V1 { &now["roles"] } else { &now["control"]["grant"]["roles"] };
    let roles: Vec<Value> = if flags.roles.is_empty() {
        old.as_array().into_iter().flatten().map(|r| json!({"role_id": r["role_id"]})).collect()
    } else {
        flags.role_ids(api, &s.out).await?.into_iter().map(|id| json!({"role_id": id})).collect()
    };
    match version {
        Version::V1 => body["roles"] = roles.into(),
        Version::V2 => body["control"] = json!({"grant": {"roles": roles}}),
    }
    if flags.has_target() {
        let asked = flags.resource(api, version).await?;
        match version {
            Version::V1 => body["resources"][0] = merged(&now["resources"][0], asked[0].clone()),
            Version::V2 => body["resource"] = merged(&now["resource"], asked),
        }
        s.out.note(format!("The policy is for: {}", target(&body)));
    }
    Ok(body)
}

/// A target that the options change: attributes that they do not name stay, because a policy without one of them would
/// reach further than before.
fn merged(now: &Value, mut asked: Value) -> Value {
    const SERVICES: [&str; 3] = ["serviceName", "serviceType", "service_group_id"];
    let key = |a: &Value| [cell(a, "key"), cell(a, "name")].concat();
    let list = |target: &Value, of: &str| target[of].as_array().cloned().unwrap_or_default();
    let has_service = |all: &[Value]| all.iter().any(|a| SERVICES.contains(&key(a).as_str()));
    let mut attributes = list(&asked, "attributes");
    let before = list(now, "attributes");
    // `serviceType=service` is what a new policy gets when it names no service; this one names its own.
    let named = |a: &Value| key(a) != "serviceType" || a["value"] != "service";
    if has_service(&before) {
        attributes.retain(named);
    }
    let other_service = has_service(&attributes);
    let stays = |a: &Value| {
        let replaced = attributes.iter().any(|b| key(b) == key(a));
        let outdone = other_service && SERVICES.contains(&key(a).as_str());
        !replaced && !outdone
    };
    let kept: Vec<Value> = before.into_iter().filter(|a| stays(a)).collect();
    attributes.extend(kept);
    asked["attributes"] = attributes.into();
    if list(&asked, "tags").is_empty() && !list(now, "tags").is_empty() {
        asked["tags"] = now["tags"].clone();
    }
    asked
}

async fn delete(s: &mut Session, kind: Kind, one: One) -> Result<()> {
    confirm(s.force, &format!("Really delete policy '{}'?", one.policy))?;
    let api = s.api().await?;
    s.out.progress(format!("Deleting policy {} of {}", one.policy, one.subject));
    let subject = subject(&api, kind, &one.subject, Several::unless(s.force)).await?;
    let (_, path) = get(&api, &subject, &one.policy, Version::V1).await?;
    api.send(Call::delete(path)).await?;
    s.out.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::output::columns_of;

    #[test]
    fn a_changed_target_keeps_what_the_options_do_not_name() {
        let attributes = |all: &[(&str, &str)]| {
            let all: Vec<Value> =
                all.iter().map(|(k, v)| json!({"key": k, "operator": "stringEquals", "value": v})).collect();
            json!({"attributes": all})
        };
        let mut now = attributes(&[
            ("accountId", "a"),
            ("serviceName", "secrets-manager"),
            ("serviceInstance", "i"),
            ("resource", "g"),
        ]);
        now["tags"] = json!([{"key": "env", "value": "dev", "operator": "stringEquals"}]);
        let region = attributes(&[("accountId", "a"), ("serviceType", "service"), ("region", "eu-de")]);
        let shown = |asked| target(&json!({"resource": merged(&now, asked)}));
        assert_eq!(
            shown(region),
            "region=eu-de, serviceName=secrets-manager, serviceInstance=i, resource=g, tag env=dev"
        );
        let service = attributes(&[("accountId", "a"), ("serviceName", "kms")]);
        assert_eq!(shown(service), "serviceName=kms, serviceInstance=i, resource=g, tag env=dev");
        let management = attributes(&[("accountId", "a"), ("serviceType", "platform_service")]);
        assert_eq!(
            shown(management),
            "serviceType=platform_service, serviceInstance=i, resource=g, tag env=dev"
        );
        let mut resource = attributes(&[("accountId", "a"), ("serviceType", "service"), ("resource", "h")]);
        resource["tags"] = json!([{"key": "env", "value": "prod", "operator": "stringEquals"}]);
        assert_eq!(
            shown(resource),
            "resource=h, serviceName=secrets-manager, serviceInstance=i, tag env=prod"
        );
    }

    #[test]
    fn both_forms_are_shown_alike() {
        let v2 = json!({"id": "p2",
            "subject": {"attributes": [{"key": "iam_id", "operator": "stringEquals", "value": "iam-Profile-1"}]},
            "control": {"grant": {"roles": [{"role_id": "crn:v1:bluemix:public:iam::::role:Viewer"}]}},
            "resource": {"attributes": [{"key": "accountId", "operator": "stringEquals", "value": "a"},
                {"key": "serviceName", "operator": "stringEquals", "value": "kms"},
                {"key": "resourceGroupId", "operator": "stringExists", "value": true}],
                "tags": [{"key": "env", "value": "dev", "operator": "stringEquals"}]}});
        let v1 = json!({"id": "p1",
            "subjects": [{"attributes": [{"name": "access_group_id", "value": "AccessGroupId-1"}]}],
            "roles": [{"role_id": "x", "display_name": "Content Reader"}],
            "resources": [{"attributes": [{"name": "accountId", "value": "a"}, {"name": "serviceType", "value": "service"}]}]});
        insta::assert_snapshot!(columns_of(&["Policy ID", "Roles", "Resources"], &[row(&v2), row(&v1)]), @r"
        Policy ID  Roles           Resources
        p2         Viewer          serviceName=kms, resourceGroupId=*, tag env=dev
        p1         Content Reader  serviceType=service
        ");
        assert_eq!(subject_text(&v1), "access_group_id=AccessGroupId-1");
        assert_eq!(subject_text(&v2), "iam_id=iam-Profile-1");
    }
}
