//! The listener on real sockets: protocols, TLS, and clients that only take up room.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use avouch_gate::config::Config;
use avouch_server::run::{self, Running};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

const GET: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: avouch\r\nconnection: close\r\n\r\n";
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty SETTINGS frame.
pub const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// A server that lives as long as the test's runtime.
pub async fn serve(folder: &Path, change: impl FnOnce(&mut Config)) -> anyhow::Result<SocketAddr> {
    Ok(start(folder, change).await?.address)
}

async fn start(folder: &Path, change: impl FnOnce(&mut Config)) -> anyhow::Result<Running> {
    let mut config = Config { listen: "127.0.0.1:0".into(), ..Config::default() };
    change(&mut config);
    run::start(config, folder.to_owned(), std::future::pending()).await
}

/// All that comes until the other side closes.
pub async fn rest(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all).await;
    all
}

pub async fn answered(address: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(GET).await.unwrap();
    rest(&mut stream).await.starts_with(b"HTTP/1.1 200")
}

#[tokio::test]
async fn both_protocols_are_spoken_and_known_from_the_first_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let address = serve(folder.path(), |_| {}).await.unwrap();
    assert!(answered(address).await);
    // Also when the first bytes come one by one.
    for opening in [[PREFACE, &SETTINGS].concat(), GET.to_vec()] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for byte in &opening {
            stream.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut first = [0; 9];
        stream.read_exact(&mut first).await.unwrap();
        if opening.starts_with(PREFACE) {
            assert_eq!(first[3], 4, "the server's SETTINGS come first: {first:?}");
        } else {
            assert_eq!(&first, b"HTTP/1.1 ");
        }
    }
    let mut garbage = TcpStream::connect(address).await.unwrap();
    garbage.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await.unwrap();
    garbage.shutdown().await.unwrap();
    assert!(!rest(&mut garbage).await.starts_with(b"HTTP/1.1 200"));
    assert!(answered(address).await);
}

#[tokio::test]
async fn who_says_nothing_or_half_of_it_loses_his_place() {
    let folder = tempfile::tempdir().unwrap();
    let address = serve(folder.path(), |_| {}).await.unwrap();
    for said in [&b""[..], b"PRI * HT", b"GET / HTTP/1.1\r\nhost:"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(said).await.unwrap();
        // From here on the clock runs as fast as the server waits for it.
        tokio::time::pause();
        let end = rest(&mut stream).await;
        assert!(!end.starts_with(b"HTTP/1.1 200"), "{said:?}");
        tokio::time::resume();
    }
    assert!(answered(address).await);
}

#[tokio::test]
async fn one_address_takes_no_more_places_than_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let address = serve(folder.path(), |c| c.limits.connections_per_address = 2).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: avouch\r\n\r\n").await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        held.push(stream);
    }
    assert!(!answered(address).await, "a third one");
    held.clear();
    while !answered(address).await {
        tokio::task::yield_now().await;
    }
}

/// A certificate and the files of it and its key.
fn certificate(folder: &Path) -> (CertificateDer<'static>, PathBuf, PathBuf) {
    std::fs::create_dir_all(folder).unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["avouch.test".to_owned()]).unwrap();
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (made.cert.der().clone(), cert, key)
}

/// A client that trusts this certificate alone.
async fn connect(
    address: SocketAddr,
    trusted: CertificateDer<'static>,
    alpn: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates([trusted]);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect("avouch.test".try_into().unwrap(), stream)
        .await
}

#[tokio::test]
async fn who_says_nothing_over_tls_loses_his_place_too() {
    let folder = tempfile::tempdir().unwrap();
    let (own, cert, key) = certificate(folder.path());
    let data = folder.path().join("data");
    let files = (cert.display().to_string(), key.display().to_string());
    let address = serve(&data, |c| (c.tls_cert, c.tls_key) = files).await.unwrap();
    for (alpn, said) in
        [(&b"h2"[..], &b""[..]), (b"h2", b"PRI * HT"), (b"http/1.1", b""), (b"http/1.1", b"GET / HT")]
    {
        let mut stream = connect(address, own.clone(), alpn).await.unwrap();
        stream.write_all(said).await.unwrap();
        stream.flush().await.unwrap();
        tokio::time::pause();
        rest(&mut stream).await;
        tokio::time::resume();
    }
    let mut stream = connect(address, own, b"http/1.1").await.unwrap();
    stream.write_all(GET).await.unwrap();
    assert!(rest(&mut stream).await.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn tls_serves_whom_its_certificate_convinces() {
    let folder = tempfile::tempdir().unwrap();
    let (own, cert, key) = certificate(folder.path());
    let shown = |path: &Path| path.display().to_string();
    let data = folder.path().join("data");
    // Refused before anything is made: a lone or broken setting, and another machine's address in plain text.
    let broken = folder.path().join("broken.pem");
    std::fs::write(&broken, "nothing").unwrap();
    let (_, _, foreign) = certificate(&folder.path().join("foreign"));
    let (cert, key, broken, foreign) = (shown(&cert), shown(&key), shown(&broken), shown(&foreign));
    let here = "127.0.0.1:0";
    let wrong: [(&str, &str, &str, [&str; 2]); 9] = [
        (&cert, "", here, ["tls_key", "tls_cert"]),
        ("", &key, here, ["tls_cert", "tls_key"]),
        (&broken, &key, here, ["tls_cert", "broken.pem"]),
        (&key, &key, here, ["tls_cert", "key.pem"]),
        ("/no/such/cert", &key, here, ["tls_cert", "/no/such/cert"]),
        (&cert, "/no/such/file", here, ["tls_key", "/no/such/file"]),
        (&cert, &broken, here, ["tls_key", "broken.pem"]),
        (&cert, &foreign, here, ["tls_key", "foreign"]),
        ("", "", "0.0.0.0:0", ["insecure_http", "tls_cert"]),
    ];
    for (cert, key, listen, named) in wrong {
        let refused = serve(&data, |c| {
            (c.tls_cert, c.tls_key, c.listen) = (cert.to_owned(), key.to_owned(), listen.to_owned());
        })
        .await;
        let why = refused.err().map(|e| format!("{e:#}")).unwrap();
        assert!(named.iter().all(|name| why.contains(name)), "{why}");
        assert!(!data.exists(), "{named:?}");
    }
    let running = start(&data, |c| (c.tls_cert, c.tls_key) = (cert, key)).await.unwrap();
    let address = running.address;

    // A login in the one protocol, and a read with its token in the other.
    let made = running.bootstrap.unwrap();
    let form = format!(
        "grant_type=urn%3Aibm%3Aparams%3Aoauth%3Agrant-type%3Aapikey&apikey={}",
        made.api_key.expose()
    );
    let login = format!(
        "POST /identity/token HTTP/1.1\r\nhost: avouch.test\r\nconnection: close\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
        form.len()
    );
    let mut stream = connect(address, own.clone(), b"http/1.1").await.unwrap();
    stream.write_all(login.as_bytes()).await.unwrap();
    let answer = String::from_utf8(rest(&mut stream).await).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    let login: serde_json::Value = serde_json::from_str(body).unwrap();
    let token = login["access_token"].as_str().unwrap();
    let stream = connect(address, own.clone(), b"h2").await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    for (bearer, status) in [(Some(token), 200), (None, 401)] {
        let uri = format!("https://avouch.test/v1/profiles?account_id={}", made.account);
        let mut request = http::Request::get(uri);
        if let Some(token) = bearer {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let (answer, _) = client.send_request(request.body(()).unwrap(), true).unwrap();
        assert_eq!(answer.await.unwrap().status(), status);
    }
    driver.abort();
    let mut stream = connect(address, own.clone(), b"http/1.1").await.unwrap();
    stream.write_all(GET).await.unwrap();
    assert!(rest(&mut stream).await.starts_with(b"HTTP/1.1 200"));
    let mut stream = connect(address, own, b"h2").await.unwrap();
    stream.write_all(&[PREFACE, &SETTINGS].concat()).await.unwrap();
    let mut first = [0; 9];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(first[3], 4, "{first:?}");
    // Nobody else's certificate, and no plain text on this port.
    let other = rcgen::generate_simple_self_signed(vec!["avouch.test".to_owned()]).unwrap();
    assert!(connect(address, other.cert.der().clone(), b"http/1.1").await.is_err());
    assert!(!answered(address).await);
}
