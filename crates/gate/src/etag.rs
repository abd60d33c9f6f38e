//! Entity tags: `<revision>-<32 lower-case hex>`, unquoted, changed by every write.

use avouch_crypto::rng::{self, Random};

use crate::error::{Error, Kind, Result};

/// The tag of revision `n`.
pub fn tag(n: i64, random: &dyn Random) -> String {
    format!("{n}-{}", rng::hex(random, 16))
}

/// The tag that follows `old`.
pub fn next(old: &str, random: &dyn Random) -> String {
    let n: i64 = old.split('-').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    tag(n + 1, random)
}

/// Compares `If-Match` with the present tag; `*` means any.
///
/// # Errors
/// `Stale`, with the present tag as data for services that show it.
pub fn check(wanted: &str, present: &str) -> Result<()> {
    if wanted == "*" || wanted == present {
        return Ok(());
    }
    Err(Error::new(
        Kind::Stale,
        "The object was changed since it was read: 'If-Match' names another revision.",
    )
    .field("If-Match")
    .data(serde_json::json!({"etag": present})))
}
