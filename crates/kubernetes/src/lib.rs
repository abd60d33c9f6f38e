//! `avouch-kubernetes`
