//! How the turn moves. Every grant happens in [`Ring::advance`].
//!
//! Code that every turn runs through is inlined: a compiler would leave it alone, because it is called from several places, and that
//! costs a tenth of a turn's instructions.

use std::time::Duration;

use super::SeatId;
use super::holding::Tell;
use super::lease::{Clock, Extra, Lease, TurnNumber};
use super::moved::Grant;
use super::ring::{Phase, Ring};
use super::rules::Allowance;
use super::seat::Standing;
use crate::hint::unlikely;
use crate::time::{Instant, Nanos};

/// The least time that a kept turn goes on with.
const KEPT_TIME_MIN: Duration = Duration::from_secs(1);

impl<S> Ring<S> {
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

    /// Grants the next turn to the first in the queue. If `tell` has told the holder, its clock runs: also returns when it lapses.
    #[inline(always)]
    pub(super) fn grant_telling(
        &mut self,
        now: Instant,
        own: Instant,
        tell: impl Tell<S>,
    ) -> Result<(Grant, Instant), Option<Grant>> {
        let Some(first) = self.queue.pop(&mut self.seats) else { return Err(None) };
        let slot = match first {
            Ok(slot) => slot,
            Err(slot) => return Err(self.grant_behind(now, slot)),
        };
        let seat = &mut self.seats[slot as usize];
        seat.standing = Standing::Holding;
        self.longest_wait.note(own, seat.since, || seat.wait(), &self.crowd, &self.turn_time);
        let turn = TurnNumber::after(self.last_turn);
        self.last_turn = turn.get();
        let grant = Grant { seat: SeatId::new(self.id, slot, seat.place), turn };
        let (deadline, hold_until) = (now + self.terms.time.silent, now + self.terms.time.hold);
        if unlikely(!tell.tell(&seat.data, grant, deadline)) {
            self.hold_untold(now, grant, Extra::None);
            return Err(Some(grant));
        }
        let clock = Clock::Running { deadline, hold_until };
        self.phase = Phase::Held(self.lease_for(own, grant, clock, Extra::None));
        debug_assert_eq!(self.stands_from, Instant::FAR_FUTURE, "nothing stops the ring's own clock");
        Ok((grant, deadline))
    }

    pub(super) fn grant_first(&mut self, now: Instant) -> Option<Grant> {
        if self.named.is_some()
            && let Some(slot) = self.take_named(now)
        {
            let seat = self.seat_id(slot);
            return Some(self.grant(now, seat, Extra::All));
        }
        let first = self.take_first(self.own_time(now))?;
        Some(self.grant(now, first, Extra::None))
    }

    /// Takes the next seat whose client is there out of the queue, at `own` by the ring's own clock: it holds the turn.
    fn take_first(&mut self, own: Instant) -> Option<SeatId> {
        loop {
            let slot = match self.queue.pop(&mut self.seats)? {
                Ok(slot) => slot,
                Err(slot) => {
                    self.miss(slot);
                    continue;
                }
            };
            let seat = &mut self.seats[slot as usize];
            seat.standing = Standing::Holding;
            self.longest_wait.note(own, seat.since, || seat.wait(), &self.crowd, &self.turn_time);
            return Some(SeatId::new(self.id, slot, seat.place));
        }
    }

    #[cold]
    fn grant_behind(&mut self, now: Instant, missed: u32) -> Option<Grant> {
        self.miss(missed);
        self.grant_first(now)
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
    fn take_named(&mut self, now: Instant) -> Option<u32> {
        let slot = self.named.take()?;
        let seat = &self.seats[slot as usize];
        if !seat.occupied || seat.standing != Standing::Queued {
            return None;
        }
        self.queue.remove(&mut self.seats, slot);
        let own = self.own_time(now);
        let seat = &mut self.seats[slot as usize];
        seat.standing = Standing::Holding;
        self.longest_wait.note(own, seat.since, || seat.wait(), &self.crowd, &self.turn_time);
        Some(slot)
    }

    fn grant(&mut self, now: Instant, seat: SeatId, extra: Extra) -> Grant {
        let grant = Grant { seat, turn: self.next_turn() };
        self.hold_untold(now, grant, extra);
        grant
    }

    fn next_turn(&mut self) -> TurnNumber {
        let turn = TurnNumber::after(self.last_turn);
        self.last_turn = turn.get();
        turn
    }

    fn hold_untold(&mut self, now: Instant, grant: Grant, extra: Extra) {
        let lease = self.lease_for(self.own_time(now), grant, Clock::Unreleased(self.terms.time), extra);
        self.hold(now, lease);
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
        let turn = self.next_turn();
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
        self.queue_up(self.own_time(now), slot, is_held);
        let weight = self.seats[slot as usize].weight.value();
        let (queue, seats) = (&self.queue, &self.seats);
        self.crowd.add(weight, queue.given(), || queue.oldest_given(seats));
    }

    #[inline(always)]
    pub(super) fn queue_up(&mut self, own: Instant, slot: u32, is_held: bool) {
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
