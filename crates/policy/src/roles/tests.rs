#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

const IAM: &str = "crn:v1:bluemix:public:iam::::";

fn holds(role: &str, service: &str, action: &str) -> bool {
    let crn = match role {
        "Viewer" | "Operator" | "Editor" | "Administrator" | "ConfigReader" => format!("{IAM}role:{role}"),
        _ if role.contains(':') => role.to_owned(),
        _ => format!("{IAM}serviceRole:{role}"),
    };
    Catalogue::builtin().actions_of(&crn, service).contains(action)
}

#[test]
fn the_table_loads() {
    assert!(load::load(include_str!("../../data/roles.toml")).is_ok());
    let total: usize = Catalogue::builtin().services().iter().map(|s| s.actions().count()).sum();
    assert!(total > 500, "{total}");
}

#[test]
fn services_agree_with_the_wire_table() {
    for wire in avouch_wire::catalog::services() {
        let own = Catalogue::builtin().service(wire.name).unwrap_or_else(|| panic!("{}", wire.name));
        assert_eq!(own.iam_group, wire.iam_group, "{}", wire.name);
        // The operator's service has no type here; resource groups themselves are account management.
        if !matches!(wire.name, "avouch" | "resource-controller") {
            assert_eq!(own.kind.service_type(), Some(wire.kind.as_str()), "{}", wire.name);
        }
    }
}

#[test]
fn platform_roles_carry_the_common_block_of_each_service() {
    for service in Catalogue::builtin().services().iter().filter(|s| s.kind != ServiceKind::Operator) {
        let name = service.name.as_str();
        assert!(holds("Viewer", name, "resource-controller.instance.retrieve"), "{name}");
        assert!(holds("Administrator", name, "iam.policy.create"), "{name}");
        assert!(!holds("Editor", name, "iam.policy.create"), "{name}");
        assert!(!holds("Reader", name, "resource-controller.instance.retrieve"), "{name}");
    }
}

#[test]
fn oddities_of_the_published_roles() {
    let id = "iam-identity";
    assert!(holds("Operator", id, "iam-identity.profile.delete"));
    assert!(!holds("Operator", id, "iam-identity.profile.create"));
    assert!(holds("Editor", id, "iam-identity.profile.linkToResource"));
    assert!(!holds("Editor", id, "iam-identity.profile.delete"));
    assert!(!holds("Viewer", id, "iam-identity.apikey.list"));
    assert!(!holds("Administrator", id, "iam-identity.serviceid.create"));
    assert!(!holds("Operator", "iam-groups", "iam-groups.groups.read"), "access groups have no operator");
    assert!(!holds("Operator", "iam-groups", "iam.policy.read"));
    let ks = "containers-kubernetes";
    assert!(holds("Writer", ks, "containers-kubernetes.kube.write"));
    assert!(!holds("Manager", ks, "containers-kubernetes.kube.write"), "not nested");
    assert!(!holds("Editor", ks, "containers-kubernetes.cluster.operate"));
    assert!(holds("SecretsReader", "secrets-manager", "secrets-manager.secret.read"));
    assert!(!holds("Reader", "secrets-manager", "secrets-manager.secret.read"));
    assert!(holds("Reader", "kms", "kms.secrets.wrap"));
    assert!(!holds("Reader", "kms", "kms.secrets.read"));
    assert!(holds("ConfigReader", "is", "is.instance.instance.config.read"));
    assert!(holds("Writer", "is", "is.image.image.deprecate"));
    assert!(!holds("Administrator", "secrets-manager", "secrets-manager.secret.read"));
}

#[test]
fn the_operators_service_is_covered_by_its_own_roles_only() {
    assert!(holds("Administrator", "avouch", "avouch.account.create"));
    assert!(holds("Manager", "avouch", "avouch.server.update"));
    assert!(!holds("Viewer", "avouch", "avouch.account.read"));
    assert_eq!(Catalogue::builtin().service("avouch").unwrap().kind.service_type(), None);
}

#[test]
fn role_names_in_the_namespace_of_a_service_work_on_that_service_only() {
    let crn = "crn:v1:bluemix:public:secrets-manager::::serviceRole:Writer";
    assert!(holds(crn, "secrets-manager", "secrets-manager.secret.create"));
    assert!(!holds(crn, "kms", "kms.secrets.create"));
    let own = "crn:v1:bluemix:public:secrets-manager::::serviceRole:SecretsReader";
    assert!(holds(own, "secrets-manager", "secrets-manager.secret.read"));
    for unknown in [
        "",
        "Reader",
        "crn:v1:bluemix:public:iam::::serviceRole:Nobody",
        "crn:v1:bluemix:public:iam::::serviceRole:reader",
        "crn:v1:bluemix:public:iam::::customRole:Reader",
        "crn:v1:bluemix:public:iam:us-south:::serviceRole:Reader",
        "crn:v1:bluemix:public:iam::a/x::serviceRole:Reader",
        "crn:v1:bluemix:public:iam::::serviceRole:Reader:",
        "crn:v2:bluemix:public:iam::::serviceRole:Reader",
        "crn:v1:bluemix:public:nowhere::::serviceRole:Reader",
        "crn:v1:bluemix:public:atracker::::serviceRole:Reader",
        "crn:v1:bluemix:public:kms::::serviceRole:SecretsReader",
        "crn:v1:bluemix:public:secrets-manager::::role:SecretsReader",
    ] {
        assert_eq!(Catalogue::builtin().resolve(unknown), None, "{unknown}");
    }
}

#[test]
fn listing_of_the_identity_group_holds_what_clients_look_for() {
    let list = Catalogue::builtin().roles_for_target(Target::IamGroup);
    let viewer = list.system_roles.iter().find(|r| r.crn == format!("{IAM}role:Viewer")).unwrap();
    assert!(viewer.actions.iter().any(|a| a == "iam-groups.groups.read"));
    assert!(viewer.actions.iter().any(|a| a == "iam-identity.profile.get"));
    let unique: std::collections::HashSet<_> = viewer.actions.iter().collect();
    assert_eq!(unique.len(), viewer.actions.len());
    let creator = "crn:v1:bluemix:public:iam-identity::::serviceRole:ServiceIdCreator";
    assert!(list.service_roles.iter().any(|r| r.crn == creator));
}

#[test]
fn listings_for_services_and_pseudo_services() {
    let c = Catalogue::builtin();
    let names = |v: &[RoleView]| v.iter().map(|r| r.display_name.clone()).collect::<Vec<_>>();
    let all = c.roles_for("alliamserviceroles");
    assert_eq!(names(&all.system_roles), ["Viewer", "Operator", "Editor", "Administrator"]);
    assert_eq!(names(&all.service_roles), ["Reader", "Writer", "Manager"]);
    assert!(!all.system_roles[0].actions.is_empty() && all.service_roles[0].actions.is_empty());
    let groups = c.roles_for("resource-controller");
    assert_eq!(names(&groups.system_roles), ["Viewer", "Editor", "Administrator"]);
    assert!(groups.service_roles.is_empty());
    let sm = c.roles_for("secrets-manager");
    assert!(names(&sm.service_roles).contains(&"SecretsReader".to_owned()));
    assert_eq!(c.roles_for("no-such-service"), RolesFor::default());
    assert_eq!(c.roles_for_target(Target::AccountManagement).service_roles, []);
}

#[test]
fn authorizations_list_roles_of_known_pairs_only() {
    let c = Catalogue::builtin();
    assert_eq!(c.roles_for_authorization("secrets-manager", "kms").service_roles.len(), 1);
    assert_eq!(c.roles_for_authorization("kms", "secrets-manager"), RolesFor::default());
}

#[test]
fn both_spellings_of_renamed_actions_mean_the_same() {
    let c = Catalogue::builtin();
    let kms = c.service("kms").unwrap();
    assert!(kms.owns("kms.key-rings.list") && kms.owns("kms.keyrings.list"));
    assert!(holds("Reader", "kms", "kms.secrets-metadata.read"));
    assert!(!holds("Reader", "kms", "kms.import-token.create"));
    assert!(c.custom_role_may_hold("kms", "kms.secrets-event.ack"));
    assert!(!c.custom_role_may_hold("kms", "secrets-manager.secret.read"));
    assert!(!c.custom_role_may_hold("kms", "iam.policy.create"));
    assert!(c.custom_role_may_hold("unknown-service", "unknown-service.thing.do"));
    assert!(!c.custom_role_may_hold("unknown-service", "kms.secrets.read"));
}
