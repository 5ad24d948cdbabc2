//! How the turn moves. Every grant happens in [`Ring::advance`].
//!
//! Code that every turn runs through is inlined: a compiler would leave it alone, because it is called from several places, and that
//! costs a tenth of a turn's instructions.

use std::time::Duration;

use super::lease::{Clock, Extra, Lease, TurnNumber};
use super::moved::Grant;
use super::ring::{Phase, Ring};
use super::rules::Allowance;
use super::seat::{SeatId, Standing};
use crate::hint::{likely, unlikely};
use crate::time::{Instant, Nanos};

/// The least time that a kept turn goes on with.
const KEPT_TIME_MIN: Duration = Duration::from_secs(1);

impl<S> Ring<S> {
    /// Grants the next turn if one can be granted.
    #[inline(always)]
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

    #[inline(always)]
    fn grant_first(&mut self, now: Instant) -> Option<Grant> {
        if unlikely(self.named.is_some())
            && let Some(slot) = self.take_named()
        {
            return Some(self.grant(now, slot, Extra::All));
        }
        loop {
            let slot = self.queue.pop(&mut self.seats)?;
            let seat = &mut self.seats[slot as usize];
            if likely(seat.occupied) {
                self.queue.advance_to(seat.tag);
                return Some(self.grant(now, slot, Extra::None));
            }
            seat.standing = Standing::Missed;
            let weight = seat.weight.value();
            self.crowd.remove(weight, self.queue.given());
        }
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

    /// Gives the turn to a seat that has just been taken out of the queue.
    #[inline(always)]
    fn grant(&mut self, now: Instant, slot: u32, extra: Extra) -> Grant {
        let own = self.own_time(now);
        let seat = &mut self.seats[slot as usize];
        seat.standing = Standing::Holding;
        self.longest_wait.note(own, seat.wait(), &self.crowd, &self.turn_time);
        let seat = SeatId::new(self.id, slot, seat.place);
        let turn = TurnNumber::after(self.last_turn);
        self.hold(
            now,
            Lease {
                slot,
                turn,
                clock: Clock::Unreleased(self.terms.time),
                since: own,
                judging_left: self.terms.judging,
                proposals_left: self.terms.proposals_max,
                absent_until: None,
                asks_again: false,
                raised: false,
                extra,
            },
        );
        Grant { seat, turn }
    }

    /// The ring goes on: the turn that was kept goes on if its holder is there, and is over otherwise.
    #[cold]
    fn grant_kept(&mut self, now: Instant, kept: Lease) -> Option<Grant> {
        self.phase = Phase::Idle;
        if !self.seats[kept.slot as usize].occupied {
            self.put_back(now, kept.slot, true, kept.asks_again);
            return self.grant_first(now);
        }
        let left = kept.clock.left(now);
        let least = if kept.raised { Nanos::ZERO } else { KEPT_TIME_MIN.into() };
        let raised = Allowance { silent: left.silent.max(least), hold: left.hold.max(least) };
        let turn = TurnNumber::after(self.last_turn);
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
        Some(Grant { seat: self.seat_id(kept.slot), turn })
    }

    /// Until the holder is told, the turn costs the others no time.
    #[inline(always)]
    fn hold(&mut self, now: Instant, lease: Lease) {
        self.last_turn = lease.turn.get();
        self.phase = Phase::Held(lease);
        self.stopped = self.stopped(now);
        self.stands_from = now;
    }

    /// The seat at `slot` begins to wait.
    pub(super) fn enqueue(&mut self, now: Instant, slot: u32) {
        self.queue_up(now, slot);
        let weight = self.seats[slot as usize].weight.value();
        let (queue, seats) = (&self.queue, &self.seats);
        self.crowd.add(weight, queue.given(), || queue.oldest_given(seats));
    }

    #[inline]
    pub(super) fn queue_up(&mut self, now: Instant, slot: u32) {
        let own = self.own_time(now);
        let is_held = matches!(self.phase, Phase::Held(_) | Phase::Kept(_));
        self.queue.push(&mut self.seats, slot, own, is_held);
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
