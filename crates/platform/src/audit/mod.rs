//! Search in the caller's own audit trail. Reading the trail is audited.

mod query;

use avouch_crypto::base64url;
use avouch_gate::audit::sql::{self, Filter, Stored};
use avouch_gate::audit::{self, OPERATOR_ACCOUNT};
use avouch_gate::{Ctx, Endpoint, Error, Request, Response, Result, Target};
use avouch_policy::access::ResourceAttrs;
use avouch_wire::time::Timestamp;
use serde_json::{Value, json};

use query::Query;

/// Events of a page at most.
const PAGE: i64 = 1000;
/// Rows that one search looks at before it answers with what it has and a cursor.
const SCAN: usize = 20_000;

/// Action that reading demands.
const ACTION: &str = "atracker.destination.search";
/// Action that reading the operator trail demands.
const OPERATOR_ACTION: &str = "avouch.audit.read-operator";

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/avouch/v1/audit/events", "list_audit_events", list)
            .actions(&[ACTION, OPERATOR_ACTION])
            .events("atracker/events", &["atracker.events.search"]),
        Endpoint::get("/avouch/v1/audit/events/{id}", "get_audit_event", get)
            .actions(&[ACTION])
            .events("atracker/events", &["atracker.events.search"]),
        Endpoint::get("/avouch/v1/audit/export", "export_audit_events", export)
            .actions(&[ACTION])
            .events("atracker/events", &["atracker.events.export"]),
    ]
}

/// Decides and returns whose trail is read.
async fn trail(ctx: &Ctx, request: &Request) -> Result<String> {
    let own = ctx.caller()?.account().clone();
    let operator = match request.query("trail")?.as_deref() {
        None | Some("account") => false,
        Some("operator") => true,
        Some(_) => {
            return Err(Error::invalid(
                "trail",
                "The query parameter 'trail' must be 'account' or 'operator'.",
            ));
        }
    };
    let (service, action) = if operator { ("avouch", OPERATOR_ACTION) } else { ("atracker", ACTION) };
    let attrs = ResourceAttrs::service(&own, service);
    let mut target = Target::global("atracker", &own, attrs, "").named("*");
    target.log_source = audit::log_source("atracker", "global", &own, "");
    ctx.authorize(action, &target).await?;
    Ok(if operator { OPERATOR_ACCOUNT.to_owned() } else { own.as_str().to_owned() })
}

fn parsed(event: &Stored) -> Value {
    serde_json::from_str(&event.body).unwrap_or(Value::Null)
}

fn cursor(request: &Request) -> Result<Option<(i64, String)>> {
    let Some(token) = request.query("cursor")? else { return Ok(None) };
    let bad = || Error::invalid("cursor", "The query parameter 'cursor' is not a page token.");
    let text = base64url::decode(&token).ok().and_then(|b| String::from_utf8(b).ok()).ok_or_else(bad)?;
    let (time, id) = text.split_once(':').ok_or_else(bad)?;
    Ok(Some((time.parse().map_err(|_| bad())?, id.to_owned())))
}

fn time(request: &Request, name: &'static str) -> Result<Option<i64>> {
    let Some(text) = request.query(name)? else { return Ok(None) };
    if let Ok(millis) = text.parse::<i64>() {
        return Ok(Some(millis));
    }
    Timestamp::parse_rfc3339(&text)
        .map(|t| Some(t.millis()))
        .map_err(|_| Error::invalid(name, format!("The query parameter '{name}' is not a time.")))
}

struct Page {
    events: Vec<Value>,
    next: Option<String>,
}

/// Equality on indexed columns goes to the store; the rest of the query is tested on the rows so found.
async fn search(ctx: &Ctx, request: &Request, account: String, limit: i64) -> Result<Page> {
    let query = Query::parse(&request.query("q")?.unwrap_or_default())?;
    let mut filter = Filter { from: time(request, "from")?, to: time(request, "to")?, ..Filter::default() };
    for (name, column) in [
        ("action", "action"),
        ("service", "service"),
        ("outcome", "outcome"),
        ("severity", "severity"),
        ("initiator_id", "initiator_id"),
        ("authn_id", "authn_id"),
        ("target_id", "target_id"),
        ("correlation_id", "correlation_id"),
    ] {
        if let Some(value) = request.query(name)? {
            filter.equal.push((column, value));
        }
    }
    filter.equal.extend(query.indexed());
    let mut after = cursor(request)?;
    // A caller always finds his own last event.
    ctx.app().audit.flush().await?;
    let mut events = Vec::new();
    let mut scanned = 0;
    loop {
        let (f, at, of) = (filter.clone(), after.clone(), account.clone());
        let rows = ctx.read(move |tx| sql::list(tx, &of, &f, at.as_ref(), PAGE)).await?;
        let ended = (rows.len() as i64) < PAGE;
        for row in rows {
            if events.len() as i64 == limit || scanned >= SCAN {
                let next = after.map(|(t, id)| base64url::encode(format!("{t}:{id}")));
                return Ok(Page { events, next });
            }
            scanned += 1;
            after = Some((row.time, row.id.clone()));
            let event = parsed(&row);
            if query.matches(&event) {
                events.push(event);
            }
        }
        if ended {
            return Ok(Page { events, next: None });
        }
    }
}

async fn list(ctx: Ctx, request: Request) -> Result<Response> {
    let account = trail(&ctx, &request).await?;
    let limit = request.query_int("limit", 1, PAGE)?.unwrap_or(100);
    let page = search(&ctx, &request, account, limit).await?;
    let mut body = json!({"limit": limit, "events": page.events});
    if let (Some(next), Some(object)) = (page.next, body.as_object_mut()) {
        object.insert("next".into(), json!(next));
    }
    Response::json(200, &body)
}

async fn get(ctx: Ctx, request: Request) -> Result<Response> {
    let account = trail(&ctx, &request).await?;
    let id = request.param("id")?.to_owned();
    ctx.app().audit.flush().await?;
    let wanted = id.clone();
    let found = ctx.read(move |tx| sql::get(tx, &account, &wanted)).await?;
    let found = found.ok_or_else(|| Error::not_found("Event", &id))?;
    ctx.detail(|d| {
        d.request("event_id", id);
    });
    Response::json(200, &parsed(&found))
}

/// Newline-separated JSON, oldest of the page last; follow `x-next-cursor`.
async fn export(ctx: Ctx, request: Request) -> Result<Response> {
    let account = trail(&ctx, &request).await?;
    let page = search(&ctx, &request, account, PAGE).await?;
    let mut text = String::new();
    for event in &page.events {
        text.push_str(&event.to_string());
        text.push('\n');
    }
    let response = Response::text(200, "application/x-ndjson", text);
    Ok(match page.next {
        Some(next) => response.header("x-next-cursor", &next),
        None => response,
    })
}
