//! Where the server may connect to on behalf of a registration.
//!
//! Whoever writes a registration chooses the address, so only the server's own settings widen what is allowed. Link-local
//! addresses (cloud metadata services), multicast and unspecified ones are never connected to, whatever the settings say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Ports that need no mention in the settings.
const PORTS: [u16; 2] = [443, 6443];

/// Why an address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Never connected to.
    #[error("the address is link-local, multicast or otherwise not a host")]
    Never,
    /// Only with a setting.
    #[error("the address is private or loopback; the setting 'fetch.allow' of the server does not list it")]
    Private,
    /// Only with a setting.
    #[error("the port is neither 443 nor 6443; the setting 'fetch.allow' of the server does not list it")]
    Port,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Net(IpNet),
    Host(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ports {
    Usual,
    Any,
    One(u16),
}

/// The parsed setting `fetch.allow`.
#[derive(Debug, Clone, Default)]
pub struct Allow {
    entries: Vec<(What, Ports)>,
}

impl Allow {
    /// Reads the setting.
    ///
    /// # Errors
    /// A text that names the entry at fault.
    pub fn parse(entries: &[String]) -> Result<Self, String> {
        let mut parsed = Vec::with_capacity(entries.len());
        for entry in entries {
            parsed.push(entry_of(entry.trim()).ok_or_else(|| {
                format!("fetch.allow: '{entry}' is neither a network nor a host name, with or without a port")
            })?);
        }
        Ok(Self { entries: parsed })
    }

    /// Whether the server may connect to `ip`, which `host` resolved to, at `port`.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, host: &str, ip: IpAddr, port: u16) -> Result<(), Refusal> {
        let ip = unmapped(ip);
        if never(ip) {
            return Err(Refusal::Never);
        }
        let listed = |ports: &dyn Fn(Ports) -> bool| {
            self.entries.iter().any(|(what, p)| {
                ports(*p)
                    && match what {
                        What::Net(net) => net.contains(&ip),
                        What::Host(name) => name.eq_ignore_ascii_case(host),
                    }
            })
        };
        let usual = PORTS.contains(&port);
        if !usual && !listed(&|p| p == Ports::Any || p == Ports::One(port)) {
            return Err(Refusal::Port);
        }
        let fits = |p: Ports| p == Ports::Any || p == Ports::One(port) || (usual && p == Ports::Usual);
        if private(ip) && !listed(&fits) {
            return Err(Refusal::Private);
        }
        Ok(())
    }
}

fn entry_of(text: &str) -> Option<(What, Ports)> {
    let what = |text: &str| -> Option<What> {
        if let Ok(net) = text.parse::<IpNet>() {
            return Some(What::Net(net));
        }
        if let Ok(ip) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return Some(What::Net(ip.into()));
        }
        let host = !text.is_empty()
            && text.len() <= 253
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
            && text.bytes().any(|b| b.is_ascii_alphabetic());
        host.then(|| What::Host(text.to_ascii_lowercase()))
    };
    if let Some(whole) = what(text) {
        return Some((whole, Ports::Usual));
    }
    let (head, port) = text.rsplit_once(':')?;
    let ports = if port == "*" { Ports::Any } else { Ports::One(port.parse().ok()?) };
    Some((what(head)?, ports))
}

/// The IPv4 address inside an IPv6 one that stands for it: mapped, translated, NAT64 and 6to4.
fn unmapped(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return v4.into();
    }
    let s = v6.segments();
    let v4 = |a: u16, b: u16| {
        let [a, b, c, d] = (u32::from(a) << 16 | u32::from(b)).to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        // NAT64, the common prefix and the one for local use; and the translated form of SIIT.
        [0x0064, 0xff9b, 0 | 1, .., a, b] | [0, 0, 0, 0, 0xffff, 0, a, b] => v4(a, b),
        [0x2002, a, b, ..] => v4(a, b),
        // ::a.b.c.d, long out of use; ::1 and :: are themselves.
        [0, 0, 0, 0, 0, 0, a, b] if a != 0 => v4(a, b),
        _ => ip,
    }
}

fn never(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.octets()[0] == 0
                || v4.octets()[0] >= 240
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            v6.is_unspecified()
                || v6.is_multicast()
                || (first & 0xffc0) == 0xfe80
                // The metadata address of one cloud lies in the private range.
                || v6 == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)
        }
    }
}

fn private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            v4.is_loopback()
                || v4.is_private()
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (b == 18 || b == 19))
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            v6.is_loopback() || (first & 0xfe00) == 0xfc00 || (first & 0xffc0) == 0xfec0
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn check(allow: &[&str], host: &str, ip: &str, port: u16) -> Result<(), Refusal> {
        let entries: Vec<String> = allow.iter().map(|s| (*s).to_owned()).collect();
        Allow::parse(&entries).unwrap().check(host, ip.parse().unwrap(), port)
    }

    #[test]
    fn public_addresses_need_no_setting() {
        assert_eq!(check(&[], "a.test", "203.0.113.7", 443), Ok(()));
        assert_eq!(check(&[], "a.test", "2001:db8::1", 6443), Ok(()));
        assert_eq!(check(&[], "a.test", "203.0.113.7", 22), Err(Refusal::Port));
    }

    #[test]
    fn private_and_loopback_addresses_need_one() {
        for ip in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "198.18.0.1",
            "::1",
            "fd12::1",
        ] {
            assert_eq!(check(&[], "a.test", ip, 443), Err(Refusal::Private), "{ip}");
        }
        assert_eq!(check(&["127.0.0.0/8"], "a.test", "127.0.0.1", 443), Ok(()));
        assert_eq!(check(&["127.0.0.0/8"], "a.test", "10.0.0.1", 443), Err(Refusal::Private));
        assert_eq!(check(&["a.test"], "A.test", "10.0.0.1", 443), Ok(()));
        assert_eq!(check(&["a.test"], "b.test", "10.0.0.1", 443), Err(Refusal::Private));
    }

    #[test]
    fn an_ipv4_address_in_other_clothes_is_the_same_address() {
        for ip in [
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::7f00:1",
            "::ffff:0:127.0.0.1",
            "2002:7f00:1::",
            "::127.0.0.1",
        ] {
            assert_eq!(check(&[], "a.test", ip, 443), Err(Refusal::Private), "{ip}");
        }
        for ip in
            ["::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "::ffff:0:169.254.169.254", "2002:a9fe:a9fe::"]
        {
            assert_eq!(check(&["::/0", "0.0.0.0/0"], "a.test", ip, 443), Err(Refusal::Never), "{ip}");
        }
    }

    #[test]
    fn metadata_addresses_are_never_allowed() {
        for ip in [
            "169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "255.255.255.255",
            "ff02::1",
        ] {
            let all = ["0.0.0.0/0:*", "::/0:*", "a.test:*"];
            assert_eq!(check(&all, "a.test", ip, 443), Err(Refusal::Never), "{ip}");
        }
    }

    #[test]
    fn other_ports_are_listed_with_the_address() {
        assert_eq!(check(&["127.0.0.0/8"], "a.test", "127.0.0.1", 8443), Err(Refusal::Port));
        assert_eq!(check(&["127.0.0.0/8:8443"], "a.test", "127.0.0.1", 8443), Ok(()));
        assert_eq!(check(&["127.0.0.0/8:8443"], "a.test", "127.0.0.1", 443), Err(Refusal::Private));
        assert_eq!(check(&["[::1]:*"], "a.test", "::1", 8443), Ok(()));
        assert_eq!(check(&["a.test:8443"], "a.test", "10.0.0.1", 8443), Ok(()));
    }

    #[test]
    fn settings_that_mean_nothing_are_refused() {
        for bad in ["", "10.0.0.0/33", "a b", "host:port", "https://a.test"] {
            assert!(Allow::parse(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
