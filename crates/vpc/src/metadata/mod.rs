//! The metadata service of an instance: who it is, tokens for it, and what it was made of. Each instance has a listener of
//! its own, and a service bound to it: whoever connects there is the instance. No address, header or secret says who asks.

mod admission;
mod documents;
mod exchange;
pub mod identity;

use std::sync::Arc;

use avouch_gate::{Ctx, Endpoint, Error, ErrorContext, Kind, Request, Response, Result, Service};
use avouch_wire::ids::AccountId;
use parking_lot::Mutex;
use serde_json::{Value, json};

use admission::{Admission, Told};

/// Names and address by which an instance reaches its service.
pub const HOSTS: [&str; 2] = ["api.metadata.cloud.ibm.com", "169.254.169.254"];
/// Requests that an instance may make at once, and how many of them come back in a second.
const BURST: f64 = 400.0;
const PER_SECOND: f64 = 200.0;
/// Bytes of a body.
const BODY: usize = 64 * 1024;

/// The instance behind a listener.
#[derive(Debug)]
pub struct Who {
    /// Its account.
    pub account: AccountId,
    /// Its id.
    pub id: String,
    /// What may stand in `Host`, without a port.
    pub hosts: Vec<String>,
    bucket: Mutex<(f64, i64)>,
}

impl Who {
    /// The instance with the published names of its service.
    pub fn new(account: AccountId, id: String) -> Self {
        let hosts = HOSTS.iter().map(|h| (*h).to_owned()).collect();
        Self { account, id, hosts, bucket: Mutex::new((BURST, 0)) }
    }

    /// Takes one request out of what the instance may make.
    fn admits(&self, now: i64) -> bool {
        let mut bucket = self.bucket.lock();
        #[allow(clippy::cast_precision_loss)]
        let back = (now - bucket.1).max(0) as f64 / 1000.0 * PER_SECOND;
        let left = (bucket.0 + back).min(BURST);
        let admitted = left >= 1.0;
        *bucket = (if admitted { left - 1.0 } else { left }, now);
        admitted
    }
}

type Handler = fn(Arc<Admission>) -> std::pin::Pin<Box<dyn Future<Output = Result<Told>> + Send>>;

/// How a path is served.
struct Route {
    method: fn(&'static str, &'static str, Wrapped) -> Endpoint,
    verb: &'static str,
    path: &'static str,
    operation: &'static str,
    event: &'static str,
    handler: Handler,
}

type Wrapped = Box<dyn Fn(Ctx, Request) -> Answer + Send + Sync>;
type Answer = std::pin::Pin<Box<dyn Future<Output = Result<Response>> + Send>>;

macro_rules! route {
    ($method:ident $path:literal, $operation:literal, $event:literal, $handler:path) => {
        Route {
            method: Endpoint::$method,
            verb: stringify!($method),
            path: $path,
            operation: $operation,
            event: $event,
            handler: |call| Box::pin($handler(call)),
        }
    };
}

/// The paths; what the older generation calls differently is there twice.
const ROUTES: &[Route] = &[
    route!(put "/identity/v1/token", "metadata_create_token", "is.metadata.jwt-token.create", identity::create),
    route!(put "/instance_identity/v1/token", "metadata_create_token_legacy", "is.metadata.jwt-token.create", identity::create),
    route!(post "/identity/v1/iam_tokens", "metadata_create_iam_token", "is.metadata.computeresource-token.request", exchange::create),
    route!(post "/instance_identity/v1/iam_token", "metadata_create_iam_token_legacy", "is.metadata.computeresource-token.request", exchange::create),
    route!(get "/metadata/v1/instance", "metadata_get_instance", "is.metadata.instance.read", documents::instance),
    route!(get "/metadata/v1/instance/initialization", "metadata_get_initialization", "is.metadata.instance.initialization", documents::initialization),
    route!(get "/metadata/v1/instance/network_interfaces", "metadata_list_network_interfaces", "is.metadata.instance-network-interface.list", documents::interfaces),
    route!(get "/metadata/v1/instance/network_interfaces/{id}", "metadata_get_network_interface", "is.metadata.instance-network-interface.get", documents::interface),
    route!(get "/metadata/v1/instance/network_attachments", "metadata_list_network_attachments", "is.metadata.instance-network-attachment.list", documents::attachments),
    route!(get "/metadata/v1/instance/network_attachments/{id}", "metadata_get_network_attachment", "is.metadata.instance-network-attachment.get", documents::attachment),
    route!(get "/metadata/v1/instance/volume_attachments", "metadata_list_volume_attachments", "is.metadata.instance-volume-attachment.list", documents::volumes),
    route!(get "/metadata/v1/instance/volume_attachments/{id}", "metadata_get_volume_attachment", "is.metadata.instance-volume-attachment.get", documents::volume),
    route!(get "/metadata/v1/instance/cluster_network_attachments", "metadata_list_cluster_network_attachments", "is.metadata.instance.read", documents::cluster_attachments),
    route!(get "/metadata/v1/instance/software_attachments", "metadata_list_software_attachments", "is.metadata.instance-software-attachment.list", documents::software_attachments),
    route!(get "/metadata/v1/virtual_network_interfaces", "metadata_list_virtual_network_interfaces", "is.metadata.instance-network-interface.list", documents::virtual_interfaces),
    route!(get "/metadata/v1/virtual_network_interfaces/{id}", "metadata_get_virtual_network_interface", "is.metadata.instance-network-interface.get", documents::virtual_interface),
    route!(get "/metadata/v1/keys", "metadata_list_keys", "is.metadata.instance-key.list", documents::keys),
    route!(get "/metadata/v1/keys/{id}", "metadata_get_key", "is.metadata.instance-key.get", documents::key),
    route!(get "/metadata/v1/placement_groups", "metadata_list_placement_groups", "is.metadata.instance-placement-group.list", documents::placement_groups),
    route!(get "/metadata/v1/placement_groups/{id}", "metadata_get_placement_group", "is.metadata.instance-placement-group.get", documents::placement_group),
];

/// The service of one instance, for its listener and no other.
pub fn service(who: &Arc<Who>) -> Service {
    let endpoints = ROUTES.iter().map(|route| {
        let (who, handler, event) = (who.clone(), route.handler, route.event);
        let wrapped: Wrapped = Box::new(move |ctx, request| {
            let who = who.clone();
            Box::pin(async move { answer(who, ctx, request, (handler, event)).await })
        });
        (route.method)(route.path, route.operation, wrapped).anonymous().body_limit(BODY)
    });
    Service { name: "is.metadata", display: "VPC Instance Metadata", endpoints: endpoints.collect(), render }
}

/// Methods, paths and events, for the catalogue.
pub fn events() -> Vec<(&'static str, &'static str, &'static str)> {
    ROUTES.iter().map(|route| (route.verb, route.path, route.event)).collect()
}

/// Admission, handler, event. What hands out something is told before it is answered, a refusal too.
async fn answer(
    who: Arc<Who>,
    ctx: Ctx,
    request: Request,
    (handler, event): (Handler, &'static str),
) -> Result<Response> {
    if !who.admits(ctx.now().millis()) {
        ctx.app().metrics.refusal("metadata_rate");
        return Err(Error::new(Kind::RateLimited, "This instance asks too often.").retry_after(1));
    }
    let trace = ctx.transaction_id().to_owned();
    let admitted = Admission::of(who, &ctx, request).await;
    let told = match admitted {
        Err(refused) => Err(refused),
        Ok(admission) => {
            let admission = Arc::new(admission);
            let outcome = handler(admission.clone()).await;
            admission.tell(event, outcome.as_ref()).await?;
            outcome
        }
    };
    Ok(told?.response.header("x-request-id", &trace))
}

/// The error container.
fn render(e: &Error, context: &ErrorContext) -> Response {
    let (status, code) = match e.kind() {
        Kind::Invalid | Kind::Unprocessable => (400, "invalid_value"),
        Kind::Missing => (400, "missing_field"),
        Kind::Unauthenticated => (401, "unauthenticated"),
        Kind::Forbidden | Kind::Limit => (403, "unauthorized"),
        Kind::NotFound | Kind::Gone => (404, "not_found"),
        Kind::MethodNotAllowed => (405, "method_not_allowed"),
        Kind::TooLarge | Kind::UnsupportedMedia => (400, "invalid_request"),
        Kind::RateLimited => (429, "rate_limited"),
        Kind::Conflict | Kind::Locked | Kind::Stale | Kind::Precondition => (409, "conflict"),
        Kind::Internal => (500, "service_error"),
        Kind::Unavailable => (503, "service_error"),
    };
    let status = e.status_override().unwrap_or(status);
    let mut error = json!({"code": e.code_override().unwrap_or(code), "message": e.message()});
    if let (Some(field), Some(error)) = (e.field_name().filter(|f| *f != "body"), error.as_object_mut()) {
        let data = e.data_value();
        let text = |name: &str| data.and_then(|d| d.get(name)).and_then(Value::as_str);
        let mut target = json!({"name": field, "type": text("target").unwrap_or("field")});
        if let (Some(value), Some(target)) = (text("value"), target.as_object_mut()) {
            target.insert("value".into(), json!(value));
        }
        error.insert("target".into(), target);
    }
    let body = json!({"errors": [error], "trace": context.transaction_id, "status_code": status});
    Response::json(status, &body)
        .unwrap_or_else(|_| Response::empty(status))
        .header("x-request-id", &context.transaction_id)
}
