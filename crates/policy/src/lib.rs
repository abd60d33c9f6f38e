//! `avouch-policy`: the decisions. Pure: no I/O, no clock, no randomness.
//!
//! - [`rules`]: which compute resource may become which profile.
//! - [`reason`]: the tree that every decision can give as its explanation.
//! - [`claims`], [`wildcard`]: what both look at, and how patterns are matched.
//!
//! Everything here fails closed: what is not understood does not hold.

pub mod claims;
pub mod reason;
pub mod rules;
pub mod wildcard;
