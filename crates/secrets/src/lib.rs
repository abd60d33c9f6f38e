//! `avouch-secrets`
