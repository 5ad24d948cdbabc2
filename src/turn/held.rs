//! The turn that is held: its clock, and its answer.

use super::lease::{Clock, Lease};
use super::moved::{Moved, Outcome, Refusal};
use super::ring::{Phase, Ring};
use super::rules::Allowance;
use super::{SeatId, TurnNumber};
use crate::time::{Instant, Nanos};

impl<S> Ring<S> {
    /// Returns the reason why a request of `seat`, fenced by `fence`, may not act on the turn.
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

    /// Starts the clock of a turn whose holder has been told. Returns when the turn lapses, if the clock
    /// runs.
    #[inline]
    pub(super) fn start(&mut self, now: Instant, turn: TurnNumber) -> Option<Instant> {
        self.lease().filter(|lease| lease.turn == turn)?;
        self.begin(now);
        match self.lease()?.clock {
            Clock::Running { deadline, .. } => Some(deadline),
            Clock::Unreleased(_) | Clock::Stopped(_) | Clock::Judged { .. } => None,
        }
    }

    /// Takes back the start of the clock in this very moment, because the holder cannot be told of the turn
    /// yet.
    #[cold]
    pub(super) fn unstart(&mut self, now: Instant, turn: TurnNumber) {
        let left = self.terms.time;
        if let Phase::Held(lease) = &mut self.phase
            && lease.turn == turn
        {
            lease.clock = Clock::Unreleased(left);
            self.settle_clock(now);
        }
    }

    #[inline]
    pub(super) fn begin(&mut self, now: Instant) {
        let paused = self.flags.is_paused();
        let Phase::Held(lease) = &mut self.phase else { return };
        let Clock::Unreleased(left) = lease.clock else { return };
        lease.clock = Clock::go_on(now, left, paused);
        self.settle_clock(now);
    }

    /// Gives the holder of the turn, whose clock may be stopped, more time to be silent.
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

    /// Stops the clock while the answer is with the host.
    pub(super) fn judge(&mut self, now: Instant) -> Option<Instant> {
        let Phase::Held(lease) = &mut self.phase else { return None };
        let until = now + lease.judging_left;
        lease.clock = Clock::Judged { left: lease.clock.left(now), until };
        Some(until)
    }

    /// Refuses the answer for the host: the turn continues, unless it has been refused too often, or its
    /// holder is gone.
    pub(super) fn refuse(&mut self, now: Instant) -> Moved {
        let paused = self.flags.is_paused();
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

    /// Ends the turn of a holder whose connection may be lost: if it is, the seat is vacant from then on.
    pub(super) fn end_present(&mut self, now: Instant, outcome: Outcome) -> Moved {
        let absent = self.lease().filter(|lease| lease.absent_until.is_some()).map(Lease::slot);
        let Some(slot) = absent else { return self.end(now, outcome) };
        self.vacate_holder(now, slot);
        let moved = self.end(now, outcome);
        self.settle_clock(now);
        moved
    }
}
