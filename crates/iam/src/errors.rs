//! The error shape of IAM identity: `errors[]` with a slug and a message code.

use avouch_gate::{Error, ErrorContext, Kind, Response};
use serde_json::json;

/// Renders an error of the identity service.
pub fn render(e: &Error, context: &ErrorContext) -> Response {
    let (status, slug, code) = parts(e.kind());
    let code = match (e.kind(), e.reason_label()) {
        (Kind::Unauthenticated, Some("no_token")) => "BXNIM0308E",
        _ => code,
    };
    let status = e.status_override().unwrap_or(status);
    let mut error = json!({
        "code": slug,
        "message_code": e.code_override().unwrap_or(code),
        "message": e.message(),
    });
    let details =
        e.details_text().map(str::to_owned).or_else(|| e.field_name().map(|f| format!("Property: '{f}'.")));
    if let (Some(details), Some(object)) = (details, error.as_object_mut()) {
        object.insert("details".into(), json!(details));
    }
    let body = json!({
        "status_code": status,
        "trace": context.transaction_id,
        "context": {
            "transaction_id": context.transaction_id,
            "operation": context.path,
            "user_agent": context.user_agent,
            "url": context.origin,
            "instance_id": context.node,
            "start_time": context.started.error_context(),
            "end_time": context.ended.error_context(),
            "elapsed_time": context.ended.millis_since(context.started).max(0).to_string(),
        },
        "errors": [error],
    });
    Response::json(status, &body).unwrap_or_else(|_| Response::empty(status))
}

fn parts(kind: Kind) -> (u16, &'static str, &'static str) {
    match kind {
        Kind::Invalid | Kind::Unprocessable => (400, "bad_request", "BXNIM0106E"),
        Kind::Missing => (400, "bad_request", "BXNIM0109E"),
        Kind::Limit => (400, "limit_exceeded", "BXNIM0110E"),
        Kind::Unauthenticated => (401, "unauthorized", "BXNIM0407E"),
        Kind::Forbidden => (403, "forbidden", "BXNIM0513E"),
        Kind::NotFound => (404, "not_found", "BXNIM0102E"),
        Kind::MethodNotAllowed => (405, "method_not_allowed", "BXNIM0060E"),
        Kind::Conflict | Kind::Stale => (409, "conflict", "BXNIM0111E"),
        Kind::Locked => (409, "invalid_state", "BXNIM0112E"),
        Kind::Gone => (410, "gone", "BXNIM0102E"),
        Kind::Precondition => (412, "invalid_state", "BXNIM0112E"),
        Kind::TooLarge => (413, "too_large", "BXNIM0106E"),
        Kind::UnsupportedMedia => (415, "unsupported_content_type", "BXNIM0106E"),
        Kind::RateLimited => (429, "too_many_requests", "BXNIM0117E"),
        Kind::Internal => (500, "internal_error", "BXNIM0100E"),
        Kind::Unavailable => (503, "unavailable", "BXNIM0491E"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use avouch_wire::time::Timestamp;

    #[test]
    fn every_kind_has_a_status_a_slug_and_a_code() {
        let context = ErrorContext {
            transaction_id: "t".into(),
            path: "/v1/profiles".into(),
            user_agent: String::new(),
            origin: "http://x".into(),
            node: "n".into(),
            started: Timestamp::from_millis(0),
            ended: Timestamp::from_millis(5),
        };
        for (kind, status) in [
            (Kind::Invalid, 400),
            (Kind::Missing, 400),
            (Kind::Unauthenticated, 401),
            (Kind::Forbidden, 403),
            (Kind::NotFound, 404),
            (Kind::MethodNotAllowed, 405),
            (Kind::Conflict, 409),
            (Kind::Stale, 409),
            (Kind::Gone, 410),
            (Kind::Locked, 409),
            (Kind::Precondition, 412),
            (Kind::TooLarge, 413),
            (Kind::UnsupportedMedia, 415),
            (Kind::Unprocessable, 400),
            (Kind::Limit, 400),
            (Kind::RateLimited, 429),
            (Kind::Unavailable, 503),
            (Kind::Internal, 500),
        ] {
            let r = render(&Error::new(kind, "m"), &context);
            assert_eq!(r.status, status, "{kind:?}");
            let body: serde_json::Value = serde_json::from_slice(&r.body).unwrap();
            assert_eq!(body["status_code"], status);
            assert!(body["errors"][0]["message_code"].as_str().unwrap().starts_with("BXNIM"), "{kind:?}");
            assert_eq!(body["errors"][0]["message"], "m");
        }
        let body = render(&Error::new(Kind::Unauthenticated, "m").reason("no_token"), &context).body;
        assert!(String::from_utf8(body.to_vec()).unwrap().contains("BXNIM0308E"));
    }
}
