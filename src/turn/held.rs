//! The turn that is held: its clock, its answer, its end.

use super::SeatId;
use super::holding::{Tell, Told};
use super::lease::{Clock, Extra, Lease, TurnNumber};
use super::moved::{Ended, Moved, Outcome, Refusal};
use super::ring::{Phase, Ring};
use super::rules::Allowance;
use super::seat::{Demand, Standing};
use crate::hint::{likely, unlikely};
use crate::time::{Instant, Nanos};

impl<S> Ring<S> {
    /// Says why a request of `seat`, fenced by `fence`, may not act on the turn.
    #[cold]
    pub(super) fn refusal(&self, seat: SeatId, fence: Option<u64>) -> Refusal {
        if self.id != seat.ring() || !self.has(seat) {
            return Refusal::NotYourTurn;
        }
        let lease = self.lease().filter(|lease| lease.clock.is_released());
        match lease {
            _ if fence.is_some() && fence != lease.map(|lease| lease.turn.get()) => Refusal::StaleTurn,
            Some(lease) if lease.seat == seat => Refusal::Judging,
            _ => Refusal::NotYourTurn,
        }
    }

    /// Starts the clock of a turn whose holder has been told; when it lapses, if the clock runs.
    #[inline]
    pub(super) fn start(&mut self, now: Instant, turn: TurnNumber) -> Option<Instant> {
        self.lease().filter(|lease| lease.turn == turn)?;
        self.begin(now);
        match self.lease()?.clock {
            Clock::Running { deadline, .. } => Some(deadline),
            Clock::Unreleased(_) | Clock::Stopped(_) | Clock::Judged { .. } => None,
        }
    }

    #[inline]
    pub(super) fn begin(&mut self, now: Instant) {
        let paused = self.paused;
        let Phase::Held(lease) = &mut self.phase else { return };
        let Clock::Unreleased(left) = lease.clock else { return };
        lease.clock = Clock::go_on(now, left, paused);
        self.settle_clock(now);
    }

    /// Gives the holder of the turn, whose clock may stand, more time to be silent.
    pub(super) fn renew(&mut self, now: Instant) -> Result<Option<Instant>, Refusal> {
        let silent = self.terms.silent;
        let Phase::Held(lease) = &mut self.phase else { return Err(Refusal::NotYourTurn) };
        let left = lease.clock.left(now);
        let renewed = Allowance { silent: silent.min(left.hold), ..left };
        if renewed.silent <= left.silent {
            return Err(Refusal::HoldMax);
        }
        match &mut lease.clock {
            Clock::Running { deadline, .. } => {
                *deadline = now + renewed.silent;
                return Ok(Some(*deadline));
            }
            Clock::Unreleased(left) | Clock::Stopped(left) => *left = renewed,
            Clock::Judged { .. } => return Err(Refusal::Judging),
        }
        Ok(None)
    }

    /// The answer goes to the host: the clock stands.
    pub(super) fn judge(&mut self, now: Instant) -> Option<Instant> {
        let Phase::Held(lease) = &mut self.phase else { return None };
        let until = now + lease.judging_left;
        lease.clock = Clock::Judged { left: lease.clock.left(now), until };
        Some(until)
    }

    /// The host refused the answer: the turn goes on, unless it has been refused too often, or its holder is gone.
    pub(super) fn refuse(&mut self, now: Instant) -> Moved {
        let paused = self.paused;
        let Phase::Held(lease) = &mut self.phase else { return Moved::NOTHING };
        let Clock::Judged { left, until } = lease.clock else { return Moved::NOTHING };
        lease.judging_left = until.nanos_since(now);
        lease.proposals_left = lease.proposals_left.saturating_sub(1);
        if lease.absent_until.is_some_and(|until| until <= now) {
            return self.end_present(now, Outcome::Gone);
        }
        if lease.proposals_left == 0 || lease.judging_left == Nanos::ZERO {
            return self.end_present(now, Outcome::Lapsed);
        }
        lease.clock = Clock::go_on(now, left, paused);
        Moved::NOTHING
    }

    /// Ends the turn that is held, and moves on. Its holder goes behind the others if it wants another one.
    #[inline]
    pub(super) fn end(&mut self, now: Instant, outcome: Outcome) -> Moved {
        self.end_as(now, outcome, true)
    }

    #[inline]
    pub(super) fn end_as(&mut self, now: Instant, outcome: Outcome, goes_on: bool) -> Moved {
        match self.end_held(now, goes_on) {
            Some((seat, turn, _)) => self.go_on(now, Ended { seat, turn, outcome }),
            None => Moved::NOTHING,
        }
    }

    /// As [`end`](Self::end), where `tell` may tell the next holder at once.
    #[inline(always)]
    pub(super) fn end_telling(
        &mut self,
        now: Instant,
        outcome: Outcome,
        tell: impl Tell<S>,
    ) -> Result<Told, Moved> {
        let Some((seat, turn, own)) = self.end_held(now, true) else { return Err(Moved::NOTHING) };
        // Without a branch between them, as nearly always all are looked at.
        if unlikely(self.named.is_some() | self.draining | self.paused | !self.has_quorum()) {
            return Err(self.go_on(now, Ended { seat, turn, outcome }));
        }
        match self.grant_telling(now, own, tell) {
            Ok((granted, lapses)) => Ok(Told { seat, turn, granted, lapses }),
            Err(granted) => Err(Moved { ended: Some(Ended { seat, turn, outcome }), granted }),
        }
    }

    fn go_on(&mut self, now: Instant, ended: Ended) -> Moved {
        Moved { ended: Some(ended), granted: self.advance(now) }
    }

    /// Ends the turn that is held, without moving on: its seat, its number, and the ring's own time.
    #[inline(always)]
    fn end_held(&mut self, now: Instant, goes_on: bool) -> Option<(SeatId, TurnNumber, Instant)> {
        let Phase::Held(lease) = &self.phase else { return None };
        let (seat, turn, asks_again) = (lease.seat, lease.turn, lease.asks_again);
        let is_ordinary = lease.extra == Extra::None && lease.clock.is_released();
        self.phase = Phase::Idle;
        if unlikely(!is_ordinary) {
            self.settle_clock(now);
        }
        let own = self.own_time(now);
        self.put_back(own, seat.slot(), goes_on, asks_again);
        Some((seat, turn, own))
    }

    /// Ends the turn of a holder whose connection may be lost: its seat is vacant from then on.
    pub(super) fn end_present(&mut self, now: Instant, outcome: Outcome) -> Moved {
        let absent = self.lease().filter(|lease| lease.absent_until.is_some()).map(Lease::slot);
        let Some(slot) = absent else { return self.end(now, outcome) };
        self.vacate_holder(now, slot);
        let moved = self.end(now, outcome);
        self.settle_clock(now);
        moved
    }

    /// A seat's turn is over, at `own` by the ring's own clock: it waits anew or rests.
    #[inline(always)]
    pub(super) fn put_back(&mut self, own: Instant, slot: u32, goes_on: bool, asks_again: bool) {
        let seat = &mut self.seats[slot as usize];
        let wants = seat.demand == Demand::Always || asks_again || self.named == Some(slot);
        if likely(wants && goes_on) {
            self.queue_up(own, slot, false);
            let queue = &self.queue;
            self.crowd.stay(queue.given(), || queue.oldest_given(&self.seats));
        } else {
            self.crowd.remove(seat.weight.value(), self.queue.given());
            seat.standing = Standing::Resting;
        }
    }
}
