//! A number that tells two schedulers apart, to explore all of their states.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use super::Scheduler;
use super::lease::{Clock, Lease};
use super::ring::{Phase, Ring};
use super::rules::Allowance;
use super::seat::Seat;
use crate::time::Instant;

/// A time relative to now: how far in the future, and how far in the past.
type Distance = (Duration, Duration);

fn distance(now: Instant, at: Instant) -> Distance {
    (at.saturating_duration_since(now), now.saturating_duration_since(at))
}

impl<S: Hash> Scheduler<S> {
    /// A number that is equal for two schedulers that will behave the same from now on, and different for
    /// nearly all others. For tests, not for a server's loop.
    ///
    /// Times count relative to `now`, tags relative to the ring's virtual time. Fields that are only reported
    /// do not matter: the [longest wait](Self::longest_wait), its bound, and how long a ring has
    /// [stood](Self::stopped).
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let twin = scheduler.clone();
    /// assert_eq!(scheduler.digest(now), twin.digest(now));
    /// scheduler.pause(now, ring)?;
    /// assert_ne!(scheduler.digest(now), twin.digest(now));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn digest(&self, now: Instant) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.lives, self.seats, self.turn_floor, self.place_floor, self.draining).hash(&mut hasher);
        self.returning.due.map(|due| distance(now, due)).hash(&mut hasher);
        for (slot, ring) in &self.rings {
            slot.hash(&mut hasher);
            ring.digest(now, &mut hasher);
        }
        hasher.finish()
    }
}

impl<S: Hash> Ring<S> {
    fn digest(&self, now: Instant, hasher: &mut DefaultHasher) {
        (self.id, self.last_turn, self.last_place, self.flags, self.named).hash(hasher);
        self.rules.hash(hasher);
        match &self.phase {
            Phase::Idle => 0.hash(hasher),
            Phase::Kept(lease) => (1, lease.digest(now)).hash(hasher),
            Phase::Held(lease) => (2, lease.digest(now)).hash(hasher),
        }
        for (slot, seat) in &self.seats {
            slot.hash(hasher);
            seat.digest(now, hasher);
        }
        for slot in self.queue.in_order(&self.seats) {
            // Equal tags differ by their position in this list.
            (slot, self.queue.distance(self.seats[slot as usize].tag)).hash(hasher);
        }
    }
}

impl Lease {
    fn digest(&self, now: Instant) -> impl Hash {
        let clock = match self.clock {
            Clock::Unreleased(left) => (0, allowance(left), None),
            Clock::Running { .. } => (1, allowance(self.clock.left(now)), None),
            Clock::Stopped(left) => (2, allowance(left), None),
            Clock::Judged { left, until } => (3, allowance(left), Some(distance(now, until))),
        };
        let judging = (Duration::from(self.judging_left), self.proposals_left);
        let absent = self.absent_until.map(|until| distance(now, until));
        (self.slot(), self.turn, clock, judging, absent, self.asks_again, self.raised)
    }
}

fn allowance(left: Allowance) -> (Duration, Duration) {
    (left.silent.into(), left.hold.into())
}

impl<S: Hash> Seat<S> {
    fn digest(&self, now: Instant, hasher: &mut DefaultHasher) {
        (&self.data, self.place, self.weight, self.demand, self.standing).hash(hasher);
        (!self.occupied).then(|| distance(now, self.since)).hash(hasher);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::{Demand, Outcome, Rules, SchedulerConfig, SeatId, Weight};

    fn begun(at: Instant, data: u8) -> (Scheduler<u8>, [SeatId; 2]) {
        let mut scheduler = Scheduler::new(SchedulerConfig::default()).expect("rules that make sense");
        let ring = scheduler.make_ring(at, Rules::default()).expect("room");
        let seats = [(); 2].map(|()| {
            let (seat, moved) = scheduler.join(at, ring, Weight::ONE, Demand::Always, data).expect("room");
            moved.granted.map(|grant| scheduler.start(at, grant.seat, grant.turn));
            seat
        });
        let grant = scheduler.held(ring).expect("two seats are enough");
        scheduler.start(at, grant.seat, grant.turn);
        (scheduler, seats)
    }

    #[test]
    fn schedulers_differ_if_they_will_behave_differently() {
        let start = Instant::ORIGIN;
        let later = start + Duration::from_secs(5);
        let digest = begun(start, 1).0.digest(start);
        assert_eq!(digest, begun(later, 1).0.digest(later), "the same, at another time");
        assert_ne!(digest, begun(start, 2).0.digest(start), "other data");
        assert_ne!(digest, begun(start, 1).0.digest(later), "the turn is shorter");
        let mut after_others = begun(start, 1).0;
        after_others.place_floor += 1;
        assert_ne!(digest, after_others.digest(start), "seats of new rings have other numbers");
    }

    /// Otherwise no state of a ring would ever recur, and a model could not be explored.
    #[test]
    fn virtual_time_does_not_matter_but_the_order_does() {
        let now = Instant::ORIGIN;
        let order = |laps: usize| {
            let (mut scheduler, [ann, bob]) = begun(now, 1);
            let mut holder = ann;
            for _ in 0..2 * laps {
                let moved = scheduler.holding(holder, None).expect("its turn").end(now, Outcome::Answered);
                let grant = moved.granted.expect("the other one is next");
                scheduler.start(now, grant.seat, grant.turn);
                holder = grant.seat;
            }
            let slot = bob.slot();
            let ring = &scheduler.rings[0];
            (ring.queue.distance(ring.seats[slot as usize].tag), holder == ann)
        };
        assert_eq!(order(1), order(1_000));
    }
}
