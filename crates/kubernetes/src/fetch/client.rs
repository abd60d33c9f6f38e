//! One fetch: resolved once, connected to that address, bounded in time and size, without redirects and proxies.
//!
//! It refuses everything but https. What a server answers never becomes part of an error.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use avouch_crypto::SecretString;
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Url};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::allow::{Allow, Refusal};

/// Largest answer, bytes.
pub const BODY_LIMIT: usize = 512 * 1024;
const CONNECT: Duration = Duration::from_secs(3);
/// A whole fetch, from the look-up of the name to the last byte.
pub const TOTAL: Duration = Duration::from_secs(5);
/// Largest set of certificates of a registration, bytes and number.
const CA_LIMIT: usize = 64 * 1024;
const CA_NUMBER: usize = 16;

/// Why a fetch failed. Nothing that the other side sent is part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Not an https address of a host.
    #[error("the address is not a plain https address")]
    Address,
    /// The name is unknown.
    #[error("the host name cannot be resolved")]
    Resolve,
    /// The settings do not allow it.
    #[error("{0}")]
    Refused(Refusal),
    /// The certificates of the registration cannot be read.
    #[error("'ca_pem' holds no certificate that can be read")]
    Certificates,
    /// The configured token file cannot be read.
    #[error("the token file or certificates that the server is configured with cannot be read")]
    TokenFile,
    /// No token file is configured for this origin.
    #[error("no token file is configured for this origin (setting 'fetch.token_files' of the server)")]
    NoTokenFile,
    /// No connection, or a certificate that is not trusted.
    #[error("the connection failed, or the server's certificate is not trusted")]
    Connect,
    /// Too slow.
    #[error("the server took too long")]
    Timeout,
    /// Another status than success; redirects count.
    #[error("the server answered with status {0}")]
    Status(u16),
    /// Larger than allowed.
    #[error("the answer is too large")]
    TooLarge,
    /// The answer is not what was asked for.
    #[error("{0}")]
    Content(&'static str),
}

impl FetchError {
    /// Whether a settings rule refused it, which is worth an alarm.
    pub fn is_refused(&self) -> bool {
        matches!(self, FetchError::Refused(_))
    }
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Ask<'a> {
    /// Address.
    pub url: &'a str,
    /// Certificates trusted beside those of the system; not where a token is sent.
    pub ca_pem: Option<&'a str>,
    /// Send the token that is configured for the origin, to whom the server's own settings trust.
    pub with_token: bool,
    /// JSON to post; otherwise `GET`.
    pub post: Option<Vec<u8>>,
    /// Shorter than [`TOTAL`], if set.
    pub within: Option<Duration>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Body, at most [`BODY_LIMIT`] bytes.
    pub body: Vec<u8>,
    /// `max-age` of `Cache-Control`, seconds.
    pub max_age: Option<i64>,
}

/// What `fetch.token_files` says about an origin.
#[derive(Clone, PartialEq, Eq, Debug)]
struct TokenFile {
    token: PathBuf,
    /// Certificates that the origin is known by; those of the system otherwise.
    ca: Option<PathBuf>,
}

/// A token of the server and the certificates of whom it may be shown to.
struct Reviewer {
    token: SecretString,
    ca_pem: Option<String>,
}

type Addresses = Pin<Box<dyn Future<Output = std::io::Result<Vec<SocketAddr>>> + Send>>;
type LookUp = dyn Fn(String, u16) -> Addresses + Send + Sync;

/// Makes fetches within the settings of the server.
pub struct Fetcher {
    allow: Allow,
    token_files: HashMap<String, TokenFile>,
    roots: RootCertStore,
    look_up: Box<LookUp>,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fetcher({:?})", self.allow)
    }
}

impl Fetcher {
    /// From the settings.
    ///
    /// # Errors
    /// A text that names the setting at fault.
    pub fn new(settings: &avouch_gate::config::Fetch) -> Result<Self, String> {
        let mut token_files = HashMap::new();
        for entry in &settings.token_files {
            let bad = || {
                format!(
                    "fetch.token_files: '{entry}' is not of the form https://host:port=/token or https://host:port=/token;/ca.pem"
                )
            };
            let (origin, files) = entry.split_once('=').ok_or_else(bad)?;
            let url = address(origin).map_err(|_| bad())?;
            let (token, ca) = match files.split_once(';') {
                Some((token, ca)) => (token, Some(PathBuf::from(ca))),
                None => (files, None),
            };
            token_files.insert(origin_of(&url), TokenFile { token: PathBuf::from(token), ca });
        }
        let mut roots = RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(native.certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        let look_up: Box<LookUp> = Box::new(|host, port| {
            Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
        });
        Ok(Self { allow: Allow::parse(&settings.allow)?, token_files, roots, look_up })
    }

    /// Checks an address without connecting: its form, and, where it is a literal address, the settings.
    ///
    /// # Errors
    /// Why it would be refused.
    pub fn check_address(&self, url: &str) -> Result<Url, FetchError> {
        let url = address(url)?;
        let (host, port) = host_and_port(&url)?;
        if let Ok(ip) = host.parse() {
            self.allow.check(&host, ip, port).map_err(FetchError::Refused)?;
        }
        Ok(url)
    }

    /// The token file configured for the origin of an address.
    pub fn token_file(&self, url: &str) -> Option<&PathBuf> {
        self.token_files.get(&origin_of(&address(url).ok()?)).map(|files| &files.token)
    }

    /// Fetches.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn fetch(&self, ask: &Ask<'_>) -> Result<Answer, FetchError> {
        let within = ask.within.unwrap_or(TOTAL).min(TOTAL);
        tokio::time::timeout(within, self.run(ask)).await.map_err(|_| FetchError::Timeout)?
    }

    async fn run(&self, ask: &Ask<'_>) -> Result<Answer, FetchError> {
        let url = address(ask.url)?;
        let (host, port) = host_and_port(&url)?;
        let target = self.resolve(&host, port).await?;
        let reviewer = if ask.with_token { Some(self.reviewer(&url).await?) } else { None };
        // Whoever wrote the registration chose `ca_pem`, and may have a say in where the name leads: a token of the
        // server goes to those only whom its own settings trust.
        let tls = match &reviewer {
            Some(Reviewer { ca_pem: Some(ca), .. }) => Self::tls(RootCertStore::empty(), Some(ca))?,
            Some(Reviewer { ca_pem: None, .. }) => Self::tls(self.roots.clone(), None)?,
            None => Self::tls(self.roots.clone(), ask.ca_pem)?,
        };
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(TOTAL)
            .pool_max_idle_per_host(0)
            .resolve(&host, target)
            .user_agent("avouch")
            .build()
            .map_err(|_| FetchError::Connect)?;
        let method = if ask.post.is_some() { Method::POST } else { Method::GET };
        let mut request =
            client.request(method, url).header("accept", "application/json, application/jwk-set+json");
        if let Some(Reviewer { token, .. }) = &reviewer {
            request = request.bearer_auth(token.expose());
        }
        if let Some(body) = &ask.post {
            request = request.header("content-type", "application/json").body(body.clone());
        }
        let mut response = request
            .send()
            .await
            .map_err(|e| if e.is_timeout() { FetchError::Timeout } else { FetchError::Connect })?;
        let status = response.status();
        if !status.is_success() {
            return Err(FetchError::Status(status.as_u16()));
        }
        if response.content_length().is_some_and(|n| n > BODY_LIMIT as u64) {
            return Err(FetchError::TooLarge);
        }
        let max_age = response.headers().get("cache-control").and_then(|v| v.to_str().ok()).and_then(max_age);
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > BODY_LIMIT => return Err(FetchError::TooLarge),
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(e) if e.is_timeout() => return Err(FetchError::Timeout),
                Err(_) => return Err(FetchError::Connect),
            }
        }
        Ok(Answer { body, max_age })
    }

    /// Every address of the name must be allowed; one of them is connected to, and no other look-up happens.
    async fn resolve(&self, host: &str, port: u16) -> Result<SocketAddr, FetchError> {
        let addresses = (self.look_up)(host.to_owned(), port).await.map_err(|_| FetchError::Resolve)?;
        for address in &addresses {
            self.allow.check(host, address.ip(), port).map_err(FetchError::Refused)?;
        }
        addresses.into_iter().next().ok_or(FetchError::Resolve)
    }

    /// Read anew each time: tokens of service accounts are rotated in their files.
    async fn reviewer(&self, url: &Url) -> Result<Reviewer, FetchError> {
        let files = self.token_files.get(&origin_of(url)).ok_or(FetchError::NoTokenFile)?.clone();
        let read = move || {
            let token = SecretString::new(std::fs::read_to_string(files.token)?.trim().to_owned());
            let ca_pem = files.ca.map(std::fs::read_to_string).transpose()?;
            Ok::<_, std::io::Error>(Reviewer { token, ca_pem })
        };
        match tokio::task::spawn_blocking(read).await {
            Ok(Ok(reviewer)) => Ok(reviewer),
            _ => Err(FetchError::TokenFile),
        }
    }

    fn tls(mut roots: RootCertStore, ca_pem: Option<&str>) -> Result<ClientConfig, FetchError> {
        if let Some(pem) = ca_pem {
            for certificate in certificates(pem)? {
                roots.add(certificate).map_err(|_| FetchError::Certificates)?;
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| FetchError::Connect)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(config)
    }
}

/// The certificates of a PEM text; at least one.
///
/// # Errors
/// `Certificates`.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, FetchError> {
    if pem.len() > CA_LIMIT {
        return Err(FetchError::Certificates);
    }
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() && found.len() <= CA_NUMBER => {
            let mut store = RootCertStore::empty();
            let usable = found.iter().all(|c| store.add(c.clone()).is_ok());
            if usable { Ok(found) } else { Err(FetchError::Certificates) }
        }
        _ => Err(FetchError::Certificates),
    }
}

/// Reads an address: https, a host, no user, no fragment.
fn address(text: &str) -> Result<Url, FetchError> {
    let url = Url::parse(text).map_err(|_| FetchError::Address)?;
    let plain = url.scheme() == "https"
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
        && text.len() <= 2048
        && text.bytes().all(|b| b.is_ascii_graphic());
    if plain { Ok(url) } else { Err(FetchError::Address) }
}

fn host_and_port(url: &Url) -> Result<(String, u16), FetchError> {
    let host = url.host_str().ok_or(FetchError::Address)?;
    // A literal IPv6 address stands in brackets.
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok((host, url.port_or_known_default().unwrap_or(443)))
}

fn origin_of(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn max_age(value: &str) -> Option<i64> {
    value
        .split(',')
        .find_map(|d| d.trim().strip_prefix("max-age=")?.trim_matches('"').parse().ok())
        .filter(|n| *n >= 0)
}

/// The host of an address, for comparing the host of a key set with that of its discovery document.
pub fn host_of(text: &str) -> Option<String> {
    host_and_port(&address(text).ok()?).ok().map(|(host, _)| host)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn only_plain_https_addresses_are_read() {
        for good in ["https://a.test/keys", "https://a.test:6443/x?y=z", "https://[2001:db8::1]/k"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in [
            "http://a.test/",
            "ftp://a.test",
            "https://",
            "https://u@a.test/",
            "https://u:p@a.test/",
            "https://a.test/#f",
            "file:///etc/passwd",
            "//a.test",
            "https://a.test/\n",
            " https://a.test/",
            "https://a.test/ü",
        ] {
            assert_eq!(address(bad), Err(FetchError::Address), "{bad}");
        }
    }

    #[test]
    fn odd_spellings_of_addresses_are_what_they_mean() {
        let fetcher = Fetcher::new(&avouch_gate::config::Fetch::default()).unwrap();
        for url in [
            "https://127.1/",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://[::1]/",
            "https://[::ffff:7f00:1]/",
            "https://0177.0.0.1/",
        ] {
            let refused = fetcher.check_address(url).unwrap_err();
            assert_eq!(refused, FetchError::Refused(Refusal::Private), "{url}");
        }
        for url in ["https://169.254.169.254/latest", "https://[fd00:ec2::254]/", "https://2852039166/"] {
            assert_eq!(fetcher.check_address(url).unwrap_err(), FetchError::Refused(Refusal::Never), "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_is_looked_up_once_and_every_address_of_it_must_be_allowed() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let metadata = SocketAddr::from(([169, 254, 169, 254], here.port()));
        let settings =
            avouch_gate::config::Fetch { allow: vec!["127.0.0.0/8:*".into()], ..Default::default() };
        // What a name server says that changes its mind after the first question.
        let answers = [vec![here], vec![metadata], vec![here, metadata], vec![metadata, here]];
        let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let look_up: Box<LookUp> = {
            let asked = asked.clone();
            Box::new(move |host, _| {
                assert_eq!(host, "changing.test");
                let n = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let answer = answers[n].clone();
                Box::pin(async move { Ok(answer) })
            })
        };
        let fetcher = Fetcher { look_up, ..Fetcher::new(&settings).unwrap() };
        let url = format!("https://changing.test:{}/keys", here.port());
        let ask = Ask { url: &url, ..Ask::default() };
        // No name server knows the name, so whoever comes was sent by the one answer.
        let (outcome, came) = tokio::join!(fetcher.fetch(&ask), async { listener.accept().await.map(drop) });
        assert_eq!((outcome.unwrap_err(), came.is_ok()), (FetchError::Connect, true));
        assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 1);
        for n in 2..=4 {
            assert_eq!(fetcher.fetch(&ask).await.unwrap_err(), FetchError::Refused(Refusal::Never));
            assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), n);
        }
    }

    #[test]
    fn a_token_file_may_name_the_certificates_of_its_origin() {
        let files = |entry: &str| {
            let token_files = vec![entry.to_owned()];
            Fetcher::new(&avouch_gate::config::Fetch { token_files, ..Default::default() })
                .map(|f| f.token_files["https://a.test:6443"].clone())
        };
        let token = PathBuf::from("/run/token");
        let with = TokenFile { token: token.clone(), ca: Some("/run/ca.pem".into()) };
        assert_eq!(files("https://a.test:6443=/run/token;/run/ca.pem"), Ok(with));
        assert_eq!(files("https://a.test:6443=/run/token"), Ok(TokenFile { token, ca: None }));
        for bad in ["https://a.test:6443", "http://a.test=/run/token", "/run/token"] {
            assert!(files(bad).unwrap_err().contains("fetch.token_files"), "{bad}");
        }
    }

    #[test]
    fn age_of_an_answer_is_read_from_its_header() {
        assert_eq!(max_age("public, max-age=3600"), Some(3600));
        assert_eq!(max_age("no-store"), None);
        assert_eq!(max_age("max-age=-1"), None);
    }
}
