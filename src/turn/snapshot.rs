//! The part of a ring that outlives its server: taken as values while it runs, and given to the next server.
//!
//! Clients do not outlive a server. So a restored ring has no clients: its seats are away in their places,
//! and a turn that was held waits for its absent holder.

use std::time::Duration;

use super::id::{PLACE_MAX, SLOTS_MAX};
use super::lease::{Clock, Extra, Lease};
use super::queue::{Links, Queue};
use super::ring::{Phase, Ring, RingFlags};
use super::rules::Allowance;
use super::seat::{self, Seat};
use super::{Demand, JoinError, RingId, Rules, Scheduler, SeatId, TurnNumber, Weight};
use crate::time::{Instant, Nanos};

/// The part of a ring that outlives its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingValue {
    /// Its rules.
    pub rules: Rules,
    /// The number of the last turn that was granted; before the first, the number above which it begins.
    pub last_turn: u64,
    /// The [number](SeatId::place) of the last seat that was created; before the first, as with turns.
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
    /// The [number](SeatId::place) of the holder's seat. No stored seat has it if the holder is a raw client,
    /// because the seats of raw clients are not stored.
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

/// The part of a seat that decides when it is next, as it outlives its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeatOrder {
    /// The [number](SeatId::place) of the seat in its ring.
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
    /// Makes every turn one that is stored: none is handed over in one step any more, because a holder is
    /// told only once its turn is durable, and seats that are passed over are noted for
    /// [`take_passed_over`](Self::take_passed_over).
    pub fn enable_recording(&mut self) {
        self.flags.insert(RingFlags::RECORDED);
        for (_, ring) in &mut self.rings {
            ring.flags.insert(RingFlags::RECORDED);
        }
    }

    /// Returns the part of `ring` that outlives the server.
    #[must_use]
    pub fn ring_value(&self, now: Instant, ring: RingId) -> Option<RingValue> {
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

    /// Returns the part of `seat` that decides when it is next.
    #[must_use]
    pub fn seat_order(&self, seat: SeatId) -> Option<SeatOrder> {
        let ring = self.ring(seat.ring()).filter(|ring| ring.has(seat))?;
        let &Seat { place, weight, demand, tag, standing, .. } = &ring.seats[seat.slot() as usize];
        let standing = match standing {
            seat::Standing::Queued | seat::Standing::Holding => Standing::Waiting,
            seat::Standing::Resting => Standing::Resting,
            seat::Standing::Missed => Standing::Missed,
        };
        Some(SeatOrder { place, weight, demand, standing, tag })
    }

    /// Returns the seats of `ring` that were passed over since the last call, because their turn came while
    /// they were away. Their stored order is out of date.
    pub fn take_passed_over(&mut self, ring: RingId) -> Vec<SeatId> {
        let Some(ring) = self.rings.get_mut(ring.slot() as usize).filter(|found| found.id == ring) else {
            return Vec::new();
        };
        let slots = ring.passed_over.take();
        slots
            .into_iter()
            .filter(|&slot| ring.seats.contains(slot as usize))
            .map(|slot| ring.seat_id(slot))
            .collect()
    }
}

impl<S> Scheduler<S> {
    /// Creates a ring from its value, with its seats, all of which are away with a fresh grace period.
    /// Returns their ids in the order of `seats`.
    ///
    /// - A turn that was held is held again, under the same number, for the time left or for `return_time`,
    ///   whichever is longer, but no longer than the rules allow a turn. If its holder is not back by then it
    ///   lapses. A lease whose seat is not among `seats` has ended.
    /// - For `return_time` a seat that waits is passed over while it is away, and keeps its position in the
    ///   queue, so that the first clients to come back do not overtake the others.
    ///
    /// A ring without seats is not created. Its last turn still counts for
    /// [`number_turns_above`](Self::number_turns_above).
    ///
    /// # Errors
    ///
    /// Returns the errors of [`make_ring`](Self::make_ring), and [`JoinError`] if there are more seats than
    /// the scheduler or the ring may have.
    pub fn restore(
        &mut self,
        now: Instant,
        value: &RingValue,
        seats: impl IntoIterator<Item = (SeatOrder, S)>,
        return_time: Duration,
    ) -> Result<Option<(RingId, Vec<SeatId>)>, JoinError> {
        let seats: Vec<_> = seats.into_iter().collect();
        if seats.is_empty() {
            self.number_turns_above(value.last_turn);
            return Ok(None);
        }
        if value.last_place > PLACE_MAX || self.seats + seats.len() > self.config.max_seats.min(SLOTS_MAX) {
            return Err(JoinError::SeatsFull);
        }
        let id = self.make_ring(now, value.rules.clone())?;
        let ring = &mut self.rings[id.slot() as usize];
        let ids: Vec<SeatId> =
            seats.into_iter().map(|(order, data)| ring.restore_seat(now, order, data)).collect();
        ring.restore_order(now, value, return_time);
        self.seats += ids.len();
        self.arm(id.slot() as usize);
        let until = now + return_time;
        self.timers.set(&mut self.returning, RETURN, Some(until));
        Ok(Some((id, ids)))
    }

    /// Has rings that are created from now on number their turns from `turn + 1`, so that no number of an
    /// earlier ring of the same name is used again.
    pub fn number_turns_above(&mut self, turn: u64) {
        self.turn_floor = self.turn_floor.max(turn);
    }

    /// Ends the time in which seats come back to their places in the queue, for all rings.
    pub(super) fn end_return(&mut self) {
        for (_, ring) in &mut self.rings {
            let away = ring.queue.end_return(&mut ring.seats);
            if !away.is_empty() {
                self.missed.push(ring.id);
            }
            for slot in away {
                ring.miss(slot);
            }
        }
    }

    /// Returns the next ring in which seats missed their turn, because their clients did not come back in
    /// time. Call it after [`poll_expired`](Self::poll_expired), which notices that.
    pub fn poll_missed(&mut self) -> Option<RingId> {
        self.missed.pop()
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
        // A turn that is not the last one has ended.
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
        for (given, weight) in contention {
            self.contention.add(weight, given, oldest);
        }
        self.settle_clock(now);
    }

    fn restore_lease(&mut self, now: Instant, value: &LeaseValue, return_time: Duration) {
        let Some(slot) = self.seats.iter().find(|(_, seat)| seat.place == value.place).map(|(at, _)| at)
        else {
            return;
        };
        let slot = u32::try_from(slot).expect("max_seats fits 32 bits");
        let hold = value.hold.map_or(Nanos::MAX, Nanos::from);
        // The holder has to connect first. The clock of a kept turn stands still until the ring continues.
        let silent = Nanos::from(value.silent.max(if value.kept { Duration::ZERO } else { return_time }));
        let left = Allowance { silent: silent.min(self.terms.silent).min(hold), hold };
        let lease = Lease {
            seat: self.seat_id(slot),
            turn: value.turn,
            clock: if value.kept { Clock::Stopped(left) } else { Clock::running(now, left) },
            since: self.own_time(now),
            // An answer that the host had not decided on is proposed again.
            judging_left: self.terms.judging,
            proposals_left: self.terms.proposals_max,
            absent_until: (!value.kept).then(|| now + left.silent),
            asks_again: value.asks_again,
            raised: false,
            // In total, with the last server's time, it may last longer than the rules allow.
            extra: Extra::Beyond,
        };
        self.seats[slot as usize].standing = seat::Standing::Holding;
        self.phase = if value.kept {
            Phase::Kept(lease)
        } else {
            // A holder that is away has its own limit, `absent_until`, in place of the seat's grace.
            let seat = &mut self.seats[slot as usize];
            seat.occupied = true;
            self.vacant.remove(&(seat.since, seat.place, slot));
            self.occupied += 1;
            Phase::Held(lease)
        };
    }
}
