//! How the turn moves, and why a request of a seat or of the host is refused.

use std::fmt;

use super::{RulesError, SeatId, TurnNumber};
use crate::time::Instant;

/// The outcome of one step: a turn ended, one began, both, or neither.
///
/// Both are in one value because the protocol decides in which order the two seats are told.
#[must_use = "the seats in it have to be told"]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Moved {
    /// The turn that ended, if one did.
    pub ended: Option<Ended>,
    /// The turn that began, if one did.
    pub granted: Option<Grant>,
}

impl Moved {
    /// Nothing ended and nothing began.
    pub const NOTHING: Moved = Moved { ended: None, granted: None };

    /// Returns whether nothing moved.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// assert!(scheduler.ask(now, bob).is_nothing(), "he waits already");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.ended.is_none() && self.granted.is_none()
    }
}

/// A turn that was answered, and the next one, whose clock runs already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HandOver {
    /// The seat that has answered.
    pub(crate) seat: SeatId,
    /// The turn that it has answered.
    pub(crate) turn: TurnNumber,
    /// The next turn. Its holder is told at once, or [the start is taken back](super::Scheduler::unstart).
    pub(crate) granted: Grant,
    /// When the next turn lapses.
    pub(crate) lapses: Instant,
}

impl HandOver {
    /// The same as a move of which no client has been told yet.
    pub(crate) fn moved(self) -> Moved {
        let ended = Ended { seat: self.seat, turn: self.turn, outcome: Outcome::Answered };
        Moved { ended: Some(ended), granted: Some(self.granted) }
    }
}

/// A turn that began. Its clock starts with [`Scheduler::start`](super::Scheduler::start).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Grant {
    /// The seat that may answer.
    pub seat: SeatId,
    /// The turn's number.
    pub turn: TurnNumber,
}

/// A turn that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ended {
    /// The seat that held it.
    pub seat: SeatId,
    /// The turn's number.
    pub turn: TurnNumber,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// Its answer counts.
    Answered,
    /// Its holder gave it up.
    Passed,
    /// Its time ran out.
    Lapsed,
    /// The host ended it.
    Skipped,
    /// Its holder's connection was lost, or its seat given up.
    Gone,
}

/// The turn, as its holder sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Held {
    /// The seat that holds it.
    pub seat: SeatId,
    /// Its number.
    pub turn: TurnNumber,
    /// Its clock.
    pub clock: HeldClock,
    /// Whether the holder's connection is lost, and the turn waits for it.
    pub absent: bool,
}

impl Held {
    /// Returns when the turn lapses, while its clock runs.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let deadline = |scheduler: &Scheduler<_>| scheduler.held(ring).and_then(|held| held.deadline());
    /// assert_eq!(deadline(&scheduler), Some(now + Duration::from_secs(30)));
    /// scheduler.pause(now, ring)?;
    /// assert_eq!(deadline(&scheduler), None, "its clock stands");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.clock {
            HeldClock::Running { deadline } => Some(deadline),
            HeldClock::Unreleased | HeldClock::Stopped { .. } | HeldClock::Judged { .. } => None,
        }
    }
}

/// The clock of a held turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HeldClock {
    /// It has not begun: the holder has not been told.
    Unreleased,
    /// It runs until `deadline`.
    Running {
        /// When the turn lapses.
        deadline: Instant,
    },
    /// It is stopped, because the host has paused the ring.
    Stopped {
        /// The time left.
        left: std::time::Duration,
    },
    /// It is stopped, because the answer is with the host.
    Judged {
        /// The time left when it continues.
        left: std::time::Duration,
        /// When the host's time runs out.
        until: Instant,
    },
}

/// Why a request of a seat was refused. A refused request changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It names a turn other than the current one.
    StaleTurn,
    /// The seat does not hold the turn, or has not been told of it.
    NotYourTurn,
    /// The seat's answer is with the host.
    Judging,
    /// The turn can get no more time.
    HoldMax,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::StaleTurn => "that turn is over or has not begun",
            Refusal::NotYourTurn => "this seat does not hold the turn",
            Refusal::Judging => "the answer is being judged",
            Refusal::HoldMax => "the turn cannot be extended any further",
        })
    }
}

impl std::error::Error for Refusal {}

/// Why a request of the host was refused. Nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostError {
    /// There is no such seat (any more).
    UnknownSeat,
    /// There is no such ring (any more).
    UnknownRing,
    /// No turn is held in the ring.
    NoTurn,
    /// The turn is over, or its answer is not with the host.
    NotJudged,
    /// The seat rests.
    Resting,
    /// The seat's client is away.
    Away,
    /// The words are longer than an answer may be.
    TooLarge,
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HostError::UnknownSeat => "there is no such seat",
            HostError::UnknownRing => "there is no such ring",
            HostError::NoTurn => "no turn is held in this ring",
            HostError::NotJudged => "that turn is over, or has no answer to judge",
            HostError::Resting => "the seat rests: it does not want the turn",
            HostError::Away => "the seat's client is away",
            HostError::TooLarge => "the words are longer than an answer may be: shorten or split them",
        })
    }
}

impl std::error::Error for HostError {}

/// Why a seat could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// As many seats as allowed exist, in total over all rings.
    SeatsFull,
    /// As many rings as allowed exist.
    RingsFull,
    /// As many seats as the ring's rules allow exist.
    RingFull,
    /// There is no such ring (any more).
    UnknownRing,
    /// The rules of the new ring make no sense.
    Rules(RulesError),
    /// The scheduler is draining: no seat would ever get the turn.
    Draining,
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JoinError::Rules(error) => return error.fmt(f),
            JoinError::SeatsFull => "every seat is taken",
            JoinError::RingsFull => "there are as many rings as allowed",
            JoinError::RingFull => "the ring has as many seats as allowed",
            JoinError::UnknownRing => "there is no such ring",
            JoinError::Draining => "the server is shutting down",
        })
    }
}

impl std::error::Error for JoinError {}
