//! Pages by offset, with links to the first, previous, next and last one.

use avouch_gate::{Request, Result};
use serde_json::{Map, Value, json};

/// Items of a page when the client does not say.
const DEFAULT: i64 = 50;
/// Largest page.
const MAX: i64 = 100;

/// Which page is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    limit: i64,
    offset: i64,
}

impl Page {
    /// From the query.
    ///
    /// # Errors
    /// `Invalid` when a number is out of bounds.
    pub fn read(request: &Request) -> Result<Self> {
        Ok(Self {
            limit: request.query_int("limit", 0, MAX)?.unwrap_or(DEFAULT),
            offset: request.query_int("offset", 0, i64::from(i32::MAX))?.unwrap_or(0),
        })
    }

    /// The items of the page.
    pub fn of<T>(self, all: Vec<T>) -> Vec<T> {
        let (skip, take) =
            (usize::try_from(self.offset).unwrap_or(usize::MAX), usize::try_from(self.limit).unwrap_or(0));
        all.into_iter().skip(skip).take(take).collect()
    }

    /// The answer: numbers, links and the items under `name`.
    pub fn body(self, request: &Request, total: usize, name: &str, items: Vec<Value>) -> Value {
        let total = i64::try_from(total).unwrap_or(i64::MAX);
        let link = |offset: i64| json!({"href": href(request, self.limit, offset)});
        let step = self.limit.max(1);
        let last = if total == 0 { 0 } else { (total - 1) / step * step };
        let mut out = Map::new();
        out.insert("limit".into(), json!(self.limit));
        out.insert("offset".into(), json!(self.offset));
        out.insert("total_count".into(), json!(total));
        out.insert("first".into(), link(0));
        if self.offset > 0 {
            out.insert("previous".into(), link((self.offset - step).max(0)));
        }
        if self.limit > 0 && self.offset.saturating_add(self.limit) < total {
            out.insert("next".into(), link(self.offset + self.limit));
        }
        out.insert("last".into(), link(last));
        out.insert(name.to_owned(), Value::Array(items));
        Value::Object(out)
    }
}

/// The request's own address with another page.
fn href(request: &Request, limit: i64, offset: i64) -> String {
    let mut parts: Vec<String> = request
        .query
        .split('&')
        .filter(|p| !p.is_empty())
        .filter(|p| !matches!(p.split('=').next(), Some("limit" | "offset")))
        .map(str::to_owned)
        .collect();
    parts.push(format!("limit={limit}"));
    parts.push(format!("offset={offset}"));
    format!("{}{}?{}", request.origin, request.path, parts.join("&"))
}
