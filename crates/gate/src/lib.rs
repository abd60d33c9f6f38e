//! `avouch-gate`
