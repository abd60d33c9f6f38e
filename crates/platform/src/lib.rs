//! `avouch-platform`
