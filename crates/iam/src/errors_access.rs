//! Error shapes of access management: policies and roles, access groups, the decision endpoints.
//!
//! All three are `trace`, `errors[]` and `status_code`; they differ in codes and details. The codes of policies are a closed
//! published list, with its published misspelling.

use avouch_gate::{Error, ErrorContext, Kind, Response};
use serde_json::{Map, Value, json};

/// Where an explanation of the codes stands.
const MORE_INFO: &str = "https://cloud.ibm.com/apidocs/iam-policy-management";

/// Policies, roles, authorizations, settings.
pub fn policy(e: &Error, context: &ErrorContext) -> Response {
    let (status, code) = policy_code(e);
    let mut entry = Map::new();
    entry.insert("code".into(), json!(e.code_override().unwrap_or(code)));
    entry.insert("message".into(), json!(e.message()));
    entry.insert("more_info".into(), json!(MORE_INFO));
    if let Some(data) = e.data_value().filter(|_| matches!(e.kind(), Kind::Conflict | Kind::Stale)) {
        entry.insert("details".into(), json!({"conflicts_with": data}));
    }
    shape(e.status_override().unwrap_or(status), entry, context)
}

fn policy_code(e: &Error) -> (u16, &'static str) {
    match e.kind() {
        Kind::Missing if e.field_name() == Some("account_id") => (400, "missing_required_query_parameter"),
        Kind::Invalid | Kind::Missing => (400, "invalid_body"),
        Kind::Unauthenticated => (401, "invalid_token"),
        // COMPAT: published with this spelling in every SDK.
        Kind::Forbidden => (403, "insufficent_permissions"),
        Kind::NotFound | Kind::Gone => (404, "not_found"),
        Kind::MethodNotAllowed => (405, "not_found"),
        Kind::Conflict | Kind::Stale | Kind::Precondition => (409, "policy_conflict_error"),
        Kind::TooLarge => (413, "invalid_body"),
        Kind::UnsupportedMedia => (415, "unsupported_content_type"),
        Kind::Unprocessable | Kind::Limit | Kind::Locked => (422, "unable_to_process"),
        Kind::RateLimited => (429, "too_many_requests"),
        Kind::Internal => (500, "request_not_processed"),
        Kind::Unavailable => (503, "request_not_processed"),
    }
}

/// Access groups.
pub fn groups(e: &Error, context: &ErrorContext) -> Response {
    let (status, code) = group_code(e);
    let mut entry = Map::new();
    entry.insert("code".into(), json!(e.code_override().unwrap_or(code)));
    entry.insert("message".into(), json!(e.message()));
    if let Some(details) = e.details_text() {
        entry.insert("details".into(), json!(details));
    }
    shape(e.status_override().unwrap_or(status), entry, context)
}

/// Status and code of an error of access groups, also for one item of an answer about many.
pub fn group_code(e: &Error) -> (u16, &'static str) {
    match e.kind() {
        Kind::Invalid | Kind::Missing => (400, "invalid_request"),
        Kind::Unauthenticated => (401, "invalid_token"),
        Kind::Forbidden => (403, "forbidden"),
        // Published for the limit on memberships.
        Kind::Limit => (403, "error_occurred"),
        Kind::NotFound | Kind::Gone => (404, "group_not_found"),
        Kind::MethodNotAllowed => (405, "invalid_request"),
        Kind::Conflict => (409, "group_name_conflict"),
        Kind::Stale | Kind::Precondition => (409, "etag_mismatch"),
        Kind::Locked => (422, "error_occurred"),
        Kind::TooLarge => (413, "invalid_request"),
        Kind::UnsupportedMedia => (415, "invalid_request"),
        Kind::Unprocessable => (422, "error_occurred"),
        Kind::RateLimited => (429, "too_many_requests"),
        Kind::Internal => (500, "error_occurred"),
        Kind::Unavailable => (503, "error_occurred"),
    }
}

/// The decision endpoints.
pub fn authz(e: &Error, context: &ErrorContext) -> Response {
    let code = match e.kind() {
        Kind::Invalid | Kind::Missing | Kind::TooLarge | Kind::Unprocessable => "invalid_request",
        Kind::Unauthenticated => "invalid_token",
        Kind::Forbidden => "forbidden",
        Kind::NotFound | Kind::Gone | Kind::MethodNotAllowed => "not_found",
        Kind::UnsupportedMedia => "unsupported_content_type",
        Kind::Conflict | Kind::Stale | Kind::Locked | Kind::Precondition | Kind::Limit => {
            "request_not_processed"
        }
        Kind::RateLimited => "too_many_requests",
        Kind::Internal | Kind::Unavailable => "request_not_processed",
    };
    let mut entry = Map::new();
    entry.insert("code".into(), json!(e.code_override().unwrap_or(code)));
    entry.insert("message".into(), json!(e.message()));
    shape(e.status_override().unwrap_or_else(|| e.kind().status()), entry, context)
}

fn shape(status: u16, entry: Map<String, Value>, context: &ErrorContext) -> Response {
    let body = json!({
        "trace": context.transaction_id,
        "errors": [entry],
        "status_code": status,
    });
    Response::json(status, &body).unwrap_or_else(|_| Response::empty(status))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;
    use avouch_wire::Timestamp;

    const ALL: [Kind; 18] = [
        Kind::Invalid,
        Kind::Missing,
        Kind::Unauthenticated,
        Kind::Forbidden,
        Kind::NotFound,
        Kind::MethodNotAllowed,
        Kind::Conflict,
        Kind::Stale,
        Kind::Gone,
        Kind::Locked,
        Kind::Precondition,
        Kind::TooLarge,
        Kind::UnsupportedMedia,
        Kind::Unprocessable,
        Kind::Limit,
        Kind::RateLimited,
        Kind::Unavailable,
        Kind::Internal,
    ];
    /// The published codes of the policy API.
    const POLICY_CODES: [&str; 12] = [
        "invalid_token",
        "insufficent_permissions",
        "invalid_body",
        "missing_required_query_parameter",
        "not_found",
        "policy_not_found",
        "role_not_found",
        "policy_conflict_error",
        "unsupported_content_type",
        "unable_to_process",
        "request_not_processed",
        "too_many_requests",
    ];

    fn context() -> ErrorContext {
        ErrorContext {
            transaction_id: "tx-1".into(),
            path: "/v1/policies".into(),
            user_agent: String::new(),
            origin: "http://avouch.test".into(),
            node: "a".into(),
            started: Timestamp::from_millis(0),
            ended: Timestamp::from_millis(0),
        }
    }

    fn rendered(render: fn(&Error, &ErrorContext) -> Response, e: &Error) -> (u16, Value) {
        let r = render(e, &context());
        let body: Value = serde_json::from_slice(&r.body).unwrap();
        assert_eq!(body["status_code"], r.status);
        assert_eq!(body["trace"], "tx-1");
        assert_eq!(body["errors"].as_array().unwrap().len(), 1);
        (r.status, body["errors"][0].clone())
    }

    #[test]
    fn every_kind_has_a_status_and_a_published_code() {
        for kind in ALL {
            let e = Error::new(kind, "public words").cause("private words");
            for render in [policy, groups, authz] {
                let (status, entry) = rendered(render, &e);
                assert!((400..=503).contains(&status), "{kind:?}");
                assert_eq!(entry["message"], "public words");
                assert!(!entry.to_string().contains("private"), "{kind:?}");
            }
            let (_, entry) = rendered(policy, &e);
            assert!(POLICY_CODES.contains(&entry["code"].as_str().unwrap()), "{kind:?}");
        }
    }

    #[test]
    fn policy_table() {
        let code = |e: Error| {
            let (status, entry) = rendered(policy, &e);
            (status, entry["code"].as_str().unwrap().to_owned())
        };
        assert_eq!(code(Error::forbidden()), (403, "insufficent_permissions".into()));
        assert_eq!(code(Error::missing("account_id")), (400, "missing_required_query_parameter".into()));
        assert_eq!(code(Error::missing("If-Match")), (400, "invalid_body".into()));
        assert_eq!(code(Error::new(Kind::Locked, "x")), (422, "unable_to_process".into()));
        assert_eq!(code(Error::new(Kind::Limit, "x")), (422, "unable_to_process".into()));
        let (status, entry) = rendered(policy, &Error::new(Kind::Stale, "x").data(json!({"etag": "2-a"})));
        assert_eq!((status, &entry["details"]["conflicts_with"]["etag"]), (409, &json!("2-a")));
    }

    #[test]
    fn group_table() {
        let (status, entry) = rendered(groups, &Error::new(Kind::Limit, "x"));
        assert_eq!((status, entry["code"].as_str()), (403, Some("error_occurred")));
        let (status, entry) = rendered(groups, &Error::forbidden());
        assert_eq!((status, entry["code"].as_str()), (403, Some("forbidden")));
    }
}
