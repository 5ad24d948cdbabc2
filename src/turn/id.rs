//! The names of rings and seats: a slot in a table, and a number that tells it from all others that had this slot.
//!
//! Both parts share 64 bits, because thousands of connections keep the name of a seat, and every turn compares some: 24 bits of
//! slot, which `Scheduler` sees to, and 40 bits of number, which at 1,000 newcomers a second last for 34 years.

use std::fmt;

/// Seats of a ring, and rings, that can exist at once.
pub(super) const SLOTS_MAX: usize = 1 << SLOT_BITS;

const SLOT_BITS: u32 = 24;

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Packed(u64);

impl Packed {
    fn new(number: u64, slot: u32) -> Packed {
        debug_assert!((slot as usize) < SLOTS_MAX && number >> (u64::BITS - SLOT_BITS) == 0);
        Packed(number << SLOT_BITS | u64::from(slot))
    }

    fn number(self) -> u64 {
        self.0 >> SLOT_BITS
    }

    #[expect(clippy::cast_possible_truncation, reason = "it has 24 bits")]
    fn slot(self) -> u32 {
        self.0 as u32 & (SLOTS_MAX as u32 - 1)
    }
}

/// Names one ring for as long as it exists; never used again for another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RingId(Packed);

impl RingId {
    /// `life` counts the rings ever made.
    pub(super) fn new(slot: u32, life: u64) -> RingId {
        RingId(Packed::new(life, slot))
    }

    #[inline]
    pub(super) fn slot(self) -> u32 {
        self.0.slot()
    }
}

/// Names one seat for as long as it exists; never used again for another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeatId {
    ring: RingId,
    seat: Packed,
}

impl SeatId {
    #[inline]
    pub(super) fn new(ring: RingId, slot: u32, place: u64) -> SeatId {
        SeatId { ring, seat: Packed::new(place, slot) }
    }

    /// Returns the ring that the seat belongs to.
    #[must_use]
    #[inline]
    pub fn ring(&self) -> RingId {
        self.ring
    }

    /// Returns the seat's number in its ring, counted from 1 in the order in which seats were made.
    #[must_use]
    #[inline]
    pub fn place(&self) -> u64 {
        self.seat.number()
    }

    #[inline]
    pub(super) fn slot(self) -> u32 {
        self.seat.slot()
    }
}

impl fmt::Display for SeatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seat {}", self.place())
    }
}

impl fmt::Debug for RingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingId").field("slot", &self.slot()).field("life", &self.0.number()).finish()
    }
}

impl fmt::Debug for SeatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, slot) = (self.place(), self.slot());
        f.debug_struct("SeatId")
            .field("ring", &self.ring)
            .field("place", &place)
            .field("slot", &slot)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_parts_of_a_name_survive() {
        let (slot, life, place) = ((1 << 24) - 1, (1 << 40) - 1, 1 << 39);
        let ring = RingId::new(slot, life);
        let seat = SeatId::new(ring, slot, place);
        assert_eq!((ring.slot(), ring.0.number()), (slot, life));
        assert_eq!((seat.ring(), seat.slot(), seat.place()), (ring, slot, place));
        assert_eq!(size_of::<SeatId>(), 16);
        assert_eq!(
            format!("{seat} {seat:?}"),
            "seat 549755813888 SeatId { ring: RingId { slot: 16777215, life: 1099511627775 }, place: 549755813888, slot: 16777215 }"
        );
    }
}
