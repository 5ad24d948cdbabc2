//! A seat: a place in a ring that a client occupies, and keeps for a while when its connection is lost.

use std::fmt;
use std::time::Instant;

use super::RingId;
use super::lease::TurnNumber;
use super::order::{Rank, Share};

/// Names one seat for as long as it exists; never used again for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeatId {
    pub(super) ring: RingId,
    pub(super) slot: u32,
    pub(super) place: u64,
}

impl SeatId {
    /// The ring that the seat belongs to.
    #[must_use]
    pub fn ring(&self) -> RingId {
        self.ring
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

#[derive(Debug)]
pub(super) struct Seat<S> {
    /// What the owner of the scheduler keeps with the seat.
    pub(super) data: S,
    /// Names the seat: counted from 1, never used again.
    pub(super) place: u64,
    /// Ring order: the place, or below all places for a newcomer that comes first in the next lap.
    pub(super) order: i64,
    pub(super) share: Share,
    pub(super) occupancy: Occupancy,
    /// What a repeated answer is compared with; survives vacancy, so a resumed client can ask.
    pub(super) last: Option<Accepted>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Occupancy {
    Occupied {
        /// A grant before this instant takes effect at it: the client could not tell two signals apart.
        ready_at: Instant,
        wait: Wait,
    },
    Vacant {
        since: Instant,
    },
}

/// A wait for the turn, in progress.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    pub(super) since: Instant,
    /// The weights of the other seats when the wait began, less the weight that had ever joined by then: with the weight
    /// that has ever joined by its end, the number of turns that may come first.
    pub(super) bound_base: u64,
}

impl<S> Seat<S> {
    pub(super) fn rank(&self) -> Rank {
        Rank { point: self.share.point(), order: self.order }
    }

    pub(super) fn is_occupied(&self) -> bool {
        matches!(self.occupancy, Occupancy::Occupied { .. })
    }

    pub(super) fn weight(&self) -> u64 {
        u64::from(self.share.weight.value())
    }
}
