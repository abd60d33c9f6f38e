//! What one connection is used for. Who takes up a place with nothing, with frames that carry no request, or with requests
//! that he gives up again, loses it; a request under way is never cut off by that.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, watch};

/// A connection without any request for so long is closed.
pub const IDLE: Duration = Duration::from_secs(60);
/// Time to say goodbye in, once no request is under way.
const GOODBYE: Duration = Duration::from_secs(5);
/// What a connection of HTTP/2 may send before it is read, bytes: for each stream, and for all of them together.
pub const WINDOW: u32 = 256 << 10;
/// What a connection may send beside its requests, bytes.
const BESIDE: i64 = 1 << 20;
/// What a request may hold before anything of it is read: the window of a stream, and its head.
const REQUEST: i64 = WINDOW as i64 + (64 << 10);
/// How many more requests may be given up than are answered.
const GIVEN_UP: i64 = 256;

/// One connection. Cheap to clone.
#[derive(Clone)]
pub struct Traffic(Arc<Inner>);

struct Inner {
    /// Requests under way.
    open: watch::Sender<usize>,
    /// Bytes that it may still send.
    credit: AtomicI64,
    /// Requests given up, less those answered.
    given_up: AtomicI64,
    abused: Notify,
}

/// A request under way.
pub struct Open {
    traffic: Traffic,
    /// Its body ended before its end: then nobody waits for the answer.
    broken: Arc<AtomicBool>,
    answered: bool,
}

impl Open {
    /// Its answer is made.
    pub fn answered(mut self) {
        self.answered = !self.broken.load(Ordering::Relaxed);
    }

    /// Its body.
    pub fn body<B>(&self, body: B) -> Counted<B> {
        Counted { body, traffic: self.traffic.clone(), broken: self.broken.clone() }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let inner = &self.traffic.0;
        let change = if self.answered { -1 } else { 1 };
        let update = |n: i64| Some((n + change).max(0));
        let before = inner.given_up.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
        if !self.answered && before.is_ok_and(|n| n >= GIVEN_UP) {
            inner.abused.notify_one();
        }
        inner.open.send_modify(|n| *n = n.saturating_sub(1));
    }
}

impl Traffic {
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            open: watch::Sender::new(0),
            credit: AtomicI64::new(BESIDE),
            given_up: AtomicI64::new(0),
            abused: Notify::new(),
        }))
    }

    /// A request begins.
    pub fn open(&self) -> Open {
        self.0.credit.fetch_add(REQUEST, Ordering::Relaxed);
        self.0.open.send_modify(|n| *n += 1);
        Open { traffic: self.clone(), broken: Arc::default(), answered: false }
    }

    /// Resolves when no request was under way for so long.
    async fn quiet(&self, time: Duration) {
        let mut open = self.0.open.subscribe();
        loop {
            // The sender is `self`: neither can fail.
            let _ = open.wait_for(|n| *n == 0).await;
            if tokio::time::timeout(time, open.changed()).await.is_err() {
                return;
            }
        }
    }

    /// Serves `connection` until it ends, or has to. `None`: it was cut off.
    pub async fn drive<C: GracefulConnection>(
        &self,
        connection: C,
        mut stopping: watch::Receiver<()>,
    ) -> Option<C::Output> {
        let mut connection = pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return Some(ended),
            () = self.quiet(IDLE) => {}
            _ = stopping.changed() => {}
            () = self.0.abused.notified() => return None,
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            ended = connection => Some(ended),
            () = self.quiet(GOODBYE) => None,
            () = self.0.abused.notified() => None,
        }
    }
}

/// A stream that is given up when it sends more than its requests may hold.
pub struct Metered<S> {
    stream: S,
    traffic: Traffic,
}

impl<S> Metered<S> {
    pub fn new(stream: S, traffic: &Traffic) -> Self {
        Self { stream, traffic: traffic.clone() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let read = (buf.filled().len() - before) as i64;
        if this.traffic.0.credit.fetch_sub(read, Ordering::Relaxed) < read {
            return Poll::Ready(Err(io::Error::other("it sends more than its requests may hold")));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// A body: what is read of it may be sent again, as the window says too.
pub struct Counted<B> {
    body: B,
    traffic: Traffic,
    broken: Arc<AtomicBool>,
}

impl<B: http_body::Body<Data = Bytes> + Unpin> http_body::Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                let data = frame.data_ref().map_or(0, Bytes::len);
                // Twice, since a frame is more than its data.
                this.traffic.0.credit.fetch_add(2 * data as i64, Ordering::Relaxed);
            }
            Some(Err(_)) => this.broken.store(true, Ordering::Relaxed),
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
