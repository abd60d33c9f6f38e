//! Services and plans that this deployment knows.
//!
//! A fixed table: there is no catalogue service, so that the server and the command line resolve the same names the same
//! way. Names outside the table are unknown services and unknown plans; nothing is guessed.

/// Which of the two halves of access management a service belongs to: a policy on all services never covers account
/// management, and the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServiceKind {
    /// `service`: has instances or resources that people use.
    Service,
    /// `platform_service`: account management.
    PlatformService,
}

impl ServiceKind {
    /// The value of the `serviceType` attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            ServiceKind::Service => "service",
            ServiceKind::PlatformService => "platform_service",
        }
    }
}

/// A service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// Name in CRNs and policies.
    pub name: &'static str,
    /// Name for people.
    pub display_name: &'static str,
    /// `serviceType` of its resources.
    pub kind: ServiceKind,
    /// True when `service_group_id=IAM` covers it.
    pub iam_group: bool,
}

/// Where instances of a plan may live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Placement {
    /// In the region of the deployment.
    Region,
    /// In `global`.
    Global,
}

/// A plan of a service that has instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// `resource_plan_id`: a UUID.
    pub id: &'static str,
    /// `resource_id` of the service: a UUID, the same for all its plans.
    pub service_id: &'static str,
    /// Name of the service.
    pub service: &'static str,
    /// Name of the plan, unique in its service.
    pub name: &'static str,
    /// True when a deleted instance can be restored for a while.
    pub reclamation: bool,
    /// Where instances may live.
    pub placement: Placement,
}

const fn service(name: &'static str, display_name: &'static str) -> Service {
    Service { name, display_name, kind: ServiceKind::Service, iam_group: false }
}

const fn platform(name: &'static str, display_name: &'static str, iam_group: bool) -> Service {
    Service { name, display_name, kind: ServiceKind::PlatformService, iam_group }
}

/// Service that holds the actions of whoever runs this deployment.
pub const OPERATOR_SERVICE: &str = "avouch";

static SERVICES: &[Service] = &[
    platform("iam-identity", "IAM Identity Service", true),
    platform("iam-access-management", "IAM Access Management", true),
    platform("iam-groups", "IAM Access Groups Service", true),
    platform("user-management", "User Management", true),
    service("secrets-manager", "Secrets Manager"),
    service("kms", "Key Protect"),
    service("codeengine", "Code Engine"),
    service("is", "VPC Infrastructure Services"),
    service("containers-kubernetes", "Kubernetes Service"),
    service("containers-openshift", "Red Hat OpenShift"),
    service("container-registry", "Container Registry"),
    service("atracker", "Activity Tracker Event Routing"),
    service("logs", "Cloud Logs"),
    service("logs-router", "Logs Routing"),
    service("resource-controller", "Resource Controller"),
    platform(OPERATOR_SERVICE, "Avouch Operator", false),
    service("avouch-plain", "Plain test service"),
    service("avouch-reclaim", "Test service with reclamation"),
];

const fn regional(
    service: &'static str,
    service_id: &'static str,
    name: &'static str,
    id: &'static str,
) -> Plan {
    Plan { id, service_id, service, name, reclamation: false, placement: Placement::Region }
}

const fn with_reclamation(plan: Plan) -> Plan {
    Plan { reclamation: true, ..plan }
}

const fn global(plan: Plan) -> Plan {
    Plan { placement: Placement::Global, ..plan }
}

const SECRETS_MANAGER: &str = "00000000-0000-4000-8000-00000000b010";
const KMS: &str = "00000000-0000-4000-8000-00000000b020";
const CODE_ENGINE: &str = "00000000-0000-4000-8000-00000000b030";
const KUBERNETES: &str = "00000000-0000-4000-8000-00000000b040";
const OPENSHIFT: &str = "00000000-0000-4000-8000-00000000b041";
const ATRACKER: &str = "00000000-0000-4000-8000-00000000b050";
const LOGS: &str = "00000000-0000-4000-8000-00000000b060";
const TEST_PLAIN: &str = "00000000-0000-4000-8000-00000000b001";
const TEST_RECLAIM: &str = "00000000-0000-4000-8000-00000000b002";

static PLANS: &[Plan] = &[
    // COMPAT: the ids of the secrets-manager plans and of kms tiered-pricing are the published ones; scripts carry them literally.
    with_reclamation(regional(
        "secrets-manager",
        SECRETS_MANAGER,
        "trial",
        "869c191a-3c2a-4faf-98be-18d48f95ba1f",
    )),
    with_reclamation(regional(
        "secrets-manager",
        SECRETS_MANAGER,
        "standard",
        "7713c3a8-3be8-4a9a-81bb-ee822fcaac3d",
    )),
    with_reclamation(regional("kms", KMS, "tiered-pricing", "eedd3585-90c6-4c8f-be3d-062069e99fc3")),
    regional("codeengine", CODE_ENGINE, "standard", "00000000-0000-4000-8000-00000000a030"),
    regional("containers-kubernetes", KUBERNETES, "standard", "00000000-0000-4000-8000-00000000a040"),
    regional("containers-openshift", OPENSHIFT, "standard", "00000000-0000-4000-8000-00000000a041"),
    regional("atracker", ATRACKER, "lite", "00000000-0000-4000-8000-00000000a050"),
    regional("logs", LOGS, "standard", "00000000-0000-4000-8000-00000000a060"),
    global(regional("avouch-plain", TEST_PLAIN, "lite", "00000000-0000-4000-8000-00000000a001")),
    global(with_reclamation(regional(
        "avouch-reclaim",
        TEST_RECLAIM,
        "lite",
        "00000000-0000-4000-8000-00000000a002",
    ))),
];

/// Every service.
pub fn services() -> &'static [Service] {
    SERVICES
}

/// Every plan.
pub fn plans() -> &'static [Plan] {
    PLANS
}

/// The service of this name.
pub fn find_service(name: &str) -> Option<&'static Service> {
    SERVICES.iter().find(|s| s.name == name)
}

/// The plan of this id.
///
/// ```
/// let plan = avouch_wire::catalog::plan("7713c3a8-3be8-4a9a-81bb-ee822fcaac3d").unwrap();
/// assert_eq!((plan.service, plan.name, plan.reclamation), ("secrets-manager", "standard", true));
/// ```
pub fn plan(id: &str) -> Option<&'static Plan> {
    PLANS.iter().find(|p| p.id == id)
}

/// The plan of this name in the service of this name.
pub fn plan_by_name(service: &str, plan: &str) -> Option<&'static Plan> {
    PLANS.iter().find(|p| p.service == service && p.name == plan)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn plan_ids_and_names_are_unique_and_their_services_exist() {
        let ids: HashSet<_> = plans().iter().map(|p| p.id).collect();
        let names: HashSet<_> = plans().iter().map(|p| (p.service, p.name)).collect();
        assert_eq!((ids.len(), names.len()), (plans().len(), plans().len()));
        for p in plans() {
            assert!(crate::text::uuid(p.id) && crate::text::uuid(p.service_id), "{}", p.id);
            assert_eq!(find_service(p.service).map(|s| s.kind), Some(ServiceKind::Service));
            assert_eq!(plan_by_name(p.service, p.name), plan(p.id));
        }
    }

    #[test]
    fn one_service_has_one_resource_id() {
        let pairs: HashSet<_> = plans().iter().map(|p| (p.service, p.service_id)).collect();
        let services: HashSet<_> = plans().iter().map(|p| p.service).collect();
        assert_eq!(pairs.len(), services.len());
    }

    #[test]
    fn iam_group_holds_the_four_identity_services() {
        let group: Vec<_> = services().iter().filter(|s| s.iam_group).map(|s| s.name).collect();
        assert_eq!(group, ["iam-identity", "iam-access-management", "iam-groups", "user-management"]);
        assert!(services().iter().filter(|s| s.iam_group).all(|s| s.kind == ServiceKind::PlatformService));
    }

    #[test]
    fn unknown_plan_is_none() {
        assert_eq!(plan("00000000-0000-4000-8000-000000000000"), None);
        assert_eq!(plan_by_name("secrets-manager", "Standard"), None);
    }
}
