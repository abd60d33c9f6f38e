//! `avouch-policy`: the decisions. Pure: no I/O, no clock, no randomness.
//!
//! - [`rules`]: which compute resource may become which profile.
//! - [`roles`]: services, their actions, and what a role allows.
//! - [`access`]: which subject may do what on which resource.
//! - [`reason`]: the tree that every decision can give as its explanation.
//! - [`claims`], [`wildcard`]: what conditions look at, and how patterns are matched.
//!
//! Everything here fails closed: what is not understood does not hold.

pub mod access;
pub mod bench_support;
pub mod claims;
pub mod reason;
pub mod roles;
pub mod rules;
pub mod wildcard;
