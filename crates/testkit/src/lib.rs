//! `avouch-testkit`
