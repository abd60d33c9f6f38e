//! Roles, services and their actions: what a granted role allows on a service.
//!
//! The table is data (`data/roles.toml`), read once. A role has no meaning apart from a service: its action set is looked up
//! for the service of the request, and no role contains another. Names that are not in the table grant nothing.

mod load;

use avouch_wire::text::edit_distance;
use hashbrown::HashMap;
use serde::Serialize;
use std::sync::LazyLock;

/// Most letters by which a mistyped action differs from the one that was meant.
const NEAR: usize = 4;

/// Platform roles act on the resource as a thing, service roles inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleKind {
    Platform,
    Service,
}

/// A built-in role.
#[derive(Clone, Debug)]
pub struct Role {
    pub crn: String,
    /// `iam`, or the service that owns the role.
    pub owner: String,
    pub name: String,
    pub kind: RoleKind,
    pub display_name: String,
    pub description: String,
}

/// What `serviceType` a service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceKind {
    Service,
    PlatformService,
    /// The operator's own service. It has no `serviceType`, so that no policy on all services covers it.
    Operator,
}

impl ServiceKind {
    /// The value of the `serviceType` attribute.
    pub fn service_type(self) -> Option<&'static str> {
        match self {
            Self::Service => Some("service"),
            Self::PlatformService => Some("platform_service"),
            Self::Operator => None,
        }
    }
}

/// A service and what its roles allow.
#[derive(Clone, Debug)]
pub struct Service {
    pub name: String,
    pub display_name: String,
    pub kind: ServiceKind,
    /// Member of `service_group_id=IAM`.
    pub iam_group: bool,
    /// Attribute keys that policies on this service may use beyond the system-wide ones.
    pub attributes: Vec<String>,
    /// Whether those keys are ids of kinds of objects, where `*` means any.
    pub id_attribute: bool,
    offered: u64,
    listed: Vec<usize>,
    actions: Vec<(String, u64)>,
    masks: HashMap<String, u64>,
    /// Built-in roles that allow anything here.
    reaching: u64,
    aliases: HashMap<String, String>,
}

impl Service {
    /// All actions, in the order of the table.
    pub fn actions(&self) -> impl Iterator<Item = &str> {
        self.actions.iter().map(|(a, _)| a.as_str())
    }

    /// The spelling that is evaluated: newer spellings of an action mean the older one.
    pub fn canonical<'a>(&'a self, action: &'a str) -> &'a str {
        if self.aliases.is_empty() {
            return action;
        }
        self.aliases.get(action).map_or(action, String::as_str)
    }

    /// Whether the action, in either spelling, belongs to this service. The common actions do not: they belong to all.
    pub fn owns(&self, action: &str) -> bool {
        let canonical = self.canonical(action);
        self.masks.contains_key(canonical) && canonical.starts_with(&format!("{}.", self.name))
    }

    /// The built-in roles that grant `action` on this service, as a mask over [`Catalogue::roles`].
    pub(crate) fn granting(&self, action: &str) -> u64 {
        self.masks.get(self.canonical(action)).copied().unwrap_or(0)
    }

    /// The built-in roles that grant any action on this service.
    pub(crate) fn reaching(&self) -> u64 {
        self.reaching
    }
}

/// The actions that one role allows on one service.
#[derive(Clone, Copy, Debug)]
pub struct ActionSet<'c> {
    service: Option<&'c Service>,
    mask: u64,
}

impl<'c> ActionSet<'c> {
    pub fn contains(&self, action: &str) -> bool {
        self.service.is_some_and(|s| s.granting(action) & self.mask != 0)
    }

    pub fn iter(&self) -> impl Iterator<Item = &'c str> + use<'c> {
        let mask = self.mask;
        self.service
            .into_iter()
            .flat_map(move |s| s.actions.iter().filter(move |(_, m)| m & mask != 0).map(|(a, _)| a.as_str()))
    }

    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

/// A built-in role as a policy names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RoleRef {
    /// Place in [`Catalogue::roles`].
    pub place: usize,
    /// Set if the role was named in the namespace of a service: it then works on that service only.
    pub only: Option<usize>,
}

/// A role as role listings show it: with its actions for the target asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoleView {
    pub crn: String,
    pub display_name: String,
    pub description: String,
    pub actions: Vec<String>,
}

/// The built-in roles for a target, in the two lists of role listings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RolesFor {
    pub service_roles: Vec<RoleView>,
    pub system_roles: Vec<RoleView>,
}

/// What a policy is about, as far as the choice of roles goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// `serviceType=service`, a resource group, or nothing said.
    AllServices,
    /// `serviceType=platform_service`.
    AccountManagement,
    /// `service_group_id=IAM`.
    IamGroup,
    Service(&'a str),
    /// `resourceType=resource-group`: the group itself.
    ResourceGroup,
}

/// All built-in roles and services.
#[derive(Clone, Debug)]
pub struct Catalogue {
    roles: Vec<Role>,
    services: Vec<Service>,
    by_name: HashMap<String, usize>,
    pairs: HashMap<(String, String), u64>,
    common: Vec<(u64, Vec<String>)>,
    generic_platform: u64,
    generic_service: u64,
    group_object: u64,
    delegator: u64,
}

static BUILTIN: LazyLock<Catalogue> =
    LazyLock::new(|| match load::load(include_str!("../../data/roles.toml")) {
        Ok(catalogue) => catalogue,
        // INVARIANT: the file is part of the binary and `the_table_loads` reads this very text.
        Err(problem) => panic!("role table: {problem}"),
    });

impl Catalogue {
    /// The table that is part of the binary.
    ///
    /// ```
    /// use avouch_policy::roles::Catalogue;
    /// let c = Catalogue::builtin();
    /// let reader = c.actions_of("crn:v1:bluemix:public:iam::::serviceRole:Reader", "secrets-manager");
    /// assert!(reader.contains("secrets-manager.secret-metadata.read"));
    /// assert!(!reader.contains("secrets-manager.secret.read"));
    /// ```
    pub fn builtin() -> &'static Catalogue {
        &BUILTIN
    }

    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    pub fn services(&self) -> &[Service] {
        &self.services
    }

    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.get(*self.by_name.get(name)?)
    }

    pub(crate) fn service_place(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn service_at(&self, place: usize) -> Option<&Service> {
        self.services.get(place)
    }

    /// Whether there is such an action, of any service, in any spelling.
    ///
    /// ```
    /// use avouch_policy::roles::Catalogue;
    /// assert!(Catalogue::builtin().knows("secrets-manager.secret.read"));
    /// assert!(!Catalogue::builtin().knows("secrets-manager.secret.raed"));
    /// ```
    pub fn knows(&self, action: &str) -> bool {
        self.services.iter().any(|s| s.masks.contains_key(s.canonical(action)))
            || self.granting_on_all(action) != 0
    }

    /// Up to three actions that are spelled almost like this one, the nearest first.
    pub fn near(&self, action: &str) -> Vec<&str> {
        let of_services = self.services.iter().flat_map(Service::actions);
        let common = self.common.iter().flat_map(|(_, list)| list.iter().map(String::as_str));
        let mut near: Vec<(usize, &str)> = of_services
            .chain(common)
            .filter(|known| known.len().abs_diff(action.len()) <= NEAR)
            .map(|known| (edit_distance(action, known), known))
            .filter(|(distance, _)| *distance <= NEAR)
            .collect();
        near.sort_unstable();
        near.dedup();
        near.into_iter().take(3).map(|(_, known)| known).collect()
    }

    /// The built-in roles that grant `action` on every service: the common actions.
    pub(crate) fn granting_on_all(&self, action: &str) -> u64 {
        let holds = |list: &[String]| list.iter().any(|a| a == action);
        self.common.iter().filter(|(_, list)| holds(list)).fold(0, |m, (mask, _)| m | mask)
    }

    /// The built-in role of a resource name; `None` if there is no such role.
    ///
    /// `crn:…:iam::::serviceRole:Reader` works wherever its policy says. `crn:…:<service>::::serviceRole:Reader` is the same
    /// role for that service only.
    pub(crate) fn resolve(&self, crn: &str) -> Option<RoleRef> {
        let mut parts = crn.split(':');
        let mut next = || parts.next();
        let (scheme, version, cname, ctype, owner) = (next()?, next()?, next()?, next()?, next()?);
        let empty = [next()?, next()?, next()?];
        let (kind, name) = (next()?, next()?);
        let well_formed = scheme == "crn"
            && version == "v1"
            && !cname.is_empty()
            && ctype == "public"
            && empty.iter().all(|e| e.is_empty())
            && matches!(kind, "role" | "serviceRole")
            && parts.next().is_none();
        if !well_formed {
            return None;
        }
        let place = self.roles.iter().position(|r| r.name == name)?;
        let role = self.roles.get(place)?;
        if owner == role.owner {
            return (role.kind == RoleKind::Platform || kind == "serviceRole")
                .then_some(RoleRef { place, only: None });
        }
        if owner == "iam" {
            // COMPAT: manuals write some roles that a service owns, and the platform roles as service roles, in this way.
            return Some(RoleRef { place, only: None });
        }
        // COMPAT: the manuals of services name the common roles in the service's own namespace.
        let only = self.service_place(owner)?;
        let offered = self.services.get(only).is_some_and(|s| s.offered & 1 << place != 0);
        offered.then_some(RoleRef { place, only: Some(only) })
    }

    /// The role of a resource name, in any accepted spelling.
    pub fn role(&self, crn: &str) -> Option<&Role> {
        self.roles.get(self.resolve(crn)?.place)
    }

    /// What a built-in role allows on a service. Unknown roles and services allow nothing.
    pub fn actions_of(&self, role_crn: &str, service: &str) -> ActionSet<'_> {
        let nothing = ActionSet { service: None, mask: 0 };
        let (Some(role), Some(place)) = (self.resolve(role_crn), self.service_place(service)) else {
            return nothing;
        };
        if role.only.is_some_and(|only| only != place) {
            return nothing;
        }
        ActionSet { service: self.services.get(place), mask: 1 << role.place }
    }

    /// The roles of role listings for a service name as clients send it, which includes the two pseudo services.
    pub fn roles_for(&self, service: &str) -> RolesFor {
        match service {
            // COMPAT: the infrastructure provider sends this name for "all services".
            "alliamserviceroles" => self.roles_for_target(Target::AllServices),
            "resource-controller" => self.roles_for_target(Target::ResourceGroup),
            name => self.roles_for_target(Target::Service(name)),
        }
    }

    /// The roles of role listings for a target.
    pub fn roles_for_target(&self, target: Target<'_>) -> RolesFor {
        match target {
            Target::AllServices => self.view(self.generic_platform | self.generic_service, None),
            Target::AccountManagement => self.view(self.generic_platform, None),
            Target::ResourceGroup => self.view(self.group_object, self.service("resource-controller")),
            Target::Service(name) => match self.service(name) {
                Some(s) => self.view_of(&s.listed, std::slice::from_ref(s)),
                None => RolesFor::default(),
            },
            Target::IamGroup => {
                let members: Vec<Service> = self.services.iter().filter(|s| s.iam_group).cloned().collect();
                let mut places: Vec<usize> = Vec::new();
                for s in &members {
                    places.extend(s.listed.iter().filter(|p| !places.contains(p)).collect::<Vec<_>>());
                }
                places.sort_unstable();
                self.view_of(&places, &members)
            }
        }
    }

    /// The roles that an authorization from `source` to `target` may grant; empty lists for a pair that is not known.
    pub fn roles_for_authorization(&self, source: &str, target: &str) -> RolesFor {
        match self.pairs.get(&(source.to_owned(), target.to_owned())) {
            Some(mask) => self.view(*mask, self.service(target)),
            None => RolesFor::default(),
        }
    }

    fn view(&self, mask: u64, service: Option<&Service>) -> RolesFor {
        let places: Vec<usize> = (0..self.roles.len()).filter(|p| mask & 1 << p != 0).collect();
        match service {
            Some(s) => self.view_of(&places, std::slice::from_ref(s)),
            None => self.view_of(&places, &[]),
        }
    }

    /// Roles with the union of their actions on `services`; without a service, their common actions.
    fn view_of(&self, places: &[usize], services: &[Service]) -> RolesFor {
        let mut out = RolesFor::default();
        for &place in places {
            let Some(role) = self.roles.get(place) else { continue };
            let bit = 1 << place;
            let mut actions: Vec<String> = Vec::new();
            if services.is_empty() {
                for (mask, list) in &self.common {
                    actions.extend(list.iter().filter(|_| mask & bit != 0).cloned());
                }
            }
            for (action, _) in services.iter().flat_map(|s| &s.actions).filter(|(_, m)| m & bit != 0) {
                if services.len() == 1 || !actions.contains(action) {
                    actions.push(action.clone());
                }
            }
            let view = RoleView {
                crn: role.crn.clone(),
                display_name: role.display_name.clone(),
                description: role.description.clone(),
                actions,
            };
            match role.kind {
                RoleKind::Platform => out.system_roles.push(view),
                RoleKind::Service => out.service_roles.push(view),
            }
        }
        out
    }

    /// Whether a built-in role may be granted on a target.
    pub(crate) fn grantable(&self, role: RoleRef, target: Target<'_>) -> bool {
        let mask = match target {
            Target::AllServices => self.generic_platform | self.generic_service,
            Target::AccountManagement => self.generic_platform,
            Target::ResourceGroup => self.group_object,
            Target::IamGroup => self.services.iter().filter(|s| s.iam_group).fold(0, |m, s| m | s.offered),
            Target::Service(name) => self.service(name).map_or(0, |s| s.offered),
        };
        let within = match (role.only, target) {
            (None, _) => true,
            (Some(only), Target::Service(name)) => self.service_place(name) == Some(only),
            (Some(only), Target::IamGroup) => self.services.get(only).is_some_and(|s| s.iam_group),
            (Some(_), _) => false,
        };
        within && mask & 1 << role.place != 0
    }

    /// Whether a built-in role may be granted by an authorization from `source` on `target`.
    pub(crate) fn authorizable(&self, role: RoleRef, source: Option<&str>, target: Option<&str>) -> bool {
        let generic = self.generic_platform | self.generic_service | self.delegator;
        let offered = target.and_then(|t| self.service(t)).map_or(0, |s| s.offered);
        let pair = match (source, target) {
            (Some(s), Some(t)) => self.pairs.get(&(s.to_owned(), t.to_owned())).copied().unwrap_or(0),
            _ => 0,
        };
        let within = role.only.is_none_or(|only| target.and_then(|t| self.service_place(t)) == Some(only));
        within && (generic | offered | pair) & 1 << role.place != 0
    }

    /// A text for people; for an action outside the table, the action itself.
    ///
    /// ```
    /// let c = avouch_policy::roles::Catalogue::builtin();
    /// assert_eq!(c.action_display_name("secrets-manager.secret-metadata.read"), "Read secret metadata");
    /// ```
    pub fn action_display_name(&self, action: &str) -> String {
        let mut parts: Vec<&str> = action.split('.').skip(1).collect();
        let Some(verb) = parts.pop() else { return action.to_owned() };
        parts.dedup();
        let words = |s: &str| {
            let mut out = String::with_capacity(s.len() + 4);
            for c in s.chars() {
                match c {
                    '-' | '_' => out.push(' '),
                    c if c.is_ascii_uppercase() => {
                        out.push(' ');
                        out.push(c.to_ascii_lowercase());
                    }
                    c => out.push(c),
                }
            }
            out
        };
        let mut text = words(verb);
        if let Some(first) = text.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        for noun in parts {
            text.push(' ');
            text.push_str(&words(noun));
        }
        text
    }

    /// Whether a custom role for `service` may hold `action`. Services outside the table are not checked.
    pub fn custom_role_may_hold(&self, service: &str, action: &str) -> bool {
        match self.service(service) {
            Some(s) => s.owns(action),
            None => action.strip_prefix(service).is_some_and(|rest| rest.starts_with('.') && rest.len() > 1),
        }
    }
}

#[cfg(test)]
mod tests;
