//! The part of a ring that outlives its server: taken as values while it runs, and given to the next server.
//!
//! Clients do not outlive a server. So a restored ring has no clients: its seats are away in their places,
//! and a turn that was held waits for its absent holder.

use std::time::Duration;

use super::id::{PLACE_MAX, SLOTS_MAX};
use super::lease::{Clock, Extra, Lease};
use super::queue::{Links, Queue};
use super::ring::{Phase, Ring, Stays};
use super::rules::Allowance;
use super::seat::{self, Seat};
use super::{Demand, JoinError, RingId, Rules, Scheduler, SeatId, TurnNumber, Weight};
use crate::time::{Instant, Nanos};

/// The part of a ring that outlives its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingValue {
    /// Its rules.
    pub rules: Rules,
    /// The number of the last turn that was granted, 0 if none was.
    pub last_turn: u64,
    /// The number of the last seat that was made, 0 if none was.
    pub last_place: u64,
    /// The tag of the last turn that was granted from the queue.
    pub virtual_time: Tag,
    /// Tags handed out.
    pub tags_given: u64,
    /// The turn that is held or kept.
    pub lease: Option<LeaseValue>,
}

/// A position in virtual time, in units of 2^-64 of a weight-1 turn.
///
/// Equal positions are ordered by `given`, the order in which they were handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Tag {
    /// Whole turns of weight 1.
    pub whole: u64,
    /// The rest, in units of 2^-64 of a turn.
    pub part: u64,
    /// The number of the tag, in the order in which tags were handed out.
    pub given: u64,
}

/// A turn that is held, or kept for its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseValue {
    /// The place of its holder. A raw holder has no entry.
    pub place: u64,
    /// The number of the turn.
    pub turn: TurnNumber,
    /// How long its holder may still be silent.
    pub silent: Duration,
    /// How long the turn may still last; `None` without a limit.
    pub hold: Option<Duration>,
    /// The holder has asked for one more turn.
    pub asks_again: bool,
    /// The turn has ended, because its holder was lost while the ring was below quorum. When the ring
    /// continues, so does the turn, under a new number.
    pub kept: bool,
}

/// The place of a seat in the order, which outlives its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeatOrder {
    /// The number of the seat in its ring.
    pub place: u64,
    /// Its share of the turns.
    pub weight: Weight,
    /// When it wants the turn.
    pub demand: Demand,
    /// Its standing. It means nothing for the holder, whose place is in the ring's lease.
    pub standing: Standing,
    /// Its position in virtual time. It means something only while the seat waits.
    pub tag: Tag,
}

/// The standing of a seat in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does not want the turn.
    Resting,
    /// It waits.
    Waiting,
    /// Its turn came while its client was away. It waits again when the client is back.
    Missed,
}

impl<S> Scheduler<S> {
    /// Records turns: from now on none is handed over in one step, because a holder is told only once its
    /// turn is stored, and seats whose place changes while another seat's turn moves are noted for
    /// [`take_aside`](Self::take_aside).
    pub fn record(&mut self) {
        self.stays.insert(Stays::RECORDED);
        self.rings.iter_mut().for_each(|(_, ring)| ring.stays.insert(Stays::RECORDED));
    }

    /// Returns the part of `ring` that outlives the server.
    #[must_use]
    pub fn value_of(&self, now: Instant, ring: RingId) -> Option<RingValue> {
        let ring = self.ring(ring)?;
        let (lease, kept) = match &ring.phase {
            Phase::Idle => (None, false),
            Phase::Kept(lease) => (Some(lease), true),
            Phase::Held(lease) => (Some(lease), false),
        };
        let lease = lease.map(|lease| {
            let left = lease.clock.left(now);
            LeaseValue {
                place: lease.seat.place(),
                turn: lease.turn,
                silent: left.silent.into(),
                hold: (left.hold != Nanos::MAX).then(|| left.hold.into()),
                asks_again: lease.asks_again,
                kept,
            }
        });
        Some(RingValue {
            rules: (*ring.rules).clone(),
            last_turn: ring.last_turn,
            last_place: ring.last_place,
            virtual_time: ring.queue.virtual_time(),
            tags_given: ring.queue.given(),
            lease,
        })
    }

    /// Returns the part of the place of `seat` that outlives the server.
    #[must_use]
    pub fn order_of(&self, seat: SeatId) -> Option<SeatOrder> {
        let ring = self.ring(seat.ring()).filter(|ring| ring.has(seat))?;
        let &Seat { place, weight, demand, tag, standing, .. } = &ring.seats[seat.slot() as usize];
        let standing = match standing {
            seat::Standing::Queued | seat::Standing::Holding => Standing::Waiting,
            seat::Standing::Resting => Standing::Resting,
            seat::Standing::Missed => Standing::Missed,
        };
        Some(SeatOrder { place, weight, demand, standing, tag })
    }

    /// Takes the seats of `ring` whose place in the order has changed while another seat's turn moved: their
    /// turn came while they were away. Some of them may be gone meanwhile.
    pub fn take_aside(&mut self, ring: RingId) -> Vec<SeatId> {
        let Some(ring) = self.rings.get_mut(ring.slot() as usize).filter(|found| found.id == ring) else {
            return Vec::new();
        };
        let slots = ring.aside.take();
        slots
            .into_iter()
            .filter(|&slot| ring.seats.contains(slot as usize))
            .map(|slot| ring.seat_id(slot))
            .collect()
    }
}

impl<S> Scheduler<S> {
    /// Makes a ring from its value, with its seats, all of which are away with fresh grace. Their ids are
    /// returned in the order of `seats`.
    ///
    /// - A turn that was held is held again, under the same number, for the time left or for `return_time`,
    ///   whichever is longer, but no longer than the rules allow a turn. If its holder is not back by then it
    ///   lapses. A lease whose place has no seat is over.
    /// - For `return_time` a seat that waits is passed over while it is away, and keeps its place, so that
    ///   the first clients to come back do not overtake the others.
    ///
    /// A ring without seats is not made; the turns of rings that are made later are numbered from above its
    /// last one.
    ///
    /// # Errors
    ///
    /// As [`make_ring`](Self::make_ring), and when there are more seats than the scheduler or the ring may
    /// have.
    pub fn restore(
        &mut self,
        now: Instant,
        value: &RingValue,
        seats: impl IntoIterator<Item = (SeatOrder, S)>,
        return_time: Duration,
    ) -> Result<Option<(RingId, Vec<SeatId>)>, JoinError> {
        let seats: Vec<_> = seats.into_iter().collect();
        if seats.is_empty() {
            self.begin_above(value.last_turn);
            return Ok(None);
        }
        if value.last_place > PLACE_MAX || self.seats + seats.len() > self.config.max_seats.min(SLOTS_MAX) {
            return Err(JoinError::SeatsFull);
        }
        let id = self.make_ring(now, value.rules.clone())?;
        let ring = &mut self.rings[id.slot() as usize];
        let places: Vec<SeatId> =
            seats.into_iter().map(|(order, data)| ring.restore_seat(now, order, data)).collect();
        ring.restore_order(now, value, return_time);
        self.seats += places.len();
        self.arm(id.slot() as usize);
        let until = now + return_time;
        self.timers.set(&mut self.returning, RETURN, Some(until));
        Ok(Some((id, places)))
    }

    /// Numbers the turns of rings that are made from now on from above `turn`.
    pub fn begin_above(&mut self, turn: u64) {
        self.turn_floor = self.turn_floor.max(turn);
    }

    /// Ends the time in which seats come back to their places in the queue, for all rings.
    pub(super) fn end_return(&mut self) {
        for (_, ring) in &mut self.rings {
            let away = ring.queue.end_return(&mut ring.seats);
            if !away.is_empty() {
                self.returned.push(ring.id);
            }
            away.into_iter().for_each(|slot| ring.miss(slot));
        }
    }

    /// Takes the next ring in which seats have lost their place because they were not back in time, as
    /// [`poll_expired`](Self::poll_expired) has noticed.
    pub fn poll_returned(&mut self) -> Option<RingId> {
        self.returned.pop()
    }
}

/// The key of the timer at which [`Scheduler::end_return`] is due. No ring has this slot.
pub(super) const RETURN: u32 = u32::MAX;

impl<S> Ring<S> {
    /// Makes a seat that is away and not yet in a list.
    fn restore_seat(&mut self, now: Instant, order: SeatOrder, data: S) -> SeatId {
        let SeatOrder { place, weight, demand, standing, tag } = order;
        let seat = Seat {
            data,
            place,
            tag,
            since: now,
            turns_first: 0,
            links: Links::NONE,
            weight,
            demand,
            standing: match standing {
                Standing::Resting => seat::Standing::Resting,
                Standing::Waiting => seat::Standing::Queued,
                Standing::Missed => seat::Standing::Missed,
            },
            occupied: false,
        };
        let slot = u32::try_from(self.seats.insert(seat)).expect("max_seats fits 32 bits");
        self.vacant.insert((now, place, slot));
        self.seat_id(slot)
    }

    fn restore_order(&mut self, now: Instant, value: &RingValue, return_time: Duration) {
        (self.last_turn, self.last_place) = (value.last_turn, value.last_place);
        if let Some(lease) = value.lease.filter(|lease| lease.turn.get() == value.last_turn) {
            self.restore_lease(now, &lease, return_time);
        }
        let is_waiting = |seat: &Seat<S>| seat.standing == seat::Standing::Queued;
        let mut waiting: Vec<(Tag, u32)> = (self.seats.iter())
            .filter(|(_, seat)| is_waiting(seat))
            .map(|(at, seat)| (seat.tag, u32::try_from(at).expect("max_seats fits 32 bits")))
            .collect();
        waiting.sort_unstable();
        self.queue = Queue::restored(value.virtual_time, value.tags_given, &mut self.seats, &waiting);
        let mut contention: Vec<(u64, u8)> = (self.seats.iter())
            .filter(|(_, seat)| is_waiting(seat) || seat.standing == seat::Standing::Holding)
            .map(|(_, seat)| (seat.tag.given, seat.weight.value()))
            .collect();
        contention.sort_unstable();
        let oldest = self.queue.oldest_given(&self.seats);
        contention.into_iter().for_each(|(given, weight)| self.contention.add(weight, given, oldest));
        self.settle_clock(now);
    }

    fn restore_lease(&mut self, now: Instant, value: &LeaseValue, return_time: Duration) {
        let Some(slot) = self.seats.iter().find(|(_, seat)| seat.place == value.place).map(|(at, _)| at)
        else {
            return;
        };
        let slot = u32::try_from(slot).expect("max_seats fits 32 bits");
        let hold = value.hold.map_or(Nanos::MAX, Nanos::from);
        let silent = Nanos::from(value.silent.max(if value.kept { Duration::ZERO } else { return_time }));
        let left = Allowance { silent: silent.min(self.terms.silent).min(hold), hold };
        let lease = Lease {
            seat: self.seat_id(slot),
            turn: value.turn,
            clock: if value.kept { Clock::Stopped(left) } else { Clock::running(now, left) },
            since: self.own_time(now),
            judging_left: self.terms.judging,
            proposals_left: self.terms.proposals_max,
            absent_until: (!value.kept).then(|| now + left.silent),
            asks_again: value.asks_again,
            raised: false,
            extra: Extra::Beyond,
        };
        self.seats[slot as usize].standing = seat::Standing::Holding;
        self.phase = if value.kept {
            Phase::Kept(lease)
        } else {
            let seat = &mut self.seats[slot as usize];
            seat.occupied = true;
            self.vacant.remove(&(seat.since, seat.place, slot));
            self.occupied += 1;
            Phase::Held(lease)
        };
    }
}
