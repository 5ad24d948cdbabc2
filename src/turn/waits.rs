//! How long seats wait, and the bound that each wait was promised.

use std::collections::VecDeque;
use std::time::Duration;

use crate::hint::unlikely;
use crate::time::{Instant, Nanos};

/// The longest time that a seat of a ring has waited for the turn, and the bound of that wait.
///
/// Times are those of the ring's own clock, which stops while the ring is below quorum or paused, and does
/// not count the time that the host added (*extend*, *next*) or that a `GO` waited to be written; see
/// [`Scheduler::stopped`](super::Scheduler::stopped). On real clocks `waited` may exceed `bound` by the time
/// that each turn on the way ended late: the poll's rounding to 1 ms, and one pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct LongestWait {
    /// From when the seat began to wait to its grant.
    pub waited: Duration,
    /// The bound of that very wait; `None` if the ring's rules limit no turn.
    pub bound: Option<Duration>,
}

/// The longest wait of a ring.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Longest {
    pub(super) waited: Nanos,
    /// The bound of this wait.
    pub(super) bound: Option<Duration>,
}

/// A wait that ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    /// By the ring's own clock.
    pub(super) since: Instant,
    pub(super) turns_first: u32,
    pub(super) weight: u8,
    /// The number of the seat's tag.
    pub(super) given: u64,
}

impl Longest {
    /// Replaces it by a longer wait that ends now.
    #[cold]
    pub(super) fn replace(&mut self, now: Instant, wait: Wait, contention: &Contention, time: &TurnTime) {
        let bound = time.bound(wait.given, contention.turns_first(&wait));
        *self = Longest { waited: now.nanos_since(wait.since), bound };
    }
}

/// How long a turn may last, by the rules, for the bound of a wait.
#[derive(Debug, Clone)]
pub(super) struct TurnTime {
    now: Option<Duration>,
    /// By the previous rules, for the waits that had begun before the change.
    before: Option<Duration>,
    /// The number of the last tag given before the rules changed.
    changed: u64,
}

impl TurnTime {
    pub(super) fn new(now: Option<Duration>) -> TurnTime {
        TurnTime { now, before: now, changed: 0 }
    }

    /// Notes a change of the rules after the tag numbered `given`; `oldest` is that of the longest-queued
    /// seat.
    pub(super) fn change(&mut self, to: Option<Duration>, given: u64, oldest: Option<u64>) {
        let before = oldest.map_or(self.now, |oldest| self.of(oldest));
        *self = TurnTime { now: to, before, changed: given };
    }

    /// Returns the bound of a wait that began with the tag numbered `given`, and for which `turns` may come
    /// first.
    pub(super) fn bound(&self, given: u64, turns: u64) -> Option<Duration> {
        let each = self.of(given)?;
        Some(u32::try_from(turns).ok().and_then(|turns| each.checked_mul(turns)).unwrap_or(Duration::MAX))
    }

    fn of(&self, given: u64) -> Option<Duration> {
        match given <= self.changed {
            true => Some(self.now?.max(self.before?)),
            false => self.now,
        }
    }
}

/// The total weight of the seats in the order, and its peaks since the current waits began.
///
/// While a seat of weight `w` waits, the others get at most (greatest sum of their weights at one moment) /
/// `w` turns, rounded up, and one for each that was in the order when its wait began.
#[derive(Debug, Clone, Default)]
pub(super) struct Contention {
    /// The weights of all seats that are queued or hold the turn.
    pub(super) weight: u64,
    /// The number of the last tag before a seat heavier than 1 was in the order. Equal weights need no peaks.
    pub(super) weighted_since: Option<u64>,
    /// Falling peaks, each with the number of the last tag given before it. The weights are distinct, so
    /// there are at most as many peaks as the ring has weight.
    peaks: VecDeque<(u64, u64)>,
}

impl Contention {
    /// Adds a seat that gets the tag numbered `given`; its weight is 0 if it was in the order already, as the
    /// holder of the turn. `oldest` is the tag that has been queued for longest.
    pub(super) fn add(&mut self, weight: u8, given: u64, oldest: Option<u64>) {
        self.weight += u64::from(weight);
        if unlikely(weight > 1 || self.weighted_since.is_some()) {
            self.weighted_since.get_or_insert(given);
            self.note_peak(given, oldest);
        }
    }

    /// Takes a seat out. The previous peak stays; the next one is lower.
    #[inline]
    pub(super) fn remove(&mut self, weight: u8, given: u64) {
        self.weight -= u64::from(weight);
        if unlikely(self.weighted_since.is_some()) {
            self.peaks.push_back((given, self.weight));
        }
    }

    #[cold]
    fn note_peak(&mut self, given: u64, oldest: Option<u64>) {
        let oldest = oldest.unwrap_or(given);
        while self.peaks.get(1).is_some_and(|&(next, _)| next < oldest) {
            self.peaks.pop_front();
        }
        while self.peaks.back().is_some_and(|&(_, peak)| peak <= self.weight) {
            self.peaks.pop_back();
        }
        self.peaks.push_back((given, self.weight));
    }

    /// Returns the peaks if they are not in the order of falling weights.
    pub(super) fn fault(&self) -> Option<String> {
        let falls = self.peaks.iter().is_sorted_by(|a, b| a.0 <= b.0 && a.1 > b.1);
        let is_now = self.peaks.back().is_none_or(|&(_, peak)| peak == self.weight);
        let is_noted = self.peaks.is_empty() != self.weighted_since.is_some();
        (!falls || !is_now || !is_noted).then(|| format!("{:?}", self.peaks))
    }

    #[cfg(test)]
    pub(super) fn spoil(&mut self) {
        self.peaks.push_front((0, 0));
    }

    /// Returns how many turns may come first for a seat of weight 1 that begins to wait after `turns_first`
    /// others.
    pub(super) fn turns_first_now(&self, turns_first: u32) -> u64 {
        let by_weight = if self.weighted_since.is_some() { self.weight } else { 0 };
        u64::from(turns_first).saturating_add(by_weight)
    }

    /// Returns how many turns the others may have got during `wait`.
    #[cold]
    pub(super) fn turns_first(&self, wait: &Wait) -> u64 {
        let first = u64::from(wait.turns_first);
        if self.weighted_since.is_none() {
            return first;
        }
        // A wait that began before weights differed owes one turn to each seat that was there then, and no
        // more.
        let begun = self.peaks.partition_point(|&(given, _)| given < wait.given);
        let peak = self.peaks.get(begun).map_or(self.weight, |&(_, peak)| peak);
        let others = peak.saturating_sub(u64::from(wait.weight));
        first.saturating_add(others.div_ceil(u64::from(wait.weight)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(given: u64, turns_first: u32, weight: u8) -> Wait {
        Wait { since: Instant::ORIGIN, turns_first, weight, given }
    }

    #[test]
    fn equal_weights_owe_one_turn_to_each_seat_that_was_there() {
        let mut contention = Contention::default();
        (1..=9).for_each(|given| contention.add(1, given, Some(1)));
        assert_eq!((contention.turns_first(&wait(5, 4, 1)), contention.peaks.len()), (4, 0));
    }

    #[test]
    fn weights_owe_the_greatest_sum_that_was_there_at_once() {
        let mut contention = Contention::default();
        contention.add(1, 1, Some(1));
        contention.add(10, 2, Some(1));
        contention.add(5, 3, Some(1));
        contention.remove(10, 3);
        contention.add(3, 4, Some(1));
        assert_eq!(contention.turns_first(&wait(1, 0, 1)), 15, "10 and 5");
        assert_eq!(contention.turns_first(&wait(4, 2, 3)), 2 + 2, "1 and 5, for one of weight 3");
        assert_eq!(contention.turns_first_now(2), 2 + 9);
    }

    #[test]
    fn peaks_before_the_oldest_wait_are_forgotten() {
        let mut contention = Contention::default();
        contention.add(100, 1, Some(1));
        for given in 2..1_000 {
            contention.add(2, given, Some(given));
            contention.remove(2, given);
        }
        assert!(contention.peaks.len() <= 3, "{:?}", contention.peaks);
        assert_eq!(contention.fault(), None);
    }

    #[test]
    fn the_longest_wait_keeps_the_bound_that_it_had() {
        let secs = |secs| Duration::from_secs(secs);
        let (mut longest, contention) = (Longest::default(), Contention::default());
        let mut time = TurnTime::new(Some(secs(30)));
        longest.replace(Instant::ORIGIN + secs(40), wait(3, 2, 1), &contention, &time);
        time.change(Some(secs(1)), 9, Some(4));
        assert_eq!((longest.waited, longest.bound), (secs(40).into(), Some(secs(60))));
        assert_eq!((time.bound(9, 2), time.bound(10, 2)), (Some(secs(60)), Some(secs(2))));
        time.change(None, 20, Some(10));
        assert_eq!((time.bound(15, 1), time.bound(21, 1)), (None, None), "without a limit there is no bound");
        assert_eq!(TurnTime::new(Some(Duration::MAX)).bound(1, 2), Some(Duration::MAX));
    }

    #[test]
    fn rules_that_change_twice_in_a_wait_bound_it_by_the_longest() {
        let secs = |secs| Some(Duration::from_secs(secs));
        let mut time = TurnTime::new(secs(30));
        time.change(secs(1), 9, Some(4));
        time.change(secs(2), 12, Some(4));
        assert_eq!((time.bound(4, 1), time.bound(13, 1)), (secs(30), secs(2)));
        time.change(secs(3), 20, Some(13));
        assert_eq!(time.bound(20, 1), secs(3));
    }
}
