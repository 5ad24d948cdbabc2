//! A seat: a place in a ring that a client occupies, and keeps for a while when its connection is lost.

use super::queue::Links;
use super::snapshot::Tag;
use super::waits::Wait;
use crate::time::Instant;

/// The number of turns that a seat gets for each turn of a seat of weight 1: 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u8);

impl Weight {
    /// The ordinary weight, 1.
    pub const ONE: Weight = Weight(1);

    /// The greatest weight, 100.
    pub const MAX: Weight = Weight(100);

    /// Returns the weight of `weight` turns, or `None` outside 1 to 100.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::turn::Weight;
    ///
    /// assert_eq!(Weight::new(1), Some(Weight::ONE));
    /// assert_eq!([0, 101].map(Weight::new), [None, None]);
    /// ```
    #[must_use]
    pub fn new(weight: u8) -> Option<Weight> {
        (1..=100).contains(&weight).then_some(Weight(weight))
    }

    /// Returns the weight as a number, 1 to 100.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::turn::Weight;
    /// assert_eq!(Weight::MAX.value(), 100);
    /// ```
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

/// When a seat wants the turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Demand {
    /// It waits again as soon as its turn is over.
    #[default]
    Always,
    /// It rests until it asks, and rests again after its turn.
    Ask,
}

/// A seat. Ten thousand of them may wait at once, so it holds no more than a turn needs.
#[derive(Debug, Clone)]
pub(super) struct Seat<S> {
    /// Kept with the seat for the owner of the scheduler.
    pub(super) data: S,
    /// Numbers the seat in its ring, from 1.
    pub(super) place: u64,
    /// The seat's position in virtual time. Set when it begins to wait; kept until its turn.
    pub(super) tag: Tag,
    /// While occupied: when the wait began, by the ring's own clock. While vacant: since when, in absolute
    /// time.
    pub(super) since: Instant,
    /// Turns that may come first, at equal weights: seats queued and turns held when the wait began.
    pub(super) turns_first: u32,
    pub(super) links: Links,
    pub(super) weight: Weight,
    pub(super) demand: Demand,
    pub(super) standing: Standing,
    /// A client has it. Also true of a holder whose absence is not decided yet (see `Lease::absent_until`).
    pub(super) occupied: bool,
}

impl<S> Seat<S> {
    /// The wait that began when it was queued.
    #[inline(always)]
    pub(super) fn wait(&self) -> Wait {
        let Seat { since, turns_first, weight, tag, .. } = self;
        Wait { since: *since, turns_first: *turns_first, weight: weight.value(), given: tag.given }
    }
}

/// The standing of a seat in the order, whether or not its client is present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Standing {
    /// In the queue.
    Queued,
    /// It does not want the turn.
    Resting,
    /// It holds the turn, or its turn is kept while the ring is below quorum.
    Holding,
    /// Its turn came while its client was away. It waits again when the client is back.
    Missed,
}
