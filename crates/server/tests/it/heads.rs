//! One reading of a request's head: what another reader could understand differently is refused, and nothing that was sent
//! behind it on the same connection is ever served.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::listener::{rest, serve};

/// What follows each message of the corpus: nobody else asks for this.
const SECOND: &str = "GET /identity/keys HTTP/1.1\r\nhost: avouch\r\nx-request-id: second\r\n\r\n";

/// Who refuses.
#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    /// The gate, in the shape of the service.
    Us,
    /// The parser, with a bare status.
    Parser(u16),
    /// Nobody: it is served, and the connection ends with the answer.
    Nobody,
}

async fn told(address: SocketAddr, message: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The answer may come, and the connection end, before all is sent.
    let _ = stream.write_all(message).await;
    let answer = String::from_utf8_lossy(&rest(&mut stream).await).into_owned();
    assert!(answer.starts_with("HTTP/1."), "{} is not answered: {answer}", String::from_utf8_lossy(message));
    answer
}

fn body(answer: &str) -> Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap_or(Value::Null)
}

#[tokio::test]
async fn a_message_in_doubt_is_refused_and_nothing_behind_it_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let address = serve(folder.path(), |_| {}).await.unwrap();
    let post = |headers: &str, body: &str| format!("POST /v1/profiles HTTP/1.1\r\n{headers}\r\n{body}");
    let with = |header: &str| post(&format!("host: avouch\r\n{header}"), "");
    let get = |line: &str, host: &str| format!("{line}\r\n{host}\r\n");
    let zero = "0\r\n\r\n";
    let hosted = |headers: &str, body: &str| post(&format!("host: avouch\r\n{headers}"), body);
    let corpus: Vec<(String, By)> = vec![
        // Where the message ends.
        (hosted("content-length: 0\r\ncontent-length: 0\r\n", ""), By::Us),
        (hosted("content-length: 5\r\nContent-Length: 5\r\n", "hello"), By::Us),
        (hosted("content-length: 5\r\ncontent-length: 05\r\n", "hello"), By::Us),
        (hosted("content-length: 5\r\ntransfer-encoding: chunked\r\n", zero), By::Us),
        (hosted("transfer-encoding: chunked\r\ncontent-length: 5\r\n", zero), By::Us),
        (hosted("transfer-encoding: chunked\r\ncontent-length: x\r\n", zero), By::Us),
        (hosted("transfer-encoding: chunked, chunked\r\n", zero), By::Us),
        (hosted("transfer-encoding: gzip, chunked\r\n", zero), By::Us),
        (hosted("transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n", zero), By::Us),
        (hosted("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", zero), By::Us),
        (hosted("transfer-encoding:\x0bchunked\r\n", zero), By::Parser(400)),
        (hosted("content-length: 5\r\ncontent-length: 6\r\n", "hello"), By::Parser(400)),
        (hosted("content-length: +5\r\n", "hello"), By::Parser(400)),
        (hosted("content-length: -5\r\n", "hello"), By::Parser(400)),
        (hosted("content-length: 5, 5\r\n", "hello"), By::Parser(400)),
        (hosted("content-length: 0x5\r\n", "hello"), By::Parser(400)),
        (hosted("content-length: 5 5\r\n", "hello"), By::Parser(400)),
        (hosted("content-length:\r\n", ""), By::Parser(400)),
        (hosted("content-length: 18446744073709551616\r\n", ""), By::Parser(400)),
        (hosted("transfer-encoding: gzip\r\n", ""), By::Parser(400)),
        (hosted("transfer-encoding: chunked, gzip\r\n", zero), By::Parser(400)),
        (hosted("transfer-encoding: xchunked\r\n", zero), By::Parser(400)),
        (
            "POST /v1/profiles HTTP/1.0\r\nhost: avouch\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
                .into(),
            By::Parser(400),
        ),
        // How its lines end, and what they hold.
        ("GET /v1/profiles HTTP/1.1\nhost: avouch\n\n".into(), By::Us),
        ("GET /v1/profiles HTTP/1.1\r\nhost: avouch\n\r\n".into(), By::Us),
        ("GET /v1/profiles HTTP/1.1\r\nhost: avouch\r\n\n".into(), By::Us),
        (with("x: a\rb\r\n"), By::Parser(400)),
        (with("x: a\0b\r\n"), By::Parser(400)),
        (with("x: a\r\n folded: b\r\n"), By::Parser(400)),
        (with("content-length : 0\r\n"), By::Parser(400)),
        (with(" content-length: 0\r\n"), By::Parser(400)),
        (with("nothing\r\n"), By::Parser(400)),
        (with(&"a: b\r\n".repeat(64)), By::Parser(431)),
        (with(&format!("a: {}\r\n", "b".repeat(40_000))), By::Parser(431)),
        ("GET /v1/profiles\r\n\r\n".into(), By::Parser(400)),
        ("GET /v1/profiles HTTP/2.0\r\nhost: avouch\r\n\r\n".into(), By::Parser(400)),
        ("GET  /v1/profiles HTTP/1.1\r\nhost: avouch\r\n\r\n".into(), By::Parser(400)),
        // Who is meant.
        (get("GET /v1/profiles HTTP/1.1", ""), By::Us),
        (get("GET /v1/profiles HTTP/1.1", "host:\r\n"), By::Us),
        (get("GET /v1/profiles HTTP/1.1", "host: avouch\r\nhost: avouch\r\n"), By::Us),
        (get("GET /v1/profiles HTTP/1.1", "host: avouch\r\nHost: other\r\n"), By::Us),
        (get("GET /v1/profiles HTTP/1.1", "host: avouch, other\r\n"), By::Us),
        (get("GET /v1/profiles HTTP/1.1", "host: user@avouch\r\n"), By::Us),
        (get("GET /v1/profiles HTTP/1.1", "host: avouch/v1\r\n"), By::Us),
        (get("GET http://other/v1/profiles HTTP/1.1", "host: avouch\r\n"), By::Us),
        (get("GET http://avouch:81/v1/profiles HTTP/1.1", "host: avouch\r\n"), By::Us),
        (get("GET http://avouch/v1/profiles HTTP/1.1", ""), By::Us),
        (get("GET ftp://avouch/v1/profiles HTTP/1.1", "host: avouch\r\n"), By::Us),
        (get("GET http://other/v1/profiles HTTP/1.0", "host: avouch\r\n"), By::Us),
        // What else is said once.
        (with("authorization: Bearer a\r\nauthorization: Bearer a\r\n"), By::Us),
        (with("content-type: application/json\r\ncontent-type: text/plain\r\n"), By::Us),
        (with("if-match: a\r\nif-match: b\r\n"), By::Us),
        // Sound, and still the last of its connection.
        (hosted("transfer-encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n"), By::Nobody),
        (hosted("transfer-encoding: chunked\r\n", "2\n{}\r\n0\r\n\r\n"), By::Nobody),
        (hosted("transfer-encoding: Chunked\r\n", "2;x=\"\r\n\"\r\n{}\r\n0\r\n\r\n"), By::Nobody),
        ("GET /v1/profiles HTTP/1.0\r\n\r\n".into(), By::Nobody),
    ];
    for (message, by) in &corpus {
        let answer = told(address, format!("{message}{SECOND}").as_bytes()).await;
        let answers = answer.matches("HTTP/1.1 ").count() + answer.matches("HTTP/1.0 ").count();
        assert_eq!(answers, 1, "{message:?}: {answer}");
        assert!(!answer.contains("second"), "{message:?}: {answer}");
        let status = &answer[9..12];
        let end = answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n");
        match by {
            By::Us => {
                let told = body(&answer);
                assert!(status == "400" && end, "{message:?}: {answer}");
                // The shape of the service: a context beside the errors.
                assert!(
                    told["errors"][0]["message"].is_string() && told["context"].is_object(),
                    "{message:?}: {answer}"
                );
            }
            By::Parser(wanted) => assert_eq!(status, wanted.to_string(), "{message:?}: {answer}"),
            By::Nobody => assert!(["400", "401"].contains(&status), "{message:?}: {answer}"),
        }
    }
    let counters = told(address, b"GET /metrics HTTP/1.0\r\n\r\n").await;
    assert!(counters.contains("malformed_head"), "{counters}");
    assert!(!counters.contains(r#"operation="list_keys"#), "a second request was served: {counters}");

    // The same with nothing to doubt: all are served, in their order.
    let sound = ["content-length: 2\r\n", "content-length:  2  \r\n", "Content-Length: 02\r\n"];
    let mut all: String = sound.iter().map(|header| hosted(header, "{}")).collect();
    all.push_str("\r\n");
    all.push_str(&get("GET http://Avouch/v1/profiles HTTP/1.1", "host: avouch\r\n"));
    all.push_str(&SECOND.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n"));
    let answer = told(address, all.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 401").count(), 4, "{answer}");
    assert!(answer.contains("HTTP/1.1 200") && answer.contains("x-request-id: second"), "{answer}");
    let counters = told(address, b"GET /metrics HTTP/1.0\r\n\r\n").await;
    assert!(counters.contains(r#"operation="list_keys"#), "{counters}");
}

#[tokio::test]
async fn http2_names_one_host_too() {
    let folder = tempfile::tempdir().unwrap();
    let address = serve(folder.path(), |_| {}).await.unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    for (host, more, status) in [
        (None, None, 401),
        (Some("avouch"), None, 401),
        (Some("other"), None, 400),
        (Some("avouch"), Some(("host", "avouch")), 400),
        (None, Some(("content-length", "0")), 401),
        (None, Some(("if-match", "a")), 401),
    ] {
        let mut request = http::Request::get("http://avouch/v1/profiles");
        for (name, value) in host.map(|host| ("host", host)).into_iter().chain(more) {
            request = request.header(name, value);
        }
        let (answer, _) = client.send_request(request.body(()).unwrap(), true).unwrap();
        // One connection for all: refusing one request of it does not end the others.
        assert_eq!(answer.await.unwrap().status(), status, "{host:?} {more:?}");
    }
    driver.abort();
}
