//! The error container of the VPC service.

use avouch_gate::{Error, ErrorContext, Kind, Response};
use serde_json::{Value, json};

/// Renders an error.
pub fn render(e: &Error, context: &ErrorContext) -> Response {
    let (status, code) = match e.kind() {
        Kind::Invalid => (400, "invalid_value"),
        Kind::Missing => (400, "missing_field"),
        Kind::Unprocessable => (400, "validation_failed"),
        Kind::Unauthenticated => (401, "not_authenticated"),
        Kind::Forbidden => (403, "not_authorized"),
        Kind::Limit => (403, "over_quota"),
        Kind::NotFound | Kind::Gone => (404, "not_found"),
        Kind::MethodNotAllowed => (405, "method_not_allowed"),
        Kind::Conflict | Kind::Locked => (409, "conflict"),
        Kind::Stale | Kind::Precondition => (412, "precondition_failed"),
        Kind::TooLarge => (413, "request_too_large"),
        Kind::UnsupportedMedia => (415, "unsupported_media_type"),
        Kind::RateLimited => (429, "rate_limited"),
        Kind::Internal => (500, "service_error"),
        Kind::Unavailable => (503, "service_error"),
    };
    let status = e.status_override().unwrap_or(status);
    let mut error = json!({"code": e.code_override().unwrap_or(code), "message": e.message()});
    if let (Some(field), Some(error)) = (e.field_name().filter(|f| *f != "body"), error.as_object_mut()) {
        let kind = e.data_value().and_then(|d| d.get("target")).and_then(Value::as_str).unwrap_or("field");
        error.insert("target".into(), json!({"name": field, "type": kind}));
    }
    let body = json!({"errors": [error], "trace": context.transaction_id, "status_code": status});
    Response::json(status, &body)
        .unwrap_or_else(|_| Response::empty(status))
        .header("x-request-id", &context.transaction_id)
}

/// The same error, about a parameter of the path or the query.
pub fn in_parameter(e: Error) -> Error {
    e.data(json!({"target": "parameter"}))
}

/// The same error, about a header.
pub fn in_header(e: Error) -> Error {
    e.data(json!({"target": "header"}))
}

/// Nothing of that id in the account.
pub fn not_found(what: &str) -> Error {
    in_parameter(Error::new(Kind::NotFound, format!("The {what} was not found.")).field("id"))
}

/// Nothing that the body names is there.
pub fn no_such(field: String, what: &str) -> Error {
    Error::invalid(field, format!("The {what} was not found.")).code("not_found")
}

/// Another object of the scope has the name.
pub fn name_taken() -> Error {
    Error::invalid("name", "The name is already used by another resource of this kind.")
        .code("validation_unique_failed")
}

/// The object is used by others.
pub fn in_use(message: &'static str) -> Error {
    Error::conflict(message).code("in_use")
}

#[cfg(test)]
mod tests {
    use super::*;
    use avouch_wire::time::Timestamp;

    fn context() -> ErrorContext {
        ErrorContext {
            transaction_id: "t".into(),
            path: String::new(),
            user_agent: String::new(),
            origin: String::new(),
            node: String::new(),
            started: Timestamp::from_millis(0),
            ended: Timestamp::from_millis(0),
        }
    }

    #[test]
    fn every_kind_has_its_status_and_code() {
        for (kind, status, code) in [
            (Kind::Invalid, 400, "invalid_value"),
            (Kind::Missing, 400, "missing_field"),
            (Kind::Unprocessable, 400, "validation_failed"),
            (Kind::Unauthenticated, 401, "not_authenticated"),
            (Kind::Forbidden, 403, "not_authorized"),
            (Kind::Limit, 403, "over_quota"),
            (Kind::NotFound, 404, "not_found"),
            (Kind::Gone, 404, "not_found"),
            (Kind::MethodNotAllowed, 405, "method_not_allowed"),
            (Kind::Conflict, 409, "conflict"),
            (Kind::Locked, 409, "conflict"),
            (Kind::Stale, 412, "precondition_failed"),
            (Kind::Precondition, 412, "precondition_failed"),
            (Kind::TooLarge, 413, "request_too_large"),
            (Kind::UnsupportedMedia, 415, "unsupported_media_type"),
            (Kind::RateLimited, 429, "rate_limited"),
            (Kind::Internal, 500, "service_error"),
            (Kind::Unavailable, 503, "service_error"),
        ] {
            let r = render(&Error::new(kind, "m"), &context());
            let body: Value = serde_json::from_slice(&r.body).unwrap();
            assert_eq!((r.status, body["errors"][0]["code"].as_str()), (status, Some(code)), "{kind:?}");
            assert_eq!(
                (body["errors"][0]["message"].as_str(), body["trace"].as_str()),
                (Some("m"), Some("t"))
            );
            assert_eq!(r.headers["x-request-id"], "t");
        }
    }

    #[test]
    fn the_place_at_fault_is_named_by_its_kind() {
        let target = |e: Error| {
            let r = render(&e, &context());
            let body: Value = serde_json::from_slice(&r.body).unwrap();
            body["errors"][0]["target"].clone()
        };
        assert_eq!(target(Error::invalid("vpc.id", "m")), json!({"name": "vpc.id", "type": "field"}));
        assert_eq!(target(in_parameter(Error::missing("version")))["type"], "parameter");
        assert_eq!(target(in_header(Error::missing("If-Match")))["type"], "header");
        assert_eq!(target(Error::invalid("body", "m")), Value::Null);
    }
}
