//! A lease: the right to answer one turn, until a deadline.

use std::fmt;
use std::num::NonZeroU64;

use crate::time::Instant;

/// Counts the turns of a ring from 1; granted once, never used again. It is the ring's fencing token: whatever
/// carries an older number is too late, and anyone downstream can see that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TurnNumber(NonZeroU64);

impl TurnNumber {
    /// The turn numbered `number`, or `None` for 0: turns count from 1.
    #[must_use]
    pub fn new(number: u64) -> Option<TurnNumber> {
        NonZeroU64::new(number).map(TurnNumber)
    }

    /// The number itself.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// The turn behind `last`, the number of the last turn granted (0 if none was).
    pub(super) fn after(last: u64) -> TurnNumber {
        TurnNumber(NonZeroU64::MIN.saturating_add(last))
    }
}

impl fmt::Display for TurnNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who holds the turn, which one, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) slot: u32,
    pub(super) turn: TurnNumber,
    pub(super) deadline: Instant,
}
