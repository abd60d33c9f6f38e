//! Requests through the real router on a real store.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod expiry;
mod foreign;
mod groups;
mod helpers;
mod locks;
mod metadata;
mod races;
mod versions;
