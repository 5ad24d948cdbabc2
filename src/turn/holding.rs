//! The turn as an entry: found once, then ended, given more time, or handed to the host to judge.

use super::lease::{Clock, Extra};
use super::moved::{Ended, HandOver, HostError, Moved, Outcome, Refusal};
use super::ring::{Phase, Ring, RingFlags};
use super::{Scheduler, SeatId, TurnNumber};
use crate::hint::{likely, unlikely};
use crate::time::{Instant, Nanos, Timers};

impl<S> Scheduler<S> {
    /// Finds the turn that `seat` holds, if a request that names the turn `fence` (or none) may act on it.
    ///
    /// # Errors
    ///
    /// Returns a [`Refusal`] if it may not. Nothing has changed then.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// assert_eq!(scheduler.holding(bob, None).err(), Some(Refusal::NotYourTurn));
    /// assert_eq!(scheduler.holding(ann, Some(9)).err(), Some(Refusal::StaleTurn), "that is not her turn's number");
    /// let moved = scheduler.holding(ann, Some(1))?.end(now, Outcome::Answered);
    /// assert_eq!(moved.granted.map(|grant| grant.seat), Some(bob));
    /// # Ok(()) }
    /// ```
    #[inline]
    pub fn holding(&mut self, seat: SeatId, fence: Option<u64>) -> Result<Holding<'_, S>, Refusal> {
        let ring = self.rings.get_mut(seat.ring.slot() as usize).ok_or(Refusal::NotYourTurn)?;
        // The holder has been told of it, and its answer is not with the host.
        if let Phase::Held(lease) = &ring.phase
            && likely(
                lease.seat == seat
                    && matches!(lease.clock, Clock::Running { .. } | Clock::Stopped(_))
                    && fence.is_none_or(|fence| fence == lease.turn.get()),
            )
        {
            let turn = lease.turn;
            return Ok(Holding { ring, timers: &mut self.timers, seat, turn });
        }
        Err(ring.refusal(seat, fence))
    }

    /// Finds the turn `turn` of `seat`, whose answer is with the host.
    ///
    /// # Errors
    ///
    /// Returns [`HostError::NotJudged`] if that turn is over, or its answer is not with the host.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!("rules.judging = Judging::Host;")]
    /// let turn = scheduler.holding(ann, None)?.turn();
    /// assert_eq!(scheduler.judged(ann, turn).err(), Some(HostError::NotJudged), "she has not answered");
    /// let _ = scheduler.holding(ann, None)?.judge(now);
    /// let moved = scheduler.judged(ann, turn)?.accept(now, None)?;
    /// assert_eq!(moved.granted.map(|grant| grant.seat), Some(bob));
    /// # Ok(()) }
    /// ```
    pub fn judged(&mut self, seat: SeatId, turn: TurnNumber) -> Result<Judged<'_, S>, HostError> {
        let ring = self.rings.get_mut(seat.ring().slot() as usize);
        let ring = ring.filter(|ring| ring.id == seat.ring() && ring.has(seat));
        let judged = ring.filter(|ring| {
            ring.lease().is_some_and(|lease| {
                lease.slot() == seat.slot() && lease.turn == turn && lease.clock.is_judged()
            })
        });
        let ring = judged.ok_or(HostError::NotJudged)?;
        Ok(Judged { ring, timers: &mut self.timers })
    }
}

/// The turn that a seat holds, and may act on. Made by [`Scheduler::holding`](super::Scheduler::holding).
#[derive(Debug)]
pub struct Holding<'a, S> {
    pub(super) ring: &'a mut Ring<S>,
    pub(super) timers: &'a mut Timers<u32>,
    pub(super) seat: SeatId,
    pub(super) turn: TurnNumber,
}

impl<'a, S> Holding<'a, S> {
    /// Returns the turn's number.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// assert_eq!(scheduler.holding(ann, None)?.turn().get(), 1);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn turn(&self) -> TurnNumber {
        self.turn
    }

    /// Returns the seat that holds it.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// assert_eq!(scheduler.holding(ann, None)?.seat(), ann);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn seat(&self) -> SeatId {
        self.seat
    }

    /// Returns whether the host decides if an answer counts.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!("rules.judging = Judging::Host;")]
    /// assert!(scheduler.holding(ann, None)?.is_judged_by_host());
    /// # Ok(()) }
    /// ```
    #[must_use]
    #[inline]
    pub fn is_judged_by_host(&self) -> bool {
        self.ring.terms.judging > Nanos::ZERO
    }

    /// Returns the data of the seat.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// *scheduler.holding(ann, None)?.data() = "Anna";
    /// assert_eq!(scheduler.data(ann), Some(&"Anna"));
    /// # Ok(()) }
    /// ```
    #[must_use]
    #[inline]
    pub fn data(&mut self) -> &mut S {
        &mut self.ring.seats[self.seat.slot() as usize].data
    }

    /// Ends the turn, and moves on to the next.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let moved = scheduler.holding(ann, None)?.end(now, Outcome::Passed);
    /// assert_eq!(moved.ended.map(|ended| ended.outcome), Some(Outcome::Passed));
    /// assert_eq!(moved.granted.map(|grant| grant.seat), Some(bob));
    /// # Ok(()) }
    /// ```
    #[inline]
    pub fn end(self, now: Instant, outcome: Outcome) -> Moved {
        self.ring.end(now, outcome)
    }

    /// Ends the turn by an answer, like [`end`](Self::end), for an owner that tells the next holder at once:
    /// the clock of that turn runs from `now`, unless the owner [takes that back](super::Scheduler::unstart).
    /// Also returns the data of that holder's seat. An error is a move whose next clock has not begun.
    #[inline(always)]
    pub(crate) fn hand_over(self, now: Instant) -> Result<(HandOver, &'a S), Moved> {
        let Holding { ring, timers, seat, turn } = self;
        let Phase::Held(lease) = &ring.phase else { return Err(Moved::NOTHING) };
        // Without a branch between them, because nearly always all of them are evaluated.
        let goes_on =
            ring.named.is_none() & (ring.flags == RingFlags::NONE) & (ring.occupied >= ring.terms.min_seats);
        if unlikely(!goes_on | (lease.extra != Extra::None)) {
            return Err(ring.end(now, Outcome::Answered));
        }
        debug_assert_eq!(ring.stands_from, Instant::FAR_FUTURE, "nothing stops the ring's own clock");
        let (own, asks_again) = (now - ring.stopped, lease.asks_again);
        ring.put_back(own, seat.slot(), true, asks_again);
        let Some(slot) = ring.queue.pop(&mut ring.seats).or_else(|| ring.take_first()) else {
            ring.phase = Phase::Idle;
            return Err(Moved {
                ended: Some(Ended { seat, turn, outcome: Outcome::Answered }),
                granted: None,
            });
        };
        let (lapses, hold_until) = (now + ring.terms.time.silent, now + ring.terms.time.hold);
        // Nearly always the alarm is set to an earlier time, and stays.
        if unlikely(ring.alarm.due.is_none_or(|due| lapses < due)) {
            ring.arm_by(timers, Some(lapses));
        }
        let clock = Clock::Running { deadline: lapses, hold_until };
        let (granted, data) = ring.begin_turn(slot, own, clock, Extra::None);
        Ok((HandOver { seat, turn, granted, lapses }, data))
    }

    /// Restarts the time that the holder may be silent, but never beyond the total time of the turn. Returns
    /// when the turn lapses now, or `None` while the ring is paused.
    ///
    /// # Errors
    ///
    /// Returns [`Refusal::HoldMax`] if the turn can get no more time.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!("rules.hold_max = HoldMax::Unlimited;")]
    /// let later = now + Duration::from_secs(20);
    /// assert_eq!(scheduler.holding(ann, None)?.renew(later)?, Some(later + Duration::from_secs(30)));
    /// # Ok(()) }
    /// ```
    pub fn renew(self, now: Instant) -> Result<Option<Instant>, Refusal> {
        self.ring.renew(now).inspect(|_| self.ring.arm(self.timers))
    }

    /// Hands the answer to the host. The clock stops; returns by when the host must decide.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!("rules.judging = Judging::Host;")]
    /// let until = scheduler.holding(ann, None)?.judge(now);
    /// assert_eq!(until, Some(now + Duration::from_secs(5)));
    /// assert_eq!(scheduler.holding(ann, None).err(), Some(Refusal::Judging));
    /// # Ok(()) }
    /// ```
    #[must_use = "the host has to decide by then"]
    pub fn judge(self, now: Instant) -> Option<Instant> {
        let until = self.ring.judge(now);
        self.ring.arm(self.timers);
        until
    }
}

/// The turn whose answer is with the host. Made by [`Scheduler::judged`](super::Scheduler::judged).
#[derive(Debug)]
pub struct Judged<'a, S> {
    pub(super) ring: &'a mut Ring<S>,
    pub(super) timers: &'a mut Timers<u32>,
}

impl<S> Judged<'_, S> {
    /// Accepts the answer: it counts, and the turn moves on. `next` is the seat that gets the next turn, if
    /// the host names one.
    ///
    /// # Errors
    ///
    /// Returns [`HostError`] if `next` cannot be next. Nothing has changed then, and the answer is still
    /// judged.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!("rules.judging = Judging::Host;")]
    /// let turn = scheduler.holding(ann, None)?.turn();
    /// let _ = scheduler.holding(ann, None)?.judge(now);
    /// // A winning move: Ann has the next turn as well.
    /// let moved = scheduler.judged(ann, turn)?.accept(now, Some(ann))?;
    /// assert_eq!(moved.granted.map(|grant| grant.seat), Some(ann));
    /// # Ok(()) }
    /// ```
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

    /// Refuses the answer: the turn and its clock continue, unless that was the last proposal allowed, or its
    /// holder is gone.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!("rules.judging = Judging::Host;")]
    /// let turn = scheduler.holding(ann, None)?.turn();
    /// let _ = scheduler.holding(ann, None)?.judge(now);
    /// let moved = scheduler.judged(ann, turn)?.refuse(now);
    /// assert!(moved.is_nothing() && scheduler.held_by(ann).is_some(), "she may answer again");
    /// # Ok(()) }
    /// ```
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
    use crate::turn::{Demand, Rules, SchedulerConfig, Weight};

    #[test]
    fn a_hand_over_ends_a_turn_and_starts_the_next() {
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
                let (handed, ()) =
                    untold.holding(seat, None).expect("it holds").hand_over(now).expect("another one waits");
                untold.unstart(now, handed.granted);
                assert_eq!((handed.moved(), untold.digest(now)), (moved, slow.digest(now)));
                assert_eq!(untold.stopped(ring, now), slow.stopped(ring, now));

                let granted = moved.granted.expect("the next one's");
                let lapses = slow.start(now, granted.seat, granted.turn);
                let holding = scheduler.holding(seat, None).expect("it holds");
                let (handed, ()) = holding.hand_over(now).expect("another one waits");
                assert_eq!((handed.seat, handed.granted, Some(handed.lapses)), (seat, granted, lapses));
                assert_eq!(scheduler.digest(now), slow.digest(now));
                assert_eq!(scheduler.next_deadline(), slow.next_deadline());
                scheduler.check_invariants().expect("they hold");
            }
        }
    }
}
