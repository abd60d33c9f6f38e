//! The error shape of Secrets Manager.

use avouch_gate::{Error, ErrorContext, Kind, Response};
use serde_json::json;

/// Renders an error.
pub fn render(e: &Error, context: &ErrorContext) -> Response {
    let (status, code) = match e.kind() {
        Kind::Invalid | Kind::Missing | Kind::Unprocessable | Kind::Limit => {
            (400, "secrets-manager.Error00001")
        }
        Kind::Unauthenticated => (401, "secrets-manager.Error00002"),
        Kind::Forbidden => (403, "secrets-manager.Error00003"),
        Kind::NotFound => (404, "secrets-manager.Error00004"),
        Kind::MethodNotAllowed => (405, "secrets-manager.Error00005"),
        Kind::Conflict | Kind::Stale => (409, "secrets-manager.Error00006"),
        Kind::Gone => (410, "secrets-manager.Error00004"),
        Kind::Locked | Kind::Precondition => (412, "secrets-manager.Error00007"),
        Kind::TooLarge => (413, "secrets-manager.Error00008"),
        Kind::UnsupportedMedia => (415, "secrets-manager.Error00009"),
        Kind::RateLimited => (429, "secrets-manager.Error00010"),
        Kind::Internal => (500, "secrets-manager.Error00011"),
        Kind::Unavailable => (503, "secrets-manager.Error00012"),
    };
    let status = e.status_override().unwrap_or(status);
    let body = json!({
        "status_code": status,
        "errors": [{
            "code": e.code_override().unwrap_or(code),
            "message": e.message(),
            "more_info": e.field_name().map(|f| format!("The property at fault is '{f}'.")).unwrap_or_default(),
        }],
        "trace": context.transaction_id,
    });
    Response::json(status, &body).unwrap_or_else(|_| Response::empty(status))
}

/// The answer of what a lock forbids; COMPAT: the documented text.
pub fn locked() -> Error {
    Error::new(Kind::Locked, "The requested action can't be completed because the secret version is locked.")
}

/// The answer for an unknown secret and for one that the caller may not see.
pub fn no_secret() -> Error {
    Error::new(Kind::NotFound, "The secret was not found.")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use avouch_wire::time::Timestamp;

    #[test]
    fn every_kind_has_its_status() {
        let context = ErrorContext {
            transaction_id: "t".into(),
            path: String::new(),
            user_agent: String::new(),
            origin: String::new(),
            node: String::new(),
            started: Timestamp::from_millis(0),
            ended: Timestamp::from_millis(0),
        };
        for (kind, status) in [
            (Kind::Invalid, 400),
            (Kind::Missing, 400),
            (Kind::Limit, 400),
            (Kind::Unauthenticated, 401),
            (Kind::Forbidden, 403),
            (Kind::NotFound, 404),
            (Kind::Conflict, 409),
            (Kind::Locked, 412),
            (Kind::TooLarge, 413),
            (Kind::RateLimited, 429),
            (Kind::Internal, 500),
            (Kind::Unavailable, 503),
        ] {
            let r = render(&Error::new(kind, "m"), &context);
            assert_eq!(r.status, status, "{kind:?}");
            let body: serde_json::Value = serde_json::from_slice(&r.body).unwrap();
            assert_eq!(
                (body["errors"][0]["message"].as_str(), body["trace"].as_str()),
                (Some("m"), Some("t"))
            );
        }
    }
}
