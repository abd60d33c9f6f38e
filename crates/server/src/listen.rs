//! The listener: plain HTTP on loopback, TLS elsewhere, with limits set before anything is parsed.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use avouch_gate::config::Config;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::Assembled;

/// Largest head of a request, bytes.
const HEAD_LIMIT: usize = 32 * 1024;
/// Most headers of a request.
const HEADERS: usize = 64;
/// Most connections at a time; further ones wait in the kernel's queue.
const CONNECTIONS: usize = 8192;
/// Most streams of one HTTP/2 connection.
const STREAMS: u32 = 128;
/// Time for a head to arrive, and for a TLS handshake.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Time that a shutdown waits for running requests.
const DRAIN: Duration = Duration::from_secs(10);

/// A bound address, not yet serving.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    /// The address, with the port that was given.
    pub address: SocketAddr,
}

/// Binds the configured address.
///
/// # Errors
/// When the address is taken, or is not loopback without TLS or `insecure_http`.
pub async fn bind(config: &Config) -> anyhow::Result<Bound> {
    let listener = TcpListener::bind(&config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() && config.tls_cert.is_empty() && !config.insecure_http {
        bail!("{address} is not a loopback address: set tls_cert and tls_key, or insecure_http = true");
    }
    Ok(Bound { listener, address })
}

/// Serves until `stop` resolves, then lets running requests end.
///
/// # Errors
/// When the certificate cannot be used.
pub async fn serve(bound: Bound, server: Assembled, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let config = &server.app.config;
    let tls = if config.tls_cert.is_empty() {
        None
    } else {
        Some(acceptor(Path::new(&config.tls_cert), Path::new(&config.tls_key))?)
    };
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_LIMIT)
        .max_headers(HEADERS)
        .keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_LIMIT as u32)
        .max_pending_accept_reset_streams(Some(32))
        .keep_alive_interval(Some(Duration::from_secs(60)));
    let builder = Arc::new(builder);
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS));
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
            Ok(accepted) => accepted,
            Err(e) => {
                // Out of descriptors or the like: wait for some to come back instead of spinning.
                tracing::warn!("cannot accept a connection: {e}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (server, tls, builder, watcher) =
            (server.clone(), tls.clone(), builder.clone(), graceful.watcher());
        tokio::spawn(async move {
            let _permit = permit;
            let result = match tls {
                None => {
                    let service = service(server, peer.ip());
                    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
                    watcher.watch(connection).await
                }
                Some(tls) => {
                    let Some(stream) = handshake(&tls, stream).await else { return };
                    let service = service(server, peer.ip());
                    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
                    watcher.watch(connection).await
                }
            };
            if let Err(e) = result {
                tracing::debug!("connection ended: {e}");
            }
        });
    }
    drop(bound);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    // Events of reads are committed shortly after their answers; none may be lost with the process.
    if let Err(e) = server.app.audit.settled().await {
        tracing::error!("the last audit events could not be written: {}", e.message());
    }
    Ok(())
}

fn service(
    server: Assembled,
    peer: IpAddr,
) -> impl hyper::service::Service<
    http::Request<hyper::body::Incoming>,
    Response = http::Response<http_body_util::Full<bytes::Bytes>>,
    Error = std::convert::Infallible,
    Future: Send,
> + Send
+ 'static {
    hyper::service::service_fn(move |request| {
        let server = server.clone();
        async move { Ok(avouch_gate::http::serve(&server.app, &server.router, request, peer).await) }
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
        .with_context(|| format!("cannot read {}", cert.display()))?
        .collect::<Result<_, _>>()
        .with_context(|| format!("{} holds no usable certificate", cert.display()))?;
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("cannot read the key {}", key.display()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
