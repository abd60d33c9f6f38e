//! Keys of registered issuers: what is known of them, how they are kept in memory, and how they are fetched.

pub mod guard;
pub mod merge;
pub mod refresh;
pub mod registry;
