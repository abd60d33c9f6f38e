//! Clusters, issuers and the exchange of their tokens, through the real router on a real store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod attacks;
mod exchange;
mod fetching;
mod forms;
mod issuers;
mod matching;
mod questions;
mod registrations;
mod server;
mod trails;
mod world;
