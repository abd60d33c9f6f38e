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
mod authz;
mod policies;
mod roles;
mod tokens;
