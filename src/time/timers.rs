//! Timers: alarms that can move later at no cost, and deadlines for the few things that have one.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::hash::Hash;

use super::Instant;

/// A deadline that its owner may move as often as it likes. It costs a [`Timers`] entry only when it moves to
/// *earlier* than the armed time.
///
/// Deadlines in this crate nearly always move later (a turn's deadline, a connection's idle limit). So the
/// entry in the tree stays where it is, and is checked when it fires: one early wake-up instead of two tree
/// operations per turn.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alarm {
    /// When the owner wants to be called; `None` while it waits for nothing.
    pub(crate) due: Option<Instant>,
    /// The time of the entry in the tree, if there is one; never later than `due`.
    armed: Option<Instant>,
}

/// The alarms of many owners, earliest first. Each owner has at most one entry, which bounds the size.
#[derive(Debug, Clone)]
pub(crate) struct Timers<K> {
    entries: BTreeSet<(Instant, K)>,
    /// The time of the first entry, which is read in every pass but seldom changed.
    next: Option<Instant>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Timers { entries: BTreeSet::new(), next: None }
    }
}

impl<K: Ord + Copy> Timers<K> {
    /// Schedules `owner` to be popped at `due`, in place of any earlier request of `alarm`.
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

    /// Removes an owner.
    pub(crate) fn remove(&mut self, alarm: &mut Alarm, owner: K) {
        if let Some(armed) = std::mem::take(alarm).armed {
            self.entries.remove(&(armed, owner));
            self.next = self.earliest();
        }
    }

    /// Returns when [`pop`](Self::pop) may have something. It may be early (see [`Alarm`]), but never late.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    fn earliest(&self) -> Option<Instant> {
        self.entries.first().map(|&(at, _)| at)
    }

    /// Removes the earliest entry that is due at `now`. Its owner passes its alarm to [`ring`](Self::ring) to
    /// find out whether it is really due.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let popped = self.entries.pop_first().map(|(_, owner)| owner);
        self.next = self.earliest();
        popped
    }

    /// Returns whether the popped `owner`'s alarm is due. If it was moved later meanwhile, arms it again.
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

/// The deadlines of owners that rarely have one. Nothing is stored in the owner, and moving a deadline costs
/// two tree operations.
#[derive(Debug)]
pub(crate) struct Deadlines<K> {
    entries: BTreeSet<(Instant, K)>,
    due: HashMap<K, Instant>,
    /// The time of the first entry, which is read in every pass but seldom changed.
    next: Option<Instant>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Deadlines { entries: BTreeSet::new(), due: HashMap::new(), next: None }
    }
}

impl<K: Ord + Hash + Copy> Deadlines<K> {
    /// Schedules `owner` to be popped at `due`, in place of any earlier request.
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

    /// Returns when `owner` is due.
    pub(crate) fn of(&self, owner: K) -> Option<Instant> {
        self.due.get(&owner).copied()
    }

    /// Returns when the first owner is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Removes and returns the first owner that is due at `now`.
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
        assert_eq!(deadlines.pop(at(10)), Some('a'), "at its deadline, not after it");
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
