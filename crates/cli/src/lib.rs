//! `avouch-cli`
