//! What must hold after every step, one named function each: for tests, simulation and fuzzing.

use std::fmt;

use super::ring::Ring;
use super::seat::Seat;
use super::{Scheduler, SchedulerConfig};

/// An invariant that does not hold: a bug in this crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant.
    pub invariant: &'static str,
    /// What was found instead.
    pub found: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.found)
    }
}

impl std::error::Error for Violation {}

type Check<S> = fn(&Ring<S>, &SchedulerConfig) -> Option<String>;

fn checks<S: fmt::Debug>() -> [(&'static str, Check<S>); 7] {
    [
        ("the holder is an occupied seat that does not wait", holder_is_occupied),
        ("every other occupied seat waits, and no vacant one does", occupied_seats_wait),
        ("the queue is sorted, and ranks are those of its seats", queue_is_sorted),
        ("a ring that could grant a turn has granted it", no_turn_is_withheld),
        ("the turn held is the last one granted", held_turn_is_the_last),
        ("an accepted turn was granted, and is over", accepted_turns_are_past),
        ("weights and vacancies add up", sums_agree),
    ]
}

impl<S: fmt::Debug> Scheduler<S> {
    /// Checks the invariants of every ring. Costs O(n log n): for tests, not for a server's loop.
    ///
    /// # Errors
    ///
    /// The first invariant that does not hold.
    pub fn check_invariants(&self) -> Result<(), Violation> {
        for (_, ring) in &self.rings {
            for (invariant, check) in checks() {
                if let Some(found) = check(ring, &self.config) {
                    return Err(Violation { invariant, found: format!("{found}, in {ring:?}") });
                }
            }
        }
        let seats: usize = self.rings.iter().map(|(_, ring)| ring.seats.len()).sum();
        let within = seats <= self.config.max_seats && self.rings.len() <= self.config.max_rings;
        if seats != self.seats || !within {
            let found = format!("{seats} seats, {} counted, {} rings", self.seats, self.rings.len());
            return Err(Violation {
                invariant: "seats and rings are counted and within their limits",
                found,
            });
        }
        Ok(())
    }
}

fn holder_is_occupied<S: fmt::Debug>(ring: &Ring<S>, _: &SchedulerConfig) -> Option<String> {
    let lease = ring.phase.lease()?;
    let occupied = ring.seats.get(lease.slot as usize).is_some_and(Seat::is_occupied);
    (!occupied || ring.order.contains(lease.slot)).then(|| format!("{lease:?}"))
}

fn occupied_seats_wait<S: fmt::Debug>(ring: &Ring<S>, _: &SchedulerConfig) -> Option<String> {
    ring.seats.iter().find_map(|(key, seat)| {
        let slot = u32::try_from(key).expect("slots fit 32 bits");
        let should = seat.is_occupied() && !ring.holds(slot);
        (ring.order.contains(slot) != should).then(|| format!("slot {slot}"))
    })
}

fn queue_is_sorted<S: fmt::Debug>(ring: &Ring<S>, _: &SchedulerConfig) -> Option<String> {
    let rank_of = |slot| ring.rank_of(slot);
    let mut queued: Vec<_> = ring.order.iter(rank_of).collect();
    if !ring.order.list().map(rank_of).is_sorted() || !ring.order.bounds_its_tail(rank_of) {
        return Some(format!("list {queued:?}"));
    }
    queued.sort_by_key(|&(_, rank)| rank);
    let first = queued.first().map(|&(slot, _)| slot);
    if first != ring.order.first(rank_of) {
        return Some(format!("queue {queued:?}"));
    }
    queued.iter().find_map(|&(slot, rank)| {
        (ring.seats[slot as usize].rank() != rank || !ring.order.contains(slot))
            .then(|| format!("slot {slot} at {rank:?}"))
    })
}

fn no_turn_is_withheld<S: fmt::Debug>(ring: &Ring<S>, config: &SchedulerConfig) -> Option<String> {
    let withheld = ring.phase == super::state::Phase::Paused && ring.occupied() >= config.min_seats;
    withheld.then(|| format!("{} occupied", ring.occupied()))
}

fn held_turn_is_the_last<S: fmt::Debug>(ring: &Ring<S>, _: &SchedulerConfig) -> Option<String> {
    let lease = ring.phase.lease()?;
    (lease.turn.get() != ring.last_turn).then(|| format!("{lease:?}"))
}

fn accepted_turns_are_past<S: fmt::Debug>(ring: &Ring<S>, _: &SchedulerConfig) -> Option<String> {
    let held = ring.phase.lease().map(|lease| lease.turn);
    ring.seats.iter().find_map(|(_, seat)| {
        let last = seat.last?;
        (last.turn.get() > ring.last_turn || Some(last.turn) == held).then(|| format!("{seat:?}"))
    })
}

fn sums_agree<S: fmt::Debug>(ring: &Ring<S>, _: &SchedulerConfig) -> Option<String> {
    let weight: u64 = ring.seats.iter().filter(|(_, s)| s.is_occupied()).map(|(_, s)| s.weight()).sum();
    let vacant = ring.seats.iter().filter(|(_, s)| !s.is_occupied()).count();
    (weight != ring.weight || vacant != ring.vacant.len()).then(|| format!("{weight} and {vacant}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;
    use crate::turn::seat::Occupancy;
    use crate::turn::state::Phase;
    use crate::turn::{Accepted, SchedulerConfig, TurnNumber, Weight};

    /// What is found in a sound scheduler, whose seat 0 holds turn 1 and whose seats 1 and 2 wait, after `spoil`.
    fn found(spoil: impl FnOnce(&mut Scheduler<()>)) -> Option<&'static str> {
        let mut scheduler = Scheduler::new(SchedulerConfig::default());
        let first = scheduler.join_new_ring(Instant::ORIGIN, Weight::ONE, ()).expect("room");
        for _ in 0..2 {
            scheduler.join(Instant::ORIGIN, first.ring(), Weight::ONE, ()).expect("room");
        }
        assert_eq!(scheduler.check_invariants(), Ok(()));
        spoil(&mut scheduler);
        scheduler.check_invariants().err().map(|violation| violation.invariant)
    }

    fn found_in_ring(spoil: impl FnOnce(&mut Ring<()>)) -> Option<&'static str> {
        found(|scheduler| spoil(&mut scheduler.rings[0]))
    }

    fn accepted(turn: u64) -> Option<Accepted> {
        Some(Accepted { turn: TurnNumber::new(turn).expect("not 0"), number: 1 })
    }

    fn wait_too(ring: &mut Ring<()>) {
        ring.order.insert(0, ring.rank_of(0));
    }

    fn leave_the_queue(ring: &mut Ring<()>) {
        ring.order.remove(1, ring.rank_of(1));
    }

    /// Seat 1 leaves, by a rank that it does not have.
    fn stay_in_the_tree(ring: &mut Ring<()>) {
        let ranks = [0, 1, 2].map(|slot| ring.rank_of(slot));
        ring.order.remove(1, ranks[1]);
        ring.order.insert(1, ranks[1]);
        ring.order.remove(1, ranks[2]);
        ring.seats[1].occupancy = Occupancy::Vacant;
    }

    #[test]
    fn whatever_is_broken_in_a_ring_is_found() {
        let [holder, waits, sorted, withheld, last, past, sums] = checks::<()>().map(|(name, _)| Some(name));
        let vacant = |slot: usize| found_in_ring(|ring| ring.seats[slot].occupancy = Occupancy::Vacant);
        assert_eq!((vacant(0), vacant(1)), (holder, waits));
        assert_eq!(found_in_ring(wait_too), holder);
        assert_eq!(found_in_ring(leave_the_queue), waits);
        assert_eq!(found_in_ring(|ring| ring.seats[1].share.charge()), sorted);
        assert_eq!(found_in_ring(|ring| ring.seats[2].share.charge()), sorted, "the last one in the list");
        assert_eq!(found_in_ring(stay_in_the_tree), sorted, "one more is there than is counted");
        let paused_too_early = |ring: &mut Ring<()>| {
            wait_too(ring);
            ring.phase = Phase::Paused;
        };
        assert_eq!(found_in_ring(paused_too_early), withheld);
        assert_eq!(found_in_ring(|ring| ring.last_turn += 1), last);
        let answered = |turn| found_in_ring(|ring| ring.seats[1].last = accepted(turn));
        assert_eq!((answered(1), answered(2)), (past, past), "the turn held, and one that was never granted");
        assert_eq!(found_in_ring(|ring| ring.weight += 1), sums);
        assert_eq!(found_in_ring(|ring| assert!(ring.vacant.insert((Instant::ORIGIN, 9, 9)))), sums);
    }

    #[test]
    fn a_violation_says_what_was_found() {
        let violation = Violation { invariant: "seats are counted", found: "2 seats, 3 counted".to_owned() };
        assert_eq!(violation.to_string(), "seats are counted: 2 seats, 3 counted");
    }

    #[test]
    fn what_is_miscounted_or_too_much_is_found() {
        let counted = Some("seats and rings are counted and within their limits");
        assert_eq!(found(|scheduler| scheduler.seats += 1), counted);
        assert_eq!(found(|scheduler| scheduler.config.max_seats = 2), counted);
        assert_eq!(found(|scheduler| scheduler.config.max_seats = 3), None);
        assert_eq!(found(|scheduler| scheduler.config.max_rings = 0), counted);
        assert_eq!(found(|scheduler| scheduler.config.max_rings = 1), None);
    }
}
