//! The number of connections from each address, if that is limited. `opening.rs` decides what happens beyond
//! the limit.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Has an entry for each address that has a connection, so never more entries than connections; empty without
/// a limit.
#[derive(Debug)]
pub(crate) struct Addresses {
    connections_max: Option<usize>,
    /// Addresses whose connections do not count.
    pub(crate) is_exempt: fn(&IpAddr) -> bool,
    connections: HashMap<IpAddr, usize>,
}

impl Addresses {
    pub(crate) fn new(connections_max: Option<usize>) -> Addresses {
        Addresses { connections_max, is_exempt: IpAddr::is_loopback, connections: HashMap::new() }
    }

    /// Whether `peer` may have one more.
    pub(super) fn has_room(&self, peer: SocketAddr) -> bool {
        let Some((addr, max)) = self.counted(peer).zip(self.connections_max) else { return true };
        self.connections.get(&addr).copied().unwrap_or(0) < max
    }

    pub(super) fn add(&mut self, peer: SocketAddr) {
        if let Some(addr) = self.counted(peer) {
            *self.connections.entry(addr).or_default() += 1;
        }
    }

    /// Notes that a connection of `peer` is gone.
    pub(super) fn remove(&mut self, peer: SocketAddr) {
        let Some(addr) = self.counted(peer) else { return };
        let Some(count) = self.connections.get_mut(&addr) else { return };
        *count -= 1;
        if *count == 0 {
            self.connections.remove(&addr);
        }
    }

    /// Returns the address that `peer` is counted under, if it is counted. An IPv4 address that comes through
    /// an IPv6 socket is counted as IPv4.
    fn counted(&self, peer: SocketAddr) -> Option<IpAddr> {
        let addr = self.connections_max.map(|_| peer.ip().to_canonical())?;
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

    fn peer(text: &str) -> SocketAddr {
        SocketAddr::new(text.parse().expect("an address"), 1)
    }

    #[test]
    fn each_address_has_room_for_as_many_as_are_allowed() {
        let mut addresses = Addresses::new(Some(2));
        let (ann, bob) = (peer("192.0.2.1"), peer("192.0.2.2"));
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
        let mut addresses = Addresses::new(Some(1));
        addresses.add(peer("::ffff:192.0.2.1"));
        assert!(!addresses.has_room(peer("192.0.2.1")));
        addresses.remove(peer("192.0.2.1"));
        assert!(addresses.has_room(peer("::ffff:192.0.2.1")));
    }

    #[test]
    fn the_addresses_that_one_host_of_ipv6_may_choose_from_count_as_one() {
        let mut addresses = Addresses::new(Some(1));
        addresses.add(peer("2001:db8:0:1::1"));
        assert!(!addresses.has_room(peer("2001:db8:0:1:ffff:ffff:ffff:ffff")));
        assert!(addresses.has_room(peer("2001:db8:0:2::1")), "another network");
        addresses.remove(peer("2001:db8:0:1::1"));
        assert!(addresses.has_room(peer("2001:db8:0:1::2")));
    }

    #[test]
    fn loopback_has_no_limit() {
        let mut addresses = Addresses::new(Some(1));
        for text in ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1"] {
            addresses.add(peer(text));
            assert!(addresses.has_room(peer(text)), "{text}");
        }
        assert!(addresses.connections.is_empty());
    }

    #[test]
    fn nothing_is_kept_of_an_address_without_connections_or_without_a_limit() {
        let mut addresses = Addresses::new(Some(1));
        (0..100).for_each(|host| addresses.add(peer(&format!("2001:db8:0:{host}::1"))));
        assert_eq!(addresses.connections.len(), 100);
        (0..100).for_each(|host| addresses.remove(peer(&format!("2001:db8:0:{host}::1"))));
        assert!(addresses.connections.is_empty());
        let mut unlimited = Addresses::new(None);
        unlimited.add(peer("192.0.2.1"));
        assert!(unlimited.connections.is_empty() && unlimited.has_room(peer("192.0.2.1")));
    }
}
