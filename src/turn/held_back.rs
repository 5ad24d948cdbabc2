//! Grants that may not take effect yet, because the client could not tell two signals apart.

use std::collections::HashMap;
use std::time::Instant;

/// Until when a grant to a slot's seat is held back. Beside the seats and not in them: few of them need it, and for a moment only.
#[derive(Debug, Default)]
pub(super) struct HeldBack {
    until: HashMap<u32, Instant>,
    /// The latest of them; when it is past, all are.
    latest: Option<Instant>,
}

impl HeldBack {
    pub(super) fn insert(&mut self, now: Instant, slot: u32, until: Instant) {
        self.prune(now);
        self.until.insert(slot, until);
        self.latest = self.latest.max(Some(until));
    }

    /// Who has the slot next is not held back.
    pub(super) fn remove(&mut self, slot: u32) {
        if self.latest.is_some() {
            self.until.remove(&slot);
        }
    }

    /// When a grant to `slot` at `now` takes effect.
    pub(super) fn release(&mut self, now: Instant, slot: u32) -> Instant {
        if self.latest.is_none() {
            return now;
        }
        self.prune(now);
        self.until.get(&slot).map_or(now, |&until| until.max(now))
    }

    fn prune(&mut self, now: Instant) {
        if self.latest.is_some_and(|latest| latest <= now) {
            *self = HeldBack::default();
        }
    }
}
