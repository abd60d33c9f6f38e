//! A kubeconfig: how its API server is reached and who asks, and the two documents that the server publishes about its
//! service-account tokens.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Certificate, Identity};
use serde_json::{Map, Value, json};

use super::exec;
use crate::api::loopback;
use crate::failure::{Result, failed, usage};
use crate::output::cell;

const LIMIT: usize = 1 << 20;

/// Where the API server is, how it is checked, and who asks. No `Debug`: it holds credentials.
pub struct Access {
    server: String,
    ca: Option<Vec<u8>>,
    identity: Option<Vec<u8>>,
    token: Option<String>,
    basic: Option<(String, String)>,
}

/// What a cluster publishes about its tokens.
pub struct Published {
    /// `issuer` of the discovery document.
    pub issuer: String,
    /// The JWK set.
    pub jwks: Value,
}

/// Reads a kubeconfig and picks a context; the current one if none is named.
pub fn read(file: &str, context: Option<&str>) -> Result<Access> {
    let path = PathBuf::from(file);
    let text = crate::input::file(file)?;
    parse(&text, context, path.parent().unwrap_or_else(|| Path::new(".")))
}

fn yaml(text: &str) -> Result<Value> {
    // The parser's own text could quote a credential.
    serde_norway::from_str(text).map_err(|_| failed("The kubeconfig is not YAML."))
}

fn parse(text: &str, context: Option<&str>, dir: &Path) -> Result<Access> {
    let config = yaml(text)?;
    let named = |list: &str, field: &str, name: &str| {
        let items = config[list].as_array().into_iter().flatten();
        items.filter(|i| i["name"] == name).map(|i| i[field].clone()).next()
    };
    let current = cell(&config, "current-context");
    let context_name = context.unwrap_or(&current);
    let context = named("contexts", "context", context_name)
        .ok_or_else(|| failed(format!("The kubeconfig has no context '{context_name}'.")))?;
    let cluster = named("clusters", "cluster", &cell(&context, "cluster"))
        .ok_or_else(|| failed(format!("The kubeconfig has no cluster '{}'.", cell(&context, "cluster"))))?;
    let user = named("users", "user", &cell(&context, "user")).unwrap_or_default();
    if cluster["insecure-skip-tls-verify"] == true {
        return Err(failed(
            "The kubeconfig says insecure-skip-tls-verify. Keys that are read so could be anybody's; add the CA instead.",
        ));
    }
    let server = cell(&cluster, "server").trim_end_matches('/').to_owned();
    let checked = server.starts_with("https://") || (server.starts_with("http://") && loopback(&server));
    if !checked {
        return Err(failed("The kubeconfig's server has no https address."));
    }
    let ca = material(&cluster, "certificate-authority", dir)?;
    let mut certificate = material(&user, "client-certificate", dir)?;
    let mut key = material(&user, "client-key", dir)?;
    let mut token = match (cell(&user, "token"), cell(&user, "tokenFile")) {
        (_, file) if !file.is_empty() => {
            Some(crate::input::file(&dir.join(file).display().to_string())?.trim().to_owned())
        }
        (token, _) if !token.is_empty() => Some(token),
        _ => None,
    };
    if user["exec"].is_object() {
        let given = exec::credential(&user["exec"], dir)?;
        token = given.token.or(token);
        certificate = given.certificate.or(certificate);
        key = given.key.or(key);
    }
    let identity = match (certificate, key) {
        (Some(mut pem), Some(key)) => {
            pem.push(b'\n');
            pem.extend(key);
            Some(pem)
        }
        _ => None,
    };
    let basic = Some((cell(&user, "username"), cell(&user, "password"))).filter(|(u, _)| !u.is_empty());
    Ok(Access { server, ca, identity, token, basic })
}

/// `NAME-data` in base64, or the file `NAME`.
fn material(from: &Value, name: &str, dir: &Path) -> Result<Option<Vec<u8>>> {
    let inline = cell(from, &format!("{name}-data"));
    if !inline.is_empty() {
        let bytes = STANDARD.decode(inline.trim());
        return bytes.map(Some).map_err(|_| failed(format!("{name}-data in the kubeconfig is not base64.")));
    }
    let file = cell(from, name);
    if file.is_empty() {
        return Ok(None);
    }
    let path = dir.join(file);
    std::fs::read(&path).map(Some).map_err(|e| failed(format!("Cannot read {}: {e}.", path.display())))
}

impl Access {
    /// Reads the discovery document and the keys from the API server.
    pub async fn published_keys(&self) -> Result<Published> {
        let client = self.client()?;
        let discovery = self.get(&client, "/.well-known/openid-configuration").await?;
        let issuer = cell(&discovery, "issuer");
        if issuer.is_empty() {
            return Err(failed("The cluster's discovery document names no issuer."));
        }
        let jwks = self.get(&client, "/openid/v1/jwks").await?;
        if jwks["keys"].as_array().is_none_or(Vec::is_empty) {
            return Err(failed("The cluster publishes no keys."));
        }
        Ok(Published { issuer, jwks })
    }

    fn client(&self) -> Result<reqwest::Client> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("avouch-cli/", env!("CARGO_PKG_VERSION")));
        if loopback(&self.server) {
            builder = builder.no_proxy();
        }
        if let Some(ca) = &self.ca {
            let roots =
                Certificate::from_pem_bundle(ca).map_err(|_| failed("The kubeconfig's CA is not PEM."))?;
            builder = builder.tls_certs_only(roots);
        }
        if let Some(identity) = &self.identity {
            let identity = Identity::from_pem(identity)
                .map_err(|_| failed("The kubeconfig's client certificate and key are not a PEM pair."))?;
            builder = builder.identity(identity);
        }
        builder.build().map_err(|_| failed("The kubeconfig's certificates cannot be used."))
    }

    async fn get(&self, client: &reqwest::Client, path: &str) -> Result<Value> {
        let mut request = client
            .get(format!("{}{path}", self.server))
            .header("accept", "application/json, application/jwk-set+json");
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        } else if let Some((user, password)) = &self.basic {
            request = request.basic_auth(user, Some(password));
        }
        let unreachable = |e: reqwest::Error| {
            let mut cause: &dyn std::error::Error = &e;
            while let Some(inner) = cause.source() {
                cause = inner;
            }
            failed(format!("Cannot read {path} from {}: {cause}.", self.server))
        };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status().as_u16();
        if status != 200 {
            let hint = match status {
                401 | 403 => " The kubeconfig's user may not read it.",
                404 => " The cluster has no service-account issuer discovery.",
                _ => "",
            };
            return Err(failed(format!("{}{path} answered with HTTP status {status}.{hint}", self.server)));
        }
        let bytes = response.bytes().await.map_err(unreachable)?;
        if bytes.len() > LIMIT {
            return Err(failed(format!("{}{path} is too large.", self.server)));
        }
        serde_json::from_slice(&bytes).map_err(|_| failed(format!("{}{path} is not JSON.", self.server)))
    }
}

/// An entry that is added to a kubeconfig.
pub struct Entry {
    /// Name of cluster and context.
    pub name: String,
    /// Address of the API server.
    pub server: String,
    /// PEM; may be empty.
    pub ca_pem: String,
}

/// The first file of `KUBECONFIG`, else the usual one.
pub fn default_path() -> Result<PathBuf> {
    let listed = crate::session::env("KUBECONFIG").and_then(|v| std::env::split_paths(&v).next());
    match listed {
        Some(path) => Ok(path),
        None => std::env::var_os("HOME")
            .map(|home| Path::new(&home).join(".kube/config"))
            .ok_or_else(|| usage("No home folder. Set KUBECONFIG.")),
    }
}

/// The kubeconfig with cluster and context of the entry, and the context made current.
pub fn merged(before: &str, entry: &Entry) -> Result<String> {
    let mut config = if before.trim().is_empty() {
        json!({"apiVersion": "v1", "kind": "Config", "clusters": [], "contexts": [], "users": []})
    } else {
        yaml(before)?
    };
    let mut cluster = Map::new();
    cluster.insert("server".into(), json!(entry.server));
    if !entry.ca_pem.is_empty() {
        cluster.insert("certificate-authority-data".into(), json!(STANDARD.encode(&entry.ca_pem)));
    }
    let fields = config.as_object_mut().ok_or_else(|| failed("The kubeconfig is not a mapping."))?;
    for (list, item, content) in [
        ("clusters", "cluster", Value::Object(cluster)),
        ("contexts", "context", json!({"cluster": entry.name, "user": ""})),
    ] {
        let all = fields.entry(list).or_insert_with(|| json!([]));
        if all.is_null() {
            *all = json!([]);
        }
        let all =
            all.as_array_mut().ok_or_else(|| failed(format!("'{list}' of the kubeconfig is not a list.")))?;
        match all.iter_mut().find(|i| i["name"] == entry.name.as_str()) {
            // The user whom somebody added to the context stays.
            Some(known) if list == "contexts" && known[item].is_object() => {
                known[item]["cluster"] = json!(entry.name)
            }
            Some(known) => *known = json!({"name": entry.name, item: content}),
            None => all.push(json!({"name": entry.name, item: content})),
        }
    }
    fields.insert("current-context".into(), json!(entry.name));
    serde_norway::to_string(&config).map_err(|_| failed("The kubeconfig cannot be written."))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const CONFIG: &str = "
apiVersion: v1
kind: Config
current-context: kind-a
contexts:
- name: kind-a
  context: {cluster: a, user: admin}
- name: other
  context: {cluster: b, user: nobody}
clusters:
- name: a
  cluster:
    server: https://127.0.0.1:6443/
    certificate-authority-data: Y2E=
- name: b
  cluster: {server: 'https://b', insecure-skip-tls-verify: true}
users:
- name: admin
  user: {client-certificate-data: Y2VydA==, client-key-data: a2V5}
";

    #[test]
    fn the_current_context_is_used() {
        let access = parse(CONFIG, None, Path::new(".")).unwrap();
        assert_eq!(access.server, "https://127.0.0.1:6443");
        assert_eq!(access.ca.as_deref(), Some(b"ca".as_slice()));
        assert_eq!(access.identity.as_deref(), Some(b"cert\nkey".as_slice()));
    }

    #[test]
    fn keys_are_not_read_over_an_unchecked_connection() {
        let e = parse(CONFIG, Some("other"), Path::new(".")).err().unwrap().text();
        assert!(e.contains("insecure-skip-tls-verify"), "{e}");
        let plain = CONFIG.replace("https://127.0.0.1:6443/", "http://10.0.0.1");
        assert!(parse(&plain, None, Path::new(".")).err().unwrap().text().contains("https"));
    }

    #[test]
    fn unknown_contexts_are_told() {
        assert!(parse(CONFIG, Some("nope"), Path::new(".")).err().unwrap().text().contains("'nope'"));
        let e = parse("token: [SECRET", None, Path::new(".")).err().unwrap().text();
        assert!(!e.contains("SECRET"), "{e}");
    }

    #[test]
    fn merging_twice_is_merging_once_and_keeps_the_rest() {
        let entry = Entry { name: "prod/c1".into(), server: "https://k".into(), ca_pem: "PEM".into() };
        let once = merged(CONFIG, &entry).unwrap();
        let twice = merged(&once, &entry).unwrap();
        assert_eq!(once, twice);
        let config = yaml(&twice).unwrap();
        assert_eq!(config["clusters"].as_array().unwrap().len(), 3);
        assert_eq!(config["current-context"], "prod/c1");
        assert!(parse(&twice, Some("kind-a"), Path::new(".")).is_ok());
        assert!(merged("", &entry).unwrap().contains("apiVersion: v1"));
    }
}
