//! The bytes of HTTP/1 on their way to the parser. The parser passes over what two readers could understand differently: of
//! two equal lengths it shows one, of a length beside a transfer coding none. Here such a head is marked, and nothing is
//! handed on as a further request behind a message whose end is in doubt.
//!
//! What is not understood here at all is handed on as it is: the parser refuses it, and if it did not, the request would
//! find no mark and be refused by that.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use avouch_gate::http::head::Ambiguous;
use bytes::{Buf as _, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is read at a time.
const CHUNK: usize = 8 * 1024;

/// What was found in the heads that were handed on and not yet asked for, in their order.
#[derive(Clone, Default)]
pub struct Marks(Arc<Mutex<VecDeque<Option<Ambiguous>>>>);

impl Marks {
    /// The mark of the next request; `None` for a head without doubt.
    pub fn next(&self) -> Option<Ambiguous> {
        self.0.lock().pop_front().unwrap_or(Some(Ambiguous::Behind))
    }
}

/// A stream of HTTP/1 requests.
pub struct Strict<S> {
    stream: S,
    marks: Marks,
    /// Largest head, bytes.
    limit: usize,
    /// Most headers.
    headers: usize,
    /// What was read and not handed on.
    held: BytesMut,
    /// How much of it may be handed on.
    free: usize,
    /// How much of it was looked at in search of the end of a head.
    seen: usize,
    at: At,
}

enum At {
    /// The next byte begins a head, or is one of it.
    Head,
    /// So many bytes of a body come first.
    Body(u64),
    /// Nothing further is read as a head.
    Last,
}

impl<S> Strict<S> {
    /// The requests of `stream`, with heads up to `limit` bytes and `headers` headers.
    pub fn new(stream: S, limit: usize, headers: usize) -> (Self, Marks) {
        let marks = Marks::default();
        let held = BytesMut::new();
        (Self { stream, marks: marks.clone(), limit, headers, held, free: 0, seen: 0, at: At::Head }, marks)
    }

    /// Looks at what is held and frees what may be handed on.
    fn look(&mut self) {
        match &mut self.at {
            At::Last => self.free = self.held.len(),
            At::Body(left) => {
                self.free = usize::try_from(*left).unwrap_or(usize::MAX).min(self.held.len());
                *left -= self.free as u64;
                if *left == 0 {
                    self.at = At::Head;
                }
            }
            At::Head => self.head(),
        }
    }

    fn head(&mut self) {
        // Empty lines before a request are allowed.
        while self.seen == 0 && self.held.starts_with(b"\r\n") {
            self.held.advance(2);
        }
        if self.held.len() == 1 && self.held.starts_with(b"\r") {
            return;
        }
        while let Some(found) =
            self.held.get(self.seen..).and_then(|new| new.iter().position(|b| *b == b'\n'))
        {
            let (line, _) = self.held.split_at(self.seen + found);
            self.seen += found + 1;
            if !line.ends_with(b"\r") {
                return self.last(Some(Ambiguous::LineEnd));
            }
            if line.ends_with(b"\r\n\r") {
                let end = std::mem::take(&mut self.seen);
                return self.complete(end);
            }
        }
        self.seen = self.held.len();
        if self.seen >= self.limit {
            self.last(None);
        }
    }

    /// A whole head, up to `end`.
    fn complete(&mut self, end: usize) {
        let mut space = vec![httparse::EMPTY_HEADER; self.headers];
        let mut request = httparse::Request::new(&mut space);
        let parsed = request.parse(self.held.get(..end).unwrap_or_default());
        if end > self.limit || parsed != Ok(httparse::Status::Complete(end)) {
            return self.last(None);
        }
        let named =
            |name: &'static str| request.headers.iter().filter(move |h| h.name.eq_ignore_ascii_case(name));
        let mut lengths = named("content-length").map(|h| number(h.value));
        let (length, more) = (lengths.next(), lengths.next().is_some());
        let coded = named("transfer-encoding").next().is_some();
        match (length, more, coded) {
            (_, true, _) => self.last(Some(Ambiguous::Lengths)),
            (Some(_), _, true) => self.last(Some(Ambiguous::LengthAndCoding)),
            (Some(None), ..) => self.last(None),
            // Where a coded body ends is not looked for: the connection ends with the answer.
            (None, _, true) => {
                self.marks.0.lock().push_back(None);
                self.last(None);
            }
            (length, false, false) => {
                self.marks.0.lock().push_back(None);
                self.free = end;
                self.at = match length.flatten() {
                    Some(length) if length > 0 => At::Body(length),
                    _ => At::Head,
                };
            }
        }
    }

    fn last(&mut self, mark: Option<Ambiguous>) {
        if mark.is_some() {
            self.marks.0.lock().push_back(mark);
        }
        self.at = At::Last;
        self.free = self.held.len();
    }
}

/// Digits and nothing else.
fn number(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok()?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

impl<S: AsyncRead + Unpin> AsyncRead for Strict<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.free > 0 {
                let n = this.free.min(buf.remaining());
                buf.put_slice(this.held.get(..n).unwrap_or_default());
                this.held.advance(n);
                this.free -= n;
                return Poll::Ready(Ok(()));
            }
            this.look();
            if this.free > 0 {
                continue;
            }
            // Of what is not looked at nothing needs to be held.
            let straight = match this.at {
                At::Last => true,
                At::Body(left) => left >= buf.remaining() as u64,
                At::Head => false,
            };
            if straight {
                let before = buf.filled().len();
                ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
                if let At::Body(left) = &mut this.at {
                    *left -= (buf.filled().len() - before) as u64;
                    if *left == 0 {
                        this.at = At::Head;
                    }
                }
                return Poll::Ready(Ok(()));
            }
            let mut chunk = [0; CHUNK];
            let mut read = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                // Half a head is for the parser to refuse.
                if this.held.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                this.last(None);
            }
            this.held.extend_from_slice(read.filled());
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Strict<S> {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// What comes out of `bytes`, given in pieces of `piece` bytes, and the marks of it.
    async fn through(bytes: &[u8], piece: usize) -> (Vec<u8>, Vec<Option<Ambiguous>>) {
        let (mut near, far) = tokio::io::duplex(piece);
        let (mut strict, marks) = Strict::new(far, 1024, 8);
        let mut out = Vec::new();
        let write = async {
            near.write_all(bytes).await.unwrap();
            drop(near);
        };
        let (_, read) = tokio::join!(write, strict.read_to_end(&mut out));
        read.unwrap();
        let marks = marks.0.lock().drain(..).collect();
        (out, marks)
    }

    #[tokio::test]
    async fn every_byte_arrives_and_only_heads_without_doubt_are_followed_by_others() {
        use Ambiguous::{LengthAndCoding, Lengths, LineEnd};
        const GET: &str = "GET / HTTP/1.1\r\n\r\n";
        let long = "x".repeat(2000);
        for (head, marks) in [
            ("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), vec![None, None]),
            ("POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n\r\n\r\nx".into(), vec![None, None]),
            (format!("POST / HTTP/1.1\r\nContent-Length: 2000\r\n\r\n{long}"), vec![None, None]),
            ("POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n".into(), vec![None, None]),
            ("POST / HTTP/1.1\r\ncontent-length: 0\r\nContent-Length: 0\r\n\r\n".into(), vec![Some(Lengths)]),
            (
                "POST / HTTP/1.1\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".into(),
                vec![Some(LengthAndCoding)],
            ),
            ("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".into(), vec![None]),
            ("POST / HTTP/1.1\r\ncontent-length: +0\r\n\r\n".into(), vec![]),
            ("GET / HTTP/1.1\nhost: a\r\n\r\n".into(), vec![Some(LineEnd)]),
            ("GET / HTTP/1.1\r\nhost: a\n\n".into(), vec![Some(LineEnd)]),
            ("GET / HTTP/1.1\r\nhost : a\r\n\r\n".into(), vec![]),
            (format!("GET / HTTP/1.1\r\nhost: {long}\r\n\r\n"), vec![]),
            (format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(9)), vec![]),
        ] {
            let all = format!("{head}{GET}");
            for piece in [1, 7, 100_000] {
                let (out, found) = through(all.as_bytes(), piece).await;
                assert_eq!(String::from_utf8(out).unwrap(), all, "{head} in pieces of {piece}");
                assert_eq!(found, marks, "{head} in pieces of {piece}");
            }
        }
        // Empty lines before a request are nothing, and nobody asks for more than there is.
        assert_eq!(through(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", 3).await.0, GET.as_bytes());
        assert_eq!(Marks::default().next(), Some(Ambiguous::Behind));
    }
}
