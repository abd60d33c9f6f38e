//! The VPC service through the real router on a real store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod catalogue;
mod forms;
mod keys;
mod world;
