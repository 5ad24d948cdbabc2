//! What tells two schedulers apart, for whoever explores all of their states.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use super::Scheduler;
use super::ring::{Ring, wrapped};
use super::seat::{Occupancy, Seat};
use super::state::Phase;
use crate::time::Instant;

/// A time as it looks from now: how long from now, and how long ago.
type Distance = (Duration, Duration);

fn distance(now: Instant, at: Instant) -> Distance {
    (at.saturating_duration_since(now), now.saturating_duration_since(at))
}

impl<S: Hash> Scheduler<S> {
    /// A number that is the same for two schedulers that will do the same from now on, and is another one for nearly all others. For tests,
    /// not for a server's loop.
    ///
    /// Times are looked at from `now`. What only reports, the [longest wait](Self::longest_wait), does not matter.
    #[must_use]
    pub fn digest(&self, now: Instant) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.lives, self.seats, self.turn_floor, self.draining, self.outputs.len()).hash(&mut hasher);
        self.timers.next().map(|at| distance(now, at)).hash(&mut hasher);
        for (slot, ring) in &self.rings {
            slot.hash(&mut hasher);
            ring.digest(now, &mut hasher);
        }
        hasher.finish()
    }
}

impl<S: Hash> Ring<S> {
    fn digest(&self, now: Instant, hasher: &mut DefaultHasher) {
        (self.id, self.position, self.last_turn, self.last_place, self.weight).hash(hasher);
        let phase = match self.phase {
            Phase::Paused => 0,
            Phase::Held(_) => 1,
            Phase::Draining(_) => 2,
            Phase::Drained => 3,
        };
        let lease = self.phase.lease().map(|lease| (lease.slot, lease.turn, distance(now, lease.deadline)));
        (phase, lease, self.running_since.map(|since| distance(now, since))).hash(hasher);
        for (slot, seat) in &self.seats {
            slot.hash(hasher);
            seat.digest(now, self.weight_joined, hasher);
        }
        self.order.list().for_each(|slot| slot.hash(hasher));
        self.vacant.iter().for_each(|&(since, ..)| distance(now, since).hash(hasher));
        self.newcomers.claims().hash(hasher);
        self.held_back.after(now).for_each(|(slot, until)| (slot, distance(now, until)).hash(hasher));
    }
}

impl<S: Hash> Seat<S> {
    fn digest(&self, now: Instant, weight_joined: u64, hasher: &mut DefaultHasher) {
        (&self.data, self.order, self.rank(), self.weight(), distance(now, self.since)).hash(hasher);
        let bound = match self.occupancy {
            Occupancy::Occupied { bound_base } => Some(bound_base.wrapping_add(wrapped(weight_joined))),
            Occupancy::Vacant => None,
        };
        bound.hash(hasher);
        self.last.map(|last| (last.turn, last.number)).hash(hasher);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;
    use crate::turn::{SchedulerConfig, Weight};

    #[test]
    fn schedulers_are_told_apart_by_what_they_will_do() {
        let start = Instant::ORIGIN;
        let later = start + Duration::from_secs(5);
        let begun = |at, data| {
            let mut scheduler = Scheduler::new(SchedulerConfig::default());
            let first = scheduler.join_new_ring(at, Weight::ONE, data).expect("room");
            scheduler.join(at, first.ring(), Weight::ONE, data).expect("room");
            scheduler
        };
        let digest = begun(start, 1).digest(start);
        assert_eq!(digest, begun(later, 1).digest(later), "the same, at another time");
        assert_ne!(digest, begun(start, 2).digest(start), "other data");
        assert_ne!(digest, begun(start, 1).digest(later), "the turn lasts less long");
    }

    #[test]
    fn claims_of_those_who_left_count() {
        let now = Instant::ORIGIN;
        let mut scheduler = Scheduler::new(SchedulerConfig::default());
        let ann = scheduler.join_new_ring(now, Weight::ONE, ()).expect("room");
        for _ in 0..2 {
            scheduler.join(now, ann.ring(), Weight::ONE, ()).expect("room");
        }
        assert_eq!(scheduler.rings[0].newcomers.claims(), (0, 3, vec![]));
        scheduler.answer(now, ann, None, 1).expect("it holds the turn");
        scheduler.leave(now, ann);
        let (lap, admitted, departed) = scheduler.rings[0].newcomers.claims();
        assert_eq!((lap, admitted, departed.len()), (0, 3, 1));
    }
}
