//! The scheduler: many rings, their limits and timers, and all that may be asked of them.

use std::collections::VecDeque;
use std::time::Duration;

use slab::Slab;

use super::ring::{Ring, Rules, Wait};
use super::seat::Seat;
use super::{
    Accepted, Answered, HandOver, Held, JoinError, LongestWait, Outcome, Output, Refusal, RingId,
    SchedulerConfig, SeatId, Spot, Taken, TurnNumber, Weight,
};
use crate::time::{Instant, Timers};

/// Lets the seats of many rings take turns; each carries a value `S` of its owner's (a name, a connection). See the [module's documentation](super) for how to drive it.
///
/// A turn costs O(1), whatever the number of seats, and O(log n) where weights differ; vacant seats cost nothing.
#[derive(Debug, Clone)]
pub struct Scheduler<S> {
    pub(super) config: SchedulerConfig,
    rules: Rules,
    pub(super) rings: Slab<Ring<S>>,
    pub(super) lives: u64,
    pub(super) seats: usize,
    /// The highest turn number of any forgotten ring: a ring made later goes on above it.
    pub(super) turn_floor: u64,
    pub(super) draining: bool,
    pub(super) timers: Timers<u32>,
    pub(super) outputs: VecDeque<Output<S>>,
}

impl<S> Scheduler<S> {
    /// A scheduler without rings.
    #[must_use]
    pub fn new(config: SchedulerConfig) -> Scheduler<S> {
        let config = SchedulerConfig {
            min_seats: config.min_seats.max(1),
            turn_deadline: config.turn_deadline.max(Duration::from_millis(1)),
            ..config
        };
        Scheduler {
            rules: Rules::from(&config),
            config,
            rings: Slab::new(),
            lives: 0,
            seats: 0,
            turn_floor: 0,
            draining: false,
            timers: Timers::default(),
            outputs: VecDeque::new(),
        }
    }

    // Getters.

    /// The limits and times in force.
    #[must_use]
    pub fn config(&self) -> &SchedulerConfig {
        &self.config
    }

    /// The turn that is held in `ring`, if one is.
    #[must_use]
    pub fn held(&self, ring: RingId) -> Option<Held> {
        let ring = self.ring(ring)?;
        let lease = ring.phase.lease()?;
        Some(Held { seat: ring.seat_id(lease.slot), turn: lease.turn, deadline: lease.deadline })
    }

    /// The turn that `seat` holds, if it does.
    #[must_use]
    pub fn held_by(&self, seat: SeatId) -> Option<Held> {
        self.held(seat.ring()).filter(|held| held.seat == seat)
    }

    /// The number of the last turn granted in `ring`: 0 before the first, and for a ring that does not exist the
    /// number above which it would go on.
    #[must_use]
    pub fn last_turn(&self, ring: Option<RingId>) -> u64 {
        ring.and_then(|ring| self.ring(ring)).map_or(self.turn_floor, |ring| ring.last_turn)
    }

    /// The last answer of `seat` that was accepted.
    #[must_use]
    pub fn last_accepted(&self, seat: SeatId) -> Option<Accepted> {
        self.seat(seat)?.last
    }

    /// What is kept with `seat`.
    #[must_use]
    pub fn data(&self, seat: SeatId) -> Option<&S> {
        Some(&self.seat(seat)?.data)
    }

    /// What is kept with `seat`, to be changed.
    pub fn data_mut(&mut self, seat: SeatId) -> Option<&mut S> {
        let ring = self.rings.get_mut(seat.ring_slot as usize).filter(|ring| ring.id == seat.ring())?;
        let found = ring.seats.get_mut(seat.slot as usize).filter(|found| found.place() == seat.place)?;
        Some(&mut found.data)
    }

    /// Whether `ring` still has a seat.
    #[must_use]
    pub fn has_ring(&self, ring: RingId) -> bool {
        self.ring(ring).is_some()
    }

    /// Whether a client sits on `seat`.
    #[must_use]
    pub fn is_occupied(&self, seat: SeatId) -> bool {
        self.seat(seat).is_some_and(Seat::is_occupied)
    }

    /// How many occupied seats get the turn, or hold it, before the waiting `seat`; 0 for the holder.
    /// Costs up to O(n): for what is said once a connection.
    #[must_use]
    pub fn ahead_of(&self, seat: SeatId) -> usize {
        let ring = self.seat(seat).and(self.ring(seat.ring()));
        ring.filter(|ring| ring.order.contains(seat.slot)).map_or(0, |ring| ring.ahead_of(seat.slot))
    }

    /// The number of seats in `ring` that a client sits on.
    #[must_use]
    pub fn occupied(&self, ring: RingId) -> usize {
        self.ring(ring).map_or(0, Ring::occupied)
    }

    /// The number of seats, occupied and vacant, in all rings.
    #[must_use]
    pub fn seats(&self) -> usize {
        self.seats
    }

    /// The rings that exist.
    pub fn rings(&self) -> impl Iterator<Item = RingId> {
        self.rings.iter().map(|(_, ring)| ring.id)
    }

    /// How long a seat of weight 1 in `ring` waits at most, as occupied now and while it is not paused:
    /// (sum of the other seats' weights) × `turn_deadline`. A seat that joins meanwhile adds its weight.
    /// [`Duration::MAX`] if it does not fit.
    #[must_use]
    pub fn waiting_bound(&self, ring: RingId) -> Duration {
        let others = self.ring(ring).map_or(0, |ring| ring.weight.saturating_sub(1));
        self.bound_of(others)
    }

    /// How long so many turns last at most.
    fn bound_of(&self, turns: u64) -> Duration {
        let bound = u32::try_from(turns).ok().and_then(|turns| self.config.turn_deadline.checked_mul(turns));
        bound.unwrap_or(Duration::MAX)
    }

    /// The longest wait that has ended in `ring`, with the bound that held for it.
    #[must_use]
    pub fn longest_wait(&self, ring: RingId) -> LongestWait {
        let longest = self.ring(ring).map_or(Wait::default(), |ring| ring.longest_wait);
        LongestWait { waited: longest.waited.into(), bound: self.bound_of(u64::from(longest.turns)) }
    }

    /// Whether [`drain`](Self::drain) was called and no seat holds a turn any more.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.draining && self.rings.iter().all(|(_, ring)| ring.phase.lease().is_none())
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called; perhaps early, never late.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    // What the world did.

    /// A client takes a new seat at the end of `ring`; `data` is kept with it.
    ///
    /// # Errors
    ///
    /// When every seat allowed is occupied, when there is no such ring, or while draining.
    pub fn join(&mut self, now: Instant, ring: RingId, weight: Weight, data: S) -> Result<SeatId, JoinError> {
        if self.draining {
            return Err(JoinError::Draining);
        }
        self.ring(ring).ok_or(JoinError::UnknownRing)?;
        self.make_room(now)?;
        // Making room may have forgotten a ring without occupied seats, even this one.
        self.ring(ring).ok_or(JoinError::UnknownRing)?;
        let at = ring.slot as usize;
        let ring = &mut self.rings[at];
        let slot = ring.join(now, weight, data, &self.rules, &mut self.outputs);
        self.seats += 1;
        ring.arm(&mut self.timers, &self.rules);
        Ok(ring.seat_id(slot))
    }

    /// A client takes the first seat of a new ring.
    ///
    /// # Errors
    ///
    /// When as many rings or occupied seats exist as are allowed, or while draining.
    #[expect(clippy::missing_panics_doc, reason = "2^32 rings do not fit a machine")]
    pub fn join_new_ring(&mut self, now: Instant, weight: Weight, data: S) -> Result<SeatId, JoinError> {
        if self.draining {
            return Err(JoinError::Draining);
        }
        // In this order, so that nobody loses a seat for a ring that there is no room for: a ring that goes takes its seats along.
        self.make_ring_room(now)?;
        self.make_room(now)?;
        self.lives += 1;
        let entry = self.rings.vacant_entry();
        let slot = u32::try_from(entry.key()).expect("max_rings fits 32 bits");
        let id = RingId { slot, life: self.lives };
        entry.insert(Ring::new(id, self.turn_floor));
        self.join(now, id, weight, data)
    }

    /// A client sits down on the vacant `seat`, in its old place. Nothing happens if it is occupied or gone.
    pub fn occupy(&mut self, now: Instant, seat: SeatId) {
        self.with_seat(seat, |ring, slot, rules, out| ring.occupy(now, slot, rules, out));
    }

    /// The seat of `ring` that has been vacant for longest.
    #[must_use]
    pub fn longest_vacant(&self, ring: RingId) -> Option<SeatId> {
        let ring = self.ring(ring)?;
        ring.vacant.first().map(|&(_, _, slot)| ring.seat_id(slot))
    }

    /// The connection of `seat` is lost: a turn that it holds ends, and its place is kept for the grace.
    pub fn vacate(&mut self, now: Instant, seat: SeatId) {
        self.with_seat(seat, |ring, slot, rules, out| ring.vacate(now, slot, rules, out));
    }

    /// `seat` is given up: a turn that it holds ends, and its place is gone.
    pub fn leave(&mut self, now: Instant, seat: SeatId) {
        self.with_seat(seat, |ring, slot, rules, out| ring.leave(now, slot, rules, out));
    }

    /// `seat` answers with `number`; with a `fence` only if that is the turn it means.
    ///
    /// The answer of the seat's last accepted turn, sent again with the same fence and number, is
    /// [`Taken::Repeated`]: confirmed again, counted once.
    ///
    /// # Errors
    ///
    /// [`Refusal`] says why not; nothing has changed then.
    pub fn answer(
        &mut self,
        now: Instant,
        seat: SeatId,
        fence: Option<TurnNumber>,
        number: i64,
    ) -> Result<Taken, Refusal> {
        self.with_seat(seat, |ring, slot, rules, out| ring.answer(now, slot, fence, number, rules, out))
            .unwrap_or(Err(Refusal::NotYourTurn))
    }

    /// As [`answer`](Self::answer) without a fence, for whoever is known to sit at `spot`. If the seat holds the turn, `note` sees what is
    /// kept with it, and says which number it answers with, if it does; otherwise nothing happens. The hand-over is not queued for
    /// [`poll_output`](Self::poll_output), which must have nothing left: it is the caller's to carry out, before anything else is told.
    #[inline]
    pub(crate) fn answer_at(
        &mut self,
        now: Instant,
        spot: Spot,
        note: impl FnOnce(&mut S, SeatId, TurnNumber) -> Option<i64>,
    ) -> Option<Answered> {
        debug_assert!(self.outputs.is_empty(), "what was decided before comes first");
        let ring = self.rings.get_mut(spot.ring as usize)?;
        let lease = ring.held_by(spot.slot)?;
        let seat = &mut ring.seats[spot.slot as usize];
        let id = SeatId::new(ring.id, spot.slot, seat.place());
        let number = note(&mut seat.data, id, lease.turn)?;
        let HandOver { granted, .. } = ring.end_turn(now, lease, Outcome::Answered(number), &self.rules)?;
        ring.arm(&mut self.timers, &self.rules);
        Some(Answered { granted })
    }

    /// `seat` gives its turn up without a number.
    ///
    /// # Errors
    ///
    /// [`Refusal`] says why not; nothing has changed then.
    pub fn pass(
        &mut self,
        now: Instant,
        seat: SeatId,
        fence: Option<TurnNumber>,
    ) -> Result<TurnNumber, Refusal> {
        self.with_seat(seat, |ring, slot, rules, out| ring.pass(now, slot, fence, rules, out))
            .unwrap_or(Err(Refusal::NotYourTurn))
    }

    /// A grant to the waiting `seat` before `until` takes effect only then, and its deadline counts from there.
    pub fn hold_back(&mut self, now: Instant, seat: SeatId, until: Instant) {
        self.with_seat(seat, |ring, slot, _, _| ring.held_back.insert(now, slot, until));
    }

    /// The grant that `seat` holds takes effect only at `until`, and its deadline counts from there. Nothing happens if it does not hold the turn.
    pub(crate) fn postpone(&mut self, seat: SeatId, until: Instant) {
        self.with_seat(seat, |ring, slot, rules, _| ring.postpone(slot, until, rules));
    }

    /// From now on no turn is granted; those that are held may still be answered, until their deadline.
    pub fn drain(&mut self, now: Instant) {
        self.draining = true;
        for (_, ring) in &mut self.rings {
            ring.drain(now, &self.rules, &mut self.outputs);
        }
    }

    /// Ends the turns and the graces whose time is over. Nothing happens before their time.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(slot) = self.timers.pop(now) {
            let ring = &mut self.rings[slot as usize];
            if self.timers.ring(&mut ring.alarm, slot, now) {
                let before = ring.seats.len();
                ring.expire(now, &self.rules, &mut self.outputs);
                let after = ring.seats.len();
                self.seats -= before - after;
                match after {
                    0 => self.forget(slot as usize),
                    _ => ring.arm(&mut self.timers, &self.rules),
                }
            }
        }
    }

    // What to do now.

    /// The next decision to carry out.
    pub fn poll_output(&mut self) -> Option<Output<S>> {
        self.outputs.pop_front()
    }

    /// Whether [`poll_output`](Self::poll_output) has something.
    pub(crate) fn has_output(&self) -> bool {
        !self.outputs.is_empty()
    }

    // Inside.

    pub(super) fn ring(&self, id: RingId) -> Option<&Ring<S>> {
        self.rings.get(id.slot as usize).filter(|ring| ring.id.life == id.life)
    }

    fn seat(&self, id: SeatId) -> Option<&Seat<S>> {
        let ring = self.ring(id.ring()).filter(|ring| ring.has(id))?;
        Some(&ring.seats[id.slot as usize])
    }

    /// What is kept with the seat at `spot`, if there is one.
    pub(crate) fn data_at(&self, spot: Spot) -> Option<&S> {
        Some(&self.rings.get(spot.ring as usize)?.seats.get(spot.slot as usize)?.data)
    }

    /// The seat at `spot`, if there is one.
    pub(crate) fn seat_at(&self, spot: Spot) -> Option<SeatId> {
        let ring = self.rings.get(spot.ring as usize)?;
        ring.seats.contains(spot.slot as usize).then(|| ring.seat_id(spot.slot))
    }

    fn with_seat<R>(
        &mut self,
        seat: SeatId,
        act: impl FnOnce(&mut Ring<S>, u32, &Rules, &mut VecDeque<Output<S>>) -> R,
    ) -> Option<R> {
        let at = seat.ring_slot as usize;
        let ring = self.rings.get_mut(at).filter(|ring| ring.id == seat.ring() && ring.has(seat))?;
        let before = ring.seats.len();
        let result = act(ring, seat.slot, &self.rules, &mut self.outputs);
        let after = ring.seats.len();
        self.seats -= before - after;
        match after {
            0 => self.forget(at),
            _ => ring.arm(&mut self.timers, &self.rules),
        }
        Some(result)
    }

    /// Sees to one more seat being allowed, if need be at the cost of the seat that has been vacant for longest.
    fn make_room(&mut self, now: Instant) -> Result<(), JoinError> {
        if self.seats < self.config.max_seats {
            return Ok(());
        }
        let longest = self
            .rings
            .iter()
            .filter_map(|(_, ring)| ring.vacant.first().map(|&(since, _, slot)| (since, ring.seat_id(slot))));
        let (_, seat) = longest.min().ok_or(JoinError::SeatsFull)?;
        self.leave(now, seat);
        Ok(())
    }

    /// Sees to one more ring being allowed, if need be at the cost of the one that nobody has sat in for longest.
    fn make_ring_room(&mut self, now: Instant) -> Result<(), JoinError> {
        if self.rings.len() < self.config.max_rings {
            return Ok(());
        }
        let deserted = self.rings.iter().filter(|(_, ring)| ring.occupied() == 0);
        let longest = deserted.min_by_key(|(_, ring)| ring.vacant.last().map(|&(since, ..)| since));
        let (at, _) = longest.ok_or(JoinError::RingsFull)?;
        let ring = &self.rings[at];
        let seats: Vec<_> = ring.vacant.iter().map(|&(_, _, slot)| ring.seat_id(slot)).collect();
        seats.into_iter().for_each(|seat| self.leave(now, seat));
        Ok(())
    }

    /// Forgets the ring at `at`, which has no seats any more.
    fn forget(&mut self, at: usize) {
        let mut ring = self.rings.remove(at);
        self.timers.remove(&mut ring.alarm, ring.id.slot);
        self.turn_floor = self.turn_floor.max(ring.last_turn);
    }
}
