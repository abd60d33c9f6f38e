//! Address, settings, plug-ins, version: what needs no login.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::api::loopback;
use crate::failure::{Result, failed, usage};
use crate::output::Out;
use crate::session::Session;

/// Region of a deployment that was not told another one.
const DEFAULT_REGION: &str = "us-south";
/// Command families that are plug-ins elsewhere.
const PLUGINS: &[&str] = &["container-service", "secrets-manager"];

/// Arguments of `api`.
#[derive(Debug, Args)]
pub struct Api {
    /// Base address of the server
    endpoint: Option<String>,
    /// Forget the address
    #[arg(long, conflicts_with = "endpoint")]
    unset: bool,
    /// Do not check the server's certificate
    #[arg(long)]
    skip_ssl_validation: bool,
    /// Private endpoint (the same here)
    #[arg(long)]
    vpc: bool,
}

/// Arguments of `config`.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Config {
    /// Seconds that a request may take
    #[arg(long, value_name = "SECONDS")]
    http_timeout: Option<u64>,
    /// Log HTTP: true, false or a file
    #[arg(long, value_name = "BOOL|FILE")]
    trace: Option<String>,
    /// Kept for scripts; output has no colours
    #[arg(long, value_name = "BOOL")]
    color: Option<String>,
    /// Kept for scripts; texts are English
    #[arg(long, value_name = "LOCALE")]
    locale: Option<String>,
    /// Kept for scripts; nothing is asked for new versions
    #[arg(long, value_name = "BOOL")]
    check_version: Option<String>,
    /// Show all settings
    #[arg(long)]
    list: bool,
}

/// Commands of `plugin`.
#[derive(Debug, Subcommand)]
pub enum Plugin {
    /// List the built-in plug-ins
    List,
    /// Succeeds: plug-ins are built in
    Install { names: Vec<String> },
    /// Succeeds: plug-ins are built in
    Update { names: Vec<String> },
    /// Succeeds: plug-ins are built in
    Uninstall { names: Vec<String> },
}

/// The address without trailing slashes. Without a scheme it is `http` on this machine and `https` elsewhere.
pub fn address(text: &str) -> Result<String> {
    let bad = || usage(format!("'{text}' is not an address of a server."));
    let text = text.strip_suffix("://").map_or(Ok(text), |_| Err(bad()))?.trim_end_matches('/');
    let plain = format!("http://{text}");
    let text = match text.contains("://") {
        true => text.to_owned(),
        false if loopback(&plain) => plain,
        false => format!("https://{text}"),
    };
    let good = reqwest::Url::parse(&text).is_ok_and(|u| {
        matches!(u.scheme(), "http" | "https")
            && u.has_host()
            && u.query().is_none()
            && u.username().is_empty()
    });
    if good { Ok(text) } else { Err(bad()) }
}

/// Says that what is kept of another server is about to be replaced: the place is that of the published command line, whose
/// own session may be there.
pub fn warn_of_another(s: &Session, endpoint: &str) {
    let kept = s.state.config.endpoint.as_str();
    let origin = |address: &str| {
        let address = self::address(address).unwrap_or_else(|_| address.to_owned());
        reqwest::Url::parse(&address).map_or(address, |url| url.origin().ascii_serialization())
    };
    if !kept.is_empty() && origin(kept) != origin(endpoint) {
        s.out.note(format!(
            "WARNING: {} is the state of a command line for {kept}; if this succeeds, its session is replaced. To keep \
             both, set IBMCLOUD_HOME to another folder for one of them.",
            s.state.path().display()
        ));
    }
}

/// Keeps the address (none to forget it) and what `change` adds in place of the session before.
pub fn replace_server(s: &mut Session, endpoint: &str, change: impl FnOnce(&mut Session)) -> Result<()> {
    let kept = std::mem::replace(&mut s.state.config.endpoint, endpoint.to_owned());
    s.state.forget_session();
    change(s);
    s.state.save()?;
    if kept != endpoint && crate::sm::forget_service_url(s)? {
        s.out.note("The address of Secrets Manager that was set for another server is forgotten.");
    }
    Ok(())
}

/// Runs `api`.
pub async fn api(s: &mut Session, args: Api) -> Result<()> {
    if args.unset {
        s.state.config.skip_tls = false;
        replace_server(s, "", |_| ())?;
        s.out.ok();
        return Ok(());
    }
    let Some(endpoint) = args.endpoint else {
        let endpoint = s.endpoint();
        let shown = json!({"api_endpoint": endpoint});
        return if s.out.table() {
            s.out.line(&format!("API endpoint: {endpoint}"))
        } else {
            s.out.data(&shown)
        };
    };
    let endpoint = address(&endpoint)?;
    warn_of_another(s, &endpoint);
    s.state.config.skip_tls = args.skip_ssl_validation;
    s.out.progress(format!("Setting API endpoint to {endpoint}"));
    let reached = s
        .anonymous(&endpoint)?
        .send(crate::api::Call::get("/identity/.well-known/openid-configuration"))
        .await;
    reached.map_err(|e| failed(format!("{endpoint} is not a server of this kind.\n{}", e.text())))?;
    if endpoint == s.state.config.endpoint {
        s.state.save()?;
    } else {
        // A session's token must not go to another server.
        replace_server(s, &endpoint, |_| ())?;
    }
    s.out.ok();
    s.out.line(&format!("API endpoint: {}", s.state.config.endpoint))
}

/// Runs `config`.
pub fn config(s: &mut Session, args: Config) -> Result<()> {
    for (option, value) in [("--color", &args.color), ("--check-version", &args.check_version)] {
        if value.as_ref().is_some_and(|v| !["true", "false"].contains(&v.to_lowercase().as_str())) {
            return Err(usage(format!("{option}: wanted true or false.")));
        }
    }
    let c = &mut s.state.config;
    if let Some(seconds) = args.http_timeout {
        c.http_timeout = seconds;
    }
    for (value, field) in [
        (args.trace, &mut c.trace),
        (args.color, &mut c.color),
        (args.locale, &mut c.locale),
        (args.check_version, &mut c.check_version),
    ] {
        if let Some(value) = value {
            *field = value;
        }
    }
    if args.list {
        let c = &s.state.config;
        let shown = json!({"http-timeout": c.http_timeout, "trace": c.trace, "color": c.color, "locale": c.locale,
            "check-version": c.check_version});
        let rows = [
            ("HTTPTimeout", c.http_timeout.to_string()),
            ("Trace", c.trace.clone()),
            ("Color", c.color.clone()),
            ("Locale", c.locale.clone()),
            ("CheckVersion", c.check_version.clone()),
        ];
        return s.out.object(&shown, &rows);
    }
    s.state.save()?;
    s.out.ok();
    Ok(())
}

/// Runs `plugin`.
pub fn plugin(s: &Session, command: &Plugin) -> Result<()> {
    match command {
        Plugin::List => {
            let version = env!("CARGO_PKG_VERSION");
            let all: Vec<_> = PLUGINS
                .iter()
                .map(|n| json!({"Name": n, "Version": version, "Status": "built in"}))
                .collect();
            s.out.list(&all, "", &["Plug-in", "Version", "Status"], |p| {
                ["Name", "Version", "Status"].map(|k| crate::output::cell(p, k)).to_vec()
            })
        }
        Plugin::Install { names } | Plugin::Update { names } | Plugin::Uninstall { names } => {
            s.out.note(format!("Plug-ins are built in: nothing to do for {}.", names.join(", ")));
            s.out.ok();
            Ok(())
        }
    }
}

/// Runs `regions`: a deployment has one region.
pub fn regions(s: &Session) -> Result<()> {
    let name = match s.state.config.region.as_str() {
        "" => DEFAULT_REGION,
        region => region,
    };
    let all = [json!({"Id": name, "Name": name})];
    s.out.list(&all, "", &["Name", "Display name"], |r| {
        vec![crate::output::cell(r, "Id"), crate::output::cell(r, "Name")]
    })
}

/// Runs `version`.
pub fn version(out: &Out) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    if out.table() { out.line(&format!("avouch {version}")) } else { out.data(&json!({"version": version})) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn addresses_are_normal() {
        assert_eq!(address("http://127.0.0.1:2868/").unwrap(), "http://127.0.0.1:2868");
        assert_eq!(address("avouch.example.com").unwrap(), "https://avouch.example.com");
        assert_eq!(address("avouch.example.com:8443/").unwrap(), "https://avouch.example.com:8443");
        for here in ["127.0.0.1:2868", "localhost:2868", "[::1]:2868"] {
            assert_eq!(address(here).unwrap(), format!("http://{here}"));
        }
        assert_eq!(address("localhost.example.com").unwrap(), "https://localhost.example.com");
        for bad in ["ftp://x", "http://", "http://u:p@h", "http://h?x=1"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
