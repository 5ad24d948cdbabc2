//! The number of seats from each address, if that is limited.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// The seats of each address, occupied and away. It has no entries without a limit.
#[derive(Debug)]
pub(super) struct Addresses {
    seats_max: Option<usize>,
    seats: HashMap<IpAddr, usize>,
}

impl Addresses {
    pub(super) fn new(seats_max: Option<usize>) -> Addresses {
        Addresses { seats_max, seats: HashMap::new() }
    }

    pub(super) fn are_limited(&self) -> bool {
        self.seats_max.is_some()
    }

    /// Whether an address may have one more seat.
    pub(super) fn has_room_for(&self, address: IpAddr) -> bool {
        let Some((address, max)) = self.counted(address).zip(self.seats_max) else { return true };
        self.seats.get(&address).copied().unwrap_or(0) < max
    }

    pub(super) fn add(&mut self, address: IpAddr) {
        if let Some(address) = self.counted(address) {
            *self.seats.entry(address).or_default() += 1;
        }
    }

    /// Notes that a seat is gone that was added.
    pub(super) fn remove(&mut self, address: IpAddr) {
        let Some(address) = self.counted(address) else { return };
        let Some(count) = self.seats.get_mut(&address) else { return };
        *count -= 1;
        if *count == 0 {
            self.seats.remove(&address);
        }
    }

    /// Returns the address that it is counted under, if it is counted. Behind a proxy on this machine, all
    /// clients come from a loopback address.
    fn counted(&self, address: IpAddr) -> Option<IpAddr> {
        let address = self.seats_max.map(|_| network(address))?;
        (!address.is_loopback()).then_some(address)
    }
}

/// Returns an IPv4 address as such even if it came through an IPv6 socket, and the first half of an IPv6
/// address: a host may choose the second half freely. The loopback address stays as it is.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into()
        }
        address => address,
    }
}
