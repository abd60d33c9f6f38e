//! Lists of policies: filters, order, pages. Only what the caller may read is in them; a list of nothing is empty, not
//! refused.

use avouch_crypto::digest;
use avouch_gate::{Ctx, Error, Request, Response, Result};
use avouch_policy::access::{Key, Op, PolicyDoc, PolicyType, Subject};
use avouch_store::Tx;
use avouch_wire::ids::AccountId;
use serde_json::{Map, Value, json};

use super::http::{account_param, asker};
use super::logic::Asker;
use super::render::{self, Format, View};
use super::{Policy, Schema, State, permits, sql};
use crate::roles;

/// Largest page.
const PAGE_MAX: i64 = 100;
/// Rows read at once.
const BATCH: i64 = 500;

/// What a list is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Id,
    Type,
    Href,
    CreatedAt,
    CreatedBy,
    ModifiedAt,
    ModifiedBy,
    State,
    LastPermitAt,
    LastPermitFrequency,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sort {
    column: Column,
    descending: bool,
}

impl Sort {
    fn parse(text: &str, format: Format) -> Option<Self> {
        let (name, descending) = match text.strip_prefix('-') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let column = match name {
            "id" => Column::Id,
            "type" => Column::Type,
            "href" => Column::Href,
            "created_at" => Column::CreatedAt,
            "created_by_id" => Column::CreatedBy,
            "last_modified_at" => Column::ModifiedAt,
            "last_modified_by_id" => Column::ModifiedBy,
            "state" => Column::State,
            "last_permit_at" if format == Format::LastPermit => Column::LastPermitAt,
            "last_permit_frequency" if format == Format::LastPermit => Column::LastPermitFrequency,
            _ => return None,
        };
        Some(Self { column, descending })
    }

    /// A text that sorts like the column; equal columns are sorted by id.
    fn key(self, p: &Policy) -> String {
        let millis = |at: avouch_wire::Timestamp| format!("{:020}", at.millis());
        match self.column {
            Column::Id => p.id.as_str().to_owned(),
            Column::Type => p.document.get("type").and_then(Value::as_str).unwrap_or_default().to_owned(),
            Column::Href => render::href(p, ""),
            Column::CreatedAt => millis(p.created_at),
            Column::CreatedBy => p.created_by.clone(),
            Column::ModifiedAt => millis(p.modified_at),
            Column::ModifiedBy => p.modified_by.clone(),
            Column::State => p.state.as_str().to_owned(),
            // No permit comes first.
            Column::LastPermitAt => p.permitted.last_at.map(millis).unwrap_or_default(),
            Column::LastPermitFrequency => format!("{:020}", p.permitted.times),
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
struct Query {
    account: AccountId,
    iam_id: Option<String>,
    access_group_id: Option<String>,
    kind: Option<String>,
    service_type: Option<String>,
    service_name: Option<String>,
    service_group_id: Option<String>,
    tag_name: Option<String>,
    tag_value: Option<String>,
    state: Option<State>,
    sort: Option<Sort>,
    format: Format,
    limit: Option<usize>,
    after: Option<(String, String)>,
    /// Hash of everything that decides which policies come in which order.
    print: String,
}

/// The format asked for.
///
/// # Errors
/// `Invalid` for one that does not exist.
pub(super) fn format(request: &Request) -> Result<Format> {
    Ok(match request.query("format")?.as_deref() {
        None => Format::Plain,
        Some("include_last_permit") => Format::LastPermit,
        Some("display") => Format::Display,
        Some(_) => {
            return Err(Error::invalid(
                "format",
                "The query parameter 'format' must be 'include_last_permit' or 'display'.",
            ));
        }
    })
}

impl Query {
    fn read(request: &Request, schema: Schema) -> Result<Self> {
        let account = account_param(request)?;
        let format = format(request)?;
        let sort = match request.query("sort")? {
            None => None,
            Some(text) => Some(Sort::parse(&text, format).ok_or_else(|| {
                Error::invalid(
                    "sort",
                    "The query parameter 'sort' does not name an attribute that policies are sorted by.",
                )
            })?),
        };
        let v2 = |name| if schema == Schema::V2 { request.query(name) } else { Ok(None) };
        let v1 = |name| if schema == Schema::V1 { request.query(name) } else { Ok(None) };
        let state_text = request.query("state")?;
        let mut query = Self {
            account,
            iam_id: request.query("iam_id")?,
            access_group_id: request.query("access_group_id")?,
            kind: request.query("type")?,
            service_type: request.query("service_type")?,
            service_name: v2("service_name")?,
            service_group_id: v2("service_group_id")?,
            tag_name: v1("tag_name")?,
            tag_value: v1("tag_value")?,
            state: State::parse(state_text.as_deref().unwrap_or("active")),
            sort,
            format,
            limit: None,
            after: None,
            print: String::new(),
        };
        query.print = query.fingerprint(schema);
        let limit = request.query_int("limit", 1, PAGE_MAX)?;
        let start = request.query("start")?;
        if let Some(start) = &start {
            let bad = || Error::invalid("start", "The query parameter 'start' does not belong to this list.");
            query.after = Some(query.position(start).ok_or_else(bad)?);
        }
        query.limit = limit.or(start.map(|_| PAGE_MAX)).and_then(|l| usize::try_from(l).ok());
        Ok(query)
    }

    fn fingerprint(&self, schema: Schema) -> String {
        let text = format!(
            "{}|{}|{:?}",
            schema.number(),
            self.account,
            (
                (&self.iam_id, &self.access_group_id, &self.kind, &self.service_type),
                (&self.service_name, &self.service_group_id, &self.tag_name, &self.tag_value),
                (&self.state, &self.sort),
            )
        );
        digest::hex(&digest::sha256(text.as_bytes())).chars().take(16).collect()
    }

    /// The opaque text that continues after a policy.
    fn token(&self, p: &Policy) -> String {
        let key = self.sort.unwrap_or(DEFAULT).key(p);
        format!("{}{}{}", self.print, p.id.as_str().replace('-', ""), digest::hex(key.as_bytes()))
    }

    fn position(&self, token: &str) -> Option<(String, String)> {
        if !token.is_ascii() || token.len() < 48 {
            return None;
        }
        let (print, rest) = token.split_at(16);
        let (id, key) = rest.split_at(32);
        let key = String::from_utf8(digest::unhex(key)?).ok()?;
        let id = uuid::Uuid::try_parse(id).ok()?;
        (print == self.print).then(|| (key, id.as_hyphenated().to_string()))
    }

    fn wants(&self, p: &Policy, doc: &PolicyDoc) -> bool {
        let is =
            |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|w| found == Some(w));
        let (iam_id, group) = match &doc.subject {
            Subject::IamId(id) => (Some(id.as_str()), None),
            Subject::AccessGroup(id) => (None, Some(id.as_str())),
            Subject::Service(_) => (None, None),
        };
        let tags = self.tag_name.is_none() && self.tag_value.is_none()
            || doc.tags.iter().any(|t| {
                let value = match &t.op {
                    Op::Equals(v) | Op::Match(v) => Some(v.as_str()),
                    _ => None,
                };
                is(&self.tag_name, Some(&t.name)) && is(&self.tag_value, value)
            });
        Some(p.state) == self.state
            && is(&self.iam_id, iam_id)
            && is(&self.access_group_id, group)
            && self.kind.as_deref().is_none_or(|k| PolicyType::parse(k) == Some(doc.kind))
            && is(&self.service_type, doc.equals(Key::SERVICE_TYPE))
            && is(&self.service_name, doc.equals(Key::SERVICE))
            && is(&self.service_group_id, doc.equals(Key::SERVICE_GROUP))
            && tags
    }

    /// The policies of the page, and whether there are more.
    fn run(&self, tx: &mut Tx<'_>, asker: &Asker) -> Result<(Vec<Policy>, bool)> {
        let Some(state) = self.state else { return Ok((Vec::new(), false)) };
        let wanted = |p: &Policy| p.doc().is_ok_and(|doc| self.wants(p, &doc)) && asker.may_read(p);
        let subject = self.iam_id.as_deref().or(self.access_group_id.as_deref());
        if subject.is_none() && self.sort.is_none() {
            return self.oldest_first(tx, state, wanted);
        }
        let sort = self.sort.unwrap_or(DEFAULT);
        let mut all = match subject {
            Some(subject) => sql::of_subject(tx, &self.account, subject, state)?,
            None => sql::page(tx, &self.account, state, &(i64::MIN, String::new()), i64::MAX)?,
        };
        all.retain(wanted);
        if matches!(sort.column, Column::LastPermitAt | Column::LastPermitFrequency) {
            permits::fill(tx, &self.account, &mut all)?;
        }
        let mut keyed: Vec<((String, String), Policy)> =
            all.into_iter().map(|p| ((sort.key(&p), p.id.as_str().to_owned()), p)).collect();
        keyed.sort_by(|(a, _), (b, _)| if sort.descending { b.cmp(a) } else { a.cmp(b) });
        if let Some(after) = &self.after {
            keyed.retain(|(key, _)| if sort.descending { key < after } else { key > after });
        }
        let limit = self.limit.unwrap_or(usize::MAX);
        let more = keyed.len() > limit;
        keyed.truncate(limit);
        Ok((keyed.into_iter().map(|(_, p)| p).collect(), more))
    }

    /// The common case reads no further than it must.
    fn oldest_first(
        &self,
        tx: &mut Tx<'_>,
        state: State,
        wanted: impl Fn(&Policy) -> bool,
    ) -> Result<(Vec<Policy>, bool)> {
        let mut after = match &self.after {
            Some((key, id)) => (key.parse().unwrap_or(i64::MAX), id.clone()),
            None => (i64::MIN, String::new()),
        };
        let limit = self.limit.unwrap_or(usize::MAX);
        let mut found = Vec::new();
        loop {
            let page = sql::page(tx, &self.account, state, &after, BATCH)?;
            let Some(last) = page.last() else { return Ok((found, false)) };
            after = (last.created_at.millis(), last.id.as_str().to_owned());
            for policy in page.into_iter().filter(|p| wanted(p)) {
                if found.len() == limit {
                    return Ok((found, true));
                }
                found.push(policy);
            }
        }
    }
}

const DEFAULT: Sort = Sort { column: Column::CreatedAt, descending: false };

pub(super) async fn v1(ctx: Ctx, request: Request) -> Result<Response> {
    list(ctx, request, Schema::V1).await
}

pub(super) async fn v2(ctx: Ctx, request: Request) -> Result<Response> {
    list(ctx, request, Schema::V2).await
}

async fn list(ctx: Ctx, request: Request, schema: Schema) -> Result<Response> {
    let query = Query::read(&request, schema)?;
    let asker = asker(&ctx, &query.account).await?;
    let asked = query.clone();
    let (page, more, custom) = ctx
        .read(move |tx| {
            let (mut page, more) = asked.run(tx, &asker)?;
            if asked.format == Format::LastPermit {
                permits::fill(tx, &asked.account, &mut page)?;
            }
            Ok((page, more, roles::sql::all(tx, &asked.account)?))
        })
        .await?;
    let base = ctx.app().config.origin();
    let view = View { base: &base, format: query.format, custom: &custom };
    let shown: Vec<Value> = page
        .iter()
        .map(|p| match schema {
            Schema::V1 => render::v1(p, &view),
            Schema::V2 => render::v2(p, &view),
        })
        .collect();
    let mut body = Map::new();
    if let Some(limit) = query.limit {
        let plain = href(&request, &base, None);
        body.insert("limit".into(), json!(limit));
        body.insert("first".into(), json!({"href": plain}));
        if let Some(last) = page.last().filter(|_| more) {
            let start = query.token(last);
            body.insert("next".into(), json!({"href": href(&request, &base, Some(&start)), "start": start}));
        }
    }
    body.insert("policies".into(), Value::Array(shown));
    Response::json(200, &Value::Object(body))
}

/// The request's own address with another start.
fn href(request: &Request, base: &str, start: Option<&str>) -> String {
    let kept: Vec<&str> = request
        .query
        .split('&')
        .filter(|p| !p.is_empty() && !p.starts_with("start=") && *p != "start")
        .collect();
    let mut out = format!("{base}{}?{}", request.path, kept.join("&"));
    if let Some(start) = start {
        out.push_str("&start=");
        out.push_str(start);
    }
    out
}
