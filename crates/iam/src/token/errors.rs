//! The error shape of `/identity/*`: `errorCode`, `errorMessage`, `errorDetails`, `context`.

use avouch_gate::{Error, ErrorContext, Kind, Response};
use avouch_wire::token::{self, TokenError};

/// Renders an error of the token service.
pub fn render(e: &Error, context: &ErrorContext) -> Response {
    let (status, code) = status_and_code(e);
    let body = TokenError {
        error_code: code,
        error_message: e.message().to_owned(),
        error_details: details(e),
        context: token::ErrorContext {
            request_id: context.transaction_id.clone(),
            request_type: request_type(&context.path),
            user_agent: context.user_agent.clone(),
            url: context.origin.clone(),
            instance_id: context.node.clone(),
            thread_id: String::new(),
            host: context.node.clone(),
            start_time: context.started.error_context(),
            end_time: context.ended.error_context(),
            elapsed_time: context.ended.millis_since(context.started).max(0).to_string(),
            locale: "en_US".into(),
            cluster_name: "avouch".into(),
        },
    };
    Response::json(status, &body).unwrap_or_else(|_| Response::empty(status))
}

fn details(e: &Error) -> Option<String> {
    match (e.details_text(), e.field_name()) {
        (Some(text), _) => Some(text.to_owned()),
        (None, Some(field)) => Some(format!("The property at fault is '{field}'.")),
        (None, None) => None,
    }
}

/// `incoming.Identity_Token` for `/identity/token`.
fn request_type(path: &str) -> String {
    let name: Vec<String> = path
        .trim_matches('/')
        .split('/')
        .filter(|s| !s.starts_with('.'))
        .map(|s| {
            let mut chars = s.chars();
            chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
        })
        .collect();
    format!("incoming.{}", name.join("_"))
}

fn status_and_code(e: &Error) -> (u16, String) {
    let (status, code) = match e.kind() {
        Kind::Missing => (400, "BXNIM0109E"),
        Kind::Invalid | Kind::UnsupportedMedia | Kind::Unprocessable | Kind::Limit | Kind::Precondition => {
            (400, "BXNIM0106E")
        }
        // Whatever is too large for the endpoint cannot be parsed by it.
        Kind::TooLarge => (400, "BXNIM0407E"),
        Kind::Unauthenticated if e.reason_label() == Some("no_token") => (401, "BXNIM0308E"),
        Kind::Unauthenticated if e.reason_label() == Some("expired") => (401, "BXNIM0408E"),
        Kind::Unauthenticated => (401, "BXNIM0407E"),
        Kind::Forbidden => (403, "BXNIM0513E"),
        Kind::NotFound | Kind::Gone => (404, "BXNIM0102E"),
        Kind::MethodNotAllowed => (405, "BXNIM0060E"),
        Kind::Conflict | Kind::Stale | Kind::Locked => (409, "BXNIM0111E"),
        Kind::RateLimited => (429, "BXNIM0492E"),
        Kind::Unavailable => (503, "BXNIM0491E"),
        Kind::Internal => (500, "BXNIM0001E"),
    };
    let status = e.status_override().unwrap_or(status);
    // The audit writer names its refusal by a word; here it has a number.
    let code = match e.code_override() {
        Some("AUDIT_UNAVAILABLE") | None => code,
        Some(other) => other,
    };
    (status, code.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use avouch_wire::time::Timestamp;

    fn rendered(e: &Error) -> (u16, serde_json::Value) {
        let context = ErrorContext {
            transaction_id: "t1".into(),
            path: "/identity/token".into(),
            user_agent: "ua".into(),
            origin: "http://avouch.test".into(),
            node: "n".into(),
            started: Timestamp::from_millis(1_735_233_806_340),
            ended: Timestamp::from_millis(1_735_233_806_345),
        };
        let r = render(e, &context);
        (r.status, serde_json::from_slice(&r.body).unwrap())
    }

    #[test]
    fn errors_have_the_published_shape() {
        let (status, body) = rendered(&Error::missing("apikey"));
        assert_eq!(status, 400);
        assert_eq!(body["errorCode"], "BXNIM0109E");
        assert!(body["errorDetails"].as_str().unwrap().contains("apikey"));
        assert_eq!(body["context"]["requestType"], "incoming.Identity_Token");
        assert_eq!(body["context"]["startTime"], "26.12.2024 17:23:26:340 UTC");
        assert_eq!(body["context"]["elapsedTime"], "5");
        assert!(body["context"].as_object().unwrap().values().all(serde_json::Value::is_string));
    }

    #[test]
    fn every_kind_has_its_status_and_code() {
        let cases = [
            (Kind::Invalid, 400, "BXNIM0106E"),
            (Kind::Missing, 400, "BXNIM0109E"),
            (Kind::Unauthenticated, 401, "BXNIM0407E"),
            (Kind::Forbidden, 403, "BXNIM0513E"),
            (Kind::NotFound, 404, "BXNIM0102E"),
            (Kind::MethodNotAllowed, 405, "BXNIM0060E"),
            (Kind::TooLarge, 400, "BXNIM0407E"),
            (Kind::RateLimited, 429, "BXNIM0492E"),
            (Kind::Unavailable, 503, "BXNIM0491E"),
            (Kind::Internal, 500, "BXNIM0001E"),
        ];
        for (kind, status, code) in cases {
            let (s, body) = rendered(&Error::new(kind, "x"));
            assert_eq!((s, body["errorCode"].as_str().unwrap()), (status, code), "{kind:?}");
        }
        let coded = Error::new(Kind::Unavailable, "x").code("AUDIT_UNAVAILABLE");
        assert_eq!(rendered(&coded).1["errorCode"], "BXNIM0491E");
    }
}
