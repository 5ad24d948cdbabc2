//! Grants that may not take effect yet, because the client could not tell two signals apart.

use std::collections::VecDeque;

use crate::hint::unlikely;
use crate::time::Instant;

/// Until when a grant to a seat is held back. Beside the seats and not in them: few of them need it, and for a moment only.
#[derive(Debug, Clone, Default)]
pub(super) struct HeldBack {
    /// The oldest first. What is past is dropped when something is added or looked for, so there are no more of them than were added
    /// in the longest time that a grant is held back.
    entries: VecDeque<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    slot: u32,
    until: Instant,
}

impl HeldBack {
    pub(super) fn insert(&mut self, now: Instant, slot: u32, until: Instant) {
        self.prune(now);
        self.entries.push_back(Entry { slot, until });
    }

    /// Who has the slot next is not held back.
    pub(super) fn remove(&mut self, slot: u32) {
        if !self.entries.is_empty() {
            self.entries.retain(|entry| entry.slot != slot);
        }
    }

    /// When a grant to `slot` at `now` takes effect.
    pub(super) fn release(&mut self, now: Instant, slot: u32) -> Instant {
        if unlikely(!self.entries.is_empty()) {
            return self.release_of(now, slot);
        }
        now
    }

    #[cold]
    fn release_of(&mut self, now: Instant, slot: u32) -> Instant {
        self.prune(now);
        let last = self.entries.iter().rev().find(|entry| entry.slot == slot);
        last.map_or(now, |entry| entry.until.max(now))
    }

    /// Who is still held back at `now`, and until when.
    pub(super) fn after(&self, now: Instant) -> impl Iterator<Item = (u32, Instant)> {
        self.entries.iter().filter(move |entry| entry.until > now).map(|entry| (entry.slot, entry.until))
    }

    fn prune(&mut self, now: Instant) {
        while self.entries.front().is_some_and(|entry| entry.until <= now) {
            self.entries.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::time::Instant;

    #[test]
    fn a_grant_takes_effect_at_the_latest_time_that_was_asked_for_its_slot() {
        let start = Instant::ORIGIN;
        let at = |ms| start + Duration::from_millis(ms);
        let mut held_back = HeldBack::default();
        assert_eq!(held_back.release(at(1), 7), at(1), "nothing was asked");
        held_back.insert(at(0), 7, at(100));
        held_back.insert(at(20), 8, at(120));
        held_back.insert(at(50), 7, at(150));
        let after = |ms| held_back.after(at(ms)).collect::<Vec<_>>();
        assert_eq!(after(99), [(7, at(100)), (8, at(120)), (7, at(150))]);
        assert_eq!((after(120), after(150)), (vec![(7, at(150))], vec![]));
        assert_eq!([7, 8, 9].map(|slot| held_back.release(at(60), slot)), [at(150), at(120), at(60)]);
        assert_eq!([7, 8].map(|slot| held_back.release(at(120), slot)), [at(150), at(120)]);
        assert_eq!(held_back.release(at(200), 7), at(200));
        assert!(held_back.entries.is_empty(), "what is past is forgotten");
    }

    #[test]
    fn who_has_a_slot_next_is_not_held_back() {
        let start = Instant::ORIGIN;
        let later = start + Duration::from_millis(100);
        let mut held_back = HeldBack::default();
        held_back.insert(start, 7, later);
        held_back.insert(start, 8, later);
        held_back.remove(7);
        assert_eq!([7, 8].map(|slot| held_back.release(start, slot)), [start, later]);
    }
}
