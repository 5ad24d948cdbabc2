//! The phases of a ring and the one table of transitions between them.
//!
//! ```text
//!             enough seats                 ended, enough seats
//!   Paused ------------------> Held(lease) ------------------> Held(next lease)
//!     |  ^                       |   |
//!     |  +-----------------------+   | drain
//!     |     ended, too few seats     v
//!     |  drain                  Draining(lease) --- ended ---> Drained
//!     +--------------------------------------------------------^
//! ```

use super::lease::Lease;
use crate::hint::likely;

/// Where a ring stands. A lease exists exactly while a seat holds the turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nobody holds the turn: fewer seats than needed are occupied.
    Paused,
    /// A seat holds the turn. (Perhaps too few seats are left for another one; this one may still be answered.)
    Held(Lease),
    /// A seat holds the last turn.
    Draining(Lease),
    /// No turn will be granted any more.
    Drained,
}

/// What happened to a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// A seat became occupied.
    Seated,
    /// The turn ended, however it did.
    Ended,
    /// The host wants no further turn.
    Drain,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Stay,
    Grant,
    Pause,
    LetFinish(Lease),
    Finish,
}

impl Phase {
    /// The transition table. `quorum`: enough seats are occupied for turns to be granted.
    pub(super) fn next(self, cause: Cause, quorum: bool) -> Next {
        // In every turn.
        if likely(matches!((self, cause, quorum), (Phase::Held(_), Cause::Ended, true))) {
            return Next::Grant;
        }
        match (self, cause, quorum) {
            (Phase::Paused, Cause::Seated, true) => Next::Grant,
            (Phase::Paused, Cause::Drain, _) => Next::Finish,
            (Phase::Held(_), Cause::Ended, _) => Next::Pause,
            (Phase::Held(lease), Cause::Drain, _) => Next::LetFinish(lease),
            (Phase::Draining(_), Cause::Ended, _) => Next::Finish,
            (Phase::Paused, Cause::Seated, false)
            | (Phase::Held(_) | Phase::Draining(_) | Phase::Drained, Cause::Seated, _)
            | (Phase::Draining(_) | Phase::Drained, Cause::Drain, _)
            | (Phase::Paused | Phase::Drained, Cause::Ended, _) => Next::Stay,
        }
    }

    pub(super) fn lease(&self) -> Option<&Lease> {
        match self {
            Phase::Held(lease) | Phase::Draining(lease) => Some(lease),
            Phase::Paused | Phase::Drained => None,
        }
    }
}
