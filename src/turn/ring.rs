//! One ring: its seats, who holds the turn, who is next. Every move of the turn happens in [`Ring::advance`].
//!
//! What every turn goes through, and a compiler would leave alone because it is called from several places, is inlined: a tenth of a
//! turn's instructions.

use std::collections::{BTreeSet, VecDeque};

use slab::Slab;

use super::event::{Ended, Grant, HandOver, Outcome, Output, Refusal, Taken};
use super::held_back::HeldBack;
use super::lease::{Lease, TurnNumber};
use super::newcomers::Newcomers;
use super::order::Order;
use super::seat::{Accepted, Occupancy, Seat, SeatId, Weight};
use super::share::{Rank, Share};
use super::state::{Cause, Next, Phase};
use super::{RingId, SchedulerConfig};
use crate::hint::{likely, unlikely};
use crate::table::growth;
use crate::time::{Alarm, Instant, Nanos, Timers, earlier};

#[derive(Debug, Clone)]
pub(super) struct Ring<S> {
    pub(super) id: RingId,
    pub(super) phase: Phase,
    pub(super) seats: Slab<Seat<S>>,
    /// The occupied seats that wait for the turn.
    pub(super) order: Order,
    /// The vacant seats, longest vacant first.
    pub(super) vacant: BTreeSet<(Instant, u64, u32)>,
    /// Where the last turn that counts for the order ended: behind it is who comes next.
    pub(super) position: Rank,
    pub(super) newcomers: Newcomers,
    pub(super) last_turn: u64,
    pub(super) last_place: u64,
    /// The sum of the weights of the occupied seats.
    pub(super) weight: u64,
    /// The sum of all weights that were ever seated.
    pub(super) weight_joined: u64,
    /// When the ring last began to grant turns: waits are counted from here at the earliest.
    pub(super) running_since: Option<Instant>,
    pub(super) held_back: HeldBack,
    pub(super) longest_wait: Wait,
    pub(super) alarm: Alarm,
}

impl<S> Ring<S> {
    pub(super) fn new(id: RingId, last_turn: u64) -> Ring<S> {
        Ring {
            id,
            phase: Phase::Paused,
            seats: Slab::new(),
            order: Order::default(),
            vacant: BTreeSet::new(),
            position: Rank::default(),
            newcomers: Newcomers::default(),
            last_turn,
            last_place: 0,
            weight: 0,
            weight_joined: 0,
            running_since: None,
            held_back: HeldBack::default(),
            longest_wait: Wait::default(),
            alarm: Alarm::default(),
        }
    }

    pub(super) fn seat_id(&self, slot: u32) -> SeatId {
        SeatId::new(self.id, slot, self.seats[slot as usize].place())
    }

    pub(super) fn rank_of(&self, slot: u32) -> Rank {
        self.seats[slot as usize].rank()
    }

    pub(super) fn occupied(&self) -> usize {
        self.seats.len() - self.vacant.len()
    }

    pub(super) fn holds(&self, slot: u32) -> bool {
        self.held_by(slot).is_some()
    }

    /// The turn that `slot` holds, if it does.
    pub(super) fn held_by(&self, slot: u32) -> Option<Lease> {
        self.phase.lease().filter(|lease| lease.slot == slot).copied()
    }

    /// Whether `seat`, of a ring in this one's slot, is one of its seats.
    pub(super) fn has(&self, seat: SeatId) -> bool {
        self.seats.get(seat.slot as usize).is_some_and(|found| found.place() == seat.place)
    }

    /// After every change: asks for the ring's next deadline, that of the turn or the end of the first grace.
    #[inline(always)]
    pub(super) fn arm(&mut self, timers: &mut Timers<u32>, rules: &Rules) {
        let deadline = self.phase.lease().map(|lease| lease.deadline);
        let grace_ends = self.vacant.first().map(|&(since, ..)| since + rules.seat_grace);
        timers.set(&mut self.alarm, self.id.slot, earlier(deadline, grace_ends));
    }

    // What the world did.

    pub(super) fn join(
        &mut self,
        now: Instant,
        weight: Weight,
        data: S,
        rules: &Rules,
        out: Out<'_, S>,
    ) -> u32 {
        self.last_place += 1;
        let order = i64::try_from(self.last_place).expect("fewer than 2^63 seats are ever made");
        let end = Rank { point: self.position.point, order };
        let start = self.newcomers.admit(end, self.occupied());
        let seat = Seat {
            data,
            order: start.order,
            share: Share::starting_at(weight, start.point),
            occupancy: Occupancy::Vacant,
            since: now,
            last: None,
        };
        if self.seats.len() == self.seats.capacity() {
            self.seats.reserve(growth::<Seat<S>>(self.seats.len()));
        }
        let slot = u32::try_from(self.seats.insert(seat)).expect("max_seats fits 32 bits");
        self.sit_down(now, slot, rules, out);
        slot
    }

    /// A vacant seat's client is back, or another takes its place over.
    pub(super) fn occupy(&mut self, now: Instant, slot: u32, rules: &Rules, out: Out<'_, S>) {
        let seat = &self.seats[slot as usize];
        if seat.is_occupied() {
            return;
        }
        self.vacant.remove(&(seat.since, seat.place(), slot));
        self.sit_down(now, slot, rules, out);
    }

    /// The seat's connection is lost; its place is kept.
    pub(super) fn vacate(&mut self, now: Instant, slot: u32, rules: &Rules, out: Out<'_, S>) {
        let seat = &mut self.seats[slot as usize];
        if !seat.is_occupied() {
            return;
        }
        (seat.occupancy, seat.since) = (Occupancy::Vacant, now);
        self.vacant.insert((now, seat.place(), slot));
        self.weight -= seat.weight();
        let rank = seat.rank();
        self.order.remove(slot, rank);
        self.held_back.remove(slot);
        if let Some(lease) = self.held_by(slot) {
            queue(out, self.end_turn(now, lease, Outcome::Gone, rules));
        }
    }

    /// The seat is given up; its place is gone.
    pub(super) fn leave(&mut self, now: Instant, slot: u32, rules: &Rules, out: Out<'_, S>) {
        self.vacate(now, slot, rules, out);
        let id = self.seat_id(slot);
        let seat = self.seats.remove(slot as usize);
        self.vacant.remove(&(seat.since, seat.place(), slot));
        self.newcomers.departed(seat.share.point(), self.position, self.occupied());
        out.push_back(Output::Retired { seat: id, data: seat.data });
    }

    pub(super) fn answer(
        &mut self,
        now: Instant,
        slot: u32,
        fence: Option<TurnNumber>,
        number: i64,
        rules: &Rules,
        out: Out<'_, S>,
    ) -> Result<Taken, Refusal> {
        let lease = match self.lease_for(slot, fence) {
            Ok(lease) => lease,
            Err(refusal) => return self.repeated(slot, fence, number).ok_or(refusal),
        };
        queue(out, self.end_turn(now, lease, Outcome::Answered(number), rules));
        Ok(Taken::Accepted(lease.turn))
    }

    pub(super) fn pass(
        &mut self,
        now: Instant,
        slot: u32,
        fence: Option<TurnNumber>,
        rules: &Rules,
        out: Out<'_, S>,
    ) -> Result<TurnNumber, Refusal> {
        let lease = self.lease_for(slot, fence)?;
        queue(out, self.end_turn(now, lease, Outcome::Passed, rules));
        Ok(lease.turn)
    }

    /// Ends what `now` has put an end to: the turn, and the grace of vacant seats.
    pub(super) fn expire(&mut self, now: Instant, rules: &Rules, out: Out<'_, S>) {
        if let Some(&lease) = self.phase.lease()
            && lease.deadline <= now
        {
            queue(out, self.end_turn(now, lease, Outcome::Lapsed, rules));
        }
        while let Some(&(since, _, slot)) = self.vacant.first()
            && since + rules.seat_grace <= now
        {
            self.leave(now, slot, rules, out);
        }
    }

    pub(super) fn drain(&mut self, now: Instant, rules: &Rules, out: Out<'_, S>) {
        queue(out, self.advance(now, Cause::Drain, None, rules));
    }

    // How the turn moves.

    /// The turn that `slot` holds, if an answer fenced by `fence` may end it.
    fn lease_for(&self, slot: u32, fence: Option<TurnNumber>) -> Result<Lease, Refusal> {
        if fence.is_some() && fence != self.phase.lease().map(|lease| lease.turn) {
            return Err(Refusal::StaleTurn);
        }
        self.held_by(slot).ok_or(Refusal::NotYourTurn)
    }

    /// What an answer is that no held turn can take, if it is the one that the seat has given already.
    fn repeated(&self, slot: u32, fence: Option<TurnNumber>, number: i64) -> Option<Taken> {
        let last = self.seats[slot as usize].last?;
        (Some(last.turn) == fence && last.number == number).then_some(Taken::Repeated(last.turn))
    }

    fn sit_down(&mut self, now: Instant, slot: u32, rules: &Rules, out: Out<'_, S>) {
        let seat = &mut self.seats[slot as usize];
        seat.share.catch_up(self.position, seat.order);
        self.weight += seat.weight();
        self.weight_joined += seat.weight();
        seat.wait(now, self.weight, self.weight_joined);
        self.order.insert(slot, seat.rank());
        queue(out, self.advance(now, Cause::Seated, None, rules));
    }

    /// Ends the turn that is held and moves on. Its holder goes behind the others, or is vacant already.
    pub(super) fn end_turn(
        &mut self,
        now: Instant,
        Lease { slot, turn, .. }: Lease,
        outcome: Outcome,
        rules: &Rules,
    ) -> Option<HandOver> {
        // A holder that is lost and pauses the ring has not had its turn: it is next when the ring goes on.
        let counts = outcome != Outcome::Gone || self.occupied() >= rules.min_seats;
        let seat = &mut self.seats[slot as usize];
        if counts {
            self.position = seat.rank();
            seat.share.charge();
        }
        if let Outcome::Answered(number) = outcome {
            seat.last = Some(Accepted { turn, number });
        }
        let ended = Ended { seat: SeatId::new(self.id, slot, seat.place()), turn, outcome };
        if seat.is_occupied() {
            seat.wait(now, self.weight, self.weight_joined);
            self.order.insert(slot, seat.rank());
        }
        self.advance(now, Cause::Ended, Some(ended), rules)
    }

    /// Carries out what the transition table says.
    #[inline(always)]
    fn advance(
        &mut self,
        now: Instant,
        cause: Cause,
        ended: Option<Ended>,
        rules: &Rules,
    ) -> Option<HandOver> {
        let quorum = self.occupied() >= rules.min_seats;
        let granted = match self.phase.next(cause, quorum) {
            Next::Stay => return None,
            Next::Grant => self.become_held(now, rules),
            Next::Pause => self.become_paused(),
            Next::LetFinish(lease) => {
                self.phase = Phase::Draining(lease);
                return None;
            }
            Next::Finish => {
                self.phase = Phase::Drained;
                None
            }
        };
        (ended.is_some() || granted.is_some()).then_some(HandOver { ended, granted })
    }

    #[inline(always)]
    fn become_held(&mut self, now: Instant, rules: &Rules) -> Option<Grant> {
        let slot = self.take_first();
        let running_since = *self.running_since.get_or_insert(now);
        let seat = &self.seats[slot as usize];
        let Occupancy::Occupied { bound_base } = seat.occupancy else {
            unreachable!("only occupied seats are queued");
        };
        let id = SeatId::new(self.id, slot, seat.place());
        let turns = bound_base.wrapping_add(wrapped(self.weight_joined));
        self.longest_wait.note(seat.since.max(running_since), now, turns);
        let release = self.held_back.release(now, slot);
        let turn = TurnNumber::after(self.last_turn);
        self.last_turn = turn.get();
        let deadline = release + rules.turn_deadline;
        self.phase = Phase::Held(Lease { slot, turn, deadline });
        Some(Grant { seat: id, turn, release, deadline })
    }

    pub(super) fn postpone(&mut self, slot: u32, until: Instant, rules: &Rules) {
        if let Phase::Held(lease) = &mut self.phase
            && lease.slot == slot
        {
            lease.deadline = lease.deadline.max(until + rules.turn_deadline);
        }
    }

    fn become_paused(&mut self) -> Option<Grant> {
        self.phase = Phase::Paused;
        self.running_since = None;
        None
    }

    /// Takes the next seat out of the queue. Who sat down while a turn was held was placed behind the turn before it, since that
    /// turn might have come to nothing; if it did count, such a seat may turn out to have been passed over.
    #[inline(always)]
    fn take_first(&mut self) -> u32 {
        loop {
            let seats = &self.seats;
            let slot = self.order.take_first(|slot| seats[slot as usize].rank());
            let seat = &mut self.seats[slot as usize];
            if likely(seat.rank() > self.position) {
                return slot;
            }
            seat.share.catch_up(self.position, seat.order);
            self.order.insert(slot, seat.rank());
        }
    }

    /// How many seats get the turn, or hold it, before the waiting `slot`.
    pub(super) fn ahead_of(&self, slot: u32) -> usize {
        let holder = self.phase.lease().and_then(|lease| self.seats.get(lease.slot as usize));
        let Some(holder) = holder.map(Seat::rank) else {
            let others = self.occupied() - 1;
            return self.order.ahead_of(slot, self.rank_of(slot), others, |slot| self.rank_of(slot));
        };
        let rank = self.rank_behind(holder, slot);
        let first = self.order.first(|slot| self.rank_of(slot));
        if first.is_some_and(|first| self.rank_of(first) <= holder) {
            // Those that will turn out to have been passed over do not stand where they will be.
            let ahead = |&(other, _): &(u32, Rank)| other != slot && self.rank_behind(holder, other) < rank;
            return self.order.iter(|slot| self.rank_of(slot)).filter(ahead).count() + 1;
        }
        self.order.ahead_of(slot, rank, self.occupied() - 2, |slot| self.rank_of(slot)) + 1
    }

    /// The rank that the waiting `slot` has once the turn of the seat at `position` is over.
    fn rank_behind(&self, position: Rank, slot: u32) -> Rank {
        let seat = &self.seats[slot as usize];
        let mut share = seat.share;
        share.catch_up(position, seat.order);
        Rank { point: share.point(), order: seat.order }
    }
}

/// Sums of weights are compared by their differences, for which 32 bits are enough: as many seats as that do not exist.
#[expect(clippy::cast_possible_truncation, reason = "wraps on purpose")]
pub(super) fn wrapped(weight: u64) -> u32 {
    weight as u32
}

fn queue<S>(out: Out<'_, S>, hand_over: Option<HandOver>) {
    out.extend(hand_over.map(Output::from));
}

/// What every move needs of the configuration.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    min_seats: usize,
    turn_deadline: Nanos,
    seat_grace: Nanos,
}

impl From<&SchedulerConfig> for Rules {
    fn from(config: &SchedulerConfig) -> Rules {
        Rules {
            min_seats: config.min_seats,
            turn_deadline: config.turn_deadline.into(),
            seat_grace: config.seat_grace.into(),
        }
    }
}

/// How long a seat waited, and how many turns it had been promised to wait for at most.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wait {
    pub(super) waited: Nanos,
    pub(super) turns: u32,
}

impl Wait {
    /// Replaces it by a wait that was longer.
    fn note(&mut self, since: Instant, now: Instant, turns: u32) {
        // Nearly always false, and cheaper than a subtraction.
        if unlikely(since + self.waited < now) {
            *self = Wait { waited: now.saturating_duration_since(since).into(), turns };
        }
    }
}

pub(super) type Out<'a, S> = &'a mut VecDeque<Output<S>>;
