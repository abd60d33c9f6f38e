//! What the machine can do without this server: the figures that those of the server are held against.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use avouch_crypto::jws::{Alg, SigningKey};
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;

use crate::meter;

const TIME: Duration = Duration::from_millis(1500);
/// About what the header and claims of a token come to.
const SIGNED: usize = 1100;
/// About what an audit event comes to.
const ROW: usize = 1200;

/// Runs `step` for a while; steps in a second of one core.
fn per_core(mut step: impl FnMut() -> Result<()>) -> Result<f64> {
    let (start, before) = (Instant::now(), meter::thread_cpu()?);
    let mut done = 0u32;
    while start.elapsed() < TIME {
        step()?;
        done += 1;
    }
    let spent = meter::thread_cpu()?.saturating_sub(before);
    Ok(f64::from(done) / spent.as_secs_f64())
}

/// Runs `step` for a while; steps in a second of time.
fn per_second(mut step: impl FnMut() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    let mut done = 0u32;
    while start.elapsed() < TIME {
        step()?;
        done += 1;
    }
    Ok(f64::from(done) / start.elapsed().as_secs_f64())
}

/// Signatures in a second of one core.
pub fn signatures(alg: Alg) -> Result<f64> {
    let key = SigningKey::generate(alg).map_err(|_| anyhow::anyhow!("no key"))?;
    let input = vec![b'x'; SIGNED];
    per_core(|| {
        std::hint::black_box(key.sign(&input));
        Ok(())
    })
}

/// Appends that the disk has confirmed, in a second.
pub fn flushes(folder: &Path) -> Result<f64> {
    let mut file = std::fs::File::create(folder.join("flushes"))?;
    let block = [7u8; 4096];
    per_second(|| {
        file.write_all(&block)?;
        Ok(file.sync_data()?)
    })
}

/// Rows in a second, with `rows` of them in each confirmed SQLite commit.
pub fn rows(folder: &Path, rows: u32) -> Result<f64> {
    let db = rusqlite::Connection::open(folder.join(format!("rows-{rows}")))?;
    db.execute_batch(
        "pragma journal_mode = wal; pragma synchronous = full; create table t (id integer primary key, body text) strict;",
    )?;
    let body = "x".repeat(ROW);
    let commits = per_second(|| {
        db.execute_batch("begin immediate")?;
        for _ in 0..rows {
            db.prepare_cached("insert into t (body) values (?1)")?.execute([&body])?;
        }
        Ok(db.execute_batch("commit")?)
    })?;
    Ok(commits * f64::from(rows))
}

/// A server with one route that answers `size` bytes and does nothing else; it ends with the runtime.
pub async fn bare_route(size: usize) -> Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let body = Bytes::from(vec![b'x'; size]);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let body = body.clone();
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |_: http::Request<hyper::body::Incoming>| {
                    let answer = http::Response::new(Full::new(body.clone()));
                    async move { Ok::<_, std::convert::Infallible>(answer) }
                });
                let _ = auto::Builder::new(TokioExecutor::new())
                    .http1_only()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Ok(address)
}
