//! Seats that come and go, and that want the turn or not.

use super::lease::{Clock, Lease};
use super::moved::{Ended, Moved, Outcome, Refusal};
use super::queue::Links;
use super::ring::{Phase, Ring};
use super::seat::{Demand, Seat, Standing, Weight};
use super::snapshot::Tag;
use crate::capacity::growth;
use crate::time::{Instant, Nanos};

impl<S> Ring<S> {
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

    /// Notes that the seat's client is back.
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
                self.queue.set_present(seat.weight, seat.tag, true);
            }
            Standing::Missed => self.enqueue(now, slot),
            Standing::Resting | Standing::Holding => {}
        }
        Moved { ended: None, granted: self.advance(now) }
    }

    /// Notes that the seat's connection is lost; its place is kept. An answer that is being judged, or a
    /// grace for turns, also keeps the turn.
    pub(super) fn vacate(&mut self, now: Instant, slot: u32) -> Moved {
        let (grace, draining) = (self.terms.turn_grace, self.flags.is_draining());
        if let Some(lease) = self.lease_of(slot) {
            if lease.absent_until.is_some() {
                return Moved::NOTHING;
            }
            if lease.clock.is_judged() || grace > Nanos::ZERO && !draining {
                lease.absent_until = Some(now + grace);
                // Otherwise it could come and go for ever, each time before it is told. Where turns are
                // recorded, only the owner knows why it was not told.
                if !self.flags.is_recorded() {
                    self.begin(now);
                }
                return Moved::NOTHING;
            }
        }
        self.lose(now, slot)
    }

    /// Makes the seat vacant from now on. A turn that it holds ends or is kept.
    pub(super) fn lose(&mut self, now: Instant, slot: u32) -> Moved {
        let seat = &mut self.seats[slot as usize];
        if !seat.occupied {
            return Moved::NOTHING;
        }
        (seat.occupied, seat.since) = (false, now);
        self.vacant.insert((now, seat.place, slot));
        if seat.standing == Standing::Queued {
            let (weight, tag) = (seat.weight, seat.tag);
            self.queue.set_present(weight, tag, false);
        }
        self.occupied -= 1;
        let moved = match self.phase {
            Phase::Held(lease) if lease.slot() == slot => {
                if self.has_quorum() || self.flags.is_draining() {
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

    /// Keeps the turn of a holder that was lost while the ring is below quorum: the turn ends, and continues
    /// under a new number if the holder is back in time.
    pub(super) fn keep(&mut self, now: Instant, lease: Lease) -> Moved {
        let Lease { seat, turn, clock, .. } = lease;
        self.phase =
            Phase::Kept(Lease { clock: Clock::Stopped(clock.left(now)), absent_until: None, ..lease });
        Moved { ended: Some(Ended { seat, turn, outcome: Outcome::Gone }), granted: None }
    }

    pub(super) fn vacate_holder(&mut self, now: Instant, slot: u32) {
        let seat = &mut self.seats[slot as usize];
        (seat.occupied, seat.since) = (false, now);
        self.vacant.insert((now, seat.place, slot));
        self.occupied -= 1;
    }

    /// Gives up the seat; its place is gone.
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
            self.contention.remove(weight.value(), self.queue.given());
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
                    self.put_back(self.own_time(now), slot, false, false);
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
}
