//! Error shapes of the resource controller (`message`, `error_code`) and of the resource manager (`errors[]`).

use avouch_gate::{Error, ErrorContext, Kind, Response};
use serde_json::json;

/// Resource controller.
pub fn controller(e: &Error, context: &ErrorContext) -> Response {
    let (status, code) = match e.kind() {
        Kind::Invalid | Kind::Missing => (400, "RC-InvalidRequest"),
        Kind::Unauthenticated => (401, "RC-Unauthorized"),
        Kind::Forbidden => (403, "RC-IamAuthz"),
        Kind::NotFound => (404, "RC-NotFound"),
        Kind::MethodNotAllowed => (405, "RC-MethodNotAllowed"),
        Kind::Conflict | Kind::Stale => (409, "RC-Conflict"),
        Kind::Gone => (410, "RC-Gone"),
        Kind::Locked => (422, "RC-InstanceLocked"),
        Kind::Precondition => (412, "RC-Precondition"),
        Kind::TooLarge => (413, "RC-TooLarge"),
        Kind::UnsupportedMedia => (415, "RC-UnsupportedMediaType"),
        Kind::Unprocessable | Kind::Limit => (422, "RC-Unprocessable"),
        Kind::RateLimited => (429, "RC-RateLimited"),
        Kind::Internal => (500, "RC-InternalError"),
        Kind::Unavailable => (503, "RC-Unavailable"),
    };
    let status = e.status_override().unwrap_or(status);
    let mut body = json!({
        "message": e.message(),
        "status_code": status,
        "error_code": e.code_override().unwrap_or(code),
        "transaction_id": context.transaction_id,
    });
    if let (Some(details), Some(object)) = (e.details_text(), body.as_object_mut()) {
        object.insert("details".into(), json!(details));
    }
    Response::json(status, &body).unwrap_or_else(|_| Response::empty(status))
}

/// Resource manager, users, audit search.
pub fn manager(e: &Error, context: &ErrorContext) -> Response {
    let code = match e.kind() {
        Kind::Invalid | Kind::Missing => "bad_request",
        Kind::Unauthenticated => "unauthorized",
        Kind::Forbidden => "forbidden",
        Kind::NotFound => "not_found",
        Kind::MethodNotAllowed => "method_not_allowed",
        Kind::Conflict | Kind::Stale | Kind::Locked => "conflict",
        Kind::Gone => "gone",
        Kind::Precondition => "precondition_failed",
        Kind::TooLarge => "too_large",
        Kind::UnsupportedMedia => "unsupported_content_type",
        Kind::Unprocessable | Kind::Limit => "unprocessable",
        Kind::RateLimited => "too_many_requests",
        Kind::Internal => "internal_error",
        Kind::Unavailable => "unavailable",
    };
    let status = e.status_override().unwrap_or_else(|| e.kind().status());
    let body = json!({
        "errors": [{"code": e.code_override().unwrap_or(code), "message": e.message()}],
        "trace": context.transaction_id,
        "status_code": status,
    });
    Response::json(status, &body).unwrap_or_else(|_| Response::empty(status))
}
