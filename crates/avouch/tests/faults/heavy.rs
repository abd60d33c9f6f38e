//! Requests that are made to be expensive: each is refused by its size before anything of it is parsed, or by its structure
//! before anything is built of it; the process does not grow, and others are served meanwhile.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::process::{Client, Server, Setup, World};
use crate::runtime;

/// Attackers at a time.
const ATTACKERS: usize = 8;
/// How much the process may grow: for each attacker a body of 4 MiB as it comes and in one piece, and what is built of it
/// before it is too much.
const GROWTH: u64 = ATTACKERS as u64 * (24 << 20);

/// Bytes that the process holds in memory now.
fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.url.trim_start_matches("http://")).unwrap()
}

/// The status of the answer; 0 when the connection ended without one.
fn status(mut stream: TcpStream) -> u16 {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer);
    text.strip_prefix("HTTP/1.1 ").and_then(|t| t.get(..3)).map_or(0, |code| code.parse().unwrap())
}

/// Sends the whole message, or as much as is taken.
fn answer(server: &Server, message: &[u8]) -> u16 {
    let mut stream = connect(server);
    let _ = stream.write_all(message);
    status(stream)
}

fn head(path: &str, token: &str, more: &str) -> String {
    let auth = if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
    format!("POST {path} HTTP/1.1\r\nhost: avouch\r\nconnection: close\r\n{auth}{more}\r\n")
}

fn post(path: &str, token: &str, kind: &str, body: &str) -> Vec<u8> {
    let more = format!("content-type: {kind}\r\ncontent-length: {}\r\n", body.len());
    (head(path, token, &more) + body).into_bytes()
}

fn keys(n: usize) -> String {
    let all: Vec<String> = (0..n).map(|i| format!("\"k{i}\":1")).collect();
    format!("{{{}}}", all.join(","))
}

/// A token whose header is nested so deep.
fn nested(depth: usize) -> String {
    let header = format!(r#"{{"alg":"RS256","x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let part = |bytes: &[u8]| avouch_crypto::base64url::encode(bytes);
    format!("{}.{}.{}", part(header.as_bytes()), part(b"{}"), part(b"x"))
}

/// Name, the statuses that are right, and the message.
type Attack = (&'static str, &'static [u16], Vec<u8>);

fn attacks(world: &World, token: &str) -> Vec<Attack> {
    const JSON: &str = "application/json";
    const FORM: &str = "application/x-www-form-urlencoded";
    let (profiles, secrets) = ("/v1/profiles", world.secrets());
    let deep = |n: usize| "[".repeat(n);
    let grant = "grant_type=urn%3Aibm%3Aparams%3Aoauth%3Agrant-type%3Acr-token&profile_name=pods&cr_token=";
    let repeated = |item: &str, bytes: usize| format!("[{}0]", item.repeat(bytes / item.len()));
    // Where the connection ends before the answer is read, the answer may be lost: 0.
    vec![
        ("32 MiB of nesting", &[413, 0], post(profiles, token, JSON, &deep(32 << 20))),
        ("a million keys", &[413, 0], post(&secrets, token, JSON, &keys(1_000_000))),
        ("1 MiB of nesting", &[400], post(profiles, token, JSON, &deep(1 << 20))),
        ("100 000 keys", &[400], post(&secrets, token, JSON, &keys(100_000))),
        ("2 million numbers", &[400], post(&secrets, token, JSON, &repeated("0,", (4 << 20) - 8))),
        ("a million objects", &[400], post(&secrets, token, JSON, &repeated("{},", (4 << 20) - 8))),
        ("small objects full of members", &[400], {
            let one = keys(100) + ",";
            post(&secrets, token, JSON, &repeated(&one, (4 << 20) - 8))
        }),
        (
            "a text of 4 MiB",
            &[400],
            post(&secrets, token, JSON, &format!("\"{}\"", "x".repeat((4 << 20) - 8))),
        ),
        ("1 MB of dots", &[431, 0], post(profiles, &".".repeat(1_000_000), JSON, "{}")),
        ("16 KiB of dots", &[401], post(profiles, &".".repeat(16_000), JSON, "{}")),
        ("a header of 10^6 levels", &[431, 0], post(profiles, &nested(500_000), JSON, "{}")),
        ("a header of 5000 levels", &[401], post(profiles, &nested(5_000), JSON, "{}")),
        (
            "evidence of 10^6 levels",
            &[400, 0],
            post("/identity/token", "", FORM, &format!("{grant}{}", nested(500_000))),
        ),
        (
            "evidence of 5000 levels",
            &[400],
            post("/identity/token", "", FORM, &format!("{grant}{}", nested(5_000))),
        ),
        (
            "evidence of dots",
            &[400],
            post("/identity/token", "", FORM, &format!("{grant}{}", ".".repeat(30_000))),
        ),
    ]
}

/// Who does nothing wrong, until the others are done; how often he was served.
async fn neighbour(client: Client, world: World, done: &AtomicBool) -> usize {
    let path = format!("{}/{}", world.secrets(), world.secret);
    let mut served = 0;
    while !done.load(Ordering::Relaxed) || served == 0 {
        let read = client.get(&path).await;
        assert_eq!(read.status, 200, "the neighbour is not served: {}", read.body);
        served += 1;
    }
    served
}

#[test]
fn expensive_requests_are_refused_cheaply_and_others_are_served_meanwhile() {
    let data = tempfile::tempdir().unwrap();
    let server = Setup::new(data.path()).with("AVOUCH_LIMITS_FAILED_EXCHANGES_PER_MINUTE", "0").start();
    let runtime = runtime();
    let world = runtime.block_on(World::build(&server, data.path()));
    let admin = runtime.block_on(server.login(&world.key));
    let attacks = attacks(&world, admin.token());
    // Once before it counts, so that what is loaded on first use is there.
    assert_eq!(answer(&server, &post("/v1/profiles", admin.token(), "application/json", "[]")), 400);
    let before = resident(&server);
    let (done, mut wrong) = (AtomicBool::new(false), Vec::new());
    std::thread::scope(|scope| {
        let neighbour = scope.spawn(|| runtime.block_on(neighbour(admin.clone(), world.clone(), &done)));
        for (name, right, message) in &attacks {
            let told: Vec<u16> = std::thread::scope(|attackers| {
                let all: Vec<_> =
                    (0..ATTACKERS).map(|_| attackers.spawn(|| answer(&server, message))).collect();
                all.into_iter().map(|one| one.join().unwrap()).collect()
            });
            if told.iter().any(|status| !right.contains(status)) {
                wrong.push(format!("{name}: {told:?}"));
            }
        }
        done.store(true, Ordering::Relaxed);
        assert!(neighbour.join().unwrap() > 0);
    });
    assert!(wrong.is_empty(), "{wrong:?}");
    let grown = resident(&server).saturating_sub(before);
    assert!(grown < GROWTH, "the process grew by {} MiB", grown >> 20);
}

#[test]
fn what_is_too_large_is_refused_before_it_is_sent_and_before_it_is_asked_who_sends_it() {
    let data = tempfile::tempdir().unwrap();
    let server = Setup::new(data.path()).start();
    let runtime = runtime();
    let key = crate::process::bootstrap(data.path(), "IAM_APIKEY");
    let admin = runtime.block_on(server.login(&key));
    // The whole message is its head: an answer comes although nothing of the body ever does.
    let refused = |path: &str, token: &str, more: &str, sent: &[u8]| {
        let mut stream = connect(&server);
        stream.write_all(head(path, token, more).as_bytes()).unwrap();
        let _ = stream.write_all(sent);
        status(stream)
    };
    let owner = admin.token();
    let gigabyte = "content-length: 1073741824\r\ncontent-type: application/json\r\n";
    assert_eq!(refused("/v1/profiles", owner, gigabyte, b""), 413);
    assert_eq!(refused("/v1/profiles", owner, "content-length: 99999999999999999\r\n", b""), 413);
    // Whose errors are 400, whatever they are.
    assert_eq!(refused("/identity/token", "", gigabyte, b""), 400);
    // Size comes first, then who asks: neither needs the body.
    assert_eq!(refused("/v1/profiles", "e30.e30.e30", gigabyte, b""), 413);
    let fits = "content-length: 1000000\r\ncontent-type: application/json\r\n";
    assert_eq!(refused("/v1/profiles", "e30.e30.e30", fits, b""), 401);
    assert_eq!(refused("/v1/profiles", "e30.e30.e30", "transfer-encoding: chunked\r\n", b""), 401);
    // Nothing was announced: it ends where it is too much, although the body goes on.
    let chunk = [b"200000\r\n".to_vec(), vec![b'['; 0x20_0000]].concat();
    let told = refused("/v1/profiles", owner, "transfer-encoding: chunked\r\n", &chunk);
    assert!([413, 0].contains(&told), "{told}");
    // One byte more than is read, and no more: here nothing is lost.
    let exact = [b"100001\r\n".to_vec(), vec![b'['; 0x10_0001]].concat();
    assert_eq!(refused("/v1/profiles", owner, "transfer-encoding: chunked\r\n", &exact), 413);
}
