//! `avouch-server`
