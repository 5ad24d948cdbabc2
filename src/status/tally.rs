//! Counts of past events, and the times of turns and passes.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::seats::Seats;
use super::timings::{Recent, Timings};
use crate::time::Instant;
use crate::turn::{RingId, SeatId, TurnNumber};

/// Counts and times of a server, [noted](super::Show::note) by its protocol.
#[derive(Debug)]
pub struct Tally {
    begun: Instant,
    counts: BTreeMap<&'static str, u64>,
    /// When the last pass began, and when it ended.
    pass: (Instant, Instant),
    /// The ring of the turn that just ended, if nothing else was noted since. A grant that follows is a
    /// hand-over.
    ended: Option<RingId>,
    /// The turns that are held. Each of them ends, so there are at most as many as rings.
    granted: HashMap<RingId, Granted>,
    /// Answers and times of seats.
    pub(super) seats: Seats,
    hand_overs: Timings,
    answers: Timings,
    pub(super) passes: Timings,
    /// The hand-overs since the last message of the feed.
    pub(super) recent: Recent,
}

/// A turn that is held.
#[derive(Debug, Clone, Copy)]
struct Granted {
    seat: SeatId,
    turn: TurnNumber,
    /// The beginning of the pass in which the turn was granted.
    at: Instant,
    /// Whether its holder was told in that pass.
    is_told: bool,
}

impl Tally {
    pub(super) fn new(now: Instant) -> Tally {
        Tally {
            begun: now,
            counts: BTreeMap::new(),
            pass: (now, now),
            ended: None,
            granted: HashMap::new(),
            seats: Seats::default(),
            hand_overs: Timings::new(
                "hand_over",
                "From the reading of the clock that began the pass in which a turn ended until the pass had written the next GO.",
            ),
            answers: Timings::new(
                "answer",
                "From the grant of a turn to its accepted answer. Turns whose GO had to wait are left out.",
            ),
            passes: Timings::new(
                "pass",
                "How long a pass of the loop took, without the status listener's part.",
            ),
            recent: Recent::default(),
        }
    }

    /// Returns the time since this was created.
    pub(super) fn uptime(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.begun)
    }

    /// Adds one to the count called `name`.
    pub fn count(&mut self, name: &'static str) {
        *self.counts.entry(name).or_default() += 1;
    }

    /// Returns the count called `name`.
    #[must_use]
    pub fn counted(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    /// Notes that `seat` was granted `turn` of its ring, and whether it was told in the same pass.
    pub fn granted(&mut self, seat: SeatId, turn: TurnNumber, is_told: bool) {
        let (began, pass_ended) = self.pass;
        self.granted.insert(seat.ring(), Granted { seat, turn, at: began, is_told });
        if self.ended.take() == Some(seat.ring()) && is_told {
            let took = pass_ended.saturating_duration_since(began);
            self.hand_overs.note(took);
            self.recent.note(took);
        }
    }

    /// Notes that the turn of `seat` ended with an answer.
    pub fn answered(&mut self, seat: SeatId) {
        if let Some(granted) = self.granted.get(&seat.ring()).filter(|granted| granted.is_told) {
            self.answers.note(self.pass.0.saturating_duration_since(granted.at));
        }
        self.ended(seat);
    }

    /// Notes that the turn of `seat` ended.
    pub fn ended(&mut self, seat: SeatId) {
        if let Some(granted) = self.granted.remove(&seat.ring()).filter(|granted| granted.seat == seat) {
            self.seats.add_held(seat, self.pass.0.saturating_duration_since(granted.at));
        }
        self.ended = Some(seat.ring());
    }

    /// Notes that `seat` no longer exists, and forgets what it did.
    pub fn retired(&mut self, seat: SeatId) {
        self.seats.forget(seat);
    }

    /// Returns the seat and number of the turn that `ring` holds, as far as events were noted.
    pub(super) fn holder(&self, ring: RingId) -> Option<(SeatId, TurnNumber)> {
        self.granted.get(&ring).map(|granted| (granted.seat, granted.turn))
    }

    /// Returns the total time for which `seat` has held turns, until `now`.
    pub(super) fn held(&self, now: Instant, seat: SeatId) -> Duration {
        let granted = self.granted.get(&seat.ring()).filter(|granted| granted.seat == seat);
        let current = granted.map_or(Duration::ZERO, |granted| now.saturating_duration_since(granted.at));
        self.seats.total_held(seat) + current
    }

    /// Returns the times that turns took to go from one seat to the next.
    #[must_use]
    pub fn hand_overs(&self) -> &Timings {
        &self.hand_overs
    }

    /// Returns the times that holders took to answer.
    #[must_use]
    pub fn answers(&self) -> &Timings {
        &self.answers
    }

    /// Notes the end of a pass. Events noted from now on happened in it.
    pub(super) fn note_pass(&mut self, began: Instant, ended: Instant) {
        self.pass = (began, ended);
        self.ended = None;
        self.passes.note(ended.saturating_duration_since(began));
    }

    pub(super) fn forget_recent(&mut self) {
        self.recent.clear();
    }

    pub(super) fn pass_began(&self) -> Instant {
        self.pass.0
    }
}

/// Converts a time to microseconds, for JSON.
pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Converts a time to milliseconds, for JSON.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;
    use crate::turn::{Demand, Rules, Scheduler, SchedulerConfig, Weight};

    fn turn() -> TurnNumber {
        TurnNumber::new(7).expect("not 0")
    }

    fn seats() -> [SeatId; 2] {
        let mut scheduler = Scheduler::new(SchedulerConfig::default()).expect("valid");
        [(); 2].map(|()| {
            let ring = scheduler.make_ring(Instant::ORIGIN, Rules::default()).expect("room");
            scheduler.join(Instant::ORIGIN, ring, Weight::ONE, Demand::Always, ()).expect("room").0
        })
    }

    fn at(us: u64) -> Instant {
        Instant::ORIGIN + Duration::from_micros(us)
    }

    #[test]
    fn a_hand_over_is_a_grant_that_follows_the_end_of_a_turn_and_is_told_in_the_same_pass() {
        let [a, b] = seats();
        let mut tally = Tally::new(at(0));
        tally.note_pass(at(0), at(20));
        tally.granted(a, turn(), true);
        tally.granted(b, turn(), true);
        assert_eq!(tally.hand_overs.count(), 0, "a ring that starts hands nothing over");

        tally.note_pass(at(5_000), at(5_030));
        tally.answered(a);
        tally.granted(a, turn(), true);
        assert_eq!((tally.hand_overs.count(), tally.answers.count()), (1, 1));
        assert!((tally.hand_overs.sum() - 30e-6).abs() < 1e-9);
        assert!((tally.answers.sum() - 5e-3).abs() < 1e-9);

        tally.note_pass(at(6_000), at(6_030));
        tally.ended(a);
        tally.granted(b, turn(), true);
        tally.ended(a);
        tally.granted(a, turn(), false);
        assert_eq!(tally.hand_overs.count(), 1, "another ring's, and one that is told later");
        tally.answered(a);
        assert_eq!(tally.answers.count(), 1, "nothing says when it was told");
        tally.note_pass(at(7_000), at(7_030));
        tally.granted(a, turn(), true);
        assert_eq!((tally.hand_overs.count(), tally.answers.count()), (1, 1), "in another pass");
        assert_eq!(tally.granted.len(), 2);
    }

    #[test]
    fn the_time_of_a_seat_includes_the_turn_that_it_holds() {
        let [a, b] = seats();
        let mut tally = Tally::new(at(0));
        for begin in [0, 1_000] {
            tally.note_pass(at(begin), at(begin));
            tally.granted(a, turn(), true);
            tally.note_pass(at(begin + 100), at(begin + 100));
            tally.answered(a);
        }
        assert_eq!(tally.held(at(9_000), a), Duration::from_micros(200));
        tally.granted(a, turn(), true);
        assert_eq!(tally.held(at(1_150), a), Duration::from_micros(250));
        assert_eq!(tally.held(at(1_150), b), Duration::ZERO);
        tally.ended(a);
        tally.retired(a);
        assert_eq!(tally.held(at(9_000), a), Duration::ZERO);
    }
}
