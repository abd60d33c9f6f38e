//! How much memory the bodies of all requests take together: whoever may only log in must not fill it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;

use crate::error::{Error, Kind, Result};

/// Bytes of a body that are not counted: small requests are served whatever large ones are on their way.
const FREE: u64 = 64 * 1024;

/// Bytes of bodies that are in memory.
#[derive(Debug)]
pub struct Bodies {
    held: AtomicU64,
    most: u64,
}

impl Bodies {
    /// `most` bytes at a time; 0: no limit.
    pub fn new(most: u64) -> Arc<Self> {
        Arc::new(Self { held: AtomicU64::new(0), most })
    }

    /// The place of one body, given back when it is dropped.
    pub fn share(self: &Arc<Self>) -> Share {
        Share { of: self.clone(), bytes: 0 }
    }
}

/// The place of one body.
#[derive(Debug)]
pub struct Share {
    of: Arc<Bodies>,
    bytes: u64,
}

impl Share {
    /// Makes room for a body of so many bytes.
    fn grow(&mut self, size: usize) -> bool {
        let wanted = (size as u64).saturating_sub(FREE);
        let more = wanted.saturating_sub(self.bytes);
        let held = self.of.held.fetch_add(more, Ordering::Relaxed) + more;
        self.bytes += more;
        more == 0 || self.of.most == 0 || held <= self.of.most
    }

    /// Reads a body of at most `limit` bytes into this place.
    ///
    /// # Errors
    /// `TooLarge`, `Unavailable` when too much is on its way already, `Invalid` when the client fails.
    pub async fn collect<B>(&mut self, body: B, limit: usize) -> Result<Bytes>
    where
        B: Body<Data = Bytes>,
    {
        let mut body = pin!(body);
        let mut all = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let unreadable = || Error::invalid("body", "The request body could not be read.");
            let Ok(data) = frame.map_err(|_| unreadable())?.into_data() else { continue };
            let size = all.len() + data.len();
            if size > limit {
                return Err(too_large());
            }
            if !self.grow(size) {
                return Err(Error::unavailable("Too many large requests are on their way.").retry_after(1));
            }
            if all.is_empty() && body.is_end_stream() {
                return Ok(data);
            }
            all.extend_from_slice(&data);
        }
        Ok(all.freeze())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The answer to a body that is larger than the endpoint takes.
pub fn too_large() -> Error {
    Error::new(Kind::TooLarge, "The request body is too large.")
}
