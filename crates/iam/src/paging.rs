//! Lists of IAM identity: `pagesize`, opaque `pagetoken`, `sort`, `order`, `filter`.

use avouch_crypto::base64url;
use avouch_gate::{Error, Request, Result};
use serde_json::{Value, json};

use crate::filter::Filter;

/// What a list request asks for.
#[derive(Debug, Clone)]
pub struct Page {
    size: usize,
    after: Option<(String, String)>,
    sort: &'static str,
    descending: bool,
    filter: Option<Filter>,
}

impl Page {
    /// Reads the parameters; `sorts` are the fields that the list may be sorted by, the first is the default.
    ///
    /// # Errors
    /// `Invalid` naming the parameter.
    pub fn read(request: &Request, sorts: &'static [&'static str]) -> Result<Self> {
        let size = request.query_int("pagesize", 1, 100)?.unwrap_or(20);
        let sort = match request.query("sort")? {
            None => "created_at",
            Some(wanted) => sorts
                .iter()
                .find(|s| **s == wanted)
                .ok_or_else(|| Error::invalid("sort", "The list cannot be sorted by that field."))?,
        };
        let descending = match request.query("order")?.as_deref() {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(_) => return Err(Error::invalid("order", "The query parameter 'order' must be 'asc' or 'desc'.")),
        };
        let after = match request.query("pagetoken")? {
            None => None,
            Some(token) => {
                let bad = || Error::invalid("pagetoken", "The query parameter 'pagetoken' is not a page token.");
                let bytes = base64url::decode(&token).map_err(|_| bad())?;
                Some(serde_json::from_slice(&bytes).map_err(|_| bad())?)
            }
        };
        let filter = request.query("filter")?.map(|f| Filter::parse(&f)).transpose()?;
        Ok(Self { size: usize::try_from(size).unwrap_or(20), after, sort, descending, filter })
    }

    /// Sorts, filters and cuts the rendered rows; `(sort key, id)` orders them totally, so that rows that come and go
    /// while a client pages are neither skipped nor shown twice.
    ///
    /// # Errors
    /// `Internal` for a row without id.
    pub fn cut(&self, request: &Request, array: &str, rows: Vec<(i64, Value)>) -> Result<Value> {
        let mut keyed: Vec<(String, String, Value)> = Vec::with_capacity(rows.len());
        for (created, row) in rows {
            if self.filter.as_ref().is_some_and(|f| !f.matches(&row)) {
                continue;
            }
            // Shown times have minutes only, so rows are ordered by the stored one.
            let key = match self.sort {
                "created_at" => format!("{created:020}"),
                field => row.get(field).and_then(Value::as_str).unwrap_or_default().to_owned(),
            };
            let id = row.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
            keyed.push((key, id, row));
        }
        keyed.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        if self.descending {
            keyed.reverse();
        }
        if let Some((key, id)) = &self.after {
            keyed.retain(|(k, i, _)| {
                if self.descending { (k, i) < (key, id) } else { (k, i) > (key, id) }
            });
        }
        let more = keyed.len() > self.size;
        keyed.truncate(self.size);
        let base = format!("{}{}", request.origin, request.path.trim_end_matches('/'));
        let link = |token: Option<String>| {
            let mut query = form(request, token.as_deref());
            if !query.is_empty() {
                query.insert(0, '?');
            }
            format!("{base}{query}")
        };
        let mut body = json!({"offset": 0, "limit": self.size, "first": link(None)});
        if let (true, Some((key, id, _))) = (more, keyed.last()) {
            let token = base64url::encode(json!([key, id]).to_string());
            if let Some(object) = body.as_object_mut() {
                object.insert("next".into(), json!(link(Some(token))));
            }
        }
        if let Some(object) = body.as_object_mut() {
            object.insert(array.to_owned(), Value::Array(keyed.into_iter().map(|(_, _, row)| row).collect()));
        }
        Ok(body)
    }
}

/// The query of the request with another page token.
fn form(request: &Request, token: Option<&str>) -> String {
    let mut out = form_urlencoded::Serializer::new(String::new());
    for (k, v) in request.query_pairs().filter(|(k, _)| k != "pagetoken") {
        out.append_pair(&k, &v);
    }
    if let Some(token) = token {
        out.append_pair("pagetoken", token);
    }
    out.finish()
}

/// Sets a member only when there is something to show: absent members are left out, not null.
pub fn put(object: &mut Value, name: &str, value: Option<impl Into<Value>>) {
    if let (Some(object), Some(value)) = (object.as_object_mut(), value) {
        object.insert(name.to_owned(), value.into());
    }
}
