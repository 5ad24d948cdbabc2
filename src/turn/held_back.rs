//! Grants that may not take effect yet, because the client could not tell two signals apart.

use std::collections::VecDeque;
use std::time::Instant;

/// Until when a grant to a seat is held back. Beside the seats and not in them: few of them need it, and for a moment only.
#[derive(Debug, Default)]
pub(super) struct HeldBack {
    /// The oldest first. What is past is dropped when something is added or looked for, so there are no more of them than were added
    /// in the longest time that a grant is held back.
    entries: VecDeque<Entry>,
}

#[derive(Debug)]
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
        if self.entries.is_empty() {
            return now;
        }
        self.prune(now);
        let last = self.entries.iter().rev().find(|entry| entry.slot == slot);
        last.map_or(now, |entry| entry.until.max(now))
    }

    fn prune(&mut self, now: Instant) {
        while self.entries.front().is_some_and(|entry| entry.until <= now) {
            self.entries.pop_front();
        }
    }
}
