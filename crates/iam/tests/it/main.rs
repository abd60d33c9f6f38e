//! Requests through the real router on a real store.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod access_app;
mod access_groups;
mod account_settings;
mod across_accounts;
mod api_keys;
mod authz;
mod claim_rules;
mod helpers;
mod identities;
mod links;
mod policies;
mod profiles;
mod roles;
mod service_ids;
mod tokens;
