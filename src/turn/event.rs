//! What comes out of the scheduler: hand-overs, and seats and rings that end; and why an input is refused.

use std::fmt;

use super::{SeatId, TurnNumber};
use crate::time::Instant;

/// What the scheduler decided, in the order in which it must be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output<S> {
    /// The turn moved: one turn ended, one began, or both in one step. `granted` is `None` when the ring
    /// pauses or drains. Both in one value, because the order in which the two seats hear of it is the protocol's.
    HandOver {
        /// The turn that ended, if one did.
        ended: Option<Ended>,
        /// The turn that began, if one did.
        granted: Option<Grant>,
    },
    /// The seat left its ring: given up, or vacant for longer than the grace. Its id means nothing from now on. If
    /// it was the last, the ring is forgotten; see [`Scheduler::has_ring`](super::Scheduler::has_ring).
    Retired {
        /// The seat.
        seat: SeatId,
        /// What was kept with it.
        data: S,
    },
}

/// The fields of an [`Output::HandOver`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HandOver {
    pub(crate) ended: Option<Ended>,
    pub(crate) granted: Option<Grant>,
}

impl<S> From<HandOver> for Output<S> {
    fn from(HandOver { ended, granted }: HandOver) -> Output<S> {
        Output::HandOver { ended, granted }
    }
}

/// A turn was answered, which need not be queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answered {
    /// The next turn, if the ring does not pause.
    pub(crate) granted: Option<Grant>,
}

/// A turn that began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Who may answer.
    pub seat: SeatId,
    /// The turn's number.
    pub turn: TurnNumber,
    /// When the holder may be told; later than now only after [`Scheduler::hold_back`](super::Scheduler::hold_back).
    pub release: Instant,
    /// When the turn lapses, counted from `release`.
    pub deadline: Instant,
}

/// A turn that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Who held it.
    pub seat: SeatId,
    /// The turn's number.
    pub turn: TurnNumber,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// With this number.
    Answered(i64),
    /// Its holder gave it up without a number.
    Passed,
    /// Its deadline passed.
    Lapsed,
    /// Its holder's connection was lost, or its seat given up.
    Gone,
}

/// How an answer was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It counts; the turn has moved on.
    Accepted(TurnNumber),
    /// It is the answer of the seat's last accepted turn, sent again: it counts once, and is confirmed again.
    Repeated(TurnNumber),
}

/// Why an answer or a pass was refused. A refused input changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It names a turn that is not the current one, or another number for a turn that is accepted already.
    StaleTurn,
    /// The seat does not hold the turn.
    NotYourTurn,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::StaleTurn => "that turn is over or has not begun",
            Refusal::NotYourTurn => "this seat does not hold the turn",
        })
    }
}

impl std::error::Error for Refusal {}

/// Why a seat could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// As many seats as allowed exist, and all of them are occupied.
    SeatsFull,
    /// As many rings as allowed exist.
    RingsFull,
    /// There is no such ring (any more).
    UnknownRing,
    /// The scheduler drains: no seat would ever get the turn.
    Draining,
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JoinError::SeatsFull => "every seat is taken",
            JoinError::RingsFull => "there are as many rings as allowed",
            JoinError::UnknownRing => "there is no such ring",
            JoinError::Draining => "the server is shutting down",
        })
    }
}

impl std::error::Error for JoinError {}
