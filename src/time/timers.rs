//! Timers: alarms that move later at no cost, and deadlines for the few things that have one.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::hash::Hash;

use super::Instant;

/// A deadline that its owner may move as often as it likes, at the cost of a [`Timers`] entry only when it
/// moves to *earlier* than what is armed.
///
/// Deadlines in this crate nearly always move later (a turn's deadline, a connection's idle limit), so
/// the entry in the tree is left where it is and looked at again when it fires: one early wake-up instead of
/// two tree operations a turn.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alarm {
    /// When the owner wants to be called; `None` while it waits for nothing.
    pub(crate) due: Option<Instant>,
    /// Where the entry in the tree stands, if there is one; never later than `due`.
    armed: Option<Instant>,
}

/// The alarms of many owners, earliest first: at most one entry an owner, so its size is bounded by theirs.
#[derive(Debug, Clone)]
pub(crate) struct Timers<K> {
    entries: BTreeSet<(Instant, K)>,
    /// When the first of them is: asked for in every pass, changed in few.
    next: Option<Instant>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Timers { entries: BTreeSet::new(), next: None }
    }
}

impl<K: Ord + Copy> Timers<K> {
    /// Asks for `owner` to be popped at `due`, in place of what `alarm` asked for before.
    pub(crate) fn set(&mut self, alarm: &mut Alarm, owner: K, due: Option<Instant>) {
        alarm.due = due;
        if let Some(due) = due
            && alarm.armed.is_none_or(|armed| due < armed)
        {
            self.arm(alarm, owner, due);
        }
    }

    #[cold]
    fn arm(&mut self, alarm: &mut Alarm, owner: K, due: Instant) {
        if let Some(armed) = alarm.armed.replace(due) {
            self.entries.remove(&(armed, owner));
        }
        self.entries.insert((due, owner));
        self.next = self.earliest();
    }

    /// Forgets an owner that goes away.
    pub(crate) fn remove(&mut self, alarm: &mut Alarm, owner: K) {
        if let Some(armed) = std::mem::take(alarm).armed {
            self.entries.remove(&(armed, owner));
            self.next = self.earliest();
        }
    }

    /// When [`pop`](Self::pop) may have something; early by design (see [`Alarm`]), never late.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    fn earliest(&self) -> Option<Instant> {
        self.entries.first().map(|&(at, _)| at)
    }

    /// Takes out the earliest entry that `now` has reached. Its owner passes its alarm to
    /// [`ring`](Self::ring) to learn whether it is really due.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let popped = self.entries.pop_first().map(|(_, owner)| owner);
        self.next = self.earliest();
        popped
    }

    /// Whether the popped `owner`'s alarm is due; if it was moved later meanwhile, arms it again.
    pub(crate) fn ring(&mut self, alarm: &mut Alarm, owner: K, now: Instant) -> bool {
        alarm.armed = None;
        match alarm.due {
            Some(due) if due > now => {
                self.arm(alarm, owner, due);
                false
            }
            due => {
                alarm.due = None;
                due.is_some()
            }
        }
    }
}

/// The deadlines of owners that seldom have one: nothing is kept with the owner, and moving one costs two
/// tree operations.
#[derive(Debug)]
pub(crate) struct Deadlines<K> {
    entries: BTreeSet<(Instant, K)>,
    due: HashMap<K, Instant>,
    /// When the first of them is: asked for in every pass, changed in few.
    next: Option<Instant>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Deadlines { entries: BTreeSet::new(), due: HashMap::new(), next: None }
    }
}

impl<K: Ord + Hash + Copy> Deadlines<K> {
    /// Asks for `owner` to be popped at `due`, in place of what was asked for before.
    pub(crate) fn set(&mut self, owner: K, due: Option<Instant>) {
        let before = match due {
            Some(due) => self.due.insert(owner, due),
            None => self.due.remove(&owner),
        };
        if let Some(before) = before {
            self.entries.remove(&(before, owner));
        }
        self.entries.extend(due.map(|due| (due, owner)));
        self.next = self.entries.first().map(|&(at, _)| at);
    }

    /// When `owner` is due.
    pub(crate) fn of(&self, owner: K) -> Option<Instant> {
        self.due.get(&owner).copied()
    }

    /// When the first owner is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Takes out the first owner that is due at `now`.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<K> {
        if self.next? > now {
            return None;
        }
        let (_, owner) = self.entries.pop_first()?;
        self.due.remove(&owner);
        self.next = self.entries.first().map(|&(at, _)| at);
        Some(owner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_later_deadline_costs_no_entry_and_fires_once() {
        let start = Instant::ORIGIN;
        let at = |ms| start + Duration::from_millis(ms);
        let (mut timers, mut alarm) = (Timers::default(), Alarm::default());
        timers.set(&mut alarm, 7, Some(at(10)));
        timers.set(&mut alarm, 7, Some(at(30)));
        assert_eq!(timers.entries.len(), 1);
        assert_eq!(timers.next(), Some(at(10)), "lazily armed: wakes early, once");

        assert_eq!(timers.pop(at(9)), None);
        assert_eq!(timers.pop(at(10)), Some(7));
        assert!(!timers.ring(&mut alarm, 7, at(10)));
        assert_eq!(timers.next(), Some(at(30)));
        assert_eq!(timers.pop(at(30)), Some(7));
        assert!(timers.ring(&mut alarm, 7, at(30)));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn an_owner_has_one_deadline_at_most() {
        let start = Instant::ORIGIN;
        let at = |ms| start + Duration::from_millis(ms);
        let mut deadlines = Deadlines::default();
        deadlines.set('a', Some(at(30)));
        deadlines.set('b', Some(at(20)));
        deadlines.set('a', Some(at(10)));
        assert_eq!((deadlines.next(), deadlines.of('a')), (Some(at(10)), Some(at(10))));
        assert_eq!(deadlines.pop(at(9)), None);
        assert_eq!(deadlines.pop(at(10)), Some('a'), "at its deadline, not behind it");
        assert_eq!((deadlines.of('a'), deadlines.next()), (None, Some(at(20))));
        deadlines.set('b', None);
        assert_eq!((deadlines.pop(at(99)), deadlines.next()), (None, None));
    }

    #[test]
    fn an_earlier_deadline_replaces_the_entry() {
        let start = Instant::ORIGIN;
        let (mut timers, mut alarm) = (Timers::default(), Alarm::default());
        timers.set(&mut alarm, 7, Some(start + Duration::from_secs(9)));
        timers.set(&mut alarm, 7, Some(start + Duration::from_secs(1)));
        assert_eq!((timers.entries.len(), timers.next()), (1, Some(start + Duration::from_secs(1))));
        timers.remove(&mut alarm, 7);
        assert_eq!(timers.next(), None);
    }
}
