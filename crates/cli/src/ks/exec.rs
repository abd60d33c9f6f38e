//! Credential programs of a kubeconfig: run as `kubectl` runs them, because the file is the user's own.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::failure::{Result, failed};
use crate::output::cell;

/// What a credential program gave. No `Debug`: it is secret.
#[derive(Default)]
pub struct Credential {
    /// Bearer token.
    pub token: Option<String>,
    /// PEM.
    pub certificate: Option<Vec<u8>>,
    /// PEM.
    pub key: Option<Vec<u8>>,
}

/// Runs the program of an `exec` entry.
pub fn credential(exec: &Value, dir: &Path) -> Result<Credential> {
    let name = cell(exec, "command");
    // A relative path is relative to the kubeconfig; a bare name is looked up.
    let program = if name.contains('/') { dir.join(&name) } else { name.clone().into() };
    let info =
        json!({"apiVersion": exec["apiVersion"], "kind": "ExecCredential", "spec": {"interactive": false}});
    let mut command = Command::new(program);
    command
        .args(exec["args"].as_array().into_iter().flatten().filter_map(Value::as_str))
        .env("KUBERNETES_EXEC_INFO", info.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    for variable in exec["env"].as_array().into_iter().flatten() {
        command.env(cell(variable, "name"), cell(variable, "value"));
    }
    let output =
        command.output().map_err(|e| failed(format!("Cannot run '{name}' of the kubeconfig: {e}.")))?;
    if !output.status.success() {
        return Err(failed(format!("'{name}' of the kubeconfig failed ({}).", output.status)));
    }
    let answer: Value = serde_json::from_slice(&output.stdout)
        .map_err(|_| failed(format!("'{name}' of the kubeconfig did not answer with JSON.")))?;
    let text = |key: &str| Some(cell(&answer["status"], key)).filter(|t| !t.is_empty());
    Ok(Credential {
        token: text("token"),
        certificate: text("clientCertificateData").map(String::into_bytes),
        key: text("clientKeyData").map(String::into_bytes),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_credential_program_gives_a_token() {
        let exec = json!({"command": "sh", "apiVersion": "client.authentication.k8s.io/v1",
            "args": ["-c", "printf '{\"status\":{\"token\":\"%s\"}}' \"$T\""], "env": [{"name": "T", "value": "tok"}]});
        assert_eq!(credential(&exec, Path::new(".")).unwrap().token.as_deref(), Some("tok"));
    }

    #[test]
    fn a_failing_program_is_told() {
        let exec = json!({"command": "false"});
        assert!(credential(&exec, Path::new(".")).err().unwrap().text().contains("'false'"));
    }
}
