//! `avouch-iam`
