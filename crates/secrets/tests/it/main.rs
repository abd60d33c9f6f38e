//! Requests through the real router on a real store.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod access;
mod expiry;
mod foreign;
mod groups;
mod lists;
mod locks;
mod metadata;
mod races;
mod rotation;
mod types;
mod unsupported;
mod vault;
mod versions;
mod walk;
mod wrong_types;
