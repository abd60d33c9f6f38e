//! The rootless layout: both addresses on the instance's own loopback. Nothing leaves the namespace.

use super::shut_link_local;
use crate::error::Result;
use crate::netlink::Netlink;
use crate::protocol::{METADATA_ADDRESS, SERVICE_ADDRESS};

/// In the network namespace of this process.
pub fn prepare() -> Result<()> {
    let mut netlink = Netlink::open()?;
    let lo = netlink.index("lo")?;
    netlink.up(lo)?;
    netlink.add_address(lo, METADATA_ADDRESS, 32)?;
    netlink.add_address(lo, SERVICE_ADDRESS, 32)?;
    shut_link_local(&mut netlink)
}
