//! What is kept of what happened: counts, and how long turns and passes took.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::timings::{Recent, Timings};
use crate::time::Instant;
use crate::turn::RingId;

/// Counts and times of a server, as its protocol [notes](super::Show::note) them.
#[derive(Debug)]
pub struct Tally {
    begun: Instant,
    counts: BTreeMap<&'static str, u64>,
    /// When the last pass began and ended.
    pass: (Instant, Instant),
    /// Where the last thing noted is the end of a turn: a grant that follows is a hand-over.
    ended: Option<RingId>,
    /// Since when the turn is held. Each that is granted ends, so there are no more than rings.
    granted: HashMap<RingId, Instant>,
    hand_overs: Timings,
    answers: Timings,
    pub(super) passes: Timings,
    /// The hand-overs since the last message of the feed.
    pub(super) recent: Recent,
}

impl Tally {
    pub(super) fn new(now: Instant) -> Tally {
        Tally {
            begun: now,
            counts: BTreeMap::new(),
            pass: (now, now),
            ended: None,
            granted: HashMap::new(),
            hand_overs: Timings::new(
                "hand_over",
                "From the reading of the clock that began the pass in which a turn ended until the pass had written the next GO.",
            ),
            answers: Timings::new("answer", "From the grant of a turn to its accepted answer."),
            passes: Timings::new(
                "pass",
                "How long a pass of the loop took, without the status listener's part.",
            ),
            recent: Recent::default(),
        }
    }

    /// For how long this has been kept.
    pub(super) fn uptime(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.begun)
    }

    /// Counts one more of what is called `name`.
    pub fn count(&mut self, name: &'static str) {
        *self.counts.entry(name).or_default() += 1;
    }

    /// How many were counted of what is called `name`.
    #[must_use]
    pub fn counted(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    /// The turn of `ring` was granted; its holder is told at `release`, or in the pass if that is past.
    pub fn granted(&mut self, ring: RingId, release: Instant) {
        let (began, pass_ended) = self.pass;
        self.granted.insert(ring, release.max(began));
        if self.ended.take() == Some(ring) && release <= began {
            let took = pass_ended.saturating_duration_since(began);
            self.hand_overs.note(took);
            self.recent.note(took);
        }
    }

    /// The turn of `ring` ended with an answer.
    pub fn answered(&mut self, ring: RingId) {
        if let Some(granted) = self.granted.get(&ring) {
            self.answers.note(self.pass.0.saturating_duration_since(*granted));
        }
        self.ended(ring);
    }

    /// The turn of `ring` ended.
    pub fn ended(&mut self, ring: RingId) {
        self.granted.remove(&ring);
        self.ended = Some(ring);
    }

    /// How long turns took to go from one seat to the next.
    #[must_use]
    pub fn hand_overs(&self) -> &Timings {
        &self.hand_overs
    }

    /// How long holders took to answer.
    #[must_use]
    pub fn answers(&self) -> &Timings {
        &self.answers
    }

    /// A pass is over: what is noted from now on happened in it.
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

/// A time that JSON's readers count in microseconds.
pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A time that JSON's readers count in milliseconds.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;
    use crate::turn::{Scheduler, SchedulerConfig, Weight};

    #[test]
    fn a_hand_over_is_a_grant_that_follows_the_end_of_a_turn_and_is_told_in_the_same_pass() {
        let start = Instant::ORIGIN;
        let at = |us| start + Duration::from_micros(us);
        let mut scheduler = Scheduler::new(SchedulerConfig::default());
        let [a, b] =
            [(), ()].map(|()| scheduler.join_new_ring(start, Weight::ONE, ()).expect("there is room").ring());
        let mut tally = Tally::new(start);
        tally.note_pass(at(0), at(20));
        tally.granted(a, at(0));
        tally.granted(b, at(0));
        assert_eq!(tally.hand_overs.count(), 0, "a ring that starts hands nothing over");

        tally.note_pass(at(5_000), at(5_030));
        tally.answered(a);
        tally.granted(a, at(5_000));
        assert_eq!((tally.hand_overs.count(), tally.answers.count()), (1, 1));
        assert!((tally.hand_overs.sum() - 30e-6).abs() < 1e-9);
        assert!((tally.answers.sum() - 5e-3).abs() < 1e-9);

        tally.note_pass(at(6_000), at(6_030));
        tally.ended(a);
        tally.granted(b, at(6_000));
        tally.ended(a);
        tally.granted(a, at(106_000));
        assert_eq!(tally.hand_overs.count(), 1, "another ring's, and one that is told later");
        tally.ended(a);
        tally.note_pass(at(7_000), at(7_030));
        tally.granted(a, at(7_000));
        assert_eq!((tally.hand_overs.count(), tally.answers.count()), (1, 1), "in another pass");
        assert_eq!(tally.granted.len(), 2);
    }
}
