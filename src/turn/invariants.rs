//! Conditions that hold after every step, one named function each: for tests, simulation and fuzzing.

use std::fmt;

use super::lease::{Clock, Extra};
use super::ring::{Phase, Ring};
use super::seat::Standing;
use super::{Scheduler, SchedulerConfig};
use crate::time::Instant;

/// An invariant that does not hold: a bug in this crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The invariant's name.
    pub invariant: &'static str,
    /// The state that breaks it.
    pub found: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.found)
    }
}

impl std::error::Error for Violation {}

type Check<S> = fn(&Ring<S>) -> Option<String>;

fn checks<S: fmt::Debug>() -> [(&'static str, Check<S>); 11] {
    [
        ("the holder's seat is the only one that holds, and occupied", holder_is_occupied),
        ("each queued seat is once in the list of its weight, by growing tags", lists_are_sorted),
        ("the host's choice for the next turn is queued or holds", named_seat_can_be_next),
        ("a ring that can grant a turn has granted it", no_turn_is_withheld),
        ("the turn held is the last one granted", held_turn_is_the_last),
        ("occupied and vacant seats are counted", occupied_seats_are_counted),
        (
            "the contention weighs as much as the seats that are queued or hold",
            contention_is_the_weight_of_its_seats,
        ),
        ("peaks fall to the weight of now", peaks_fall),
        ("a turn's clock stands while the ring is paused, and only then", clock_stands_in_a_pause),
        ("the ring's own clock stands without blame, and only then", own_clock_stands),
        ("a holder may not be silent for longer than it may hold", silence_is_within_the_hold),
    ]
}

impl<S: fmt::Debug> Scheduler<S> {
    /// Checks the invariants of every ring. Costs O(n): for tests, not for a server's loop.
    ///
    /// # Errors
    ///
    /// Returns the first invariant that does not hold.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// scheduler.check_invariants()?;
    /// # Ok(()) }
    /// ```
    pub fn check_invariants(&self) -> Result<(), Violation> {
        for (_, ring) in &self.rings {
            for (invariant, check) in checks() {
                if let Some(found) = check(ring) {
                    return Err(Violation { invariant, found: format!("{found}, in {ring:?}") });
                }
            }
        }
        self.check_limits()?;
        self.check_deadlines()
    }

    fn check_limits(&self) -> Result<(), Violation> {
        let invariant = "seats and rings are counted and within their limits";
        let seats: usize = self.rings.iter().map(|(_, ring)| ring.seats.len()).sum();
        let SchedulerConfig { max_seats, max_rings, .. } = self.config;
        if seats == self.seats && seats <= max_seats && self.rings.len() <= max_rings {
            return Ok(());
        }
        let found = format!("{seats} seats, {} counted, {} rings", self.seats, self.rings.len());
        Err(Violation { invariant, found })
    }

    fn check_deadlines(&self) -> Result<(), Violation> {
        let first = self.rings.iter().filter_map(|(_, ring)| ring.deadline()).min();
        let asked = self.timers.next();
        if first.is_none_or(|first| asked.is_some_and(|asked| asked <= first)) {
            return Ok(());
        }
        let found = format!("asked for {asked:?}, and {first:?} is the first deadline");
        Err(Violation { invariant: "no deadline is missed", found })
    }
}

fn holder_is_occupied<S: fmt::Debug>(ring: &Ring<S>) -> Option<String> {
    let holds = |standing| standing == Standing::Holding;
    let holding: Vec<_> =
        ring.seats.iter().filter(|(_, seat)| holds(seat.standing)).map(|(at, _)| at).collect();
    let (slot, must_be_occupied) = match &ring.phase {
        Phase::Idle => (None, false),
        Phase::Kept(lease) => (Some(lease.slot() as usize), false),
        Phase::Held(lease) => (Some(lease.slot() as usize), true),
    };
    let is_there = slot.is_none_or(|slot| ring.seats.get(slot).is_some_and(|seat| seat.occupied));
    let agrees = slot.into_iter().eq(holding.iter().copied()) && (is_there || !must_be_occupied);
    (!agrees).then(|| format!("slots {holding:?} hold, {slot:?} has the turn"))
}

fn lists_are_sorted<S: fmt::Debug>(ring: &Ring<S>) -> Option<String> {
    let queued = ring.seats.iter().filter(|(_, seat)| seat.standing == Standing::Queued).count();
    let counted = ring.queue.len() as usize;
    if queued != counted {
        return Some(format!("{queued} seats are queued, {counted} counted"));
    }
    ring.queue.fault(&ring.seats)
}

fn named_seat_can_be_next<S: fmt::Debug>(ring: &Ring<S>) -> Option<String> {
    let slot = ring.named?;
    let standing = ring.seats.get(slot as usize).map(|seat| seat.standing);
    let can_be_next = matches!(standing, Some(Standing::Queued | Standing::Holding));
    (!can_be_next).then(|| format!("slot {slot}: {standing:?}"))
}

fn no_turn_is_withheld<S: fmt::Debug>(ring: &Ring<S>) -> Option<String> {
    let grants = !ring.flags.is_draining() && !ring.flags.is_paused() && ring.has_quorum();
    let waits = |phase: &Phase| match phase {
        Phase::Held(_) => false,
        Phase::Kept(_) => true,
        Phase::Idle => ring.seats.iter().any(|(_, s)| s.standing == Standing::Queued && s.occupied),
    };
    (grants && waits(&ring.phase)).then(|| format!("{} occupied", ring.occupied))
}

fn held_turn_is_the_last<S: fmt::Debug>(ring: &Ring<S>) -> Option<String> {
    let lease = ring.lease()?;
    (lease.turn.get() != ring.last_turn).then(|| format!("{lease:?}"))
}

fn occupied_seats_are_counted<S: fmt::Debug>(ring: &Ring<S>) -> Option<String> {
    let occupied = ring.seats.iter().filter(|(_, seat)| seat.occupied).count();
    let listed = |&(since, place, slot): &(Instant, u64, u32)| {
        let seat = ring.seats.get(slot as usize);
        seat.is_some_and(|seat| !seat.occupied && (seat.since, seat.place) == (since, place))
    };
    let vacant = ring.seats.len() - occupied;
    let agrees =
        ring.occupied as usize == occupied && ring.vacant.len() == vacant && ring.vacant.iter().all(listed);
    (!agrees).then(|| format!("{occupied} occupied, {vacant} vacant"))
}

fn contention_is_the_weight_of_its_seats<S: fmt::Debug>(ring: &Ring<S>) -> Option<String> {
    let stands = |standing| matches!(standing, Standing::Queued | Standing::Holding);
    let standing = ring.seats.iter().filter(|(_, seat)| stands(seat.standing));
    let weight: u64 = standing.map(|(_, seat)| u64::from(seat.weight.value())).sum();
    (weight != ring.contention.weight).then(|| format!("{weight}"))
}

fn peaks_fall<S: fmt::Debug>(ring: &Ring<S>) -> Option<String> {
    ring.contention.fault()
}

fn clock_stands_in_a_pause<S: fmt::Debug>(ring: &Ring<S>) -> Option<String> {
    let stands_right = match &ring.phase {
        Phase::Idle => true,
        Phase::Kept(lease) => matches!(lease.clock, Clock::Stopped(_)) && lease.absent_until.is_none(),
        Phase::Held(lease) => match lease.clock {
            // Where turns are recorded, its holder may be lost before it can be told.
            Clock::Unreleased(_) => lease.absent_until.is_none() || ring.flags.is_recorded(),
            Clock::Judged { .. } => true,
            Clock::Running { .. } => !ring.flags.is_paused(),
            Clock::Stopped(_) => ring.flags.is_paused(),
        },
    };
    (!stands_right).then(|| format!("{:?}", ring.phase))
}

fn own_clock_stands<S: fmt::Debug>(ring: &Ring<S>) -> Option<String> {
    let lease = ring.lease();
    let extra = lease.map_or(Extra::None, |lease| lease.extra);
    let stands = ring.flags.is_paused()
        || !ring.has_quorum()
        || extra == Extra::All
        || lease.is_some_and(|lease| !lease.clock.is_released());
    let will_not = ring.stands_from == Instant::FAR_FUTURE;
    // A turn that lasts beyond the rules stops it at some later time.
    let agrees = if stands { !will_not } else { will_not || extra == Extra::Beyond };
    (!agrees).then(|| format!("from {:?}", ring.stands_from))
}

fn silence_is_within_the_hold<S: fmt::Debug>(ring: &Ring<S>) -> Option<String> {
    let (Phase::Held(lease) | Phase::Kept(lease)) = &ring.phase else { return None };
    let is_within = match lease.clock {
        Clock::Running { deadline, hold_until } => deadline <= hold_until,
        Clock::Unreleased(left) | Clock::Stopped(left) | Clock::Judged { left, .. } => {
            left.silent <= left.hold
        }
    };
    (!is_within).then(|| format!("{lease:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Nanos;
    use crate::turn::seat::Weight;
    use crate::turn::{Demand, Rules, SchedulerConfig};

    /// The invariant that `spoil` breaks in a sound scheduler, whose seat 0 holds turn 1 and whose seats 1
    /// and 2 wait.
    fn found(spoil: impl FnOnce(&mut Scheduler<()>)) -> Option<&'static str> {
        let mut scheduler = Scheduler::new(SchedulerConfig::default()).expect("rules that make sense");
        let now = Instant::ORIGIN;
        let rules = Rules { weight_max: Weight::MAX, ..Rules::default() };
        let ring = scheduler.make_ring(now, rules).expect("room");
        let [holder, _, _] = [1, 1, 3].map(|weight| {
            let weight = Weight::new(weight).expect("1 to 100");
            scheduler.join(now, ring, weight, Demand::Always, ()).expect("room").0
        });
        let turn = scheduler.held(ring).expect("there is quorum").turn;
        scheduler.start(now, holder, turn).expect("it runs");
        assert_eq!(scheduler.check_invariants(), Ok(()));
        spoil(&mut scheduler);
        scheduler.check_invariants().err().map(|violation| violation.invariant)
    }

    fn found_in_ring(spoil: impl FnOnce(&mut Ring<()>)) -> Option<&'static str> {
        found(|scheduler| spoil(&mut scheduler.rings[0]))
    }

    fn change_lease(ring: &mut Ring<()>, change: impl FnOnce(&mut super::super::lease::Lease)) {
        match &mut ring.phase {
            Phase::Held(lease) => change(lease),
            Phase::Idle | Phase::Kept(_) => unreachable!("seat 0 holds the turn"),
        }
    }

    #[test]
    fn each_broken_invariant_is_found() {
        let [holder, lists, named, withheld, last, counted, contention, peaks, pause, own, silence] =
            checks::<()>().map(|(name, _)| Some(name));
        assert_eq!(found_in_ring(|ring| ring.seats[0].occupied = false), holder);
        assert_eq!(found_in_ring(|ring| ring.seats[0].standing = Standing::Resting), holder);
        assert_eq!(found_in_ring(|ring| ring.seats[1].standing = Standing::Holding), holder);
        assert_eq!(found_in_ring(|ring| ring.seats[1].standing = Standing::Missed), lists);
        assert_eq!(found_in_ring(|ring| ring.seats[1].occupied = false), lists, "present seats are counted");
        assert_eq!(found_in_ring(|ring| ring.seats[2].weight = Weight::ONE), lists);
        assert_eq!(found_in_ring(|ring| ring.queue.pass(ring.seats[1].tag)), lists, "a tag is passed");
        assert_eq!(found_in_ring(|ring| ring.named = Some(7)), named);
        let idle = |ring: &mut Ring<()>| {
            ring.phase = Phase::Idle;
            ring.seats[0].standing = Standing::Resting;
        };
        assert_eq!(found_in_ring(idle), withheld);
        assert_eq!(found_in_ring(|ring| ring.last_turn += 1), last);
        assert_eq!(found_in_ring(|ring| ring.occupied += 1), counted);
        assert_eq!(found_in_ring(|ring| assert!(ring.vacant.insert((Instant::ORIGIN, 9, 9)))), counted);
        assert_eq!(found_in_ring(|ring| ring.contention.weight += 1), contention);
        assert_eq!(found_in_ring(|ring| ring.contention.add(0, 9, Some(9))), None, "however often");
        assert_eq!(found_in_ring(|ring| ring.contention.spoil()), peaks);
        let stop = |ring: &mut Ring<()>| {
            change_lease(ring, |lease| lease.clock = Clock::Stopped(lease.clock.left(Instant::ORIGIN)));
        };
        assert_eq!(found_in_ring(stop), pause);
        assert_eq!(found_in_ring(|ring| ring.stands_from = Instant::ORIGIN), own);
        let exceed = |ring: &mut Ring<()>| {
            change_lease(ring, |lease| {
                let deadline = Instant::ORIGIN + Nanos::MAX;
                lease.clock = Clock::Running { deadline, hold_until: Instant::ORIGIN };
            });
        };
        assert_eq!(found_in_ring(exceed), silence);
    }

    #[test]
    fn a_violation_says_what_was_found() {
        let violation = Violation { invariant: "seats are counted", found: "2 seats, 3 counted".to_owned() };
        assert_eq!(violation.to_string(), "seats are counted: 2 seats, 3 counted");
    }

    #[test]
    fn a_wrong_count_a_broken_limit_and_a_missed_deadline_are_found() {
        let counted = Some("seats and rings are counted and within their limits");
        assert_eq!(found(|scheduler| scheduler.seats += 1), counted);
        assert_eq!(found(|scheduler| scheduler.config.max_seats = 2), counted);
        assert_eq!(found(|scheduler| scheduler.config.max_seats = 3), None);
        assert_eq!(found(|scheduler| scheduler.config.max_rings = 0), counted);
        assert_eq!(found(|scheduler| scheduler.config.max_rings = 1), None);
        assert_eq!(found(|scheduler| scheduler.timers = Default::default()), Some("no deadline is missed"));
    }
}
