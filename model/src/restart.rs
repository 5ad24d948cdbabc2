//! The step in which a server dies and the next one begins: a new scheduler is made from the values that
//! survive the last one, and the judge compares the two.
//!
//! A server may die in any state. If it loses records, nobody has heard of the steps that they belong to, so
//! that equals a death in the state before these steps.

use taketurns::record::RingEntry;
use taketurns::turn::{LeaseValue, RingId, RingValue, Scheduler, SeatId, SeatOrder};

use crate::judge::{Broken, Holder, Judge, Promise, demand};
use crate::laws::{Laws, TICK};
use crate::world::{News, World};

/// The values of a ring and its seats that survive the server, in order of place.
type Kept = (RingValue, Vec<(SeatOrder, u8)>);

impl World {
    pub(crate) fn restart(&mut self) -> Result<(), Broken> {
        let kept = self.kept();
        let mut next = Scheduler::new(self.laws.config()).expect("laws that make sense");
        next.number_turns_above(self.scheduler.last_turn(None));
        let return_time = TICK * self.laws.return_time;
        for (ring, seats) in &kept {
            let entry = RingEntry { ring: ring.clone(), seats: Vec::new() };
            let RingEntry { ring, .. } = RingEntry::decode(&entry.encode())
                .map_err(|error| Broken { promise: Promise::PlacesAreKept, seen: error.to_string() })?;
            let restored = next.restore(Laws::at(self.tick), &ring, seats.iter().copied(), return_time);
            let has_seats = matches!(restored, Ok(Some(_)));
            demand(Promise::PlacesAreKept, has_seats, || format!("{ring:?} comes back as {restored:?}"))?;
        }
        (self.scheduler, self.ghost) = (next, None);
        self.restarts += 1;
        self.news.push(News::Restarted);
        self.note_restarted()?;
        let again = self.kept();
        let is_same = again.iter().zip(&kept).all(|(again, kept)| is_same(again, kept));
        demand(Promise::PlacesAreKept, is_same, || format!("{kept:?} comes back as {again:?}"))?;
        self.judge_state()
    }

    fn kept(&self) -> Vec<Kept> {
        let now = Laws::at(self.tick);
        let kept = |ring: RingId| {
            let order = |seat: SeatId| self.scheduler.seat_order(seat).expect("it is one of the ring's");
            let seats = self.scheduler.seats_of(ring).map(|view| (order(view.seat), *view.data));
            let mut seats: Vec<_> = seats.collect();
            seats.sort_by_key(|(order, _)| order.place);
            (self.scheduler.ring_value(now, ring).expect("it exists"), seats)
        };
        self.judge.circles.iter().map(|circle| kept(circle.ring)).collect()
    }

    /// Notes that all seats are away with fresh grace, that a held turn waits for its holder, and that the
    /// choices of the host are gone.
    fn note_restarted(&mut self) -> Result<(), Broken> {
        let rings: Vec<RingId> = self.scheduler.rings().collect();
        let before: Vec<RingId> = self.judge.circles.iter().map(|circle| circle.ring).collect();
        let seat_now = |seat: SeatId| {
            let at = before.iter().position(|ring| *ring == seat.ring())?;
            let mut seats = self.scheduler.seats_of(*rings.get(at)?).map(|view| view.seat);
            seats.find(|now| now.place() == seat.place())
        };
        let lost = || Broken { promise: Promise::PlacesAreKept, seen: format!("{rings:?} of {before:?}") };
        let mut judge = Judge { draining: false, ..self.judge.clone() };
        for chair in &mut judge.chairs {
            chair.seat = seat_now(chair.seat).ok_or_else(lost)?;
            (chair.away_since, chair.wait) = (Some(self.tick), None);
        }
        for (circle, ring) in judge.circles.iter_mut().zip(&rings) {
            (circle.ring, circle.named, circle.paused) = (*ring, None, false);
            for holder in [&mut circle.holder, &mut circle.kept].into_iter().flatten() {
                holder.seat = seat_now(holder.seat).ok_or_else(lost)?;
                holder.comes_back(&self.laws);
            }
            if let Some(holder) = &mut circle.holder {
                holder.waits_for_its_seat(&self.laws);
                let seat = holder.seat;
                judge
                    .chairs
                    .iter_mut()
                    .filter(|chair| chair.seat == seat)
                    .for_each(|chair| chair.away_since = None);
            }
        }
        self.judge = judge;
        Ok(())
    }
}

impl Holder {
    /// Forgets everything but the time and whether the seat has asked for another turn.
    fn comes_back(&mut self, laws: &Laws) {
        self.silent = self.silent.min(laws.deadline).min(self.hold);
        (self.judged, self.judging, self.proposals) = (false, laws.judging, laws.proposals);
        (self.absent, self.raised) = (None, false);
    }

    /// Waits for the return time, or for the time that was left if that is longer.
    fn waits_for_its_seat(&mut self, laws: &Laws) {
        self.silent = self.silent.max(laws.return_time).min(laws.deadline).min(self.hold);
        (self.told, self.absent) = (true, Some(self.silent));
    }
}

/// Returns whether only times differ, and the place of the holder in the order, which means nothing.
fn is_same((ring, seats): &Kept, (ring_before, seats_before): &Kept) -> bool {
    let timeless = |ring: &RingValue| {
        let lease = ring
            .lease
            .map(|LeaseValue { place, turn, asks_again, kept, .. }| (place, turn, asks_again, kept));
        (RingValue { lease: None, ..ring.clone() }, lease)
    };
    let holder = ring.lease.map(|lease| lease.place);
    let queue = |seats: &[(SeatOrder, u8)]| -> Vec<(SeatOrder, u8)> {
        seats.iter().copied().filter(|(order, _)| Some(order.place) != holder).collect()
    };
    timeless(ring) == timeless(ring_before) && queue(seats) == queue(seats_before)
}
