//! Clients that speak HTTP/2 and want nothing but to keep the server busy, frame by frame. Whatever they send, their
//! connection ends, and a neighbour is served.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::listener::{PREFACE, SETTINGS, answered, serve};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS_FRAME: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// Reason of GOAWAY and RST_STREAM.
const NO_ERROR: u32 = 0;
const REFUSED_STREAM: u32 = 7;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut out = vec![length[1], length[2], length[3], kind, flags];
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// A field that no table holds.
fn literal(name: &str, value: &str) -> Vec<u8> {
    assert!(name.len() < 127 && value.len() < 127);
    let (n, v) = (u8::try_from(name.len()).unwrap(), u8::try_from(value.len()).unwrap());
    [&[0, n][..], name.as_bytes(), &[v], value.as_bytes()].concat()
}

/// `POST /identity/token`, or another path, without the end of its body.
fn request(path: &str) -> Vec<u8> {
    [
        literal(":method", "POST"),
        literal(":scheme", "http"),
        literal(":path", path),
        literal(":authority", "avouch"),
    ]
    .concat()
}

/// What one client hears, frame by frame.
struct Ears {
    stream: OwnedReadHalf,
    heard: Vec<u8>,
}

impl Ears {
    /// The next frame: kind, flags, stream, payload; `None` when the connection is at its end.
    async fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        loop {
            if self.heard.len() >= 9 {
                let length = u32::from_be_bytes([0, self.heard[0], self.heard[1], self.heard[2]]) as usize;
                if self.heard.len() >= 9 + length {
                    let rest = self.heard.split_off(9 + length);
                    let one = std::mem::replace(&mut self.heard, rest);
                    let stream = u32::from_be_bytes([one[5], one[6], one[7], one[8]]);
                    return Some((one[3], one[4], stream, one[9..].to_vec()));
                }
            }
            match self.stream.read_buf(&mut self.heard).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}

/// The reason of a GOAWAY.
fn reason(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload[4..8].try_into().unwrap())
}

/// One client.
struct Peer {
    ears: Ears,
    mouth: OwnedWriteHalf,
}

impl Peer {
    async fn new(address: SocketAddr) -> Peer {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (stream, mouth) = stream.into_split();
        let mut peer = Peer { ears: Ears { stream, heard: Vec::new() }, mouth };
        assert!(peer.say(&[PREFACE, &SETTINGS].concat()).await);
        let (kind, ..) = peer.next().await.unwrap();
        assert_eq!(kind, SETTINGS_FRAME);
        assert!(peer.say(&frame(SETTINGS_FRAME, 1, 0, &[])).await);
        peer
    }

    /// Whether it could be sent.
    async fn say(&mut self, bytes: &[u8]) -> bool {
        self.mouth.write_all(bytes).await.is_ok()
    }

    async fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        self.ears.next().await
    }

    /// Sends `flood` again and again, hearing what comes, until the connection ends; the reason if one was told.
    async fn until_cut_off(mut self, mut flood: impl FnMut(u32) -> Vec<u8>) -> Option<u32> {
        let mut ears = self.ears;
        let hears = tokio::spawn(async move {
            let mut told = None;
            while let Some((kind, _, _, payload)) = ears.next().await {
                if kind == GOAWAY {
                    told = Some(reason(&payload));
                }
            }
            told
        });
        for n in 0..100_000 {
            if hears.is_finished() || self.mouth.write_all(&flood(n)).await.is_err() {
                return hears.await.unwrap();
            }
        }
        panic!("the flood was never ended");
    }
}

/// Many of the same at once.
fn many(one: &[u8]) -> Vec<u8> {
    one.repeat(256)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_frames_ends_its_connection_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let address = serve(folder.path(), |_| {}).await.unwrap();
    let neighbour = async || assert!(answered(address).await, "the neighbour is not served");
    let token = request("/identity/token");

    // Streams that are opened and reset at once: many in one write.
    let reset = Peer::new(address).await.until_cut_off(|n| {
        let streams = (0..64).map(|i| 2 * (64 * n + i) + 1);
        streams
            .flat_map(|stream| {
                [frame(HEADERS, 4, stream, &token), frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())]
                    .concat()
            })
            .collect()
    });
    assert_eq!(reset.await, Some(ENHANCE_YOUR_CALM), "rapid reset");
    neighbour().await;

    // Headers without end.
    let endless = Peer::new(address).await.until_cut_off(|n| match n {
        0 => frame(HEADERS, 0, 1, &token),
        _ => many(&frame(CONTINUATION, 0, 1, &[])),
    });
    assert_eq!(endless.await, Some(ENHANCE_YOUR_CALM), "continuations without anything in them");
    neighbour().await;
    let x = literal("x", &"y".repeat(120));
    let endless = Peer::new(address).await.until_cut_off(|n| match n {
        0 => frame(HEADERS, 0, 1, &token),
        _ => frame(CONTINUATION, 0, 1, &x.repeat(100)),
    });
    let reason = endless.await.unwrap();
    assert!([ENHANCE_YOUR_CALM, COMPRESSION_ERROR].contains(&reason), "continuations: {reason}");
    neighbour().await;

    // Frames that carry no request.
    for (name, one) in [
        ("PING", frame(PING, 0, 0, &[7; 8])),
        ("answers to PING", frame(PING, 1, 0, &[7; 8])),
        ("SETTINGS", frame(SETTINGS_FRAME, 0, 0, &[])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, &1u32.to_be_bytes())),
        ("unknown frames", frame(200, 0, 0, &[0; 8])),
        ("PRIORITY", frame(2, 0, 1, &[0, 0, 0, 3, 0])),
        ("DATA of nothing", frame(DATA, 0, 1, &[])),
    ] {
        let peer = Peer::new(address).await;
        let all = many(&one);
        let cut = peer.until_cut_off(|n| {
            if n == 0 && name.starts_with("DATA") { frame(HEADERS, 4, 1, &token) } else { all.clone() }
        });
        cut.await;
        neighbour().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_given_up_again_and_again_end_their_connection() {
    let folder = tempfile::tempdir().unwrap();
    let address = serve(folder.path(), |_| {}).await.unwrap();
    let token = request("/identity/token");
    let mut peer = Peer::new(address).await;
    // One after the other, each only once the server has taken it up: no two of them are ever waiting.
    let mut ended = false;
    for n in 0..2000u32 {
        let stream = 2 * n + 1;
        let said =
            [frame(HEADERS, 4, stream, &token), frame(PING, 0, 0, &n.to_be_bytes().repeat(2))].concat();
        if !peer.say(&said).await {
            ended = true;
            break;
        }
        let pong = loop {
            match peer.next().await {
                Some((PING, 1, ..)) => break true,
                Some(_) => {}
                None => break false,
            }
        };
        if !pong || !peer.say(&frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())).await {
            ended = true;
            break;
        }
    }
    assert!(ended, "2000 requests were given up on one connection");
    assert!(answered(address).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_heads_beyond_the_limits_are_refused_and_the_others_served() {
    let folder = tempfile::tempdir().unwrap();
    let address = serve(folder.path(), |_| {}).await.unwrap();
    let token = request("/identity/token");
    let mut peer = Peer::new(address).await;
    let open: Vec<u8> = (0..200).flat_map(|n| frame(HEADERS, 4, 2 * n + 1, &token)).collect();
    assert!(peer.say(&open).await);
    let mut refused = Vec::new();
    while refused.len() < 200 - 128 {
        let (kind, _, stream, payload) = peer.next().await.unwrap();
        if kind == RST_STREAM {
            assert_eq!(payload, REFUSED_STREAM.to_be_bytes());
            refused.push(stream);
        }
        assert_ne!(kind, GOAWAY, "{payload:?}");
    }
    assert!(refused.iter().all(|stream| *stream > 2 * 127), "{refused:?}");
    // Those within the limit go on: the first one is given its end and answered.
    assert!(peer.say(&frame(DATA, 1, 1, b"grant_type=x")).await);
    loop {
        let (kind, _, stream, _) = peer.next().await.unwrap();
        if (kind, stream) == (HEADERS, 1) {
            break;
        }
    }
    assert!(answered(address).await);

    // A head beyond the limit, and a sound request after it on the same connection.
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let mut large = http::Request::get("http://avouch/healthz");
    for n in 0..300 {
        large = large.header(format!("x-{n}"), "y".repeat(120));
    }
    let (answer, _) = client.send_request(large.body(()).unwrap(), true).unwrap();
    let status = answer.await.map(|r| r.status().as_u16());
    assert!(status.as_ref().is_ok_and(|s| *s == 431) || status.is_err(), "{status:?}");
    let sound = http::Request::get("http://avouch/healthz").body(()).unwrap();
    let (answer, _) = client.send_request(sound, true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
    driver.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_much_in_many_requests_is_no_flood() {
    let folder = tempfile::tempdir().unwrap();
    let address = serve(folder.path(), |_| {}).await.unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let body = bytes::Bytes::from(vec![b'x'; 30_000]);
    for _ in 0..100 {
        client = client.ready().await.unwrap();
        let request = http::Request::post("http://avouch/identity/token").body(()).unwrap();
        let (answer, mut send) = client.send_request(request, false).unwrap();
        send.send_data(body.clone(), true).unwrap();
        assert_eq!(answer.await.unwrap().status(), 400);
    }
    driver.abort();
}

#[tokio::test]
async fn a_connection_without_requests_is_closed_although_it_answers_and_asks() {
    let folder = tempfile::tempdir().unwrap();
    let address = serve(folder.path(), |_| {}).await.unwrap();
    let mut peer = Peer::new(address).await;
    // A request first: it is afterwards that the connection is idle.
    assert!(peer.say(&frame(HEADERS, 5, 1, &request("/healthz"))).await);
    while peer.next().await.unwrap().0 != HEADERS {}
    tokio::time::pause();
    let (mut goodbye, mut rounds) = (None, 0);
    'open: loop {
        rounds += 1;
        assert!(rounds < 30, "still open after five minutes");
        if !peer.say(&frame(PING, 0, 0, &[1; 8])).await {
            break;
        }
        // Until the answer to it: everything before is heard by then.
        loop {
            match peer.next().await {
                Some((PING, 1, _, payload)) if payload == [1; 8] => break,
                // What the server asks is answered.
                Some((PING, 0, _, payload)) => drop(peer.say(&frame(PING, 1, 0, &payload)).await),
                Some((GOAWAY, _, _, payload)) => {
                    goodbye = Some(reason(&payload));
                }
                Some(_) => {}
                None => break 'open,
            }
        }
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    tokio::time::resume();
    assert_eq!(goodbye, Some(NO_ERROR));
    assert!(rounds > 3, "closed too early: {rounds}");
    assert!(answered(address).await);
}
