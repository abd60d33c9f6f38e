//! Endpoints as data: router, matrix test, OpenAPI and audit catalogue are all read from these tables.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::Method;

use super::request::Request;
use super::response::Response;
use crate::ctx::Ctx;
use crate::error::{Error, Result};

/// How a caller proves himself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// An IAM access token in the `Authorization` header, checked before the body is read.
    Bearer,
    /// Nobody needs to prove anything, or the form of the request is itself the credential.
    Anonymous,
}

/// What the endpoint does to the world; decides how its audit event is made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Reads and reveals nothing secret: its event follows within 50 ms.
    Read,
    /// Hands out secret material: the event is durable before the answer.
    Disclose,
    /// Changes state: the event commits with the change.
    Write,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response>> + Send>>;
type Handler = Arc<dyn Fn(Ctx, Request) -> Answer + Send + Sync>;

/// One method on one path.
#[derive(Clone)]
pub struct Endpoint {
    /// HTTP method.
    pub method: Method,
    /// Path with `{parameter}` segments, without a trailing slash.
    pub path: &'static str,
    /// Published operation id.
    pub operation: &'static str,
    /// IAM actions that the handler may check; the first is the main one.
    pub actions: &'static [&'static str],
    /// Audit actions that the handler may emit; empty for what is not audited.
    pub events: &'static [&'static str],
    /// `service/object` of the audit target.
    pub target: &'static str,
    /// How the caller proves himself.
    pub auth: Auth,
    /// What it does.
    pub effect: Effect,
    /// Largest body in bytes.
    pub body_limit: usize,
    /// Lowers a risk, so it is done even when the disk is full. By default what deletes.
    pub protective: bool,
    handler: Handler,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({})", self.method, self.path, self.operation)
    }
}

/// Default limit of a JSON body.
pub const BODY_LIMIT: usize = 1 << 20;

impl Endpoint {
    /// An endpoint; `effect` is guessed from the method and may be overridden.
    pub fn new<F, Fut>(method: Method, path: &'static str, operation: &'static str, handler: F) -> Self
    where
        F: Fn(Ctx, Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response>> + Send + 'static,
    {
        let effect =
            if method == Method::GET || method == Method::HEAD { Effect::Read } else { Effect::Write };
        let protective = method == Method::DELETE;
        Self {
            method,
            path,
            operation,
            actions: &[],
            events: &[],
            target: "",
            auth: Auth::Bearer,
            effect,
            body_limit: BODY_LIMIT,
            protective,
            handler: Arc::new(move |ctx, request| Box::pin(handler(ctx, request))),
        }
    }

    /// `GET`.
    pub fn get<F, Fut>(path: &'static str, operation: &'static str, handler: F) -> Self
    where
        F: Fn(Ctx, Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response>> + Send + 'static,
    {
        Self::new(Method::GET, path, operation, handler)
    }

    /// `POST`.
    pub fn post<F, Fut>(path: &'static str, operation: &'static str, handler: F) -> Self
    where
        F: Fn(Ctx, Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response>> + Send + 'static,
    {
        Self::new(Method::POST, path, operation, handler)
    }

    /// `PUT`.
    pub fn put<F, Fut>(path: &'static str, operation: &'static str, handler: F) -> Self
    where
        F: Fn(Ctx, Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response>> + Send + 'static,
    {
        Self::new(Method::PUT, path, operation, handler)
    }

    /// `PATCH`.
    pub fn patch<F, Fut>(path: &'static str, operation: &'static str, handler: F) -> Self
    where
        F: Fn(Ctx, Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response>> + Send + 'static,
    {
        Self::new(Method::PATCH, path, operation, handler)
    }

    /// `DELETE`.
    pub fn delete<F, Fut>(path: &'static str, operation: &'static str, handler: F) -> Self
    where
        F: Fn(Ctx, Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response>> + Send + 'static,
    {
        Self::new(Method::DELETE, path, operation, handler)
    }

    /// IAM actions that the handler checks.
    #[must_use]
    pub fn actions(mut self, actions: &'static [&'static str]) -> Self {
        self.actions = actions;
        self
    }

    /// Audit actions that it emits, and the type of their target (`service/object`).
    #[must_use]
    pub fn events(mut self, target: &'static str, events: &'static [&'static str]) -> Self {
        self.target = target;
        self.events = events;
        self
    }

    /// No bearer token is demanded.
    #[must_use]
    pub fn anonymous(mut self) -> Self {
        self.auth = Auth::Anonymous;
        self
    }

    /// Overrides the effect guessed from the method.
    #[must_use]
    pub fn effect(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }

    /// Overrides the body limit, in bytes.
    #[must_use]
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// Says whether it lowers a risk.
    #[must_use]
    pub fn protective(mut self, protective: bool) -> Self {
        self.protective = protective;
        self
    }

    /// Whether it is done with the last of the disk: what lowers a risk, and what needs no event.
    pub(crate) fn done_in_reserve(&self) -> bool {
        self.protective || (self.auth == Auth::Anonymous && self.effect == Effect::Read)
    }

    pub(crate) fn call(&self, ctx: Ctx, request: Request) -> Answer {
        (self.handler)(ctx, request)
    }
}

/// What a service needs to render an error in its published shape.
#[derive(Debug, Clone)]
pub struct ErrorContext {
    /// Transaction id of the request.
    pub transaction_id: String,
    /// Path of the request, without the query.
    pub path: String,
    /// `User-Agent`, shortened.
    pub user_agent: String,
    /// Public origin of the server.
    pub origin: String,
    /// Name of this replica.
    pub node: String,
    /// When the request arrived.
    pub started: avouch_wire::time::Timestamp,
    /// When the answer is made.
    pub ended: avouch_wire::time::Timestamp,
}

/// A service: its endpoints and the shape of its errors.
#[derive(Clone)]
pub struct Service {
    /// Short name, as in the action prefix (`iam-identity`).
    pub name: &'static str,
    /// Display name, used in audit messages.
    pub display: &'static str,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
    /// Renders an error.
    pub render: fn(&Error, &ErrorContext) -> Response,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} endpoints)", self.name, self.endpoints.len())
    }
}
