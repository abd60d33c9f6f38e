//! One JSON message a packet, with file descriptors beside it, over a `SOCK_SEQPACKET` socket. Sizes are bounded; what
//! does not parse is told apart from a closed connection, so that the receiver can answer instead of falling over.

use crate::error::{Error, Result, Step};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::time::Duration;

/// The largest message. User data has at most 64 KiB, which base64 and JSON make longer.
pub const MOST_BYTES: usize = 192 * 1024;
/// The most descriptors beside one message.
pub const MOST_FDS: usize = 8;

pub struct Channel(OwnedFd);

pub enum Received<T> {
    Message(T, Vec<OwnedFd>),
    /// Not a message: too long, or not what was expected. Its descriptors are closed.
    Garbage(String),
    Closed,
}

impl Channel {
    pub fn new(socket: OwnedFd) -> Channel {
        Channel(socket)
    }

    pub fn pair() -> Result<(Channel, Channel)> {
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .step("socketpair")?;
        Ok((Channel(a), Channel(b)))
    }

    /// Sends at once or not at all: a peer that does not read gets an error, never a waiting helper.
    pub fn send<T: Serialize>(&self, message: &T, fds: &[BorrowedFd<'_>]) -> Result<()> {
        let bytes = serde_json::to_vec(message).map_err(|e| Error::Protocol(e.to_string()))?;
        if bytes.len() > MOST_BYTES || fds.len() > MOST_FDS {
            return Err(Error::Protocol("message: too long".to_owned()));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(Error::Protocol("message: too many descriptors".to_owned()));
        }
        loop {
            match sendmsg(
                &self.0,
                &[IoSlice::new(&bytes)],
                &mut beside,
                SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
            ) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(Error::Closed),
                Err(e) => return Err(e).step("send"),
            }
        }
    }

    /// Waits for the next message.
    pub fn receive<T: DeserializeOwned>(&self) -> Result<Received<T>> {
        let mut bytes = vec![0u8; MOST_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let got = loop {
            match recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut beside, RecvFlags::CMSG_CLOEXEC) {
                Ok(got) => break got,
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => return Ok(Received::Closed),
                Err(e) => return Err(e).step("receive"),
            }
        };
        let mut fds = Vec::new();
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(passed) = message {
                fds.extend(passed);
            }
        }
        if got.bytes == 0 {
            return Ok(Received::Closed);
        }
        if got.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Ok(Received::Garbage("message: too long".to_owned()));
        }
        let text = bytes.get(..got.bytes).unwrap_or_default();
        match serde_json::from_slice(text) {
            Ok(message) => Ok(Received::Message(message, fds)),
            // The parser's own text may repeat a value, so it is not passed on.
            Err(e) => Ok(Received::Garbage(format!("message: not of this protocol (column {})", e.column()))),
        }
    }

    /// The next message within `limit`; anything else is an error.
    pub fn expect<T: DeserializeOwned>(&self, limit: Duration) -> Result<(T, Vec<OwnedFd>)> {
        if !readable(&self.0, limit)? {
            return Err(Error::Protocol("no answer in time".to_owned()));
        }
        match self.receive()? {
            Received::Message(message, fds) => Ok((message, fds)),
            Received::Garbage(why) => Err(Error::Protocol(why)),
            Received::Closed => Err(Error::Closed),
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits until `fd` can be read or has ended; false where that does not come within `limit`.
pub fn readable(fd: &impl AsFd, limit: Duration) -> Result<bool> {
    let limit =
        rustix::event::Timespec::try_from(limit).map_err(|_| Error::Protocol("time limit".to_owned()))?;
    loop {
        match poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&limit)) {
            Ok(n) => return Ok(n > 0),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e).step("poll"),
        }
    }
}
