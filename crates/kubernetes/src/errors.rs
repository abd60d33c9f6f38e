//! The error shape of our own paths: `trace`, `errors[]`, `status_code`.

use avouch_gate::{Error, ErrorContext, Kind, Response};
use serde_json::{Map, json};

/// Renders an error.
pub fn render(e: &Error, context: &ErrorContext) -> Response {
    let code = match e.kind() {
        Kind::Invalid | Kind::Missing | Kind::Unprocessable | Kind::Limit => "invalid_request",
        Kind::Unauthenticated => "invalid_token",
        Kind::Forbidden => "insufficent_permissions",
        Kind::NotFound | Kind::Gone => "not_found",
        Kind::MethodNotAllowed => "method_not_allowed",
        Kind::Conflict | Kind::Locked => "conflict",
        Kind::Stale | Kind::Precondition => "stale_revision",
        Kind::TooLarge => "too_large",
        Kind::UnsupportedMedia => "unsupported_content_type",
        Kind::RateLimited => "too_many_requests",
        Kind::Unavailable => "unavailable",
        Kind::Internal => "internal_error",
    };
    let status = e.status_override().unwrap_or_else(|| e.kind().status());
    let mut error = Map::new();
    error.insert("code".into(), json!(e.code_override().unwrap_or(code)));
    error.insert("message".into(), json!(e.message()));
    if let Some(details) = e.details_text() {
        error.insert("details".into(), json!(details));
    }
    if let Some(field) = e.field_name() {
        error.insert("target".into(), json!({"type": "field", "name": field}));
    }
    let body = json!({"trace": context.transaction_id, "errors": [error], "status_code": status});
    Response::json(status, &body).unwrap_or_else(|_| Response::empty(status))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use avouch_wire::time::Timestamp;

    #[test]
    fn an_error_names_its_field_and_the_request() {
        let context = ErrorContext {
            transaction_id: "t1".into(),
            path: "/avouch/v1/clusters".into(),
            user_agent: String::new(),
            origin: String::new(),
            node: String::new(),
            started: Timestamp::EPOCH,
            ended: Timestamp::EPOCH,
        };
        let r = render(&Error::missing("issuer"), &context);
        let body: serde_json::Value = serde_json::from_slice(&r.body).unwrap();
        assert_eq!((r.status, &body["status_code"], &body["trace"]), (400, &json!(400), &json!("t1")));
        assert_eq!(body["errors"][0]["target"]["name"], "issuer");
        assert_eq!(render(&Error::new(Kind::Stale, "x"), &context).status, 409);
    }
}
