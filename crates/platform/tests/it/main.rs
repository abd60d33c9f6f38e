//! Resource controller, users and audit search through the real router on a real store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod audit;
mod groups;
mod instances;
mod users;

use serde_json::Value;

/// A text member.
fn text<'v>(v: &'v Value, name: &str) -> &'v str {
    v[name].as_str().unwrap_or_else(|| panic!("no {name} in {v}"))
}
