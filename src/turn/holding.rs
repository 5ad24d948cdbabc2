//! The turn as an entry: found once, then ended, given more time, or handed to the host to judge.

use super::SeatId;
use super::lease::TurnNumber;
use super::moved::{Grant, HostError, Moved, Outcome, Refusal};
use super::ring::Ring;
use crate::time::{Instant, Nanos, Timers};

/// The turn that a seat holds, and may act on. Made by [`Scheduler::holding`](super::Scheduler::holding).
#[derive(Debug)]
pub struct Holding<'a, S> {
    pub(super) ring: &'a mut Ring<S>,
    pub(super) timers: &'a mut Timers<u32>,
    pub(super) seat: SeatId,
    pub(super) turn: TurnNumber,
}

impl<S> Holding<'_, S> {
    /// Returns the turn's number.
    #[must_use]
    pub fn turn(&self) -> TurnNumber {
        self.turn
    }

    /// Returns the seat that holds it.
    #[must_use]
    pub fn seat(&self) -> SeatId {
        self.seat
    }

    /// Returns whether the host says if an answer counts.
    #[must_use]
    #[inline]
    pub fn is_judged_by_host(&self) -> bool {
        self.ring.terms.judging > Nanos::ZERO
    }

    /// Returns what is kept with the seat.
    #[must_use]
    #[inline]
    pub fn data(&mut self) -> &mut S {
        &mut self.ring.seats[self.seat.slot() as usize].data
    }

    /// Ends the turn, and moves on to the next.
    #[inline]
    pub fn end(self, now: Instant, outcome: Outcome) -> Moved {
        self.ring.end(now, outcome)
    }

    /// As [`end`](Self::end), for an owner that can tell the next holder at once: then the clock of that turn runs from `now`, and nothing
    /// has to be found again to [start](super::Scheduler::start) it. An error is a move whose next holder was not told.
    #[inline(always)]
    pub(crate) fn end_telling(
        self,
        now: Instant,
        outcome: Outcome,
        tell: impl Tell<S>,
    ) -> Result<Told, Moved> {
        let told = self.ring.end_telling(now, outcome, tell)?;
        self.ring.hasten(self.timers, told.lapses);
        Ok(told)
    }

    /// Sets the time that the holder may be silent anew, never beyond what the turn may last in all. Returns when it
    /// lapses now, or `None` while the ring is paused.
    ///
    /// # Errors
    ///
    /// [`Refusal::HoldMax`], when the turn can get no more time.
    pub fn renew(self, now: Instant) -> Result<Option<Instant>, Refusal> {
        self.ring.renew(now).inspect(|_| self.ring.arm(self.timers))
    }

    /// Hands the answer to the host. The clock stands; returns until when the host may rule.
    #[must_use = "the host has to rule until then"]
    pub fn judge(self, now: Instant) -> Option<Instant> {
        let until = self.ring.judge(now);
        self.ring.arm(self.timers);
        until
    }
}

/// Tells holders of their turns. No closure, because a compiler would leave that alone.
pub(crate) trait Tell<S> {
    /// Tells the holder of `grant` that it may go, if it may hear of it now: whether it did. `data` is kept with the seat; `lapses` says when
    /// the turn does then. Not asked where the clock of the turn would not run.
    fn tell(self, data: &S, grant: Grant, lapses: Instant) -> bool;
}

/// A turn that has ended, and the next one, whose holder was told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    /// The seat whose turn has ended.
    pub(crate) seat: SeatId,
    pub(crate) turn: TurnNumber,
    pub(crate) granted: Grant,
    /// When that does.
    pub(super) lapses: Instant,
}

/// The turn whose answer is with the host. Made by [`Scheduler::judged`](super::Scheduler::judged).
#[derive(Debug)]
pub struct Judged<'a, S> {
    pub(super) ring: &'a mut Ring<S>,
    pub(super) timers: &'a mut Timers<u32>,
}

impl<S> Judged<'_, S> {
    /// Accepts the answer: it counts, and the turn moves on. `next` is the seat that gets the next turn, if the host
    /// names one.
    ///
    /// # Errors
    ///
    /// When `next` cannot be next. Nothing has changed then, and the answer is still judged.
    pub fn accept(self, now: Instant, next: Option<SeatId>) -> Result<Moved, HostError> {
        if let Some(next) = next {
            if next.ring() != self.ring.id || !self.ring.has(next) {
                return Err(HostError::UnknownSeat);
            }
            self.ring.name_next(next.slot())?;
        }
        let moved = self.ring.end_present(now, Outcome::Answered);
        self.ring.arm(self.timers);
        Ok(moved)
    }

    /// Refuses the answer: the turn and its clock go on, unless that was the last proposal allowed, or its holder is gone.
    pub fn refuse(self, now: Instant) -> Moved {
        let moved = self.ring.refuse(now);
        self.ring.arm(self.timers);
        moved
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::turn::{Demand, Rules, Scheduler, SchedulerConfig, Weight};

    /// Tells every holder, or none.
    struct Says(bool);

    impl Tell<()> for Says {
        fn tell(self, (): &(), _: Grant, _: Instant) -> bool {
            self.0
        }
    }

    #[test]
    fn to_tell_the_next_holder_at_once_is_to_end_and_to_start() {
        for weights in [[1, 1, 1], [1, 3, 2]] {
            let mut now = Instant::ORIGIN;
            let mut scheduler = Scheduler::new(SchedulerConfig::default()).expect("rules that make sense");
            let rules = Rules { weight_max: Weight::MAX, ..Rules::default() };
            let ring = scheduler.make_ring(now, rules).expect("room");
            for weight in weights {
                let weight = Weight::new(weight).expect("1 to 100");
                let _ = scheduler.join(now, ring, weight, Demand::Always, ()).expect("room");
            }
            let held = scheduler.held(ring).expect("three are enough");
            scheduler.start(now, held.seat, held.turn);
            for _ in 0..20 {
                now += Duration::from_millis(7);
                let seat = scheduler.held(ring).expect("each turn is answered").seat;
                let (mut slow, mut untold) = (scheduler.clone(), scheduler.clone());
                let moved = slow.holding(seat, None).expect("it holds").end(now, Outcome::Answered);
                let refused = untold.holding(seat, None).expect("it holds");
                assert_eq!(refused.end_telling(now, Outcome::Answered, Says(false)).err(), Some(moved));
                assert_eq!(untold.digest(now), slow.digest(now));

                let granted = moved.granted.expect("the next one's");
                let lapses = slow.start(now, granted.seat, granted.turn);
                let holding = scheduler.holding(seat, None).expect("it holds");
                let told = holding.end_telling(now, Outcome::Answered, Says(true)).expect("it was told");
                assert_eq!((told.seat, told.granted, Some(told.lapses)), (seat, granted, lapses));
                assert_eq!(scheduler.digest(now), slow.digest(now));
                assert_eq!(scheduler.next_deadline(), slow.next_deadline());
                scheduler.check_invariants().expect("they hold");
            }
        }
    }
}
