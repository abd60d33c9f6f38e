//! The whole server, through its real router on a real store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod accounts;
mod audience;
mod bodies;
mod canary;
mod catalogue;
mod changes;
mod configuration;
mod explain;
mod first_start;
mod floods;
mod heads;
mod jumps;
mod life;
mod listener;
mod matrix;
mod names;
mod outcomes;
mod panics;
mod refusals;
mod rotation;
mod sealed;
mod secrets;
mod tenancy;
mod timing;
mod trail;
mod unasked;
mod weaker;
mod world;
mod world_vpc;
mod worlds;
