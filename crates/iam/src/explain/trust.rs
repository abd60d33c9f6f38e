//! Who trusts whom: what a compute resource may become, and who may become a profile.

use avouch_gate::{Ctx, Error, Request, Response, Result};
use avouch_policy::claims::{ClaimValue, Claims};
use avouch_policy::rules::{ClaimRule, CrType, Link, lint};
use avouch_wire::crn::Crn;
use avouch_wire::explain::{TrustEntry, TrustList};
use avouch_wire::ids::AccountId;

use super::{PROFILE_GET, find, may_see_profile, not_found, profile_attrs};
use crate::token::lookup::{self, TrustedProfile};

/// `GET /avouch/v1/trust`: by `profile_id`, who may become it; by `crn`, what the compute resource may become.
pub async fn list(ctx: Ctx, request: Request) -> Result<Response> {
    let account = ctx.caller()?.account().clone();
    let trust = match (request.query("profile_id")?, request.query("crn")?) {
        (Some(id), None) => {
            let profile = find(&ctx, &account, &id).await?.ok_or_else(not_found)?;
            may_see_profile(&ctx, &profile).await?;
            everybody(&profile)
        }
        (None, Some(crn)) => {
            let crn = Crn::parse(&crn)
                .map_err(|_| Error::invalid("crn", "The query parameter 'crn' is not a CRN."))?;
            let filter = ctx.filter(&account).await?;
            let profiles = ctx.read(move |tx| lookup::all_profiles(tx, &account)).await?;
            profiles
                .iter()
                .filter(|p| filter.permits(PROFILE_GET, &profile_attrs(p)))
                .flat_map(|p| of_resource(p, &crn))
                .collect()
        }
        _ => return Err(Error::invalid("crn", "Exactly one of 'crn' and 'profile_id' is required.")),
    };
    Response::json(200, &TrustList { trust })
}

fn entry(profile: &TrustedProfile, kind: &str, id: &str) -> TrustEntry {
    TrustEntry {
        profile_id: profile.id.as_str().to_owned(),
        profile_name: profile.name.clone(),
        kind: kind.to_owned(),
        id: id.to_owned(),
        name: None,
        cr_type: None,
        trusts: String::new(),
        depends_on: Vec::new(),
        warnings: Vec::new(),
    }
}

fn by_link(profile: &TrustedProfile, link: &Link) -> TrustEntry {
    let parts: Vec<String> = [
        ("namespace", &link.namespace),
        ("name", &link.name),
        ("component type", &link.component_type),
        ("component", &link.component_name),
    ]
    .into_iter()
    .filter_map(|(what, value)| value.as_ref().map(|v| format!("{what} '{v}'")))
    .collect();
    let inside = if parts.is_empty() { String::new() } else { format!("{} of ", parts.join(", ")) };
    TrustEntry {
        name: link.label.clone(),
        cr_type: Some(link.cr_type.as_str().to_owned()),
        trusts: format!("{inside}{}", link.crn),
        ..entry(profile, "link", link.id.as_str())
    }
}

fn by_rule(profile: &TrustedProfile, rule: &ClaimRule) -> TrustEntry {
    let conditions: Vec<String> =
        rule.conditions.iter().map(|c| format!("{} {} {}", c.claim(), c.operator(), c.value())).collect();
    TrustEntry {
        name: rule.name.clone(),
        cr_type: Some(rule.cr_type.as_str().to_owned()),
        trusts: format!("every {} of the account with {}", rule.cr_type.as_str(), conditions.join(" and ")),
        warnings: lint(rule.cr_type, &rule.conditions),
        ..entry(profile, "claim_rule", rule.id.as_str())
    }
}

fn everybody(profile: &TrustedProfile) -> Vec<TrustEntry> {
    let identities = profile.identities.iter().map(|i| TrustEntry {
        trusts: match i.accounts.as_slice() {
            [] => format!("{} {}", i.kind, i.iam_id),
            accounts => format!("{} {} with tokens of {}", i.kind, i.iam_id, accounts.join(", ")),
        },
        ..entry(profile, "identity", &i.iam_id)
    });
    let links = profile.links.iter().map(|l| by_link(profile, l));
    links.chain(profile.rules.iter().map(|r| by_rule(profile, r))).chain(identities).collect()
}

/// Kinds of compute resource that a CRN can be of.
fn kinds(crn: &Crn) -> &'static [CrType] {
    match crn.service() {
        "containers-kubernetes" | "containers-openshift" | "containers-redhat" => {
            &[CrType::IksSa, CrType::RoksSa]
        }
        "codeengine" => &[CrType::Ce],
        "is" => &[CrType::Vsi, CrType::Bms],
        "power-iaas" => &[CrType::Pvs],
        "iam-identity" => &[CrType::Oidc],
        _ => &CrType::ALL,
    }
}

/// By what a profile trusts the compute resource. A rule counts unless a claim that the CRN fixes speaks against it; the
/// claims that the CRN leaves open are named.
fn of_resource(profile: &TrustedProfile, crn: &Crn) -> Vec<TrustEntry> {
    let account = crn.account();
    let own = account.as_ref() == Some(&profile.account);
    let links = profile
        .links
        .iter()
        .filter(|l| l.crn.same_resource(crn) && (own || l.is_cross_account))
        .map(|l| by_link(profile, l));
    let mut fixed = Claims::new();
    fixed.set("crn", crn.to_string()).set("service_instance", crn.instance()).set("location", crn.region());
    fixed.set_opt("account_id", account.as_ref().map(AccountId::as_str));
    let rules =
        profile.rules.iter().filter(|r| own && kinds(crn).contains(&r.cr_type) && !r.conditions.is_empty());
    let rules = rules.filter_map(|rule| {
        let mut open = Vec::new();
        for condition in &rule.conditions {
            match (condition.claim(), fixed.get(condition.claim())) {
                ("cr_type", _) => {
                    let value = ClaimValue::from(rule.cr_type.as_str());
                    if !condition.holds(Some(&value)) {
                        return None;
                    }
                }
                (_, Some(value)) if !condition.holds(Some(value)) => return None,
                (_, Some(_)) => {}
                (name, None) => open.push(name.to_owned()),
            }
        }
        Some(TrustEntry { depends_on: open, ..by_rule(profile, rule) })
    });
    links.chain(rules).collect()
}
