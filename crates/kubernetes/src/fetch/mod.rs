//! Fetching of key sets and token reviews: the only place where this crate talks to anybody.

mod allow;
mod client;
pub mod document;

pub use allow::{Allow, Refusal};
pub use client::{Answer, Ask, FetchError, Fetcher, TOTAL, certificates, host_of};
