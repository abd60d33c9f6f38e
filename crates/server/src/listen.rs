//! The listener: plain HTTP on loopback, TLS elsewhere, with limits set before anything is parsed.

use std::io::Cursor;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use avouch_gate::config::Config;
use avouch_gate::places::{Places, holder};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::strict::{Marks, Strict};
use crate::traffic::{Metered, Traffic, WINDOW};
use crate::{Assembled, run};

/// Largest head of a request, bytes.
const HEAD_LIMIT: usize = 32 * 1024;
/// Most headers of a request.
const HEADERS: usize = 64;
/// Most connections at a time; further ones wait in the kernel's queue.
const CONNECTIONS: usize = 8192;
/// Descriptors that connections leave for files and for what the server asks others.
const OWN: usize = 256;
/// Most streams of one HTTP/2 connection.
const STREAMS: u32 = 128;
/// Time for a head to arrive, and for a TLS handshake.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Time until the next try after a connection could not be accepted.
const BACK_OFF: Duration = Duration::from_millis(50);
/// Time that a shutdown waits for running requests.
const DRAIN: Duration = Duration::from_secs(10);

/// What a client of HTTP/2 sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A bound address, not yet serving.
pub struct Bound {
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<TlsAcceptor>,
    /// The address, with the port that was given.
    pub address: SocketAddr,
    /// What all clients are known as, where their own addresses tell nothing.
    pub(crate) peer: Option<IpAddr>,
}

/// Binds the configured address.
///
/// # Errors
/// When the certificate cannot be used, or the address is taken, or is not loopback without TLS or `insecure_http`.
pub async fn bind(config: &Config) -> anyhow::Result<Bound> {
    let tls = match (config.tls_cert.as_str(), config.tls_key.as_str()) {
        ("", "") => None,
        ("", _) => bail!("tls_key is set without tls_cert"),
        (_, "") => bail!("tls_cert is set without tls_key"),
        (cert, key) => Some(acceptor(Path::new(cert), Path::new(key))?),
    };
    let cannot = || format!("cannot listen on {}", config.listen);
    let wanted: Vec<SocketAddr> =
        tokio::net::lookup_host(&config.listen).await.with_context(cannot)?.collect();
    if let Some(open) = wanted.iter().find(|a| !a.ip().is_loopback())
        && tls.is_none()
        && !config.insecure_http
    {
        bail!("{open} is not a loopback address: set tls_cert and tls_key, or insecure_http = true");
    }
    let listener = TcpListener::bind(&*wanted).await.map_err(|e| {
        let text = match e.kind() {
            std::io::ErrorKind::AddrInUse => format!(
                "{}: something listens there already, perhaps another `avouch server` or `avouch dev`; stop it, or choose \
                 another address (option --listen ADDRESS:PORT, setting `listen`)",
                cannot()
            ),
            _ => cannot(),
        };
        anyhow::Error::new(e).context(text)
    })?;
    let address = listener.local_addr()?;
    Ok(Bound { listener, tls, address, peer: None })
}

/// Serves until `stop` resolves, then lets running requests end.
///
/// # Errors
/// None in practice.
pub async fn serve(bound: Bound, server: Assembled, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let protocols = Arc::new(Protocols::new());
    let (stopping, told) = watch::channel(());
    let most = server.app.config.limits.connections_per_address;
    let most = usize::try_from(most).ok().filter(|most| *most > 0).unwrap_or(usize::MAX);
    let peers = Places::new(most, usize::MAX);
    let room = Arc::new(Semaphore::new(most_connections(run::descriptors()?)));
    let mut refused = false;
    tokio::pin!(stop);
    loop {
        let permit = tokio::select! {
            permit = room.clone().acquire_owned() => permit?,
            () = &mut stop => break,
        };
        let accepted = tokio::select! {
            accepted = bound.listener.accept() => accepted,
            () = &mut stop => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => {
                refused = false;
                accepted
            }
            Err(e) => {
                // Out of descriptors or the like: wait for some to come back instead of spinning.
                if !std::mem::replace(&mut refused, true) {
                    tracing::warn!("cannot accept connections: {e}");
                }
                server.app.metrics.not_accepted();
                tokio::time::sleep(BACK_OFF).await;
                continue;
            }
        };
        let Some(place) = peers.take(holder(peer.ip())) else {
            tracing::debug!("too many connections of one address");
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (tls, told) = (bound.tls.clone(), told.clone());
        let peer = bound.peer.unwrap_or(peer.ip());
        let served = Served { server: server.clone(), protocols: protocols.clone(), peer };
        tokio::spawn(async move {
            let _held = (permit, place);
            // Nobody keeps a place by saying nothing: the protocol is known in time or the connection ends.
            match tls {
                None => {
                    let known = tokio::time::timeout(HEAD_TIME, speaks_http2(&stream)).await;
                    let Ok(Some(http2)) = known else { return };
                    served.connection(stream, http2, told).await;
                }
                Some(tls) => {
                    let Some(stream) = handshake(&tls, stream).await else { return };
                    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                        let Some(stream) = after_preface(stream).await else { return };
                        served.connection(stream, true, told).await;
                    } else {
                        served.connection(stream, false, told).await;
                    }
                }
            }
        });
    }
    drop((bound, told));
    let _ = stopping.send(());
    if tokio::time::timeout(DRAIN, stopping.closed()).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    // Events of reads are committed shortly after their answers; none may be lost with the process.
    if let Err(e) = server.app.audit.settled().await {
        tracing::error!("the last audit events could not be written: {}", e.message());
    }
    Ok(())
}

/// As many as leave the server what it needs itself, out of so many descriptors.
fn most_connections(descriptors: u64) -> usize {
    let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
    (descriptors - OWN.min(descriptors / 2)).clamp(1, CONNECTIONS)
}

/// What a connection is served with.
struct Served {
    server: Assembled,
    protocols: Arc<Protocols>,
    peer: IpAddr,
}

impl Served {
    async fn connection(
        self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        http2: bool,
        told: watch::Receiver<()>,
    ) {
        let traffic = Traffic::new();
        let stream = Metered::new(stream, &traffic);
        let ended = if http2 {
            let service = service(self.server, self.peer, traffic.clone(), None);
            let connection = self.protocols.http2.serve_connection(TokioIo::new(stream), service);
            traffic.drive(connection.into_owned(), told).await
        } else {
            let (stream, marks) = Strict::new(stream, HEAD_LIMIT, HEADERS);
            let service = service(self.server, self.peer, traffic.clone(), Some(marks));
            let connection = self.protocols.http1.serve_connection(TokioIo::new(stream), service);
            traffic.drive(connection.into_owned(), told).await
        };
        match ended {
            Some(Ok(())) => {}
            Some(Err(e)) => tracing::debug!("connection ended: {e}"),
            None => tracing::debug!("connection cut off"),
        }
    }
}

/// The two protocols with their limits.
struct Protocols {
    http1: auto::Builder<TokioExecutor>,
    http2: auto::Builder<TokioExecutor>,
}

impl Protocols {
    fn new() -> Self {
        let mut http1 = auto::Builder::new(TokioExecutor::new()).http1_only();
        http1
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(HEAD_LIMIT)
            .max_headers(HEADERS)
            .keep_alive(true);
        let mut http2 = auto::Builder::new(TokioExecutor::new()).http2_only();
        http2
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_header_list_size(HEAD_LIMIT as u32)
            .max_pending_accept_reset_streams(Some(32))
            .max_local_error_reset_streams(Some(128))
            .keep_alive_interval(Some(Duration::from_secs(60)));
        Self { http1, http2 }
    }
}

/// Whether the client opens with the preface of HTTP/2; `None` when it went away without a byte.
async fn speaks_http2(stream: &TcpStream) -> Option<bool> {
    let mut first = [0; PREFACE.len()];
    loop {
        let n = stream.peek(&mut first).await.ok().filter(|n| *n > 0)?;
        let (seen, wanted) = (first.get(..n)?, PREFACE.get(..n)?);
        if seen != wanted || n == PREFACE.len() {
            return Some(seen == wanted);
        }
        // A preface in pieces: the rest is on its way, and what is there already would be told again at once.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The stream once the preface of HTTP/2 has come, the preface still to be read; `None` when it does not come in time:
/// until then nothing else would end the connection.
async fn after_preface(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Option<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
    let (mut read, write) = tokio::io::split(stream);
    let mut first = [0; PREFACE.len()];
    tokio::time::timeout(HEAD_TIME, read.read_exact(&mut first)).await.ok()?.ok()?;
    Some(tokio::io::join(Cursor::new(first).chain(read), write))
}

fn service(
    server: Assembled,
    peer: IpAddr,
    traffic: Traffic,
    marks: Option<Marks>,
) -> impl hyper::service::Service<
    http::Request<hyper::body::Incoming>,
    Response = http::Response<http_body_util::Full<bytes::Bytes>>,
    Error = std::convert::Infallible,
    Future: Send,
> + Send
+ 'static {
    hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let (server, open) = (server.clone(), traffic.open());
        let mut request = request.map(|body| open.body(body));
        if let Some(doubt) = marks.as_ref().and_then(Marks::next) {
            request.extensions_mut().insert(doubt);
        }
        async move {
            let response = avouch_gate::http::serve(&server.app, &server.router, request, peer).await;
            open.answered();
            Ok(response)
        }
    })
}

async fn handshake(
    tls: &TlsAcceptor,
    stream: TcpStream,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    match tokio::time::timeout(HEAD_TIME, tls.accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(e)) => {
            tracing::debug!("TLS handshake failed: {e}");
            None
        }
        Err(_) => None,
    }
}

fn acceptor(cert: &Path, key: &Path) -> anyhow::Result<TlsAcceptor> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
        .with_context(|| format!("tls_cert: cannot read {}", cert.display()))?
        .collect::<Result<_, _>>()
        .with_context(|| format!("tls_cert: {} holds no usable certificate", cert.display()))?;
    if chain.is_empty() {
        bail!("tls_cert: {} holds no certificate", cert.display());
    }
    let shown = key.display().to_string();
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("tls_key: {shown} cannot be read or holds no private key"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .with_context(|| {
            format!("tls_key: {shown} is not the key of the certificate in {} (tls_cert)", cert.display())
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
