//! Ending tokens before their time: on our own services at once, for verifiers that work offline at their expiry.
//!
//! It refuses times in the future, which would also end tokens that are not issued yet.

mod http;
mod sql;

pub use http::endpoints;
pub use sql::{before, put};
