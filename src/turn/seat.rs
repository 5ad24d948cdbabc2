//! A seat: a place in a ring that a client occupies, and keeps for a while when its connection is lost.

use std::fmt;

use super::RingId;
use super::lease::TurnNumber;
use super::ring::wrapped;
use super::share::{Rank, Share};
use crate::time::Instant;

/// Names one seat for as long as it exists; never used again for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeatId {
    life: u64,
    pub(super) place: u64,
    pub(super) ring_slot: u32,
    pub(super) slot: u32,
}

impl SeatId {
    pub(super) fn new(ring: RingId, slot: u32, place: u64) -> SeatId {
        SeatId { life: ring.life, place, ring_slot: ring.slot, slot }
    }

    /// The ring that the seat belongs to.
    #[must_use]
    pub fn ring(&self) -> RingId {
        RingId { slot: self.ring_slot, life: self.life }
    }

    /// Where it stands, for somebody who sits on it.
    pub(crate) fn spot(&self) -> Spot {
        Spot { ring: self.ring_slot, slot: self.slot }
    }

    /// The seat's place in its ring, counted from 1 in the order in which seats were made.
    #[must_use]
    pub fn place(&self) -> u64 {
        self.place
    }
}

impl fmt::Display for SeatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seat {}", self.place)
    }
}

/// Where a seat stands: a third of its id, and good only as long as somebody is known to sit there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(super) ring: u32,
    pub(super) slot: u32,
}

/// How many turns a seat gets for every one of a weight-1 seat: 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight(u8);

impl Weight {
    /// The ordinary weight, 1.
    pub const ONE: Weight = Weight(1);

    /// A weight of `weight` turns, or `None` outside 1 to 100.
    #[must_use]
    pub fn new(weight: u8) -> Option<Weight> {
        (1..=100).contains(&weight).then_some(Weight(weight))
    }

    /// The weight as a number, 1 to 100.
    #[must_use]
    pub fn value(self) -> u8 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Weight::ONE
    }
}

/// The last answer of a seat that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The turn that it answered.
    pub turn: TurnNumber,
    /// The number.
    pub number: i64,
}

/// Ten thousand of them wait at once, so they hold no more than a turn asks for.
#[derive(Debug, Clone)]
pub(super) struct Seat<S> {
    /// What the owner of the scheduler keeps with the seat.
    pub(super) data: S,
    /// Ring order: the place, or below all places for a newcomer that comes first in the next lap.
    pub(super) order: i64,
    pub(super) share: Share,
    pub(super) occupancy: Occupancy,
    /// Since when it is vacant, or has waited for the turn that it waits for or holds.
    pub(super) since: Instant,
    /// What a repeated answer is compared with; survives vacancy, so a resumed client can ask.
    pub(super) last: Option<Accepted>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occupancy {
    Occupied {
        /// The weights of the other seats when the wait began, less the weight that had ever joined by then: with the weight
        /// that has ever joined by its end, the number of turns that may come first. Wraps, as do all that it is compared with.
        bound_base: u32,
    },
    Vacant,
}

/// The ring order of the seat at `place` that comes before all others of its lap, also before those that came before
/// all when they were made.
pub(super) fn order_before_all(place: i64) -> i64 {
    -place
}

impl<S> Seat<S> {
    pub(super) fn rank(&self) -> Rank {
        Rank { point: self.share.point(), order: self.order }
    }

    /// Names the seat in its ring: counted from 1, never used again.
    pub(super) fn place(&self) -> u64 {
        self.order.unsigned_abs()
    }

    /// It is occupied, and waits from now on. The occupied seats of its ring weigh `weight`, it among them, and all that were ever
    /// seated `weight_joined`.
    #[inline]
    pub(super) fn wait(&mut self, now: Instant, weight: u64, weight_joined: u64) {
        let others = weight - self.weight();
        self.occupancy = Occupancy::Occupied { bound_base: wrapped(others.wrapping_sub(weight_joined)) };
        self.since = now;
    }

    pub(super) fn is_occupied(&self) -> bool {
        self.occupancy != Occupancy::Vacant
    }

    pub(super) fn weight(&self) -> u64 {
        u64::from(self.share.weight.value())
    }
}
