//! Where the two addresses of an instance live, and the sockets that listen there.
//!
//! A socket is opened inside the namespace by our own process before any workload runs, without `SO_REUSEPORT`. So what
//! arrives on it was born in that namespace, whatever addresses the workload gives itself. All other link-local
//! destinations end in a blackhole: on a cloud machine, the host's own metadata service answers at the same address.

pub mod companion;
pub mod own;

use crate::error::{Result, Step};
use crate::netlink::{Netlink, Route, Through};
use crate::protocol::{METADATA_ADDRESS, Metadata, SERVICE_ADDRESS, Service, Socket};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Shutdown, SocketFlags, SocketType, bind, listen, shutdown, socket_with, sockopt,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4};

const BACKLOG: i32 = 1024;

/// The listening sockets of one instance.
#[derive(Default)]
pub struct Sockets {
    list: Vec<(Socket, OwnedFd)>,
}

impl Sockets {
    /// Opens what is missing, in the network namespace of this process, and closes what is no longer wanted.
    pub fn open(&mut self, metadata: Option<Metadata>) -> Result<()> {
        for port in [80, 443] {
            self.want(Socket { service: Service::Services, port }, SERVICE_ADDRESS, None)?;
        }
        let port = metadata.map(|m| m.protocol.port());
        let (keep, end): (Vec<_>, Vec<_>) = std::mem::take(&mut self.list)
            .into_iter()
            .partition(|(s, _)| s.service != Service::Metadata || Some(s.port) == port);
        self.list = keep;
        for (_, fd) in end {
            // Whoever else holds this socket: nobody is accepted on it any more.
            match shutdown(&fd, Shutdown::Both) {
                // The other holder has done so already.
                Ok(()) | Err(Errno::NOTCONN) => {}
                Err(e) => return Err(e).step("end a listener"),
            }
        }
        if let Some(m) = metadata {
            self.want(
                Socket { service: Service::Metadata, port: m.protocol.port() },
                METADATA_ADDRESS,
                Some(m.hop_limit),
            )?;
        }
        Ok(())
    }

    fn want(&mut self, socket: Socket, address: Ipv4Addr, ttl: Option<u8>) -> Result<()> {
        let held = self.list.iter().find(|(s, _)| *s == socket);
        if let Some((_, fd)) = held {
            // Accepted connections take the time to live from the listener.
            return ttl
                .map_or(Ok(()), |ttl| sockopt::set_ip_ttl(fd, u32::from(ttl)).step("set the hop limit"));
        }
        let fd = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .step("socket")?;
        // For connections of an earlier listener that are still ending. It lets nobody else in: a listening socket
        // excludes every other one on its address and port.
        sockopt::set_socket_reuseaddr(&fd, true).step("set SO_REUSEADDR")?;
        if let Some(ttl) = ttl {
            sockopt::set_ip_ttl(&fd, u32::from(ttl)).step("set the hop limit")?;
        }
        let place = format!("listen on {address}:{}", socket.port);
        bind(&fd, &SocketAddrV4::new(address, socket.port)).step(place.clone())?;
        listen(&fd, BACKLOG).step(place)?;
        self.list.push((socket, fd));
        Ok(())
    }

    pub fn names(&self) -> Vec<Socket> {
        self.list.iter().map(|(s, _)| *s).collect()
    }

    pub fn fds(&self) -> Vec<BorrowedFd<'_>> {
        self.list.iter().map(|(_, fd)| fd.as_fd()).collect()
    }

    /// Sockets received with their names.
    pub fn of(names: Vec<Socket>, fds: Vec<OwnedFd>) -> Sockets {
        Sockets { list: names.into_iter().zip(fds).collect() }
    }

    pub fn into_fds(self) -> Vec<OwnedFd> {
        self.list.into_iter().map(|(_, fd)| fd).collect()
    }
}

/// All link-local destinations end here, but for more specific routes.
fn shut_link_local(netlink: &mut Netlink) -> Result<()> {
    netlink.add_route(&Route {
        to: IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)),
        prefix: 16,
        how: Through::Blackhole,
    })?;
    // Where the kernel has no IPv6, or it is off, nothing can go there; and no such route can be made.
    let off = std::fs::read_to_string("/proc/sys/net/ipv6/conf/lo/disable_ipv6");
    if off.is_ok_and(|off| off.trim() == "1") || !std::path::Path::new("/proc/sys/net/ipv6").exists() {
        return Ok(());
    }
    for (to, prefix) in [
        (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
        (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128),
    ] {
        netlink.add_route(&Route { to: IpAddr::V6(to), prefix, how: Through::Blackhole })?;
    }
    Ok(())
}
