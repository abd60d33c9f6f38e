//! Lists: what the caller may read, newest first, in pages with links that clients cut `start` out of.

use avouch_crypto::base64url;
use avouch_gate::{Error, Response, Result};
use avouch_store::Tx;
use serde_json::{Map, Value, json};

use crate::call::{Call, View};
use crate::errors::in_parameter;
use crate::objects::{Body, Object, sql};
use crate::vpcs::Vpc;

/// How many items a page has when nobody says.
const DEFAULT: i64 = 50;
/// Most items of a page.
const MOST: i64 = 100;

/// Where a page begins, and how long it is.
#[derive(Debug, Clone)]
pub struct Window {
    limit: usize,
    /// Creation time and id of the last item of the page before.
    after: Option<(i64, String)>,
}

/// Reads `limit` and `start`.
///
/// # Errors
/// `Invalid`.
pub fn window(call: &Call) -> Result<Window> {
    let limit = call.request.query_int("limit", 1, MOST).map_err(in_parameter)?.unwrap_or(DEFAULT);
    let start = call.request.query("start").map_err(in_parameter)?;
    let wrong =
        || in_parameter(Error::invalid("start", "The query parameter 'start' is not one that a list gave."));
    let after = match start {
        None => None,
        Some(start) => {
            let text =
                base64url::decode(&start).ok().and_then(|b| String::from_utf8(b).ok()).ok_or_else(wrong)?;
            let (time, id) = text.split_once('.').ok_or_else(wrong)?;
            Some((time.parse().map_err(|_| wrong())?, id.to_owned()))
        }
    };
    Ok(Window { limit: usize::try_from(limit).unwrap_or(1), after })
}

/// The items of a page, and where the next one begins.
pub fn cut<T>(items: Vec<T>, window: &Window, key: impl Fn(&T) -> (i64, String)) -> (Vec<T>, Option<String>) {
    let behind = |item: &T| match &window.after {
        None => true,
        Some(after) => key(item) < *after,
    };
    let mut rest = items.into_iter().filter(behind);
    let page: Vec<T> = rest.by_ref().take(window.limit).collect();
    let next = match (rest.next(), page.last()) {
        (Some(_), Some(last)) => {
            let (time, id) = key(last);
            Some(base64url::encode(format!("{time}.{id}")))
        }
        _ => None,
    };
    (page, next)
}

/// The body of one page.
pub fn page(
    call: &Call,
    plural: &str,
    (items, total): (Vec<Value>, usize),
    window: &Window,
    next: Option<String>,
) -> Value {
    let href = |start: Option<&str>| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in call.request.query_pairs().filter(|(n, _)| n != "limit" && n != "start") {
            query.append_pair(&name, &value);
        }
        query.append_pair("limit", &window.limit.to_string());
        if let Some(start) = start {
            query.append_pair("start", start);
        }
        json!({"href": format!("{}{}?{}", call.view.origin, call.request.path, query.finish())})
    };
    let mut body = Map::new();
    body.insert("first".into(), href(None));
    if let Some(next) = &next {
        body.insert("next".into(), href(Some(next)));
    }
    body.insert("limit".into(), json!(window.limit));
    body.insert("total_count".into(), json!(total));
    body.insert(plural.into(), Value::Array(items));
    Value::Object(body)
}

/// Answers with a page of what stands in an order of its own.
///
/// # Errors
/// `Invalid` naming the parameter.
pub fn in_order(call: &Call, plural: &str, all: Vec<Value>) -> Result<Response> {
    let window = window(call)?;
    let total = all.len();
    // As if the first were the newest.
    let placed: Vec<(i64, Value)> = all.into_iter().zip(0_i64..).map(|(v, n)| (-n, v)).collect();
    let (page_items, next) = cut(placed, &window, |(n, _)| (*n, String::new()));
    let items = page_items.into_iter().map(|(_, v)| v).collect();
    Response::json(200, &page(call, plural, (items, total), &window, next))
}

/// Which objects a list is about.
#[derive(Debug)]
pub struct Wanted<'w> {
    /// Name of the array.
    pub plural: &'static str,
    /// What the caller must be allowed on each.
    pub action: &'static str,
    /// The parent, which was decided on already: its children are shown as they are.
    pub parent: Option<&'w str>,
}

/// A filter of a list. It may look at other objects.
pub type Keep<T> = Box<dyn Fn(&mut Tx<'_>, &View, &Object<T>) -> Result<bool> + Send>;

/// Answers with the objects of a kind that the caller may read.
///
/// # Errors
/// `Invalid` naming the parameter, and those of the store.
pub async fn list<T: Body>(call: &Call, wanted: Wanted<'_>, keep: Vec<Keep<T>>) -> Result<Response> {
    let window = window(call)?;
    let mut rights = None;
    if wanted.parent.is_none() {
        call.ctx.note(&call.view.new_target(T::KIND, "", "*"));
        rights = Some(call.ctx.filter(&call.view.account).await?);
    }
    let (view, cutting) = (call.view.clone(), window.clone());
    let (parent, action) = (wanted.parent.map(str::to_owned), wanted.action);
    let (items, total, next) = call
        .ctx
        .read(move |tx| {
            let all: Vec<Object<T>> = match &parent {
                Some(parent) => sql::children(tx, &view.account, parent)?,
                None => sql::all(tx, &view.account)?,
            };
            let mut seen = Vec::new();
            'objects: for object in all {
                for keep in &keep {
                    if !keep(tx, &view, &object)? {
                        continue 'objects;
                    }
                }
                if rights.as_ref().is_none_or(|r| r.permits(action, &view.target(&object).attrs)) {
                    seen.push(object);
                }
            }
            let total = seen.len();
            let (page, next) = cut(seen, &cutting, |o| (o.created_at.millis(), o.id.clone()));
            let mut items = Vec::with_capacity(page.len());
            for object in &page {
                items.push(T::render(object, tx, &view)?);
            }
            Ok((items, total, next))
        })
        .await?;
    Response::json(200, &page(call, wanted.plural, (items, total), &window, next))
}

/// Filters by `resource_group.id`, which all lists of objects with a group have.
///
/// # Errors
/// `Invalid` when it is given twice.
pub fn by_group<T: Body>(call: &Call) -> Result<Vec<Keep<T>>> {
    let mut out: Vec<Keep<T>> = Vec::new();
    if let Some(group) = call.request.query("resource_group.id").map_err(in_parameter)? {
        out.push(Box::new(move |_, _, o| Ok(o.group == group)));
    }
    Ok(out)
}

/// Filters by `vpc.id`, `vpc.crn` and `vpc.name`, for what belongs to a VPC.
///
/// # Errors
/// `Invalid` when one is given twice.
pub fn by_vpc<T: Body>(call: &Call) -> Result<Vec<Keep<T>>> {
    let mut out: Vec<Keep<T>> = Vec::new();
    if let Some(id) = call.request.query("vpc.id").map_err(in_parameter)? {
        out.push(Box::new(move |_, _, o| Ok(o.parent == id)));
    }
    if let Some(crn) = call.request.query("vpc.crn").map_err(in_parameter)? {
        out.push(Box::new(move |tx, view, o| {
            Ok(sql::need::<Vpc>(tx, &view.account, &o.parent)?.crn(view) == crn)
        }));
    }
    if let Some(name) = call.request.query("vpc.name").map_err(in_parameter)? {
        out.push(Box::new(move |tx, view, o| {
            Ok(sql::need::<Vpc>(tx, &view.account, &o.parent)?.name == name)
        }));
    }
    Ok(out)
}
