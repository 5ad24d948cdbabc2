//! How the turn moves: it ends, and the next one is granted, in [`Ring::advance`] or [`Ring::hand_over`].
//!
//! Code that every turn runs through is inlined: a compiler would leave it alone, because it is called from
//! several places, and that costs a tenth of a turn's instructions.

use std::time::Duration;

use super::lease::{Clock, Extra, Lease};
use super::moved::{Ended, Grant, HandOver, Moved, Outcome};
use super::ring::{Phase, Ring};
use super::rules::Allowance;
use super::seat::{Demand, Standing};
use super::{SeatId, TurnNumber};
use crate::hint::{likely, unlikely};
use crate::time::{Instant, Nanos};

/// The least time that a kept turn goes on with.
const KEPT_TIME_MIN: Duration = Duration::from_secs(1);

impl<S> Ring<S> {
    /// Ends the turn that is held by its answer, and grants the next one to a holder that can be told at
    /// once: its clock runs from `now`. An error is a move in which no clock has begun.
    #[inline(always)]
    pub(super) fn hand_over(&mut self, now: Instant) -> Result<HandOver, Moved> {
        let Phase::Held(lease) = &self.phase else { return Err(Moved::NOTHING) };
        // Without a branch between them, as nearly always all are looked at.
        let goes_on =
            self.named.is_none() & !self.draining & !self.paused & (self.occupied >= self.terms.min_seats);
        if unlikely(!goes_on | (lease.extra != Extra::None)) {
            return Err(self.end(now, Outcome::Answered));
        }
        let (seat, turn, asks_again) = (lease.seat, lease.turn, lease.asks_again);
        let own = self.own_time(now);
        self.put_back(own, seat.slot(), true, asks_again);
        let slot = match self.queue.pop(&mut self.seats) {
            Some(Ok(slot)) => slot,
            missed => {
                return Err(self.hand_over_behind(
                    now,
                    Ended { seat, turn, outcome: Outcome::Answered },
                    missed,
                ));
            }
        };
        let granted = self.next_turn_of(slot, own);
        let (lapses, hold_until) = (now + self.terms.time.silent, now + self.terms.time.hold);
        let clock = Clock::Running { deadline: lapses, hold_until };
        self.phase = Phase::Held(self.lease_for(own, granted, clock, Extra::None));
        debug_assert_eq!(self.stands_from, Instant::FAR_FUTURE, "nothing stops the ring's own clock");
        Ok(HandOver { seat, turn, granted, lapses })
    }

    /// The turn has ended, and the first in the queue cannot have the next one.
    #[cold]
    fn hand_over_behind(&mut self, now: Instant, ended: Ended, missed: Option<Result<u32, u32>>) -> Moved {
        self.phase = Phase::Idle;
        if let Some(Err(slot)) = missed {
            self.miss(slot);
        }
        Moved { ended: Some(ended), granted: self.advance(now) }
    }

    /// Ends the turn that is held, and moves on. Its holder goes behind the others if it wants another one.
    pub(super) fn end(&mut self, now: Instant, outcome: Outcome) -> Moved {
        self.end_as(now, outcome, true)
    }

    pub(super) fn end_as(&mut self, now: Instant, outcome: Outcome, goes_on: bool) -> Moved {
        let Phase::Held(lease) = self.phase else { return Moved::NOTHING };
        self.phase = Phase::Idle;
        self.settle_clock(now);
        self.put_back(self.own_time(now), lease.slot(), goes_on, lease.asks_again);
        let ended = Ended { seat: lease.seat, turn: lease.turn, outcome };
        Moved { ended: Some(ended), granted: self.advance(now) }
    }

    /// A seat's turn is over, at `own` by the ring's own clock: it waits anew or rests.
    #[inline(always)]
    pub(super) fn put_back(&mut self, own: Instant, slot: u32, goes_on: bool, asks_again: bool) {
        let seat = &mut self.seats[slot as usize];
        let wants = seat.demand == Demand::Always || asks_again || self.named == Some(slot);
        if likely(wants && goes_on) {
            self.queue.push(&mut self.seats, slot, own, false);
            if unlikely(self.crowd.weighted_since.is_some()) {
                self.crowd.add(0, self.queue.given(), self.queue.oldest_given(&self.seats));
            }
        } else {
            self.crowd.remove(seat.weight.value(), self.queue.given());
            seat.standing = Standing::Resting;
        }
    }

    /// Grants the next turn if one can be granted.
    pub(super) fn advance(&mut self, now: Instant) -> Option<Grant> {
        if self.draining || self.paused || !self.has_quorum() {
            return None;
        }
        match self.phase {
            Phase::Held(_) => None,
            Phase::Idle => self.grant_first(now),
            Phase::Kept(kept) => self.grant_kept(now, kept),
        }
    }

    fn grant_first(&mut self, now: Instant) -> Option<Grant> {
        if let Some(slot) = self.take_named() {
            return Some(self.grant(now, slot, Extra::All));
        }
        let slot = self.take_first()?;
        Some(self.grant(now, slot, Extra::None))
    }

    /// Takes the next seat whose client is there out of the queue.
    fn take_first(&mut self) -> Option<u32> {
        loop {
            match self.queue.pop(&mut self.seats)? {
                Ok(slot) => return Some(slot),
                Err(slot) => self.miss(slot),
            }
        }
    }

    /// The turn of the seat at `slot` came while its client was away.
    #[cold]
    fn miss(&mut self, slot: u32) {
        let seat = &mut self.seats[slot as usize];
        seat.standing = Standing::Missed;
        self.crowd.remove(seat.weight.value(), self.queue.given());
    }

    /// Takes the seat that the host named, if it can still have the turn.
    #[cold]
    fn take_named(&mut self) -> Option<u32> {
        let slot = self.named.take()?;
        let seat = &self.seats[slot as usize];
        if !seat.occupied || seat.standing != Standing::Queued {
            return None;
        }
        self.queue.remove(&mut self.seats, slot);
        Some(slot)
    }

    /// The seat at `slot` has waited until `own`, by the ring's own clock, and the next turn is its own.
    #[inline(always)]
    fn next_turn_of(&mut self, slot: u32, own: Instant) -> Grant {
        let seat = &mut self.seats[slot as usize];
        seat.standing = Standing::Holding;
        // Nearly always false, and cheaper than a subtraction.
        if unlikely(seat.since + self.longest_wait.waited < own) {
            self.longest_wait.replace(own, seat.wait(), &self.crowd, &self.turn_time);
        }
        let turn = TurnNumber::after(self.last_turn);
        self.last_turn = turn.get();
        Grant { seat: SeatId::new(self.id, slot, seat.place), turn }
    }

    fn grant(&mut self, now: Instant, slot: u32, extra: Extra) -> Grant {
        let own = self.own_time(now);
        let grant = self.next_turn_of(slot, own);
        let lease = self.lease_for(own, grant, Clock::Unreleased(self.terms.time), extra);
        self.hold(now, lease);
        grant
    }

    #[inline(always)]
    fn lease_for(&self, own: Instant, Grant { seat, turn }: Grant, clock: Clock, extra: Extra) -> Lease {
        Lease {
            seat,
            turn,
            clock,
            since: own,
            judging_left: self.terms.judging,
            proposals_left: self.terms.proposals_max,
            absent_until: None,
            asks_again: false,
            raised: false,
            extra,
        }
    }

    /// The ring goes on: the turn that was kept goes on if its holder is there, and is over otherwise.
    #[cold]
    fn grant_kept(&mut self, now: Instant, kept: Lease) -> Option<Grant> {
        self.phase = Phase::Idle;
        if !self.seats[kept.slot() as usize].occupied {
            self.put_back(self.own_time(now), kept.slot(), true, kept.asks_again);
            return self.grant_first(now);
        }
        let left = kept.clock.left(now);
        let least = if kept.raised { Nanos::ZERO } else { KEPT_TIME_MIN.into() };
        let raised = Allowance { silent: left.silent.max(least), hold: left.hold.max(least) };
        let turn = TurnNumber::after(self.last_turn);
        self.last_turn = turn.get();
        self.hold(
            now,
            Lease {
                turn,
                clock: Clock::Unreleased(raised),
                raised: kept.raised || raised != left,
                extra: if raised == left { kept.extra } else { kept.extra.or_beyond() },
                ..kept
            },
        );
        Some(Grant { seat: self.seat_id(kept.slot()), turn })
    }

    /// Until the holder is told, the turn costs the others no time.
    fn hold(&mut self, now: Instant, lease: Lease) {
        self.phase = Phase::Held(lease);
        self.stopped = self.stopped(now);
        self.stands_from = now;
    }

    /// The seat at `slot` begins to wait.
    pub(super) fn enqueue(&mut self, now: Instant, slot: u32) {
        let is_held = matches!(self.phase, Phase::Held(_) | Phase::Kept(_));
        let own = self.own_time(now);
        self.queue.push(&mut self.seats, slot, own, is_held);
        let weight = self.seats[slot as usize].weight.value();
        self.crowd.add(weight, self.queue.given(), self.queue.oldest_given(&self.seats));
    }

    pub(super) fn unqueue(&mut self, slot: u32) {
        self.queue.remove(&mut self.seats, slot);
        let weight = self.seats[slot as usize].weight.value();
        self.crowd.remove(weight, self.queue.given());
        self.forget_name(slot);
    }

    pub(super) fn forget_name(&mut self, slot: u32) {
        self.named.take_if(|named| *named == slot);
    }
}
