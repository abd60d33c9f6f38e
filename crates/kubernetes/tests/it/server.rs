//! An HTTPS server on loopback that answers as a test wants, well or badly, and counts.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// How a path answers.
#[derive(Clone)]
pub enum Reply {
    /// Status, further header lines, body.
    Text(u16, String, String),
    /// The answer, once it is asked for: tells that somebody waits, and waits itself.
    Held(String, Arc<(Notify, Notify)>),
    /// The head, then nothing for long.
    Hang,
    /// One byte after the other, slowly.
    Drip,
    /// A body without end.
    Endless,
}

impl Reply {
    pub fn json(body: &Value) -> Self {
        Reply::Text(200, String::new(), body.to_string())
    }
}

pub struct HttpsServer {
    pub port: u16,
    /// Its certificate, as an authority.
    pub ca_pem: String,
    replies: Arc<Mutex<HashMap<String, Reply>>>,
    hits: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl HttpsServer {
    pub async fn start() -> Self {
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], private)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Self {
            port,
            ca_pem: cert.pem(),
            replies: Arc::default(),
            hits: Arc::default(),
            requests: Arc::default(),
        };
        let (replies, hits, requests) =
            (server.replies.clone(), server.hits.clone(), server.requests.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, replies) = (acceptor.clone(), replies.clone());
                let (hits, requests) = (hits.clone(), requests.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(socket).await else { return };
                    let mut head = Vec::new();
                    let mut byte = [0u8; 1024];
                    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
                        match stream.read(&mut byte).await {
                            Ok(n) if n > 0 => head.extend_from_slice(&byte[..n]),
                            _ => return,
                        }
                    }
                    hits.fetch_add(1, Ordering::SeqCst);
                    let head = String::from_utf8_lossy(&head).into_owned();
                    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                    requests.lock().unwrap().push(head);
                    let reply = replies.lock().unwrap().get(&path).cloned();
                    let reply = reply.unwrap_or(Reply::Text(404, String::new(), "{}".into()));
                    answer(&mut stream, reply).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        server
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.port)
    }

    pub fn on(&self, path: &str, reply: Reply) {
        self.replies.lock().unwrap().insert(path.to_owned(), reply);
    }

    pub fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    pub fn last_request(&self) -> String {
        self.requests.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

async fn answer(stream: &mut (impl AsyncWriteExt + Unpin), reply: Reply) {
    match reply {
        Reply::Text(status, headers, body) => {
            let text = format!(
                "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(text.as_bytes()).await;
        }
        Reply::Held(body, gate) => {
            gate.0.notify_one();
            gate.1.notified().await;
            Box::pin(answer(stream, Reply::Text(200, String::new(), body))).await;
        }
        Reply::Hang => {
            let _ = stream.write_all(b"HTTP/1.1 200 X\r\ncontent-length: 10\r\n\r\n").await;
            let _ = stream.flush().await;
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        Reply::Drip => {
            let _ = stream.write_all(b"HTTP/1.1 200 X\r\nconnection: close\r\n\r\n").await;
            loop {
                if stream.write_all(b" ").await.is_err() || stream.flush().await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Reply::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 X\r\nconnection: close\r\n\r\n").await;
            let block = vec![b' '; 64 * 1024];
            while stream.write_all(&block).await.is_ok() {}
        }
    }
}
