//! How much memory the bodies of all requests take together: whoever may not even log in must not
//! fill it, and no address may take it all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use parking_lot::Mutex;

use crate::error::{Error, Kind, Result};
use crate::places::holder;

/// What is small of each body has room of its own: small requests are served whatever large ones are on their way.
const SMALL: u64 = 64 * 1024;
/// Bytes of small bodies, and of what is small of large ones.
const MOST_SMALL: u64 = 64 << 20;
/// What a request costs whose body has not come yet, however little of it is there.
const LEAST: u64 = 4096;
/// Parts of the room that one address may have.
const SMALL_PART: u64 = 8;
const LARGE_PART: u64 = 4;

/// Bytes of bodies that are in memory.
#[derive(Debug)]
pub struct Bodies {
    taken: Mutex<Taken>,
    most_large: u64,
}

#[derive(Debug, Default)]
struct Taken {
    total: Sizes,
    by_holder: HashMap<IpAddr, Sizes>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Sizes {
    small: u64,
    large: u64,
}

impl Bodies {
    /// `most_large` bytes of large bodies at a time; 0: no limit.
    pub fn new(most_large: u64) -> Arc<Self> {
        Arc::new(Self { taken: Mutex::default(), most_large })
    }

    /// The place of one body from this address, given back when it is dropped.
    pub fn share(self: &Arc<Self>, address: IpAddr) -> Share {
        Share { of: self.clone(), holder: holder(address), sizes: Sizes::default() }
    }
}

/// The place of one body.
#[derive(Debug)]
pub struct Share {
    of: Arc<Bodies>,
    holder: IpAddr,
    sizes: Sizes,
}

impl Share {
    /// Makes room for a body of so many bytes.
    fn grow(&mut self, size: usize) -> bool {
        let size = size as u64;
        let wanted = Sizes { small: size.clamp(LEAST, SMALL), large: size.saturating_sub(SMALL) };
        let more = Sizes {
            small: wanted.small.saturating_sub(self.sizes.small),
            large: wanted.large.saturating_sub(self.sizes.large),
        };
        let taken = &mut *self.of.taken.lock();
        let here = taken.by_holder.get(&self.holder).copied().unwrap_or_default();
        let fits = |more: u64, total: u64, here: u64, most: u64, part: u64| {
            more == 0 || most == 0 || (total + more <= most && here + more <= most / part)
        };
        let all = taken.total;
        if !fits(more.small, all.small, here.small, MOST_SMALL, SMALL_PART)
            || !fits(more.large, all.large, here.large, self.of.most_large, LARGE_PART)
        {
            return false;
        }
        for sizes in [&mut self.sizes, &mut taken.total, taken.by_holder.entry(self.holder).or_default()] {
            sizes.small += more.small;
            sizes.large += more.large;
        }
        true
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
        if !body.is_end_stream() && !self.grow(0) {
            return Err(Error::unavailable("Too many requests are on their way.").retry_after(1));
        }
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
        if self.sizes == Sizes::default() {
            return;
        }
        let taken = &mut *self.of.taken.lock();
        taken.total.small -= self.sizes.small;
        taken.total.large -= self.sizes.large;
        if let Some(here) = taken.by_holder.get_mut(&self.holder) {
            here.small -= self.sizes.small;
            here.large -= self.sizes.large;
            if *here == Sizes::default() {
                taken.by_holder.remove(&self.holder);
            }
        }
    }
}

/// The answer to a body that is larger than the endpoint takes.
pub fn too_large() -> Error {
    Error::new(Kind::TooLarge, "The request body is too large.")
}
