//! Lists of IAM identity: `pagesize`, opaque `pagetoken`, `sort`, `order`, `filter`.

use avouch_crypto::base64url;
use avouch_gate::{Error, Request, Result};
use serde_json::{Value, json};

use avouch_wire::time::Timestamp;

use crate::filter::Filter;

/// One object of a list, with what it is sorted and filtered by beyond what is shown.
#[derive(Debug, Clone)]
pub struct Row {
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub modified_at: Timestamp,
    /// By whom it was made.
    pub created_by: String,
    /// The object as it is shown.
    pub shown: Value,
}

impl Row {
    /// A member for sorting and filtering. Shown times have minutes only, so stored ones stand in for them.
    pub fn field(&self, name: &str) -> Option<String> {
        match name {
            "created_at" => Some(format!("{:020}", self.created_at.millis())),
            "modified_at" => Some(format!("{:020}", self.modified_at.millis())),
            "created_by" => Some(self.created_by.clone()),
            other => match self.shown.get(other)? {
                Value::String(text) => Some(text.clone()),
                Value::Bool(on) => Some(on.to_string()),
                _ => None,
            },
        }
    }
}

/// What a list request asks for.
#[derive(Debug, Clone)]
pub struct Page {
    size: usize,
    after: Option<(String, String, u64)>,
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
            Some(_) => {
                return Err(Error::invalid("order", "The query parameter 'order' must be 'asc' or 'desc'."));
            }
        };
        let after = match request.query("pagetoken")? {
            None => None,
            Some(token) => {
                let bad =
                    || Error::invalid("pagetoken", "The query parameter 'pagetoken' is not a page token.");
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
    /// `Internal` for a row without id, which is a defect.
    pub fn cut(&self, request: &Request, array: &str, rows: Vec<Row>) -> Result<Value> {
        let mut keyed: Vec<(String, String, Value)> = Vec::with_capacity(rows.len());
        for row in rows {
            if self.filter.as_ref().is_some_and(|f| !f.matches(&row)) {
                continue;
            }
            let key = row.field(self.sort).unwrap_or_default();
            let id = row.field("id").ok_or_else(|| Error::internal("a row without id"))?;
            keyed.push((key, id, row.shown));
        }
        keyed.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        if self.descending {
            keyed.reverse();
        }
        let mut offset = 0;
        if let Some((key, id, before)) = &self.after {
            offset = *before;
            keyed.retain(|(k, i, _)| if self.descending { (k, i) < (key, id) } else { (k, i) > (key, id) });
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
        let mut body = json!({"offset": offset, "limit": self.size, "first": link(None)});
        if let (true, Some((key, id, _))) = (more, keyed.last()) {
            let seen = offset.saturating_add(keyed.len() as u64);
            let token = base64url::encode(json!([key, id, seen]).to_string());
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
