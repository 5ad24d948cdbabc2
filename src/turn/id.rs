//! The names of rings, seats and turns. The name of a ring or a seat is a slot in a table, and a number that
//! distinguishes it from all others that had this slot.
//!
//! Both parts share 64 bits, because thousands of connections keep the name of a seat, and every turn
//! compares some: 24 bits of slot, which `Scheduler` ensures, and 40 bits of number, which last for 34 years
//! at 1,000 newcomers a second.

use std::fmt;
use std::num::NonZeroU64;

/// Seats of a ring, and rings, that can exist at once.
pub(super) const SLOTS_MAX: usize = 1 << SLOT_BITS;

const SLOT_BITS: u32 = 24;

const SLOT_MASK: u32 = (1 << SLOT_BITS) - 1;

/// The highest number of a seat.
pub(super) const PLACE_MAX: u64 = (1 << (u64::BITS - SLOT_BITS)) - 1;

/// Identifies one ring, and is never used for another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RingId(u64);

impl RingId {
    /// `life` counts the rings ever made.
    pub(super) fn new(slot: u32, life: u64) -> RingId {
        debug_assert!(slot <= SLOT_MASK && life >> (u64::BITS - SLOT_BITS) == 0);
        RingId(life << SLOT_BITS | u64::from(slot))
    }

    #[expect(clippy::cast_possible_truncation, reason = "it has 24 bits")]
    #[inline]
    pub(super) fn slot(self) -> u32 {
        self.0 as u32 & SLOT_MASK
    }
}

/// Identifies one seat, and is never used for another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeatId {
    pub(super) ring: RingId,
    seat: u64,
}

impl SeatId {
    #[inline]
    pub(super) fn new(ring: RingId, slot: u32, place: u64) -> SeatId {
        debug_assert!(slot <= SLOT_MASK && place >> (u64::BITS - SLOT_BITS) == 0);
        SeatId { ring, seat: place << SLOT_BITS | u64::from(slot) }
    }

    /// Returns the ring of the seat.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// assert_eq!((ann.ring(), bob.ring()), (ring, ring));
    /// # Ok(()) }
    /// ```
    #[must_use]
    #[inline]
    pub fn ring(&self) -> RingId {
        self.ring
    }

    /// Returns the seat's number in its ring, counted in the order in which seats were made: from 1, or on
    /// from the highest number of a seat in any ring forgotten before.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// assert_eq!((ann.place(), bob.place()), (1, 2));
    /// # Ok(()) }
    /// ```
    #[must_use]
    #[inline]
    pub fn place(&self) -> u64 {
        self.seat >> SLOT_BITS
    }

    #[expect(clippy::cast_possible_truncation, reason = "it has 24 bits")]
    #[inline]
    pub(crate) fn slot(self) -> u32 {
        self.seat as u32 & SLOT_MASK
    }
}

/// The number of a turn in its ring, counted from 1. It is granted once and never used again.
///
/// It is the fencing token of the ring: an action with an older number comes too late, and any resource
/// downstream can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TurnNumber(NonZeroU64);

impl TurnNumber {
    /// Returns the turn numbered `number`, or `None` for 0: turns count from 1.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::turn::TurnNumber;
    ///
    /// assert_eq!(TurnNumber::new(0), None);
    /// assert!(TurnNumber::new(7) < TurnNumber::new(8), "a fence compares them");
    /// ```
    #[must_use]
    pub fn new(number: u64) -> Option<TurnNumber> {
        NonZeroU64::new(number).map(TurnNumber)
    }

    /// Returns the number itself.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::turn::TurnNumber;
    /// assert_eq!(TurnNumber::new(7).map(TurnNumber::get), Some(7));
    /// ```
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// Increments `last`, the number of the last turn granted (0 if none was), and returns it.
    #[inline]
    pub(super) fn next(last: &mut u64) -> TurnNumber {
        let next = NonZeroU64::MIN.saturating_add(*last);
        *last = next.get();
        TurnNumber(next)
    }
}

impl fmt::Display for TurnNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for SeatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seat {}", self.place())
    }
}

impl fmt::Debug for RingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingId").field("slot", &self.slot()).field("life", &(self.0 >> SLOT_BITS)).finish()
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
    fn turns_count_from_1_and_end_at_the_last_number() {
        assert_eq!(TurnNumber::new(0), None);
        for (mut last, next) in [(0, 1), (6, 7), (u64::MAX, u64::MAX)] {
            assert_eq!((TurnNumber::next(&mut last).to_string(), last), (next.to_string(), next));
        }
    }

    #[test]
    fn both_parts_of_a_name_survive() {
        let (slot, life, place) = ((1 << 24) - 1, (1 << 40) - 1, 1 << 39);
        let ring = RingId::new(slot, life);
        let seat = SeatId::new(ring, slot, place);
        assert_eq!((ring.slot(), ring.0 >> SLOT_BITS), (slot, life));
        assert_eq!((seat.ring(), seat.slot(), seat.place()), (ring, slot, place));
        assert_eq!(size_of::<SeatId>(), 16);
        assert_eq!(
            format!("{seat} {seat:?}"),
            "seat 549755813888 SeatId { ring: RingId { slot: 16777215, life: 1099511627775 }, place: 549755813888, slot: 16777215 }"
        );
    }
}
