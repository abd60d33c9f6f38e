//! Custom roles of one account: named sets of actions of one service.

use crate::roles::Catalogue;
use std::collections::{HashMap, HashSet};

#[derive(Clone, Debug)]
struct CustomRole {
    service: String,
    /// In the spelling that is evaluated.
    actions: HashSet<String>,
}

/// The custom roles of an account, by resource name.
///
/// ```
/// use avouch_policy::access::CustomRoles;
/// let mut roles = CustomRoles::default();
/// roles.upsert("crn:v1:bluemix:public:iam-access-management::a/1::customRole:Rotator", "kms", ["kms.secrets.rotate"]);
/// assert_eq!(roles.service_of("crn:v1:bluemix:public:iam-access-management::a/1::customRole:Rotator"), Some("kms"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct CustomRoles(HashMap<String, CustomRole>);

impl CustomRoles {
    /// Adds a role or replaces it. Policies that name it follow at once.
    pub fn upsert<A: AsRef<str>>(&mut self, crn: &str, service: &str, actions: impl IntoIterator<Item = A>) {
        let known = Catalogue::builtin().service(service);
        let canonical = |a: A| match known {
            Some(s) => s.canonical(a.as_ref()).to_owned(),
            None => a.as_ref().to_owned(),
        };
        let role =
            CustomRole { service: service.to_owned(), actions: actions.into_iter().map(canonical).collect() };
        self.0.insert(crn.to_owned(), role);
    }

    /// Forgets a role; policies that name it grant nothing by it.
    pub fn remove(&mut self, crn: &str) {
        self.0.remove(crn);
    }

    /// The service of a role; `None` if there is no such role.
    pub fn service_of(&self, crn: &str) -> Option<&str> {
        self.0.get(crn).map(|r| r.service.as_str())
    }

    /// Whether the role allows an action, in canonical spelling, on a service.
    pub(crate) fn grants(&self, crn: &str, service: &str, action: &str) -> bool {
        self.0.get(crn).is_some_and(|r| r.service == service && r.actions.contains(action))
    }

    /// Whether the role allows anything on a service.
    pub(crate) fn reaches(&self, crn: &str, service: &str) -> bool {
        self.0.get(crn).is_some_and(|r| r.service == service && !r.actions.is_empty())
    }
}
