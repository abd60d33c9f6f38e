//! Health and metrics, and what only the operator does.

use avouch_gate::room::Level;
use avouch_gate::{Ctx, Endpoint, Error, ErrorContext, Request, Response, Result, Service};
use serde_json::json;

/// The endpoints that belong to no published service.
pub fn service() -> Service {
    Service {
        name: "avouch",
        display: "Avouch",
        endpoints: [
            Endpoint::get("/healthz", "health", health).anonymous(),
            Endpoint::get("/readyz", "ready", ready).anonymous(),
            Endpoint::get("/metrics", "metrics", metrics).anonymous(),
        ]
        .into_iter()
        .chain(crate::accounts::endpoints())
        .collect(),
        render,
    }
}

async fn health(_ctx: Ctx, _request: Request) -> Result<Response> {
    Response::json(200, &json!({"status": "ok"}))
}

/// Ready: the store answers and events can be written.
async fn ready(ctx: Ctx, _request: Request) -> Result<Response> {
    avouch_gate::room::tick(ctx.app()).await?;
    ctx.app().store.health().await?;
    let level = ctx.app().room.level();
    if level == Level::Reserve {
        return Err(Error::unavailable("The disk of the store is full."));
    }
    ctx.app().audit.settled().await?;
    Response::json(200, &json!({"status": "ready", "disk": level.as_str()}))
}

async fn metrics(ctx: Ctx, _request: Request) -> Result<Response> {
    let text = ctx.app().metrics.render();
    Ok(Response::text(200, "application/openmetrics-text; version=1.0.0; charset=utf-8", text))
}

/// The error shape of our own paths.
pub fn render(e: &Error, context: &ErrorContext) -> Response {
    let status = e.status_override().unwrap_or_else(|| e.kind().status());
    let code = e.code_override().unwrap_or("request_not_processed");
    let body = json!({
        "trace": context.transaction_id,
        "status_code": status,
        "errors": [{"code": code, "message": e.message()}],
    });
    Response::json(status, &body).unwrap_or_else(|_| Response::empty(status))
}
