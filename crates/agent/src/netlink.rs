//! The few messages of rtnetlink that a layout needs, written by hand: a link up, a pair of veth links, an address, a
//! route. Every request waits for the kernel's acknowledgement. Works in the network namespace in which it was opened.

use crate::error::{Error, Result, Step};
use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netdevice, recv, send, socket_with,
};
use std::io;
use std::net::{IpAddr, Ipv4Addr};

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const NLMSG_ERROR: u16 = 2;
const REQUEST_ACK: u16 = 1 | 4;
const CREATE_EXCL: u16 = 0x200 | 0x400;

const IFF_UP: u32 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PREFSRC: u16 = 7;
const RTNH_F_ONLINK: u32 = 4;
const TABLE_MAIN: u8 = 254;
const PROTOCOL_BOOT: u8 = 3;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
const UNICAST: u8 = 1;
const BLACKHOLE: u8 = 6;

pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

/// A route to `to`/`prefix`.
pub struct Route {
    pub to: IpAddr,
    pub prefix: u8,
    pub how: Through,
}

pub enum Through {
    /// Packets end here.
    Blackhole,
    /// Directly over this link, with this source address.
    Link { index: u32, source: Ipv4Addr },
    /// By this neighbour of the link, whether or not its address looks like one.
    Neighbour { index: u32, gateway: Ipv4Addr },
}

impl Netlink {
    pub fn open() -> Result<Netlink> {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)
            // Protocol 0 of the family is rtnetlink.
            .step("open netlink")?;
        Ok(Netlink { socket, sequence: 0 })
    }

    pub fn index(&self, name: &str) -> Result<u32> {
        let any = rustix::net::socket(AddressFamily::UNIX, SocketType::DGRAM, None).step("socket")?;
        netdevice::name_to_index(&any, name).step(format!("index of link {name}"))
    }

    pub fn up(&mut self, index: u32) -> Result<()> {
        self.request(RTM_NEWLINK, 0, link(index, IFF_UP), "link up")
    }

    /// A pair of links: `name` here, `peer` in the namespace of `other`.
    pub fn veth(&mut self, name: &str, peer: &str, other: BorrowedFd<'_>) -> Result<()> {
        let mut far = link(0, 0);
        attribute(&mut far, IFLA_IFNAME, &terminated(peer));
        attribute(&mut far, IFLA_NET_NS_FD, &other.as_raw_fd().to_ne_bytes());
        let mut data = Vec::new();
        attribute(&mut data, VETH_INFO_PEER, &far);
        let mut info = Vec::new();
        attribute(&mut info, IFLA_INFO_KIND, b"veth");
        attribute(&mut info, IFLA_INFO_DATA, &data);
        let mut body = link(0, 0);
        attribute(&mut body, IFLA_IFNAME, &terminated(name));
        attribute(&mut body, IFLA_LINKINFO, &info);
        self.request(RTM_NEWLINK, CREATE_EXCL, body, "make veth")
    }

    pub fn add_address(&mut self, index: u32, address: Ipv4Addr, prefix: u8) -> Result<()> {
        self.request(RTM_NEWADDR, CREATE_EXCL, one_address(index, address, prefix), "add address")
    }

    pub fn remove_address(&mut self, index: u32, address: Ipv4Addr, prefix: u8) -> Result<()> {
        self.request(RTM_DELADDR, 0, one_address(index, address, prefix), "remove address")
    }

    pub fn add_route(&mut self, route: &Route) -> Result<()> {
        let (family, to) = match route.to {
            IpAddr::V4(to) => (libc::AF_INET, to.octets().to_vec()),
            IpAddr::V6(to) => (libc::AF_INET6, to.octets().to_vec()),
        };
        let (scope, kind) = match route.how {
            Through::Blackhole => (SCOPE_UNIVERSE, BLACKHOLE),
            Through::Link { .. } => (SCOPE_LINK, UNICAST),
            Through::Neighbour { .. } => (SCOPE_UNIVERSE, UNICAST),
        };
        let flags = if matches!(route.how, Through::Neighbour { .. }) { RTNH_F_ONLINK } else { 0 };
        let mut body = vec![family_byte(family), route.prefix, 0, 0, TABLE_MAIN, PROTOCOL_BOOT, scope, kind];
        body.extend(flags.to_ne_bytes());
        if route.prefix > 0 {
            attribute(&mut body, RTA_DST, &to);
        }
        match &route.how {
            Through::Blackhole => {}
            Through::Link { index, source } => {
                attribute(&mut body, RTA_OIF, &index.to_ne_bytes());
                attribute(&mut body, RTA_PREFSRC, &source.octets());
            }
            Through::Neighbour { index, gateway } => {
                attribute(&mut body, RTA_OIF, &index.to_ne_bytes());
                attribute(&mut body, RTA_GATEWAY, &gateway.octets());
            }
        }
        self.request(RTM_NEWROUTE, CREATE_EXCL, body, "add route")
    }

    fn request(&mut self, kind: u16, flags: u16, body: Vec<u8>, step: &str) -> Result<()> {
        self.sequence += 1;
        let bytes = message(kind, REQUEST_ACK | flags, self.sequence, &body);
        send(&self.socket, &bytes, SendFlags::empty()).step(step)?;
        let mut answer = [0u8; 4096];
        let (_, length) = recv(&self.socket, &mut answer[..], RecvFlags::empty()).step(step)?;
        match acknowledged(answer.get(..length).unwrap_or_default()) {
            Some(0) => Ok(()),
            Some(code) => Err(io::Error::from_raw_os_error(-code)).step(step),
            None => Err(Error::Protocol(format!("{step}: an answer that is none"))),
        }
    }
}

/// The code of an acknowledgement: 0, or the negative error number.
fn acknowledged(answer: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    if kind != NLMSG_ERROR {
        return None;
    }
    Some(i32::from_ne_bytes(answer.get(16..20)?.try_into().ok()?))
}

fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(16 + body.len());
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0u32.to_ne_bytes());
    bytes.extend(body);
    bytes
}

/// `struct ifinfomsg`: the index of the link and the flags to set.
fn link(index: u32, flags: u32) -> Vec<u8> {
    let mut bytes = vec![0u8; 4];
    bytes.extend(index.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes
}

/// `struct ifaddrmsg` and its two attributes.
fn one_address(index: u32, address: Ipv4Addr, prefix: u8) -> Vec<u8> {
    let mut bytes = vec![family_byte(libc::AF_INET), prefix, 0, SCOPE_UNIVERSE];
    bytes.extend(index.to_ne_bytes());
    attribute(&mut bytes, IFA_LOCAL, &address.octets());
    attribute(&mut bytes, IFA_ADDRESS, &address.octets());
    bytes
}

fn attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    while !bytes.len().is_multiple_of(4) {
        bytes.push(0);
    }
}

fn terminated(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

fn family_byte(family: i32) -> u8 {
    u8::try_from(family).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_is_padded_but_its_length_is_not() {
        let mut bytes = Vec::new();
        attribute(&mut bytes, IFLA_IFNAME, b"lo\0");
        assert_eq!(bytes, [&7u16.to_ne_bytes()[..], &3u16.to_ne_bytes(), b"lo\0\0"].concat());
    }

    #[test]
    fn a_message_names_its_own_length() {
        let bytes = message(RTM_NEWLINK, REQUEST_ACK, 7, &link(1, IFF_UP));
        assert_eq!(bytes.len(), 32);
        assert_eq!(bytes[..4], 32u32.to_ne_bytes());
        assert_eq!(bytes[8..12], 7u32.to_ne_bytes());
    }

    #[test]
    fn only_an_acknowledgement_counts_as_one() {
        let mut answer = message(NLMSG_ERROR, 0, 1, &(-17i32).to_ne_bytes());
        assert_eq!(acknowledged(&answer), Some(-17));
        answer.truncate(18);
        assert_eq!(acknowledged(&answer), None);
        assert_eq!(acknowledged(&message(RTM_NEWLINK, 0, 1, &[0; 4])), None);
        assert_eq!(acknowledged(&[]), None);
    }
}
