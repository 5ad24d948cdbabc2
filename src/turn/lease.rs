//! A lease: the right to answer one turn, and the clock that runs against it.
//!
//! ```text
//!             release            propose
//! Unreleased ---------> Running ---------> Judged
//!                       ^  |  ^              |
//!                resume |  |  +--------------+
//!                       |  | pause   refuse
//!                       |  v
//!                      Stopped <-------- (refuse, release while paused)
//! ```
//!
//! A turn can end in any of these states. Pausing stops a running clock only: an unreleased one has not
//! begun, and a judged one is already stopped.

use super::rules::Allowance;
use super::{SeatId, TurnNumber};
use crate::time::{Instant, Nanos, earlier};

/// The turn that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) seat: SeatId,
    pub(super) turn: TurnNumber,
    pub(super) clock: Clock,
    /// When it began, by the ring's own clock, which stands while the turn is kept.
    pub(super) since: Instant,
    /// Time that the host may still take to judge.
    pub(super) judging_left: Nanos,
    /// Proposals that may still be refused.
    pub(super) proposals_left: u16,
    /// The end of the time that the turn waits for its lost holder; `None` while it is there.
    pub(super) absent_until: Option<Instant>,
    /// Its holder asked for one more turn.
    pub(super) asks_again: bool,
    /// The time left has been raised once.
    pub(super) raised: bool,
    /// The part of its time that does not count for the bound on waiting.
    pub(super) extra: Extra,
}

/// The time of a turn that is not part of the bound on waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Extra {
    /// There is none.
    None,
    /// The time beyond the rules: the turn was extended, its time was raised when it continued, or the rules
    /// have changed.
    Beyond,
    /// All of it: the host named its holder.
    All,
}

impl Extra {
    /// Returns at least [`Beyond`](Extra::Beyond).
    pub(super) fn or_beyond(self) -> Extra {
        match self {
            Extra::None | Extra::Beyond => Extra::Beyond,
            Extra::All => Extra::All,
        }
    }
}

impl Lease {
    #[inline]
    pub(super) fn slot(&self) -> u32 {
        self.seat.slot()
    }

    /// Returns when the turn, or the absence of its holder, runs out. An answer that is being judged is
    /// waited for in any case.
    #[inline]
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.clock {
            Clock::Judged { until, .. } => Some(until),
            Clock::Running { deadline, .. } => earlier(Some(deadline), self.absent_until),
            Clock::Unreleased(_) | Clock::Stopped(_) => self.absent_until,
        }
    }
}

/// The clock of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    /// The holder has not been told yet.
    Unreleased(Allowance),
    /// The holder has to send something by `deadline`, and has until `hold_until` in total.
    Running { deadline: Instant, hold_until: Instant },
    /// The ring is paused by the host.
    Stopped(Allowance),
    /// The answer is with the host, until `until` at the latest.
    Judged { left: Allowance, until: Instant },
}

impl Clock {
    pub(super) fn running(now: Instant, left: Allowance) -> Clock {
        Clock::Running { deadline: now + left.silent, hold_until: now + left.hold }
    }

    /// Returns the clock that continues with `left`, or is stopped because the ring is paused.
    pub(super) fn go_on(now: Instant, left: Allowance, paused: bool) -> Clock {
        if paused { Clock::Stopped(left) } else { Clock::running(now, left) }
    }

    /// Returns the time left.
    pub(super) fn left(&self, now: Instant) -> Allowance {
        match *self {
            Clock::Unreleased(left) | Clock::Stopped(left) | Clock::Judged { left, .. } => left,
            Clock::Running { deadline, hold_until } => Allowance {
                silent: deadline.nanos_since(now),
                hold: if hold_until == Instant::FAR_FUTURE {
                    Nanos::MAX
                } else {
                    hold_until.nanos_since(now)
                },
            },
        }
    }

    pub(super) fn is_released(&self) -> bool {
        !matches!(self, Clock::Unreleased(_))
    }

    pub(super) fn is_judged(&self) -> bool {
        matches!(self, Clock::Judged { .. })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::turn::RingId;

    const LEFT: Allowance = Allowance { silent: Nanos::ZERO, hold: Nanos::MAX };

    #[test]
    fn a_clock_continues_with_the_time_left() {
        let at = |secs| Instant::ORIGIN + Duration::from_secs(secs);
        let left = Allowance { silent: Duration::from_secs(3).into(), hold: Duration::from_secs(5).into() };
        let clock = Clock::go_on(at(10), left, false);
        assert_eq!(clock, Clock::Running { deadline: at(13), hold_until: at(15) });
        assert_eq!((clock.left(at(10)), Clock::go_on(at(99), left, true)), (left, Clock::Stopped(left)));
        assert_eq!(clock.left(at(20)).hold, Nanos::ZERO, "not less than nothing");
        assert_eq!(Clock::running(at(10), LEFT).left(at(60)).hold, Nanos::MAX, "no limit does not run out");
    }

    #[test]
    fn a_judged_turn_waits_for_its_host_and_not_for_its_holder() {
        let (early, late) = (Instant::ORIGIN, Instant::FAR_FUTURE);
        let lease = |clock| Lease {
            seat: SeatId::new(RingId::new(0, 1), 0, 1),
            turn: TurnNumber::new(1).expect("not 0"),
            clock,
            since: early,
            judging_left: Nanos::ZERO,
            proposals_left: 1,
            absent_until: Some(early),
            asks_again: false,
            raised: false,
            extra: Extra::None,
        };
        assert_eq!(lease(Clock::Judged { left: LEFT, until: late }).deadline(), Some(late));
        assert_eq!(lease(Clock::Running { deadline: late, hold_until: late }).deadline(), Some(early));
        assert_eq!(lease(Clock::Stopped(LEFT)).deadline(), Some(early));
    }
}
