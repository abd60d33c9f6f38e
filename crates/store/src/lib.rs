//! `avouch-store`
