//! What a policy must satisfy to be written, as far as that can be said without looking anything up.
//!
//! Left to the caller, because it needs the store: that the account is the caller's, that the access group exists, that the
//! subject is not locked, that there is no equal policy ([`PolicyDoc::canonical`]), the quotas, and that the caller may
//! write here ([`PolicyDoc::target_requests`]).

use super::attrs::{Key, known_location};
use super::custom::CustomRoles;
use super::doc::{Attr, Invalid, Op, PolicyDoc, PolicyType, Subject};
use crate::roles::{Catalogue, Service, Target};
use avouch_wire::{AccessGroupId, AccountId, IamId};

/// Attribute keys that authorizations may use on either side.
const AUTHORIZATION_KEYS: [Key; 7] = [
    Key::SERVICE,
    Key::INSTANCE,
    Key::REGION,
    Key::RESOURCE_TYPE,
    Key::RESOURCE,
    Key::ACCOUNT,
    Key::RESOURCE_GROUP,
];

/// Whether a policy may be written.
///
/// ```
/// use avouch_policy::access::{CustomRoles, PolicyDoc, validate};
/// use avouch_policy::roles::Catalogue;
/// let body = serde_json::json!({"type": "access",
///   "subject": {"attributes": [{"key": "iam_id", "operator": "stringEquals", "value": "IBMid-1"}]},
///   "control": {"grant": {"roles": [{"role_id": "crn:v1:bluemix:public:secrets-manager::::serviceRole:SecretsReader"}]}},
///   "resource": {"attributes": [
///     {"key": "accountId", "operator": "stringEquals", "value": "0123456789abcdef0123456789abcdef"},
///     {"key": "serviceName", "operator": "stringEquals", "value": "kms"}]}});
/// let doc = PolicyDoc::from_v2(&body).unwrap();
/// let problem = validate(&doc, Catalogue::builtin(), &CustomRoles::default()).unwrap_err();
/// assert_eq!(problem.field, "roles[0]");
/// ```
pub fn validate(doc: &PolicyDoc, catalogue: &Catalogue, custom: &CustomRoles) -> Result<(), Invalid> {
    if let Some(problem) = doc.unknown {
        return Err(Invalid::new("policy", problem));
    }
    if let Some(unknown) = doc.resource.iter().find(|a| Key::parse(&a.key).is_none()) {
        return Err(attribute(&unknown.key, "is not a known attribute"));
    }
    account(&doc.resource, "resource")?;
    let service = service(doc, catalogue)?;
    match doc.kind {
        PolicyType::Access => access(doc, service)?,
        PolicyType::Authorization => authorization(doc, catalogue)?,
    }
    for attr in &doc.resource {
        one_attribute(attr, service)?;
    }
    tags(doc)?;
    if let (Some(pattern), Some(rule)) = (&doc.pattern, &doc.rule) {
        rule.check_pattern(pattern)?;
        let bad = rule.resource_keys().into_iter().find(|k| !declared(*k, service));
        if bad.is_some() {
            return Err(Invalid::new("rule", "looks at an attribute that the service does not have"));
        }
    }
    roles(doc, catalogue, custom)
}

fn attribute(key: &str, problem: &'static str) -> Invalid {
    Invalid::new(format!("attributes.{key}"), problem)
}

fn account(attrs: &[Attr], side: &str) -> Result<(), Invalid> {
    let found = attrs.iter().find(|a| a.key == Key::ACCOUNT.as_str());
    let Some(found) = found else {
        return Err(Invalid::new(format!("{side}.attributes"), "must hold accountId"));
    };
    match &found.op {
        Op::Equals(v) if AccountId::parse(v).is_ok() => Ok(()),
        _ => Err(attribute("accountId", "must be stringEquals an account id")),
    }
}

/// The service that the policy names, which must be one that is known.
fn service<'c>(doc: &PolicyDoc, catalogue: &'c Catalogue) -> Result<Option<&'c Service>, Invalid> {
    if !doc.has(Key::SERVICE) {
        return Ok(None);
    }
    let name = doc.equals(Key::SERVICE).ok_or_else(|| attribute("serviceName", "must be stringEquals"))?;
    if doc.has(Key::SERVICE_GROUP) {
        return Err(attribute("service_group_id", "cannot stand beside serviceName"));
    }
    let service =
        catalogue.service(name).ok_or_else(|| attribute("serviceName", "is not a known service"))?;
    match doc.equals(Key::SERVICE_TYPE) {
        Some(kind) if service.kind.service_type() != Some(kind) => {
            Err(attribute("serviceType", "is not the type of the service"))
        }
        _ => Ok(Some(service)),
    }
}

fn access(doc: &PolicyDoc, service: Option<&Service>) -> Result<(), Invalid> {
    match &doc.subject {
        Subject::IamId(id) if IamId::parse(id).is_err() || id.starts_with("AccessGroupId-") => {
            return Err(Invalid::new("subject.iam_id", "is not an IAM id"));
        }
        Subject::AccessGroup(id) if AccessGroupId::parse(id).is_err() => {
            return Err(Invalid::new("subject.access_group_id", "is not an access group id"));
        }
        Subject::Service(_) => return Err(Invalid::new("subject", "is not the subject of an access policy")),
        Subject::IamId(_) | Subject::AccessGroup(_) => {}
    }
    let anchored = [Key::SERVICE_TYPE, Key::SERVICE, Key::RESOURCE_GROUP, Key::SERVICE_GROUP];
    let group_object =
        doc.target() == Target::ResourceGroup && service.is_none_or(|s| s.name == "resource-controller");
    if !anchored.iter().any(|k| doc.has(*k)) && !group_object {
        let problem = "must hold one of serviceType, serviceName, resourceGroupId, service_group_id";
        return Err(Invalid::new("resource.attributes", problem));
    }
    Ok(())
}

fn authorization(doc: &PolicyDoc, catalogue: &Catalogue) -> Result<(), Invalid> {
    let Subject::Service(subject) = &doc.subject else {
        return Err(Invalid::new("subject", "is not the subject of an authorization"));
    };
    account(subject, "subject")?;
    let allowed = |a: &&Attr| !Key::parse(&a.key).is_some_and(|k| AUTHORIZATION_KEYS.contains(&k));
    if let Some(bad) = subject.iter().chain(&doc.resource).find(allowed) {
        return Err(attribute(&bad.key, "is not an attribute of authorizations"));
    }
    if let Some(bad) = subject.iter().find(|a| !matches!(a.op, Op::Equals(_) | Op::Exists(_))) {
        return Err(attribute(&bad.key, "takes stringEquals or stringExists in a subject"));
    }
    match doc.subject_equals(Key::SERVICE) {
        Some(name) if catalogue.service(name).is_none() => {
            return Err(attribute("serviceName", "is not a known service"));
        }
        Some(_) => {}
        None if subject.iter().any(|a| a.key == Key::RESOURCE_GROUP.as_str()) => {}
        None => return Err(Invalid::new("subject.attributes", "must hold serviceName or resourceGroupId")),
    }
    if doc.equals(Key::SERVICE).is_none() && doc.target() != Target::ResourceGroup {
        return Err(Invalid::new(
            "resource.attributes",
            "must hold serviceName or resourceType=resource-group",
        ));
    }
    Ok(())
}

fn declared(key: Key, service: Option<&Service>) -> bool {
    key.is_system_wide() || service.is_some_and(|s| s.attributes.iter().any(|a| a == key.as_str()))
}

fn one_attribute(attr: &Attr, service: Option<&Service>) -> Result<(), Invalid> {
    let Some(key) = Key::parse(&attr.key) else {
        return Err(attribute(&attr.key, "is not a known attribute"));
    };
    if !declared(key, service) {
        return Err(attribute(&attr.key, "is not an attribute of the service"));
    }
    match (key, &attr.op) {
        (_, Op::Unknown(_)) => Err(attribute(&attr.key, "has an operator that is not known")),
        (Key::SERVICE_TYPE, Op::Equals(v)) if v == "service" || v == "platform_service" => Ok(()),
        (Key::SERVICE_TYPE, _) => Err(attribute("serviceType", "must be service or platform_service")),
        (Key::SERVICE_GROUP, Op::Equals(v)) if v == "IAM" => Ok(()),
        (Key::SERVICE_GROUP, _) => Err(attribute("service_group_id", "must be IAM")),
        (k, Op::Equals(v)) if k.is_location() && !known_location(k, v) => {
            Err(attribute(&attr.key, "is not a known location"))
        }
        _ => Ok(()),
    }
}

fn tags(doc: &PolicyDoc) -> Result<(), Invalid> {
    if doc.tags.is_empty() {
        return Ok(());
    }
    if doc.kind != PolicyType::Access || !doc.is_account_wide() {
        return Err(Invalid::new(
            "resource.tags",
            "only allowed on all services of the account, without narrowing",
        ));
    }
    match doc.tags.iter().any(|t| t.name.contains(':') || !matches!(t.op, Op::Equals(_) | Op::Match(_))) {
        true => Err(Invalid::new("resource.tags", "must be key and value with stringEquals or stringMatch")),
        false => Ok(()),
    }
}

fn roles(doc: &PolicyDoc, catalogue: &Catalogue, custom: &CustomRoles) -> Result<(), Invalid> {
    if doc.roles.is_empty() {
        return Err(Invalid::new("roles", "must not be empty"));
    }
    let target = doc.target();
    for (i, crn) in doc.roles.iter().enumerate() {
        let refuse = |problem| Err(Invalid::new(format!("roles[{i}]"), problem));
        match catalogue.resolve(crn) {
            Some(role) => {
                let fits = match doc.kind {
                    PolicyType::Access => catalogue.grantable(role, target),
                    PolicyType::Authorization => catalogue.authorizable(
                        role,
                        doc.subject_equals(Key::SERVICE),
                        doc.equals(Key::SERVICE),
                    ),
                };
                if !fits {
                    return refuse("is not a role of the target");
                }
            }
            None => match custom.service_of(crn) {
                Some(service) if target == Target::Service(service) => {}
                Some(_) => return refuse("is a custom role of another service"),
                None => return refuse("is not a known role"),
            },
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
