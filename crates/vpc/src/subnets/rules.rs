//! Which addresses a new subnet gets.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// The first network of `size` addresses in `prefix` that overlaps none of `others`. `size` is a power of two.
pub fn first_free(prefix: &Ipv4Net, size: i64, others: &[Ipv4Net]) -> Option<Ipv4Net> {
    let length = 32 - u8::try_from(size.ilog2()).ok()?;
    if length < prefix.prefix_len() {
        return None;
    }
    let mut at = u64::from(u32::from(prefix.network()));
    let end = u64::from(u32::from(prefix.broadcast()));
    while at <= end {
        let candidate = Ipv4Net::new(Ipv4Addr::from(u32::try_from(at).ok()?), length).ok()?;
        match others
            .iter()
            .filter(|o| overlap(o, &candidate))
            .map(|o| u64::from(u32::from(o.broadcast())))
            .max()
        {
            None => return Some(candidate),
            // Behind what is in the way, on the next boundary.
            Some(last) => {
                let size = u64::try_from(size).ok()?;
                at = (last / size + 1) * size;
            }
        }
    }
    None
}

/// Whether two networks have an address in common.
pub fn overlap(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    a.contains(b) || b.contains(a)
}

/// The addresses of a network that the provider keeps, with their published names.
pub fn kept(network: &Ipv4Net) -> Vec<(&'static str, Ipv4Addr)> {
    let first = u32::from(network.network());
    let names = ["ibm-network-address", "ibm-default-gateway", "ibm-dns-address", "ibm-reserved-address"];
    let mut out: Vec<(&'static str, Ipv4Addr)> =
        names.into_iter().zip(first..).map(|(name, at)| (name, Ipv4Addr::from(at))).collect();
    out.push(("ibm-broadcast-address", network.broadcast()));
    out
}

/// The first address of a network that is not among `taken`.
pub fn first_address(network: &Ipv4Net, taken: &std::collections::HashSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    (u32::from(network.network())..=u32::from(network.broadcast()))
        .map(Ipv4Addr::from)
        .find(|a| !taken.contains(a))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_gap_that_is_large_enough_is_taken_on_its_own_boundary() {
        let prefix = net("10.240.0.0/18");
        assert_eq!(first_free(&prefix, 256, &[]), Some(net("10.240.0.0/24")));
        let others = [net("10.240.0.0/24"), net("10.240.1.0/29")];
        assert_eq!(first_free(&prefix, 8, &others), Some(net("10.240.1.8/29")));
        assert_eq!(first_free(&prefix, 256, &others), Some(net("10.240.2.0/24")));
        assert_eq!(first_free(&prefix, 512, &others), Some(net("10.240.2.0/23")));
        assert_eq!(first_free(&prefix, 16_384, &others), None);
        assert_eq!(first_free(&prefix, 32_768, &[]), None);
        assert_eq!(first_free(&net("255.255.255.0/24"), 256, &[net("255.255.255.0/25")]), None);
    }

    #[test]
    fn five_addresses_are_kept_and_the_next_one_is_free() {
        let network = net("10.0.0.0/29");
        let kept = kept(&network);
        let addresses: Vec<String> = kept.iter().map(|(_, a)| a.to_string()).collect();
        assert_eq!(addresses, ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.7"]);
        let mut taken: std::collections::HashSet<Ipv4Addr> = kept.into_iter().map(|(_, a)| a).collect();
        for free in [4, 5, 6] {
            let next = first_address(&network, &taken).unwrap();
            assert_eq!(next, Ipv4Addr::new(10, 0, 0, free));
            taken.insert(next);
        }
        assert_eq!(first_address(&network, &taken), None);
    }
}
