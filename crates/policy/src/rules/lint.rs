//! Warnings on claim rules that are valid but trust more than their author may think. Nothing is refused here.

use super::{Condition, CrType, Operator};

/// Warnings for the conditions of a rule, one line each; empty if there is nothing to say.
///
/// ```
/// use avouch_policy::rules::{Condition, CrType, Operator, lint};
/// let wide = [Condition::new("namespace", Operator::Equals, "\"team-a\"").unwrap()];
/// assert_eq!(lint(CrType::IksSa, &wide).len(), 1);
/// ```
pub fn lint(cr_type: CrType, conditions: &[Condition]) -> Vec<&'static str> {
    let mut out = Vec::new();
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
            if !pinned(&["sub", "repository_id", "project_id", "ref", "job_workflow_ref", "environment"]) {
                out.push(
                    "the rule pins neither repository id nor ref: jobs of forks and pull requests may match",
                );
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
    let negated = |c: &Condition| {
        matches!(Operator::parse(c.operator()), Some(Operator::NotEquals | Operator::NotEqualsIgnoreCase))
    };
    if !conditions.is_empty() && conditions.iter().all(negated) {
        out.push("the rule only excludes: it trusts everything that carries the claim with another value");
    }
    out
}
