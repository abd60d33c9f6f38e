//! How many of something may be under way at a time, by whom it is for and overall.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

/// Places that are taken and given back. Nothing is remembered of whoever has none.
#[derive(Debug)]
pub struct Places<K> {
    each: usize,
    overall: usize,
    taken: Arc<Mutex<Taken<K>>>,
}

#[derive(Debug)]
struct Taken<K> {
    by_key: HashMap<K, usize>,
    total: usize,
}

/// One place; given back when it is dropped.
#[derive(Debug)]
pub struct Place<K: Eq + Hash> {
    taken: Arc<Mutex<Taken<K>>>,
    key: K,
}

impl<K: Eq + Hash + Clone> Places<K> {
    /// At most `each` for one key, and `overall` for all keys together.
    pub fn new(each: usize, overall: usize) -> Self {
        let taken = Taken { by_key: HashMap::new(), total: 0 };
        Self { each, overall, taken: Arc::new(Mutex::new(taken)) }
    }

    /// A place for `key`; `None` when its places or all of them are taken.
    pub fn take(&self, key: K) -> Option<Place<K>> {
        let mut taken = self.taken.lock();
        let here = taken.by_key.get(&key).copied().unwrap_or(0);
        if here >= self.each || taken.total >= self.overall {
            return None;
        }
        taken.by_key.insert(key.clone(), here + 1);
        taken.total += 1;
        Some(Place { taken: self.taken.clone(), key })
    }
}

/// Who stands behind an address, where they are counted: one subscriber of IPv6 has all addresses of a /64.
pub fn holder(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        taken.total -= 1;
        match taken.by_key.get_mut(&self.key) {
            Some(here) if *here > 1 => *here -= 1,
            _ => {
                taken.by_key.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_place_is_for_one_and_one_key_leaves_room_for_others() {
        const EACH: usize = 256;
        const OVERALL: usize = 2048;
        let places = Places::new(EACH, OVERALL);
        let mut held: Vec<_> = (0..EACH).map(|_| places.take("a".to_owned()).unwrap()).collect();
        assert!(places.take("a".into()).is_none());
        assert!(places.take("b".into()).is_some());
        held.pop();
        assert!(places.take("a".into()).is_some());
        let most: Vec<_> = (0..=OVERALL).filter_map(|n| places.take(format!("c{n}"))).collect();
        assert_eq!(most.len() + held.len(), OVERALL);
        drop((most, held));
        let taken = places.taken.lock();
        assert!(taken.by_key.is_empty() && taken.total == 0, "nothing is remembered of what ended");
    }

    #[test]
    fn one_subscriber_of_ipv6_is_one_address() {
        let at = |text: &str| holder(text.parse().unwrap());
        assert_eq!(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
        // The same client, seen through a socket of both families.
        assert_eq!(at("192.0.2.1"), at("::ffff:192.0.2.1"));
        let places = Places::new(2, usize::MAX);
        let _held = [places.take(at("2001:db8::1")).unwrap(), places.take(at("2001:db8::2")).unwrap()];
        assert!(places.take(at("2001:db8::3")).is_none());
        assert!(places.take(at("2001:db8:0:1::3")).is_some());
    }
}
