//! From an HTTP message to an answer: limits, routing, authentication, handler, audit, rendering — in this order, in
//! one function.

pub mod bodies;
pub mod client;
pub mod endpoint;
pub mod head;
pub mod request;
pub mod response;

use std::collections::HashMap;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use avouch_wire::time::Timestamp;
use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Method};
use http_body_util::Full;
use serde_json::json;

use self::bodies::too_large;
use self::endpoint::{Auth, Endpoint, ErrorContext, Service};
use self::request::{Request, decode_segment};
use self::response::Response;
use crate::access::dead_identity;
use crate::app::App;
use crate::authn::Caller;
use crate::ctx::{Ctx, Inner, Trail};
use crate::error::{Error, Kind, Result};
use crate::room::Level;

/// Longest request target, bytes.
const MAX_PATH: usize = 8 * 1024;
/// A handler that takes longer is answered with 503.
const HANDLER_LIMIT: Duration = Duration::from_secs(60);
/// A body that takes longer to arrive is given up.
const BODY_TIME: Duration = Duration::from_secs(30);

struct Route {
    service: Arc<Service>,
    endpoint: Arc<Endpoint>,
}

/// All endpoints of all services on one origin.
pub struct Router {
    paths: matchit::Router<HashMap<Method, Route>>,
    services: Vec<Arc<Service>>,
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Router({} services)", self.services.len())
    }
}

impl Router {
    /// Builds the table.
    ///
    /// # Errors
    /// A text naming the method and path that two endpoints claim, or that the router cannot hold.
    pub fn new(services: Vec<Service>) -> std::result::Result<Self, String> {
        let services: Vec<Arc<Service>> = services.into_iter().map(Arc::new).collect();
        let mut by_path: Vec<(&'static str, HashMap<Method, Route>)> = Vec::new();
        for service in &services {
            for endpoint in &service.endpoints {
                let route = Route { service: service.clone(), endpoint: Arc::new(endpoint.clone()) };
                let at = match by_path.iter().position(|(p, _)| *p == endpoint.path) {
                    Some(at) => at,
                    None => {
                        by_path.push((endpoint.path, HashMap::new()));
                        by_path.len() - 1
                    }
                };
                let Some((_, methods)) = by_path.get_mut(at) else { continue };
                if let Some(other) = methods.insert(endpoint.method.clone(), route) {
                    return Err(format!("{endpoint:?} is claimed by {} too", other.service.name));
                }
            }
        }
        let mut paths = matchit::Router::new();
        for (path, methods) in by_path {
            paths.insert(path, methods).map_err(|e| format!("{path}: {e}"))?;
        }
        Ok(Self { paths, services })
    }

    /// The service that a path belongs to, whatever the method.
    fn service(&self, path: &str) -> Option<&Service> {
        let found = self.paths.at(trimmed(path)).ok()?;
        found.value.values().next().map(|route| &*route.service)
    }

    /// The services, for tests and generated documents.
    pub fn services(&self) -> &[Arc<Service>] {
        &self.services
    }
}

/// Answers one HTTP message. A panic anywhere on the way is answered with 500, counted and told to the operator; it ends
/// this request and nothing else.
pub async fn serve<B>(
    app: &Arc<App>,
    router: &Router,
    message: http::Request<B>,
    peer: IpAddr,
) -> http::Response<Full<Bytes>>
where
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let started = app.clock.now();
    let answering = AssertUnwindSafe(answer(app, router, message, peer, started)).catch_unwind();
    // Each step that can fail has a net of its own; this one is below them all.
    let (operation, response) = answering.await.unwrap_or_else(|_| {
        app.metrics.panic();
        tracing::error!("a request panicked outside of its steps");
        ("none", unmatched(&Error::panicked("the request"), ""))
    });
    let elapsed = (app.clock.now().millis() - started.millis()).max(0);
    #[allow(clippy::cast_precision_loss)]
    app.metrics.request(operation, response.status().as_u16(), elapsed as f64 / 1000.0);
    response
}

/// The answer and the operation that gave it.
async fn answer<B>(
    app: &Arc<App>,
    router: &Router,
    message: http::Request<B>,
    peer: IpAddr,
    started: Timestamp,
) -> (&'static str, http::Response<Full<Bytes>>)
where
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, body) = message.into_parts();
    let transaction_id = transaction_id(app, &head.headers, started);
    let path = head.uri.path();
    let context = || ErrorContext {
        transaction_id: transaction_id.clone(),
        path: path.to_owned(),
        user_agent: shortened(head.headers.get(USER_AGENT)),
        origin: app.config.origin(),
        node: app.config.node.clone(),
        started,
        ended: app.clock.now(),
    };
    if let Err(e) = head::check(&head) {
        app.metrics.refusal("malformed_head");
        let mut response = match router.service(path) {
            Some(service) => {
                finish(rendered(app, service, &e, &context()), &e, &head.headers, &transaction_id)
            }
            None => unmatched(&e, &transaction_id),
        };
        end_with(&mut response, &head);
        return ("none", response);
    }
    let (route, params) = match routed(router, &head.method, path) {
        Ok(found) => found,
        Err(e) => {
            let mut response = unmatched(&e, &transaction_id);
            if head::is_last(&head) {
                end_with(&mut response, &head);
            }
            return ("none", response);
        }
    };
    let operation = route.endpoint.operation;
    let admitted = async {
        if announced_too_large(&route.endpoint, &head.headers) {
            return Err((too_large(), None));
        }
        if app.room.level() == Level::Reserve && !route.endpoint.done_in_reserve() {
            return Err((no_room(), None));
        }
        let known = authenticate(app, route, &head.headers).await;
        known.inspect_err(|(e, _)| app.metrics.refusal(e.reason_label().unwrap_or("unauthenticated")))
    };
    let (caller, refused) = match caught(operation, admitted).await {
        Ok(Ok(caller)) => (caller, None),
        Ok(Err((e, known))) => (known, Some(e)),
        Err(e) => (None, Some(e)),
    };
    let ctx = Ctx(Arc::new(Inner {
        app: app.clone(),
        endpoint: route.endpoint.clone(),
        service_display: route.service.display,
        transaction_id: transaction_id.clone(),
        now: AtomicI64::new(started.millis()),
        address: client::address(&app.config.trusted_proxies, peer, &head.headers),
        agent: shortened(head.headers.get(USER_AGENT)),
        caller,
        trail: parking_lot::Mutex::new(Trail::default()),
    }));
    let mut outcome = match refused {
        Some(e) => Err(e),
        None => caught(operation, handle(&ctx, route, &head, params, body)).await.flatten(),
    };
    if outcome.as_ref().is_err_and(|e| e.kind() == Kind::NotFound)
        && let Err(e) = caught(operation, ctx.decide_nothing()).await.flatten()
    {
        outcome = Err(e);
    }
    let status = match &outcome {
        Ok(response) => response.status,
        Err(e) => rendered(app, &route.service, e, &context()).status,
    };
    if let Err(unwritable) = caught(operation, ctx.finish(status, outcome.as_ref().err())).await.flatten() {
        // Of a change that may have been kept it must not be said that nothing was done.
        if !outcome.as_ref().is_err_and(Error::is_unknown_outcome) {
            outcome = Err(unwritable);
        }
    }
    let mut response = match outcome {
        Ok(response) => finish_ok(response, &head.headers, &transaction_id),
        Err(e) => {
            if let Some(cause) = e.cause_text() {
                tracing::error!(transaction = %transaction_id, operation, cause, "request failed");
            }
            if e.is_panic() {
                app.metrics.panic();
                if caught(operation, ctx.panicked()).await.flatten().is_err() {
                    tracing::error!(transaction = %transaction_id, operation, "the panic could not be recorded");
                }
            }
            finish(rendered(app, &route.service, &e, &context()), &e, &head.headers, &transaction_id)
        }
    };
    if head::is_last(&head) {
        end_with(&mut response, &head);
    }
    (operation, response)
}

/// The result of one step of a request, or that it panicked. The text of a panic may hold anything, so it is not repeated.
async fn caught<T>(operation: &'static str, step: impl Future<Output = T>) -> Result<T> {
    AssertUnwindSafe(step).catch_unwind().await.map_err(|_| Error::panicked(operation))
}

/// The error in the shape of the service, or in ours where its renderer panics.
fn rendered(app: &App, service: &Service, e: &Error, context: &ErrorContext) -> Response {
    std::panic::catch_unwind(AssertUnwindSafe(|| (service.render)(e, context))).unwrap_or_else(|_| {
        app.metrics.panic();
        tracing::error!(service = service.name, "an error could not be rendered");
        plain(&Error::panicked(service.name), &context.transaction_id)
    })
}

/// Nothing more is read from a connection of HTTP/1. In HTTP/2 other requests do not depend on where this one ends.
fn end_with(response: &mut http::Response<Full<Bytes>>, head: &http::request::Parts) {
    if head.version < http::Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

fn routed<'r>(router: &'r Router, method: &Method, path: &str) -> Result<(&'r Route, Vec<(String, String)>)> {
    if path.len() > MAX_PATH {
        return Err(Error::new(Kind::TooLarge, "The request target is too long.").with_status(414));
    }
    let not_found = || Error::new(Kind::NotFound, "The requested resource does not exist.");
    let matched = router.paths.at(trimmed(path)).map_err(|_| not_found())?;
    let mut params = Vec::new();
    for (name, raw) in matched.params.iter() {
        params.push((name.to_owned(), decode_segment(raw).ok_or_else(not_found)?));
    }
    let route = matched
        .value
        .get(method)
        .ok_or_else(|| Error::new(Kind::MethodNotAllowed, "The method is not allowed for this resource."))?;
    Ok((route, params))
}

/// Clients send some collections with a trailing slash; both spellings are the same, without a redirect.
fn trimmed(path: &str) -> &str {
    if path.len() > 1 { path.strip_suffix('/').unwrap_or(path) } else { path }
}

/// Who calls. A refusal names who it was where a token of ours said so: the trail of that account tells it.
async fn authenticate(
    app: &Arc<App>,
    route: &Route,
    headers: &HeaderMap,
) -> std::result::Result<Option<Caller>, (Error, Option<Caller>)> {
    if route.endpoint.auth == Auth::Anonymous {
        return Ok(None);
    }
    let caller = app.authn.caller(headers, app.clock.now()).map_err(|e| (e, None))?;
    match app.lives(&caller).await {
        Ok(true) => Ok(Some(caller)),
        Ok(false) => Err((dead_identity(), Some(caller))),
        Err(e) => Err((e, None)),
    }
}

/// Whether the caller says himself that he sends more than is read here.
fn announced_too_large(endpoint: &Endpoint, headers: &HeaderMap) -> bool {
    // The head was checked: it is digits, and what does not fit is too large.
    let announced = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok());
    announced.is_some_and(|n| n.parse::<u64>().map_or(true, |n| n > endpoint.body_limit as u64))
}

async fn handle<B>(
    ctx: &Ctx,
    route: &Route,
    head: &http::request::Parts,
    params: Vec<(String, String)>,
    body: B,
) -> Result<Response>
where
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let limit = route.endpoint.body_limit;
    let waits = !body.is_end_stream();
    let mut share = ctx.app().bodies.share(ctx.address());
    let body = match tokio::time::timeout(BODY_TIME, share.collect(body, limit)).await {
        Ok(collected) => collected?,
        Err(_) => return Err(Error::invalid("body", "The request body took too long.").with_status(408)),
    };
    if waits {
        ctx.resume().await?;
    }
    let request = Request {
        method: head.method.clone(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers.clone(),
        body,
        params,
        origin: ctx.app().config.origin(),
    };
    let running = route.endpoint.call(ctx.clone(), request);
    tokio::time::timeout(HANDLER_LIMIT, running)
        .await
        .unwrap_or_else(|_| Err(Error::unavailable("The request took too long.")))
}

fn no_room() -> Error {
    Error::unavailable("The disk is full: only what revokes, deletes or locks is done until there is room.")
        .code("AUDIT_UNAVAILABLE")
        .reason("no_room")
        .retry_after(30)
}

fn unmatched(e: &Error, transaction_id: &str) -> http::Response<Full<Bytes>> {
    finish(plain(e, transaction_id), e, &HeaderMap::new(), transaction_id)
}

/// The error shape of what belongs to no service.
fn plain(e: &Error, transaction_id: &str) -> Response {
    let status = e.status_override().unwrap_or_else(|| e.kind().status());
    let code = match status {
        404 => "not_found",
        405 => "method_not_allowed",
        500 => "request_not_processed",
        _ => "bad_request",
    };
    let body = json!({
        "status_code": status,
        "trace": transaction_id,
        "errors": [{"code": code, "message": e.message()}],
    });
    Response::json(status, &body).unwrap_or_else(|_| Response::empty(status))
}

fn finish(
    mut response: Response,
    e: &Error,
    asked: &HeaderMap,
    transaction_id: &str,
) -> http::Response<Full<Bytes>> {
    if let Some(seconds) = e.retry_after_secs() {
        response.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    finish_ok(response, asked, transaction_id)
}

fn finish_ok(response: Response, asked: &HeaderMap, transaction_id: &str) -> http::Response<Full<Bytes>> {
    let mut out = http::Response::new(Full::new(response.body));
    *out.status_mut() =
        http::StatusCode::from_u16(response.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    *out.headers_mut() = response.headers;
    if let Ok(value) = HeaderValue::from_str(transaction_id) {
        out.headers_mut().insert("transaction-id", value);
    }
    for echoed in ["x-request-id", "x-correlation-id", "x-global-transaction-id"] {
        if let Some(value) = asked.get(echoed).filter(|v| v.len() <= 128) {
            out.headers_mut().insert(echoed, value.clone());
        }
    }
    out.headers_mut().entry("cache-control").or_insert(HeaderValue::from_static("no-store"));
    out.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    out
}

/// The caller's transaction id when it is harmless text, else a new one that sorts by time: the index of the trail then
/// grows at its end.
fn transaction_id(app: &App, headers: &HeaderMap, now: Timestamp) -> String {
    for name in ["transaction-id", "x-global-transaction-id", "x-correlation-id", "x-request-id"] {
        let given = headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let harmless =
            given.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'));
        if (1..=128).contains(&given.len()) && harmless {
            return given.to_owned();
        }
    }
    avouch_crypto::rng::uuid_v7(app.rng.as_ref(), now.millis()).simple().to_string()
}

fn shortened(agent: Option<&HeaderValue>) -> String {
    agent
        .and_then(|v| v.to_str().ok())
        .map(|v| v.chars().filter(|c| !c.is_control()).take(256).collect())
        .unwrap_or_default()
}
