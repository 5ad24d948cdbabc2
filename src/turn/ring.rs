//! One ring: its seats, who holds the turn, who is next. Every grant happens in [`Ring::advance`].
//!
//! Code that every turn runs through is inlined: a compiler would leave it alone, because it is called from several places, and that
//! costs a tenth of a turn's instructions.

use std::collections::BTreeSet;
use std::time::Duration;

use slab::Slab;

use super::RingId;
use super::lease::{Clock, Extra, Lease, TurnNumber};
use super::moved::{Ended, Grant, HostError, Moved, Outcome, Refusal};
use super::queue::{Links, Queue, Tag};
use super::rules::{Allowance, Rules, Terms};
use super::seat::{Demand, Seat, SeatId, Standing, Weight};
use super::waits::{Crowd, Longest, TurnTime, Wait};
use crate::hint::{likely, unlikely};
use crate::table::growth;
use crate::time::{Alarm, Instant, Nanos, Timers, earlier};

/// The least time that a kept turn goes on with.
const KEPT_TIME_MIN: Duration = Duration::from_secs(1);

/// Where the turn of a ring is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// No seat holds it.
    Idle,
    /// Its holder was lost while the ring was below quorum: it is first when the ring goes on. Its clock is stopped.
    Kept(Lease),
    /// A seat holds it.
    Held(Lease),
}

#[derive(Debug, Clone)]
pub(super) struct Ring<S> {
    pub(super) id: RingId,
    pub(super) rules: Box<Rules>,
    pub(super) terms: Terms,
    pub(super) phase: Phase,
    pub(super) seats: Slab<Seat<S>>,
    pub(super) queue: Queue,
    /// The seat that the host wants next; it is queued.
    pub(super) named: Option<u32>,
    /// The vacant seats, longest vacant first.
    pub(super) vacant: BTreeSet<(Instant, u64, u32)>,
    pub(super) occupied: u32,
    pub(super) last_turn: u64,
    pub(super) last_place: u64,
    pub(super) draining: bool,
    pub(super) paused: bool,
    /// From when the ring's own clock stands (see [`Ring::stands_from`]); the far future while nothing will stop it.
    pub(super) stands_from: Instant,
    /// How long it has stood before that.
    pub(super) stopped: Nanos,
    pub(super) turn_time: TurnTime,
    pub(super) crowd: Crowd,
    pub(super) longest_wait: Longest,
    pub(super) alarm: Alarm,
}

impl<S> Ring<S> {
    pub(super) fn new(now: Instant, id: RingId, rules: Rules, last_turn: u64) -> Ring<S> {
        Ring {
            id,
            terms: rules.terms(),
            turn_time: TurnTime::new(rules.turn_time_max()),
            rules: Box::new(rules),
            phase: Phase::Idle,
            seats: Slab::new(),
            queue: Queue::default(),
            named: None,
            vacant: BTreeSet::new(),
            occupied: 0,
            last_turn,
            last_place: 0,
            draining: false,
            paused: false,
            stands_from: now,
            stopped: Nanos::ZERO,
            crowd: Crowd::default(),
            longest_wait: Longest::default(),
            alarm: Alarm::default(),
        }
    }

    pub(super) fn seat_id(&self, slot: u32) -> SeatId {
        SeatId::new(self.id, slot, self.seats[slot as usize].place)
    }

    pub(super) fn has_quorum(&self) -> bool {
        self.occupied >= self.terms.min_seats
    }

    /// Whether `seat`, of a ring in this one's slot, is one of its seats.
    #[inline]
    pub(super) fn has(&self, seat: SeatId) -> bool {
        self.seats.get(seat.slot as usize).is_some_and(|found| found.place == seat.place)
    }

    pub(super) fn lease(&self) -> Option<&Lease> {
        match &self.phase {
            Phase::Held(lease) => Some(lease),
            Phase::Idle | Phase::Kept(_) => None,
        }
    }

    fn lease_of(&mut self, slot: u32) -> Option<&mut Lease> {
        match &mut self.phase {
            Phase::Held(lease) if lease.slot == slot => Some(lease),
            _ => None,
        }
    }

    /// Whether the client of the seat at `slot` is connected.
    pub(super) fn is_present(&self, slot: u32) -> bool {
        let is_absent = self.lease().is_some_and(|lease| lease.slot == slot && lease.absent_until.is_some());
        self.seats[slot as usize].occupied && !is_absent
    }

    /// The ring's own time: it never goes back, and stands while no seat can be blamed for what others wait.
    #[inline]
    pub(super) fn own_time(&self, now: Instant) -> Instant {
        now.min(self.stands_from) - self.stopped
    }

    /// How long the ring's own clock has stood until `now`.
    pub(super) fn stopped(&self, now: Instant) -> Nanos {
        self.stopped.saturating_add(now.nanos_since(self.stands_from))
    }

    /// Looks anew at whether the ring's own clock stands, after what decides it changed.
    #[inline]
    fn settle_clock(&mut self, now: Instant) {
        let own = self.own_time(now);
        self.stopped = self.stopped(now);
        self.stands_from = self.stands_from(now, own);
    }

    /// Says from when the ring's own clock stands: below quorum, paused, until the holder is told, and for as long as a turn lasts by the
    /// host's will or beyond the rules.
    #[inline]
    fn stands_from(&self, now: Instant, own: Instant) -> Instant {
        if unlikely(self.paused || !self.has_quorum()) {
            return now;
        }
        let Phase::Held(lease) = &self.phase else { return Instant::FAR_FUTURE };
        match lease.extra {
            Extra::None if likely(lease.clock.is_released()) => Instant::FAR_FUTURE,
            Extra::Beyond if lease.clock.is_released() => {
                let allowed = self.terms.time.hold.saturating_add(self.terms.judging);
                now + allowed.saturating_sub(own.nanos_since(lease.since))
            }
            Extra::None | Extra::Beyond | Extra::All => now,
        }
    }

    /// Asks for the ring's next deadline after every change: that of the turn, the end of its holder's absence, or of the first grace.
    #[inline(always)]
    pub(super) fn arm(&mut self, timers: &mut Timers<u32>) {
        let deadline = self.deadline();
        timers.set(&mut self.alarm, self.id.slot, deadline);
    }

    #[inline(always)]
    pub(super) fn deadline(&self) -> Option<Instant> {
        let deadline = self.lease().and_then(Lease::deadline);
        let grace_ends = self.vacant.first().map(|&(since, ..)| since + self.terms.seat_grace);
        earlier(deadline, grace_ends)
    }

    // Seats come and go.

    pub(super) fn join(&mut self, now: Instant, weight: Weight, demand: Demand, data: S) -> (u32, Moved) {
        self.last_place += 1;
        let seat = Seat {
            data,
            place: self.last_place,
            tag: Tag::default(),
            since: now,
            turns_first: 0,
            links: Links::NONE,
            weight,
            demand,
            standing: Standing::Resting,
            occupied: true,
        };
        if self.seats.len() == self.seats.capacity() {
            self.seats.reserve(growth::<Seat<S>>(self.seats.len()));
        }
        let slot = u32::try_from(self.seats.insert(seat)).expect("max_seats fits 32 bits");
        self.occupied += 1;
        self.settle_clock(now);
        if demand == Demand::Always {
            self.enqueue(now, slot);
        }
        (slot, Moved { ended: None, granted: self.advance(now) })
    }

    /// The seat's client is back.
    pub(super) fn occupy(&mut self, now: Instant, slot: u32) -> Moved {
        if let Some(lease) = self.lease_of(slot) {
            lease.absent_until = None;
        }
        let seat = &mut self.seats[slot as usize];
        if seat.occupied {
            return Moved::NOTHING;
        }
        self.vacant.remove(&(seat.since, seat.place, slot));
        seat.occupied = true;
        self.occupied += 1;
        self.settle_clock(now);
        let own = self.own_time(now);
        let seat = &mut self.seats[slot as usize];
        match seat.standing {
            Standing::Queued => {
                seat.since = own;
                self.queue.set_present(seat.weight, true);
            }
            Standing::Missed => self.enqueue(now, slot),
            Standing::Resting | Standing::Holding => {}
        }
        Moved { ended: None, granted: self.advance(now) }
    }

    /// The seat's connection is lost; its place is kept. An answer that is judged, or a grace for turns, keeps the turn, too.
    pub(super) fn vacate(&mut self, now: Instant, slot: u32) -> Moved {
        let (grace, draining) = (self.terms.turn_grace, self.draining);
        if let Some(lease) = self.lease_of(slot) {
            if lease.absent_until.is_some() {
                return Moved::NOTHING;
            }
            if lease.clock.is_judged() || grace > Nanos::ZERO && !draining {
                lease.absent_until = Some(now + grace);
                // Or else it could come and go for ever, each time before it is told.
                self.begin(now);
                return Moved::NOTHING;
            }
        }
        self.lose(now, slot)
    }

    /// Nobody sits on the seat any more.
    fn lose(&mut self, now: Instant, slot: u32) -> Moved {
        let seat = &mut self.seats[slot as usize];
        if !seat.occupied {
            return Moved::NOTHING;
        }
        (seat.occupied, seat.since) = (false, now);
        self.vacant.insert((now, seat.place, slot));
        if seat.standing == Standing::Queued {
            let weight = seat.weight;
            self.queue.set_present(weight, false);
        }
        self.occupied -= 1;
        let moved = match self.phase {
            Phase::Held(lease) if lease.slot == slot => {
                if self.has_quorum() || self.draining {
                    self.end(now, Outcome::Gone)
                } else {
                    self.keep(now, lease)
                }
            }
            _ => Moved::NOTHING,
        };
        self.settle_clock(now);
        moved
    }

    /// The holder was lost, and the ring is below quorum: its turn ends, and goes on under a new number if it is back in time.
    fn keep(&mut self, now: Instant, lease: Lease) -> Moved {
        let Lease { slot, turn, clock, .. } = lease;
        self.phase =
            Phase::Kept(Lease { clock: Clock::Stopped(clock.left(now)), absent_until: None, ..lease });
        Moved { ended: Some(Ended { seat: self.seat_id(slot), turn, outcome: Outcome::Gone }), granted: None }
    }

    /// The seat is given up; its place is gone.
    pub(super) fn retire(&mut self, now: Instant, slot: u32) -> (Moved, S) {
        let mut moved = Moved::NOTHING;
        let (standing, weight) = (self.seats[slot as usize].standing, self.seats[slot as usize].weight);
        if standing == Standing::Queued {
            self.unqueue(slot);
        }
        if self.seats[slot as usize].occupied {
            self.occupied -= 1;
        } else {
            let seat = &self.seats[slot as usize];
            self.vacant.remove(&(seat.since, seat.place, slot));
        }
        if standing == Standing::Holding {
            self.crowd.remove(weight.value(), self.queue.given());
            self.forget_name(slot);
            if let Phase::Held(lease) = self.phase {
                let ended = Ended { seat: self.seat_id(slot), turn: lease.turn, outcome: Outcome::Gone };
                moved.ended = Some(ended);
            }
            self.phase = Phase::Idle;
        }
        let seat = self.seats.remove(slot as usize);
        self.settle_clock(now);
        moved.granted = self.advance(now);
        (moved, seat.data)
    }

    // What seats want.

    pub(super) fn ask(&mut self, now: Instant, slot: u32) -> Moved {
        if let Some(lease) = self.lease_of(slot) {
            lease.asks_again = true;
            return Moved::NOTHING;
        }
        let seat = &self.seats[slot as usize];
        if seat.standing != Standing::Resting || !seat.occupied {
            return Moved::NOTHING;
        }
        self.enqueue(now, slot);
        Moved { ended: None, granted: self.advance(now) }
    }

    pub(super) fn rest(&mut self, now: Instant, slot: u32) -> Result<Moved, Refusal> {
        match self.seats[slot as usize].standing {
            Standing::Holding => match self.phase {
                Phase::Held(lease) if lease.clock.is_judged() => Err(Refusal::Judging),
                Phase::Held(_) => {
                    self.forget_name(slot);
                    Ok(self.end_as(now, Outcome::Passed, false))
                }
                Phase::Kept(_) | Phase::Idle => {
                    self.forget_name(slot);
                    self.phase = Phase::Idle;
                    self.put_back(now, slot, false, false);
                    Ok(Moved::NOTHING)
                }
            },
            Standing::Queued => {
                self.unqueue(slot);
                self.seats[slot as usize].standing = Standing::Resting;
                Ok(Moved::NOTHING)
            }
            Standing::Missed | Standing::Resting => {
                self.seats[slot as usize].standing = Standing::Resting;
                Ok(Moved::NOTHING)
            }
        }
    }

    // The turn that is held.

    /// Finds the turn that `slot` holds, if a request fenced by `fence` may act on it.
    #[inline]
    pub(super) fn holding(&self, slot: u32, fence: Option<u64>) -> Result<&Lease, Refusal> {
        let lease = self.lease().filter(|lease| lease.clock.is_released());
        if unlikely(fence.is_some() && fence != lease.map(|lease| lease.turn.get())) {
            return Err(Refusal::StaleTurn);
        }
        match lease {
            Some(lease) if likely(lease.slot == slot && !lease.clock.is_judged()) => Ok(lease),
            Some(lease) if lease.slot == slot => Err(Refusal::Judging),
            _ => Err(Refusal::NotYourTurn),
        }
    }

    /// Starts the clock of a turn whose holder has been told.
    #[inline]
    pub(super) fn start(&mut self, now: Instant, turn: TurnNumber) {
        if likely(self.lease().is_some_and(|lease| lease.turn == turn)) {
            self.begin(now);
        }
    }

    #[inline]
    fn begin(&mut self, now: Instant) {
        let paused = self.paused;
        let Phase::Held(lease) = &mut self.phase else { return };
        let Clock::Unreleased(left) = lease.clock else { return };
        lease.clock = Clock::go_on(now, left, paused);
        self.settle_clock(now);
    }

    /// Ends the turn that is held, and moves on. Its holder goes behind the others if it wants another one.
    #[inline]
    pub(super) fn end(&mut self, now: Instant, outcome: Outcome) -> Moved {
        self.end_as(now, outcome, true)
    }

    #[inline]
    fn end_as(&mut self, now: Instant, outcome: Outcome, goes_on: bool) -> Moved {
        let Phase::Held(lease) = self.phase else { return Moved::NOTHING };
        self.phase = Phase::Idle;
        if unlikely(lease.extra != Extra::None || !lease.clock.is_released()) {
            self.settle_clock(now);
        }
        let ended = Ended { seat: self.seat_id(lease.slot), turn: lease.turn, outcome };
        self.put_back(now, lease.slot, goes_on, lease.asks_again);
        Moved { ended: Some(ended), granted: self.advance(now) }
    }

    /// A seat's turn is over: it waits anew or rests.
    #[inline]
    fn put_back(&mut self, now: Instant, slot: u32, goes_on: bool, asks_again: bool) {
        let demand = self.seats[slot as usize].demand;
        let wants = demand == Demand::Always || asks_again || self.named == Some(slot);
        if likely(goes_on && wants) {
            self.queue_up(now, slot);
            let queue = &self.queue;
            self.crowd.stay(queue.given(), || queue.oldest_given(&self.seats));
        } else {
            let weight = self.seats[slot as usize].weight;
            self.crowd.remove(weight.value(), self.queue.given());
            self.seats[slot as usize].standing = Standing::Resting;
        }
    }

    /// Gives the holder of the turn, whose clock may stand, more time to be silent.
    pub(super) fn renew(&mut self, now: Instant) -> Result<Option<Instant>, Refusal> {
        let silent = self.terms.silent;
        let Phase::Held(lease) = &mut self.phase else { return Err(Refusal::NotYourTurn) };
        match &mut lease.clock {
            Clock::Running { deadline, hold_until } => {
                let renewed = (now + silent).min(*hold_until);
                if renewed <= *deadline {
                    return Err(Refusal::HoldMax);
                }
                *deadline = renewed;
                Ok(Some(renewed))
            }
            Clock::Unreleased(left) | Clock::Stopped(left) => {
                left.silent = silent.min(left.hold);
                Ok(None)
            }
            Clock::Judged { .. } => Err(Refusal::Judging),
        }
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

    /// Ends the turn of a holder whose connection may be lost: then nobody sits there any more.
    pub(super) fn end_present(&mut self, now: Instant, outcome: Outcome) -> Moved {
        let absent = self.lease().filter(|lease| lease.absent_until.is_some()).map(|lease| lease.slot);
        let Some(slot) = absent else { return self.end(now, outcome) };
        self.vacate_holder(now, slot);
        let moved = self.end(now, outcome);
        self.settle_clock(now);
        moved
    }

    fn vacate_holder(&mut self, now: Instant, slot: u32) {
        let seat = &mut self.seats[slot as usize];
        (seat.occupied, seat.since) = (false, now);
        self.vacant.insert((now, seat.place, slot));
        self.occupied -= 1;
    }

    // What the host wants.

    pub(super) fn name_next(&mut self, slot: u32) -> Result<(), HostError> {
        let seat = &self.seats[slot as usize];
        match seat.standing {
            _ if !self.is_present(slot) => Err(HostError::Away),
            Standing::Resting | Standing::Missed => Err(HostError::Resting),
            Standing::Queued | Standing::Holding => {
                self.named = Some(slot);
                Ok(())
            }
        }
    }

    pub(super) fn extend(&mut self, now: Instant, by: Duration) -> Result<Option<Instant>, HostError> {
        let by = Nanos::from(by);
        let Phase::Held(lease) = &mut self.phase else { return Err(HostError::NoTurn) };
        lease.extra = lease.extra.or_beyond();
        let deadline = match &mut lease.clock {
            Clock::Running { deadline, hold_until } => {
                (*deadline, *hold_until) = (*deadline + by, *hold_until + by);
                Some(*deadline)
            }
            Clock::Unreleased(left) | Clock::Stopped(left) | Clock::Judged { left, .. } => {
                left.silent = left.silent.saturating_add(by);
                left.hold = left.hold.saturating_add(by);
                None
            }
        };
        self.settle_clock(now);
        Ok(deadline)
    }

    pub(super) fn pause(&mut self, now: Instant) {
        self.paused = true;
        if let Phase::Held(lease) = &mut self.phase
            && let Clock::Running { .. } = lease.clock
        {
            lease.clock = Clock::Stopped(lease.clock.left(now));
        }
        self.settle_clock(now);
    }

    pub(super) fn resume(&mut self, now: Instant) -> Moved {
        self.paused = false;
        if let Phase::Held(lease) = &mut self.phase
            && let Clock::Stopped(left) = lease.clock
        {
            lease.clock = Clock::running(now, left);
        }
        self.settle_clock(now);
        Moved { ended: None, granted: self.advance(now) }
    }

    pub(super) fn set_rules(&mut self, now: Instant, rules: Rules) -> Moved {
        let before = std::mem::replace(&mut self.terms, rules.terms());
        self.turn_time.change(
            rules.turn_time_max(),
            self.queue.given(),
            self.queue.oldest_given(&self.seats),
        );
        *self.rules = rules;
        if let Phase::Held(lease) | Phase::Kept(lease) = &mut self.phase {
            // It keeps its time, by which it may last longer than a turn does now.
            lease.extra = lease.extra.or_beyond();
            if before.judging == Nanos::ZERO {
                (lease.judging_left, lease.proposals_left) = (self.terms.judging, self.terms.proposals_max);
            }
        }
        self.settle_clock(now);
        Moved { ended: None, granted: self.advance(now) }
    }

    pub(super) fn drain(&mut self) {
        self.draining = true;
    }

    /// Ends the first thing that `now` has put an end to: a turn, the absence of its holder, or the grace of a vacant seat.
    pub(super) fn expire(&mut self, now: Instant) -> Option<(Moved, Option<(SeatId, S)>)> {
        if let Some(lease) = self.lease().copied() {
            let is_due = lease.deadline().is_some_and(|deadline| deadline <= now);
            let moved = match lease.clock {
                _ if !is_due => None,
                // A host that does not rule in time has refused.
                Clock::Judged { .. } => Some(self.refuse(now)),
                Clock::Running { deadline, .. } if deadline <= now => {
                    Some(self.end_present(now, Outcome::Lapsed))
                }
                Clock::Running { .. } | Clock::Unreleased(_) | Clock::Stopped(_) => {
                    Some(self.lose(now, lease.slot))
                }
            };
            if let Some(moved) = moved {
                return Some((moved, None));
            }
        }
        let &(since, _, slot) = self.vacant.first()?;
        if since + self.terms.seat_grace > now {
            return None;
        }
        let id = self.seat_id(slot);
        let (moved, data) = self.retire(now, slot);
        Some((moved, Some((id, data))))
    }

    // How the turn moves.

    /// Grants the next turn if one can be granted.
    #[inline(always)]
    fn advance(&mut self, now: Instant) -> Option<Grant> {
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
            && let Some(slot) = self.take_named(now)
        {
            return Some(self.grant(now, slot, Extra::All));
        }
        loop {
            let slot = self.queue.pop(&mut self.seats)?;
            let seat = &mut self.seats[slot as usize];
            if likely(seat.occupied) {
                self.queue.advance_to(seat.tag);
                self.note_wait(now, slot);
                return Some(self.grant(now, slot, Extra::None));
            }
            seat.standing = Standing::Missed;
            let weight = seat.weight.value();
            self.crowd.remove(weight, self.queue.given());
        }
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
        self.note_wait(now, slot);
        Some(slot)
    }

    #[inline(always)]
    fn note_wait(&mut self, now: Instant, slot: u32) {
        let own = self.own_time(now);
        let seat = &self.seats[slot as usize];
        let wait = Wait {
            since: seat.since,
            turns_first: seat.turns_first,
            weight: seat.weight.value(),
            given: seat.tag.given,
        };
        self.longest_wait.note(own, wait, &self.crowd, &self.turn_time);
    }

    #[inline(always)]
    fn grant(&mut self, now: Instant, slot: u32, extra: Extra) -> Grant {
        let seat = &mut self.seats[slot as usize];
        seat.standing = Standing::Holding;
        let seat = SeatId::new(self.id, slot, seat.place);
        let turn = TurnNumber::after(self.last_turn);
        self.hold(
            now,
            Lease {
                slot,
                turn,
                clock: Clock::Unreleased(self.terms.time),
                since: self.own_time(now),
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
    fn enqueue(&mut self, now: Instant, slot: u32) {
        self.queue_up(now, slot);
        let weight = self.seats[slot as usize].weight.value();
        let (queue, seats) = (&self.queue, &self.seats);
        self.crowd.add(weight, queue.given(), || queue.oldest_given(seats));
    }

    #[inline]
    fn queue_up(&mut self, now: Instant, slot: u32) {
        let own = self.own_time(now);
        let turns_first = self.queue.len() + u32::from(matches!(self.phase, Phase::Held(_) | Phase::Kept(_)));
        self.queue.push(&mut self.seats, slot);
        let seat = &mut self.seats[slot as usize];
        (seat.standing, seat.turns_first) = (Standing::Queued, turns_first);
        if likely(seat.occupied) {
            seat.since = own;
        }
    }

    fn unqueue(&mut self, slot: u32) {
        self.queue.remove(&mut self.seats, slot);
        let weight = self.seats[slot as usize].weight.value();
        self.crowd.remove(weight, self.queue.given());
        self.forget_name(slot);
    }

    fn forget_name(&mut self, slot: u32) {
        self.named.take_if(|named| *named == slot);
    }

    /// Whether the seat at `slot` will get the turn and does not have it, its client being there.
    pub(super) fn is_waiting(&self, slot: u32) -> bool {
        let seat = &self.seats[slot as usize];
        let is_kept = matches!(self.phase, Phase::Kept(kept) if kept.slot == slot);
        seat.occupied && (seat.standing == Standing::Queued || is_kept)
    }

    /// How many seats that are there come before the waiting `slot`, the holder included.
    pub(super) fn ahead_of(&self, slot: u32) -> usize {
        let holder = match self.phase {
            Phase::Held(_) => 1,
            Phase::Kept(kept) => usize::from(self.seats[kept.slot as usize].occupied),
            Phase::Idle => 0,
        };
        match self.seats[slot as usize].standing {
            Standing::Queued => self.queue.ahead_of(&self.seats, slot) + holder,
            _ => 0,
        }
    }

    /// Returns how long a seat of weight 1 that begins to wait now waits at most.
    pub(super) fn bound_now(&self) -> Option<Duration> {
        let is_held = matches!(self.phase, Phase::Held(_) | Phase::Kept(_));
        let turns_first = self.queue.len() + u32::from(is_held);
        self.turn_time.bound(self.queue.given() + 1, self.crowd.turns_first_now(turns_first))
    }
}
