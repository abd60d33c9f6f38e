//! `avouch-wire`
