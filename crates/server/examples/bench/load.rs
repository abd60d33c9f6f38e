//! Makes load: through the router in this process, or over real connections. Every answer must have the expected
//! status; one that has not ends the run, since the speed of errors is of no interest.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use avouch_server::Assembled;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use serde_json::Value;

use crate::meter::{self, LOAD_THREAD, Outcome};

const WARM_UP: Duration = Duration::from_millis(300);

/// A request to be.
#[derive(Clone)]
pub struct Call {
    pub method: &'static str,
    pub path: String,
    pub token: Option<Arc<str>>,
    /// Content type and body.
    pub body: Option<(&'static str, Bytes)>,
    /// What metadata services want to see.
    pub flavor: Option<&'static str>,
}

impl Call {
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: "GET", path: path.into(), token: None, body: None, flavor: None }
    }

    pub fn post(path: impl Into<String>, body: &Value) -> Self {
        let body = Some(("application/json", Bytes::from(body.to_string())));
        Self { method: "POST", path: path.into(), token: None, body, flavor: None }
    }

    /// A form; the values must need no escapes but those of `:` in grant types.
    pub fn form(path: &str, fields: &[(&str, &str)]) -> Self {
        let pairs: Vec<String> =
            fields.iter().map(|(k, v)| format!("{k}={}", v.replace(':', "%3A"))).collect();
        let body = Some(("application/x-www-form-urlencoded", Bytes::from(pairs.join("&"))));
        Self { method: "POST", path: path.to_owned(), token: None, body, flavor: None }
    }

    #[must_use]
    pub fn bearer(mut self, token: &Arc<str>) -> Self {
        self.token = Some(token.clone());
        self
    }

    fn headers(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![("host", "127.0.0.1".to_owned())];
        all.extend(self.token.as_ref().map(|t| ("authorization", format!("Bearer {t}"))));
        all.extend(self.flavor.map(|flavor| ("metadata-flavor", flavor.to_owned())));
        if let Some((kind, body)) = &self.body {
            all.push(("content-type", (*kind).to_owned()));
            all.push(("content-length", body.len().to_string()));
        }
        all
    }

    fn message(&self) -> Result<http::Request<Full<Bytes>>> {
        let mut request = http::Request::builder().method(self.method).uri(&self.path);
        for (name, value) in self.headers() {
            request = request.header(name, value);
        }
        Ok(request.body(Full::new(self.body.as_ref().map_or_else(Bytes::new, |(_, b)| b.clone())))?)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        for (name, value) in self.headers() {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend(self.body.iter().flat_map(|(_, b)| b.iter()));
        bytes
    }
}

/// One request through the router.
pub async fn call(server: &Assembled, call: &Call) -> Result<(u16, Bytes)> {
    let peer = [127, 0, 0, 1].into();
    let response = avouch_gate::http::serve(&server.app, &server.router, call.message()?, peer).await;
    let status = response.status().as_u16();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}

/// How much load, and what a good answer is.
#[derive(Clone, Copy)]
pub struct Load {
    /// Requests under way at a time.
    pub clients: usize,
    pub time: Duration,
    pub expected: u16,
}

impl Load {
    pub fn new(clients: usize, time: Duration) -> Self {
        Self { clients, time, expected: 200 }
    }

    #[must_use]
    pub fn expecting(mut self, status: u16) -> Self {
        self.expected = status;
        self
    }

    fn check(&self, status: u16, body: &[u8]) -> Result<()> {
        let shown = body.get(..body.len().min(400)).unwrap_or_default();
        ensure!(status == self.expected, "{status} {}", String::from_utf8_lossy(shown));
        Ok(())
    }

    /// Load through the router in this process. `next` makes the n-th request.
    pub async fn inside<F>(self, server: &Assembled, next: F) -> Result<Outcome>
    where
        F: Fn(u64) -> Call + Send + Sync + 'static,
    {
        self.inside_each(std::slice::from_ref(server), next).await
    }

    /// The same, the n-th request through the n-th router in turn.
    pub async fn inside_each<F>(self, servers: &[Assembled], next: F) -> Result<Outcome>
    where
        F: Fn(u64) -> Call + Send + Sync + 'static,
    {
        let (next, count) = (Arc::new(next), Arc::new(AtomicU64::new(0)));
        let servers: Arc<[Assembled]> = servers.into();
        self.inside_for(WARM_UP, &servers, &next, &count).await?;
        self.inside_for(self.time, &servers, &next, &count).await
    }

    async fn inside_for<F>(
        self,
        time: Duration,
        servers: &Arc<[Assembled]>,
        next: &Arc<F>,
        count: &Arc<AtomicU64>,
    ) -> Result<Outcome>
    where
        F: Fn(u64) -> Call + Send + Sync + 'static,
    {
        let (start, before) = (Instant::now(), meter::cpu()?);
        let tasks: Vec<_> = (0..self.clients)
            .map(|_| {
                let (servers, next, count) = (servers.clone(), next.clone(), count.clone());
                tokio::spawn(async move {
                    let mut times = Vec::new();
                    while start.elapsed() < time {
                        let n = count.fetch_add(1, Ordering::Relaxed);
                        let request = next(n);
                        let at = usize::try_from(n)? % servers.len();
                        let server = servers.get(at).context("no server")?;
                        let sent = Instant::now();
                        let (status, body) = call(server, &request).await?;
                        times.push(sent.elapsed());
                        self.check(status, &body)?;
                    }
                    anyhow::Ok(times)
                })
            })
            .collect();
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await??);
        }
        Ok(Outcome::new(start.elapsed(), meter::cpu()?.saturating_sub(before), times))
    }

    /// Load over connections that stay open, each with a thread of its own.
    pub fn outside<F>(self, server: SocketAddr, next: F) -> Result<Outcome>
    where
        F: Fn(u64) -> Call + Send + Sync + 'static,
    {
        let (next, count) = (Arc::new(next), Arc::new(AtomicU64::new(0)));
        self.outside_for(WARM_UP, server, &next, &count)?;
        self.outside_for(self.time, server, &next, &count)
    }

    fn outside_for<F>(
        self,
        time: Duration,
        server: SocketAddr,
        next: &Arc<F>,
        count: &Arc<AtomicU64>,
    ) -> Result<Outcome>
    where
        F: Fn(u64) -> Call + Send + Sync + 'static,
    {
        let (start, before) = (Instant::now(), meter::cpu()?);
        let mut threads = Vec::new();
        for _ in 0..self.clients {
            let (next, count) = (next.clone(), count.clone());
            let run = move || {
                let mut connection = Connection::open(server)?;
                let mut times = Vec::new();
                while start.elapsed() < time {
                    let request = next(count.fetch_add(1, Ordering::Relaxed));
                    let sent = Instant::now();
                    let (status, body) = connection.call(&request)?;
                    times.push(sent.elapsed());
                    self.check(status, &body)?;
                }
                anyhow::Ok(times)
            };
            threads.push(std::thread::Builder::new().name(LOAD_THREAD.into()).spawn(run)?);
        }
        let mut times = Vec::new();
        for thread in threads {
            times.extend(thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))??);
        }
        Ok(Outcome::new(start.elapsed(), meter::cpu()?.saturating_sub(before), times))
    }
}

/// A connection that sends one request after the other.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub fn open(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 * 1024) })
    }

    pub fn call(&mut self, request: &Call) -> Result<(u16, Vec<u8>)> {
        self.stream.write_all(&request.bytes())?;
        self.buffer.clear();
        let head = loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            self.fill()?;
        };
        let (status, length) = head_of(self.buffer.get(..head).unwrap_or_default())?;
        while self.buffer.len() < head + length {
            self.fill()?;
        }
        Ok((status, self.buffer.split_off(head)))
    }

    fn fill(&mut self) -> Result<()> {
        let mut block = [0u8; 8192];
        let n = self.stream.read(&mut block)?;
        ensure!(n > 0, "the server closed the connection");
        self.buffer.extend(block.iter().take(n));
        Ok(())
    }
}

/// Status and length of the body.
fn head_of(head: &[u8]) -> Result<(u16, usize)> {
    let text = std::str::from_utf8(head)?;
    let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).context("no status")?;
    for line in text.lines() {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            return Ok((status, value.trim().parse()?));
        }
    }
    bail!("an answer without a length")
}
