//! The layout of a helper that runs as root: the addresses live in a companion namespace, joined to the instance by a
//! link. The workload may do what it likes to its own end; it cannot take our address away, and answers really leave the
//! companion, so that the hop limit has an effect.

use super::{Sockets, shut_link_local};
use crate::error::{Error, Result, Step};
use crate::netlink::{Netlink, Route, Through};
use crate::protocol::{METADATA_ADDRESS, Metadata, SERVICE_ADDRESS, Socket};
use crate::sys;
use crate::task::in_child;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use std::net::{IpAddr, Ipv4Addr};

/// The instance's end of the link.
const INSTANCE_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 2);
const NAME: &str = "veth0";

/// Makes the companion of the instance whose network namespace is `instance`: its sockets, and the namespace itself.
pub fn make(instance: BorrowedFd<'_>, metadata: Option<Metadata>) -> Result<(Sockets, OwnedFd)> {
    let (names, fds) = in_child(|| build(instance, metadata))?;
    split(names, fds)
}

/// Opens and closes sockets in a companion as `metadata` asks.
pub fn reopen(
    companion: BorrowedFd<'_>,
    held: Sockets,
    metadata: Option<Metadata>,
) -> Result<(Sockets, OwnedFd)> {
    let (names, fds) = in_child(|| {
        enter(companion)?;
        let mut sockets = held;
        sockets.open(metadata)?;
        let names = sockets.names();
        let mut fds = sockets.into_fds();
        fds.push(companion.try_clone_to_owned().step("keep the companion")?);
        Ok((names, fds))
    })?;
    split(names, fds)
}

fn split(names: Vec<Socket>, mut fds: Vec<OwnedFd>) -> Result<(Sockets, OwnedFd)> {
    match fds.pop() {
        Some(companion) if fds.len() == names.len() => Ok((Sockets::of(names, fds), companion)),
        _ => Err(Error::Protocol("the companion's descriptors are not complete".to_owned())),
    }
}

fn build(instance: BorrowedFd<'_>, metadata: Option<Metadata>) -> Result<(Vec<Socket>, Vec<OwnedFd>)> {
    sys::unshare(UnshareFlags::NEWNET).step("make the companion network namespace")?;
    let own = std::fs::File::open("/proc/self/ns/net").step("open the companion network namespace")?;
    // Settings of the host that a new namespace may have taken over.
    setting("net/ipv4/ip_forward", "0")?;
    setting("net/ipv6/conf/all/disable_ipv6", "1")?;
    setting("net/ipv6/conf/default/disable_ipv6", "1")?;
    let mut netlink = Netlink::open()?;
    let lo = netlink.index("lo")?;
    netlink.up(lo)?;
    netlink.veth(NAME, NAME, instance)?;
    let link = netlink.index(NAME)?;
    netlink.add_address(link, METADATA_ADDRESS, 32)?;
    netlink.add_address(link, SERVICE_ADDRESS, 32)?;
    netlink.up(link)?;
    // Containers inside the instance are reached by way of the instance.
    let all = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let by_instance = Through::Neighbour { index: link, gateway: INSTANCE_ADDRESS };
    netlink.add_route(&Route { to: all, prefix: 0, how: by_instance })?;
    let mut sockets = Sockets::default();
    sockets.open(metadata)?;

    enter(instance)?;
    setting("net/ipv6/conf/veth0/disable_ipv6", "1")?;
    let mut netlink = Netlink::open()?;
    let lo = netlink.index("lo")?;
    netlink.up(lo)?;
    let link = netlink.index(NAME)?;
    netlink.add_address(link, INSTANCE_ADDRESS, 32)?;
    netlink.up(link)?;
    for to in [METADATA_ADDRESS, SERVICE_ADDRESS] {
        let how = Through::Link { index: link, source: INSTANCE_ADDRESS };
        netlink.add_route(&Route { to: IpAddr::V4(to), prefix: 32, how })?;
    }
    shut_link_local(&mut netlink)?;

    let names = sockets.names();
    let mut fds = sockets.into_fds();
    fds.push(own.into());
    Ok((names, fds))
}

fn enter(namespace: BorrowedFd<'_>) -> Result<()> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .step("enter a network namespace")
}

/// A kernel setting of the network namespace of this process; one that this kernel does not have needs no value.
fn setting(name: &str, value: &str) -> Result<()> {
    use std::io::Write;
    let file = std::fs::OpenOptions::new().write(true).open(format!("/proc/sys/{name}"));
    match file.and_then(|mut file| file.write_all(value.as_bytes())) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).step(format!("set {name}")),
        _ => Ok(()),
    }
}
