//! The helper as it is run, in real namespaces. Where the host allows a kind of them not, the tests say so and leave it
//! out; `AVOUCH_REQUIRE_NAMESPACES=1` makes that a failure.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod control;
mod identity;
mod life;
mod survival;
mod walls;
mod world;
