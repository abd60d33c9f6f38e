//! Why a command did not do what it was asked to, and how that is told: exit code 1 for what the service or the
//! session refused, 2 for a command line that cannot be understood.

use std::fmt::Write as _;

use serde_json::Value;

/// Result of everything in this crate.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a command ended early.
#[derive(Debug)]
pub enum Failure {
    /// The command line is wrong: exit 2.
    Usage(String),
    /// Anything else that went wrong: exit 1.
    Failed(String),
    /// A service answered with an error: exit 1.
    Api(Box<ApiError>),
    /// A program that was run for the user ended with this status, which is ours then.
    Ended(u8),
    /// The user said no to a question: exit 0, nothing was changed.
    Cancelled,
}

/// Code of the token endpoint for a profile whose links and rules do not admit the caller.
const NOT_ELIGIBLE: &str = "BXNIM0398E";
/// Code of an address that keys cannot be fetched from.
const KEY_SOURCE: &str = "key_source";

/// An error that a service answered with.
#[derive(Debug, Default, Clone)]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// Machine code of the service; empty if it gave none.
    pub code: String,
    /// Text of the service.
    pub message: String,
    /// More of it; empty if there is none.
    pub details: String,
    /// Id by which the request can be found in the audit trail.
    pub transaction: String,
}

impl ApiError {
    /// Reads the four published error shapes, in the order in which the published SDKs do.
    pub fn read(status: u16, transaction: &str, body: &Value) -> Self {
        let text = |v: &Value| match v {
            Value::String(s) => s.clone(),
            _ => String::new(),
        };
        let first = &body["errors"][0];
        let pick = |candidates: &[&Value]| {
            candidates.iter().map(|v| text(v)).find(|s| !s.is_empty()).unwrap_or_default()
        };
        let mut message = pick(&[
            &first["message"],
            &body["error"],
            &body["message"],
            &body["errorMessage"],
            &body["error_description"],
        ]);
        if message.is_empty() {
            message = format!("The server answered with HTTP status {status}.");
        }
        let transaction = if transaction.is_empty() {
            pick(&[&body["trace"], &body["transaction_id"], &body["context"]["requestId"]])
        } else {
            transaction.to_owned()
        };
        Self {
            status,
            code: pick(&[&first["message_code"], &first["code"], &body["errorCode"], &body["error_code"]]),
            details: pick(&[
                &first["details"],
                &more_than(&message, &first["more_info"]),
                &body["errorDetails"],
                &body["details"],
            ]),
            message,
            transaction,
        }
    }

    fn render(&self) -> String {
        let mut out = self.message.clone();
        if !self.details.is_empty() && self.details != self.message {
            let _ = write!(out, "\n{}", self.details);
        }
        out.push('\n');
        if !self.code.is_empty() {
            let _ = write!(out, "Code: {}, ", self.code);
        }
        let _ = write!(out, "HTTP status: {}", self.status);
        if !self.transaction.is_empty() {
            let _ = write!(out, ", transaction ID: {}", self.transaction);
            if self.decided() {
                let _ = write!(
                    out,
                    "\nWhoever may read the policies sees why: avouch iam why {}",
                    self.transaction
                );
            }
        }
        if self.status == 403 && self.code == KEY_SOURCE {
            out.push_str(
                "\nNo policy refuses this, but a setting of the server. Whoever runs it can list the address in 'fetch.allow' \
                 (variable AVOUCH_FETCH_ALLOW) and start it again; or hand the keys over with --kubeconfig or --jwks.",
            );
        }
        out
    }

    /// True when rules or policies were asked and said no: that can be explained.
    fn decided(&self) -> bool {
        (self.status == 403 && self.code != KEY_SOURCE) || self.code == NOT_ELIGIBLE
    }
}

impl Failure {
    /// The text under `FAILED` or `Incorrect Usage`.
    pub fn text(&self) -> String {
        match self {
            Failure::Usage(text) | Failure::Failed(text) => text.clone(),
            Failure::Api(e) => e.render(),
            Failure::Cancelled => "Cancelled".into(),
            Failure::Ended(status) => format!("It ended with status {status}."),
        }
    }

    /// The HTTP status, when a service said no.
    pub fn status(&self) -> Option<u16> {
        match self {
            Failure::Api(e) => Some(e.status),
            _ => None,
        }
    }

    /// The machine code, when a service said no.
    pub fn code(&self) -> &str {
        match self {
            Failure::Api(e) => &e.code,
            _ => "",
        }
    }
}

/// What `more_info` tells beyond the message: no link to documentation, and no name that stands there already.
fn more_than(message: &str, more: &Value) -> Value {
    let news = |text: &&str| {
        !text.starts_with("http") && text.split('\'').nth(1).is_none_or(|name| !message.contains(name))
    };
    more.as_str().filter(news).into()
}

/// Exit 1 with this text.
pub fn failed(text: impl Into<String>) -> Failure {
    Failure::Failed(text.into())
}

/// Exit 2 with this text.
pub fn usage(text: impl Into<String>) -> Failure {
    Failure::Usage(text.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn every_published_error_shape_is_read() {
        let identity = json!({"status_code": 404, "trace": "t1", "errors": [{"code": "not_found",
            "message_code": "BXNIM0102E", "message": "Unable to find Object.", "details": "Object Type: 'Profile'"}]});
        let e = ApiError::read(404, "", &identity);
        assert_eq!((e.code.as_str(), e.transaction.as_str()), ("BXNIM0102E", "t1"));
        assert_eq!(
            Failure::Api(Box::new(e)).text(),
            "Unable to find Object.\nObject Type: 'Profile'\nCode: BXNIM0102E, HTTP status: 404, transaction ID: t1"
        );
        let token = json!({"errorCode": "BXNIM0398E", "errorMessage": "Not eligible.", "context": {"requestId": "r"}});
        let e = ApiError::read(400, "", &token);
        assert_eq!((e.message.as_str(), e.transaction.as_str()), ("Not eligible.", "r"));
        assert!(
            Failure::Api(Box::new(e))
                .text()
                .ends_with("transaction ID: r\nWhoever may read the policies sees why: avouch iam why r")
        );
        let secrets =
            json!({"errors": [{"code": "c", "message": "m", "more_info": "The property at fault is 'x'."}]});
        let text = Failure::Api(Box::new(ApiError::read(400, "t", &secrets))).text();
        assert_eq!(text, "m\nThe property at fault is 'x'.\nCode: c, HTTP status: 400, transaction ID: t");
        for (message, more) in [
            ("m", "https://cloud.ibm.com/apidocs"),
            ("The property 'x' is missing.", "The property at fault is 'x'."),
        ] {
            let e = json!({"errors": [{"message": message, "more_info": more}]});
            assert_eq!(ApiError::read(400, "t", &e).details, "", "{more}");
        }
        let source = json!({"errors": [{"code": "key_source", "message": "The keys cannot be fetched."}]});
        let text = Failure::Api(Box::new(ApiError::read(403, "t", &source))).text();
        assert!(text.contains("'fetch.allow'") && !text.contains("iam why"), "{text}");
        let controller =
            json!({"message": "gone", "error_code": "RC-Gone", "details": "", "transaction_id": "x"});
        assert_eq!(ApiError::read(410, "h", &controller).code, "RC-Gone");
        assert_eq!(ApiError::read(410, "h", &controller).transaction, "h");
        assert!(ApiError::read(502, "", &Value::Null).message.contains("502"));
    }
}
