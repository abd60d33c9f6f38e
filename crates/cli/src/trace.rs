//! `IBMCLOUD_TRACE`: what went over HTTP, without what is secret. Headers come from an allow list; bodies of the token
//! service and of secret stores show ids and names only; elsewhere fields that ever hold a secret are blanked.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use serde_json::Value;

use crate::output::{printable_lines, say};

const HIDDEN: &str = "[PRIVATE DATA HIDDEN]";

/// Fields that may be shown in bodies of the token service and of Secrets Manager.
const SHOWN: &[&str] = &[
    "id",
    "name",
    "secret_id",
    "secret_type",
    "secret_group_id",
    "crn",
    "grant_type",
    "profile_id",
    "profile_name",
    "profile_crn",
    "account",
    "response_type",
    "token_type",
    "scope",
    "errorCode",
    "errorMessage",
    "errorDetails",
    "code",
    "message",
    "trace",
    "requestId",
    "created_at",
    "updated_at",
    "alias",
    "state_description",
    "config_type",
];

/// Fields that are never shown anywhere.
const SECRET: &[&str] = &[
    "apikey",
    "api_key",
    "access_token",
    "refresh_token",
    "cr_token",
    "subject_token",
    "payload",
    "password",
    "passcode",
    "private_key",
    "credentials",
    "credentials_content",
    "secret",
    "client_secret",
    "parameters",
    "data",
    "token",
    "iam_token",
    "instance_identity_token",
    "user_data",
    "custom_metadata",
    "version_custom_metadata",
    "attributes",
];

/// Where traces go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trace {
    /// Nowhere.
    #[default]
    Off,
    /// To stderr.
    Stderr,
    /// Appended to a file.
    File(PathBuf),
}

impl Trace {
    /// Reads `true`, `false` or a path.
    pub fn parse(text: &str) -> Trace {
        match text.to_ascii_lowercase().as_str() {
            "" | "false" | "0" => Trace::Off,
            "true" | "1" => Trace::Stderr,
            _ => Trace::File(PathBuf::from(text)),
        }
    }

    /// True when nothing need be prepared.
    pub fn off(&self) -> bool {
        *self == Trace::Off
    }

    /// Writes a request or an answer.
    pub fn write(&self, title: &str, headers: &[(String, String)], body: &str) {
        if self.off() {
            return;
        }
        let mut text = format!("\n{title}\n");
        for (name, value) in headers {
            let shown = match name.as_str() {
                "accept" | "content-type" | "content-length" | "transaction-id" | "etag" | "if-match"
                | "retry-after" | "user-agent" | "date" | "location" | "entity-lock" | "entity-disable" => {
                    value.as_str()
                }
                _ => HIDDEN,
            };
            text.push_str(&format!("{name}: {shown}\n"));
        }
        if !body.is_empty() {
            text.push_str(&format!("\n{body}\n"));
        }
        let text = printable_lines(&text) + "\n";
        match self {
            Trace::Off => {}
            Trace::Stderr => say(&text),
            Trace::File(path) => {
                let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
                if file.and_then(|mut f| f.write_all(text.as_bytes())).is_err() {
                    say(&format!("The trace file {} cannot be written.\n", path.display()));
                }
            }
        }
    }
}

/// A body as it may be shown. `path` decides how strict.
pub fn body(path: &str, value: &Value) -> String {
    if value.is_null() {
        return String::new();
    }
    let strict = path.contains("/identity/token") || path.contains("/api/v2/");
    let mut value = value.clone();
    redact(&mut value, strict);
    serde_json::to_string_pretty(&value).unwrap_or_default()
}

/// Fields of a form as they may be shown: token forms only.
pub fn form(fields: &[(&str, String)]) -> String {
    let shown = fields.iter().map(|(k, v)| format!("{k}={}", if SHOWN.contains(k) { v } else { HIDDEN }));
    shown.collect::<Vec<_>>().join("&")
}

fn redact(value: &mut Value, strict: bool) {
    match value {
        Value::Object(map) => {
            for (key, v) in map.iter_mut() {
                let container = v.is_object() || v.is_array();
                let unknown = strict && !container && !SHOWN.contains(&key.as_str());
                // Whatever names stand in it: they are its owner's.
                if unknown || SECRET.contains(&key.as_str()) {
                    *v = Value::String(HIDDEN.into());
                } else {
                    redact(v, strict);
                }
            }
        }
        Value::Array(items) => {
            for v in items {
                if strict && !v.is_object() && !v.is_array() {
                    *v = Value::String(HIDDEN.into());
                } else {
                    redact(v, strict);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_hidden_wherever_they_stand() {
        let key = body("/v1/apikeys", &json!({"name": "n", "apikey": "TOPSECRET", "entity_tag": "1-a"}));
        assert!(!key.contains("TOPSECRET") && key.contains("1-a"), "{key}");
        let secret = json!({"id": "1", "payload": "TOPSECRET", "labels": ["TOPSECRET"], "data": {"user": "TOPSECRET", "name": "TOPSECRET", "id": {"message": "TOPSECRET"}},
            "custom_metadata": {"name": "TOPSECRET"}, "version_custom_metadata": {"crn": "TOPSECRET"}, "payload": [{"code": "TOPSECRET"}], "secrets": [{"name": "shown", "password": "TOPSECRET"}]});
        let secret = body("/secrets-manager/g/api/v2/secrets", &secret);
        assert!(!secret.contains("TOPSECRET") && secret.contains("shown"), "{secret}");
        let token = body("/identity/token", &json!({"access_token": "TOPSECRET", "token_type": "Bearer"}));
        assert!(!token.contains("TOPSECRET") && token.contains("Bearer"), "{token}");
        let asked = form(&[
            ("grant_type", "g".into()),
            ("apikey", "TOPSECRET".into()),
            ("cr_token", "TOPSECRET".into()),
        ]);
        assert!(!asked.contains("TOPSECRET") && asked.contains("grant_type=g"), "{asked}");
    }

    #[test]
    fn unknown_headers_are_hidden_and_the_file_is_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace");
        let trace = Trace::parse(path.to_str().unwrap());
        let headers = [
            ("authorization".to_owned(), "Bearer TOPSECRET".to_owned()),
            ("etag".to_owned(), "1-a".to_owned()),
        ];
        trace.write("GET http://h/p", &headers, "");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("TOPSECRET") && text.contains("etag: 1-a"), "{text}");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn values_of_the_variable() {
        assert_eq!(Trace::parse("TRUE"), Trace::Stderr);
        assert_eq!(Trace::parse("false"), Trace::Off);
        assert_eq!(Trace::parse("/tmp/x"), Trace::File("/tmp/x".into()));
    }
}
