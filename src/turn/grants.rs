//! How the turn moves: it ends, and the next one is granted, in [`Ring::advance`] or
//! [`Holding::hand_over`](super::Holding::hand_over).
//!
//! Code that every turn runs through is inlined: by itself a compiler would not inline it, because it is
//! called from several places, and that costs a tenth of a turn's instructions.

use std::time::Duration;

use super::lease::{Clock, Extra, Lease};
use super::moved::{Ended, Grant, Moved, Outcome};
use super::ring::{Phase, Ring};
use super::rules::Allowance;
use super::seat::{Demand, Standing};
use super::{SeatId, TurnNumber};
use crate::hint::{likely, unlikely};
use crate::time::{Instant, Nanos};

/// The least time with which a kept turn continues.
const KEPT_TIME_MIN: Duration = Duration::from_secs(1);

impl<S> Ring<S> {
    /// Ends the turn that is held, and moves on. Its holder goes after the others if it wants another turn.
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

    /// Puts back a seat whose turn is over, at `own` by the ring's own clock: it waits again or rests.
    #[inline(always)]
    pub(super) fn put_back(&mut self, own: Instant, slot: u32, goes_on: bool, asks_again: bool) {
        let seat = &mut self.seats[slot as usize];
        let wants = seat.demand == Demand::Always || asks_again || self.named == Some(slot);
        if likely(wants && goes_on) {
            self.queue.push(&mut self.seats, slot, own, false);
            if unlikely(self.contention.weighted_since.is_some()) {
                self.contention.add(0, self.queue.given(), self.queue.oldest_given(&self.seats));
            }
        } else {
            self.contention.remove(seat.weight.value(), self.queue.given());
            seat.standing = Standing::Resting;
        }
    }

    /// Grants the next turn if one can be granted.
    pub(super) fn advance(&mut self, now: Instant) -> Option<Grant> {
        if self.flags.is_draining() || self.flags.is_paused() || !self.has_quorum() {
            return None;
        }
        match self.phase {
            Phase::Held(_) => None,
            Phase::Idle => self.grant_first(now),
            Phase::Kept(kept) => self.grant_kept(now, kept),
        }
    }

    fn grant_first(&mut self, now: Instant) -> Option<Grant> {
        if unlikely(self.named.is_some())
            && let Some(slot) = self.take_named()
        {
            return Some(self.grant(now, slot, Extra::All));
        }
        let slot = self.queue.pop(&mut self.seats).or_else(|| self.take_first())?;
        Some(self.grant(now, slot, Extra::None))
    }

    /// Takes the next seat whose client is present out of the queue.
    #[cold]
    pub(super) fn take_first(&mut self) -> Option<u32> {
        loop {
            match self.queue.pop_of_many(&mut self.seats)? {
                Ok(slot) => return Some(slot),
                Err(slot) => self.miss(slot),
            }
        }
    }

    /// Notes that the turn of the seat at `slot` came while its client was away.
    #[cold]
    pub(super) fn miss(&mut self, slot: u32) {
        let seat = &mut self.seats[slot as usize];
        seat.standing = Standing::Missed;
        self.passed_over.note(self.flags, slot);
        self.contention.remove(seat.weight.value(), self.queue.given());
        self.forget_name(slot);
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

    /// Gives the next turn to the seat at `slot`, which has waited until `own`, by the ring's own clock. Also
    /// returns the data of the seat.
    #[inline(always)]
    pub(super) fn begin_turn(&mut self, slot: u32, own: Instant, clock: Clock, extra: Extra) -> (Grant, &S) {
        let seat = &mut self.seats[slot as usize];
        seat.standing = Standing::Holding;
        // Nearly always false, and cheaper than a subtraction.
        if unlikely(seat.since + self.longest_wait.waited < own) {
            self.longest_wait.replace(own, seat.wait(), &self.contention, &self.turn_time);
        }
        let granted = Grant {
            seat: SeatId::new(self.id, slot, seat.place),
            turn: TurnNumber::next(&mut self.last_turn),
        };
        self.phase = Phase::Held(Lease {
            seat: granted.seat,
            turn: granted.turn,
            clock,
            since: own,
            judging_left: self.terms.judging,
            proposals_left: self.terms.proposals_max,
            absent_until: None,
            asks_again: false,
            raised: false,
            extra,
        });
        (granted, &seat.data)
    }

    fn grant(&mut self, now: Instant, slot: u32, extra: Extra) -> Grant {
        let (own, clock) = (self.own_time(now), Clock::Unreleased(self.terms.time));
        let (granted, _) = self.begin_turn(slot, own, clock, extra);
        self.stand_from(now);
        granted
    }

    /// When the ring continues, the kept turn continues if its holder is present, and is over otherwise.
    #[cold]
    fn grant_kept(&mut self, now: Instant, kept: Lease) -> Option<Grant> {
        self.phase = Phase::Idle;
        if !self.seats[kept.slot() as usize].occupied {
            self.passed_over.note(self.flags, kept.slot());
            self.put_back(self.own_time(now), kept.slot(), true, kept.asks_again);
            return self.grant_first(now);
        }
        let left = kept.clock.left(now);
        let least = if kept.raised { Nanos::ZERO } else { KEPT_TIME_MIN.into() };
        let raised = Allowance { silent: left.silent.max(least), hold: left.hold.max(least) };
        let turn = TurnNumber::next(&mut self.last_turn);
        self.phase = Phase::Held(Lease {
            turn,
            clock: Clock::Unreleased(raised),
            raised: kept.raised || raised != left,
            extra: if raised == left { kept.extra } else { kept.extra.or_beyond() },
            ..kept
        });
        self.stand_from(now);
        Some(Grant { seat: self.seat_id(kept.slot()), turn })
    }

    /// Until the holder of a new turn is told, the others are charged no time.
    fn stand_from(&mut self, now: Instant) {
        self.stopped = self.stopped(now);
        self.stands_from = now;
    }

    /// Queues the seat at `slot`, which begins to wait.
    pub(super) fn enqueue(&mut self, now: Instant, slot: u32) {
        let is_held = matches!(self.phase, Phase::Held(_) | Phase::Kept(_));
        let own = self.own_time(now);
        self.queue.push(&mut self.seats, slot, own, is_held);
        let weight = self.seats[slot as usize].weight.value();
        self.contention.add(weight, self.queue.given(), self.queue.oldest_given(&self.seats));
    }

    pub(super) fn unqueue(&mut self, slot: u32) {
        self.queue.remove(&mut self.seats, slot);
        let weight = self.seats[slot as usize].weight.value();
        self.contention.remove(weight, self.queue.given());
        self.forget_name(slot);
    }

    pub(super) fn forget_name(&mut self, slot: u32) {
        self.named.take_if(|named| *named == slot);
    }
}
