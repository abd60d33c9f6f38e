//! Offset lists: `total_count`, `limit`, `offset`, links that carry a numeric offset and the filters.

use avouch_gate::{Request, Result};
use serde_json::{Value, json};

/// A page of `rows`; `total` counts what the caller may see.
///
/// # Errors
/// `Invalid` naming the parameter.
pub fn page(request: &Request, array: &str, rows: Vec<Value>, (default, max): (i64, i64)) -> Result<Value> {
    let limit = request.query_int("limit", 1, max)?.unwrap_or(default);
    let offset = request.query_int("offset", 0, i64::from(i32::MAX))?.unwrap_or(0);
    let total = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let shown: Vec<Value> = rows
        .into_iter()
        .skip(usize::try_from(offset).unwrap_or(usize::MAX))
        .take(usize::try_from(limit).unwrap_or(0))
        .collect();
    let href = |at: Option<i64>| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &limit.to_string());
        if let Some(at) = at {
            query.append_pair("offset", &at.to_string());
        }
        for (k, v) in request.query_pairs().filter(|(k, _)| k != "limit" && k != "offset") {
            query.append_pair(&k, &v);
        }
        json!({"href": format!("{}{}?{}", request.origin, request.path, query.finish())})
    };
    let last = if total == 0 { 0 } else { (total - 1) / limit * limit };
    let mut body = json!({
        "total_count": total, "limit": limit, "offset": offset,
        "first": href(None), "last": href(Some(last)),
    });
    if let Some(object) = body.as_object_mut() {
        if offset + limit < total {
            object.insert("next".into(), href(Some(offset + limit)));
        }
        if offset > 0 {
            object.insert("previous".into(), href(Some((offset - limit).max(0))));
        }
        object.insert(array.to_owned(), Value::Array(shown));
    }
    Ok(body)
}
