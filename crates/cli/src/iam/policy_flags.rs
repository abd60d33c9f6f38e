//! The option set that every policy command shares, and the policy that it means. Roles are named as people see them
//! and looked up; everything else goes as it was typed.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::roles;
use crate::api::Api;
use crate::failure::{Result, failed, usage};
use crate::input::{json_file, pair};
use crate::ks::clusters;
use crate::output::{Out, cell};
use crate::resource::{groups, instances};
use crate::select::{self, Several};

/// Which form of the policy interface.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Version {
    #[default]
    V1,
    V2,
}

/// Roles and target of a policy.
#[derive(Debug, Default, Args)]
pub struct Flags {
    /// The whole policy as JSON: file, @file or inline
    #[arg(long, value_name = "FILE|JSON", conflicts_with_all = ["roles", "service_name", "service_instance", "region",
        "resource_type", "resource", "resource_group_name", "resource_group_id", "tags", "account_management", "attributes"])]
    pub file: Option<String>,
    /// Roles by the names that people see, such as 'Viewer,SecretsReader'
    #[arg(short, long, value_delimiter = ',')]
    pub roles: Vec<String>,
    /// Service; without one, all services
    #[arg(long, value_name = "SERVICE")]
    pub service_name: Option<String>,
    /// Instance: GUID, CRN or name
    #[arg(long, value_name = "GUID|CRN|NAME")]
    pub service_instance: Option<String>,
    /// Only what is in this region
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Only this kind of resource, such as secret-group
    #[arg(long, value_name = "TYPE")]
    pub resource_type: Option<String>,
    /// Only the resource with this id
    #[arg(long, value_name = "ID")]
    pub resource: Option<String>,
    /// Resource group by name; '*' for all
    #[arg(long, value_name = "NAME", conflicts_with = "resource_group_id")]
    pub resource_group_name: Option<String>,
    /// Resource group by id
    #[arg(long, value_name = "ID")]
    pub resource_group_id: Option<String>,
    /// Access tags
    #[arg(long, value_name = "NAME:VALUE", value_delimiter = ',')]
    pub tags: Vec<String>,
    /// All account management services
    #[arg(long, conflicts_with = "service_name")]
    pub account_management: bool,
    /// More attributes of the target
    #[arg(long, value_name = "NAME=VALUE", value_delimiter = ',')]
    pub attributes: Vec<String>,
    /// Form of the policy
    #[arg(long, value_enum, ignore_case = true)]
    pub api_version: Option<Version>,
}

/// An attribute of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    pub key: String,
    pub value: String,
}

/// Short for an attribute.
pub fn attribute(key: &str, value: impl Into<String>) -> Attribute {
    Attribute { key: key.to_owned(), value: value.into() }
}

impl Flags {
    /// True when an option says something about the target.
    pub fn has_target(&self) -> bool {
        self.service_name.is_some()
            || self.service_instance.is_some()
            || self.region.is_some()
            || self.resource_type.is_some()
            || self.resource.is_some()
            || self.resource_group_name.is_some()
            || self.resource_group_id.is_some()
            || !self.tags.is_empty()
            || self.account_management
            || !self.attributes.is_empty()
    }

    /// The policy in `--file`, if there is one.
    pub fn whole_document(&self) -> Result<Option<Value>> {
        let Some(file) = &self.file else { return Ok(None) };
        let policy = json_file("--file", file)?;
        if policy.is_object() { Ok(Some(policy)) } else { Err(usage("--file: not a policy object.")) }
    }

    /// Attributes of the target.
    pub async fn target(&self, api: &Api) -> Result<Vec<Attribute>> {
        let group = match (&self.resource_group_id, &self.resource_group_name) {
            (Some(id), _) => Some(id.clone()),
            (None, Some(name)) if name == "*" => Some(name.clone()),
            (None, Some(name)) => Some(cell(&groups::find(api, name).await?, "id")),
            (None, None) => None,
        };
        let instance = match &self.service_instance {
            Some(wanted) => Some(self.instance_id(api, wanted).await?),
            None => None,
        };
        self.attributes_with(api.account()?, group, instance)
    }

    /// What a policy says for an instance. A name would be stored as it is and never match anything.
    async fn instance_id(&self, api: &Api, wanted: &str) -> Result<String> {
        if wanted.starts_with("crn:") {
            return guid(wanted);
        }
        let cluster = self.service_name.as_deref() == Some("containers-kubernetes");
        if select::uuid(wanted) || wanted.contains(['*', '?']) || cluster && cluster_id(wanted) {
            return Ok(wanted.to_owned());
        }
        if cluster {
            return Ok(cell(&clusters::published(api, wanted).await?, "id"));
        }
        let found = match &self.service_name {
            Some(service) => instances::of_service(api, wanted, service).await?,
            None => instances::find(api, wanted, Several::Ask).await?,
        };
        Ok(cell(&found, "guid"))
    }

    fn attributes_with(
        &self,
        account: &str,
        group: Option<String>,
        instance: Option<String>,
    ) -> Result<Vec<Attribute>> {
        let mut all = vec![attribute("accountId", account)];
        let group_object = self.resource_type.as_deref() == Some("resource-group");
        match &self.service_name {
            Some(name) => all.push(attribute("serviceName", name)),
            None if self.account_management => all.push(attribute("serviceType", "platform_service")),
            None if group_object || self.attributes.iter().any(|a| a.starts_with("service_group_id=")) => {}
            None => all.push(attribute("serviceType", "service")),
        }
        for (key, value) in
            [("region", &self.region), ("resourceType", &self.resource_type), ("resource", &self.resource)]
        {
            if let Some(value) = value {
                all.push(attribute(key, value));
            }
        }
        if let Some(instance) = instance {
            all.push(attribute("serviceInstance", instance));
        }
        if let Some(group) = group {
            all.push(attribute("resourceGroupId", group));
        }
        for text in &self.attributes {
            let (key, value) = pair("--attributes", '=', text)?;
            all.push(attribute(key, value));
        }
        Ok(all)
    }

    fn tag_pairs(&self) -> Result<Vec<Attribute>> {
        self.tags.iter().map(|t| pair("--tags", ':', t).map(|(k, v)| attribute(k, v))).collect()
    }

    /// Ids of the roles.
    pub async fn role_ids(&self, api: &Api, out: &Out) -> Result<Vec<String>> {
        let service = self.service_name.as_deref();
        let ids = roles::resolve(api, &self.roles, service).await?;
        let reader = "crn:v1:bluemix:public:iam::::serviceRole:Reader";
        if service == Some("secrets-manager") && ids.iter().any(|id| id == reader) {
            out.note("Hint: Reader shows names and metadata of secrets only. Reading payloads takes SecretsReader.");
        }
        Ok(ids)
    }

    /// The whole document of a new policy.
    pub async fn document(
        &self,
        api: &Api,
        out: &Out,
        subject: &[Attribute],
        version: Version,
    ) -> Result<Value> {
        if let Some(mut policy) = self.whole_document()? {
            complete(&mut policy, subject);
            return Ok(policy);
        }
        if self.roles.is_empty() {
            return Err(usage("Missing required option --roles (or --file)."));
        }
        let roles = self.role_ids(api, out).await?;
        let target = self.target(api).await?;
        let parts =
            Parts { kind: "access", subject, target: &target, tags: &self.tag_pairs()?, roles: &roles };
        Ok(document(version, &parts))
    }

    /// Resources (v1) or resource (v2) alone.
    pub async fn resource(&self, api: &Api, version: Version) -> Result<Value> {
        Ok(resource(version, &self.target(api).await?, &self.tag_pairs()?))
    }
}

/// A policy from a file may leave out its subject and type: the command names them.
fn complete(policy: &mut Value, subject: &[Attribute]) {
    let version = version_of(policy);
    if let Some(fields) = policy.as_object_mut() {
        fields.entry("type").or_insert_with(|| json!("access"));
        match version {
            Version::V1 => {
                fields.entry("subjects").or_insert_with(|| json!([attributes(Version::V1, subject)]))
            }
            Version::V2 => fields.entry("subject").or_insert_with(|| attributes(Version::V2, subject)),
        };
    }
}

/// Which form a document has.
pub fn version_of(policy: &Value) -> Version {
    if policy.get("control").is_some() || policy.get("resource").is_some() {
        Version::V2
    } else {
        Version::V1
    }
}

/// What a policy says.
#[derive(Debug, Default)]
pub struct Parts<'a> {
    /// `access` or `authorization`.
    pub kind: &'a str,
    pub subject: &'a [Attribute],
    pub target: &'a [Attribute],
    pub tags: &'a [Attribute],
    /// Ids.
    pub roles: &'a [String],
}

/// A policy document.
pub fn document(version: Version, parts: &Parts<'_>) -> Value {
    let Parts { kind, subject, target, tags, roles } = *parts;
    let roles: Vec<Value> = roles.iter().map(|id| json!({"role_id": id})).collect();
    match version {
        Version::V1 => json!({
            "type": kind,
            "subjects": [attributes(version, subject)],
            "roles": roles,
            "resources": resource(version, target, tags),
        }),
        Version::V2 => json!({
            "type": kind,
            "subject": attributes(version, subject),
            "control": {"grant": {"roles": roles}},
            "resource": resource(version, target, tags),
        }),
    }
}

fn resource(version: Version, target: &[Attribute], tags: &[Attribute]) -> Value {
    let mut one = attributes(version, target);
    if let (false, Some(fields)) = (tags.is_empty(), one.as_object_mut()) {
        let name = if version == Version::V1 { "name" } else { "key" };
        let tags: Vec<Value> =
            tags.iter().map(|t| json!({name: t.key, "value": t.value, "operator": "stringEquals"})).collect();
        fields.insert("tags".into(), tags.into());
    }
    if version == Version::V1 { json!([one]) } else { one }
}

fn attributes(version: Version, all: &[Attribute]) -> Value {
    let all: Vec<Value> = all
        .iter()
        .map(|a| {
            let mut fields = Map::new();
            let wild = a.value.contains(['*', '?']);
            match version {
                Version::V1 => {
                    fields.insert("name".into(), json!(a.key));
                    fields.insert("value".into(), json!(a.value));
                    if wild {
                        fields.insert("operator".into(), json!("stringMatch"));
                    }
                }
                Version::V2 => {
                    let any = a.value == "*";
                    let operator = match (any, wild) {
                        (true, _) => "stringExists",
                        (_, true) => "stringMatch",
                        _ => "stringEquals",
                    };
                    fields.insert("key".into(), json!(a.key));
                    fields.insert("operator".into(), json!(operator));
                    fields.insert("value".into(), if any { json!(true) } else { json!(a.value) });
                }
            }
            Value::Object(fields)
        })
        .collect();
    json!({"attributes": all})
}

/// True for the form of the ids of clusters, which are no UUIDs.
fn cluster_id(text: &str) -> bool {
    text.len() == 20 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// The GUID in a CRN.
fn guid(instance: &str) -> Result<String> {
    let crn = avouch_wire::Crn::parse(instance).map_err(|_| usage("--service-instance: not a CRN."))?;
    match crn.instance() {
        "" => Err(failed(format!("--service-instance: {instance} names no instance."))),
        guid => Ok(guid.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn options_become_attributes() {
        let flags = Flags {
            service_name: Some("secrets-manager".into()),
            resource_type: Some("secret-group".into()),
            resource: Some("default".into()),
            ..Flags::default()
        };
        let crn = format!("crn:v1:bluemix:public:secrets-manager:us-south:a/{ACCOUNT}:GUID::");
        let all = flags.attributes_with(ACCOUNT, None, Some(guid(&crn).unwrap())).unwrap();
        let keys: Vec<_> = all.iter().map(|a| (a.key.as_str(), a.value.as_str())).collect();
        assert_eq!(
            keys,
            [
                ("accountId", ACCOUNT),
                ("serviceName", "secrets-manager"),
                ("resourceType", "secret-group"),
                ("resource", "default"),
                ("serviceInstance", "GUID")
            ]
        );
    }

    #[test]
    fn without_a_service_all_services_or_all_of_account_management_are_meant() {
        let value = |flags: Flags| {
            flags.attributes_with(ACCOUNT, None, None).unwrap().get(1).map(|a| a.value.clone())
        };
        assert_eq!(value(Flags::default()).as_deref(), Some("service"));
        assert_eq!(
            value(Flags { account_management: true, ..Flags::default() }).as_deref(),
            Some("platform_service")
        );
        let group = Flags { resource_type: Some("resource-group".into()), ..Flags::default() };
        assert_eq!(value(group).as_deref(), Some("resource-group"));
    }

    #[test]
    fn both_forms_say_the_same() {
        let subject = [attribute("iam_id", "iam-Profile-1")];
        let target =
            [attribute("accountId", ACCOUNT), attribute("resourceGroupId", "*"), attribute("region", "us-*")];
        let roles = ["crn:v1:bluemix:public:iam::::role:Viewer".to_owned()];
        let tags = [attribute("env", "dev")];
        let parts = Parts { kind: "access", subject: &subject, target: &target, tags: &tags, roles: &roles };
        let v1 = document(Version::V1, &parts);
        let v2 = document(Version::V2, &parts);
        assert_eq!(v1["subjects"][0]["attributes"][0], json!({"name": "iam_id", "value": "iam-Profile-1"}));
        assert_eq!(v1["resources"][0]["attributes"][2]["operator"], "stringMatch");
        assert_eq!(v1["resources"][0]["tags"][0]["name"], "env");
        assert_eq!(
            v2["resource"]["attributes"][1],
            json!({"key": "resourceGroupId", "operator": "stringExists", "value": true})
        );
        assert_eq!(v2["control"]["grant"]["roles"][0]["role_id"], roles[0]);
        assert_eq!((version_of(&v1), version_of(&v2)), (Version::V1, Version::V2));
    }

    #[test]
    fn a_file_may_leave_out_the_subject() {
        let mut policy = json!({"roles": [], "resources": []});
        complete(&mut policy, &[attribute("iam_id", "x")]);
        assert_eq!(policy["type"], "access");
        assert_eq!(policy["subjects"][0]["attributes"][0]["value"], "x");
    }
}
