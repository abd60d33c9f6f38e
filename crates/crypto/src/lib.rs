//! `avouch-crypto`
