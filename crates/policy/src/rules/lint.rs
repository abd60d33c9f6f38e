//! Warnings on claim rules that are valid but trust more than their author may think. Nothing is refused here.

use super::{Condition, CrType, Operator};

/// Claims that name an owner of repositories.
const OWNER: &[&str] =
    &["repository_owner", "repository_owner_id", "namespace_id", "namespace_path", "enterprise_id"];

/// Claims of every compute resource.
const ANY: &[&str] =
    &["crn", "service_instance", "resource_group_id", "resource_group_name", "account_id", "cr_type"];
/// Further claims of service accounts.
const CLUSTER: &[&str] = &[
    "location",
    "namespace",
    "name",
    "pod",
    "service_account_uid",
    "pod_uid",
    "node",
    "cluster_name",
    "audience",
];
/// Further claims of what runs in a project.
const PROJECT: &[&str] = &["location", "region", "component_type", "component_name", "name"];
/// Further claims of servers.
const SERVER: &[&str] =
    &["resource", "instance_group_name", "location", "region", "zone", "vpc_id", "subnet_id"];

fn positive(c: &Condition) -> bool {
    !matches!(Operator::parse(c.operator()), Some(Operator::NotEquals | Operator::NotEqualsIgnoreCase))
}

/// Warnings for the conditions of a rule, one line each; empty if there is nothing to say.
///
/// ```
/// use avouch_policy::rules::{Condition, CrType, Operator, lint};
/// let wide = [Condition::new("namespace", Operator::Equals, "\"team-a\"").unwrap()];
/// assert_eq!(lint(CrType::IksSa, &wide).len(), 1);
/// ```
pub fn lint(cr_type: CrType, conditions: &[Condition]) -> Vec<String> {
    let mut out: Vec<&str> = Vec::new();
    let pinned = |names: &[&str]| {
        conditions.iter().any(|c| {
            names.contains(&c.claim())
                && matches!(
                    Operator::parse(c.operator()),
                    Some(Operator::Equals | Operator::EqualsIgnoreCase | Operator::In)
                )
        })
    };
    match cr_type {
        CrType::IksSa | CrType::RoksSa => {
            if !pinned(&["crn", "service_instance"]) {
                out.push(
                    "the rule pins neither crn nor service_instance: it trusts every cluster of the account",
                );
            }
            if !pinned(&["namespace"]) {
                out.push("the rule does not pin namespace: it trusts every service account of the cluster");
            }
            if conditions.iter().any(|c| c.claim() == "pod") {
                out.push("whoever creates pods chooses their names: pod is no proof of identity");
            }
        }
        CrType::Oidc => {
            if !pinned(&["crn", "iss"]) {
                out.push("the rule does not pin crn: it trusts every registered issuer of the account");
            }
            // A ref, an environment or a workflow pins nobody: every repository that the issuer knows may carry it.
            if !pinned(&["sub", "repository_id", "project_id"]) {
                out.push(if pinned(&["repository", "project_path"]) {
                    "the rule pins the repository by name, which somebody else may take later: pin its id or sub"
                } else if pinned(OWNER) {
                    "the rule pins neither repository id nor sub: every repository of the owner may match"
                } else {
                    "the rule pins neither repository id nor sub: whoever gets a token of the issuer may match"
                });
            }
            let of_pull_requests = |c: &Condition| {
                let value = c.value();
                positive(c) && (value.contains("pull_request") || value.contains("refs/pull/"))
            };
            if conditions.iter().any(of_pull_requests) {
                out.push("the rule admits pull requests: whoever may open one acts as the profile");
            }
        }
        CrType::Ce => {
            if !pinned(&["crn", "service_instance"]) {
                out.push(
                    "the rule pins neither crn nor service_instance: it trusts every project of the account",
                );
            }
        }
        CrType::Vsi | CrType::Pvs | CrType::Bms => {
            let narrow =
                ["crn", "resource", "instance_group_name", "resource_group_id", "vpc_id", "subnet_id"];
            if !pinned(&narrow) && !pinned(&["service_instance"]) {
                out.push(
                    "the rule pins no instance, group or network: it trusts many instances of the account",
                );
            }
        }
    }
    if conditions.iter().any(|c| positive(c) && c.value().contains('*')) {
        out.push("operators of claim rules know no wildcards: * stands for itself");
    }
    let negated = |c: &Condition| !positive(c);
    if !conditions.is_empty() && conditions.iter().all(negated) {
        out.push("the rule only excludes: it trusts everything that carries the claim with another value");
    }
    if conditions.iter().any(|c| positive(c) && c.wants_nothing()) {
        out.push("a condition wants an empty value: it holds only for a claim that is there and empty");
    }
    let unknown = unknown_claims(cr_type, conditions);
    out.into_iter().map(str::to_owned).chain(unknown).collect()
}

/// Conditions on claims that no compute resource of the type carries. What an issuer puts into its tokens is its own affair.
fn unknown_claims(cr_type: CrType, conditions: &[Condition]) -> Vec<String> {
    let own = match cr_type {
        CrType::IksSa | CrType::RoksSa => CLUSTER,
        CrType::Ce => PROJECT,
        CrType::Vsi | CrType::Pvs | CrType::Bms => SERVER,
        CrType::Oidc => return Vec::new(),
    };
    let known = || ANY.iter().chain(own);
    conditions
        .iter()
        .filter(|c| !known().any(|name| *name == c.claim()))
        .map(|c| {
            let names: Vec<&str> = known().copied().collect();
            format!(
                "there is no claim '{}' of {}, so the rule never holds; claims are {}",
                c.claim(),
                cr_type.as_str(),
                names.join(", ")
            )
        })
        .collect()
}
