//! Counts by address, with a limit for each: the engine counts connections, and the table counts seats.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// It has an entry for each address that counts, so never more entries than connections or seats. It is empty
/// without a limit.
#[derive(Debug)]
pub(crate) struct PerAddress {
    max: Option<usize>,
    /// Addresses that do not count. Behind a proxy on this machine, all clients come from a loopback address.
    pub(crate) is_exempt: fn(&IpAddr) -> bool,
    counts: HashMap<IpAddr, usize>,
}

impl PerAddress {
    pub(crate) fn new(max: Option<usize>) -> PerAddress {
        PerAddress { max, is_exempt: IpAddr::is_loopback, counts: HashMap::new() }
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.max.is_some()
    }

    /// Whether `addr` may have one more.
    pub(crate) fn has_room(&self, addr: IpAddr) -> bool {
        let Some((addr, max)) = self.counted(addr).zip(self.max) else { return true };
        self.counts.get(&addr).copied().unwrap_or(0) < max
    }

    pub(crate) fn add(&mut self, addr: IpAddr) {
        if let Some(addr) = self.counted(addr) {
            *self.counts.entry(addr).or_default() += 1;
        }
    }

    /// Notes that one that was added is gone.
    pub(crate) fn remove(&mut self, addr: IpAddr) {
        let Some(addr) = self.counted(addr) else { return };
        let Some(count) = self.counts.get_mut(&addr) else { return };
        *count -= 1;
        if *count == 0 {
            self.counts.remove(&addr);
        }
    }

    /// Returns the address that `addr` is counted under, if it is counted. An IPv4 address that comes through
    /// an IPv6 socket is counted as IPv4.
    fn counted(&self, addr: IpAddr) -> Option<IpAddr> {
        let addr = self.max.map(|_| addr.to_canonical())?;
        (!(self.is_exempt)(&addr)).then(|| network(addr))
    }
}

/// Keeps the first half of an IPv6 address. A host may choose the second half freely, so it has as many
/// addresses as it wants.
fn network(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V4(_) => addr,
        IpAddr::V6(addr) => Ipv6Addr::from_bits(addr.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn each_address_has_room_for_as_many_as_are_allowed() {
        let mut addresses = PerAddress::new(Some(2));
        let (ann, bob) = (addr("192.0.2.1"), addr("192.0.2.2"));
        addresses.add(ann);
        assert!(addresses.has_room(ann));
        addresses.add(ann);
        assert!(!addresses.has_room(ann));
        assert!(addresses.has_room(bob));
        addresses.remove(ann);
        assert!(addresses.has_room(ann));
    }

    #[test]
    fn an_ipv4_address_is_the_same_through_an_ipv6_socket() {
        let mut addresses = PerAddress::new(Some(1));
        addresses.add(addr("::ffff:192.0.2.1"));
        assert!(!addresses.has_room(addr("192.0.2.1")));
        addresses.remove(addr("192.0.2.1"));
        assert!(addresses.has_room(addr("::ffff:192.0.2.1")));
    }

    #[test]
    fn the_addresses_that_one_host_of_ipv6_may_choose_from_count_as_one() {
        let mut addresses = PerAddress::new(Some(1));
        addresses.add(addr("2001:db8:0:1::1"));
        assert!(!addresses.has_room(addr("2001:db8:0:1:ffff:ffff:ffff:ffff")));
        assert!(addresses.has_room(addr("2001:db8:0:2::1")), "another network");
        addresses.remove(addr("2001:db8:0:1::1"));
        assert!(addresses.has_room(addr("2001:db8:0:1::2")));
    }

    #[test]
    fn loopback_has_no_limit() {
        let mut addresses = PerAddress::new(Some(1));
        for text in ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1"] {
            addresses.add(addr(text));
            assert!(addresses.has_room(addr(text)), "{text}");
        }
        assert!(addresses.counts.is_empty());
    }

    #[test]
    fn nothing_is_kept_of_an_address_that_has_none_or_without_a_limit() {
        let mut addresses = PerAddress::new(Some(1));
        (0..100).for_each(|host| addresses.add(addr(&format!("2001:db8:0:{host}::1"))));
        assert_eq!(addresses.counts.len(), 100);
        (0..100).for_each(|host| addresses.remove(addr(&format!("2001:db8:0:{host}::1"))));
        assert!(addresses.counts.is_empty());
        let mut unlimited = PerAddress::new(None);
        unlimited.add(addr("192.0.2.1"));
        assert!(unlimited.counts.is_empty() && unlimited.has_room(addr("192.0.2.1")));
    }
}
