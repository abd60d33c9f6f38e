//! `avouch-policy`
