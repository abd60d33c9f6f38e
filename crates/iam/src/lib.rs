//! Identity and access management: profiles and keys, policies and roles.

pub mod access_groups;
pub mod access_settings;
pub mod access_source;
pub mod account_settings;
pub mod api_keys;
pub mod authz;
pub mod claim_rules;
pub mod errors;
pub mod errors_access;
pub mod explain;
pub mod filter;
pub mod history;
pub mod identities;
pub mod links;
pub mod paging;
pub mod policies;
pub mod profiles;
pub mod revocations;
pub mod roles;
pub mod service_id_groups;
pub mod service_ids;
pub mod signing_keys;
pub mod states;
pub mod templates;
pub mod token;
pub mod told;

use avouch_gate::Service;

/// IAM identity: profiles, rules, links, identities, service IDs, API keys, account settings.
pub fn identity_service() -> Service {
    let endpoints = [
        profiles::endpoints(),
        claim_rules::endpoints(),
        links::endpoints(),
        identities::endpoints(),
        service_ids::endpoints(),
        service_id_groups::endpoints(),
        api_keys::endpoints(),
        account_settings::endpoints(),
        templates::endpoints(),
    ];
    Service {
        name: "iam-identity",
        display: "IAM Identity Service",
        endpoints: endpoints.into_iter().flatten().collect(),
        render: errors::render,
    }
}

/// Policies, roles, authorizations, the decision endpoints and the settings of access management.
pub fn policy_service() -> Service {
    let endpoints =
        [policies::endpoints(), roles::endpoints(), access_settings::endpoints(), authz::endpoints()];
    Service {
        name: "iam-am",
        display: "IAM Access Management",
        endpoints: endpoints.into_iter().flatten().collect(),
        render: |e, context| {
            let decision = context.path == "/v2/authz" || context.path.starts_with("/v2/authz/");
            if decision { errors_access::authz(e, context) } else { errors_access::policy(e, context) }
        },
    }
}

/// Access groups, their members, rules and settings.
pub fn groups_service() -> Service {
    Service {
        name: "iam-groups",
        display: "IAM Access Groups Service",
        endpoints: access_groups::endpoints(),
        render: errors_access::groups,
    }
}

/// `/identity/token` and its kin.
pub fn token_service() -> Service {
    token::service()
}

/// Explanations, and the end of tokens before their time.
pub fn explain_service() -> Service {
    Service {
        name: "iam-explain",
        display: "IAM Access Management",
        endpoints: explain::endpoints(),
        render: errors_access::policy,
    }
}

/// The entity tag after `old`, with a random part that was drawn before the transaction.
pub(crate) fn next_tag(old: &str, salt: &str) -> String {
    let n: i64 = old.split('-').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    format!("{}-{salt}", n + 1)
}
